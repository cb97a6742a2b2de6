/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon comes from another host. It goes on exactly where it was: same incarnation, same chain,
 * next link. As soon as it is ours it runs; but until that is on disk no output of it leaves, so
 * that a host which crashes in between, and begins again from what it was sent, contradicts nobody.
 */
#include "daemon/arrival.h"
#include "daemon/held.h"

#include "base/error.h"
#include "base/log.h"

#include <stdlib.h>

factory *arrival_expected(runtime *rt, uint64_t origin, berth_daemon_config *config)
{
    factory *f = factories_get(&rt->factories, origin);
    if (f && (!f->expected || !factories_remove(&rt->factories, f))) {
        factory_unref(f);
        f = NULL;
    }
    if (f && f->durability)
        config->durability = f->durability;
    if (f && f->auto_snapshot)
        config->auto_snapshot = f->auto_snapshot;
    return f;
}

berth_status arrival_made(arrival *x, runtime *rt, berth_status status, runner *on, arrival **out)
{
    if (on)
        dispatcher_return(rt->dispatcher, on);
    *out = status == BERTH_OK ? x : NULL;
    if (status == BERTH_OK || !x)
        return status;
    arrival_expect_again(x, rt);
    arrival_drop(x);
    return status;
}

void arrival_is_whole(arrival *x)
{
    struct daemon *d = x->d;
    x->limit = d->sequence_limit;
    if (d->rt->store) {
        d->sequence_limit = d->chain.head.sequence;
        d->reserving = true;
    }
    atomic_store(&d->moved_in, true);
}

berth_status arrival_build(runtime *rt, const arrival_spec *spec, arrival **out, berth_error *error)
{
    berth_daemon_config config;
    slice wants;
    uint32_t count;
    berth_status status = runtime_check(rt, true, error);
    *out = NULL;
    if (status == BERTH_OK)
        status = moving_make_read(spec->make, &config, &wants, error);
    if (status == BERTH_OK)
        status = held_read(spec->held, NULL, NULL, &count, error);
    if (status != BERTH_OK)
        return status;
    arrival *x = calloc(1, sizeof(*x));
    runner *on = x ? dispatcher_borrow(rt->dispatcher) : NULL;
    if (!on || !(x->container = buf_copy(spec->container.ptr, spec->container.len)) ||
        (spec->held.len && !(x->held = buf_copy(spec->held.ptr, spec->held.len))))
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (status == BERTH_OK) {
        spawn_wish wish = {
            .kind = spec->kind,
            .identity = spec->identity,
            .config = &config,
            .snapshot = slice_of(x->container->data, x->container->len),
            .epoch = spec->epoch,
            .wants = wants,
            .came = spec->came,
        };
        x->expected = arrival_expected(rt, spec->identity->origin, &config);
        status = spawn_build(rt, &wish, on, &x->d, error);
    }
    if (status == BERTH_OK)
        arrival_is_whole(x);
    return arrival_made(x, rt, status, on, out);
}

typedef struct row_call {
    const arrival *x;
    void (*fn)(void *ctx, const store_daemon *row, uint64_t incarnation, uint64_t sequence,
               buf *container);
    void *ctx;
} row_call;

static void with_row(void *ctx, const store_daemon *row)
{
    const row_call *c = ctx;
    store_daemon with_limit = *row;
    with_limit.sequence_limit = c->x->limit;
    c->fn(c->ctx, &with_limit, row->incarnation, c->x->d->chain.head.sequence, c->x->container);
}

berth_status arrival_row(arrival *x,
                         void (*fn)(void *ctx, const store_daemon *row, uint64_t incarnation,
                                    uint64_t sequence, buf *container),
                         void *ctx, berth_error *error)
{
    row_call c = {x, fn, ctx};
    return spawn_row(x->d, with_row, &c, error);
}

static void put_held(void *ctx, batch *b)
{
    if (mailbox_put((struct daemon *)ctx, b, MAIL_SYSTEM, NULL) != BERTH_OK)
        batch_free(b);
}

void arrival_drop(arrival *x)
{
    buf_unref(x->container);
    buf_unref(x->held);
    if (x->expected)
        factory_unref(x->expected);
    free(x);
}

void arrival_expect_again(arrival *x, runtime *rt)
{
    if (x->expected) /* unless somebody else has its place by now */
        factories_add(&rt->factories, x->expected, NULL);
}

/* The runner's. */
static void speak_now(command *c, struct daemon *d)
{
    (void)c;
    d->quiet = false;
    if (d->link)
        d->rt->route.hush(d->rt->route.ctx, d->link, false, d->epoch);
}

static void free_command(command *c, struct daemon *d)
{
    (void)d;
    free(c);
}

/* Its link speaks from its first turn on, when others can find it here. */
static berth_status publish(struct daemon *d, runner *on, berth_error *error)
{
    command *c = calloc(1, sizeof(*c));
    if (!c) {
        spawn_abandon(d, on);
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    *c = (command){.kind = COMMAND_CALL, .fn = speak_now, .done = free_command};
    daemon_ref(d);
    berth_status status = spawn_publish(d, BERTH_START_MIGRATED, on, error);
    if (status != BERTH_OK || !mailbox_command(d, c))
        free(c);
    daemon_unref(d);
    return status;
}

berth_status arrival_open(arrival *x, berth_error *error)
{
    struct daemon *d = daemon_ref(x->d);
    runtime *rt = d->rt;
    runner *on = dispatcher_borrow(rt->dispatcher);
    uint32_t count;
    berth_status status;
    if (!on) {
        daemon_unref(d);
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    status = x->held ? held_read(slice_of(x->held->data, x->held->len), put_held, d, &count, error)
                     : BERTH_OK;
    if (status == BERTH_OK)
        status = publish(d, on, error);
    else
        spawn_abandon(d, on);
    dispatcher_return(rt->dispatcher, on);
    if (status != BERTH_OK) {
        arrival_expect_again(x, rt);
        daemon_unref(d);
        arrival_drop(x);
    }
    return status;
}

/* The runner's. */
static void may_leave(command *c, struct daemon *d)
{
    const arrival *x = (const arrival *)c;
    d->reserving = false;
    if (x->begun && d->make->durability != DURABILITY_VOLATILE)
        d->want_snapshot = true; /* what is kept of it is older than what it is */
    if (d->sequence_limit < x->limit)
        d->sequence_limit = x->limit;
    keep_reserve(d);
}

static void kept(command *c, struct daemon *d)
{
    (void)d;
    arrival_drop((arrival *)c);
}

void arrival_kept(arrival *x)
{
    struct daemon *d = x->d;
    x->command = (command){.kind = COMMAND_CALL, .fn = may_leave, .done = kept};
    if (!mailbox_command(d, &x->command))
        arrival_drop(x);
    daemon_unref(d);
}

void arrival_abandon(arrival *x)
{
    struct daemon *d = x->d;
    runtime *rt = d->rt;
    runner *on = dispatcher_borrow(rt->dispatcher);
    /* An instance can be destroyed only with a runner; without one it stays until the host ends. */
    if (on) {
        spawn_abandon(d, on);
        dispatcher_return(rt->dispatcher, on);
        arrival_expect_again(x, rt);
    } else {
        log_error("daemon", "%s: out of memory: what came of it stays", d->name);
    }
    arrival_drop(x);
}
