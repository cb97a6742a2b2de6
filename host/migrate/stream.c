/* SPDX-License-Identifier: Apache-2.0 */
#include "migrate/stream.h"

#include "base/cursor.h"
#include "base/error.h"

void stream_head(uint8_t out[STREAM_HEAD], stream_piece type, uint64_t len)
{
    out[0] = (uint8_t)type;
    store_u64(out + 1, len);
}

bool stream_next(slice *rest, stream_piece *type, slice *body)
{
    reader r = reader_of(rest->ptr, rest->len);
    uint8_t is = reader_u8(&r);
    uint64_t len = reader_u64(&r);

    if (!reader_ok(&r) || is < STREAM_MAKE || is > STREAM_EXECUTED || !len || len > reader_left(&r))
        return false;
    *type = (stream_piece)is;
    *body = reader_bytes(&r, (size_t)len);
    *rest = slice_of(body->ptr + len, rest->len - STREAM_HEAD - (size_t)len);
    return true;
}

typedef struct piece {
    stream_piece type;
    slice body;
} piece;

#define PIECES_MAX (2 + STREAM_EXECUTED_MAX + 3)

/* As of the daemon's stop. */
static bool take_last(stream_parts *out, const piece *p, unsigned n)
{
    if (n < 2 || n > 3 || p[1].type != STREAM_CONTAINER || (n == 3 && p[2].type != STREAM_HELD))
        return false;
    out->make = p[0].body;
    out->container = p[1].body;
    out->held = n == 3 ? p[2].body : (slice){0};
    return true;
}

/* While it ran. */
static bool take_first(stream_parts *out, const piece *p, unsigned n)
{
    unsigned i = 1;

    if (p[0].type != STREAM_MAKE)
        return false;
    out->base_make = p[0].body;
    if (i < n && p[i].type == STREAM_CONTAINER)
        out->base = p[i++].body;
    for (; i < n && p[i].type == STREAM_EXECUTED && out->executed_count < STREAM_EXECUTED_MAX; i++)
        out->executed[out->executed_count++] = p[i].body;
    return i == n;
}

berth_status stream_read(stream_parts *out, slice bytes, berth_error *error)
{
    piece pieces[PIECES_MAX];
    unsigned n = 0, last;

    *out = (stream_parts){.executed_count = 0};
    while (n < PIECES_MAX && stream_next(&bytes, &pieces[n].type, &pieces[n].body))
        n++;
    for (last = n; last && pieces[last - 1].type != STREAM_MAKE; last--)
        ;
    if (!bytes.len && last && take_last(out, pieces + last - 1, n - last + 1) &&
        (last == 1 || take_first(out, pieces, last - 1)))
        return BERTH_OK;
    *out = (stream_parts){.executed_count = 0};
    return fail(error, BERTH_ERR_CORRUPT, "what came of the daemon is damaged or not whole");
}
