/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/record.h: what a node says about itself, signed by its key: how to reach it.
 *
 * Records are passed on by others as the bytes that were signed, and the newest by its sequence
 * counts. A record proves who wrote it, and nothing more: that the static key and the addresses are
 * the node's own shows in the handshake. Format: docs/wire.md. Any thread; nothing blocks.
 */
#ifndef MESH_RECORD_H
#define MESH_RECORD_H

#include "base/cursor.h"
#include "mesh/transport.h"
#include "mesh/verify.h"

#define RECORD_NAME_MAX      63
#define RECORD_ADDRESSES_MAX 8
#define RECORD_SIZE_MAX                                                                            \
    (1 + 32 + 32 + 8 + 8 + 1 + RECORD_NAME_MAX + 1 + RECORD_ADDRESSES_MAX * 19 + 64)
/* Nobody may sign further ahead than this, so that every record ends some day. */
#define RECORD_LIFE_MAX_S (31 * 86400)

typedef struct peer_record {
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint8_t static_key[32];
    char name[RECORD_NAME_MAX + 1];          /* what it calls itself: for people; may be empty */
    address addresses[RECORD_ADDRESSES_MAX]; /* the best first; may be none */
    unsigned address_count;
    uint64_t sequence;
    int64_t not_after_s; /* seconds since the Unix epoch */
} peer_record;

/* Can a datagram be sent there, from anywhere? An address of everybody, of nobody or of one wire
 * only, and port 0, are not. */
bool record_address_ok(const address *a);
bool record_address_eq(const address *a, const address *b);

/* The bytes; the entity is the key's. One reference. INVALID: what no other node would accept. */
berth_status record_sign(const peer_record *r, const berth_keypair *key, buf **out,
                         berth_error *error);

/* The fields, not believed yet: INVALID when the bytes are no record. Nothing may be left over. */
berth_status record_decode(slice bytes, peer_record *out, berth_error *error);

/* SIGNATURE: not by the entity in it. TIMEOUT: it has run out. LIMIT: it runs too far ahead. */
berth_status record_verify(slice bytes, const peer_record *r, int64_t wall_s,
                           verify_signature *verify, berth_error *error);

/* Does a stand above b, of the same entity? */
bool record_newer(const peer_record *a, const peer_record *b);

#endif
