/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain/container.h: `BSN1`: a CDS1 snapshot and, beside it, what that format cannot carry.
 *
 *     "BSN1"  version u16 (1)  reserved u16 (0)
 *     sections: tag 4 ASCII bytes, flags u16 (bit 0: may be ignored), reserved u16 (0), length u64,
 * bytes BLAKE2b-256 of everything before it
 *
 * The first section is SNAP, an exact CDS1 snapshot; the others come in the order below and are
 * left out when they say nothing, so equal contents are equal bytes. A reader skips unknown
 * sections that may be ignored, and refuses others by name. The digest finds damage; it proves
 * nothing about the author.
 *
 *     SNAP  the snapshot                         NAME  name of the daemon
 *     KIND  name of the kind                     PLUG  plugin: digest 32, name
 *     LIFE  flags u8 (1 started, 2 next_parent known), state_version u32, incarnation, epoch,
 *           next_parent, inputs: u64 each
 *     CURS  count u32; each: source length u8, source, sequence u64
 *     HRZN  chain/horizon.h
 *     TIMR  count u32; each: number u64, remaining i64, deadline i64, length u32, data
 *     RQST  count u32; each: request u64, target u64, deadline i64
 *     SENT  events to daemons on other nodes that had not arrived for sure (docs/wire.md)
 *     CHAN  chain/bonds.h: queue groups, and tokens that it shows
 *     HAND  how it came to its host, and by way of which others (docs/wire.md)
 */
#ifndef CHAIN_CONTAINER_H
#define CHAIN_CONTAINER_H

#include "chain/bonds.h"
#include "chain/container_tags.h"
#include "chain/horizon.h"
#include "chain/snapshot.h"

#define CONTAINER_NAME_MAX   255
#define CONTAINER_SOURCE_MAX 64

/* Through which sequence a source's events were applied. */
typedef struct container_cursor {
    slice source; /* 1 to CONTAINER_SOURCE_MAX bytes */
    uint64_t sequence;
} container_cursor;

typedef struct container_timer {
    uint64_t number;
    int64_t remaining_ns;  /* when the snapshot was taken; 0 or less: due */
    int64_t deadline_wall; /* ns since the epoch, for a restore long after */
    slice data;            /* at most 2^32 - 1 bytes */
} container_timer;

typedef struct container_request {
    uint64_t request;
    uint64_t target; /* origin that was asked */
    int64_t deadline_wall;
} container_request;

/*
 * Byte strings are borrowed: from whoever filled the struct, or after container_decode from the
 * input. The arrays, the horizon and the bonds belong to whoever filled the struct; after
 * container_decode that is this struct, and container_fini frees them. A zeroed struct is empty.
 */
typedef struct container {
    snapshot snapshot; /* has_next_parent and next_parent travel in LIFE */
    slice name;        /* UTF-8; may be empty */
    slice kind;        /* UTF-8; empty only after reading a bare CDS1 */
    slice plugin_name; /* empty: a kind without a plugin file */
    uint8_t plugin_digest[32];
    uint32_t state_version;
    bool started; /* on_start has run */
    uint64_t incarnation, epoch;
    uint64_t inputs; /* events taken in since birth */
    horizon horizon; /* its overflow is part of it */
    container_cursor *cursors;
    size_t cursor_count;
    container_timer *timers;
    size_t timer_count;
    container_request *requests;
    size_t request_count;
    slice sent; /* not looked into here */
    bonds bonds;
    slice came; /* not looked into here */
    /* Only after decode: */
    bool bare; /* the input was a CDS1 snapshot without a container: all else is default */
    bool
        guessed; /* next_parent could only be guessed (chain/snapshot.h); worth a line in the log */
} container;

/*
 * Append the encoding of c. INVALID, naming the thing, for a missing kind, a name that is not
 * UTF-8, or a source, timer or request that is there twice; LIMIT for lengths; NO_MEMORY.
 */
berth_status container_encode(writer *w, const container *c, berth_error *error);

/*
 * The same bytes around a state that stays where it is: head, c->snapshot.state, tail and the
 * digest of these three, one behind the other, are what container_encode writes. For states so
 * large that a copy is felt, and so is their digest. Errors as above; what was written then is of
 * no use.
 */
berth_status container_encode_apart(writer *head, writer *tail, const container *c,
                                    berth_error *error);
void container_digest(uint8_t out[CONTAINER_DIGEST], slice head, slice state, slice tail);

/*
 * Read a container, or a bare CDS1 snapshot. After OK, snapshot.next_parent is usable in every case
 * (see guessed). CORRUPT, VERSION, UNSUPPORTED (a section that must be understood), NO_MEMORY; *out
 * is then empty. Memory taken is bounded by the input. Identity and kind are the caller's to judge.
 */
berth_status container_decode(container *out, slice bytes, berth_error *error);

/* What container_decode allocated; the struct is zeroed. */
void container_fini(container *c);

#endif
