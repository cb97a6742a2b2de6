/* SPDX-License-Identifier: Apache-2.0 */
#include "berth/migrate.h"

#include "base/error.h"
#include "node/node_private.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define MS_NS            INT64_C(1000000)
#define RETRY_USUALLY_MS 30000

struct berth_migration {
    migrations *moves;
    runtime *rt;
    migration_id id;
    uint64_t origin, source, target;
};

static int64_t ns_of(uint64_t ms)
{
    return ms > (uint64_t)(INT64_MAX / MS_NS) ? INT64_MAX : (int64_t)ms * MS_NS;
}

typedef struct lookup {
    const migration_id *id;
    migration_view view;
    bool found;
} lookup;

static void take(void *ctx, const migration_view *v)
{
    lookup *l = ctx;

    if (l->found || memcmp(v->id.bytes, l->id->bytes, sizeof v->id.bytes) != 0)
        return;
    l->view = *v;
    l->found = true;
}

static bool look(const berth_migration *m, migration_view *out)
{
    lookup l = {.id = &m->id};

    migrations_each(m->moves, take, &l);
    *out = l.view;
    return l.found;
}

berth_status berth_migration_start(berth_node *node, uint64_t origin, uint64_t source,
                                   uint64_t target, const berth_migration_options *options,
                                   berth_migration **out, berth_error *error)
{
    berth_migration_options o = {.size = sizeof o, .retry_not_ready_ms = RETRY_USUALLY_MS};
    migration_spec spec = {.origin = origin, .source = source, .target = target};
    berth_error unread = {0};
    berth_migration *m;
    move_outcome why;
    migration_view v;
    berth_status status;

    *out = NULL;
    if (!error)
        error = &unread;
    if (options && options->size < offsetof(berth_migration_options, max_hold_ms))
        return fail(error, BERTH_ERR_INVALID, "berth_migration_options.size is not set");
    if (options)
        memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    if (!node_moves(node))
        return fail(error, BERTH_ERR_UNSUPPORTED,
                    "this host has no mesh: give its configuration a section `mesh`");
    spec.transport_identity = !o.keep_identity;
    spec.retry_not_ready_ns = ns_of(o.retry_not_ready_ms);
    spec.deadline_ns = ns_of(o.deadline_ms);
    spec.max_hold_ns = ns_of(o.max_hold_ms);
    m = calloc(1, sizeof *m);
    if (!m)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    m->moves = node_moves(node);
    m->rt = (runtime *)berth_node_runtime(node);
    m->origin = origin;
    status = migrations_begin(m->moves, &spec, &m->id, &why, error);
    if (status != BERTH_OK) {
        free(m);
        return status;
    }
    if (look(m, &v)) {
        m->source = v.source;
        m->target = v.target;
    }
    *out = m;
    return BERTH_OK;
}

uint64_t berth_migration_origin(const berth_migration *m)
{
    return m->origin;
}

uint64_t berth_migration_source(const berth_migration *m)
{
    return m->source;
}

uint64_t berth_migration_target(const berth_migration *m)
{
    return m->target;
}

berth_status berth_migration_get_phase(const berth_migration *m, berth_migration_phase *out,
                                       berth_error *error)
{
    migration_view v;

    if (!look(m, &v))
        return fail(error, BERTH_ERR_NOT_FOUND, "nothing is known of this move any more");
    *out = (berth_migration_phase)v.phase;
    return BERTH_OK;
}

berth_status berth_migration_wait(berth_migration *m, uint64_t timeout_ms,
                                  berth_migration_outcome *out, berth_error *error)
{
    berth_migration_outcome o;
    move_outcome got;
    migration_view v;
    berth_status status;

    if (out && out->size < offsetof(berth_migration_outcome, text))
        return fail(error, BERTH_ERR_INVALID, "berth_migration_outcome.size is not set");
    status = migrations_wait(m->moves, &m->id, timeout_ms == UINT64_MAX ? -1 : ns_of(timeout_ms),
                             &got, error);
    if (status != BERTH_OK || !out)
        return status;
    migration_outcome_of(&o, &got, look(m, &v) ? &v : NULL);
    o.size = out->size < sizeof o ? out->size : sizeof o;
    memcpy(out, &o, o.size);
    return BERTH_OK;
}

/* ---- Being told of the end ------------------------------------------------------------------- */

typedef struct ending {
    migration_ending base; /* first */
    callback call;
    runtime *rt;
    void (*fn)(void *ctx, berth_status status, const berth_migration_outcome *outcome);
    void *ctx;
    berth_status status;
    berth_migration_outcome outcome;
} ending;

/* On the callback thread. */
static void tell_end(callback *call)
{
    ending *e = (ending *)((char *)call - offsetof(ending, call));

    e->fn(e->ctx, e->status, e->status == BERTH_OK ? &e->outcome : NULL);
    free(e);
}

static void has_ended(migration_ending *base, berth_status status, const migration_view *view)
{
    ending *e = (ending *)base;

    e->status = status;
    if (status == BERTH_OK)
        migration_outcome_of(&e->outcome, &view->outcome, view);
    e->call.run = tell_end;
    if (!runtime_call_back(e->rt, &e->call))
        tell_end(&e->call); /* no thread can be made: better here than never */
}

berth_status berth_migration_on_end(berth_migration *m,
                                    void (*fn)(void *ctx, berth_status status,
                                               const berth_migration_outcome *outcome),
                                    void *ctx, berth_error *error)
{
    ending *e = calloc(1, sizeof *e);
    berth_error unread = {0};
    berth_status status;

    if (!e)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    *e = (ending){.base.fn = has_ended, .rt = m->rt, .fn = fn, .ctx = ctx};
    status = migrations_on_end(m->moves, &m->id, &e->base, error ? error : &unread);
    if (status != BERTH_OK)
        free(e);
    return status;
}

berth_status berth_migration_cancel(berth_migration *m, berth_error *error)
{
    berth_error unread = {0};

    return migrations_cancel(m->moves, &m->id, error ? error : &unread);
}

void berth_migration_free(berth_migration *m)
{
    free(m);
}
