/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *kit_grow(void *old, size_t size)
{
    void *p = realloc(old, size ? size : 1);
    if (!p) {
        fputs("berth testkit: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *kit_alloc(size_t size)
{
    return memset(kit_grow(NULL, size), 0, size);
}

void *kit_copy(const void *ptr, size_t len)
{
    uint8_t *copy = kit_grow(NULL, len + 1);
    if (len)
        memcpy(copy, ptr, len);
    copy[len] = 0;
    return copy;
}

char *kit_escape(const void *ptr, uint64_t len)
{
    const uint8_t *p = ptr;
    uint64_t n = len < FAIL_MAX ? len : FAIL_MAX;
    char *text = kit_grow(NULL, n * 4 + 1);
    char *at = text;

    for (uint64_t i = 0; i < n; i++) {
        if (p[i] < 0x20 || p[i] == 0x7f)
            at += sprintf(at, "\\x%02x", p[i]);
        else
            *at++ = (char)p[i];
    }
    *at = 0;
    return text;
}

/* ---- Timers ---- */

kit_timer *world_timer(const kit_world *w, uint64_t number)
{
    for (size_t i = 0; i < w->timer_count; i++) {
        if (w->timers[i].number == number)
            return &w->timers[i];
    }
    return NULL;
}

kit_timer *world_due(const kit_world *w, int64_t now)
{
    kit_timer *first = NULL;

    for (size_t i = 0; i < w->timer_count; i++) {
        kit_timer *t = &w->timers[i];
        if (t->due_ns > now)
            continue;
        if (!first || t->due_ns < first->due_ns ||
            (t->due_ns == first->due_ns && t->order < first->order))
            first = t;
    }
    return first;
}

kit_timer world_take_timer(kit_world *w, kit_timer *timer)
{
    kit_timer taken = *timer;
    *timer = w->timers[--w->timer_count];
    return taken;
}

static void set_timer(kit_world *w, const berth_test_effect *e, int64_t now)
{
    kit_timer *timer = world_timer(w, e->request);

    if (timer)
        free(world_take_timer(w, timer).data);
    if (e->flags & BERTH_CANCEL)
        return;
    w->timers = kit_grow(w->timers, (w->timer_count + 1) * sizeof *w->timers);
    w->timers[w->timer_count++] = (kit_timer){
        .number = e->request,
        .due_ns = e->delay_ns > INT64_MAX - now ? INT64_MAX : now + e->delay_ns,
        .order = w->timer_order++,
        .data = kit_copy(e->data.ptr, e->data.len),
        .len = e->data.len,
    };
}

/* ---- Requests ---- */

bool world_requested(const kit_world *w, uint64_t request)
{
    for (size_t i = 0; i < w->request_count; i++) {
        if (w->requests[i] == request)
            return true;
    }
    return false;
}

void world_close_request(kit_world *w, uint64_t request)
{
    for (size_t i = 0; i < w->request_count; i++) {
        if (w->requests[i] == request) {
            w->requests[i] = w->requests[--w->request_count];
            return;
        }
    }
}

static void open_request(kit_world *w, uint64_t request)
{
    w->requests = kit_grow(w->requests, (w->request_count + 1) * sizeof *w->requests);
    w->requests[w->request_count++] = request;
}

/* ---- Subscriptions ---- */

static kit_subscription *find_subscription(const kit_world *w, const char *channel,
                                           uint64_t publisher)
{
    for (size_t i = 0; i < w->subscription_count; i++) {
        kit_subscription *s = &w->subscriptions[i];
        if (s->publisher == publisher && strcmp(s->channel, channel) == 0)
            return s;
    }
    return NULL;
}

int berth_test_subscribed(const berth_test_daemon *d, const char *channel, uint64_t publisher)
{
    return find_subscription(&d->world, channel, publisher) != NULL;
}

static void change_subscription(kit_world *w, const berth_test_effect *e)
{
    char *channel = kit_copy(e->channel.ptr, e->channel.len);
    kit_subscription *have = find_subscription(w, channel, e->origin);

    if (e->what == BERTH_TEST_SUBSCRIBE && !have) {
        size_t size = (w->subscription_count + 1) * sizeof *w->subscriptions;
        w->subscriptions = kit_grow(w->subscriptions, size);
        w->subscriptions[w->subscription_count++] = (kit_subscription){channel, e->origin};
        return;
    }
    if (e->what == BERTH_TEST_UNSUBSCRIBE && have) {
        free(have->channel);
        *have = w->subscriptions[--w->subscription_count];
    }
    free(channel);
}

void world_apply(kit_world *w, const berth_test_effect *e, int64_t now)
{
    if (e->what == BERTH_TEST_SUBSCRIBE || e->what == BERTH_TEST_UNSUBSCRIBE)
        change_subscription(w, e);
    else if (e->what == BERTH_TEST_OUTPUT && e->to == BERTH_TO_SELF)
        set_timer(w, e, now);
    else if (e->request)
        open_request(w, e->request);
}

void world_free(kit_world *w)
{
    for (size_t i = 0; i < w->timer_count; i++)
        free(w->timers[i].data);
    for (size_t i = 0; i < w->subscription_count; i++)
        free(w->subscriptions[i].channel);
    free(w->timers);
    free(w->requests);
    free(w->subscriptions);
}
