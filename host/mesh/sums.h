/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/sums.h: where two nodes' sets of (id, version) differ, without saying all that is in them.
 *
 * The ids fall into up to 256 buckets by their first bits. Two nodes compare a sum for each bucket;
 * of those that differ they exchange what is in them, and then what the other lacks. What both
 * have costs nothing but its part of a sum. Used for peer records and for announcements; the bytes
 * are in docs/wire.md ("Comparing").
 *
 * A zeroed `sums` is the empty set. The sum is no hash to rely on: who makes up ids can hide a
 * difference, and harms only whom it could have told nothing anyway. Pure functions; encoders
 * allocate; decoders say false for anything but exactly one message, and allocate nothing.
 */
#ifndef MESH_SUMS_H
#define MESH_SUMS_H

#include "base/cursor.h"

#define SUMS_BITS_MAX 8
#define SUMS_MAX      (1 << SUMS_BITS_MAX)
#define SUMS_LIST_MAX 65536 /* entries of one list */

typedef struct sums {
    uint64_t of[SUMS_MAX];
    size_t count; /* members */
} sums;

/* A member comes, or goes: the caller knows which are there. */
void sums_add(sums *s, uint64_t id, uint64_t version);
void sums_remove(sums *s, uint64_t id, uint64_t version);

/* Which buckets a message is about: bits, and one bit for each bucket. */
typedef struct sums_places {
    unsigned bits;
    uint8_t map[SUMS_MAX / 8];
    unsigned count; /* buckets in map */
} sums_places;
unsigned sums_bucket(uint64_t id, unsigned bits);
bool sums_in(const sums_places *p, uint64_t id);
void sums_mark(sums_places *p, uint64_t id);

/* A message of that kind with the sums: as many buckets as its members deserve. */
buf *sums_encode(uint16_t kind, const sums *s);
/* What follows the kind, compared with ours: the buckets that differ. */
bool sums_compare(slice body, const sums *ours, sums_places *differ);

typedef struct sums_entry {
    uint64_t id, version;
} sums_entry;

#define SUMS_ANSWER 0x01 /* no list is expected back */
#define SUMS_FULL   0x02 /* the sender has no room for ids that it does not name */

/* All that the sender has in those buckets. */
buf *sums_list_encode(uint16_t kind, uint8_t flags, const sums_places *p, const sums_entry *all,
                      size_t count);
/* r then gives count entries through sums_list_next. */
bool sums_list_open(slice body, uint8_t *flags, sums_places *p, size_t *count, reader *r);
sums_entry sums_list_next(reader *r);

#endif
