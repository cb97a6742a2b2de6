/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/cluster_help.h: clusters for tests: booted or the test fails with their logs, and gone
 * without a trace at its end.
 */
#ifndef TESTS_CLUSTER_HELP_H
#define TESTS_CLUSTER_HELP_H

#include "daemon_help.h"
#include "node/cluster_private.h"

#include <dirent.h>

static berth_error why __attribute__((unused));

/* A call that has to succeed; its error and the logs are shown if it does not. */
#define GOOD(c, call)                                                                              \
    do {                                                                                           \
        memset(&why, 0, sizeof why);                                                               \
        if ((call) != BERTH_OK) {                                                                  \
            berth_cluster_log(c, BERTH_CLUSTER_ALL, NULL, NULL);                                   \
            fail_msg("%s: %s", #call, why.text);                                                   \
        }                                                                                          \
    } while (0)

/* Until a condition holds, else the logs are shown. */
#define SOON(c, condition)                                                                         \
    do {                                                                                           \
        int64_t soon_ = clock_mono_ns() + HELP_PATIENCE_NS;                                        \
        while (!(condition)) {                                                                     \
            if (clock_mono_ns() > soon_) {                                                         \
                berth_cluster_log(c, BERTH_CLUSTER_ALL, NULL, NULL);                               \
                fail_msg("never: %s", #condition);                                                 \
            }                                                                                      \
            help_nap();                                                                            \
        }                                                                                          \
    } while (0)

#define PATIENCE_MS ((uint32_t)(HELP_PATIENCE_NS / 1000000))

/* Budgets that a busy machine keeps, too; what a test says comes on top. */
static inline berth_cluster_config cluster_of(uint32_t nodes)
{
    log_set_level(LOG_LEVEL_ERROR);
    log_set_sink(help_log, NULL);
    kinds_gate_open();
    return (berth_cluster_config){.size = sizeof(berth_cluster_config),
                                  .nodes = nodes,
                                  .seed = 7,
                                  .handshake_ms = PATIENCE_MS,
                                  .sessions_ms = PATIENCE_MS,
                                  .announcements_ms = PATIENCE_MS};
}

/* One that notices within a second or two when a node is gone. */
static inline berth_cluster_config cluster_that_notices(uint32_t nodes)
{
    berth_cluster_config config = cluster_of(nodes);

    config.heartbeat_ms = 100;
    config.timeout_ms = 500;
    config.idle_ms = 2000;
    return config;
}

static inline berth_cluster *cluster_made(const berth_cluster_config *config)
{
    berth_cluster *c = NULL;

    memset(&why, 0, sizeof why);
    if (berth_cluster_new(config, &c, &why) != BERTH_OK)
        fail_msg("%s", why.text);
    GOOD(c, berth_cluster_register_kind(c, BERTH_CLUSTER_ALL, &kind_echo, &why));
    GOOD(c, berth_cluster_register_kind(c, BERTH_CLUSTER_ALL, &kind_counter, &why));
    GOOD(c, berth_cluster_register_kind(c, BERTH_CLUSTER_ALL, &kind_script, &why));
    return c;
}

static inline berth_cluster *cluster_up(const berth_cluster_config *config)
{
    berth_cluster *c = cluster_made(config);

    GOOD(c, berth_cluster_boot(c, &why));
    return c;
}

static inline void cluster_end(berth_cluster *c)
{
    GOOD(c, berth_cluster_shutdown(c, &why));
    berth_cluster_free(c);
    assert_int_equal(kinds_alive, 0);
    assert_int_equal(kinds_overlaps, 0);
    assert_int_equal(help_defects, 0);
}

static inline berth_cluster_state state_of(berth_cluster *c)
{
    berth_cluster_state s;

    berth_cluster_health_of(c, &s);
    return s;
}

static inline berth_cluster_failure failure_of(berth_cluster *c)
{
    berth_cluster_failure f;

    berth_cluster_get_failure(c, &f);
    return f;
}

static inline berth_cluster_peer seen(berth_cluster *c, uint32_t node, uint32_t peer)
{
    berth_cluster_peer p;

    OK(berth_cluster_peer_of(c, node, peer, &p, NULL));
    return p;
}

static inline bool meet_well(berth_cluster *c, uint32_t a, uint32_t b)
{
    berth_cluster_peer x = seen(c, a, b), y = seen(c, b, a);

    return x.up && y.up && x.health == BERTH_CLUSTER_HEALTHY && y.health == BERTH_CLUSTER_HEALTHY;
}

static inline bool is_node(void *ctx, uint32_t node)
{
    return *(const uint32_t *)ctx == node;
}

/* A daemon of a kind on one node. */
static inline berth_cluster_daemon one_on(berth_cluster *c, uint32_t node, const char *kind)
{
    berth_cluster_daemon d[BERTH_CLUSTER_NODES_MAX];
    uint32_t count = 0;

    GOOD(c, berth_cluster_spawn_where(c, is_node, &node, berth_cluster_of_kind, (void *)kind, d,
                                      &count, &why));
    assert_int_equal(count, 1);
    return d[0];
}

static inline berth_status tell(berth_cluster *c, const berth_cluster_daemon *d, const char *text)
{
    return berth_cluster_deliver(c, d, text, strlen(text), NULL, NULL);
}

/* What a script has counted. */
static inline uint64_t count_of(berth_cluster *c, const berth_cluster_daemon *d)
{
    berth_outputs *out = berth_outputs_new();
    uint64_t n = 0;

    OK(berth_cluster_deliver(c, d, "show", 4, out, NULL));
    if (berth_outputs_count(out)) {
        berth_output_view v = berth_outputs_at(out, 0);

        n = strtoull(say("%.*s", (int)v.len, (const char *)v.data), NULL, 10);
    }
    berth_outputs_free(out);
    return n;
}

/* Entries of a directory of /proc/self: what is open, what runs. */
static inline unsigned entries_of(const char *path)
{
    DIR *d = opendir(path);
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

#endif
