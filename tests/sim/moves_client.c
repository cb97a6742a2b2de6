/* SPDX-License-Identifier: Apache-2.0 */
/* Events: clients send one after the other, hosts apply, hold and acknowledge them. */
#include "moves.h"

void client_tick(world *w, int d, int c)
{
    daemon *x = &w->daemons[d];
    int n = x->hint;
    occurrence *o;

    moves_later(w, (int64_t)(100 + moves_random(w, 400)) * MS, WHAT_CLIENT, d, c);
    if (x->acked[c] == x->sent[c]) {
        if (w->healed)
            return;
        x->sent[c]++;
    }
    if (moves_chance(w, 0.3)) /* it may have moved */
        n = (int)moves_random(w, (uint64_t)w->options.hosts);
    if (!w->healed && moves_chance(w, w->options.loss))
        return;
    o = moves_later(w, 1 + (int64_t)moves_random(w, (uint64_t)w->options.delay), WHAT_EVENT, n, d);
    o->client = (uint64_t)c;
    o->number = x->sent[c];
}

static void acknowledge(world *w, int n, int d, int c, uint64_t number)
{
    w->daemons[d].hint = n;
    if (number > w->daemons[d].promised[c])
        w->daemons[d].promised[c] = number;
    moves_later(w, 1 + (int64_t)moves_random(w, (uint64_t)w->options.delay), WHAT_ACK, d, c)
        ->number = number;
}

void client_ack(world *w, int d, int c, uint64_t number)
{
    if (number > w->daemons[d].acked[c])
        w->daemons[d].acked[c] = number;
}

static void sync(world *w, int n, int d)
{
    running *r = &w->hosts[n].run[d];
    own_row own = {.owned = true, .epoch = r->epoch, .counts = r->counts};

    r->dirty = true;
    if (r->syncing)
        return;
    r->syncing = true;
    r->dirty = false;
    disk_write(w, n, OP_EVENTS, -1, d, NULL, &own);
}

static void apply(world *w, int n, int d, int c, uint64_t number)
{
    running *r = &w->hosts[n].run[d];

    if (number != r->counts.seen[c] + 1)
        return;
    r->counts.seen[c]++;
    r->counts.applied[c]++;
    w->applied++;
    if (r->moving >= 0 && r->log_count < LOG)
        r->log[r->log_count++] = (held_event){c, number};
    sync(w, n, d);
}

void client_event(world *w, int n, int d, int c, uint64_t number)
{
    running *r = &w->hosts[n].run[d];

    if (!r->loaded)
        return;
    if (r->gate && number <= r->counts.seen[c]) {
        if (number <= w->hosts[n].own[d].counts.seen[c])
            acknowledge(w, n, d, c, number);
    } else if (r->gate && (r->moving < 0 || r->log_count < LOG)) {
        apply(w, n, d, c, number);
    } else if (!r->gate && r->held_count < HELD && number == r->counts.seen[c] + 1) {
        for (size_t i = 0; i < r->held_count; i++)
            if (r->held[i].client == c)
                return; /* held already */
        r->held[r->held_count++] = (held_event){c, number};
    }
}

/* The gate is open again: what was held is run. */
void client_resume(world *w, int n, int d)
{
    running *r = &w->hosts[n].run[d];

    for (size_t i = 0; i < r->held_count; i++)
        apply(w, n, d, r->held[i].client, r->held[i].number);
    r->held_count = 0;
    if (r->dirty)
        sync(w, n, d);
}

void client_synced(world *w, int n, int d, const own_row *own)
{
    running *r = &w->hosts[n].run[d];
    const own_row *there = &w->hosts[n].own[d];

    if (there->owned && there->epoch == own->epoch)
        for (int c = 0; c < CLIENTS; c++)
            if (own->counts.seen[c] > w->daemons[d].acked[c])
                acknowledge(w, n, d, c, own->counts.seen[c]);
    if (!r->loaded || !r->syncing)
        return;
    r->syncing = false;
    if (r->dirty && r->gate)
        sync(w, n, d);
}

/* RELEASED is on disk, so PREPARED is, with all that was held: it is acknowledged here. */
void source_freed(world *w, int n, int a)
{
    host *h = &w->hosts[n];
    int d = w->attempts[a].daemon;
    running *r = &h->run[d];

    for (size_t i = 0; i < r->held_count && i < h->stream_held[a]; i++)
        acknowledge(w, n, d, r->held[i].client, r->held[i].number);
    *r = (running){.moving = -1};
}
