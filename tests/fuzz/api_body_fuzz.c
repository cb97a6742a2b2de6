/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client can put into a request: the first byte chooses the target, the source header, a
 * JSON body, or a body of lines cut into pieces.
 */
#include "api/emit.h"
#include "api/lines.h"
#include "api/migration_order.h"
#include "api/orders.h"
#include "api/peer_order.h"
#include "api/source.h"
#include "api/table.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static char *as_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    must(text);
    memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

static void try_target(const uint8_t *data, size_t size)
{
    char *text = as_text(data, size);
    bool same_path;
    target t;

    if (target_parse(text, &t, NULL) == BERTH_OK) {
        for (unsigned i = 0; i < t.segment_count && i < TARGET_SEGMENTS; i++)
            must(*t.segments[i]);
        route_find(&t, "GET", &same_path);
        must(route_nearest(&t));
    }
    free(text);
}

static void try_source(const uint8_t *data, size_t size)
{
    char *text = as_text(data, size), id[SOURCE_ID_MAX + 1];
    uint64_t seq;

    if (source_parse(text, id, &seq, NULL) == BERTH_OK)
        must(source_id_valid(id) && seq);
    free(text);
}

static void try_orders(slice body)
{
    control_order control;
    spawn_order spawn;
    load_order load;
    peer_order peer;
    migration_order move;

    spawn_order_read(&spawn, body, NULL);
    spawn_order_fini(&spawn);
    control_order_read(&control, body, NULL);
    load_order_read(&load, body, NULL);
    peer_order_read(&peer, body, NULL);
    migration_order_read(&move, body, NULL);
}

/* Joined again, the lines are the body, whatever the pieces were. */
static void try_lines(const uint8_t *data, size_t size, size_t piece)
{
    lines l = {.max = 64};
    writer joined = {0};
    lines_result result = LINES_MORE;
    slice line;

    for (size_t from = 0; from < size && result == LINES_MORE; from += piece) {
        const uint8_t *at = data + from, *end = data + (size - from < piece ? size : from + piece);

        while ((result = lines_next(&l, &at, end, &line)) == LINES_LINE) {
            must(line.len <= l.max && !memchr(line.len ? line.ptr : data, '\n', line.len));
            writer_bytes(&joined, line.ptr, line.len);
            writer_u8(&joined, '\n');
        }
    }
    if (result == LINES_MORE) {
        if (lines_rest(&l, &line))
            writer_bytes(&joined, line.ptr, line.len);
        must(joined.len == size && (!size || memcmp(joined.data, data, size) == 0));
    }
    writer_free(&joined);
    lines_fini(&l);
}

/* What the API writes, its own parser reads back. */
static void try_emit(slice bytes)
{
    struct json_object *o = NULL;
    buf *back = NULL;
    writer w = {0};

    emit_text(&w, "[");
    emit_string(&w, bytes);
    emit_next(&w);
    emit_bytes(&w, bytes);
    emit_text(&w, "]");
    must(json_parse(slice_of(w.data, w.len), w.len, &o, NULL) == BERTH_OK);
    must(json_get_bytes(json_object_array_get_idx(o, 1), "", JSON_REQUIRED, &back, NULL) ==
         BERTH_OK);
    must(back->len == bytes.len && (!bytes.len || memcmp(back->data, bytes.ptr, bytes.len) == 0));
    buf_unref(back);
    json_object_put(o);
    writer_free(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t choice;

    if (!size)
        return 0;
    choice = *data++;
    size--;
    switch (choice % 5) {
    case 0:
        try_target(data, size);
        break;
    case 1:
        try_source(data, size);
        break;
    case 2:
        try_orders(slice_of(data, size));
        break;
    case 3:
        try_lines(data, size, choice / 5 + 1);
        break;
    default:
        try_emit(slice_of(data, size));
    }
    return 0;
}
