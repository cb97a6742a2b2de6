/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where origins live: presences of the daemons here, signed when another node first needs them;
 * questions to the others, and what they answer.
 */
#include "mesh/mesh_private.h"

#include "base/error.h"
#include "base/log.h"
#include "identity/entity.h"
#include "mesh/came.h"

#include <stdlib.h>

/* ---- Our own --------------------------------------------------------------------------------- */

typedef struct signing {
    presence p;
    uint64_t wanted; /* incarnation, or 0 */
    const home *have;
    int64_t now_s;
    bool chooses; /* who may send to it */
    bool fresh;   /* what we have will do */
    came how;
    bool came; /* it did, by how */
    berth_status status;
} signing;

static void sign_with(void *ctx, const runtime_face *face)
{
    signing *s = ctx;
    presence *p = &s->p;

    s->chooses = face->accept.len != 0;
    memcpy(p->entity, face->key->entity, sizeof p->entity);
    p->epoch = face->epoch ? face->epoch : 1;
    p->incarnation = s->wanted ? s->wanted : face->incarnation;
    if (s->have && s->have->p.incarnation > p->incarnation)
        p->incarnation = s->have->p.incarnation;
    s->fresh = s->have && s->have->p.incarnation == p->incarnation &&
               s->have->p.epoch == p->epoch &&
               s->have->p.not_after_s - s->now_s > PRESENCE_LIFE_S / 2;
    if (s->fresh)
        return;
    p->not_after_s = s->now_s + PRESENCE_LIFE_S;
    s->status = presence_sign(p, face->key);
    if (s->status == BERTH_OK && face->came.len) {
        berth_error error = {0};

        s->came =
            came_read(&s->how, face->came, &error) == BERTH_OK && s->how.handover.epoch == p->epoch;
    }
}

static berth_status own(mesh *m, const presence *p, const came *how, berth_error *error)
{
    uint64_t origin = berth_entity_origin(p->entity);
    berth_status status;

    atomic_store(&m->places_used, true);
    pthread_mutex_lock(&m->places_lock);
    status = directory_own(m->directory, p, how ? &how->handover : NULL, error);
    for (size_t i = 0; status == BERTH_OK && how && i < how->former_count; i++)
        directory_add_former(m->directory, origin, how->former[i]);
    pthread_mutex_unlock(&m->places_lock);
    return status;
}

static home *keep_home(mesh *m, const presence *p, const came *how)
{
    uint64_t origin = berth_entity_origin(p->entity);
    home *l = map64_get(&m->locals, origin);

    if (!l) {
        l = calloc(1, sizeof *l);
        if (!l || !map64_put(&m->locals, origin, l)) {
            free(l);
            return NULL;
        }
    }
    l->p = *p;
    if (how) {
        l->h = how->handover;
        l->has_handover = true;
    }
    l->serial = ++m->serial;
    return l;
}

berth_status places_own_as(mesh *m, const presence *p, slice how, berth_error *error)
{
    came c = {0};
    berth_status status = came_read(&c, how, error);

    if (status == BERTH_OK)
        status = own(m, p, &c, error);
    if (status == BERTH_OK && !keep_home(m, p, &c))
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    return status;
}

const home *places_own(mesh *m, uint64_t origin, uint64_t incarnation)
{
    home *l = map64_get(&m->locals, origin);
    signing s = {.wanted = incarnation, .have = l, .now_s = mesh_wall_s(m)};
    runtime_face self = {.key = &m->key, .incarnation = m->config.boot, .epoch = 1};
    berth_error error = {0};

    memcpy(s.p.node, m->key.entity, sizeof s.p.node);
    if (origin == m->key.origin) {
        sign_with(&s, &self);
    } else if (!m->rt || !runtime_face_of(m->rt, origin, sign_with, &s)) {
        /* It has ended; what it sent may still be under way, and only that. */
        route_link *link = incarnation ? map64_get(&m->links, origin) : NULL;

        if (!link) {
            if (l && !map64_get(&m->links, origin))
                places_gone(m, origin); /* it ended without a word: it never needed a link */
            return NULL;
        }
        self = (runtime_face){
            .key = &link->key, .incarnation = incarnation, .epoch = atomic_load(&link->epoch)};
        sign_with(&s, &self);
    }
    if (s.fresh) {
        l->chooses = s.chooses;
        return l;
    }
    if (s.status == BERTH_OK)
        s.status = own(m, &s.p, s.came ? &s.how : NULL, &error);
    else
        fail(&error, s.status, "it cannot be signed for");
    if (s.status != BERTH_OK) {
        log_error("mesh", "daemon %016llx may not run here: %s", (unsigned long long)origin,
                  error.text);
        runtime_gate_again(m->rt, origin);
        return NULL;
    }
    l = keep_home(m, &s.p, s.came ? &s.how : NULL);
    if (l)
        l->chooses = s.chooses;
    return l;
}

void places_gone(mesh *m, uint64_t origin)
{
    route_link *l = map64_get(&m->links, origin);
    bool owes = false;

    /* What it sent and is under way needs the presence a while longer. */
    if (l) {
        flow_out_stats s;

        pthread_mutex_lock(&l->lock);
        link_stats(l, &s);
        pthread_mutex_unlock(&l->lock);
        owes = s.events != 0;
    }
    if (owes)
        return;
    free(map64_del(&m->locals, origin));
    pthread_mutex_lock(&m->places_lock);
    directory_forget(m->directory, origin);
    pthread_mutex_unlock(&m->places_lock);
}

bool places_may_run(void *ctx, const uint8_t entity[BERTH_ENTITY_SIZE], uint64_t epoch)
{
    mesh *m = ctx;
    directory_place place;

    if (!atomic_load(&m->places_used))
        return true;
    pthread_mutex_lock(&m->places_lock);
    directory_look(m->directory, berth_entity_origin(entity), &place);
    pthread_mutex_unlock(&m->places_lock);
    return !place.conflict && (!place.known || place.local || place.epoch < (epoch ? epoch : 1));
}

void places_hint(mesh *m, const uint8_t entity[BERTH_ENTITY_SIZE], uint64_t incarnation,
                 mesh_node *to, lane l)
{
    uint64_t origin = berth_entity_origin(entity);
    const home *p = places_own(m, origin, incarnation);
    route_link *link = origin == m->key.origin ? m->node_link : map64_get(&m->links, origin);
    uintptr_t told;
    writer w = {0};

    if (!p)
        return;
    told = (uintptr_t)((p->serial << 20 | (to->life & 0x3ffff) << 2 | 1) + (l == LANE_EVENT));
    if (link && (uintptr_t)map64_get(&link->hinted, to->id) == told)
        return;
    writer_u16(&w, MESSAGE_DIRECTORY_HINT);
    writer_u8(&w, p->has_handover ? 3 : 1);
    presence_write(&w, &p->p);
    if (p->has_handover)
        handover_write(&w, &p->h);
    if (!w.failed && mesh_send(m, to->id, l, slice_of(w.data, w.len)) == BERTH_OK && link)
        map64_put(&link->hinted, to->id, (void *)told);
    writer_free(&w);
}

/* ---- Others' --------------------------------------------------------------------------------- */

void places_ask(mesh *m, uint64_t origin, uint64_t epoch)
{
    writer w = {0};

    directory_where_write(&w, &(directory_where){origin, epoch});
    if (!w.failed)
        mesh_broadcast(m, LANE_CONTROL, slice_of(w.data, w.len));
    writer_free(&w);
}

void places_ask_one(mesh *m, uint64_t node, uint64_t origin)
{
    writer w = {0};

    directory_where_write(&w, &(directory_where){origin, 0});
    if (!w.failed)
        mesh_send(m, node, LANE_CONTROL, slice_of(w.data, w.len));
    writer_free(&w);
}

/* In a large mesh most nodes have no session with this one: they are met, a few at a time, as long
 * as something is looked for that none of those met so far has. */
typedef struct walk {
    mesh *m;
    size_t at, met;
} walk;

static void meet(void *ctx, const peer_view *v)
{
    walk *w = ctx;

    if (w->at++ < w->m->walked || w->met == WALK_STEP)
        return;
    w->m->walked = w->at;
    if (v->session || !v->node || v->left)
        return;
    w->met++;
    w->m->walk[w->m->walk_count++] = v->node;
}

void places_walk(mesh *m)
{
    walk w = {.m = m};

    if (!peers_are_many(m->peers))
        return;
    if (m->walked >= peers_count(m->peers))
        m->walked = 0;
    m->walk_count = 0;
    peers_each(m->peers, meet, &w);
    for (size_t i = 0; i < m->walk_count; i++)
        peers_want(m->peers, m->walk[i], m->now_ns);
    mesh_sweep_in(m, WALK_NS);
}

void places_find(mesh *m, uint64_t origin, directory_place *out)
{
    atomic_store(&m->places_used, true);
    pthread_mutex_lock(&m->places_lock);
    directory_resolve(m->directory, origin, m->now_ns, mesh_wall_s(m), out);
    pthread_mutex_unlock(&m->places_lock);
    if (out->ask)
        places_ask(m, origin, out->epoch);
}

static void tell_conflict(mesh *m, uint64_t origin)
{
    presence a, b;
    writer w = {0};
    bool there;

    pthread_mutex_lock(&m->places_lock);
    there = directory_conflict(m->directory, origin, &a, &b);
    pthread_mutex_unlock(&m->places_lock);
    if (!there)
        return;
    log_error("mesh",
              "daemon %016llx runs on two nodes at one epoch: both hold it until one gives way",
              (unsigned long long)origin);
    directory_conflict_write(&w, &a, &b);
    if (!w.failed)
        mesh_broadcast(m, LANE_CONTROL, slice_of(w.data, w.len));
    writer_free(&w);
}

/* Signatures take time that others wait for: nobody gets more than a share of it. Who is told
 * nothing asks again. */
static bool may_judge(mesh *m, mesh_node *from)
{
    if (from->judged_ns < m->now_ns)
        from->judged_ns = m->now_ns;
    if (from->judged_ns > m->now_ns + JUDGE_AHEAD_NS) {
        m->flows.paced++;
        return false;
    }
    from->judged_ns += JUDGE_NS;
    return true;
}

/* One of p and h is there; entity is that one's. */
static void learn(mesh *m, mesh_node *from, const uint8_t *entity, const presence *p,
                  const handover *h)
{
    uint64_t origin = berth_entity_origin(entity);
    directory_place before, after;
    berth_error error = {0};
    berth_status status;

    if (!may_judge(m, from))
        return;
    /* A daemon of ours that nobody asked about yet: now it has to be known whose it is. */
    places_own(m, origin, 0);
    atomic_store(&m->places_used, true);
    if (h) /* what it hears is to find it at the one place or the other */
        pthread_mutex_lock(&m->channels_lock);
    pthread_mutex_lock(&m->places_lock);
    directory_look(m->directory, origin, &before);
    status = directory_learn(m->directory, from->entity, p, h, mesh_wall_s(m), &error);
    directory_look(m->directory, origin, &after);
    pthread_mutex_unlock(&m->places_lock);
    if (h && status == BERTH_OK && before.known && after.known && !after.conflict &&
        !entity_eq(before.node, after.node))
        mesh_channels_moved(m, entity, berth_entity_node_id(before.node),
                            berth_entity_node_id(after.node));
    if (h)
        pthread_mutex_unlock(&m->channels_lock);
    if (status != BERTH_OK && status != BERTH_ERR_STALE && status != BERTH_ERR_BUSY)
        log_debug("mesh", "node %016llx about %016llx: %s", (unsigned long long)from->id,
                  (unsigned long long)origin, error.text);
    if (after.conflict && !before.conflict)
        tell_conflict(m, origin);
    if (before.local && (after.conflict || !after.local)) {
        free(map64_del(&m->locals, origin));
        runtime_gate_again(m->rt, origin);
    } else if (before.conflict && !after.conflict && after.local) {
        runtime_gate_again(m->rt, origin);
    }
    if (status != BERTH_OK)
        return;
    if (!before.known || before.epoch != after.epoch)
        flows_moved(m, origin);
    if (after.incarnation > before.incarnation)
        receive_outlived(m, origin, after.incarnation);
}

static void where(mesh *m, const mesh_node *from, const directory_where *q)
{
    writer w = {0};

    places_own(m, q->origin, 0);
    pthread_mutex_lock(&m->places_lock);
    directory_hint_write(m->directory, q->origin, q->min_epoch, mesh_wall_s(m), &w);
    pthread_mutex_unlock(&m->places_lock);
    if (w.len && !w.failed)
        mesh_send(m, from->id, LANE_CONTROL, slice_of(w.data, w.len));
    writer_free(&w);
}

static void gone_from(mesh *m, const mesh_node *from, const directory_absence *a)
{
    pthread_mutex_lock(&m->places_lock);
    directory_not_here(m->directory, a->origin, a->epoch, from->entity);
    pthread_mutex_unlock(&m->places_lock);
    flows_moved(m, a->origin);
}

void places_message(mesh *m, uint64_t node, uint16_t kind, slice msg)
{
    mesh_node *from = mesh_node_of(m, node);
    directory_absence absence;
    directory_where q;
    directory_hint hint;
    berth_error error = {0};
    presence a, b;
    berth_status status = BERTH_OK;

    if (!from)
        return;
    switch (kind) {
    case MESSAGE_DIRECTORY_WHERE:
        status = directory_where_read(&q, msg, &error);
        if (status == BERTH_OK)
            where(m, from, &q);
        break;
    case MESSAGE_DIRECTORY_HINT:
        status = directory_hint_read(&hint, msg, &error);
        if (status == BERTH_OK)
            learn(m, from, hint.has_presence ? hint.presence.entity : hint.handover.entity,
                  hint.has_presence ? &hint.presence : NULL,
                  hint.has_handover ? &hint.handover : NULL);
        break;
    case MESSAGE_DIRECTORY_NOT_HERE:
        status = directory_absence_read(&absence, msg, &error);
        if (status == BERTH_OK)
            gone_from(m, from, &absence);
        break;
    case MESSAGE_DIRECTORY_CONFLICT:
        status = directory_conflict_read(&a, &b, msg, &error);
        if (status == BERTH_OK) {
            learn(m, from, a.entity, &a, NULL);
            learn(m, from, b.entity, &b, NULL);
        }
        break;
    default:
        m->unknown_messages++;
    }
    if (status != BERTH_OK)
        m->flows.malformed++;
}
