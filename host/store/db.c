/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db.h"
#include "base/error.h"

#include <errno.h>
#include <string.h>

/* How long another program (a backup, a person with a shell) may hold the database before we give
 * up. */
#define BUSY_TIMEOUT_MS 5000

static const char *file_of(sqlite3 *db)
{
    const char *name = sqlite3_db_filename(db, "main");

    return name ? name : "the store";
}

berth_status db_damaged(sqlite3 *db, const char *why, berth_error *error)
{
    const char *file = file_of(db);

    return fail(error, BERTH_ERR_CORRUPT,
                "%s: the database is damaged (%s): put back a backup of the whole state directory, "
                "or salvage its rows with 'sqlite3 %s .recover'",
                file, why, file);
}

static bool no_room(int errnum)
{
    return errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG;
}

berth_status db_fail(sqlite3 *db, int rc, berth_error *error)
{
    const char *file = file_of(db), *why = sqlite3_errstr(rc);
    int system = sqlite3_system_errno(db);

    if (rc == SQLITE_IOERR_CORRUPTFS)
        return db_damaged(db, why, error);
    switch (rc & 0xFF) {
    case SQLITE_ERROR: /* our own statements are right, so what they name is not in the file */
        return db_damaged(db, sqlite3_errmsg(db), error);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return db_damaged(db, why, error);
    case SQLITE_IOERR:
        if (!no_room(system))
            return fail(error, BERTH_ERR_IO, "%s: %s (%s)", file, why,
                        system ? strerrordesc_np(system) : "no system error");
        /* fall through */
    case SQLITE_FULL:
        return fail(error, BERTH_ERR_NO_SPACE,
                    "%s: no space left: free some on its file system and try again", file);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return fail(error, BERTH_ERR_BUSY, "%s: another program holds the database: end it", file);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return fail(error, BERTH_ERR_PERMISSION,
                    "%s: %s: the host needs write access to it and its directory", file, why);
    case SQLITE_CANTOPEN:
        return fail(error, BERTH_ERR_IO, "%s: cannot open (%s)", file,
                    system ? strerrordesc_np(system) : why);
    case SQLITE_NOMEM:
        return fail(error, BERTH_ERR_NO_MEMORY, "%s: out of memory", file);
    case SQLITE_TOOBIG:
        return db_damaged(db, "a row longer than any that berth writes", error);
    case SQLITE_INTERRUPT:
        return fail(error, BERTH_ERR_CANCELLED, "%s: interrupted", file);
    default:
        return fail(error, BERTH_ERR_INTERNAL, "%s: %s: %s", file, why, sqlite3_errmsg(db));
    }
}

/* Nothing in the file may run code or reach memory unchecked: no triggers, no views, no mapping. */
static const char common_settings[] = "PRAGMA trusted_schema = OFF;"
                                      "PRAGMA cell_size_check = ON;"
                                      "PRAGMA mmap_size = 0;"
                                      "PRAGMA temp_store = MEMORY;";

/* FULL: a commit is on disk when it returns. Checkpoints are made by the writer, between groups. */
static const char write_settings[] = "PRAGMA synchronous = FULL;"
                                     "PRAGMA wal_autocheckpoint = 0;"
                                     "PRAGMA journal_size_limit = 67108864;"
                                     "PRAGMA secure_delete = FAST;"
                                     "PRAGMA cache_size = -32768;";

berth_status db_open(const char *path, db_access access, sqlite3 **out, berth_error *error)
{
    int flags = access == DB_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    berth_status status;
    sqlite3 *db = NULL;
    int rc;

    *out = NULL;
    rc = sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (!db)
        return fail(error, BERTH_ERR_NO_MEMORY, "%s: out of memory", path);
    sqlite3_extended_result_codes(db, 1);
    if (rc) {
        status = db_fail(db, rc, error);
        goto out;
    }
    sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, DB_ROW_MAX);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    status = db_exec(db, common_settings, error);
    if (!status && access == DB_WRITE)
        status = db_exec(db, write_settings, error);

out:
    if (status)
        sqlite3_close(db);
    else
        *out = db;
    return status;
}

berth_status db_exec(sqlite3 *db, const char *sql, berth_error *error)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

    return rc ? db_fail(db, rc, error) : BERTH_OK;
}

berth_status db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, berth_error *error)
{
    int rc = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);

    return rc ? db_fail(db, rc, error) : BERTH_OK;
}

berth_status db_number(sqlite3 *db, const char *sql, int64_t *out, berth_error *error)
{
    sqlite3_stmt *statement = NULL;
    berth_status status = db_prepare(db, sql, &statement, error);
    int rc;

    *out = 0;
    if (status)
        return status;
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(statement, 0);
    else
        status = db_fail(db, rc, error);
    sqlite3_finalize(statement);
    return status;
}

int db_run(sqlite3_stmt *statement)
{
    int rc = sqlite3_step(statement);

    sqlite3_reset(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int db_bind_slice(sqlite3_stmt *statement, int at, slice bytes)
{
    /* A NULL pointer would bind NULL, not the empty blob. */
    return sqlite3_bind_blob64(statement, at, bytes.len ? (const void *)bytes.ptr : "", bytes.len,
                               SQLITE_STATIC);
}

int db_bind_u64(sqlite3_stmt *statement, int at, uint64_t value)
{
    return sqlite3_bind_int64(statement, at, (int64_t)value);
}

bool db_text(sqlite3_stmt *statement, int column, size_t max, const char **out)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    size_t len = (size_t)sqlite3_column_bytes(statement, column);

    *out = text;
    return text && len <= max && strlen(text) == len;
}

bool db_blob(sqlite3_stmt *statement, int column, size_t max, slice *out)
{
    const void *ptr = sqlite3_column_blob(statement, column);
    size_t len = (size_t)sqlite3_column_bytes(statement, column);

    *out = slice_of(ptr, len);
    return sqlite3_column_type(statement, column) == SQLITE_BLOB && len <= max && (ptr || !len);
}

bool db_bytes(sqlite3_stmt *statement, int column, void *out, size_t n)
{
    slice got;

    if (!db_blob(statement, column, n, &got) || got.len != n)
        return false;
    memcpy(out, got.ptr, n);
    return true;
}

uint64_t db_u64(sqlite3_stmt *statement, int column)
{
    return (uint64_t)sqlite3_column_int64(statement, column);
}
