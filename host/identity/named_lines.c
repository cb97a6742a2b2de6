/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/named_lines.h"
#include "base/error.h"

#include <string.h>

named_lines named_lines_of(slice text, const char *what)
{
    return (named_lines){.rest = text, .what = what};
}

static bool blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

static slice trim(slice s)
{
    while (s.len && blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len && blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

berth_status named_lines_wrong(const named_lines *l, const char *text, berth_error *error)
{
    return fail(error, BERTH_ERR_INVALID, "line %zu: %s", l->number, text);
}

/* The first line that counts says what the file is. */
static berth_status head(named_lines *l, slice name, slice value, berth_error *error)
{
    if (!slice_eq(name, slice_str(l->what)))
        return fail(error, BERTH_ERR_INVALID, "line %zu: '%s: 1' must come first", l->number,
                    l->what);
    if (!slice_eq(value, slice_str("1")))
        return fail(error, BERTH_ERR_VERSION,
                    "line %zu: the version of the file is not known, only 1 is", l->number);
    l->headed = true;
    return BERTH_OK;
}

berth_status named_lines_next(named_lines *l, slice *name, slice *value, bool *more,
                              berth_error *error)
{
    *more = false;
    while (l->rest.len) {
        const uint8_t *end = memchr(l->rest.ptr, '\n', l->rest.len), *colon;
        slice line = slice_of(l->rest.ptr, end ? (size_t)(end - l->rest.ptr) : l->rest.len);
        size_t used = line.len + (end ? 1 : 0);
        berth_status status;

        l->rest = slice_of(l->rest.ptr + used, l->rest.len - used);
        l->number++;
        line = trim(line);
        if (!line.len || line.ptr[0] == '#')
            continue;
        colon = memchr(line.ptr, ':', line.len);
        if (!colon)
            return named_lines_wrong(l, "expected 'name: value'", error);
        *name = trim(slice_of(line.ptr, (size_t)(colon - line.ptr)));
        *value = trim(slice_of(colon + 1, line.len - (size_t)(colon + 1 - line.ptr)));
        if (l->headed) {
            *more = true;
            return BERTH_OK;
        }
        status = head(l, *name, *value, error);
        if (status)
            return status;
    }
    return l->headed ? BERTH_OK
                     : fail(error, BERTH_ERR_INVALID, "there is no '%s: 1' in it", l->what);
}
