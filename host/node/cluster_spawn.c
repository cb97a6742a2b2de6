/* SPDX-License-Identifier: Apache-2.0 */
/* Daemons on nodes, and handles to them that outlive both. */
#include "node/cluster_private.h"

#include "base/error.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define ROLLBACK_MS 200

berth_status berth_cluster_of_kind(void *ctx, uint32_t node, berth_cluster_spawn *out,
                                   berth_error *error)
{
    (void)node;
    (void)error;
    out->kind = ctx;
    return BERTH_OK;
}

/* ---- Spawning -------------------------------------------------------------------------------- */

static void fresh_identity(cluster_node *n, berth_keypair *out)
{
    uint8_t seed[32];

    cluster_derive(n->of, "daemon", n->number, (uint32_t)atomic_fetch_add(&n->spawned, 1), seed);
    berth_keypair_from_seed(out, seed);
    sodium_memzero(seed, sizeof seed);
}

static berth_status spawn_inside(cluster_node *n, const berth_cluster_spawn *what, uint64_t *origin,
                                 berth_error *error)
{
    berth_keypair own;
    const berth_keypair *key = what->identity;
    berth_status status;

    if (!what->kind == !what->table)
        return fail(error, BERTH_ERR_INVALID, "either a kind or a table is to be spawned");
    if (!key) {
        fresh_identity(n, &own);
        key = &own;
    }
    status = what->kind
                 ? berth_spawn_kind(n->rt, what->kind, key, what->how, origin, error)
                 : berth_spawn_with_daemon(n->rt, key, what->how, what->table, NULL, origin, error);
    if (key == &own)
        berth_keypair_wipe(&own);
    return status;
}

static berth_status spawn_on(cluster_node *n, berth_cluster_factory *factory, void *ctx,
                             berth_cluster_daemon *out, berth_error *error)
{
    berth_cluster_spawn what = {.size = sizeof what};
    const log_capture *before;
    berth_status status;

    if (!node_enter(n, 0))
        return fail(error, BERTH_ERR_NOT_READY, "it does not run");
    before = log_set_capture(&n->lines.capture);
    *out =
        (berth_cluster_daemon){.node = n->number, .life = n->life, .node_id = n->identity.node_id};
    status = factory(ctx, n->number, &what, error);
    if (status == BERTH_OK)
        status = spawn_inside(n, &what, &out->origin, error);
    log_set_capture(before);
    node_leave(n);
    return status;
}

berth_status berth_cluster_spawn_where(berth_cluster *c, bool (*chosen)(void *ctx, uint32_t node),
                                       void *chosen_ctx, berth_cluster_factory *factory,
                                       void *factory_ctx, berth_cluster_daemon *out,
                                       uint32_t *count, berth_error *error)
{
    berth_cluster_daemon *all = calloc(c->count, sizeof *all);
    berth_cluster_failure failure = {.fault = BERTH_CLUSTER_FAULT_SPAWN};
    berth_error why = {0};
    uint32_t n = 0;

    if (count)
        *count = 0;
    if (!all)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    for (uint32_t i = 0; i < c->count && failure.status == BERTH_OK; i++) {
        if (chosen && !chosen(chosen_ctx, i))
            continue;
        failure.node = i;
        failure.status = spawn_on(&c->nodes[i], factory, factory_ctx, &all[n], &why);
        if (failure.status == BERTH_OK)
            n++;
        else if (cluster_ended(c))
            failure.status = fail(&why, BERTH_ERR_SHUTTING_DOWN, "the cluster is shut down");
    }
    if (failure.status != BERTH_OK) {
        while (n-- > 0)
            berth_cluster_stop(c, &all[n], ROLLBACK_MS, NULL);
        if (!why.text[0])
            fail(&why, failure.status, "the factory refused");
        cluster_failed(c, &failure, &why);
        if (error)
            *error = why;
        fail_prefix(error, "node %u: cannot spawn", failure.node);
    } else {
        if (out)
            memcpy(out, all, n * sizeof *all);
        if (count)
            *count = n;
    }
    free(all);
    return failure.status;
}

berth_status berth_cluster_spawn_per_node(berth_cluster *c, berth_cluster_factory *factory,
                                          void *factory_ctx, berth_cluster_daemon *out,
                                          uint32_t *count, berth_error *error)
{
    return berth_cluster_spawn_where(c, NULL, NULL, factory, factory_ctx, out, count, error);
}

/* ---- Handles --------------------------------------------------------------------------------- */

/* OK: leave the node afterwards. */
static berth_status enter(berth_cluster *c, const berth_cluster_daemon *d, cluster_node **out,
                          berth_error *error)
{
    berth_status status = cluster_check_node(c, d->node, error);

    if (status != BERTH_OK)
        return status;
    *out = &c->nodes[d->node];
    if (d->life && node_enter(*out, d->life))
        return BERTH_OK;
    if (cluster_ended(c))
        return fail(error, BERTH_ERR_SHUTTING_DOWN, "the cluster is shut down");
    return fail(error, BERTH_ERR_STALE, "node %u was killed or started anew since", d->node);
}

berth_status berth_cluster_deliver(berth_cluster *c, const berth_cluster_daemon *d,
                                   const void *data, uint64_t len, berth_outputs *outputs,
                                   berth_error *error)
{
    const log_capture *before;
    cluster_node *n;
    berth_status status = enter(c, d, &n, error);

    if (status != BERTH_OK)
        return status;
    before = log_set_capture(&n->lines.capture);
    status = berth_deliver(n->rt, d->origin, data, len, outputs, error);
    log_set_capture(before);
    node_leave(n);
    return status;
}

berth_status berth_cluster_daemon_get(berth_cluster *c, const berth_cluster_daemon *d,
                                      berth_daemon_info *out, berth_error *error)
{
    cluster_node *n;
    berth_status status = enter(c, d, &n, error);

    if (status != BERTH_OK)
        return status;
    status = berth_daemon_get(n->rt, d->origin, out, error);
    node_leave(n);
    return status;
}

berth_status berth_cluster_stop(berth_cluster *c, const berth_cluster_daemon *d, uint64_t grace_ms,
                                berth_error *error)
{
    const log_capture *before;
    cluster_node *n;
    berth_status status = enter(c, d, &n, error);

    if (status != BERTH_OK)
        return status;
    before = log_set_capture(&n->lines.capture);
    status = berth_stop(n->rt, d->origin, grace_ms, error);
    log_set_capture(before);
    node_leave(n);
    return status;
}
