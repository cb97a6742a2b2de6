/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/store.h: what survives the host: its daemons (the factory table) and their snapshots.
 *
 * One SQLite database (WAL, synchronous FULL) in the state directory, one writer thread, group
 * commit: every change handed in while a transaction is being committed goes into the next one.
 * Changes are asynchronous: `done` is called on the writer thread once the change is on disk, or
 * has failed, in the order handed in, with no lock held; it must not block. Reads are synchronous,
 * from any thread.
 *
 * Snapshots over STORE_INLINE_SNAPSHOT are files in <state>/snapshots, written to a temporary name,
 * synced, and renamed before the row that names them commits; files no row names are removed at
 * open.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/buf.h"
#include "berth/status.h"

#include <stdbool.h>

typedef struct store store;

#define STORE_INLINE_SNAPSHOT (64 * 1024)

/* Longest values that can be stored; a change with a longer one ends in LIMIT. */
#define STORE_NAME_MAX     255 /* a daemon's name, kind, plugin; the key of a fact */
#define STORE_IDENTITY_MAX 4096
#define STORE_CONFIG_MAX   (64 * 1024)
#define STORE_FACT_MAX     (64 * 1024)
#define STORE_WANTS_MAX    (256 * 1024)
#define STORE_SNAPSHOT_MAX 0xFFFFFFFFull

typedef enum store_desired {
    STORE_RUN = 1,
    STORE_STOPPED = 2,
    STORE_MOVED = 3, /* has gone, or is going, to another host: not to run here (attempts.h) */
} store_desired;

/* One daemon. Strings and slices are borrowed for the call they are passed in. */
typedef struct store_daemon {
    uint8_t entity[32];
    uint64_t origin;
    const char *name; /* "": none; any number of daemons may have none */
    const char *kind;
    const char *plugin; /* its plugin's name, or "" for a kind without a file */
    uint8_t digest[32]; /* the plugin copy it runs on; zero: none */
    slice identity;     /* seed sealed under the host key (identity/seal.h) */
    slice config;
    slice wants; /* what its operator wants it to hear, and has given it: chain/bonds.h; or empty */
    store_desired desired;
    uint32_t durability;    /* manifest_durability */
    uint64_t auto_snapshot; /* events; 0: never */
    uint64_t incarnation;   /* raised before the first output that may contradict an earlier one */
    uint64_t epoch;
    uint64_t sequence_limit; /* no output with a sequence above it may leave */
    bool clean; /* the snapshot is where the daemon stopped: its chain resumes exactly */
    int64_t created_wall_ns;
    /* Read only: of the latest snapshot; has_snapshot false: none. */
    bool has_snapshot;
    uint64_t snapshot_sequence;
    uint64_t snapshot_bytes;
    int64_t snapshot_wall_ns;
} store_daemon;

/* error is never NULL; its code is 0 when status is. Must not call what waits (barrier, put_fact:
 * they answer DEADLOCK) or close; may hand in changes and read. */
typedef void store_done(void *ctx, berth_status status, const berth_error *error);

/*
 * Open or create. LOCKED, naming the holder's pid, when another host has the directory; CORRUPT
 * with the cure when the database is damaged; VERSION when a newer berth wrote it. state_dir must
 * be ours and not writable by others (base/file.h). CORRUPT also when the database is missing
 * beside a log or snapshots: a new one in its place would make them worthless.
 */
berth_status store_open(const char *state_dir, store **out, berth_error *error);

/* Commits what was handed in, then closes. No call may be running. NULL is allowed. */
void store_close(store *s);

/*
 * Changes. When memory for one is short, its done function is called at once, on the caller's
 * thread. Every change is applied whole or not at all; in what order they reach the disk is the
 * order handed in. After an IO error a change that failed may still be found at the next open, if
 * the host ends before another commit.
 */

/* New row. EXISTS, naming which, when entity, origin or name is taken, also by a daemon that is on
 * its way to another host. done may be NULL. */
void store_add_daemon(store *s, const store_daemon *row, store_done *done, void *ctx);

/* Which fields store_update_daemon takes from its row. */
#define STORE_SET_DESIRED     0x01
#define STORE_SET_INCARNATION 0x02
#define STORE_SET_EPOCH       0x04
#define STORE_SET_LIMIT       0x08
#define STORE_SET_CLEAN       0x10
#define STORE_SET_DIGEST      0x20
#define STORE_SET_CONFIG      0x40
#define STORE_SET_WANTS       0x80

/* Changes the fields named in `set` of the row with row->entity. NOT_FOUND without one. */
void store_update_daemon(store *s, const store_daemon *row, unsigned set, store_done *done,
                         void *ctx);

/* Row, identity and snapshots. What remains is a mark of how far the daemon can have come: the
 * row's incarnation and sequence_limit. Who knows exactly sets the limit first. */
void store_remove_daemon(store *s, const uint8_t entity[32], store_done *done, void *ctx);

/*
 * Make this the latest snapshot of entity; the ones before it go once it is on disk. The store
 * takes a reference to container (BSN1 bytes). clean goes into the row in the same transaction. A
 * snapshot whose (incarnation, sequence) is below the stored one, or below the mark of a removed
 * daemon of this entity, is refused as STALE (compute-core K20). NOT_FOUND without a row.
 */
void store_put_snapshot(store *s, const uint8_t entity[32], uint64_t incarnation, uint64_t sequence,
                        buf *container, bool clean, store_done *done, void *ctx);

/* The latest snapshot: *out has one reference, or NULL when there is none. Verifies its digest:
 * CORRUPT concerns this daemon only. Reads see what was on disk when they began; store_barrier
 * first, to see one's own changes. */
berth_status store_get_snapshot(store *s, const uint8_t entity[32], buf **out, berth_error *error);

/*
 * Where a removed daemon of this entity had come; zeros when there was none. A new daemon of that
 * entity begins with a higher incarnation: else it would repeat (origin, sequence), and its
 * snapshots are STALE.
 */
berth_status store_get_mark(store *s, const uint8_t entity[32], uint64_t *incarnation,
                            uint64_t *sequence, berth_error *error);

/* The epoch at which the daemon of this entity was handed over from here to another host
 * (store/attempts.h); 0: it was not, or has come back. store_add_daemon refuses it (REFUSED) at
 * that epoch and below. */
berth_status store_get_gone(store *s, const uint8_t entity[32], uint64_t *epoch,
                            berth_error *error);

/* Every row, ordered by creation; row is valid during the call. fn returns false to end; it may
 * read from and hand in to the store. Damaged rows are logged and left out, and the answer is then
 * CORRUPT. */
berth_status store_each_daemon(store *s, bool (*fn)(void *ctx, const store_daemon *row), void *ctx,
                               berth_error *error);

/* Returns when everything handed in before is on disk or has failed; the first failure since the
 * last barrier. Not from a done function. */
berth_status store_barrier(store *s, berth_error *error);

/* For metrics: transactions, changes, bytes and nanoseconds spent in commit, since open. */
typedef struct store_stats {
    uint64_t commits, changes, failures, snapshot_bytes, commit_ns, queued;
} store_stats;
void store_get_stats(store *s, store_stats *out);

/* A small durable value by key, for the host's own facts (its incarnation, its salt). Synchronous.
 * *out is NULL when there is none. */
berth_status store_put_fact(store *s, const char *key, slice value, berth_error *error);
berth_status store_get_fact(store *s, const char *key, buf **out, berth_error *error);

/* The same without opening the store: beside a host that has it, and where none runs. NOT_FOUND
 * when there is no store in the directory. */
berth_status store_peek_fact(const char *state_dir, const char *key, buf **out, berth_error *error);

#endif
