/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lines.h"

void lines_fini(lines *l)
{
    writer_free(&l->part);
}

/* Forget the part that the last call handed out. */
static void forget_taken(lines *l)
{
    if (l->taken) {
        l->part.len = 0;
        l->taken = false;
    }
}

lines_result lines_next(lines *l, const uint8_t **at, const uint8_t *end, slice *out)
{
    const uint8_t *begin = *at, *feed;
    size_t len;

    forget_taken(l);
    if (begin == end)
        return LINES_MORE;
    feed = memchr(begin, '\n', (size_t)(end - begin));
    len = (size_t)((feed ? feed : end) - begin);
    if (len > l->max - l->part.len)
        return LINES_TOO_LONG;
    if (feed && !l->part.len) {
        *out = slice_of(begin, len);
        *at = feed + 1;
        l->count++;
        return LINES_LINE;
    }
    writer_bytes(&l->part, begin, len);
    if (l->part.failed)
        return LINES_NO_MEMORY;
    if (!feed) {
        *at = end;
        return LINES_MORE;
    }
    *at = feed + 1;
    *out = slice_of(l->part.data, l->part.len);
    l->taken = true;
    l->count++;
    return LINES_LINE;
}

bool lines_rest(lines *l, slice *out)
{
    forget_taken(l);
    if (!l->part.len)
        return false;
    *out = slice_of(l->part.data, l->part.len);
    l->taken = true;
    l->count++;
    return true;
}
