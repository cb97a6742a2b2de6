/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who else there is. As long as all have sessions with all, a node passes on the records of those
 * it has a session with, and no others: so what a liar makes up reaches the liar's own peers and
 * goes no further. In a larger mesh it passes on what is signed and has not run out.
 *
 * Two peers compare lists (KNOWN_PEERS): ids and sequences, 20 bytes a node. Each then sends the
 * records that the other lacks. This happens when a session is new, and every few seconds with one
 * peer at random; a newcomer's record also goes to a few peers at once. The cost of a node that
 * everybody knows is its line in the lists; where that is too much, sums are compared instead
 * (peers_compare.c).
 */
#include "mesh/peers_private.h"

#include "mesh/message.h"

#include <stdlib.h>

#define SECOND 1000000000ll

/* ---- Keeping records ------------------------------------------------------------------------- */

/* Does the record say other addresses than the one that it has? */
static bool moves(const peer *of, const peer_record *r)
{
    peer_record before;

    peer_get_record(of, &before);
    return before.address_count != r->address_count ||
           memcmp(before.addresses, r->addresses, r->address_count * sizeof *r->addresses) != 0;
}

bool peer_keep_record(peers *p, peer *of, const peer_record *r, slice bytes)
{
    buf *kept = buf_copy(bytes.ptr, bytes.len);

    if (!kept)
        return false;
    bool moved = of->bytes && moves(of, r);
    peer_unlist(p, of);
    buf_unref(of->bytes);
    of->bytes = kept;
    of->sequence = r->sequence;
    of->not_after_s = r->not_after_s;
    of->address_count = r->address_count;
    peer_list(p, of);
    if (!of->configured && memcmp(of->static_key, r->static_key, 32) != 0) {
        peer_unkey(p, of); /* whether it has that key shows in a handshake */
        memcpy(of->static_key, r->static_key, 32);
    }
    if (moved && !of->current)
        of->failures = of->turn = 0;
    p->counters.records_new++;
    return true;
}

/* Verifying costs; who sends more than its share of new records waits. A mesh that is joined comes
 * at once, so what was saved up may be as much as the table holds. */
static bool may_verify(peers *p, peer *from)
{
    int64_t each = SECOND / VERIFY_PER_S, saved = p->now_ns - (int64_t)p->config.max_peers * each;

    if (from->paced_ns < saved)
        from->paced_ns = saved;
    if (from->paced_ns + each > p->now_ns)
        return false;
    from->paced_ns += each;
    return true;
}

/* from: NULL when it does not come from a peer. *news: the bytes, when they are new here.
 * SIGNATURE, INVALID: whoever sent it is at fault. */
static berth_status learn(peers *p, peer *from, slice bytes, buf **news, berth_error *error)
{
    peer_record r;

    *news = NULL;
    berth_status s = record_decode(bytes, &r, error);

    p->counters.records_in++;
    if (s != BERTH_OK) {
        p->counters.records_bad++;
        return s;
    }
    uint64_t node = berth_entity_node_id(r.entity);
    peer *of = peer_by_node(p, node);
    bool own = node == p->self;
    if ((own && r.sequence <= p->own_record.sequence) ||
        (of && of->bytes && r.sequence <= of->sequence) ||
        (of && memcmp(of->entity, r.entity, sizeof r.entity) != 0)) {
        p->counters.records_old++;
        return BERTH_OK;
    }
    if (from && !may_verify(p, from)) {
        p->counters.records_paced++;
        return BERTH_OK;
    }
    s = record_verify(bytes, &r, peers_wall(p), p->config.verify, error);
    if (s == BERTH_ERR_SIGNATURE) {
        p->counters.records_bad++;
        return s;
    }
    if (s != BERTH_OK) {
        p->counters.records_expired++;
        return BERTH_OK;
    }
    if (own) {
        /* We said it, and have forgotten: a clock that was set back, a state that was restored. */
        if (peers_resign(p, r.sequence, error) == BERTH_OK)
            gossip_own(p);
        return BERTH_OK;
    }
    bool fresh = !of;
    if (fresh) {
        if (from && from->introduced >= p->config.max_peers / 2) {
            p->counters.records_full++;
            return BERTH_OK;
        }
        of = peer_new(p, false);
        if (!of || !peer_name_node(p, of, r.entity)) {
            p->counters.records_full++;
            if (of)
                peer_free(p, of);
            return BERTH_OK;
        }
        memcpy(of->static_key, r.static_key, 32);
        if (from) {
            of->introducer = from->node;
            from->introduced++;
        }
    }
    if (!peer_keep_record(p, of, &r, bytes))
        return BERTH_ERR_NO_MEMORY;
    *news = of->bytes;
    bool back = of->left;
    of->left = false;
    if (back)
        peer_list(p, of);
    if (p->sparse && !of->sessions) /* it lives: it has just signed this */
        detector_forget(&p->detector, of->node);
    if (fresh)
        peers_tell(p, of, PEER_LEARNED);
    peer_consider(p, of);
    if ((fresh || back || !of->failures) && !of->current)
        peer_dial_soon(p, of);
    else
        peer_rearm(p, of);
    return BERTH_OK;
}

berth_status peers_learn(peers *p, slice record, int64_t now_ns, berth_error *error)
{
    buf *news;

    peers_enter(p, now_ns);
    berth_status s = learn(p, NULL, record, &news, error);
    peers_exit(p);
    return s;
}

/* ---- Sending records ------------------------------------------------------------------------- */

bool gossip_passes_on(const peers *p, const peer *of)
{
    return of->current || (p->sparse && of->listed);
}

void record_batch_send(peers *p, peer *to, record_batch *b)
{
    if (b->count && to->current && held_send(p, to->current, records_encode(b->records, b->count)))
        p->counters.records_out += b->count;
    b->count = 0;
}

void record_batch_add(peers *p, peer *to, record_batch *b, buf *record)
{
    b->records[b->count++] = record;
    if (b->count == RECORDS_MAX)
        record_batch_send(p, to, b);
}

/* What came alone is new to the mesh, and goes on to a few at once; what came among many was asked
 * for, and others ask for it, too. */
static void pass_on(peers *p, const peer *from, record_batch *b)
{
    for (unsigned i = 0; p->sparse && i < RUMOUR_FANOUT && p->live_count; i++) {
        peer *to = p->live[peers_random(p) % p->live_count];
        record_batch copy = *b;
        if (to != from)
            record_batch_send(p, to, &copy);
    }
}

void gossip_records(peers *p, held *from, slice body)
{
    peer *sender = from->peer;
    record_batch b = {.count = 0};
    size_t count;
    reader r;

    if (!records_open(body, &count, &r)) {
        held_fault(p, from, "records that are none");
        return;
    }
    bool few = count <= RUMOUR_MAX;
    while (count--) {
        buf *news;
        berth_status s = learn(p, sender, records_next(&r), &news, NULL);
        if (s == BERTH_ERR_INVALID || s == BERTH_ERR_SIGNATURE) {
            held_fault(p, from, "a record that does not verify");
            break;
        }
        if (news && few)
            b.records[b.count++] = buf_ref(news); /* its entry may have to make room yet */
    }
    if (b.count)
        pass_on(p, sender, &b);
    for (size_t i = 0; i < b.count; i++)
        buf_unref(b.records[i]);
}

void gossip_own(peers *p)
{
    for (size_t i = 0; i < p->live_count; i++) {
        record_batch b = {.records = {p->own}, .count = 1};
        record_batch_send(p, p->live[i], &b);
    }
}

void gossip_rumour(peers *p, peer *about)
{
    for (unsigned i = 0; i < RUMOUR_FANOUT && p->live_count; i++) {
        peer *to = p->live[peers_random(p) % p->live_count];
        record_batch b = {.records = {about->bytes}, .count = 1};
        if (to != about)
            record_batch_send(p, to, &b);
    }
}

/* ---- Comparing lists ------------------------------------------------------------------------- */

static bool is_relayed(const peers *p, const peer *of)
{
    session_info info = {0};

    if (!p->config.is_relayed)
        return false;
    p->t.info(of->current->s, &info);
    return p->config.is_relayed(p->config.ctx, &info.path);
}

static uint32_t reach(const peers *p, const peer *of)
{
    if (!of->current)
        return KNOWN_NO_PATH;
    if (is_relayed(p, of))
        return KNOWN_RELAYED;
    int64_t us = of->rtt_ns / 1000;
    return us < KNOWN_RELAYED ? (uint32_t)us : KNOWN_RELAYED - 1;
}

static void send_list(peers *p, peer *to, uint8_t flags)
{
    known *all = malloc((p->count ? p->count : 1) * sizeof *all);
    size_t n = 0;

    if (!all)
        return;
    for (const peer *x = p->all; x; x = x->next)
        if (x != to && x->node && x->bytes && !x->left)
            all[n++] = (known){x->node, x->sequence, reach(p, x)};
    if (to->current && held_send(p, to->current, known_encode(flags, all, n)))
        p->counters.digests_out++;
    free(all);
}

void gossip_greet(peers *p, peer *with)
{
    if (peers_are_many(p))
        compare_soon(p, with);
    else
        send_list(p, with, KNOWN_ANSWER); /* the peer sends its own by itself */
}

void gossip_tick(peers *p)
{
    size_t at = p->live_count ? peers_random(p) % p->live_count : 0;

    p->gossip_ns = p->now_ns + peers_jitter(p, 2 * p->config.gossip_ns);
    if (!p->live_count)
        return;
    if (!peers_are_many(p)) {
        send_list(p, p->live[at], 0);
        return;
    }
    /* Those that are new first, one at a time: what one of them says need not be said by all. */
    for (size_t i = 0; p->to_compare && i < p->live_count; i++)
        if (p->live[(at + i) % p->live_count]->compare) {
            at = (at + i) % p->live_count;
            break;
        }
    compare_send(p, p->live[at]);
    if (p->to_compare)
        p->gossip_ns = p->now_ns + peers_jitter(p, COMPARE_PACE_NS);
}

/* ---- Who reaches whom ------------------------------------------------------------------------ */

static void relay_note(peers *p, peer *of, uint64_t via, uint32_t rtt_us)
{
    unsigned i = 0;

    while (i < of->relay_count && of->relays[i].via != via)
        i++;
    if (rtt_us >= KNOWN_RELAYED) {
        if (i < of->relay_count)
            of->relays[i] = of->relays[--of->relay_count];
        return;
    }
    unsigned failures = i < of->relay_count ? of->relays[i].failures : 0;
    if (!of->relays && !(of->relays = calloc(RELAYS_MAX, sizeof *of->relays)))
        return;
    if (i == RELAYS_MAX) { /* full: the one that was heard of first gives way */
        i = 0;
        for (unsigned k = 1; k < RELAYS_MAX; k++)
            if (of->relays[k].heard_ns < of->relays[i].heard_ns)
                i = k;
    } else if (i == of->relay_count) {
        of->relay_count++;
    }
    of->relays[i] = (relay){via, (int64_t)rtt_us * 1000, p->now_ns, failures};
}

bool peers_relay(const peers *p, uint64_t node, int64_t now_ns, uint64_t *via)
{
    const peer *of = peer_by_node(p, node);
    const relay *chosen = NULL;
    int64_t best = 0;

    if (!of || of->current)
        return false;
    for (unsigned i = 0; i < of->relay_count; i++) {
        const relay *r = &of->relays[i];
        const peer *middle = peer_by_node(p, r->via);
        if (!middle || !middle->current || now_ns - r->heard_ns > 3 * p->config.timeout_ns ||
            detector_health(&p->detector, r->via) != HEALTH_HEALTHY || is_relayed(p, middle))
            continue;
        int64_t rtt = r->rtt_ns + middle->rtt_ns;
        if (!chosen || (r->failures != chosen->failures ? r->failures < chosen->failures
                        : rtt != best                   ? rtt < best
                                                        : r->via < chosen->via)) {
            best = rtt;
            chosen = r;
        }
    }
    if (chosen)
        *via = chosen->via;
    return chosen != NULL;
}

void peers_relay_failed(peers *p, uint64_t node, uint64_t via)
{
    const peer *of = peer_by_node(p, node);

    for (unsigned i = 0; of && i < of->relay_count; i++)
        if (of->relays[i].via == via)
            of->relays[i].failures++;
}

void gossip_ask(peers *p, peer *about)
{
    if (!about->node || about->current)
        return;
    if (p->sparse && !about->configured && about->wanted_ns <= p->now_ns)
        return; /* nobody wants to send it anything */
    for (size_t i = 0; i < ASKED_MAX && i < p->live_count; i++) {
        size_t at = p->live_count <= ASKED_MAX ? i : peers_random(p) % p->live_count;
        held_send(p, p->live[at]->current, number_encode(MESSAGE_WHO_REACHES, about->node));
    }
}

void gossip_who_reaches(peers *p, held *from, uint64_t node)
{
    peer *of = peer_by_node(p, node);
    known k = {.node = node, .rtt_us = KNOWN_NO_PATH};

    if (of && of != from->peer && of->bytes)
        k = (known){node, of->sequence, reach(p, of)};
    held_send(p, from, known_encode(KNOWN_ANSWER | KNOWN_PARTIAL, &k, 1));
    /* In a large mesh few have a session with it. Who asks will ask again: make one for then. */
    if (p->sparse && of && of != from->peer && !of->current && p->dials < p->config.max_dials / 2)
        peer_want(p, of);
}

void gossip_known(peers *p, held *from, slice body)
{
    peer *sender = from->peer;
    uint8_t flags;
    size_t count;
    reader r;
    map64 newest = {0};
    bool lack = false;
    record_batch b = {.count = 0};

    if (!known_open(body, &flags, &count, &r)) {
        held_fault(p, from, "a list of peers that is none");
        return;
    }
    p->counters.digests_in++;
    for (size_t i = 0; i < count; i++) {
        known k = known_next(&r);
        peer *of = peer_by_node(p, k.node);
        if (k.node == p->self)
            continue;
        if (k.rtt_us != KNOWN_NO_PATH && (!of || !of->bytes || of->sequence < k.sequence))
            lack = true;
        if (of && of != sender && !of->current)
            relay_note(p, of, sender->node, k.rtt_us);
        /* What the sender has as new as we do needs no sending. */
        if (of && of->bytes && of->sequence <= k.sequence && !map64_put(&newest, k.node, of))
            goto out;
    }
    if (flags & KNOWN_PARTIAL)
        goto out;
    for (peer *of = p->all; of; of = of->next)
        if (of != sender && of->bytes && gossip_passes_on(p, of) && !map64_get(&newest, of->node))
            record_batch_add(p, sender, &b, of->bytes);
    record_batch_send(p, sender, &b);
    if (peers_are_many(p))
        compare_soon(p, sender);
    else if (lack && !(flags & KNOWN_ANSWER))
        send_list(p, sender, KNOWN_ANSWER);
out:
    map64_fini(&newest);
}
