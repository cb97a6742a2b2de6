/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Daemons that go to another node, or come from one: what the directory, the senders, and those who
 * publish to them have to know. The messages of a migration are carried here and read elsewhere.
 */
#include "mesh/mesh_private.h"

#include "base/error.h"
#include "base/log.h"
#include "mesh/came.h"

#include <stdlib.h>

/* ---- Messages -------------------------------------------------------------------------------- */

typedef struct telling {
    mesh_task task;
    uint64_t node;
    lane lane;
    buf *message;
} telling;

static void tell_now(mesh *m, mesh_task *t, bool closed)
{
    telling *x = (telling *)t;
    session *s = closed ? NULL : peers_session(m->peers, x->node);

    if (s) {
        if (session_send(s, x->lane, x->message, m->now_ns) != BERTH_OK)
            m->moving_unsent++;
    } else if (!closed) {
        peers_want(m->peers, x->node, m->now_ns);
        m->moving_unsent++;
    }
    buf_unref(x->message);
    free(x);
}

void mesh_tell(mesh *m, uint64_t node, lane l, buf *msg)
{
    telling *x = calloc(1, sizeof *x);

    if (!x)
        return; /* as if it had been lost */
    *x = (telling){{.run = tell_now}, node, l, buf_ref(msg)};
    mesh_post(m, &x->task);
}

void mesh_on_moving(mesh *m, mesh_moving *call, void *ctx)
{
    m->moving = call;
    m->moving_ctx = ctx;
}

void moving_message(mesh *m, const mesh_node *from, buf *msg)
{
    if (m->moving)
        m->moving(m->moving_ctx, from->id, from->entity, msg);
    else
        m->unknown_messages++;
}

typedef struct proof_call {
    uint64_t node;
    mesh_peer_view *out;
} proof_call;

static void look_at_proof(mesh *m, void *ctx)
{
    proof_call *c = ctx;
    peer_view v;

    if (m->stage == STAGE_ENDED || !m->peers || !peers_find(m->peers, c->node, &v) || !v.session)
        return;
    c->out->node = v.node;
    memcpy(c->out->entity, v.entity, sizeof c->out->entity);
    memcpy(c->out->key, v.static_key, sizeof c->out->key);
    c->out->may = trust_grants(m->trust, session_peer(v.session), mesh_wall_s(m));
    c->out->up = true;
}

bool mesh_proven(mesh *m, uint64_t node, mesh_peer_view *out)
{
    proof_call c = {node, out};

    memset(out, 0, sizeof *out);
    mesh_ask(m, look_at_proof, &c);
    return out->up;
}

/* ---- Going ----------------------------------------------------------------------------------- */

static void refuse_now(mesh_moved *done, void *ctx, berth_status status, const char *why)
{
    berth_error error = {0};

    fail(&error, status, "%s", why);
    done(ctx, status, &error);
}

typedef struct going {
    mesh_task task;
    handover h;
    mesh_moved *done;
    void *ctx;
} going;

/* Whoever sends to it sends there what it has not had an answer to. */
static void tell_senders(mesh *m, uint64_t origin)
{
    inflow *r = map64_get(&m->receivers, origin);
    writer w = {0};
    void *value;

    pthread_mutex_lock(&m->places_lock);
    directory_hint_write(m->directory, origin, 0, mesh_wall_s(m), &w);
    pthread_mutex_unlock(&m->places_lock);
    for (size_t at = 0; r && w.len && !w.failed && map64_next(&r->sources, &at, NULL, &value);) {
        directory_place place;
        uint64_t node;

        places_find(m, ((const flow_id *)value)->sender, &place);
        node = place.known ? berth_entity_node_id(place.node) : m->key.node_id;
        if (node != m->key.node_id)
            mesh_send(m, node, LANE_CONTROL, slice_of(w.data, w.len));
    }
    writer_free(&w);
}

static berth_status go(mesh *m, const handover *h, berth_error *error)
{
    uint64_t origin = berth_entity_origin(h->entity);
    berth_status status = BERTH_OK;
    directory_place place;
    bool told;

    pthread_mutex_lock(&m->places_lock);
    directory_look(m->directory, origin, &place);
    pthread_mutex_unlock(&m->places_lock);
    told = place.known && !place.local && place.epoch >= h->epoch; /* by its new host */
    if (!told)
        places_own(m, origin, 0);
    atomic_store(&m->places_used, true);
    /* Nobody publishes while it is nowhere. */
    pthread_mutex_lock(&m->channels_lock);
    pthread_mutex_lock(&m->places_lock);
    if (!told)
        status = directory_release(m->directory, h, error);
    if (status == BERTH_ERR_INVALID) /* after a restart it does not run here any more */
        status = directory_learn(m->directory, NULL, NULL, h, mesh_wall_s(m), error);
    pthread_mutex_unlock(&m->places_lock);
    mesh_channels_go(m, h->entity, berth_entity_node_id(h->to));
    pthread_mutex_unlock(&m->channels_lock);
    free(map64_del(&m->locals, origin));
    tell_senders(m, origin);
    inflows_forget(m, origin);
    flows_moved(m, origin);
    return status;
}

static void go_now(mesh *m, mesh_task *t, bool closed)
{
    going *g = (going *)t;
    berth_error error = {0};

    if (closed)
        refuse_now(g->done, g->ctx, BERTH_ERR_SHUTTING_DOWN, "the mesh has ended");
    else
        g->done(g->ctx, go(m, &g->h, &error), &error);
    free(g);
}

void mesh_depart(mesh *m, const handover *h, mesh_moved *done, void *ctx)
{
    going *g = calloc(1, sizeof *g);

    if (!g) {
        refuse_now(done, ctx, BERTH_ERR_NO_MEMORY, "out of memory");
        return;
    }
    *g = (going){{.run = go_now}, *h, done, ctx};
    mesh_post(m, &g->task);
}

/* ---- Coming ---------------------------------------------------------------------------------- */

typedef struct coming {
    mesh_task task;
    presence p;
    buf *how;
    mesh_moved *done;
    void *ctx;
} coming;

/* It is in this host's table of hearers already: whoever is about to publish here finds it there,
 * or as a member, or both, and tells the two apart (route.h, picked). */
static berth_status come(mesh *m, const coming *c, berth_error *error)
{
    uint64_t origin = berth_entity_origin(c->p.entity);
    berth_status status;

    pthread_mutex_lock(&m->channels_lock);
    status = places_own_as(m, &c->p, slice_of(c->how->data, c->how->len), error);
    if (status == BERTH_OK)
        mesh_channels_moved(m, c->p.entity, 0, m->key.node_id);
    pthread_mutex_unlock(&m->channels_lock);
    if (status == BERTH_OK)
        flows_moved(m, origin);
    else
        runtime_gate_again(m->rt, origin);
    return status;
}

static void come_now(mesh *m, mesh_task *t, bool closed)
{
    coming *c = (coming *)t;
    berth_error error = {0};

    if (closed)
        refuse_now(c->done, c->ctx, BERTH_ERR_SHUTTING_DOWN, "the mesh has ended");
    else
        c->done(c->ctx, come(m, c, &error), &error);
    buf_unref(c->how);
    free(c);
}

void mesh_arrive(mesh *m, const presence *p, slice how, mesh_moved *done, void *ctx)
{
    coming *c = calloc(1, sizeof *c);
    buf *copy = c ? buf_copy(how.ptr, how.len) : NULL;

    if (!copy) {
        free(c);
        refuse_now(done, ctx, BERTH_ERR_NO_MEMORY, "out of memory");
        return;
    }
    *c = (coming){{.run = come_now}, *p, copy, done, ctx};
    mesh_post(m, &c->task);
}
