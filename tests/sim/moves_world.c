/* SPDX-License-Identifier: Apache-2.0 */
/* Time, chance, the network between hosts, and one run from its seed. */
#include "moves.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

uint64_t moves_random(world *w, uint64_t below)
{
    uint64_t z = w->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return below ? z % below : z;
}

bool moves_chance(world *w, double share)
{
    return (double)(moves_random(w, 0) >> 11) / (double)(UINT64_C(1) << 53) < share;
}

void moves_trace(world *w, const char *format, ...)
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

void moves_fail(world *w, const char *format, ...)
{
    va_list args;

    if (w->failure[0])
        return;
    va_start(args, format);
    vsnprintf(w->failure, sizeof w->failure, format, args);
    va_end(args);
    moves_trace(w, "FAILED: %s", w->failure);
}

/* Monotonic, at another rate and from another beginning on each host. */
int64_t moves_now(const world *w, int n)
{
    return (int64_t)((double)w->now * w->hosts[n].rate) + w->hosts[n].offset;
}

int64_t moves_wall(const world *w)
{
    return 1900000000 + w->now / SEC;
}

/* ---- What happens when: a heap by time, then by age ---- */

static bool before(const occurrence *a, const occurrence *b)
{
    return a->at != b->at ? a->at < b->at : a->serial < b->serial;
}

static occurrence *push(world *w, occurrence o)
{
    size_t at = w->count++;

    if (w->count > w->cap) {
        w->cap = w->cap ? 2 * w->cap : 1024;
        w->heap = realloc(w->heap, w->cap * sizeof *w->heap);
        if (!w->heap)
            abort();
    }
    for (; at && before(&o, &w->heap[(at - 1) / 2]); at = (at - 1) / 2)
        w->heap[at] = w->heap[(at - 1) / 2];
    w->heap[at] = o;
    return &w->heap[at];
}

occurrence *moves_later(world *w, int64_t in, what kind, int a, int b)
{
    bool of_host = kind <= WHAT_DISK || kind == WHAT_EVENT;

    return push(w, (occurrence){.at = w->now + in,
                                .serial = w->serial++,
                                .what = kind,
                                .a = a,
                                .b = b,
                                .boot = of_host ? w->hosts[a].boot : 0});
}

static occurrence pop(world *w)
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

static void deliver_later(world *w, int from, int to, buf *message)
{
    int64_t delay = 1 + (int64_t)moves_random(w, (uint64_t)w->options.delay);

    if (from != to && moves_chance(w, w->options.slow))
        delay += (int64_t)moves_random(w, (uint64_t)w->options.late);
    moves_later(w, delay, WHAT_MESSAGE, to, from)->bytes = buf_ref(message);
}

/* A byte of a chunk changes where no checksum of a session sees it. */
static buf *maybe_flip(world *w, buf *message)
{
    buf *other;

    if (w->options.flip == 0 || message->data[0] != (MESSAGE_MOVE_CHUNK & 0xff) ||
        !moves_chance(w, w->options.flip))
        return message;
    other = buf_copy(message->data, message->len);
    other->data[35 + moves_random(w, message->len - 35)] ^= 1;
    buf_unref(message);
    return other;
}

/* Where it hurts most: somebody dies about when something is decided. */
static void maybe_kill(world *w, int from, int to, const buf *message)
{
    uint8_t kind = message->data[0];

    if (w->options.kills && to < w->options.hosts && kind >= (MESSAGE_MOVE_SEAL & 0xff) &&
        kind <= (MESSAGE_MOVE_ASK & 0xff) && moves_chance(w, 0.02))
        moves_later(w, (int64_t)moves_random(w, 100 * MS), WHAT_KILL,
                    moves_chance(w, 0.5) ? from : to, 0);
}

void moves_send(world *w, int from, uint64_t to_id, buf *message)
{
    int to = 0;

    while (to < w->options.hosts && w->hosts[to].id != to_id)
        to++;
    check_sent(w, from, to, message);
    w->messages++;
    maybe_kill(w, from, to, message);
    if (to < w->options.hosts) {
        message = maybe_flip(w, message);
        if (from == to) {
            deliver_later(w, from, to, message);
        } else if (!w->cut[from][to] && (w->healed || !moves_chance(w, w->options.loss))) {
            deliver_later(w, from, to, message);
            while (moves_chance(w, w->options.duplicate))
                deliver_later(w, from, to, message);
        }
    }
    buf_unref(message);
}

/* ---- One run ---- */

static void choose_options(world *w)
{
    static const double shares[] = {0, 0, 0.02, 0.1, 0.25};
    options *o = &w->options;

    o->hosts = 2 + (int)moves_random(w, HOSTS - 1);
    o->daemons = 1 + (int)moves_random(w, DAEMONS);
    o->loss = shares[moves_random(w, 5)];
    o->duplicate = shares[moves_random(w, 5)];
    o->slow = shares[moves_random(w, 5)];
    o->flip = moves_chance(w, 0.1) ? 0.05 : 0;
    o->delay = (int64_t)(1 + moves_random(w, 60)) * MS;
    o->late = 6 * SEC;
    o->disk = (int64_t)(1 + moves_random(w, moves_chance(w, 0.2) ? 2000 : 30)) * MS;
    o->disk_fails = moves_chance(w, 0.3) ? 0.1 : 0;
    o->refuses = moves_chance(w, 0.4) ? 0.3 : 0;
    o->active = (int64_t)(5 + moves_random(w, 30)) * SEC;
    o->calls = 1 + (int)moves_random(w, 10);
    o->kills = (int)moves_random(w, 6);
    o->cuts = (int)moves_random(w, 5);
    o->pauses = (int)moves_random(w, 3);
    o->strangers = moves_chance(w, 0.5) ? 40 : 0;
    o->sessions = moves_chance(w, 0.5) ? 20 : 0;
    o->dead = moves_chance(w, 0.05) ? (int)moves_random(w, (uint64_t)o->hosts) : -1;
    o->padding = moves_random(w, 600);
    o->chunk = 64 + (uint32_t)moves_random(w, 400);
    if (moves_chance(w, 0.05)) { /* large enough for rounds */
        o->padding = 70000;
        o->chunk = 16384;
    }
}

static int64_t some_time(world *w)
{
    return (int64_t)moves_random(w, (uint64_t)w->options.active);
}

static void plan(world *w)
{
    options *o = &w->options;

    for (int d = 0; d < o->daemons; d++)
        for (int c = 0; c < CLIENTS; c++)
            moves_later(w, (int64_t)moves_random(w, SEC), WHAT_CLIENT, d, c);
    for (int i = 0; i < o->calls; i++)
        moves_later(w, some_time(w), WHAT_CALL, 0, 0);
    for (int i = 0; i < o->kills; i++)
        moves_later(w, some_time(w), WHAT_KILL, (int)moves_random(w, (uint64_t)o->hosts), 0);
    for (int i = 0; i < o->pauses; i++)
        moves_later(w, some_time(w), WHAT_PAUSE, (int)moves_random(w, (uint64_t)o->hosts), 0);
    for (int i = 0; i < o->cuts; i++)
        moves_later(w, some_time(w), WHAT_CUT, 0, 0);
    for (int i = 0; i < o->strangers; i++)
        moves_later(w, some_time(w), WHAT_STRANGER, (int)moves_random(w, (uint64_t)o->hosts), 0);
    for (int i = 0; i < o->sessions; i++)
        moves_later(w, some_time(w), WHAT_SESSION, (int)moves_random(w, (uint64_t)o->hosts), 0);
    if (o->dead >= 0)
        moves_later(w, some_time(w), WHAT_KILL, o->dead, 0);
    moves_later(w, o->active, WHAT_HEAL, 0, 0);
}

static void some_entity(world *w, uint8_t entity[BERTH_ENTITY_SIZE])
{
    for (int i = 0; i < BERTH_ENTITY_SIZE; i += 8)
        store_u64(entity + i, moves_random(w, 0));
}

static void create(world *w)
{
    some_entity(w, w->operator_key);
    for (int n = 0; n < w->options.hosts; n++) {
        host *h = &w->hosts[n];

        some_entity(w, h->entity);
        h->id = berth_entity_node_id(h->entity);
        h->rate = 0.7 + (double)moves_random(w, 60) / 100;
        h->offset = (int64_t)moves_random(w, 1000) * SEC;
        h->frees = moves_chance(w, 0.5);
    }
    for (int d = 0; d < w->options.daemons; d++) {
        daemon *x = &w->daemons[d];
        int n = (int)moves_random(w, (uint64_t)w->options.hosts);

        some_entity(w, x->entity);
        x->origin = berth_entity_origin(x->entity);
        x->epoch = 1;
        x->at = x->hint = n;
        w->hosts[n].own[d] = (own_row){.owned = true, .epoch = 1};
    }
    for (int n = 0; n < w->options.hosts; n++)
        host_start(w, n);
}

static void heal(world *w)
{
    moves_trace(w, "all is well from now on");
    w->healed = true;
    w->healed_at = w->now;
    w->options.disk_fails = w->options.flip = 0;
    memset(w->cut, 0, sizeof w->cut);
    for (int n = 0; n < w->options.hosts; n++) {
        w->hosts[n].paused_until = 0;
        if (n == w->options.dead && w->hosts[n].up)
            host_kill(w, n);
        if (n != w->options.dead && !w->hosts[n].up)
            host_start(w, n);
    }
}

static void cut(world *w)
{
    int from = (int)moves_random(w, (uint64_t)w->options.hosts);
    int to = (int)moves_random(w, (uint64_t)w->options.hosts);

    if (w->healed)
        return;
    w->cut[from][to] = true;
    if (moves_chance(w, 0.5)) /* else one way only */
        w->cut[to][from] = true;
    moves_trace(w, "nothing goes from %d to %d", from, to);
    moves_later(w, (int64_t)moves_random(w, 20 * SEC), WHAT_MEND, from, to);
}

/* What concerns one host waits while it is stopped, and is gone when it was killed. */
static bool of_host(world *w, const occurrence *o)
{
    const host *h;

    if (o->what > WHAT_DISK && o->what != WHAT_EVENT)
        return true;
    h = &w->hosts[o->a];
    if (h->paused_until > w->now) {
        occurrence again = *o;

        again.at = h->paused_until;
        if (again.bytes)
            buf_ref(again.bytes);
        push(w, again);
        return false;
    }
    if (o->what == WHAT_MESSAGE || o->what == WHAT_EVENT)
        return h->up;
    return h->up && h->boot == o->boot;
}

static void happen(world *w, const occurrence *o)
{
    switch (o->what) {
    case WHAT_MESSAGE:
        host_message(w, o->a, o->b, o->bytes);
        break;
    case WHAT_WAKE:
        host_wake(w, o->a);
        break;
    case WHAT_PIECE:
        source_piece_due(w, o->a, o->b);
        break;
    case WHAT_ADMIT:
        target_admit(w, o->a, o->b);
        break;
    case WHAT_BUILD:
        target_build(w, o->a, o->b);
        break;
    case WHAT_CHECK:
        target_check(w, o->a, o->b);
        break;
    case WHAT_DISK:
        disk_done(w, o->a);
        break;
    case WHAT_CLIENT:
        client_tick(w, o->a, o->b);
        break;
    case WHAT_EVENT:
        client_event(w, o->a, o->b, (int)o->client, o->number);
        break;
    case WHAT_ACK:
        client_ack(w, o->a, o->b, o->number);
        break;
    case WHAT_KILL:
        if (!w->healed && w->hosts[o->a].up) {
            host_kill(w, o->a);
            moves_later(w, (int64_t)moves_random(w, moves_chance(w, 0.3) ? 40 * SEC : 3 * SEC),
                        WHAT_RESTART, o->a, 0);
        }
        break;
    case WHAT_RESTART:
        if (!w->hosts[o->a].up && !(w->healed && o->a == w->options.dead))
            host_start(w, o->a);
        break;
    case WHAT_PAUSE:
        if (!w->healed) {
            moves_trace(w, "host %d stops for a while", o->a);
            w->hosts[o->a].paused_until = w->now + (int64_t)moves_random(w, 60 * SEC);
        }
        break;
    case WHAT_CUT:
        cut(w);
        break;
    case WHAT_MEND:
        w->cut[o->a][o->b] = w->cut[o->b][o->a] = false;
        break;
    case WHAT_CALL:
        call_begin(w);
        break;
    case WHAT_CANCEL:
        call_cancel(w, o->a);
        break;
    case WHAT_STRANGER:
        host_stranger(w, o->a);
        break;
    case WHAT_SESSION:
        host_session(w, o->a);
        break;
    case WHAT_HEAL:
        heal(w);
        break;
    }
}

static void destroy(world *w)
{
    for (int n = 0; n < w->options.hosts; n++) {
        if (w->hosts[n].up)
            host_kill(w, n);
        for (int a = 0; a < ATTEMPTS; a++)
            row_free(&w->hosts[n].rows[a]);
    }
    for (int c = 0; c < w->call_count; c++)
        orchestrator_free(w->calls[c].o);
    for (size_t i = 0; i < w->count; i++)
        buf_unref(w->heap[i].bytes);
    w->count = 0;
}

/* Nothing is left to be done; or whoever waits for the dead has had time to say so. */
static bool is_done(const world *w)
{
    if (!w->healed || w->steps % 16)
        return false;
    return w->options.dead >= 0 ? w->now > w->healed_at + 120 * SEC : check_quiet(w);
}

bool moves_run(world *w, uint64_t seed, bool trace)
{
    occurrence *heap = w->heap;
    size_t cap = w->cap;
    int64_t patience;

    memset(w, 0, sizeof *w);
    w->heap = heap;
    w->cap = cap;
    w->seed = seed;
    w->random = seed * UINT64_C(0x2545f4914f6cdd1d);
    w->trace = trace;
    choose_options(w);
    create(w);
    plan(w);
    patience = w->options.active + 600 * SEC;
    while (!w->failure[0] && w->count && w->now < patience && !is_done(w)) {
        occurrence o = pop(w);

        w->now = o.at;
        if (of_host(w, &o)) {
            happen(w, &o);
            check_step(w);
        }
        buf_unref(o.bytes);
        w->steps++;
    }
    if (!w->failure[0])
        check_end(w);
    trace = !w->failure[0];
    w->trace = false;
    destroy(w);
    return trace;
}
