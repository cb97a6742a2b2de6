/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/minisign_lines.h"

#include <sodium.h>
#include <string.h>

bool line_next(slice *rest, slice *line)
{
    const uint8_t *end;

    if (!rest->len)
        return false;
    end = memchr(rest->ptr, '\n', rest->len);
    *line = slice_of(rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len);
    *rest = end ? slice_of(end + 1, rest->len - line->len - 1) : slice_of(NULL, 0);
    if (line->len && line->ptr[line->len - 1] == '\r')
        line->len--;
    return true;
}

bool line_after(slice line, const char *prefix, slice *tail)
{
    size_t n = strlen(prefix);

    if (line.len < n || memcmp(line.ptr, prefix, n) != 0)
        return false;
    *tail = slice_of(line.ptr + n, line.len - n);
    return true;
}

bool line_base64(slice line, void *out, size_t len)
{
    size_t got = 0;
    const char *end = NULL;

    if (line.len != (len + 2) / 3 * 4)
        return false;
    return sodium_base642bin(out, len, (const char *)line.ptr, line.len, NULL, &got, &end,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           got == len && end == (const char *)line.ptr + line.len;
}
