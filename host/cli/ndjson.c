/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ndjson.h"

#include <string.h>

static ndjson_result hold(ndjson *n, const char *ptr, size_t len)
{
    if (len > n->max - n->held.len)
        return NDJSON_LONG;
    writer_bytes(&n->held, ptr, len);
    return n->held.failed ? NDJSON_LONG : NDJSON_MORE;
}

/* A whole line, of which all but these last bytes may be in held. */
static ndjson_result complete(ndjson *n, const char *ptr, size_t len)
{
    slice line = slice_of(ptr, len);

    if (len > n->max)
        return NDJSON_LONG;
    if (n->held.len) {
        ndjson_result result = hold(n, ptr, len);

        if (result != NDJSON_MORE)
            return result;
        line = slice_of(n->held.data, n->held.len);
        n->held.len = 0;
    }
    return n->line(n->ctx, line) ? NDJSON_MORE : NDJSON_STOPPED;
}

ndjson_result ndjson_feed(ndjson *n, const void *ptr, size_t len)
{
    const char *at = (const char *)ptr, *end = at + len;
    ndjson_result result = NDJSON_MORE;

    while (at < end && result == NDJSON_MORE) {
        const char *feed = (const char *)memchr(at, '\n', (size_t)(end - at));

        if (!feed)
            return hold(n, at, (size_t)(end - at));
        result = complete(n, at, (size_t)(feed - at));
        at = feed + 1;
    }
    return result;
}

bool ndjson_is_partial(const ndjson *n)
{
    return n->held.len != 0;
}

void ndjson_fini(ndjson *n)
{
    writer_free(&n->held);
}
