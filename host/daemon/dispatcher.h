/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/dispatcher.h: the threads that run daemons.
 *
 * A pool of threads, a run queue each, stealing half a queue when their own is empty. It knows
 * tasks, not daemons; a task is in at most one queue at a time, which is its owner's business. When
 * a thread is stuck in a long call the watchdog asks for a compensating thread, which leaves again
 * when none is.
 */
#ifndef DAEMON_DISPATCHER_H
#define DAEMON_DISPATCHER_H

#include "berth/status.h"
#include "daemon/runner.h"

typedef struct task task;
struct task {
    task *next;
    /* On a dispatcher thread, without locks. */
    void (*run)(task *t, runner *on);
};

typedef struct dispatcher dispatcher;

#define DISPATCHER_COMPENSATING 64

/* Starts the threads. */
berth_status dispatcher_new(unsigned threads, dispatcher **out, berth_error *error);

/* Any thread. From a dispatcher thread the task goes to that thread's own queue. */
void dispatcher_push(dispatcher *d, task *t);

/* A runner for the calling thread, to be given back. NULL when memory is short. */
runner *dispatcher_borrow(dispatcher *d);
void dispatcher_return(dispatcher *d, runner *r);

/* Whether the calling thread is running a daemon or a callback: it must not wait for one. */
bool dispatcher_inside(void);
/* Marks the calling thread as such; returns what was before, to be put back. */
bool dispatcher_enter(bool inside);

/*
 * Look at every runner: those whose call has not returned since the look before last, budget_ns or
 * more ago, are overrunning: stuck(ctx, origin, since_ns) for each newly found one (since when),
 * and a compensating thread each. One thread calls it.
 */
void dispatcher_watch(dispatcher *d, int64_t now_ns, int64_t budget_ns,
                      void (*stuck)(void *ctx, uint64_t origin, int64_t since_ns), void *ctx);

/*
 * Let the threads finish what is queued, and join them. A thread that is stuck in a call past
 * deadline_ns (monotonic) stays behind with its memory: false then, and the dispatcher is not
 * freed.
 */
bool dispatcher_free(dispatcher *d, int64_t deadline_ns);

typedef struct dispatcher_stats {
    unsigned threads, compensating;
    uint64_t steals;
} dispatcher_stats;
void dispatcher_get_stats(dispatcher *d, dispatcher_stats *out);

#endif
