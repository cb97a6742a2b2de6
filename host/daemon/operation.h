/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/operation.h: asking an instance for something, by the runner of its daemon. Private to the
 * room.
 *
 * Plugin code may answer before or after the call that asked it returns. Both sides then meet at
 * d->op: the asker leaves with LEFT, the answer arrives with ANSWERED, and whoever comes second
 * goes on; the answer by queueing the daemon again. So the code after an operation is the same for
 * both cases.
 */
#ifndef DAEMON_OPERATION_H
#define DAEMON_OPERATION_H

#include "daemon/runtime_private.h"

enum { OP_ASKED, OP_ANSWERED, OP_LEFT };

/* Before asking; the watchdog sees whose code the thread runs. */
static inline void operation_begin(struct daemon *d, runner *on)
{
    atomic_store_explicit(&d->op, OP_ASKED, memory_order_relaxed);
    atomic_store_explicit(&on->origin, d->origin, memory_order_relaxed);
}

/* After asking: true when the answer is there already. Otherwise d is no longer ours. */
static inline bool operation_stay(struct daemon *d, instance_answer how)
{
    return how == INSTANCE_DONE || atomic_exchange(&d->op, OP_LEFT) == OP_ANSWERED;
}

static inline void operation_leave(runner *on)
{
    atomic_store_explicit(&on->origin, 0, memory_order_relaxed);
}

/* The answer is there: on any thread, once. */
static inline void operation_answered(struct daemon *d)
{
    if (atomic_exchange(&d->op, OP_ANSWERED) != OP_LEFT)
        return;
    pthread_mutex_lock(&d->lock);
    d->turn = TURN_QUEUED;
    pthread_mutex_unlock(&d->lock);
    dispatcher_push(d->rt->dispatcher, &d->task);
}

#endif
