/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/entity.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"

#include <blake2.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(berth_keypair) == 88, "a host may hold a million of them");

/* Where bytes go when a caller gives a length of 0 without a pointer. */
static const uint8_t nothing[1];

void identity_derive(uint8_t out[DERIVED_SIZE], const char *label, slice message)
{
    blake2s(out, message.ptr ? message.ptr : nothing, label, DERIVED_SIZE, message.len,
            strlen(label));
}

static uint64_t project(const char *label, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    uint8_t digest[DERIVED_SIZE];

    identity_derive(digest, label, slice_of(entity, BERTH_ENTITY_SIZE));
    return load_u64(digest);
}

uint64_t berth_entity_origin(const uint8_t entity[BERTH_ENTITY_SIZE])
{
    return project("net-origin-v1", entity);
}

uint64_t berth_entity_node_id(const uint8_t entity[BERTH_ENTITY_SIZE])
{
    return project("net-node-id-v1", entity);
}

bool entity_eq(const uint8_t a[BERTH_ENTITY_SIZE], const uint8_t b[BERTH_ENTITY_SIZE])
{
    return memcmp(a, b, BERTH_ENTITY_SIZE) == 0;
}

bool entity_on_curve(const uint8_t entity[BERTH_ENTITY_SIZE])
{
    uint8_t sum[crypto_core_ed25519_BYTES];

    sodium_ready();
    /* Adding fails exactly when an operand does not decode; unlike
     * crypto_core_ed25519_is_valid_point it does not also ask for the main subgroup. */
    return crypto_core_ed25519_add(sum, entity, entity) == 0;
}

char *berth_entity_text(char out[BERTH_ENTITY_TEXT], const uint8_t entity[BERTH_ENTITY_SIZE])
{
    return hex_encode(out, slice_of(entity, BERTH_ENTITY_SIZE));
}

char *berth_entity_display(char out[BERTH_ENTITY_DISPLAY], const uint8_t entity[BERTH_ENTITY_SIZE])
{
    hex_encode(out, slice_of(entity, 8));
    memcpy(out + 16, "...", 4);
    return out;
}

berth_status berth_entity_parse(uint8_t entity[BERTH_ENTITY_SIZE], const char *text, size_t len)
{
    return hex_decode(entity, BERTH_ENTITY_SIZE, slice_of(text, len)) ? BERTH_OK
                                                                      : BERTH_ERR_INVALID;
}

void entity_write(writer *w, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    writer_u8(w, BERTH_ENTITY_SIZE);
    writer_bytes(w, entity, BERTH_ENTITY_SIZE);
}

void entity_read(reader *r, uint8_t entity[BERTH_ENTITY_SIZE])
{
    if (reader_u8(r) != BERTH_ENTITY_SIZE)
        r->bad = true;
    reader_copy(r, entity, BERTH_ENTITY_SIZE);
}

void berth_keypair_public(berth_keypair *out, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    uint8_t id[BERTH_ENTITY_SIZE]; /* entity may be a member of *out */

    memcpy(id, entity, sizeof id);
    memset(out, 0, sizeof *out);
    memcpy(out->entity, id, sizeof id);
    out->origin = berth_entity_origin(id);
    out->node_id = berth_entity_node_id(id);
}

void berth_keypair_from_seed(berth_keypair *out, const uint8_t seed[BERTH_SEED_SIZE])
{
    uint8_t secret[crypto_sign_SECRETKEYBYTES];

    sodium_ready();
    memset(out, 0, sizeof *out);
    memcpy(out->seed, seed, BERTH_SEED_SIZE);
    crypto_sign_seed_keypair(out->entity, secret, seed);
    sodium_memzero(secret, sizeof secret);
    out->origin = berth_entity_origin(out->entity);
    out->node_id = berth_entity_node_id(out->entity);
    out->full = 1;
}

void berth_keypair_generate(berth_keypair *out)
{
    uint8_t seed[BERTH_SEED_SIZE];

    random_bytes(seed, sizeof seed);
    berth_keypair_from_seed(out, seed);
    sodium_memzero(seed, sizeof seed);
}

void berth_keypair_wipe(berth_keypair *key)
{
    sodium_memzero(key->seed, sizeof key->seed);
    key->full = 0;
}

berth_status berth_keypair_seed(const berth_keypair *key, uint8_t seed[BERTH_SEED_SIZE])
{
    memset(seed, 0, BERTH_SEED_SIZE);
    if (!key->full)
        return BERTH_ERR_READ_ONLY;
    memcpy(seed, key->seed, BERTH_SEED_SIZE);
    return BERTH_OK;
}

berth_status berth_sign(const berth_keypair *key, const void *message, size_t len,
                        uint8_t signature[BERTH_SIGNATURE_SIZE])
{
    uint8_t secret[crypto_sign_SECRETKEYBYTES];

    memset(signature, 0, BERTH_SIGNATURE_SIZE);
    if (!key->full)
        return BERTH_ERR_READ_ONLY;
    sodium_ready();
    /* libsodium's secret key is the seed followed by the public key */
    memcpy(secret, key->seed, BERTH_SEED_SIZE);
    memcpy(secret + BERTH_SEED_SIZE, key->entity, BERTH_ENTITY_SIZE);
    crypto_sign_detached(signature, NULL, message ? message : nothing, len, secret);
    sodium_memzero(secret, sizeof secret);
    return BERTH_OK;
}

void berth_sign_must(const berth_keypair *key, const void *message, size_t len,
                     uint8_t signature[BERTH_SIGNATURE_SIZE])
{
    char who[KEYPAIR_DEBUG];

    if (berth_sign(key, message, len, signature) == BERTH_OK)
        return;
    log_error("identity", "defect: asked to sign as %s without its seed", keypair_debug(who, key));
    abort();
}

berth_status berth_verify(const uint8_t entity[BERTH_ENTITY_SIZE], const void *message, size_t len,
                          const uint8_t signature[BERTH_SIGNATURE_SIZE])
{
    sodium_ready();
    if (crypto_sign_verify_detached(signature, message ? message : nothing, len, entity) == 0)
        return BERTH_OK;
    return entity_on_curve(entity) ? BERTH_ERR_SIGNATURE : BERTH_ERR_INVALID;
}

char *keypair_debug(char out[KEYPAIR_DEBUG], const berth_keypair *key)
{
    char display[BERTH_ENTITY_DISPLAY];

    snprintf(out, KEYPAIR_DEBUG, "%s [%s]", berth_entity_display(display, key->entity),
             key->full ? "REDACTED" : "PUBLIC-ONLY");
    return out;
}

void berth_origin_stamp_of(berth_origin_stamp *out, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    memcpy(out->entity, entity, BERTH_ENTITY_SIZE);
    out->origin = berth_entity_origin(entity);
    out->node_id = berth_entity_node_id(entity);
}

void berth_origin_stamp_of_keypair(berth_origin_stamp *out, const berth_keypair *key)
{
    memcpy(out->entity, key->entity, BERTH_ENTITY_SIZE);
    out->origin = key->origin;
    out->node_id = key->node_id;
}
