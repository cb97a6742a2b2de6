/* SPDX-License-Identifier: Apache-2.0 */
/* The thread on which nodes run, and what other threads hand to it. */
#include "mesh/mesh_private.h"

#include "base/error.h"
#include "daemon/dispatcher.h"
#include "daemon/latch.h"

#include <signal.h>
#include <stdlib.h>

/* A call that another thread waits for. */
typedef struct errand {
    struct errand *next;
    void (*fn)(void *ctx);
    void *ctx;
    latch done;
} errand;

struct mesh_loop {
    atomic_uint refs;
    uv_loop_t uv;
    uv_async_t async;
    pthread_t thread;
    pthread_mutex_t lock;
    errand *errands; /* [lock] newest first */
    bool stop;       /* [lock] */
};

static void run_errands(mesh_loop *l)
{
    errand *list, *oldest = NULL;

    pthread_mutex_lock(&l->lock);
    list = l->errands;
    l->errands = NULL;
    pthread_mutex_unlock(&l->lock);
    while (list) {
        errand *next = list->next;

        list->next = oldest;
        oldest = list;
        list = next;
    }
    while (oldest) {
        errand *e = oldest;

        oldest = e->next; /* e is gone once it is answered */
        e->fn(e->ctx);
        latch_answer(&e->done, BERTH_OK, NULL);
    }
}

static void on_async(uv_async_t *a)
{
    mesh_loop *l = a->data;
    bool stop;

    run_errands(l);
    pthread_mutex_lock(&l->lock);
    stop = l->stop;
    pthread_mutex_unlock(&l->lock);
    if (stop)
        uv_close((uv_handle_t *)a, NULL);
}

static void *run(void *arg)
{
    mesh_loop *l = arg;

    dispatcher_enter(true); /* what waits for a daemon would stop the mesh */
    uv_run(&l->uv, UV_RUN_DEFAULT);
    return NULL;
}

berth_status mesh_loop_new(mesh_loop **out, berth_error *error)
{
    mesh_loop *l = calloc(1, sizeof *l);
    sigset_t all, before;
    int e;

    *out = NULL;
    if (!l || uv_loop_init(&l->uv)) {
        free(l);
        return fail(error, BERTH_ERR_NO_MEMORY, "cannot make the mesh's loop");
    }
    atomic_init(&l->refs, 1);
    pthread_mutex_init(&l->lock, NULL);
    uv_async_init(&l->uv, &l->async, on_async);
    l->async.data = l;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    e = pthread_create(&l->thread, NULL, run, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e) {
        uv_close((uv_handle_t *)&l->async, NULL);
        uv_run(&l->uv, UV_RUN_DEFAULT);
        uv_loop_close(&l->uv);
        pthread_mutex_destroy(&l->lock);
        free(l);
        return fail_errno(error, e, "cannot start the mesh's thread");
    }
    (void)pthread_setname_np(l->thread, "berth-mesh");
    *out = l;
    return BERTH_OK;
}

mesh_loop *mesh_loop_ref(mesh_loop *l)
{
    atomic_fetch_add(&l->refs, 1);
    return l;
}

void mesh_loop_unref(mesh_loop *l)
{
    if (!l || atomic_fetch_sub(&l->refs, 1) != 1)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_mutex_unlock(&l->lock);
    uv_async_send(&l->async);
    pthread_join(l->thread, NULL);
    uv_loop_close(&l->uv);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

uv_loop_t *mesh_loop_uv(mesh_loop *l)
{
    return &l->uv;
}

bool mesh_loop_inside(const mesh_loop *l)
{
    return pthread_equal(l->thread, pthread_self());
}

void mesh_loop_call(mesh_loop *l, void (*fn)(void *ctx), void *ctx)
{
    errand e = {.fn = fn, .ctx = ctx};

    if (mesh_loop_inside(l)) {
        fn(ctx);
        return;
    }
    latch_init(&e.done, 1);
    pthread_mutex_lock(&l->lock);
    e.next = l->errands;
    l->errands = &e;
    pthread_mutex_unlock(&l->lock);
    uv_async_send(&l->async);
    latch_wait(&e.done, NULL);
    latch_fini(&e.done);
}

/* ---- Tasks of one mesh ----------------------------------------------------------------------- */

void mesh_post(mesh *m, mesh_task *t)
{
    bool first = false, ended;

    t->next = NULL;
    pthread_mutex_lock(&m->task_lock);
    ended = m->ended;
    if (!ended) {
        first = !m->task_head;
        *(first ? &m->task_head : &m->task_tail->next) = t;
        m->task_tail = t;
        if (first && m->async_there)
            uv_async_send(&m->async);
    }
    pthread_mutex_unlock(&m->task_lock);
    if (ended)
        t->run(m, t, true);
}

void mesh_wake(mesh *m)
{
    pthread_mutex_lock(&m->task_lock);
    if (m->async_there)
        uv_async_send(&m->async);
    pthread_mutex_unlock(&m->task_lock);
}

void mesh_run_tasks(mesh *m)
{
    mesh_task *list;
    bool ended;

    pthread_mutex_lock(&m->task_lock);
    list = m->task_head;
    m->task_head = m->task_tail = NULL;
    ended = m->ended;
    pthread_mutex_unlock(&m->task_lock);
    while (list) {
        mesh_task *t = list;

        list = t->next;
        t->run(m, t, ended);
    }
}

typedef struct question {
    mesh *m;
    void (*fn)(mesh *m, void *ctx);
    void *ctx;
} question;

static void ask(void *ctx)
{
    question *q = ctx;
    const log_capture *before = log_set_capture(q->m->log);

    q->fn(q->m, q->ctx);
    log_set_capture(before);
}

/* After the end nothing runs on the loop for m any more, but the loop's thread still orders what
 * looks at it. */
void mesh_ask(mesh *m, void (*fn)(mesh *m, void *ctx), void *ctx)
{
    question q = {m, fn, ctx};

    mesh_loop_call(m->loop, ask, &q);
}
