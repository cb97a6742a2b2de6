/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/ring.h"

#include <stdlib.h>
#include <string.h>

struct tail {
    ring *ring; /* one reference */
    tail *next;
    uint64_t at; /* index of the next item to read */
    void (*wake)(void *ctx);
    void *ctx;
    bool armed; /* its last read found nothing: wake it */
    unsigned waking;
};

struct ring {
    atomic_uint refs;
    pthread_mutex_t lock;
    pthread_cond_t quiet; /* no wake is running */
    ring_budget *budget;
    tail_item *items; /* a circle of cap */
    uint32_t cap, first, count;
    uint64_t next_index;
    uint64_t bytes;
    uint64_t granted;    /* of the budget */
    ring *older, *newer; /* under the budget's lock */
    bool listed;         /* the same */
    atomic_bool reading;
    bool keeps, ended;
    tail *tails;
    unsigned tail_count;
};

ring *ring_new(ring_budget *budget, bool keeps)
{
    ring *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    atomic_init(&r->refs, 1);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->quiet, NULL);
    r->budget = budget;
    r->keeps = keeps;
    return r;
}

ring *ring_ref(ring *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

void tail_item_release(tail_item *item)
{
    buf_unref(item->bytes);
    buf_unref(item->channel);
    item->bytes = NULL;
    item->channel = NULL;
}

static uint64_t cost(const tail_item *item)
{
    return sizeof(*item) + item->bytes->len;
}

static void drop_oldest(ring *r)
{
    tail_item oldest = r->items[r->first];
    r->bytes -= cost(&oldest);
    tail_item_release(&oldest);
    r->first = r->first + 1 == r->cap ? 0 : r->first + 1;
    r->count--;
}

/*
 * The shared budget is taken and given back in pieces, so that a ring in its stride does not touch
 * it: 4 KiB of the usual 64 MiB, and less of a small one.
 */
static uint64_t piece(const ring_budget *b)
{
    uint64_t n = b->total / 16384;
    return n > 4096 ? 4096 : n ? n : 1;
}

/* Under the budget's lock. */
static void unlist(ring_budget *b, ring *r)
{
    if (!r->listed)
        return;
    *(r->older ? &r->older->newer : &b->oldest) = r->newer;
    *(r->newer ? &r->newer->older : &b->newest) = r->older;
    r->older = r->newer = NULL;
    r->listed = false;
}

static void list_newest(ring *r)
{
    ring_budget *b = r->budget;
    pthread_mutex_lock(&b->lock);
    unlist(b, r);
    r->older = b->newest;
    *(b->newest ? &b->newest->newer : &b->oldest) = r;
    b->newest = r;
    r->listed = true;
    pthread_mutex_unlock(&b->lock);
}

static void leave_list(ring *r)
{
    pthread_mutex_lock(&r->budget->lock);
    unlist(r->budget, r);
    pthread_mutex_unlock(&r->budget->lock);
}

/* As much of the budget as n more bytes need. False: it is used up. */
static bool take_budget(ring *r, uint64_t n)
{
    if (r->granted >= r->bytes + n)
        return true;
    uint64_t unit = piece(r->budget);
    uint64_t want = (r->bytes + n - r->granted + unit - 1) / unit * unit;
    uint64_t used = atomic_fetch_add_explicit(&r->budget->used, want, memory_order_relaxed) + want;
    if (used > r->budget->total) {
        atomic_fetch_sub_explicit(&r->budget->used, want, memory_order_relaxed);
        return false;
    }
    r->granted += want;
    list_newest(r);
    return true;
}

/* With r's lock. Others' locks are only tried, so that two rings cannot wait for each other. */
static bool take_from_idle(ring *r)
{
    ring_budget *b = r->budget;
    bool taken = false;
    pthread_mutex_lock(&b->lock);
    for (ring *v = b->oldest; v && !taken; v = taken ? NULL : v->newer) {
        if (v == r || atomic_load_explicit(&v->reading, memory_order_relaxed) ||
            pthread_mutex_trylock(&v->lock))
            continue;
        while (v->count)
            drop_oldest(v);
        atomic_fetch_sub_explicit(&b->used, v->granted, memory_order_relaxed);
        v->granted = 0;
        taken = true;
        unlist(b, v);
        pthread_mutex_unlock(&v->lock);
    }
    pthread_mutex_unlock(&b->lock);
    return taken;
}

static void return_budget(ring *r)
{
    uint64_t unit = piece(r->budget);
    uint64_t keep = r->bytes ? (r->bytes + 2 * unit - 1) / unit * unit : 0;
    if (r->granted <= keep)
        return;
    atomic_fetch_sub_explicit(&r->budget->used, r->granted - keep, memory_order_relaxed);
    r->granted = keep;
    if (!keep)
        leave_list(r);
}

void ring_unref(ring *r)
{
    if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
        return;
    leave_list(r); /* from here on nobody else can find it */
    while (r->count)
        drop_oldest(r);
    return_budget(r);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->quiet);
    free(r->items);
    free(r);
}

/* Rings begin small: most daemons emit little. */
static bool grow(ring *r)
{
    uint32_t cap = r->cap ? r->cap * 4 : 4;
    if (cap > r->budget->items)
        cap = r->budget->items;
    if (cap <= r->cap)
        return false;
    tail_item *items = malloc(cap * sizeof(*items));
    if (!items)
        return false;
    for (uint32_t i = 0; i < r->count; i++)
        items[i] = r->items[(r->first + i) % r->cap];
    free(r->items);
    r->items = items;
    r->cap = cap;
    r->first = 0;
    return true;
}

/* Room for one item of n bytes, oldest out first. False: it cannot be kept. */
static bool make_room(ring *r, uint64_t n)
{
    if (n > r->budget->bytes)
        return false;
    while (r->count && r->bytes + n > r->budget->bytes)
        drop_oldest(r);
    while (!take_budget(r, n)) {
        if (take_from_idle(r))
            continue;
        if (!r->count)
            return false;
        drop_oldest(r);
    }
    if (r->count == r->cap && !grow(r)) {
        if (!r->count)
            return false;
        drop_oldest(r);
    }
    return true;
}

/* Calls the armed readers' wake functions without the lock; called with it, returns without it. */
static void wake_and_unlock(ring *r)
{
    tail *due[16];
    for (;;) {
        unsigned n = 0;
        for (tail *t = r->tails; t && n < 16; t = t->next)
            if (t->armed) {
                t->armed = false;
                t->waking++;
                due[n++] = t;
            }
        pthread_mutex_unlock(&r->lock);
        for (unsigned i = 0; i < n; i++)
            due[i]->wake(due[i]->ctx);
        if (!n)
            return;
        pthread_mutex_lock(&r->lock);
        for (unsigned i = 0; i < n; i++)
            due[i]->waking--;
        pthread_cond_broadcast(&r->quiet);
    }
}

/* Under the lock. False: it cannot be kept, the references are still the caller's. */
static bool append(ring *r, const tail_item *item)
{
    uint64_t index = r->next_index++;
    uint64_t n = cost(item);
    if (!r->keeps && !r->tails)
        return false;
    if (!make_room(r, n)) {
        /* A hole in the middle would have to be remembered: start again behind it. */
        while (r->count)
            drop_oldest(r);
        return_budget(r);
        return false;
    }
    uint32_t at = r->first + r->count++;
    tail_item *slot = &r->items[at < r->cap ? at : at - r->cap];
    *slot = *item;
    slot->index = index;
    r->bytes += n;
    return true;
}

void ring_give(ring *r, const tail_item *items, unsigned count)
{
    pthread_mutex_lock(&r->lock);
    for (unsigned i = 0; i < count; i++)
        if (!append(r, &items[i])) {
            tail_item refused = items[i];
            tail_item_release(&refused);
        }
    if (r->tails)
        wake_and_unlock(r);
    else
        pthread_mutex_unlock(&r->lock);
}

void ring_put(ring *r, const tail_item *item)
{
    buf_ref(item->bytes);
    if (item->channel)
        buf_ref(item->channel);
    ring_give(r, item, 1);
}

bool ring_has_readers(ring *r)
{
    return atomic_load_explicit(&r->reading, memory_order_relaxed);
}

void ring_end(ring *r)
{
    pthread_mutex_lock(&r->lock);
    r->ended = true;
    wake_and_unlock(r);
}

tail *ring_open(ring *r, tail_from from, void (*wake)(void *ctx), void *ctx)
{
    tail *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->ring = ring_ref(r);
    t->wake = wake;
    t->ctx = ctx;
    pthread_mutex_lock(&r->lock);
    t->at = from == TAIL_FROM_NOW ? r->next_index : r->next_index - r->count;
    t->next = r->tails;
    r->tails = t;
    r->tail_count++;
    atomic_store_explicit(&r->reading, true, memory_order_relaxed);
    pthread_mutex_unlock(&r->lock);
    return t;
}

unsigned ring_readers(ring *r)
{
    pthread_mutex_lock(&r->lock);
    unsigned n = r->tail_count;
    pthread_mutex_unlock(&r->lock);
    return n;
}

size_t tail_read(tail *t, tail_item *items, size_t cap, uint64_t *missed, bool *ended)
{
    ring *r = t->ring;
    pthread_mutex_lock(&r->lock);
    uint64_t oldest = r->next_index - r->count;
    *missed = t->at < oldest ? oldest - t->at : 0;
    t->at += *missed;
    size_t n = 0;
    while (n < cap && t->at < r->next_index) {
        items[n] = r->items[(r->first + (t->at - oldest)) % r->cap];
        buf_ref(items[n].bytes);
        if (items[n].channel)
            buf_ref(items[n].channel);
        n++;
        t->at++;
    }
    *ended = r->ended && t->at == r->next_index;
    if (n == 0 && !*missed && !*ended && t->wake)
        t->armed = true;
    pthread_mutex_unlock(&r->lock);
    return n;
}

void tail_close(tail *t)
{
    if (!t)
        return;
    ring *r = t->ring;
    pthread_mutex_lock(&r->lock);
    for (tail **at = &r->tails; *at; at = &(*at)->next)
        if (*at == t) {
            *at = t->next;
            break;
        }
    r->tail_count--;
    atomic_store_explicit(&r->reading, r->tail_count > 0, memory_order_relaxed);
    t->armed = false;
    while (t->waking)
        pthread_cond_wait(&r->quiet, &r->lock);
    if (!r->keeps && !r->tails) {
        while (r->count)
            drop_oldest(r);
        return_budget(r);
    }
    pthread_mutex_unlock(&r->lock);
    ring_unref(r);
    free(t);
}
