/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it costs to reach a daemon on another host: two hosts in one process, each with its runtime,
 * its mesh and a loop of its own, over UDP on loopback.
 */
#include "bench.h"

#include "base/log.h"
#include "mesh/mesh.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CALL 1024 /* events that one call of the sending daemon emits */

static void must(berth_status status, const berth_error *error)
{
    if (status == BERTH_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", berth_status_name(status), error->text);
    exit(1);
}

/* ---- Kinds ----------------------------------------------------------------------------------- */

static _Atomic uint64_t counted, rounds_left;
static _Atomic uint32_t payload_size = 64;

static berth_code make(berth_call *call, const berth_birth *birth, void **self)
{
    (void)call;
    (void)birth;
    *self = calloc(1, 16);
    return *self ? BERTH_OK : BERTH_E_MEMORY;
}

static void unmake(void *self, berth_call *call)
{
    (void)call;
    free(self);
}

/* An event names the receiver: CALL events go there. */
static berth_code pump(void *self, berth_call *call, const berth_event *e)
{
    static const uint8_t payload[65536];
    berth_output o = {.size = sizeof o, .to = BERTH_TO_DAEMON, .data = {payload, payload_size}};

    (void)self;
    memcpy(&o.origin, e->data.ptr, sizeof o.origin);
    for (unsigned i = 0; i < CALL; i++) {
        berth_code code = call->api->output(call, &o);

        if (code != BERTH_OK)
            return code;
    }
    return BERTH_OK;
}

static berth_code count(void *self, berth_call *call, const berth_event *e)
{
    (void)self;
    (void)call;
    (void)e;
    atomic_fetch_add_explicit(&counted, 1, memory_order_relaxed);
    return BERTH_OK;
}

static berth_code answer(void *self, berth_call *call, const berth_event *e)
{
    (void)self;
    return call->api->emit(call, e->data.ptr, e->data.len);
}

static berth_code ask(void *self, berth_call *call, const berth_event *e)
{
    static const uint8_t payload[64];
    uint64_t *to = self;
    berth_output o = {.size = sizeof o,
                      .to = BERTH_TO_DAEMON,
                      .data = {payload, sizeof payload},
                      .request = 1 + atomic_load(&rounds_left)};

    if (e->type == BERTH_EVENT_MESSAGE)
        memcpy(to, e->data.ptr, sizeof *to);
    o.origin = *to;
    if (atomic_fetch_sub(&rounds_left, 1) <= 1)
        return BERTH_OK;
    return call->api->output(call, &o);
}

static const berth_kind kinds[] = {
    {.size = sizeof(berth_kind),
     .name = {"pump", 4},
     .create = make,
     .destroy = unmake,
     .process = pump},
    {.size = sizeof(berth_kind),
     .name = {"count", 5},
     .create = make,
     .destroy = unmake,
     .process = count},
    {.size = sizeof(berth_kind),
     .name = {"answer", 6},
     .create = make,
     .destroy = unmake,
     .process = answer},
    {.size = sizeof(berth_kind),
     .name = {"ask", 3},
     .create = make,
     .destroy = unmake,
     .process = ask,
     .on_reply = ask},
};

/* ---- Two hosts ------------------------------------------------------------------------------- */

typedef struct host {
    berth_keypair key;
    uint8_t secret[32];
    mesh *mesh;
    berth_runtime *rt;
    address at;
} host;

typedef struct world {
    host hosts[2];
    uint64_t pump, count, answer, ask;
} world;

static void start(world *w, unsigned i, uint32_t max_packet)
{
    host *h = &w->hosts[i];
    host *other = &w->hosts[1 - i];
    mesh_config c = {.name = i ? "b" : "a",
                     .identity = &h->key,
                     .boot = 1,
                     .listen_count = 1,
                     .max_packet = max_packet};
    runtime_parts parts = {.node_id = h->key.node_id};
    mesh_peer peer = {.name = "other", .has_key = true};
    mesh_policy policy = {.peers = &peer, .peer_count = 1};
    berth_error error = {0};
    mesh_self self;

    c.listen[0].len = sizeof c.listen[0].u.in;
    c.listen[0].u.in.sin_family = AF_INET;
    c.listen[0].u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memcpy(c.static_secret, h->secret, 32);
    memcpy(c.reset_key, h->secret, 32);
    crypto_scalarmult_base(peer.key, other->secret);
    if (other->at.len) {
        peer.addresses[0] = other->at;
        peer.address_count = 1;
    }
    must(mesh_new(&c, &h->mesh, &error), &error);
    parts.route = mesh_route(h->mesh);
    must(runtime_new(&parts, &h->rt, &error), &error);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        must(berth_register_factory(h->rt, &kinds[k], &error), &error);
    must(berth_runtime_start(h->rt, &error), &error);
    must(mesh_start(h->mesh, h->rt, &policy, &error), &error);
    mesh_get_self(h->mesh, &self);
    h->at = self.listening[0];
}

static uint64_t spawn(host *h, const char *kind)
{
    uint64_t origin;
    berth_error error = {0};

    must(berth_spawn_kind(h->rt, kind, NULL, NULL, &origin, &error), &error);
    return origin;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

static void open_world(world *w, uint32_t max_packet)
{
    mesh_counters c;

    memset(w, 0, sizeof *w);
    for (unsigned i = 0; i < 2; i++) {
        berth_keypair_generate(&w->hosts[i].key);
        randombytes_buf(w->hosts[i].secret, 32);
    }
    start(w, 0, max_packet);
    start(w, 1, max_packet);
    do {
        nap();
        mesh_get_counters(w->hosts[0].mesh, &c);
    } while (!c.peers_live);
    w->pump = spawn(&w->hosts[0], "pump");
    w->ask = spawn(&w->hosts[0], "ask");
    w->count = spawn(&w->hosts[1], "count");
    w->answer = spawn(&w->hosts[1], "answer");
}

static void close_world(world *w)
{
    for (unsigned i = 0; i < 2; i++) {
        berth_runtime_shutdown(w->hosts[i].rt, 5000, NULL);
        mesh_leave(w->hosts[i].mesh, 1000);
        berth_runtime_free(w->hosts[i].rt);
        mesh_free(w->hosts[i].mesh);
    }
}

/* ---- Events ---------------------------------------------------------------------------------- */

static int64_t send_events(void *ctx, uint64_t n)
{
    world *w = ctx;
    berth_input input = {.data = &w->count, .len = sizeof w->count};
    berth_error error = {0};
    uint64_t from = atomic_load(&counted);
    int64_t t = bench_now();

    for (uint64_t i = 0; i < n; i += CALL)
        must(berth_submit_wait(w->hosts[0].rt, w->pump, &input, 1, NULL, NULL, &error), &error);
    while (atomic_load(&counted) - from < n)
        nap();
    return bench_now() - t;
}

/* The same between two daemons of one host. */
static int64_t send_here(void *ctx, uint64_t n)
{
    world *w = ctx;
    static uint64_t here;
    berth_input input = {.data = &here, .len = sizeof here};
    berth_error error = {0};
    uint64_t from = atomic_load(&counted);
    int64_t t;

    if (!here)
        here = spawn(&w->hosts[0], "count");
    t = bench_now();
    for (uint64_t i = 0; i < n; i += CALL)
        must(berth_submit_wait(w->hosts[0].rt, w->pump, &input, 1, NULL, NULL, &error), &error);
    while (atomic_load(&counted) - from < n)
        nap();
    return bench_now() - t;
}

/* Seal and open the bytes of so many events, in packets of 1,452. */
static int64_t aead(void *ctx, uint64_t n)
{
    static uint8_t packet[1452 + 64], key[32], nonce[12];
    uint64_t bytes = n * payload_size;
    int64_t t = bench_now();

    (void)ctx;
    for (uint64_t i = 0; i < bytes; i += 1400) {
        unsigned long long len;

        crypto_aead_chacha20poly1305_ietf_encrypt(packet, &len, packet, 1400, NULL, 0, NULL, nonce,
                                                  key);
    }
    bench_use(packet[0]);
    return bench_now() - t;
}

/* ---- Round trips ----------------------------------------------------------------------------- */

static int64_t round_trips(void *ctx, uint64_t n)
{
    world *w = ctx;
    berth_input input = {.data = &w->answer, .len = sizeof w->answer};
    berth_error error = {0};
    int64_t t = bench_now();

    atomic_store(&rounds_left, n + 1);
    must(berth_submit_wait(w->hosts[0].rt, w->ask, &input, 1, NULL, NULL, &error), &error);
    while (atomic_load(&rounds_left) != 0 && atomic_load(&rounds_left) <= n + 1)
        nap();
    return bench_now() - t;
}

static int bare[2];

static void *bare_answer(void *arg)
{
    uint8_t b[64];
    ssize_t len;

    (void)arg;
    while ((len = recv(bare[1], b, sizeof b, 0)) > 1)
        send(bare[1], b, (size_t)len, 0);
    return NULL;
}

static int64_t bare_trips(void *ctx, uint64_t n)
{
    uint8_t b[64] = {0};
    int64_t t = bench_now();

    (void)ctx;
    for (uint64_t i = 0; i < n; i++) {
        send(bare[0], b, sizeof b, 0);
        recv(bare[0], b, sizeof b, 0);
    }
    return bench_now() - t;
}

static pthread_t bare_open(void)
{
    struct sockaddr_in at[2] = {{0}};
    pthread_t thread;

    for (unsigned i = 0; i < 2; i++) {
        socklen_t len = sizeof at[i];

        bare[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        at[i].sin_family = AF_INET;
        at[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (bind(bare[i], (struct sockaddr *)&at[i], sizeof at[i]) ||
            getsockname(bare[i], (struct sockaddr *)&at[i], &len))
            exit(1);
    }
    for (unsigned i = 0; i < 2; i++)
        if (connect(bare[i], (struct sockaddr *)&at[1 - i], sizeof at[i]))
            exit(1);
    pthread_create(&thread, NULL, bare_answer, NULL);
    return thread;
}

static void run_bulk(world *w, const char *name)
{
    atomic_store(&payload_size, 1024);
    bench_run(&(bench_row){.group = "mesh",
                           .name = name,
                           .unit = "event",
                           .floor_name = "AEAD of its bytes, one side",
                           .target = "at least 0.5",
                           .figure = send_events,
                           .floor = aead,
                           .ctx = w,
                           .n = 64 * CALL,
                           .rounds = 5,
                           .rate = "MB/s",
                           .amount = 1024.0 / 1e6});
}

int main(int argc, char **argv)
{
    world w;
    pthread_t thread;

    log_set_level(LOG_LEVEL_ERROR);
    bench_begin(argc, argv);
    open_world(&w, 0);
    bench_run(&(bench_row){.group = "mesh",
                           .name = "event of 64 B to a daemon of another host",
                           .unit = "event",
                           .floor_name = "to a daemon of this host",
                           .target = "at most 1 us",
                           .figure = send_events,
                           .floor = send_here,
                           .ctx = &w,
                           .n = 256 * CALL,
                           .rounds = 5});
    run_bulk(&w, "the same, 1 KiB");
    atomic_store(&payload_size, 64);
    thread = bare_open();
    bench_run(&(bench_row){.group = "mesh",
                           .name = "request to a daemon of another host, and back",
                           .unit = "request",
                           .floor_name = "bare UDP, two threads",
                           .target = "at most 2.5x",
                           .figure = round_trips,
                           .floor = bare_trips,
                           .ctx = &w,
                           .n = 2000,
                           .rounds = 5});
    send(bare[0], "", 1, 0);
    pthread_join(thread, NULL);
    close_world(&w);
    open_world(&w, 65000);
    run_bulk(&w, "event of 1 KiB, packets of 65,000 B");
    close_world(&w);
    bench_end();
    return 0;
}
