/* SPDX-License-Identifier: Apache-2.0 */
#include "chain/link.h"

/* Small inputs are the hot ones, and there a call into the library costs as much as the hash. */
#define XXH_INLINE_ALL
#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

uint64_t xxh3(const void *ptr, size_t len)
{
    return XXH3_64bits(ptr ? ptr : "", len);
}

void berth_link_encode(uint8_t out[BERTH_LINK_SIZE], const berth_link *link)
{
    store_u64(out, link->origin);
    store_u64(out + 8, link->horizon);
    store_u64(out + 16, link->sequence);
    store_u64(out + 24, link->parent);
}

berth_status berth_link_decode(berth_link *out, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    *out = (berth_link){0};
    if (len < BERTH_LINK_SIZE)
        return BERTH_ERR_CORRUPT;
    out->origin = load_u64(p);
    out->horizon = load_u64(p + 8);
    out->sequence = load_u64(p + 16);
    out->parent = load_u64(p + 24);
    return BERTH_OK;
}

void link_write(writer *w, const berth_link *link)
{
    uint8_t raw[BERTH_LINK_SIZE];

    berth_link_encode(raw, link);
    writer_bytes(w, raw, sizeof raw);
}

void link_read(reader *r, berth_link *link)
{
    slice raw = reader_bytes(r, BERTH_LINK_SIZE);

    berth_link_decode(link, raw.ptr, raw.len);
}

bool link_eq(const berth_link *a, const berth_link *b)
{
    return a->origin == b->origin && a->horizon == b->horizon && a->sequence == b->sequence &&
           a->parent == b->parent;
}

void berth_link_genesis(berth_link *out, uint64_t origin, uint64_t horizon)
{
    *out = (berth_link){.origin = origin, .horizon = horizon};
}

/* Up to here link and payload are copied together and hashed at once; above it the copy would cost
 * more than the two steps of a stream do. */
#define TOGETHER 512

uint64_t berth_link_parent(const berth_link *link, const void *payload, size_t len)
{
    uint8_t raw[BERTH_LINK_SIZE + TOGETHER];
    XXH3_state_t stream;

    berth_link_encode(raw, link);
    if (len <= TOGETHER) {
        if (len)
            memcpy(raw + BERTH_LINK_SIZE, payload, len);
        return XXH3_64bits(raw, BERTH_LINK_SIZE + len);
    }
    XXH3_64bits_reset(&stream);
    XXH3_64bits_update(&stream, raw, BERTH_LINK_SIZE);
    XXH3_64bits_update(&stream, payload, len);
    return XXH3_64bits_digest(&stream);
}

berth_status berth_link_next(berth_link *out, const berth_link *link, const void *payload,
                             size_t len, uint64_t horizon)
{
    if (link->sequence == UINT64_MAX)
        return BERTH_ERR_SEQUENCE;
    *out = (berth_link){
        .origin = link->origin,
        .horizon = horizon,
        .sequence = link->sequence + 1,
        .parent = berth_link_parent(link, payload, len),
    };
    return BERTH_OK;
}

static berth_status broken(berth_chain_fault *fault, berth_chain_check check, uint64_t expected,
                           uint64_t got)
{
    if (fault)
        *fault = (berth_chain_fault){check, expected, got};
    return BERTH_ERR_CORRUPT;
}

/* Everything but the parent, which costs a hash. */
static berth_status validate_place(const berth_link *prev, const berth_link *next,
                                   berth_chain_fault *fault)
{
    if (fault)
        *fault = (berth_chain_fault){0};
    if (next->origin != prev->origin)
        return broken(fault, BERTH_CHAIN_ORIGIN, prev->origin, next->origin);
    if (prev->sequence == UINT64_MAX)
        return broken(fault, BERTH_CHAIN_SEQUENCE, UINT64_MAX, next->sequence);
    if (next->sequence != prev->sequence + 1)
        return broken(fault, BERTH_CHAIN_SEQUENCE, prev->sequence + 1, next->sequence);
    return BERTH_OK;
}

berth_status link_validate_parent(const berth_link *prev, uint64_t parent, const berth_link *next,
                                  berth_chain_fault *fault)
{
    berth_status status = validate_place(prev, next, fault);

    if (!status && next->parent != parent)
        status = broken(fault, BERTH_CHAIN_PARENT, parent, next->parent);
    return status;
}

berth_status berth_link_validate(const berth_link *prev, const void *prev_payload, size_t prev_len,
                                 const berth_link *next, berth_chain_fault *fault)
{
    berth_status status = validate_place(prev, next, fault);

    if (!status)
        status = link_validate_parent(prev, berth_link_parent(prev, prev_payload, prev_len), next,
                                      fault);
    return status;
}

char *berth_chain_fault_text(char *out, size_t cap, const berth_chain_fault *fault)
{
    switch (fault->check) {
    case BERTH_CHAIN_ORIGIN:
        snprintf(out, cap, "origin %016" PRIx64 " where %016" PRIx64 " was expected", fault->got,
                 fault->expected);
        break;
    case BERTH_CHAIN_SEQUENCE:
        snprintf(out, cap, "sequence %" PRIu64 " where %" PRIu64 " was expected", fault->got,
                 fault->expected);
        break;
    case BERTH_CHAIN_PARENT:
        snprintf(out, cap, "parent hash %016" PRIx64 " where %016" PRIx64 " was expected",
                 fault->got, fault->expected);
        break;
    default:
        snprintf(out, cap, "no fault");
        break;
    }
    return out;
}

uint64_t berth_horizon_bits(uint64_t origin)
{
    uint8_t raw[8];
    uint64_t hash;
    uint32_t first, step;

    store_u64(raw, origin);
    hash = XXH3_64bits(raw, sizeof raw);
    first = (uint32_t)hash;
    step = (uint32_t)(hash >> 32) | 1; /* odd, so the three positions are pairwise different */
    return UINT64_C(1) << (first % 64) | UINT64_C(1) << ((first + step) % 64) |
           UINT64_C(1) << ((first + 2 * step) % 64);
}

bool berth_horizon_might_contain(uint64_t horizon, uint64_t origin)
{
    uint64_t bits = berth_horizon_bits(origin);

    return (horizon & bits) == bits;
}

bool berth_horizon_concurrent(const berth_link *a, const berth_link *b)
{
    return !berth_horizon_might_contain(a->horizon, b->origin) &&
           !berth_horizon_might_contain(b->horizon, a->origin);
}
