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
    TABLE_SET_CLEAN,
    TABLE_PUT_FACT,
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

#endif
