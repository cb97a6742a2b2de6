/* SPDX-License-Identifier: Apache-2.0 */
/* A node that was let in, sees everything, and lies: but it has nobody's key. */
#include "sim.h"

static void forged_presence(world *w, int n, int d, writer *message)
{
    presence p = node_presence(w, n, d, w->daemons[d].epoch + sim_random(w, 2),
                               w->daemons[d].incarnation + sim_random(w, 2));

    p.signature[3] ^= 0x40;
    writer_u16(message, MESSAGE_DIRECTORY_HINT);
    writer_u8(message, 1);
    presence_write(message, &p);
}

static void forged_answer(world *w, int from, int to, writer *message)
{
    const daemon *x = &w->daemons[from];
    flow_ack ack = {.id = {x->origin, x->incarnation, 1 + sim_random(w, 2), w->daemons[to].origin},
                    .answer = FLOW_THROUGH,
                    .epoch = w->daemons[to].epoch,
                    .through = 1 + sim_random(w, x->sent[to].n + 1),
                    .window = 1u << 20};

    flow_ack_write(message, &ack);
}

static void forged_events(world *w, int from, int to, const instance *victim, writer *message)
{
    flow_cursor cursors[DAEMONS_MAX] = {{0}};
    size_t known = flow_in_export(victim->inbox, cursors, DAEMONS_MAX);
    flow_frame f = {.head = {.id = {w->daemons[from].origin, w->daemons[from].incarnation, 1,
                                    w->daemons[to].origin}},
                    .generation = flow_in_generation(victim->inbox),
                    .oldest = 1,
                    .first = 1,
                    .count = 1};

    for (size_t i = 0; i < known; i++)
        if (cursors[i].sender == f.head.id.sender) {
            f.head.id.life = cursors[i].life;
            f.first = cursors[i].through + 1;
        }
    f.events = slice_of("\5\0\0\0wrong", 9);
    flow_frame_write(message, &f);
}

void node_evil(world *w, int n)
{
    int from = (int)sim_random(w, (uint64_t)w->options.daemons);
    int to = (int)sim_random(w, (uint64_t)w->options.daemons);
    int source = w->daemons[from].owner_at[w->daemons[from].epoch];
    int target = w->daemons[to].owner_at[w->daemons[to].epoch];
    const instance *victim = w->nodes[target].running[to];
    writer message = {0};

    switch (sim_random(w, 3)) {
    case 0:
        forged_presence(w, n, from, &message);
        target = (int)sim_random(w, (uint64_t)w->options.nodes);
        break;
    case 1:
        forged_answer(w, from, to, &message);
        target = source;
        break;
    default:
        if (victim && from != to)
            forged_events(w, from, to, victim, &message);
        break;
    }
    if (message.len)
        sim_send(w, n, target, &message);
    writer_free(&message);
}
