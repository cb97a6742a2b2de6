/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at daemons, without waiting for them. */
#include "daemon/spawn.h"

#include "base/clock.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void describe(struct daemon *d, berth_daemon_info *out)
{
    plugin_info info;
    plugin_kind_info(d->make->kind, &info);
    *out = (berth_daemon_info){
        .size = sizeof(*out),
        .origin = d->origin,
        .sequence = atomic_load(&d->sequence),
        .events_processed = atomic_load(&d->processed),
        .events_emitted = atomic_load(&d->emitted),
        .errors = atomic_load(&d->errors),
        .snapshots_taken = atomic_load(&d->snapshots),
        .breaks = atomic_load(&d->breaks),
        .events_lost = atomic_load(&d->lost),
        .overruns = atomic_load(&d->overruns),
        .health = (int32_t)atomic_load(&d->health),
        .saturation_ppm = atomic_load(&d->saturation_ppm),
        .state_bytes = atomic_load(&d->state_bytes),
        .durability = d->make->durability,
        .subscriptions = atomic_load(&d->subscriptions),
        .auto_snapshot = d->make->auto_snapshot,
        .started_wall_ns = d->started_wall_ns,
    };
    int64_t since = atomic_load(&d->busy_since_ns);
    out->busy_ns = since ? clock_mono_ns() - since : 0;
    memcpy(out->entity, d->make->key.entity, sizeof(out->entity));
    memcpy(out->plugin_digest, info.digest, sizeof(out->plugin_digest));
    snprintf(out->name, sizeof(out->name), "%s", d->name);
    snprintf(out->kind, sizeof(out->kind), "%s", daemon_kind_name(d));
    pthread_mutex_lock(&d->lock);
    out->state = (berth_daemon_state)d->state;
    out->mailbox_events = d->mail_events;
    out->mailbox_bytes = d->mail_bytes;
    out->incarnation = d->incarnation;
    out->epoch = d->epoch;
    if (d->quarantine)
        snprintf(out->quarantine, sizeof(out->quarantine), "%s", d->quarantine);
    pthread_mutex_unlock(&d->lock);
}

berth_status berth_daemon_get(berth_runtime *rt, uint64_t origin, berth_daemon_info *out,
                              berth_error *error)
{
    struct daemon *d = registry_get(&rt->registry, origin);
    if (!d)
        return fail(error, BERTH_ERR_NOT_FOUND, "there is no daemon %016llx",
                    (unsigned long long)origin);
    describe(d, out);
    daemon_unref(d);
    return BERTH_OK;
}

void berth_daemons_each(berth_runtime *rt, bool (*fn)(void *ctx, const berth_daemon_info *info),
                        void *ctx)
{
    size_t count;
    struct daemon **list = registry_list(&rt->registry, &count);
    bool more = true;
    for (size_t i = 0; i < count; i++) {
        berth_daemon_info info;
        if (more) {
            describe(list[i], &info);
            more = fn(ctx, &info);
        }
        daemon_unref(list[i]);
    }
    free(list);
}

uint64_t berth_daemon_count(const berth_runtime *rt)
{
    return atomic_load(&rt->registry.count);
}

/* ---- Finding --------------------------------------------------------------------------------- */

static bool is_hex(const char *text)
{
    return *text && strspn(text, "0123456789abcdefABCDEF") == strlen(text);
}

berth_status berth_daemon_find(berth_runtime *rt, const char *text, uint64_t *origin,
                               berth_error *error)
{
    size_t len = strlen(text);
    if (!len || len > 127)
        return fail(error, BERTH_ERR_INVALID,
                    "'%.40s' names no daemon: give a name, an origin, or a prefix "
                    "of either",
                    text);
    struct daemon *d = registry_get_name(&rt->registry, slice_str(text));
    if (!d && len == 16 && is_hex(text))
        d = registry_get(&rt->registry, strtoull(text, NULL, 16));
    if (d) {
        *origin = d->origin;
        daemon_unref(d);
        return BERTH_OK;
    }
    size_t count, found = 0;
    char some[160] = "";
    struct daemon **list = registry_list(&rt->registry, &count);
    for (size_t i = 0; i < count; i++) {
        char hex[17];
        snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)list[i]->origin);
        if (strncmp(list[i]->name, text, len) == 0 || strncasecmp(hex, text, len) == 0) {
            if (++found <= 3)
                snprintf(some + strlen(some), sizeof(some) - strlen(some), "%s%.40s",
                         found > 1 ? ", " : "", list[i]->name);
            *origin = list[i]->origin;
        }
        daemon_unref(list[i]);
    }
    free(list);
    if (found == 1)
        return BERTH_OK;
    if (!found)
        return fail(error, BERTH_ERR_NOT_FOUND,
                    "there is no daemon '%s': `berth daemon ls` lists them", text);
    return fail(error, BERTH_ERR_AMBIGUOUS,
                "'%s' could be any of %zu daemons (%s%s): give more of it", text, found, some,
                found > 3 ? ", ..." : "");
}

/* ---- For other nodes ------------------------------------------------------------------------- */

bool runtime_face_of(runtime *rt, uint64_t origin, void (*fn)(void *ctx, const runtime_face *face),
                     void *ctx)
{
    struct daemon *d = registry_get(&rt->registry, origin);
    if (!d)
        return false;
    runtime_face face = {.key = &d->make->key, .name = d->name, .kind = daemon_kind_name(d)};
    if (d->accept)
        face.accept = slice_of(d->accept->data, d->accept->len);
    pthread_mutex_lock(&d->lock);
    bool here = !d->gone && !d->refusing;
    face.incarnation = d->incarnation;
    face.epoch = d->epoch;
    face.came = d->came ? slice_of(d->came->data, d->came->len) : (slice){0};
    pthread_mutex_unlock(&d->lock);
    if (here)
        fn(ctx, &face);
    daemon_unref(d);
    return here;
}

bool runtime_find_exactly(runtime *rt, const char *name, uint64_t *origin)
{
    struct daemon *d = registry_get_name(&rt->registry, slice_str(name));
    if (!d && strlen(name) == 16 && is_hex(name))
        d = registry_get(&rt->registry, strtoull(name, NULL, 16));
    if (!d)
        return false;
    *origin = d->origin;
    daemon_unref(d);
    return true;
}

void runtime_gate_again(runtime *rt, uint64_t origin)
{
    struct daemon *d = registry_get(&rt->registry, origin);
    if (!d)
        return;
    pthread_mutex_lock(&d->lock);
    bool asked = !d->held && (d->state == BERTH_DAEMON_RUNNING || d->state == BERTH_DAEMON_HELD);
    pthread_mutex_unlock(&d->lock);
    if (asked) /* one in quarantine stays there; one that leaves is asked about if it stays */
        daemon_open_gate(d);
    daemon_unref(d);
}

void runtime_undelivered(runtime *rt, uint64_t sender, uint64_t origin, uint64_t request,
                         int32_t status)
{
    struct daemon *d = registry_get(&rt->registry, sender);
    if (!d)
        return;
    atomic_fetch_add_explicit(&d->lost, 1, memory_order_relaxed);
    if (request) {
        berth_event event = {
            .type = BERTH_EVENT_REPLY, .origin = origin, .request = request, .status = status};
        send_system(d, &event, NULL, false, 0);
    }
    daemon_unref(d);
}

/* ---- Observing ------------------------------------------------------------------------------- */

uint64_t berth_observe_lifecycle(berth_runtime *rt,
                                 void (*fn)(void *ctx, const berth_lifecycle_event *event),
                                 void *ctx)
{
    return observers_add_lifecycle(&rt->observers, fn, ctx);
}

static void refresh(runtime *rt, uint64_t origin)
{
    struct daemon *d = registry_get(&rt->registry, origin);
    if (!d)
        return;
    observers_refresh(&rt->observers, d);
    daemon_unref(d);
}

uint64_t berth_observe_delivery(berth_runtime *rt, uint64_t origin,
                                void (*fn)(void *ctx, uint64_t origin, const berth_event *event),
                                void *ctx)
{
    uint64_t id = observers_add_delivery(&rt->observers, origin, fn, ctx);
    if (id)
        refresh(rt, origin);
    return id;
}

bool runtime_call_back(runtime *rt, callback *c)
{
    return observers_call(&rt->observers, c);
}

void berth_unobserve(berth_runtime *rt, uint64_t id)
{
    uint64_t origin = observers_remove(&rt->observers, id);
    if (origin)
        refresh(rt, origin);
}
