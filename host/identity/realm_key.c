/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/realm_key.h"
#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "identity/entity.h"
#include "identity/named_lines.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

void realm_key_wipe(realm_key *key)
{
    berth_keypair_wipe(&key->pair);
}

berth_status realm_key_format(char out[REALM_KEY_TEXT], size_t *len, const realm_key *key,
                              berth_error *error)
{
    char display[BERTH_ENTITY_DISPLAY], realm[BERTH_ENTITY_TEXT], seed[2 * BERTH_SEED_SIZE + 1];

    *len = 0;
    out[0] = 0;
    if (!key->pair.full)
        return fail(error, BERTH_ERR_READ_ONLY,
                    "the realm's key pair is public-only: there is no seed to keep");
    hex_encode(seed, slice_of(key->pair.seed, sizeof key->pair.seed));
    *len = (size_t)snprintf(out, REALM_KEY_TEXT,
                            "# key of realm %s: whoever has this file lets nodes into the realm\n"
                            "%s: 1\n"
                            "%s%s%s"
                            "realm: %s\n"
                            "seed: %s\n",
                            berth_entity_display(display, key->pair.entity), REALM_KEY_WHAT,
                            key->name[0] ? "name: " : "", key->name, key->name[0] ? "\n" : "",
                            berth_entity_text(realm, key->pair.entity), seed);
    sodium_memzero(seed, sizeof seed);
    return BERTH_OK;
}

/* What the lines said so far. */
struct fields {
    bool has_name, has_realm, has_seed;
    char name[CERTIFICATE_NAME_MAX + 1];
    uint8_t realm[BERTH_ENTITY_SIZE], seed[BERTH_SEED_SIZE];
};

static berth_status take_name(const named_lines *l, slice value, struct fields *f,
                              berth_error *error)
{
    berth_status status = named_lines_once(l, &f->has_name, "name", error);

    if (status)
        return status;
    if (certificate_name_check(value, NULL) != BERTH_OK)
        return named_lines_wrong(l, "'name' must be 1 to 63 letters, digits, '.', '_' or '-'",
                                 error);
    memcpy(f->name, value.ptr, value.len);
    return BERTH_OK;
}

static berth_status take(const named_lines *l, slice name, slice value, struct fields *f,
                         berth_error *error)
{
    berth_status status;

    if (slice_eq(name, slice_str("name")))
        return take_name(l, value, f, error);
    if (slice_eq(name, slice_str("realm"))) {
        status = named_lines_once(l, &f->has_realm, "realm", error);
        return status ? status
                      : named_lines_hex(l, "realm", value, f->realm, sizeof f->realm, error);
    }
    if (slice_eq(name, slice_str("seed"))) {
        status = named_lines_once(l, &f->has_seed, "seed", error);
        return status ? status : named_lines_hex(l, "seed", value, f->seed, sizeof f->seed, error);
    }
    return named_lines_wrong(l, "an unknown name; known are 'name', 'realm' and 'seed'", error);
}

berth_status realm_key_parse(slice text, realm_key *out, berth_error *error)
{
    named_lines l = named_lines_of(text, REALM_KEY_WHAT);
    struct fields f = {0};
    berth_status status;
    slice name, value;
    bool more;

    memset(out, 0, sizeof *out);
    while ((status = named_lines_next(&l, &name, &value, &more, error)) == BERTH_OK && more) {
        status = take(&l, name, value, &f, error);
        if (status)
            break;
    }
    if (!status && !f.has_seed)
        status = fail(error, BERTH_ERR_INVALID, "there is no 'seed'");
    if (!status) {
        berth_keypair_from_seed(&out->pair, f.seed);
        memcpy(out->name, f.name, sizeof out->name);
        if (f.has_realm && !entity_eq(f.realm, out->pair.entity))
            status = fail(error, BERTH_ERR_IDENTITY_MISMATCH,
                          "'realm' is not the public key of 'seed': the file was altered");
    }
    if (status) {
        realm_key_wipe(out);
        memset(out, 0, sizeof *out);
    }
    sodium_memzero(&f, sizeof f);
    return status;
}

berth_status realm_key_write(const char *path, const realm_key *key, berth_error *error)
{
    char text[REALM_KEY_TEXT];
    berth_status status;
    size_t len;

    status = realm_key_format(text, &len, key, error);
    if (status)
        fail_prefix(error, "%s", path);
    else
        status = file_write_new(path, text, len, 0600, error);
    sodium_memzero(text, sizeof text);
    return status;
}

static berth_status read_text(const char *path, unsigned flags, realm_key *out, berth_error *error)
{
    buf *text = NULL;
    berth_status status = file_read(path, REALM_KEY_MAX, flags, &text, error);

    if (status)
        return status;
    status = realm_key_parse(slice_of(text->data, text->len), out, error);
    if (status)
        fail_prefix(error, "%s", path);
    sodium_memzero(text->data, text->len);
    buf_unref(text);
    return status;
}

berth_status realm_key_read(const char *path, realm_key *out, berth_error *error)
{
    berth_status status;

    memset(out, 0, sizeof *out);
    status = read_text(path, FILE_PRIVATE, out, error);
    /* "chmod it" is no advice about a file that is something else. */
    if (status == BERTH_ERR_PERMISSION) {
        realm_key unused = {0};

        if (read_text(path, 0, &unused, NULL) == BERTH_ERR_INVALID)
            status = fail(error, BERTH_ERR_INVALID,
                          "%s: is not the key of a realm, which 'berth realm init' makes", path);
        realm_key_wipe(&unused);
    }
    return status;
}
