/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions with peers. `up` says who is there; the peer's greeting on a session says that it has
 * accepted us too, and only then is the session used and another one given up for it.
 *
 * Of two sessions with one node the node with the higher id chooses and says USE on it. Sessions
 * that both sides dialled at the same time: it keeps its own. Otherwise the younger is right: the
 * peer would not have dialled had it not lost the older one or wished to replace it.
 */
#include "mesh/peers_private.h"

#include "mesh/message.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Keeping them ---------------------------------------------------------------------------- */

held *held_new(peers *p, peer *of, session *s, bool dialled)
{
    held *h = calloc(1, sizeof *h);

    if (!h) {
        p->t.close(s, END_LOCAL, "out of memory", p->now_ns);
        return NULL;
    }
    *h = (held){.s = s,
                .dialled = dialled,
                .ping_ns = NEVER,
                .renew_ns = NEVER,
                .close_ns = NEVER,
                .next = p->held};
    if (p->held)
        p->held->prev = h;
    p->held = h;
    p->t.set_user(s, h);
    held_move(of, h);
    return h;
}

static void unlink_from_peer(held *h)
{
    peer *of = h->peer;

    if (!of)
        return;
    held **at = &of->sessions;
    while (*at != h)
        at = &(*at)->sibling;
    *at = h->sibling;
    of->session_count--;
    h->peer = NULL;
    h->sibling = NULL;
}

void held_move(peer *into, held *h)
{
    unlink_from_peer(h);
    h->peer = into;
    h->sibling = into->sessions;
    into->sessions = h;
    into->session_count++;
}

static void held_free(peers *p, held *h)
{
    unlink_from_peer(h);
    *(h->prev ? &h->prev->next : &p->held) = h->next;
    if (h->next)
        h->next->prev = h->prev;
    free(h);
}

/* `down` may come from inside close, or later: h belongs to nobody already. */
void held_close(peers *p, held *h, session_end why, const char *text)
{
    peer *of = h->peer;

    peer_dial_over(p, h);
    if (of && of->current == h)
        peer_lost(p, of, why, text);
    unlink_from_peer(h);
    p->t.close(h->s, why, text, p->now_ns);
}

void held_fault(peers *p, held *h, const char *text)
{
    peer *of = h->peer;

    p->counters.malformed++;
    held_close(p, h, END_ERROR, text);
    if (of) {
        of->failures++;
        peer_redial(p, of);
    }
}

bool held_send(peers *p, held *h, buf *message)
{
    if (!message)
        return false;
    berth_status s = p->t.send(h->s, LANE_CONTROL, message, p->now_ns);
    buf_unref(message);
    p->counters.unsent += s != BERTH_OK;
    return s == BERTH_OK;
}

/* ---- Choosing -------------------------------------------------------------------------------- */

static void live_add(peers *p, peer *of)
{
    of->live_at = p->live_count;
    p->live[p->live_count++] = of;
}

static void live_remove(peers *p, peer *of)
{
    peer *last = p->live[--p->live_count];

    p->live[of->live_at] = last;
    last->live_at = of->live_at;
}

void held_send_use(peers *p, held *h)
{
    h->use_owed = !held_send(p, h, bare_encode(MESSAGE_USE));
}

/* Where it answers itself; a detour is asked for anew each time. */
static void remember_place(peers *p, peer *of, const address *path)
{
    address detour;

    if (p->config.relayed && of->node && p->config.relayed(p->config.ctx, of->node, &detour) &&
        record_address_eq(&detour, path))
        return;
    of->seen_at = *path;
}

static void begin_use(peers *p, held *h)
{
    session_info info = {0};

    p->t.info(h->s, &info);
    if (info.path.len)
        remember_place(p, h->peer, &info.path);
    h->peer->turn = 0;
    h->close_ns = NEVER;
    h->ping_ns = p->now_ns + peers_jitter(p, p->config.heartbeat_ns / 2);
    int64_t life = p->config.session_life_ns;
    int64_t left_s = p->t.peer(h->s)->expires_wall_s;
    left_s = left_s > peers_wall(p) ? left_s - peers_wall(p) : 0;
    if (left_s < life / 1000000000)
        life = left_s * 1000000000;
    if (life < 16 * p->config.backoff_ns)
        life = 16 * p->config.backoff_ns;
    /* Who dialled renews; should it not, the other does, before the end. */
    int64_t at = h->dialled ? life / 16 * 14 : life / 16 * 15;
    h->renew_ns = p->now_ns + at - peers_jitter(p, life / 16);
}

void peer_use(peers *p, peer *of, held *h)
{
    held *before = of->current;

    if (before == h)
        return;
    of->current = h;
    begin_use(p, h);
    if (before) {
        before->close_ns = p->now_ns + p->config.linger_ns;
        p->counters.renewals++;
        peers_tell(p, of, PEER_RENEWED);
    } else {
        live_add(p, of);
        of->dial_ns = NEVER;
        of->relay_count = 0;
        p->counters.ups++;
        peers_tell(p, of, PEER_UP);
        peer_came_up(p, of);
        gossip_greet(p, of);
    }
}

/* The current session is gone: go on with another one, or say that there is none. */
void peer_lost(peers *p, peer *of, session_end why, const char *text)
{
    held *gone = of->current, *other = NULL;

    for (held *h = of->sessions; h; h = h->sibling)
        if (h != gone && h->proved && (!other || h->up_ns > other->up_ns))
            other = h;
    if (other && !of->left && !p->leaving) {
        of->current = other;
        begin_use(p, other);
        p->counters.renewals++;
        peers_tell(p, of, PEER_RENEWED);
        return;
    }
    of->current = NULL;
    live_remove(p, of);
    compare_never(p, of);
    of->lost_ns = p->now_ns;
    p->counters.downs++;
    peer_event event = {.change = PEER_DOWN, .node = of->node, .why = why};
    memcpy(event.entity, of->entity, sizeof event.entity);
    snprintf(event.text, sizeof event.text, "%s", text ? text : "");
    peers_tell_event(p, &event);
    of->failures = p->now_ns - gone->up_ns >= STABLE_NS ? 0 : of->failures + 1;
}

static void choose(peers *p, held *h, bool renewal)
{
    peer *of = h->peer;
    held *now = of->current;

    if (!now) {
        peer_use(p, of, h);
        if (p->self > of->node)
            held_send_use(p, h);
        return;
    }
    p->counters.duplicates++;
    if (p->self < of->node)
        return; /* the other says which; until then all goes on as it is */
    bool at_once = !renewal && !h->renewal && h->dialled != now->dialled &&
                   h->up_ns - now->up_ns < p->config.linger_ns;
    if (at_once && now->dialled) {
        h->close_ns = p->now_ns + p->config.linger_ns;
        held_send_use(p, now);
    } else {
        peer_use(p, of, h);
        held_send_use(p, h);
    }
}

/* ---- Greeting -------------------------------------------------------------------------------- */

/* The entry for the one who has proven to be this; NULL: there is no room. */
static peer *entry_for(peers *p, held *h, const peer_identity *who)
{
    peer *by_node = peer_by_node(p, who->node_id), *of = peer_by_key(p, who->static_key);

    /* A record with another's key led here: the one who signed it does not have that key. */
    if (h && h->peer && h->peer != of && h->peer != by_node && h->peer->node &&
        h->peer->node != who->node_id) {
        p->counters.lies++;
        h->peer->failures = ATTEMPTS_UNKNOWN;
        peer_redial(p, h->peer);
    }
    if (of && of->node && of->node != who->node_id && !of->configured)
        of = NULL; /* the key has moved to another entity */
    if (!of)
        of = by_node;
    if (!of && h && h->peer && (!h->peer->node || h->peer->node == who->node_id))
        of = h->peer;
    if (!of)
        of = peer_new(p, true);
    if (!of)
        return NULL;
    if (of->node && of->node != who->node_id) {
        /* A configured key with another entity than before: another node. */
        held *next;
        for (held *x = of->sessions; x; x = next) {
            next = x->sibling;
            if (x != h)
                held_close(p, x, END_REPLACED, "its key is used by another node now");
        }
    }
    if (by_node && by_node != of)
        peer_merge(p, of, by_node);
    else if (!peer_name_node(p, of, who->entity))
        return NULL;
    peer_key(p, of, who->static_key);
    if (!of->name[0] && who->name[0])
        snprintf(of->name, sizeof of->name, "%s", who->name);
    return of;
}

void peers_up(peers *p, session *s, int64_t now_ns)
{
    held *h = p->t.user(s);
    const peer_identity *who = p->t.peer(s);

    peers_enter(p, now_ns);
    if (h && !h->peer)
        goto out; /* given up meanwhile */
    peer *from = h ? h->peer : NULL;
    if (h)
        peer_dial_over(p, h);
    if (who->node_id == p->self || p->leaving) {
        const char *why = p->leaving ? "this host leaves" : "this host itself";
        if (h)
            held_close(p, h, END_REFUSED, why);
        else
            p->t.close(s, END_REFUSED, why, p->now_ns);
        if (from) {
            from->failures += 4;
            peer_redial(p, from);
        }
        goto out;
    }
    peer *of = entry_for(p, h, who);
    if (of && h)
        held_move(of, h);
    else if (of)
        h = held_new(p, of, s, false);
    if (!of || !h) {
        if (h)
            held_close(p, h, END_REFUSED, "no room for another peer");
        else if (!of)
            p->t.close(s, END_REFUSED, "no room for another peer", p->now_ns);
        goto out;
    }
    h->up = true;
    h->up_ns = p->now_ns;
    h->close_ns = p->now_ns + 5 * p->config.linger_ns; /* without a greeting */
    while (of->session_count > SESSIONS_MAX) {
        held *oldest = NULL;
        for (held *x = of->sessions; x; x = x->sibling)
            if (x != h && x != of->current && (!oldest || x->up_ns < oldest->up_ns))
                oldest = x;
        if (!oldest)
            break;
        held_close(p, oldest, END_REPLACED, "too many sessions");
    }
    hello mine = {.flags = h->renewal ? HELLO_RENEWAL : 0,
                  .boot = p->boot,
                  .record = slice_of(p->own->data, p->own->len)};
    if (!held_send(p, h, hello_encode(&mine)))
        held_close(p, h, END_ERROR, "the greeting found no room");
    if (of->sessions)
        peer_rearm(p, of);
    else
        peer_redial(p, of);
out:
    peers_exit(p);
}

static void on_hello(peers *p, held *h, slice body)
{
    const peer_identity *who = p->t.peer(h->s);
    peer *of = h->peer;
    peer_record r;
    hello theirs;

    if (h->proved || !hello_decode(body, &theirs) ||
        record_decode(theirs.record, &r, NULL) != BERTH_OK) {
        held_fault(p, h, "a greeting that is none");
        return;
    }
    if (memcmp(r.entity, who->entity, sizeof r.entity) != 0 ||
        memcmp(r.static_key, who->static_key, sizeof r.static_key) != 0) {
        p->counters.lies++;
        held_fault(p, h, "a greeting with the record of another");
        return;
    }
    bool news = false;
    if (!of->bytes || r.sequence > of->sequence) {
        berth_status s = record_verify(theirs.record, &r, peers_wall(p), p->config.verify, NULL);
        if (s == BERTH_ERR_SIGNATURE) {
            p->counters.records_bad++;
            held_fault(p, h, "a record that does not verify");
            return;
        }
        /* Clocks that differ are no reason to refuse a peer that has proven itself. */
        p->counters.records_expired += s != BERTH_OK;
        news = s == BERTH_OK && peer_keep_record(p, of, &r, theirs.record);
    }
    bool other_boot = of->boot && of->boot != theirs.boot;
    if (other_boot && of->current && of->current->up_ns > h->up_ns) {
        held_close(p, h, END_REPLACED, "the peer has started anew since");
        return;
    }
    h->proved = true;
    h->close_ns = NEVER;
    peer_prove(p, of, true);
    if (of->left) {
        of->left = false;
        peer_list(p, of);
    }
    peer_clear_introducer(p, of);
    of->boot = theirs.boot;
    if (other_boot) {
        /* What it had before it forgot cannot be alive. */
        held *before = of->current, *next;
        p->counters.restarts++;
        if (before)
            peer_use(p, of, h);
        for (held *x = of->sessions; x; x = next) {
            next = x->sibling;
            if (x != h && x->up && x->up_ns <= h->up_ns)
                held_close(p, x, END_REPLACED, "the peer has started anew");
        }
        peers_tell(p, of, PEER_RESTARTED);
        if (before)
            gossip_greet(p, of);
    }
    if (of->current != h)
        choose(p, h, theirs.flags & HELLO_RENEWAL);
    else if (p->self > of->node)
        held_send_use(p, h);
    detector_heartbeat(&p->detector, of->node, p->now_ns);
    if (news)
        gossip_rumour(p, of);
    else if (of->bytes && of->sequence > r.sequence) /* it has forgotten: it says more then */
        held_send(p, h, records_encode(&of->bytes, 1));
    peer_rearm(p, of);
}

/* ---- Pings ----------------------------------------------------------------------------------- */

static bool send_small(peers *p, held *h, buf *message)
{
    if (!message)
        return false;
    /* A datagram does not wait behind anything; a transport may have none. */
    if (p->t.datagram(h->s, message->data, message->len, p->now_ns) == BERTH_OK) {
        buf_unref(message);
        return true;
    }
    return held_send(p, h, message);
}

bool held_ping(peers *p, held *h, bool told)
{
    uint64_t number = ++p->number;

    p->counters.pings++;
    if (!send_small(p, h, number_encode(MESSAGE_PING, number))) {
        p->counters.pings_unsent++;
        return false;
    }
    h->pings[h->ping_at].number = number;
    h->pings[h->ping_at].sent_ns = p->now_ns;
    h->pings[h->ping_at].told = told;
    h->ping_at = (h->ping_at + 1) % PINGS_MAX;
    return true;
}

static void on_pong(peers *p, held *h, uint64_t number)
{
    peer *of = h->peer;

    for (unsigned i = 0; i < PINGS_MAX; i++) {
        if (!number || h->pings[i].number != number)
            continue;
        int64_t rtt = p->now_ns - h->pings[i].sent_ns;
        if (rtt < 1)
            rtt = 1;
        of->rtt_ns = of->rtt_ns ? of->rtt_ns + (rtt - of->rtt_ns) / 8 : rtt;
        p->counters.pongs++;
        if (h->pings[i].told) {
            peer_event event = {.change = PEER_PONG, .node = of->node, .rtt_ns = rtt};
            memcpy(event.entity, of->entity, sizeof event.entity);
            peers_tell_event(p, &event);
        }
        h->pings[i].number = 0;
        detector_heartbeat(&p->detector, of->node, p->now_ns);
        return;
    }
    p->counters.pongs_unknown++;
}

void held_step(peers *p, held *h)
{
    peer *of = h->peer;

    if (h->close_ns <= p->now_ns) {
        if (h->proved) {
            held_close(p, h, END_REPLACED, "another session is used");
        } else {
            held_close(p, h, END_ERROR, "no greeting came");
            of->failures++;
            peer_redial(p, of);
        }
        return;
    }
    if (h != of->current)
        return;
    if (h->ping_ns <= p->now_ns) {
        /* On a grid, so that a thousand peers do not wake us a thousand times. */
        int64_t grid = p->config.heartbeat_ns / 16;
        held_ping(p, h, false);
        h->ping_ns = (p->now_ns + p->config.heartbeat_ns + grid - 1) / grid * grid;
    }
    if (h->renew_ns <= p->now_ns)
        peer_renew(p, of);
}

berth_status peers_ping(peers *p, uint64_t node, int64_t now_ns)
{
    peer *of = peer_by_node(p, node);

    if (!of || !of->current)
        return BERTH_ERR_NOT_FOUND;
    peers_enter(p, now_ns);
    bool sent = held_ping(p, of->current, true);
    peers_exit(p);
    return sent ? BERTH_OK : BERTH_ERR_WOULD_BLOCK;
}

/* ---- What comes ------------------------------------------------------------------------------ */

static void on_leave(peers *p, peer *of)
{
    p->counters.leaves++;
    peer_unlist(p, of);
    of->left = true;
    peers_tell(p, of, PEER_LEFT);
    while (of->sessions)
        held_close(p, of->sessions, END_LOCAL, "the peer has left");
    detector_forget(&p->detector, of->node);
    of->failures = 0;
    peer_redial(p, of);
}

static void take(peers *p, held *h, uint16_t kind, slice body)
{
    uint64_t number;

    if (kind != MESSAGE_HELLO && kind != MESSAGE_PING && kind != MESSAGE_PONG && !h->proved) {
        held_fault(p, h, "a message before the greeting");
        return;
    }
    switch (kind) {
    case MESSAGE_HELLO:
        on_hello(p, h, body);
        return;
    case MESSAGE_PING:
    case MESSAGE_PONG:
    case MESSAGE_WHO_REACHES:
        if (!number_decode(body, &number)) {
            held_fault(p, h, "a number that is none");
        } else if (kind == MESSAGE_WHO_REACHES) {
            gossip_who_reaches(p, h, number);
        } else if (!h->proved) {
            return; /* a datagram may overtake the greeting */
        } else if (kind == MESSAGE_PONG) {
            on_pong(p, h, number);
        } else {
            detector_heartbeat(&p->detector, h->peer->node, p->now_ns);
            send_small(p, h, number_encode(MESSAGE_PONG, number));
        }
        return;
    case MESSAGE_RECORDS:
        gossip_records(p, h, body);
        return;
    case MESSAGE_KNOWN_PEERS:
        gossip_known(p, h, body);
        return;
    case MESSAGE_RECORD_SUMS:
        compare_sums(p, h, body);
        return;
    case MESSAGE_RECORD_LIST:
        compare_list(p, h, body);
        return;
    case MESSAGE_LEAVE:
    case MESSAGE_USE:
        if (body.len)
            held_fault(p, h, "a message longer than it is");
        else if (kind == MESSAGE_LEAVE)
            on_leave(p, h->peer);
        else if (p->self < h->peer->node)
            peer_use(p, h->peer, h);
        return;
    default:
        return; /* of a later version */
    }
}

bool peers_message(peers *p, session *s, slice message, int64_t now_ns)
{
    held *h = p->t.user(s);
    uint16_t kind;
    slice body;

    if (!message_open(message, &kind, &body) || kind < MESSAGE_PEERS_FIRST ||
        kind > MESSAGE_PEERS_LAST)
        return false;
    if (!h || !h->peer || !h->up)
        return true;
    peers_enter(p, now_ns);
    uint64_t node = h->peer->node;
    take(p, h, kind, body);
    peer *of = peer_by_node(p, node);
    if (of)
        peer_rearm(p, of);
    peers_exit(p);
    return true;
}

bool peers_datagram(peers *p, session *s, slice message, int64_t now_ns)
{
    uint16_t kind;
    slice body;

    if (!message_open(message, &kind, &body) || kind < MESSAGE_PEERS_FIRST ||
        kind > MESSAGE_PEERS_LAST)
        return false;
    if (kind == MESSAGE_PING || kind == MESSAGE_PONG)
        return peers_message(p, s, message, now_ns);
    p->counters.malformed++;
    return true;
}

void peers_room(peers *p, session *s, lane l, int64_t now_ns)
{
    held *h = p->t.user(s);

    if (l != LANE_CONTROL || !h || !h->peer || !h->use_owed)
        return;
    peers_enter(p, now_ns);
    held_send_use(p, h);
    peers_exit(p);
}

void peers_down(peers *p, session *s, session_end why, const char *text, int64_t now_ns)
{
    held *h = p->t.user(s);

    if (!h)
        return;
    peers_enter(p, now_ns);
    p->t.set_user(s, NULL);
    peer *of = h->peer;
    if (of) {
        peer_dial_over(p, h);
        if (of->current == h)
            peer_lost(p, of, why, text);
        /* It ended what it does not need: no sign that it is ill. */
        if (why == END_PEER && !of->current && !peer_needed(p, of))
            detector_forget(&p->detector, of->node);
        if (!h->proved && !h->renewal) {
            p->counters.dials_failed += h->dialled;
            of->failures += why == END_REFUSED ? 4 : 1;
            of->turn++;
            gossip_ask(p, of);
        }
        held_free(p, h);
        if (!of->current && !of->dialling)
            peer_redial(p, of);
        else
            peer_rearm(p, of);
    } else {
        held_free(p, h);
    }
    peers_exit(p);
}
