/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/map.h"
#include "mesh/fault.h"
#include "mesh/flow.h"

#include <assert.h>
#include <stdlib.h>

#define EXPORT_VERSION 1
#define RING_MIN       8

/* One flow. Its events base+1 .. last lie in a ring by their number. */
typedef struct stream {
    uint64_t receiver, life, generation;
    uint64_t base;    /* acknowledged through */
    uint64_t sent;    /* handed to the network through */
    uint64_t last;    /* numbered through */
    uint64_t highest; /* that was ever sent: tells resends */
    uint64_t allowed; /* the receiver has room through */
    buf **ring;
    size_t cap;
    int64_t used;      /* when something was last handed out or acknowledged */
    int64_t wait, due; /* of the answer that is waited for; due INT64_MAX: for none */
    bool closing, ask; /* ask: say the close, or again one event, though there is no room */
    bool ready, stalled;
    struct stream *next, *prev;             /* all, in the order they began */
    struct stream *ready_next, *ready_prev; /* those with something to send */
} stream;

struct flow_out {
    uint64_t sender, incarnation, lives;
    bool muted;
    flow_out_config config;
    map64 by_receiver;
    stream *first, *tail;
    stream *ready_first, *ready_tail;
    flow_out_stats stats;
};

flow_out *flow_out_new(uint64_t sender, uint64_t incarnation, const flow_out_config *config)
{
    flow_out *o = calloc(1, sizeof *o);

    if (!o)
        return NULL;
    o->sender = sender;
    o->incarnation = incarnation;
    if (config)
        o->config = *config;
    if (!o->config.max_flows)
        o->config.max_flows = 4096;
    if (!o->config.max_events)
        o->config.max_events = 65536;
    if (!o->config.max_bytes)
        o->config.max_bytes = 64u << 20;
    if (!o->config.window)
        o->config.window = 64;
    if (!o->config.resend_ns)
        o->config.resend_ns = 500 * 1000 * 1000;
    if (!o->config.resend_max_ns)
        o->config.resend_max_ns = INT64_C(30) * 1000 * 1000 * 1000;
    return o;
}

static buf **slot(const stream *s, uint64_t sequence)
{
    return &s->ring[sequence & (s->cap - 1)];
}

static void drop_through(flow_out *o, stream *s, uint64_t through)
{
    while (s->base < through) {
        buf **b = slot(s, ++s->base);

        o->stats.events--;
        o->stats.bytes -= (*b)->len;
        buf_unref(*b);
        *b = NULL;
    }
    if (s->sent < s->base)
        s->sent = s->base;
}

static void not_ready(flow_out *o, stream *s)
{
    if (!s->ready)
        return;
    s->ready = false;
    *(s->ready_prev ? &s->ready_prev->ready_next : &o->ready_first) = s->ready_next;
    *(s->ready_next ? &s->ready_next->ready_prev : &o->ready_tail) = s->ready_prev;
}

/* Behind the others, if it has something to send. */
static void consider(flow_out *o, stream *s)
{
    if (s->ready || s->stalled || !(s->ask || (s->sent < s->last && s->sent < s->allowed)))
        return;
    s->ready = true;
    s->ready_next = NULL;
    s->ready_prev = o->ready_tail;
    *(o->ready_tail ? &o->ready_tail->ready_next : &o->ready_first) = s;
    o->ready_tail = s;
}

static void forget(flow_out *o, stream *s)
{
    drop_through(o, s, s->last);
    not_ready(o, s);
    *(s->prev ? &s->prev->next : &o->first) = s->next;
    *(s->next ? &s->next->prev : &o->tail) = s->prev;
    map64_del(&o->by_receiver, s->receiver);
    o->stats.flows--;
    free(s->ring);
    free(s);
}

void flow_out_free(flow_out *o)
{
    if (!o)
        return;
    while (o->first)
        forget(o, o->first);
    map64_fini(&o->by_receiver);
    free(o);
}

static void begin(flow_out *o, stream *s)
{
    s->life = ++o->lives;
    s->base = s->sent = s->last = s->highest = 0;
    s->allowed = o->config.window;
    s->wait = o->config.resend_ns;
    s->due = INT64_MAX;
    s->closing = s->ask = false;
}

static stream *add(flow_out *o, uint64_t receiver)
{
    stream *s = calloc(1, sizeof *s);

    if (!s || !map64_put(&o->by_receiver, receiver, s)) {
        free(s);
        return NULL;
    }
    s->receiver = receiver;
    s->prev = o->tail;
    *(o->tail ? &o->tail->next : &o->first) = s;
    o->tail = s;
    o->stats.flows++;
    return s;
}

static bool grow(stream *s)
{
    size_t cap = s->cap ? 2 * s->cap : RING_MIN;
    buf **bigger = calloc(cap, sizeof(buf *));

    if (!bigger)
        return false;
    for (uint64_t i = s->base + 1; i <= s->last; i++)
        bigger[i & (cap - 1)] = *slot(s, i);
    free(s->ring);
    s->ring = bigger;
    s->cap = cap;
    return true;
}

static berth_status append(flow_out *o, stream *s, buf *event)
{
    if (s->last - s->base == s->cap && !grow(s))
        return BERTH_ERR_NO_MEMORY;
    s->last++;
    *slot(s, s->last) = buf_ref(event);
    o->stats.events++;
    o->stats.bytes += event->len;
    return BERTH_OK;
}

berth_status flow_out_send(flow_out *o, uint64_t receiver, buf *event, uint64_t *sequence)
{
    stream *s = map64_get(&o->by_receiver, receiver);
    berth_status status;

    if (event->len > FLOW_EVENT_MAX)
        return BERTH_ERR_LIMIT;
    if (!o->muted && (o->stats.events >= o->config.max_events ||
                      (o->stats.events && o->stats.bytes + event->len > o->config.max_bytes) ||
                      (!s && o->stats.flows >= o->config.max_flows)))
        return BERTH_ERR_WOULD_BLOCK;
    if (!s) {
        s = add(o, receiver);
        if (!s)
            return BERTH_ERR_NO_MEMORY;
        begin(o, s);
    } else if (s->closing) {
        /* All of the old life is acknowledged; whoever sees the new one needs no close. */
        not_ready(o, s);
        begin(o, s);
    }
    status = append(o, s, event);
    if (status)
        return status;
    if (sequence)
        *sequence = s->last;
    consider(o, s);
    return BERTH_OK;
}

static flow_head head_of(const flow_out *o, const stream *s)
{
    return (flow_head){.id = {o->sender, o->incarnation, s->life, s->receiver}};
}

static void write_events(flow_out *o, stream *s, writer *w)
{
    uint64_t room = s->allowed > s->sent ? s->allowed - s->sent : 0;
    uint64_t left = s->last - s->sent;
    flow_frame f = {.head = head_of(o, s),
                    .generation = s->generation,
                    .oldest = s->base + 1,
                    .first = s->sent + 1};
    size_t bytes = 0, at = w->len;

    if (s->ask && room == 0)
        room = 1;
    s->ask = false;
    if (left > room)
        left = room;
    while (f.count < left && f.count < FLOW_FRAME_EVENTS) {
        size_t len = (*slot(s, f.first + f.count))->len;

        if (f.count && bytes + len > FLOW_FRAME_BYTES)
            break;
        bytes += len;
        f.count++;
    }
    flow_frame_write(w, &f);
    writer_reserve(w, bytes + 4 * (size_t)f.count);
    for (uint32_t i = 0; i < f.count; i++) {
        const buf *event = *slot(s, f.first + i);

        writer_u32(w, (uint32_t)event->len);
        writer_bytes(w, event->data, event->len);
    }
    if (w->failed) { /* short of memory: as if it had been lost on the way */
        w->len = at;
        return;
    }
    s->sent += f.count;
    o->stats.sent += f.count;
    if (s->highest >= f.first)
        o->stats.resent += (s->highest < s->sent ? s->highest : s->sent) - f.first + 1;
    if (s->highest < s->sent)
        s->highest = s->sent;
    if (FAULT(FORGET_ON_SEND))
        drop_through(o, s, s->sent);
}

bool flow_out_poll(flow_out *o, int64_t now_ns, writer *w, uint64_t *receiver)
{
    stream *s = o->ready_first;

    if (!s || o->muted)
        return false;
    not_ready(o, s);
    *receiver = s->receiver;
    s->used = now_ns;
    if (s->due == INT64_MAX)
        s->due = now_ns + s->wait;
    if (s->closing) {
        flow_close c = {head_of(o, s)};

        s->ask = false;
        flow_close_write(w, &c);
    } else {
        write_events(o, s, w);
        consider(o, s);
    }
    return true;
}

static void again(flow_out *o, stream *s)
{
    if (FAULT(NEVER_RESEND))
        return;
    s->sent = s->base;
    s->ask = s->closing || s->base < s->last;
    consider(o, s);
}

void flow_out_moved(flow_out *o, uint64_t receiver)
{
    stream *s = map64_get(&o->by_receiver, receiver);

    if (!s)
        return;
    s->wait = o->config.resend_ns;
    s->due = INT64_MAX;
    s->stalled = false;
    again(o, s);
}

void flow_out_unsent(flow_out *o, uint64_t receiver)
{
    stream *s = map64_get(&o->by_receiver, receiver);

    if (!s)
        return;
    s->sent = s->base; /* the poll before has set when it falls due */
    not_ready(o, s);
}

void flow_out_stall(flow_out *o, uint64_t receiver, slice message)
{
    stream *s = map64_get(&o->by_receiver, receiver);
    berth_error unread = {0};
    flow_frame f;

    if (!s)
        return;
    if (s->closing)
        s->ask = true;
    else if (flow_frame_read(&f, message, &unread) == BERTH_OK && f.first - 1 >= s->base)
        s->sent = f.first - 1;
    s->stalled = true;
    not_ready(o, s);
}

void flow_out_room(flow_out *o, uint64_t receiver)
{
    stream *s = map64_get(&o->by_receiver, receiver);

    if (!s)
        return;
    s->stalled = false;
    consider(o, s);
}

bool flow_out_fits(const flow_out *o, uint32_t events, uint64_t bytes, uint32_t receivers)
{
    return o->stats.events == 0 || (o->stats.events + events <= o->config.max_events &&
                                    o->stats.bytes + bytes <= o->config.max_bytes &&
                                    o->stats.flows + receivers <= o->config.max_flows);
}

bool flow_out_next(const flow_out *o, flow_waiting *w)
{
    const stream *s = w->at ? ((const stream *)w->at)->next : o->first;

    while (s && s->base == s->last)
        s = s->next;
    if (!s)
        return false;
    *w = (flow_waiting){.at = s, .receiver = s->receiver, .events = s->last - s->base};
    return true;
}

void flow_out_drop(flow_out *o, uint64_t receiver, void (*lost)(void *ctx, slice event), void *ctx)
{
    stream *s = map64_get(&o->by_receiver, receiver);

    if (!s)
        return;
    for (uint64_t i = s->base + 1; i <= s->last; i++) {
        const buf *event = *slot(s, i);

        lost(ctx, slice_of(event->data, event->len));
    }
    forget(o, s);
}

int64_t flow_out_deadline(const flow_out *o)
{
    int64_t soonest = INT64_MAX;

    for (const stream *s = o->first; s; s = s->next)
        if (s->due < soonest)
            soonest = s->due;
    return soonest;
}

void flow_out_expire(flow_out *o, int64_t now_ns)
{
    for (stream *s = o->first; s; s = s->next) {
        if (s->due > now_ns)
            continue;
        s->due = INT64_MAX; /* the next poll sets it */
        if (!s->closing && s->base == s->last)
            continue;
        s->wait = s->wait > o->config.resend_max_ns / 2 ? o->config.resend_max_ns : 2 * s->wait;
        again(o, s);
    }
}

static berth_status refused(flow_out *o, berth_status why)
{
    o->stats.refused_answers++;
    return why;
}

static void acknowledged(flow_out *o, stream *s, const flow_ack *ack, int64_t now_ns)
{
    if (ack->through > s->base) {
        o->stats.acknowledged += ack->through - s->base;
        drop_through(o, s, ack->through);
        s->wait = o->config.resend_ns;
        /* Also when nothing is under way: then for lack of room, of which the word may get lost. */
        s->due = s->base < s->last ? now_ns + s->wait : INT64_MAX;
    }
    s->allowed = s->base + ack->window;
    s->used = now_ns;
    consider(o, s);
}

berth_status flow_out_answer(flow_out *o, const flow_ack *ack, int64_t now_ns)
{
    stream *s = map64_get(&o->by_receiver, ack->id.receiver);

    if (!s || ack->id.sender != o->sender || ack->id.incarnation != o->incarnation ||
        (ack->id.life != s->life && !FAULT(ACK_OF_OLD_LIFE)))
        return refused(o, BERTH_ERR_STALE);
    switch (ack->answer) {
    case FLOW_THROUGH:
        if (ack->through > s->highest)
            return refused(o, BERTH_ERR_INVALID);
        if (ack->through < s->base)
            return refused(o, BERTH_ERR_STALE);
        acknowledged(o, s, ack, now_ns);
        return BERTH_OK;
    case FLOW_UNKNOWN:
        if (s->closing || ack->generation <= s->generation)
            return refused(o, BERTH_ERR_STALE);
        s->generation = ack->generation;
        again(o, s);
        return BERTH_OK;
    case FLOW_FULL:
        s->sent = s->base;
        s->allowed = s->base;
        s->due = now_ns + s->wait;
        return BERTH_OK;
    case FLOW_CLOSED:
        if (!s->closing)
            return refused(o, BERTH_ERR_STALE);
        forget(o, s);
        return BERTH_OK;
    }
    return refused(o, BERTH_ERR_INVALID);
}

void flow_out_mute(flow_out *o, bool muted)
{
    o->muted = muted;
}

berth_status flow_out_close(flow_out *o, uint64_t receiver)
{
    stream *s = map64_get(&o->by_receiver, receiver);

    if (!s)
        return BERTH_ERR_NOT_FOUND;
    if (s->base < s->last) {
        if (!o->muted)
            return BERTH_ERR_BUSY;
        drop_through(o, s, s->last);
    }
    if (s->closing)
        return BERTH_OK;
    s->closing = s->ask = true;
    s->wait = o->config.resend_ns;
    s->due = INT64_MAX;
    consider(o, s);
    return BERTH_OK;
}

size_t flow_out_close_idle(flow_out *o, int64_t since_ns)
{
    size_t closed = 0;

    for (stream *s = o->first; s; s = s->next) {
        if (s->closing || s->base < s->last || !s->base || s->used > since_ns)
            continue;
        flow_out_close(o, s->receiver);
        closed++;
    }
    return closed;
}

void flow_out_get_stats(const flow_out *o, flow_out_stats *out)
{
    *out = o->stats;
}

uint64_t flow_out_acknowledged(const flow_out *o, uint64_t receiver)
{
    const stream *s = map64_get(&o->by_receiver, receiver);

    return s ? s->base : 0;
}

bool flow_out_waiting(const flow_out *o, uint64_t receiver)
{
    const stream *s = map64_get(&o->by_receiver, receiver);

    return s && s->last > s->base;
}

void flow_out_export(const flow_out *o, writer *w)
{
    writer_u8(w, EXPORT_VERSION);
    writer_u64(w, o->lives);
    writer_u32(w, (uint32_t)o->stats.flows);
    for (const stream *s = o->first; s; s = s->next) {
        uint64_t last = FAULT(LOSE_OUTBOX) ? s->base : s->last;

        writer_u64(w, s->receiver);
        writer_u64(w, s->life);
        writer_u64(w, s->generation);
        writer_u64(w, s->base);
        writer_u8(w, s->closing);
        writer_u32(w, (uint32_t)(last - s->base));
        for (uint64_t i = s->base + 1; i <= last; i++) {
            const buf *event = *slot(s, i);

            writer_u32(w, (uint32_t)event->len);
            writer_bytes(w, event->data, event->len);
        }
    }
}

static berth_status import_events(flow_out *o, stream *s, reader *r, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t len = reader_u32(r);
        slice bytes = reader_bytes(r, len);
        berth_status status;
        buf *event;

        if (!reader_ok(r))
            return BERTH_ERR_CORRUPT;
        if (len > FLOW_EVENT_MAX)
            return BERTH_ERR_LIMIT;
        event = buf_copy(bytes.ptr, bytes.len);
        if (!event)
            return BERTH_ERR_NO_MEMORY;
        status = append(o, s, event);
        buf_unref(event);
        if (status)
            return status;
    }
    return BERTH_OK;
}

static berth_status import_one(flow_out *o, reader *r)
{
    uint64_t receiver = reader_u64(r), life = reader_u64(r), generation = reader_u64(r);
    uint64_t base = reader_u64(r);
    uint8_t closing = reader_u8(r);
    uint32_t count = reader_u32(r);
    berth_status status;
    stream *s;

    if (!reader_ok(r) || life == 0 || life > o->lives || closing > 1 || (closing && count) ||
        base > UINT64_MAX - count || map64_get(&o->by_receiver, receiver))
        return BERTH_ERR_CORRUPT;
    s = add(o, receiver);
    if (!s)
        return BERTH_ERR_NO_MEMORY;
    s->life = life;
    s->generation = generation;
    s->base = s->sent = s->last = base;
    status = import_events(o, s, r, count);
    /* Who restores does not know how far it had come: all of it may have been sent. */
    s->highest = s->last;
    s->allowed = s->base + o->config.window;
    s->wait = o->config.resend_ns;
    s->due = INT64_MAX;
    s->closing = s->ask = closing;
    consider(o, s);
    return status;
}

berth_status flow_out_import(flow_out *o, slice bytes, berth_error *error)
{
    reader r = reader_of(bytes.ptr, bytes.len);
    uint8_t version = reader_u8(&r);
    berth_status status = BERTH_OK;
    uint32_t count;

    assert(!o->first);
    if (bytes.len && version != EXPORT_VERSION)
        return fail(error, BERTH_ERR_VERSION, "outbox: version %u is not known here", version);
    o->lives = reader_u64(&r);
    count = reader_u32(&r);
    if (reader_ok(&r) && count > o->config.max_flows)
        return fail(error, BERTH_ERR_LIMIT, "outbox: %u flows; at most %u are kept", count,
                    o->config.max_flows);
    for (uint32_t i = 0; i < count && !status; i++)
        status = import_one(o, &r);
    if (!status && !reader_done(&r))
        status = BERTH_ERR_CORRUPT;
    if (!status)
        return BERTH_OK;
    while (o->first)
        forget(o, o->first);
    o->lives = 0;
    return fail(error, status, "outbox: %s", berth_status_text(status));
}
