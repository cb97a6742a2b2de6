/* SPDX-License-Identifier: Apache-2.0 */
#include "api/jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

typedef struct job {
    void (*fn)(void *ctx);
    void *ctx;
} job;

struct jobs {
    pthread_mutex_t lock;
    pthread_cond_t work;    /* there is a job, or the pool stops */
    pthread_cond_t quieter; /* a thread has ended */
    unsigned max_threads, threads, idle, running;
    bool stopping;
    void (*late)(void *late_ctx); /* not NULL: nobody waits any more */
    void *late_ctx;
    unsigned cap, first, count; /* ring of waiting jobs */
    job ring[];
};

jobs *jobs_new(unsigned threads, unsigned waiting)
{
    jobs *j = calloc(1, sizeof *j + waiting * sizeof *j->ring);
    pthread_condattr_t monotonic;

    if (!j)
        return NULL;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->work, NULL);
    pthread_cond_init(&j->quieter, &monotonic);
    pthread_condattr_destroy(&monotonic);
    j->max_threads = threads;
    j->cap = waiting;
    return j;
}

static void jobs_free(jobs *j)
{
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->work);
    pthread_cond_destroy(&j->quieter);
    free(j);
}

static void *serve(void *arg)
{
    jobs *j = (jobs *)arg;
    void (*late)(void *late_ctx);
    void *late_ctx;

    pthread_mutex_lock(&j->lock);
    for (;;) {
        job next;

        while (!j->count && !j->stopping) {
            j->idle++;
            pthread_cond_wait(&j->work, &j->lock);
            j->idle--;
        }
        if (!j->count)
            break;
        next = j->ring[j->first];
        j->first = (j->first + 1) % j->cap;
        j->count--;
        j->running++;
        pthread_mutex_unlock(&j->lock);
        next.fn(next.ctx);
        pthread_mutex_lock(&j->lock);
        j->running--;
    }
    j->threads--;
    pthread_cond_broadcast(&j->quieter);
    late = j->threads ? NULL : j->late;
    late_ctx = j->late_ctx;
    pthread_mutex_unlock(&j->lock);
    if (late) {
        jobs_free(j);
        late(late_ctx);
    }
    return NULL;
}

/* Detached: a job that hangs in a plugin can never be joined. */
static bool start_thread(jobs *j)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;
    bool ok;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    ok = pthread_create(&thread, &attr, serve, j) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    j->threads += ok;
    return ok;
}

bool jobs_add(jobs *j, void (*fn)(void *ctx), void *ctx)
{
    bool taken = false;

    pthread_mutex_lock(&j->lock);
    if (j->stopping || j->count == j->cap)
        goto out;
    if (j->idle <= j->count && j->threads < j->max_threads)
        start_thread(j);
    if (!j->threads)
        goto out;
    j->ring[(j->first + j->count++) % j->cap] = (job){fn, ctx};
    pthread_cond_signal(&j->work);
    taken = true;
out:
    pthread_mutex_unlock(&j->lock);
    return taken;
}

bool jobs_stop(jobs *j, int64_t deadline_ns, void (*drop)(void *ctx), void (*late)(void *late_ctx),
               void *late_ctx)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                             .tv_nsec = (long)(deadline_ns % 1000000000)};
    bool timed_out = false, empty;

    pthread_mutex_lock(&j->lock);
    j->stopping = true;
    pthread_cond_broadcast(&j->work);
    while (j->threads && !timed_out)
        timed_out = pthread_cond_timedwait(&j->quieter, &j->lock, &until) != 0;
    while (j->count) {
        job next = j->ring[j->first];

        j->first = (j->first + 1) % j->cap;
        j->count--;
        pthread_mutex_unlock(&j->lock);
        drop(next.ctx);
        pthread_mutex_lock(&j->lock);
    }
    empty = !j->threads;
    if (!empty) {
        j->late = late;
        j->late_ctx = late_ctx;
    }
    pthread_mutex_unlock(&j->lock);
    if (empty)
        jobs_free(j);
    return empty;
}

unsigned jobs_running(jobs *j)
{
    unsigned running;

    pthread_mutex_lock(&j->lock);
    running = j->running;
    pthread_mutex_unlock(&j->lock);
    return running;
}
