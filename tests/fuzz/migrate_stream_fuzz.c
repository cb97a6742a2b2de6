/* SPDX-License-Identifier: Apache-2.0 */
/* What a target reads of a stream: its pieces, held events, what a daemon is made of, how it came.
 * The first byte says which. */
#include "daemon/held.h"
#include "daemon/moving.h"
#include "mesh/came.h"
#include "migrate/stream.h"

#include <stdlib.h>
#include <string.h>

static void put_piece(writer *w, stream_piece type, slice body)
{
    uint8_t head[STREAM_HEAD];

    stream_head(head, type, body.len);
    if (!body.len)
        return;
    writer_bytes(w, head, sizeof head);
    writer_bytes(w, body.ptr, body.len);
}

static void read_stream(slice bytes)
{
    berth_error error = {0};
    stream_parts parts;
    writer again = {0};

    if (stream_read(&parts, bytes, &error) != BERTH_OK) {
        if (!error.text[0] || parts.make.ptr || parts.container.ptr || parts.held.ptr)
            abort();
        return;
    }
    put_piece(&again, STREAM_MAKE, parts.base_make);
    put_piece(&again, STREAM_CONTAINER, parts.base);
    for (unsigned i = 0; i < parts.executed_count; i++)
        put_piece(&again, STREAM_EXECUTED, parts.executed[i]);
    put_piece(&again, STREAM_MAKE, parts.make);
    put_piece(&again, STREAM_CONTAINER, parts.container);
    put_piece(&again, STREAM_HELD, parts.held);
    if (again.len != bytes.len || memcmp(again.data, bytes.ptr, bytes.len) != 0)
        abort();
    writer_free(&again);
}

typedef struct held_again {
    writer w;
    uint32_t count;
} held_again;

static void put(void *ctx, batch *b)
{
    held_again *h = ctx;

    if (!held_takes(b))
        abort();
    held_add(&h->w, b, &h->count);
    batch_free(b);
}

static void read_held(slice bytes)
{
    berth_error error = {0};
    held_again h = {.count = 0};
    uint32_t count, looked;
    berth_status first = held_read(bytes, NULL, NULL, &looked, &error), second;

    held_begin(&h.w);
    second = held_read(bytes, put, &h, &count, &error);
    held_end(&h.w, 0, h.count);
    if (first != second || looked != count)
        abort();
    if (first == BERTH_OK && bytes.len && (h.count != count || h.w.len != bytes.len))
        abort();
    writer_free(&h.w);
}

static void read_came(slice bytes)
{
    berth_error error = {0};
    came how;
    writer w = {0};

    if (came_read(&how, bytes, &error) != BERTH_OK)
        return;
    if (how.former_count > DIRECTORY_FORMER_MAX)
        abort();
    came_write(&w, &how.handover, bytes);
    if (came_read(&how, slice_of(w.data, w.len), &error) != BERTH_OK || !how.former_count)
        abort();
    writer_free(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice bytes = slice_of(data + (size > 0), size ? size - 1 : 0);
    berth_error error = {0};

    switch (size ? data[0] % 4 : 0) {
    case 0:
        read_stream(bytes);
        break;
    case 1:
        read_held(bytes);
        break;
    case 2:
        moving_make_check(bytes, &error);
        break;
    default:
        read_came(bytes);
    }
    return 0;
}
