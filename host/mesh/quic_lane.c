/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages over streams. A lane is one unidirectional stream each way; a message on it is its
 * length, 4 bytes little-endian, and its bytes.
 */
#include "mesh/quic.h"

#include <stdlib.h>

/* What is allocated for a message on the word of its length alone; more follows as bytes come. */
#define TRUSTED (64u << 10)
/* Up to here by a factor of four, for growing copies; then of two. */
#define GENEROUS (1u << 20)

/* ---- Out ------------------------------------------------------------------------------------- */

static uint64_t item_start(const out_item *item)
{
    return item->end - sizeof item->head - item->message->len;
}

static uint64_t item_cost(const buf *message)
{
    return message->len + QUIC_ITEM_COST;
}

static bool out_push(lane_out *l, buf *message)
{
    out_block *b = l->tail;
    out_item *item;
    uint32_t len = htole32((uint32_t)message->len);

    if (!b || b->count == QUIC_OUT_ITEMS) {
        out_block *more = calloc(1, sizeof *more);

        if (!more)
            return false;
        if (b)
            b->next = more;
        else
            l->head = more;
        l->tail = b = more;
    }
    if (!l->at) {
        l->at = b;
        l->at_item = b->count;
    }
    item = &b->items[b->count++];
    item->message = buf_ref(message);
    memcpy(item->head, &len, sizeof len);
    l->end += sizeof item->head + message->len;
    item->end = l->end;
    l->charged += item_cost(message);
    return true;
}

berth_status session_send(session *s, lane l, buf *message, int64_t now_ns)
{
    lane_out *out;

    endpoint_time(s->e, now_ns);
    if ((unsigned)l >= LANE_COUNT || !message)
        return BERTH_ERR_INVALID;
    if (message->len > s->e->config.max_message)
        return BERTH_ERR_LIMIT;
    if (s->state == SESSION_LINGERING || s->ending)
        return BERTH_ERR_CANCELLED;
    if (s->state != SESSION_UP)
        return BERTH_ERR_NOT_READY;
    out = &s->out[l];
    /* One message of any size fits into an empty lane, else it never could be sent. */
    if (out->charged && out->charged + item_cost(message) > s->e->config.max_queued) {
        out->wants_room = true;
        return BERTH_ERR_WOULD_BLOCK;
    }
    if (!out_push(out, message))
        return BERTH_ERR_NO_MEMORY;
    endpoint_ready(s);
    return BERTH_OK;
}

size_t lane_pieces(const lane_out *l, ngtcp2_vec *out, size_t n)
{
    const out_block *b = l->at;
    unsigned i = l->at_item;
    uint64_t from = l->written;
    size_t count = 0;

    while (b && count + 2 <= n) {
        const out_item *item;
        uint64_t skip;

        if (i == b->count) {
            b = b->next;
            i = 0;
            continue;
        }
        item = &b->items[i++];
        skip = from - item_start(item);
        if (skip < sizeof item->head) {
            out[count++] = (ngtcp2_vec){(uint8_t *)(uintptr_t)item->head + skip,
                                        sizeof item->head - (size_t)skip};
            skip = 0;
        } else {
            skip -= sizeof item->head;
        }
        if (skip < item->message->len)
            out[count++] =
                (ngtcp2_vec){item->message->data + skip, item->message->len - (size_t)skip};
        from = item->end;
    }
    return count;
}

void lane_wrote(lane_out *l, uint64_t n)
{
    l->written += n;
    while (l->at) {
        if (l->at_item == l->at->count) {
            if (!l->at->next)
                break;
            l->at = l->at->next;
            l->at_item = 0;
        } else if (l->at->items[l->at_item].end <= l->written) {
            l->at_item++;
        } else {
            break;
        }
    }
}

static void drop_first(lane_out *l)
{
    out_block *b = l->head;

    l->charged -= item_cost(b->items[b->first].message);
    buf_unref(b->items[b->first].message);
    b->first++;
}

/* A block that is used up goes, except where writing will go on in it. */
static void trim(lane_out *l)
{
    out_block *b = l->head;

    if (b->first < b->count)
        return;
    if (b->count < QUIC_OUT_ITEMS && !b->next) {
        b->first = b->count = 0;
        l->at_item = 0;
        return;
    }
    if (l->at == b) {
        l->at = b->next;
        l->at_item = 0;
    }
    l->head = b->next;
    if (!l->head)
        l->tail = NULL;
    free(b);
}

void lane_acked(session *s, lane l, uint64_t upto)
{
    lane_out *out = &s->out[l];

    while (out->head && out->head->first < out->head->count &&
           out->head->items[out->head->first].end <= upto) {
        drop_first(out);
        trim(out);
    }
}

/* Tell of lanes that have room again; from outside of ngtcp2. */
void lanes_room(session *s)
{
    for (unsigned l = 0; l < LANE_COUNT && s->state == SESSION_UP && !s->ending; l++) {
        lane_out *out = &s->out[l];

        if (!out->wants_room || out->charged > s->e->config.max_queued / 2)
            continue;
        out->wants_room = false;
        s->e->config.events.room(s->e->config.events.ctx, s, (lane)l);
    }
}

uint64_t lanes_queued(const session *s)
{
    uint64_t sum = 0;

    for (unsigned l = 0; l < LANE_COUNT; l++)
        sum += s->out[l].charged;
    return sum;
}

/* ---- In -------------------------------------------------------------------------------------- */

bool lane_of_stream(const session *s, int64_t stream, bool ours, lane *out)
{
    int64_t first = 2 + (s->dialled != ours); /* unidirectional, client's or server's */

    if (stream < 0 || (stream & 3) != first || stream >> 2 >= LANE_COUNT)
        return false;
    *out = (lane)(stream >> 2);
    return true;
}

static void grant(session *s, lane l, uint64_t n)
{
    int64_t stream = (int64_t)l * 4 + 2 + s->dialled;

    if (!n || !s->conn)
        return;
    /* A stream that is gone needs none. */
    ngtcp2_conn_extend_max_stream_offset(s->conn, stream, n);
    ngtcp2_conn_extend_max_offset(s->conn, n);
}

/* Room for n more bytes of the message; grows as it comes, never beyond what was announced. */
static bool message_room(lane_in *in, size_t n)
{
    size_t cap = in->message ? in->message->len : 0, wanted = in->got + n;
    buf *more;

    if (in->message && wanted <= cap)
        return true;
    cap = !cap ? TRUSTED : cap < GENEROUS ? cap * 4 : cap * 2;
    if (cap < wanted)
        cap = wanted;
    if (cap > in->want)
        cap = in->want;
    more = buf_new(cap);
    if (!more)
        return false;
    if (in->message)
        memcpy(more->data, in->message->data, in->got);
    buf_unref(in->message);
    in->message = more;
    return true;
}

/* Offer the whole message; false: refused. */
static bool deliver(session *s, lane l)
{
    lane_in *in = &s->in[l];

    if (!s->e->config.events.message(s->e->config.events.ctx, s, l, in->message))
        return false;
    buf_unref(in->message);
    in->message = NULL;
    in->head_len = 0;
    grant(s, l, in->owed);
    in->owed = 0;
    return true;
}

static int take_head(session *s, lane_in *in, const uint8_t **data, size_t *len)
{
    uint32_t want;

    while (in->head_len < sizeof in->head && *len) {
        in->head[in->head_len++] = *(*data)++;
        (*len)--;
        in->owed++;
    }
    if (in->head_len < sizeof in->head)
        return 0;
    memcpy(&want, in->head, sizeof want);
    in->want = le32toh(want);
    in->got = 0;
    if (in->want > s->e->config.max_message) {
        session_end_now(s, END_ERROR, 0, "a message of %zu bytes is longer than is allowed",
                        in->want);
        return NGTCP2_ERR_CALLBACK_FAILURE;
    }
    if (!message_room(in, 0)) {
        session_end_now(s, END_ERROR, 0, "no memory for a message of %zu bytes", in->want);
        return NGTCP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

/* Bytes of the stream, in order. Stops at a message that is refused and keeps the rest: it cannot
 * be more than a window, for no credit is given for it. */
static int feed(session *s, lane l, const uint8_t **data, size_t *len)
{
    lane_in *in = &s->in[l];

    while (!in->refused && !s->ending && (*len || in->message)) {
        size_t n;

        if (!in->message) {
            int rv = take_head(s, in, data, len);

            if (rv != 0)
                return rv;
            if (!in->message)
                return 0;
        }
        n = in->want - in->got;
        if (n > *len)
            n = *len;
        if (!message_room(in, n)) {
            session_end_now(s, END_ERROR, 0, "no memory for a message of %zu bytes", in->want);
            return NGTCP2_ERR_CALLBACK_FAILURE;
        }
        if (n)
            memcpy(in->message->data + in->got, *data, n);
        in->got += n;
        *data += n;
        *len -= n;
        /* A message that would not fit into the window must be let in before it is taken. */
        if (in->want > QUIC_LANE_WINDOW / 2)
            grant(s, l, n);
        else
            in->owed += n;
        if (in->got < in->want)
            return 0;
        in->refused = !deliver(s, l);
    }
    return 0;
}

int lane_feed(session *s, lane l, const uint8_t *data, size_t len)
{
    lane_in *in = &s->in[l];
    int rv = in->refused ? 0 : feed(s, l, &data, &len);

    if (rv == 0 && len && in->refused) {
        writer_bytes(&in->staged, data, len);
        if (in->staged.failed) {
            session_end_now(s, END_ERROR, 0, "no memory for what waits on a lane");
            return NGTCP2_ERR_CALLBACK_FAILURE;
        }
    }
    return rv;
}

void session_resume(session *s, lane l, int64_t now_ns)
{
    lane_in *in;

    endpoint_time(s->e, now_ns);
    if ((unsigned)l >= LANE_COUNT || s->state != SESSION_UP || s->ending)
        return;
    in = &s->in[l];
    /* Not from inside the offer itself: there the answer decides. */
    if (!in->refused)
        return;
    s->busy++;
    in->refused = false;
    in->refused = !deliver(s, l);
    if (!in->refused) {
        writer staged = in->staged;
        const uint8_t *data = staged.data + in->staged_at;
        size_t left = staged.len - in->staged_at;

        in->staged = (writer){0};
        in->staged_at = 0;
        if (left)
            (void)feed(s, l, &data, &left);
        if (left && in->refused) { /* the rest waits on */
            in->staged = staged;
            in->staged_at = staged.len - left;
        } else {
            writer_free(&staged);
        }
    }
    s->busy--;
    endpoint_ready(s);
    session_settle(s);
}

void lanes_free(session *s)
{
    for (unsigned i = 0; i < LANE_COUNT; i++) {
        lane_out *out = &s->out[i];

        while (out->head) {
            out_block *b = out->head;

            while (b->first < b->count)
                buf_unref(b->items[b->first++].message);
            out->head = b->next;
            free(b);
        }
        *out = (lane_out){0};
        buf_unref(s->in[i].message);
        writer_free(&s->in[i].staged);
        s->in[i] = (lane_in){0};
    }
}
