/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh_net.h: endpoints over a network in memory, with a clock of its own and a seed.
 *
 * Nothing here sleeps or looks at a clock: what happens is a function of the seed. Each datagram is
 * delayed, and may be lost, doubled or damaged, as `weather` says. The trace is a hash over every
 * datagram handed out, with its time: two runs that agree in it agree in everything.
 */
#ifndef MESH_NET_H
#define MESH_NET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/transport.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NET_MS       1000000ll
#define NET_SECOND   (1000 * NET_MS)
#define NET_NODES    16
#define NET_SESSIONS 16
#define NET_RUN      65536

typedef struct net net;

typedef struct net_session {
    session *s; /* NULL when over */
    bool up, over;
    session_end why;
    char text[128];
    uint64_t messages[LANE_COUNT], bytes[LANE_COUNT], datagrams, rooms;
    /* The numbers in the first 8 bytes must come in order. */
    uint64_t expected[LANE_COUNT];
    buf *last[LANE_COUNT];
} net_session;

typedef struct net_node {
    net *net;
    endpoint *e;
    endpoint_config config;
    berth_keypair key;
    uint8_t static_public[32];
    address at;
    bool refuse;           /* admit nobody */
    bool shut[LANE_COUNT]; /* take no message */
    net_session sessions[NET_SESSIONS];
    unsigned count, ups, downs;
} net_node;

typedef struct net_datagram {
    struct net_datagram *next;
    int64_t due_ns;
    address from, to;
    size_t len;
    uint8_t bytes[];
} net_datagram;

typedef struct weather {
    int64_t delay_ns, jitter_ns;
    unsigned loss, twice, damage, cut; /* of 1000 */
} weather;

struct net {
    uint64_t seed;
    int64_t now_ns;
    weather weather;
    net_node nodes[NET_NODES];
    unsigned count;
    net_datagram *queue;
    crypto_generichash_state trace;
    uint64_t datagrams, bytes;
    /* Sees each datagram before the weather does; false swallows it. */
    bool (*tap)(net *n, const address *from, const address *to, const uint8_t *bytes, size_t len);
    void *tap_ctx;
    uint8_t run[NET_RUN];
};

static inline uint64_t net_random(net *n)
{
    uint64_t x = (n->seed += 0x9e3779b97f4a7c15ull);

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

static void net_bytes(void *ctx, void *out, size_t len)
{
    for (uint8_t *p = out; len; len--)
        *p++ = (uint8_t)(net_random(ctx) >> 32);
}

static inline bool net_chance(net *n, unsigned of_1000)
{
    return of_1000 && net_random(n) % 1000 < of_1000;
}

static inline address net_address(unsigned host, unsigned port)
{
    address a = {.len = sizeof a.u.in};

    a.u.in.sin_family = AF_INET;
    a.u.in.sin_addr.s_addr = htonl(0x0a000000u + host);
    a.u.in.sin_port = htons((uint16_t)port);
    return a;
}

static inline bool net_same(const address *a, const address *b)
{
    return a->len == b->len && a->u.in.sin_port == b->u.in.sin_port &&
           a->u.in.sin_addr.s_addr == b->u.in.sin_addr.s_addr;
}

static net_session *net_of(net_node *node, session *s)
{
    net_session *of = session_user(s);

    if (!of) {
        assert_true(node->count < NET_SESSIONS);
        of = &node->sessions[node->count++];
        of->s = s;
        session_set_user(s, of);
    }
    return of;
}

static void net_up(void *ctx, session *s, const peer_identity *peer)
{
    net_node *node = ctx;
    net_session *of = net_of(node, s);

    assert_false(of->up);
    assert_non_null(peer);
    assert_ptr_equal(peer, session_peer(s));
    assert_int_equal(peer->node_id, berth_entity_node_id(peer->entity));
    of->up = true;
    node->ups++;
}

static void net_down(void *ctx, session *s, session_end why, const char *text)
{
    net_node *node = ctx;
    net_session *of = net_of(node, s);

    assert_false(of->over);
    of->over = true;
    of->s = NULL;
    of->why = why;
    snprintf(of->text, sizeof of->text, "%s", text);
    node->downs++;
}

static bool net_message(void *ctx, session *s, lane l, buf *message)
{
    net_node *node = ctx;
    net_session *of = net_of(node, s);

    assert_true(of->up);
    if (node->shut[l])
        return false;
    if (message->len >= 8) {
        uint64_t number;

        memcpy(&number, message->data, sizeof number);
        assert_int_equal(number, of->expected[l]);
    }
    of->expected[l]++;
    of->messages[l]++;
    of->bytes[l] += message->len;
    buf_unref(of->last[l]);
    of->last[l] = buf_ref(message);
    return true;
}

static void net_got(void *ctx, session *s, const uint8_t *bytes, size_t len)
{
    net_session *of = net_of(ctx, s);

    (void)bytes;
    (void)len;
    assert_true(of->up);
    of->datagrams++;
}

static void net_room(void *ctx, session *s, lane l)
{
    (void)l;
    net_of(ctx, s)->rooms++;
}

static berth_status net_admit(void *ctx, peer_identity *peer, slice certificate, berth_error *error)
{
    net_node *node = ctx;

    (void)certificate;
    snprintf(peer->name, sizeof peer->name, "peer");
    if (node->refuse) {
        snprintf(error->text, sizeof error->text, "not one of ours");
        return error->code = BERTH_ERR_REFUSED;
    }
    return BERTH_OK;
}

static inline void net_init(net *n, uint64_t seed)
{
    memset(n, 0, sizeof *n);
    n->seed = seed * 0x2545f4914f6cdd1dull + 1;
    n->now_ns = NET_SECOND;
    n->weather.delay_ns = 5 * NET_MS;
    crypto_generichash_init(&n->trace, NULL, 0, 16);
}

/* A node with defaults in node->config; net_start makes its endpoint. */
static inline net_node *net_add(net *n)
{
    net_node *node = &n->nodes[n->count];
    uint8_t seed[BERTH_SEED_SIZE];

    assert_true(n->count < NET_NODES);
    node->net = n;
    node->at = net_address(++n->count, 4600);
    net_bytes(n, seed, sizeof seed);
    berth_keypair_from_seed(&node->key, seed);
    node->config = (endpoint_config){
        .identity = &node->key,
        .admit = net_admit,
        .admit_ctx = node,
        .events = {node, net_up, net_down, net_message, net_got, net_room},
        .random = net_bytes,
        .random_ctx = n,
    };
    net_bytes(n, node->config.static_secret, 32);
    net_bytes(n, node->config.reset_key, 32);
    crypto_scalarmult_base(node->static_public, node->config.static_secret);
    return node;
}

static inline void net_start(net_node *node)
{
    berth_error error = {0};

    if (endpoint_new(&node->config, &node->e, &error) != BERTH_OK)
        fail_msg("%s", error.text);
}

static inline void net_stop(net_node *node)
{
    endpoint_free(node->e);
    node->e = NULL;
    for (unsigned i = 0; i < node->count; i++)
        for (unsigned l = 0; l < LANE_COUNT; l++) {
            buf_unref(node->sessions[i].last[l]);
            node->sessions[i].last[l] = NULL;
        }
}

static inline void net_fini(net *n)
{
    for (unsigned i = 0; i < n->count; i++)
        net_stop(&n->nodes[i]);
    while (n->queue) {
        net_datagram *d = n->queue;

        n->queue = d->next;
        free(d);
    }
}

/* Behind those due at the same time. */
static inline void net_queue(net *n, const address *from, const address *to, const uint8_t *bytes,
                             size_t len, int64_t delay_ns)
{
    net_datagram **at = &n->queue, *d = malloc(sizeof *d + len);

    assert_non_null(d);
    d->due_ns = n->now_ns + delay_ns;
    d->from = *from;
    d->to = *to;
    d->len = len;
    memcpy(d->bytes, bytes, len);
    while (*at && (*at)->due_ns <= d->due_ns)
        at = &(*at)->next;
    d->next = *at;
    *at = d;
}

static inline void net_carry(net *n, const address *from, const address *to, uint8_t *bytes,
                             size_t len)
{
    const weather *w = &n->weather;
    unsigned copies = 1;

    crypto_generichash_update(&n->trace, (const uint8_t *)&n->now_ns, sizeof n->now_ns);
    crypto_generichash_update(&n->trace, bytes, len);
    n->datagrams++;
    n->bytes += len;
    if (n->tap && !n->tap(n, from, to, bytes, len))
        return;
    if (net_chance(n, w->loss))
        return;
    if (net_chance(n, w->twice))
        copies = 2;
    while (copies--) {
        int64_t delay = w->delay_ns;
        size_t left = len;

        if (w->jitter_ns)
            delay += (int64_t)(net_random(n) % (uint64_t)w->jitter_ns);
        if (net_chance(n, w->damage))
            bytes[net_random(n) % len] ^= (uint8_t)(1u << net_random(n) % 8);
        if (net_chance(n, w->cut))
            left = 1 + net_random(n) % len;
        net_queue(n, from, to, bytes, left, delay);
    }
}

static inline void net_flush(net *n)
{
    for (unsigned i = 0; i < n->count; i++) {
        net_node *node = &n->nodes[i];
        outgoing out;

        while (node->e && endpoint_send(node->e, n->run, sizeof n->run, &out, n->now_ns)) {
            assert_ptr_equal(out.bytes, n->run);
            assert_true(out.len > 0 && out.segment > 0 && out.len <= sizeof n->run);
            for (size_t at = 0; at < out.len; at += out.segment)
                net_carry(n, &node->at, &out.to, out.bytes + at,
                          out.len - at < out.segment ? out.len - at : out.segment);
        }
    }
}

/* Let the next thing happen that is due until then; false: nothing is. */
static inline bool net_step(net *n, int64_t until_ns)
{
    int64_t due;

    net_flush(n);
    due = n->queue ? n->queue->due_ns : INT64_MAX;
    for (unsigned i = 0; i < n->count; i++) {
        int64_t deadline = n->nodes[i].e ? endpoint_deadline(n->nodes[i].e) : INT64_MAX;

        due = deadline < due ? deadline : due;
    }
    if (due > until_ns) {
        n->now_ns = until_ns > n->now_ns ? until_ns : n->now_ns;
        return false;
    }
    n->now_ns = due > n->now_ns ? due : n->now_ns;
    if (n->queue && n->queue->due_ns <= n->now_ns) {
        net_datagram *d = n->queue;

        n->queue = d->next;
        for (unsigned i = 0; i < n->count; i++)
            if (n->nodes[i].e && net_same(&n->nodes[i].at, &d->to))
                endpoint_receive(n->nodes[i].e, &d->to, &d->from, d->bytes, d->len, 0, n->now_ns);
        free(d);
    }
    for (unsigned i = 0; i < n->count; i++)
        if (n->nodes[i].e && endpoint_deadline(n->nodes[i].e) <= n->now_ns)
            endpoint_expire(n->nodes[i].e, n->now_ns);
    return true;
}

static inline void net_run(net *n, int64_t for_ns)
{
    int64_t until = n->now_ns + for_ns;

    while (net_step(n, until)) {
    }
}

static inline net_session *net_dial(net_node *from, const net_node *to)
{
    berth_error error = {0};
    session *s;

    if (endpoint_dial(from->e, &to->at, to->static_public, from->net->now_ns, &s, &error) !=
        BERTH_OK)
        fail_msg("%s", error.text);
    return net_of(from, s);
}

static inline buf *net_numbered(uint64_t number, size_t len)
{
    buf *b = buf_new(len);

    assert_non_null(b);
    for (size_t i = 0; i < len; i++)
        b->data[i] = (uint8_t)(i * 131 + number);
    if (len >= 8)
        memcpy(b->data, &number, sizeof number);
    return b;
}

static inline berth_status net_send(net *n, net_session *of, lane l, uint64_t number, size_t len)
{
    buf *b = net_numbered(number, len);
    berth_status status = session_send(of->s, l, b, n->now_ns);

    buf_unref(b);
    return status;
}

/* The usual two, and a session between them: a dials b. */
static inline void net_pair(net *n, uint64_t seed)
{
    net_init(n, seed);
    net_add(n);
    net_add(n);
}

static inline void net_connect(net *n)
{
    net_start(&n->nodes[0]);
    net_start(&n->nodes[1]);
    net_dial(&n->nodes[0], &n->nodes[1]);
    net_run(n, NET_SECOND);
    assert_true(n->nodes[0].sessions[0].up);
    assert_true(n->nodes[1].sessions[0].up);
}

#endif
