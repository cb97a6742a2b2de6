/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the files of tests/vectors in a test; whatever is missing fails the test. */
#ifndef TESTS_VECTORS_H
#define TESTS_VECTORS_H

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <cmocka.h>

#include <stdlib.h>

/* A whole file; the caller puts it. */
static inline struct json_object *vectors_file(const char *path)
{
    struct json_object *all = NULL;
    berth_error error = {0};
    buf *text = NULL;

    if (file_read(path, 1 << 20, 0, &text, &error) != BERTH_OK ||
        json_parse(slice_of(text->data, text->len), 1 << 20, &all, &error) != BERTH_OK)
        fail_msg("%s", error.text);
    buf_unref(text);
    return all;
}

static inline struct json_object *vectors_load(void)
{
    return vectors_file(VECTORS_DIR "/formats.json");
}

static inline struct json_object *vector_at(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(object, key, &value);
    assert_non_null(value);
    return value;
}

static inline const char *vector_text(struct json_object *object, const char *key)
{
    return json_object_get_string(vector_at(object, key));
}

static inline uint64_t vector_id(struct json_object *object, const char *key)
{
    uint64_t id = 0;

    assert_true(id_decode(&id, slice_str(vector_text(object, key))));
    return id;
}

/* Bytes of any length, malloc'd. */
static inline uint8_t *vector_bytes(struct json_object *object, const char *key, size_t *len)
{
    slice text = slice_str(vector_text(object, key));
    uint8_t *out = malloc(text.len / 2 + 1);

    *len = text.len / 2;
    assert_true(hex_decode(out, *len, text));
    return out;
}

static inline void vector_fixed(struct json_object *object, const char *key, void *out, size_t n)
{
    assert_true(hex_decode(out, n, slice_str(vector_text(object, key))));
}

#endif
