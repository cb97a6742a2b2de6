/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/daemon_async.h: instances that answer later, from another thread.
 *
 * What a worker process will be to the daemon room, without the process: every call is handed to
 * a thread of a small pool, which runs inline_ops over it and answers when it likes. What a caller
 * lends only until the answer is read only then, so a caller that takes it back early is found.
 */
#ifndef TESTS_DAEMON_ASYNC_H
#define TESTS_DAEMON_ASYNC_H

#include "daemon/dispatcher.h"
#include "daemon/inline.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define ASYNC_THREADS 2

typedef struct async_instance {
    instance base; /* first */
    instance *inner;
} async_instance;

typedef struct async_job async_job;
struct async_job {
    async_job *next;
    void (*go)(async_job *j, runner *on);
    async_instance *i;
    const instance_spec *spec;
    instance_run *run;
    uint32_t want;
    uint64_t max_state;
    union {
        instance_created *created;
        instance_snapshot_done *snapshot;
        instance_status_done *status;
        void (*destroyed)(void *ctx);
    } done;
    void *ctx;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    async_job *head, *tail;
    bool stop;
    unsigned seed;
    pthread_t threads[ASYNC_THREADS];
    atomic_long answers;
} async_pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void *async_work(void *arg)
{
    runner on = {.scratch = inline_scratch_new()};
    unsigned seed = *(unsigned *)arg;
    dispatcher_enter(true);
    pthread_mutex_lock(&async_pool.lock);
    for (;;) {
        async_job *j = async_pool.head;
        if (!j && async_pool.stop)
            break;
        if (!j) {
            pthread_cond_wait(&async_pool.cond, &async_pool.lock);
            continue;
        }
        async_pool.head = j->next;
        if (!async_pool.head)
            async_pool.tail = NULL;
        pthread_mutex_unlock(&async_pool.lock);
        /* At times before the asker has left, at times after. */
        for (unsigned n = rand_r(&seed) % 8; n > 0; n--)
            sched_yield();
        j->go(j, &on);
        atomic_fetch_add(&async_pool.answers, 1);
        free(j);
        pthread_mutex_lock(&async_pool.lock);
    }
    pthread_mutex_unlock(&async_pool.lock);
    inline_scratch_free(on.scratch);
    return NULL;
}

static inline void async_start(void)
{
    static unsigned seeds[ASYNC_THREADS];
    async_pool.stop = false;
    for (unsigned i = 0; i < ASYNC_THREADS; i++) {
        seeds[i] = ++async_pool.seed;
        pthread_create(&async_pool.threads[i], NULL, async_work, &seeds[i]);
    }
}

static inline void async_stop(void)
{
    pthread_mutex_lock(&async_pool.lock);
    async_pool.stop = true;
    pthread_cond_broadcast(&async_pool.cond);
    pthread_mutex_unlock(&async_pool.lock);
    for (unsigned i = 0; i < ASYNC_THREADS; i++)
        pthread_join(async_pool.threads[i], NULL);
}

static instance_answer async_later(async_job job)
{
    async_job *j = malloc(sizeof(*j));
    *j = job;
    j->next = NULL;
    pthread_mutex_lock(&async_pool.lock);
    if (async_pool.tail)
        async_pool.tail->next = j;
    else
        async_pool.head = j;
    async_pool.tail = j;
    pthread_cond_signal(&async_pool.cond);
    pthread_mutex_unlock(&async_pool.lock);
    return INSTANCE_PENDING;
}

extern const instance_ops async_ops;

static void async_made(void *ctx, berth_status status, instance *made, const berth_error *error)
{
    async_job *j = ctx;
    async_instance *i = NULL;
    if (status == BERTH_OK) {
        i = calloc(1, sizeof(*i));
        i->base.ops = &async_ops;
        i->inner = made;
    }
    j->done.created(j->ctx, status, i ? &i->base : NULL, error);
}

static void async_do_create(async_job *j, runner *on)
{
    inline_ops.create(j->spec, on, async_made, j);
}

static instance_answer async_create(const instance_spec *spec, runner *on, instance_created *done,
                                    void *ctx)
{
    (void)on;
    return async_later(
        (async_job){.go = async_do_create, .spec = spec, .done.created = done, .ctx = ctx});
}

/* inline_ops.run looks at run->on: give it a run of ours that passes everything on. */
typedef struct async_run {
    instance_run run; /* first */
    instance_run *outer;
} async_run;

static const berth_event *async_next(instance_run *run)
{
    instance_run *outer = ((async_run *)run)->outer;
    return outer->next(outer);
}

static void async_result(instance_run *run, berth_code code, effects *recorded, slice text)
{
    instance_run *outer = ((async_run *)run)->outer;
    outer->result(outer, code, recorded, text);
}

static bool async_request_in_use(void *run, uint64_t request)
{
    instance_run *outer = ((async_run *)run)->outer;
    return outer->request_in_use(outer, request);
}

static void async_do_run(async_job *j, runner *on)
{
    async_run shim = {{async_next, async_result, async_request_in_use, NULL, on, j->run->limits},
                      j->run};
    inline_ops.run(j->i->inner, &shim.run);
    j->run->finished(j->run);
}

static instance_answer async_run_events(instance *i, instance_run *run)
{
    return async_later((async_job){.go = async_do_run, .i = (async_instance *)i, .run = run});
}

static void async_do_snapshot(async_job *j, runner *on)
{
    inline_ops.snapshot(j->i->inner, on, j->want, j->max_state, j->done.snapshot, j->ctx);
}

static instance_answer async_snapshot(instance *i, runner *on, uint32_t want, uint64_t max_state,
                                      instance_snapshot_done *done, void *ctx)
{
    (void)on;
    return async_later((async_job){.go = async_do_snapshot,
                                   .i = (async_instance *)i,
                                   .want = want,
                                   .max_state = max_state,
                                   .done.snapshot = done,
                                   .ctx = ctx});
}

static void async_do_status(async_job *j, runner *on)
{
    inline_ops.status(j->i->inner, on, j->done.status, j->ctx);
}

static instance_answer async_status(instance *i, runner *on, instance_status_done *done, void *ctx)
{
    (void)on;
    return async_later((async_job){
        .go = async_do_status, .i = (async_instance *)i, .done.status = done, .ctx = ctx});
}

static void async_do_destroy(async_job *j, runner *on)
{
    async_instance *i = j->i;
    instance *inner = i->inner;
    free(i);
    inner->ops->destroy(inner, on, j->done.destroyed, j->ctx);
}

static instance_answer async_destroy(instance *i, runner *on, void (*done)(void *ctx), void *ctx)
{
    (void)on;
    return async_later((async_job){
        .go = async_do_destroy, .i = (async_instance *)i, .done.destroyed = done, .ctx = ctx});
}

const instance_ops async_ops = {
    .create = async_create,
    .run = async_run_events,
    .snapshot = async_snapshot,
    .status = async_status,
    .destroy = async_destroy,
};

#endif
