/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/latch.h"

#include <string.h>
#include <time.h>

void latch_init(latch *l, unsigned answers)
{
    pthread_condattr_t monotonic;
    memset(l, 0, sizeof(*l));
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    l->open = answers;
}

void latch_answer(latch *l, berth_status status, const berth_error *error)
{
    pthread_mutex_lock(&l->lock);
    if (status != BERTH_OK && l->status == BERTH_OK) {
        l->status = status;
        if (error)
            l->error = *error;
    }
    if (--l->open == 0)
        pthread_cond_broadcast(
            &l->cond); /* under the lock: the waiter may free the latch after it */
    pthread_mutex_unlock(&l->lock);
}

berth_status latch_wait(latch *l, berth_error *error)
{
    pthread_mutex_lock(&l->lock);
    while (l->open)
        pthread_cond_wait(&l->cond, &l->lock);
    berth_status status = l->status;
    if (error && status != BERTH_OK) {
        *error = l->error;
        error->code = status;
    }
    pthread_mutex_unlock(&l->lock);
    return status;
}

bool latch_wait_until(latch *l, int64_t deadline)
{
    struct timespec until = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};
    pthread_mutex_lock(&l->lock);
    while (l->open)
        if (pthread_cond_timedwait(&l->cond, &l->lock, &until))
            break;
    bool all = l->open == 0;
    pthread_mutex_unlock(&l->lock);
    return all;
}

void latch_fini(latch *l)
{
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->cond);
}
