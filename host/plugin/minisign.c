/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/minisign.h"
#include "base/error.h"
#include "base/random.h"
#include "plugin/minisign_lines.h"

#include <stdio.h>
#include <string.h>

/* What the base64 lines hold, as the program lays it out. */
typedef struct public_record {
    uint8_t algorithm[2]; /* "Ed" */
    uint8_t id[8];
    uint8_t key[32];
} public_record;

typedef struct signature_record {
    uint8_t algorithm[2]; /* "ED": of the hash; "Ed": of the file, the older form */
    uint8_t id[8];
    uint8_t signature[64];
} signature_record;

_Static_assert(sizeof(public_record) == 42, "no padding");
_Static_assert(sizeof(signature_record) == 74, "no padding");

char *minisign_id_text(char out[MINISIGN_ID_TEXT], const uint8_t id[MINISIGN_ID_BYTES])
{
    for (int i = 0; i < MINISIGN_ID_BYTES; i++) /* a little-endian number */
        snprintf(out + 2 * i, 3, "%02X", id[MINISIGN_ID_BYTES - 1 - i]);
    return out;
}

berth_status minisign_public_parse(slice text, minisign_public *out, berth_error *error)
{
    slice rest = text, line = {0}, comment;
    public_record r;

    if (text.len > MINISIGN_FILE_MAX)
        return fail(error, BERTH_ERR_INVALID, "is too long for a minisign public key");
    if (line_next(&rest, &line) && line_after(line, UNTRUSTED_PREFIX, &comment) &&
        !line_next(&rest, &line))
        line = slice_of(NULL, 0);
    if (!line_base64(line, &r, sizeof r) || memcmp(r.algorithm, "Ed", 2) != 0)
        return fail(error, BERTH_ERR_INVALID,
                    "is not a minisign public key: it has 56 characters and starts with RW, as "
                    "minisign -G prints it");
    memcpy(out->id, r.id, sizeof out->id);
    memcpy(out->key, r.key, sizeof out->key);
    return BERTH_OK;
}

static berth_status malformed(berth_error *error, const char *what)
{
    return fail(
        error, BERTH_ERR_SIGNATURE,
        "is not a minisign signature (%s): sign again with berth plugin sign or minisign -S", what);
}

berth_status minisign_signature_parse(slice text, minisign_signature *out, berth_error *error)
{
    slice rest = text, line, comment;
    signature_record r;

    if (text.len > MINISIGN_FILE_MAX)
        return malformed(error, "it is too long");
    if (!line_next(&rest, &line) || !line_after(line, UNTRUSTED_PREFIX, &comment) ||
        comment.len > MINISIGN_COMMENT_MAX)
        return malformed(error, "line 1 is no untrusted comment");
    if (!line_next(&rest, &line) || !line_base64(line, &r, sizeof r))
        return malformed(error, "line 2 is no signature");
    if (memcmp(r.algorithm, "Ed", 2) == 0)
        return fail(error, BERTH_ERR_SIGNATURE,
                    "is of the legacy form, which signs the file and not its hash: sign again with "
                    "berth plugin sign, or with minisign 0.10 or newer without -l");
    if (memcmp(r.algorithm, "ED", 2) != 0)
        return malformed(error, "an unknown algorithm");
    if (!line_next(&rest, &line) || !line_after(line, TRUSTED_PREFIX, &comment))
        return malformed(error, "line 3 is no trusted comment");
    if (comment.len > MINISIGN_TRUSTED_MAX || (comment.len && memchr(comment.ptr, 0, comment.len)))
        return malformed(error, "its trusted comment is too long or holds a zero byte");
    if (!line_next(&rest, &line) || !line_base64(line, out->global, sizeof out->global))
        return malformed(error, "line 4 is no signature");
    while (line_next(&rest, &line)) {
        if (line.len)
            return malformed(error, "there is more after line 4");
    }
    memcpy(out->id, r.id, sizeof out->id);
    memcpy(out->signature, r.signature, sizeof out->signature);
    if (comment.len)
        memcpy(out->trusted_comment, comment.ptr, comment.len);
    out->trusted_comment[comment.len] = 0;
    return BERTH_OK;
}

/* What the global signature covers. */
static size_t covered(uint8_t out[64 + MINISIGN_TRUSTED_MAX], const uint8_t signature[64],
                      slice comment)
{
    memcpy(out, signature, 64);
    memcpy(out + 64, comment.ptr, comment.len);
    return 64 + comment.len;
}

berth_status minisign_verify(const minisign_signature *s, const minisign_public *key,
                             const uint8_t hash[MINISIGN_HASH_BYTES], berth_error *error)
{
    char wanted[MINISIGN_ID_TEXT], found[MINISIGN_ID_TEXT];
    uint8_t whole[64 + MINISIGN_TRUSTED_MAX];
    size_t len;

    sodium_ready();
    if (memcmp(s->id, key->id, sizeof key->id) != 0)
        return fail(error, BERTH_ERR_SIGNATURE, "is signed by key %s, not by key %s",
                    minisign_id_text(found, s->id), minisign_id_text(wanted, key->id));
    if (crypto_sign_verify_detached(s->signature, hash, MINISIGN_HASH_BYTES, key->key) != 0)
        return fail(
            error, BERTH_ERR_SIGNATURE,
            "does not verify: the file was changed after key %s signed it, or the signature "
            "belongs to another file; get both again from their author",
            minisign_id_text(found, s->id));
    len = covered(whole, s->signature, slice_str(s->trusted_comment));
    if (crypto_sign_verify_detached(s->global, whole, len, key->key) != 0)
        return fail(error, BERTH_ERR_SIGNATURE,
                    "does not verify: its trusted comment was changed after key %s signed it; get "
                    "the signature again from its author",
                    minisign_id_text(found, s->id));
    return BERTH_OK;
}

void minisign_hash_init(minisign_hash *h)
{
    sodium_ready();
    crypto_generichash_init(&h->state, NULL, 0, MINISIGN_HASH_BYTES);
}

void minisign_hash_update(minisign_hash *h, const void *ptr, size_t len)
{
    crypto_generichash_update(&h->state, ptr, len);
}

void minisign_hash_final(minisign_hash *h, uint8_t out[MINISIGN_HASH_BYTES])
{
    crypto_generichash_final(&h->state, out, MINISIGN_HASH_BYTES);
}

berth_status minisign_sign(const minisign_secret *key, const uint8_t hash[MINISIGN_HASH_BYTES],
                           const char *trusted_comment, buf **out, berth_error *error)
{
    char text[512 + MINISIGN_TRUSTED_MAX], line[112], global_line[96];
    uint8_t whole[64 + MINISIGN_TRUSTED_MAX], global[64];
    signature_record r = {.algorithm = "ED"};
    size_t len = strlen(trusted_comment);
    int n;

    *out = NULL;
    sodium_ready();
    if (len > MINISIGN_TRUSTED_MAX || strpbrk(trusted_comment, "\r\n"))
        return fail(error, BERTH_ERR_INVALID, "a trusted comment is one line of at most %d bytes",
                    MINISIGN_TRUSTED_MAX);
    memcpy(r.id, key->id, sizeof r.id);
    crypto_sign_detached(r.signature, NULL, hash, MINISIGN_HASH_BYTES, key->key);
    len = covered(whole, r.signature, slice_str(trusted_comment));
    crypto_sign_detached(global, NULL, whole, len, key->key);
    sodium_bin2base64(line, sizeof line, (const uint8_t *)&r, sizeof r,
                      sodium_base64_VARIANT_ORIGINAL);
    sodium_bin2base64(global_line, sizeof global_line, global, sizeof global,
                      sodium_base64_VARIANT_ORIGINAL);
    n = snprintf(text, sizeof text,
                 UNTRUSTED_PREFIX "signature from minisign secret key\n%s\n" TRUSTED_PREFIX
                                  "%s\n%s\n",
                 line, trusted_comment, global_line);
    *out = buf_copy(text, (size_t)n);
    return *out ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

char *minisign_public_line(char out[MINISIGN_PUBLIC_LINE], const minisign_public *key)
{
    public_record r = {.algorithm = "Ed"};

    memcpy(r.id, key->id, sizeof r.id);
    memcpy(r.key, key->key, sizeof r.key);
    return sodium_bin2base64(out, MINISIGN_PUBLIC_LINE, (const uint8_t *)&r, sizeof r,
                             sodium_base64_VARIANT_ORIGINAL);
}

berth_status minisign_public_format(const minisign_public *key, buf **out, berth_error *error)
{
    char text[256], id[MINISIGN_ID_TEXT], line[MINISIGN_PUBLIC_LINE];
    int n = snprintf(text, sizeof text, UNTRUSTED_PREFIX "minisign public key %s\n%s\n",
                     minisign_id_text(id, key->id), minisign_public_line(line, key));

    *out = buf_copy(text, (size_t)n);
    return *out ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}
