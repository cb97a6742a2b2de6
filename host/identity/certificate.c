/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/certificate.h"
#include "base/cursor.h"
#include "base/error.h"
#include "base/random.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

static const char domain[] = "berth-certificate-v1"; /* its zero byte is signed, too */

#define MESSAGE_MAX (sizeof domain + CERTIFICATE_MAX - BERTH_SIGNATURE_SIZE)

static bool letter_or_digit(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

berth_status certificate_name_check(slice name, berth_error *error)
{
    bool good = name.len >= 1 && name.len <= CERTIFICATE_NAME_MAX && letter_or_digit(name.ptr[0]);

    for (size_t i = 0; good && i < name.len; i++)
        good = letter_or_digit(name.ptr[i]) || name.ptr[i] == '.' || name.ptr[i] == '_' ||
               name.ptr[i] == '-';
    if (good)
        return BERTH_OK;
    return fail(error, BERTH_ERR_INVALID,
                "a node's name has 1 to %d letters, digits, '.', '_' or '-' and begins with a "
                "letter or digit",
                CERTIFICATE_NAME_MAX);
}

static berth_status check_times(const realm_certificate *c, berth_error *error)
{
    if (c->not_before < 0 || c->not_after > CERTIFICATE_TIME_MAX || c->not_before >= c->not_after)
        return fail(error, BERTH_ERR_INVALID,
                    "a certificate must end after it begins, between the years 1970 and 9999");
    return BERTH_OK;
}

/* What is signed: the domain, then the encoding without its signature. */
static size_t message(uint8_t out[MESSAGE_MAX], const realm_certificate *c)
{
    size_t name_len = strlen(c->name);
    uint8_t *at = out;

    memcpy(at, domain, sizeof domain);
    at += sizeof domain;
    *at++ = CERTIFICATE_VERSION;
    memcpy(at, c->realm, sizeof c->realm);
    at += sizeof c->realm;
    store_u64(at, c->serial);
    memcpy(at + 8, c->entity, sizeof c->entity);
    at += 8 + sizeof c->entity;
    store_u64(at, (uint64_t)c->not_before);
    store_u64(at + 8, (uint64_t)c->not_after);
    at += 16;
    *at++ = (uint8_t)name_len;
    memcpy(at, c->name, name_len);
    return (size_t)(at - out) + name_len;
}

berth_status certificate_sign(realm_certificate *c, const berth_keypair *realm, berth_error *error)
{
    uint8_t bytes[MESSAGE_MAX];
    berth_status status =
        certificate_name_check(slice_of(c->name, strnlen(c->name, sizeof c->name)), error);

    if (!status)
        status = check_times(c, error);
    if (status)
        return status;
    memcpy(c->realm, realm->entity, sizeof c->realm);
    if (berth_sign(realm, bytes, message(bytes, c), c->signature) != BERTH_OK)
        return fail(error, BERTH_ERR_READ_ONLY,
                    "the realm's key pair is public-only: it cannot sign");
    return BERTH_OK;
}

size_t certificate_encode(uint8_t out[CERTIFICATE_MAX], const realm_certificate *c)
{
    uint8_t bytes[MESSAGE_MAX];
    size_t len = message(bytes, c) - sizeof domain;

    memcpy(out, bytes + sizeof domain, len);
    memcpy(out + len, c->signature, sizeof c->signature);
    return len + sizeof c->signature;
}

berth_status certificate_decode(realm_certificate *out, slice bytes, berth_error *error)
{
    reader r = reader_of(bytes.ptr, bytes.len);
    uint8_t version;
    slice name;

    memset(out, 0, sizeof *out);
    if (bytes.len < CERTIFICATE_MIN || bytes.len > CERTIFICATE_MAX)
        return fail(error, BERTH_ERR_CORRUPT, "certificate: %zu bytes, not %d to %d", bytes.len,
                    CERTIFICATE_MIN, CERTIFICATE_MAX);
    version = reader_u8(&r);
    if (version != CERTIFICATE_VERSION)
        return fail(error, BERTH_ERR_VERSION, "certificate: version %u is not known, only %d is",
                    version, CERTIFICATE_VERSION);
    reader_copy(&r, out->realm, sizeof out->realm);
    out->serial = reader_u64(&r);
    reader_copy(&r, out->entity, sizeof out->entity);
    out->not_before = (int64_t)reader_u64(&r);
    out->not_after = (int64_t)reader_u64(&r);
    name = reader_bytes(&r, reader_u8(&r));
    reader_copy(&r, out->signature, sizeof out->signature);
    if (!reader_done(&r) || certificate_name_check(name, NULL) || check_times(out, NULL)) {
        memset(out, 0, sizeof *out);
        return fail(error, BERTH_ERR_CORRUPT, "certificate: %s",
                    reader_done(&r) ? "a name or times that none can have"
                                    : "its parts do not fill it exactly");
    }
    memcpy(out->name, name.ptr, name.len);
    return BERTH_OK;
}

berth_status certificate_verify(const realm_certificate *c, berth_error *error)
{
    uint8_t bytes[MESSAGE_MAX];
    char realm[BERTH_ENTITY_DISPLAY];

    if (berth_verify(c->realm, bytes, message(bytes, c), c->signature) == BERTH_OK)
        return BERTH_OK;
    return fail(error, BERTH_ERR_SIGNATURE,
                "certificate %" PRIu64 " of '%s': not signed by realm %s", c->serial, c->name,
                berth_entity_display(realm, c->realm));
}

berth_status certificate_in_time(const realm_certificate *c, int64_t now_s, int64_t tolerance_s,
                                 berth_error *error)
{
    /* The times are small, so nothing overflows for any tolerance of less than an age. */
    if (now_s < c->not_before - tolerance_s)
        return fail(error, BERTH_ERR_REFUSED,
                    "certificate %" PRIu64 " of '%s' begins %" PRId64
                    " s from now: compare the clocks of both machines",
                    c->serial, c->name, c->not_before - now_s);
    if (now_s > c->not_after + tolerance_s)
        return fail(error, BERTH_ERR_REFUSED,
                    "certificate %" PRIu64 " of '%s' ended %" PRId64
                    " s ago: sign a new one with 'berth realm sign'",
                    c->serial, c->name, now_s - c->not_after);
    return BERTH_OK;
}

void certificate_digest(uint8_t out[CERTIFICATE_DIGEST], slice bytes)
{
    crypto_generichash_state state;

    sodium_ready();
    crypto_generichash_init(&state, NULL, 0, CERTIFICATE_DIGEST);
    if (bytes.len)
        crypto_generichash_update(&state, bytes.ptr, bytes.len);
    crypto_generichash_final(&state, out, CERTIFICATE_DIGEST);
}
