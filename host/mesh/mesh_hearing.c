/* SPDX-License-Identifier: Apache-2.0 */
/* What has become of all that a daemon here wants to hear: for those who moved it here. */
#include "mesh/mesh_private.h"

#include "chain/channel.h"
#include "identity/entity.h"

#include <stdio.h>

typedef struct looking {
    const uint8_t *entity;
    mesh_hearing *out;
} looking;

static void miss(mesh_hearing *h, slice channel, uint64_t publisher, const char *why)
{
    if (h->missing++)
        return;
    snprintf(h->channel, sizeof h->channel, "%.*s", (int)channel.len, (const char *)channel.ptr);
    h->publisher = publisher;
    snprintf(h->why, sizeof h->why, "%s", why);
}

static void take_subscription(mesh_hearing *h, const subscription *s)
{
    if (s->state == SUBSCRIPTION_LEAVING)
        return;
    h->total++;
    if (s->state == SUBSCRIPTION_ASKING && s->attempts <= 1)
        h->pending++;
    else if (s->state == SUBSCRIPTION_ASKING)
        miss(h, s->channel, s->publisher, "no answer");
    else if (s->state == SUBSCRIPTION_WAITING)
        miss(h, s->channel, s->publisher, "not connected");
    else if (s->state == SUBSCRIPTION_REFUSED)
        miss(h, s->channel, s->publisher, channel_reason_text(s->reason));
}

/* Of each node that there is; what was asked of one is among the subscriptions already. */
static void take_wish(mesh *m, const wish *w, mesh_hearing *h)
{
    slice channel = slice_of(w->channel->data, w->channel->len);
    void *value;

    if (mesh_channels_lacks(m, w)) {
        h->total++;
        miss(h, channel, m->key.node_id, channel_reason_text(CHANNEL_UNAUTHORIZED));
    }
    for (size_t at = 0; !w->publisher && map64_next(&m->nodes, &at, NULL, &value);) {
        const mesh_node *n = value;

        if (!n->up || subscriptions_find(m->subscriptions, n->id, w->subscriber, channel))
            continue;
        h->total++;
        miss(h, channel, n->id, "this host has too many subscriptions");
    }
}

static void look(mesh *m, void *ctx)
{
    looking *l = ctx;
    const subscription *s;

    for (size_t at = 0; (s = subscriptions_next(m->subscriptions, &at)) != NULL;)
        if (entity_eq(s->subscriber, l->entity))
            take_subscription(l->out, s);
    for (const wish *w = m->wishes; w; w = w->next)
        if (entity_eq(w->subscriber, l->entity))
            take_wish(m, w, l->out);
}

void mesh_hearing_of(mesh *m, const uint8_t entity[BERTH_ENTITY_SIZE], mesh_hearing *out)
{
    looking l = {entity, out};

    *out = (mesh_hearing){.total = 0};
    mesh_ask(m, look, &l);
}
