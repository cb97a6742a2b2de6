/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/latch.h: waiting for answers that come on another thread. On the waiter's stack: wait
 * returns only when the last answer has let go of it.
 */
#ifndef DAEMON_LATCH_H
#define DAEMON_LATCH_H

#include "berth/status.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct latch {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    unsigned open;       /* answers to come */
    berth_status status; /* the first that was not OK */
    berth_error error;
} latch;

void latch_init(latch *l, unsigned answers);
/* One answer; error may be NULL. */
void latch_answer(latch *l, berth_status status, const berth_error *error);
/* Until all have come; the first failure, explained in error (may be NULL). */
berth_status latch_wait(latch *l, berth_error *error);
/* Until all have come, or the deadline (monotonic) has passed: false. The latch must then outlive
 * the answers: it cannot be on the stack. */
bool latch_wait_until(latch *l, int64_t deadline_ns);
void latch_fini(latch *l);

#endif
