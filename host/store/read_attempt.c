/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "store/read.h"

#include <stdio.h>

/* The row as READ_EACH_ATTEMPT and READ_ATTEMPT give it; false when a value cannot have been
 * written by us. */
static bool load_attempt(sqlite3_stmt *st, store_attempt *a)
{
    int64_t phase;

    *a = (store_attempt){0};
    if (!db_bytes(st, 0, a->attempt, sizeof a->attempt) ||
        !db_bytes(st, 1, a->entity, sizeof a->entity) ||
        !read_small(st, 2, STORE_PREPARED, STORE_TAKEN_BACK, &phase) ||
        !db_blob(st, 5, STORE_RECORD_MAX, &a->record))
        return false;
    a->phase = (store_attempt_phase)phase;
    a->epoch = db_u64(st, 3);
    a->not_after_s = sqlite3_column_int64(st, 4);
    a->state_bytes = db_u64(st, 6);
    a->base_bytes = db_u64(st, 8);
    return true;
}

static berth_status damaged_row(read_pool *p, read_connection *r, sqlite3_stmt *st,
                                berth_error *error)
{
    char why[64];

    snprintf(why, sizeof why, "row %lld of its attempts", sqlite3_column_int64(st, 7));
    log_error("store", "%s: %s is damaged: that move is left out", p->path, why);
    return db_damaged(r->db, why, error);
}

berth_status read_each_attempt(read_pool *p, bool (*fn)(void *ctx, const store_attempt *a),
                               void *ctx, berth_error *error)
{
    berth_status status, damaged = BERTH_OK;
    read_connection *r;
    store_attempt a;
    sqlite3_stmt *st;
    int rc;

    status = read_borrow(p, &r, error);
    if (status)
        return status;
    st = r->statements[READ_EACH_ATTEMPT];
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        if (!load_attempt(st, &a))
            damaged = damaged_row(p, r, st, damaged ? NULL : error);
        else if (!fn(ctx, &a))
            break;
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        status = db_fail(r->db, rc, error);
    sqlite3_reset(st);
    read_give_back(p, r);
    return status ? status : damaged;
}

berth_status read_attempt(read_pool *p, const uint8_t attempt[STORE_ATTEMPT_SIZE],
                          void (*fn)(void *ctx, const store_attempt *a), void *ctx,
                          berth_error *error)
{
    char text[2 * STORE_ATTEMPT_SIZE + 1];
    read_connection *r;
    berth_status status;
    store_attempt a;
    sqlite3_stmt *st;
    int rc;

    status = read_borrow(p, &r, error);
    if (status)
        return status;
    st = r->statements[READ_ATTEMPT];
    db_bind_slice(st, 1, slice_of(attempt, STORE_ATTEMPT_SIZE));
    rc = sqlite3_step(st);
    if (rc == SQLITE_DONE)
        status = fail(error, BERTH_ERR_NOT_FOUND, "attempt %s: is not in the store",
                      hex_encode(text, slice_of(attempt, STORE_ATTEMPT_SIZE)));
    else if (rc != SQLITE_ROW)
        status = db_fail(r->db, rc, error);
    else if (!load_attempt(st, &a))
        status = damaged_row(p, r, st, error);
    else
        fn(ctx, &a);
    sqlite3_reset(st);
    read_give_back(p, r);
    return status;
}
