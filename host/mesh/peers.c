/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/peers_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "mesh/message.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Telling --------------------------------------------------------------------------------- */

void peers_enter(peers *p, int64_t now_ns)
{
    if (now_ns > p->now_ns)
        p->now_ns = now_ns;
    p->depth++;
}

void peers_exit(peers *p)
{
    if (--p->depth || p->telling)
        return;
    p->telling = true;
    for (size_t i = 0; i < p->event_count; i++) {
        peer_event event = p->events[i]; /* the array may move while it is told */
        for (unsigned k = 0; k < p->subscriber_count; k++)
            p->subscribers[k].call(p->subscribers[k].ctx, &event);
    }
    p->event_count = 0;
    p->telling = false;
}

void peers_tell_event(peers *p, const peer_event *event)
{
    if (p->event_count == p->event_cap) {
        size_t cap = p->event_cap ? p->event_cap * 2 : 32;
        peer_event *events = realloc(p->events, cap * sizeof *events);
        if (!events)
            return; /* nothing better can be done; what is true can be looked up */
        p->events = events;
        p->event_cap = cap;
    }
    p->events[p->event_count++] = *event;
}

void peers_tell(peers *p, const peer *of, peer_change change)
{
    peer_event event = {.change = change, .node = of->node};

    memcpy(event.entity, of->entity, sizeof event.entity);
    peers_tell_event(p, &event);
}

berth_status peers_subscribe(peers *p, peer_subscriber *call, void *ctx)
{
    if (p->subscriber_count == PEERS_SUBSCRIBERS_MAX)
        return BERTH_ERR_LIMIT;
    p->subscribers[p->subscriber_count].call = call;
    p->subscribers[p->subscriber_count++].ctx = ctx;
    return BERTH_OK;
}

void peers_unsubscribe(peers *p, peer_subscriber *call, void *ctx)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < p->subscriber_count; i++)
        if (p->subscribers[i].call != call || p->subscribers[i].ctx != ctx)
            p->subscribers[kept++] = p->subscribers[i];
    p->subscriber_count = kept;
}

static void health_changed(void *ctx, uint64_t node, health from, health to)
{
    peers *p = ctx;
    const peer *of = peer_by_node(p, node);

    if (!of || from == HEALTH_UNKNOWN)
        return;
    peers_tell(p, of,
               to == HEALTH_HEALTHY     ? PEER_RECOVERED
               : to == HEALTH_SUSPECTED ? PEER_SUSPECTED
                                        : PEER_FAILED);
    /* Nobody here asks it from now on, so nobody would hear that it is back. */
    if (to == HEALTH_FAILED && !of->sessions && !peer_needed(p, of))
        detector_forget(&p->detector, node);
}

/* ---- Sources --------------------------------------------------------------------------------- */

uint64_t peers_random(peers *p)
{
    uint64_t v;

    if (p->config.random)
        p->config.random(p->config.ctx, &v, sizeof v);
    else
        v = random_u64();
    return v;
}

int64_t peers_wall(const peers *p)
{
    int64_t s = p->config.wall_s ? p->config.wall_s(p->config.ctx) : clock_wall_ns() / 1000000000;

    return s > 0 ? s : 0;
}

berth_status peers_resign(peers *p, uint64_t above, berth_error *error)
{
    peer_record r = p->own_record;
    int64_t wall = peers_wall(p);
    buf *bytes;

    /* Seeded by the clock, so that a node that forgot everything still says something newer. */
    r.sequence = (uint64_t)wall << 20;
    if (r.sequence <= above)
        r.sequence = above < UINT64_MAX ? above + 1 : above;
    int64_t lasts_s = p->config.record_life_s;
    if (p->leaving && lasts_s > FAREWELL_S)
        lasts_s = FAREWELL_S;
    r.not_after_s = wall + lasts_s;
    berth_status s = record_sign(&r, p->config.identity, &bytes, error);
    if (s != BERTH_OK)
        return s;
    memcpy(r.entity, p->config.identity->entity, sizeof r.entity);
    if (p->own)
        sums_remove(&p->sums, p->self, p->own_record.sequence);
    sums_add(&p->sums, p->self, r.sequence);
    buf_unref(p->own);
    p->own = bytes;
    p->own_record = r;
    p->resign_ns = p->now_ns + p->config.record_life_s / 2 * 1000000000;
    return BERTH_OK;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static berth_status complete(peers_config *c, berth_error *error)
{
#define DEFAULT(field, value)                                                                      \
    if (!c->field)                                                                                 \
    c->field = (value)
    const int64_t second = 1000000000;
    DEFAULT(max_peers, 4096);
    DEFAULT(max_dials, 64);
    DEFAULT(full_mesh, 64);
    DEFAULT(neighbours, 8);
    DEFAULT(idle_ns, 60 * second);
    DEFAULT(heartbeat_ns, 5 * second);
    DEFAULT(timeout_ns, 30 * second);
    DEFAULT(backoff_ns, second / 2);
    DEFAULT(backoff_max_ns, 30 * second);
    DEFAULT(yield_ns, second);
    DEFAULT(linger_ns, 2 * second);
    DEFAULT(gossip_ns, 5 * second);
    DEFAULT(session_life_ns, 86400 * second);
    DEFAULT(record_life_s, 7200);
#undef DEFAULT
    const int64_t most = 1000 * 86400 * second;
    if (!c->identity || !berth_keypair_is_full(c->identity))
        return fail(error, BERTH_ERR_INVALID, "mesh: the node's key has no secret half");
    if (c->max_peers > KNOWN_MAX)
        return fail(error, BERTH_ERR_INVALID, "mesh: max_peers is %u; at most %u are possible",
                    c->max_peers, KNOWN_MAX);
    if (c->neighbours > NEIGHBOURS_MAX)
        return fail(error, BERTH_ERR_INVALID, "mesh: neighbours is %u; at most %d are possible",
                    c->neighbours, NEIGHBOURS_MAX);
    if (c->heartbeat_ns < 10000000 || c->heartbeat_ns > most)
        return fail(error, BERTH_ERR_INVALID, "mesh: the heartbeat must be 10 ms or longer");
    if (c->timeout_ns <= c->heartbeat_ns || c->timeout_ns > most / 100)
        return fail(error, BERTH_ERR_INVALID,
                    "mesh: the timeout must be longer than the heartbeat, else every peer fails "
                    "between two of them");
    if (!c->forget_ns)
        c->forget_ns = 30 * c->timeout_ns;
    if (c->backoff_ns < 0 || c->backoff_max_ns < c->backoff_ns || c->backoff_max_ns > most ||
        c->yield_ns < 0 || c->linger_ns < 0 || c->gossip_ns < 0 || c->idle_ns < 0 ||
        c->idle_ns > most || c->session_life_ns < 0 || c->session_life_ns > most ||
        c->forget_ns < 0 || c->forget_ns > most)
        return fail(error, BERTH_ERR_INVALID, "mesh: a duration is negative or out of order");
    if (c->record_life_s < 2 || c->record_life_s > RECORD_LIFE_MAX_S)
        return fail(error, BERTH_ERR_INVALID, "mesh: a peer record may hold for 2 s to %d days",
                    RECORD_LIFE_MAX_S / 86400);
    return BERTH_OK;
}

berth_status peers_new(const peers_config *config, int64_t now_ns, peers **out, berth_error *error)
{
    peers *p = calloc(1, sizeof *p);
    berth_status s;

    *out = NULL;
    if (!p || !(p->viewed = calloc(1, sizeof *p->viewed))) {
        free(p);
        return fail(error, BERTH_ERR_NO_MEMORY, "mesh: out of memory");
    }
    p->config = *config;
    p->t = config->transport;
    p->now_ns = now_ns;
    s = complete(&p->config, error);
    if (s != BERTH_OK)
        goto fail;
    detector_config d = {.timeout_ns = p->config.timeout_ns,
                         .max_nodes = p->config.max_peers,
                         .changed = health_changed,
                         .ctx = p};
    s = detector_init(&p->detector, &d, error);
    if (s != BERTH_OK)
        goto fail;
    p->self = config->identity->node_id;
    do
        p->boot = peers_random(p);
    while (!p->boot);
    p->salt = peers_random(p);
    memcpy(p->own_record.static_key, config->static_key, 32);
    memcpy(p->own_record.name, config->name, sizeof p->own_record.name);
    memcpy(p->own_record.addresses, config->addresses, sizeof p->own_record.addresses);
    p->own_record.address_count = config->address_count;
    s = peers_resign(p, 0, error);
    if (s != BERTH_OK)
        goto fail;
    p->gossip_ns = now_ns + peers_jitter(p, p->config.gossip_ns);
    p->leave_ns = p->choose_ns = NEVER;
    p->listed_ns = now_ns - COMPARE_PACE_NS;
    *out = p;
    return BERTH_OK;
fail:
    detector_fini(&p->detector);
    free(p->viewed);
    free(p);
    return s;
}

static void peer_release(peer *of)
{
    buf_unref(of->bytes);
    free(of->configured_at);
    free(of->relays);
    free(of);
}

void peers_free(peers *p)
{
    if (!p)
        return;
    while (p->all) {
        peer *of = p->all;
        p->all = of->next;
        peer_release(of);
    }
    while (p->held) {
        held *h = p->held;
        p->held = h->next;
        free(h);
    }
    map64_fini(&p->by_node);
    strmap_fini(&p->by_key);
    heap_fini(&p->due);
    detector_fini(&p->detector);
    buf_unref(p->own);
    free(p->viewed);
    free(p->live);
    free(p->events);
    free(p);
}

/* ---- Entries --------------------------------------------------------------------------------- */

void peer_get_record(const peer *of, peer_record *out)
{
    record_decode(slice_of(of->bytes->data, of->bytes->len), out, NULL);
}

peer *peer_by_node(const peers *p, uint64_t node)
{
    return map64_get(&p->by_node, node);
}

peer *peer_by_key(const peers *p, const uint8_t key[32])
{
    return strmap_get(&p->by_key, slice_of(key, 32));
}

/* Of the learned nodes that never answered, the one that failed most makes room; for one that has
 * proven itself, also one that was never asked. */
static bool make_room(peers *p, bool proven)
{
    peer *worst = NULL;

    for (peer *x = p->all; x; x = x->next)
        if (!x->configured && !x->proven && !x->sessions && (x->failures || proven) &&
            (!worst || x->failures > worst->failures))
            worst = x;
    if (!worst)
        return false;
    peers_tell(p, worst, PEER_FORGOTTEN);
    p->counters.forgotten++;
    peer_free(p, worst);
    return true;
}

peer *peer_new(peers *p, bool proven)
{
    if (p->count >= p->config.max_peers && !make_room(p, proven)) {
        p->counters.full++;
        return NULL;
    }
    peer *of = calloc(1, sizeof *of);
    if (!of)
        return NULL;
    /* Room for all among the live, and a place in the heap for good: neither is asked for when it
     * cannot be refused. */
    if (p->count == p->live_cap) {
        size_t cap = p->live_cap ? p->live_cap * 2 : 64;
        peer **live = realloc(p->live, cap * sizeof(*live));
        if (!live) {
            free(of);
            return NULL;
        }
        p->live = live;
        p->live_cap = cap;
    }
    of->due.due_ns = NEVER;
    if (!heap_push(&p->due, &of->due)) {
        free(of);
        return NULL;
    }
    of->dial_ns = NEVER;
    of->expires_ns = NEVER;
    of->lost_ns = p->now_ns;
    of->next = p->all;
    if (p->all)
        p->all->prev = of;
    p->all = of;
    p->count++;
    return of;
}

void peer_clear_introducer(peers *p, peer *of)
{
    peer *by = of->introducer ? peer_by_node(p, of->introducer) : NULL;

    if (by && by->introduced)
        by->introduced--;
    of->introducer = 0;
}

void peer_unkey(peers *p, peer *of)
{
    if (of->keyed)
        strmap_del(&p->by_key, slice_of(of->static_key, 32));
    of->keyed = false;
}

/* Whoever had the key before has it no longer. */
void peer_key(peers *p, peer *of, const uint8_t key[32])
{
    peer *before = peer_by_key(p, key);

    if (before == of)
        return;
    if (before)
        peer_unkey(p, before);
    peer_unkey(p, of);
    memcpy(of->static_key, key, 32);
    of->keyed = strmap_put(&p->by_key, slice_of(of->static_key, 32), of);
}

/* All that belongs to the node it was, and not to the peer. */
static void peer_forget_node(peers *p, peer *of)
{
    peer_unlist(p, of);
    of->expires_ns = NEVER;
    if (of->node) {
        map64_del(&p->by_node, of->node);
        detector_forget(&p->detector, of->node);
    }
    of->node = of->boot = 0;
    of->relay_count = 0;
    buf_unref(of->bytes);
    of->bytes = NULL;
}

bool peer_name_node(peers *p, peer *of, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    uint64_t node = berth_entity_node_id(entity);

    if (of->node == node)
        return true;
    if (!map64_put(&p->by_node, node, of))
        return false;
    peer_forget_node(p, of);
    of->node = node;
    memcpy(of->entity, entity, BERTH_ENTITY_SIZE);
    return true;
}

void peer_free(peers *p, peer *of)
{
    while (of->sessions)
        held_close(p, of->sessions, END_REPLACED, "no longer a peer");
    peer_clear_introducer(p, of);
    peer_forget_node(p, of);
    peer_unkey(p, of);
    heap_remove(&p->due, &of->due);
    *(of->prev ? &of->prev->next : &p->all) = of->next;
    if (of->next)
        of->next->prev = of->prev;
    p->count--;
    compare_never(p, of);
    of->failures = 0;
    if (of->chosen)
        peer_consider(p, of);
    peer_prove(p, of, false);
    peer_release(of);
}

void peer_merge(peers *p, peer *into, peer *from)
{
    uint8_t entity[BERTH_ENTITY_SIZE];
    bool was_current = from->current != NULL;

    memcpy(entity, from->entity, sizeof entity);
    peer_unlist(p, from);
    peer_forget_node(p, into);
    into->bytes = from->bytes;
    into->sequence = from->sequence;
    into->not_after_s = from->not_after_s;
    into->address_count = from->address_count;
    from->bytes = NULL;
    into->boot = from->boot;
    peer_prove(p, into, into->proven || from->proven);
    into->rtt_ns = from->rtt_ns;
    into->introduced = from->introduced;
    if (!into->seen_at.len)
        into->seen_at = from->seen_at;
    /* The place among the live ones goes along without a word: the node has not changed. */
    if (was_current) {
        into->current = from->current;
        into->live_at = from->live_at;
        p->live[into->live_at] = into;
        from->current = NULL;
    }
    while (from->sessions)
        held_move(into, from->sessions);
    if (from->dialling) {
        if (!into->dialling)
            into->dialling = from->dialling;
        from->dialling = NULL;
    }
    peer_clear_introducer(p, from);
    map64_put(&p->by_node, from->node, into); /* replaces: needs no memory */
    into->node = from->node;
    memcpy(into->entity, entity, sizeof entity);
    from->node = 0;
    if (into->wanted_ns < from->wanted_ns)
        into->wanted_ns = from->wanted_ns;
    peer_list(p, into);
    peer_free(p, from);
}

/* ---- Configuration --------------------------------------------------------------------------- */

static peer *by_name(const peers *p, const char *name)
{
    for (peer *x = p->all; x; x = x->next)
        if (x->configured && strcmp(x->name, name) == 0)
            return x;
    return NULL;
}

berth_status peers_configure(peers *p, const char *name, const uint8_t static_key[32],
                             const address *addresses, unsigned count, int64_t now_ns,
                             berth_error *error)
{
    berth_status s = BERTH_OK;

    if (memcmp(static_key, p->config.static_key, 32) == 0)
        return fail(error, BERTH_ERR_INVALID, "peer \"%s\": the key is this host's own", name);
    if (count > RECORD_ADDRESSES_MAX)
        return fail(error, BERTH_ERR_INVALID, "peer \"%s\": %u addresses; at most %d fit", name,
                    count, RECORD_ADDRESSES_MAX);
    address *at = calloc(count + 1, sizeof *at);
    if (!at)
        return fail(error, BERTH_ERR_NO_MEMORY, "peer \"%s\": out of memory", name);
    if (count)
        memcpy(at, addresses, count * sizeof *at);
    peers_enter(p, now_ns);
    peer *of = by_name(p, name), *keyed = peer_by_key(p, static_key);
    if (of && of != keyed && of->keyed && memcmp(of->static_key, static_key, 32) != 0) {
        peer_free(p, of); /* under the old key it is somebody else */
        of = NULL;
    }
    if (!of)
        of = keyed;
    if (!of)
        of = peer_new(p, true);
    if (!of) {
        s = fail(error, BERTH_ERR_LIMIT, "peer \"%s\": no room for another; max_peers is %u", name,
                 p->config.max_peers);
        goto out;
    }
    peer_key(p, of, static_key);
    of->configured = true;
    snprintf(of->name, sizeof of->name, "%s", name);
    free(of->configured_at);
    of->configured_at = at;
    of->configured_count = count;
    at = NULL;
    of->failures = of->turn = 0;
    of->left = false;
    peer_list(p, of);
    peer_dial_soon(p, of);
out:
    free(at);
    peers_exit(p);
    return s;
}

berth_status peers_remove(peers *p, const char *name, int64_t now_ns)
{
    peer *of = by_name(p, name);

    if (!of)
        return BERTH_ERR_NOT_FOUND;
    peers_enter(p, now_ns);
    while (of->sessions)
        held_close(p, of->sessions, END_LOCAL, "removed from the configuration");
    if (of->node)
        peers_tell(p, of, PEER_FORGOTTEN);
    peer_free(p, of);
    peers_exit(p);
    return BERTH_OK;
}

berth_status peers_readdress(peers *p, const address *addresses, unsigned count, int64_t now_ns,
                             berth_error *error)
{
    peer_record before = p->own_record;
    berth_status s;

    if (count > RECORD_ADDRESSES_MAX)
        return fail(error, BERTH_ERR_INVALID, "mesh: %u addresses; at most %d fit", count,
                    RECORD_ADDRESSES_MAX);
    peers_enter(p, now_ns);
    if (count)
        memcpy(p->own_record.addresses, addresses, count * sizeof *addresses);
    p->own_record.address_count = count;
    s = peers_resign(p, before.sequence, error);
    if (s == BERTH_OK)
        gossip_own(p);
    else
        p->own_record = before;
    peers_exit(p);
    return s;
}

slice peers_own_record(const peers *p)
{
    return slice_of(p->own->data, p->own->len);
}

/* ---- Goodbye --------------------------------------------------------------------------------- */

void peers_leave(peers *p, int64_t now_ns)
{
    peers_enter(p, now_ns);
    if (!p->leaving) {
        p->leaving = true;
        p->leave_ns = p->now_ns + p->config.linger_ns;
        /* Those who have no session with us hear it by a last record, which ends soon. */
        if (p->sparse) {
            p->own_record.address_count = 0;
            if (peers_resign(p, p->own_record.sequence, NULL) == BERTH_OK)
                gossip_own(p);
        }
        held *next;
        for (held *h = p->held; h; h = next) {
            next = h->next;
            if (h->peer && h->up)
                held_send(p, h, bare_encode(MESSAGE_LEAVE));
            else if (h->peer)
                held_close(p, h, END_LOCAL, "this host leaves");
        }
        for (peer *x = p->all; x; x = x->next)
            peer_rearm(p, x);
    }
    peers_exit(p);
}

bool peers_gone(const peers *p)
{
    return p->leaving && !p->held;
}
