/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime's clock: a libuv loop on a thread of its own, that calls what is due. */
#include "daemon/runtime_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <signal.h>
#include <stdlib.h>
#include <uv.h>

struct loop {
    const log_capture *log;
    runtime *rt;
    uv_loop_t uv;
    uv_async_t async;
    uv_timer_t dues, watchdog, status;
    uv_thread_t thread;
    atomic_bool stop;
};

static uint64_t to_ms(int64_t ns)
{
    return ns <= 0 ? 0 : ((uint64_t)ns + 999999) / 1000000;
}

static void arm(loop *l);

static void on_due(uv_timer_t *t)
{
    loop *l = t->data;
    runtime_tick(l->rt, clock_mono_ns());
    arm(l);
}

/* How often daemons that wait too long are looked for. */
#define PATROL_MS 100

static void arm(loop *l)
{
    pthread_mutex_lock(&l->rt->due_lock);
    int64_t next = heap_next(&l->rt->dues);
    pthread_mutex_unlock(&l->rt->due_lock);
    uint64_t ms = PATROL_MS;
    if (next != INT64_MAX && to_ms(next - clock_mono_ns()) < ms)
        ms = to_ms(next - clock_mono_ns());
    uv_timer_start(&l->dues, on_due, ms, 0);
}

static void on_async(uv_async_t *a)
{
    loop *l = a->data;
    if (!atomic_load(&l->stop)) {
        arm(l);
        return;
    }
    uv_close((uv_handle_t *)&l->async, NULL);
    uv_close((uv_handle_t *)&l->dues, NULL);
    uv_close((uv_handle_t *)&l->watchdog, NULL);
    uv_close((uv_handle_t *)&l->status, NULL);
}

static void overran(void *ctx, uint64_t origin, int64_t since)
{
    runtime *rt = ctx;
    struct daemon *d = registry_get(&rt->registry, origin);
    if (!d)
        return;
    atomic_fetch_add_explicit(&d->overruns, 1, memory_order_relaxed);
    atomic_store_explicit(&d->busy_since_ns, since, memory_order_relaxed);
    /* One line a minute and daemon: on a busy machine a thread that lost its core looks the same.
     */
    int64_t before = d->overrun_told_ns;
    if (!before || since - before > 60000000000) {
        d->overrun_told_ns = since;
        log_warn("daemon", "%s: a call takes longer than %lld ms; other daemons go on beside it",
                 d->name, (long long)(rt->limits.call_budget_ns / 1000000));
    }
    daemon_unref(d);
}

static void on_watchdog(uv_timer_t *t)
{
    runtime *rt = ((loop *)t->data)->rt;
    dispatcher_watch(rt->dispatcher, clock_mono_ns(), rt->limits.call_budget_ns, overran, rt);
}

static void on_status(uv_timer_t *t)
{
    status_poll(((loop *)t->data)->rt);
}

static void run(void *arg)
{
    loop *l = arg;
    dispatcher_enter(true);
    log_set_capture(l->log);
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_wake(runtime *rt)
{
    if (rt->loop)
        uv_async_send(&rt->loop->async);
}

berth_status loop_start(runtime *rt, berth_error *error)
{
    loop *l = calloc(1, sizeof(*l));
    if (!l || uv_loop_init(&l->uv)) {
        free(l);
        return fail(error, BERTH_ERR_NO_MEMORY, "cannot start the runtime's clock");
    }
    l->rt = rt;
    l->log = log_get_capture();
    uv_async_init(&l->uv, &l->async, on_async);
    uv_timer_init(&l->uv, &l->dues);
    uv_timer_init(&l->uv, &l->watchdog);
    uv_timer_init(&l->uv, &l->status);
    l->async.data = l->dues.data = l->watchdog.data = l->status.data = l;
    uint64_t half = to_ms(rt->limits.call_budget_ns / 2);
    uv_timer_start(&l->watchdog, on_watchdog, half ? half : 1, half ? half : 1);
    uint64_t period = to_ms(rt->limits.status_period_ns);
    uv_timer_start(&l->status, on_status, period ? period : 1, period ? period : 1);
    uv_timer_start(&l->dues, on_due, PATROL_MS, 0);
    rt->loop = l;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int e = uv_thread_create(&l->thread, run, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e) {
        atomic_store(&l->stop, true);
        uv_async_send(&l->async);
        run(l);
        dispatcher_enter(false);
        uv_loop_close(&l->uv);
        free(l);
        rt->loop = NULL;
        return fail(error, BERTH_ERR_NO_MEMORY, "cannot start the runtime's clock: %s",
                    uv_strerror(e));
    }
    return BERTH_OK;
}

void loop_stop(runtime *rt)
{
    loop *l = rt->loop;
    if (!l)
        return;
    atomic_store(&l->stop, true);
    uv_async_send(&l->async);
    uv_thread_join(&l->thread);
    uv_loop_close(&l->uv);
    rt->loop = NULL;
    free(l);
}
