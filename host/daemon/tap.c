/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tap.h"

#include "base/error.h"
#include "daemon/blob.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct tap {
    atomic_uint refs;
    atomic_bool full;
    effect_limits limits;
    uint64_t room; /* [lock] */
    writer in_use; /* the runner's: of the event that it runs; NULL: nothing */
    pthread_mutex_t lock;
    writer w;       /* [lock] a blob of executed events, or empty */
    uint32_t count; /* [lock] events in it */
    int64_t time_ns;
    bool lifted;         /* [lock] */
    berth_status broken; /* [lock] OK: it is not */
    const char *why;
};

tap *tap_new(uint64_t room, const effect_limits *limits)
{
    tap *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    atomic_init(&t->refs, 1);
    atomic_init(&t->full, false);
    pthread_mutex_init(&t->lock, NULL);
    t->limits = *limits;
    t->room = room;
    return t;
}

tap *tap_ref(tap *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tap_unref(tap *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    writer_free(&t->in_use);
    writer_free(&t->w);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

void tap_in_use(tap *t, uint64_t request)
{
    const writer *w = &t->in_use;
    for (size_t at = 0; at < w->len; at += 8)
        if (load_u64(w->data + at) == request)
            return;
    writer_u64(&t->in_use, request);
}

/* Under t->lock. */
static void break_it(tap *t, berth_status status, const char *why)
{
    if (t->broken == BERTH_OK) {
        t->broken = status;
        t->why = why;
    }
    writer_free(&t->w);
    t->count = 0;
    atomic_store(&t->full, false);
}

void tap_break(tap *t, berth_status status, const char *why)
{
    pthread_mutex_lock(&t->lock);
    break_it(t, status, why);
    pthread_mutex_unlock(&t->lock);
}

void tap_event(tap *t, executed_event *e)
{
    e->in_use = t->in_use.data;
    e->in_use_count = (uint16_t)(t->in_use.len / 8); /* no more than there are dues */
    pthread_mutex_lock(&t->lock);
    if (t->broken == BERTH_OK) {
        if (!t->count) {
            blob_begin(&t->w);
            executed_begin(&t->w, &t->limits);
            t->time_ns = 0;
        }
        executed_add(&t->w, e, &t->time_ns);
        t->count++;
        if (t->w.failed || t->in_use.failed)
            break_it(t, BERTH_ERR_NO_MEMORY, "out of memory for what it runs");
        else if (!t->lifted && blob_len(&t->w) >= t->room)
            atomic_store(&t->full, true);
    }
    pthread_mutex_unlock(&t->lock);
    t->in_use.len = 0;
}

bool tap_full(const tap *t)
{
    return atomic_load_explicit(&t->full, memory_order_relaxed);
}

void tap_set_room(tap *t, uint64_t room)
{
    pthread_mutex_lock(&t->lock);
    t->room = room;
    pthread_mutex_unlock(&t->lock);
}

void tap_lift(tap *t)
{
    pthread_mutex_lock(&t->lock);
    t->lifted = true;
    atomic_store(&t->full, false);
    pthread_mutex_unlock(&t->lock);
}

berth_status tap_take(tap *t, buf **out, uint32_t *count, berth_error *error)
{
    writer w = {0};
    *out = NULL;
    *count = 0;
    pthread_mutex_lock(&t->lock);
    if (t->broken == BERTH_OK && t->count) {
        w = t->w;
        *count = t->count;
        t->w = (writer){0};
        t->count = 0;
        atomic_store(&t->full, false);
    }
    berth_status status = t->broken;
    const char *why = t->why;
    pthread_mutex_unlock(&t->lock);
    if (status != BERTH_OK)
        return fail(error, status, "what it ran since its state was taken is not known: %s", why);
    if (!*count)
        return BERTH_OK;
    executed_end(&w, sizeof(buf), *count);
    *out = blob_end(&w);
    if (*out)
        return BERTH_OK;
    tap_break(t, BERTH_ERR_NO_MEMORY, "out of memory");
    return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}
