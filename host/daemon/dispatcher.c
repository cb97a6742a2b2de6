/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/dispatcher.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define STACK_BYTES (8u << 20)

typedef struct queue {
    pthread_mutex_t lock;
    task *head, *tail;
    size_t count;
} queue;

typedef struct worker {
    dispatcher *owner;
    pthread_t thread;
    runner *run;
    unsigned home; /* its queue */
    bool compensating;
    bool finished; /* under idle_lock */
    bool empty;    /* no thread to join */
} worker;

struct dispatcher {
    const log_capture *log;
    queue *queues;
    unsigned threads;
    atomic_uint next_queue; /* for tasks from outside */
    atomic_uint pushing;    /* threads of others that are inside dispatcher_push */
    _Atomic uint64_t pending;
    _Atomic uint64_t steals;

    pthread_mutex_t idle_lock;
    pthread_cond_t idle_cond;
    pthread_cond_t left_cond;
    atomic_uint sleeping;
    bool stop;        /* under idle_lock */
    unsigned alive;   /* threads that have not left, under idle_lock */
    unsigned surplus; /* compensating threads, under idle_lock */
    unsigned stuck;   /* runners found stuck at the last look, under idle_lock */
    worker *workers;
    size_t worker_count, worker_cap;

    pthread_mutex_t runner_lock;
    runner *runners, *free_runners;
};

static _Thread_local worker *current_worker;
static _Thread_local bool inside;

bool dispatcher_inside(void)
{
    return inside;
}

bool dispatcher_enter(bool now)
{
    bool before = inside;
    inside = now;
    return before;
}

runner *dispatcher_borrow(dispatcher *d)
{
    pthread_mutex_lock(&d->runner_lock);
    runner *r = d->free_runners;
    if (r)
        d->free_runners = r->next_free;
    pthread_mutex_unlock(&d->runner_lock);
    if (r)
        return r;
    r = calloc(1, sizeof(*r));
    if (!r || !(r->scratch = inline_scratch_new())) {
        free(r);
        return NULL;
    }
    pthread_mutex_lock(&d->runner_lock);
    r->next = d->runners;
    d->runners = r;
    pthread_mutex_unlock(&d->runner_lock);
    return r;
}

void dispatcher_return(dispatcher *d, runner *r)
{
    pthread_mutex_lock(&d->runner_lock);
    r->next_free = d->free_runners;
    d->free_runners = r;
    pthread_mutex_unlock(&d->runner_lock);
}

static void wake_one(dispatcher *d)
{
    pthread_mutex_lock(&d->idle_lock);
    pthread_cond_signal(&d->idle_cond);
    pthread_mutex_unlock(&d->idle_lock);
}

void dispatcher_push(dispatcher *d, task *t)
{
    bool ours = current_worker && current_worker->owner == d;
    /* Once the task is queued it may run, and be the last: dispatcher_free waits for us. */
    if (!ours)
        atomic_fetch_add(&d->pushing, 1);
    unsigned home =
        ours ? current_worker->home
             : atomic_fetch_add_explicit(&d->next_queue, 1, memory_order_relaxed) % d->threads;
    queue *q = &d->queues[home];
    t->next = NULL;
    pthread_mutex_lock(&q->lock);
    if (q->tail)
        q->tail->next = t;
    else
        q->head = t;
    q->tail = t;
    q->count++;
    pthread_mutex_unlock(&q->lock);
    /* Either this load sees the sleeper, or the sleeper, who counted itself first, sees the task.
     */
    atomic_fetch_add(&d->pending, 1);
    if (atomic_load(&d->sleeping))
        wake_one(d);
    if (!ours)
        atomic_fetch_sub(&d->pushing, 1);
}

static task *take(queue *q)
{
    pthread_mutex_lock(&q->lock);
    task *t = q->head;
    if (t) {
        q->head = t->next;
        if (!q->head)
            q->tail = NULL;
        q->count--;
    }
    pthread_mutex_unlock(&q->lock);
    return t;
}

/* Half of a victim's queue, rounded up: the first to run now, the others to our own queue. */
static task *steal(dispatcher *d, unsigned home)
{
    for (unsigned i = 1; i < d->threads; i++) {
        queue *victim = &d->queues[(home + i) % d->threads];
        pthread_mutex_lock(&victim->lock);
        size_t want = (victim->count + 1) / 2;
        task *first = victim->head, *last = first;
        for (size_t n = 1; n < want; n++)
            last = last->next;
        if (first) {
            victim->head = last->next;
            if (!victim->head)
                victim->tail = NULL;
            victim->count -= want;
            last->next = NULL;
        }
        pthread_mutex_unlock(&victim->lock);
        if (!first)
            continue;
        atomic_fetch_add_explicit(&d->steals, 1, memory_order_relaxed);
        if (first != last) {
            queue *own = &d->queues[home];
            pthread_mutex_lock(&own->lock);
            last->next = own->head;
            own->head = first->next;
            if (!own->tail)
                own->tail = last;
            own->count += want - 1;
            pthread_mutex_unlock(&own->lock);
        }
        return first;
    }
    return NULL;
}

/* Waits until there may be work. False: this thread is to leave. */
static bool idle(dispatcher *d, worker *w)
{
    bool stay = true;
    pthread_mutex_lock(&d->idle_lock);
    atomic_fetch_add(&d->sleeping, 1);
    while (!atomic_load(&d->pending)) {
        if (d->stop || (w->compensating && d->surplus > d->stuck)) {
            stay = false;
            break;
        }
        pthread_cond_wait(&d->idle_cond, &d->idle_lock);
    }
    atomic_fetch_sub(&d->sleeping, 1);
    pthread_mutex_unlock(&d->idle_lock);
    return stay;
}

static void *work(void *arg)
{
    worker *w = arg;
    dispatcher *d = w->owner;
    current_worker = w;
    inside = true;
    log_set_capture(d->log);
    for (;;) {
        task *t = take(&d->queues[w->home]);
        if (!t)
            t = steal(d, w->home);
        if (t) {
            atomic_fetch_sub(&d->pending, 1);
            t->run(t, w->run);
        } else if (!idle(d, w)) {
            break;
        }
    }
    dispatcher_return(d, w->run);
    pthread_mutex_lock(&d->idle_lock);
    w->finished = true;
    d->alive--;
    if (w->compensating)
        d->surplus--;
    pthread_cond_broadcast(&d->left_cond);
    pthread_mutex_unlock(&d->idle_lock);
    return NULL;
}

/* Under idle_lock, but at the start. A slot of a finished thread is used again. */
static berth_status add_worker(dispatcher *d, unsigned home, bool compensating)
{
    worker *w = NULL;
    for (size_t i = 0; i < d->worker_count && !w; i++)
        if (d->workers[i].finished || d->workers[i].empty) {
            w = &d->workers[i];
            if (!w->empty)
                pthread_join(w->thread, NULL);
        }
    if (!w)
        w = &d->workers[d->worker_count];
    *w = (worker){.owner = d, .home = home, .compensating = compensating, .empty = true};
    w->run = dispatcher_borrow(d);
    if (!w->run)
        return BERTH_ERR_NO_MEMORY;
    pthread_attr_t attr;
    sigset_t all, before;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int e = pthread_create(&w->thread, &attr, work, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (e) {
        dispatcher_return(d, w->run);
        w->run = NULL;
        return BERTH_ERR_NO_MEMORY;
    }
    pthread_setname_np(w->thread, "berth-run");
    w->empty = false;
    if (w == &d->workers[d->worker_count])
        d->worker_count++;
    d->alive++;
    if (compensating)
        d->surplus++;
    return BERTH_OK;
}

berth_status dispatcher_new(unsigned threads, dispatcher **out, berth_error *error)
{
    dispatcher *d = calloc(1, sizeof(*d));
    if (!d)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    d->log = log_get_capture();
    d->threads = threads;
    d->worker_cap = threads + DISPATCHER_COMPENSATING;
    d->queues = calloc(threads, sizeof(*d->queues));
    d->workers = calloc(d->worker_cap, sizeof(*d->workers));
    pthread_mutex_init(&d->idle_lock, NULL);
    pthread_mutex_init(&d->runner_lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&d->idle_cond, NULL);
    pthread_cond_init(&d->left_cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    berth_status status = d->queues && d->workers ? BERTH_OK : BERTH_ERR_NO_MEMORY;
    for (unsigned i = 0; d->queues && i < threads; i++)
        pthread_mutex_init(&d->queues[i].lock, NULL);
    pthread_mutex_lock(&d->idle_lock);
    for (unsigned i = 0; status == BERTH_OK && i < threads; i++)
        status = add_worker(d, i, false);
    pthread_mutex_unlock(&d->idle_lock);
    if (status != BERTH_OK) {
        fail(error, status, "cannot start %u dispatcher threads: lower 'threads'", threads);
        dispatcher_free(d, INT64_MAX);
        return status;
    }
    *out = d;
    return BERTH_OK;
}

void dispatcher_watch(dispatcher *d, int64_t now, int64_t budget,
                      void (*stuck)(void *ctx, uint64_t origin, int64_t since_ns), void *ctx)
{
    unsigned found = 0;
    pthread_mutex_lock(&d->runner_lock);
    runner *all = d->runners; /* runners are never taken off this list while the pool lives */
    pthread_mutex_unlock(&d->runner_lock);
    for (runner *r = all; r; r = r->next) {
        uint64_t calls = atomic_load_explicit(&r->calls, memory_order_relaxed);
        uint64_t origin = atomic_load_explicit(&r->origin, memory_order_relaxed);
        if (!origin || calls != r->seen_calls) {
            r->seen_calls = calls;
            r->seen_ns = now;
            r->marked = false;
            continue;
        }
        if (now - r->seen_ns < budget)
            continue;
        found++;
        if (!r->marked) {
            r->marked = true;
            stuck(ctx, origin, r->seen_ns);
        }
    }
    pthread_mutex_lock(&d->idle_lock);
    d->stuck = found;
    if (d->surplus > found)
        pthread_cond_broadcast(&d->idle_cond);
    while (!d->stop && d->surplus < found && d->surplus < DISPATCHER_COMPENSATING)
        if (add_worker(d, d->surplus % d->threads, true) != BERTH_OK)
            break;
    pthread_mutex_unlock(&d->idle_lock);
}

bool dispatcher_free(dispatcher *d, int64_t deadline)
{
    struct timespec until = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};
    pthread_mutex_lock(&d->idle_lock);
    d->stop = true;
    pthread_cond_broadcast(&d->idle_cond);
    while (d->alive)
        if (pthread_cond_timedwait(&d->left_cond, &d->idle_lock, &until))
            break;
    bool gone = d->alive == 0;
    pthread_mutex_unlock(&d->idle_lock);
    if (!gone)
        return false;
    for (size_t i = 0; i < d->worker_count; i++)
        if (!d->workers[i].empty)
            pthread_join(d->workers[i].thread, NULL);
    while (atomic_load(&d->pushing))
        sched_yield();
    while (d->runners) {
        runner *r = d->runners;
        d->runners = r->next;
        inline_scratch_free(r->scratch);
        free(r);
    }
    for (unsigned i = 0; d->queues && i < d->threads; i++)
        pthread_mutex_destroy(&d->queues[i].lock);
    pthread_cond_destroy(&d->idle_cond);
    pthread_cond_destroy(&d->left_cond);
    pthread_mutex_destroy(&d->idle_lock);
    pthread_mutex_destroy(&d->runner_lock);
    free(d->queues);
    free(d->workers);
    free(d);
    return true;
}

void dispatcher_get_stats(dispatcher *d, dispatcher_stats *out)
{
    pthread_mutex_lock(&d->idle_lock);
    *out = (dispatcher_stats){.threads = d->threads,
                              .compensating = d->surplus,
                              .steals = atomic_load_explicit(&d->steals, memory_order_relaxed)};
    pthread_mutex_unlock(&d->idle_lock);
}
