/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events on their way out: each outbox hands out frames, the directory says which node gets them,
 * answers empty it. What finds no session or no room stays where it is.
 */
#include "mesh/mesh_private.h"

#include "base/error.h"
#include "base/log.h"

#include <stdlib.h>

/* What a daemon that has ended had sent is tried for so long. */
#define ORPHAN_NS (30 * S_NS)

/* A flow over which nothing has been said for so long is closed; sooner where there are many. */
#define IDLE_NS (300 * S_NS)
#define MANY    3000 /* of the 4,096 that an outbox has room for */
#define MANY_NS S_NS

/* ---- Who sends to whom ----------------------------------------------------------------------- */

static outflow *target_of(mesh *m, uint64_t origin)
{
    outflow *t = map64_get(&m->targets, origin);

    if (t)
        return t;
    t = calloc(1, sizeof *t);
    if (!t || !map64_put(&m->targets, origin, t)) {
        free(t);
        return NULL;
    }
    t->origin = origin;
    return t;
}

static void target_add(outflow *t, route_link *l)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->links[i] == l)
            return;
    if (t->count == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 2;
        route_link **more = realloc(t->links, cap * sizeof(route_link *));

        if (!more)
            return; /* its own deadline finds the new place later */
        t->links = more;
        t->cap = cap;
    }
    t->links[t->count++] = l;
}

static void target_free(mesh *m, outflow *t)
{
    map64_del(&m->targets, t->origin);
    free(t->links);
    free(t);
}

static void target_remove(mesh *m, outflow *t, const route_link *l)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->links[i] == l)
            t->links[i--] = t->links[--t->count];
    if (!t->count)
        target_free(m, t);
}

/* ---- One frame ------------------------------------------------------------------------------- */

static void stall(mesh *m, mesh_node *n, route_link *l, uint64_t receiver, slice frame)
{
    flow_out *flows;

    if (n->stall_count == n->stall_cap) {
        size_t cap = n->stall_cap ? 2 * n->stall_cap : 8;
        stall_entry *more = realloc(n->stalls, cap * sizeof *more);

        if (!more)
            return; /* sent again at its deadline */
        n->stalls = more;
        n->stall_cap = cap;
    }
    n->stalls[n->stall_count++] = (stall_entry){l, receiver};
    m->flows.stalled++;
    pthread_mutex_lock(&l->lock);
    flows = l->outs[0].flows;
    flow_out_stall(flows, receiver, frame);
    pthread_mutex_unlock(&l->lock);
}

/* m->frame is for this receiver. */
static void frame_out(mesh *m, route_link *l, uint64_t receiver, uint64_t incarnation)
{
    outflow *t = target_of(m, receiver);
    slice frame = slice_of(m->frame.data, m->frame.len);
    directory_place place;
    berth_status status = BERTH_ERR_NOT_READY;
    mesh_node *n = NULL;

    if (t)
        target_add(t, l);
    if (map64_get(&m->links, receiver) && !map64_get(&m->locals, receiver))
        places_own(m, receiver, 0); /* one of ours, in a queue group */
    if (m->idle_look_ns == NEVER)
        m->idle_look_ns = m->now_ns + IDLE_LOOK_NS;
    places_find(m, receiver, &place);
    if (t && place.known) {
        t->unknown_ns = 0;
    } else if (t && !t->unknown_ns) {
        t->unknown_ns = m->now_ns;
        mesh_sweep_in(m, SWEEP_NS);
    }
    if (place.known && !place.conflict)
        n = mesh_node_of(m, berth_entity_node_id(place.node));
    if (n && n->id == m->key.node_id) {
        /* It has come here since, or it is its turn in a queue group: the way is short, but the
         * rules are the same. */
        buf *b;

        places_own(m, l->origin, incarnation);
        flow_address(m->frame.data, place.epoch);
        b = buf_copy(frame.ptr, frame.len);
        if (b)
            receive_flow(m, n->id, message_kind(slice_of(b->data, b->len)), b);
        buf_unref(b);
        return;
    }
    if (n)
        peers_want(m->peers, n->id, m->now_ns);
    if (n && n->up) {
        flow_address(m->frame.data, place.epoch);
        places_hint(m, l->entity, incarnation, n, LANE_EVENT);
        status = mesh_send(m, n->id, LANE_EVENT, frame);
    }
    if (status == BERTH_OK)
        return;
    if (status == BERTH_ERR_WOULD_BLOCK) {
        stall(m, n, l, receiver, frame);
        return;
    }
    m->flows.unsent++;
    pthread_mutex_lock(&l->lock);
    if (l->out_count)
        flow_out_unsent(l->outs[0].flows, receiver);
    pthread_mutex_unlock(&l->lock);
}

/* Under l->lock: an incarnation that is over, and whose events have all arrived, makes room for the
 * next. */
static void advance(route_link *l)
{
    while (l->out_count > 1) {
        flow_out_stats s;

        flow_out_get_stats(l->outs[0].flows, &s);
        if (s.events)
            return;
        flow_out_free(l->outs[0].flows);
        memmove(l->outs, l->outs + 1, --l->out_count * sizeof *l->outs);
    }
}

/* Send what may be sent now; false: it has ended, and nothing is left. */
static bool flush(mesh *m, route_link *l)
{
    int64_t due = NEVER;
    bool waits = false;

    for (;;) {
        uint64_t receiver = 0, incarnation = 0;
        bool polled;

        m->frame.len = 0;
        pthread_mutex_lock(&l->lock);
        advance(l);
        polled = l->out_count && !l->hushed &&
                 flow_out_poll(l->outs[0].flows, m->now_ns, &m->frame, &receiver);
        if (l->out_count && !l->hushed) {
            incarnation = l->outs[0].incarnation;
            due = flow_out_deadline(l->outs[0].flows);
        }
        if (!polled) {
            flow_out_stats s;

            link_stats(l, &s);
            waits = s.events != 0;
        }
        pthread_mutex_unlock(&l->lock);
        if (!polled)
            break;
        if (m->frame.failed) {
            writer_free(&m->frame);
            m->frame = (writer){0};
            continue; /* as if it had been lost on the way */
        }
        frame_out(m, l, receiver, incarnation);
    }
    heap_remove(&m->dues, &l->due);
    l->due.due_ns = due;
    if (due != NEVER)
        heap_push(&m->dues, &l->due);
    return !l->detached || (waits && m->now_ns - l->detached_ns < ORPHAN_NS);
}

/* ---- Links come and go ----------------------------------------------------------------------- */

typedef struct lost_events {
    mesh *m;
    const route_link *link;
    uint64_t receiver;
} lost_events;

/* Under the link's lock nobody is told: what is lost is gathered first. */
static void keep_lost(void *ctx, slice event)
{
    writer_u32(ctx, (uint32_t)event.len);
    writer_bytes(ctx, event.ptr, event.len);
}

static void tell_lost(const lost_events *x, writer *events)
{
    reader r = reader_of(events->data, events->len);

    while (!events->failed && reader_left(&r)) {
        slice event = reader_bytes(&r, reader_u32(&r));
        berth_error error = {0};
        wire_event e;

        x->m->flows.undelivered++;
        if (!x->link->node && event_wire_read(&e, event, x->link->origin, &error) == BERTH_OK)
            runtime_undelivered(x->m->rt, x->link->origin, x->receiver, e.asks ? e.request : 0,
                                BERTH_REPLY_UNKNOWN);
    }
    writer_free(events);
}

void flows_forget(mesh *m, route_link *l)
{
    void *value;
    uint64_t *gone = malloc((m->targets.count + 1) * sizeof *gone);
    size_t n = 0;

    for (size_t at = 0; gone && map64_next(&m->targets, &at, NULL, &value);) {
        outflow *t = value;

        for (size_t i = 0; i < t->count; i++)
            if (t->links[i] == l)
                gone[n++] = t->origin;
    }
    while (n--)
        target_remove(m, map64_get(&m->targets, gone[n]), l);
    free(gone);
    for (size_t at = 0; map64_next(&m->nodes, &at, NULL, &value);) {
        mesh_node *node = value;

        for (size_t i = 0; i < node->stall_count; i++)
            if (node->stalls[i].link == l)
                node->stalls[i--] = node->stalls[--node->stall_count];
    }
    for (size_t i = 0; i < m->link_count; i++)
        if (m->all_links[i] == l)
            m->all_links[i--] = m->all_links[--m->link_count];
    if (map64_get(&m->links, l->origin) == l) {
        map64_del(&m->links, l->origin);
        if (!l->elsewhere)
            places_gone(m, l->origin);
    }
    heap_remove(&m->dues, &l->due);
    link_free(l);
}

/* Its daemon has ended and what it sent has arrived, or is given up. */
static void end_link(mesh *m, route_link *l)
{
    flow_out_stats s;

    pthread_mutex_lock(&l->lock);
    link_stats(l, &s);
    pthread_mutex_unlock(&l->lock);
    m->flows.undelivered += s.events;
    flows_forget(m, l);
}

void flows_flush(mesh *m)
{
    route_link *list;

    pthread_mutex_lock(&m->task_lock);
    list = m->dirty;
    m->dirty = NULL;
    pthread_mutex_unlock(&m->task_lock);
    while (list) {
        route_link *l = list;
        bool again;

        list = l->dirty_next;
        pthread_mutex_lock(&l->lock);
        l->dirty = false;
        pthread_mutex_unlock(&l->lock);
        if (flush(m, l))
            continue;
        pthread_mutex_lock(&l->lock);
        again = l->dirty; /* an answer came while it was sending */
        pthread_mutex_unlock(&l->lock);
        if (!again)
            end_link(m, l);
    }
}

void flows_expire(mesh *m)
{
    heap_node *n;

    while ((n = heap_pop_due(&m->dues, m->now_ns))) {
        route_link *l = (route_link *)n;

        pthread_mutex_lock(&l->lock);
        if (l->out_count)
            flow_out_expire(l->outs[0].flows, m->now_ns);
        pthread_mutex_unlock(&l->lock);
        link_touch(l);
    }
}

/* ---- What the others say --------------------------------------------------------------------- */

void flows_answer(mesh *m, uint64_t node, slice msg)
{
    mesh_node *from = mesh_node_of(m, node);
    berth_error error = {0};
    route_link *l;
    outflow *t;
    flow_ack ack;
    bool heard;

    if (flow_ack_read(&ack, msg, &error) != BERTH_OK) {
        m->flows.malformed++;
        return;
    }
    l = ack.id.sender == m->key.origin ? m->node_link : map64_get(&m->links, ack.id.sender);
    if (!l || !from)
        return;
    pthread_mutex_lock(&m->places_lock);
    heard = directory_speaks_for(m->directory, ack.id.receiver, ack.epoch, from->entity);
    pthread_mutex_unlock(&m->places_lock);
    if (!heard) {
        m->flows.refused++;
        return;
    }
    pthread_mutex_lock(&l->lock);
    if (l->out_count)
        flow_out_answer(l->outs[0].flows, &ack, m->now_ns);
    pthread_mutex_unlock(&l->lock);
    if (ack.answer == FLOW_CLOSED && (t = map64_get(&m->targets, ack.id.receiver)))
        target_remove(m, t, l); /* it is put back by the next frame */
    link_wake(l);
    link_touch(l);
}

void flows_moved(mesh *m, uint64_t origin)
{
    outflow *t = map64_get(&m->targets, origin);

    for (size_t i = 0; t && i < t->count; i++) {
        route_link *l = t->links[i];

        pthread_mutex_lock(&l->lock);
        if (l->out_count)
            flow_out_moved(l->outs[0].flows, origin);
        pthread_mutex_unlock(&l->lock);
        link_touch(l);
    }
}

void flows_node_up(mesh *m, mesh_node *n)
{
    void *value;

    n->stall_count = 0;
    for (size_t at = 0; map64_next(&m->targets, &at, NULL, &value);) {
        outflow *t = value;
        directory_place place;

        pthread_mutex_lock(&m->places_lock);
        directory_look(m->directory, t->origin, &place);
        pthread_mutex_unlock(&m->places_lock);
        if (!place.known)
            places_ask_one(m, n->id, t->origin);
        else if (berth_entity_node_id(place.node) == n->id)
            flows_moved(m, t->origin);
    }
}

void flows_node_room(mesh *m, mesh_node *n)
{
    size_t count = n->stall_count;
    stall_entry *list = n->stalls;

    (void)m;
    n->stalls = NULL;
    n->stall_count = n->stall_cap = 0;
    for (size_t i = 0; i < count; i++) {
        route_link *l = list[i].link;

        pthread_mutex_lock(&l->lock);
        if (l->out_count)
            flow_out_room(l->outs[0].flows, list[i].receiver);
        pthread_mutex_unlock(&l->lock);
        link_touch(l);
    }
    free(list);
}

static void drop_target(mesh *m, const outflow *t)
{
    log_warn("mesh", "origin %016llx: no node knows it; what was sent there is given up",
             (unsigned long long)t->origin);
    for (size_t i = 0; i < t->count; i++) {
        route_link *l = t->links[i];
        lost_events x = {m, l, t->origin};
        writer events = {0};

        pthread_mutex_lock(&l->lock);
        if (l->out_count)
            flow_out_drop(l->outs[0].flows, t->origin, keep_lost, &events);
        pthread_mutex_unlock(&l->lock);
        tell_lost(&x, &events);
        link_wake(l);
        link_touch(l);
    }
}

void flows_sweep(mesh *m)
{
    uint64_t *gone = malloc((m->targets.count + 1) * sizeof *gone);
    size_t n = 0;
    bool unknown = false;
    void *value;

    for (size_t at = 0; gone && map64_next(&m->targets, &at, NULL, &value);) {
        outflow *t = value;

        unknown |= t->unknown_ns != 0;
        if (t->unknown_ns && m->now_ns - t->unknown_ns > m->config.unknown_ns)
            gone[n++] = t->origin;
    }
    if (unknown || m->calls_searching)
        places_walk(m);
    while (n--) {
        outflow *t = map64_get(&m->targets, gone[n]);

        drop_target(m, t);
        target_free(m, t);
    }
    free(gone);
    for (size_t i = 0; i < m->link_count; i++)
        if (m->all_links[i]->detached)
            link_touch(m->all_links[i]);
}

/* Only where something may become overdue. */
bool flows_need_sweep(const mesh *m)
{
    void *value;

    for (size_t at = 0; map64_next(&m->targets, &at, NULL, &value);)
        if (((const outflow *)value)->unknown_ns)
            return true;
    for (size_t i = 0; i < m->link_count; i++)
        if (m->all_links[i]->detached)
            return true;
    return false;
}

void flows_close_idle(mesh *m)
{
    for (size_t i = 0; i <= m->link_count; i++) {
        route_link *l = i < m->link_count ? m->all_links[i] : m->node_link;
        size_t closed = 0;
        flow_out_stats s;

        pthread_mutex_lock(&l->lock);
        if (l->out_count) {
            flow_out_get_stats(l->outs[0].flows, &s);
            closed = flow_out_close_idle(l->outs[0].flows,
                                         m->now_ns - (s.flows > MANY ? MANY_NS : IDLE_NS));
        }
        pthread_mutex_unlock(&l->lock);
        if (closed)
            link_touch(l);
    }
}

bool flows_quiet(mesh *m)
{
    for (size_t i = 0; i <= m->link_count; i++) {
        route_link *l = i < m->link_count ? m->all_links[i] : m->node_link;
        flow_out_stats s;

        pthread_mutex_lock(&l->lock);
        link_stats(l, &s);
        pthread_mutex_unlock(&l->lock);
        if (s.events)
            return false;
    }
    return true;
}

void flows_fini(mesh *m)
{
    void *value;

    for (size_t at = 0; map64_next(&m->targets, &at, NULL, &value);) {
        free(((outflow *)value)->links);
        free(value);
    }
    map64_fini(&m->targets);
    for (size_t i = 0; i < m->link_count; i++)
        link_free(m->all_links[i]);
    free(m->all_links);
    map64_fini(&m->links);
    link_free(m->node_link);
    heap_fini(&m->dues);
    writer_free(&m->frame);
}
