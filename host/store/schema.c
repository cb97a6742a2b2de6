/* SPDX-License-Identifier: Apache-2.0 */
#include "store/schema.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "store/db.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* "Brth" in the file's header, so that file(1) and we know whose it is. */
#define APPLICATION_ID 0x42727468

/* The search for damage at open takes no longer than this; a bigger database is checked in part. */
#define CHECK_NS 1000000000

/* Instructions of SQLite's machine between two looks at the clock. */
#define CHECK_STRIDE 10000

/*
 * Numbers are 64-bit patterns: unsigned ones above 2^63 are negative here, so they are never
 * compared in SQL. `id` gives the order of creation and is the key of a daemon's snapshot. A mark
 * is what a removed daemon had reached.
 */
static const char version_1[] =
    "CREATE TABLE daemon ("
    " id INTEGER PRIMARY KEY,"
    " entity BLOB NOT NULL UNIQUE,"
    " origin INTEGER NOT NULL UNIQUE,"
    " name TEXT UNIQUE,"
    " kind TEXT NOT NULL,"
    " plugin TEXT NOT NULL,"
    " digest BLOB NOT NULL,"
    " desired INTEGER NOT NULL,"
    " durability INTEGER NOT NULL,"
    " auto_snapshot INTEGER NOT NULL,"
    " incarnation INTEGER NOT NULL,"
    " epoch INTEGER NOT NULL,"
    " sequence_limit INTEGER NOT NULL,"
    " clean INTEGER NOT NULL,"
    " created INTEGER NOT NULL,"
    " identity BLOB NOT NULL,"
    " config BLOB NOT NULL) STRICT;"
    "CREATE TABLE snapshot ("
    " id INTEGER PRIMARY KEY,"
    " incarnation INTEGER NOT NULL,"
    " sequence INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL,"
    " taken INTEGER NOT NULL,"
    " digest BLOB NOT NULL,"
    " file TEXT,"
    " body BLOB) STRICT;"
    "CREATE UNIQUE INDEX snapshot_file ON snapshot (file) WHERE file IS NOT NULL;"
    "CREATE TABLE mark ("
    " entity BLOB PRIMARY KEY,"
    " incarnation INTEGER NOT NULL,"
    " sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE fact ("
    " key TEXT PRIMARY KEY,"
    " value BLOB NOT NULL) STRICT, WITHOUT ROWID;";

/* What its operator wants a daemon to hear. */
static const char version_2[] = "ALTER TABLE daemon ADD COLUMN wants BLOB NOT NULL DEFAULT x'';";

/* Attempts to move a daemon from or to here; of each entity one at most is open (1 or 4). An
 * attempt's id is the key of its state. Forgotten: the highest not_after of those that were owned
 * and have expired. */
static const char version_3[] =
    "CREATE TABLE attempt ("
    " id INTEGER PRIMARY KEY,"
    " attempt BLOB NOT NULL UNIQUE,"
    " entity BLOB NOT NULL,"
    " phase INTEGER NOT NULL,"
    " epoch INTEGER NOT NULL,"
    " not_after INTEGER NOT NULL,"
    " record BLOB NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX attempt_open ON attempt (entity) WHERE phase IN (1, 4);"
    "CREATE TABLE attempt_state ("
    " id INTEGER PRIMARY KEY,"
    " bytes INTEGER NOT NULL,"
    " digest BLOB NOT NULL,"
    " file TEXT,"
    " body BLOB) STRICT;"
    "CREATE UNIQUE INDEX attempt_state_file ON attempt_state (file) WHERE file IS NOT NULL;"
    "CREATE TABLE attempt_forgotten ("
    " id INTEGER PRIMARY KEY CHECK (id = 0),"
    " not_after INTEGER NOT NULL) STRICT;";

/* The epoch at which a daemon was handed over to another host, which runs it since; 0: it was not.
 */
static const char version_4[] = "ALTER TABLE mark ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;";

/* What was staged before an attempt was prepared: a file that its state goes on from. */
static const char version_5[] = "CREATE TABLE attempt_base ("
                                " id INTEGER PRIMARY KEY,"
                                " bytes INTEGER NOT NULL,"
                                " digest BLOB NOT NULL,"
                                " file TEXT NOT NULL UNIQUE) STRICT;";

const char *const schema_steps[] = {version_1, version_2, version_3, version_4, version_5};
const size_t schema_count = sizeof schema_steps / sizeof *schema_steps;

berth_status schema_upgrade(sqlite3 *db, const char *const *steps, size_t count, berth_error *error)
{
    const char *file = sqlite3_db_filename(db, "main");
    berth_status status;
    char set_version[64];
    int64_t version;

    status = db_number(db, "PRAGMA user_version", &version, error);
    if (status)
        return status;
    if (version < 0)
        return db_damaged(db, "its version is negative", error);
    if ((uint64_t)version > count)
        return fail(error, BERTH_ERR_VERSION,
                    "%s: has version %" PRId64
                    ", this berth knows versions up to %zu: use the newer berth that wrote it",
                    file, version, count);
    if ((uint64_t)version == count)
        return BERTH_OK;

    status = db_exec(db, "BEGIN IMMEDIATE", error);
    for (size_t i = (size_t)version; i < count && !status; i++)
        status = db_exec(db, steps[i], error);
    snprintf(set_version, sizeof set_version, "PRAGMA user_version = %zu; COMMIT", count);
    if (!status)
        status = db_exec(db, set_version, error);
    if (!sqlite3_get_autocommit(db))
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    if (!status && version)
        log_info("store", "%s: brought from version %" PRId64 " to %zu", file, version, count);
    return status;
}

/* The file exists, empty, for our user alone: SQLite gives its companions the same mode. */
static berth_status make_empty(const char *path, berth_error *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return fail_errno(error, errno, "%s: cannot create", path);
    close(fd);
    return BERTH_OK;
}

berth_status schema_create(const char *dir, const char *path, berth_error *error)
{
    char fresh[PATH_MAX], journal[PATH_MAX], identify[96];
    sqlite3 *db = NULL;
    berth_status status;

    if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh ||
        snprintf(journal, sizeof journal, "%s.new-journal", path) >= (int)sizeof journal)
        return fail_errno(error, ENAMETOOLONG, "%s", path);
    /* Of a host that ended in the middle of this; the directory is locked. */
    unlink(journal);
    unlink(fresh);

    status = make_empty(fresh, error);
    if (!status)
        status = db_open(fresh, DB_WRITE, &db, error);
    snprintf(identify, sizeof identify, "PRAGMA page_size = %d; PRAGMA application_id = %d",
             SCHEMA_PAGE, APPLICATION_ID);
    if (!status)
        status = db_exec(db, identify, error);
    if (!status)
        status = schema_upgrade(db, schema_steps, schema_count, error);
    sqlite3_close(db);
    if (!status && link(fresh, path) != 0)
        status = fail_errno(error, errno, "%s: cannot put the new database in place", path);
    unlink(journal);
    unlink(fresh);
    return status ? status : file_sync_dir(dir, error);
}

static int out_of_time(void *deadline)
{
    return clock_mono_ns() > *(const int64_t *)deadline;
}

static berth_status search_damage(sqlite3 *db, berth_error *error)
{
    int64_t deadline = clock_mono_ns() + CHECK_NS;
    sqlite3_stmt *check = NULL;
    berth_status status;
    char why[256];
    int rc;

    status = db_prepare(db, "PRAGMA quick_check(1)", &check, error);
    if (status)
        return status;
    sqlite3_progress_handler(db, CHECK_STRIDE, out_of_time, &deadline);
    rc = sqlite3_step(check);
    if (rc == SQLITE_ROW) {
        const char *answer = (const char *)sqlite3_column_text(check, 0);

        const char *line = answer ? strchr(answer, '\n') : NULL; /* after a headline */

        snprintf(why, sizeof why, "%s", line ? line + 1 : answer ? answer : "out of memory");
        if (strcmp(why, "ok") != 0)
            status = db_damaged(db, why, error);
    } else if (rc == SQLITE_INTERRUPT) {
        log_info("store", "%s: large, so checked in part", sqlite3_db_filename(db, "main"));
    } else {
        status = db_fail(db, rc, error);
    }
    sqlite3_progress_handler(db, 0, NULL, NULL);
    sqlite3_finalize(check);
    return status;
}

berth_status schema_check(sqlite3 *db, berth_error *error)
{
    berth_status status;
    int64_t id;

    status = db_number(db, "PRAGMA application_id", &id, error);
    if (status)
        return status;
    if (id != APPLICATION_ID)
        return db_damaged(db, "it is empty or not a database of berth", error);
    status = schema_upgrade(db, schema_steps, schema_count, error);
    if (status)
        return status;
    return search_damage(db, error);
}
