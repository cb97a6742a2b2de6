/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A target that fetches a plugin, and any sequence of messages, answers and times: it never
 * crashes, writes what its source sent and no more than was said or may be, once each, and loads it
 * only when it is whole.
 */
#include "driven.h"
#include "mesh/message.h"
#include "migrate/fetch.h"

#include <stdlib.h>
#include <string.h>

#define SOURCE_NODE 78
#define LIMIT       3000
#define PIECE       700
#define SIGNED      "signed"

typedef struct driven {
    fetch *f;
    int64_t now;
    move_head head;
    uint8_t file[LIMIT + 500];
    uint64_t total, written; /* total: of the first PLUGIN that was taken */
    fetch_need_kind out;
    bool opened, loaded;
    unsigned over;
    move_outcome outcome;
} driven;

static void sent(driven *d, buf *message)
{
    move_fetch m;

    must(move_fetch_read(&m, slice_of(message->data, message->len), NULL) == BERTH_OK);
    must(m.limit == LIMIT && m.length <= PIECE && m.offset + m.length <= LIMIT);
    must(memcmp(m.head.attempt, d->head.attempt, ATTEMPT_SIZE) == 0);
    must(d->out == FETCH_NONE && m.offset >= d->written);
    buf_unref(message);
}

static void pump(driven *d)
{
    fetch_need need;
    fetch_view v;

    while (fetch_next(d->f, &need, d->now)) {
        must(!d->over && d->out == FETCH_NONE);
        switch (need.kind) {
        case FETCH_SEND:
            sent(d, need.message);
            continue;
        case FETCH_OPEN:
            must(!d->opened && need.total && need.total <= LIMIT);
            must(slice_eq(need.signature, slice_str(SIGNED)));
            d->total = need.total;
            break;
        case FETCH_WRITE:
            must(d->opened && need.bytes->len && d->written + need.bytes->len <= d->total);
            must(memcmp(need.bytes->data, d->file + d->written, need.bytes->len) == 0);
            d->written += need.bytes->len;
            buf_unref(need.bytes);
            break;
        case FETCH_LOAD:
            must(d->written == d->total && !d->loaded);
            break;
        default:
            must(++d->over == 1);
            d->outcome = *fetch_outcome(d->f);
            continue;
        }
        d->out = need.kind;
    }
    fetch_look(d->f, &v);
    must(v.bytes <= LIMIT && v.bytes >= d->written && (!v.loaded || d->loaded));
    if (d->over)
        must(memcmp(&d->outcome, fetch_outcome(d->f), sizeof d->outcome) == 0 &&
             v.loaded == d->loaded);
}

static void message(driven *d, uint8_t kind, uint8_t how)
{
    move_head head = d->head;
    move_plugin plugin = {.digest = {5}, .total = 2000, .signature = slice_str(SIGNED)};
    move_part part = {.digest = {5}};
    fetch_view v;
    writer w = {0};
    bool taken;

    fetch_look(d->f, &v);
    head.attempt[0] ^= how == 1;
    plugin.head = part.head = head;
    plugin.digest[1] = part.digest[1] = how == 3;
    plugin.total += how == 4 ? LIMIT : how == 5 ? 1 : 0;
    part.offset = how < 128 ? v.bytes : (how - 128u) * 20u;
    part.bytes = slice_of(d->file + part.offset, how & 32 ? 300 : 120);
    if (kind & 1)
        move_plugin_write(&w, &plugin);
    else
        move_part_write(&w, &part);
    if (how == 6)
        w.len -= how % w.len;
    if (how == 7)
        w.data[how] ^= 1;
    taken = fetch_message(d->f, how == 2 ? SOURCE_NODE + 1 : SOURCE_NODE, slice_of(w.data, w.len),
                          d->now);
    must(!taken || (how != 1 && how != 2 && how != 3 && how != 7));
    writer_free(&w);
}

static void answer(driven *d, uint8_t how)
{
    berth_status status = how & 1 ? BERTH_ERR_IO : BERTH_OK;
    fetch_need_kind out = d->out;
    fetch_view v;
    move_outcome why;

    move_failed(&why, MOVE_REFUSED, "as the input says");
    d->out = FETCH_NONE;
    fetch_answered(d->f, status, how & 2 ? &why : NULL, d->now);
    fetch_look(d->f, &v);
    d->opened |= out == FETCH_OPEN && !status;
    d->loaded |= out == FETCH_LOAD && v.loaded;
    must(!v.loaded || !status || out != FETCH_LOAD);
}

static void step(driven *d, uint8_t op, uint8_t how)
{
    switch (op % 4) {
    case 0:
    case 1:
        message(d, op / 4, how);
        break;
    case 2:
        answer(d, how);
        break;
    default:
        d->now += (int64_t)how * how * 10000000;
        fetch_expire(d->f, d->now);
        break;
    }
    pump(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    driven *d = calloc(1, sizeof *d);
    fetch_config config = {.source = SOURCE_NODE, .digest = {5}, .limit = LIMIT, .piece = PIECE};

    for (size_t i = 0; i < sizeof d->file; i++)
        d->file[i] = (uint8_t)(i * 31 + i / 256);
    d->head = config.head = (move_head){.attempt = {9}, .origin = 7};
    d->f = fetch_new(&config, 0);
    if (!d->f)
        abort();
    pump(d);
    while (size) {
        uint8_t op = next(&data, &size);

        step(d, op, next(&data, &size));
        if (!d->over && fetch_deadline(d->f) < d->now - INT64_C(1000000000000))
            abort(); /* a deadline that is never kept */
    }
    fetch_free(d->f);
    free(d);
    return 0;
}
