/* SPDX-License-Identifier: Apache-2.0 */
/* A daemon's subscriptions: the ledger that moves with it, and the channel table of this host. */
#include "daemon/runtime_private.h"

#include "base/error.h"

/* Tell the mesh, unless it is a channel of this host alone. */
static void subscribe_away(struct daemon *d, uint64_t publisher, slice channel, slice token,
                           bool on)
{
    const route *r = &d->rt->route;
    if (!r->subscribe || publisher == d->rt->node_id)
        return;
    route_link *link = daemon_link(d);
    if (link)
        r->subscribe(r->ctx, link, publisher, channel, token, on);
}

berth_status daemon_subscribe(struct daemon *d, uint64_t publisher, slice channel,
                              const slice *token, bool on, berth_error *error)
{
    extras *x = daemon_extras(d);
    if (!x)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    channels *table = &d->rt->channels;
    berth_status status = BERTH_OK;
    if (!on) {
        if (ledger_forget(&x->ledger, publisher, channel)) {
            channels_leave(table, channel, publisher, d);
            subscribe_away(d, publisher, channel, (slice){0}, false);
        }
    } else {
        status = ledger_record(&x->ledger, publisher, channel, token, error);
        if (status == BERTH_OK && !channels_join(table, channel, publisher, d)) {
            ledger_forget(&x->ledger, publisher, channel);
            status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
        }
        if (status == BERTH_OK)
            subscribe_away(d, publisher, channel, token ? *token : (slice){0}, true);
    }
    atomic_store_explicit(&d->subscriptions, x->ledger.count, memory_order_relaxed);
    return status;
}

void daemon_join_all(struct daemon *d)
{
    for (size_t i = 0; d->more && i < d->more->ledger.count; i++) {
        binding b = ledger_at(&d->more->ledger, i);
        channels_join(&d->rt->channels, b.channel, b.publisher, d);
        subscribe_away(d, b.publisher, b.channel, b.has_token ? b.token : (slice){0}, true);
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
