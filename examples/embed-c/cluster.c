/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test of a kind of one's own on five nodes in one process: what one daemon says, all the others
 * hear, also over bad links, and after a node was killed and is back.
 */
#include <berth/cluster.h>
#include <berth/plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 5

/* ---- A kind: "say TEXT" is said to all of its like; "?" is answered with what was heard. ---- */

static berth_code gossip_create(berth_call *call, const berth_birth *birth, void **self)
{
    (void)call;
    (void)birth;
    *self = calloc(1, sizeof(unsigned));
    return *self ? BERTH_OK : BERTH_E_MEMORY;
}

static berth_code gossip_start(void *self, berth_call *call, const berth_event *event)
{
    (void)self;
    (void)event;
    return berth_subscribe(call, berth_str("gossip"));
}

static void gossip_destroy(void *self, berth_call *call)
{
    (void)call;
    free(self);
}

static berth_code gossip_process(void *self, berth_call *call, const berth_event *event)
{
    unsigned *heard = self;
    const char *text = event->data.ptr;
    char number[16];

    if (event->data.len > 4 && memcmp(text, "say ", 4) == 0)
        return berth_publish(call, berth_str("gossip"),
                             berth_bytes_of(text + 4, event->data.len - 4));
    if (event->data.len == 1 && *text == '?') {
        snprintf(number, sizeof number, "%u", *heard);
        return berth_emit_str(call, number);
    }
    ++*heard;
    return BERTH_OK;
}

static const berth_kind gossip_kind = {
    .size = sizeof(berth_kind),
    .name = BERTH_NAME("gossip"),
    .create = gossip_create,
    .destroy = gossip_destroy,
    .process = gossip_process,
    .on_start = gossip_start,
};

/* ---- The test ---- */

static berth_cluster *cluster;
static berth_cluster_daemon daemons[NODES];

static void must(berth_status status, const berth_error *error, const char *what)
{
    if (status == BERTH_OK)
        return;
    berth_cluster_log(cluster, BERTH_CLUSTER_ALL, NULL, NULL);
    fprintf(stderr, "%s: %s: %s\n", what, berth_status_name(status), error->text);
    exit(1);
}

static unsigned heard_by(const berth_cluster_daemon *d)
{
    berth_outputs *outputs = berth_outputs_new();
    berth_error error = {0};
    unsigned heard = 0;

    must(berth_cluster_deliver(cluster, d, "?", 1, outputs, &error), &error, "ask");
    berth_output_view v = berth_outputs_at(outputs, 0);
    for (uint64_t i = 0; i < v.len; i++)
        heard = heard * 10 + (unsigned)(((const char *)v.data)[i] - '0');
    berth_outputs_free(outputs);
    return heard;
}

typedef struct expected {
    unsigned heard[NODES];
} expected;

static bool all_heard(void *ctx, berth_cluster *c)
{
    const expected *e = ctx;

    (void)c;
    for (uint32_t i = 0; i < NODES; i++)
        if (heard_by(&daemons[i]) != e->heard[i])
            return false;
    return true;
}

static bool all_noticed(void *ctx, berth_cluster *c)
{
    berth_cluster_peer peer;

    (void)ctx;
    for (uint32_t i = 0; i < NODES; i++)
        if (i != 2 && (berth_cluster_peer_of(c, i, 2, &peer, NULL) != BERTH_OK ||
                       peer.health != BERTH_CLUSTER_FAILED))
            return false;
    return true;
}

static void say(unsigned times)
{
    berth_error error = {0};

    for (unsigned i = 0; i < times; i++)
        must(berth_cluster_deliver(cluster, &daemons[0], "say hello", 9, NULL, &error), &error,
             "say");
}

static bool is_third(void *ctx, uint32_t node)
{
    (void)ctx;
    return node == 2;
}

int main(void)
{
    const berth_cluster_config config = {.size = sizeof config,
                                         .nodes = NODES,
                                         .seed = 1,
                                         .heartbeat_ms = 200,
                                         .timeout_ms = 1000,
                                         .idle_ms = 4000};
    berth_cluster_state state;
    berth_error error = {0};
    expected e = {{0}};

    must(berth_cluster_new(&config, &cluster, &error), &error, "cluster");
    must(berth_cluster_register_kind(cluster, BERTH_CLUSTER_ALL, &gossip_kind, &error), &error,
         "kind");
    must(berth_cluster_boot(cluster, &error), &error, "boot");
    must(berth_cluster_spawn_per_node(cluster, berth_cluster_of_kind, (void *)"gossip", daemons,
                                      NULL, &error),
         &error, "spawn");
    must(berth_cluster_await_members(cluster, 0, "gossip", NODES - 1, 5000, &error), &error,
         "subscriptions");
    berth_cluster_health_of(cluster, &state);
    printf("%u of %u nodes have met all others\n", state.full_peers, state.total);

    must(berth_cluster_impair(cluster, BERTH_CLUSTER_ALL, BERTH_CLUSTER_ALL,
                              "loss=5% dup=5% reorder=5%/2ms", &error),
         &error, "impair");
    say(100);
    for (uint32_t i = 0; i < NODES; i++)
        e.heard[i] = 100;
    must(berth_cluster_wait_until(cluster, all_heard, &e, 30000, "all have heard", &error), &error,
         "wait");
    puts("all heard 100 words over bad links");

    must(berth_cluster_heal(cluster, &error), &error, "heal");
    must(berth_cluster_kill(cluster, 2, &error), &error, "kill");
    must(berth_cluster_wait_until(cluster, all_noticed, NULL, 30000, "all have noticed", &error),
         &error, "wait");
    berth_cluster_health_of(cluster, &state);
    printf("%u of %u nodes run, and they have noticed\n", state.running, state.total);
    must(berth_cluster_restart(cluster, 2, &error), &error, "restart");
    must(berth_cluster_await_sessions(cluster, 10000, &error), &error, "sessions");
    must(berth_cluster_spawn_where(cluster, is_third, NULL, berth_cluster_of_kind, (void *)"gossip",
                                   &daemons[2], NULL, &error),
         &error, "spawn");
    must(berth_cluster_await_members(cluster, 0, "gossip", NODES - 1, 5000, &error), &error,
         "subscriptions");
    say(10);
    for (uint32_t i = 0; i < NODES; i++)
        e.heard[i] = i == 2 ? 10 : 110;
    must(berth_cluster_wait_until(cluster, all_heard, &e, 10000, "all have heard", &error), &error,
         "wait");
    puts("it is back, and hears the rest");

    must(berth_cluster_shutdown(cluster, &error), &error, "shutdown");
    berth_cluster_free(cluster);
    return 0;
}
