/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How daemons are: asked of those that ran since they were last asked, if their kind can tell. The
 * question goes through the mailbox, so it never runs beside another call.
 */
#include "daemon/runtime_private.h"

#include <stdlib.h>

/* A change of saturation worth telling: 5 % of the scale. */
#define SATURATION_STEP 50000

void status_mark_dirty(struct daemon *d)
{
    runtime *rt = d->rt;
    if (!d->make->kind->table.status || d->dirty)
        return;
    pthread_mutex_lock(&rt->dirty_lock);
    if (rt->dirty_count == rt->dirty_cap) {
        size_t cap = rt->dirty_cap ? rt->dirty_cap * 2 : 64;
        uint64_t *more = realloc(rt->dirty, cap * sizeof(*more));
        if (more) {
            rt->dirty = more;
            rt->dirty_cap = cap;
        }
    }
    if (rt->dirty_count < rt->dirty_cap) {
        rt->dirty[rt->dirty_count++] = d->origin;
        d->dirty = true;
    }
    pthread_mutex_unlock(&rt->dirty_lock);
}

static void polled(command *c, struct daemon *d)
{
    d->dirty = false;
    if (c->status == BERTH_ERR_BROKEN && d->inst) {
        d->broken = true;
    } else if (c->status == BERTH_OK) {
        const berth_daemon_status *now = &c->report;
        atomic_store_explicit(&d->state_bytes, now->state_bytes, memory_order_relaxed);
        uint32_t health = (uint32_t)now->health;
        if (atomic_exchange_explicit(&d->health, health, memory_order_relaxed) != health)
            observers_tell(&d->rt->observers, BERTH_LIFECYCLE_HEALTH_CHANGED, d, health, "");
        uint32_t told = d->told_saturation, ppm = now->saturation_ppm;
        atomic_store_explicit(&d->saturation_ppm, ppm, memory_order_relaxed);
        uint32_t step = ppm > told ? ppm - told : told - ppm;
        if (step >= SATURATION_STEP || (step && (ppm == 0 || ppm == 1000000))) {
            d->told_saturation = ppm;
            observers_tell(&d->rt->observers, BERTH_LIFECYCLE_SATURATION_CHANGED, d, ppm, "");
        }
    }
    free(c);
}

void status_poll(runtime *rt)
{
    pthread_mutex_lock(&rt->dirty_lock);
    uint64_t *list = rt->dirty;
    size_t count = rt->dirty_count;
    rt->dirty = NULL;
    rt->dirty_count = rt->dirty_cap = 0;
    pthread_mutex_unlock(&rt->dirty_lock);
    for (size_t i = 0; i < count; i++) {
        struct daemon *d = registry_get(&rt->registry, list[i]);
        command *c = d ? calloc(1, sizeof(*c)) : NULL;
        if (c) {
            c->kind = COMMAND_STATUS;
            c->done = polled;
            if (!mailbox_command(d, c))
                free(c);
        }
        if (d)
            daemon_unref(d);
    }
    free(list);
}
