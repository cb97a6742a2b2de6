/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/keyfile.h"
#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "identity/entity.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define KEYFILE_VERSION "1"

berth_status keyfile_format(char out[KEYFILE_TEXT], size_t *len, const berth_keypair *key,
                            berth_error *error)
{
    char display[BERTH_ENTITY_DISPLAY], entity[BERTH_ENTITY_TEXT], seed[2 * BERTH_SEED_SIZE + 1];
    int n;

    *len = 0;
    out[0] = 0;
    if (!key->full)
        return fail(error, BERTH_ERR_READ_ONLY,
                    "the key pair is public-only: there is no seed to keep");
    hex_encode(seed, slice_of(key->seed, sizeof key->seed));
    n = snprintf(out, KEYFILE_TEXT,
                 "# berth identity %s: whoever has this file is this daemon\n"
                 "berth-identity: " KEYFILE_VERSION "\n"
                 "entity: %s\n"
                 "seed: %s\n",
                 berth_entity_display(display, key->entity), berth_entity_text(entity, key->entity),
                 seed);
    sodium_memzero(seed, sizeof seed);
    *len = (size_t)n;
    return BERTH_OK;
}

/* What the lines said so far. */
struct fields {
    bool version, has_entity, has_seed;
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint8_t seed[BERTH_SEED_SIZE];
};

static slice trim(slice s)
{
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s.ptr++;
        s.len--;
    }
    while (s.len && strchr(" \t\r", s.ptr[s.len - 1]) && s.ptr[s.len - 1])
        s.len--;
    return s;
}

static berth_status take_hex(bool *seen, uint8_t out[32], slice value, const char *name,
                             berth_error *error)
{
    if (*seen)
        return fail(error, BERTH_ERR_INVALID, "'%s' is there twice", name);
    if (!hex_decode(out, 32, value))
        return fail(error, BERTH_ERR_INVALID, "'%s' must be 64 hex digits", name);
    *seen = true;
    return BERTH_OK;
}

/* Never puts a value into an error: it could be the seed under a mistyped name. */
static berth_status take_line(struct fields *f, slice line, berth_error *error)
{
    const uint8_t *colon;
    slice name, value;

    line = trim(line);
    if (!line.len || line.ptr[0] == '#')
        return BERTH_OK;
    colon = memchr(line.ptr, ':', line.len);
    if (!colon)
        return fail(error, BERTH_ERR_INVALID, "expected 'name: value'");
    name = trim(slice_of(line.ptr, (size_t)(colon - line.ptr)));
    value = trim(slice_of(colon + 1, line.len - (size_t)(colon + 1 - line.ptr)));

    if (slice_eq(name, slice_str("berth-identity"))) {
        if (!slice_eq(value, slice_str(KEYFILE_VERSION)))
            return fail(error, BERTH_ERR_VERSION,
                        "the version of the file is not known, only " KEYFILE_VERSION " is");
        f->version = true;
        return BERTH_OK;
    }
    if (!f->version)
        return fail(error, BERTH_ERR_INVALID,
                    "not an identity file: 'berth-identity: " KEYFILE_VERSION "' must come first");
    if (slice_eq(name, slice_str("entity")))
        return take_hex(&f->has_entity, f->entity, value, "entity", error);
    if (slice_eq(name, slice_str("seed")))
        return take_hex(&f->has_seed, f->seed, value, "seed", error);
    return fail(error, BERTH_ERR_INVALID, "an unknown name; known are 'entity' and 'seed'");
}

berth_status keyfile_parse(slice text, berth_keypair *out, berth_error *error)
{
    struct fields f = {0};
    berth_status status = BERTH_OK;
    size_t number = 0;

    memset(out, 0, sizeof *out);
    while (text.len && !status) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        slice line = slice_of(text.ptr, end ? (size_t)(end - text.ptr) : text.len);
        size_t used = line.len + (end ? 1 : 0);

        number++;
        status = take_line(&f, line, error);
        if (status)
            fail_prefix(error, "line %zu", number);
        text.ptr += used;
        text.len -= used;
    }
    if (!status && !f.version)
        status = fail(error, BERTH_ERR_INVALID,
                      "not an identity file: there is no 'berth-identity: " KEYFILE_VERSION "'");
    else if (!status && !f.has_seed)
        status = fail(error, BERTH_ERR_INVALID, "there is no 'seed'");
    if (!status) {
        berth_keypair_from_seed(out, f.seed);
        if (f.has_entity && !entity_eq(f.entity, out->entity)) {
            berth_keypair_wipe(out);
            memset(out, 0, sizeof *out);
            status = fail(error, BERTH_ERR_IDENTITY_MISMATCH,
                          "'entity' is not the public key of 'seed': the file was altered");
        }
    }
    sodium_memzero(&f, sizeof f);
    return status;
}

berth_status keyfile_write(const char *path, const berth_keypair *key, berth_error *error)
{
    char text[KEYFILE_TEXT];
    berth_status status;
    size_t len;

    status = keyfile_format(text, &len, key, error);
    if (status)
        fail_prefix(error, "%s", path);
    else
        status = file_write_new(path, text, len, 0600, error);
    sodium_memzero(text, sizeof text);
    return status;
}

static bool is_keyfile(const char *path)
{
    berth_keypair unused;
    buf *text = NULL;
    bool is;

    if (file_read(path, KEYFILE_MAX, 0, &text, NULL) != BERTH_OK) /* who can tell? */
        return true;
    is = keyfile_parse(slice_of(text->data, text->len), &unused, NULL) == BERTH_OK;
    berth_keypair_wipe(&unused);
    sodium_memzero(text->data, text->len);
    buf_unref(text);
    return is;
}

berth_status keyfile_read(const char *path, berth_keypair *out, berth_error *error)
{
    berth_status status;
    buf *text = NULL;

    memset(out, 0, sizeof *out);
    status = file_read(path, KEYFILE_MAX, FILE_PRIVATE, &text, error);
    /* "chmod it" is no advice about a file that is something else. */
    if (status == BERTH_ERR_PERMISSION && !is_keyfile(path))
        return fail(error, BERTH_ERR_INVALID, "%s: is not an identity file", path);
    if (status)
        return status;
    status = keyfile_parse(slice_of(text->data, text->len), out, error);
    if (status)
        fail_prefix(error, "%s", path);
    sodium_memzero(text->data, text->len);
    buf_unref(text);
    return status;
}
