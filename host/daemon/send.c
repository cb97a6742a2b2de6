/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From one daemon to another, and who waits for whom.
 *
 * A daemon whose receiver is full is blocked: not run, its thread free, until the receiver has
 * room. A receiver that is itself blocked makes no room, so what goes to it goes over its mark, up
 * to a hard cap. Becoming blocked and looking whether the other is happen under one lock: of a
 * circle of daemons the last one sees its receiver blocked, so no circle can wait (DESIGN §3).
 */
#include "daemon/runtime_private.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

void send_system(struct daemon *d, const berth_event *event, buf *hold, bool urgent,
                 uint32_t generation)
{
    batch *b = batch_of_event(event, hold ? buf_ref(hold) : NULL);
    if (b)
        b->generation = generation;
    if (b && mailbox_put(d, b, urgent ? MAIL_URGENT : MAIL_SYSTEM, NULL) != BERTH_OK)
        batch_free(b);
}

void send_start(struct daemon *d, int32_t reason)
{
    d->started = true;
    if (!d->make->kind->table.on_start)
        return;
    berth_event event = {.type = BERTH_EVENT_START, .status = reason};
    send_system(d, &event, NULL, true, 0);
}

void send_answer(runtime *rt, struct daemon *from, const berth_ref *to, int32_t status,
                 uint64_t origin, slice text)
{
    if (to->w[3] != REPLY_TO_DAEMON)
        return;
    struct daemon *d = registry_get(&rt->registry, to->w[0]);
    route_link *link = !d && from ? daemon_link(from) : NULL;
    if (!d && !link)
        return;
    buf *hold = text.len ? buf_copy(text.ptr, text.len) : NULL;
    berth_event event = {.type = BERTH_EVENT_REPLY,
                         .origin = origin,
                         .request = to->w[1],
                         .status = status,
                         .data = {hold ? hold->data : NULL, hold ? hold->len : 0}};
    if (d) {
        send_system(d, &event, hold, false, 0);
        daemon_unref(d);
    } else {
        route_event out = {from->incarnation, from->epoch, &event, hold, NULL};
        if (rt->route.send(rt->route.ctx, link, to->w[0], &out, NULL, NULL) != BERTH_OK)
            atomic_fetch_add_explicit(&from->lost, 1, memory_order_relaxed);
    }
    buf_unref(hold);
}

/* ---- Waiting for room ------------------------------------------------------------------------ */

/* Under block_lock. */
static void unblock(runtime *rt, struct daemon *d)
{
    for (struct daemon **at = &rt->blocked; *at; at = &(*at)->block_next)
        if (*at == d) {
            *at = d->block_next;
            atomic_store(&d->blocked, false);
            return;
        }
}

static void has_room(void *ctx)
{
    struct daemon *d = ctx;
    pthread_mutex_lock(&d->rt->block_lock);
    unblock(d->rt, d);
    pthread_mutex_unlock(&d->rt->block_lock);
    mailbox_kick(d);
    daemon_unref(d); /* the credit's */
}

void block_clear(struct daemon *d)
{
    pthread_mutex_lock(&d->rt->block_lock);
    unblock(d->rt, d);
    pthread_mutex_unlock(&d->rt->block_lock);
}

/* OK: b was taken after all. WOULD_BLOCK: from is blocked. LOST, NOT_FOUND: b is still the
 * caller's. */
static berth_status wait_or_force(runtime *rt, struct daemon *from, struct daemon *target, batch *b,
                                  int64_t *deadline_ns)
{
    int64_t now = clock_mono_ns();
    if (!*deadline_ns)
        *deadline_ns = now + rt->limits.send_deadline_ns;
    if (now >= *deadline_ns)
        return BERTH_ERR_LOST;
    credit *c = malloc(sizeof(*c));
    if (!c)
        return BERTH_ERR_LOST;
    *c = (credit){.fn = has_room, .ctx = daemon_ref(from)};
    pthread_mutex_lock(&rt->block_lock);
    bool stuck = target == from || atomic_load(&target->blocked);
    if (!stuck) {
        /* Blocked before the credit can come; undone if there is room now. */
        atomic_store(&from->blocked, true);
        from->blocked_until_ns = *deadline_ns;
        from->block_next = rt->blocked;
        rt->blocked = from;
    }
    berth_status status = mailbox_put(target, b, stuck ? MAIL_OVER : MAIL_SEND, stuck ? NULL : c);
    if (!stuck && status != BERTH_ERR_WOULD_BLOCK)
        unblock(rt, from);
    pthread_mutex_unlock(&rt->block_lock);
    if (status != BERTH_ERR_WOULD_BLOCK) {
        daemon_unref(from);
        free(c);
    }
    return status;
}

berth_status send_to(runtime *rt, struct daemon *from, struct daemon *target,
                     const berth_event *event, buf *hold, int64_t *deadline_ns)
{
    batch *b = batch_of_event(event, hold ? buf_ref(hold) : NULL);
    if (!b)
        return BERTH_ERR_LOST;
    berth_status status = mailbox_put(target, b, MAIL_SEND, NULL);
    if (status == BERTH_ERR_WOULD_BLOCK)
        status = wait_or_force(rt, from, target, b, deadline_ns);
    if (status != BERTH_OK)
        batch_free(b);
    return status;
}

/* ---- To other hosts -------------------------------------------------------------------------- */

route_link *daemon_link(struct daemon *d)
{
    const route *r = &d->rt->route;
    if (!d->link && r->attach) {
        d->link = r->attach(r->ctx, &d->make->key);
        if (d->link && d->quiet)
            r->hush(r->ctx, d->link, true, d->epoch);
    }
    return d->link;
}

void daemon_unlink(struct daemon *d)
{
    if (d->link)
        d->rt->route.detach(d->rt->route.ctx, d->link, atomic_load(&d->moved_out));
    d->link = NULL;
}

/* Blocked before the route can call; undone if there was room after all. */
static bool await_route(struct daemon *from, int64_t *deadline_ns)
{
    runtime *rt = from->rt;
    int64_t now = clock_mono_ns();
    if (!*deadline_ns)
        *deadline_ns = now + rt->limits.send_deadline_ns;
    if (now >= *deadline_ns)
        return false;
    daemon_ref(from); /* until has_room */
    pthread_mutex_lock(&rt->block_lock);
    atomic_store(&from->blocked, true);
    from->blocked_until_ns = *deadline_ns;
    from->block_next = rt->blocked;
    rt->blocked = from;
    pthread_mutex_unlock(&rt->block_lock);
    return true;
}

static void cancel_await(struct daemon *from)
{
    block_clear(from);
    daemon_unref(from);
}

static berth_status send_away(runtime *rt, struct daemon *from, uint64_t target,
                              const berth_event *event, buf *hold, int64_t *deadline_ns)
{
    const route *r = &rt->route;
    route_link *link = daemon_link(from);
    route_event e = {from->incarnation, from->epoch, event, hold, NULL};
    if (!link)
        return BERTH_ERR_NOT_FOUND;
    berth_status status = r->send(r->ctx, link, target, &e, NULL, NULL);
    if (status != BERTH_ERR_WOULD_BLOCK)
        return status;
    if (!await_route(from, deadline_ns))
        return BERTH_ERR_LOST;
    status = r->send(r->ctx, link, target, &e, has_room, from);
    if (status != BERTH_ERR_WOULD_BLOCK)
        cancel_await(from);
    return status;
}

#define REFUSALS_TOLD_NS 60000000000

/* Once in a while, with how often: a daemon that may not publish will try for every event. */
static void tell_refusal(struct daemon *from, const char *why)
{
    extras *x = daemon_extras(from);
    int64_t now = clock_mono_ns();
    if (!x)
        return;
    x->refusals++;
    if (x->refusal_told_ns && now - x->refusal_told_ns < REFUSALS_TOLD_NS)
        return;
    log_warn("daemon", "%s: may not publish, %llu refused: %s", from->name,
             (unsigned long long)x->refusals, why);
    x->refusal_told_ns = now;
    x->refusals = 0;
}

berth_status send_publish(struct daemon *from, const berth_event *event, buf *hold,
                          int64_t *deadline_ns)
{
    const route *r = &from->rt->route;
    berth_error error = {0};
    if (!r->publish)
        return BERTH_OK;
    route_link *link = daemon_link(from);
    route_event e = {
        .incarnation = from->incarnation,
        .epoch = from->epoch,
        .event = event,
        .hold = hold,
        .leave = daemon_leave_to_publish(from, slice_of(event->channel.ptr, event->channel.len))};
    if (!link)
        return BERTH_ERR_LOST;
    berth_status status = r->publish(r->ctx, link, &e, NULL, NULL, &error);
    if (status == BERTH_ERR_WOULD_BLOCK) {
        if (!await_route(from, deadline_ns))
            return BERTH_ERR_LOST;
        status = r->publish(r->ctx, link, &e, has_room, from, &error);
        if (status != BERTH_ERR_WOULD_BLOCK)
            cancel_await(from);
    }
    if (status == BERTH_ERR_REFUSED)
        tell_refusal(from, error.text);
    return status;
}

berth_status send_event(runtime *rt, struct daemon *from, uint64_t target, const berth_event *event,
                        buf *hold, int64_t *deadline_ns)
{
    struct daemon *t = registry_get(&rt->registry, target);
    if (!t)
        return send_away(rt, from, target, event, hold, deadline_ns);
    berth_status status = send_near(rt, from, t, event, hold, deadline_ns);
    daemon_unref(t);
    return status;
}

/* What was sent on the long way, before one of the two came here, is to arrive first. */
static bool is_on_its_way(runtime *rt, struct daemon *from, struct daemon *target)
{
    const route *r = &rt->route;
    return (atomic_load_explicit(&target->moved_in, memory_order_relaxed) ||
            atomic_load_explicit(&from->moved_in, memory_order_relaxed)) &&
           from->link && r->owes(r->ctx, from->link, target->origin);
}

berth_status send_near(runtime *rt, struct daemon *from, struct daemon *target,
                       const berth_event *event, buf *hold, int64_t *deadline_ns)
{
    berth_status status = BERTH_ERR_NOT_FOUND;
    if (is_on_its_way(rt, from, target))
        return send_away(rt, from, target->origin, event, hold, deadline_ns);
    status = send_to(rt, from, target, event, hold, deadline_ns);
    if (status == BERTH_ERR_NOT_FOUND && atomic_load(&target->moved_out))
        status = send_away(rt, from, target->origin, event, hold, deadline_ns);
    return status;
}
