/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold after every step: docs/design.md, and the numbers of its chapter on delivery. */
#include "sim.h"

buf *payload_make(int from, int to, uint64_t incarnation, uint64_t number)
{
    buf *b = buf_new(PAYLOAD);

    store_u64(b->data, (uint64_t)from << 32 | (uint64_t)to);
    store_u64(b->data + 8, incarnation);
    store_u64(b->data + 16, number);
    return b;
}

bool payload_read(slice bytes, int *from, int *to, count *number)
{
    uint64_t ends;

    if (bytes.len != PAYLOAD)
        return false;
    ends = load_u64(bytes.ptr);
    *from = (int)(ends >> 32);
    *to = (int)(uint32_t)ends;
    number->incarnation = load_u64(bytes.ptr + 8);
    number->n = load_u64(bytes.ptr + 16);
    return *from >= 0 && *from < DAEMONS_MAX && *to >= 0 && *to < DAEMONS_MAX;
}

/* (ii) no gap, no repeat, no event that nobody sent; (v) none that was not on its sender's disk */
void check_apply(world *w, int n, int d, const flow_event *e)
{
    const instance *i = w->nodes[n].running[d];
    int from, to;
    count c;

    if (!payload_read(e->bytes, &from, &to, &c) || to != d ||
        e->id.sender != w->daemons[from].origin || e->id.incarnation != c.incarnation) {
        sim_fail(w, "daemon %d applies an event that its sender never made", d);
        return;
    }
    if (w->daemons[d].cloned || w->daemons[from].cloned)
        return;
    if (e->lost)
        sim_fail(w, "daemon %d is told that %d events are lost", d, (int)e->lost);
    if (c.incarnation == i->seen[from].incarnation
            ? c.n != i->seen[from].n + 1
            : c.incarnation < i->seen[from].incarnation || c.n != 1)
        sim_fail(w, "daemon %d applies %d/%d of daemon %d after %d/%d", d, (int)c.incarnation,
                 (int)c.n, from, (int)i->seen[from].incarnation, (int)i->seen[from].n);
    if (c.incarnation == w->daemons[from].sent[d].incarnation && c.n > w->daemons[from].sent[d].n)
        sim_fail(w, "daemon %d applies %d of daemon %d, which is not durable there", d, (int)c.n,
                 from);
}

/* Forwarding goes upwards, and not for ever. What was forwarded is seen by its hops. */
void check_sent(world *w, int from, int to, slice message)
{
    reader r = reader_of(message.ptr, message.len);
    uint16_t kind = reader_u16(&r);
    uint8_t hops = reader_u8(&r);
    uint64_t epoch = reader_u64(&r);
    int d;

    if (kind != MESSAGE_FLOW_EVENTS && kind != MESSAGE_FLOW_CLOSE)
        return;
    if (hops > FLOW_HOPS_MAX)
        sim_fail(w, "a message is forwarded %d times", hops);
    reader_bytes(&r, 24);
    d = sim_daemon_of(w, reader_u64(&r));
    if (d < 0 || hops == 0 || w->nodes[from].evil)
        return;
    /* The forwarder was no owner at that epoch or above, or it would have delivered; the hop before
     * carried less than this one's epoch, so that each epoch is passed at most once. */
    if (epoch <= hops && !w->daemons[d].cloned)
        sim_fail(w, "node %d forwards to node %d at epoch %d after %d hops: not upwards", from, to,
                 (int)epoch, hops);
}

/* (iii) what is acknowledged is on the disk of a node that had the right to say so */
void check_answer(world *w, int n, int d, uint64_t receiver)
{
    const instance *i = w->nodes[n].running[d];
    int to = sim_daemon_of(w, receiver);
    uint64_t through = flow_out_acknowledged(i->outbox, receiver);
    const count *durable = &w->daemons[to].durable[d];

    if (!through || i->closing_out[to] || w->daemons[d].cloned || w->daemons[to].cloned)
        return;
    through += i->life_base[to];
    if (durable->incarnation <= i->incarnation &&
        through > (durable->incarnation == i->incarnation ? durable->n : 0))
        sim_fail(w, "daemon %d was told that %d is durable at daemon %d, which has %d", d,
                 (int)through, to, (int)durable->n);
}

/* (vi) epochs and incarnations never fall; nothing is believed that was not so; bounds */
void check_node(world *w, int n)
{
    node *x = &w->nodes[n];
    const options *o = &w->options;

    for (int d = 0; d < o->daemons && x->up; d++) {
        const instance *i = x->running[d];
        const daemon *y = &w->daemons[d];
        directory_place place;

        directory_look(x->directory, y->origin, &place);
        if (place.known && x->last[d].known &&
            (place.epoch < x->last[d].epoch || place.incarnation < x->last[d].incarnation))
            if (place.incarnation || place.epoch < x->last[d].epoch)
                sim_fail(w, "node %d: daemon %d falls from epoch %d to %d", n, d,
                         (int)x->last[d].epoch, (int)place.epoch);
        x->last[d] = place;
        if (place.known && !y->cloned &&
            (place.epoch > y->epoch || place.incarnation > y->incarnation ||
             y->owner_at[place.epoch] != sim_node_of(w, place.node)))
            sim_fail(w, "node %d believes that daemon %d is on node %d at epoch %d", n, d,
                     sim_node_of(w, place.node), (int)place.epoch);
        if (i) {
            flow_in_stats in;
            flow_out_stats out;

            flow_in_get_stats(i->inbox, &in);
            flow_out_get_stats(i->outbox, &out);
            if (in.waiting_bytes > 17 * PAYLOAD || (o->cursors && in.cursors > o->cursors) ||
                in.waiting > in.cursors * o->window)
                sim_fail(w, "node %d: daemon %d keeps %d events of %d flows waiting", n, d,
                         (int)in.waiting, (int)in.cursors);
        }
    }
}

static int open_gates(const world *w, int d)
{
    int open = 0;

    for (int n = 0; n < w->options.nodes; n++)
        open += node_gate_open(w, n, d);
    return open;
}

/* (i) one open gate */
void check_world(world *w)
{
    for (int d = 0; d < w->options.daemons; d++) {
        int open = open_gates(w, d);

        if (open > 1 && !w->daemons[d].cloned)
            sim_fail(w, "daemon %d has %d open gates", d, open);
    }
}

static bool pair_done(const world *w, int from, int to)
{
    const daemon *a = &w->daemons[from], *b = &w->daemons[to];

    if (a->cloned || b->cloned || !b->keeps_journal || from == to)
        return true;
    return a->sent[to].n == 0 || a->sent[to].incarnation < a->incarnation ||
           (b->durable[from].incarnation == a->sent[to].incarnation &&
            b->durable[from].n == a->sent[to].n);
}

static bool daemon_quiet(const world *w, int d)
{
    const daemon *x = &w->daemons[d];
    int owner = x->owner_at[x->epoch];
    const node *home = &w->nodes[owner];
    const instance *i = home->running[d];
    flow_out_stats out;
    flow_in_stats in;

    if (x->cloned)
        return open_gates(w, d) <= 1;
    if (!node_gate_open(w, owner, d) || i->syncing ||
        home->disk[d].durable != home->disk[d].length || i->released != home->disk[d].length)
        return false;
    flow_out_get_stats(i->outbox, &out);
    flow_in_get_stats(i->inbox, &in);
    /* Two copies of one sender leave halves of what either said. */
    return w->options.clone || (in.waiting == 0 && out.events == 0);
}

bool check_quiet(world *w)
{
    for (int m = 0; m < w->move_count; m++)
        if (w->moves[m].released && !w->moves[m].done)
            return false;
    for (int d = 0; d < w->options.daemons; d++) {
        if (!daemon_quiet(w, d))
            return false;
        for (int to = 0; to < w->options.daemons; to++)
            if (!pair_done(w, d, to))
                return false;
    }
    return true;
}

/* For the trace of a world that does not come to rest. */
void check_why(world *w)
{
    for (int d = 0; d < w->options.daemons; d++) {
        const daemon *x = &w->daemons[d];
        int owner = x->owner_at[x->epoch];
        const instance *i = w->nodes[owner].running[d];
        flow_out_stats out = {0};
        flow_in_stats in = {0};

        if (i) {
            flow_out_get_stats(i->outbox, &out);
            flow_in_get_stats(i->inbox, &in);
            sim_trace(w, "daemon %d on %d: hold %d, released %d of %d, durable %d", d, owner,
                      i->hold, (int)i->released, (int)w->nodes[owner].disk[d].length,
                      (int)w->nodes[owner].disk[d].durable);
        }
        sim_trace(w,
                  "daemon %d on %d: gate %d, unacknowledged %d, flows %d, waiting %d, cursors %d",
                  d, owner, node_gate_open(w, owner, d), (int)out.events, (int)out.flows,
                  (int)in.waiting, (int)in.cursors);
        for (int to = 0; to < w->options.daemons; to++)
            if (!pair_done(w, d, to))
                sim_trace(w, "daemon %d has sent %d/%d to daemon %d, which has %d/%d", d,
                          (int)x->sent[to].incarnation, (int)x->sent[to].n, to,
                          (int)w->daemons[to].durable[d].incarnation,
                          (int)w->daemons[to].durable[d].n);
    }
    for (int m = 0; m < w->move_count; m++)
        sim_trace(w, "move %d of daemon %d: abandoned %d prepared %d released %d owned %d done %d",
                  m, w->moves[m].daemon, w->moves[m].abandoned, w->moves[m].prepared,
                  w->moves[m].released, w->moves[m].owned, w->moves[m].done);
}

/* (ix) one owner, and whoever believes something about an origin's present epoch believes that */
void check_end(world *w)
{
    for (int d = 0; d < w->options.daemons && !w->failure[0]; d++) {
        int open = open_gates(w, d);

        if (w->daemons[d].cloned ? open > 1 : open != 1)
            sim_fail(w, "at the end daemon %d has %d open gates", d, open);
    }
}
