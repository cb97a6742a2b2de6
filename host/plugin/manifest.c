/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/manifest.h"
#include "base/error.h"
#include "base/json.h"
#include "plugin/list.h"
#include "plugin/manifest_kind.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool manifest_name_valid(slice name)
{
    if (name.len < 1 || name.len > MANIFEST_MAX_NAME)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
    }
    return true;
}

static berth_status read_name(struct json_object *o, manifest *m, berth_error *error)
{
    slice text = {0};
    berth_status status = json_get_string(o, "", "name", JSON_REQUIRED, &text, error);

    if (status)
        return status;
    if (!manifest_name_valid(text))
        return fail(error, BERTH_ERR_INVALID, "name: must be 1 to %d bytes of a-z 0-9 - _ .",
                    MANIFEST_MAX_NAME);
    m->name = text_dup(text);
    return m->name ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

static berth_status read_version(struct json_object *o, manifest *m, berth_error *error)
{
    slice text = {0};
    berth_status status = json_get_string(o, "", "version", JSON_REQUIRED, &text, error);

    if (status)
        return status;
    if (text.len > MANIFEST_MAX_NAME || memchr(text.ptr, 0, text.len) ||
        !version_valid((const char *)text.ptr))
        return fail(error, BERTH_ERR_INVALID,
                    "version: must be a semantic version as \"1.2.3\" or \"1.0.0-rc.1\"");
    m->version = text_dup(text);
    return m->version ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

static berth_status read_license(struct json_object *o, manifest *m, berth_error *error)
{
    berth_status status = manifest_text(o, "", "license", JSON_OPTIONAL, &m->license, error);

    if (status || m->license)
        return status;
    m->license = text_dup(slice_str(""));
    if (!m->license || !list_add(&m->warnings, slice_str("license: not said")))
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    return BERTH_OK;
}

static berth_status read_abi(struct json_object *o, manifest *m, berth_error *error)
{
    struct json_object *abi = NULL;
    berth_status status = json_get_array(o, "", "abi", JSON_REQUIRED, &abi, error);
    int64_t number[2];

    if (status)
        return status;
    if (json_object_array_length(abi) != 2)
        return fail(error, BERTH_ERR_INVALID, "abi: must be [major, needed minor], as [0, 0]");
    for (size_t i = 0; i < 2; i++) {
        struct json_object *item = json_object_array_get_idx(abi, i);

        if (!json_object_is_type(item, json_type_int) ||
            (number[i] = json_object_get_int64(item)) < 0 || number[i] > 0xFFFF)
            return fail(error, BERTH_ERR_INVALID,
                        "abi[%zu]: must be an integer from 0 to 65535, as in [0, 0]", i);
    }
    m->abi_major = (uint32_t)number[0];
    m->abi_minor = (uint32_t)number[1];
    return BERTH_OK;
}

static berth_status read_runtime(struct json_object *o, manifest *m, berth_error *error)
{
    berth_status status = manifest_text(o, "", "runtime", JSON_OPTIONAL, &m->runtime, error);

    if (status || m->runtime)
        return status;
    m->runtime = text_dup(slice_str("c"));
    return m->runtime ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

static berth_status read_needs(struct json_object *o, manifest *m, berth_error *error)
{
    static const char *const known[] = {"extensions", "privileges", NULL};
    struct json_object *needs = NULL;
    berth_status status = json_get_object(o, "", "needs", JSON_OPTIONAL, &needs, error);
    const char *unknown;

    if (status || !needs)
        return status;
    /* "What must be understood stands in needs": so here an unknown key is no typo to be ignored.
     */
    unknown = json_unknown_key(needs, known);
    if (unknown)
        return fail(
            error, BERTH_ERR_INVALID,
            "needs.%.64s: this host does not know how to meet it; it knows needs.extensions "
            "and needs.privileges",
            unknown);
    status = manifest_strings(needs, "needs", "extensions", &m->needs_extensions, error);
    if (!status)
        status = manifest_strings(needs, "needs", "privileges", &m->needs_privileges, error);
    return status;
}

static berth_status read_kinds(struct json_object *o, manifest *m, berth_error *error)
{
    struct json_object *kinds = NULL;
    berth_status status = json_get_array(o, "", "kinds", JSON_REQUIRED, &kinds, error);
    size_t count = status ? 0 : json_object_array_length(kinds);

    if (status)
        return status;
    if (count == 0)
        return fail(error, BERTH_ERR_INVALID,
                    "kinds: is empty; a plugin provides one kind at least, as {\"name\": \"...\"}");
    if (count > MANIFEST_MAX_KINDS)
        return fail(error, BERTH_ERR_LIMIT, "kinds: has %zu, at most %d are allowed", count,
                    MANIFEST_MAX_KINDS);
    m->kinds = calloc(count, sizeof *m->kinds);
    if (!m->kinds)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        manifest_kind *kind = &m->kinds[i];
        char path[32];

        m->kind_count = i + 1;
        snprintf(path, sizeof path, "kinds[%zu]", i);
        status = manifest_read_kind(json_object_array_get_idx(kinds, i), path, kind, &m->warnings,
                                    error);
        if (status)
            return status;
        for (size_t j = 0; j < i; j++) {
            if (strcmp(m->kinds[j].name, kind->name) == 0)
                return fail(error, BERTH_ERR_INVALID,
                            "%s.name: '%s' is the name of kinds[%zu] already; rename one", path,
                            kind->name, j);
        }
    }
    return BERTH_OK;
}

berth_status manifest_parse(slice json, manifest **out, berth_error *error)
{
    static const char *const known[] = {"name",  "version", "license", "abi",
                                        "needs", "runtime", "kinds",   NULL};
    manifest *m = calloc(1, sizeof *m);
    struct json_object *o = NULL;
    berth_status status;

    *out = NULL;
    if (!m)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    status = json_parse(json, MANIFEST_MAX_BYTES, &o, error);
    if (!status && !json_object_is_type(o, json_type_object))
        status = fail(error, BERTH_ERR_INVALID, "must be an object, as {\"name\": ...}");
    if (!status)
        status = read_name(o, m, error);
    if (!status)
        status = read_version(o, m, error);
    if (!status)
        status = read_license(o, m, error);
    if (!status)
        status = read_abi(o, m, error);
    if (!status)
        status = read_needs(o, m, error);
    if (!status)
        status = read_runtime(o, m, error);
    if (!status)
        status = read_kinds(o, m, error);
    if (!status)
        status = manifest_warn_unknown(o, "", known, &m->warnings, error);
    if (!status) {
        *out = m;
        m = NULL;
    }
    json_object_put(o);
    manifest_free(m);
    return status;
}

void manifest_free(manifest *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->kind_count; i++) {
        free(m->kinds[i].name);
        free(m->kinds[i].summary);
        list_free(&m->kinds[i].tags_required);
        list_free(&m->kinds[i].tags_optional);
    }
    free(m->kinds);
    free(m->name);
    free(m->version);
    free(m->license);
    free(m->runtime);
    list_free(&m->needs_extensions);
    list_free(&m->needs_privileges);
    list_free(&m->warnings);
    free(m);
}

const manifest_kind *manifest_find(const manifest *m, slice name)
{
    for (size_t i = 0; i < m->kind_count; i++) {
        if (slice_eq(slice_str(m->kinds[i].name), name))
            return &m->kinds[i];
    }
    return NULL;
}
