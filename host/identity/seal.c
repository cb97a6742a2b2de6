/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/seal.h"
#include "base/error.h"
#include "base/random.h"
#include "identity/entity.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

#define SEAL_VERSION 1
#define NONCE        crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG          crypto_aead_xchacha20poly1305_ietf_ABYTES

static const char domain[] = "berth-sealed-identity-v1";

#define BOUND_MAX (sizeof domain + BERTH_ENTITY_SIZE + 8 + SEAL_PURPOSE_MAX)

_Static_assert(1 + NONCE + BERTH_SEED_SIZE + TAG == SEAL_SIZE, "version, nonce, seed, tag");

/* The additional data: unambiguous, because only the last part varies in length. 0: bad purpose. */
static size_t bound_bytes(uint8_t out[BOUND_MAX], const uint8_t entity[BERTH_ENTITY_SIZE],
                          const char *purpose, uint64_t epoch)
{
    size_t len = strnlen(purpose, SEAL_PURPOSE_MAX + 1), at = 0;

    if (len == 0 || len > SEAL_PURPOSE_MAX)
        return 0;
    memcpy(out, domain, sizeof domain);
    at += sizeof domain;
    memcpy(out + at, entity, BERTH_ENTITY_SIZE);
    at += BERTH_ENTITY_SIZE;
    store_u64(out + at, epoch);
    at += 8;
    memcpy(out + at, purpose, len);
    return at + len;
}

berth_status seal_identity(uint8_t out[SEAL_SIZE], const berth_keypair *key,
                           const uint8_t host_key[HOST_KEY_SIZE], const char *purpose,
                           uint64_t epoch, berth_error *error)
{
    uint8_t bound[BOUND_MAX];
    size_t len = bound_bytes(bound, key->entity, purpose, epoch);

    memset(out, 0, SEAL_SIZE);
    if (!len)
        return fail(error, BERTH_ERR_INVALID,
                    "sealed identity: the purpose must have 1 to %d bytes", SEAL_PURPOSE_MAX);
    if (!key->full)
        return fail(error, BERTH_ERR_READ_ONLY,
                    "sealed identity: there is no seed to seal: the key pair is public-only");
    out[0] = SEAL_VERSION;
    random_bytes(out + 1, NONCE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(out + 1 + NONCE, NULL, key->seed, BERTH_SEED_SIZE,
                                               bound, len, NULL, out + 1, host_key);
    return BERTH_OK;
}

berth_status unseal_identity(berth_keypair *out, slice sealed,
                             const uint8_t entity[BERTH_ENTITY_SIZE],
                             const uint8_t host_key[HOST_KEY_SIZE], const char *purpose,
                             uint64_t epoch, berth_error *error)
{
    uint8_t bound[BOUND_MAX], seed[BERTH_SEED_SIZE];
    size_t len = bound_bytes(bound, entity, purpose, epoch);
    char who[BERTH_ENTITY_DISPLAY];
    berth_status status = BERTH_OK;

    memset(out, 0, sizeof *out);
    berth_entity_display(who, entity);
    if (!len)
        return fail(error, BERTH_ERR_INVALID,
                    "sealed identity: the purpose must have 1 to %d bytes", SEAL_PURPOSE_MAX);
    if (sealed.len && sealed.ptr[0] != SEAL_VERSION)
        return fail(
            error, BERTH_ERR_VERSION,
            "sealed identity of %s: format %u is not known, only %d is: a later berth wrote it",
            who, sealed.ptr[0], SEAL_VERSION);
    if (sealed.len != SEAL_SIZE)
        return fail(error, BERTH_ERR_CORRUPT, "sealed identity of %s: has %zu bytes instead of %d",
                    who, sealed.len, SEAL_SIZE);
    sodium_ready();
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(seed, NULL, NULL, sealed.ptr + 1 + NONCE,
                                                   BERTH_SEED_SIZE + TAG, bound, len,
                                                   sealed.ptr + 1, host_key) != 0) {
        status = fail(error, BERTH_ERR_SIGNATURE,
                      "sealed identity of %s: does not open for '%s' at epoch %" PRIu64
                      ": this host has another host key than the one that sealed it, or the record "
                      "was altered",
                      who, purpose, epoch);
        goto out;
    }
    berth_keypair_from_seed(out, seed);
    if (!entity_eq(out->entity, entity)) {
        berth_keypair_wipe(out);
        memset(out, 0, sizeof *out);
        status = fail(error, BERTH_ERR_IDENTITY_MISMATCH,
                      "sealed identity of %s: holds the seed of another identity", who);
    }

out:
    sodium_memzero(seed, sizeof seed);
    return status;
}
