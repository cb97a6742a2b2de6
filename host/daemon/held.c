/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/held.h"

#include "base/error.h"
#include "daemon/daemon.h"

#define VERSION  1
#define MIN_SIZE (2 + 4 + 1 + 4 + 3 * 8 + 4 * 8 + 2 + 4)

bool held_takes(const batch *b)
{
    if (b->done || b->source[0])
        return false;
    if (b->common.type == BERTH_EVENT_MESSAGE)
        return true;
    /* An answer; but one that a due made (it has a generation) is made again by that due. */
    return b->common.type == BERTH_EVENT_REPLY &&
           (b->generation == 0 || b->generation == GENERATION_ANY);
}

void held_begin(writer *w)
{
    writer_u8(w, VERSION);
    writer_u32(w, 0);
}

void held_end(writer *w, size_t begin, uint32_t count)
{
    uint32_t n = htole32(count);

    if (!w->failed)
        memcpy(w->data + begin + 1, &n, sizeof n);
}

void held_add(writer *w, const batch *b, uint32_t *count)
{
    const berth_event *e = &b->common;

    for (uint32_t i = b->at; i < b->count; i++) {
        const message *m = &b->messages[i];

        writer_u16(w, e->type);
        writer_u32(w, e->flags);
        writer_u8(w, b->generation == GENERATION_ANY);
        writer_u32(w, (uint32_t)e->status);
        writer_u64(w, m->origin ? m->origin : e->origin);
        writer_u64(w, m->origin ? m->sequence : e->sequence);
        writer_u64(w, e->request);
        for (unsigned k = 0; k < 4; k++)
            writer_u64(w, e->reply_to.w[k]);
        writer_u16(w, (uint16_t)e->channel.len);
        writer_bytes(w, e->channel.ptr, e->channel.len);
        writer_u32(w, (uint32_t)m->len);
        writer_bytes(w, m->data, m->len);
        (*count)++;
    }
}

static batch *read_one(reader *r, bool keep, berth_status *status)
{
    berth_event e = {.type = reader_u16(r)};
    bool any;
    slice channel, data;
    batch *b;
    buf *hold;

    e.flags = reader_u32(r);
    any = reader_u8(r) != 0;
    e.status = (int32_t)reader_u32(r);
    e.origin = reader_u64(r);
    e.sequence = reader_u64(r);
    e.request = reader_u64(r);
    for (unsigned k = 0; k < 4; k++)
        e.reply_to.w[k] = reader_u64(r);
    channel = reader_bytes(r, reader_u16(r));
    data = reader_bytes(r, reader_u32(r));
    *status = reader_ok(r) && (e.type == BERTH_EVENT_MESSAGE || e.type == BERTH_EVENT_REPLY)
                  ? BERTH_OK
                  : BERTH_ERR_CORRUPT;
    if (*status != BERTH_OK || !keep)
        return NULL;
    *status = BERTH_ERR_NO_MEMORY;
    hold = buf_new(data.len + channel.len);
    if (!hold)
        return NULL;
    if (data.len)
        memcpy(hold->data, data.ptr, data.len);
    if (channel.len)
        memcpy(hold->data + data.len, channel.ptr, channel.len);
    e.data = (berth_bytes){hold->data, data.len};
    if (channel.len)
        e.channel = (berth_bytes){hold->data + data.len, channel.len};
    b = batch_of_event(&e, hold);
    if (!b)
        return NULL;
    b->generation = any ? GENERATION_ANY : 0;
    *status = BERTH_OK;
    return b;
}

berth_status held_read(slice bytes, void (*put)(void *ctx, batch *b), void *ctx, uint32_t *count,
                       berth_error *error)
{
    reader r = reader_of(bytes.ptr, bytes.len);
    uint8_t version = reader_u8(&r);
    uint32_t n = reader_u32(&r);
    berth_status status = BERTH_OK;

    *count = 0;
    if (!bytes.len)
        return BERTH_OK;
    if (!reader_ok(&r) || n > reader_left(&r) / MIN_SIZE)
        return fail(error, BERTH_ERR_CORRUPT, "held events: cut off");
    if (version != VERSION)
        return fail(error, BERTH_ERR_VERSION, "held events: of version %u, only %d is known",
                    version, VERSION);
    for (; *count < n && status == BERTH_OK; ++*count) {
        batch *b = read_one(&r, put != NULL, &status);

        if (b && put)
            put(ctx, b);
    }
    if (status == BERTH_OK && !reader_done(&r))
        status = BERTH_ERR_CORRUPT;
    if (status == BERTH_ERR_CORRUPT)
        return fail(error, status, "held events: event %u does not read", *count);
    if (status != BERTH_OK)
        return fail(error, status, "out of memory");
    return BERTH_OK;
}
