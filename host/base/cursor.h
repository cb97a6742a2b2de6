/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/cursor.h: reading and writing little-endian records.
 *
 * A reader over borrowed bytes never passes its end: the first read beyond it makes the reader bad,
 * and from then on every read gives zero. So a decoder reads all its fields and asks reader_ok
 * once, except before it trusts a count (compute-core K23).
 */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include "base/buf.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

typedef struct reader {
    const uint8_t *at, *end;
    bool bad;
} reader;

static inline reader reader_of(const void *ptr, size_t len)
{
    const uint8_t *p = (const uint8_t *)ptr;
    return (reader){p, p ? p + len : p, false};
}

static inline size_t reader_left(const reader *r)
{
    return (size_t)(r->end - r->at);
}

/* All fields so far were there. */
static inline bool reader_ok(const reader *r)
{
    return !r->bad;
}

/* All fields were there and nothing is left over. */
static inline bool reader_done(const reader *r)
{
    return !r->bad && r->at == r->end;
}

/* n bytes in place, or an empty slice on a bad reader. */
slice reader_bytes(reader *r, size_t n);
uint8_t reader_u8(reader *r);
uint16_t reader_u16(reader *r);
uint32_t reader_u32(reader *r);
uint64_t reader_u64(reader *r);

/* Copies n bytes into out; zeroes out when they are not there. */
void reader_copy(reader *r, void *out, size_t n);

static inline uint64_t load_u64(const void *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

static inline void store_u64(void *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}

/* A growing byte string. Zero-initialise; writer_free releases. A failed allocation makes it
 * failed: later writes do nothing, and the one who takes the bytes asks. */
typedef struct writer {
    uint8_t *data;
    size_t len, cap;
    bool failed;
} writer;

void writer_free(writer *w);
/* Make room for n more bytes at once, no more than that: for one who knows the length in advance.
 */
void writer_reserve(writer *w, size_t n);
void writer_bytes(writer *w, const void *ptr, size_t n);
void writer_u8(writer *w, uint8_t v);
void writer_u16(writer *w, uint16_t v);
void writer_u32(writer *w, uint32_t v);
void writer_u64(writer *w, uint64_t v);

#endif
