/* SPDX-License-Identifier: Apache-2.0 */
#include "store/read.h"
#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ATTEMPT_COLUMNS                                                                            \
    "SELECT a.attempt, a.entity, a.phase, a.epoch, a.not_after, a.record, ifnull(s.bytes, 0), "    \
    "a.id, ifnull(b.bytes, 0) FROM attempt a LEFT JOIN attempt_state s ON s.id = a.id "            \
    "LEFT JOIN attempt_base b ON b.id = a.id "

static const char *const sql[READ_STATEMENTS] = {
    [READ_EACH] = ("SELECT d.entity, d.origin, ifnull(d.name, ''), d.kind, d.plugin, d.digest, "
                   "d.identity, d.config, d.desired, d.durability, d.auto_snapshot, d.incarnation, "
                   "d.epoch, d.sequence_limit, d.clean, d.created, s.id, s.sequence, s.bytes, "
                   "s.taken, d.id, d.wants "
                   "FROM daemon d LEFT JOIN snapshot s ON s.id = d.id ORDER BY d.id"),
    [READ_SNAPSHOT] = ("SELECT s.bytes, s.digest, s.file, s.body "
                       "FROM daemon d JOIN snapshot s ON s.id = d.id WHERE d.entity = ?1"),
    [READ_FACT] = "SELECT value FROM fact WHERE key = ?1",
    [READ_MARK] = "SELECT incarnation, sequence, gone FROM mark WHERE entity = ?1",
    [READ_ANY_MARK] = "SELECT 1 FROM mark LIMIT 1",
    [READ_EACH_ATTEMPT] = (ATTEMPT_COLUMNS "ORDER BY a.id"),
    [READ_ATTEMPT] = (ATTEMPT_COLUMNS "WHERE a.attempt = ?1"),
    [READ_STATE] = ("SELECT s.bytes, s.digest, s.file, s.body FROM attempt a "
                    "JOIN attempt_state s ON s.id = a.id WHERE a.attempt = ?1"),
    [READ_BASE] = ("SELECT b.bytes, b.digest, b.file, NULL FROM attempt a "
                   "JOIN attempt_base b ON b.id = a.id WHERE a.attempt = ?1"),
};

static void close_connection(read_connection *r)
{
    if (!r)
        return;
    for (int i = 0; i < READ_STATEMENTS; i++)
        sqlite3_finalize(r->statements[i]);
    sqlite3_close(r->db);
    free(r);
}

void read_pool_init(read_pool *p, const char *path, const char *snapshot_dir)
{
    *p = (read_pool){.path = path, .snapshot_dir = snapshot_dir};
    pthread_mutex_init(&p->mutex, NULL);
}

void read_pool_fini(read_pool *p)
{
    while (p->idle) {
        read_connection *r = p->idle;

        p->idle = r->next;
        close_connection(r);
    }
    pthread_mutex_destroy(&p->mutex);
}

berth_status read_borrow(read_pool *p, read_connection **out, berth_error *error)
{
    berth_status status;
    read_connection *r;

    pthread_mutex_lock(&p->mutex);
    r = p->idle;
    if (r) {
        p->idle = r->next;
        p->idle_count--;
    }
    pthread_mutex_unlock(&p->mutex);
    *out = r;
    if (r)
        return BERTH_OK;

    r = calloc(1, sizeof *r);
    if (!r)
        return fail(error, BERTH_ERR_NO_MEMORY, "%s: out of memory", p->path);
    status = db_open(p->path, DB_READ, &r->db, error);
    for (int i = 0; i < READ_STATEMENTS && !status; i++)
        status = db_prepare(r->db, sql[i], &r->statements[i], error);
    if (status)
        close_connection(r);
    else
        *out = r;
    return status;
}

void read_give_back(read_pool *p, read_connection *r)
{
    pthread_mutex_lock(&p->mutex);
    if (p->idle_count < READ_IDLE_MAX) {
        r->next = p->idle;
        p->idle = r;
        p->idle_count++;
        r = NULL;
    }
    pthread_mutex_unlock(&p->mutex);
    close_connection(r);
}

bool read_small(sqlite3_stmt *st, int column, int64_t low, int64_t high, int64_t *out)
{
    *out = sqlite3_column_int64(st, column);
    return *out >= low && *out <= high;
}

/* The row as the statement READ_EACH gives it; false when a value cannot have been written by us.
 */
static bool load_row(sqlite3_stmt *st, store_daemon *row)
{
    int64_t desired, durability, clean;

    *row = (store_daemon){0};
    if (!db_bytes(st, 0, row->entity, sizeof row->entity) ||
        !db_text(st, 2, STORE_NAME_MAX, &row->name) ||
        !db_text(st, 3, STORE_NAME_MAX, &row->kind) ||
        !db_text(st, 4, STORE_NAME_MAX, &row->plugin) ||
        !db_bytes(st, 5, row->digest, sizeof row->digest) ||
        !db_blob(st, 6, STORE_IDENTITY_MAX, &row->identity) ||
        !db_blob(st, 7, STORE_CONFIG_MAX, &row->config) ||
        !db_blob(st, 21, STORE_WANTS_MAX, &row->wants) ||
        !read_small(st, 8, STORE_RUN, STORE_MOVED, &desired) ||
        !read_small(st, 9, 0, UINT32_MAX, &durability) || !read_small(st, 14, 0, 1, &clean))
        return false;
    row->origin = db_u64(st, 1);
    row->desired = (store_desired)desired;
    row->durability = (uint32_t)durability;
    row->auto_snapshot = db_u64(st, 10);
    row->incarnation = db_u64(st, 11);
    row->epoch = db_u64(st, 12);
    row->sequence_limit = db_u64(st, 13);
    row->clean = clean;
    row->created_wall_ns = sqlite3_column_int64(st, 15);
    row->has_snapshot = sqlite3_column_type(st, 16) != SQLITE_NULL;
    row->snapshot_sequence = db_u64(st, 17);
    row->snapshot_bytes = db_u64(st, 18);
    row->snapshot_wall_ns = sqlite3_column_int64(st, 19);
    return true;
}

berth_status read_each_daemon(read_pool *p, bool (*fn)(void *ctx, const store_daemon *row),
                              void *ctx, berth_error *error)
{
    berth_status status, damaged = BERTH_OK;
    read_connection *r;
    store_daemon row;
    sqlite3_stmt *st;
    int rc;

    status = read_borrow(p, &r, error);
    if (status)
        return status;
    st = r->statements[READ_EACH];
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        if (load_row(st, &row)) {
            if (!fn(ctx, &row))
                break;
        } else {
            char why[64];

            snprintf(why, sizeof why, "row %lld of its daemons", sqlite3_column_int64(st, 20));
            damaged = db_damaged(r->db, why, damaged ? NULL : error);
            log_error("store", "%s: %s is damaged: that daemon is left out", p->path, why);
        }
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        status = db_fail(r->db, rc, error);
    sqlite3_reset(st);
    read_give_back(p, r);
    return status ? status : damaged;
}

berth_status read_fact(read_pool *p, const char *key, buf **out, berth_error *error)
{
    read_connection *r;
    berth_status status;
    sqlite3_stmt *st;
    slice value;
    int rc;

    *out = NULL;
    status = read_borrow(p, &r, error);
    if (status)
        return status;
    st = r->statements[READ_FACT];
    sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW && !db_blob(st, 0, STORE_FACT_MAX, &value)) {
        status = db_damaged(r->db, "a row of its facts", error);
    } else if (rc == SQLITE_ROW) {
        *out = buf_copy(value.ptr, value.len);
        if (!*out)
            status = fail(error, BERTH_ERR_NO_MEMORY, "fact '%s': out of memory", key);
    } else if (rc != SQLITE_DONE) {
        status = db_fail(r->db, rc, error);
    }
    sqlite3_reset(st);
    read_give_back(p, r);
    return status;
}

berth_status store_peek_fact(const char *state_dir, const char *key, buf **out, berth_error *error)
{
    berth_status status;
    read_pool reads;
    char *path;

    *out = NULL;
    if (asprintf(&path, "%s/store.db", state_dir) < 0)
        return fail(error, BERTH_ERR_NO_MEMORY, "%s: out of memory", state_dir);
    if (access(path, F_OK) != 0) {
        status = fail_errno(error, errno, "%s", path);
    } else {
        read_pool_init(&reads, path, NULL);
        status = read_fact(&reads, key, out, error);
        read_pool_fini(&reads);
    }
    free(path);
    return status;
}

berth_status read_mark(read_pool *p, const uint8_t entity[32], uint64_t *incarnation,
                       uint64_t *sequence, uint64_t *gone, berth_error *error)
{
    read_connection *r;
    berth_status status;
    sqlite3_stmt *st;
    int rc;

    *incarnation = *sequence = *gone = 0;
    status = read_borrow(p, &r, error);
    if (status)
        return status;
    st = r->statements[READ_MARK];
    db_bind_slice(st, 1, slice_of(entity, 32));
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        *incarnation = db_u64(st, 0);
        *sequence = db_u64(st, 1);
        *gone = db_u64(st, 2);
    } else if (rc != SQLITE_DONE) {
        status = db_fail(r->db, rc, error);
    }
    sqlite3_reset(st);
    read_give_back(p, r);
    return status;
}

berth_status read_any_mark(read_pool *p, bool *any, berth_error *error)
{
    read_connection *r;
    berth_status status = read_borrow(p, &r, error);
    int rc;

    *any = true;
    if (status)
        return status;
    rc = sqlite3_step(r->statements[READ_ANY_MARK]);
    *any = rc == SQLITE_ROW;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        status = db_fail(r->db, rc, error);
    sqlite3_reset(r->statements[READ_ANY_MARK]);
    read_give_back(p, r);
    return status;
}
