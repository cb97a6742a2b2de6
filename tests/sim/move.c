/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon goes from one node to another, as far as flows and directory see of it: the source
 * holds, the target has it on its disk, the source gives it up on its disk, the target opens.
 */
#include "sim.h"

static void tell(world *w, int from, int to, uint16_t kind, int attempt)
{
    writer message = {0};

    writer_u16(&message, kind);
    writer_u32(&message, (uint32_t)attempt);
    sim_send(w, from, to, &message);
    writer_free(&message);
}

void move_begin(world *w, int d, int to)
{
    daemon *x = &w->daemons[d];
    int from = x->owner_at[x->epoch];
    move *m = &w->moves[w->move_count];

    if (w->healed || w->move_count == MOVES_MAX || from == to || from < 0 || x->cloned ||
        w->nodes[to].evil || !node_gate_open(w, from, d))
        return;
    *m = (move){.daemon = d, .from = from, .to = to, .epoch = x->epoch + 1, .began = w->now};
    w->nodes[from].running[d]->hold = w->move_count++;
    sim_trace(w, "move %d: daemon %d from node %d to %d", w->move_count - 1, d, from, to);
}

static void sign_handover(world *w, move *m)
{
    handover *h = &m->handover;
    uint8_t bytes[SIGNED_MAX];
    size_t len;

    h->epoch = m->epoch;
    memcpy(h->entity, w->daemons[m->daemon].entity, sizeof h->entity);
    memcpy(h->from, w->nodes[m->from].entity, sizeof h->from);
    memcpy(h->to, w->nodes[m->to].entity, sizeof h->to);
    memcpy(h->by, h->from, sizeof h->by);
    len = handover_signed(bytes, h);
    sim_sign(h->entity, bytes, len, h->daemon_signature);
    sim_sign(h->by, bytes, len, h->by_signature);
}

/* What the source has on its disk, when it has all of it there. */
static void pack(world *w, move *m)
{
    node *from = &w->nodes[m->from];
    image *disk = &from->disk[m->daemon];
    instance *i = from->running[m->daemon];

    if (m->image.epoch || i->syncing || disk->durable != disk->length)
        return;
    if (!w->daemons[m->daemon].keeps_journal)
        node_save(w, m->from, m->daemon);
    image_copy(&m->image, disk);
    sign_handover(w, m);
    m->image.epoch = m->epoch;
    m->image.handover = m->handover;
    m->image.has_handover = true;
    m->image.former_count =
        directory_former(from->directory, w->daemons[m->daemon].origin, m->image.former);
}

static bool held_by(const world *w, int n, const move *m)
{
    const instance *i = w->nodes[n].running[m->daemon];

    return n == m->from && i && i->hold == m - w->moves;
}

void move_tick(world *w, int n)
{
    for (int a = 0; a < w->move_count; a++) {
        move *m = &w->moves[a];

        if (n != m->from || m->done || m->abandoned)
            continue;
        if (m->released) {
            tell(w, n, m->to, MOVE_COMMIT, a);
        } else if (!held_by(w, n, m)) {
            m->abandoned = !m->asked;
        } else if (w->now - m->began > 3 * SEC && !m->asked) {
            sim_trace(w, "move %d is abandoned", a);
            w->nodes[n].running[m->daemon]->hold = -1;
            m->abandoned = true;
        } else {
            pack(w, m);
            if (m->image.epoch && !m->prepared)
                tell(w, n, m->to, MOVE_PREPARE, a);
            else if (m->image.epoch)
                tell(w, n, m->to, MOVE_PREPARE, a); /* the answer may be lost */
        }
    }
}

static void ask_disk(world *w, int n, int attempt)
{
    if (w->moves[attempt].asked)
        return;
    w->moves[attempt].asked = true;
    sim_later(w, (int64_t)(1 + sim_random(w, 20)) * MS, WHAT_MOVE_SYNC, n, attempt, NULL);
}

void move_message(world *w, int n, int from, uint16_t kind, int attempt)
{
    move *m = &w->moves[attempt];

    switch (kind) {
    case MOVE_PREPARE:
        if (m->prepared)
            tell(w, n, from, MOVE_PREPARED, attempt);
        else if (!m->abandoned)
            ask_disk(w, n, attempt);
        break;
    case MOVE_PREPARED:
        if (!m->released && !m->abandoned && held_by(w, n, m))
            ask_disk(w, n, attempt);
        break;
    case MOVE_COMMIT:
        if (m->owned)
            tell(w, n, from, MOVE_OWNED, attempt);
        else
            ask_disk(w, n, attempt);
        break;
    default:
        m->done = m->owned;
        break;
    }
}

static void released(world *w, int n, move *m)
{
    node *x = &w->nodes[n];
    daemon *d = &w->daemons[m->daemon];
    berth_error error = {0};

    m->released = true;
    d->epoch = m->epoch;
    d->owner_at[m->epoch] = m->to;
    x->disk[m->daemon].owned = false;
    node_close(w, n, m->daemon);
    if (directory_release(x->directory, &m->handover, &error))
        sim_fail(w, "node %d cannot release daemon %d: %s", n, m->daemon, error.text);
    if (w->options.tombstones)
        node_announce(w, n, m->daemon);
    else
        directory_forget(x->directory, d->origin);
    memset(&x->last[m->daemon], 0, sizeof x->last[m->daemon]);
    if (!w->options.tombstones)
        return;
    directory_look(x->directory, d->origin, &x->last[m->daemon]);
}

void move_sync(world *w, int n, int attempt)
{
    move *m = &w->moves[attempt];

    m->asked = false;
    if (n == m->to && !m->prepared) {
        m->prepared = true;
        tell(w, n, m->from, MOVE_PREPARED, attempt);
    } else if (n == m->from && m->prepared && !m->released) {
        if (held_by(w, n, m)) {
            sim_trace(w, "move %d is released", attempt);
            released(w, n, m);
            tell(w, n, m->to, MOVE_COMMIT, attempt);
        }
    } else if (n == m->to && m->released && !m->owned) {
        m->owned = true;
        image_copy(&w->nodes[n].disk[m->daemon], &m->image);
        w->nodes[n].disk[m->daemon].owned = true;
        node_open(w, n, m->daemon);
        tell(w, n, m->from, MOVE_OWNED, attempt);
    }
}

void move_restart(world *w, int n)
{
    for (int a = 0; a < w->move_count; a++) {
        move *m = &w->moves[a];
        berth_error error = {0};

        if (n == m->from && m->released && w->options.tombstones)
            directory_learn(w->nodes[n].directory, NULL, NULL, &m->handover, node_wall(w), &error);
    }
}

/* What the disk was at work on came through, or not. */
void move_kill(world *w, int n)
{
    for (int a = 0; a < w->move_count; a++) {
        move *m = &w->moves[a];
        bool at_target = n == m->to && (!m->prepared || (m->released && !m->owned));

        if (!m->asked || !(at_target || n == m->from))
            continue;
        m->asked = false;
        if (at_target && !m->prepared && sim_chance(w, 0.5))
            m->prepared = true;
    }
}
