/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer sends of flows, and an outbox from a snapshot: what is read is written back the same,
 * and both machines take anything that can be read. */
#include "mesh/flow.h"

#include <stdlib.h>

static void must_be(const writer *w, const uint8_t *data, size_t size)
{
    if (w->len != size || memcmp(w->data, data, size) != 0)
        abort();
}

static void try_receiver(const flow_frame *f, const uint8_t *data, size_t size)
{
    flow_in *in = flow_in_new(f->head.id.receiver, f->generation,
                              &(flow_in_config){.window = 16, .max_bytes = 256});
    buf *hold = buf_copy(data, size);
    flow_in_stats stats;
    flow_frame mine;
    flow_event e;

    /* The events lie in the buffer that is held. */
    if (flow_frame_read(&mine, slice_of(hold->data, hold->len), NULL) != BERTH_OK)
        abort();
    for (int i = 0; i < 2; i++)
        flow_in_offer(in, &mine, hold, true);
    flow_in_get_stats(in, &stats);
    if (stats.waiting > 16 || stats.cursors > 1)
        abort();
    for (uint64_t last = 0; flow_in_next(in, &e); last = e.sequence) {
        if (e.sequence <= last)
            abort();
        buf_unref(e.hold);
    }
    buf_unref(hold);
    flow_in_free(in);
}

static void try_answer(const flow_ack *ack)
{
    flow_out *o = flow_out_new(ack->id.sender, ack->id.incarnation, NULL);
    buf *event = buf_copy("event", 5);
    flow_out_stats stats;
    writer w = {0};
    uint64_t to;

    for (int i = 0; i < 3; i++)
        flow_out_send(o, ack->id.receiver, event, NULL);
    flow_out_poll(o, 0, &w, &to);
    flow_out_answer(o, ack, 1);
    flow_out_get_stats(o, &stats);
    if (stats.events > 3 || (ack->through > 3 && stats.events != 3))
        abort();
    writer_free(&w);
    buf_unref(event);
    flow_out_free(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice message = slice_of(data, size);
    flow_out *o = flow_out_new(1, 1, NULL);
    flow_cursor cursor;
    flow_frame f;
    flow_close c;
    flow_ack ack;
    writer w = {0};

    if (flow_frame_read(&f, message, NULL) == BERTH_OK) {
        flow_frame_write(&w, &f);
        must_be(&w, data, size);
        try_receiver(&f, data, size);
    } else if (flow_close_read(&c, message, NULL) == BERTH_OK) {
        flow_close_write(&w, &c);
        must_be(&w, data, size);
    } else if (flow_ack_read(&ack, message, NULL) == BERTH_OK) {
        flow_ack_write(&w, &ack);
        must_be(&w, data, size);
        try_answer(&ack);
    }
    w.len = 0;
    if (flow_out_import(o, message, NULL) == BERTH_OK) {
        flow_out_export(o, &w);
        must_be(&w, data, size);
    }
    if (flow_cursor_parse(&cursor, message, 1) && size > FLOW_SOURCE)
        abort();
    writer_free(&w);
    flow_out_free(o);
    return 0;
}
