/* SPDX-License-Identifier: Apache-2.0 */
/* Time, chance and the network between nodes. */
#include "chain/link.h"
#include "sim.h"

#include <stdarg.h>
#include <stdlib.h>

uint64_t sim_random(world *w, uint64_t below)
{
    uint64_t z = w->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return below ? z % below : z;
}

bool sim_chance(world *w, double share)
{
    return (double)(sim_random(w, 0) >> 11) / (double)(UINT64_C(1) << 53) < share;
}

void sim_trace(world *w, const char *format, ...)
{
    va_list args;

    if (!w->trace)
        return;
    printf("%10.3f  ", (double)w->now / (double)SEC);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

void sim_fail(world *w, const char *format, ...)
{
    va_list args;

    if (w->failure[0])
        return;
    va_start(args, format);
    vsnprintf(w->failure, sizeof w->failure, format, args);
    va_end(args);
    sim_trace(w, "FAILED: %s", w->failure);
}

void sim_sign(const uint8_t entity[BERTH_ENTITY_SIZE], const void *message, size_t len,
              uint8_t signature[BERTH_SIGNATURE_SIZE])
{
    uint8_t bytes[BERTH_ENTITY_SIZE + SIGNED_MAX];

    memcpy(bytes, entity, BERTH_ENTITY_SIZE);
    memcpy(bytes + BERTH_ENTITY_SIZE, message, len);
    memset(signature, 0, BERTH_SIGNATURE_SIZE);
    store_u64(signature, xxh3(bytes, BERTH_ENTITY_SIZE + len));
}

berth_status sim_verify(const uint8_t entity[BERTH_ENTITY_SIZE], const void *message, size_t len,
                        const uint8_t signature[BERTH_SIGNATURE_SIZE])
{
    uint8_t right[BERTH_SIGNATURE_SIZE];

    sim_sign(entity, message, len, right);
    return memcmp(right, signature, sizeof right) ? BERTH_ERR_SIGNATURE : BERTH_OK;
}

int sim_node_of(const world *w, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    for (int n = 0; n < w->options.nodes; n++)
        if (memcmp(w->nodes[n].entity, entity, BERTH_ENTITY_SIZE) == 0)
            return n;
    return -1;
}

int sim_daemon_of(const world *w, uint64_t origin)
{
    for (int d = 0; d < w->options.daemons; d++)
        if (w->daemons[d].origin == origin)
            return d;
    return -1;
}

/* ---- What happens when: a heap by time, then by age ---- */

static bool before(const occurrence *a, const occurrence *b)
{
    return a->at != b->at ? a->at < b->at : a->serial < b->serial;
}

void sim_later(world *w, int64_t in, what kind, int a, int b, buf *bytes)
{
    occurrence o = {
        .at = w->now + in, .serial = w->serial++, .what = kind, .a = a, .b = b, .bytes = bytes};
    size_t at = w->count++;

    if (a >= 0 && a < NODES_MAX)
        o.boot = w->nodes[a].boot;
    if (w->count > w->cap) {
        w->cap = w->cap ? 2 * w->cap : 256;
        w->heap = realloc(w->heap, w->cap * sizeof *w->heap);
        if (!w->heap)
            abort();
    }
    for (; at && before(&o, &w->heap[(at - 1) / 2]); at = (at - 1) / 2)
        w->heap[at] = w->heap[(at - 1) / 2];
    w->heap[at] = o;
}

static occurrence next(world *w)
{
    occurrence first = w->heap[0], last = w->heap[--w->count];
    size_t at = 0, child;

    while ((child = 2 * at + 1) < w->count) {
        if (child + 1 < w->count && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!before(&w->heap[child], &last))
            break;
        w->heap[at] = w->heap[child];
        at = child;
    }
    w->heap[at] = last;
    return first;
}

/* ---- The network ---- */

static void deliver_later(world *w, int from, int to, const writer *message)
{
    int64_t delay = 1 + (int64_t)sim_random(w, (uint64_t)w->options.delay);

    if (from != to && sim_chance(w, w->options.slow))
        delay += (int64_t)sim_random(w, (uint64_t)w->options.late);
    sim_later(w, delay, WHAT_MESSAGE, to, from, buf_copy(message->data, message->len));
}

void sim_send(world *w, int from, int to, const writer *message)
{
    w->messages++;
    check_sent(w, from, to, slice_of(message->data, message->len));
    if (from == to) {
        deliver_later(w, from, to, message);
        return;
    }
    if (w->cut[from][to] || (!w->healed && sim_chance(w, w->options.loss)))
        return;
    deliver_later(w, from, to, message);
    while (sim_chance(w, w->options.duplicate))
        deliver_later(w, from, to, message);
}

/* ---- One run ---- */

static void choose_options(world *w)
{
    options *o = &w->options;
    static const double shares[] = {0, 0, 0.02, 0.1, 0.3};

    o->nodes = 2 + (int)sim_random(w, 4);
    if (sim_chance(w, 0.02))
        o->nodes = 24;
    o->daemons = 2 + (int)sim_random(w, 5);
    o->loss = shares[sim_random(w, 5)];
    o->duplicate = shares[sim_random(w, 5)];
    o->slow = shares[sim_random(w, 5)];
    o->delay = (int64_t)(1 + sim_random(w, 60)) * MS;
    o->late = 4 * SEC;
    o->active = (int64_t)(2 + sim_random(w, 5)) * SEC;
    o->kills = (int)sim_random(w, 4);
    o->cuts = (int)sim_random(w, 4);
    o->moves = (int)sim_random(w, 7);
    o->tombstones = sim_chance(w, 0.5);
    o->evil = sim_chance(w, 0.3);
    o->clone = sim_chance(w, 0.05);
    o->closes = sim_chance(w, 0.6);
    o->cursors = 0;
    if (o->closes && sim_chance(w, 0.4))
        o->cursors = 1 + (uint32_t)sim_random(w, 2);
    o->window = sim_chance(w, 0.3) ? 1u << sim_random(w, 4) : 64;
    /* Not both: a full outbox keeps a close from being asked for, which a full table waits for. */
    o->outbox = !o->cursors && sim_chance(w, 0.2) ? 1 + (uint32_t)sim_random(w, 8) : 0;
    if (o->clone) /* events to a daemon in conflict stay where they are, and keep others out */
        o->cursors = o->outbox = 0;
}

static int64_t some_time(world *w)
{
    return (int64_t)sim_random(w, (uint64_t)w->options.active);
}

static void plan(world *w)
{
    options *o = &w->options;

    for (int n = 0; n < o->nodes; n++)
        sim_later(w, (int64_t)sim_random(w, TICK), WHAT_TICK, n, 0, NULL);
    for (int d = 0; d < o->daemons; d++)
        sim_later(w, (int64_t)sim_random(w, SEC), WHAT_SEND, -1, d, NULL);
    for (int i = 0; i < o->kills; i++)
        sim_later(w, some_time(w), WHAT_KILL, -1, (int)sim_random(w, (uint64_t)o->nodes), NULL);
    for (int i = 0; i < o->cuts; i++)
        sim_later(w, some_time(w), WHAT_CUT, -1, 0, NULL);
    for (int i = 0; i < o->moves; i++)
        sim_later(w, some_time(w), WHAT_MOVE, -1, 0, NULL);
    if (o->clone)
        sim_later(w, some_time(w), WHAT_CLONE, -1, 0, NULL);
    sim_later(w, o->active, WHAT_HEAL, -1, 0, NULL);
}

static void create(world *w)
{
    options *o = &w->options;

    for (int n = 0; n < o->nodes; n++) {
        for (int i = 0; i < BERTH_ENTITY_SIZE; i += 8)
            store_u64(w->nodes[n].entity + i, sim_random(w, 0));
        w->nodes[n].rate = 0.5 + (double)sim_random(w, 150) / 100;
        w->nodes[n].evil = o->evil && o->nodes > 2 && n == o->nodes - 1;
        node_start(w, n);
    }
    for (int d = 0; d < o->daemons; d++) {
        daemon *x = &w->daemons[d];
        int home =
            (int)sim_random(w, (uint64_t)(o->evil && o->nodes > 2 ? o->nodes - 1 : o->nodes));

        for (int i = 0; i < BERTH_ENTITY_SIZE; i += 8)
            store_u64(x->entity + i, sim_random(w, 0));
        x->origin = berth_entity_origin(x->entity);
        x->keeps_journal = d < 2 || sim_chance(w, 0.7);
        x->incarnation = x->epoch = 1;
        for (int e = 0; e < EPOCHS_MAX; e++)
            x->owner_at[e] = -1;
        x->owner_at[1] = home;
        w->nodes[home].disk[d] =
            (image){.owned = true, .epoch = 1, .incarnation = 1, .generation = UINT64_C(1) << 32};
        node_open(w, home, d);
    }
}

static void cut_or_mend(world *w, bool cut)
{
    int n = w->options.nodes, a = (int)sim_random(w, (uint64_t)n);
    int b = (int)sim_random(w, (uint64_t)n);
    int style = (int)sim_random(w, 3);

    if (!cut) {
        memset(w->cut, 0, sizeof w->cut);
        return;
    }
    sim_trace(w, "cut %d %s %d", a, style == 0 ? "from all" : style == 1 ? "-x->" : "<-x->", b);
    for (int i = 0; i < n && style == 0; i++)
        w->cut[a][i] = w->cut[i][a] = true;
    w->cut[a][b] = true;
    if (style == 2)
        w->cut[b][a] = true;
    sim_later(w, (int64_t)sim_random(w, 3 * SEC), WHAT_MEND, -1, 0, NULL);
}

static void clone(world *w)
{
    int d = (int)sim_random(w, (uint64_t)w->options.daemons), to;

    to = (int)sim_random(w, (uint64_t)w->options.nodes);
    for (int n = 0; n < w->options.nodes; n++)
        if (n != to && w->nodes[n].running[d] && w->nodes[to].up && !w->nodes[to].evil &&
            !w->nodes[to].disk[d].owned && w->nodes[n].running[d]->hold < 0) {
            sim_trace(w, "the disk of node %d is cloned to %d: daemon %d", n, to, d);
            w->daemons[d].cloned = true;
            image_copy(&w->nodes[to].disk[d], &w->nodes[n].disk[d]);
            w->nodes[to].disk[d].length = w->nodes[to].disk[d].durable;
            node_open(w, to, d);
            return;
        }
}

static void heal(world *w)
{
    sim_trace(w, "healed");
    w->healed = true;
    memset(w->cut, 0, sizeof w->cut);
    for (int n = 0; n < w->options.nodes; n++)
        if (!w->nodes[n].up)
            node_start(w, n);
}

static void happen(world *w, occurrence *o)
{
    bool mine = o->a < 0 || (w->nodes[o->a].up && w->nodes[o->a].boot == o->boot);
    int n = w->options.nodes;

    switch (o->what) {
    case WHAT_MESSAGE:
        if (w->nodes[o->a].up)
            node_message(w, o->a, o->b, o->bytes);
        break;
    case WHAT_TICK:
        if (w->nodes[o->a].up)
            node_tick(w, o->a);
        sim_later(w, TICK, WHAT_TICK, o->a, 0, NULL);
        break;
    case WHAT_SEND:
        for (int i = 0; i < n; i++)
            if (w->nodes[i].up && w->nodes[i].running[o->b])
                node_send(w, i, o->b);
        if (!w->healed)
            sim_later(w, (int64_t)(20 + sim_random(w, 200)) * MS, WHAT_SEND, -1, o->b, NULL);
        break;
    case WHAT_SYNC:
        if (mine)
            node_sync(w, o->a, o->b);
        break;
    case WHAT_KILL:
        if (w->nodes[o->b].up && !w->healed) {
            node_kill(w, o->b);
            sim_later(w, (int64_t)sim_random(w, 2 * SEC), WHAT_RESTART, -1, o->b, NULL);
        }
        break;
    case WHAT_RESTART:
        if (!w->nodes[o->b].up)
            node_start(w, o->b);
        break;
    case WHAT_CUT:
    case WHAT_MEND:
        if (!w->healed)
            cut_or_mend(w, o->what == WHAT_CUT);
        break;
    case WHAT_MOVE:
        move_begin(w, (int)sim_random(w, (uint64_t)w->options.daemons),
                   (int)sim_random(w, (uint64_t)n));
        break;
    case WHAT_MOVE_SYNC:
        if (mine)
            move_sync(w, o->a, o->b);
        break;
    case WHAT_CLONE:
        clone(w);
        break;
    case WHAT_HEAL:
        heal(w);
        break;
    }
}

bool sim_run(world *w, uint64_t seed, bool print)
{
    int64_t limit;

    memset(w, 0, sizeof *w);
    w->seed = seed;
    w->random = seed * UINT64_C(0x2545f4914f6cdd1d) + 1;
    w->trace = print;
    choose_options(w);
    create(w);
    plan(w);
    limit = w->options.active + 120 * SEC;
    while (!w->failure[0]) {
        occurrence o = next(w);

        w->now = o.at;
        happen(w, &o);
        buf_unref(o.bytes);
        w->steps++;
        check_world(w);
        if (w->healed && o.what == WHAT_TICK && o.a == 0 && check_quiet(w))
            break;
        if (w->now > limit) {
            check_why(w);
            sim_fail(w, "not quiet %d s after everything was healed", 120);
        }
    }
    check_end(w);
    while (w->count)
        buf_unref(w->heap[--w->count].bytes);
    free(w->heap);
    w->heap = NULL;
    for (int n = 0; n < w->options.nodes; n++) {
        if (w->nodes[n].up)
            node_kill(w, n);
        for (int d = 0; d < w->options.daemons; d++)
            image_free(&w->nodes[n].disk[d]);
    }
    for (int m = 0; m < w->move_count; m++)
        image_free(&w->moves[m].image);
    return !w->failure[0];
}
