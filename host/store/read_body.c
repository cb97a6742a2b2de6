/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies in a row or, when it is long, in a file: the snapshots of daemons, the states of
 * attempts.
 */
#include "base/error.h"
#include "base/text.h"
#include "store/read.h"
#include "store/snapfile.h"

#include <string.h>

/* Which body, and how to speak of it. */
typedef struct wanted_body {
    read_statement statement; /* bytes, digest, file, body */
    slice key;
    const char *what; /* before the key in digits */
    const char *table;
    const char *cure;
} wanted_body;

/* Where a body is and what it must look like. file is empty and body NULL when there is none;
 * body is set at once when it is in the row. */
typedef struct located {
    uint64_t bytes;
    uint8_t digest[SNAPSHOT_DIGEST];
    char file[SNAPFILE_NAME];
    buf *body;
} located;

static berth_status locate(read_connection *r, const wanted_body *w, located *at,
                           berth_error *error)
{
    sqlite3_stmt *st = r->statements[w->statement];
    berth_status status = BERTH_OK;
    const char *file;
    slice body;
    int rc;

    *at = (located){0};
    db_bind_slice(st, 1, w->key);
    rc = sqlite3_step(st);
    if (rc == SQLITE_DONE)
        goto out;
    if (rc != SQLITE_ROW) {
        status = db_fail(r->db, rc, error);
        goto out;
    }
    at->bytes = db_u64(st, 0);
    if (at->bytes > STORE_SNAPSHOT_MAX || !db_bytes(st, 1, at->digest, sizeof at->digest))
        goto damaged;
    if (db_text(st, 2, SNAPFILE_NAME - 1, &file) && snapfile_is_name(file)) {
        memcpy(at->file, file, SNAPFILE_NAME);
        goto out;
    }
    if (!db_blob(st, 3, STORE_INLINE_SNAPSHOT, &body) || body.len != at->bytes)
        goto damaged;
    at->body = buf_copy(body.ptr, body.len);
    if (!at->body)
        status =
            fail(error, BERTH_ERR_NO_MEMORY, "%s of %zu bytes: out of memory", w->what, body.len);
    goto out;

damaged:
    status = db_damaged(r->db, w->table, error);
out:
    sqlite3_reset(st);
    return status;
}

static berth_status damaged_body(read_pool *p, const wanted_body *w, const located *at,
                                 const char *why, berth_error *error)
{
    char text[65];

    hex_encode(text, w->key);
    if (!at->file[0])
        return fail(error, BERTH_ERR_CORRUPT, "%s: %s %s %s: %s", p->path, w->what, text, why,
                    w->cure);
    return fail(error, BERTH_ERR_CORRUPT, "%s/%s: %s %s %s: put the file back from a backup, or %s",
                p->snapshot_dir, at->file, w->what, text, why, w->cure);
}

/* The file that a row named may be superseded and removed before it is opened; then the row names
 * another by now, or is gone. The same name twice means that the file is really gone. */
static berth_status fetch(read_pool *p, read_connection *r, const wanted_body *w, located *at,
                          berth_error *error)
{
    char before[SNAPFILE_NAME] = "";
    berth_status status;

    for (;;) {
        status = locate(r, w, at, error);
        if (status || !at->file[0])
            return status;
        if (strcmp(before, at->file) == 0)
            return damaged_body(p, w, at, "is missing", error);
        status = snapfile_read(p->snapshot_dir, at->file, at->bytes, &at->body, error);
        if (status != BERTH_ERR_NOT_FOUND)
            break;
        memcpy(before, at->file, sizeof before);
    }
    if (status == BERTH_ERR_CORRUPT)
        return damaged_body(p, w, at, "is not as long as it was written", error);
    return status;
}

static berth_status read_body(read_pool *p, const wanted_body *w, buf **out, berth_error *error)
{
    uint8_t digest[SNAPSHOT_DIGEST];
    read_connection *r;
    berth_status status;
    located at = {0};

    *out = NULL;
    status = read_borrow(p, &r, error);
    if (status)
        return status;
    status = fetch(p, r, w, &at, error);
    read_give_back(p, r);
    if (!status && at.body) {
        snapshot_digest(digest, slice_of(at.body->data, at.body->len));
        if (memcmp(digest, at.digest, sizeof digest) != 0)
            status = damaged_body(p, w, &at, "is not what was written", error);
    }
    if (status)
        buf_unref(at.body);
    else
        *out = at.body;
    return status;
}

berth_status read_snapshot(read_pool *p, const uint8_t entity[32], buf **out, berth_error *error)
{
    wanted_body w = {
        .statement = READ_SNAPSHOT,
        .key = slice_of(entity, 32),
        .what = "the snapshot of daemon",
        .table = "a row of its snapshots",
        .cure = "restore that daemon from a copy",
    };

    return read_body(p, &w, out, error);
}

static wanted_body of_attempt(read_statement statement, const uint8_t attempt[STORE_ATTEMPT_SIZE])
{
    bool base = statement == READ_BASE;

    return (wanted_body){
        .statement = statement,
        .key = slice_of(attempt, STORE_ATTEMPT_SIZE),
        .what = base ? "the base kept for attempt" : "the state kept for attempt",
        .table = base ? "a row of its attempts' bases" : "a row of its attempts' states",
        .cure = "the daemon must come from the other host of the attempt, or from a copy",
    };
}

/* Whether a row names a file for it now. */
static berth_status has_file(read_pool *p, const wanted_body *w, bool *has, berth_error *error)
{
    read_connection *r;
    berth_status status = read_borrow(p, &r, error);
    located at = {0};

    *has = false;
    if (status)
        return status;
    status = locate(r, w, &at, error);
    *has = at.file[0];
    buf_unref(at.body);
    read_give_back(p, r);
    return status;
}

berth_status read_attempt_state(read_pool *p, const uint8_t attempt[STORE_ATTEMPT_SIZE], buf **base,
                                buf **rest, berth_error *error)
{
    wanted_body of_base = of_attempt(READ_BASE, attempt), of_rest = of_attempt(READ_STATE, attempt);
    berth_status status = BERTH_OK;
    bool is_open = true;

    *rest = NULL;
    if (base)
        status = read_body(p, &of_base, base, error);
    if (!status)
        status = read_body(p, &of_rest, rest, error);
    /* One that ended between the two would pass for one without a rest. */
    if (!status && base && *base && !*rest)
        status = has_file(p, &of_base, &is_open, error);
    if (base && (status || !is_open)) {
        buf_unref(*base);
        *base = NULL;
    }
    return status;
}
