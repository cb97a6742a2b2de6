/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster of nodes in this process: how it begins and how it ends. */
#include "node/cluster_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINES_MAX 100000

/* ---- Small things ---------------------------------------------------------------------------- */

void cluster_derive(const berth_cluster *c, const char *purpose, uint32_t node, uint32_t number,
                    uint8_t out[32])
{
    crypto_generichash_state h;
    uint64_t numbers[3] = {htole64(c->config.seed), htole64(node), htole64(number)};

    crypto_generichash_init(&h, NULL, 0, 32);
    crypto_generichash_update(&h, (const uint8_t *)"berth cluster", 13);
    crypto_generichash_update(&h, (const uint8_t *)numbers, sizeof numbers);
    crypto_generichash_update(&h, (const uint8_t *)purpose, strlen(purpose));
    crypto_generichash_final(&h, out, 32);
}

berth_status cluster_failed(berth_cluster *c, const berth_cluster_failure *failure,
                            const berth_error *error)
{
    pthread_mutex_lock(&c->lock);
    c->failure = *failure;
    c->failure.size = sizeof c->failure;
    snprintf(c->failure.reason, sizeof c->failure.reason, "%s", error->text);
    pthread_mutex_unlock(&c->lock);
    return failure->status;
}

void berth_cluster_get_failure(berth_cluster *c, berth_cluster_failure *out)
{
    pthread_mutex_lock(&c->lock);
    *out = c->failure;
    out->size = sizeof *out;
    pthread_mutex_unlock(&c->lock);
}

bool cluster_ended(berth_cluster *c)
{
    bool ended;

    pthread_mutex_lock(&c->lock);
    ended = c->ended;
    pthread_mutex_unlock(&c->lock);
    return ended;
}

bool cluster_has(berth_cluster_set set, uint32_t node)
{
    for (uint32_t i = 0; set.nodes && i < set.count; i++)
        if (set.nodes[i] == node)
            return true;
    return !set.nodes;
}

berth_status cluster_check_node(const berth_cluster *c, uint32_t node, berth_error *error)
{
    if (node < c->count)
        return BERTH_OK;
    return fail(error, BERTH_ERR_INVALID, "there is no node %u: they are 0 to %u", node,
                c->count - 1);
}

berth_status cluster_check_set(const berth_cluster *c, berth_cluster_set set, berth_error *error)
{
    berth_status status = BERTH_OK;

    for (uint32_t i = 0; set.nodes && i < set.count && status == BERTH_OK; i++)
        status = cluster_check_node(c, set.nodes[i], error);
    return status;
}

/* ---- Configuration --------------------------------------------------------------------------- */

static void or_default(uint32_t *value, uint32_t normal)
{
    if (!*value)
        *value = normal;
}

static berth_status check(berth_cluster_config *c, berth_error *error)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (!c->nodes)
        return fail(error, BERTH_ERR_INVALID, "a cluster has at least one node");
    if (c->nodes > BERTH_CLUSTER_NODES_MAX)
        return fail(error, BERTH_ERR_INVALID, "a cluster has at most %d nodes",
                    BERTH_CLUSTER_NODES_MAX);
    if ((int)c->topology < BERTH_CLUSTER_FULL || c->topology > BERTH_CLUSTER_RELAY)
        return fail(error, BERTH_ERR_INVALID, "there is no topology %d", (int)c->topology);
    if (c->no_psk && c->psk)
        return fail(error, BERTH_ERR_INVALID, "a pre-shared key, and none: say one of them");
    if (c->log_lines > LINES_MAX)
        return fail(error, BERTH_ERR_INVALID, "at most %d lines of a node are kept", LINES_MAX);
    or_default(&c->loops, cores > 0 ? (uint32_t)cores : 1);
    if (c->loops > c->nodes)
        c->loops = c->nodes;
    or_default(&c->heartbeat_ms, 1000);
    or_default(&c->timeout_ms, 3000);
    or_default(&c->idle_ms, 10000);
    or_default(&c->handshake_ms, 5000);
    or_default(&c->sessions_ms, 2000);
    or_default(&c->announcements_ms, 3000);
    or_default(&c->poll_ms, 25);
    or_default(&c->shutdown_ms, 5000);
    or_default(&c->log_lines, 200);
    return BERTH_OK;
}

/* A host looks after each call every few milliseconds; many hosts would do little else. */
static const berth_runtime_config quiet = {
    .size = sizeof quiet, .threads = 1, .call_budget_ns = 1000000000};

static berth_status init_node(berth_cluster *c, uint32_t number, berth_error *error)
{
    cluster_node *n = &c->nodes[number];
    const berth_runtime_config *rt;
    uint8_t seed[32];

    n->of = c;
    n->number = number;
    snprintf(n->name, sizeof n->name, "node%u", number);
    cluster_derive(c, "identity", number, 0, seed);
    berth_keypair_from_seed(&n->identity, seed);
    cluster_derive(c, "static key", number, 0, n->static_secret);
    crypto_scalarmult_base(n->static_public, n->static_secret);
    cluster_derive(c, "reset key", number, 0, n->reset_key);
    n->config = (berth_cluster_node_config){.size = sizeof n->config,
                                            .has_psk = !c->config.no_psk,
                                            .max_packet = c->config.max_packet,
                                            .runtime = c->config.runtime};
    memcpy(n->config.psk, c->psk, sizeof n->config.psk);
    if (c->config.adjust)
        c->config.adjust(c->config.adjust_ctx, number, &n->config);
    rt = n->config.runtime ? n->config.runtime : &quiet;
    if (rt->size < sizeof(uint64_t) || rt->size > sizeof n->runtime_config)
        return fail(error, BERTH_ERR_INVALID,
                    "node %u: berth_runtime_config.size is not set, or of a newer berth", number);
    memcpy(&n->runtime_config, rt, rt->size);
    n->runtime_config.size = sizeof n->runtime_config;
    if (!map64_put(&c->by_id, n->identity.node_id, (void *)(uintptr_t)(number + 1)))
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    return BERTH_OK;
}

static void init_locks(berth_cluster *c)
{
    pthread_condattr_t monotonic;

    pthread_mutex_init(&c->change, NULL);
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->moved, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

berth_status berth_cluster_new(const berth_cluster_config *config, berth_cluster **out,
                               berth_error *error)
{
    berth_cluster *c = calloc(1, sizeof *c);
    int64_t now = clock_mono_ns();
    berth_status status;

    *out = NULL;
    if (!c)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    init_locks(c);
    sodium_ready();
    if (config->size < sizeof(uint64_t) || config->size > sizeof c->config) {
        status = fail(error, BERTH_ERR_INVALID,
                      "berth_cluster_config.size is not set, or of a newer berth");
    } else {
        memcpy(&c->config, config, config->size);
        status = check(&c->config, error);
    }
    if (status == BERTH_OK) {
        c->nodes = calloc(c->config.nodes, sizeof *c->nodes);
        c->loops = calloc(c->config.loops, sizeof(mesh_loop *));
        if (!c->nodes || !c->loops)
            status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    if (status == BERTH_OK && c->config.psk)
        memcpy(c->psk, c->config.psk, sizeof c->psk);
    else if (status == BERTH_OK)
        cluster_derive(c, "psk", 0, 0, c->psk);
    while (status == BERTH_OK && c->count < c->config.nodes) {
        cluster_lines_init(&c->nodes[c->count].lines, c->config.log_lines,
                           c->config.log_debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, now);
        status = init_node(c, c->count++, error);
    }
    c->config.psk = NULL;
    c->config.runtime = NULL;
    if (status == BERTH_OK)
        *out = c;
    else
        berth_cluster_free(c);
    return status;
}

/* ---- Boot ------------------------------------------------------------------------------------ */

static berth_status build(berth_cluster *c, berth_cluster_failure *failure, berth_error *error)
{
    berth_status status = BERTH_OK;

    failure->fault = BERTH_CLUSTER_FAULT_BUILD;
    while (status == BERTH_OK && c->loop_count < c->config.loops) {
        status = mesh_loop_new(&c->loops[c->loop_count], error);
        c->loop_count += status == BERTH_OK;
    }
    /* All listen before anyone is dialled, and what is between them holds before that. */
    for (uint32_t i = 0; i < c->count && status == BERTH_OK; i++) {
        failure->node = i;
        status = node_up(&c->nodes[i], error);
    }
    for (uint32_t i = 0; i < c->count && status == BERTH_OK; i++) {
        failure->node = i;
        status = cluster_links_apply(&c->nodes[i], error);
    }
    for (uint32_t i = 0; i < c->count && status == BERTH_OK; i++) {
        failure->node = i;
        status = node_introduce(&c->nodes[i], false, error);
    }
    return status;
}

typedef struct unmet {
    uint32_t node, to;
} unmet;

static bool all_met(void *ctx, berth_cluster *c)
{
    unmet *u = ctx;

    return !cluster_unmet(c, &u->node, &u->to);
}

/* Why these two have not met, as far as their counters tell. */
static void explain(berth_cluster *c, const unmet *u, berth_error *error)
{
    uint32_t budget = c->config.handshake_ms;
    mesh_counters from, to;

    mesh_get_counters(c->nodes[u->node].mesh, &from);
    mesh_get_counters(c->nodes[u->to].mesh, &to);
    if (to.endpoint.dropped_filter)
        fail(error, BERTH_ERR_TIMEOUT,
             "no handshake within %u ms: %llu first messages did not pass the filter of node %u; "
             "have they the same pre-shared key?",
             budget, (unsigned long long)to.endpoint.dropped_filter, u->to);
    else if (from.endpoint.refused || to.endpoint.refused)
        fail(error, BERTH_ERR_TIMEOUT, "no handshake within %u ms: one does not let the other in",
             budget);
    else
        fail(error, BERTH_ERR_TIMEOUT,
             "no handshake within %u ms: %llu of %llu dials of node %u failed", budget,
             (unsigned long long)from.endpoint.handshakes_failed,
             (unsigned long long)from.endpoint.dialled, u->node);
}

static berth_status converge(berth_cluster *c, berth_error *error)
{
    unmet u = {0};
    berth_status status =
        berth_cluster_wait_until(c, all_met, &u, c->config.handshake_ms, "handshakes", error);

    if (status != BERTH_OK) {
        berth_cluster_failure failure = {.fault = BERTH_CLUSTER_FAULT_HANDSHAKE,
                                         .status = status,
                                         .node = u.node,
                                         .to = u.to,
                                         .budget_ms = c->config.handshake_ms};

        explain(c, &u, error);
        cluster_failed(c, &failure, error);
        fail_prefix(error, "node %u to node %u", u.node, u.to);
        return status;
    }
    status = berth_cluster_await_sessions(c, c->config.sessions_ms, error);
    if (status == BERTH_OK)
        status = berth_cluster_await_announcements(c, c->config.announcements_ms, error);
    return status;
}

static berth_status all_down(berth_cluster *c, bool gently, berth_error *error);

berth_status berth_cluster_boot(berth_cluster *c, berth_error *error)
{
    berth_cluster_failure failure = {.size = sizeof failure};
    berth_error why = {0};
    berth_status status;

    pthread_mutex_lock(&c->change);
    if (c->booted || c->over) {
        pthread_mutex_unlock(&c->change);
        return fail(error, BERTH_ERR_INVALID, "a cluster is booted once: make another one");
    }
    c->booted = true;
    failure.status = status = build(c, &failure, &why);
    if (status != BERTH_OK)
        cluster_failed(c, &failure, &why);
    else
        status = converge(c, &why);
    if (status != BERTH_OK)
        all_down(c, false, NULL);
    pthread_mutex_unlock(&c->change);
    if (error && status != BERTH_OK)
        *error = why;
    return status;
}

/* ---- The end --------------------------------------------------------------------------------- */

typedef struct leaver {
    cluster_node *node;
    pthread_t thread;
    bool started, gently;
    berth_status status;
    berth_error error;
} leaver;

static void *leave(void *arg)
{
    leaver *l = arg;

    l->status = node_down(l->node, l->gently, &l->error);
    return NULL;
}

/* All at once: each waits for others that leave, too. */
static berth_status all_down(berth_cluster *c, bool gently, berth_error *error)
{
    leaver *list = calloc(c->count + 1, sizeof *list);
    berth_status first = BERTH_OK;

    for (uint32_t i = 0; i < c->count; i++) {
        leaver one = {.node = &c->nodes[i], .gently = gently && list}, *l = list ? &list[i] : &one;

        *l = one;
        if (!l->node->running)
            continue;
        l->started = list && pthread_create(&l->thread, NULL, leave, l) == 0;
        if (!l->started)
            leave(l);
        if (!list && l->status != BERTH_OK)
            first = l->status;
    }
    for (uint32_t i = 0; list && i < c->count; i++) {
        leaver *l = &list[i];

        if (l->started)
            pthread_join(l->thread, NULL);
        if (l->status != BERTH_OK && first == BERTH_OK) {
            berth_cluster_failure failure = {
                .fault = BERTH_CLUSTER_FAULT_SHUTDOWN, .status = l->status, .node = i};

            first = cluster_failed(c, &failure, &l->error);
            if (error)
                *error = l->error;
        }
    }
    free(list);
    c->over = true;
    pthread_mutex_lock(&c->lock);
    c->ended = true;
    pthread_mutex_unlock(&c->lock);
    cluster_moved(c);
    return first;
}

berth_status berth_cluster_shutdown(berth_cluster *c, berth_error *error)
{
    berth_status status = BERTH_OK;

    pthread_mutex_lock(&c->change);
    if (!c->over)
        status = all_down(c, true, error);
    pthread_mutex_unlock(&c->change);
    return status;
}

void berth_cluster_free(berth_cluster *c)
{
    berth_error error = {0};

    if (!c)
        return;
    if (c->booted && !c->over)
        log_warn("cluster", "it is freed without a shutdown, which is done now");
    if (berth_cluster_shutdown(c, &error) != BERTH_OK)
        log_error("cluster", "%s", error.text);
    if (atomic_load(&c->stuck))
        return; /* its thread may use all of this until the process ends */
    for (uint32_t i = 0; c->loops && i < c->loop_count; i++)
        mesh_loop_unref(c->loops[i]);
    for (uint32_t i = 0; i < c->count; i++) {
        cluster_lines_fini(&c->nodes[i].lines);
        sodium_memzero(&c->nodes[i], sizeof c->nodes[i]);
    }
    cluster_kinds_free(c);
    map64_fini(&c->by_id);
    free(c->links);
    free(c->loops);
    free(c->nodes);
    pthread_mutex_destroy(&c->change);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->moved);
    sodium_memzero(c, sizeof *c);
    free(c);
}
