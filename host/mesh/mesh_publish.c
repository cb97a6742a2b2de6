/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of what a daemon publishes to all who hear it on other nodes: whether it may, who is
 * meant, and all of them or none.
 */
#include "mesh/mesh_private.h"

#include "base/error.h"

#include <stdlib.h>

/* Under l->lock: who has got it, should one of them be found here as well. */
static void note_reached(route_link *l, uint64_t sequence, const roster_picks *to)
{
    l->published = sequence;
    l->reached_count = 0;
    if (to->count > l->reached_cap) {
        uint64_t *more = realloc(l->reached, to->count * sizeof *more);

        if (!more)
            return;
        l->reached = more;
        l->reached_cap = to->count;
    }
    for (size_t i = 0; i < to->count; i++)
        l->reached[l->reached_count++] = to->items[i]->origin;
}

/* Under l->lock. To all, or with WOULD_BLOCK to nobody. */
static berth_status queue_all(route_link *l, uint64_t incarnation, const roster_picks *to,
                              buf *bytes)
{
    flow_out *flows = link_outbox(l, incarnation);
    berth_status status = BERTH_OK;

    if (!flows)
        return BERTH_ERR_NO_MEMORY;
    if (!flow_out_fits(flows, (uint32_t)to->count, to->count * bytes->len, (uint32_t)to->count))
        return BERTH_ERR_WOULD_BLOCK;
    for (size_t i = 0; i < to->count && status == BERTH_OK; i++)
        status = flow_out_send(flows, to->items[i]->origin, bytes, NULL);
    /* An empty outbox takes as much as there is: some have it, and it cannot be taken back. */
    return status == BERTH_ERR_WOULD_BLOCK ? BERTH_ERR_LOST : status;
}

/* Under channels_lock. The signatures of a chain are checked when it is first shown: the daemon
 * keeps its bytes, so the same buffer is the same bytes. */
static berth_status may_publish(mesh *m, route_link *l, const route_event *e, slice channel,
                                uint64_t now_s, berth_error *error)
{
    slice chain = e->leave ? slice_of(e->leave->data, e->leave->len) : (slice){0};
    berth_status status =
        membership_may_publish(m->membership, channel, chain, e->leave && e->leave == l->verified,
                               l->entity, mesh_channels_offers, m, now_s, error);

    if (status == BERTH_OK && e->leave && e->leave != l->verified &&
        mesh_channels_is_guarded(m, channel)) {
        buf_unref(l->verified);
        l->verified = buf_ref(e->leave);
    }
    return status;
}

/* Under channels_lock. */
static berth_status send_picks(route_link *l, uint64_t incarnation, const roster_picks *to,
                               const berth_event *event, void (*wake)(void *), void *wake_ctx)
{
    buf *bytes = event_wire_make(event);
    berth_status status;

    if (!bytes)
        return BERTH_ERR_NO_MEMORY;
    pthread_mutex_lock(&l->lock);
    status = queue_all(l, incarnation, to, bytes);
    if (status == BERTH_OK)
        note_reached(l, event->sequence, to);
    if (status == BERTH_ERR_WOULD_BLOCK && wake && !link_wait(l, wake, wake_ctx))
        status = BERTH_ERR_NO_MEMORY;
    pthread_mutex_unlock(&l->lock);
    buf_unref(bytes);
    return status;
}

/* Under channels_lock: the rule has become open, and the runtime reaches who hears all of it. */
static void leave_out_ours(mesh *m)
{
    size_t left = 0;

    for (size_t i = 0; i < m->picks.count; i++) {
        const roster_member *member = m->picks.items[i];

        if (member->node != m->key.node_id || member->group.len)
            m->picks.items[left++] = member;
    }
    m->picks.count = left;
}

berth_status mesh_channels_publish(void *ctx, route_link *link, const route_event *e,
                                   void (*wake)(void *), void *wake_ctx, berth_error *error)
{
    mesh *m = ctx;
    route_link *l = link ? link : m->node_link;
    uint64_t incarnation = link ? e->incarnation : m->config.boot;
    uint64_t now_s = (uint64_t)mesh_wall_s(m);
    slice channel = slice_of(e->event->channel.ptr, e->event->channel.len);
    berth_status status;
    size_t count = 0;

    pthread_mutex_lock(&m->channels_lock);
    status = may_publish(m, l, e, channel, now_s, error);
    if (status == BERTH_OK && atomic_load(&m->members))
        status = membership_recipients(m->membership, channel, now_s, &m->picks);
    else
        m->picks.count = 0;
    if (!mesh_channels_is_guarded(m, channel))
        leave_out_ours(m);
    if (status == BERTH_OK && (count = m->picks.count)) {
        status = send_picks(l, incarnation, &m->picks, e->event, wake, wake_ctx);
        if (status != BERTH_OK)
            membership_recall(m->membership, &m->picks);
    }
    pthread_mutex_unlock(&m->channels_lock);
    if (status == BERTH_ERR_REFUSED)
        atomic_fetch_add(&m->refused_publish, 1);
    if (status == BERTH_OK && count) {
        atomic_fetch_add(&m->published, count);
        link_touch(l);
    } else if (status == BERTH_ERR_WOULD_BLOCK) {
        fail(error, status, "what was published before has not arrived everywhere yet");
    } else if (status == BERTH_ERR_NO_MEMORY) {
        fail(error, status, "out of memory");
    }
    return status;
}
