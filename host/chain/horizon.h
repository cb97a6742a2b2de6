/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain/horizon.h: what a daemon has heard of: per origin the highest sequence, and a logical
 * clock.
 *
 * A zeroed struct is an empty horizon and costs a pointer; horizon_fini frees it. The bits that go
 * into links are kept up to date at the first sight of an origin, so horizon_encode costs nothing.
 *
 * A peer can name as many origins as it likes, so only `limit` of them are kept exactly, and of one
 * peer only some of these. Those after them set their bits in the filter, are counted in
 * horizon_overflow, and are never "observed". Which peer an origin came from is not part of the
 * durable form: what was read back counts for nobody. One owner at a time; nothing blocks.
 */
#ifndef CHAIN_HORIZON_H
#define CHAIN_HORIZON_H

#include "base/cursor.h"
#include "berth/chain.h"

#define HORIZON_LIMIT 4096

/* What became of an observation. */
typedef enum horizon_seen {
    HORIZON_KEPT,
    HORIZON_FULL,      /* no room: `limit` */
    HORIZON_PEER_FULL, /* its peer has had its share */
    HORIZON_NO_MEMORY  /* not remembered at all */
} horizon_seen;

typedef struct horizon {
    struct horizon_body *body;
} horizon;

typedef struct horizon_entry {
    uint64_t origin;
    uint64_t sequence;
} horizon_entry;

void horizon_fini(horizon *h);

/*
 * An event of origin with this sequence arrived. A higher sequence than known ticks the clock; the
 * first event of an origin is one even with sequence 0, but then without a tick. limit:
 * HORIZON_LIMIT or what the host is configured to. False when memory is short; then the event is
 * not remembered.
 */
bool horizon_observe(horizon *h, uint64_t origin, uint64_t sequence, uint32_t limit);

/* The same for an event that came from another node, not 0: at most peer_limit of the origins that
 * are kept are new ones of this peer. */
horizon_seen horizon_observe_from(horizon *h, uint64_t peer, uint32_t peer_limit, uint64_t origin,
                                  uint64_t sequence, uint32_t limit);

/* NULL when the origin is not kept. Valid until the horizon changes. */
const horizon_entry *horizon_get(const horizon *h, uint64_t origin);
bool horizon_has_observed(const horizon *h, uint64_t origin, uint64_t sequence);

/* Take in another daemon's horizon: the higher of each; the clock passes both, always. False when
 * memory is short; then h holds part of other. */
bool horizon_merge(horizon *h, const horizon *other, uint32_t limit);

/* The filter for a link. 0 when empty. */
uint64_t horizon_encode(const horizon *h);

size_t horizon_count(const horizon *h);
uint64_t horizon_logical_time(const horizon *h);
/* Events of origins for which there was no room. */
uint64_t horizon_overflow(const horizon *h);
/* Entry i of horizon_count, in order of first sight. */
const horizon_entry *horizon_at(const horizon *h, size_t i);

/* Independent copy. False when memory is short; *out is then empty. */
bool horizon_clone(horizon *out, const horizon *h);

/* The durable form, ordered by origin, so that equal horizons are equal bytes: version u8, filter
 * u64, clock u64, overflow u64, count u32, then origin and sequence of each. An empty one is empty
 * bytes. */
void horizon_write(writer *w, const horizon *h);

/* Takes all of the bytes. CORRUPT or VERSION, with *out empty, when they are not such a form. */
berth_status horizon_read(horizon *out, slice bytes, berth_error *error);

#endif
