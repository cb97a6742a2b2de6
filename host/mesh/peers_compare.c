/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In a mesh that is too large for sessions between all: who else there is.
 *
 * Two peers compare the sums of the records that they have (mesh/sums.h), then lists where they
 * differ; each then sends what the other lacks. That costs nothing for what both have.
 */
#include "mesh/peers_private.h"

#include "mesh/message.h"

#include <stdlib.h>

/* ---- What is compared ------------------------------------------------------------------------ */

void peer_unlist(peers *p, peer *of)
{
    if (!of->listed)
        return;
    sums_remove(&p->sums, of->node, of->sequence);
    of->listed = false;
}

void peer_list(peers *p, peer *of)
{
    int64_t wall = peers_wall(p);

    peer_unlist(p, of);
    of->expires_ns = NEVER;
    if (!of->node || !of->bytes || of->left || of->not_after_s < wall)
        return;
    int64_t lasts_s = of->not_after_s - wall + 1;
    of->expires_ns = p->now_ns + lasts_s * 1000000000;
    sums_add(&p->sums, of->node, of->sequence);
    of->listed = true;
}

/* ---- Comparing ------------------------------------------------------------------------------- */

bool compare_send(peers *p, peer *to)
{
    p->to_compare -= to->compare;
    to->compare = false;
    if (!to->current || !held_send(p, to->current, sums_encode(MESSAGE_RECORD_SUMS, &p->sums)))
        return false;
    p->counters.digests_out++;
    return true;
}

void compare_soon(peers *p, peer *with)
{
    p->to_compare += !with->compare;
    with->compare = true;
    if (p->gossip_ns > p->now_ns + COMPARE_PACE_NS)
        p->gossip_ns = p->now_ns + peers_jitter(p, COMPARE_PACE_NS);
}

void compare_never(peers *p, peer *with)
{
    p->to_compare -= with->compare;
    with->compare = false;
}

static void send_list(peers *p, held *to, const sums_places *where, uint8_t flags)
{
    sums_entry *all = malloc((p->sums.count + 1) * sizeof *all);
    size_t n = 0;

    if (!all)
        return;
    if (sums_in(where, p->self))
        all[n++] = (sums_entry){p->self, p->own_record.sequence};
    for (const peer *x = p->all; x; x = x->next)
        if (x->listed && sums_in(where, x->node))
            all[n++] = (sums_entry){x->node, x->sequence};
    if (p->count >= p->config.max_peers)
        flags |= SUMS_FULL;
    if (held_send(p, to, sums_list_encode(MESSAGE_RECORD_LIST, flags, where, all, n)))
        p->counters.digests_out++;
    free(all);
}

void compare_sums(peers *p, held *from, slice body)
{
    sums_places where;

    if (!sums_compare(body, &p->sums, &where)) {
        held_fault(p, from, "sums that are none");
        return;
    }
    p->counters.digests_in++;
    compare_never(p, from->peer); /* this is the comparison */
    if (where.count && p->listed_ns + COMPARE_PACE_NS <= p->now_ns) {
        p->listed_ns = p->now_ns;
        send_list(p, from, &where, 0);
    } else if (where.count) {
        compare_soon(p, from->peer); /* what another is about to send need not come twice */
    }
}

void compare_list(peers *p, held *from, slice body)
{
    peer *sender = from->peer;
    map64 newest = {0}, named = {0};
    sums_places where, lack;
    record_batch b = {.count = 0};
    uint8_t flags;
    size_t count;
    reader r;

    if (!sums_list_open(body, &flags, &where, &count, &r)) {
        held_fault(p, from, "a list of records that is none");
        return;
    }
    p->counters.digests_in++;
    lack = (sums_places){.bits = where.bits};
    for (size_t i = 0; i < count; i++) {
        sums_entry e = sums_list_next(&r);
        peer *of = peer_by_node(p, e.id);
        bool own = e.id == p->self;
        uint64_t ours = own ? p->own_record.sequence : of && of->bytes ? of->sequence : 0;
        if (e.version > ours)
            sums_mark(&lack, e.id);
        if ((ours && ours <= e.version && !map64_put(&newest, e.id, p)) ||
            ((flags & SUMS_FULL) && !map64_put(&named, e.id, p)))
            goto out;
    }
    if (sums_in(&where, p->self) && !map64_get(&newest, p->self))
        record_batch_add(p, sender, &b, p->own);
    for (peer *x = p->all; x; x = x->next)
        if (x != sender && x->listed && sums_in(&where, x->node) && gossip_passes_on(p, x) &&
            !map64_get(&newest, x->node) && (!(flags & SUMS_FULL) || map64_get(&named, x->node)))
            record_batch_add(p, sender, &b, x->bytes);
    record_batch_send(p, sender, &b);
    if (lack.count && !(flags & SUMS_ANSWER) && sender->current)
        send_list(p, sender->current, &lack, SUMS_ANSWER);
out:
    map64_fini(&newest);
    map64_fini(&named);
}
