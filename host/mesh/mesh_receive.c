/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events on their way in: who may bring them, to which daemon they go or on to which node, and what
 * is answered.
 */
#include "mesh/mesh_private.h"

#include "base/error.h"
#include "base/log.h"

#include <stdlib.h>

/* ---- From the network ------------------------------------------------------------------------ */

static void absent(mesh *m, uint64_t node, const flow_head *h)
{
    writer w = {0};

    m->flows.not_here++;
    directory_absence_write(&w, &(directory_absence){h->id.receiver, h->min_epoch});
    if (!w.failed)
        mesh_send(m, node, LANE_CONTROL, slice_of(w.data, w.len));
    writer_free(&w);
}

static void pass_on(mesh *m, uint64_t node, const flow_head *h, slice msg,
                    const directory_place *place)
{
    writer w = {0};

    flow_forward(&w, msg, place->epoch);
    if (!w.failed)
        mesh_send(m, berth_entity_node_id(place->node), LANE_EVENT, slice_of(w.data, w.len));
    m->flows.forwarded++;
    w.len = 0;
    pthread_mutex_lock(&m->places_lock);
    directory_hint_write(m->directory, h->id.receiver, 0, mesh_wall_s(m), &w);
    pthread_mutex_unlock(&m->places_lock);
    if (w.len && !w.failed)
        mesh_send(m, node, LANE_CONTROL, slice_of(w.data, w.len));
    writer_free(&w);
}

/* Every event of the frame is one. */
static bool events_good(const flow_frame *f)
{
    reader r = reader_of(f->events.ptr, f->events.len);
    berth_error error = {0};
    wire_event e;

    for (uint32_t i = 0; i < f->count; i++)
        if (event_wire_read(&e, reader_bytes(&r, reader_u32(&r)), f->head.id.sender, &error))
            return false;
    return true;
}

typedef struct closing {
    mesh_task task;
    flow_id id;
    uint64_t receiver, serial;
    mesh *m;
} closing;

static void closing_over(mesh *m, mesh_task *t, bool ended)
{
    closing *c = (closing *)t;
    inflow *r = ended ? NULL : map64_get(&m->receivers, c->receiver);

    if (r && r->serial == c->serial)
        inflow_closed(m, r, &c->id);
    free(c);
}

static void cursor_dropped(void *ctx)
{
    closing *c = ctx;

    mesh_post(c->m, &c->task);
}

/* The daemon forgets the flow's cursor first. */
static void close_flow(mesh *m, inflow *r, const flow_id *id)
{
    closing *c = calloc(1, sizeof *c);
    char source[FLOW_SOURCE];

    if (!c)
        return;
    *c = (closing){.task = {.run = closing_over},
                   .id = *id,
                   .receiver = r->origin,
                   .serial = r->serial,
                   .m = m};
    flow_cursor_source(source, &(flow_cursor){id->sender, id->incarnation, id->life, 0});
    if (r->origin == m->key.origin)
        closing_over(m, &c->task, false);
    else if (!runtime_drop_source(m->rt, r->origin, source, cursor_dropped, c))
        free(c);
}

/* node: where the sender lives. */
static void take_in(mesh *m, const flow_head *h, const flow_frame *f, const flow_close *c, buf *msg,
                    uint64_t node, bool direct)
{
    const home *l = places_own(m, h->id.receiver, 0);
    inflow *r;

    if (l && l->chooses && !policy_daemon_takes_from(m, h->id.receiver, node)) {
        m->flows.refused++;
        return;
    }
    r = l ? inflow_of(m, h->id.receiver, l->p.incarnation) : NULL;
    if (!r)
        return;
    if (f) {
        m->flows.received += f->count;
        flow_in_offer(r->in, f, msg, direct);
        inflow_owes(m, r);
        inflow_deliver(m, r);
    } else {
        if (flow_in_close(r->in, c) == BERTH_OK)
            close_flow(m, r, &h->id);
        inflow_owes(m, r);
    }
}

void receive_flow(mesh *m, uint64_t node, uint16_t kind, buf *msg)
{
    slice bytes = slice_of(msg->data, msg->len);
    bool events = kind == MESSAGE_FLOW_EVENTS;
    mesh_node *from = mesh_node_of(m, node);
    directory_carrier carrier;
    directory_place place, source;
    directory_route way;
    berth_error error = {0};
    flow_frame f;
    flow_close c;
    const flow_head *h = events ? &f.head : &c.head;

    if (!from)
        return;
    if ((events ? flow_frame_read(&f, bytes, &error) : flow_close_read(&c, bytes, &error)) ||
        (events && !events_good(&f))) {
        m->flows.malformed++;
        return;
    }
    /* A host that is ending takes nothing, and says nothing: it will be back, or be missed. */
    if (berth_runtime_get_state(m->rt) != BERTH_RUNTIME_READY)
        return;
    if (!policy_takes_from(m, from)) {
        m->flows.refused++;
        return;
    }
    places_own(m, h->id.receiver, 0);
    pthread_mutex_lock(&m->places_lock);
    carrier = directory_carrier_of(m->directory, h->id.sender, h->id.incarnation, h->id.receiver,
                                   from->entity, mesh_wall_s(m));
    way = directory_route_of(m->directory, h->id.receiver, h->min_epoch, h->hops, &place);
    directory_look(m->directory, h->id.sender, &source);
    pthread_mutex_unlock(&m->places_lock);
    if (carrier == CARRIER_UNKNOWN) {
        writer w = {0};

        m->flows.asked++;
        directory_where_write(&w, &(directory_where){h->id.sender, 0});
        if (!w.failed)
            mesh_send(m, node, LANE_CONTROL, slice_of(w.data, w.len));
        writer_free(&w);
        return;
    }
    if (carrier == CARRIER_REFUSED) {
        m->flows.refused++;
        return;
    }
    switch (way) {
    case ROUTE_DELIVER:
        take_in(m, h, events ? &f : NULL, events ? NULL : &c, msg,
                berth_entity_node_id(source.node), carrier == CARRIER_DIRECT);
        break;
    case ROUTE_HOLD:
        break;
    case ROUTE_FORWARD:
        pass_on(m, node, h, bytes, &place);
        break;
    case ROUTE_NOT_HERE:
        absent(m, node, h);
        break;
    }
}

void receive_outlived(mesh *m, uint64_t sender, uint64_t incarnation)
{
    void *value;

    for (size_t at = 0; map64_next(&m->receivers, &at, NULL, &value);) {
        inflow *r = value;
        flow_id id;

        if (flow_in_outlived(r->in, sender, incarnation, &id))
            close_flow(m, r, &id);
    }
}

/* ---- Answers --------------------------------------------------------------------------------- */

void receive_answers(mesh *m)
{
    inflow *list = m->owes;
    writer w = {0};

    m->owes = NULL;
    while (list) {
        inflow *r = list;
        const home *l = map64_get(&m->locals, r->origin);
        flow_ack ack;

        list = r->owes_next;
        r->owes = false;
        while (flow_in_answer(r->in, &ack)) {
            directory_place place;
            uint64_t node;

            ack.epoch = l ? l->p.epoch : 1;
            places_find(m, ack.id.sender, &place);
            w.len = 0;
            flow_ack_write(&w, &ack);
            if (!place.known || w.failed)
                continue;
            node = berth_entity_node_id(place.node);
            if (node == m->key.node_id)
                flows_answer(m, node, slice_of(w.data, w.len));
            else if (mesh_send(m, node, LANE_CONTROL, slice_of(w.data, w.len)) != BERTH_OK)
                m->flows.acks_unsent++;
        }
    }
    writer_free(&w);
}
