/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a daemon hears and may publish: the ledger and the bonds that move with it, the channel
 * table of this host, and what the mesh has to know of it.
 */
#include "daemon/runtime_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "chain/channel.h"

#include <stdlib.h>

static slice group_of(const struct daemon *d, slice channel)
{
    slice group = {0};
    bonds_find(&d->more->bonds, channel, &group);
    return group;
}

/* Tell the mesh. */
static void subscribe_away(struct daemon *d, uint64_t publisher, slice channel, slice token,
                           bool on)
{
    const route *r = &d->rt->route;
    route_link *link = r->subscribe ? daemon_link(d) : NULL;
    if (link)
        r->subscribe(r->ctx, link, publisher, channel, group_of(d, channel), token, on);
}

static bool hears_at_all(const ledger *l, slice channel)
{
    for (size_t i = 0; i < l->count; i++)
        if (slice_eq(ledger_at(l, i).channel, channel))
            return true;
    return false;
}

/* The token to subscribe with: the one that is given, else one that is held and valid, else the one
 * that was used before. */
static const slice *choose_token(const struct daemon *d, slice channel, const slice *given,
                                 const binding *before, slice *room)
{
    const bonds_token *held = NULL;
    if (given)
        return given;
    if (d->more->bonds.token_count)
        held = bonds_leave(&d->more->bonds, BERTH_SCOPE_SUBSCRIBE, channel_hash(channel),
                           daemon_now_s(), BERTH_TOKEN_SKEW);
    if (held)
        *room = slice_of(held->bytes->data, held->bytes->len);
    else if (before && before->has_token)
        *room = before->token;
    else
        return NULL;
    return room;
}

/* One entry of the ledger into the channel table, and to the mesh. */
static berth_status apply(struct daemon *d, const binding *b, berth_error *error)
{
    berth_status status = channels_join(&d->rt->channels, b->channel, b->publisher,
                                        group_of(d, b->channel), d, error);
    if (status == BERTH_OK)
        subscribe_away(d, b->publisher, b->channel, b->has_token ? b->token : (slice){0}, true);
    return status;
}

/* A daemon is on a channel in one way, whoever publishes. */
static berth_status set_group(struct daemon *d, slice channel, slice group, berth_error *error)
{
    bonds *own = &d->more->bonds;
    const ledger *l = &d->more->ledger;
    berth_status status = BERTH_OK;
    if (slice_eq(group_of(d, channel), group))
        return BERTH_OK;
    if (group.len)
        status = bonds_put(own, channel, group, error);
    else
        bonds_forget(own, channel);
    for (size_t i = 0; i < l->count && status == BERTH_OK; i++) {
        binding b = ledger_at(l, i);
        if (slice_eq(b.channel, channel))
            status = apply(d, &b, error);
    }
    return status;
}

static void leave(struct daemon *d, uint64_t publisher, slice channel)
{
    extras *x = d->more;
    if (!ledger_forget(&x->ledger, publisher, channel))
        return;
    channels_leave(&d->rt->channels, channel, publisher, d);
    subscribe_away(d, publisher, channel, (slice){0}, false);
    if (x->bonds.channel_count && !hears_at_all(&x->ledger, channel))
        bonds_forget(&x->bonds, channel);
}

static berth_status enter(struct daemon *d, uint64_t publisher, slice channel, const slice *group,
                          const slice *token, berth_error *error)
{
    extras *x = d->more;
    binding before;
    slice room;
    bool known = ledger_find(&x->ledger, publisher, channel, &before);
    berth_status status = channel_name_check(channel, error);
    if (status == BERTH_OK && group)
        status = bonds_group_check(*group, error);
    /* A service that another daemon serves is refused before anything has changed. */
    if (status == BERTH_OK)
        status = channels_claim(&d->rt->channels, channel, d, error);
    if (status != BERTH_OK)
        return status;
    status = ledger_record(&x->ledger, publisher, channel,
                           choose_token(d, channel, token, known ? &before : NULL, &room), error);
    if (status == BERTH_OK && group)
        status = set_group(d, channel, *group, error);
    if (status == BERTH_OK && ledger_find(&x->ledger, publisher, channel, &before))
        status = apply(d, &before, error);
    if (status != BERTH_OK && !known) {
        leave(d, publisher, channel);
        channels_leave(&d->rt->channels, channel, publisher, d); /* the claim */
    }
    return status;
}

berth_status daemon_subscribe(struct daemon *d, uint64_t publisher, slice channel,
                              const slice *group, const slice *token, bool on, berth_error *error)
{
    extras *x = daemon_extras(d);
    berth_status status = BERTH_OK;
    if (!x)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (on)
        status = enter(d, publisher, channel, group, token, error);
    else
        leave(d, publisher, channel);
    atomic_store_explicit(&d->subscriptions, x->ledger.count, memory_order_relaxed);
    return status;
}

void daemon_join_all(struct daemon *d)
{
    berth_error error = {0};
    for (size_t i = 0; d->more && i < d->more->ledger.count; i++) {
        binding b = ledger_at(&d->more->ledger, i);
        if (apply(d, &b, &error) != BERTH_OK)
            log_error("daemon", "%s: channel '%.*s': %s", d->name, (int)b.channel.len,
                      (const char *)b.channel.ptr, error.text);
    }
    if (d->more)
        atomic_store_explicit(&d->subscriptions, d->more->ledger.count, memory_order_relaxed);
}

void daemon_leave_all(struct daemon *d)
{
    for (size_t i = 0; d->more && i < d->more->ledger.count; i++) {
        binding b = ledger_at(&d->more->ledger, i);
        channels_leave(&d->rt->channels, b.channel, b.publisher, d);
    }
}

berth_status daemon_claim_all(struct daemon *d, berth_error *error)
{
    berth_status status = BERTH_OK;
    for (size_t i = 0; d->more && i < d->more->ledger.count && status == BERTH_OK; i++)
        status = channels_claim(&d->rt->channels, ledger_at(&d->more->ledger, i).channel, d, error);
    return status;
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

/* It may be what a subscription has been waiting for, or last longer than the one it has. */
berth_status daemon_renew(struct daemon *d, berth_error *error)
{
    berth_status status = BERTH_OK;
    for (size_t i = 0; d->more && i < d->more->ledger.count && status == BERTH_OK; i++) {
        binding b = ledger_at(&d->more->ledger, i);
        slice room;
        const slice *best = choose_token(d, b.channel, NULL, &b, &room);
        if (!best || (b.has_token && slice_eq(*best, b.token)))
            continue;
        status = ledger_record(&d->more->ledger, b.publisher, b.channel, best, error);
        b = ledger_at(&d->more->ledger, i); /* its key is what it was, so it is where it was */
        if (status == BERTH_OK)
            status = apply(d, &b, error);
    }
    return status;
}
