/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/call_wire.h"
#include "base/error.h"
#include "base/text.h"
#include "chain/channel.h"

#include <assert.h>
#include <inttypes.h>

/* kind u16, id u64, boot u64, number u64, open_from u64, left_ns u64, flags u16, target u8: at the
 * same place in every request. */
#define AT_NUMBER    (2 + 8 + 8)
#define AT_OPEN_FROM (AT_NUMBER + 8)
#define AT_LEFT      (AT_OPEN_FROM + 8)
#define AT_TARGET    (AT_LEFT + 8 + 2)
#define AT_EPOCH     (AT_TARGET + 1 + 8)

#define TARGET_DAEMON  1
#define TARGET_SERVICE 2
#define FLAG_OUTPUTS   1
#define FLAG_KEPT      1

#define REQUESTS_SUFFIX ".requests"

berth_status call_service_check(slice name, berth_error *error)
{
    char channel[CALL_SERVICE_MAX + sizeof REQUESTS_SUFFIX];
    berth_error wrong = {0};
    berth_status status;

    if (!name.len || name.len > CALL_SERVICE_MAX)
        return fail(error, BERTH_ERR_LIMIT, "service: its name has %zu bytes, not 1 to %d",
                    name.len, CALL_SERVICE_MAX);
    memcpy(channel, name.ptr, name.len);
    memcpy(channel + name.len, REQUESTS_SUFFIX, sizeof REQUESTS_SUFFIX);
    status = channel_name_check(slice_str(channel), &wrong);
    /* A zero byte in the name ends the text early, and what is left may be a name. */
    if (!status && memchr(name.ptr, 0, name.len))
        status = fail(&wrong, BERTH_ERR_INVALID, "it has a zero byte");
    if (status)
        return fail(error, status, "service '%.*s': %s", (int)name.len, (const char *)name.ptr,
                    wrong.text);
    return BERTH_OK;
}

uint16_t call_message_kind(slice message)
{
    reader r = reader_of(message.ptr, message.len);

    return reader_u16(&r);
}

/* A writer that fills a new buffer of exactly this length. */
static buf *begin(writer *w, size_t len)
{
    buf *b = buf_new(len);

    if (b)
        *w = (writer){.data = b->data, .cap = len};
    return b;
}

static buf *end(const writer *w, buf *b)
{
    assert(w->data == b->data && w->len == b->len);
    (void)w;
    return b;
}

/* ---- Requests -------------------------------------------------------------------------------- */

/* The fields, however they came. */
static berth_status check_request(const call_request *r, berth_error *error)
{
    if (!r->id || !r->boot)
        return fail(error, BERTH_ERR_INVALID, "call: id and boot must not be 0");
    if (!r->number || !r->open_from || r->open_from > r->number)
        return fail(error, BERTH_ERR_INVALID,
                    "call: %" PRIu64 " is no number with open calls from %" PRIu64, r->number,
                    r->open_from);
    if (r->left_ns > CALL_DEADLINE_MAX)
        return fail(error, BERTH_ERR_LIMIT, "call: the deadline is more than 24 hours ahead");
    if (r->source.len > CALL_SOURCE_MAX)
        return fail(error, BERTH_ERR_LIMIT, "call: a source of %zu bytes; %d are the most",
                    r->source.len, CALL_SOURCE_MAX);
    if (!r->count || r->count > CALL_EVENTS_MAX)
        return fail(error, BERTH_ERR_LIMIT, "call: %u events, not 1 to %d", r->count,
                    CALL_EVENTS_MAX);
    return r->is_service ? call_service_check(r->service, error) : BERTH_OK;
}

static berth_status check_event(uint64_t bytes, uint64_t len, berth_error *error)
{
    if (len > CALL_EVENT_MAX)
        return fail(error, BERTH_ERR_LIMIT, "call: an event of %" PRIu64 " bytes; %u are the most",
                    len, CALL_EVENT_MAX);
    if (bytes > CALL_REQUEST_MAX)
        return fail(error, BERTH_ERR_LIMIT,
                    "call: its events have more than %u bytes; send them in several",
                    CALL_REQUEST_MAX);
    return BERTH_OK;
}

berth_status call_request_write(const call_request *r, const slice *events, buf **out,
                                berth_error *error)
{
    size_t len = AT_TARGET + 1 + (r->is_service ? 1 + r->service.len : 16) + 1 +
                 (r->source.len ? r->source.len + 8 : 0) + 4;
    berth_status status = check_request(r, error);
    size_t bytes = 0;
    writer w;
    buf *b;

    *out = NULL;
    for (uint32_t i = 0; !status && i < r->count; i++) {
        bytes += 4 + events[i].len;
        status = check_event(bytes, events[i].len, error);
    }
    if (status)
        return status;
    b = begin(&w, len + bytes);
    if (!b)
        return fail(error, BERTH_ERR_NO_MEMORY, "call: no memory for %zu bytes", len + bytes);
    writer_u16(&w, MESSAGE_CALL_REQUEST);
    writer_u64(&w, r->id);
    writer_u64(&w, r->boot);
    writer_u64(&w, r->number);
    writer_u64(&w, r->open_from);
    writer_u64(&w, r->left_ns);
    writer_u16(&w, r->want_outputs ? FLAG_OUTPUTS : 0);
    writer_u8(&w, r->is_service ? TARGET_SERVICE : TARGET_DAEMON);
    if (r->is_service) {
        writer_u8(&w, (uint8_t)r->service.len);
        writer_bytes(&w, r->service.ptr, r->service.len);
    } else {
        writer_u64(&w, r->origin);
        writer_u64(&w, r->min_epoch);
    }
    writer_u8(&w, (uint8_t)r->source.len);
    writer_bytes(&w, r->source.ptr, r->source.len);
    if (r->source.len)
        writer_u64(&w, r->source_seq);
    writer_u32(&w, r->count);
    for (uint32_t i = 0; i < r->count; i++) {
        writer_u32(&w, (uint32_t)events[i].len);
        writer_bytes(&w, events[i].ptr, events[i].len);
    }
    *out = end(&w, b);
    return BERTH_OK;
}

static bool read_target(reader *r, call_request *q)
{
    switch (reader_u8(r)) {
    case TARGET_DAEMON:
        q->origin = reader_u64(r);
        q->min_epoch = reader_u64(r);
        return true;
    case TARGET_SERVICE:
        q->is_service = true;
        q->service = reader_bytes(r, reader_u8(r));
        return true;
    default:
        return false;
    }
}

/* Moves r over the events, so that they can be trusted afterwards. */
static berth_status read_events(reader *r, call_request *q, berth_error *error)
{
    const uint8_t *first = r->at;
    berth_status status = BERTH_OK;

    if (q->count > reader_left(r) / 4)
        return fail(error, BERTH_ERR_CORRUPT, "call: %u events in %zu bytes", q->count,
                    reader_left(r));
    for (uint32_t i = 0; i < q->count && !status; i++) {
        uint32_t len = reader_u32(r);

        reader_bytes(r, len);
        status = check_event((uint64_t)(r->at - first), len, error);
    }
    q->events = slice_of(first, (size_t)(r->at - first));
    return status;
}

berth_status call_request_read(call_request *out, slice message, berth_error *error)
{
    reader r = reader_of(message.ptr, message.len);
    call_request q = {0};
    berth_status status;
    uint16_t kind, flags;
    bool target;

    kind = reader_u16(&r);
    q.id = reader_u64(&r);
    q.boot = reader_u64(&r);
    q.number = reader_u64(&r);
    *out = (call_request){.id = q.id, .boot = q.boot, .number = q.number};
    q.open_from = reader_u64(&r);
    q.left_ns = reader_u64(&r);
    flags = reader_u16(&r);
    target = read_target(&r, &q);
    q.source = reader_bytes(&r, reader_u8(&r));
    if (q.source.len)
        q.source_seq = reader_u64(&r);
    q.count = reader_u32(&r);
    if (!reader_ok(&r))
        return fail(error, BERTH_ERR_CORRUPT, "call: a request of %zu bytes is cut short",
                    message.len);
    if (kind != MESSAGE_CALL_REQUEST || flags > FLAG_OUTPUTS || !target)
        return fail(error, BERTH_ERR_CORRUPT, "call: is no request of a known form");
    status = check_request(&q, error);
    if (!status)
        status = read_events(&r, &q, error);
    if (status == BERTH_ERR_INVALID)
        status = BERTH_ERR_CORRUPT;
    if (!status && !reader_done(&r))
        status = fail(error, BERTH_ERR_CORRUPT, "call: the events do not fill the request");
    if (status)
        return status;
    q.want_outputs = flags & FLAG_OUTPUTS;
    *out = q;
    return BERTH_OK;
}

void call_request_number(buf *message, uint64_t number, uint64_t open_from, uint64_t left_ns)
{
    store_u64(message->data + AT_NUMBER, number);
    store_u64(message->data + AT_OPEN_FROM, open_from);
    store_u64(message->data + AT_LEFT, left_ns);
}

void call_request_epoch(buf *message, uint64_t min_epoch)
{
    assert(message->data[AT_TARGET] == TARGET_DAEMON);
    store_u64(message->data + AT_EPOCH, min_epoch);
}

bool call_event_next(slice *events, slice *event)
{
    reader r = reader_of(events->ptr, events->len);

    if (!events->len)
        return false;
    *event = reader_bytes(&r, reader_u32(&r));
    *events = slice_of(r.at, reader_left(&r));
    return reader_ok(&r);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static berth_status check_response(const call_response *r, berth_error *error)
{
    const call_result *result = &r->result;

    if (!r->id || !r->number)
        return fail(error, BERTH_ERR_INVALID, "answer: id and number must not be 0");
    if (result->text.len > CALL_TEXT_MAX || result->failure_count > CALL_FAILURES_MAX ||
        result->output_count > CALL_OUTPUTS_MAX)
        return fail(error, BERTH_ERR_LIMIT,
                    "answer: %zu bytes of text, %u failures, %u outputs; at most %d, %d and %u",
                    result->text.len, result->failure_count, result->output_count, CALL_TEXT_MAX,
                    CALL_FAILURES_MAX, CALL_OUTPUTS_MAX);
    if (!utf8_valid(result->text))
        return fail(error, BERTH_ERR_INVALID, "answer: its text is not UTF-8");
    for (uint32_t i = 0; i < result->failure_count; i++)
        if (result->failures[i].status == CALL_OK ||
            (i && result->failures[i].index <= result->failures[i - 1].index))
            return fail(error, BERTH_ERR_INVALID,
                        "answer: failure %u is none, or out of the order of its events", i);
    return BERTH_OK;
}

static berth_status check_output(uint64_t bytes, uint64_t len, berth_error *error)
{
    if (len < CALL_OUTPUT_MIN)
        return fail(error, BERTH_ERR_INVALID, "answer: an output of %" PRIu64 " bytes has no link",
                    len);
    if (bytes > CALL_OUTPUT_BYTES)
        return fail(error, BERTH_ERR_LIMIT, "answer: its outputs have more than %u bytes",
                    CALL_OUTPUT_BYTES);
    return BERTH_OK;
}

berth_status call_response_write(const call_response *r, const call_output *outputs, buf **out,
                                 berth_error *error)
{
    const call_result *result = &r->result;
    size_t len = 2 + 8 + 8 + 1 + 2 + 4 * 4 + 2 + result->text.len + 1 +
                 6 * (size_t)result->failure_count + 4;
    berth_status status = check_response(r, error);
    uint64_t bytes = 0;
    writer w;
    buf *b;

    *out = NULL;
    for (uint32_t i = 0; !status && i < result->output_count; i++) {
        bytes += 8 + outputs[i].bytes.len;
        status = check_output(bytes, outputs[i].bytes.len, error);
    }
    if (status)
        return status;
    b = begin(&w, len + bytes);
    if (!b)
        return fail(error, BERTH_ERR_NO_MEMORY, "answer: no memory for %zu bytes",
                    len + (size_t)bytes);
    writer_u16(&w, MESSAGE_CALL_ANSWER);
    writer_u64(&w, r->id);
    writer_u64(&w, r->number);
    writer_u8(&w, r->kept ? FLAG_KEPT : 0);
    writer_u16(&w, result->status);
    writer_u32(&w, result->applied);
    writer_u32(&w, result->failed);
    writer_u32(&w, result->duplicates);
    writer_u32(&w, result->first_failed);
    writer_u16(&w, (uint16_t)result->text.len);
    writer_bytes(&w, result->text.ptr, result->text.len);
    writer_u8(&w, (uint8_t)result->failure_count);
    for (uint32_t i = 0; i < result->failure_count; i++) {
        writer_u32(&w, result->failures[i].index);
        writer_u16(&w, result->failures[i].status);
    }
    writer_u32(&w, result->output_count);
    for (uint32_t i = 0; i < result->output_count; i++) {
        writer_u32(&w, outputs[i].input);
        writer_u32(&w, (uint32_t)outputs[i].bytes.len);
        writer_bytes(&w, outputs[i].bytes.ptr, outputs[i].bytes.len);
    }
    *out = end(&w, b);
    return BERTH_OK;
}

static void read_failures(reader *r, call_result *result)
{
    result->failure_count = reader_u8(r);
    if (result->failure_count > CALL_FAILURES_MAX)
        r->bad = true;
    for (uint32_t i = 0; reader_ok(r) && i < result->failure_count; i++) {
        result->failures[i].index = reader_u32(r);
        result->failures[i].status = reader_u16(r);
    }
}

static berth_status read_outputs(reader *r, call_result *result, berth_error *error)
{
    const uint8_t *first = r->at;
    berth_status status = BERTH_OK;

    for (uint32_t i = 0; i < result->output_count && !status; i++) {
        uint32_t len;

        reader_u32(r);
        len = reader_u32(r);
        reader_bytes(r, len);
        status = reader_ok(r) ? check_output((uint64_t)(r->at - first), len, error)
                              : fail(error, BERTH_ERR_CORRUPT, "answer: output %u is cut short", i);
    }
    result->outputs = slice_of(first, (size_t)(r->at - first));
    return status;
}

berth_status call_response_read(call_response *out, slice message, berth_error *error)
{
    reader r = reader_of(message.ptr, message.len);
    call_result *result = &out->result;
    berth_status status;
    uint16_t kind;
    uint8_t flags;

    *out = (call_response){0};
    kind = reader_u16(&r);
    out->id = reader_u64(&r);
    out->number = reader_u64(&r);
    flags = reader_u8(&r);
    out->kept = flags & FLAG_KEPT;
    result->status = reader_u16(&r);
    result->applied = reader_u32(&r);
    result->failed = reader_u32(&r);
    result->duplicates = reader_u32(&r);
    result->first_failed = reader_u32(&r);
    result->text = reader_bytes(&r, reader_u16(&r));
    read_failures(&r, result);
    result->output_count = reader_u32(&r);
    if (!reader_ok(&r) || kind != MESSAGE_CALL_ANSWER || flags > FLAG_KEPT)
        status = fail(error, BERTH_ERR_CORRUPT, "answer: %zu bytes that are none", message.len);
    else
        status = check_response(out, error);
    if (!status)
        status = read_outputs(&r, result, error);
    if (!status && !reader_done(&r))
        status = fail(error, BERTH_ERR_CORRUPT, "answer: something follows its outputs");
    if (status)
        *out = (call_response){0};
    return status == BERTH_ERR_INVALID ? BERTH_ERR_CORRUPT : status;
}

bool call_output_next(slice *outputs, call_output *out)
{
    reader r = reader_of(outputs->ptr, outputs->len);

    if (!outputs->len)
        return false;
    out->input = reader_u32(&r);
    out->bytes = reader_bytes(&r, reader_u32(&r));
    *outputs = slice_of(r.at, reader_left(&r));
    return reader_ok(&r);
}

/* ---- Notices --------------------------------------------------------------------------------- */

buf *call_notice_write(uint16_t kind, uint64_t boot, const uint64_t *numbers, uint32_t count)
{
    writer w;
    buf *b = begin(&w, 2 + 8 + 2 + 8 * (size_t)count);

    assert(count && count <= CALL_NOTICE_MAX);
    if (!b)
        return NULL;
    writer_u16(&w, kind);
    writer_u64(&w, boot);
    writer_u16(&w, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++)
        writer_u64(&w, numbers[i]);
    return end(&w, b);
}

berth_status call_notice_read(call_notice *out, slice message, berth_error *error)
{
    reader r = reader_of(message.ptr, message.len);
    call_notice n = {.kind = reader_u16(&r)};

    *out = (call_notice){0};
    n.boot = reader_u64(&r);
    n.count = reader_u16(&r);
    n.numbers = reader_bytes(&r, 8 * (size_t)n.count);
    if (!reader_done(&r) || !n.boot || !n.count || n.count > CALL_NOTICE_MAX ||
        (n.kind != MESSAGE_CALL_ACK && n.kind != MESSAGE_CALL_CANCEL))
        return fail(error, BERTH_ERR_CORRUPT, "call: %zu bytes are no list of calls", message.len);
    for (uint32_t i = 0; i < n.count; i++)
        if (!call_notice_number(&n, i))
            return fail(error, BERTH_ERR_CORRUPT, "call: there is no call with the number 0");
    *out = n;
    return BERTH_OK;
}
