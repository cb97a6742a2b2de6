/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of outputs and of channel messages. */
#include "api/emit.h"
#include "api/server.h"
#include "api/stream.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define ITEMS 8

typedef struct outputs {
    tail *tail;
    tail_item items[ITEMS];
    size_t at_item, item_count;
} outputs;

static void close_outputs(void *ctx)
{
    outputs *o = (outputs *)ctx;

    tail_close(o->tail);
    while (o->at_item < o->item_count)
        tail_item_release(&o->items[o->at_item++]);
    free(o);
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

static const char *fill(void *ctx, writer *lines)
{
    outputs *o = (outputs *)ctx;
    uint64_t missed = 0;
    bool ended = false;

    if (o->at_item == o->item_count) {
        o->at_item = 0;
        o->item_count = tail_read(o->tail, o->items, ITEMS, &missed, &ended);
        stream_emit_missed(lines, missed);
    }
    while (o->at_item < o->item_count && lines->len < STREAM_LINES_BYTES) {
        tail_item *item = &o->items[o->at_item++];

        emit_item(lines, item);
        tail_item_release(item);
    }
    return !o->item_count && ended ? "the daemon is gone" : NULL;
}

static void wake(void *ctx)
{
    request_wake((request *)ctx);
}

static void answer_outputs(request *r, tail *t)
{
    static const stream_source source = {fill, close_outputs};
    outputs *o = calloc(1, sizeof *o);
    berth_error error = {0};

    if (!o) {
        tail_close(t);
        fail(&error, BERTH_ERR_NO_MEMORY, "out of memory");
        request_fail(r, &error);
        return;
    }
    o->tail = t;
    stream_answer(r, &source, o);
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
        answer_outputs(r, t);
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
        answer_outputs(r, t);
}
