/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two peers find what one of them lacks: sums, lists where they differ, then the announcements
 * themselves. With a new peer soon, one at a time, so that who joins is not told everything by
 * everybody; then with one peer at random, because what is passed on to a few may miss some.
 */
#include "mesh/announcements_parts.h"
#include "mesh/message.h"

#include "base/error.h"

#include <stdlib.h>

#define PACE_NS  500000000  /* between two peers that are new */
#define ASKED_NS 2000000000 /* that long after a list what comes is the answer to it */

uint64_t announcements_chance(announcements *t)
{
    uint64_t z = t->chance += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* [1/2, 1) of it, by chance. */
static int64_t jitter(announcements *t, int64_t base)
{
    return base / 2 + (int64_t)(announcements_chance(t) % (uint64_t)(base - base / 2));
}

void announcements_advance(announcements *t, int64_t now_ns)
{
    if (t->now_ns == INT64_MIN)
        t->compare_ns = now_ns + jitter(t, t->config.compare_ns);
    if (now_ns > t->now_ns)
        t->now_ns = now_ns;
}

void listener_compare_soon(announcements *t, listener *p)
{
    t->to_compare += !p->compare;
    p->compare = true;
    if (t->now_ns != INT64_MIN && t->compare_ns > t->now_ns + PACE_NS)
        t->compare_ns = t->now_ns + jitter(t, PACE_NS);
}

void listener_compare_never(announcements *t, listener *p)
{
    t->to_compare -= p->compare;
    p->compare = false;
}

/* With few peers each gets everything, and there is nothing to find. */
int64_t announcements_compare_deadline(const announcements *t)
{
    return t->to_compare || t->peers.count > FEW ? t->compare_ns : INT64_MAX;
}

static listener *next_to_compare(const announcements *t, size_t from)
{
    for (size_t i = 0; t->to_compare && i < t->peers.count; i++) {
        listener *p = t->listeners[(from + i) % t->peers.count];

        if (p->compare && !p->blocked)
            return p;
    }
    return t->listeners[from];
}

static void send_taken(announcements *t, const listener *p, buf *message, uint64_t *counter)
{
    if (message && t->events.send(t->ctx, p->node_id, message) == BERTH_OK)
        ++*counter;
    buf_unref(message);
}

void announcements_compare_tick(announcements *t)
{
    listener *p;

    if (announcements_compare_deadline(t) > t->now_ns || !t->peers.count)
        return;
    p = next_to_compare(t, (size_t)(announcements_chance(t) % t->peers.count));
    listener_compare_never(t, p);
    send_taken(t, p, sums_encode(MESSAGE_ANNOUNCEMENT_SUMS, &t->sums), &t->counters.sums_out);
    t->compare_ns = t->now_ns + jitter(t, t->to_compare ? PACE_NS : 2 * t->config.compare_ns);
}

/* What is live, and up to which version the rest is known: nobody need send that. */
static void send_list(announcements *t, listener *p, const sums_places *where, uint8_t flags)
{
    sums_entry *all = malloc((t->live.count + t->gone.count + 1) * sizeof *all);
    size_t n = 0;

    if (!all)
        return;
    for (const known *k = t->live.first; k; k = k->next)
        if (sums_in(where, k->node_id))
            all[n++] = (sums_entry){k->node_id, k->version};
    for (const known *k = t->gone.first; k; k = k->next)
        if (sums_in(where, k->node_id) && k->version)
            all[n++] = (sums_entry){k->node_id, k->version};
    if (t->live.count >= t->config.max_nodes)
        flags |= SUMS_FULL;
    p->asked_ns = t->now_ns + ASKED_NS;
    send_taken(t, p, sums_list_encode(MESSAGE_ANNOUNCEMENT_LIST, flags, where, all, n),
               &t->counters.lists_out);
    free(all);
}

static void take_list(announcements *t, listener *p, uint8_t flags, const sums_places *where,
                      size_t count, reader *r)
{
    sums_places lack = {.bits = where->bits};
    map64 newest = {0}, named = {0};

    for (size_t i = 0; i < count; i++) {
        sums_entry e = sums_list_next(r);
        known *k = map64_get(&t->nodes, e.id);

        if (!k || k->version < e.version)
            sums_mark(&lack, e.id);
        if (!k)
            continue;
        /* What the peer has as new as we do needs no sending. */
        if ((k->version <= e.version && !map64_put(&newest, e.id, k)) ||
            ((flags & SUMS_FULL) && !map64_put(&named, e.id, k)))
            goto out;
    }
    for (known *k = p->blocked ? NULL : t->live.first; k; k = k->next) {
        if (!sums_in(where, k->node_id) || map64_get(&newest, k->node_id) || !known_is_for(k, p) ||
            ((flags & SUMS_FULL) && !map64_get(&named, k->node_id)))
            continue;
        if (!listener_send(t, p, k)) {
            listener_compare_soon(t, p); /* the rest, once there is room */
            break;
        }
    }
    if (lack.count && !(flags & SUMS_ANSWER) && t->live.count < t->config.max_nodes)
        send_list(t, p, &lack, SUMS_ANSWER);
out:
    map64_fini(&newest);
    map64_fini(&named);
}

berth_status announcements_compare(announcements *t, uint64_t peer, uint16_t kind, slice body,
                                   int64_t mono_ns, berth_error *error)
{
    listener *p = map64_get(&t->peers, peer);
    sums_places where;
    uint8_t flags;
    size_t count;
    reader r;

    announcements_advance(t, mono_ns);
    if (!p)
        return fail(error, BERTH_ERR_NOT_FOUND, "announcements: %016llx is not a peer",
                    (unsigned long long)peer);
    if (kind == MESSAGE_ANNOUNCEMENT_SUMS && sums_compare(body, &t->sums, &where)) {
        t->counters.sums_in++;
        listener_compare_never(t, p); /* this is the comparison */
        if (where.count && t->listed_ns + PACE_NS <= t->now_ns) {
            t->listed_ns = t->now_ns;
            send_list(t, p, &where, 0);
        } else if (where.count) {
            listener_compare_soon(t, p); /* what another is about to send need not come twice */
        }
        return BERTH_OK;
    }
    if (kind == MESSAGE_ANNOUNCEMENT_LIST && sums_list_open(body, &flags, &where, &count, &r)) {
        t->counters.lists_in++;
        take_list(t, p, flags, &where, count, &r);
        return BERTH_OK;
    }
    t->counters.lists_bad++;
    return fail(error, BERTH_ERR_CORRUPT,
                "announcements: %016llx sent a comparison (0x%04x) that is none",
                (unsigned long long)peer, kind);
}
