/* SPDX-License-Identifier: Apache-2.0 */
/* The attempts that this node has a part in: made, looked at, let go. */
#include "migrate/migrations_private.h"

#include "base/error.h"

#include <stdlib.h>

/* The mesh's thread is asked, and waited for: of many attempts with one node, once for all. */
bool peer_find(migrations *x, uint64_t node, mesh_peer_view *out)
{
    int64_t now = now_of();

    pthread_mutex_lock(&x->lock);
    *out = x->proven;
    if (!out->up || out->node != node || now - x->proven_ns > PROVEN_NS)
        out->up = false;
    pthread_mutex_unlock(&x->lock);
    if (out->up || !mesh_proven(x->config.mesh, node, out))
        return out->up;
    pthread_mutex_lock(&x->lock);
    x->proven = *out;
    x->proven_ns = now;
    pthread_mutex_unlock(&x->lock);
    return true;
}

/* ---- Attempts -------------------------------------------------------------------------------- */

attempt *attempt_find(migrations *x, const uint8_t id[ATTEMPT_SIZE])
{
    return strmap_get(&x->attempts, slice_of(id, ATTEMPT_SIZE));
}

/* Under the lock: what is under way now. */
static void count_view(migrations *x, const migration_view *v, int by)
{
    x->counters.underway += (uint64_t)(v->over ? 0 : by);
    x->counters.in_doubt += (uint64_t)(v->over || !v->in_doubt ? 0 : by);
}

attempt *attempt_new(migrations *x, const uint8_t id[ATTEMPT_SIZE], uint64_t origin)
{
    attempt *a = calloc(1, sizeof *a);
    bool put;

    if (!a)
        return NULL;
    a->x = x;
    memcpy(a->id, id, sizeof a->id);
    a->origin = origin;
    a->began_ns = a->phase_ns = now_of();
    pthread_mutex_lock(&x->lock);
    put = strmap_put(&x->attempts, slice_of(a->id, ATTEMPT_SIZE), a);
    if (put)
        count_view(x, &a->view, 1);
    pthread_mutex_unlock(&x->lock);
    if (put)
        return a;
    free(a);
    return NULL;
}

void attempt_schedule(attempt *a, int64_t at_ns)
{
    heap_remove(&a->x->dues, &a->due);
    a->due.due_ns = at_ns;
    if (at_ns != INT64_MAX)
        heap_push(&a->x->dues, &a->due);
}

static void show(attempt *a)
{
    const migration_view before = a->view;
    migration_view v = {.role = a->source ? MIGRATION_SOURCE : MIGRATION_TARGET,
                        .origin = a->origin,
                        .over = a->over,
                        .outcome = a->outcome,
                        .attempts = 1,
                        .held = a->held,
                        .waits_for = a->peer,
                        .elapsed_ns = a->began_ns,
                        .snapshot_ns = a->snapshot_ns,
                        .hearing = a->hearing};
    int64_t now = now_of();

    memcpy(v.id.bytes, a->id, sizeof v.id.bytes);
    memcpy(v.name, a->name, sizeof v.name);
    memcpy(v.kind, a->kind, sizeof v.kind);
    if (a->source) {
        source_view s;

        source_look(a->source, &s);
        memcpy(a->entered_ns, s.entered_ns, sizeof a->entered_ns);
        v.source = a->x->config.identity->node_id;
        v.target = a->peer;
        v.phase = s.phase;
        v.in_doubt = s.in_doubt;
        v.bytes_sent = s.bytes_acknowledged;
        v.bytes_total = s.bytes_total;
        v.fetching = serving_progress(a, &v.bytes_sent, &v.bytes_total);
        v.blackout_ns = a->closed_ns ? (a->opened_ns ? a->opened_ns : now) - a->closed_ns : 0;
    } else if (a->target) {
        target_view t;

        target_look(a->target, &t);
        v.source = a->peer;
        v.target = a->x->config.identity->node_id;
        v.phase = t.stage <= TARGET_RECEIVING   ? MOVE_PHASE_TRANSFER
                  : t.stage <= TARGET_PREPARING ? MOVE_PHASE_RESTORE
                  : t.stage == TARGET_PREPARED  ? MOVE_PHASE_CUTOVER
                                                : MOVE_PHASE_COMPLETE;
        v.in_doubt = t.stage == TARGET_PREPARED && now - a->phase_ns > S_NS;
        v.bytes_sent = t.bytes;
        v.bytes_total = t.total;
        v.fetching = fetching_progress(a, &v.bytes_sent, &v.bytes_total);
        if (v.fetching)
            v.phase = MOVE_PHASE_SNAPSHOT;
        if (!a->entered_ns[v.phase])
            a->entered_ns[v.phase] = now;
    }
    if (v.phase != a->phase || (a->over && !a->view.over)) {
        a->phase = v.phase;
        a->phase_ns = now;
    }
    v.phase_ns = a->phase_ns;
    pthread_mutex_lock(&a->x->lock);
    if (v.over && !a->view.over && !a->mine)
        a->x->past[a->x->past_count++ % OVER_MAX] = v;
    count_view(a->x, &a->view, -1);
    count_view(a->x, &v, 1);
    a->view = v;
    pthread_mutex_unlock(&a->x->lock);
    attempt_changed(a, &before, &v);
}

void attempt_pump(attempt *a)
{
    int64_t at = INT64_MAX;

    if (a->source)
        source_pump(a);
    else if (a->target)
        target_pump(a);
    show(a);
    if (a->mine)
        migration_local_changed(a);
    if (a->source && !a->over)
        at = source_deadline(a->source);
    else if (a->target)
        at = target_deadline(a->target);
    if (early_deadline(a) < at)
        at = early_deadline(a);
    if (fetching_deadline(a) < at)
        at = fetching_deadline(a);
    if (hearing_deadline(a) < at)
        at = hearing_deadline(a);
    if (a->over && a->ended_ns + ENDED_NS < at)
        at = a->ended_ns + ENDED_NS;
    attempt_schedule(a, at);
}

void attempt_free(attempt *a)
{
    migrations *x = a->x;

    heap_remove(&x->dues, &a->due);
    if (map64_get(&x->by_origin, a->origin) == a)
        map64_del(&x->by_origin, a->origin);
    target_decided(a);
    pthread_mutex_lock(&x->lock);
    strmap_del(&x->attempts, slice_of(a->id, ATTEMPT_SIZE));
    count_view(x, &a->view, -1);
    pthread_mutex_unlock(&x->lock);
    if (a->source)
        source_let_go(a);
    else
        target_let_go(a);
    source_free(a->source);
    target_free(a->target);
    early_forget(a);
    buf_unref(a->stream);
    buf_unref(a->seal);
    buf_unref(a->offer_bytes);
    buf_unref(a->seal_bytes);
    buf_unref(a->how);
    free(a);
}

void attempt_unpend(attempt *a)
{
    a->pending--;
}

static void stored_now(migrations *x, input *in, bool ended)
{
    attempt_stored *s = (attempt_stored *)in;
    attempt *a = s->a;

    (void)x;
    attempt_unpend(a);
    s->then(a, s->status, &s->error);
    free(s);
    if (!ended)
        attempt_pump(a);
}

/* On the thread of who answers: the store's, or the mesh's. */
void attempt_has_stored(void *ctx, berth_status status, const berth_error *error)
{
    attempt_stored *s = ctx;

    s->status = status;
    if (error)
        s->error = *error;
    migrations_post(s->a->x, &s->in);
}

attempt_stored *attempt_answer(attempt *a, void (*then)(attempt *a, berth_status status,
                                                        const berth_error *error))
{
    attempt_stored *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    *s = (attempt_stored){.in = {.run = stored_now}, .a = a, .then = then};
    a->pending++;
    return s;
}

attempt_stored *attempt_store(attempt *a, void (*then)(attempt *a, berth_status status,
                                                       const berth_error *error))
{
    attempt_stored *s = a->x->config.store ? attempt_answer(a, then) : NULL;
    berth_error error = {0};

    if (!s) {
        if (a->x->config.store)
            fail(&error, BERTH_ERR_NO_MEMORY, "out of memory");
        then(a, error.code, &error);
    }
    return s;
}

void attempt_expire(attempt *a, int64_t now)
{
    if (a->over && !a->pending && now >= a->ended_ns + ENDED_NS) {
        attempt_free(a);
        return;
    }
    if (a->source && !a->over)
        source_expire(a->source, now);
    else if (a->target)
        target_expire(a->target, now);
    fetching_expire(a, now);
    hearing_expire(a, now);
    attempt_pump(a);
}

/* ---- Looking --------------------------------------------------------------------------------- */

/* Instants become durations. */
static void finish_view(migration_view *v)
{
    int64_t now = now_of(), end = v->over ? v->phase_ns : now;

    v->elapsed_ns = end - v->elapsed_ns;
    v->phase_ns = now - v->phase_ns;
}

void migrations_each(migrations *x, void (*fn)(void *ctx, const migration_view *v), void *ctx)
{
    migration_view *list;
    size_t n = 0, first, all = OVER_MAX + 1;
    void *value;
    slice key;

    pthread_mutex_lock(&x->lock);
    all += x->underway.count + x->over.count;
    list = malloc((all + x->attempts.count) * sizeof *list);
    for (const migration *g = list ? x->underway.first : NULL; g; g = g->next)
        list[n++] = g->view;
    for (size_t at = 0; list && strmap_next(&x->attempts, &at, &key, &value);) {
        const attempt *a = value;

        if (!a->mine && !a->view.over && a->view.origin)
            list[n++] = a->view;
    }
    for (const migration *g = list ? x->over.first : NULL; g; g = g->next)
        list[n++] = g->view;
    first = x->past_count > OVER_MAX ? x->past_count - OVER_MAX : 0;
    for (size_t i = x->past_count; list && i-- > first;)
        list[n++] = x->past[i % OVER_MAX];
    pthread_mutex_unlock(&x->lock);
    for (size_t i = 0; list && i < n; i++) {
        finish_view(&list[i]);
        fn(ctx, &list[i]);
    }
    free(list);
}

void migrations_get_counters(migrations *x, migrations_counters *out)
{
    pthread_mutex_lock(&x->lock);
    *out = x->counters;
    pthread_mutex_unlock(&x->lock);
}
