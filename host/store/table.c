/* SPDX-License-Identifier: Apache-2.0 */
#include "store/table.h"
#include "base/error.h"
#include "base/text.h"

#include <inttypes.h>
#include <string.h>

bool table_later(uint64_t incarnation, uint64_t sequence, uint64_t than_incarnation,
                 uint64_t than_sequence)
{
    return incarnation != than_incarnation ? incarnation > than_incarnation
                                           : sequence > than_sequence;
}

static void bind_row(sqlite3_stmt *st, const store_daemon *row)
{
    /* Binding fails only for a wrong index or without memory; the step then answers for it. */
    db_bind_slice(st, 1, slice_of(row->entity, sizeof row->entity));
    db_bind_u64(st, 2, row->origin);
    if (row->name[0])
        sqlite3_bind_text(st, 3, row->name, -1, SQLITE_STATIC);
    else
        sqlite3_bind_null(st, 3); /* without a name, which no other daemon can then have taken */
    sqlite3_bind_text(st, 4, row->kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 5, row->plugin, -1, SQLITE_STATIC);
    db_bind_slice(st, 6, slice_of(row->digest, sizeof row->digest));
    sqlite3_bind_int(st, 7, (int)row->desired);
    sqlite3_bind_int64(st, 8, row->durability);
    db_bind_u64(st, 9, row->auto_snapshot);
    db_bind_u64(st, 10, row->incarnation);
    db_bind_u64(st, 11, row->epoch);
    db_bind_u64(st, 12, row->sequence_limit);
    sqlite3_bind_int(st, 13, row->clean);
    sqlite3_bind_int64(st, 14, row->created_wall_ns);
    db_bind_slice(st, 15, row->identity);
    db_bind_slice(st, 16, row->config);
    db_bind_slice(st, 17, row->wants);
}

berth_status table_taken(table *t, change *c, const store_daemon *row, const int64_t *except,
                         bool *is_taken, berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_HOLDER];
    const char *other = "", *what = "its name", *gone = "";
    char origin[ID_TEXT];
    bool named = row->name[0];
    berth_error why;
    int rc;

    *is_taken = false;
    db_bind_slice(st, 1, slice_of(row->entity, sizeof row->entity));
    db_bind_u64(st, 2, row->origin);
    sqlite3_bind_text(st, 3, row->name, -1, SQLITE_STATIC);
    if (except)
        sqlite3_bind_int64(st, 4, *except);
    else
        sqlite3_bind_null(st, 4);
    rc = sqlite3_step(st);
    if (rc != SQLITE_ROW) {
        sqlite3_reset(st);
        return rc == SQLITE_DONE ? BERTH_OK : db_fail(t->db, rc, error);
    }
    *is_taken = true;
    if (sqlite3_column_int(st, 0))
        what = "its identity";
    else if (sqlite3_column_int(st, 1))
        what = "its origin";
    if (!db_text(st, 2, STORE_NAME_MAX, &other))
        other = "";
    if (sqlite3_column_int64(st, 3) == STORE_MOVED)
        gone = ", which is on its way to another host: wait until that move has ended";
    id_encode(origin, row->origin);
    fail(&why, BERTH_ERR_EXISTS, "daemon %s%s%s%s: %s is taken by the stored daemon '%s'%s",
         named ? row->name : "", named ? " (" : "", origin, named ? ")" : "", what, other, gone);
    sqlite3_reset(st);
    change_fail(c, &why);
    return BERTH_OK;
}

berth_status table_insert(table *t, const store_daemon *row, bool *collides, berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_ADD];
    int rc;

    bind_row(st, row);
    rc = db_run(st);
    *collides = rc == SQLITE_CONSTRAINT_UNIQUE;
    return rc && !*collides ? db_fail(t->db, rc, error) : BERTH_OK;
}

/* It lives elsewhere, unless somebody takes it over at a higher epoch. */
static berth_status heed_gone(table *t, change *c, const store_daemon *row, berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_FIND_GONE];
    char text[ENTITY_TEXT];
    berth_error why;
    int rc;

    db_bind_slice(st, 1, slice_of(row->entity, sizeof row->entity));
    db_bind_u64(st, 2, row->epoch);
    rc = sqlite3_step(st);
    sqlite3_reset(st);
    if (rc == SQLITE_ROW) {
        fail(&why, BERTH_ERR_REFUSED,
             "daemon %s: was moved to another host and runs there: move it back, or, if that host "
             "is "
             "gone for good, take it over (--takeover)",
             hex_encode(text, slice_of(row->entity, 32)));
        change_fail(c, &why);
    }
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? BERTH_OK : db_fail(t->db, rc, error);
}

static berth_status add(table *t, change *c, berth_error *error)
{
    const store_daemon *row = &c->daemon.row;
    bool collides, is_taken = true;
    berth_status status;

    /* One that is on its way to another host may have no row here. */
    status = table_heed_released(t, c, row->entity, error);
    if (!status && !c->status)
        status = heed_gone(t, c, row, error);
    if (status || c->status)
        return status;
    status = table_insert(t, row, &collides, error);
    if (!status && collides)
        status = table_taken(t, c, row, NULL, &is_taken, error);
    if (!status && !is_taken)
        status = db_damaged(t->db, "an index of the daemons does not match their rows", error);
    return status;
}

static void not_stored(change *c, const uint8_t entity[32])
{
    char text[ENTITY_TEXT];
    berth_error why;

    fail(&why, BERTH_ERR_NOT_FOUND, "daemon %s: is not in the store",
         hex_encode(text, slice_of(entity, 32)));
    change_fail(c, &why);
}

static void bind_u64_if(sqlite3_stmt *st, int at, bool given, uint64_t value)
{
    if (given)
        db_bind_u64(st, at, value);
    else
        sqlite3_bind_null(st, at);
}

static void bind_slice_if(sqlite3_stmt *st, int at, bool given, slice value)
{
    if (given)
        db_bind_slice(st, at, value);
    else
        sqlite3_bind_null(st, at);
}

static berth_status update(table *t, change *c, berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_UPDATE];
    const store_daemon *row = &c->daemon.row;
    unsigned set = c->daemon.set;
    int rc;

    db_bind_slice(st, 1, slice_of(row->entity, sizeof row->entity));
    bind_u64_if(st, 2, set & STORE_SET_DESIRED, row->desired);
    bind_u64_if(st, 3, set & STORE_SET_INCARNATION, row->incarnation);
    bind_u64_if(st, 4, set & STORE_SET_EPOCH, row->epoch);
    bind_u64_if(st, 5, set & STORE_SET_LIMIT, row->sequence_limit);
    bind_u64_if(st, 6, set & STORE_SET_CLEAN, row->clean);
    bind_slice_if(st, 7, set & STORE_SET_DIGEST, slice_of(row->digest, sizeof row->digest));
    bind_slice_if(st, 8, set & STORE_SET_CONFIG, row->config);
    bind_slice_if(st, 9, set & STORE_SET_WANTS, row->wants);
    rc = db_run(st);
    if (rc)
        return db_fail(t->db, rc, error);
    if (sqlite3_changes(t->db) == 0)
        not_stored(c, row->entity);
    return BERTH_OK;
}

berth_status table_look_up(table *t, change *c, const uint8_t entity[32], table_found *f,
                           berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_LOOKUP];
    berth_status status = BERTH_OK;
    const char *file;
    int rc;

    *f = (table_found){0};
    db_bind_slice(st, 1, slice_of(entity, 32));
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        f->daemon = true;
        f->id = sqlite3_column_int64(st, 0);
        f->daemon_incarnation = db_u64(st, 1);
        f->limit = db_u64(st, 6);
        f->moved = sqlite3_column_int64(st, 7) == STORE_MOVED;
        f->snapshot = sqlite3_column_type(st, 5) != SQLITE_NULL;
        f->incarnation = db_u64(st, 2);
        f->sequence = db_u64(st, 3);
        if (db_text(st, 4, SNAPFILE_NAME - 1, &file) && snapfile_is_name(file))
            memcpy(c->old_file, file, SNAPFILE_NAME);
    } else if (rc != SQLITE_DONE) {
        status = db_fail(t->db, rc, error);
    }
    sqlite3_reset(st);
    return status;
}

berth_status table_get_mark(table *t, const uint8_t entity[32], table_found *f, berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_GET_MARK];
    berth_status status = BERTH_OK;
    int rc;

    db_bind_slice(st, 1, slice_of(entity, 32));
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        f->incarnation = db_u64(st, 0);
        f->sequence = db_u64(st, 1);
    } else if (rc != SQLITE_DONE) {
        status = db_fail(t->db, rc, error);
    }
    sqlite3_reset(st);
    return status;
}

berth_status table_put_mark(table *t, const uint8_t entity[32], const table_found *f,
                            berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_PUT_MARK];
    table_found mark = {0};
    berth_status status = table_get_mark(t, entity, &mark, error);
    int rc;

    if (status)
        return status;
    if (table_later(f->incarnation, f->sequence, mark.incarnation, mark.sequence))
        mark = *f;
    if (table_later(f->daemon_incarnation, f->limit, mark.incarnation, mark.sequence))
        mark = (table_found){.incarnation = f->daemon_incarnation, .sequence = f->limit};
    if (!mark.incarnation && !mark.sequence)
        return BERTH_OK; /* it did nothing that could be repeated */
    db_bind_slice(st, 1, slice_of(entity, 32));
    db_bind_u64(st, 2, mark.incarnation);
    db_bind_u64(st, 3, mark.sequence);
    rc = db_run(st);
    return rc ? db_fail(t->db, rc, error) : BERTH_OK;
}

berth_status table_run_for_id(table *t, table_statement which, int64_t id, berth_error *error)
{
    sqlite3_stmt *st = t->statements[which];
    int rc;

    sqlite3_bind_int64(st, 1, id);
    rc = db_run(st);
    return rc ? db_fail(t->db, rc, error) : BERTH_OK;
}

berth_status table_remove(table *t, int64_t id, berth_error *error)
{
    berth_status status = table_run_for_id(t, TABLE_REMOVE_SNAPSHOT, id, error);

    return status ? status : table_run_for_id(t, TABLE_REMOVE_DAEMON, id, error);
}

static berth_status remove_daemon(table *t, change *c, berth_error *error)
{
    berth_status status;
    table_found f;

    status = table_look_up(t, c, c->entity, &f, error);
    if (status)
        return status;
    if (!f.daemon) {
        not_stored(c, c->entity);
        return BERTH_OK;
    }
    status = table_put_mark(t, c->entity, &f, error);
    return status ? status : table_remove(t, f.id, error);
}

bool table_is_stale(change *c, const new_snapshot *n, const table_found *f)
{
    char text[ENTITY_TEXT];
    berth_error why;

    if (!table_later(f->incarnation, f->sequence, n->incarnation, n->sequence))
        return false;
    fail(&why, BERTH_ERR_STALE,
         "daemon %s: a snapshot of incarnation %" PRIu64 " at sequence %" PRIu64
         " would take it back from incarnation %" PRIu64 " at sequence %" PRIu64,
         hex_encode(text, slice_of(n->entity, 32)), n->incarnation, n->sequence, f->incarnation,
         f->sequence);
    change_fail(c, &why);
    return true;
}

bool table_write_file(table *t, change *c, const uint8_t entity[32], const buf *body)
{
    berth_error why;

    if (body->len <= STORE_INLINE_SNAPSHOT ||
        !snapfile_write(t->snapshot_dir, entity, slice_of(body->data, body->len), c->new_file,
                        &why))
        return true;
    c->new_file[0] = 0;
    change_fail(c, &why);
    return false;
}

void table_bind_body(const change *c, sqlite3_stmt *st, int at, const buf *body)
{
    if (c->new_file[0]) {
        sqlite3_bind_text(st, at, c->new_file, -1, SQLITE_STATIC);
        sqlite3_bind_null(st, at + 1);
    } else {
        sqlite3_bind_null(st, at);
        db_bind_slice(st, at + 1, slice_of(body->data, body->len));
    }
}

berth_status table_put_snapshot(table *t, const change *c, int64_t id, const new_snapshot *n,
                                berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_PUT_SNAPSHOT];
    uint8_t digest[SNAPSHOT_DIGEST];
    int rc;

    snapshot_digest(digest, slice_of(n->container->data, n->container->len));
    sqlite3_bind_int64(st, 1, id);
    db_bind_u64(st, 2, n->incarnation);
    db_bind_u64(st, 3, n->sequence);
    db_bind_u64(st, 4, n->container->len);
    sqlite3_bind_int64(st, 5, n->taken);
    db_bind_slice(st, 6, slice_of(digest, sizeof digest));
    table_bind_body(c, st, 7, n->container);
    rc = db_run(st);
    if (rc)
        return db_fail(t->db, rc, error);
    sqlite3_bind_int(t->statements[TABLE_SET_CLEAN], 2, n->clean);
    return table_run_for_id(t, TABLE_SET_CLEAN, id, error);
}

static berth_status put_snapshot(table *t, change *c, berth_error *error)
{
    const new_snapshot *n = &c->snapshot;
    berth_status status;
    table_found f;

    status = table_look_up(t, c, n->entity, &f, error);
    if (!status && f.daemon && !f.snapshot)
        status = table_get_mark(t, n->entity, &f, error);
    if (status)
        return status;
    if (!f.daemon)
        not_stored(c, n->entity);
    else if (!table_is_stale(c, n, &f) && table_write_file(t, c, n->entity, n->container))
        return table_put_snapshot(t, c, f.id, n, error);
    c->old_file[0] = 0;
    return BERTH_OK;
}

static berth_status put_fact(table *t, change *c, berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_PUT_FACT];
    int rc;

    sqlite3_bind_text(st, 1, c->fact.key, -1, SQLITE_STATIC);
    db_bind_slice(st, 2, c->fact.value);
    rc = db_run(st);
    return rc ? db_fail(t->db, rc, error) : BERTH_OK;
}

berth_status table_apply(table *t, change *c, berth_error *error)
{
    switch (c->type) {
    case CHANGE_ADD:
        return add(t, c, error);
    case CHANGE_UPDATE:
        return update(t, c, error);
    case CHANGE_REMOVE:
        return remove_daemon(t, c, error);
    case CHANGE_SNAPSHOT:
        return put_snapshot(t, c, error);
    case CHANGE_FACT:
        return put_fact(t, c, error);
    case CHANGE_PREPARE:
    case CHANGE_DROP:
    case CHANGE_REFUSE:
    case CHANGE_OWN:
    case CHANGE_RELEASE:
    case CHANGE_HAND_OVER:
    case CHANGE_TAKE_BACK:
    case CHANGE_EXPIRE:
        return table_apply_attempt(t, c, error);
    case CHANGE_BARRIER:
        break;
    }
    return BERTH_OK;
}
