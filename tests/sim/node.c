/* SPDX-License-Identifier: Apache-2.0 */
/* What a host does with the machines: routes, applies, journals, asks, answers. */
#include "sim.h"

#include <stdlib.h>

int64_t node_now(const world *w, int n)
{
    return (int64_t)((double)w->now * w->nodes[n].rate);
}

int64_t node_wall(const world *w)
{
    return 1000 + w->now / SEC;
}

static void broadcast(world *w, int n, const writer *message)
{
    for (int i = 0; i < w->options.nodes; i++)
        if (i != n)
            sim_send(w, n, i, message);
}

static void ask(world *w, int n, uint64_t origin, uint64_t epoch)
{
    writer message = {0};

    directory_where_write(&message, &(directory_where){origin, epoch});
    broadcast(w, n, &message);
    writer_free(&message);
}

presence node_presence(const world *w, int n, int d, uint64_t epoch, uint64_t incarnation)
{
    presence p = {.epoch = epoch, .incarnation = incarnation, .not_after_s = node_wall(w) + 3600};
    uint8_t bytes[SIGNED_MAX];

    memcpy(p.entity, w->daemons[d].entity, sizeof p.entity);
    memcpy(p.node, w->nodes[n].entity, sizeof p.node);
    sim_sign(p.entity, bytes, presence_signed(bytes, &p), p.signature);
    return p;
}

void node_announce(world *w, int n, int d)
{
    writer message = {0};

    if (directory_hint_write(w->nodes[n].directory, w->daemons[d].origin, 0, node_wall(w),
                             &message))
        broadcast(w, n, &message);
    writer_free(&message);
}

bool node_gate_open(const world *w, int n, int d)
{
    const node *x = &w->nodes[n];

    return x->up && x->running[d] && x->running[d]->hold < 0 &&
           directory_owns(x->directory, w->daemons[d].origin);
}

/* ---- What a daemon does ---- */

static int some_receiver(world *w, int d)
{
    int to = (int)sim_random(w, (uint64_t)w->options.daemons);

    return to != d && w->daemons[to].keeps_journal ? to : -1;
}

static void make_output(world *w, instance *i, int d, record *r, int k)
{
    int to = some_receiver(w, d);

    if (to < 0 || (k == 1 && r->to[0] == to))
        return;
    r->to[k] = to;
    r->number[k] = ++i->made[to];
}

void node_send(world *w, int n, int d)
{
    instance *i = w->nodes[n].running[d];
    record r = {.kind = RECORD_RUN, .to = {-1, -1}};
    daemon *x = &w->daemons[d];

    if (!node_gate_open(w, n, d) || w->healed || w->nodes[n].disk[d].length - i->released > 50)
        return;
    if (x->keeps_journal) {
        make_output(w, i, d, &r, 0);
        make_output(w, i, d, &r, 1);
        node_append(w, n, d, &r);
    } else {
        int to = some_receiver(w, d);
        bool blocked = true;

        if (to >= 0)
            node_put_out(w, d, i, to, i->made[to] + 1, &blocked);
        if (!blocked)
            x->sent[to] = (count){i->incarnation, ++i->made[to]};
    }
    node_pump(w, n);
}

static void apply(world *w, int n, int d, int budget)
{
    instance *i = w->nodes[n].running[d];
    flow_event e;

    while (budget-- > 0 && node_gate_open(w, n, d) && flow_in_next(i->inbox, &e)) {
        record r = {.kind = RECORD_RUN, .id = e.id, .through = e.sequence, .to = {-1, -1}};
        int to;

        check_apply(w, n, d, &e);
        if (!payload_read(e.bytes, &r.from, &to, &r.input)) {
            buf_unref(e.hold);
            return;
        }
        sim_trace(w, "node %d: daemon %d applies %d/%d of daemon %d", n, d,
                  (int)r.input.incarnation, (int)r.input.n, r.from);
        i->seen[r.from] = r.input;
        w->applied++;
        flow_in_applied(i->inbox, &e.id, e.sequence);
        if (!w->healed && sim_chance(w, 0.25))
            make_output(w, i, d, &r, 0);
        node_append(w, n, d, &r);
        buf_unref(e.hold);
    }
}

/* ---- Sending ---- */

static void poll_flows(world *w, int n, instance *i)
{
    node *x = &w->nodes[n];
    uint64_t receiver;
    writer message = {0};

    while (flow_out_poll(i->outbox, node_now(w, n), &message, &receiver)) {
        directory_place place;

        directory_resolve(x->directory, receiver, node_now(w, n), node_wall(w), &place);
        if (place.known) {
            flow_address(message.data, place.epoch);
            sim_send(w, n, sim_node_of(w, place.node), &message);
        } else {
            flow_out_unsent(i->outbox, receiver);
        }
        if (place.ask)
            ask(w, n, receiver, place.epoch);
        message.len = 0;
    }
    writer_free(&message);
}

static void send_answers(world *w, int n, instance *i)
{
    node *x = &w->nodes[n];
    flow_ack ack;

    while (flow_in_answer(i->inbox, &ack)) {
        writer message = {0};
        directory_place place;

        ack.epoch = i->epoch;
        directory_resolve(x->directory, ack.id.sender, node_now(w, n), node_wall(w), &place);
        flow_ack_write(&message, &ack);
        if (place.known)
            sim_send(w, n, sim_node_of(w, place.node), &message);
        if (place.ask)
            ask(w, n, ack.id.sender, place.epoch);
        writer_free(&message);
    }
}

/* Flows over which nothing has been said for a while are closed, so that others find room. */
static void close_idle(world *w, int n, int d)
{
    instance *i = w->nodes[n].running[d];
    image *disk = &w->nodes[n].disk[d];

    if (!w->options.closes || !node_gate_open(w, n, d) || i->released != disk->length ||
        !(w->options.cursors || sim_chance(w, 0.1)))
        return;
    for (int to = 0; to < w->options.daemons; to++) {
        uint64_t acknowledged = flow_out_acknowledged(i->outbox, w->daemons[to].origin);
        record r = {.kind = RECORD_OUT_CLOSE, .to = {to, -1}};

        if (!acknowledged || i->life_base[to] + acknowledged != i->out[to] ||
            i->out[to] != i->made[to] || i->closing_out[to])
            continue;
        sim_trace(w, "node %d: daemon %d closes its flow to daemon %d", n, d, to);
        i->closing_out[to] = true;
        if (w->daemons[d].keeps_journal)
            node_append(w, n, d, &r);
        else
            flow_out_close(i->outbox, w->daemons[to].origin);
        return;
    }
}

/* A sender that began anew does not come back for its old flows. */
static void close_outlived(world *w, int n, int d)
{
    instance *i = w->nodes[n].running[d];

    for (int from = 0; from < w->options.daemons && i->hold < 0; from++) {
        record r = {.kind = RECORD_IN_CLOSE, .from = from, .to = {-1, -1}};
        directory_place place;

        directory_look(w->nodes[n].directory, w->daemons[from].origin, &place);
        if (i->closing_in[from] ||
            !flow_in_outlived(i->inbox, w->daemons[from].origin, place.incarnation, &r.id))
            continue;
        i->closing_in[from] = true;
        node_append(w, n, d, &r);
    }
}

void node_pump(world *w, int n)
{
    node *x = &w->nodes[n];

    for (int d = 0; d < w->options.daemons; d++) {
        instance *i = x->running[d];

        if (!i)
            continue;
        node_release(w, n, d);
        if (i->hold < 0) /* what is on its way to another node is not sent from here */
            poll_flows(w, n, i);
        send_answers(w, n, i);
    }
}

void node_tick(world *w, int n)
{
    node *x = &w->nodes[n];

    for (int d = 0; d < w->options.daemons; d++) {
        instance *i = x->running[d];

        if (!i)
            continue;
        apply(w, n, d, 64);
        flow_out_expire(i->outbox, node_now(w, n));
        close_idle(w, n, d);
        close_outlived(w, n, d);
        if (sim_chance(w, 0.02))
            node_announce(w, n, d);
    }
    move_tick(w, n);
    if (x->evil)
        node_evil(w, n);
    node_pump(w, n);
    check_node(w, n);
}

/* ---- Receiving ---- */

/* The origin may have a new place: whoever waits for its answers sends again. */
static void learn(world *w, int n, int from, const presence *p, const handover *h)
{
    node *x = &w->nodes[n];
    const uint8_t *entity = p ? p->entity : h->entity;
    uint64_t origin = berth_entity_origin(entity);
    directory_place before, after;
    berth_error error = {0};
    berth_status status;

    directory_look(x->directory, origin, &before);
    status = directory_learn(x->directory, w->nodes[from].entity, p, h, node_wall(w), &error);
    directory_look(x->directory, origin, &after);
    for (int d = 0; d < w->options.daemons; d++) {
        if (!x->running[d])
            continue;
        if (w->daemons[d].origin == origin && !after.local) {
            sim_trace(w, "node %d: daemon %d has moved on without it", n, d);
            x->disk[d].owned = false;
            node_close(w, n, d);
        } else if (!status && (before.epoch != after.epoch || !before.known)) {
            flow_out_moved(x->running[d]->outbox, origin);
        }
    }
    if (status == BERTH_ERR_BUSY && !before.conflict) {
        writer message = {0};
        presence a, b;

        if (directory_conflict(x->directory, origin, &a, &b)) {
            directory_conflict_write(&message, &a, &b);
            broadcast(w, n, &message);
        }
        writer_free(&message);
    }
}

static void absent(world *w, int n, int to, uint64_t origin, uint64_t epoch)
{
    writer message = {0};

    directory_absence_write(&message, &(directory_absence){origin, epoch});
    sim_send(w, n, to, &message);
    writer_free(&message);
}

static void take_in(world *w, int n, const flow_head *h, const flow_frame *f, const flow_close *c,
                    buf *bytes, bool direct)
{
    int d = sim_daemon_of(w, h->id.receiver), from = sim_daemon_of(w, h->id.sender);
    instance *i = w->nodes[n].running[d];

    if (!i)
        return;
    if (c && i->hold >= 0)
        return;
    if (f) {
        flow_in_offer(i->inbox, f, bytes, direct);
        apply(w, n, d, (int)sim_random(w, 9));
    } else if (flow_in_close(i->inbox, c) == BERTH_OK && !i->closing_in[from]) {
        record r = {.kind = RECORD_IN_CLOSE, .id = h->id, .from = from, .to = {-1, -1}};

        i->closing_in[from] = true;
        node_append(w, n, d, &r);
    }
}

static void to_receiver(world *w, int n, int from, buf *bytes, uint16_t kind)
{
    node *x = &w->nodes[n];
    slice message = slice_of(bytes->data, bytes->len);
    berth_error error = {0};
    directory_carrier carrier;
    directory_place place;
    flow_frame f;
    flow_close c;
    const flow_head *h = kind == MESSAGE_FLOW_EVENTS ? &f.head : &c.head;
    writer on = {0};

    if (kind == MESSAGE_FLOW_EVENTS ? flow_frame_read(&f, message, &error)
                                    : flow_close_read(&c, message, &error))
        return;
    carrier = directory_carrier_of(x->directory, h->id.sender, h->id.incarnation, h->id.receiver,
                                   w->nodes[from].entity, node_wall(w));
    if (carrier == CARRIER_UNKNOWN) {
        directory_where_write(&on, &(directory_where){h->id.sender, 0});
        sim_send(w, n, from, &on);
    } else if (carrier != CARRIER_REFUSED) {
        switch (directory_route_of(x->directory, h->id.receiver, h->min_epoch, h->hops, &place)) {
        case ROUTE_DELIVER:
            take_in(w, n, h, kind == MESSAGE_FLOW_EVENTS ? &f : NULL,
                    kind == MESSAGE_FLOW_EVENTS ? NULL : &c, bytes, carrier == CARRIER_DIRECT);
            break;
        case ROUTE_HOLD:
            break;
        case ROUTE_FORWARD:
            flow_forward(&on, message, place.epoch);
            sim_send(w, n, sim_node_of(w, place.node), &on);
            on.len = 0;
            if (directory_hint_write(x->directory, h->id.receiver, 0, node_wall(w), &on))
                sim_send(w, n, from, &on);
            break;
        case ROUTE_NOT_HERE:
            absent(w, n, from, h->id.receiver, h->min_epoch);
            break;
        }
    }
    writer_free(&on);
}

static void answered(world *w, int n, int from, slice message)
{
    node *x = &w->nodes[n];
    berth_error error = {0};
    flow_ack ack;
    int d;

    if (flow_ack_read(&ack, message, &error))
        return;
    d = sim_daemon_of(w, ack.id.sender);
    if (d < 0 || !x->running[d] || x->running[d]->hold >= 0 ||
        !directory_speaks_for(x->directory, ack.id.receiver, ack.epoch, w->nodes[from].entity))
        return;
    flow_out_answer(x->running[d]->outbox, &ack, node_now(w, n));
    check_answer(w, n, d, ack.id.receiver);
}

static void about_directory(world *w, int n, int from, uint16_t kind, slice message)
{
    node *x = &w->nodes[n];
    berth_error error = {0};
    directory_absence absence;
    directory_where where;
    directory_hint hint;
    presence a, b;
    writer answer = {0};

    if (kind == MESSAGE_DIRECTORY_WHERE && !directory_where_read(&where, message, &error)) {
        if (directory_hint_write(x->directory, where.origin, where.min_epoch, node_wall(w),
                                 &answer))
            sim_send(w, n, from, &answer);
    } else if (kind == MESSAGE_DIRECTORY_HINT && !directory_hint_read(&hint, message, &error)) {
        learn(w, n, from, hint.has_presence ? &hint.presence : NULL,
              hint.has_handover ? &hint.handover : NULL);
    } else if (kind == MESSAGE_DIRECTORY_NOT_HERE &&
               !directory_absence_read(&absence, message, &error)) {
        directory_not_here(x->directory, absence.origin, absence.epoch, w->nodes[from].entity);
    } else if (kind == MESSAGE_DIRECTORY_CONFLICT &&
               !directory_conflict_read(&a, &b, message, &error)) {
        learn(w, n, from, &a, NULL);
        learn(w, n, from, &b, NULL);
    }
    writer_free(&answer);
}

void node_message(world *w, int n, int from, buf *bytes)
{
    reader r = reader_of(bytes->data, bytes->len);
    uint16_t kind = reader_u16(&r);
    slice message = slice_of(bytes->data, bytes->len);

    if (kind >= MOVE_PREPARE)
        move_message(w, n, from, kind, (int)reader_u32(&r));
    else if (kind == MESSAGE_FLOW_EVENTS || kind == MESSAGE_FLOW_CLOSE)
        to_receiver(w, n, from, bytes, kind);
    else if (kind == MESSAGE_FLOW_ACK)
        answered(w, n, from, message);
    else
        about_directory(w, n, from, kind, message);
    node_pump(w, n);
    check_node(w, n);
}

/* ---- Life and death of a node ---- */

void node_start(world *w, int n)
{
    node *x = &w->nodes[n];
    directory_config config = {.verify = sim_verify, .ask_ns = 100 * MS, .ask_max_ns = 2 * SEC};

    sim_trace(w, "node %d starts", n);
    memcpy(config.self, x->entity, sizeof config.self);
    x->directory = directory_new(&config);
    x->up = true;
    x->boot++;
    memset(x->last, 0, sizeof x->last);
    for (int d = 0; d < w->options.daemons; d++) {
        image *disk = &x->disk[d];

        if (!disk->owned)
            continue;
        if (!w->daemons[d].keeps_journal) { /* nothing is left: a new incarnation */
            uint64_t epoch = disk->epoch;
            bool has = disk->has_handover;
            handover h = disk->handover;

            image_free(disk);
            *disk = (image){.owned = true, .epoch = epoch, .has_handover = has, .handover = h};
            disk->incarnation = ++w->daemons[d].incarnation;
            disk->generation = disk->incarnation << 32;
        }
        node_open(w, n, d);
    }
    move_restart(w, n);
}

void node_kill(world *w, int n)
{
    node *x = &w->nodes[n];

    sim_trace(w, "node %d is killed", n);
    for (int d = 0; d < w->options.daemons; d++) {
        image *disk = &x->disk[d];

        if (!x->running[d])
            continue;
        if (x->running[d]->syncing && sim_chance(w, 0.5))
            node_commit(w, n, d); /* the write came through, and nobody heard */
        disk->length = disk->durable;
        node_close(w, n, d);
    }
    move_kill(w, n);
    directory_free(x->directory);
    x->directory = NULL;
    x->up = false;
}
