/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/event_wire.h"

#include "base/error.h"
#include "chain/channel.h"
#include "daemon/route.h"

#define KNOWN (EVENT_WIRE_MORE | EVENT_WIRE_ASKS | EVENT_WIRE_CHANNEL | EVENT_WIRE_LINKED)

static uint8_t *put_u64(uint8_t *at, uint64_t v)
{
    store_u64(at, v);
    return at + 8;
}

buf *event_wire_make(const berth_event *e)
{
    bool reply = e->type == BERTH_EVENT_REPLY, asks = e->reply_to.w[3] == REPLY_TO_DAEMON;
    size_t link = e->sequence ? EVENT_WIRE_LINK : 0;
    size_t len = 2 + (reply ? 12 : 0) + (asks ? 16 : 0) +
                 (e->channel.len ? 1 + (size_t)e->channel.len : 0) + link + (size_t)e->data.len;
    buf *b = buf_new(len);
    uint8_t *at;

    if (!b)
        return NULL;
    at = b->data;
    *at++ = (uint8_t)e->type;
    *at++ = (uint8_t)((e->flags & BERTH_MORE ? EVENT_WIRE_MORE : 0) | (asks ? EVENT_WIRE_ASKS : 0) |
                      (e->channel.len ? EVENT_WIRE_CHANNEL : 0) | (link ? EVENT_WIRE_LINKED : 0));
    if (reply) {
        uint32_t status = htole32((uint32_t)e->status);

        at = put_u64(at, e->request);
        memcpy(at, &status, 4);
        at += 4;
    }
    if (asks) {
        at = put_u64(at, e->reply_to.w[1]);
        at = put_u64(at, e->reply_to.w[2]);
    }
    if (e->channel.len) {
        *at++ = (uint8_t)e->channel.len;
        memcpy(at, e->channel.ptr, e->channel.len);
        at += e->channel.len;
    }
    if (link + e->data.len)
        memcpy(at, (const uint8_t *)e->data.ptr - link, link + e->data.len);
    return b;
}

static berth_status corrupt(berth_error *error, const char *what)
{
    return fail(error, BERTH_ERR_CORRUPT, "event: %s", what);
}

berth_status event_wire_read(wire_event *out, slice bytes, uint64_t sender, berth_error *error)
{
    reader r = reader_of(bytes.ptr, bytes.len);
    uint8_t type = reader_u8(&r), flags = reader_u8(&r);
    berth_error why = {0};

    *out = (wire_event){.type = type,
                        .more = flags & EVENT_WIRE_MORE,
                        .asks = (flags & EVENT_WIRE_ASKS) != 0,
                        .linked = (flags & EVENT_WIRE_LINKED) != 0};
    if (!reader_ok(&r) || (type != BERTH_EVENT_MESSAGE && type != BERTH_EVENT_REPLY) ||
        flags & ~KNOWN)
        return corrupt(error, "its type or its flags are not known");
    if (type == BERTH_EVENT_REPLY ? flags & (EVENT_WIRE_ASKS | EVENT_WIRE_CHANNEL)
                                  : flags & EVENT_WIRE_MORE)
        return corrupt(error, "its flags do not go with its type");
    if (type == BERTH_EVENT_REPLY) {
        out->request = reader_u64(&r);
        out->status = (int32_t)reader_u32(&r);
        if (out->status < BERTH_REPLY_OK || out->status > BERTH_REPLY_LOST)
            return corrupt(error, "a reply has a status that there is not");
    }
    if (out->asks) {
        out->request = reader_u64(&r);
        out->incarnation = reader_u64(&r);
    }
    if (flags & EVENT_WIRE_CHANNEL) {
        out->channel = reader_bytes(&r, reader_u8(&r));
        if (!reader_ok(&r) || channel_name_check(out->channel, &why) != BERTH_OK)
            return corrupt(error, "its channel has a name that no channel can have");
    }
    if (out->linked) {
        out->link = reader_bytes(&r, EVENT_WIRE_LINK).ptr;
        if (!reader_ok(&r) || load_u64(out->link) != sender)
            return corrupt(error, "its causal link is not the sender's");
        out->sequence = load_u64(out->link + 16);
        if (!out->sequence)
            return corrupt(error, "its causal link is of no output");
    }
    out->payload = reader_bytes(&r, reader_left(&r));
    return reader_ok(&r) ? BERTH_OK : corrupt(error, "it is cut off");
}
