/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon comes while it still runs elsewhere. An instance is made of its state as it was, runs
 * again what it ran there since, and has become what it is there when the last of that has come.
 * All that the host keeps of it goes along as it is then; of what the instance does, only the chain
 * is kept, which tells whether it did the same.
 */
#include "daemon/arrival.h"
#include "daemon/executed.h"
#include "daemon/held.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

/* ---- Beginning ------------------------------------------------------------------------------- */

/* The key may be registered here; else all that is known is whom it belongs to. */
static berth_keypair known_key(const arrival_base *base, const factory *expected)
{
    if (expected && expected->has_key)
        return expected->key;
    berth_keypair key = {.origin = berth_entity_origin(base->entity)};
    memcpy(key.entity, base->entity, sizeof(key.entity));
    return key;
}

berth_status arrival_begin(runtime *rt, const arrival_base *base, arrival **out, berth_error *error)
{
    berth_daemon_config config;
    slice wants;
    berth_status status = runtime_check(rt, true, error);
    *out = NULL;
    if (status == BERTH_OK)
        status = moving_make_read(base->make, &config, &wants, error);
    if (status != BERTH_OK)
        return status;
    arrival *x = calloc(1, sizeof(*x));
    runner *on = x ? dispatcher_borrow(rt->dispatcher) : NULL;
    if (!on) {
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    } else {
        x->begun = true;
        x->expected = arrival_expected(rt, berth_entity_origin(base->entity), &config);
        berth_keypair key = known_key(base, x->expected);
        spawn_wish wish = {
            .kind = base->kind,
            .identity = &key,
            .config = &config,
            .snapshot = base->container,
            .epoch = base->epoch,
            .rehearsal = true,
        };
        status = spawn_rehearse(rt, &wish, on, &x->d, error);
        berth_keypair_wipe(&key);
    }
    if (status == BERTH_OK)
        atomic_store(&x->d->muted, true);
    return arrival_made(x, rt, status, on, out);
}

/* ---- Running again --------------------------------------------------------------------------- */

typedef struct replay {
    instance_run run; /* first */
    struct daemon *d;
    executed_reader from;
    executed_event now; /* what the instance has */
    latch over;
    berth_status status;
    berth_error *error;
} replay;

static const berth_event *next_again(instance_run *run)
{
    replay *r = (replay *)run;
    struct daemon *d = r->d;
    const berth_event *e = &r->now.event;
    if (r->status != BERTH_OK || r->from.at == r->from.count)
        return NULL;
    r->status = executed_next(&r->from, &r->now, r->error);
    if (r->status == BERTH_OK && r->now.observed &&
        daemon_observe(d, r->now.peer, e->origin, e->sequence,
                       (uint32_t)d->rt->limits.horizon_origins) == HORIZON_NO_MEMORY)
        r->status = fail(r->error, BERTH_ERR_NO_MEMORY, "out of memory");
    return r->status == BERTH_OK ? e : NULL;
}

static void result_again(instance_run *run, berth_code code, effects *recorded, slice text)
{
    replay *r = (replay *)run;
    struct daemon *d = r->d;
    bool counts = code == BERTH_OK && !recorded->limit && commit_check(d, recorded) == BERTH_OK;
    uint64_t heard = horizon_encode(&d->seen);
    (void)text;
    d->inputs++;
    if (d->last_time_ns < r->now.event.time_ns)
        d->last_time_ns = r->now.event.time_ns; /* it has seen it: time does not go back */
    if (code != r->now.code || counts != r->now.counts || code == BERTH_E_BROKEN)
        r->status = fail(r->error, BERTH_ERR_PLUGIN,
                         "kind '%s' is not deterministic: run again, event %llu of its life came "
                         "to %d%s, it had come to %d%s",
                         daemon_kind_name(d), (unsigned long long)d->inputs, (int)code,
                         counts || code ? "" : " without effect", (int)r->now.code,
                         r->now.counts || r->now.code ? "" : " without effect");
    for (uint32_t i = 0; r->status == BERTH_OK && counts && i < recorded->count; i++) {
        const effect *e = &recorded->items[i];
        if (effect_is_chained(e))
            chain_append(&d->chain, e->bytes->data, e->bytes->len - EFFECT_HEAD, heard, NULL);
    }
    effects_clear(recorded);
}

static bool in_use_again(void *run, uint64_t request)
{
    const executed_event *now = &((replay *)run)->now;
    for (uint16_t i = 0; i < now->in_use_count; i++)
        if (load_u64(now->in_use + (size_t)i * 8) == request)
            return true;
    return false;
}

static void finished_again(instance_run *run)
{
    latch_answer(&((replay *)run)->over, BERTH_OK, NULL);
}

static void run_again(replay *r, runner *on)
{
    struct daemon *d = r->d;
    r->run =
        (instance_run){next_again, result_again, in_use_again, finished_again, on, &r->from.limits};
    latch_init(&r->over, 1);
    bool before = dispatcher_enter(true);
    atomic_store_explicit(&on->origin, d->origin, memory_order_relaxed);
    instance_answer how = d->inst->ops->run(d->inst, &r->run);
    atomic_store_explicit(&on->origin, 0, memory_order_relaxed);
    dispatcher_enter(before);
    if (how == INSTANCE_PENDING)
        latch_wait(&r->over, NULL);
    latch_fini(&r->over);
}

berth_status arrival_replay(arrival *x, slice executed, berth_error *error)
{
    runtime *rt = x->d->rt;
    replay r = {.d = x->d, .error = error};
    r.status = runtime_check(rt, true, error);
    if (r.status == BERTH_OK)
        r.status = executed_open(&r.from, executed, error);
    runner *on = r.status == BERTH_OK ? dispatcher_borrow(rt->dispatcher) : NULL;
    if (on) {
        run_again(&r, on);
        dispatcher_return(rt->dispatcher, on);
    } else if (r.status == BERTH_OK) {
        r.status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    if (r.status != BERTH_OK)
        arrival_abandon(x);
    return r.status;
}

/* ---- The last word --------------------------------------------------------------------------- */

/* The instance was made with it. */
static bool same_config(const factory *f, const berth_daemon_config *c)
{
    slice had = f->config ? slice_of(f->config->data, f->config->len - 1) : (slice){0};
    return slice_eq(had, slice_of(c->config, c->config_len));
}

static berth_status finish(arrival *x, const arrival_spec *spec, berth_error *error)
{
    struct daemon *d = x->d;
    berth_daemon_config config;
    slice wants;
    uint32_t count;
    berth_status status = runtime_check(d->rt, true, error);
    if (status == BERTH_OK)
        status = moving_make_read(spec->make, &config, &wants, error);
    if (status == BERTH_OK)
        status = held_read(spec->held, NULL, NULL, &count, error);
    if (status == BERTH_OK && !same_config(d->make, &config))
        status = fail(error, BERTH_ERR_CORRUPT,
                      "the configuration is another one than when its state was taken");
    if (status == BERTH_OK && spec->held.len &&
        !(x->held = buf_copy(spec->held.ptr, spec->held.len)))
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (status != BERTH_OK)
        return status;
    spawn_wish wish = {
        .kind = d->make->kind,
        .identity = spec->identity,
        .config = &config,
        .snapshot = spec->container,
        .epoch = spec->epoch,
        .wants = wants,
        .came = spec->came,
    };
    return spawn_perform(d, &wish, error);
}

berth_status arrival_finish(arrival *x, const arrival_spec *spec, berth_error *error)
{
    berth_status status = finish(x, spec, error);
    if (status != BERTH_OK) {
        arrival_abandon(x);
        return status;
    }
    atomic_store(&x->d->muted, false);
    arrival_is_whole(x);
    return status;
}
