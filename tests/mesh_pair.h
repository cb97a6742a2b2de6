/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh_pair.h: two endpoints in one process that talk as two hosts do: each has a thread, a loop
 * and a socket of its own.
 *
 * A node's endpoint is touched on its own thread only. pair_call runs something there, and waits.
 */
#ifndef MESH_PAIR_H
#define MESH_PAIR_H

#include "mesh/transport.h"
#include "mesh/udp.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <semaphore.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAIR_MS 1000000ll

typedef struct pair_node pair_node;
typedef void pair_fn(pair_node *n, void *arg);

struct pair_node {
    endpoint_config config; /* to be changed before pair_start */
    berth_keypair key;
    uint8_t static_public[32];
    endpoint *e;
    udp *u;
    session *s; /* that is up; NULL: none */
    uv_loop_t loop;
    uv_timer_t timer;
    uv_async_t wake;
    pthread_t thread;
    pair_fn *job;
    void *job_arg;
    bool stop;
    sem_t done;    /* the job is */
    sem_t reached; /* for whoever waits: up, and whatever the hooks below post */
    const char *name;
    int64_t now_ns, due_ns;
    /* What to do with a message and with room; on the node's thread. */
    bool (*message)(pair_node *n, lane l, buf *b);
    void (*room)(pair_node *n, lane l);
    void *user;
};

static inline void pair_die(const char *what, const char *why)
{
    fprintf(stderr, "pair: %s: %s\n", what, why);
    exit(1);
}

static inline int64_t pair_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* ---- The driver ------------------------------------------------------------------------------ */

static inline void pair_flush(pair_node *n);

static inline void pair_on_timer(uv_timer_t *timer)
{
    pair_node *n = timer->data;

    n->due_ns = INT64_MAX;
    endpoint_expire(n->e, pair_clock());
    pair_flush(n);
}

/* Send what there is, and be back when the endpoint wants it. */
static inline void pair_flush(pair_node *n)
{
    int64_t due;

    udp_send(n->u);
    due = endpoint_deadline(n->e);
    if (due == n->due_ns)
        return;
    n->due_ns = due;
    if (due == INT64_MAX) {
        uv_timer_stop(&n->timer);
    } else {
        int64_t left = due - pair_clock();

        uv_timer_start(&n->timer, pair_on_timer,
                       left < 0 ? 0 : (uint64_t)((left + PAIR_MS - 1) / PAIR_MS), 0);
    }
}

static inline void pair_on_receive(void *ctx, const address *local, const address *from,
                                   const uint8_t *bytes, size_t len, uint8_t ecn)
{
    pair_node *n = ctx;

    if (!n->now_ns) /* one look at the clock for all that came together */
        n->now_ns = pair_clock();
    endpoint_receive(n->e, local, from, bytes, len, ecn, n->now_ns);
}

static inline void pair_on_received(void *ctx)
{
    pair_node *n = ctx;

    n->now_ns = 0;
    pair_flush(n);
}

static inline bool pair_on_next(void *ctx, uint8_t *memory, size_t cap, outgoing *out)
{
    pair_node *n = ctx;

    return endpoint_send(n->e, memory, cap, out, pair_clock());
}

static inline void pair_on_wake(uv_async_t *wake)
{
    pair_node *n = wake->data;

    if (n->stop) {
        udp_close(n->u, NULL, NULL);
        uv_close((uv_handle_t *)&n->timer, NULL);
        uv_close((uv_handle_t *)&n->wake, NULL);
        return;
    }
    n->job(n, n->job_arg);
    pair_flush(n);
    sem_post(&n->done);
}

static inline void *pair_thread(void *arg)
{
    pair_node *n = arg;

    uv_run(&n->loop, UV_RUN_DEFAULT);
    return NULL;
}

static inline void pair_call(pair_node *n, pair_fn *job, void *arg)
{
    n->job = job;
    n->job_arg = arg;
    uv_async_send(&n->wake);
    sem_wait(&n->done);
}

/* ---- What the endpoint tells ------------------------------------------------------------------
 */

static inline berth_status pair_admit(void *ctx, peer_identity *peer, slice certificate,
                                      berth_error *error)
{
    (void)ctx;
    (void)certificate;
    (void)error;
    snprintf(peer->name, sizeof peer->name, "peer");
    return BERTH_OK;
}

static inline void pair_up(void *ctx, session *s, const peer_identity *peer)
{
    pair_node *n = ctx;

    (void)peer;
    n->s = s;
    sem_post(&n->reached);
}

static inline void pair_down(void *ctx, session *s, session_end why, const char *text)
{
    pair_node *n = ctx;

    if (n->s == s)
        n->s = NULL;
    if (why != END_LOCAL)
        pair_die("a session ended", text);
}

static inline bool pair_message(void *ctx, session *s, lane l, buf *message)
{
    pair_node *n = ctx;

    (void)s;
    return !n->message || n->message(n, l, message);
}

static inline void pair_datagram(void *ctx, session *s, const uint8_t *bytes, size_t len)
{
    (void)ctx;
    (void)s;
    (void)bytes;
    (void)len;
}

static inline void pair_room(void *ctx, session *s, lane l)
{
    pair_node *n = ctx;

    (void)s;
    if (n->room)
        n->room(n, l);
}

/* ---- Life ------------------------------------------------------------------------------------ */

/* Keys, and a configuration that admits everybody. */
static inline void pair_config(endpoint_config *c, berth_keypair *key, uint8_t static_public[32],
                               void *ctx)
{
    uint8_t seed[BERTH_SEED_SIZE];

    randombytes_buf(seed, sizeof seed);
    berth_keypair_from_seed(key, seed);
    *c = (endpoint_config){
        .identity = key,
        .admit = pair_admit,
        .admit_ctx = ctx,
        .events = {ctx, pair_up, pair_down, pair_message, pair_datagram, pair_room}};
    randombytes_buf(c->static_secret, 32);
    randombytes_buf(c->reset_key, 32);
    crypto_scalarmult_base(static_public, c->static_secret);
}

static inline address pair_loopback(void)
{
    address a = {.len = sizeof a.u.in};

    a.u.in.sin_family = AF_INET;
    a.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static inline void pair_open(pair_node *n)
{
    berth_error error = {0};
    udp_config c = {.loop = &n->loop,
                    .bind = pair_loopback(),
                    .receive = pair_on_receive,
                    .received = pair_on_received,
                    .next = pair_on_next,
                    .ctx = n};

    n->due_ns = INT64_MAX;
    sem_init(&n->done, 0, 0);
    sem_init(&n->reached, 0, 0);
    uv_loop_init(&n->loop);
    uv_timer_init(&n->loop, &n->timer);
    uv_async_init(&n->loop, &n->wake, pair_on_wake);
    n->timer.data = n->wake.data = n;
    if (endpoint_new(&n->config, &n->e, &error) != BERTH_OK ||
        udp_open(&c, &n->u, &error) != BERTH_OK)
        pair_die("cannot start", error.text);
    pthread_create(&n->thread, NULL, pair_thread, n);
    pthread_setname_np(n->thread, n->name);
}

static inline void pair_dial(pair_node *n, void *arg)
{
    const pair_node *to = arg;
    berth_error error = {0};
    session *s;

    if (endpoint_dial(n->e, udp_address(to->u), to->static_public, pair_clock(), &s, &error) !=
        BERTH_OK)
        pair_die("cannot dial", error.text);
}

static inline void pair_init(pair_node nodes[2])
{
    memset(nodes, 0, 2 * sizeof *nodes);
    for (int i = 0; i < 2; i++) {
        nodes[i].name = i ? "node B" : "node A";
        pair_config(&nodes[i].config, &nodes[i].key, nodes[i].static_public, &nodes[i]);
    }
}

/* Both are up, and know each other, when it returns. */
static inline void pair_start(pair_node nodes[2])
{
    for (int i = 0; i < 2; i++)
        pair_open(&nodes[i]);
    pair_call(&nodes[0], pair_dial, &nodes[1]);
    for (int i = 0; i < 2; i++)
        sem_wait(&nodes[i].reached);
}

static inline void pair_stop(pair_node nodes[2])
{
    for (int i = 0; i < 2; i++) {
        nodes[i].stop = true;
        uv_async_send(&nodes[i].wake);
        pthread_join(nodes[i].thread, NULL);
        uv_loop_close(&nodes[i].loop);
    }
    for (int i = 0; i < 2; i++) {
        endpoint_free(nodes[i].e);
        sem_destroy(&nodes[i].done);
        sem_destroy(&nodes[i].reached);
    }
}

#endif
