/* SPDX-License-Identifier: Apache-2.0 */
/* Packet protection for ngtcp2: ChaCha20-Poly1305, and ChaCha20 for the headers (RFC 9001 §5.4.4).
 * A context is the bare key. */
#include "mesh/quic.h"

#include <sodium.h>
#include <stdlib.h>

static void *key_new(const uint8_t key[32])
{
    uint8_t *copy = malloc(32);

    if (copy)
        memcpy(copy, key, 32);
    return copy;
}

static void key_free(void *key)
{
    if (key)
        sodium_memzero(key, 32);
    free(key);
}

bool crypto_aead(ngtcp2_crypto_aead_ctx *out, const uint8_t key[32])
{
    out->native_handle = key_new(key);
    return out->native_handle != NULL;
}

bool crypto_hp(ngtcp2_crypto_cipher_ctx *out, const uint8_t key[32])
{
    out->native_handle = key_new(key);
    return out->native_handle != NULL;
}

void crypto_aead_free(ngtcp2_crypto_aead_ctx *ctx)
{
    key_free(ctx->native_handle);
    ctx->native_handle = NULL;
}

void crypto_hp_free(ngtcp2_crypto_cipher_ctx *ctx)
{
    key_free(ctx->native_handle);
    ctx->native_handle = NULL;
}

int crypto_encrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead, const ngtcp2_crypto_aead_ctx *ctx,
                   const uint8_t *plain, size_t plain_len, const uint8_t *nonce, size_t nonce_len,
                   const uint8_t *ad, size_t ad_len)
{
    (void)aead;
    if (nonce_len != crypto_aead_chacha20poly1305_ietf_NPUBBYTES)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    crypto_aead_chacha20poly1305_ietf_encrypt(dest, NULL, plain, plain_len, ad, ad_len, NULL, nonce,
                                              ctx->native_handle);
    return 0;
}

static int decrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead, const ngtcp2_crypto_aead_ctx *ctx,
                   const uint8_t *sealed, size_t sealed_len, const uint8_t *nonce, size_t nonce_len,
                   const uint8_t *ad, size_t ad_len)
{
    (void)aead;
    if (nonce_len != crypto_aead_chacha20poly1305_ietf_NPUBBYTES)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    if (crypto_aead_chacha20poly1305_ietf_decrypt(dest, NULL, NULL, sealed, sealed_len, ad, ad_len,
                                                  nonce, ctx->native_handle) != 0)
        return NGTCP2_ERR_DECRYPT;
    return 0;
}

static int hp_mask(uint8_t *dest, const ngtcp2_crypto_cipher *hp,
                   const ngtcp2_crypto_cipher_ctx *ctx, const uint8_t *sample)
{
    static const uint8_t zeros[NGTCP2_HP_MASKLEN];
    uint32_t counter;

    (void)hp;
    memcpy(&counter, sample, sizeof counter);
    crypto_stream_chacha20_ietf_xor_ic(dest, zeros, sizeof zeros, sample + sizeof counter,
                                       le32toh(counter), ctx->native_handle);
    return 0;
}

static void delete_aead(ngtcp2_conn *conn, ngtcp2_crypto_aead_ctx *ctx, void *user)
{
    (void)conn;
    (void)user;
    crypto_aead_free(ctx);
}

static void delete_hp(ngtcp2_conn *conn, ngtcp2_crypto_cipher_ctx *ctx, void *user)
{
    (void)conn;
    (void)user;
    crypto_hp_free(ctx);
}

void crypto_callbacks(ngtcp2_callbacks *out)
{
    out->encrypt = crypto_encrypt;
    out->decrypt = decrypt;
    out->hp_mask = hp_mask;
    out->delete_crypto_aead_ctx = delete_aead;
    out->delete_crypto_cipher_ctx = delete_hp;
}

/* The library never looks behind the handles, it only wants them to be something. */
void crypto_context(ngtcp2_crypto_ctx *out)
{
    static char handle;

    *out = (ngtcp2_crypto_ctx){.aead = {&handle, crypto_aead_chacha20poly1305_ietf_ABYTES},
                               .md = {&handle},
                               .hp = {&handle},
                               /* ours are rekey_bytes and rekey_ns; RFC 9001 §6.6 */
                               .max_encryption = UINT64_C(1) << 60,
                               .max_decryption_failure = UINT64_C(1) << 36};
}
