/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/blob.h: a writer whose bytes become a buffer: large ones without being copied. Private to
 * the room.
 */
#ifndef DAEMON_BLOB_H
#define DAEMON_BLOB_H

#include "base/cursor.h"

#define BLOB_ADOPTED                                                                               \
    (64 * 1024) /* smaller ones are copied: a writer's room is more than they need */

/* Room for the head of a buffer, before anything else is written. */
static inline void blob_begin(writer *w)
{
    w->len = 0;
    writer_bytes(w, &(buf){.len = 0}, sizeof(buf));
}

/* Of what was written since. */
static inline size_t blob_len(const writer *w)
{
    return w->len - sizeof(buf);
}
static inline uint8_t *blob_data(const writer *w)
{
    return w->data + sizeof(buf);
}

/* The bytes, one reference; NULL: no memory. w is empty afterwards. */
static inline buf *blob_end(writer *w)
{
    buf *out = NULL;

    if (!w->failed && w->len >= BLOB_ADOPTED) {
        out = buf_adopt(w->data, blob_len(w));
        *w = (writer){0};
    } else if (!w->failed) {
        out = buf_copy(blob_data(w), blob_len(w));
    }
    writer_free(w);
    return out;
}

#endif
