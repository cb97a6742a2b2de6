/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "mesh/fault.h"
#include "mesh/flow.h"

#include <assert.h>
#include <stdlib.h>

#define ANSWERS_MAX 64 /* about flows that have no cursor; who loses one asks again */

/* An event that waits, in the buffer it came in. */
typedef struct parked {
    slice bytes;
    buf *hold;
} parked;

typedef struct cursor {
    flow_id id;
    uint64_t taken;   /* given to the daemon through */
    uint64_t applied; /* in its state through */
    uint64_t durable; /* acknowledged through */
    uint64_t chain;   /* all through this number waits or is taken */
    uint64_t lost;    /* to be told with the next event */
    parked *ring;     /* by number; NULL while nothing waits */
    uint32_t waiting;
    bool ready, owes;                       /* in the list of that name */
    struct cursor *next, *prev;             /* all */
    struct cursor *ready_next, *ready_prev; /* whose next event is here */
    struct cursor *owes_next, *owes_prev;   /* that an answer is to be sent for */
} cursor;

typedef struct answer {
    flow_id id;
    flow_answer what;
} answer;

struct flow_in {
    uint64_t receiver, generation;
    flow_in_config config;
    map64 by_sender;
    cursor *first;
    cursor *ready_first, *ready_tail, *owes_first, *owes_tail;
    answer answers[ANSWERS_MAX];
    uint32_t answer_count;
    flow_in_stats stats;
};

#define LIST(name)                                                                                 \
    static void name##_add(flow_in *in, cursor *c)                                                 \
    {                                                                                              \
        if (c->name)                                                                               \
            return;                                                                                \
        c->name = true;                                                                            \
        c->name##_next = NULL;                                                                     \
        c->name##_prev = in->name##_tail;                                                          \
        *(in->name##_tail ? &in->name##_tail->name##_next : &in->name##_first) = c;                \
        in->name##_tail = c;                                                                       \
    }                                                                                              \
    static void name##_del(flow_in *in, cursor *c)                                                 \
    {                                                                                              \
        if (!c->name)                                                                              \
            return;                                                                                \
        c->name = false;                                                                           \
        *(c->name##_prev ? &c->name##_prev->name##_next : &in->name##_first) = c->name##_next;     \
        *(c->name##_next ? &c->name##_next->name##_prev : &in->name##_tail) = c->name##_prev;      \
    }
LIST(ready)
LIST(owes)

flow_in *flow_in_new(uint64_t receiver, uint64_t generation, const flow_in_config *config)
{
    flow_in *in = calloc(1, sizeof *in);

    if (!in)
        return NULL;
    in->receiver = receiver;
    in->generation = generation;
    if (config)
        in->config = *config;
    if (!in->config.max_cursors)
        in->config.max_cursors = 4096;
    if (!in->config.window)
        in->config.window = 256;
    if (!in->config.max_bytes)
        in->config.max_bytes = 8u << 20;
    if (!in->config.max_jump)
        in->config.max_jump = UINT64_C(1) << 32;
    assert((in->config.window & (in->config.window - 1)) == 0);
    return in;
}

static parked *slot(const flow_in *in, const cursor *c, uint64_t sequence)
{
    return &c->ring[sequence & (in->config.window - 1)];
}

/* Take what waits at this number out; the reference is the caller's. */
static parked unpark(flow_in *in, cursor *c, uint64_t sequence)
{
    parked p = *slot(in, c, sequence);

    *slot(in, c, sequence) = (parked){0};
    c->waiting--;
    in->stats.waiting--;
    in->stats.waiting_bytes -= p.bytes.len;
    if (c->waiting == 0) {
        free(c->ring);
        c->ring = NULL;
    }
    return p;
}

static void unpark_all(flow_in *in, cursor *c)
{
    for (uint32_t i = 0; i < in->config.window && c->ring; i++)
        if (slot(in, c, i)->hold)
            buf_unref(unpark(in, c, i).hold);
    ready_del(in, c);
}

static void forget(flow_in *in, cursor *c)
{
    unpark_all(in, c);
    owes_del(in, c);
    *(c->prev ? &c->prev->next : &in->first) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    map64_del(&in->by_sender, c->id.sender);
    in->stats.cursors--;
    free(c);
}

void flow_in_free(flow_in *in)
{
    if (!in)
        return;
    while (in->first)
        forget(in, in->first);
    map64_fini(&in->by_sender);
    free(in);
}

static void say(flow_in *in, const flow_id *id, flow_answer what)
{
    for (uint32_t i = 0; i < in->answer_count; i++)
        if (flow_id_eq(&in->answers[i].id, id) && in->answers[i].what == what)
            return;
    if (in->answer_count < ANSWERS_MAX)
        in->answers[in->answer_count++] = (answer){*id, what};
}

static void restart(flow_in *in, cursor *c, const flow_id *id, uint64_t through)
{
    unpark_all(in, c);
    c->id = *id;
    c->taken = c->chain = c->applied = c->durable = through;
    c->lost = 0;
}

static cursor *add(flow_in *in, const flow_id *id)
{
    cursor *c;

    if (in->stats.cursors >= in->config.max_cursors) {
        in->stats.table_full++;
        if (!FAULT(EVICT_LIVE))
            return NULL;
        forget(in, in->first);
    }
    c = calloc(1, sizeof *c);
    if (!c || !map64_put(&in->by_sender, id->sender, c)) {
        free(c);
        return NULL;
    }
    c->id = *id;
    c->next = in->first;
    if (c->next)
        c->next->prev = c;
    in->first = c;
    in->stats.cursors++;
    return c;
}

/* -1: a is of an older incarnation or life than b. */
static int compare(const flow_id *a, const flow_id *b)
{
    if (a->incarnation != b->incarnation)
        return a->incarnation < b->incarnation ? -1 : 1;
    return a->life == b->life ? 0 : a->life < b->life ? -1 : 1;
}

/* The cursor for a frame, made if it may be; NULL with *status. */
static cursor *cursor_for(flow_in *in, const flow_frame *f, berth_status *status)
{
    const flow_id *id = &f->head.id;
    cursor *c = map64_get(&in->by_sender, id->sender);
    int order = c ? compare(id, &c->id) : 0;

    *status = BERTH_OK;
    if (order < 0 && !FAULT(OLD_INCARNATION)) {
        in->stats.stale++;
        *status = BERTH_ERR_STALE;
        return NULL;
    }
    if (order != 0) {
        if (FAULT(KEEP_ON_INCARNATION))
            c->id = *id;
        else
            restart(in, c, id, 0);
    }
    if (c)
        return c;
    if (f->generation != in->generation && !FAULT(OLD_GENERATION)) {
        in->stats.unknown++;
        say(in, id, FLOW_UNKNOWN);
        *status = BERTH_ERR_NOT_FOUND;
        return NULL;
    }
    c = add(in, id);
    if (!c) {
        say(in, id, FLOW_FULL);
        *status = BERTH_ERR_LIMIT;
    }
    return c;
}

/* Is there room for one more? What comes in turn may use all of it, so that it cannot be shut out
 * by what comes later; and what comes next always fits when nothing else can be taken. */
static bool room(const flow_in *in, const cursor *c, uint64_t sequence, size_t len)
{
    uint64_t bytes = in->stats.waiting_bytes + len;

    if (FAULT(PARK_FOR_EVER))
        return true;
    if (sequence == c->taken + 1 && !in->ready_first)
        return true;
    return bytes <= in->config.max_bytes / (sequence == c->chain + 1 ? 1 : 2);
}

static void extend_chain(const flow_in *in, cursor *c)
{
    if (c->chain < c->taken)
        c->chain = c->taken;
    while (c->ring && c->chain - c->taken < in->config.window && slot(in, c, c->chain + 1)->hold)
        c->chain++;
}

static void park(flow_in *in, cursor *c, uint64_t sequence, slice bytes, buf *hold)
{
    if (sequence <= c->taken && !FAULT(NO_DEDUPE)) {
        in->stats.repeated++;
        return;
    }
    if (sequence - c->taken > in->config.window) {
        in->stats.beyond_window++;
        return;
    }
    if (c->ring && slot(in, c, sequence)->hold) {
        in->stats.repeated++;
        return;
    }
    if (!c->ring)
        c->ring = calloc(in->config.window, sizeof *c->ring);
    if (!c->ring || !room(in, c, sequence, bytes.len)) {
        in->stats.no_room++;
        if (c->ring && c->waiting == 0) {
            free(c->ring);
            c->ring = NULL;
        }
        return;
    }
    *slot(in, c, sequence) = (parked){bytes, buf_ref(hold)};
    c->waiting++;
    in->stats.waiting++;
    in->stats.waiting_bytes += bytes.len;
    extend_chain(in, c);
    if (sequence == c->taken + 1 || FAULT(SKIP_GAP) || FAULT(NO_DEDUPE))
        ready_add(in, c);
}

/* The sender has nothing before oldest any more: it was told that all of it is durable, and the
 * state that knew it is gone. */
static berth_status jump(flow_in *in, cursor *c, uint64_t oldest, bool direct)
{
    uint64_t lost = oldest - 1 - c->taken;

    if (!direct || lost > in->config.max_jump)
        return BERTH_ERR_REFUSED;
    while (c->taken < oldest - 1) {
        if (!c->ring) {
            c->taken = oldest - 1;
            break;
        }
        c->taken++;
        if (slot(in, c, c->taken)->hold)
            buf_unref(unpark(in, c, c->taken).hold);
    }
    extend_chain(in, c);
    c->lost += lost;
    in->stats.lost += lost;
    if (c->ring && slot(in, c, c->taken + 1)->hold)
        ready_add(in, c);
    else
        ready_del(in, c);
    return BERTH_OK;
}

berth_status flow_in_offer(flow_in *in, const flow_frame *f, buf *hold, bool direct)
{
    reader r = reader_of(f->events.ptr, f->events.len);
    berth_status status;
    cursor *c;

    if (f->head.id.receiver != in->receiver)
        return BERTH_ERR_INVALID;
    c = cursor_for(in, f, &status);
    if (!c)
        return status ? status : BERTH_ERR_NO_MEMORY;
    if (f->oldest > c->taken + 1) {
        status = jump(in, c, f->oldest, direct);
        if (status)
            return status;
    }
    for (uint32_t i = 0; i < f->count; i++) {
        uint32_t len = reader_u32(&r);
        slice bytes = reader_bytes(&r, len);

        park(in, c, f->first + i, bytes, hold);
    }
    owes_add(in, c); /* also for repeats: the answer to the original may be lost */
    return BERTH_OK;
}

/* With a seeded mistake what is given next is not what is in turn. */
static uint64_t turn(const flow_in *in, const cursor *c)
{
    if (FAULT(SKIP_GAP) || FAULT(NO_DEDUPE))
        for (uint64_t i = 0; i < in->config.window; i++) {
            uint64_t at = (FAULT(NO_DEDUPE) && c->taken > 8 ? c->taken - 8 : c->taken + 1) + i;

            if (c->ring && slot(in, c, at)->hold)
                return at;
        }
    return c->taken + 1;
}

bool flow_in_next(flow_in *in, flow_event *out)
{
    cursor *c = in->ready_first;
    parked p;

    if (!c)
        return false;
    out->sequence = turn(in, c);
    p = unpark(in, c, out->sequence);
    c->taken = out->sequence;
    if (c->chain < c->taken)
        c->chain = c->taken;
    out->id = c->id;
    out->bytes = p.bytes;
    out->hold = p.hold;
    out->lost = c->lost;
    c->lost = 0;
    in->stats.taken++;
    if (!c->ring || !slot(in, c, turn(in, c))->hold)
        ready_del(in, c);
    return true;
}

static cursor *cursor_of(const flow_in *in, const flow_id *id)
{
    cursor *c = map64_get(&in->by_sender, id->sender);

    return c && flow_id_eq(&c->id, id) ? c : NULL;
}

void flow_in_applied(flow_in *in, const flow_id *id, uint64_t through)
{
    cursor *c = cursor_of(in, id);

    if (c && through > c->applied && through <= c->taken)
        c->applied = through;
}

void flow_in_durable(flow_in *in, const flow_id *id, uint64_t through)
{
    cursor *c = cursor_of(in, id);

    if (!c || through <= c->durable || through > c->applied)
        return;
    c->durable = through;
    owes_add(in, c);
}

berth_status flow_in_close(flow_in *in, const flow_close *f)
{
    const flow_id *id = &f->head.id;
    cursor *c = map64_get(&in->by_sender, id->sender);

    if (!c || compare(id, &c->id) < 0) {
        say(in, id, FLOW_CLOSED);
        return BERTH_ERR_NOT_FOUND;
    }
    if (compare(id, &c->id) > 0) /* a flow that was begun and whose events all went elsewhere */
        restart(in, c, id, 0);
    if (c->waiting || c->durable < c->taken)
        return BERTH_ERR_BUSY;
    return BERTH_OK;
}

bool flow_in_outlived(const flow_in *in, uint64_t sender, uint64_t incarnation, flow_id *out)
{
    const cursor *c = map64_get(&in->by_sender, sender);

    if (!c || c->id.incarnation >= incarnation || c->durable < c->taken)
        return false;
    *out = c->id;
    return true;
}

void flow_in_closed(flow_in *in, const flow_id *id)
{
    cursor *c = cursor_of(in, id);

    if (c) {
        forget(in, c);
        in->generation++;
    }
    say(in, id, FLOW_CLOSED);
}

bool flow_in_answer(flow_in *in, flow_ack *out)
{
    cursor *c = in->owes_first;

    memset(out, 0, sizeof *out);
    out->generation = in->generation;
    if (in->answer_count) {
        const answer *a = &in->answers[--in->answer_count];

        out->id = a->id;
        out->answer = a->what;
        return true;
    }
    if (!c)
        return false;
    owes_del(in, c);
    out->id = c->id;
    out->answer = FLOW_THROUGH;
    out->through = FAULT(ACK_BEFORE_COMMIT) ? c->taken : c->durable;
    /* Beyond what is durable, so that the window holds events until they are. */
    out->window = in->config.window;
    return true;
}

void flow_in_get_stats(const flow_in *in, flow_in_stats *out)
{
    *out = in->stats;
}

size_t flow_in_export(const flow_in *in, flow_cursor *out, size_t cap)
{
    size_t count = 0;

    if (FAULT(LOSE_CURSORS))
        return 0;
    for (const cursor *c = in->first; c; c = c->next, count++)
        if (count < cap)
            out[count] = (flow_cursor){c->id.sender, c->id.incarnation, c->id.life, c->applied};
    return count;
}

berth_status flow_in_import(flow_in *in, const flow_cursor *f)
{
    flow_id id = {f->sender, f->incarnation, f->life, in->receiver};
    cursor *c = map64_get(&in->by_sender, f->sender);

    if (c && (compare(&id, &c->id) < 0 || (flow_id_eq(&id, &c->id) && f->through < c->taken)))
        return BERTH_ERR_STALE;
    if (!c)
        c = add(in, &id);
    if (!c)
        return BERTH_ERR_LIMIT;
    restart(in, c, &id, f->through);
    return BERTH_OK;
}

uint64_t flow_in_generation(const flow_in *in)
{
    return in->generation;
}
