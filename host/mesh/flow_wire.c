/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "mesh/fault.h"
#include "mesh/flow.h"

#include <inttypes.h>
#include <stdio.h>

/* kind u16, hops u8, min_epoch u64, then the four numbers of the id: at the same place in all. */
#define AT_HOPS  2
#define AT_EPOCH 3
#define HEAD     (2 + 1 + 8 + 4 * 8)

static void write_id(writer *w, const flow_id *id)
{
    writer_u64(w, id->sender);
    writer_u64(w, id->incarnation);
    writer_u64(w, id->life);
    writer_u64(w, id->receiver);
}

static void read_id(reader *r, flow_id *id)
{
    id->sender = reader_u64(r);
    id->incarnation = reader_u64(r);
    id->life = reader_u64(r);
    id->receiver = reader_u64(r);
}

static void write_head(writer *w, uint16_t kind, const flow_head *h)
{
    writer_u16(w, kind);
    writer_u8(w, h->hops);
    writer_u64(w, h->min_epoch);
    write_id(w, &h->id);
}

static const char *read_head(reader *r, uint16_t kind, flow_head *h)
{
    if (reader_u16(r) != kind)
        return "is of another kind";
    h->hops = reader_u8(r);
    h->min_epoch = reader_u64(r);
    read_id(r, &h->id);
    if (!reader_ok(r))
        return "ends in its head";
    if (h->hops > FLOW_HOPS_MAX)
        return "was forwarded more often than is allowed";
    return h->id.incarnation && h->id.life ? NULL : "has an incarnation or a life of 0";
}

void flow_frame_write(writer *w, const flow_frame *f)
{
    writer_reserve(w, HEAD + 28 + f->events.len);
    write_head(w, MESSAGE_FLOW_EVENTS, &f->head);
    writer_u64(w, f->generation);
    writer_u64(w, f->oldest);
    writer_u64(w, f->first);
    writer_u32(w, f->count);
    writer_bytes(w, f->events.ptr, f->events.len);
}

static const char *check_events(const flow_frame *f)
{
    reader r = reader_of(f->events.ptr, f->events.len);

    if (f->oldest == 0 || f->first < f->oldest)
        return "begins before what the sender has";
    if (f->count == 0 || f->count > FLOW_FRAME_EVENTS)
        return "has no events, or too many";
    if (f->first > UINT64_MAX - f->count)
        return "has numbers beyond the last one";
    for (uint32_t i = 0; i < f->count; i++) {
        uint32_t len = reader_u32(&r);

        if (len > FLOW_EVENT_MAX)
            return "has an event over the limit";
        reader_bytes(&r, len);
    }
    return reader_done(&r) ? NULL : "does not end with its last event";
}

berth_status flow_frame_read(flow_frame *out, slice message, berth_error *error)
{
    reader r = reader_of(message.ptr, message.len);
    const char *wrong;

    memset(out, 0, sizeof *out);
    wrong = read_head(&r, MESSAGE_FLOW_EVENTS, &out->head);
    out->generation = reader_u64(&r);
    out->oldest = reader_u64(&r);
    out->first = reader_u64(&r);
    out->count = reader_u32(&r);
    out->events = reader_bytes(&r, reader_left(&r));
    if (!wrong && !reader_ok(&r))
        wrong = "ends in its head";
    if (!wrong)
        wrong = check_events(out);
    return wrong ? fail(error, BERTH_ERR_CORRUPT, "flow events: the message %s", wrong) : BERTH_OK;
}

void flow_close_write(writer *w, const flow_close *c)
{
    write_head(w, MESSAGE_FLOW_CLOSE, &c->head);
}

berth_status flow_close_read(flow_close *out, slice message, berth_error *error)
{
    reader r = reader_of(message.ptr, message.len);
    const char *wrong;

    memset(out, 0, sizeof *out);
    wrong = read_head(&r, MESSAGE_FLOW_CLOSE, &out->head);
    if (!wrong && !reader_done(&r))
        wrong = "does not end with its head";
    return wrong ? fail(error, BERTH_ERR_CORRUPT, "flow close: the message %s", wrong) : BERTH_OK;
}

void flow_ack_write(writer *w, const flow_ack *a)
{
    writer_u16(w, MESSAGE_FLOW_ACK);
    writer_u8(w, (uint8_t)a->answer);
    writer_u64(w, a->epoch);
    write_id(w, &a->id);
    writer_u64(w, a->generation);
    writer_u64(w, a->through);
    writer_u32(w, a->window);
}

berth_status flow_ack_read(flow_ack *out, slice message, berth_error *error)
{
    reader r = reader_of(message.ptr, message.len);
    uint16_t kind = reader_u16(&r);
    uint8_t answer = reader_u8(&r);

    memset(out, 0, sizeof *out);
    out->epoch = reader_u64(&r);
    read_id(&r, &out->id);
    out->generation = reader_u64(&r);
    out->through = reader_u64(&r);
    out->window = reader_u32(&r);
    if (!reader_done(&r) || kind != MESSAGE_FLOW_ACK)
        return fail(error, BERTH_ERR_CORRUPT, "flow answer: is not 69 bytes of that kind");
    if (answer < FLOW_THROUGH || answer > FLOW_CLOSED)
        return fail(error, BERTH_ERR_CORRUPT, "flow answer: %u is no answer", answer);
    out->answer = (flow_answer)answer;
    return BERTH_OK;
}

void flow_address(uint8_t *message, uint64_t min_epoch)
{
    store_u64(message + AT_EPOCH, min_epoch);
}

void flow_forward(writer *w, slice message, uint64_t min_epoch)
{
    size_t at = w->len;

    writer_bytes(w, message.ptr, message.len);
    if (w->failed || message.len < HEAD)
        return;
    w->data[at + AT_HOPS]++;
    flow_address(w->data + at, min_epoch);
}

void flow_cursor_source(char out[FLOW_SOURCE], const flow_cursor *c)
{
    snprintf(out, FLOW_SOURCE, "flow/%016" PRIx64 "/%" PRIx64 "/%" PRIx64, c->sender,
             c->incarnation, c->life);
}

/* Up to 16 lower-case hex digits and nothing else. */
static bool parse_hex(const char **at, char end, uint64_t *out)
{
    const char *p = *at;
    uint64_t v = 0;

    for (; *p != end; p++) {
        unsigned digit = *p >= '0' && *p <= '9'   ? (unsigned)(*p - '0')
                         : *p >= 'a' && *p <= 'f' ? (unsigned)(*p - 'a' + 10)
                                                  : 16;

        if (digit > 15 || p - *at == 16)
            return false;
        v = v << 4 | digit;
    }
    if (p == *at)
        return false;
    *at = p + 1;
    *out = v;
    return true;
}

bool flow_cursor_parse(flow_cursor *out, slice source, uint64_t sequence)
{
    char text[FLOW_SOURCE], again[FLOW_SOURCE];
    const char *at = text + 5;

    memset(out, 0, sizeof *out);
    if (source.len >= sizeof text || source.len < 5 || memcmp(source.ptr, "flow/", 5) != 0)
        return false;
    memcpy(text, source.ptr, source.len);
    text[source.len] = 0;
    if (strlen(text) != source.len || !parse_hex(&at, '/', &out->sender) ||
        !parse_hex(&at, '/', &out->incarnation) || !parse_hex(&at, 0, &out->life))
        return false;
    out->through = sequence;
    flow_cursor_source(again, out); /* one cursor has one text */
    return strcmp(text, again) == 0;
}
