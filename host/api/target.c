/* SPDX-License-Identifier: Apache-2.0 */
#include "api/target.h"
#include "base/error.h"
#include "base/text.h"

#include <string.h>

/* Decode %XX in place; false for what is no escape, or an escaped zero byte. */
static bool decode(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        uint8_t byte = (uint8_t)*from;

        if (byte == '%') {
            if (!from[1] || !from[2] || !hex_decode(&byte, 1, slice_of(from + 1, 2)) || !byte)
                return false;
            from += 2;
        }
        *to++ = (char)byte;
    }
    *to = '\0';
    return true;
}

static berth_status parse_path(char *path, target *out, berth_error *error)
{
    while (path) {
        char *next = strchr(path, '/');

        if (next)
            *next++ = '\0';
        if (out->segment_count >= TARGET_SEGMENTS) {
            out->segment_count = TARGET_SEGMENTS + 1;
            return BERTH_OK;
        }
        if (!*path)
            return fail(error, BERTH_ERR_INVALID, "path: has an empty segment; write '/' once");
        if (!decode(path))
            return fail(error, BERTH_ERR_INVALID,
                        "path: '%s' has a '%%' that two hex digits (not 00) must follow", path);
        out->segments[out->segment_count++] = path;
        path = next;
    }
    return BERTH_OK;
}

static berth_status parse_query(char *query, target *out, berth_error *error)
{
    while (query && *query) {
        char *next = strchr(query, '&'), *value;

        if (next)
            *next++ = '\0';
        value = strchr(query, '=');
        if (value)
            *value++ = '\0';
        else
            value = query + strlen(query);
        if (!decode(query) || !decode(value))
            return fail(error, BERTH_ERR_INVALID,
                        "query: '%s' has a '%%' that two hex digits (not 00) must follow", query);
        if (!*query)
            return fail(error, BERTH_ERR_INVALID, "query: a parameter has no name");
        if (target_param_get(out, query))
            return fail(error, BERTH_ERR_INVALID, "query: '%s' is given twice", query);
        if (out->param_count == TARGET_PARAMS)
            return fail(error, BERTH_ERR_LIMIT, "query: more than %d parameters", TARGET_PARAMS);
        out->params[out->param_count++] = (target_param){query, value};
        query = next;
    }
    return BERTH_OK;
}

berth_status target_parse(char *text, target *out, berth_error *error)
{
    char *query;
    berth_status status;

    *out = (target){0};
    if (strncmp(text, "http://", 7) == 0) {
        text = strchr(text + 7, '/');
        if (!text)
            return fail(error, BERTH_ERR_INVALID, "request target: has no path");
    }
    if (*text != '/')
        return fail(error, BERTH_ERR_INVALID, "request target: must begin with '/'");
    query = strchr(text, '?');
    if (query)
        *query++ = '\0';
    text++;
    if (*text) {
        status = parse_path(text, out, error);
        if (status)
            return status;
    }
    return parse_query(query, out, error);
}

const char *target_param_get(const target *t, const char *name)
{
    for (unsigned i = 0; i < t->param_count; i++)
        if (strcmp(t->params[i].name, name) == 0)
            return t->params[i].value;
    return NULL;
}
