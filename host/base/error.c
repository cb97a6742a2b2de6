/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *berth_status_name(berth_status status)
{
    switch (status) {
    case BERTH_OK:
        return "OK";
#define CASE(name, value, text)                                                                    \
    case value:                                                                                    \
        return #name;
        BERTH_STATUS_TABLE(CASE)
#undef CASE
    default:
        return "UNKNOWN";
    }
}

const char *berth_status_text(berth_status status)
{
    switch (status) {
    case BERTH_OK:
        return "done";
#define CASE(name, value, text)                                                                    \
    case value:                                                                                    \
        return text;
        BERTH_STATUS_TABLE(CASE)
#undef CASE
    default:
        return "an unknown status";
    }
}

/* Length of the printable character at text, or 0 when its first byte must be escaped: controls
 * (also the C1 range, which some terminals obey) and whatever is not UTF-8. */
static size_t printable(slice text)
{
    size_t n = utf8_length(text);

    if (n == 1 && (text.ptr[0] < 0x20 || text.ptr[0] == 0x7F))
        return 0;
    if (n == 2 && text.ptr[0] == 0xC2 && text.ptr[1] < 0xA0)
        return 0;
    return n;
}

void text_escape(char *out, size_t cap, const char *text, size_t len)
{
    slice rest = slice_of(text, len);
    size_t at = 0;

    if (!cap)
        return;
    while (rest.len) {
        size_t n = printable(rest);
        size_t width = n ? n : 4;

        if (width >= cap - at)
            break;
        if (n)
            memcpy(out + at, rest.ptr, n);
        else
            snprintf(out + at, 5, "\\x%02x", rest.ptr[0]);
        at += width;
        rest.ptr += n ? n : 1;
        rest.len -= n ? n : 1;
    }
    out[at] = 0;
}

/* Formats first and writes afterwards, because an argument may be error->text itself. */
static berth_status set(berth_error *error, berth_status code, const char *tail, const char *format,
                        va_list args)
{
    char raw[2 * BERTH_ERROR_TEXT];
    int n;
    size_t len;

    if (!error)
        return code;
    n = vsnprintf(raw, sizeof raw, format, args);
    len = n < 0 ? 0 : (size_t)n < sizeof raw ? (size_t)n : sizeof raw - 1;
    if (tail) {
        n = snprintf(raw + len, sizeof raw - len, ": %s", tail);
        if (n > 0)
            len += (size_t)n < sizeof raw - len ? (size_t)n : sizeof raw - len - 1;
    }
    error->code = code;
    text_escape(error->text, sizeof error->text, raw, len);
    return code;
}

berth_status fail(berth_error *error, berth_status code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set(error, code, NULL, format, args);
    va_end(args);
    return code;
}

berth_status fail_prefix(berth_error *error, const char *format, ...)
{
    va_list args;

    if (!error)
        return BERTH_ERR_INTERNAL;
    va_start(args, format);
    set(error, error->code, error->text, format, args);
    va_end(args);
    return error->code;
}

static berth_status status_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return BERTH_ERR_NO_SPACE;
    case ENOENT:
        return BERTH_ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
        return BERTH_ERR_PERMISSION;
    case ENOMEM:
        return BERTH_ERR_NO_MEMORY;
    case EEXIST:
        return BERTH_ERR_EXISTS;
    default:
        return BERTH_ERR_IO;
    }
}

berth_status fail_errno(berth_error *error, int errnum, const char *format, ...)
{
    berth_status code = status_of_errno(errnum);
    char why[128];
    va_list args;

    va_start(args, format);
    set(error, code, strerror_r(errnum, why, sizeof why), format, args);
    va_end(args);
    return code;
}
