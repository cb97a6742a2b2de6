/* SPDX-License-Identifier: Apache-2.0 */
/* The disk of a host: writes take time, one after the other; a kill loses those under way, or all
 * but the first few of them. */
#include "moves.h"

#include <stdlib.h>

void row_free(row *r)
{
    buf_unref(r->offer);
    buf_unref(r->seal);
    buf_unref(r->stream);
    *r = (row){0};
}

static buf *ref(buf *b)
{
    return b ? buf_ref(b) : NULL;
}

void row_copy(row *to, const row *from)
{
    row copy = *from;

    copy.offer = ref(from->offer);
    copy.seal = ref(from->seal);
    copy.stream = ref(from->stream);
    row_free(to);
    *to = copy;
}

void disk_write(world *w, int n, op_kind kind, int a, int d, const row *r, const own_row *own)
{
    host *h = &w->hosts[n];
    op *o = calloc(1, sizeof *o), **at = &w->disk[n];
    int64_t done = w->now + 1 + (int64_t)moves_random(w, (uint64_t)w->options.disk);

    *o = (op){.kind = kind, .attempt = a, .daemon = d};
    if (r)
        row_copy(&o->row, r);
    if (own)
        o->own = *own;
    o->fails = (kind == OP_RELEASED || kind == OP_PREPARED || kind == OP_REFUSED) &&
               moves_chance(w, w->options.disk_fails);
    while (*at)
        at = &(*at)->next;
    *at = o;
    if (done < h->disk_at)
        done = h->disk_at;
    h->disk_at = done;
    moves_later(w, done - w->now, WHAT_DISK, n, 0);
}

static void check_released(world *w, int n, int a)
{
    const attempt *x = &w->attempts[a];
    row_kind there = w->hosts[x->target].rows[a].kind;

    if (there != ROW_PREPARED && there != ROW_OWNED && there != ROW_REFUSED)
        moves_fail(w, "attempt %d: host %d released what host %d has not prepared", a, n,
                   x->target);
}

/* It is there now, whoever hears of it. */
static void apply(world *w, int n, op *o)
{
    host *h = &w->hosts[n];
    int a = o->attempt, d = o->daemon;

    if (o->fails)
        return;
    switch (o->kind) {
    case OP_EVENTS:
        if (h->own[d].owned && h->own[d].epoch == o->own.epoch)
            h->own[d].counts = o->own.counts;
        return;
    case OP_DROPPED:
        row_free(&h->rows[a]);
        return;
    case OP_STOPPED:
    case OP_USED:
        if (h->rows[a].kind == ROW_NONE)
            h->rows[a].kind = ROW_USED;
        return;
    case OP_RELEASED:
        check_released(w, n, a);
        h->own[d].owned = false;
        break;
    case OP_OWNED:
        if (!w->attempts[a].commit_sent)
            moves_fail(w, "attempt %d: host %d owns what was never committed", a, n);
        h->own[d] = o->own;
        break;
    case OP_TAKEN_BACK:
        if (w->hosts[w->attempts[a].target].rows[a].kind != ROW_REFUSED)
            moves_fail(w, "attempt %d: taken back, and not refused on disk", a);
        h->own[d] = o->own;
        break;
    case OP_FINISHED:
        if (w->hosts[w->attempts[a].target].rows[a].kind != ROW_OWNED)
            moves_fail(w, "attempt %d: wiped before host %d owned it", a, w->attempts[a].target);
        break;
    default:
        break;
    }
    row_copy(&h->rows[a], &o->row);
}

static op *take_first(world *w, int n)
{
    op *o = w->disk[n];

    w->disk[n] = o->next;
    return o;
}

static void op_free(op *o)
{
    row_free(&o->row);
    free(o);
}

static void tell(world *w, int n, const op *o)
{
    host *h = &w->hosts[n];
    berth_status status = o->fails ? BERTH_ERR_NO_SPACE : BERTH_OK;
    int a = o->attempt, d = o->daemon;
    int64_t now = moves_now(w, n);

    switch (o->kind) {
    case OP_EVENTS:
        client_synced(w, n, d, &o->own);
        break;
    case OP_USED:
        source_create(w, n, a);
        break;
    case OP_STOPPED:
        h->beginning[a] = false;
        h->has_ended[a] = true;
        source_tell(w, n, a, w->attempts[a].from);
        break;
    case OP_RELEASED:
        if (!status)
            source_freed(w, n, a);
        if (h->sources[a])
            source_released(h->sources[a], status, now);
        break;
    case OP_FINISHED:
        if (h->sources[a])
            source_finished(h->sources[a], now);
        break;
    case OP_TAKEN_BACK:
        host_open(w, n, d, o->own.epoch, &o->own.counts);
        if (h->sources[a])
            source_taken_back(h->sources[a], now);
        break;
    case OP_PREPARED:
        if (h->targets[a])
            target_prepared(h->targets[a], status, now);
        break;
    case OP_OWNED:
        host_open(w, n, d, o->own.epoch, &o->own.counts);
        w->moved++;
        if (h->targets[a])
            target_owned(h->targets[a], BERTH_OK, NULL, now);
        break;
    case OP_REFUSED:
        if (h->targets[a])
            target_refused(h->targets[a], status, now);
        break;
    default:
        break;
    }
}

void disk_done(world *w, int n)
{
    op *o;

    if (!w->disk[n])
        return;
    o = take_first(w, n);
    apply(w, n, o);
    tell(w, n, o);
    op_free(o);
    host_pump(w, n);
}

void disk_kill(world *w, int n)
{
    bool kept = moves_chance(w, 0.5); /* written, and nobody heard of it */

    while (w->disk[n]) {
        op *o = take_first(w, n);

        if (kept)
            apply(w, n, o);
        kept = kept && moves_chance(w, 0.5);
        op_free(o);
    }
    w->hosts[n].disk_at = 0;
}
