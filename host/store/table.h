/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/table.h: what each change does to the tables, on the writer's connection.
 *
 * One thread. A change that cannot be (EXISTS, NOT_FOUND, STALE, its file does not fit) is marked
 * and changes nothing, without harm to the transaction around it: every change makes its checks
 * before its first write, so no savepoint is needed.
 */
#ifndef STORE_TABLE_H
#define STORE_TABLE_H

#include "store/change.h"
#include "store/db.h"

typedef enum table_statement {
    TABLE_BEGIN,
    TABLE_COMMIT,
    TABLE_ROLLBACK,
    TABLE_ADD,
    TABLE_HOLDER,
    TABLE_UPDATE,
    TABLE_LOOKUP,
    TABLE_REMOVE_SNAPSHOT,
    TABLE_REMOVE_DAEMON,
    TABLE_PUT_MARK,
    TABLE_GET_MARK,
    TABLE_PUT_SNAPSHOT,
    TABLE_REMOVE_MARK,
    TABLE_MARK_GONE,
    TABLE_FIND_GONE,
    TABLE_SET_CLEAN,
    TABLE_PUT_FACT,
    TABLE_SET_MOVED,
    TABLE_SET_BACK,
    TABLE_FIND_ATTEMPT,
    TABLE_FIND_OPEN,
    TABLE_ADD_ATTEMPT,
    TABLE_ADD_STATE,
    TABLE_ADD_BASE,
    TABLE_OWN_BASE,
    TABLE_END_ATTEMPT,
    TABLE_REMOVE_ATTEMPT,
    TABLE_REMOVE_STATE,
    TABLE_REMOVE_BASE,
    TABLE_FORGET,
    TABLE_FORGOTTEN,
    TABLE_EXPIRE,
    TABLE_STATEMENTS
} table_statement;

typedef struct table {
    sqlite3 *db;
    sqlite3_stmt *statements[TABLE_STATEMENTS];
    const char *snapshot_dir; /* borrowed */
} table;

/* Takes over db, also when it fails; then table_close is still due. */
berth_status table_open(table *t, sqlite3 *db, const char *snapshot_dir, berth_error *error);
void table_close(table *t);

/* Inside a transaction. Not OK when the transaction cannot go on: *error says why, and what of it
 * was done must be rolled back. What went wrong with c alone is in c. */
berth_status table_apply(table *t, change *c, berth_error *error);

/* The same for changes of attempts (table_attempt.c). */
berth_status table_apply_attempt(table *t, change *c, berth_error *error);

/* ---- Steps of a change; each may fail as table_apply does ---- */

/* A daemon's row as far as its snapshot goes. */
typedef struct table_found {
    bool daemon, snapshot, moved;
    int64_t id;
    uint64_t daemon_incarnation, limit; /* of its row */
    uint64_t incarnation, sequence;     /* of its snapshot */
} table_found;

/* Also puts the name of the snapshot's file into c->old_file, which a change that is refused then
 * clears. */
berth_status table_look_up(table *t, change *c, const uint8_t entity[32], table_found *f,
                           berth_error *error);

/* c is EXISTS if another row than the one with the id *except (NULL: any) has the entity, origin or
 * name of row. */
berth_status table_taken(table *t, change *c, const store_daemon *row, const int64_t *except,
                         bool *is_taken, berth_error *error);
/* c is EXISTS if the daemon is RELEASED to another host. */
berth_status table_heed_released(table *t, change *c, const uint8_t entity[32], berth_error *error);
/* collides: it is not inserted, as something of it is taken. */
berth_status table_insert(table *t, const store_daemon *row, bool *collides, berth_error *error);
/* A daemon's row and snapshot. */
berth_status table_remove(table *t, int64_t id, berth_error *error);

bool table_later(uint64_t incarnation, uint64_t sequence, uint64_t than_incarnation,
                 uint64_t than_sequence);
/* What a removed daemon of this entity had reached becomes f's; as it was when there was none. */
berth_status table_get_mark(table *t, const uint8_t entity[32], table_found *f, berth_error *error);
/* The highest of the daemon's row (nothing above its limit has left), its snapshot and an earlier
 * mark becomes the mark. */
berth_status table_put_mark(table *t, const uint8_t entity[32], const table_found *f,
                            berth_error *error);

/* c is STALE, as f has come further. */
bool table_is_stale(change *c, const new_snapshot *n, const table_found *f);
/* The file c->new_file, if body is for one; else c has failed. The last of a change's checks. */
bool table_write_file(table *t, change *c, const uint8_t entity[32], const buf *body);
/* To the columns file and body, from `at` on; as table_write_file left it. */
void table_bind_body(const change *c, sqlite3_stmt *st, int at, const buf *body);
berth_status table_put_snapshot(table *t, const change *c, int64_t id, const new_snapshot *n,
                                berth_error *error);

/* One of the statements that take nothing but an id, or nothing else that is not bound yet. */
berth_status table_run_for_id(table *t, table_statement which, int64_t id, berth_error *error);

#endif
