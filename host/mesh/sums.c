/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/sums.h"

#define BUCKET_MEMBERS 8 /* about so many in each, while buckets last */
#define ENTRY_SIZE     16

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint64_t member(uint64_t id, uint64_t version)
{
    return mix(id ^ mix(version + 0x9e3779b97f4a7c15));
}

unsigned sums_bucket(uint64_t id, unsigned bits)
{
    return bits ? (unsigned)(id >> (64 - bits)) : 0;
}

void sums_add(sums *s, uint64_t id, uint64_t version)
{
    s->of[sums_bucket(id, SUMS_BITS_MAX)] ^= member(id, version);
    s->count++;
}

void sums_remove(sums *s, uint64_t id, uint64_t version)
{
    s->of[sums_bucket(id, SUMS_BITS_MAX)] ^= member(id, version);
    s->count--;
}

static bool has(const sums_places *p, unsigned bucket)
{
    return p->map[bucket / 8] >> bucket % 8 & 1;
}

static void mark(sums_places *p, unsigned bucket)
{
    p->count += !has(p, bucket);
    p->map[bucket / 8] |= (uint8_t)(1u << bucket % 8);
}

bool sums_in(const sums_places *p, uint64_t id)
{
    return has(p, sums_bucket(id, p->bits));
}

void sums_mark(sums_places *p, uint64_t id)
{
    mark(p, sums_bucket(id, p->bits));
}

static buf *finish(writer *w)
{
    buf *b = w->failed ? NULL : buf_copy(w->data, w->len);

    writer_free(w);
    return b;
}

/* The sum of one bucket of 2^bits. */
static uint64_t fold(const sums *s, unsigned bits, unsigned bucket)
{
    unsigned each = SUMS_MAX >> bits;
    uint64_t sum = 0;

    for (unsigned i = 0; i < each; i++)
        sum ^= s->of[bucket * each + i];
    return sum;
}

buf *sums_encode(uint16_t kind, const sums *s)
{
    unsigned bits = 0;
    writer w = {0};

    while (bits < SUMS_BITS_MAX && s->count >> bits > BUCKET_MEMBERS)
        bits++;
    writer_u16(&w, kind);
    writer_u8(&w, (uint8_t)bits);
    for (unsigned i = 0; i < 1u << bits; i++)
        writer_u64(&w, fold(s, bits, i));
    return finish(&w);
}

bool sums_compare(slice body, const sums *ours, sums_places *differ)
{
    reader r = reader_of(body.ptr, body.len);

    *differ = (sums_places){.bits = reader_u8(&r)};
    if (!reader_ok(&r) || differ->bits > SUMS_BITS_MAX || reader_left(&r) != 8u << differ->bits)
        return false;
    for (unsigned i = 0; i < 1u << differ->bits; i++)
        if (reader_u64(&r) != fold(ours, differ->bits, i))
            mark(differ, i);
    return true;
}

static size_t map_size(unsigned bits)
{
    return bits < 3 ? 1 : 1u << (bits - 3);
}

buf *sums_list_encode(uint16_t kind, uint8_t flags, const sums_places *p, const sums_entry *all,
                      size_t count)
{
    size_t size = map_size(p->bits);
    writer w = {0};

    if (count > SUMS_LIST_MAX)
        count = SUMS_LIST_MAX;
    writer_reserve(&w, 2 + 2 + size + count * ENTRY_SIZE);
    writer_u16(&w, kind);
    writer_u8(&w, flags);
    writer_u8(&w, (uint8_t)p->bits);
    writer_bytes(&w, p->map, size);
    for (size_t i = 0; i < count; i++) {
        writer_u64(&w, all[i].id);
        writer_u64(&w, all[i].version);
    }
    return finish(&w);
}

bool sums_list_open(slice body, uint8_t *flags, sums_places *p, size_t *count, reader *r)
{
    *r = reader_of(body.ptr, body.len);
    *flags = reader_u8(r);
    *p = (sums_places){.bits = reader_u8(r)};
    if (!reader_ok(r) || p->bits > SUMS_BITS_MAX)
        return false;
    slice map = reader_bytes(r, map_size(p->bits));
    if (!reader_ok(r))
        return false;
    for (unsigned i = 0; i < 8 * map.len; i++)
        if (map.ptr[i / 8] >> i % 8 & 1) {
            if (i >= 1u << p->bits)
                return false;
            mark(p, i);
        }
    *count = reader_left(r) / ENTRY_SIZE;
    return reader_left(r) % ENTRY_SIZE == 0 && *count <= SUMS_LIST_MAX;
}

sums_entry sums_list_next(reader *r)
{
    sums_entry e = {.id = reader_u64(r)};

    e.version = reader_u64(r);
    return e;
}
