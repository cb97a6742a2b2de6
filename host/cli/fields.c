/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/fields.h"

#include "base/clock.h"
#include "base/cursor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct json_object *member(struct json_object *object, const char *key, enum json_type type)
{
    struct json_object *value = NULL;

    if (!json_object_is_type(object, json_type_object) ||
        !json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, type))
        return NULL;
    return value;
}

const char *field_text(struct json_object *object, const char *key)
{
    struct json_object *value = member(object, key, json_type_string);

    return value ? json_object_get_string(value) : "";
}

uint64_t field_u64(struct json_object *object, const char *key)
{
    struct json_object *value = member(object, key, json_type_int);

    return value ? json_object_get_uint64(value) : 0;
}

bool field_bool(struct json_object *object, const char *key)
{
    struct json_object *value = member(object, key, json_type_boolean);

    return value && json_object_get_boolean(value);
}

struct json_object *field_object(struct json_object *object, const char *key)
{
    return member(object, key, json_type_object);
}

struct json_object *field_array(struct json_object *object, const char *key)
{
    return member(object, key, json_type_array);
}

size_t field_count(struct json_object *array)
{
    return array ? json_object_array_length(array) : 0;
}

char *field_ago(char out[FORMAT_MAX], struct json_object *object, const char *key)
{
    int64_t then;

    out[0] = 0;
    if (format_parse_time(field_text(object, key), &then))
        format_ago(out, then, clock_wall_ns());
    return out;
}

char *field_when(char out[FORMAT_MAX], struct json_object *object, const char *key)
{
    const char *text = field_text(object, key), *fraction = strchr(text, '.');
    char ago[FORMAT_MAX];

    snprintf(out, FORMAT_MAX, "%.*s%s (%s)", fraction ? (int)(fraction - text) : (int)strlen(text),
             text, fraction ? fraction + 1 + strspn(fraction + 1, "0123456789") : "",
             field_ago(ago, object, key));
    return out;
}

char *field_joined(struct json_object *array)
{
    writer w = {0};

    for (size_t i = 0; i < field_count(array); i++) {
        const char *text = json_object_get_string(json_object_array_get_idx(array, i));

        if (i)
            writer_u8(&w, ' ');
        writer_bytes(&w, text ? text : "", text ? strlen(text) : 0);
    }
    writer_u8(&w, 0);
    if (w.failed)
        abort();
    return (char *)w.data;
}
