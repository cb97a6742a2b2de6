/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity/envelope.h: a daemon's seed on its way to one other node: sealed to that node's X25519
 * key and attested by the daemon's own Ed25519 key, both bound to one chain link.
 *
 * Any thread; nothing blocks. Every copy of the seed made here is wiped on every path. Byte-exact
 * with the reference (compute-core 2.6).
 */
#ifndef IDENTITY_ENVELOPE_H
#define IDENTITY_ENVELOPE_H

#include "berth/identity.h"

#define ENVELOPE_VERSION   1
#define ENVELOPE_SIZE      209
#define ENVELOPE_LINK_SIZE 32 /* the link, as its wire bytes */

/* Which check failed; the status says what kind of failure that is. */
typedef enum envelope_fault {
    ENVELOPE_FINE,
    ENVELOPE_INVALID_ATTESTATION, /* SIGNATURE: not signed by the signer for this target and link */
    ENVELOPE_SEAL_FAILED,         /* INVALID: the target key is of low order */
    ENVELOPE_OPEN_FAILED,         /* SIGNATURE: sealed to another key, or altered */
    ENVELOPE_ORIGIN_MISMATCH,     /* IDENTITY_MISMATCH: opens, but is not the snapshot's identity */
    ENVELOPE_INVALID_SIGNER,      /* IDENTITY_MISMATCH: signer unexpected, or no key at all */
    ENVELOPE_SOURCE_READ_ONLY,    /* READ_ONLY: the daemon's key pair has no seed to seal */
    ENVELOPE_UNKNOWN_VERSION,     /* VERSION */
    ENVELOPE_MALFORMED,           /* CORRUPT: not 209 bytes */
} envelope_fault;

typedef struct envelope {
    uint8_t target[32];    /* X25519 public key of the node it is for */
    uint8_t ephemeral[32]; /* X25519 public key made for this envelope */
    uint8_t sealed[48];    /* the seed and its tag */
    uint8_t signer[BERTH_ENTITY_SIZE];
    uint8_t signature[BERTH_SIGNATURE_SIZE];
} envelope;

/* In all of these fault and error may be NULL. */
berth_status envelope_seal(envelope *out, const berth_keypair *key, const uint8_t target[32],
                           const uint8_t link[ENVELOPE_LINK_SIZE], envelope_fault *fault,
                           berth_error *error);

/* The same with a given ephemeral secret: for vectors and the simulator, where nothing is random.
 */
berth_status envelope_seal_with(envelope *out, const berth_keypair *key, const uint8_t target[32],
                                const uint8_t link[ENVELOPE_LINK_SIZE], const uint8_t ephemeral[32],
                                envelope_fault *fault, berth_error *error);

/*
 * Open with the target's X25519 secret. expected: the entity it must be of, or NULL. On success
 * *out is a full key pair, the caller's to wipe; on failure *out is zeroed. A failure is final:
 * never fall back to another key because an envelope does not open (compute-core K24).
 */
berth_status envelope_open(berth_keypair *out, const envelope *e, const uint8_t target_secret[32],
                           const uint8_t link[ENVELOPE_LINK_SIZE],
                           const uint8_t expected[BERTH_ENTITY_SIZE], envelope_fault *fault,
                           berth_error *error);

/* The same where the public key of that secret is known already, which saves computing it. */
berth_status envelope_open_with(berth_keypair *out, const envelope *e,
                                const uint8_t target_secret[32], const uint8_t target_public[32],
                                const uint8_t link[ENVELOPE_LINK_SIZE],
                                const uint8_t expected[BERTH_ENTITY_SIZE], envelope_fault *fault,
                                berth_error *error);

void envelope_encode(uint8_t out[ENVELOPE_SIZE], const envelope *e);
berth_status envelope_decode(envelope *out, const void *ptr, size_t len, envelope_fault *fault,
                             berth_error *error);

#endif
