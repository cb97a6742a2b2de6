/* SPDX-License-Identifier: Apache-2.0 */
/*
 * berth/cluster.h: a cluster of nodes in one process, to test what runs on it and to break it.
 *
 * Each node has a runtime (berth/runtime.h) and its part in the mesh: real UDP sockets on
 * 127.0.0.1, real handshakes; nothing is imitated. What it knows of the others is pinned keys.
 * Keys, identities and all chance of bad links come from one seed. No node has a state directory:
 * what is killed has lost its daemons.
 *
 *     berth_cluster_new(&config, &c, &error)
 *     berth_cluster_register_kind(c, BERTH_CLUSTER_ALL, &kind, &error)
 *     berth_cluster_boot(c, &error)            all have met, and know what the others can do
 *     berth_cluster_spawn_per_node(c, ...)
 *     berth_cluster_impair(c, BERTH_CLUSTER_SET(0), BERTH_CLUSTER_SET(1), "loss=2% delay=5ms", ...)
 *     berth_cluster_kill(c, 2, &error)
 *     berth_cluster_wait_until(c, condition, ctx, 5000, "what is waited for", &error)
 *     berth_cluster_shutdown(c, &error)
 *     berth_cluster_free(c)
 *
 * Nodes are numbered from 0. Every function may be called from any thread but a daemon's and a
 * callback's; all but those that only look may block. An error's text names the node. Structs begin
 * with their size, as in runtime.h; a berth_error may be NULL. Not for production: whoever can call
 * this holds the secrets of all nodes. Since 0.1.
 */
#ifndef BERTH_CLUSTER_H
#define BERTH_CLUSTER_H

#include "berth/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct berth_cluster berth_cluster;

/* In a larger mesh not everybody has a session with everybody, which is what is waited for here. */
#define BERTH_CLUSTER_NODES_MAX 64

/* ---- Which nodes ----------------------------------------------------------------------------- */

typedef struct berth_cluster_set {
    const uint32_t *nodes; /* NULL: all */
    uint32_t count;
} berth_cluster_set;

#ifndef __cplusplus
#define BERTH_CLUSTER_ALL ((berth_cluster_set){NULL, 0})
/* BERTH_CLUSTER_SET(0, 3): these two; lives as long as the block it stands in. */
#define BERTH_CLUSTER_SET(...)                                                                     \
    ((berth_cluster_set){(const uint32_t[]){__VA_ARGS__},                                          \
                         sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)})
#endif

/* ---- Configuration --------------------------------------------------------------------------- */

/* Who can reach whom at all. Datagrams between others are lost, whatever is healed. */
typedef enum berth_cluster_topology {
    BERTH_CLUSTER_FULL = 0, /* everybody everybody */
    BERTH_CLUSTER_LINE = 1, /* each the ones before and after it */
    BERTH_CLUSTER_STAR = 2, /* node 0 all, the others node 0 only */
    BERTH_CLUSTER_RELAY = 3 /* two groups, the first and the second half of nodes 1 and above;
                               node 0 reaches all, the others their group and node 0 */
} berth_cluster_topology;

/* What may differ from node to node; filled in with what all have. */
typedef struct berth_cluster_node_config {
    uint32_t size;
    bool has_psk; /* the pre-shared key is required, and used */
    uint8_t psk[32];
    uint32_t max_packet;
    const berth_runtime_config *runtime; /* copied after the call; NULL: as said below */
} berth_cluster_node_config;

typedef struct berth_cluster_config {
    uint32_t size;
    uint32_t nodes; /* 1 to BERTH_CLUSTER_NODES_MAX */
    uint64_t seed;
    berth_cluster_topology topology;
    /* How many addresses a node is told before it starts, of nodes below it that it can reach,
     * lowest first. 0: all of them. 1: each joins through one node and learns of the rest. */
    uint32_t known;
    uint32_t loops;     /* threads that the meshes share; 0: one per core, at most one per node */
    bool no_psk;        /* else there is one */
    const uint8_t *psk; /* 32 bytes, copied; NULL: from the seed */
    bool relay;         /* nodes pass on for those that cannot reach each other */
    bool migrate;       /* each node may order, give and take daemons */
    /* Of each runtime. NULL: one thread, and calls of up to a second are not looked after. */
    const berth_runtime_config *runtime;
    void (*adjust)(void *ctx, uint32_t node, berth_cluster_node_config *config); /* may be NULL */
    void *adjust_ctx;
    uint32_t max_packet; /* bytes of UDP payload; 0: 1452 */
    /* Milliseconds; 0: the default in brackets. */
    uint32_t heartbeat_ms;     /* between pings [1000] */
    uint32_t timeout_ms;       /* silence that is a miss; two: suspected, three: failed [3000] */
    uint32_t idle_ms;          /* a silent session ends [10000] */
    uint32_t handshake_ms;     /* budget of boot: those that know an address have met [5000] */
    uint32_t sessions_ms;      /* then: all that can reach each other have met [2000] */
    uint32_t announcements_ms; /* then: all know of all what they can do [3000] */
    uint32_t poll_ms;          /* between looks of those who wait; changes wake them sooner [25] */
    uint32_t shutdown_ms;      /* for daemons to finish, and then for what they sent [5000] */
    uint32_t log_lines;        /* kept of each node [200] */
    bool log_debug;            /* else what `berth run` would log */
} berth_cluster_config;

/* ---- Life ------------------------------------------------------------------------------------ */

/* Opens and starts nothing. INVALID (Invariant): no nodes, or a configuration that cannot be. */
BERTH_API berth_status berth_cluster_new(const berth_cluster_config *config, berth_cluster **out,
                                         berth_error *error);

/*
 * Start all nodes, tell them addresses, and wait until those that can reach each other are Healthy
 * peers and every node holds everybody's announcement. On failure (berth_cluster_get_failure)
 * nothing runs any more; the logs are kept. Once.
 */
BERTH_API berth_status berth_cluster_boot(berth_cluster *c, berth_error *error);

/*
 * Stop: daemons finish, what they sent arrives or the time is over, nodes say goodbye. All that is
 * to be done is done also when something fails; then this is the first failure. Later calls answer
 * OK; one that comes meanwhile waits for the first.
 */
BERTH_API berth_status berth_cluster_shutdown(berth_cluster *c, berth_error *error);

/* With a shutdown if there was none. No other call may run. NULL is allowed. */
BERTH_API void berth_cluster_free(berth_cluster *c);

/* What failed last, for those who want to tell cases apart. */
typedef enum berth_cluster_fault {
    BERTH_CLUSTER_NO_FAULT = 0,
    BERTH_CLUSTER_FAULT_BUILD = 1,     /* a node cannot be made: node */
    BERTH_CLUSTER_FAULT_HANDSHAKE = 2, /* TIMEOUT: node and to have not met */
    BERTH_CLUSTER_FAULT_TIMEOUT = 3,   /* TIMEOUT: what, budget_ms */
    BERTH_CLUSTER_FAULT_SHUTDOWN = 4,  /* node */
    BERTH_CLUSTER_FAULT_SPAWN = 5      /* node */
} berth_cluster_fault;

typedef struct berth_cluster_failure {
    uint32_t size;
    berth_cluster_fault fault;
    berth_status status;
    uint32_t node, to;
    uint32_t budget_ms;
    char what[64];
    char reason[BERTH_ERROR_TEXT];
} berth_cluster_failure;
BERTH_API void berth_cluster_get_failure(berth_cluster *c, berth_cluster_failure *out);

/* ---- Nodes ----------------------------------------------------------------------------------- */

BERTH_API uint32_t berth_cluster_size(const berth_cluster *c);

/* NULL while the node does not run. Valid until it is killed or the cluster is shut down: who calls
 * those on another thread uses the daemons' handles below instead. */
BERTH_API berth_runtime *berth_cluster_runtime(berth_cluster *c, uint32_t node);

/* 0, and zeros, while the node does not run. */
BERTH_API uint64_t berth_cluster_node_id(berth_cluster *c, uint32_t node);
BERTH_API bool berth_cluster_entity(berth_cluster *c, uint32_t node,
                                    uint8_t entity[BERTH_ENTITY_SIZE]);
BERTH_API bool berth_cluster_static_key(berth_cluster *c, uint32_t node, uint8_t key[32]);
/* "127.0.0.1:40000", or "". Returns out. */
#define BERTH_CLUSTER_ADDRESS 24
BERTH_API char *berth_cluster_address(berth_cluster *c, uint32_t node,
                                      char out[BERTH_CLUSTER_ADDRESS]);

/* How a node sees another. */
typedef enum berth_cluster_health {
    BERTH_CLUSTER_UNKNOWN = 0, /* never heard of */
    BERTH_CLUSTER_HEALTHY = 1,
    BERTH_CLUSTER_SUSPECTED = 2,
    BERTH_CLUSTER_FAILED = 3
} berth_cluster_health;

typedef struct berth_cluster_peer {
    uint32_t size;
    berth_cluster_health health;
    bool up;   /* there is a session */
    bool left; /* it said goodbye */
    int64_t rtt_ns;
    uint64_t packets_in, packets_out, packets_lost; /* of the session */
    uint64_t failures;                              /* dials since the last session */
} berth_cluster_peer;
/* NOT_READY: the node does not run. */
BERTH_API berth_status berth_cluster_peer_of(berth_cluster *c, uint32_t node, uint32_t peer,
                                             berth_cluster_peer *out, berth_error *error);

typedef struct berth_cluster_state {
    uint32_t size;
    uint32_t total;
    uint32_t running;
    /* Nodes for which every node that they can reach is a Healthy peer with a session. */
    uint32_t full_peers;
    /* Nodes that hold the announcements of all. */
    uint32_t full_announcements;
    bool converged; /* all three are the total */
} berth_cluster_state;
BERTH_API void berth_cluster_health_of(berth_cluster *c, berth_cluster_state *out);

/* ---- Kinds ----------------------------------------------------------------------------------- */

/* Before or after boot, and again when a node is restarted. All of the nodes or none. The table
 * lives as long as the cluster. As berth_register_factory. */
BERTH_API berth_status berth_cluster_register_kind(berth_cluster *c, berth_cluster_set nodes,
                                                   const berth_kind *table, berth_error *error);
/* The same with facts, as berth_register_factory_with. Since 0.1. */
BERTH_API berth_status berth_cluster_register_kind_with(berth_cluster *c, berth_cluster_set nodes,
                                                        const berth_kind *table,
                                                        const berth_factory_facts *facts,
                                                        berth_error *error);
/* The same with all kinds of a plugin file; every node opens a copy of its own. */
BERTH_API berth_status berth_cluster_load_plugin(berth_cluster *c, berth_cluster_set nodes,
                                                 const char *path, berth_error *error);

/* ---- Daemons --------------------------------------------------------------------------------- */

/* What is to be spawned; a factory fills it in for one node. */
typedef struct berth_cluster_spawn {
    uint32_t size;
    const char *kind;               /* one that the node has; or else */
    const berth_kind *table;        /* a table that is not registered */
    const berth_keypair *identity;  /* NULL: from the seed; borrowed until the spawn is over */
    const berth_daemon_config *how; /* may be NULL; borrowed likewise */
} berth_cluster_spawn;

/* Called once for each node that is chosen and runs, in their order. Not OK: nothing is spawned
 * there, and the spawn fails with this. */
typedef berth_status berth_cluster_factory(void *ctx, uint32_t node, berth_cluster_spawn *out,
                                           berth_error *error);
/* A factory: the kind whose name is ctx. */
BERTH_API berth_status berth_cluster_of_kind(void *ctx, uint32_t node, berth_cluster_spawn *out,
                                             berth_error *error);

/* A daemon of the cluster. May be used as long as the cluster is there: once its node was killed or
 * restarted the functions below answer STALE, after a shutdown SHUTTING_DOWN. */
typedef struct berth_cluster_daemon {
    uint32_t node;
    uint32_t life; /* of the node */
    uint64_t node_id, origin;
} berth_cluster_daemon;

/*
 * One daemon on each node that chosen (NULL: all) says yes to, in the order of nodes. out (may be
 * NULL) has room for all nodes; *count (may be NULL) is how many there are; none is fine.
 *
 * When one fails, those that this call has spawned are stopped in reverse order, with 200 ms of
 * grace each, and the answer is the failure, with the node (berth_cluster_get_failure). Everything
 * else stays as it was.
 */
BERTH_API berth_status berth_cluster_spawn_where(berth_cluster *c,
                                                 bool (*chosen)(void *ctx, uint32_t node),
                                                 void *chosen_ctx, berth_cluster_factory *factory,
                                                 void *factory_ctx, berth_cluster_daemon *out,
                                                 uint32_t *count, berth_error *error);
BERTH_API berth_status berth_cluster_spawn_per_node(berth_cluster *c,
                                                    berth_cluster_factory *factory,
                                                    void *factory_ctx, berth_cluster_daemon *out,
                                                    uint32_t *count, berth_error *error);

/* As those of runtime.h. */
BERTH_API berth_status berth_cluster_deliver(berth_cluster *c, const berth_cluster_daemon *d,
                                             const void *data, uint64_t len, berth_outputs *outputs,
                                             berth_error *error);
BERTH_API berth_status berth_cluster_daemon_get(berth_cluster *c, const berth_cluster_daemon *d,
                                                berth_daemon_info *out, berth_error *error);
BERTH_API berth_status berth_cluster_stop(berth_cluster *c, const berth_cluster_daemon *d,
                                          uint64_t grace_ms, berth_error *error);

/* ---- Waiting --------------------------------------------------------------------------------- */

/* Look until condition says yes: at once, after every change of a peer, every poll_ms, and once
 * more when the budget is over. TIMEOUT with `what` (a few words) and the budget; SHUTTING_DOWN
 * when nothing runs any more. */
BERTH_API berth_status berth_cluster_wait_until(berth_cluster *c,
                                                bool (*condition)(void *ctx, berth_cluster *c),
                                                void *ctx, uint32_t budget_ms, const char *what,
                                                berth_error *error);

/* All nodes that run have the peers that they can reach, and that run: Healthy, with a session. */
BERTH_API berth_status berth_cluster_await_sessions(berth_cluster *c, uint32_t budget_ms,
                                                    berth_error *error);
/* All nodes that run hold the announcements of all that run. */
BERTH_API berth_status berth_cluster_await_announcements(berth_cluster *c, uint32_t budget_ms,
                                                         berth_error *error);
/* What is published on the node to the channel goes to at least so many daemons of other nodes. */
BERTH_API berth_status berth_cluster_await_members(berth_cluster *c, uint32_t node,
                                                   const char *channel, uint32_t members,
                                                   uint32_t budget_ms, berth_error *error);

/* ---- Breaking -------------------------------------------------------------------------------- */

/* As if the machine lost its power: nobody is told, its daemons and what they held are gone.
 * NOT_READY: it does not run. */
BERTH_API berth_status berth_cluster_kill(berth_cluster *c, uint32_t node, berth_error *error);
/* The node again: same identity, keys, address, kinds and links, no daemons. It knows the addresses
 * of all that it can reach. A running one is killed first. Does not wait for peers. */
BERTH_API berth_status berth_cluster_restart(berth_cluster *c, uint32_t node, berth_error *error);
/* Its part in the mesh does nothing for so long, as a process that is stopped; datagrams for it
 * wait in its socket. Its daemons go on. Does not wait. */
BERTH_API berth_status berth_cluster_pause(berth_cluster *c, uint32_t node, uint32_t ms,
                                           berth_error *error);
/* What the node holds for the time of day is off by so much from now on, restarts included; 0: it
 * is right again. */
BERTH_API berth_status berth_cluster_clock_jump(berth_cluster *c, uint32_t node, int64_t seconds,
                                                berth_error *error);

/*
 * What becomes of datagrams from these nodes to those, in this direction only; in place of what was
 * said before, partitions apart. NULL or "": they arrive. Words in any order:
 *
 *     drop  loss=1%  burst=0.5%/20%[/90%]  dup=0.1%  corrupt=100ppm  reorder=2%[/20ms]
 *     delay=5ms  jitter=1ms  rate=100Mbit  queue=256KiB  bucket=16KiB
 */
BERTH_API berth_status berth_cluster_impair(berth_cluster *c, berth_cluster_set from,
                                            berth_cluster_set to, const char *rule,
                                            berth_error *error);
/* Nothing gets from these nodes to those, or also not back. */
BERTH_API berth_status berth_cluster_partition(berth_cluster *c, berth_cluster_set from,
                                               berth_cluster_set to, bool both_ways,
                                               berth_error *error);
/* Partitions and bad links are over. The topology, clocks and those killed stay. */
BERTH_API berth_status berth_cluster_heal(berth_cluster *c, berth_error *error);

/* ---- Logs ------------------------------------------------------------------------------------ */

/* The last lines of a node, over all its lives, oldest first: seconds since berth_cluster_new,
 * level, room, text. fn NULL: to standard error. Errors are in the common log as well. */
BERTH_API void berth_cluster_log(berth_cluster *c, berth_cluster_set nodes,
                                 void (*fn)(void *ctx, uint32_t node, const char *line), void *ctx);

#ifdef __cplusplus
}
#endif
#endif
