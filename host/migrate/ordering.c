/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations that were begun here, whatever node the daemon is on. */
#include "migrate/migrations_private.h"

#include "base/error.h"
#include "daemon/latch.h"
#include "identity/entity.h"

#include <sodium.h>
#include <stdlib.h>

migration *migration_find(const migrations *x, const uint8_t id[ATTEMPT_SIZE])
{
    return strmap_get(&x->by_id, slice_of(id, ATTEMPT_SIZE));
}

static void list_add(migration_list *l, migration *g)
{
    g->before = NULL;
    g->next = l->first;
    *(l->first ? &l->first->before : &l->last) = g;
    l->first = g;
    l->count++;
}

static void list_remove(migration_list *l, migration *g)
{
    *(g->before ? &g->before->next : &l->first) = g->next;
    *(g->next ? &g->next->before : &l->last) = g->before;
    l->count--;
}

/* Who looks at all of them does not count it twice. */
static void set_mine(attempt *a, migration *g)
{
    pthread_mutex_lock(&a->x->lock);
    a->mine = g;
    pthread_mutex_unlock(&a->x->lock);
}

/* ---- One attempt ----------------------------------------------------------------------------- */

/* The whole id of a daemon of another node is what its presence says. */
static bool make_order(migration *g, order *o, move_outcome *why)
{
    migrations *x = g->x;
    int64_t now_s = clock_wall_ns() / S_NS;
    directory_place place;
    mesh_peer_view peer;

    memset(o, 0, sizeof *o);
    o->verbs = ORDER_MOVE;
    o->transport_identity = g->spec.transport_identity;
    o->not_before_s = now_s;
    o->not_after_s = now_s + ORDER_LIFE_S;
    memcpy(o->source, x->config.identity->entity, sizeof o->source);
    memcpy(o->target, x->config.identity->entity, sizeof o->target);
    if (!runtime_entity_of(x->rt, g->spec.origin, o->entity)) {
        mesh_where(x->config.mesh, g->spec.origin, &place);
        if (!place.known) {
            move_failed(why, MOVE_DAEMON_NOT_FOUND, "no node is known that runs %016llx",
                        (unsigned long long)g->spec.origin);
            return false;
        }
        memcpy(o->entity, place.entity, sizeof o->entity);
    }
    for (int i = 0; i < 2; i++) {
        uint64_t node = i ? g->spec.target : g->source;

        if (node == x->config.identity->node_id)
            continue;
        if (!peer_find(x, node, &peer)) {
            move_failed(why, MOVE_TARGET_UNAVAILABLE, "node %016llx is not connected",
                        (unsigned long long)node);
            return false;
        }
        memcpy(i ? o->target : o->source, peer.entity, sizeof o->target);
    }
    return true;
}

/* By what the present attempt's messages name it. */
static bool name_attempt(migration *g, const uint8_t id[ATTEMPT_SIZE])
{
    strmap *ordered = &g->x->ordered;

    strmap_del(ordered, slice_of(g->attempt, sizeof g->attempt));
    memcpy(g->attempt, id, sizeof g->attempt);
    return strmap_put(ordered, slice_of(g->attempt, sizeof g->attempt), g);
}

static void begin(migration *g)
{
    migrations *x = g->x;
    move_outcome why = {.moved = false};
    move_order m = {.deadline_ns = (uint64_t)g->spec.deadline_ns,
                    .max_hold_ns = (uint64_t)g->spec.max_hold_ns};
    bool good = g->made || make_order(g, &m.order, &why);

    if (g->made)
        m.order = *g->made;
    g->made = NULL;
    if (good && !g->began_ns)
        memcpy(m.order.attempt, g->id.bytes, sizeof m.order.attempt);
    else
        randombytes_buf(m.order.attempt, sizeof m.order.attempt);
    m.head = (move_head){.kind = MESSAGE_MOVE_ORDER, .origin = g->spec.origin};
    memcpy(m.head.attempt, m.order.attempt, sizeof m.head.attempt);
    if (!g->began_ns)
        g->began_ns = now_of();
    if (good && !name_attempt(g, m.order.attempt)) {
        move_failed(&why, MOVE_STATE_FAILED, "out of memory");
        good = false;
    }
    if (good && g->source == x->config.identity->node_id) {
        attempt *a = source_begin(x, &m.order, g->spec.target, 0, &m, &why);

        good = a != NULL;
        if (g->local)
            set_mine(g->local, NULL);
        g->local = a;
        if (a)
            set_mine(a, g);
    }
    orchestrator_begun(g->machine, good ? BERTH_OK : move_reason_status(why.reason), &m,
                       good ? NULL : &why, now_of());
}

static void show(migration *g)
{
    const migration_view before = g->view;
    bool ended = false;
    orchestrator_view o;
    migration_view v = {.id = g->id,
                        .role = MIGRATION_ORDERED,
                        .origin = g->spec.origin,
                        .source = g->source,
                        .target = g->spec.target,
                        .elapsed_ns = g->began_ns,
                        .phase_ns = now_of()};

    orchestrator_look(g->machine, &o);
    if (g->local)
        v = g->local->view;
    v.id = g->id;
    v.attempts = o.attempts;
    v.over = o.over;
    v.elapsed_ns = g->began_ns;
    if (!g->local) {
        v.phase = o.state.phase;
        v.in_doubt = o.state.in_doubt;
        v.waits_for = g->spec.target;
        v.bytes_sent = o.state.bytes_sent;
        v.bytes_total = o.state.bytes_total;
        v.fetching = o.state.fetching;
        v.held = o.state.held;
        v.blackout_ns = (int64_t)o.state.blackout_ns;
        v.snapshot_ns = (int64_t)o.state.snapshot_ns;
        v.hearing = o.state.hearing;
    }
    if (o.over)
        v.outcome = *orchestrator_outcome(g->machine);
    pthread_mutex_lock(&g->x->lock);
    if (g->view.over ||
        (!g->local && !v.over && g->view.attempts == v.attempts && g->view.phase == v.phase))
        v.phase_ns = g->view.phase_ns;
    else if (v.over)
        v.phase_ns = now_of();
    g->view = v;
    if (o.over && !g->over) {
        g->outcome = v.outcome;
        g->over = ended = true;
        list_remove(&g->x->underway, g);
        list_add(&g->x->over, g);
        pthread_cond_broadcast(&g->x->change);
    }
    pthread_mutex_unlock(&g->x->lock);
    migration_changed(g, &before, &v);
    if (ended)
        migration_ended(g);
}

static void schedule(migration *g)
{
    heap_remove(&g->x->orders, &g->due);
    g->due.due_ns = g->over ? INT64_MAX : orchestrator_deadline(g->machine);
    if (g->due.due_ns != INT64_MAX)
        heap_push(&g->x->orders, &g->due);
}

void migration_pump(migration *g)
{
    orchestrator_need need;

    while (orchestrator_next(g->machine, &need, now_of())) {
        switch (need.kind) {
        case ORCHESTRATOR_SEND:
            if (need.node != g->x->config.identity->node_id)
                mesh_tell(g->x->config.mesh, need.node, LANE_CALL, need.message);
            buf_unref(need.message);
            break;
        case ORCHESTRATOR_BEGIN:
            begin(g);
            if (g->local && !g->local->over) {
                attempt_pump(g->local); /* comes back here */
                return;
            }
            break;
        case ORCHESTRATOR_OVER:
            if (g->local)
                set_mine(g->local, NULL);
            break;
        case ORCHESTRATOR_NONE:
            break;
        }
    }
    show(g);
    if (g->over)
        g->local = NULL;
    schedule(g);
}

void migration_local_changed(attempt *a)
{
    migration *g = a->mine;
    move_state state;

    if (g->local != a)
        return;
    source_state(a, &state);
    orchestrator_state(g->machine, &state, now_of());
    migration_pump(g);
}

void ordering_message(migrations *x, uint64_t node, const move_head *head, slice msg)
{
    migration *g = strmap_get(&x->ordered, slice_of(head->attempt, sizeof head->attempt));

    bool mine = g && g->spec.origin == head->origin;

    if (mine && g->over && hearing_state(g, node, msg))
        return;
    if (!mine || g->over || !orchestrator_message(g->machine, node, msg, now_of())) {
        count(x, &x->counters.unknown, 1);
        return;
    }
    migration_pump(g);
}

/* ---- Beginning ------------------------------------------------------------------------------- */

typedef struct start {
    input in;
    latch *done;
    const migration_spec *spec;
    char kind[KIND_MAX + 1]; /* where any node will do */
    migration_id *id;
    move_outcome *why;
    bool begun;
} start;

/* Under the lock: it is in no list any more. */
static void forget(migration *g)
{
    strmap_del(&g->x->by_id, slice_of(g->id.bytes, sizeof g->id.bytes));
    strmap_del(&g->x->ordered, slice_of(g->attempt, sizeof g->attempt));
    heap_remove(&g->x->orders, &g->due);
    orchestrator_free(g->machine);
    free(g);
}

/* Under the lock: those that are over, but the latest. */
static void forget_old(migrations *x)
{
    migration_list *l = &x->over;

    for (migration *g = l->last, *before; g && l->count > OVER_MAX; g = before) {
        before = g->before;
        if (g->refs)
            continue;
        list_remove(l, g);
        forget(g);
    }
}

static void forget_all(migration_list *l)
{
    for (migration *g = l->first, *next; g; g = next) {
        next = g->next;
        forget(g);
    }
}

void migrations_forget(migrations *x)
{
    forget_all(&x->underway);
    forget_all(&x->over);
    strmap_fini(&x->by_id);
    strmap_fini(&x->ordered);
    heap_fini(&x->orders);
}

/* kind: needed where any node will do. */
static bool look_up(migrations *x, migration *g, const char *kind, move_outcome *why)
{
    uint64_t self = x->config.identity->node_id;

    g->source = g->spec.source;
    if (!g->source && runtime_has(x->rt, g->spec.origin)) {
        g->source = self;
    } else if (!g->source) {
        directory_place place;

        mesh_where(x->config.mesh, g->spec.origin, &place);
        g->source = place.known ? berth_entity_node_id(place.node) : 0;
    }
    if (!g->source) {
        move_failed(why, MOVE_DAEMON_NOT_FOUND, "no node is known that runs %016llx",
                    (unsigned long long)g->spec.origin);
        return false;
    }
    if (g->source == self && !runtime_has(x->rt, g->spec.origin)) {
        move_failed(why, MOVE_DAEMON_NOT_FOUND, "this node does not run %016llx",
                    (unsigned long long)g->spec.origin);
        return false;
    }
    if (!g->spec.target)
        g->spec.target = migrations_choose(x, kind, g->source);
    if (!g->spec.target)
        move_failed(why, MOVE_NO_TARGET, "no connected node has its kind");
    else if (g->spec.target == g->source)
        move_failed(why, MOVE_ALREADY_THERE, "it is on that node already");
    else
        return true;
    return false;
}

/* From now on it is found. */
static bool enlist(migration *g)
{
    migrations *x = g->x;
    bool listed;

    pthread_mutex_lock(&x->lock);
    listed = strmap_put(&x->by_id, slice_of(g->id.bytes, sizeof g->id.bytes), g);
    if (listed)
        list_add(&x->underway, g);
    forget_old(x);
    pthread_mutex_unlock(&x->lock);
    return listed;
}

static void start_now(migrations *x, input *in, bool ended)
{
    start *s = (start *)in;
    migration *g = ended ? NULL : calloc(1, sizeof *g);
    orchestrator_config config = {.origin = s->spec->origin,
                                  .resend_ns = x->config.resend_ns,
                                  .retry_not_ready_ns = s->spec->retry_not_ready_ns};
    order made;

    if (!g) {
        move_failed(s->why, MOVE_SHUTTING_DOWN, "this node is starting or ending");
        latch_answer(s->done, BERTH_OK, NULL);
        return;
    }
    g->x = x;
    g->spec = *s->spec;
    randombytes_buf(g->id.bytes, sizeof g->id.bytes);
    if (!look_up(x, g, s->kind, s->why) || !make_order(g, &made, s->why) ||
        (map64_get(&x->by_origin, g->spec.origin) &&
         (move_failed(s->why, MOVE_ALREADY_MIGRATING, "it is on its way already"), true))) {
        free(g);
        latch_answer(s->done, BERTH_OK, NULL);
        return;
    }
    config.source = g->source;
    config.local = g->source == x->config.identity->node_id;
    /* Whoever began it may look before anything has happened. */
    g->view = (migration_view){.id = g->id,
                               .role = MIGRATION_ORDERED,
                               .origin = g->spec.origin,
                               .source = g->source,
                               .target = g->spec.target,
                               .elapsed_ns = now_of(),
                               .phase_ns = now_of()};
    g->machine = orchestrator_new(&config, now_of());
    if (!g->machine || !enlist(g)) {
        move_failed(s->why, MOVE_STATE_FAILED, "out of memory");
        orchestrator_free(g->machine);
        free(g);
        latch_answer(s->done, BERTH_OK, NULL);
        return;
    }
    s->begun = true;
    *s->id = g->id;
    g->made = &made;
    latch_answer(s->done, BERTH_OK, NULL); /* s is gone */
    migration_pump(g);
    g->made = NULL;
}

berth_status migrations_begin(migrations *x, const migration_spec *spec, migration_id *id,
                              move_outcome *why, berth_error *error)
{
    latch done;
    start s = {.in = {.run = start_now}, .done = &done, .spec = spec, .id = id, .why = why};

    memset(why, 0, sizeof *why);
    migrations_find(x, spec->origin);
    if (spec->target ||
        migrations_kind_of(x, spec->origin, spec->source, s.kind, sizeof s.kind, why)) {
        latch_init(&done, 1);
        migrations_post(x, &s.in);
        latch_wait(&done, NULL);
        latch_fini(&done);
    }
    if (s.begun)
        return BERTH_OK;
    return fail(error, move_reason_status(why->reason), "%s%s%s", move_reason_text(why->reason),
                why->text[0] ? ": " : "", why->text);
}

static berth_status unknown(const migration_id *id, berth_error *error)
{
    char text[2 * ATTEMPT_SIZE + 1];

    return fail(error, BERTH_ERR_NOT_FOUND, "no migration %s was begun here",
                hex_encode(text, slice_of(id->bytes, sizeof id->bytes)));
}

berth_status migrations_wait(migrations *x, const migration_id *id, int64_t timeout_ns,
                             move_outcome *out, berth_error *error)
{
    int64_t at = timeout_ns < 0 ? INT64_MAX : now_of() + timeout_ns;
    struct timespec until = {.tv_sec = (time_t)(at / S_NS), .tv_nsec = (long)(at % S_NS)};
    berth_status status = BERTH_OK;
    migration *g;

    pthread_mutex_lock(&x->lock);
    g = migration_find(x, id->bytes);
    if (!g) {
        pthread_mutex_unlock(&x->lock);
        return unknown(id, error);
    }
    g->refs++;
    while (!g->over && !x->ended && (timeout_ns < 0 || now_of() < at)) {
        if (timeout_ns < 0)
            pthread_cond_wait(&x->change, &x->lock);
        else
            pthread_cond_timedwait(&x->change, &x->lock, &until);
    }
    if (g->over)
        *out = g->outcome;
    else if (x->ended)
        status = fail(error, BERTH_ERR_SHUTTING_DOWN, "this node is ending");
    else
        status = fail(error, BERTH_ERR_TIMEOUT, "it is not over yet, in phase %s",
                      move_phase_word(g->view.phase));
    g->refs--;
    pthread_mutex_unlock(&x->lock);
    return status;
}

typedef struct cancel {
    input in;
    latch *done;
    const migration_id *id;
    berth_status status;
} cancel;

static void cancel_now(migrations *x, input *in, bool ended)
{
    cancel *c = (cancel *)in;
    migration *g = ended ? NULL : migration_find(x, c->id->bytes);
    attempt *a = ended || g ? NULL : attempt_find(x, c->id->bytes);
    move_outcome why;

    move_failed(&why, MOVE_CANCELLED, "cancel requested");
    if (a && a->source) { /* begun by another node */
        c->status = a->over ? BERTH_OK : source_abort(a->source, &why, now_of());
        attempt_pump(a);
    } else if (!g) {
        c->status = a ? BERTH_ERR_BUSY : BERTH_ERR_NOT_FOUND;
    } else if (!g->over && g->local) {
        attempt *local = g->local;

        c->status = source_abort(local->source, &why, now_of());
        if (c->status == BERTH_OK)
            orchestrator_cancel(g->machine, now_of());
        attempt_pump(local);
    } else if (!g->over) {
        orchestrator_cancel(g->machine, now_of());
        migration_pump(g);
    }
    latch_answer(c->done, BERTH_OK, NULL);
}

berth_status migrations_cancel(migrations *x, const migration_id *id, berth_error *error)
{
    latch done;
    cancel c = {.in = {.run = cancel_now}, .done = &done, .id = id};

    latch_init(&done, 1);
    migrations_post(x, &c.in);
    latch_wait(&done, NULL);
    latch_fini(&done);
    if (c.status == BERTH_ERR_NOT_FOUND)
        return unknown(id, error);
    if (c.status != BERTH_OK)
        return fail(error, c.status, "it is decided already: the daemon goes");
    return BERTH_OK;
}
