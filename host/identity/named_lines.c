/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/named_lines.h"
#include "base/error.h"
#include "base/text.h"

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

/* The next line that counts; an empty slice at the end. */
static slice next_line(named_lines *l)
{
    while (l->rest.len) {
        const uint8_t *end = memchr(l->rest.ptr, '\n', l->rest.len);
        slice line = slice_of(l->rest.ptr, end ? (size_t)(end - l->rest.ptr) : l->rest.len);
        size_t used = line.len + (end ? 1 : 0);

        l->rest = slice_of(l->rest.ptr + used, l->rest.len - used);
        l->number++;
        line = trim(line);
        if (line.len && line.ptr[0] != '#')
            return line;
    }
    return slice_of(NULL, 0);
}

/* False without a colon. */
static bool split(slice line, slice *name, slice *value)
{
    const uint8_t *colon = line.len ? memchr(line.ptr, ':', line.len) : NULL;

    if (!colon)
        return false;
    *name = trim(slice_of(line.ptr, (size_t)(colon - line.ptr)));
    *value = trim(slice_of(colon + 1, line.len - (size_t)(colon + 1 - line.ptr)));
    return true;
}

berth_status named_lines_next(named_lines *l, slice *name, slice *value, bool *more,
                              berth_error *error)
{
    slice line;

    *more = false;
    while ((line = next_line(l)).len) {
        berth_status status;

        if (!split(line, name, value))
            return named_lines_wrong(l, "expected 'name: value'", error);
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

slice named_lines_what(slice text)
{
    named_lines l = {.rest = text};
    slice name, value;

    return split(next_line(&l), &name, &value) ? name : slice_of(NULL, 0);
}

berth_status named_lines_base64(const named_lines *l, const char *name, slice value, size_t max,
                                uint8_t **out, size_t *len, berth_error *error)
{
    if (value.len > 4 * ((max + 2) / 3) || !base64_decode(value, out, len))
        return fail(error, BERTH_ERR_INVALID, "line %zu: '%s' must be base64 of at most %zu bytes",
                    l->number, name, max);
    return BERTH_OK;
}

berth_status named_lines_hex(const named_lines *l, const char *name, slice value, void *out,
                             size_t n, berth_error *error)
{
    if (!hex_decode(out, n, value))
        return fail(error, BERTH_ERR_INVALID, "line %zu: '%s' must be %zu hex digits", l->number,
                    name, 2 * n);
    return BERTH_OK;
}

berth_status named_lines_u64(const named_lines *l, const char *name, slice value, uint64_t *out,
                             berth_error *error)
{
    bool good = value.len > 0;
    uint64_t number = 0;

    for (size_t i = 0; good && i < value.len; i++) {
        unsigned digit = (unsigned)value.ptr[i] - '0';

        good = digit <= 9 && number <= (UINT64_MAX - digit) / 10;
        number = number * 10 + digit;
    }
    if (!good)
        return fail(error, BERTH_ERR_INVALID, "line %zu: '%s' must be a whole number", l->number,
                    name);
    *out = number;
    return BERTH_OK;
}

berth_status named_lines_once(const named_lines *l, bool *seen, const char *name,
                              berth_error *error)
{
    if (*seen)
        return fail(error, BERTH_ERR_INVALID, "line %zu: '%s' is there twice", l->number, name);
    *seen = true;
    return BERTH_OK;
}
