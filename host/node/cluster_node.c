/* SPDX-License-Identifier: Apache-2.0 */
/* One node of a cluster: up, down, and who may use it meanwhile. */
#include "node/cluster_private.h"

#include "base/clock.h"
#include "base/error.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Use ------------------------------------------------------------------------------------- */

bool node_enter(cluster_node *n, uint32_t life)
{
    bool there;

    pthread_mutex_lock(&n->of->lock);
    there = n->running && (!life || life == n->life);
    n->users += there;
    pthread_mutex_unlock(&n->of->lock);
    return there;
}

void node_leave(cluster_node *n)
{
    pthread_mutex_lock(&n->of->lock);
    if (--n->users == 0)
        pthread_cond_broadcast(&n->of->moved);
    pthread_mutex_unlock(&n->of->lock);
}

/* ---- Who it knows ---------------------------------------------------------------------------- */

bool node_is_told(const berth_cluster *c, uint32_t node, uint32_t of)
{
    uint32_t before = 0;

    if (of >= node || !cluster_reaches(c, node, of))
        return false;
    for (uint32_t i = 0; i < of; i++)
        before += cluster_reaches(c, node, i);
    return !c->config.known || before < c->config.known;
}

typedef enum told { TOLD_NONE, TOLD_AT_BOOT, TOLD_ALL } told;

/* Everybody is pinned; malloc'd. */
static mesh_peer *pins(const cluster_node *n, told what)
{
    const berth_cluster *c = n->of;
    mesh_peer *list = calloc(c->count, sizeof *list), *p = list;

    for (uint32_t i = 0; list && i < c->count; i++) {
        const cluster_node *x = &c->nodes[i];

        if (x == n)
            continue;
        p->has_key = p->has_entity = true;
        p->may = (c->config.relay ? TRUST_MAY_RELAY : 0) |
                 (c->config.migrate
                      ? TRUST_MAY_MIGRATE_IN | TRUST_MAY_MIGRATE_OUT | TRUST_MAY_ORCHESTRATE
                      : 0);
        snprintf(p->name, sizeof p->name, "%s", x->name);
        memcpy(p->key, x->static_public, sizeof p->key);
        memcpy(p->entity, x->identity.entity, sizeof p->entity);
        if (what == TOLD_ALL ? x->at.len && cluster_reaches(c, n->number, i)
                             : what == TOLD_AT_BOOT && node_is_told(c, n->number, i)) {
            p->addresses[0] = x->at;
            p->address_count = 1;
        }
        p++;
    }
    return list;
}

berth_status node_introduce(cluster_node *n, bool all, berth_error *error)
{
    mesh_peer *list = pins(n, all ? TOLD_ALL : TOLD_AT_BOOT);
    mesh_policy policy = {.peers = list, .peer_count = n->of->count - 1};
    berth_status status = list ? mesh_set_policy(n->mesh, &policy, error)
                               : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");

    free(list);
    return status;
}

/* ---- Up -------------------------------------------------------------------------------------- */

static void peer_changed(void *ctx, const peer_event *e)
{
    if (e->change != PEER_PONG)
        cluster_moved(ctx);
}

static berth_status keep_version(void *ctx, uint64_t version)
{
    atomic_store(&((cluster_node *)ctx)->version, version);
    return BERTH_OK;
}

static berth_status make_mesh(cluster_node *n, uint32_t life, berth_error *error)
{
    const berth_cluster_config *c = &n->of->config;
    mesh_config config = {.name = n->name,
                          .identity = &n->identity,
                          .boot = life,
                          .listen_count = 1,
                          .loop = n->of->loops[n->number % n->of->loop_count],
                          .announcement_version = atomic_load(&n->version),
                          .keep_version = keep_version,
                          .ctx = n,
                          .max_packet = n->config.max_packet,
                          .heartbeat_ns = c->heartbeat_ms * MS_NS,
                          .timeout_ns = c->timeout_ms * MS_NS,
                          .idle_ns = c->idle_ms * MS_NS};
    berth_status status;

    memcpy(config.static_secret, n->static_secret, sizeof config.static_secret);
    memcpy(config.reset_key, n->reset_key, sizeof config.reset_key);
    if (n->config.has_psk) {
        memcpy(config.psks[0], n->config.psk, sizeof config.psks[0]);
        config.psk_count = 1;
    }
    config.listen[0] = n->at;
    if (!n->at.len) {
        config.listen[0].len = sizeof n->at.u.in;
        config.listen[0].u.in.sin_family = AF_INET;
        config.listen[0].u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    status = mesh_new(&config, &n->mesh, error);
    if (status == BERTH_OK)
        status = mesh_watch(n->mesh, peer_changed, n->of);
    if (status == BERTH_OK && n->skew_s)
        mesh_wall_skew(n->mesh, n->skew_s);
    return status;
}

static berth_status make_migrations(cluster_node *n, berth_error *error)
{
    migrations_config config = {.mesh = n->mesh,
                                .plugins = runtime_plugins(n->rt),
                                .identity = &n->identity,
                                .resend_ns = n->of->config.heartbeat_ms * MS_NS / 4};

    memcpy(config.static_secret, n->static_secret, sizeof config.static_secret);
    return migrations_new(&config, &n->migrations, error);
}

static berth_status begin(cluster_node *n, uint32_t life, berth_error *error)
{
    runtime_parts parts = {.config = &n->runtime_config, .node_id = n->identity.node_id};
    mesh_peer *list = pins(n, TOLD_NONE);
    mesh_policy policy = {.peers = list, .peer_count = n->of->count - 1};
    mesh_self self;
    berth_status status;

    if (!list)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    status = make_mesh(n, life, error);
    if (status == BERTH_OK) {
        parts.route = mesh_route(n->mesh);
        status = runtime_new(&parts, &n->rt, error);
    }
    if (status == BERTH_OK)
        status = cluster_kinds_apply(n, error);
    if (status == BERTH_OK)
        status = make_migrations(n, error);
    if (status == BERTH_OK)
        status = berth_runtime_start(n->rt, error);
    if (status == BERTH_OK && n->at.len) /* before it can be heard of */
        status = cluster_links_apply(n, error);
    if (status == BERTH_OK)
        status = mesh_start(n->mesh, n->rt, &policy, error);
    if (status == BERTH_OK)
        status = migrations_start(n->migrations, n->rt, error);
    free(list);
    if (status != BERTH_OK)
        return status;
    mesh_get_self(n->mesh, &self);
    n->at = self.listening[0];
    return BERTH_OK;
}

static void take_down(cluster_node *n)
{
    if (n->mesh)
        mesh_kill(n->mesh);
    migrations_free(n->migrations); /* which holds daemons */
    berth_runtime_free(n->rt);
    mesh_free(n->mesh);
    n->migrations = NULL;
    n->mesh = NULL;
    n->rt = NULL;
}

berth_status node_up(cluster_node *n, berth_error *error)
{
    const log_capture *before = log_set_capture(&n->lines.capture);
    uint32_t life = n->life + 1;
    berth_error unread = {0};
    berth_status status = begin(n, life, error ? error : &unread);

    if (status != BERTH_OK) {
        take_down(n);
        fail_prefix(error, "node %u", n->number);
    }
    pthread_mutex_lock(&n->of->lock);
    n->life = life;
    n->running = status == BERTH_OK;
    pthread_mutex_unlock(&n->of->lock);
    log_set_capture(before);
    return status;
}

/* ---- Down ------------------------------------------------------------------------------------ */

static void await_users(cluster_node *n)
{
    pthread_mutex_lock(&n->of->lock);
    while (n->users)
        pthread_cond_wait(&n->of->moved, &n->of->lock);
    pthread_mutex_unlock(&n->of->lock);
}

berth_status node_down(cluster_node *n, bool gently, berth_error *error)
{
    const log_capture *before = log_set_capture(&n->lines.capture);
    uint32_t grace = n->of->config.shutdown_ms;
    berth_status status;

    pthread_mutex_lock(&n->of->lock);
    n->running = false;
    pthread_mutex_unlock(&n->of->lock);
    if (gently)
        mesh_stall(n->mesh, 0); /* whatever it was told to sit out */
    else
        mesh_kill(n->mesh);
    migrations_stop(n->migrations);
    /* From here on no call that is under way waits any more. */
    status = berth_runtime_shutdown(n->rt, grace, error);
    if (gently)
        mesh_leave(n->mesh, status == BERTH_OK ? grace : 0);
    if (status == BERTH_ERR_TIMEOUT) {
        log_error("cluster", "%s: a daemon does not return from its call; its memory is given up",
                  n->name);
        atomic_store(&n->of->stuck, true);
        n->rt = NULL; /* whose thread may still call the route */
        n->mesh = NULL;
        n->migrations = NULL;
    } else {
        await_users(n);
        take_down(n);
    }
    if (status != BERTH_OK)
        fail_prefix(error, "node %u", n->number);
    log_set_capture(before);
    cluster_moved(n->of);
    return status;
}
