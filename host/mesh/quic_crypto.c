/* SPDX-License-Identifier: Apache-2.0 */
/* Packet protection for ngtcp2: ChaCha20-Poly1305, and ChaCha20 for the headers (RFC 9001 §5.4.4).
 * A context is the bare key. */
#include "mesh/quic.h"

#include <sodium.h>
#include <stdlib.h>

/* What a handle points at; the endpoint's bare key for Retry begins like it. */
typedef struct aead_key {
    uint8_t key[32], iv[12];
    session *watcher; /* is told of what opens; NULL: nobody */
} aead_key;

static void *key_new(const uint8_t key[32])
{
    aead_key *copy = calloc(1, sizeof *copy);

    if (copy)
        memcpy(copy->key, key, sizeof copy->key);
    return copy;
}

static void key_free(void *key)
{
    if (key)
        sodium_memzero(key, sizeof(aead_key));
    free(key);
}

bool crypto_aead(ngtcp2_crypto_aead_ctx *out, const uint8_t key[32])
{
    out->native_handle = key_new(key);
    return out->native_handle != NULL;
}

void crypto_watch(const ngtcp2_crypto_aead_ctx *ctx, session *s, const uint8_t iv[12])
{
    aead_key *k = ctx->native_handle;

    k->watcher = s;
    memcpy(k->iv, iv, sizeof k->iv);
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

/* The packet's number is in its nonce. Is it the newest? */
static void opened(const aead_key *k, const uint8_t nonce[12])
{
    session *s = k->watcher;
    uint64_t number = 0;

    for (unsigned i = 4; i < 12; i++)
        number = number << 8 | (nonce[i] ^ k->iv[i]);
    if (number + 1 > s->newest) {
        s->newest = number + 1;
        s->fresh = true;
    }
}

static int decrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead, const ngtcp2_crypto_aead_ctx *ctx,
                   const uint8_t *sealed, size_t sealed_len, const uint8_t *nonce, size_t nonce_len,
                   const uint8_t *ad, size_t ad_len)
{
    const aead_key *k = ctx->native_handle;

    (void)aead;
    if (nonce_len != crypto_aead_chacha20poly1305_ietf_NPUBBYTES)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    if (crypto_aead_chacha20poly1305_ietf_decrypt(dest, NULL, NULL, sealed, sealed_len, ad, ad_len,
                                                  nonce, k->key) != 0)
        return NGTCP2_ERR_DECRYPT;
    if (k->watcher)
        opened(k, nonce);
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
