/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who reaches whom, and how badly; nodes that are killed, started again, stopped for a while, or
 * have a wrong clock. What a link does to datagrams happens at the sending node's end, so that one
 * way can be bad while the other is good.
 */
#include "node/cluster_private.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

/* ---- Who reaches whom ------------------------------------------------------------------------ */

bool cluster_reaches(const berth_cluster *c, uint32_t from, uint32_t to)
{
    uint32_t low = from < to ? from : to, high = from < to ? to : from;
    uint32_t second = 1 + c->count / 2; /* the first node of the second group */

    if (from == to)
        return false;
    switch (c->config.topology) {
    case BERTH_CLUSTER_LINE:
        return high - low == 1;
    case BERTH_CLUSTER_STAR:
        return low == 0;
    case BERTH_CLUSTER_RELAY:
        return low == 0 || (low < second) == (high < second);
    default:
        return true;
    }
}

/* ---- Rules ----------------------------------------------------------------------------------- */

static cluster_link *link_of(berth_cluster *c, uint32_t from, uint32_t to)
{
    return &c->links[(size_t)from * c->count + to];
}

static berth_status need_links(berth_cluster *c, berth_error *error)
{
    if (!c->links)
        c->links = calloc((size_t)c->count * c->count, sizeof *c->links);
    return c->links ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

static berth_status apply_one(cluster_node *n, uint32_t to, berth_error *error)
{
    static const impair_rule good = {0}, none = {.drop = true};
    const cluster_link *l = n->of->links ? link_of(n->of, n->number, to) : NULL;
    const impair_rule *rule = l ? &l->rule : &good;
    uint8_t seed[32];
    uint64_t number;

    if ((l && l->cut) || !cluster_reaches(n->of, n->number, to))
        rule = &none;
    cluster_derive(n->of, "links", n->number, 0, seed);
    memcpy(&number, seed, sizeof number);
    return mesh_impair(n->mesh, &n->of->nodes[to].at, NULL, rule, number, error);
}

static bool same(const cluster_link *a, const cluster_link *b)
{
    const impair_rule *x = &a->rule, *y = &b->rule;

    return a->cut == b->cut && x->delay_ns == y->delay_ns && x->jitter_ns == y->jitter_ns &&
           x->reorder_ns == y->reorder_ns && x->rate == y->rate && x->queue == y->queue &&
           x->bucket == y->bucket && x->loss == y->loss && x->duplicate == y->duplicate &&
           x->corrupt == y->corrupt && x->reorder == y->reorder &&
           x->burst_enter == y->burst_enter && x->burst_leave == y->burst_leave &&
           x->burst_loss == y->burst_loss && x->drop == y->drop;
}

static bool is_plain(const berth_cluster *c, uint32_t from, uint32_t to)
{
    static const cluster_link plain;

    return cluster_reaches(c, from, to) &&
           (!c->links || same(&c->links[(size_t)from * c->count + to], &plain));
}

berth_status cluster_links_apply(cluster_node *n, berth_error *error)
{
    berth_status status = BERTH_OK;

    for (uint32_t to = 0; to < n->of->count && status == BERTH_OK; to++)
        if (to != n->number && n->of->nodes[to].at.len && !is_plain(n->of, n->number, to))
            status = apply_one(n, to, error);
    return status;
}

/* Change links as `change` says, and tell nodes that run. */
static berth_status change_links(berth_cluster *c, berth_cluster_set from, berth_cluster_set to,
                                 void (*change)(cluster_link *l, const impair_rule *rule),
                                 const impair_rule *rule, berth_error *error)
{
    berth_status status = need_links(c, error);

    for (uint32_t i = 0; i < c->count && status == BERTH_OK; i++)
        for (uint32_t k = 0; k < c->count && status == BERTH_OK; k++) {
            cluster_link *l = link_of(c, i, k), before = *l;

            if (i == k || !cluster_has(from, i) || !cluster_has(to, k))
                continue;
            change(l, rule);
            if (same(&before, l))
                continue;
            if (c->nodes[i].running && c->nodes[k].at.len)
                status = apply_one(&c->nodes[i], k, error);
        }
    return status;
}

static void set_rule(cluster_link *l, const impair_rule *rule)
{
    l->rule = *rule;
}

static void set_cut(cluster_link *l, const impair_rule *rule)
{
    (void)rule;
    l->cut = true;
}

static void set_good(cluster_link *l, const impair_rule *rule)
{
    (void)rule;
    *l = (cluster_link){0};
}

static berth_status lock_links(berth_cluster *c, berth_cluster_set a, berth_cluster_set b,
                               berth_error *error)
{
    berth_status status = cluster_check_set(c, a, error);

    if (status == BERTH_OK)
        status = cluster_check_set(c, b, error);
    if (status != BERTH_OK)
        return status;
    pthread_mutex_lock(&c->change);
    if (!c->over)
        return BERTH_OK;
    pthread_mutex_unlock(&c->change);
    return fail(error, BERTH_ERR_SHUTTING_DOWN, "the cluster is shut down");
}

berth_status berth_cluster_impair(berth_cluster *c, berth_cluster_set from, berth_cluster_set to,
                                  const char *text, berth_error *error)
{
    impair_rule rule = {0};
    berth_status status = text ? impair_parse(&rule, slice_str(text), error) : BERTH_OK;

    if (status == BERTH_OK)
        status = lock_links(c, from, to, error);
    if (status != BERTH_OK)
        return status;
    status = change_links(c, from, to, set_rule, &rule, error);
    pthread_mutex_unlock(&c->change);
    return status;
}

berth_status berth_cluster_partition(berth_cluster *c, berth_cluster_set from, berth_cluster_set to,
                                     bool both_ways, berth_error *error)
{
    berth_status status = lock_links(c, from, to, error);

    if (status != BERTH_OK)
        return status;
    status = change_links(c, from, to, set_cut, NULL, error);
    if (status == BERTH_OK && both_ways)
        status = change_links(c, to, from, set_cut, NULL, error);
    pthread_mutex_unlock(&c->change);
    return status;
}

berth_status berth_cluster_heal(berth_cluster *c, berth_error *error)
{
    berth_status status = lock_links(c, BERTH_CLUSTER_ALL, BERTH_CLUSTER_ALL, error);

    if (status != BERTH_OK)
        return status;
    if (c->links)
        status = change_links(c, BERTH_CLUSTER_ALL, BERTH_CLUSTER_ALL, set_good, NULL, error);
    pthread_mutex_unlock(&c->change);
    return status;
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

/* Holds change when it returns OK. */
static berth_status lock_node(berth_cluster *c, uint32_t node, bool running, berth_error *error)
{
    berth_status status = cluster_check_node(c, node, error);

    if (status != BERTH_OK)
        return status;
    pthread_mutex_lock(&c->change);
    if (c->over)
        status = fail(error, BERTH_ERR_SHUTTING_DOWN, "the cluster is shut down");
    else if (!c->booted)
        status = fail(error, BERTH_ERR_NOT_READY, "the cluster is not booted");
    else if (running && !c->nodes[node].running)
        status = fail(error, BERTH_ERR_NOT_READY, "node %u does not run", node);
    if (status != BERTH_OK)
        pthread_mutex_unlock(&c->change);
    return status;
}

berth_status berth_cluster_kill(berth_cluster *c, uint32_t node, berth_error *error)
{
    berth_status status = lock_node(c, node, true, error);

    if (status != BERTH_OK)
        return status;
    status = node_down(&c->nodes[node], false, error);
    pthread_mutex_unlock(&c->change);
    return status;
}

berth_status berth_cluster_restart(berth_cluster *c, uint32_t node, berth_error *error)
{
    berth_status status = lock_node(c, node, false, error);
    cluster_node *n;

    if (status != BERTH_OK)
        return status;
    n = &c->nodes[node];
    if (n->running)
        status = node_down(n, false, error);
    if (status == BERTH_OK)
        status = node_up(n, error);
    if (status == BERTH_OK)
        status = node_introduce(n, true, error);
    pthread_mutex_unlock(&c->change);
    return status;
}

berth_status berth_cluster_pause(berth_cluster *c, uint32_t node, uint32_t ms, berth_error *error)
{
    berth_status status = lock_node(c, node, true, error);

    if (status != BERTH_OK)
        return status;
    mesh_stall(c->nodes[node].mesh, ms * MS_NS);
    pthread_mutex_unlock(&c->change);
    return BERTH_OK;
}

/* Enough for any test, and far from where the arithmetic ends. */
#define JUMP_MAX_S (200ll * 365 * 24 * 3600)

berth_status berth_cluster_clock_jump(berth_cluster *c, uint32_t node, int64_t seconds,
                                      berth_error *error)
{
    berth_status status;

    if (seconds > JUMP_MAX_S || seconds < -JUMP_MAX_S)
        return fail(error, BERTH_ERR_INVALID, "a clock jumps by at most 200 years");
    status = lock_node(c, node, false, error);
    if (status != BERTH_OK)
        return status;
    c->nodes[node].skew_s = seconds;
    if (c->nodes[node].running)
        mesh_wall_skew(c->nodes[node].mesh, seconds);
    pthread_mutex_unlock(&c->change);
    return BERTH_OK;
}
