/* SPDX-License-Identifier: Apache-2.0 */
#include "node/psk.h"

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static slice trim(slice s)
{
    while (s.len && is_blank(s.ptr[0]))
        s = slice_of(s.ptr + 1, s.len - 1);
    while (s.len && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static berth_status take_key(psk_set *set, slice text, size_t line, berth_error *error)
{
    uint8_t key[32];
    berth_status status = BERTH_OK;

    if (!hex_decode(key, sizeof key, text))
        status =
            fail(error, BERTH_ERR_INVALID, "line %zu: must be 64 hex digits, or a # first", line);
    else if (sodium_is_zero(key, sizeof key))
        status = fail(error, BERTH_ERR_INVALID, "line %zu: a key of zeros keeps nobody out", line);
    else if (set->count == PSK_MAX)
        status = fail(error, BERTH_ERR_LIMIT, "line %zu: at most %d keys: remove the oldest", line,
                      PSK_MAX);
    for (unsigned i = 0; i < set->count && status == BERTH_OK; i++)
        if (sodium_memcmp(set->keys[i], key, sizeof key) == 0)
            status = fail(error, BERTH_ERR_INVALID, "line %zu: this key was there before", line);
    if (status == BERTH_OK)
        memcpy(set->keys[set->count++], key, sizeof key);
    sodium_memzero(key, sizeof key);
    return status;
}

berth_status psk_parse(slice text, psk_set *out, berth_error *error)
{
    berth_status status = BERTH_OK;

    *out = (psk_set){0};
    for (size_t number = 1; text.len && status == BERTH_OK; number++) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len;
        slice line = trim(slice_of(text.ptr, len));

        if (line.len && line.ptr[0] != '#')
            status = take_key(out, line, number, error);
        text = slice_of(text.ptr + len + (end != NULL), text.len - len - (end != NULL));
    }
    if (status == BERTH_OK && !out->count)
        status = fail(error, BERTH_ERR_INVALID,
                      "there is no key in it: `openssl rand -hex 32` makes one");
    if (status != BERTH_OK)
        psk_wipe(out);
    return status;
}

/* systemd gives access to the service's user alone, in ways that the mode does not show. */
static bool is_credential(const char *path)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    size_t len = dir ? strlen(dir) : 0;

    return len > 1 && dir[0] == '/' && strncmp(path, dir, len) == 0 && path[len] == '/' &&
           !strstr(path + len, "/../");
}

berth_status psk_read(const char *path, psk_set *out, berth_error *error)
{
    unsigned flags = is_credential(path) ? FILE_SAFE : FILE_PRIVATE;
    buf *text = NULL;
    berth_status status = file_read(path, PSK_FILE_MAX, flags, &text, error);

    *out = (psk_set){0};
    if (status == BERTH_OK) {
        status = psk_parse(slice_of(text->data, text->len), out, error);
        if (status != BERTH_OK)
            fail_prefix(error, "%s", path);
        sodium_memzero(text->data, text->len);
        buf_unref(text);
    }
    if (status == BERTH_ERR_NOT_FOUND)
        return fail(error, status,
                    "pre-shared keys: %s: is missing: make it with `(umask 077; openssl rand -hex "
                    "32 > %s)`, the same one for all nodes",
                    path, path);
    if (status != BERTH_OK)
        fail_prefix(error, "pre-shared keys");
    return status;
}

void psk_wipe(psk_set *set)
{
    sodium_memzero(set, sizeof *set);
}
