/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peers_net.h: nodes with a peer table each, on a network that is an array. Time is a number; the
 * same seed gives the same run. It stands in for mesh/transport.h: sessions have an end each,
 * reliable messages wait while their way is cut, datagrams are lost, silence ends a session.
 */
#ifndef TESTS_PEERS_NET_H
#define TESTS_PEERS_NET_H

#include "daemon/heap.h"
#include "mesh/message.h"
#include "mesh/peers.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX 64
#define MS        1000000ll
#define S         1000000000ll
#define WALL      1900000000

#define DETOUR_PORT 1

typedef struct net net;

/* One node's side of its sessions: what the table takes for an endpoint. */
struct endpoint {
    net *n;
    unsigned at; /* which node */
    unsigned starts;
    peers *table; /* NULL: not running */
    peers_config config;
    berth_keypair key;
    address where;
    int64_t clock_s; /* how far its wall clock is off */
    unsigned ups, downs, renewals, failed, suspected, recovered, left, restarted, forgotten;
    uint64_t dialled;
    int64_t pong_ns;
    bool silent;  /* its greetings are lost: a peer that never proves itself */
    bool refuses; /* admits nobody */
};

struct session {
    struct session *next; /* of all */
    endpoint *owner;
    unsigned starts;     /* of the owner: of another life if it differs */
    struct session *far; /* NULL: gone, or never there */
    unsigned far_at;
    bool up, dialled, over, closing;
    void *user;
    peer_identity who;
    int64_t last_due, cut_since, up_ns;
};

typedef enum what { DELIVER, DATAGRAM, ARRIVE, ANSWER, CONFIRM, CLOSED, OVER } what;

typedef struct parcel {
    heap_node due;
    what what;
    session *to;
    buf *bytes;
    session_end why;
    unsigned node;
    uint8_t key[32];
} parcel;

struct net {
    endpoint nodes[NODES_MAX];
    unsigned count;
    heap wire;
    session *sessions;
    bool cut[NODES_MAX][NODES_MAX];    /* from, to */
    bool detour[NODES_MAX][NODES_MAX]; /* their sessions are by way of another node */
    unsigned loss;                     /* of datagrams, percent */
    int64_t now, latency, idle_ns, life_ns, patrol;
    uint64_t seed;
    peers_config base; /* timings for all */
};

static inline uint64_t net_random(net *n)
{
    uint64_t z = n->seed += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static inline void node_random(void *ctx, void *out, size_t len)
{
    uint8_t *o = out;
    endpoint *e = ctx;

    while (len--)
        *o++ = (uint8_t)net_random(e->n);
}

static inline int64_t node_wall(void *ctx)
{
    endpoint *e = ctx;

    return WALL + e->n->now / S + e->clock_s;
}

static inline bool alive(const session *s)
{
    return !s->over && s->owner->table && s->owner->starts == s->starts;
}

/* May what s sends arrive? */
static inline bool open_way(const session *s)
{
    return !s->owner->n->cut[s->owner->at][s->far_at];
}

static inline void post(net *n, parcel p, int64_t after)
{
    parcel *q = malloc(sizeof *q);

    if (!q)
        abort();
    *q = p;
    q->due = (heap_node){.due_ns = n->now + after};
    if (p.to && q->due.due_ns <= p.to->last_due)
        q->due.due_ns = p.to->last_due + 1; /* in order */
    if (p.to)
        p.to->last_due = q->due.due_ns;
    if (!heap_push(&n->wire, &q->due))
        abort();
}

static inline session *session_make(endpoint *owner, unsigned far_at, bool dialled)
{
    session *s = calloc(1, sizeof *s);

    if (!s)
        abort();
    *s = (session){.owner = owner,
                   .starts = owner->starts,
                   .far_at = far_at,
                   .dialled = dialled,
                   .next = owner->n->sessions};
    owner->n->sessions = s;
    return s;
}

static inline void identify(session *s, const endpoint *who)
{
    memcpy(s->who.entity, who->key.entity, 32);
    s->who.node_id = who->key.node_id;
    memcpy(s->who.static_key, who->config.static_key, 32);
    s->who.expires_wall_s = INT64_MAX;
}

static inline void session_over(session *s, session_end why, const char *text)
{
    if (s->over)
        return;
    bool was_alive = alive(s);
    s->over = true;
    if (was_alive)
        peers_down(s->owner->table, s, why, text, s->owner->n->now);
}

/* ---- What the table calls -------------------------------------------------------------------- */

static inline berth_status fake_dial(endpoint *e, const address *to, const uint8_t key[32],
                                     int64_t now, session **out, berth_error *error)
{
    unsigned at = ntohl(to->u.in.sin_addr.s_addr) & 0xff;
    session *s = session_make(e, at, true);
    parcel p = {.what = ARRIVE, .to = s, .node = at};

    (void)now, (void)error;
    e->dialled++;
    memcpy(p.key, key, 32);
    post(e->n, p, e->n->latency);
    *out = s;
    return BERTH_OK;
}

static inline berth_status fake_send(session *s, lane l, buf *message, int64_t now)
{
    (void)l, (void)now;
    if (s->over || s->closing)
        return BERTH_ERR_CANCELLED;
    if (!s->up)
        return BERTH_ERR_NOT_READY;
    if (s->owner->silent && message->data[0] == MESSAGE_HELLO)
        return BERTH_OK;
    if (s->far)
        post(s->owner->n, (parcel){.what = DELIVER, .to = s->far, .bytes = buf_ref(message)},
             s->owner->n->latency);
    return BERTH_OK;
}

static inline berth_status fake_datagram(session *s, const void *bytes, size_t len, int64_t now)
{
    net *n = s->owner->n;

    (void)now;
    if (s->over || !s->up)
        return BERTH_ERR_NOT_READY;
    if (s->far && open_way(s) && net_random(n) % 100 >= n->loss)
        post(n, (parcel){.what = DATAGRAM, .to = s->far, .bytes = buf_copy(bytes, len)},
             n->latency);
    return BERTH_OK;
}

/* `down` comes from inside, or later: tables must bear both. */
static inline void fake_close(session *s, session_end why, const char *text, int64_t now)
{
    net *n = s->owner->n;

    (void)now;
    if (s->over || s->closing)
        return;
    s->closing = true;
    if (s->far && s->up)
        post(n, (parcel){.what = CLOSED, .to = s->far, .why = why}, n->latency);
    if (net_random(n) % 2)
        session_over(s, why, text);
    else
        post(n, (parcel){.what = OVER, .to = s, .why = why}, 1);
}

static inline void fake_set_user(session *s, void *user)
{
    s->user = user;
}

static inline void *fake_user(const session *s)
{
    return s->user;
}

static inline const peer_identity *fake_peer(const session *s)
{
    return &s->who;
}

static inline void fake_info(const session *s, session_info *out)
{
    *out = (session_info){.path = s->owner->n->nodes[s->far_at].where};
    if (s->owner->n->detour[s->owner->at][s->far_at])
        out->path.u.in.sin_port = htons(DETOUR_PORT);
}

static inline bool fake_is_relayed(void *ctx, const address *path)
{
    (void)ctx;
    return path->u.in.sin_port == htons(DETOUR_PORT);
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static inline void observe(void *ctx, const peer_event *event)
{
    endpoint *e = ctx;

    e->ups += event->change == PEER_UP;
    e->downs += event->change == PEER_DOWN;
    e->renewals += event->change == PEER_RENEWED;
    e->failed += event->change == PEER_FAILED;
    e->suspected += event->change == PEER_SUSPECTED;
    e->recovered += event->change == PEER_RECOVERED;
    e->left += event->change == PEER_LEFT;
    e->restarted += event->change == PEER_RESTARTED;
    e->forgotten += event->change == PEER_FORGOTTEN;
    if (event->change == PEER_PONG)
        e->pong_ns = event->rtt_ns;
}

static inline void node_start(net *n, unsigned at)
{
    endpoint *e = &n->nodes[at];

    e->starts++;
    e->config = n->base;
    e->config.identity = &e->key;
    memset(e->config.static_key, 0x40 + (int)at, 32);
    snprintf(e->config.name, sizeof e->config.name, "node-%u", at);
    e->config.addresses[0] = e->where;
    e->config.address_count = 1;
    e->config.random = node_random;
    e->config.wall_s = node_wall;
    e->config.is_relayed = fake_is_relayed;
    e->config.ctx = e;
    e->config.transport =
        (peers_transport){e,         fake_dial, fake_send, fake_datagram, fake_close, fake_set_user,
                          fake_user, fake_peer, fake_info};
    berth_error error = {0};
    if (peers_new(&e->config, n->now, &e->table, &error) != BERTH_OK) {
        fprintf(stderr, "%s\n", error.text);
        abort();
    }
    peers_subscribe(e->table, observe, e);
}

/* It is gone without a word. */
static inline void node_kill(net *n, unsigned at)
{
    peers_free(n->nodes[at].table);
    n->nodes[at].table = NULL;
    for (session *s = n->sessions; s; s = s->next)
        if (s->owner == &n->nodes[at])
            s->over = true;
}

static inline void net_init(net *n, unsigned count, uint64_t seed)
{
    *n = (net){.count = count,
               .seed = seed * 1000003,
               .latency = 5 * MS,
               .idle_ns = 30 * S,
               .life_ns = INT64_MAX,
               .now = S};
    for (unsigned i = 0; i < count; i++) {
        uint8_t secret[32] = {(uint8_t)(i + 1), (uint8_t)seed};
        endpoint *e = &n->nodes[i];
        e->n = n;
        e->at = i;
        berth_keypair_from_seed(&e->key, secret);
        e->where.len = sizeof e->where.u.in;
        e->where.u.in.sin_family = AF_INET;
        e->where.u.in.sin_port = htons(4701);
        e->where.u.in.sin_addr.s_addr = htonl(0x0a000000 | i);
    }
}

static inline void net_fini(net *n)
{
    heap_node *h;

    for (unsigned i = 0; i < n->count; i++)
        if (n->nodes[i].table)
            node_kill(n, i);
    while ((h = heap_pop_due(&n->wire, INT64_MAX))) {
        buf_unref(((parcel *)h)->bytes);
        free(h);
    }
    heap_fini(&n->wire);
    while (n->sessions) {
        session *s = n->sessions;
        n->sessions = s->next;
        free(s);
    }
}

static inline berth_status knows(net *n, unsigned a, unsigned b)
{
    char name[32];
    uint8_t key[32];

    snprintf(name, sizeof name, "node-%u", b);
    memset(key, 0x40 + (int)b, 32);
    return peers_configure(n->nodes[a].table, name, key, &n->nodes[b].where, 1, n->now, NULL);
}

static inline void cut(net *n, unsigned a, unsigned b, bool is)
{
    n->cut[a][b] = n->cut[b][a] = is;
}

/* ---- Running --------------------------------------------------------------------------------- */

static inline void arrive(net *n, parcel *p)
{
    session *s = p->to;

    if (!alive(s) || s->closing)
        return;
    endpoint *e = p->node < n->count ? &n->nodes[p->node] : NULL, *from = s->owner;
    bool is = e && e->table && memcmp(e->config.static_key, p->key, 32) == 0 &&
              !n->cut[from->at][p->node] && !n->cut[p->node][from->at];
    if (!is) {
        post(n, (parcel){.what = OVER, .to = s, .why = END_HANDSHAKE}, 5 * S);
        return;
    }
    session *far = session_make(e, from->at, false);
    far->far = s;
    s->far = far;
    identify(far, from);
    identify(s, e);
    post(n, (parcel){.what = ANSWER, .to = s}, n->latency);
}

static inline void carry(net *n, parcel *p)
{
    session *s = p->to;

    switch (p->what) {
    case ARRIVE:
        arrive(n, p);
        return;
    case ANSWER:
        if (!alive(s) || s->closing)
            return;
        post(n, (parcel){.what = CONFIRM, .to = s->far}, n->latency);
        s->up = true;
        s->up_ns = n->now;
        peers_up(s->owner->table, s, n->now);
        return;
    case CONFIRM:
        if (!alive(s))
            return;
        if (s->owner->refuses) {
            s->over = true;
            post(n, (parcel){.what = CLOSED, .to = s->far, .why = END_REFUSED}, n->latency);
            return;
        }
        s->up = true;
        s->up_ns = n->now;
        peers_up(s->owner->table, s, n->now);
        return;
    case CLOSED:
        if (alive(s) && s->far && open_way(s->far))
            session_over(s, p->why == END_REFUSED ? END_REFUSED : END_PEER, "closed by the peer");
        return;
    case OVER:
        session_over(s, p->why, "over");
        return;
    case DELIVER:
        if (!alive(s) || s->closing)
            return;
        if (!open_way(s->far) || !s->up) { /* it is sent again, behind nothing that came later */
            parcel again = {.what = DELIVER, .to = s, .bytes = buf_ref(p->bytes)};
            s->last_due = 0;
            post(n, again, s->up ? 50 * MS : MS);
            return;
        }
        peers_message(s->owner->table, s, slice_of(p->bytes->data, p->bytes->len), n->now);
        return;
    case DATAGRAM:
        if (alive(s) && s->up)
            peers_datagram(s->owner->table, s, slice_of(p->bytes->data, p->bytes->len), n->now);
        return;
    }
}

/* Silence ends sessions, and so does age. */
static inline void patrol(net *n)
{
    for (session *s = n->sessions; s; s = s->next) {
        if (!alive(s) || !s->up || !s->far)
            continue;
        bool quiet = !alive(s->far) || !open_way(s->far) || s->far->closing;
        if (!quiet)
            s->cut_since = 0;
        else if (!s->cut_since)
            s->cut_since = n->now;
        else if (n->now - s->cut_since >= n->idle_ns)
            session_over(s, END_IDLE, "nothing came");
        if (!s->over && n->life_ns != INT64_MAX && n->now - s->up_ns >= n->life_ns)
            session_over(s, END_EXPIRED, "too old");
    }
}

/* each: called after every step; may be NULL. */
static inline void net_run(net *n, int64_t until, void (*each)(net *n))
{
    while (n->now < until) {
        int64_t next = heap_next(&n->wire);
        if (n->patrol < next)
            next = n->patrol;
        for (unsigned i = 0; i < n->count; i++)
            if (n->nodes[i].table && peers_deadline(n->nodes[i].table) < next)
                next = peers_deadline(n->nodes[i].table);
        if (next > until)
            next = until;
        if (next > n->now)
            n->now = next;
        heap_node *h;
        while ((h = heap_pop_due(&n->wire, n->now))) {
            carry(n, (parcel *)h);
            buf_unref(((parcel *)h)->bytes);
            free(h);
        }
        for (unsigned i = 0; i < n->count; i++)
            if (n->nodes[i].table && peers_deadline(n->nodes[i].table) <= n->now)
                peers_tick(n->nodes[i].table, n->now);
        if (n->patrol <= n->now) {
            patrol(n);
            n->patrol = n->now + 100 * MS;
        }
        if (each)
            each(n);
    }
}

static inline session *between(net *n, unsigned a, unsigned b)
{
    return n->nodes[a].table ? peers_session(n->nodes[a].table, n->nodes[b].key.node_id) : NULL;
}

static inline health seen(net *n, unsigned a, unsigned b)
{
    peer_view v;

    return peers_find(n->nodes[a].table, n->nodes[b].key.node_id, &v) ? v.health : HEALTH_UNKNOWN;
}

/* Both use the two ends of one session. */
static inline bool joined(net *n, unsigned a, unsigned b)
{
    session *s = between(n, a, b);

    return s && alive(s) && s->far && between(n, b, a) == s->far;
}

static inline bool all_joined(net *n)
{
    for (unsigned a = 0; a < n->count; a++)
        for (unsigned b = a + 1; b < n->count; b++)
            if (n->nodes[a].table && n->nodes[b].table && !joined(n, a, b))
                return false;
    return true;
}

/* Sessions between a and b whose ends live. */
static inline unsigned sessions_between(net *n, unsigned a, unsigned b)
{
    unsigned found = 0;

    for (session *s = n->sessions; s; s = s->next)
        found += s->owner == &n->nodes[a] && s->far_at == b && s->up && alive(s);
    return found;
}

#endif
