/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/error.h"
#include "base/text.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

berth_status json_parse(slice text, size_t max_bytes, struct json_object **out, berth_error *error)
{
    struct json_tokener *tokener;
    berth_status status;

    *out = NULL;
    status = json_scan(text, max_bytes < INT_MAX ? max_bytes : INT_MAX - 1, error);
    if (status)
        return status;
    /* json-c counts a level for the innermost value as well */
    tokener = json_tokener_new_ex(JSON_MAX_DEPTH + 2);
    if (!tokener)
        return fail(error, BERTH_ERR_NO_MEMORY, "JSON: out of memory");
    *out = json_tokener_parse_ex(tokener, (const char *)text.ptr, (int)text.len);
    if (json_tokener_get_error(tokener) == json_tokener_continue) {
        /* a bare number ends only with the text; a zero byte says so */
        *out = json_tokener_parse_ex(tokener, "", 1);
    }
    if (json_tokener_get_error(tokener) != json_tokener_success) {
        json_object_put(*out);
        *out = NULL;
        status = fail(error, BERTH_ERR_INVALID, "JSON: %s",
                      json_tokener_error_desc(json_tokener_get_error(tokener)));
    }
    json_tokener_free(tokener);
    return status;
}

static const char *type_name(struct json_object *value)
{
    switch (json_object_get_type(value)) {
    case json_type_boolean:
        return "a boolean";
    case json_type_double:
        return "a number with a fraction";
    case json_type_int:
        return "a number";
    case json_type_object:
        return "an object";
    case json_type_array:
        return "an array";
    case json_type_string:
        return "a string";
    default:
        return "null";
    }
}

static berth_status wrong(berth_error *error, const char *path, const char *key, const char *wanted,
                          const char *got)
{
    bool dot = path && *path && key && *key;

    return fail(error, BERTH_ERR_INVALID, "%s%s%s: must be %s%s%s", path ? path : "",
                dot ? "." : "", key ? key : "", wanted, *got ? ", not " : "", got);
}

/* *value is NULL when the member is not there and need not be. */
static berth_status member(struct json_object *object, const char *path, const char *key,
                           enum json_need need, struct json_object **value, berth_error *error)
{
    bool dot = path && *path;

    *value = NULL;
    if (!json_object_is_type(object, json_type_object))
        return wrong(error, dot ? path : "the document", "", "an object", type_name(object));
    json_object_object_get_ex(object, key, value);
    if (!*value && need == JSON_REQUIRED)
        return fail(error, BERTH_ERR_INVALID, "%s%s%s: is missing", dot ? path : "", dot ? "." : "",
                    key);
    return BERTH_OK;
}

static berth_status typed(struct json_object *object, const char *path, const char *key,
                          enum json_need need, enum json_type type, const char *wanted,
                          struct json_object **value, berth_error *error)
{
    berth_status status = member(object, path, key, need, value, error);

    if (!status && *value && !json_object_is_type(*value, type))
        status = wrong(error, path, key, wanted, type_name(*value));
    return status;
}

berth_status json_get_object(struct json_object *object, const char *path, const char *key,
                             enum json_need need, struct json_object **out, berth_error *error)
{
    struct json_object *value;
    berth_status status =
        typed(object, path, key, need, json_type_object, "an object", &value, error);

    if (!status && value)
        *out = value;
    return status;
}

berth_status json_get_array(struct json_object *object, const char *path, const char *key,
                            enum json_need need, struct json_object **out, berth_error *error)
{
    struct json_object *value;
    berth_status status =
        typed(object, path, key, need, json_type_array, "an array", &value, error);

    if (!status && value)
        *out = value;
    return status;
}

berth_status json_get_strings(struct json_object *object, const char *path, const char *key,
                              enum json_need need, struct json_object **out, berth_error *error)
{
    struct json_object *value;
    berth_status status =
        typed(object, path, key, need, json_type_array, "an array of strings", &value, error);
    char at[160];

    if (status || !value)
        return status;
    for (size_t i = 0; i < json_object_array_length(value); i++) {
        struct json_object *element = json_object_array_get_idx(value, i);

        if (json_object_is_type(element, json_type_string))
            continue;
        snprintf(at, sizeof at, "%.127s[%zu]", key, i);
        return wrong(error, path, at, "a string", type_name(element));
    }
    *out = value;
    return BERTH_OK;
}

static slice string_of(struct json_object *value)
{
    return slice_of(json_object_get_string(value), (size_t)json_object_get_string_len(value));
}

slice json_string_at(struct json_object *array, size_t i)
{
    return string_of(json_object_array_get_idx(array, i));
}

berth_status json_get_string(struct json_object *object, const char *path, const char *key,
                             enum json_need need, slice *out, berth_error *error)
{
    struct json_object *value;
    berth_status status =
        typed(object, path, key, need, json_type_string, "a string", &value, error);

    if (!status && value)
        *out = string_of(value);
    return status;
}

berth_status json_get_bool(struct json_object *object, const char *path, const char *key,
                           enum json_need need, bool *out, berth_error *error)
{
    struct json_object *value;
    berth_status status =
        typed(object, path, key, need, json_type_boolean, "true or false", &value, error);

    if (!status && value)
        *out = json_object_get_boolean(value);
    return status;
}

berth_status json_get_u64(struct json_object *object, const char *path, const char *key,
                          enum json_need need, uint64_t *out, berth_error *error)
{
    struct json_object *value;
    berth_status status =
        typed(object, path, key, need, json_type_int, "a whole number", &value, error);

    if (status || !value)
        return status;
    /* a negative one reads as 0 unsigned */
    if (json_object_get_int64(value) < 0)
        return wrong(error, path, key, "a whole number from 0 up", "a negative one");
    *out = json_object_get_uint64(value);
    return BERTH_OK;
}

berth_status json_get_i64(struct json_object *object, const char *path, const char *key,
                          enum json_need need, int64_t *out, berth_error *error)
{
    struct json_object *value;
    berth_status status =
        typed(object, path, key, need, json_type_int, "a whole number", &value, error);

    if (status || !value)
        return status;
    if (json_object_get_int64(value) >= 0 && json_object_get_uint64(value) > INT64_MAX)
        return wrong(error, path, key, "a whole number below 2^63", "a larger one");
    *out = json_object_get_int64(value);
    return BERTH_OK;
}

berth_status json_get_id(struct json_object *object, const char *path, const char *key,
                         enum json_need need, uint64_t *out, berth_error *error)
{
    slice text = {0};
    berth_status status = json_get_string(object, path, key, need, &text, error);

    if (status || !text.ptr)
        return status;
    return id_decode(out, text) ? BERTH_OK : wrong(error, path, key, "an id of 16 hex digits", "");
}

berth_status json_get_hex(struct json_object *object, const char *path, const char *key,
                          enum json_need need, void *out, size_t n, berth_error *error)
{
    slice text = {0};
    berth_status status = json_get_string(object, path, key, need, &text, error);
    char wanted[48];

    if (status || !text.ptr)
        return status;
    snprintf(wanted, sizeof wanted, "%zu hex digits", 2 * n);
    return hex_decode(out, n, text) ? BERTH_OK : wrong(error, path, key, wanted, "");
}

berth_status json_get_bytes(struct json_object *object, const char *path, enum json_need need,
                            buf **out, berth_error *error)
{
    slice text = {0}, base64 = {0};
    uint8_t *raw = NULL;
    berth_status status;
    size_t len;
    buf *b;

    status = json_get_string(object, path, "text", JSON_OPTIONAL, &text, error);
    if (!status)
        status = json_get_string(object, path, "base64", JSON_OPTIONAL, &base64, error);
    if (status)
        return status;
    if (text.ptr && base64.ptr)
        return wrong(error, path && *path ? path : "the document", "",
                     "given as \"text\" or as \"base64\"", "both");
    if (!text.ptr && !base64.ptr)
        return need == JSON_OPTIONAL ? BERTH_OK
                                     : wrong(error, path && *path ? path : "the document", "",
                                             "given as \"text\" or as \"base64\"", "");
    if (text.ptr) {
        b = buf_copy(text.ptr, text.len);
    } else {
        if (!base64_decode(base64, &raw, &len))
            return wrong(error, path, "base64", "base64 with padding and no white space", "");
        b = buf_copy(raw, len);
        free(raw);
    }
    if (!b)
        return fail(error, BERTH_ERR_NO_MEMORY, "JSON: out of memory");
    *out = b;
    return BERTH_OK;
}

const char *json_unknown_key(struct json_object *object, const char *const *known)
{
    struct json_object_iterator at = json_object_iter_begin(object);
    struct json_object_iterator end = json_object_iter_end(object);

    for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
        const char *key = json_object_iter_peek_name(&at);
        const char *const *k = known;

        while (*k && strcmp(*k, key) != 0)
            k++;
        if (!*k)
            return key;
    }
    return NULL;
}

bool json_put(struct json_object *object, const char *key, struct json_object *value)
{
    if (!value)
        return false;
    if (json_object_object_add(object, key, value) == 0)
        return true;
    json_object_put(value);
    return false;
}

bool json_put_string(struct json_object *object, const char *key, slice text)
{
    if (text.len > INT_MAX)
        return false;
    return json_put(
        object, key,
        json_object_new_string_len(text.ptr ? (const char *)text.ptr : "", (int)text.len));
}

bool json_put_bytes(struct json_object *object, slice bytes)
{
    char *text;
    bool ok;

    if (utf8_valid(bytes))
        return json_put_string(object, "text", bytes);
    text = base64_encode(bytes);
    ok = text && json_put_string(object, "base64", slice_str(text));
    free(text);
    return ok;
}

struct json_object *json_bytes_new(slice bytes)
{
    struct json_object *object = json_object_new_object();

    if (object && !json_put_bytes(object, bytes)) {
        json_object_put(object);
        object = NULL;
    }
    return object;
}

bool json_put_bool(struct json_object *object, const char *key, bool value)
{
    return json_put(object, key, json_object_new_boolean(value));
}

bool json_put_u64(struct json_object *object, const char *key, uint64_t value)
{
    return json_put(object, key, json_object_new_uint64(value));
}

bool json_put_i64(struct json_object *object, const char *key, int64_t value)
{
    return json_put(object, key, json_object_new_int64(value));
}

bool json_put_id(struct json_object *object, const char *key, uint64_t id)
{
    char text[ID_TEXT];

    return json_put_string(object, key, slice_str(id_encode(text, id)));
}

bool json_put_hex(struct json_object *object, const char *key, slice bytes)
{
    char *text;
    bool ok;

    if (bytes.len > INT_MAX / 2 - 1)
        return false;
    text = malloc(2 * bytes.len + 1);
    ok = text && json_put_string(object, key, slice_str(hex_encode(text, bytes)));
    free(text);
    return ok;
}
