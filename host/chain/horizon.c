/* SPDX-License-Identifier: Apache-2.0 */
#include "chain/horizon.h"
#include "base/error.h"
#include "base/map.h"

#include <stdlib.h>

#define VERSION   1
#define HEAD_SIZE (1 + 3 * 8 + 4)
#define ENTRY     16

/* Up to this many entries a scan is as fast as a map, and most daemons hear of fewer. */
#define SCANNED 12

struct horizon_body {
    uint64_t filter, clock, overflow;
    uint32_t count, cap;
    uint32_t last; /* the entry seen last: events come in runs */
    map64 index;   /* origin -> 1 + place, once there are more than SCANNED */
    map64 shares;  /* peer -> how many entries are its */
    horizon_entry *entries;
};

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void horizon_fini(horizon *h)
{
    if (h->body) {
        map64_fini(&h->body->index);
        map64_fini(&h->body->shares);
        free(h->body->entries);
        free(h->body);
    }
    h->body = NULL;
}

static struct horizon_body *body_of(horizon *h)
{
    if (!h->body)
        h->body = calloc(1, sizeof *h->body);
    return h->body;
}

static horizon_entry *find(const struct horizon_body *b, uint64_t origin)
{
    uintptr_t place;

    if (b->count && b->entries[b->last].origin == origin)
        return &b->entries[b->last];
    if (b->count > SCANNED) {
        place = (uintptr_t)map64_get(&b->index, origin);
        return place ? &b->entries[place - 1] : NULL;
    }
    for (uint32_t i = 0; i < b->count; i++)
        if (b->entries[i].origin == origin)
            return &b->entries[i];
    return NULL;
}

/* Put entry i into the index, or all of them when it becomes worth one. */
static bool index_entry(struct horizon_body *b, uint32_t i)
{
    if (i < SCANNED)
        return true;
    for (uint32_t k = i == SCANNED ? 0 : i; k <= i; k++)
        if (!map64_put(&b->index, b->entries[k].origin, (void *)(uintptr_t)(k + 1)))
            return false;
    return true;
}

/* A new entry with sequence 0; NULL when memory is short. */
static horizon_entry *add(struct horizon_body *b, uint64_t origin)
{
    if (b->count == b->cap) {
        uint32_t cap = b->cap ? 2 * b->cap : 2;
        horizon_entry *entries = realloc(b->entries, cap * sizeof *entries);

        if (!entries)
            return NULL;
        b->entries = entries;
        b->cap = cap;
    }
    b->entries[b->count] = (horizon_entry){origin, 0};
    if (!index_entry(b, b->count))
        return NULL;
    b->filter |= berth_horizon_bits(origin);
    return &b->entries[b->count++];
}

/* In the filter alone. */
static horizon_seen overflow(struct horizon_body *b, uint64_t origin, uint64_t sequence,
                             horizon_seen why)
{
    b->filter |= berth_horizon_bits(origin);
    b->overflow = add_saturating(b->overflow, 1);
    if (sequence)
        b->clock = add_saturating(b->clock, 1);
    return why;
}

horizon_seen horizon_observe_from(horizon *h, uint64_t peer, uint32_t peer_limit, uint64_t origin,
                                  uint64_t sequence, uint32_t limit)
{
    struct horizon_body *b = body_of(h);
    uintptr_t share;
    horizon_entry *entry;

    if (!b)
        return HORIZON_NO_MEMORY;
    entry = find(b, origin);
    if (!entry && b->count >= limit)
        return overflow(b, origin, sequence, HORIZON_FULL);
    if (!entry && peer) {
        share = (uintptr_t)map64_get(&b->shares, peer);
        if (share >= peer_limit)
            return overflow(b, origin, sequence, HORIZON_PEER_FULL);
        if (!map64_put(&b->shares, peer, (void *)(share + 1)))
            return HORIZON_NO_MEMORY;
    }
    if (!entry) {
        entry = add(b, origin);
        if (!entry)
            return HORIZON_NO_MEMORY;
    }
    if (sequence > entry->sequence) {
        entry->sequence = sequence;
        b->clock = add_saturating(b->clock, 1);
    }
    b->last = (uint32_t)(entry - b->entries);
    return HORIZON_KEPT;
}

bool horizon_observe(horizon *h, uint64_t origin, uint64_t sequence, uint32_t limit)
{
    return horizon_observe_from(h, 0, 0, origin, sequence, limit) != HORIZON_NO_MEMORY;
}

const horizon_entry *horizon_get(const horizon *h, uint64_t origin)
{
    return h->body ? find(h->body, origin) : NULL;
}

bool horizon_has_observed(const horizon *h, uint64_t origin, uint64_t sequence)
{
    const horizon_entry *entry = horizon_get(h, origin);

    return entry && entry->sequence >= sequence;
}

bool horizon_merge(horizon *h, const horizon *other, uint32_t limit)
{
    struct horizon_body *b = body_of(h);
    const struct horizon_body *o = other->body;
    uint64_t clock;

    if (!b)
        return false;
    clock = add_saturating(o && o->clock > b->clock ? o->clock : b->clock, 1);
    for (uint32_t i = 0; o && i < o->count; i++)
        if (!horizon_observe(h, o->entries[i].origin, o->entries[i].sequence, limit))
            return false;
    if (o) {
        b->filter |= o->filter;
        b->overflow = add_saturating(b->overflow, o->overflow);
    }
    b->clock = clock; /* observing ticked once an entry; merging is one step */
    return true;
}

uint64_t horizon_encode(const horizon *h)
{
    return h->body ? h->body->filter : 0;
}

size_t horizon_count(const horizon *h)
{
    return h->body ? h->body->count : 0;
}

uint64_t horizon_logical_time(const horizon *h)
{
    return h->body ? h->body->clock : 0;
}

uint64_t horizon_overflow(const horizon *h)
{
    return h->body ? h->body->overflow : 0;
}

const horizon_entry *horizon_at(const horizon *h, size_t i)
{
    return &h->body->entries[i];
}

bool horizon_clone(horizon *out, const horizon *h)
{
    const struct horizon_body *from = h->body;
    struct horizon_body *b;

    out->body = NULL;
    if (!from)
        return true;
    b = body_of(out);
    if (!b)
        return false;
    for (uint32_t i = 0; i < from->count; i++) {
        horizon_entry *entry = add(b, from->entries[i].origin);

        if (!entry) {
            horizon_fini(out);
            return false;
        }
        entry->sequence = from->entries[i].sequence;
    }
    b->filter = from->filter;
    b->clock = from->clock;
    b->overflow = from->overflow;
    return true;
}

static int by_origin(const void *a, const void *b)
{
    uint64_t x = ((const horizon_entry *)a)->origin, y = ((const horizon_entry *)b)->origin;

    return (x > y) - (x < y);
}

void horizon_write(writer *w, const horizon *h)
{
    const struct horizon_body *b = h->body;
    horizon_entry *sorted;

    if (!b)
        return;
    writer_reserve(w, HEAD_SIZE + (size_t)b->count * ENTRY);
    writer_u8(w, VERSION);
    writer_u64(w, b->filter);
    writer_u64(w, b->clock);
    writer_u64(w, b->overflow);
    writer_u32(w, b->count);
    if (!b->count)
        return;
    sorted = malloc(b->count * sizeof *sorted);
    if (!sorted) {
        w->failed = true;
        return;
    }
    memcpy(sorted, b->entries, b->count * sizeof *sorted);
    qsort(sorted, b->count, sizeof *sorted, by_origin);
    for (uint32_t i = 0; i < b->count; i++) {
        writer_u64(w, sorted[i].origin);
        writer_u64(w, sorted[i].sequence);
    }
    free(sorted);
}

static berth_status damaged(horizon *out, berth_error *error, const char *what)
{
    horizon_fini(out);
    fail(error, BERTH_ERR_CORRUPT, "horizon: %s", what);
    return BERTH_ERR_CORRUPT;
}

/* The entries, ascending, so none is there twice. */
static berth_status read_entries(horizon *out, reader *r, uint32_t count, berth_error *error)
{
    struct horizon_body *b = out->body;
    uint64_t before = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t origin = reader_u64(r), sequence = reader_u64(r);
        horizon_entry *entry;

        if (i && origin <= before)
            return damaged(out, error, "origins are not in ascending order");
        entry = add(b, origin);
        if (!entry) {
            horizon_fini(out);
            fail(error, BERTH_ERR_NO_MEMORY, "horizon: out of memory");
            return BERTH_ERR_NO_MEMORY;
        }
        entry->sequence = sequence;
        before = origin;
    }
    return BERTH_OK;
}

berth_status horizon_read(horizon *out, slice bytes, berth_error *error)
{
    reader r = reader_of(bytes.ptr, bytes.len);
    uint64_t filter, clock, overflow;
    berth_status status;
    uint8_t version;
    uint32_t count;

    out->body = NULL;
    if (!bytes.len)
        return BERTH_OK;
    version = reader_u8(&r);
    if (version != VERSION)
        return fail(error, BERTH_ERR_VERSION, "horizon: format %u is not known, only %d is",
                    version, VERSION);
    filter = reader_u64(&r);
    clock = reader_u64(&r);
    overflow = reader_u64(&r);
    count = reader_u32(&r);
    if (!reader_ok(&r) || reader_left(&r) % ENTRY || reader_left(&r) / ENTRY != count)
        return damaged(out, error, "its length does not fit its count");
    if (!body_of(out))
        return fail(error, BERTH_ERR_NO_MEMORY, "horizon: out of memory");
    status = read_entries(out, &r, count, error);
    if (status)
        return status;
    if ((out->body->filter & filter) != out->body->filter ||
        (!overflow && filter != out->body->filter))
        return damaged(out, error, "its filter does not fit its origins");
    out->body->filter = filter;
    out->body->clock = clock;
    out->body->overflow = overflow;
    return BERTH_OK;
}
