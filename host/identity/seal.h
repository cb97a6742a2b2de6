/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity/seal.h: an identity at rest: the seed under the host key.
 *
 * XChaCha20-Poly1305 with a random nonce; entity id, purpose and epoch are bound to it, so a row
 * that was copied to another daemon, another use or an older epoch does not open. Any thread;
 * nothing blocks.
 *
 * A host key that lies beside the data protects nothing against one who takes the whole directory.
 */
#ifndef IDENTITY_SEAL_H
#define IDENTITY_SEAL_H

#include "base/buf.h"
#include "berth/identity.h"

#define HOST_KEY_SIZE    32
#define SEAL_SIZE        73 /* version, nonce, seed, tag */
#define SEAL_PURPOSE_MAX 64

/* READ_ONLY when key has no seed; INVALID for a purpose that is empty or too long. */
berth_status seal_identity(uint8_t out[SEAL_SIZE], const berth_keypair *key,
                           const uint8_t host_key[HOST_KEY_SIZE], const char *purpose,
                           uint64_t epoch, berth_error *error);

/*
 * entity, purpose and epoch as they were at sealing. CORRUPT for a wrong length, VERSION for a
 * format of a later berth, SIGNATURE when it does not open (other host key, altered, or bound to
 * something else). On success *out is full and the caller's to wipe; otherwise it is zeroed.
 */
berth_status unseal_identity(berth_keypair *out, slice sealed,
                             const uint8_t entity[BERTH_ENTITY_SIZE],
                             const uint8_t host_key[HOST_KEY_SIZE], const char *purpose,
                             uint64_t epoch, berth_error *error);

#endif
