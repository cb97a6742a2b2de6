/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/db.h: what this room needs from SQLite: connections with the right settings, statements,
 * errors as statuses, and columns that are never longer than expected.
 *
 * A connection belongs to one thread at a time. For this room only.
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include "base/buf.h"
#include "berth/status.h"

#include <sqlite3.h>
#include <stdbool.h>

/* No row of ours is near this; SQLite refuses to build longer ones from a damaged file. */
#define DB_ROW_MAX (1 << 20)

typedef enum db_access { DB_READ, DB_WRITE } db_access;

/* An existing file. On success *out is the caller's to sqlite3_close. */
berth_status db_open(const char *path, db_access access, sqlite3 **out, berth_error *error);

/* What SQLite's result code means, with the file's name and, where there is one, the cure. */
berth_status db_fail(sqlite3 *db, int rc, berth_error *error);
berth_status db_damaged(sqlite3 *db, const char *why, berth_error *error);

/* One or more statements whose rows do not matter. */
berth_status db_exec(sqlite3 *db, const char *sql, berth_error *error);

/* A statement that is kept for the life of the connection; sqlite3_finalize releases it. */
berth_status db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, berth_error *error);

/* The one number that sql answers. */
berth_status db_number(sqlite3 *db, const char *sql, int64_t *out, berth_error *error);

/* Steps once and resets: for statements that answer no row. SQLite's result code. */
int db_run(sqlite3_stmt *statement);

/* Bytes are borrowed until the statement is stepped or reset. Numbers are kept in two's complement.
 */
int db_bind_slice(sqlite3_stmt *statement, int at, slice bytes);
int db_bind_u64(sqlite3_stmt *statement, int at, uint64_t value);

/* Borrowed until the next step. False when the column is longer than max, is NULL, or, for text,
 * holds a zero byte. */
bool db_text(sqlite3_stmt *statement, int column, size_t max, const char **out);
bool db_blob(sqlite3_stmt *statement, int column, size_t max, slice *out);
/* Exactly n bytes. */
bool db_bytes(sqlite3_stmt *statement, int column, void *out, size_t n);
uint64_t db_u64(sqlite3_stmt *statement, int column);

#endif
