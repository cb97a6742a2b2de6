/* SPDX-License-Identifier: Apache-2.0 */
/*
 * berth/chain.h: the link that ties each output of a daemon to the one before.
 *
 * Pure functions: nothing blocks, allocates or keeps state; any thread. A chain shows gaps, doubles
 * and changes among outputs that reached you; it is a 64-bit hash, not a commitment: against one
 * who forges on purpose there are signatures and the session's encryption. Since 0.1.
 */
#ifndef BERTH_CHAIN_H
#define BERTH_CHAIN_H

#include "berth/status.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BERTH_LINK_SIZE 32

typedef struct berth_link {
    uint64_t origin;   /* the daemon that made the output */
    uint64_t horizon;  /* bloom filter of the origins it had heard of by then */
    uint64_t sequence; /* 0: the beginning, before any output; the first output has 1 */
    uint64_t parent;   /* berth_link_parent of the link and payload before; 0 at the beginning */
} berth_link;

/* The 32 bytes that travel and are hashed: four little-endian numbers in the order of the struct.
 */
BERTH_API void berth_link_encode(uint8_t out[BERTH_LINK_SIZE], const berth_link *link);

/* CORRUPT, and zeros, when there are fewer than 32 bytes; more are left alone. */
BERTH_API berth_status berth_link_decode(berth_link *out, const void *bytes, size_t len);

/* The link a chain begins with: before its first output. */
BERTH_API void berth_link_genesis(berth_link *out, uint64_t origin, uint64_t horizon);

/* Sequence and parent are 0. The beginning of a forked chain has a parent, and is not a genesis. */
static inline bool berth_link_is_genesis(const berth_link *link)
{
    return link->sequence == 0 && link->parent == 0;
}

/* What the next link has as its parent: XXH3-64 over the 32 bytes of link and the payload. */
BERTH_API uint64_t berth_link_parent(const berth_link *link, const void *payload, size_t len);

/* The link after this one. SEQUENCE, and *out untouched, when the last sequence is used up. */
BERTH_API berth_status berth_link_next(berth_link *out, const berth_link *link, const void *payload,
                                       size_t len, uint64_t horizon);

typedef enum berth_chain_check {
    BERTH_CHAIN_OK = 0,
    BERTH_CHAIN_ORIGIN = 1,   /* of another daemon */
    BERTH_CHAIN_SEQUENCE = 2, /* not the one that follows */
    BERTH_CHAIN_PARENT = 3    /* does not contain the hash of the one before */
} berth_chain_check;

typedef struct berth_chain_fault {
    berth_chain_check check;
    uint64_t expected, got; /* origins, sequences or parents */
} berth_chain_fault;

/*
 * Does next follow prev with this payload? Origin, then sequence, then parent; the first that fails
 * is told in *fault (may be NULL) and the answer is CORRUPT. The horizon is not judged.
 */
BERTH_API berth_status berth_link_validate(const berth_link *prev, const void *prev_payload,
                                           size_t prev_len, const berth_link *next,
                                           berth_chain_fault *fault);

/* One line of text about a fault, with `out` of cap bytes; returns out. */
BERTH_API char *berth_chain_fault_text(char *out, size_t cap, const berth_chain_fault *fault);

/* ---- The horizon in a link ---- */

/* The three bits that stand for one origin. */
BERTH_API uint64_t berth_horizon_bits(uint64_t origin);

/* False is certain. True is a guess that is wrong for 0.4 % at 2 origins, 13 % at 8, 44 % at 16. */
BERTH_API bool berth_horizon_might_contain(uint64_t horizon, uint64_t origin);

/* Two outputs, each made without knowledge of the other's origin: neither can have caused the
 * other. True is certain; above some 16 origins a horizon has little left to say and the answer is
 * false. */
BERTH_API bool berth_horizon_concurrent(const berth_link *a, const berth_link *b);

#ifdef __cplusplus
}
#endif
#endif
