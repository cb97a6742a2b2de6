/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate/migrations.h: migrations of this node's daemons, running: the machines of this room on a
 * thread, between the runtime, the mesh and the journal in the store.
 *
 *     x = migrations_new(config)      after mesh_new, before mesh_start
 *     migrations_start(x, rt)         what the journal holds goes on
 *     migrations_stop(x)              what is not decided stays; before the runtime ends
 *     migrations_free(x)              after mesh_leave, before berth_runtime_free
 *
 * Functions may be called from any thread but a daemon's, the mesh's and a callback's.
 */
#ifndef MIGRATE_MIGRATIONS_H
#define MIGRATE_MIGRATIONS_H

#include "mesh/mesh.h"
#include "migrate/hearing.h"
#include "migrate/reason.h"

typedef struct migrations migrations;

#define MIGRATIONS_KIND_PATTERNS 64
#define MIGRATIONS_OPERATORS     32

/* What may change while it runs. Copied. */
typedef struct migrations_policy {
    /* Kinds that may come here, exact or with a * at the end; none: all that this host has. */
    const char *const *accept;
    size_t accept_count;
    /* Keys whose signed orders count. */
    const uint8_t (*operators)[BERTH_ENTITY_SIZE];
    size_t operator_count;
    bool expected_only; /* only daemons that berth_expect_migration has named */
    bool fetch;         /* the plugin of a kind that is not here may be fetched from the source */
    /* Bytes of state from which on a daemon goes on while it is sent [1 MiB] */
    uint64_t precopy_from;
} migrations_policy;

typedef struct migrations_config {
    mesh *mesh;                    /* borrowed */
    plugins *plugins;              /* borrowed */
    store *store;                  /* borrowed; NULL: decisions last as long as the process */
    const berth_keypair *identity; /* of the node; full; borrowed */
    uint8_t static_secret[32];     /* of the mesh: opens envelopes */
    uint64_t max_stream;           /* bytes of one daemon [4 GiB] */
    uint64_t max_bytes;            /* of all that come at once [twice that]; half of it per node */
    int64_t resend_ns;             /* 0: as the machines have it */
    migrations_policy policy;
} migrations_config;

berth_status migrations_new(const migrations_config *config, migrations **out, berth_error *error);
/* Called when a plugin has been fetched and loaded, on a thread that may wait, and before the
 * daemon comes whose kind it has. Before migrations_start. The mesh is told of its kinds in any
 * case. */
void migrations_on_loaded(migrations *x, void (*loaded)(void *ctx), void *ctx);
berth_status migrations_start(migrations *x, runtime *rt, berth_error *error);
void migrations_stop(migrations *x);
void migrations_free(migrations *x); /* NULL is allowed */
/* LIMIT, NO_MEMORY, with nothing changed. */
berth_status migrations_set_policy(migrations *x, const migrations_policy *p, berth_error *error);

/* ---- Ordering -------------------------------------------------------------------------------- */

typedef struct migration_spec {
    uint64_t origin;
    uint64_t source; /* node; 0: wherever the daemon is */
    uint64_t target; /* node; 0: one that has the kind and is not the source */
    bool transport_identity;
    int64_t retry_not_ready_ns, deadline_ns, max_hold_ns; /* 0: not at all; [300 s]; [30 s] */
} migration_spec;

typedef struct migration_id {
    uint8_t bytes[ATTEMPT_SIZE];
} migration_id;

/* Begin. What can be seen to be wrong is refused at once, with *why filled in: unknown daemon or
 * node, to itself, another one of it under way, no session. Otherwise *id names it from now on. */
berth_status migrations_begin(migrations *x, const migration_spec *spec, migration_id *id,
                              move_outcome *why, berth_error *error);
/* The node where the daemon runs, as far as that can be found out; 0: no. Blocks, for 2 seconds at
 * most. */
uint64_t migrations_find(migrations *x, uint64_t origin);
/* Of what kind the daemon is, wherever it runs: the node that has it (0: as is found out) is
 * asked, which tells those who may order daemons away from it. False, with *why. Blocks, for 7
 * seconds at most. */
bool migrations_kind_of(migrations *x, uint64_t origin, uint64_t node, char *out, size_t cap,
                        move_outcome *why);
/* Any connected node that has the kind, but `from`, where the daemon is; this one too where it lets
 * daemons from there in; 0: none. Blocks. */
uint64_t migrations_choose(migrations *x, const char *kind, uint64_t from);
/* Until it is over, or timeout_ns have passed (TIMEOUT; negative: no limit). It then goes on. OK,
 * with the outcome, whatever it is. NOT_FOUND: no such migration was begun here. */
berth_status migrations_wait(migrations *x, const migration_id *id, int64_t timeout_ns,
                             move_outcome *out, berth_error *error);
/* Ask for its end. BUSY: it is decided already. NOT_FOUND. */
berth_status migrations_cancel(migrations *x, const migration_id *id, berth_error *error);

/*
 * An operator attests that the other node of a migration in doubt is gone for good: it is decided
 * without it. At the target the daemon is ours; at the source it runs here again, above the epoch
 * that the target was given, so that it yields should it turn up after all. NOT_FOUND; REFUSED: it
 * is not in doubt, waits for another node, or that node is connected.
 */
berth_status migrations_resolve(migrations *x, const migration_id *id, uint64_t dead,
                                berth_error *error);

/* ---- Looking --------------------------------------------------------------------------------- */

typedef enum migration_role {
    MIGRATION_ORDERED, /* begun here, the source is another node */
    MIGRATION_SOURCE,
    MIGRATION_TARGET
} migration_role;

typedef struct migration_view {
    migration_id id;
    migration_role role;
    uint64_t origin, source, target; /* nodes */
    char name[128], kind[128];
    move_phase phase;
    bool over, in_doubt; /* in_doubt: it waits for the word of `waits_for`, and for nothing else */
    uint64_t waits_for;
    move_outcome outcome; /* if over */
    unsigned attempts;
    bool fetching; /* the target fetches the plugin: bytes are those of its file */
    uint64_t bytes_sent, bytes_total, held;
    int64_t elapsed_ns, phase_ns;
    int64_t blackout_ns; /* so far: since its gate closed, until the target ran it */
    int64_t snapshot_ns;
    move_hearing hearing; /* at the target; may still change when it is over */
} migration_view;
/* Those under way, then the last 256 that are over, the newest first. fn is called without locks,
 * on the caller's thread. */
void migrations_each(migrations *x, void (*fn)(void *ctx, const migration_view *v), void *ctx);

/* ---- Watching -------------------------------------------------------------------------------- */

/* One went into a phase, came to be in doubt or no longer, or is over. */
typedef struct migration_change {
    uint64_t index; /* of all since this node started, from 0 */
    int64_t wall_ns;
    migration_view view; /* as it was then */
} migration_change;

typedef struct migration_watch migration_watch;

/*
 * From now on; of one migration (`only`) from the first of the last 256 changes of all that is of
 * it. A migration that was begun here is told as one, whatever attempts it takes; an order to
 * another node only as fast as that node is asked. wake: as in daemon/tail.h. To be closed before
 * migrations_free.
 */
berth_status migrations_watch(migrations *x, const migration_id *only, void (*wake)(void *ctx),
                              void *ctx, migration_watch **out, berth_error *error);
/* Up to cap; *missed: so many changes of all were dropped before them; *ended: no more will come,
 * for migrations_stop was called. Never blocks. One thread at a time. */
size_t migration_watch_read(migration_watch *w, migration_change *items, size_t cap,
                            uint64_t *missed, bool *ended);
/* After it returns wake is not running and will not run. NULL is allowed. */
void migration_watch_close(migration_watch *w);

typedef struct migration_ending migration_ending;
/* The caller's, until fn is called: once, on any thread, without locks. It must not block. */
struct migration_ending {
    migration_ending *next;
    /* OK, and how it ended, borrowed; or SHUTTING_DOWN and NULL: it goes on without this node. */
    void (*fn)(migration_ending *e, berth_status status, const migration_view *view);
};
/* OK: fn has been or will be called. NOT_FOUND, SHUTTING_DOWN: it will not. */
berth_status migrations_on_end(migrations *x, const migration_id *id, migration_ending *e,
                               berth_error *error);

/* ---- Counting -------------------------------------------------------------------------------- */

/* Of attempts that this node had this part in, since it started. */
typedef struct migration_role_counters {
    uint64_t entered[MOVE_PHASE_COUNT];
    uint64_t phase_ns[MOVE_PHASE_COUNT]; /* in phases that are over */
    uint64_t moved, failed[MOVE_REASON_COUNT];
} migration_role_counters;

typedef struct migrations_counters {
    uint64_t begun, moved, failed, received, refused;   /* received: daemons; refused: offers */
    uint64_t underway, in_doubt;                        /* now */
    uint64_t malformed, unknown, unauthorized, dropped; /* messages */
    uint64_t bytes_out, bytes_in, held_events;
    uint64_t executed_events; /* that were run here while their daemon was sent, and again there */
    uint64_t plugins_fetched, fetches_refused;  /* from sources; refused: offers, for that */
    uint64_t plugin_bytes_out, plugin_bytes_in; /* of plugins; not in the bytes above */
    uint64_t blackout_ns, snapshot_ns;          /* sums over those that moved from here */
    uint64_t changes_missed;                    /* by watchers that were too slow */
    migration_role_counters at_source, at_target;
} migrations_counters;
void migrations_get_counters(migrations *x, migrations_counters *out);

#endif
