/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

slice slice_str(const char *text)
{
    return slice_of(text, text ? strlen(text) : 0);
}

int slice_eq(slice a, slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

buf *buf_new(size_t len)
{
    buf *b;

    if (len > SIZE_MAX - sizeof *b)
        return NULL;
    b = malloc(sizeof *b + len);
    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    b->reserved = 0;
    b->len = len;
    return b;
}

buf *buf_copy(const void *ptr, size_t len)
{
    buf *b = buf_new(len);

    if (b && len)
        memcpy(b->data, ptr, len);
    return b;
}

void buf_free_(buf *b)
{
    free(b);
}
