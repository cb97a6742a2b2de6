/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/api.h: the host's HTTP interface on a Unix socket; docs/openapi.yaml describes it.
 *
 * One thread of its own does all input and output and never waits for a daemon; what may wait
 * (spawn, stop, snapshot, restore, load, unload, control) runs on a bounded pool. Only the user the
 * host runs as, and root, are answered.
 */
#ifndef API_API_H
#define API_API_H

#include "daemon/runtime.h"

typedef struct mesh mesh;             /* mesh/mesh.h */
typedef struct migrations migrations; /* migrate/migrations.h */

/* What the node knows about a plugin it has loaded for us. */
typedef struct api_loaded {
    char name[128];
    uint8_t digest[DIGEST_BYTES];
    bool already; /* this very copy was loaded before */
} api_loaded;

typedef struct api_config {
    const char *socket; /* path; its directory is made with mode 0700 when it is missing */
    runtime *rt;        /* borrowed */
    store *store;       /* borrowed; NULL: ephemeral */
    mesh *mesh;         /* borrowed; NULL: the host is alone */
    migrations *moves;  /* borrowed; NULL with mesh. Stop it first: then nobody waits at it */

    /* Facts about the host. Copied. */
    const char *name;
    const char *state_dir; /* NULL or "": ephemeral */
    uint64_t node_id;
    int64_t started_wall_ns, started_mono_ns;

    /* What the node does for us, on a thread of the pool; may block. NULL: UNSUPPORTED. */
    void *ctx;
    berth_status (*load)(void *ctx, const char *path, bool allow_downgrade, api_loaded *out,
                         berth_error *error);
    berth_status (*reload)(void *ctx, berth_error *error);
    void (*unloaded)(void *ctx); /* a plugin is gone; NULL: nobody is told */

    /* Limits; 0 is the default in parentheses. Those of the runtime must be what it was given. */
    uint64_t max_event;      /* bytes (1 MiB) */
    uint64_t max_state;      /* bytes (4 GiB - 1) */
    uint64_t mailbox_events; /* (1024) */
    uint64_t mailbox_bytes;  /* (8 MiB) */
    unsigned max_clients;    /* served at a time (256) */
    unsigned max_jobs;       /* threads of the pool (32) */
    unsigned idle_s;  /* a client that sends nothing is dropped after this many seconds (60) */
    unsigned tick_ms; /* how often clients that left are looked for (1000) */
} api_config;

typedef struct api api;

/*
 * Open the socket and serve. A socket file that nobody answers at is replaced; LOCKED when someone
 * does, EXISTS when the path is no socket, PERMISSION when its directory is not ours alone, INVALID
 * when the path is too long. Blocks shortly.
 */
berth_status api_start(const api_config *config, api **out, berth_error *error);

/*
 * Accept no more, end the streams, let what runs finish for at most grace_ms, cut the rest, remove
 * the socket file, free. Jobs that hang in a plugin are left alone with what they hold. NULL is
 * allowed. Not from a callback. Call it before the runtime goes.
 */
void api_stop(api *a, uint64_t grace_ms);

#endif
