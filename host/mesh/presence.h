/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/presence.h: what a daemon's own key says about where it lives.
 *
 * A presence names the node that runs a daemon, and until when that may be believed. A handover
 * says that the daemon goes from one node to another at a new epoch; the daemon's key and the
 * previous owner's node key both sign it, or, for a takeover, the daemon's key and an operator's.
 * Nothing else about an origin is believed by anybody.
 *
 * Presence, 153 bytes: version u8 (1), entity 32, node 32, epoch u64, incarnation u64, not_after
 * i64 (wall seconds), signature 64.
 * Handover, 313 bytes: version u8 (1), entity 32, epoch u64, from 32, to 32, attempt 16, chain head
 * 32, by 32, signature of the daemon 64, signature of `by` 64.
 * Each signature is over a domain tag of its own and all that comes before the signatures.
 *
 * Any thread; nothing blocks or allocates; pure functions. Nodes are named by their whole entity.
 */
#ifndef MESH_PRESENCE_H
#define MESH_PRESENCE_H

#include "base/buf.h"
#include "base/cursor.h"
#include "berth/chain.h"
#include "berth/identity.h"
#include "mesh/verify.h"

#define PRESENCE_SIZE 153
#define HANDOVER_SIZE 313
#define ATTEMPT_SIZE  16

/* No presence is believed for longer than this ahead, whatever it says. */
#define PRESENCE_LIFE_MAX_S (48 * 3600)

typedef struct presence {
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint8_t node[BERTH_ENTITY_SIZE];
    uint64_t epoch, incarnation; /* both above 0 */
    int64_t not_after_s;
    uint8_t signature[BERTH_SIGNATURE_SIZE];
} presence;

typedef struct handover {
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint64_t epoch; /* the new one, above 1 */
    uint8_t from[BERTH_ENTITY_SIZE], to[BERTH_ENTITY_SIZE];
    uint8_t attempt[ATTEMPT_SIZE];
    uint8_t head[BERTH_LINK_SIZE]; /* of the daemon's chain, where `to` goes on */
    uint8_t by[BERTH_ENTITY_SIZE]; /* the same as from, or an operator's key */
    uint8_t daemon_signature[BERTH_SIGNATURE_SIZE];
    uint8_t by_signature[BERTH_SIGNATURE_SIZE];
} handover;

/* Fill in the signatures; the other members are the caller's, but for the entity, which is the
 * key's, and `by`. READ_ONLY without a seed. */
berth_status presence_sign(presence *p, const berth_keypair *daemon);
berth_status handover_sign(handover *h, const berth_keypair *daemon, const berth_keypair *by);

/* SIGNATURE. Whether a signer had the right to is not judged here, nor is the time. */
berth_status presence_verify(const presence *p, verify_signature *verify);
berth_status handover_verify(const handover *h, verify_signature *verify);

void presence_write(writer *w, const presence *p);
void handover_write(writer *w, const handover *h);

/* VERSION or CORRUPT, with *out zeroed. Form only: the signatures are for *_verify. */
berth_status presence_read(reader *r, presence *out, berth_error *error);
berth_status handover_read(reader *r, handover *out, berth_error *error);

/* Byte for byte, signatures included. */
bool presence_eq(const presence *a, const presence *b);

/* What is signed, for a verifier of another kind: at most SIGNED_MAX bytes; returns the length. */
#define SIGNED_MAX 224
size_t presence_signed(uint8_t out[SIGNED_MAX], const presence *p);
size_t handover_signed(uint8_t out[SIGNED_MAX], const handover *h);

#endif
