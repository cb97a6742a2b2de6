/* SPDX-License-Identifier: Apache-2.0 */
/*
 * berth/identity.h: who a daemon or a node is: an Ed25519 key pair and what is derived from it.
 *
 * Nothing here blocks, allocates or keeps state; any thread may call it. A machine without
 * randomness ends the process rather than make a weak key. Since 0.1.
 *
 * What an origin proves: inside a session it is protected by the session's encryption only, and a
 * peer that was let in can claim any origin. Whoever needs proof beyond that asks for a signature.
 */
#ifndef BERTH_IDENTITY_H
#define BERTH_IDENTITY_H

#include "berth/status.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BERTH_ENTITY_SIZE    32 /* a public key, RFC 8032; the entity id */
#define BERTH_SEED_SIZE      32 /* the secret half: an RFC 8032 seed, not the expanded key */
#define BERTH_SIGNATURE_SIZE 64

/* Room for the text forms, their terminating zeros included. */
#define BERTH_ENTITY_TEXT    65 /* 64 lower-case hex digits */
#define BERTH_ENTITY_DISPLAY 20 /* 16 hex digits and "..." */

/*
 * Full (with the seed) or public-only. Assignment copies it, secret included: whoever holds a full
 * copy wipes it. The members may be read; only the functions below may set them.
 */
typedef struct berth_keypair {
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint8_t seed[BERTH_SEED_SIZE]; /* zero when public-only */
    uint64_t origin;               /* of entity */
    uint64_t node_id;              /* of entity */
    uint8_t full;                  /* 1: seed is there */
    uint8_t reserved[7];
} berth_keypair;

/* The two 64-bit projections of an entity id: a daemon's short name, and a node's address. */
BERTH_API uint64_t berth_entity_origin(const uint8_t entity[BERTH_ENTITY_SIZE]);
BERTH_API uint64_t berth_entity_node_id(const uint8_t entity[BERTH_ENTITY_SIZE]);

/* What packet headers carry of an origin: enough to route by, never enough to decide by. */
static inline uint32_t berth_origin_wire(uint64_t origin)
{
    return (uint32_t)origin;
}

/* Text forms; each returns out. parse takes exactly 64 hex digits of either case, else INVALID. */
BERTH_API char *berth_entity_text(char out[BERTH_ENTITY_TEXT],
                                  const uint8_t entity[BERTH_ENTITY_SIZE]);
BERTH_API char *berth_entity_display(char out[BERTH_ENTITY_DISPLAY],
                                     const uint8_t entity[BERTH_ENTITY_SIZE]);
BERTH_API berth_status berth_entity_parse(uint8_t entity[BERTH_ENTITY_SIZE], const char *text,
                                          size_t len);

/* A fresh full key pair. There is no default one: a key made by accident is a trap. */
BERTH_API void berth_keypair_generate(berth_keypair *out);
BERTH_API void berth_keypair_from_seed(berth_keypair *out, const uint8_t seed[BERTH_SEED_SIZE]);
/* Any 32 bytes are taken; whether they are a key shows when a signature is verified. */
BERTH_API void berth_keypair_public(berth_keypair *out, const uint8_t entity[BERTH_ENTITY_SIZE]);

/* Wipe the seed: public-only from then on, everything public stays. Idempotent. */
BERTH_API void berth_keypair_wipe(berth_keypair *key);

static inline bool berth_keypair_is_full(const berth_keypair *key)
{
    return key->full != 0;
}

/* READ_ONLY, and a zeroed signature, when key is public-only. Deterministic. */
BERTH_API berth_status berth_sign(const berth_keypair *key, const void *message, size_t len,
                                  uint8_t signature[BERTH_SIGNATURE_SIZE]);

/* For one who knows that the key is full; a public-only key is a defect and aborts. */
BERTH_API void berth_sign_must(const berth_keypair *key, const void *message, size_t len,
                               uint8_t signature[BERTH_SIGNATURE_SIZE]);

/* READ_ONLY, and zeros, when key is public-only. The caller wipes what it got. */
BERTH_API berth_status berth_keypair_seed(const berth_keypair *key, uint8_t seed[BERTH_SEED_SIZE]);

/*
 * Strict: one message has one accepted signature form, and keys of small order are not keys.
 * INVALID when entity is no point of the curve, SIGNATURE when the signature is not by it over
 * message.
 */
BERTH_API berth_status berth_verify(const uint8_t entity[BERTH_ENTITY_SIZE], const void *message,
                                    size_t len, const uint8_t signature[BERTH_SIGNATURE_SIZE]);

/* Who, without the power to sign: made once, stamped on many headers. */
typedef struct berth_origin_stamp {
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint64_t origin;
    uint64_t node_id;
} berth_origin_stamp;

BERTH_API void berth_origin_stamp_of(berth_origin_stamp *out,
                                     const uint8_t entity[BERTH_ENTITY_SIZE]);
BERTH_API void berth_origin_stamp_of_keypair(berth_origin_stamp *out, const berth_keypair *key);

#ifdef __cplusplus
}
#endif
#endif
