/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/envelope.h"
#include "base/error.h"
#include "base/random.h"
#include "identity/entity.h"

#include <sodium.h>
#include <string.h>

_Static_assert(sizeof(envelope) + 1 == ENVELOPE_SIZE, "version byte and five fields");

/* Everything that must not outlive a seal or an open. */
struct secrets {
    uint8_t ephemeral[32];
    uint8_t shared[32];
    uint8_t key[DERIVED_SIZE];
    uint8_t nonce[DERIVED_SIZE]; /* the cipher takes the first 24 bytes */
    uint8_t seed[BERTH_SEED_SIZE];
};

static berth_status failed(envelope_fault *fault, envelope_fault what, berth_error *error,
                           berth_status status, const char *text)
{
    if (fault)
        *fault = what;
    return fail(error, status, "identity envelope: %s", text);
}

/* What the daemon signs: for whom, at which point of its chain. */
static void transcript(uint8_t out[64], const uint8_t target[32], const uint8_t link[32])
{
    memcpy(out, target, 32);
    memcpy(out + 32, link, 32);
}

/* Key and nonce from our X25519 secret and the other side's public key; false for a low-order
 * point, where the shared secret would be no secret. */
static bool agree(struct secrets *s, const uint8_t secret[32], const uint8_t public[32],
                  const uint8_t ephemeral[32], const uint8_t target[32])
{
    uint8_t both[64];

    if (crypto_scalarmult(s->shared, secret, public) != 0)
        return false;
    transcript(both, ephemeral, target);
    identity_derive(s->key, "net-identity-envelope", slice_of(s->shared, sizeof s->shared));
    identity_derive(s->nonce, "net-identity-nonce", slice_of(both, sizeof both));
    return true;
}

berth_status envelope_seal_with(envelope *out, const berth_keypair *key, const uint8_t target[32],
                                const uint8_t link[ENVELOPE_LINK_SIZE], const uint8_t ephemeral[32],
                                envelope_fault *fault, berth_error *error)
{
    berth_status status = BERTH_OK;
    uint8_t attested[64];
    struct secrets s;

    memset(out, 0, sizeof *out);
    if (fault)
        *fault = ENVELOPE_FINE;
    sodium_ready();
    if (berth_keypair_seed(key, s.seed) != BERTH_OK) {
        status = failed(fault, ENVELOPE_SOURCE_READ_ONLY, error, BERTH_ERR_READ_ONLY,
                        "there is no seed to seal: the key pair is public-only");
        goto out;
    }
    crypto_scalarmult_base(out->ephemeral, ephemeral);
    if (!agree(&s, ephemeral, target, out->ephemeral, target)) {
        memset(out, 0, sizeof *out);
        status = failed(fault, ENVELOPE_SEAL_FAILED, error, BERTH_ERR_INVALID,
                        "the target's key is not usable (low order)");
        goto out;
    }
    crypto_aead_xchacha20poly1305_ietf_encrypt(out->sealed, NULL, s.seed, sizeof s.seed, link,
                                               ENVELOPE_LINK_SIZE, NULL, s.nonce, s.key);
    memcpy(out->target, target, sizeof out->target);
    memcpy(out->signer, key->entity, sizeof out->signer);
    transcript(attested, target, link);
    berth_sign_must(key, attested, sizeof attested, out->signature);

out:
    sodium_memzero(&s, sizeof s);
    return status;
}

berth_status envelope_seal(envelope *out, const berth_keypair *key, const uint8_t target[32],
                           const uint8_t link[ENVELOPE_LINK_SIZE], envelope_fault *fault,
                           berth_error *error)
{
    uint8_t ephemeral[32];
    berth_status status;

    random_bytes(ephemeral, sizeof ephemeral);
    status = envelope_seal_with(out, key, target, link, ephemeral, fault, error);
    sodium_memzero(ephemeral, sizeof ephemeral);
    return status;
}

/* Is it from the signer we expect, and did the signer mean this target and link? */
static berth_status attested(const envelope *e, const uint8_t link[ENVELOPE_LINK_SIZE],
                             const uint8_t *expected, envelope_fault *fault, berth_error *error)
{
    uint8_t signed_bytes[64];

    if (expected && !entity_eq(expected, e->signer))
        return failed(fault, ENVELOPE_INVALID_SIGNER, error, BERTH_ERR_IDENTITY_MISMATCH,
                      "signed by another identity than expected");
    transcript(signed_bytes, e->target, link);
    switch (berth_verify(e->signer, signed_bytes, sizeof signed_bytes, e->signature)) {
    case BERTH_OK:
        return BERTH_OK;
    case BERTH_ERR_INVALID:
        return failed(fault, ENVELOPE_INVALID_SIGNER, error, BERTH_ERR_IDENTITY_MISMATCH,
                      "its signer is not a public key");
    default:
        return failed(
            fault, ENVELOPE_INVALID_ATTESTATION, error, BERTH_ERR_SIGNATURE,
            "the attestation does not verify: altered, or made for another target or link");
    }
}

berth_status envelope_open_with(berth_keypair *out, const envelope *e,
                                const uint8_t target_secret[32], const uint8_t target_public[32],
                                const uint8_t link[ENVELOPE_LINK_SIZE],
                                const uint8_t expected[BERTH_ENTITY_SIZE], envelope_fault *fault,
                                berth_error *error)
{
    berth_status status;
    struct secrets s;

    memset(out, 0, sizeof *out);
    if (fault)
        *fault = ENVELOPE_FINE;
    status = attested(e, link, expected, fault, error);
    if (status)
        return status;

    if (memcmp(target_public, e->target, sizeof e->target) != 0 ||
        !agree(&s, target_secret, e->ephemeral, e->ephemeral, e->target) ||
        crypto_aead_xchacha20poly1305_ietf_decrypt(s.seed, NULL, NULL, e->sealed, sizeof e->sealed,
                                                   link, ENVELOPE_LINK_SIZE, s.nonce, s.key) != 0) {
        status = failed(fault, ENVELOPE_OPEN_FAILED, error, BERTH_ERR_SIGNATURE,
                        "does not open: sealed to another node's key, or altered");
        goto out;
    }
    berth_keypair_from_seed(out, s.seed);
    if (!entity_eq(out->entity, e->signer)) {
        berth_keypair_wipe(out);
        memset(out, 0, sizeof *out);
        status = failed(fault, ENVELOPE_INVALID_ATTESTATION, error, BERTH_ERR_SIGNATURE,
                        "holds the seed of another identity than the one that signed it");
    }

out:
    sodium_memzero(&s, sizeof s);
    return status;
}

berth_status envelope_open(berth_keypair *out, const envelope *e, const uint8_t target_secret[32],
                           const uint8_t link[ENVELOPE_LINK_SIZE],
                           const uint8_t expected[BERTH_ENTITY_SIZE], envelope_fault *fault,
                           berth_error *error)
{
    uint8_t public[32];

    sodium_ready();
    crypto_scalarmult_base(public, target_secret);
    return envelope_open_with(out, e, target_secret, public, link, expected, fault, error);
}

void envelope_encode(uint8_t out[ENVELOPE_SIZE], const envelope *e)
{
    out[0] = ENVELOPE_VERSION;
    memcpy(out + 1, e->target, 32);
    memcpy(out + 33, e->ephemeral, 32);
    memcpy(out + 65, e->sealed, 48);
    memcpy(out + 113, e->signer, 32);
    memcpy(out + 145, e->signature, 64);
}

berth_status envelope_decode(envelope *out, const void *ptr, size_t len, envelope_fault *fault,
                             berth_error *error)
{
    reader r = reader_of(ptr, len);

    memset(out, 0, sizeof *out);
    if (fault)
        *fault = ENVELOPE_FINE;
    if (len != ENVELOPE_SIZE)
        return failed(fault, ENVELOPE_MALFORMED, error, BERTH_ERR_CORRUPT, "is not 209 bytes long");
    if (reader_u8(&r) != ENVELOPE_VERSION)
        return failed(fault, ENVELOPE_UNKNOWN_VERSION, error, BERTH_ERR_VERSION,
                      "of an unknown version; only version 1 is read");
    reader_copy(&r, out->target, sizeof out->target);
    reader_copy(&r, out->ephemeral, sizeof out->ephemeral);
    reader_copy(&r, out->sealed, sizeof out->sealed);
    reader_copy(&r, out->signer, sizeof out->signer);
    reader_copy(&r, out->signature, sizeof out->signature);
    return BERTH_OK;
}
