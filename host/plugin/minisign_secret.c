/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/random.h"
#include "plugin/minisign.h"
#include "plugin/minisign_lines.h"

#include <string.h>

/* The part that the password covers. */
typedef struct sealed_record {
    uint8_t id[8];
    uint8_t key[64];
    uint8_t check[32];
} sealed_record;

typedef struct secret_record {
    uint8_t algorithm[2];       /* "Ed" */
    uint8_t derivation[2];      /* "Sc": scrypt; two zeros: no password */
    uint8_t check_algorithm[2]; /* "B2" */
    uint8_t salt[32];
    uint8_t operations[8], memory[8]; /* little-endian */
    sealed_record sealed;
} secret_record;

_Static_assert(sizeof(sealed_record) == 104, "no padding");
_Static_assert(sizeof(secret_record) == 158, "no padding");

#define SECRET_LINE 216 /* with the zero */

static uint64_t little(const uint8_t p[8])
{
    uint64_t v = 0;

    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static void put_little(uint8_t p[8], uint64_t v)
{
    for (int i = 0; i < 8; i++, v >>= 8)
        p[i] = (uint8_t)v;
}

static berth_status read_record(slice text, secret_record *r, berth_error *error)
{
    slice rest = text, line, comment;
    static const uint8_t none[2] = {0, 0};

    if (text.len > MINISIGN_FILE_MAX || !line_next(&rest, &line) ||
        !line_after(line, UNTRUSTED_PREFIX, &comment) || !line_next(&rest, &line) ||
        !line_base64(line, r, sizeof *r) || memcmp(r->algorithm, "Ed", 2) != 0 ||
        memcmp(r->check_algorithm, "B2", 2) != 0 ||
        (memcmp(r->derivation, "Sc", 2) != 0 && memcmp(r->derivation, none, 2) != 0))
        return fail(error, BERTH_ERR_INVALID,
                    "is not a minisign secret key: give the file that berth plugin keygen or "
                    "minisign -G wrote");
    return BERTH_OK;
}

berth_status minisign_secret_sealed(slice text, bool *sealed, berth_error *error)
{
    secret_record r = {0};
    berth_status status = read_record(text, &r, error);

    *sealed = !status && r.derivation[0] != 0;
    minisign_wipe(&r, sizeof r);
    return status;
}

/* Cover or uncover: the same operation. */
static berth_status apply_password(secret_record *r, slice password, berth_error *error)
{
    uint8_t stream[sizeof(sealed_record)];
    uint8_t *sealed = (uint8_t *)&r->sealed;
    int failed = crypto_pwhash_scryptsalsa208sha256(
        stream, sizeof stream, (const char *)password.ptr, password.len, r->salt,
        little(r->operations), (size_t)little(r->memory));

    for (size_t i = 0; i < sizeof stream && !failed; i++)
        sealed[i] ^= stream[i];
    minisign_wipe(stream, sizeof stream);
    return failed ? fail(error, BERTH_ERR_NO_MEMORY,
                         "the password needs %llu MiB of memory to be checked: free some",
                         (unsigned long long)(little(r->memory) >> 20))
                  : BERTH_OK;
}

static void checksum(const secret_record *r, uint8_t out[32])
{
    crypto_generichash_state state;

    crypto_generichash_init(&state, NULL, 0, 32);
    crypto_generichash_update(&state, r->algorithm, sizeof r->algorithm);
    crypto_generichash_update(&state, r->sealed.id, sizeof r->sealed.id);
    crypto_generichash_update(&state, r->sealed.key, sizeof r->sealed.key);
    crypto_generichash_final(&state, out, 32);
    minisign_wipe(&state, sizeof state);
}

/* The halves of the key belong together: else a signature would give the seed away. */
static bool halves_agree(const uint8_t key[64])
{
    uint8_t public[32], whole[64];
    bool agree;

    crypto_sign_seed_keypair(public, whole, key);
    agree = sodium_memcmp(public, key + 32, 32) == 0;
    minisign_wipe(whole, sizeof whole);
    return agree;
}

berth_status minisign_secret_parse(slice text, slice password, minisign_secret *out,
                                   berth_error *error)
{
    berth_status status;
    secret_record r = {0};
    uint8_t check[32];
    bool sealed;

    sodium_ready();
    status = read_record(text, &r, error);
    if (status)
        goto out;
    sealed = r.derivation[0] != 0;
    if (sealed) {
        if (little(r.operations) > crypto_pwhash_scryptsalsa208sha256_OPSLIMIT_SENSITIVE ||
            little(r.memory) > crypto_pwhash_scryptsalsa208sha256_MEMLIMIT_SENSITIVE) {
            status =
                fail(error, BERTH_ERR_INVALID,
                     "asks for more time or memory to derive its key than minisign does: it is "
                     "damaged; restore it from a copy");
            goto out;
        }
        if (!password.ptr) {
            status = fail(error, BERTH_ERR_REFUSED, "is sealed with a password: give it");
            goto out;
        }
        status = apply_password(&r, password, error);
        if (status)
            goto out;
    }
    checksum(&r, check);
    /* minisign -W leaves the checksum zero. */
    if (sodium_memcmp(check, r.sealed.check, sizeof check) != 0 &&
        (sealed || !sodium_is_zero(r.sealed.check, sizeof check)))
        status = sealed ? fail(error, BERTH_ERR_REFUSED, "the password is wrong")
                        : fail(error, BERTH_ERR_INVALID,
                               "is damaged: its checksum is wrong; restore it from a copy");
    else if (!halves_agree(r.sealed.key))
        status = fail(error, BERTH_ERR_INVALID,
                      "is damaged: its halves do not belong together; restore it from a copy");
    if (!status) {
        memcpy(out->id, r.sealed.id, sizeof out->id);
        memcpy(out->key, r.sealed.key, sizeof out->key);
    }

out:
    minisign_wipe(&r, sizeof r);
    return status;
}

/* As the program does it: halve the cost until the machine can bear it. */
static berth_status seal(secret_record *r, slice password, berth_error *error)
{
    uint64_t operations = crypto_pwhash_scryptsalsa208sha256_OPSLIMIT_SENSITIVE;
    uint64_t memory = crypto_pwhash_scryptsalsa208sha256_MEMLIMIT_SENSITIVE;
    berth_error why = {0};
    berth_status status;

    memcpy(r->derivation, "Sc", 2);
    random_bytes(r->salt, sizeof r->salt);
    checksum(r, r->sealed.check);
    do {
        put_little(r->operations, operations);
        put_little(r->memory, memory);
        status = apply_password(r, password, &why);
        operations /= 2;
        memory /= 2;
    } while (status && operations >= crypto_pwhash_scryptsalsa208sha256_OPSLIMIT_MIN &&
             memory >= crypto_pwhash_scryptsalsa208sha256_MEMLIMIT_MIN);
    if (status && error)
        *error = why;
    return status;
}

berth_status minisign_secret_format(const minisign_secret *key, slice password, buf **out,
                                    berth_error *error)
{
    static const char comment[] = UNTRUSTED_PREFIX "minisign encrypted secret key\n";
    secret_record r = {.algorithm = "Ed", .check_algorithm = "B2"};
    char line[SECRET_LINE + 1];
    berth_status status = BERTH_OK;
    size_t len;

    *out = NULL;
    sodium_ready();
    memcpy(r.sealed.id, key->id, sizeof r.sealed.id);
    memcpy(r.sealed.key, key->key, sizeof r.sealed.key);
    if (password.ptr)
        status = seal(&r, password, error);
    if (status)
        goto out;
    sodium_bin2base64(line, sizeof line, (const uint8_t *)&r, sizeof r,
                      sodium_base64_VARIANT_ORIGINAL);
    len = strlen(line);
    line[len++] = '\n';
    *out = buf_new(sizeof comment - 1 + len);
    if (!*out) {
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
        goto out;
    }
    memcpy((*out)->data, comment, sizeof comment - 1);
    memcpy((*out)->data + sizeof comment - 1, line, len);

out:
    minisign_wipe(&r, sizeof r);
    minisign_wipe(line, sizeof line);
    return status;
}

void minisign_keygen(minisign_secret *secret, minisign_public *public)
{
    sodium_ready();
    random_bytes(secret->id, sizeof secret->id);
    crypto_sign_keypair(public->key, secret->key);
    memcpy(public->id, secret->id, sizeof public->id);
}

void minisign_public_of(const minisign_secret *secret, minisign_public *public)
{
    memcpy(public->id, secret->id, sizeof public->id);
    memcpy(public->key, secret->key + 32, sizeof public->key);
}

void minisign_wipe(void *secret, size_t len)
{
    sodium_memzero(secret, len);
}
