/* SPDX-License-Identifier: Apache-2.0 */
#include "migrate/stream.h"

#include "base/cursor.h"
#include "base/error.h"

enum { PIECE_MAKE = 1, PIECE_CONTAINER, PIECE_HELD };
#define PIECE_HEAD (1 + 8)

static uint8_t *put(uint8_t *at, uint8_t type, slice bytes)
{
    *at = type;
    store_u64(at + 1, bytes.len);
    if (bytes.len)
        memcpy(at + PIECE_HEAD, bytes.ptr, bytes.len);
    return at + PIECE_HEAD + bytes.len;
}

buf *stream_write(const stream_parts *p)
{
    size_t size = 2 * PIECE_HEAD + p->make.len + p->container.len;
    uint8_t *at;
    buf *b = buf_new(size + (p->held.len ? PIECE_HEAD + p->held.len : 0));

    if (!b)
        return NULL;
    at = put(b->data, PIECE_MAKE, p->make);
    at = put(at, PIECE_CONTAINER, p->container);
    if (p->held.len)
        put(at, PIECE_HELD, p->held);
    return b;
}

berth_status stream_read(stream_parts *out, slice bytes, berth_error *error)
{
    reader r = reader_of(bytes.ptr, bytes.len);
    uint8_t before = 0;

    *out = (stream_parts){{0}, {0}, {0}};
    while (reader_ok(&r) && reader_left(&r)) {
        uint8_t type = reader_u8(&r);
        uint64_t len = reader_u64(&r);
        slice body = len <= reader_left(&r) ? reader_bytes(&r, (size_t)len) : (slice){0};

        if (type != before + 1 || type > PIECE_HELD || body.len != len || !len) {
            before = 0; /* also where it ends in the head of a piece */
            break;
        }
        before = type;
        *(type == PIECE_MAKE        ? &out->make
          : type == PIECE_CONTAINER ? &out->container
                                    : &out->held) = body;
    }
    if (before >= PIECE_CONTAINER && reader_done(&r))
        return BERTH_OK;
    *out = (stream_parts){{0}, {0}, {0}};
    return fail(error, BERTH_ERR_CORRUPT, "what came of the daemon is damaged or not whole");
}
