/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/mesh_hosts.h: hosts in one process, each with a runtime and its part in a mesh, over real
 * sockets on loopback. Host 0 is whom the others know.
 */
#ifndef TESTS_MESH_HOSTS_H
#define TESTS_MESH_HOSTS_H

#include "daemon_help.h"
#include "mesh/mesh.h"

#include "store/store.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#define HOSTS_MAX 8

typedef struct host {
    mesh *mesh;
    berth_runtime *rt;
    berth_keypair key;
    uint8_t secret[32];
    uint64_t boot;
    mesh_config config;
    address at;
    char dir[64]; /* of its state, "" for none */
    store *store;
} host;

typedef struct hosts {
    host list[HOSTS_MAX];
    unsigned count;
    mesh_peer peers[HOSTS_MAX];
    channel_rule rules[8];
    size_t rule_count;
    uint32_t may;                       /* of everybody, everywhere */
    const berth_runtime_config *limits; /* of everybody; NULL: as they are */
} hosts;

static inline address hosts_loopback(uint16_t port)
{
    address a = {.len = sizeof a.u.in};

    a.u.in.sin_family = AF_INET;
    a.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.u.in.sin_port = htons(port);
    return a;
}

/* Everybody pins everybody; the first is the one whose address is known. */
static inline void hosts_pins(hosts *h)
{
    for (unsigned i = 0; i < h->count; i++) {
        mesh_peer *p = &h->peers[i];

        *p = (mesh_peer){.has_key = true, .has_entity = true, .may = h->may};
        snprintf(p->name, sizeof p->name, "host%u", i);
        crypto_scalarmult_base(p->key, h->list[i].secret);
        memcpy(p->entity, h->list[i].key.entity, sizeof p->entity);
        if (i == 0 && h->list[0].at.len) {
            p->addresses[0] = h->list[0].at;
            p->address_count = 1;
        }
    }
}

static inline mesh_policy hosts_policy(hosts *h, unsigned of, mesh_peer *out)
{
    size_t n = 0;

    for (unsigned i = 0; i < h->count; i++)
        if (i != of)
            out[n++] = h->peers[i];
    return (mesh_policy){
        .peers = out, .peer_count = n, .channels = h->rules, .channel_count = h->rule_count};
}

/* Make the host's mesh and runtime, and start both. */
static inline void hosts_up(hosts *h, unsigned i)
{
    host *x = &h->list[i];
    mesh_peer others[HOSTS_MAX];
    mesh_policy policy;
    mesh_self self;
    berth_error error = {0};
    char name[16];
    runtime_parts parts = {.node_id = x->key.node_id, .config = h->limits};

    snprintf(name, sizeof name, "host%u", i);
    x->config.name = name;
    x->config.identity = &x->key;
    x->config.boot = ++x->boot;
    memcpy(x->config.static_secret, x->secret, 32);
    memcpy(x->config.reset_key, x->secret, 32);
    if (!x->config.listen_count) {
        x->config.listen[0] = x->at.len ? x->at : hosts_loopback(0);
        x->config.listen_count = 1;
    }
    if (mesh_new(&x->config, &x->mesh, &error) != BERTH_OK)
        fail_msg("mesh_new: %s", error.text);
    parts.route = mesh_route(x->mesh);
    if (x->dir[0]) {
        OK(store_open(x->dir, &x->store, &error));
        parts.store = x->store;
        parts.host_key = x->secret;
    }
    OK(runtime_new(&parts, &x->rt, &error));
    OK(berth_register_factory(x->rt, &kind_echo, &error));
    OK(berth_register_factory(x->rt, &kind_counter, &error));
    OK(berth_register_factory(x->rt, &kind_script, &error));
    OK(berth_runtime_start(x->rt, &error));
    if (x->store)
        OK(runtime_resume(x->rt, NULL, NULL, &error));
    hosts_pins(h);
    policy = hosts_policy(h, i, others);
    if (mesh_start(x->mesh, x->rt, &policy, &error) != BERTH_OK)
        fail_msg("mesh_start: %s", error.text);
    mesh_get_self(x->mesh, &self);
    x->at = self.listening[0];
    x->config.listen[0] = x->at; /* the same again after a restart */
}

static inline void hosts_down(hosts *h, unsigned i, bool gently)
{
    host *x = &h->list[i];

    if (!x->mesh)
        return;
    if (gently) {
        berth_runtime_shutdown(x->rt, 5000, NULL);
        mesh_leave(x->mesh, 2000);
    } else {
        mesh_kill(x->mesh);
    }
    berth_runtime_free(x->rt);
    mesh_free(x->mesh);
    if (x->store)
        store_close(x->store);
    x->store = NULL;
    x->mesh = NULL;
    x->rt = NULL;
}

/* Give a host, before its first start, a state directory. */
static inline void hosts_keep(hosts *h, unsigned i)
{
    strcpy(h->list[i].dir, "/tmp/berth-hosts-XXXXXX");
    assert_non_null(mkdtemp(h->list[i].dir));
}

static inline int hosts_remove(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(name);
}

/* Timings of tests: fast enough that nobody waits, slow enough for a busy machine. */
static inline void hosts_init(hosts *h, unsigned count)
{
    *h = (hosts){.count = count};
    log_set_level(getenv("HOSTS_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    if (!getenv("HOSTS_LOG"))
        log_set_sink(help_log, NULL);
    kinds_gate_open();
    for (unsigned i = 0; i < count; i++) {
        host *x = &h->list[i];

        x->key = key_of(0x1000 + i);
        memset(x->secret, (int)(0x30 + i), sizeof x->secret);
        x->config.heartbeat_ns = 200 * 1000000;
        x->config.timeout_ns = 3000 * 1000000LL;
        x->config.idle_ns = 10 * 1000000000LL;
    }
}

static inline void hosts_start(hosts *h, unsigned count)
{
    hosts_init(h, count);
    for (unsigned i = 0; i < count; i++)
        hosts_up(h, i);
}

static inline void hosts_end(hosts *h)
{
    for (unsigned i = h->count; i-- > 0;)
        hosts_down(h, i, true);
    for (unsigned i = 0; i < h->count; i++)
        if (h->list[i].dir[0])
            nftw(h->list[i].dir, hosts_remove, 8, FTW_DEPTH | FTW_PHYS);
    assert_int_equal(kinds_alive, 0);
    assert_int_equal(kinds_overlaps, 0);
    assert_int_equal(help_defects, 0);
}

static inline uint64_t hosts_live(hosts *h, unsigned i)
{
    mesh_counters c;

    mesh_get_counters(h->list[i].mesh, &c);
    return c.peers_live;
}

static inline bool hosts_joined(hosts *h)
{
    for (unsigned i = 0; i < h->count; i++)
        if (hosts_live(h, i) != h->count - 1)
            return false;
    return true;
}

static inline uint64_t hosts_spawn(hosts *h, unsigned i, const char *kind, uint64_t key)
{
    berth_keypair identity = key_of(key);
    uint64_t origin = 0;
    berth_error error = {0};

    if (berth_spawn_kind(h->list[i].rt, kind, &identity, NULL, &origin, &error) != BERTH_OK)
        fail_msg("spawn: %s", error.text);
    return origin;
}

/* Deliver a text to a daemon of host i; its first output, or "", in out. */
static inline berth_status hosts_tell(hosts *h, unsigned i, uint64_t origin, const char *text,
                                      char out[256])
{
    berth_outputs *outputs = berth_outputs_new();
    berth_error error = {0};
    berth_status status = berth_deliver(h->list[i].rt, origin, text, strlen(text), outputs, &error);

    if (out)
        out[0] = 0;
    if (out && berth_outputs_count(outputs)) {
        berth_output_view v = berth_outputs_at(outputs, 0);

        snprintf(out, 256, "%.*s", (int)v.len, (const char *)v.data);
    }
    berth_outputs_free(outputs);
    return status;
}

static inline mesh_counters hosts_counters(hosts *h, unsigned i)
{
    mesh_counters c;

    mesh_get_counters(h->list[i].mesh, &c);
    return c;
}

static inline uint64_t hosts_count(hosts *h, unsigned i, uint64_t origin)
{
    char out[256];

    OK(hosts_tell(h, i, origin, "show", out));
    return strtoull(out, NULL, 10);
}

#endif
