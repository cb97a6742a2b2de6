/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers, and deadlines of requests: what comes to a daemon when its time has come.
 *
 * A due belongs to its daemon's runner and stands in the runtime's heap. When it fires, its event
 * bears the due's generation; one that was replaced or cancelled meanwhile has another, so its
 * event is void.
 */
#include "daemon/runtime_private.h"

#include "base/clock.h"

#include <stdlib.h>

static map64 *table(const struct daemon *d, bool request)
{
    if (!d->more)
        return NULL;
    return request ? &d->more->requests : &d->more->timers;
}

static due *find(const struct daemon *d, bool request, uint64_t number)
{
    map64 *m = table(d, request);
    return m ? map64_get(m, number) : NULL;
}

bool due_known(const struct daemon *d, bool request, uint64_t number)
{
    return find(d, request, number) != NULL;
}

static void take_out(runtime *rt, due *x)
{
    pthread_mutex_lock(&rt->due_lock);
    heap_remove(&rt->dues, &x->node);
    pthread_mutex_unlock(&rt->due_lock);
}

static void discard(struct daemon *d, due *x)
{
    take_out(d->rt, x);
    map64_del(table(d, x->is_request), x->number);
    atomic_fetch_sub_explicit(&d->rt->due_count, 1, memory_order_relaxed);
    buf_unref(x->data);
    free(x);
}

void due_cancel(struct daemon *d, bool request, uint64_t number)
{
    due *x = find(d, request, number);
    if (x)
        discard(d, x);
}

bool due_accept(struct daemon *d, bool request, uint64_t number, uint32_t generation)
{
    due *x = find(d, request, number);
    if (!x || x->generation != generation)
        return false;
    discard(d, x);
    return true;
}

berth_status due_set(struct daemon *d, bool request, uint64_t number, uint64_t target, buf *data,
                     int64_t in_ns, int64_t wall_ns)
{
    runtime *rt = d->rt;
    extras *more = daemon_extras(d);
    if (!more)
        return BERTH_ERR_NO_MEMORY;
    if (!request && number == 0) {
        /* Without a number there may be many; each gets one that no daemon can choose. */
        do
            number = (1ull << 63) | ++more->next_anonymous;
        while (find(d, false, number));
    }
    /* never 0, never GENERATION_ANY */
    uint32_t generation = more->next_generation = more->next_generation % (GENERATION_ANY - 1) + 1;
    due_cancel(d, request, number);
    map64 *m = table(d, request);
    due *x = m->count < DUES_MAX ? calloc(1, sizeof(*x)) : NULL;
    if (!x)
        return BERTH_ERR_LIMIT;
    *x = (due){.owner = d,
               .number = number,
               .generation = generation,
               .is_request = request,
               .data = data ? buf_ref(data) : NULL,
               .target = target,
               .wall_ns = wall_ns};
    int64_t now = clock_mono_ns();
    x->node.due_ns = in_ns > INT64_MAX - now ? INT64_MAX : now + in_ns;
    bool ok = map64_put(m, number, x);
    if (ok) {
        pthread_mutex_lock(&rt->due_lock);
        bool first = x->node.due_ns < heap_next(&rt->dues);
        ok = heap_push(&rt->dues, &x->node);
        pthread_mutex_unlock(&rt->due_lock);
        if (!ok)
            map64_del(m, number);
        else if (first)
            loop_wake(rt);
    }
    if (!ok) {
        buf_unref(x->data);
        free(x);
        return BERTH_ERR_NO_MEMORY;
    }
    atomic_fetch_add_explicit(&rt->due_count, 1, memory_order_relaxed);
    return BERTH_OK;
}

static void drop_table(struct daemon *d, map64 *m)
{
    void *value;
    for (size_t at = 0; map64_next(m, &at, NULL, &value);) {
        due *x = value;
        take_out(d->rt, x);
        atomic_fetch_sub_explicit(&d->rt->due_count, 1, memory_order_relaxed);
        buf_unref(x->data);
        free(x);
    }
    map64_fini(m);
}

void dues_drop(struct daemon *d)
{
    if (!d->more)
        return;
    drop_table(d, &d->more->timers);
    drop_table(d, &d->more->requests);
}

void due_refused(struct daemon *d, uint64_t number, uint64_t target)
{
    berth_event event = {
        .type = BERTH_EVENT_REPLY, .origin = target, .request = number, .status = BERTH_REPLY_LOST};
    send_system(d, &event, NULL, false, GENERATION_ANY);
}

/* Fire one due that is over, if there is one. */
static bool fire(runtime *rt, int64_t now)
{
    pthread_mutex_lock(&rt->due_lock);
    due *x = (due *)heap_pop_due(&rt->dues, now);
    if (!x) {
        pthread_mutex_unlock(&rt->due_lock);
        return false;
    }
    /* From here on x is its runner's alone, who may discard it at once: copy what is needed. */
    struct daemon *d = daemon_ref(x->owner);
    buf *data = x->data ? buf_ref(x->data) : NULL;
    uint32_t generation = x->generation;
    berth_event event = {.type = BERTH_EVENT_TIMER, .request = x->number};
    if (x->is_request) {
        event.type = BERTH_EVENT_REPLY;
        event.status = BERTH_REPLY_TIMEOUT;
        event.origin = x->target;
    } else if (data) {
        event.data = (berth_bytes){data->data + EFFECT_HEAD, data->len - EFFECT_HEAD};
    }
    pthread_mutex_unlock(&rt->due_lock);
    send_system(d, &event, data, false, generation);
    buf_unref(data);
    daemon_unref(d);
    return true;
}

/* Daemons that waited for room longer than they may: let them try again, and give up. */
static void release_overdue(runtime *rt, int64_t now)
{
    for (;;) {
        struct daemon *late = NULL;
        pthread_mutex_lock(&rt->block_lock);
        for (struct daemon **at = &rt->blocked; *at && !late;) {
            if ((*at)->blocked_until_ns > now) {
                at = &(*at)->block_next;
                continue;
            }
            late = daemon_ref(*at);
            *at = late->block_next;
            atomic_store(&late->blocked, false);
        }
        pthread_mutex_unlock(&rt->block_lock);
        if (!late)
            return;
        mailbox_kick(late);
        daemon_unref(late);
    }
}

void runtime_tick(runtime *rt, int64_t now)
{
    while (fire(rt, now))
        ;
    release_overdue(rt, now);
}
