/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at a cluster, and waiting until it is as it should be. */
#include "node/cluster_private.h"

#include "base/clock.h"
#include "base/error.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

void cluster_moved(berth_cluster *c)
{
    pthread_mutex_lock(&c->lock);
    c->moves++;
    pthread_cond_broadcast(&c->moved);
    pthread_mutex_unlock(&c->lock);
}

/* ---- Peers ----------------------------------------------------------------------------------- */

typedef struct looking {
    cluster_node *n;
    void (*fn)(void *ctx, uint32_t number, const mesh_peer_view *v);
    void *ctx;
} looking;

static void look(void *ctx, const mesh_peer_view *v)
{
    looking *l = ctx;
    uintptr_t number = (uintptr_t)map64_get(&l->n->of->by_id, v->node);

    if (number)
        l->fn(l->ctx, (uint32_t)number - 1, v);
}

/* Between node_enter and node_leave. Peers that it has met only, once each. */
static void each_peer(cluster_node *n, void (*fn)(void *, uint32_t, const mesh_peer_view *),
                      void *ctx)
{
    looking l = {n, fn, ctx};

    mesh_peers_each(n->mesh, look, &l);
}

static bool is_good(const mesh_peer_view *v)
{
    return v->up && v->health == HEALTH_HEALTHY;
}

typedef struct meeting {
    bool with[BERTH_CLUSTER_NODES_MAX];
    uint32_t count;
} meeting;

static void note_good(void *ctx, uint32_t number, const mesh_peer_view *v)
{
    meeting *met = ctx;

    if (is_good(v) && !met->with[number]) {
        met->with[number] = true;
        met->count++;
    }
}

/* False: it does not run. */
static bool meet(berth_cluster *c, uint32_t node, meeting *met)
{
    *met = (meeting){0};
    if (!node_enter(&c->nodes[node], 0))
        return false;
    each_peer(&c->nodes[node], note_good, met);
    node_leave(&c->nodes[node]);
    return true;
}

static bool runs(berth_cluster *c, uint32_t node)
{
    bool is;

    pthread_mutex_lock(&c->lock);
    is = c->nodes[node].running;
    pthread_mutex_unlock(&c->lock);
    return is;
}

/* Those that it can reach are Healthy peers: all of them, or those of them that run. */
static bool has_peers(berth_cluster *c, uint32_t node, bool all)
{
    meeting met;

    if (!meet(c, node, &met))
        return false;
    for (uint32_t i = 0; i < c->count; i++)
        if (cluster_reaches(c, node, i) && !met.with[i] && (all || runs(c, i)))
            return false;
    return true;
}

static uint32_t announced(berth_cluster *c, uint32_t node)
{
    mesh_counters counters;

    if (!node_enter(&c->nodes[node], 0))
        return 0;
    mesh_get_counters(c->nodes[node].mesh, &counters);
    node_leave(&c->nodes[node]);
    return (uint32_t)counters.announced.nodes;
}

bool cluster_unmet(berth_cluster *c, uint32_t *node, uint32_t *to)
{
    for (uint32_t i = 0; i < c->count; i++) {
        meeting met;

        if (!meet(c, i, &met))
            continue;
        for (uint32_t k = 0; k < i; k++)
            if (node_is_told(c, i, k) && !met.with[k]) {
                *node = i;
                *to = k;
                return true;
            }
    }
    return false;
}

/* ---- Looking --------------------------------------------------------------------------------- */

void berth_cluster_health_of(berth_cluster *c, berth_cluster_state *out)
{
    berth_cluster_state s = {.size = sizeof s, .total = c->count};

    for (uint32_t i = 0; i < c->count; i++) {
        s.running += runs(c, i);
        s.full_peers += has_peers(c, i, true);
        s.full_announcements += announced(c, i) == c->count;
    }
    s.converged =
        s.running == s.total && s.full_peers == s.total && s.full_announcements == s.total;
    *out = s;
}

typedef struct one_peer {
    uint32_t number;
    berth_cluster_peer *out;
} one_peer;

static void view(void *ctx, uint32_t number, const mesh_peer_view *v)
{
    one_peer *p = ctx;

    if (number != p->number)
        return;
    *p->out = (berth_cluster_peer){.size = sizeof *p->out,
                                   .health = (berth_cluster_health)v->health,
                                   .up = v->up,
                                   .left = v->left,
                                   .rtt_ns = v->rtt_ns,
                                   .packets_in = v->session.packets_in,
                                   .packets_out = v->session.packets_out,
                                   .packets_lost = v->session.packets_lost,
                                   .failures = v->failures};
}

berth_status berth_cluster_peer_of(berth_cluster *c, uint32_t node, uint32_t peer,
                                   berth_cluster_peer *out, berth_error *error)
{
    one_peer p = {peer, out};
    berth_status status = cluster_check_node(c, node, error);

    *out = (berth_cluster_peer){.size = sizeof *out};
    if (status == BERTH_OK)
        status = cluster_check_node(c, peer, error);
    if (status != BERTH_OK)
        return status;
    if (!node_enter(&c->nodes[node], 0))
        return fail(error, BERTH_ERR_NOT_READY, "node %u does not run", node);
    each_peer(&c->nodes[node], view, &p);
    node_leave(&c->nodes[node]);
    return BERTH_OK;
}

uint32_t berth_cluster_size(const berth_cluster *c)
{
    return c->count;
}

berth_runtime *berth_cluster_runtime(berth_cluster *c, uint32_t node)
{
    berth_runtime *rt = NULL;

    if (node < c->count && node_enter(&c->nodes[node], 0)) {
        rt = c->nodes[node].rt;
        node_leave(&c->nodes[node]);
    }
    return rt;
}

uint64_t berth_cluster_node_id(berth_cluster *c, uint32_t node)
{
    return node < c->count && runs(c, node) ? c->nodes[node].identity.node_id : 0;
}

static bool get_key(berth_cluster *c, uint32_t node, const uint8_t *key, uint8_t out[32])
{
    bool there = key && runs(c, node);

    memset(out, 0, 32);
    if (there)
        memcpy(out, key, 32);
    return there;
}

bool berth_cluster_entity(berth_cluster *c, uint32_t node, uint8_t entity[BERTH_ENTITY_SIZE])
{
    return get_key(c, node, node < c->count ? c->nodes[node].identity.entity : NULL, entity);
}

bool berth_cluster_static_key(berth_cluster *c, uint32_t node, uint8_t key[32])
{
    return get_key(c, node, node < c->count ? c->nodes[node].static_public : NULL, key);
}

char *berth_cluster_address(berth_cluster *c, uint32_t node, char out[BERTH_CLUSTER_ADDRESS])
{
    char ip[INET_ADDRSTRLEN];

    out[0] = 0;
    if (node < c->count && runs(c, node)) {
        const struct sockaddr_in *at = &c->nodes[node].at.u.in;

        inet_ntop(AF_INET, &at->sin_addr, ip, sizeof ip);
        snprintf(out, BERTH_CLUSTER_ADDRESS, "%s:%u", ip, ntohs(at->sin_port));
    }
    return out;
}

/* ---- Waiting --------------------------------------------------------------------------------- */

/* Until something moves, the next look is due, or the time is over. */
static void rest(berth_cluster *c, uint64_t seen, int64_t until_ns)
{
    int64_t next = clock_mono_ns() + c->config.poll_ms * MS_NS;
    struct timespec at;

    if (until_ns < next)
        next = until_ns;
    at = (struct timespec){.tv_sec = next / 1000000000, .tv_nsec = next % 1000000000};
    pthread_mutex_lock(&c->lock);
    while (c->moves == seen && pthread_cond_timedwait(&c->moved, &c->lock, &at) == 0)
        ;
    pthread_mutex_unlock(&c->lock);
}

static uint64_t moves(berth_cluster *c)
{
    uint64_t n;

    pthread_mutex_lock(&c->lock);
    n = c->moves;
    pthread_mutex_unlock(&c->lock);
    return n;
}

berth_status berth_cluster_wait_until(berth_cluster *c,
                                      bool (*condition)(void *ctx, berth_cluster *c), void *ctx,
                                      uint32_t budget_ms, const char *what, berth_error *error)
{
    berth_cluster_failure failure = {
        .fault = BERTH_CLUSTER_FAULT_TIMEOUT, .status = BERTH_ERR_TIMEOUT, .budget_ms = budget_ms};
    int64_t until = clock_mono_ns() + budget_ms * MS_NS;
    berth_error why = {0};

    for (;;) {
        uint64_t seen = moves(c);
        bool late = clock_mono_ns() >= until;

        if (cluster_ended(c))
            return fail(error, BERTH_ERR_SHUTTING_DOWN, "the cluster is shut down");
        if (condition(ctx, c))
            return BERTH_OK;
        if (late)
            break;
        rest(c, seen, until);
    }
    snprintf(failure.what, sizeof failure.what, "%s", what);
    fail(&why, BERTH_ERR_TIMEOUT, "%s: not within %u ms", what, budget_ms);
    if (error)
        *error = why;
    return cluster_failed(c, &failure, &why);
}

/* The first that is not as it should be is looked at first the next time. */
typedef struct barrier {
    uint32_t node;
    uint32_t wanted;
    const char *channel;
} barrier;

static bool have_sessions(void *ctx, berth_cluster *c)
{
    barrier *b = ctx;

    for (uint32_t n = 0; n < c->count; n++, b->node = (b->node + 1) % c->count)
        if (runs(c, b->node) && !has_peers(c, b->node, false))
            return false;
    return true;
}

berth_status berth_cluster_await_sessions(berth_cluster *c, uint32_t budget_ms, berth_error *error)
{
    barrier b = {0};
    berth_status status =
        berth_cluster_wait_until(c, have_sessions, &b, budget_ms, "sessions", error);

    if (status != BERTH_OK)
        fail_prefix(error, "node %u has not met all", b.node);
    return status;
}

static bool have_announcements(void *ctx, berth_cluster *c)
{
    barrier *b = ctx;

    b->wanted = 0;
    for (uint32_t i = 0; i < c->count; i++)
        b->wanted += runs(c, i);
    for (uint32_t n = 0; n < c->count; n++, b->node = (b->node + 1) % c->count)
        if (runs(c, b->node) && announced(c, b->node) != b->wanted)
            return false;
    return true;
}

berth_status berth_cluster_await_announcements(berth_cluster *c, uint32_t budget_ms,
                                               berth_error *error)
{
    barrier b = {0};
    berth_status status =
        berth_cluster_wait_until(c, have_announcements, &b, budget_ms, "announcements", error);

    if (status != BERTH_OK)
        fail_prefix(error, "node %u holds %u, not %u", b.node, announced(c, b.node), b.wanted);
    return status;
}

static void count_members(void *ctx, const mesh_channel_view *v)
{
    barrier *b = ctx;

    if (v->name.len == strlen(b->channel) && memcmp(v->name.ptr, b->channel, v->name.len) == 0)
        b->wanted = (uint32_t)v->members;
}

static uint32_t members_of(berth_cluster *c, uint32_t node, const char *channel)
{
    barrier b = {.channel = channel};

    if (!node_enter(&c->nodes[node], 0))
        return 0;
    mesh_channels_each(c->nodes[node].mesh, count_members, &b);
    node_leave(&c->nodes[node]);
    return b.wanted;
}

static bool have_members(void *ctx, berth_cluster *c)
{
    const barrier *b = ctx;

    return members_of(c, b->node, b->channel) >= b->wanted;
}

berth_status berth_cluster_await_members(berth_cluster *c, uint32_t node, const char *channel,
                                         uint32_t wanted, uint32_t budget_ms, berth_error *error)
{
    barrier b = {node, wanted, channel};
    berth_status status = cluster_check_node(c, node, error);

    if (status != BERTH_OK)
        return status;
    status =
        berth_cluster_wait_until(c, have_members, &b, budget_ms, "members of a channel", error);
    if (status != BERTH_OK)
        fail_prefix(error, "node %u: channel %s has %u of %u", node, channel,
                    members_of(c, node, channel), wanted);
    return status;
}
