/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what has arrived to the daemon that it is for: in batches, in order; what it has no room for
 * waits here, and then with the sender.
 */
#include "mesh/mesh_private.h"

#include "base/error.h"
#include "base/log.h"

#include <stdlib.h>

/* A batch on its way through a daemon. */
typedef struct delivery {
    struct delivery *next;
    mesh *m;
    uint64_t receiver, serial;
    flow_id id;
    uint64_t through;
    bool applied;
} delivery;

/* A daemon that had no room. */
typedef struct room {
    struct room *next;
    mesh *m;
    uint64_t receiver, serial;
} room;

void inflow_owes(mesh *m, inflow *r)
{
    if (r->owes)
        return;
    r->owes = true;
    r->owes_next = m->owes;
    m->owes = r;
}

/* ---- Receivers ------------------------------------------------------------------------------- */

static void inflow_free(mesh *m, inflow *r)
{
    void *value;

    if (!r)
        return;
    for (inflow **at = &m->owes; *at; at = &(*at)->owes_next)
        if (*at == r) {
            *at = r->owes_next;
            break;
        }
    map64_del(&m->receivers, r->origin);
    for (size_t at = 0; map64_next(&r->sources, &at, NULL, &value);)
        free(value);
    map64_fini(&r->sources);
    while (r->parked) {
        batch *b = r->parked;

        r->parked = b->next;
        free(b->ctx);
        batch_free(b);
    }
    flow_in_free(r->in);
    free(r);
}

void inflows_forget(mesh *m, uint64_t origin)
{
    inflow_free(m, map64_get(&m->receivers, origin));
}

static bool remember_source(inflow *r, const flow_id *id)
{
    flow_id *known = map64_get(&r->sources, id->sender);

    if (!known) {
        known = malloc(sizeof *known);
        if (!known || !map64_put(&r->sources, id->sender, known)) {
            free(known);
            return false;
        }
    }
    *known = *id;
    return true;
}

/* What the daemon had applied before it came here. */
static void take_seeds(inflow *r, route_link *l)
{
    while (l && l->seeds) {
        source_seed *s = l->seeds;
        flow_cursor *c = &s->cursor;

        l->seeds = s->next;
        if (flow_in_import(r->in, c) == BERTH_OK)
            remember_source(r, &(flow_id){c->sender, c->incarnation, c->life, r->origin});
        free(s);
    }
}

inflow *inflow_of(mesh *m, uint64_t origin, uint64_t incarnation)
{
    inflow *r = map64_get(&m->receivers, origin);
    flow_in_config config = {.window = RECEIVE_WINDOW, .max_cursors = SOURCES_MAX};
    bool node = origin == m->key.origin;
    route_link *l = node ? m->node_link : map64_get(&m->links, origin);
    uint64_t generation = incarnation << 32;

    if (r)
        return r;
    if (l && atomic_load(&l->generation) > generation)
        generation = atomic_load(&l->generation);
    r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->origin = origin;
    r->serial = ++m->serial;
    r->in = flow_in_new(origin, generation, &config);
    if (!r->in || !map64_put(&m->receivers, origin, r)) {
        flow_in_free(r->in);
        free(r);
        return NULL;
    }
    take_seeds(r, l);
    if (!l)
        runtime_need_link(m->rt, origin); /* so that snapshots know of its flows */
    return r;
}

void inflow_closed(mesh *m, inflow *r, const flow_id *id)
{
    route_link *l = map64_get(&m->links, r->origin);

    flow_in_closed(r->in, id);
    free(map64_del(&r->sources, id->sender));
    if (l)
        atomic_store(&l->generation, flow_in_generation(r->in));
    inflow_owes(m, r);
}

/* ---- To the daemon --------------------------------------------------------------------------- */

/* On the daemon's thread. */
static void through(void *ctx, batch *b)
{
    delivery *d = ctx;
    mesh *m = d->m;
    bool first;

    /* Stopped before, or without room for one more source: it has not had them. */
    d->applied = b->first_status != BERTH_ERR_CANCELLED && b->first_status != BERTH_ERR_LIMIT;
    batch_free(b);
    pthread_mutex_lock(&m->done_lock);
    first = !m->done;
    d->next = m->done;
    m->done = d;
    pthread_mutex_unlock(&m->done_lock);
    if (first)
        mesh_wake(m);
}

static void has_room(void *ctx)
{
    room *x = ctx;
    mesh *m = x->m;

    pthread_mutex_lock(&m->done_lock);
    x->next = m->rooms;
    m->rooms = x;
    pthread_mutex_unlock(&m->done_lock);
    mesh_wake(m);
}

static bool same_channel(const batch *b, const wire_event *e)
{
    return b->common.channel.len == e->channel.len &&
           (!e->channel.len || memcmp(b->common.channel.ptr, e->channel.ptr, e->channel.len) == 0);
}

/* Events of one flow, in a row, that differ only in their bytes travel on together. */
static bool joins(const batch *b, const wire_event *e, const flow_event *f)
{
    const delivery *d = b->ctx;

    return b->count < b->cap && b->common.type == BERTH_EVENT_MESSAGE &&
           e->type == BERTH_EVENT_MESSAGE && !e->asks && !b->common.reply_to.w[3] &&
           flow_id_eq(&d->id, &f->id) && f->sequence == d->through + 1 && !f->lost &&
           (e->linked != 0) == (b->messages[0].origin != 0) && same_channel(b, e);
}

/* Where the sender lives; 0: here. Nobody knows where: all of these are as one node. */
static uint64_t home_of(mesh *m, uint64_t sender)
{
    directory_place place;
    uint64_t node = UINT64_MAX;

    pthread_mutex_lock(&m->places_lock);
    directory_look(m->directory, sender, &place);
    pthread_mutex_unlock(&m->places_lock);
    if (place.known)
        node = berth_entity_node_id(place.node);
    return node == m->key.node_id ? 0 : node;
}

static batch *begin_batch(mesh *m, const inflow *r, const wire_event *e, const flow_event *f)
{
    batch *b = batch_new(e->asks || e->type == BERTH_EVENT_REPLY ? 1 : RECEIVE_BATCH, 0);
    delivery *d = calloc(1, sizeof *d);

    if (!b || !d) {
        batch_free(b);
        free(d);
        return NULL;
    }
    *d = (delivery){.m = m, .receiver = r->origin, .serial = r->serial, .id = f->id};
    b->common = (berth_event){.type = e->type,
                              .flags = e->more ? BERTH_MORE : 0,
                              .origin = f->id.sender,
                              .channel = {e->channel.ptr, e->channel.len},
                              .request = e->type == BERTH_EVENT_REPLY ? e->request : 0,
                              .status = e->status};
    if (e->asks)
        b->common.reply_to =
            (berth_ref){{f->id.sender, e->request, e->incarnation, REPLY_TO_DAEMON}};
    b->peer = home_of(m, f->id.sender);
    b->done = through;
    b->ctx = d;
    flow_cursor_source(b->source, &(flow_cursor){f->id.sender, f->id.incarnation, f->id.life, 0});
    b->source_seq = f->sequence;
    return b;
}

/* Takes over f's reference. */
static void add_event(batch *b, const wire_event *e, const flow_event *f)
{
    delivery *d = b->ctx;

    b->messages[b->count++] = (message){.data = e->payload.ptr,
                                        .len = e->payload.len,
                                        .hold = f->hold,
                                        .origin = e->linked ? f->id.sender : 0,
                                        .sequence = e->linked ? e->sequence : 0};
    b->bytes += e->payload.len;
    d->through = f->sequence;
}

typedef enum submitted { TAKEN, PARKED, GONE } submitted;

/* PARKED: b comes before everything else when there is room. GONE: so are r and b. */
static submitted submit(mesh *m, inflow *r, batch *b)
{
    delivery *d = b->ctx;
    flow_id *known = map64_get(&r->sources, d->id.sender);
    berth_error error = {0};
    berth_status status;
    room *x;

    if (known && !flow_id_eq(known, &d->id)) {
        char old[FLOW_SOURCE];

        flow_cursor_source(old, &(flow_cursor){known->sender, known->incarnation, known->life, 0});
        runtime_drop_source(m->rt, r->origin, old, NULL, NULL);
    }
    x = calloc(1, sizeof *x);
    if (!x || !remember_source(r, &d->id)) {
        free(x);
        goto gone;
    }
    *x = (room){.m = m, .receiver = r->origin, .serial = r->serial};
    status = runtime_submit_here(m->rt, r->origin, b, has_room, x, &error);
    if (status == BERTH_ERR_WOULD_BLOCK) {
        b->next = r->parked;
        r->parked = b;
        r->waiting = true;
        return PARKED;
    }
    free(x);
    if (status == BERTH_OK) {
        r->underway++;
        return TAKEN;
    }
    if (status == BERTH_ERR_LIMIT) {
        /* Larger than this host takes: it is dealt with as one that the daemon refused. */
        log_warn("mesh", "%016llx: %s", (unsigned long long)r->origin, error.text);
        m->flows.malformed++;
        flow_in_applied(r->in, &d->id, d->through);
        flow_in_durable(r->in, &d->id, d->through);
        free(d);
        batch_free(b);
        return TAKEN;
    }
gone:
    free(d);
    batch_free(b);
    inflow_free(m, r); /* it is being stopped: whoever sent it sends it again, elsewhere */
    return GONE;
}

/* Its own are for those who follow channels here. */
static void hear(mesh *m, inflow *r)
{
    flow_event f;

    while (flow_in_next(r->in, &f)) {
        berth_error error = {0};
        wire_event e;

        if (event_wire_read(&e, f.bytes, f.id.sender, &error) == BERTH_OK && e.channel.len) {
            buf *bytes = buf_new(EVENT_WIRE_LINK + e.payload.len);

            if (bytes) {
                if (e.linked)
                    memcpy(bytes->data, e.link, EVENT_WIRE_LINK + e.payload.len);
                else {
                    memset(bytes->data, 0, EVENT_WIRE_LINK);
                    if (e.payload.len)
                        memcpy(bytes->data + EVENT_WIRE_LINK, e.payload.ptr, e.payload.len);
                }
                runtime_channel_hear(m->rt, e.channel, bytes);
                buf_unref(bytes);
            }
        }
        m->flows.applied++;
        flow_in_applied(r->in, &f.id, f.sequence);
        flow_in_durable(r->in, &f.id, f.sequence);
        buf_unref(f.hold);
    }
    inflow_owes(m, r);
}

/* What waited goes first. */
static submitted deliver_parked(mesh *m, inflow *r)
{
    while (r->parked) {
        batch *b = r->parked;
        submitted what;

        r->parked = b->next;
        what = submit(m, r, b);
        if (what != TAKEN)
            return what;
    }
    return TAKEN;
}

void inflow_deliver(mesh *m, inflow *r)
{
    submitted what = TAKEN;
    batch *b = NULL;
    flow_event f;

    if (r->origin == m->key.origin) {
        hear(m, r);
        return;
    }
    if (r->waiting || deliver_parked(m, r) != TAKEN)
        return;
    while (what == TAKEN && flow_in_next(r->in, &f)) {
        berth_error error = {0};
        wire_event e;
        batch *full = NULL;

        event_wire_read(&e, f.bytes, f.id.sender, &error); /* it was good when it came */
        if (b && !joins(b, &e, &f)) {
            full = b;
            b = NULL;
        }
        if (!b)
            b = begin_batch(m, r, &e, &f);
        if (!b) {
            buf_unref(f.hold);
            if (full) {
                free(full->ctx);
                batch_free(full);
            }
            inflow_free(m, r); /* out of memory: all that waits is sent again */
            return;
        }
        add_event(b, &e, &f);
        if (full)
            what = submit(m, r, full);
    }
    if (b && what == TAKEN) {
        submit(m, r, b);
    } else if (b && what == PARKED) {
        r->parked->next = b; /* behind the one that has no room */
        b->next = NULL;
    } else if (b) {
        free(b->ctx);
        batch_free(b);
    }
}

void inflows_done(mesh *m)
{
    delivery *list, *oldest = NULL;
    room *rooms;

    pthread_mutex_lock(&m->done_lock);
    list = m->done;
    rooms = m->rooms;
    m->done = NULL;
    m->rooms = NULL;
    pthread_mutex_unlock(&m->done_lock);
    while (list) {
        delivery *next = list->next;

        list->next = oldest;
        oldest = list;
        list = next;
    }
    while (oldest) {
        delivery *d = oldest;
        inflow *r = map64_get(&m->receivers, d->receiver);

        oldest = d->next;
        if (r && r->serial == d->serial) {
            r->underway--;
            if (d->applied) {
                m->flows.applied++;
                flow_in_applied(r->in, &d->id, d->through);
                flow_in_durable(r->in, &d->id, d->through);
                inflow_owes(m, r);
            } else {
                inflow_free(m, r);
            }
        }
        free(d);
    }
    while (rooms) {
        room *x = rooms;
        inflow *r = map64_get(&m->receivers, x->receiver);

        rooms = x->next;
        if (r && r->serial == x->serial) {
            r->waiting = false;
            inflow_deliver(m, r);
        }
        free(x);
    }
}

void inflows_fini(mesh *m)
{
    void *value;

    for (;;) {
        size_t at = 0;

        if (!map64_next(&m->receivers, &at, NULL, &value))
            break;
        inflow_free(m, value);
    }
    map64_fini(&m->receivers);
    while (m->done) {
        delivery *d = m->done;

        m->done = d->next;
        free(d);
    }
    while (m->rooms) {
        room *x = m->rooms;

        m->rooms = x->next;
        free(x);
    }
}
