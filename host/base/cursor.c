/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cursor.h"

#include <stdlib.h>

slice reader_bytes(reader *r, size_t n)
{
    slice got;

    if (r->bad || n > reader_left(r)) {
        r->bad = true;
        return slice_of(NULL, 0);
    }
    got = slice_of(r->at, n);
    if (n)
        r->at += n;
    return got;
}

/* n <= 8 little-endian bytes as a number. */
static uint64_t read_le(reader *r, size_t n)
{
    slice raw = reader_bytes(r, n);
    uint64_t v = 0;

    for (size_t i = raw.len; i > 0; i--)
        v = v << 8 | raw.ptr[i - 1];
    return v;
}

uint8_t reader_u8(reader *r)
{
    return (uint8_t)read_le(r, 1);
}

uint16_t reader_u16(reader *r)
{
    return (uint16_t)read_le(r, 2);
}

uint32_t reader_u32(reader *r)
{
    return (uint32_t)read_le(r, 4);
}

uint64_t reader_u64(reader *r)
{
    return read_le(r, 8);
}

void reader_copy(reader *r, void *out, size_t n)
{
    slice raw = reader_bytes(r, n);

    if (raw.len)
        memcpy(out, raw.ptr, raw.len);
    else if (n)
        memset(out, 0, n);
}

void writer_free(writer *w)
{
    free(w->data);
    *w = (writer){0};
}

/* Give w exactly this capacity, or make it failed. */
static bool writer_resize(writer *w, size_t cap)
{
    uint8_t *data = realloc(w->data, cap);

    if (!data) {
        w->failed = true;
        return false;
    }
    block_is_large(data, cap);
    w->data = data;
    w->cap = cap;
    return true;
}

void writer_reserve(writer *w, size_t n)
{
    if (w->failed || n <= w->cap - w->len)
        return;
    if (n > SIZE_MAX / 2 - w->len)
        w->failed = true;
    else
        writer_resize(w, w->len + n);
}

/* Room for n more bytes, doubling so that many small writes stay cheap. */
static bool writer_grow(writer *w, size_t n)
{
    size_t cap = w->cap ? w->cap : 64;

    if (w->failed)
        return false;
    if (n <= w->cap - w->len)
        return true;
    if (n > SIZE_MAX / 2 - w->len) {
        w->failed = true;
        return false;
    }
    while (cap < w->len + n)
        cap *= 2;
    return writer_resize(w, cap);
}

void writer_bytes(writer *w, const void *ptr, size_t n)
{
    if (!n || !writer_grow(w, n))
        return;
    memcpy(w->data + w->len, ptr, n);
    w->len += n;
}

static void write_le(writer *w, uint64_t v, size_t n)
{
    uint8_t raw[8];

    store_u64(raw, v);
    writer_bytes(w, raw, n);
}

void writer_u8(writer *w, uint8_t v)
{
    write_le(w, v, 1);
}

void writer_u16(writer *w, uint16_t v)
{
    write_le(w, v, 2);
}

void writer_u32(writer *w, uint32_t v)
{
    write_le(w, v, 4);
}

void writer_u64(writer *w, uint64_t v)
{
    write_le(w, v, 8);
}
