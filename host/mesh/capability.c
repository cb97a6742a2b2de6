/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/capability.h"
#include "base/error.h"
#include "base/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare(slice a, slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.ptr, b.ptr, n) : 0;

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static bool begins(slice text, const char *prefix)
{
    size_t n = strlen(prefix);

    return text.len >= n && memcmp(text.ptr, prefix, n) == 0;
}

/* Whether text is among the tags, and where it is or belongs. */
static bool find_tag(const capabilities *set, slice text, size_t *at)
{
    size_t low = 0, high = set->tag_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(set->tags[middle], text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *at = low;
    return low < set->tag_count && slice_eq(set->tags[low], text);
}

static bool find_pair(const capabilities *set, slice key, size_t *at)
{
    size_t low = 0, high = set->pair_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(set->metadata[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *at = low;
    return low < set->pair_count && slice_eq(set->metadata[low].key, key);
}

/* A copy that free() takes, also of nothing; ptr is NULL when memory is short. */
static slice keep(slice text)
{
    uint8_t *copy = malloc(text.len ? text.len : 1);

    if (copy && text.len)
        memcpy(copy, text.ptr, text.len);
    return slice_of(copy, copy ? text.len : 0);
}

static void drop(slice text)
{
    free((void *)text.ptr);
}

static bool grow(void **items, size_t *cap, size_t count, size_t size)
{
    size_t more = *cap ? 2 * *cap : 8;
    void *bigger;

    if (count < *cap)
        return true;
    bigger = realloc(*items, more * size);
    if (!bigger)
        return false;
    *items = bigger;
    *cap = more;
    return true;
}

static berth_status no_memory(berth_error *error)
{
    return fail(error, BERTH_ERR_NO_MEMORY, "capabilities: out of memory");
}

void capabilities_fini(capabilities *set)
{
    for (size_t i = 0; i < set->tag_count; i++)
        drop(set->tags[i]);
    for (size_t i = 0; i < set->pair_count; i++) {
        drop(set->metadata[i].key);
        drop(set->metadata[i].value);
    }
    free(set->tags);
    free(set->metadata);
    *set = (capabilities){0};
}

berth_status capabilities_put(capabilities *set, slice text, berth_error *error)
{
    berth_status status;
    slice copy;
    size_t at;
    tag_parts t;

    status = tag_parse(&t, text, error);
    if (status)
        return status;
    if (find_tag(set, text, &at))
        return BERTH_OK;
    if (set->tag_count == CAPABILITY_TAGS_MAX)
        return fail(error, BERTH_ERR_LIMIT, "capabilities: more than %d tags", CAPABILITY_TAGS_MAX);
    if (!grow((void **)&set->tags, &set->tag_cap, set->tag_count, sizeof *set->tags))
        return no_memory(error);
    copy = keep(text);
    if (!copy.ptr)
        return no_memory(error);
    memmove(set->tags + at + 1, set->tags + at, (set->tag_count - at) * sizeof *set->tags);
    set->tags[at] = copy;
    set->tag_count++;
    return BERTH_OK;
}

berth_status capabilities_put_text(capabilities *set, berth_error *error, const char *format, ...)
{
    char text[TAG_MAX + 2];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || n > TAG_MAX)
        return fail(error, BERTH_ERR_LIMIT, "tag '%.40s...': more than %d bytes", text, TAG_MAX);
    return capabilities_put(set, slice_of(text, (size_t)n), error);
}

berth_status capabilities_add(capabilities *set, slice text, berth_error *error)
{
    berth_status status;
    tag_parts t;

    if (text.len > TAG_MAX)
        return fail(error, BERTH_ERR_LIMIT, "tag '%.40s...': %zu bytes, at most %d are allowed",
                    (const char *)text.ptr, text.len, TAG_MAX);
    status = tag_parse(&t, text, error);
    if (status)
        return status;
    if (t.form == TAG_RESERVED)
        return fail(error, BERTH_ERR_REFUSED, "tag '%.*s': the prefix %.*s is reserved",
                    (int)text.len, (const char *)text.ptr, (int)t.prefix.len,
                    (const char *)t.prefix.ptr);
    return capabilities_put(set, text, error);
}

static void remove_at(capabilities *set, size_t at)
{
    drop(set->tags[at]);
    set->tag_count--;
    memmove(set->tags + at, set->tags + at + 1, (set->tag_count - at) * sizeof *set->tags);
}

bool capabilities_remove(capabilities *set, slice text)
{
    size_t at;

    if (!find_tag(set, text, &at))
        return false;
    remove_at(set, at);
    return true;
}

size_t capabilities_remove_prefix(capabilities *set, const char *prefix)
{
    size_t gone = 0, at;

    find_tag(set, slice_str(prefix), &at);
    while (at < set->tag_count && begins(set->tags[at], prefix)) {
        remove_at(set, at);
        gone++;
    }
    return gone;
}

bool capabilities_has_exact(const capabilities *set, slice text)
{
    size_t at;

    return find_tag(set, text, &at);
}

bool capabilities_has(const capabilities *set, slice text)
{
    for (size_t i = 0; i < set->tag_count; i++)
        if (tag_same(set->tags[i], text))
            return true;
    return false;
}

berth_status capabilities_set(capabilities *set, slice key, slice value, berth_error *error)
{
    slice k, v = keep(value);
    size_t at;

    if (!v.ptr)
        return no_memory(error);
    if (find_pair(set, key, &at)) {
        drop(set->metadata[at].value);
        set->metadata[at].value = v;
        return BERTH_OK;
    }
    if (set->pair_count == CAPABILITY_METADATA_MAX) {
        drop(v);
        return fail(error, BERTH_ERR_LIMIT, "capabilities: more than %d metadata keys",
                    CAPABILITY_METADATA_MAX);
    }
    k = keep(key);
    if (!k.ptr ||
        !grow((void **)&set->metadata, &set->pair_cap, set->pair_count, sizeof *set->metadata)) {
        drop(k);
        drop(v);
        return no_memory(error);
    }
    memmove(set->metadata + at + 1, set->metadata + at,
            (set->pair_count - at) * sizeof *set->metadata);
    set->metadata[at] = (capability_pair){k, v};
    set->pair_count++;
    return BERTH_OK;
}

slice capabilities_get(const capabilities *set, slice key)
{
    size_t at;

    return find_pair(set, key, &at) ? set->metadata[at].value : (slice){0};
}

berth_status capabilities_copy(capabilities *to, const capabilities *from, berth_error *error)
{
    berth_status status = BERTH_OK;

    for (size_t i = 0; i < from->tag_count && !status; i++)
        status = capabilities_put(to, from->tags[i], error);
    for (size_t i = 0; i < from->pair_count && !status; i++)
        status = capabilities_set(to, from->metadata[i].key, from->metadata[i].value, error);
    if (status)
        capabilities_fini(to);
    return status;
}

bool capabilities_equal(const capabilities *a, const capabilities *b)
{
    if (a->tag_count != b->tag_count || a->pair_count != b->pair_count)
        return false;
    for (size_t i = 0; i < a->tag_count; i++)
        if (!slice_eq(a->tags[i], b->tags[i]))
            return false;
    for (size_t i = 0; i < a->pair_count; i++)
        if (!slice_eq(a->metadata[i].key, b->metadata[i].key) ||
            !slice_eq(a->metadata[i].value, b->metadata[i].value))
            return false;
    return true;
}

size_t capabilities_strip_reserved(capabilities *set)
{
    static const char *const keys[] = {"intent", "colocate-with", "colocate-with-strict",
                                       "priority", "owner"};
    size_t gone = 0, at;

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (!find_pair(set, slice_str(keys[i]), &at))
            continue;
        drop(set->metadata[at].key);
        drop(set->metadata[at].value);
        set->pair_count--;
        memmove(set->metadata + at, set->metadata + at + 1,
                (set->pair_count - at) * sizeof *set->metadata);
        gone++;
    }
    return gone;
}

size_t capabilities_strip_heat(capabilities *set)
{
    size_t blobs = 0, kept = 0, before = set->tag_count, first, last;
    uint64_t chain = 0, id;

    /* The claims stand together, in front of all heat: they do not move while heat goes. */
    find_tag(set, slice_str("causal:"), &first);
    for (last = first; last < before && begins(set->tags[last], "causal:");)
        last++;
    for (size_t i = 0; i < before; i++) {
        tag_heat heat = tag_heat_of(set->tags[i], &chain);
        bool keep_it = heat == TAG_HEAT_NONE;

        if (heat == TAG_HEAT_BLOB)
            keep_it = ++blobs <= CAPABILITY_BLOB_HEAT_MAX;
        for (size_t c = first; heat == TAG_HEAT_CHAIN && !keep_it && c < last; c++)
            keep_it = tag_causal(set->tags[c], &id) && id == chain;
        if (keep_it)
            set->tags[kept++] = set->tags[i];
        else
            drop(set->tags[i]);
    }
    set->tag_count = kept;
    return before - kept;
}

/* ---- text ---- */

void capabilities_write_string(writer *w, slice text)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    char code[8];

    writer_u8(w, '"');
    for (size_t i = 0; i < text.len; i++) {
        const char *known = text.ptr[i] ? strchr(from, text.ptr[i]) : NULL;

        if (known) {
            writer_u8(w, '\\');
            writer_u8(w, (uint8_t)to[known - from]);
        } else if (text.ptr[i] < 0x20) {
            snprintf(code, sizeof code, "\\u%04x", text.ptr[i]);
            writer_bytes(w, code, 6);
        } else {
            writer_u8(w, text.ptr[i]);
        }
    }
    writer_u8(w, '"');
}

void capabilities_write(writer *w, const capabilities *set)
{
    writer_bytes(w, "{\"tags\":[", 9);
    for (size_t i = 0; i < set->tag_count; i++) {
        if (i)
            writer_u8(w, ',');
        capabilities_write_string(w, set->tags[i]);
    }
    writer_bytes(w, "],\"metadata\":{", 14);
    for (size_t i = 0; i < set->pair_count; i++) {
        if (i)
            writer_u8(w, ',');
        capabilities_write_string(w, set->metadata[i].key);
        writer_u8(w, ':');
        capabilities_write_string(w, set->metadata[i].value);
    }
    writer_bytes(w, "}}", 2);
}

/* A member that is there but null is not one that is missing. */
static bool is_null(struct json_object *object, const char *key)
{
    struct json_object *value;

    return json_object_object_get_ex(object, key, &value) && !value;
}

static berth_status read_metadata(capabilities *out, struct json_object *object, berth_error *error)
{
    struct json_object_iterator at = json_object_iter_begin(object);
    struct json_object_iterator end = json_object_iter_end(object);
    berth_status status = BERTH_OK;

    for (; !status && !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
        const char *key = json_object_iter_peek_name(&at);
        slice value = {0};

        status = json_get_string(object, "metadata", key, JSON_REQUIRED, &value, error);
        if (!status)
            status = capabilities_set(out, slice_str(key), value, error);
    }
    return status;
}

berth_status capabilities_read(capabilities *out, struct json_object *object, berth_error *error)
{
    struct json_object *tags = NULL, *metadata = NULL;
    berth_status status;

    if (is_null(object, "tags") || is_null(object, "metadata"))
        return fail(error, BERTH_ERR_INVALID, "capabilities: a member is null");
    status = json_get_strings(object, "capabilities", "tags", JSON_OPTIONAL, &tags, error);
    if (!status)
        status =
            json_get_object(object, "capabilities", "metadata", JSON_OPTIONAL, &metadata, error);
    for (size_t i = 0; !status && tags && i < json_object_array_length(tags); i++)
        status = capabilities_put(out, json_string_at(tags, i), error);
    if (!status && metadata)
        status = read_metadata(out, metadata, error);
    if (status)
        capabilities_fini(out);
    return status;
}
