/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/peers_codec.h"

#include "mesh/message.h"
#include "mesh/record.h"

#define HELLO_VERSION 1
#define KNOWN_SIZE    20

bool message_open(slice message, uint16_t *kind, slice *body)
{
    reader r = reader_of(message.ptr, message.len);

    *kind = reader_u16(&r);
    *body = slice_of(r.at, reader_left(&r));
    return reader_ok(&r);
}

static buf *finish(writer *w)
{
    buf *b = w->failed ? NULL : buf_copy(w->data, w->len);

    writer_free(w);
    return b;
}

buf *hello_encode(const hello *h)
{
    writer w = {0};

    writer_u16(&w, MESSAGE_HELLO);
    writer_u8(&w, HELLO_VERSION);
    writer_u8(&w, h->flags);
    writer_u64(&w, h->boot);
    writer_bytes(&w, h->record.ptr, h->record.len);
    return finish(&w);
}

bool hello_decode(slice body, hello *out)
{
    reader r = reader_of(body.ptr, body.len);

    if (reader_u8(&r) != HELLO_VERSION)
        return false;
    out->flags = reader_u8(&r);
    out->boot = reader_u64(&r);
    size_t left = reader_left(&r);
    out->record = reader_bytes(&r, left);
    return reader_ok(&r) && left && left <= RECORD_SIZE_MAX;
}

buf *number_encode(uint16_t kind, uint64_t number)
{
    writer w = {0};

    writer_u16(&w, kind);
    writer_u64(&w, number);
    return finish(&w);
}

bool number_decode(slice body, uint64_t *number)
{
    reader r = reader_of(body.ptr, body.len);

    *number = reader_u64(&r);
    return reader_done(&r);
}

buf *bare_encode(uint16_t kind)
{
    writer w = {0};

    writer_u16(&w, kind);
    return finish(&w);
}

buf *known_encode(uint8_t flags, const known *all, size_t count)
{
    writer w = {0};

    if (count > KNOWN_MAX)
        count = KNOWN_MAX;
    writer_reserve(&w, 5 + count * KNOWN_SIZE);
    writer_u16(&w, MESSAGE_KNOWN_PEERS);
    writer_u8(&w, flags);
    writer_u16(&w, (uint16_t)count);
    for (size_t i = 0; i < count; i++) {
        writer_u64(&w, all[i].node);
        writer_u64(&w, all[i].sequence);
        writer_u32(&w, all[i].rtt_us);
    }
    return finish(&w);
}

bool known_open(slice body, uint8_t *flags, size_t *count, reader *r)
{
    *r = reader_of(body.ptr, body.len);
    *flags = reader_u8(r);
    *count = reader_u16(r);
    return reader_ok(r) && *count <= KNOWN_MAX && reader_left(r) == *count * KNOWN_SIZE;
}

known known_next(reader *r)
{
    known k = {.node = reader_u64(r)};

    k.sequence = reader_u64(r);
    k.rtt_us = reader_u32(r);
    return k;
}

buf *records_encode(buf *const *all, size_t count)
{
    writer w = {0};

    writer_u16(&w, MESSAGE_RECORDS);
    writer_u8(&w, (uint8_t)count);
    for (size_t i = 0; i < count; i++) {
        writer_u16(&w, (uint16_t)all[i]->len);
        writer_bytes(&w, all[i]->data, all[i]->len);
    }
    return finish(&w);
}

bool records_open(slice body, size_t *count, reader *r)
{
    reader walk = reader_of(body.ptr, body.len);

    *count = reader_u8(&walk);
    *r = walk;
    if (!reader_ok(&walk) || *count > RECORDS_MAX)
        return false;
    for (size_t i = 0; i < *count; i++)
        reader_bytes(&walk, reader_u16(&walk));
    return reader_done(&walk);
}

slice records_next(reader *r)
{
    return reader_bytes(r, reader_u16(r));
}
