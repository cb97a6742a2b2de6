/* SPDX-License-Identifier: Apache-2.0 */
/* A daemon on its node: its disk, its beginning there and its end, and what the disk lets out. */
#include "sim.h"

#include <stdlib.h>

/* ---- The disk ---- */

void node_append(world *w, int n, int d, const record *r)
{
    image *disk = &w->nodes[n].disk[d];
    instance *i = w->nodes[n].running[d];

    if (disk->length == disk->cap) {
        disk->cap = disk->cap ? 2 * disk->cap : 32;
        disk->journal = realloc(disk->journal, disk->cap * sizeof *disk->journal);
        if (!disk->journal)
            abort();
    }
    disk->journal[disk->length++] = *r;
    if (!i->syncing) {
        i->syncing = disk->length;
        sim_later(w, (int64_t)(1 + sim_random(w, 20)) * MS, WHAT_SYNC, n, d, NULL);
    }
}

void node_save(world *w, int n, int d)
{
    image *disk = &w->nodes[n].disk[d];
    instance *i = w->nodes[n].running[d];

    writer_free(&disk->outbox);
    disk->outbox = (writer){0};
    flow_out_export(i->outbox, &disk->outbox);
    free(disk->cursors);
    disk->cursor_count = flow_in_export(i->inbox, NULL, 0);
    disk->cursors = calloc(disk->cursor_count + 1, sizeof *disk->cursors);
    flow_in_export(i->inbox, disk->cursors, disk->cursor_count);
    disk->generation = flow_in_generation(i->inbox);
    memcpy(disk->seen, i->seen, sizeof disk->seen);
    memcpy(disk->made, i->made, sizeof disk->made);
    memcpy(disk->life_base, i->life_base, sizeof disk->life_base);
    disk->length = disk->durable = i->released = 0;
}

void image_free(image *i)
{
    writer_free(&i->outbox);
    free(i->cursors);
    free(i->journal);
    *i = (image){0};
}

void image_copy(image *to, const image *from)
{
    image_free(to);
    *to = *from;
    to->outbox = (writer){0};
    writer_bytes(&to->outbox, from->outbox.data, from->outbox.len);
    to->cursors = calloc(from->cursor_count + 1, sizeof *to->cursors);
    to->journal = calloc(from->length + 1, sizeof *to->journal);
    if (!to->cursors || !to->journal)
        abort();
    to->cap = from->length + 1;
    if (from->cursor_count)
        memcpy(to->cursors, from->cursors, from->cursor_count * sizeof *to->cursors);
    if (from->length)
        memcpy(to->journal, from->journal, from->length * sizeof *to->journal);
}

/* ---- A daemon ---- */

void node_put_out(world *w, int d, instance *i, int to, uint64_t number, bool *blocked)
{
    buf *event = payload_make(d, to, i->incarnation, number);
    uint64_t sequence = 0;

    *blocked = flow_out_send(i->outbox, w->daemons[to].origin, event, &sequence) != BERTH_OK;
    buf_unref(event);
    if (*blocked)
        return;
    if (sequence == 1) {
        i->life_base[to] = i->out[to];
        i->closing_out[to] = false;
    }
    i->out[to] = number;
}

/* What the disk has may take effect. */
void node_release(world *w, int n, int d)
{
    image *disk = &w->nodes[n].disk[d];
    instance *i = w->nodes[n].running[d];

    for (; i->released < disk->durable; i->released++) {
        const record *r = &disk->journal[i->released];
        bool blocked = false;

        if (r->kind == RECORD_OUT_CLOSE)
            flow_out_close(i->outbox, w->daemons[r->to[0]].origin);
        for (int k = 0; k < 2 && r->kind == RECORD_RUN && !blocked; k++)
            if (r->to[k] >= 0 && r->number[k] > i->out[r->to[k]])
                node_put_out(w, d, i, r->to[k], r->number[k], &blocked);
        if (blocked)
            return;
    }
    if (i->released == disk->length && disk->length >= 16 && !i->syncing)
        node_save(w, n, d);
}

static void replay(world *w, int d, instance *i, const record *r)
{
    if (r->kind == RECORD_IN_CLOSE)
        flow_in_closed(i->inbox, &r->id);
    if (r->kind != RECORD_RUN)
        return;
    if (r->id.sender) {
        i->seen[r->from] = r->input;
        flow_in_import(i->inbox,
                       &(flow_cursor){r->id.sender, r->id.incarnation, r->id.life, r->through});
    }
    for (int k = 0; k < 2; k++)
        if (r->to[k] >= 0)
            i->made[r->to[k]] = r->number[k];
    (void)w;
    (void)d;
}

instance *node_open(world *w, int n, int d)
{
    image *disk = &w->nodes[n].disk[d];
    const options *o = &w->options;
    instance *i = calloc(1, sizeof *i);
    berth_error error = {0};
    presence p = node_presence(w, n, d, disk->epoch, disk->incarnation);

    if (!i)
        abort();
    i->epoch = disk->epoch;
    i->incarnation = disk->incarnation;
    i->hold = -1;
    i->inbox =
        flow_in_new(w->daemons[d].origin, disk->generation,
                    &(flow_in_config){
                        .max_cursors = o->cursors, .window = o->window, .max_bytes = 16 * PAYLOAD});
    i->outbox =
        flow_out_new(w->daemons[d].origin, i->incarnation,
                     &(flow_out_config){
                         .max_events = o->outbox, .resend_ns = 200 * MS, .resend_max_ns = 2 * SEC});
    memcpy(i->seen, disk->seen, sizeof i->seen);
    memcpy(i->made, disk->made, sizeof i->made);
    memcpy(i->out, disk->made, sizeof i->out);
    memcpy(i->life_base, disk->life_base, sizeof i->life_base);
    if (disk->outbox.len &&
        flow_out_import(i->outbox, slice_of(disk->outbox.data, disk->outbox.len), &error))
        sim_fail(w, "daemon %d: %s", d, error.text);
    for (size_t c = 0; c < disk->cursor_count; c++)
        if (flow_in_import(i->inbox, &disk->cursors[c]))
            sim_fail(w, "daemon %d: a cursor of the snapshot was refused", d);
    for (size_t r = 0; r < disk->length; r++)
        replay(w, d, i, &disk->journal[r]);
    disk->durable = disk->length;
    w->nodes[n].running[d] = i;
    sim_trace(w, "node %d opens daemon %d, epoch %d, incarnation %d", n, d, (int)i->epoch,
              (int)i->incarnation);
    if (directory_own(w->nodes[n].directory, &p, disk->has_handover ? &disk->handover : NULL,
                      &error) &&
        !w->daemons[d].cloned)
        sim_fail(w, "node %d may not run daemon %d: %s", n, d, error.text);
    flow_out_mute(i->outbox, true);
    node_release(w, n, d);
    flow_out_mute(i->outbox, false);
    for (size_t f = 0; f < disk->former_count; f++)
        directory_add_former(w->nodes[n].directory, w->daemons[d].origin, disk->former[f]);
    node_announce(w, n, d);
    return i;
}

void node_close(world *w, int n, int d)
{
    instance *i = w->nodes[n].running[d];

    if (!i)
        return;
    flow_in_free(i->inbox);
    flow_out_free(i->outbox);
    free(i);
    w->nodes[n].running[d] = NULL;
}

/* The write has come through. */
void node_commit(world *w, int n, int d)
{
    image *disk = &w->nodes[n].disk[d];
    instance *i = w->nodes[n].running[d];
    daemon *x = &w->daemons[d];

    for (size_t at = disk->durable; at < i->syncing; at++) {
        const record *r = &disk->journal[at];

        if (r->kind == RECORD_IN_CLOSE) {
            flow_in_closed(i->inbox, &r->id);
            i->closing_in[r->from] = false;
        }
        if (r->kind != RECORD_RUN)
            continue;
        if (r->id.sender) {
            x->durable[r->from] = r->input;
            flow_in_durable(i->inbox, &r->id, r->through);
        }
        for (int k = 0; k < 2; k++)
            if (r->to[k] >= 0)
                x->sent[r->to[k]] = (count){i->incarnation, r->number[k]};
    }
    disk->durable = i->syncing;
    i->syncing = 0;
}

void node_sync(world *w, int n, int d)
{
    image *disk = &w->nodes[n].disk[d];
    instance *i = w->nodes[n].running[d];

    if (!i || !i->syncing)
        return;
    node_commit(w, n, d);
    if (disk->length > disk->durable) {
        i->syncing = disk->length;
        sim_later(w, (int64_t)(1 + sim_random(w, 20)) * MS, WHAT_SYNC, n, d, NULL);
    }
    node_pump(w, n);
}
