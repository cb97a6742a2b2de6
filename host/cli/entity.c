/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/entity.h"

#include "cli/input.h"

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "identity/keyfile.h"
#include "identity/named_lines.h"

#include <sodium.h>
#include <string.h>

#define SHOWN_MAX 4096

static berth_status from_json(slice text, uint8_t entity[BERTH_ENTITY_SIZE], berth_error *error)
{
    struct json_object *object;
    berth_status status = json_parse(text, SHOWN_MAX, &object, error);

    if (status)
        return status;
    status = json_get_hex(object, "", "entity", JSON_REQUIRED, entity, BERTH_ENTITY_SIZE, error);
    json_object_put(object);
    return status;
}

/* The next word of the line that *rest begins with; false at its end. */
static bool next_word(slice *rest, slice *word)
{
    size_t from = 0, to;

    while (from < rest->len && strchr(" \t\r", rest->ptr[from]) && rest->ptr[from])
        from++;
    to = from;
    while (to < rest->len && rest->ptr[to] > ' ')
        to++;
    *word = slice_of(rest->ptr + from, to - from);
    *rest = slice_of(rest->ptr + to, rest->len - to);
    return word->len > 0;
}

/* "entity <64 hex digits>", or the digits alone, on exactly one of the lines. */
static berth_status from_page(slice text, uint8_t entity[BERTH_ENTITY_SIZE], berth_error *error)
{
    unsigned found = 0;
    slice word;

    while (text.len) {
        uint8_t bytes[BERTH_ENTITY_SIZE];
        bool some = next_word(&text, &word);

        if (some && slice_eq(word, slice_str("entity")))
            some = next_word(&text, &word);
        if (some && hex_decode(bytes, sizeof bytes, word)) {
            memcpy(entity, bytes, sizeof bytes);
            found++;
        }
        while (text.len && text.ptr[0] != '\n')
            text = slice_of(text.ptr + 1, text.len - 1);
        if (text.len)
            text = slice_of(text.ptr + 1, text.len - 1);
    }
    if (found == 1)
        return BERTH_OK;
    return fail(error, BERTH_ERR_INVALID,
                found ? "names several entities: give one of them as 64 hex digits"
                      : "names no entity: it must be an identity, or what 'berth identity show' "
                        "prints of one");
}

static berth_status from_file(const char *path, uint8_t entity[BERTH_ENTITY_SIZE],
                              berth_error *error)
{
    berth_status status;
    berth_keypair key;
    buf *text = NULL;
    slice all;

    status = input_read(path, SHOWN_MAX, &text, error);
    if (status == BERTH_ERR_NOT_FOUND)
        return fail(error, status,
                    "%s: is neither an entity id, which is 64 hex digits, nor a file", path);
    if (status)
        return status;
    all = slice_of(text->data, text->len);
    if (slice_eq(named_lines_what(all), slice_str("berth-identity"))) {
        /* Whoever shows it to others should hear of that here, too. */
        status = strcmp(path, "-") == 0 ? keyfile_parse(all, &key, error)
                                        : keyfile_read(path, &key, error);
        memcpy(entity, key.entity, BERTH_ENTITY_SIZE);
        berth_keypair_wipe(&key);
        if (status && strcmp(path, "-") != 0)
            path = NULL; /* is named already */
    } else if (all.len && all.ptr[0] == '{') {
        status = from_json(all, entity, error);
    } else {
        status = from_page(all, entity, error);
    }
    sodium_memzero(text->data, text->len);
    buf_unref(text);
    return status && path ? fail_prefix(error, "%s", path) : status;
}

berth_status entity_argument(const char *text, uint8_t entity[BERTH_ENTITY_SIZE],
                             berth_error *error)
{
    berth_status status = BERTH_OK;

    if (berth_entity_parse(entity, text, strlen(text)) != BERTH_OK)
        status = from_file(text, entity, error);
    if (!status && !crypto_core_ed25519_is_valid_point(entity))
        status = fail(error, BERTH_ERR_INVALID,
                      "%s: is no entity id: these bytes are not the public key of anybody", text);
    return status;
}
