/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node/cluster_private.h: what the files of the cluster share. Only they and tests include it.
 *
 *     cluster.c           configuration, boot, shutdown
 *     cluster_node.c      one node: up, down, and who may use it meanwhile
 *     cluster_links.c     who reaches whom, and how badly; kill, restart, pause, clocks
 *     cluster_kinds.c     kinds and plugins of nodes
 *     cluster_spawn.c     daemons and their handles
 *     cluster_wait.c      looking and waiting
 *     cluster_log.c       what nodes log
 *
 * Whoever changes which nodes run, their kinds or links holds `change`, for as long as that takes.
 * `lock` guards the words that say which nodes run, and is held for moments. A node is used between
 * node_enter and node_leave; it is taken down when its last user has left.
 */
#ifndef NODE_CLUSTER_PRIVATE_H
#define NODE_CLUSTER_PRIVATE_H

#include "base/log.h"
#include "base/map.h"
#include "berth/cluster.h"
#include "mesh/impair.h"
#include "mesh/mesh.h"
#include "migrate/migrations.h"

#include <pthread.h>
#include <stdatomic.h>

#define MS_NS INT64_C(1000000)

typedef struct cluster_lines {
    log_capture capture;
    pthread_mutex_t lock;
    char **items; /* [lock] a ring, allocated with its first line */
    uint32_t cap, count, next;
    int64_t began_ns;
} cluster_lines;

typedef struct cluster_node {
    berth_cluster *of;
    uint32_t number;
    char name[16];
    berth_keypair identity;
    uint8_t static_secret[32], static_public[32], reset_key[32];
    berth_cluster_node_config config;
    berth_runtime_config runtime_config;
    address at; /* from its first start on the same */
    cluster_lines lines;
    atomic_uint_fast32_t spawned; /* daemons whose identities are from the seed */
    _Atomic uint64_t version;     /* of its last announcement */
    int64_t skew_s;               /* [change] */

    mesh *mesh;             /* [change] */
    migrations *migrations; /* [change] */
    runtime *rt;            /* [change] */
    uint32_t life;          /* [lock] rises with each start */
    bool running;           /* [lock] */
    unsigned users;         /* [lock] */
} cluster_node;

/* What nodes have: a linked kind or a plugin file. */
typedef struct cluster_kind {
    struct cluster_kind *next; /* in the order in which they came */
    const berth_kind *table;
    berth_factory_facts facts; /* of the table */
    char *path;
    bool on[BERTH_CLUSTER_NODES_MAX];
} cluster_kind;

typedef struct cluster_link {
    bool cut;
    impair_rule rule;
} cluster_link;

struct berth_cluster {
    berth_cluster_config config; /* [const] with the defaults filled in */
    uint8_t psk[32];
    uint32_t count;
    cluster_node *nodes;
    mesh_loop **loops;
    uint32_t loop_count;
    map64 by_id; /* [const] */
    pthread_mutex_t change;
    cluster_kind *kinds; /* [change] */
    cluster_link *links; /* [change] count * count, from * count + to; NULL: all are good */
    bool booted, over;   /* [change] */
    pthread_mutex_t lock;
    pthread_cond_t moved;          /* a peer has changed, or a user has left; monotonic */
    uint64_t moves;                /* [lock] */
    atomic_bool stuck;             /* a daemon did not come back: what it may use stays */
    bool ended;                    /* [lock] */
    berth_cluster_failure failure; /* [lock] */
};

/* ---- cluster.c ------------------------------------------------------------------------------- */

/* Out of the seed: 32 bytes for this purpose. */
void cluster_derive(const berth_cluster *c, const char *purpose, uint32_t node, uint32_t number,
                    uint8_t out[32]);
/* Note what failed; returns status. error has the reason. */
berth_status cluster_failed(berth_cluster *c, const berth_cluster_failure *failure,
                            const berth_error *error);
/* Nothing runs any more. */
bool cluster_ended(berth_cluster *c);
bool cluster_has(berth_cluster_set set, uint32_t node);
/* INVALID: a node that is none. */
berth_status cluster_check_set(const berth_cluster *c, berth_cluster_set set, berth_error *error);
berth_status cluster_check_node(const berth_cluster *c, uint32_t node, berth_error *error);

/* ---- cluster_node.c -------------------------------------------------------------------------- */

/* Runs, with its kinds, and hears; it has no addresses of others yet. Under change. */
berth_status node_up(cluster_node *n, berth_error *error);
/* Tell it the addresses of others: as boot does, or of all that it can reach. Under change. */
berth_status node_introduce(cluster_node *n, bool all, berth_error *error);
/* Does boot tell n's address to it? */
bool node_is_told(const berth_cluster *c, uint32_t node, uint32_t of);
/* At once, or with goodbyes. Under change; of several nodes at once on several threads. */
berth_status node_down(cluster_node *n, bool gently, berth_error *error);
/* Use it; false: it does not run, or (life not 0) it is another life. */
bool node_enter(cluster_node *n, uint32_t life);
void node_leave(cluster_node *n);

/* ---- cluster_links.c ------------------------------------------------------------------------- */

bool cluster_reaches(const berth_cluster *c, uint32_t from, uint32_t to);
/* Give n's mesh the rules for what it sends. Under change. */
berth_status cluster_links_apply(cluster_node *n, berth_error *error);

/* ---- cluster_kinds.c ------------------------------------------------------------------------- */

/* All that it is to have. Under change. */
berth_status cluster_kinds_apply(cluster_node *n, berth_error *error);
void cluster_kinds_free(berth_cluster *c);

/* ---- cluster_wait.c -------------------------------------------------------------------------- */

/* A change that those who wait may be waiting for. Any thread. */
void cluster_moved(berth_cluster *c);
/* The number of a node that runs and has not met one whose address it was told; false: none. */
bool cluster_unmet(berth_cluster *c, uint32_t *node, uint32_t *to);

/* ---- cluster_log.c --------------------------------------------------------------------------- */

void cluster_lines_init(cluster_lines *l, uint32_t cap, log_level level, int64_t now_ns);
void cluster_lines_fini(cluster_lines *l);

#endif
