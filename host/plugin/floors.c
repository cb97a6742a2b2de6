/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/floors.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "plugin/list.h"

#include <stdlib.h>
#include <string.h>

#define FLOORS_MAX_BYTES (4u << 20)

typedef struct floor_entry {
    char *name, *version;
    char key[MINISIGN_ID_TEXT];
} floor_entry;

struct floors {
    char *path; /* or NULL */
    floor_entry *entries;
    size_t count;
};

static floor_entry *find(const floors *f, const char *name, const char *key)
{
    for (size_t i = 0; i < f->count; i++) {
        if (strcmp(f->entries[i].name, name) == 0 && strcmp(f->entries[i].key, key) == 0)
            return &f->entries[i];
    }
    return NULL;
}

static berth_status add(floors *f, const char *name, const char *key, const char *version,
                        berth_error *error)
{
    floor_entry *entries = realloc(f->entries, (f->count + 1) * sizeof *entries), *e;

    if (!entries)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    f->entries = entries;
    e = &entries[f->count];
    *e = (floor_entry){.name = text_dup(slice_str(name)), .version = text_dup(slice_str(version))};
    if (!e->name || !e->version) {
        free(e->name);
        free(e->version);
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    memcpy(e->key, key, MINISIGN_ID_TEXT);
    f->count++;
    return BERTH_OK;
}

static berth_status read_entry(floors *f, struct json_object *o, size_t i, berth_error *error)
{
    slice name = {0}, key = {0}, version = {0};
    berth_status status;

    if (!json_object_is_type(o, json_type_object))
        return fail(error, BERTH_ERR_CORRUPT, "floors[%zu]: must be an object", i);
    status = json_get_string(o, "floors", "name", JSON_REQUIRED, &name, error);
    if (!status)
        status = json_get_string(o, "floors", "key", JSON_REQUIRED, &key, error);
    if (!status)
        status = json_get_string(o, "floors", "version", JSON_REQUIRED, &version, error);
    if (status)
        return status;
    if (key.len != MINISIGN_ID_TEXT - 1 || !version_valid((const char *)version.ptr) ||
        find(f, (const char *)name.ptr, (const char *)key.ptr))
        return fail(error, BERTH_ERR_CORRUPT, "floors[%zu]: no floor", i);
    return add(f, (const char *)name.ptr, (const char *)key.ptr, (const char *)version.ptr, error);
}

static berth_status parse(floors *f, buf *file, berth_error *error)
{
    struct json_object *o = NULL, *list = NULL;
    berth_status status = json_parse(slice_of(file->data, file->len), FLOORS_MAX_BYTES, &o, error);

    if (!status && !json_object_is_type(o, json_type_object))
        status = fail(error, BERTH_ERR_CORRUPT, "must be an object");
    if (!status)
        status = json_get_array(o, "", "floors", JSON_REQUIRED, &list, error);
    for (size_t i = 0; !status && i < json_object_array_length(list); i++)
        status = read_entry(f, json_object_array_get_idx(list, i), i, error);
    json_object_put(o);
    return status;
}

berth_status floors_open(const char *path, floors **out, berth_error *error)
{
    floors *f = calloc(1, sizeof *f);
    buf *file = NULL;
    berth_error why = {0};
    berth_status status = BERTH_ERR_NOT_FOUND;

    *out = NULL;
    if (f && path)
        f->path = text_dup(slice_str(path));
    if (!f || (path && !f->path)) {
        floors_close(f);
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    if (path)
        status = file_read(path, FLOORS_MAX_BYTES, FILE_SAFE | FILE_NOFOLLOW, &file, &why);
    if (status == BERTH_ERR_NOT_FOUND) {
        status = BERTH_OK;
    } else if (status) {
        if (error)
            *error = why;
    } else if (parse(f, file, &why)) {
        status = fail(error, BERTH_ERR_CORRUPT,
                      "%s: is damaged (%.200s): restore it from a copy, or remove it to accept any "
                      "version that a trusted key signed",
                      path, why.text);
    }
    buf_unref(file);
    if (status)
        floors_close(f);
    else
        *out = f;
    return status;
}

void floors_close(floors *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->count; i++) {
        free(f->entries[i].name);
        free(f->entries[i].version);
    }
    free(f->entries);
    free(f->path);
    free(f);
}

berth_status floors_check(const floors *f, const char *name, const uint8_t key_id[8],
                          const char *version, berth_error *error)
{
    char key[MINISIGN_ID_TEXT];
    floor_entry *e = find(f, name, minisign_id_text(key, key_id));

    if (!e || version_compare(version, e->version) >= 0)
        return BERTH_OK;
    return fail(
        error, BERTH_ERR_REFUSED,
        "is version %s of '%s', and version %s was loaded here before: load a newer one, or "
        "say --allow-downgrade",
        version, name, e->version);
}

static berth_status write_all(const floors *f, berth_error *error)
{
    struct json_object *o = json_object_new_object(), *list = json_object_new_array();
    berth_status status = BERTH_OK;
    bool ok = o && list;
    size_t len;
    const char *text;

    for (size_t i = 0; i < f->count && ok; i++) {
        struct json_object *e = json_object_new_object();

        ok = e && json_put_string(e, "name", slice_str(f->entries[i].name)) &&
             json_put_string(e, "key", slice_str(f->entries[i].key)) &&
             json_put_string(e, "version", slice_str(f->entries[i].version));
        if (ok)
            ok = json_object_array_add(list, e) == 0;
        if (!ok)
            json_object_put(e);
    }
    if (ok) {
        ok = json_put(o, "floors", list);
        list = NULL;
    }
    text = ok ? json_object_to_json_string_length(o, JSON_C_TO_STRING_PRETTY, &len) : NULL;
    status = text ? file_write(f->path, text, len, 0600, error)
                  : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    json_object_put(list);
    json_object_put(o);
    return status;
}

berth_status floors_raise(floors *f, const char *name, const uint8_t key_id[8], const char *version,
                          berth_error *error)
{
    char key[MINISIGN_ID_TEXT], *before = NULL;
    floor_entry *e = find(f, name, minisign_id_text(key, key_id));
    berth_status status;

    if (e && version_compare(version, e->version) <= 0)
        return BERTH_OK;
    if (e) {
        before = e->version;
        e->version = text_dup(slice_str(version));
        if (!e->version) {
            e->version = before;
            return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
        }
    } else {
        status = add(f, name, key, version, error);
        if (status)
            return status;
        e = &f->entries[f->count - 1];
    }
    status = f->path ? write_all(f, error) : BERTH_OK;
    if (!status) {
        free(before);
        return BERTH_OK;
    }
    free(e->version);
    e->version = before;
    if (!before) {
        free(e->name);
        f->count--;
    }
    return status;
}
