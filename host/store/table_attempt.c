/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/text.h"
#include "store/table.h"

#include <string.h>

#define ATTEMPT_TEXT (2 * STORE_ATTEMPT_SIZE + 1)

static const char *phase_text(int64_t phase)
{
    switch (phase) {
    case STORE_PREPARED:
        return "prepared";
    case STORE_OWNED:
        return "owned";
    case STORE_REFUSED:
        return "refused";
    case STORE_RELEASED:
        return "released";
    case STORE_HANDED_OVER:
        return "handed over";
    case STORE_TAKEN_BACK:
        return "taken back";
    default:
        return "damaged";
    }
}

static char *attempt_text(char out[ATTEMPT_TEXT], const uint8_t attempt[STORE_ATTEMPT_SIZE])
{
    return hex_encode(out, slice_of(attempt, STORE_ATTEMPT_SIZE));
}

/* ---- Looking ---- */

typedef struct found_attempt {
    bool there, base;
    int64_t id, phase;
    uint8_t entity[32];
} found_attempt;

static void note_file(sqlite3_stmt *st, int column, char name[SNAPFILE_NAME])
{
    const char *file;

    if (db_text(st, column, SNAPFILE_NAME - 1, &file) && snapfile_is_name(file))
        memcpy(name, file, SNAPFILE_NAME);
}

/* Also puts the names of the files of its state and base into c->old_state and c->old_base. */
static berth_status find(table *t, change *c, found_attempt *f, berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_FIND_ATTEMPT];
    berth_status status = BERTH_OK;
    berth_error why;
    int rc;

    *f = (found_attempt){0};
    db_bind_slice(st, 1, slice_of(c->attempt.row.attempt, STORE_ATTEMPT_SIZE));
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        f->there = true;
        f->id = sqlite3_column_int64(st, 0);
        f->phase = sqlite3_column_int64(st, 1);
        if (!db_bytes(st, 2, f->entity, sizeof f->entity)) { /* the trouble of this one alone */
            db_damaged(t->db, "a row of its attempts", &why);
            change_fail(c, &why);
        }
        note_file(st, 3, c->old_state);
        note_file(st, 4, c->old_base);
        f->base = sqlite3_column_type(st, 5) != SQLITE_NULL;
    } else if (rc != SQLITE_DONE) {
        status = db_fail(t->db, rc, error);
    }
    sqlite3_reset(st);
    return status;
}

/* The one in phase PREPARED or RELEASED of this entity, if there is one. */
static berth_status find_open(table *t, const uint8_t entity[32], char text[ATTEMPT_TEXT],
                              int64_t *phase, berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_FIND_OPEN];
    uint8_t other[STORE_ATTEMPT_SIZE] = {0};
    berth_status status = BERTH_OK;
    int rc;

    *phase = 0;
    db_bind_slice(st, 1, slice_of(entity, 32));
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        (void)db_bytes(st, 0, other, sizeof other); /* else zeros: for the message only */
        *phase = sqlite3_column_int64(st, 1);
        attempt_text(text, other);
    } else if (rc != SQLITE_DONE) {
        status = db_fail(t->db, rc, error);
    }
    sqlite3_reset(st);
    return status;
}

berth_status table_heed_released(table *t, change *c, const uint8_t entity[32], berth_error *error)
{
    char open[ATTEMPT_TEXT], text[ENTITY_TEXT];
    berth_status status;
    berth_error why;
    int64_t phase;

    status = find_open(t, entity, open, &phase, error);
    if (status || phase != STORE_RELEASED)
        return status;
    fail(&why, BERTH_ERR_EXISTS,
         "daemon %s: is on its way to another host (attempt %s): wait until that move has ended",
         hex_encode(text, slice_of(entity, 32)), open);
    change_fail(c, &why);
    return BERTH_OK;
}

/* Finds the attempt, of which c needs that it is in this phase; c->status says whether it is. what:
 * becomes of it. */
static berth_status find_in(table *t, change *c, store_attempt_phase phase, const char *what,
                            found_attempt *f, berth_error *error)
{
    berth_status status = find(t, c, f, error);
    char text[ATTEMPT_TEXT];
    berth_error why;

    if (status || c->status || (f->there && f->phase == (int64_t)phase))
        return status;
    attempt_text(text, c->attempt.row.attempt);
    if (!f->there)
        fail(&why, BERTH_ERR_NOT_FOUND, "attempt %s: is not in the store", text);
    else
        fail(&why, BERTH_ERR_BUSY, "attempt %s: is %s, so it cannot be %s: only one that is %s can",
             text, phase_text(f->phase), what, phase_text(phase));
    change_fail(c, &why);
    return BERTH_OK;
}

static bool is_of(change *c, const found_attempt *f, const uint8_t entity[32])
{
    char text[ATTEMPT_TEXT], theirs[ENTITY_TEXT], ours[ENTITY_TEXT];
    berth_error why;

    if (memcmp(f->entity, entity, 32) == 0)
        return true;
    fail(&why, BERTH_ERR_INVALID, "attempt %s: is of daemon %s, not of %s",
         attempt_text(text, c->attempt.row.attempt), hex_encode(theirs, slice_of(f->entity, 32)),
         hex_encode(ours, slice_of(entity, 32)));
    change_fail(c, &why);
    return false;
}

/* ---- The journal's own rows ---- */

static berth_status insert(table *t, const store_attempt *a, store_attempt_phase phase,
                           berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_ADD_ATTEMPT];
    int rc;

    db_bind_slice(st, 1, slice_of(a->attempt, sizeof a->attempt));
    db_bind_slice(st, 2, slice_of(a->entity, sizeof a->entity));
    sqlite3_bind_int(st, 3, (int)phase);
    db_bind_u64(st, 4, a->epoch);
    sqlite3_bind_int64(st, 5, a->not_after_s);
    db_bind_slice(st, 6, a->record);
    rc = db_run(st);
    return rc ? db_fail(t->db, rc, error) : BERTH_OK;
}

static berth_status insert_state(table *t, const change *c, int64_t id, berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_ADD_STATE];
    const buf *state = c->attempt.state;
    uint8_t digest[SNAPSHOT_DIGEST];
    int rc;

    snapshot_digest(digest, slice_of(state->data, state->len));
    sqlite3_bind_int64(st, 1, id);
    db_bind_u64(st, 2, state->len);
    db_bind_slice(st, 3, slice_of(digest, sizeof digest));
    table_bind_body(c, st, 4, state);
    rc = db_run(st);
    return rc ? db_fail(t->db, rc, error) : BERTH_OK;
}

static berth_status insert_base(table *t, const staged *base, int64_t id, berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_ADD_BASE];
    int rc;

    sqlite3_bind_int64(st, 1, id);
    db_bind_u64(st, 2, base->len);
    db_bind_slice(st, 3, slice_of(base->digest, sizeof base->digest));
    sqlite3_bind_text(st, 4, base->file, -1, SQLITE_STATIC);
    rc = db_run(st);
    return rc ? db_fail(t->db, rc, error) : BERTH_OK;
}

static berth_status remove_state(table *t, int64_t id, berth_error *error)
{
    berth_status status = table_run_for_id(t, TABLE_REMOVE_STATE, id, error);

    return status ? status : table_run_for_id(t, TABLE_REMOVE_BASE, id, error);
}

/* Record and state go; what stays says how it ended. */
static berth_status end(table *t, int64_t id, store_attempt_phase phase, berth_error *error)
{
    berth_status status;

    sqlite3_bind_int(t->statements[TABLE_END_ATTEMPT], 2, (int)phase);
    status = table_run_for_id(t, TABLE_END_ATTEMPT, id, error);
    return status ? status : remove_state(t, id, error);
}

static berth_status run_for_entity(table *t, table_statement which, const uint8_t entity[32],
                                   berth_error *error)
{
    sqlite3_stmt *st = t->statements[which];
    int rc;

    db_bind_slice(st, 1, slice_of(entity, 32));
    rc = db_run(st);
    return rc ? db_fail(t->db, rc, error) : BERTH_OK;
}

/* ---- The changes ---- */

/* PREPARED or RELEASED. */
static berth_status begin(table *t, change *c, store_attempt_phase phase, berth_error *error)
{
    const store_attempt *a = &c->attempt.row;
    char text[ATTEMPT_TEXT], open[ATTEMPT_TEXT], entity[ENTITY_TEXT];
    berth_status status;
    int64_t open_phase, id;
    found_attempt f;
    berth_error why;

    status = find(t, c, &f, error);
    if (!status)
        status = find_open(t, a->entity, open, &open_phase, error);
    if (status)
        return status;
    if (f.there) {
        fail(&why, BERTH_ERR_EXISTS,
             "attempt %s: is in the store already, %s: a new one needs an "
             "id of its own",
             attempt_text(text, a->attempt), phase_text(f.phase));
        change_fail(c, &why);
        return BERTH_OK;
    }
    if (open_phase) {
        fail(&why, BERTH_ERR_BUSY,
             "attempt %s: daemon %s is being moved already (attempt %s, %s): wait until that has "
             "ended",
             attempt_text(text, a->attempt), hex_encode(entity, slice_of(a->entity, 32)), open,
             phase_text(open_phase));
        change_fail(c, &why);
        return BERTH_OK;
    }
    if (c->attempt.state && !table_write_file(t, c, a->entity, c->attempt.state))
        return BERTH_OK;

    status = insert(t, a, phase, error);
    id = sqlite3_last_insert_rowid(t->db);
    if (!status && c->attempt.state)
        status = insert_state(t, c, id, error);
    if (!status && c->attempt.base)
        status = insert_base(t, c->attempt.base, id, error);
    if (!status && phase == STORE_RELEASED)
        status = run_for_entity(t, TABLE_SET_MOVED, a->entity, error);
    return status;
}

static berth_status drop(table *t, change *c, berth_error *error)
{
    berth_status status;
    found_attempt f;

    status = find_in(t, c, STORE_PREPARED, "dropped", &f, error);
    if (status || c->status)
        return status;
    status = remove_state(t, f.id, error);
    return status ? status : table_run_for_id(t, TABLE_REMOVE_ATTEMPT, f.id, error);
}

/* One that is not known was never prepared; or it was, became ours, and that was forgotten since:
 * then a refusal would let the source run what runs here. */
static berth_status refuse_unknown(table *t, change *c, berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_FORGOTTEN];
    const store_attempt *a = &c->attempt.row;
    char text[ATTEMPT_TEXT];
    berth_error why;
    int rc;

    sqlite3_bind_int64(st, 1, a->not_after_s);
    rc = sqlite3_step(st);
    sqlite3_reset(st);
    if (rc == SQLITE_DONE)
        return insert(t, a, STORE_REFUSED, error);
    if (rc != SQLITE_ROW)
        return db_fail(t->db, rc, error);
    fail(
        &why, BERTH_ERR_STALE,
        "attempt %s: is too old to be refused now, as it may have been owned here: who knows which "
        "host has the daemon must resolve it",
        attempt_text(text, a->attempt));
    change_fail(c, &why);
    return BERTH_OK;
}

static berth_status refuse(table *t, change *c, berth_error *error)
{
    berth_status status;
    found_attempt f;

    status = find_in(t, c, STORE_PREPARED, "refused", &f, error);
    if (status)
        return status;
    if (!f.there) {
        change_clear(c);
        return refuse_unknown(t, c, error);
    }
    if (c->status || !is_of(c, &f, c->attempt.row.entity))
        return BERTH_OK;
    return end(t, f.id, STORE_REFUSED, error);
}

/* Whether a base that is to be a snapshot is one that this room can have written. */
static bool has_base(table *t, change *c, const found_attempt *f)
{
    berth_error why;

    if (!f->base || c->attempt.snapshot.container || c->old_base[0])
        return true;
    db_damaged(t->db, "a row of its attempts' bases", &why);
    change_fail(c, &why);
    return false;
}

/* All that own needs to know before it writes; c->status says whether it may. */
static berth_status may_own(table *t, change *c, const found_attempt *f, table_found *d,
                            berth_error *error)
{
    const new_snapshot *n = &c->attempt.snapshot;
    const store_daemon *row = c->attempt.daemon;
    table_found mark = {0};
    berth_status status;
    bool is_taken = false;

    if (!is_of(c, f, row->entity) || !has_base(t, c, f))
        return BERTH_OK;
    status = table_look_up(t, c, row->entity, d, error);
    if (!status)
        status = table_taken(t, c, row, d->moved ? &d->id : NULL, &is_taken, error);
    if (!status)
        status = table_get_mark(t, row->entity, &mark, error);
    if (status || is_taken || table_is_stale(c, n, &mark) || table_is_stale(c, n, d))
        return status;
    /* What the row reserves above its snapshot need not have been used, but its incarnation was. */
    mark = (table_found){.incarnation = d->daemon_incarnation};
    if (!table_is_stale(c, n, &mark) && n->container)
        table_write_file(t, c, row->entity, n->container);
    return BERTH_OK;
}

/* The base of the attempt becomes the snapshot of the new daemon, and its file that one's. */
static berth_status own_base(table *t, change *c, int64_t attempt, int64_t daemon,
                             berth_error *error)
{
    const new_snapshot *n = &c->attempt.snapshot;
    sqlite3_stmt *st = t->statements[TABLE_OWN_BASE];

    c->old_base[0] = 0;
    sqlite3_bind_int64(st, 2, daemon);
    db_bind_u64(st, 3, n->incarnation);
    db_bind_u64(st, 4, n->sequence);
    sqlite3_bind_int64(st, 5, n->taken);
    return table_run_for_id(t, TABLE_OWN_BASE, attempt, error);
}

static berth_status own(table *t, change *c, berth_error *error)
{
    const new_snapshot *n = &c->attempt.snapshot;
    const store_daemon *row = c->attempt.daemon;
    bool collides = false;
    int64_t id;
    berth_status status;
    found_attempt f;
    table_found d = {0};

    status = find_in(t, c, STORE_PREPARED, "owned", &f, error);
    if (!status && !c->status)
        status = may_own(t, c, &f, &d, error);
    if (status || c->status)
        return status;

    if (d.daemon)
        status = table_remove(t, d.id, error);
    if (!status && (n->container || f.base))
        status = run_for_entity(t, TABLE_REMOVE_MARK, row->entity, error);
    if (!status)
        status = table_insert(t, row, &collides, error);
    if (!status && collides)
        status = db_damaged(t->db, "an index of the daemons does not match their rows", error);
    id = sqlite3_last_insert_rowid(t->db);
    if (!status && n->container)
        status = table_put_snapshot(t, c, id, n, error);
    else if (!status && f.base)
        status = own_base(t, c, f.id, id, error);
    return status ? status : end(t, f.id, STORE_OWNED, error);
}

static berth_status hand_over(table *t, change *c, berth_error *error)
{
    const new_snapshot *n = &c->attempt.snapshot;
    berth_status status;
    found_attempt f;
    table_found d;

    status = find_in(t, c, STORE_RELEASED, "handed over", &f, error);
    if (status || c->status)
        return status;
    status = table_look_up(t, c, f.entity, &d, error);
    /* What the row had reserved is not what was used of it. */
    if (d.daemon_incarnation <= n->incarnation) {
        d.daemon_incarnation = n->incarnation;
        d.limit = n->sequence;
    }
    if (!status)
        status = table_put_mark(t, f.entity, &d, error);
    if (!status)
        status = table_run_for_id(t, TABLE_MARK_GONE, f.id, error);
    if (!status && d.daemon)
        status = table_remove(t, d.id, error);
    return status ? status : end(t, f.id, STORE_HANDED_OVER, error);
}

static berth_status set_back(table *t, const change *c, int64_t id, berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_SET_BACK];

    db_bind_u64(st, 2, c->attempt.row.epoch);
    if (c->attempt.identity.len)
        db_bind_slice(st, 3, c->attempt.identity);
    else
        sqlite3_bind_null(st, 3);
    return table_run_for_id(t, TABLE_SET_BACK, id, error);
}

static berth_status take_back(table *t, change *c, berth_error *error)
{
    new_snapshot *n = &c->attempt.snapshot;
    bool with_snapshot = false;
    berth_status status;
    found_attempt f;
    table_found d = {0};

    status = find_in(t, c, STORE_RELEASED, "taken back", &f, error);
    if (status || c->status)
        return status;
    memcpy(n->entity, f.entity, sizeof n->entity);
    status = table_look_up(t, c, f.entity, &d, error);
    if (!status && d.daemon && !d.snapshot)
        status = table_get_mark(t, f.entity, &d, error);
    if (status)
        return status;
    if (d.daemon && n->container) {
        if (table_is_stale(c, n, &d) || !table_write_file(t, c, f.entity, n->container))
            return BERTH_OK;
        with_snapshot = true;
    } else {
        c->old_file[0] = 0; /* its snapshot stays */
    }

    if (d.daemon)
        status = set_back(t, c, d.id, error);
    if (!status && with_snapshot)
        status = table_put_snapshot(t, c, d.id, n, error);
    return status ? status : end(t, f.id, STORE_TAKEN_BACK, error);
}

static berth_status expire(table *t, int64_t now_s, berth_error *error)
{
    berth_status status = table_run_for_id(t, TABLE_FORGET, now_s, error);

    return status ? status : table_run_for_id(t, TABLE_EXPIRE, now_s, error);
}

static berth_status apply(table *t, change *c, berth_error *error)
{
    switch (c->type) {
    case CHANGE_PREPARE:
        return begin(t, c, STORE_PREPARED, error);
    case CHANGE_DROP:
        return drop(t, c, error);
    case CHANGE_REFUSE:
        return refuse(t, c, error);
    case CHANGE_OWN:
        return own(t, c, error);
    case CHANGE_RELEASE:
        return begin(t, c, STORE_RELEASED, error);
    case CHANGE_HAND_OVER:
        return hand_over(t, c, error);
    case CHANGE_TAKE_BACK:
        return take_back(t, c, error);
    default:
        return expire(t, c->attempt.row.not_after_s, error);
    }
}

berth_status table_apply_attempt(table *t, change *c, berth_error *error)
{
    bool removes = c->type != CHANGE_PREPARE && c->type != CHANGE_RELEASE;
    berth_status status = BERTH_OK;

    /* FAST (db.c) zeroes what goes within its page, but not whole pages: a record has many. */
    if (removes)
        status = db_exec(t->db, "PRAGMA secure_delete = ON", error);
    if (!status)
        status = apply(t, c, error);
    if (removes)
        db_exec(t->db, "PRAGMA secure_delete = FAST", NULL);
    if (c->status)
        c->old_file[0] = c->old_state[0] = c->old_base[0] = 0;
    return status;
}
