/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate_host.h: hosts as moves need them: a store on a real disk, a runtime, a mesh with a loop
 * of its own, and the driver of migrations. Each knows the others before it starts.
 */
#ifndef MIGRATE_HOST_H
#define MIGRATE_HOST_H

#include "bench.h"

#include "base/log.h"
#include "daemon/moving.h"
#include "migrate/migrations.h"

#include <arpa/inet.h>
#include <errno.h>
#include <semaphore.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What others know of it; made before it runs. */
typedef struct host_face {
    char name[16];
    berth_keypair identity;
    uint8_t static_secret[32], static_public[32], reset_key[32];
    address at; /* once it listens */
} host_face;

typedef struct host {
    host_face *face;
    char dir[96];
    store *store;
    mesh *mesh;
    migrations *migrations;
    runtime *rt;
} host;

static void must(berth_status status, const berth_error *error)
{
    if (status == BERTH_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", berth_status_name(status), error->text);
    exit(1);
}

static void must_be(bool so, const char *what)
{
    if (so)
        return;
    fprintf(stderr, "bench: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

static void host_face_make(host_face *f, const char *name)
{
    memset(f, 0, sizeof *f);
    snprintf(f->name, sizeof f->name, "%s", name);
    berth_keypair_generate(&f->identity);
    randombytes_buf(f->static_secret, sizeof f->static_secret);
    randombytes_buf(f->reset_key, sizeof f->reset_key);
    crypto_scalarmult_base(f->static_public, f->static_secret);
    f->at.len = sizeof f->at.u.in;
    f->at.u.in.sin_family = AF_INET;
    f->at.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

/* The other's address may not be known yet: it dials then. */
static mesh_peer host_peer_of(const host_face *f)
{
    mesh_peer p = {.has_key = true,
                   .has_entity = true,
                   .may = TRUST_MAY_MIGRATE_IN | TRUST_MAY_MIGRATE_OUT | TRUST_MAY_ORCHESTRATE};

    snprintf(p.name, sizeof p.name, "%s", f->name);
    memcpy(p.key, f->static_public, sizeof p.key);
    memcpy(p.entity, f->identity.entity, sizeof p.entity);
    if (f->at.u.in.sin_port) {
        p.addresses[0] = f->at;
        p.address_count = 1;
    }
    return p;
}

static void host_up(host *h, host_face *face, const host_face *other, const char *dir,
                    const berth_kind *kind, uint32_t max_packet)
{
    uint8_t host_key[32] = {1};
    mesh_peer peer = host_peer_of(other);
    mesh_policy policy = {.peers = &peer, .peer_count = 1};
    mesh_config m = {.name = face->name,
                     .identity = &face->identity,
                     .boot = 1,
                     .listen_count = 1,
                     .max_packet = max_packet};
    runtime_parts parts = {.host_key = host_key, .node_id = face->identity.node_id};
    migrations_config x = {.identity = &face->identity};
    berth_error error = {0};
    mesh_self self;

    *h = (host){.face = face};
    snprintf(h->dir, sizeof h->dir, "%s/%s", dir, face->name);
    must_be(mkdir(h->dir, 0700) == 0, h->dir);
    must(store_open(h->dir, &h->store, &error), &error);
    memcpy(m.static_secret, face->static_secret, sizeof m.static_secret);
    memcpy(m.reset_key, face->reset_key, sizeof m.reset_key);
    m.listen[0] = face->at;
    must(mesh_new(&m, &h->mesh, &error), &error);
    parts.store = h->store;
    parts.route = mesh_route(h->mesh);
    must(runtime_new(&parts, &h->rt, &error), &error);
    must(berth_register_factory_with(
             h->rt, kind, &(berth_factory_facts){sizeof(berth_factory_facts), true}, &error),
         &error);
    x.mesh = h->mesh;
    x.plugins = runtime_plugins(h->rt);
    x.store = h->store;
    memcpy(x.static_secret, face->static_secret, sizeof x.static_secret);
    must(migrations_new(&x, &h->migrations, &error), &error);
    must(berth_runtime_start(h->rt, &error), &error);
    must(mesh_start(h->mesh, h->rt, &policy, &error), &error);
    must(migrations_start(h->migrations, h->rt, &error), &error);
    mesh_get_self(h->mesh, &self);
    face->at = self.listening[0];
}

static void host_down(host *h)
{
    mesh_kill(h->mesh);
    migrations_free(h->migrations);
    berth_runtime_free(h->rt);
    mesh_free(h->mesh);
    store_close(h->store);
}

static void host_await_peer(host *h, const host_face *other)
{
    mesh_peer_view v;

    for (int i = 0; i < 2000; i++) {
        if (mesh_peer_find(h->mesh, other->name, &v, NULL) == BERTH_OK && v.up)
            return;
        usleep(5000);
    }
    must_be(false, "the hosts do not meet");
}

/* ---- Floors ---------------------------------------------------------------------------------- */

typedef struct host_pong {
    sem_t came;
    berth_status status;
} host_pong;

static void host_ponged(void *ctx, berth_status status, int64_t rtt_ns)
{
    host_pong *p = ctx;

    (void)rtt_ns;
    p->status = status;
    sem_post(&p->came);
}

/* One message of the session there and one back, as a thread that is not the mesh's sees it. */
static int64_t host_round_trip(host *h, const host_face *other)
{
    int64_t t = bench_now();
    host_pong p;

    sem_init(&p.came, 0, 0);
    mesh_ping(h->mesh, other->identity.node_id, 5000000000, host_ponged, &p);
    sem_wait(&p.came);
    sem_destroy(&p.came);
    must_be(p.status == BERTH_OK, "no pong");
    return bench_now() - t;
}

/* One small change of the store's own, on disk, as a thread that waits for it sees it. */
static int64_t host_commit(host *h)
{
    static uint64_t number;
    berth_error error = {0};
    int64_t t = bench_now();

    number++;
    must(store_put_fact(h->store, "bench", slice_of(&number, sizeof number), &error), &error);
    return bench_now() - t;
}

/* ---- Moving ---------------------------------------------------------------------------------- */

static migration_id host_begin(host *h, const host_face *to, uint64_t origin)
{
    migration_spec spec = {.origin = origin,
                           .source = h->face->identity.node_id,
                           .target = to->identity.node_id,
                           .transport_identity = true,
                           .retry_not_ready_ns = 10000000000};
    berth_error error = {0};
    move_outcome why;
    migration_id id;

    must(migrations_begin(h->migrations, &spec, &id, &why, &error), &error);
    return id;
}

static bool host_is_over(host *h, const migration_id *id)
{
    move_outcome out;
    bool over = migrations_wait(h->migrations, id, 0, &out, NULL) == BERTH_OK;

    if (over && !out.moved)
        fprintf(stderr, "bench: it stays: %s: %s\n", move_reason_text(out.reason), out.text);
    return over;
}

static void host_await(host *h, const migration_id *id)
{
    berth_error error = {0};
    move_outcome out;

    must(migrations_wait(h->migrations, id, -1, &out, &error), &error);
    if (!out.moved) {
        fprintf(stderr, "bench: it stays: %s: %s\n", move_reason_text(out.reason), out.text);
        exit(1);
    }
}

static inline int host_by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static inline int64_t host_quantile(int64_t *values, unsigned n, double q)
{
    qsort(values, n, sizeof *values, host_by_size);
    return values[(unsigned)(q * (n - 1) + 0.5)];
}

#endif
