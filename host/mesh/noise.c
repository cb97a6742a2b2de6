/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/noise.h"
#include "base/error.h"
#include "base/random.h"

#include <sodium.h>
#include <string.h>

#define TAG   crypto_aead_chacha20poly1305_ietf_ABYTES
#define BLOCK 128 /* of BLAKE2b, for HMAC */

static const char name[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b";

_Static_assert(sizeof name - 1 <= NOISE_HASH, "a longer name would have to be hashed");
_Static_assert(NOISE_MESSAGE_1_OVERHEAD == NOISE_KEY + NOISE_KEY + TAG + TAG, "e, s, payload");
_Static_assert(NOISE_MESSAGE_2_OVERHEAD == NOISE_KEY + TAG, "e, payload");

/* Every key encrypts once: IKpsk2 mixes something in before each ciphertext. */
static const uint8_t zero_nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

/* ---- Hash, HMAC, HKDF ------------------------------------------------------------------------ */

static void hash_two(uint8_t out[NOISE_HASH], slice a, slice b)
{
    crypto_generichash_state state;

    crypto_generichash_init(&state, NULL, 0, NOISE_HASH);
    crypto_generichash_update(&state, a.ptr, a.len);
    if (b.len)
        crypto_generichash_update(&state, b.ptr, b.len);
    crypto_generichash_final(&state, out, NOISE_HASH);
    sodium_memzero(&state, sizeof state);
}

/* Keys here are as long as a hash, so never longer than a block. */
static void hmac(uint8_t out[NOISE_HASH], const uint8_t key[NOISE_HASH], slice message)
{
    uint8_t pad[BLOCK], inner[NOISE_HASH];

    memset(pad, 0x36, sizeof pad);
    for (size_t i = 0; i < NOISE_HASH; i++)
        pad[i] ^= key[i];
    hash_two(inner, slice_of(pad, sizeof pad), message);
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    hash_two(out, slice_of(pad, sizeof pad), slice_of(inner, sizeof inner));
    sodium_memzero(pad, sizeof pad);
    sodium_memzero(inner, sizeof inner);
}

/* Noise's HKDF with `count` (2 or 3) outputs, in the order of its specification. */
static void hkdf(uint8_t out[][NOISE_HASH], unsigned count, const uint8_t chain[NOISE_HASH],
                 slice material)
{
    uint8_t temp[NOISE_HASH], input[NOISE_HASH + 1];
    size_t len = 0;

    hmac(temp, chain, material);
    for (unsigned i = 0; i < count; i++) {
        input[len] = (uint8_t)(i + 1);
        hmac(out[i], temp, slice_of(input, len + 1));
        memcpy(input, out[i], NOISE_HASH);
        len = NOISE_HASH;
    }
    sodium_memzero(temp, sizeof temp);
    sodium_memzero(input, sizeof input);
}

/* ---- The symmetric state --------------------------------------------------------------------- */

static void mix_hash(noise *n, slice bytes)
{
    hash_two(n->hash, slice_of(n->hash, NOISE_HASH), bytes);
}

static void mix_key(noise *n, const uint8_t material[NOISE_KEY])
{
    uint8_t out[2][NOISE_HASH];

    hkdf(out, 2, n->chain, slice_of(material, NOISE_KEY));
    memcpy(n->chain, out[0], NOISE_HASH);
    memcpy(n->key, out[1], NOISE_KEY);
    sodium_memzero(out, sizeof out);
}

static void mix_psk(noise *n)
{
    uint8_t out[3][NOISE_HASH];

    hkdf(out, 3, n->chain, slice_of(n->psk, NOISE_KEY));
    memcpy(n->chain, out[0], NOISE_HASH);
    mix_hash(n, slice_of(out[1], NOISE_HASH));
    memcpy(n->key, out[2], NOISE_KEY);
    sodium_memzero(out, sizeof out);
}

/* False when the shared secret is all zero: the key is of low order, the result no secret. */
static bool mix_dh(noise *n, const uint8_t secret[NOISE_KEY], const uint8_t public[NOISE_KEY])
{
    uint8_t shared[NOISE_KEY];
    bool good =
        crypto_scalarmult(shared, secret, public) == 0 && !sodium_is_zero(shared, NOISE_KEY);

    if (good)
        mix_key(n, shared);
    sodium_memzero(shared, sizeof shared);
    return good;
}

/* out gets bytes.len + TAG bytes. */
static void encrypt(noise *n, uint8_t *out, slice bytes)
{
    crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, bytes.ptr, bytes.len, n->hash, NOISE_HASH,
                                              NULL, zero_nonce, n->key);
    mix_hash(n, slice_of(out, bytes.len + TAG));
}

/* out has room for bytes.len - TAG; bytes.len is at least TAG. */
static bool decrypt(noise *n, uint8_t *out, slice bytes)
{
    if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, bytes.ptr, bytes.len, n->hash,
                                                  NOISE_HASH, zero_nonce, n->key) != 0)
        return false;
    mix_hash(n, bytes);
    return true;
}

/* An ephemeral key stands in the clear; in handshakes with a psk it is also mixed into the key. */
static void mix_ephemeral(noise *n, const uint8_t public[NOISE_KEY])
{
    mix_hash(n, slice_of(public, NOISE_KEY));
    mix_key(n, public);
}

/* ---- Life ------------------------------------------------------------------------------------ */

void noise_init(noise *n, bool initiator, slice prologue, const uint8_t static_secret[NOISE_KEY],
                const uint8_t *remote_static, const uint8_t ephemeral_secret[NOISE_KEY])
{
    sodium_ready();
    memset(n, 0, sizeof *n);
    n->initiator = initiator;
    memcpy(n->static_secret, static_secret, NOISE_KEY);
    memcpy(n->ephemeral_secret, ephemeral_secret, NOISE_KEY);
    crypto_scalarmult_base(n->static_public, static_secret);
    if (initiator && remote_static) {
        memcpy(n->remote_static, remote_static, NOISE_KEY);
        n->knows_remote = true;
    }
    memcpy(n->hash, name, sizeof name - 1);
    memcpy(n->chain, n->hash, NOISE_HASH);
    mix_hash(n, prologue);
    mix_hash(n, slice_of(initiator ? n->remote_static : n->static_public, NOISE_KEY));
    n->step = initiator && !remote_static ? NOISE_OVER : NOISE_MESSAGE_1;
}

/* The public keys stay: who asked with whom this was still gets an answer. */
static void end(noise *n)
{
    sodium_memzero(n->hash, sizeof n->hash);
    sodium_memzero(n->chain, sizeof n->chain);
    sodium_memzero(n->key, sizeof n->key);
    sodium_memzero(n->static_secret, sizeof n->static_secret);
    sodium_memzero(n->ephemeral_secret, sizeof n->ephemeral_secret);
    sodium_memzero(n->psk, sizeof n->psk);
    n->step = NOISE_OVER;
}

void noise_fini(noise *n)
{
    sodium_memzero(n, sizeof *n);
    n->step = NOISE_OVER;
}

berth_status noise_set_psk(noise *n, const uint8_t psk[NOISE_KEY])
{
    if (n->step > NOISE_MESSAGE_2)
        return BERTH_ERR_INVALID;
    memcpy(n->psk, psk, NOISE_KEY);
    return BERTH_OK;
}

const uint8_t *noise_remote_static(const noise *n)
{
    return n->knows_remote ? n->remote_static : NULL;
}

const uint8_t *noise_own_static(const noise *n)
{
    return n->static_public;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static bool write_1(noise *n, slice payload, uint8_t *at)
{
    crypto_scalarmult_base(at, n->ephemeral_secret);
    mix_ephemeral(n, at);
    at += NOISE_KEY;
    if (!mix_dh(n, n->ephemeral_secret, n->remote_static))
        return false;
    encrypt(n, at, slice_of(n->static_public, NOISE_KEY));
    at += NOISE_KEY + TAG;
    if (!mix_dh(n, n->static_secret, n->remote_static))
        return false;
    encrypt(n, at, payload);
    return true;
}

static bool write_2(noise *n, slice payload, uint8_t *at)
{
    crypto_scalarmult_base(at, n->ephemeral_secret);
    mix_ephemeral(n, at);
    at += NOISE_KEY;
    if (!mix_dh(n, n->ephemeral_secret, n->remote_ephemeral) ||
        !mix_dh(n, n->ephemeral_secret, n->remote_static))
        return false;
    mix_psk(n);
    encrypt(n, at, payload);
    return true;
}

static size_t overhead(const noise *n)
{
    return n->step == NOISE_MESSAGE_1 ? NOISE_MESSAGE_1_OVERHEAD : NOISE_MESSAGE_2_OVERHEAD;
}

berth_status noise_write(noise *n, slice payload, writer *out)
{
    size_t len;

    if (n->step != (n->initiator ? NOISE_MESSAGE_1 : NOISE_MESSAGE_2))
        return BERTH_ERR_INVALID;
    if (payload.len > NOISE_MESSAGE_MAX - overhead(n))
        return BERTH_ERR_LIMIT;
    len = overhead(n) + payload.len;
    writer_reserve(out, len);
    if (out->failed)
        return BERTH_ERR_NO_MEMORY;
    if (!(n->initiator ? write_1 : write_2)(n, payload, out->data + out->len)) {
        sodium_memzero(out->data + out->len, len);
        end(n);
        return BERTH_ERR_INVALID;
    }
    out->len += len;
    n->step++;
    return BERTH_OK;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static const char low_order[] = "a key of low order, which gives no secret";

/* What was wrong, or NULL; *status says which kind of wrong. message is at least overhead() long.
 */
static const char *read_1(noise *n, slice message, buf *payload, berth_status *status)
{
    const uint8_t *at = message.ptr;

    *status = BERTH_ERR_INVALID;
    memcpy(n->remote_ephemeral, at, NOISE_KEY);
    mix_ephemeral(n, at);
    at += NOISE_KEY;
    if (!mix_dh(n, n->static_secret, n->remote_ephemeral))
        return low_order;
    *status = BERTH_ERR_SIGNATURE;
    if (!decrypt(n, n->remote_static, slice_of(at, NOISE_KEY + TAG)))
        return "not written for this node's static key and mesh, or altered";
    at += NOISE_KEY + TAG;
    *status = BERTH_ERR_INVALID;
    if (!mix_dh(n, n->static_secret, n->remote_static))
        return low_order;
    *status = BERTH_ERR_SIGNATURE;
    if (!decrypt(n, payload->data, slice_of(at, payload->len + TAG)))
        return "its sender does not hold the static key it names, or it was altered";
    n->knows_remote = true;
    return NULL;
}

static const char *read_2(noise *n, slice message, buf *payload, berth_status *status)
{
    const uint8_t *at = message.ptr;

    *status = BERTH_ERR_INVALID;
    memcpy(n->remote_ephemeral, at, NOISE_KEY);
    mix_ephemeral(n, at);
    at += NOISE_KEY;
    if (!mix_dh(n, n->ephemeral_secret, n->remote_ephemeral) ||
        !mix_dh(n, n->static_secret, n->remote_ephemeral))
        return low_order;
    mix_psk(n);
    *status = BERTH_ERR_SIGNATURE;
    if (!decrypt(n, payload->data, slice_of(at, payload->len + TAG)))
        return "its sender lacks the static key that was dialled or the pre-shared key, or it was "
               "altered";
    return NULL;
}

berth_status noise_read(noise *n, slice message, buf **payload, berth_error *error)
{
    int number = n->initiator ? 2 : 1;
    berth_status status;
    const char *wrong;
    buf *got;

    *payload = NULL;
    if (n->step != (n->initiator ? NOISE_MESSAGE_2 : NOISE_MESSAGE_1))
        return fail(error, BERTH_ERR_INVALID,
                    "handshake: message %d is not what comes next here; begin anew", number);
    if (message.len < overhead(n) || message.len > NOISE_MESSAGE_MAX) {
        status =
            fail(error, BERTH_ERR_CORRUPT, "handshake: message %d has %zu bytes, not %zu to %d",
                 number, message.len, overhead(n), NOISE_MESSAGE_MAX);
        end(n);
        return status;
    }
    got = buf_new(message.len - overhead(n));
    if (!got)
        return fail(error, BERTH_ERR_NO_MEMORY, "handshake: no memory for message %d", number);
    wrong = (n->initiator ? read_2 : read_1)(n, message, got, &status);
    if (wrong) {
        end(n);
        sodium_memzero(got->data, got->len);
        buf_unref(got);
        return fail(error, status, "handshake: message %d: %s", number, wrong);
    }
    *payload = got;
    n->step++;
    return BERTH_OK;
}

berth_status noise_split(noise *n, uint8_t initiator_to_responder[NOISE_KEY],
                         uint8_t responder_to_initiator[NOISE_KEY], uint8_t hash[NOISE_HASH])
{
    uint8_t out[2][NOISE_HASH];

    if (n->step != NOISE_SPLIT) {
        memset(initiator_to_responder, 0, NOISE_KEY);
        memset(responder_to_initiator, 0, NOISE_KEY);
        memset(hash, 0, NOISE_HASH);
        return BERTH_ERR_INVALID;
    }
    hkdf(out, 2, n->chain, slice_of(NULL, 0));
    memcpy(initiator_to_responder, out[0], NOISE_KEY);
    memcpy(responder_to_initiator, out[1], NOISE_KEY);
    memcpy(hash, n->hash, NOISE_HASH);
    sodium_memzero(out, sizeof out);
    end(n);
    return BERTH_OK;
}
