/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/proof.h: a node's statement, inside the handshake, of who it is: "I am this entity, and
 * this handshake, between these two static keys, is mine". The signature covers the final handshake
 * hash, so a proof is worth nothing in any other session, and the role, so that it cannot be sent
 * back to its signer.
 *
 *     u8 version | entity id 32 | u16 length, certificate | signature 64
 *
 * Pure functions; any thread.
 */
#ifndef MESH_PROOF_H
#define MESH_PROOF_H

#include "base/buf.h"
#include "base/cursor.h"
#include "identity/certificate.h"

#define PROOF_VERSION 1
#define PROOF_MIN     (1 + BERTH_ENTITY_SIZE + 2 + BERTH_SIGNATURE_SIZE)
#define PROOF_MAX     (PROOF_MIN + CERTIFICATE_MAX)

/* Of the one who signs. */
typedef enum proof_role {
    PROOF_INITIATOR = 1,
    PROOF_RESPONDER = 2,
} proof_role;

/* What the proof is bound to, the same words on both sides. */
typedef struct proof_binding {
    proof_role role;
    uint8_t hash[64]; /* noise_split's */
    uint8_t signer_static[32], verifier_static[32];
} proof_binding;

typedef struct proof {
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint64_t node_id;  /* of the entity: a node never says it, so it cannot lie about it */
    slice certificate; /* as it came, not looked into; borrowed from what was read; may be empty */
} proof;

/* Appended to out. certificate: an encoding, or empty. READ_ONLY, LIMIT (it is longer than any
 * certificate), NO_MEMORY. */
berth_status proof_write(writer *out, const berth_keypair *node, slice certificate,
                         const proof_binding *binding);

/* The length of the proof that begins like this; 0 while too little of it is there to tell. One
 * larger than PROOF_MAX is never a proof: give up. */
size_t proof_length(slice begins);

/* Exactly one proof, verified. CORRUPT, VERSION, SIGNATURE; *out is then zeroed. What the
 * certificate is worth is decided elsewhere (mesh/trust.h). */
berth_status proof_read(proof *out, slice bytes, const proof_binding *binding, berth_error *error);

#endif
