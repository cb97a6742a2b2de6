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

typedef struct going {
    const handover *h;
    berth_status status;
    berth_error *error;
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

static void go(mesh *m, void *ctx)
{
    going *g = ctx;
    uint64_t origin = berth_entity_origin(g->h->entity);
    directory_place place;
    bool told;

    pthread_mutex_lock(&m->places_lock);
    directory_look(m->directory, origin, &place);
    pthread_mutex_unlock(&m->places_lock);
    told = place.known && !place.local && place.epoch >= g->h->epoch; /* by its new host */
    if (!told)
        places_own(m, origin, 0);
    atomic_store(&m->places_used, true);
    /* Nobody publishes while it is nowhere. */
    pthread_mutex_lock(&m->channels_lock);
    pthread_mutex_lock(&m->places_lock);
    if (!told)
        g->status = directory_release(m->directory, g->h, g->error);
    if (g->status == BERTH_ERR_INVALID) /* after a restart it does not run here any more */
        g->status = directory_learn(m->directory, NULL, NULL, g->h, mesh_wall_s(m), g->error);
    pthread_mutex_unlock(&m->places_lock);
    mesh_channels_go(m, g->h->entity, berth_entity_node_id(g->h->to));
    pthread_mutex_unlock(&m->channels_lock);
    free(map64_del(&m->locals, origin));
    tell_senders(m, origin);
    inflows_forget(m, origin);
    flows_moved(m, origin);
}

berth_status mesh_depart(mesh *m, const handover *h, berth_error *error)
{
    going g = {h, BERTH_OK, error};

    mesh_ask(m, go, &g);
    return g.status;
}

/* ---- Coming ---------------------------------------------------------------------------------- */

typedef struct coming {
    const presence *p;
    slice came;
    berth_status status;
    berth_error *error;
} coming;

/* It is in this host's table of hearers already: whoever is about to publish here finds it there,
 * or as a member, or both, and tells the two apart (route.h, picked). */
static void come(mesh *m, void *ctx)
{
    coming *c = ctx;
    uint64_t origin = berth_entity_origin(c->p->entity);

    pthread_mutex_lock(&m->channels_lock);
    c->status = places_own_as(m, c->p, c->came, c->error);
    if (c->status == BERTH_OK)
        mesh_channels_moved(m, c->p->entity, 0, m->key.node_id);
    pthread_mutex_unlock(&m->channels_lock);
    if (c->status == BERTH_OK)
        flows_moved(m, origin);
    else
        runtime_gate_again(m->rt, origin);
}

berth_status mesh_arrive(mesh *m, const presence *p, slice how, berth_error *error)
{
    coming c = {p, how, BERTH_OK, error};

    mesh_ask(m, come, &c);
    return c.status;
}
