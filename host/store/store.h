/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/store.h: what survives the host: its daemons (the factory table) and their snapshots.
 *
 * One SQLite database (WAL, synchronous FULL) in the state directory, one writer thread, group commit:
 * every change handed in while a transaction is being committed goes into the next one. Changes are
 * asynchronous: `done` is called on the writer thread once the change is on disk, or has failed, in the
 * order handed in, with no lock held; it must not block. Reads are synchronous, from any thread.
 *
 * Snapshots over STORE_INLINE_SNAPSHOT are files in <state>/snapshots, written to a temporary name,
 * synced, and renamed before the row that names them commits; files no row names are removed at open.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/buf.h"
#include "berth/status.h"

#include <stdbool.h>

typedef struct store store;

#define STORE_INLINE_SNAPSHOT (64 * 1024)

typedef enum store_desired { STORE_RUN = 1, STORE_STOPPED = 2 } store_desired;

/* One daemon. Strings and slices are borrowed for the call they are passed in. */
typedef struct store_daemon {
    uint8_t entity[32];
    uint64_t origin;
    const char *name;
    const char *kind;
    const char *plugin;  /* its plugin's name, or "" for a kind without a file */
    uint8_t digest[32];  /* the plugin copy it runs on; zero: none */
    slice identity;      /* seed sealed under the host key (identity/seal.h) */
    slice config;
    store_desired desired;
    uint32_t durability;     /* manifest_durability */
    uint64_t auto_snapshot;  /* events; 0: never */
    uint64_t incarnation;    /* raised before the first output that may contradict an earlier one */
    uint64_t epoch;
    uint64_t sequence_limit; /* no output with a sequence above it may leave */
    bool clean;              /* the snapshot is where the daemon stopped: its chain resumes exactly */
    int64_t created_wall_ns;
    /* Read only: of the latest snapshot; has_snapshot false: none. */
    bool has_snapshot;
    uint64_t snapshot_sequence;
    uint64_t snapshot_bytes;
    int64_t snapshot_wall_ns;
} store_daemon;

typedef void store_done(void *ctx, berth_status status, const berth_error *error);

/*
 * Open or create. LOCKED, naming the holder's pid, when another host has the directory; CORRUPT with the
 * cure when the database is damaged; VERSION when a newer berth wrote it. state_dir must be ours and
 * not writable by others (base/file.h).
 */
berth_status store_open(const char *state_dir, store **out, berth_error *error);

/* Commits what was handed in, then closes. No call may be running. */
void store_close(store *s);

/* New row. EXISTS, naming which, when entity, origin or name is taken. done may be NULL. */
void store_add_daemon(store *s, const store_daemon *row, store_done *done, void *ctx);

/* Which fields store_update_daemon takes from its row. */
#define STORE_SET_DESIRED     0x01
#define STORE_SET_INCARNATION 0x02
#define STORE_SET_EPOCH       0x04
#define STORE_SET_LIMIT       0x08
#define STORE_SET_CLEAN       0x10
#define STORE_SET_DIGEST      0x20
#define STORE_SET_CONFIG      0x40

/* Changes the fields named in `set` of the row with row->entity. NOT_FOUND without one. */
void store_update_daemon(store *s, const store_daemon *row, unsigned set, store_done *done, void *ctx);

/* Row, identity and snapshots. */
void store_remove_daemon(store *s, const uint8_t entity[32], store_done *done, void *ctx);

/*
 * Make this the latest snapshot of entity; the ones before it go once it is on disk. The store takes a
 * reference to container (BSN1 bytes). clean goes into the row in the same transaction. A snapshot whose
 * (incarnation, sequence) is below the stored one is refused as STALE (compute-core K20).
 */
void store_put_snapshot(store *s, const uint8_t entity[32], uint64_t incarnation, uint64_t sequence,
                        buf *container, bool clean, store_done *done, void *ctx);

/* The latest snapshot: *out has one reference, or NULL when there is none. Verifies its digest. */
berth_status store_get_snapshot(store *s, const uint8_t entity[32], buf **out, berth_error *error);

/* Every row, ordered by creation; row is valid during the call. fn returns false to end. */
berth_status store_each_daemon(store *s, bool (*fn)(void *ctx, const store_daemon *row), void *ctx,
                               berth_error *error);

/* Returns when everything handed in before is on disk or has failed; the first failure since the last
 * barrier. Not from a done function. */
berth_status store_barrier(store *s, berth_error *error);

/* For metrics: transactions, changes, bytes and nanoseconds spent in commit, since open. */
typedef struct store_stats {
    uint64_t commits, changes, failures, snapshot_bytes, commit_ns, queued;
} store_stats;
void store_get_stats(store *s, store_stats *out);

/* A small durable text by key, for the host's own facts (its incarnation, its salt). Synchronous. */
berth_status store_put_fact(store *s, const char *key, slice value, berth_error *error);
berth_status store_get_fact(store *s, const char *key, buf **out, berth_error *error);

#endif
