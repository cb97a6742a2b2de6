/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network: sessions have an end each, reliable messages wait while their way is cut and come
 * late when a packet is lost, datagrams are lost, silence ends a session. Who dials somebody that
 * is not there hears nothing.
 */
#include "crowd.h"
#include "mesh/message.h"

#include <stdlib.h>
#include <string.h>

#define HANDSHAKE_NS (5 * SEC)
#define IDLE_NS      (30 * SEC)
#define AGAIN_NS     (300 * MS) /* when what met a cut way is sent again */
#define QUEUED_MAX   ((size_t)4 << 20)

typedef enum parcel_kind { DELIVER, DATAGRAM, ARRIVE, ANSWER, CONFIRM, CLOSED, OVER } parcel_kind;

typedef struct parcel {
    heap_node due; /* the first member */
    struct parcel *free;
    parcel_kind kind;
    session_end why;
    session *to;
    unsigned node; /* ARRIVE: whom it asks, and for which key */
    buf *bytes;
    uint8_t key[8];
} parcel;

/* ---- Chance ---------------------------------------------------------------------------------- */

uint64_t crowd_mix(uint64_t a, uint64_t b)
{
    uint64_t z = a ^ (b + 0x9e3779b97f4a7c15 + (a << 6));

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

uint64_t crowd_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15;
    return crowd_mix(*state, 0);
}

static uint64_t pair_mix(const crowd *c, unsigned a, unsigned b)
{
    return crowd_mix(c->config.seed, a < b ? (uint64_t)a << 32 | b : (uint64_t)b << 32 | a);
}

static int64_t latency(const crowd *c, unsigned a, unsigned b)
{
    return (int64_t)(1 + pair_mix(c, a, b) % 40) * MS;
}

static bool lost(crowd *c)
{
    return c->config.loss && crowd_random(&c->random) % 100 < c->config.loss;
}

bool crowd_reaches(const crowd *c, unsigned a, unsigned b)
{
    if (c->nodes[a].side != c->nodes[b].side)
        return false;
    /* Whom a node begins with it reaches always. */
    return !c->config.strangers || !a || !b || crowd_begins_with(c, a) == b ||
           crowd_begins_with(c, b) == a || (pair_mix(c, a, b) >> 20) % 1000 >= c->config.strangers;
}

/* ---- Parcels and sessions -------------------------------------------------------------------- */

static bool alive(const session *s)
{
    return !s->over && s->owner->peers && s->owner->starts == s->starts;
}

static bool open_way(const session *s)
{
    return crowd_reaches(s->owner->c, s->owner->at, s->far_at);
}

static void session_unref(session *s)
{
    if (!--s->refs)
        free(s);
}

static parcel *spare; /* millions come and go */

static void post(crowd *c, parcel p, int64_t after)
{
    parcel *q = spare;

    if (q)
        spare = q->free;
    else if (!(q = malloc(sizeof *q)))
        abort();
    *q = p;
    q->due = (heap_node){.due_ns = c->now + after};
    if (p.kind != DATAGRAM && q->due.due_ns <= p.to->last_due)
        q->due.due_ns = p.to->last_due + 1; /* in order */
    if (p.kind != DATAGRAM)
        p.to->last_due = q->due.due_ns;
    p.to->refs++;
    if (!heap_push(&c->wire, &q->due))
        abort();
}

static void parcel_free(parcel *p)
{
    session_unref(p->to);
    buf_unref(p->bytes);
    p->free = spare;
    spare = p;
}

static session *session_make(endpoint *owner, unsigned far_at, bool dialled)
{
    session *s = calloc(1, sizeof *s);

    if (!s)
        abort();
    *s = (session){.owner = owner,
                   .starts = owner->starts,
                   .far_at = far_at,
                   .dialled = dialled,
                   .refs = 1,
                   .next = owner->sessions};
    if (owner->sessions)
        owner->sessions->prev = s;
    owner->sessions = s;
    owner->c->sessions++;
    if (++owner->session_count > owner->c->sessions_most)
        owner->c->sessions_most = owner->session_count;
    return s;
}

static void identify(session *s, const endpoint *who)
{
    memcpy(s->who.entity, who->key.entity, sizeof s->who.entity);
    s->who.node_id = who->key.node_id;
    memcpy(s->who.static_key, who->static_key, sizeof s->who.static_key);
    s->who.expires_wall_s = INT64_MAX;
}

static void unlink_session(session *s)
{
    *(s->prev ? &s->prev->next : &s->owner->sessions) = s->next;
    if (s->next)
        s->next->prev = s->prev;
    s->owner->session_count--;
    s->owner->c->sessions--;
    session *far = s->far;
    if (far && far->over) { /* nobody asks for either any more */
        s->far = far->far = NULL;
        session_unref(s);
        session_unref(far);
    }
    session_unref(s);
}

static void session_over(session *s, session_end why, const char *text)
{
    if (s->over)
        return;
    bool was_alive = alive(s);
    s->over = true;
    if (was_alive) {
        peers_down(s->owner->peers, s, why, text, s->owner->c->now);
        unlink_session(s);
    }
}

void crowd_cut_off(endpoint *e)
{
    while (e->sessions) {
        e->sessions->over = true;
        unlink_session(e->sessions);
    }
}

void crowd_net_fini(crowd *c)
{
    heap_node *h;

    while ((h = heap_pop_due(&c->wire, INT64_MAX)))
        parcel_free((parcel *)(void *)h);
    heap_fini(&c->wire);
    while (spare) {
        parcel *p = spare;
        spare = p->free;
        free(p);
    }
}

/* ---- What the tables call -------------------------------------------------------------------- */

static berth_status net_dial(endpoint *e, const address *to, const uint8_t key[32], int64_t now,
                             session **out, berth_error *error)
{
    crowd *c = e->c;
    unsigned at = ntohl(to->u.in.sin_addr.s_addr) & 0xffffff;
    session *s = session_make(e, at, true);
    parcel p = {.kind = ARRIVE, .to = s, .node = at};

    (void)now, (void)error;
    c->sent.dials++;
    memcpy(p.key, key, sizeof p.key);
    post(c, p, latency(c, e->at, at));
    *out = s;
    return BERTH_OK;
}

static crowd_kind kind_of(const uint8_t *bytes)
{
    switch (bytes[0] | bytes[1] << 8) {
    case MESSAGE_PING:
    case MESSAGE_PONG:
        return KIND_PINGS;
    case MESSAGE_RECORDS:
        return KIND_RECORDS;
    case MESSAGE_HELLO:
    case MESSAGE_USE:
    case MESSAGE_LEAVE:
        return KIND_GREETINGS;
    case MESSAGE_ANNOUNCEMENT:
        return KIND_ANNOUNCEMENTS;
    default:
        return bytes[1] ? KIND_SUMS : KIND_LISTS;
    }
}

static void count(crowd *c, const uint8_t *bytes, size_t len)
{
    crowd_kind kind = kind_of(bytes);

    c->sent.messages[kind]++;
    c->sent.bytes[kind] += len;
}

static berth_status net_send(session *s, lane l, buf *message, int64_t now)
{
    crowd *c = s->owner->c;

    (void)l, (void)now;
    if (s->over || s->closing)
        return BERTH_ERR_CANCELLED;
    if (!s->up)
        return BERTH_ERR_NOT_READY;
    if (s->far->queued + message->len > QUEUED_MAX) {
        s->blocked = true;
        c->blocked++;
        return BERTH_ERR_WOULD_BLOCK;
    }
    count(c, message->data, message->len);
    s->far->queued += message->len;
    int64_t way = latency(c, s->owner->at, s->far_at);
    post(c, (parcel){.kind = DELIVER, .to = s->far, .bytes = buf_ref(message)},
         lost(c) ? 4 * way : way);
    return BERTH_OK;
}

static berth_status net_datagram(session *s, const void *bytes, size_t len, int64_t now)
{
    crowd *c = s->owner->c;

    (void)now;
    if (s->over || s->closing || !s->up)
        return BERTH_ERR_NOT_READY;
    count(c, bytes, len);
    if (open_way(s) && !lost(c))
        post(c, (parcel){.kind = DATAGRAM, .to = s->far, .bytes = buf_copy(bytes, len)},
             latency(c, s->owner->at, s->far_at));
    return BERTH_OK;
}

/* `down` comes from inside, or later: tables must bear both. */
static void net_close(session *s, session_end why, const char *text, int64_t now)
{
    crowd *c = s->owner->c;

    (void)now;
    if (s->over || s->closing)
        return;
    s->closing = true;
    if (s->far && s->up)
        post(c, (parcel){.kind = CLOSED, .to = s->far, .why = why},
             latency(c, s->owner->at, s->far_at));
    if (crowd_random(&c->random) % 2)
        session_over(s, why, text);
    else
        post(c, (parcel){.kind = OVER, .to = s, .why = why}, 1);
}

static void net_set_user(session *s, void *user)
{
    s->user = user;
}

static void *net_user(const session *s)
{
    return s->user;
}

static const peer_identity *net_peer(const session *s)
{
    return &s->who;
}

static void net_info(const session *s, session_info *out)
{
    *out = (session_info){.path = s->owner->c->nodes[s->far_at].where};
}

const peers_transport crowd_transport = {NULL,         net_dial, net_send, net_datagram, net_close,
                                         net_set_user, net_user, net_peer, net_info};

/* ---- What arrives ---------------------------------------------------------------------------- */

static void arrive(crowd *c, const parcel *p)
{
    session *s = p->to;
    endpoint *from = s->owner, *e = p->node < c->config.nodes ? &c->nodes[p->node] : NULL;

    if (!alive(s) || s->closing)
        return;
    if (!e || !e->peers || memcmp(e->static_key, p->key, sizeof p->key) != 0 ||
        !crowd_reaches(c, from->at, p->node)) {
        post(c, (parcel){.kind = OVER, .to = s, .why = END_HANDSHAKE}, HANDSHAKE_NS);
        return;
    }
    session *far = session_make(e, from->at, false);
    far->far = s;
    s->refs++;
    s->far = far;
    far->refs++;
    identify(far, from);
    identify(s, e);
    post(c, (parcel){.kind = ANSWER, .to = s}, latency(c, from->at, p->node));
}

static void up(crowd *c, session *s)
{
    s->up = true;
    peers_up(s->owner->peers, s, c->now);
}

static void taken(session *s, size_t len)
{
    session *far = s->far;

    s->queued -= len;
    if (!far || !far->blocked || s->queued > QUEUED_MAX / 2 || !alive(far) || far->closing)
        return;
    far->blocked = false;
    peers_room(far->owner->peers, far, LANE_CONTROL, far->owner->c->now);
    uint64_t node = peers_node(far->owner->peers, far);
    if (node)
        announcements_room(far->owner->announcements, node);
    crowd_settle(far->owner);
}

static void deliver(crowd *c, parcel *p)
{
    session *s = p->to;
    endpoint *e = s->owner;
    slice message = slice_of(p->bytes->data, p->bytes->len);

    if (!alive(s) || s->closing) {
        s->queued -= message.len;
        return;
    }
    if (!open_way(s) || !s->up) { /* it is sent again, before what came later */
        post(c, (parcel){.kind = DELIVER, .to = s, .bytes = buf_ref(p->bytes)},
             s->up ? AGAIN_NS : MS);
        return;
    }
    c->trace =
        crowd_mix(c->trace ^ (uint64_t)c->now,
                  (uint64_t)e->at << 40 | (uint64_t)s->far_at << 16 | (message.len & 0xffff));
    if (!peers_message(e->peers, s, message, c->now))
        crowd_heard(e, s, message);
    taken(s, message.len);
}

static void carry(crowd *c, parcel *p)
{
    session *s = p->to;

    switch (p->kind) {
    case ARRIVE:
        arrive(c, p);
        return;
    case ANSWER:
        if (!alive(s) || s->closing)
            return;
        post(c, (parcel){.kind = CONFIRM, .to = s->far}, latency(c, s->owner->at, s->far_at));
        up(c, s);
        return;
    case CONFIRM:
        if (alive(s) && !s->closing)
            up(c, s);
        return;
    case CLOSED:
        if (alive(s) && open_way(s))
            session_over(s, p->why == END_REFUSED ? END_REFUSED : END_PEER, "closed by the peer");
        return;
    case OVER:
        session_over(s, p->why, "over");
        return;
    case DELIVER:
        deliver(c, p);
        return;
    case DATAGRAM:
        if (alive(s) && s->up && !s->closing)
            peers_datagram(s->owner->peers, s, slice_of(p->bytes->data, p->bytes->len), c->now);
        return;
    }
}

void crowd_deliver(crowd *c)
{
    heap_node *h;

    while ((h = heap_pop_due(&c->wire, c->now))) {
        parcel *p = (parcel *)(void *)h;
        endpoint *e = p->to->owner;
        c->steps++;
        carry(c, p);
        parcel_free(p);
        if (e->peers)
            crowd_settle(e);
    }
}

void crowd_patrol(crowd *c)
{
    for (unsigned i = 0; i < c->config.nodes; i++) {
        session *next;
        for (session *s = c->nodes[i].sessions; s; s = next) {
            next = s->next;
            if (!s->far)
                continue;
            bool quiet = !alive(s->far) || s->far->closing || !open_way(s);
            if (!quiet) {
                s->quiet_since = 0;
            } else if (!s->quiet_since) {
                s->quiet_since = c->now;
            } else if (c->now - s->quiet_since >= IDLE_NS) {
                session_over(s, END_IDLE, "nothing came");
                crowd_settle(&c->nodes[i]);
                next = c->nodes[i].sessions; /* others may have gone with it */
            }
        }
    }
}
