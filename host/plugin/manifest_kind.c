/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/manifest_kind.h"
#include "base/error.h"
#include "plugin/list.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_WARNINGS 16

static berth_status no_memory(berth_error *error)
{
    return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

static const char *dot(const char *path)
{
    return *path ? "." : "";
}

berth_status manifest_text(struct json_object *o, const char *path, const char *key,
                           enum json_need need, char **out, berth_error *error)
{
    slice text = {0};
    berth_status status = json_get_string(o, path, key, need, &text, error);

    if (status || !text.ptr)
        return status;
    if (text.len > MANIFEST_MAX_TEXT)
        return fail(error, BERTH_ERR_LIMIT, "%s%s%s: has %zu bytes, at most %d are allowed", path,
                    dot(path), key, text.len, MANIFEST_MAX_TEXT);
    if (text.len && memchr(text.ptr, 0, text.len))
        return fail(error, BERTH_ERR_INVALID, "%s%s%s: contains a zero byte", path, dot(path), key);
    *out = text_dup(text);
    return *out ? BERTH_OK : no_memory(error);
}

berth_status manifest_strings(struct json_object *o, const char *path, const char *key,
                              manifest_list *out, berth_error *error)
{
    struct json_object *array = NULL;
    berth_status status = json_get_strings(o, path, key, JSON_OPTIONAL, &array, error);
    size_t count = !status && array ? json_object_array_length(array) : 0;

    if (status)
        return status;
    if (count > MANIFEST_MAX_LIST)
        return fail(error, BERTH_ERR_LIMIT, "%s%s%s: has %zu items, at most %d are allowed", path,
                    dot(path), key, count, MANIFEST_MAX_LIST);
    for (size_t i = 0; i < count; i++) {
        slice item = json_string_at(array, i);

        if (item.len < 1 || item.len > MANIFEST_MAX_TEXT || memchr(item.ptr, 0, item.len))
            return fail(error, BERTH_ERR_INVALID,
                        "%s%s%s[%zu]: must have 1 to %d bytes, none of them zero", path, dot(path),
                        key, i, MANIFEST_MAX_TEXT);
        if (list_has(out, (const char *)item.ptr))
            return fail(error, BERTH_ERR_INVALID, "%s%s%s[%zu]: is there twice", path, dot(path),
                        key, i);
        if (!list_add(out, item))
            return no_memory(error);
    }
    return BERTH_OK;
}

/* One of a few words. *out keeps its value when the key is missing. */
static berth_status read_choice(struct json_object *o, const char *path, const char *key,
                                const char *const *words, unsigned *out, berth_error *error)
{
    slice text = {0};
    berth_status status = json_get_string(o, path, key, JSON_OPTIONAL, &text, error);
    char all[128] = "";

    if (status || !text.ptr)
        return status;
    for (unsigned i = 0; words[i]; i++) {
        if (slice_eq(text, slice_str(words[i]))) {
            *out = i;
            return BERTH_OK;
        }
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s\"%s\"", i ? ", " : "", words[i]);
    }
    return fail(error, BERTH_ERR_INVALID, "%s.%s: '%.*s' is none of %s", path, key,
                (int)(text.len < 64 ? text.len : 64), (const char *)text.ptr, all);
}

static berth_status read_state_version(struct json_object *state, const char *path, const char *key,
                                       uint32_t most, uint32_t *out, berth_error *error)
{
    uint64_t value = *out;
    berth_status status = json_get_u64(state, path, key, JSON_OPTIONAL, &value, error);

    if (status)
        return status;
    if (value < 1 || value > most)
        return fail(error, BERTH_ERR_INVALID, "%s.%s: must be an integer from 1 to %" PRIu32 "%s",
                    path, key, most, most == UINT32_MAX ? "" : ", which is state.writes");
    *out = (uint32_t)value;
    return BERTH_OK;
}

static berth_status read_state(struct json_object *o, const char *path, manifest_kind *out,
                               manifest_list *warnings, berth_error *error)
{
    static const char *const known[] = {"writes", "writes_oldest", "reads_oldest", NULL};
    struct json_object *state = NULL;
    berth_status status = json_get_object(o, path, "state", JSON_OPTIONAL, &state, error);
    char inner[48];
    uint64_t writes;

    if (status || !state)
        return status;
    snprintf(inner, sizeof inner, "%s.state", path);
    status = json_get_u64(state, inner, "writes", JSON_REQUIRED, &writes, error);
    if (!status)
        status = read_state_version(state, inner, "writes", UINT32_MAX, &out->state_writes, error);
    out->stateful = true;
    out->state_writes_oldest = out->state_writes;
    if (!status)
        status = read_state_version(state, inner, "writes_oldest", out->state_writes,
                                    &out->state_writes_oldest, error);
    out->state_reads_oldest = out->state_writes_oldest;
    if (!status)
        status = read_state_version(state, inner, "reads_oldest", out->state_writes,
                                    &out->state_reads_oldest, error);
    if (!status)
        status = manifest_warn_unknown(state, inner, known, warnings, error);
    return status;
}

static berth_status read_tags(struct json_object *o, const char *path, manifest_kind *out,
                              manifest_list *warnings, berth_error *error)
{
    static const char *const known[] = {"required", "optional", NULL};
    struct json_object *tags = NULL;
    berth_status status = json_get_object(o, path, "tags", JSON_OPTIONAL, &tags, error);
    char inner[48];

    if (status || !tags)
        return status;
    snprintf(inner, sizeof inner, "%s.tags", path);
    status = manifest_strings(tags, inner, "required", &out->tags_required, error);
    if (!status)
        status = manifest_strings(tags, inner, "optional", &out->tags_optional, error);
    if (!status)
        status = manifest_warn_unknown(tags, inner, known, warnings, error);
    return status;
}

static berth_status read_preferences(struct json_object *o, const char *path, manifest_kind *out,
                                     berth_error *error)
{
    static const char *const configs[] = {"none", "text", "json", NULL};
    static const char *const isolations[] = {"any", "inline", "process", NULL};
    static const char *const durabilities[] = {"any", "volatile", "snapshot", "journal", NULL};
    unsigned config = CONFIG_NONE, isolation = ISOLATION_ANY, durability = DURABILITY_ANY;
    berth_status status = read_choice(o, path, "config", configs, &config, error);

    if (!status)
        status = read_choice(o, path, "isolation", isolations, &isolation, error);
    if (!status)
        status = read_choice(o, path, "durability", durabilities, &durability, error);
    out->config = (manifest_config)config;
    out->isolation = (manifest_isolation)isolation;
    out->durability = (manifest_durability)durability;
    return status;
}

berth_status manifest_read_kind(struct json_object *o, const char *path, manifest_kind *out,
                                manifest_list *warnings, berth_error *error)
{
    static const char *const known[] = {"name",          "summary", "state",     "deterministic",
                                        "fork_snapshot", "config",  "isolation", "durability",
                                        "memory",        "tags",    NULL};
    berth_status status;
    slice name = {0};

    if (!json_object_is_type(o, json_type_object))
        return fail(error, BERTH_ERR_INVALID, "%s: must be an object, as {\"name\": ...}", path);
    status = json_get_string(o, path, "name", JSON_REQUIRED, &name, error);
    if (status)
        return status;
    if (!manifest_name_valid(name))
        return fail(error, BERTH_ERR_INVALID, "%s.name: must be 1 to %d bytes of a-z 0-9 - _ .",
                    path, MANIFEST_MAX_NAME);
    out->name = text_dup(name);
    if (!out->name)
        return no_memory(error);
    status = manifest_text(o, path, "summary", JSON_OPTIONAL, &out->summary, error);
    if (!status)
        status = read_state(o, path, out, warnings, error);
    if (!status)
        status = json_get_bool(o, path, "deterministic", JSON_OPTIONAL, &out->deterministic, error);
    if (!status)
        status = json_get_bool(o, path, "fork_snapshot", JSON_OPTIONAL, &out->fork_snapshot, error);
    if (!status)
        status = read_preferences(o, path, out, error);
    if (!status)
        status = json_get_u64(o, path, "memory", JSON_OPTIONAL, &out->memory_hint, error);
    if (!status)
        status = read_tags(o, path, out, warnings, error);
    if (!status)
        status = manifest_warn_unknown(o, path, known, warnings, error);
    return status;
}

/* Whether one edit (a letter more, less, other, or two swapped) makes a of b. */
static bool looks_like(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b), same = 0;
    const char *x, *y;

    while (a[same] && a[same] == b[same])
        same++;
    x = a + same;
    y = b + same;
    if (!*x && !*y)
        return true;
    if (la == lb)
        return strcmp(x + 1, y + 1) == 0 ||
               (x[0] && x[1] && x[0] == y[1] && x[1] == y[0] && strcmp(x + 2, y + 2) == 0);
    if (la + 1 == lb)
        return strcmp(x, y + 1) == 0;
    return la == lb + 1 && strcmp(x + 1, y) == 0;
}

berth_status manifest_warn_unknown(struct json_object *o, const char *path,
                                   const char *const *known, manifest_list *warnings,
                                   berth_error *error)
{
    json_object_object_foreach(o, key, value)
    {
        const char *meant = NULL;
        bool is_known = false;
        char text[256];

        (void)value;
        for (size_t i = 0; known[i]; i++) {
            is_known = is_known || strcmp(known[i], key) == 0;
            if (looks_like(key, known[i]))
                meant = known[i];
        }
        if (is_known || warnings->count == MAX_WARNINGS)
            continue;
        if (meant)
            snprintf(text, sizeof text, "%s%s%.64s: unknown key, ignored; did you mean %s?", path,
                     dot(path), key, meant);
        else
            snprintf(text, sizeof text, "%s%s%.64s: unknown key, ignored", path, dot(path), key);
        if (!list_add(warnings, slice_str(text)))
            return no_memory(error);
    }
    return BERTH_OK;
}
