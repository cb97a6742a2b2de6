/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of outputs and of channel messages. A reader that is slower than the daemon costs nobody
 * anything: at most a handful of items is held for it, the rest it misses and is told.
 */
#include "api/emit.h"
#include "api/server.h"
#include "base/error.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS       8
#define LINES_BYTES (64 * 1024)

typedef struct stream {
    request *r; /* one reference */
    tail *tail;
    tail_item items[ITEMS];
    size_t at_item, item_count;
    writer lines;
    size_t at; /* of lines: sent so far */
    bool ended;
} stream;

static void stream_free(void *ctx)
{
    stream *s = (stream *)ctx;

    tail_close(s->tail);
    while (s->at_item < s->item_count)
        tail_item_release(&s->items[s->at_item++]);
    writer_free(&s->lines);
    atomic_fetch_sub(&s->r->api->streams, 1);
    request_unref(s->r);
    free(s);
}

static const char *to_name(uint16_t to)
{
    switch (to) {
    case BERTH_TO_CALLER:
        return "caller";
    case BERTH_TO_DAEMON:
        return "daemon";
    case BERTH_TO_CHANNEL:
        return "channel";
    case BERTH_TO_REPLY:
        return "reply";
    case TAIL_TO_RECORD:
        return "record";
    default:
        return "self";
    }
}

static void emit_item(writer *w, const tail_item *item)
{
    const buf *b = item->bytes;
    berth_link link;

    berth_link_decode(&link, b->data, b->len);
    emit_text(w, "{");
    emit_member_u64(w, "index", item->index);
    emit_member_time(w, "time", item->wall_ns);
    emit_member_id(w, "origin", link.origin);
    emit_member_u64(w, "sequence", link.sequence);
    emit_member_hex(w, "link", slice_of(b->data, BERTH_LINK_SIZE));
    emit_member_string(w, "to", to_name(item->to));
    if (item->to == BERTH_TO_DAEMON)
        emit_member_id(w, "target", item->target);
    if (item->channel) {
        emit_key(w, "channel");
        emit_string(w, slice_of(item->channel->data, item->channel->len));
    }
    emit_key(w, "data");
    emit_bytes(w, slice_of(b->data + BERTH_LINK_SIZE, b->len - BERTH_LINK_SIZE));
    emit_text(w, "}\n");
}

static void end_stream(stream *s, const char *reason)
{
    emit_text(&s->lines, "{\"end\":true");
    emit_member_string(&s->lines, "reason", reason);
    emit_text(&s->lines, "}\n");
    s->ended = true;
}

/* Make more lines. False: there is nothing now. */
static bool fill(stream *s)
{
    uint64_t missed = 0;
    bool ended = false;

    s->lines.len = 0;
    s->at = 0;
    if (s->at_item == s->item_count) {
        s->at_item = 0;
        s->item_count = tail_read(s->tail, s->items, ITEMS, &missed, &ended);
        if (missed) {
            emit_text(&s->lines, "{");
            emit_member_u64(&s->lines, "missed", missed);
            emit_text(&s->lines, "}\n");
        }
    }
    while (s->at_item < s->item_count && s->lines.len < LINES_BYTES) {
        tail_item *item = &s->items[s->at_item++];

        emit_item(&s->lines, item);
        tail_item_release(item);
    }
    if (s->at_item == s->item_count && !s->item_count && ended)
        end_stream(s, "the daemon is gone");
    else if (!s->lines.len && atomic_load(&s->r->api->phase) != API_RUNS)
        end_stream(s, "the host stops");
    return s->lines.len > 0;
}

/* A large item's memory is not kept. */
static void drop_lines(stream *s)
{
    writer_free(&s->lines);
    s->at = 0;
}

static ssize_t read_stream(void *ctx, uint64_t pos, char *out, size_t n)
{
    stream *s = (stream *)ctx;

    (void)pos;
    while (s->at == s->lines.len) {
        if (request_cut(s->r) || s->lines.failed)
            return MHD_CONTENT_READER_END_WITH_ERROR;
        if (s->ended)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (!fill(s) && request_park(s->r))
            return 0;
    }
    if (n > s->lines.len - s->at)
        n = s->lines.len - s->at;
    memcpy(out, s->lines.data + s->at, n);
    s->at += n;
    if (s->at == s->lines.len && s->lines.cap > 4 * LINES_BYTES)
        drop_lines(s);
    return (ssize_t)n;
}

static void wake(void *ctx)
{
    request_wake((request *)ctx);
}

static void answer_stream(request *r, tail *t)
{
    stream *s = calloc(1, sizeof *s);
    struct MHD_Response *response = NULL;

    if (s) {
        *s = (stream){.r = request_ref(r), .tail = t};
        atomic_fetch_add(&r->api->streams, 1);
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, LINES_BYTES, read_stream, s,
                                                     stream_free);
        if (!response)
            stream_free(s);
    } else {
        tail_close(t);
    }
    if (response)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/x-ndjson");
    request_respond(r, 200, response);
}

void outputs_get(request *r)
{
    const char *text = target_param_get(&r->target, "from");
    tail_from from = TAIL_FROM_NOW;
    berth_error error = {0};
    uint64_t origin;
    tail *t = NULL;

    if (text && strcmp(text, "ring") == 0)
        from = TAIL_FROM_RING;
    else if (text && strcmp(text, "now") != 0)
        fail(&error, BERTH_ERR_INVALID, "from: must be now or ring, not '%.64s'", text);
    if (!error.code) {
        if (!request_daemon(r, 2, &origin))
            return;
        tail_open_daemon(r->api->rt, origin, from, wake, r, &t, &error);
    }
    if (error.code)
        request_fail(r, &error);
    else
        answer_stream(r, t);
}

void messages_get(request *r)
{
    berth_error error = {0};
    slice channel;
    tail *t = NULL;

    if (!request_channel(r, &channel))
        return;
    if (tail_open_channel(r->api->rt, channel, wake, r, &t, &error))
        request_fail(r, &error);
    else
        answer_stream(r, t);
}
