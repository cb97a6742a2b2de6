/* SPDX-License-Identifier: Apache-2.0 */
#include "store/table.h"
#include "base/error.h"
#include "base/text.h"

#include <inttypes.h>
#include <string.h>

static const char *const sql[TABLE_STATEMENTS] = {
    [TABLE_BEGIN] = "BEGIN IMMEDIATE",
    [TABLE_COMMIT] = "COMMIT",
    [TABLE_ROLLBACK] = "ROLLBACK",
    [TABLE_ADD] =
        ("INSERT INTO daemon (entity, origin, name, kind, plugin, digest, desired, "
         "durability, auto_snapshot, incarnation, epoch, sequence_limit, clean, created, "
         "identity, config, wants) "
         "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)"),
    [TABLE_HOLDER] = ("SELECT entity = ?1, origin = ?2, "
                      "ifnull(name, kind || printf('-%016x', origin)) FROM daemon "
                      "WHERE entity = ?1 OR origin = ?2 OR name = ?3 LIMIT 1"),
    /* A NULL leaves the column as it is. */
    [TABLE_UPDATE] = ("UPDATE daemon SET desired = ifnull(?2, desired), "
                      "incarnation = ifnull(?3, incarnation), epoch = ifnull(?4, epoch), "
                      "sequence_limit = ifnull(?5, sequence_limit), clean = ifnull(?6, clean), "
                      "digest = ifnull(?7, digest), config = ifnull(?8, config), "
                      "wants = ifnull(?9, wants) WHERE entity = ?1"),
    [TABLE_LOOKUP] = ("SELECT d.id, d.incarnation, s.incarnation, s.sequence, s.file, s.id, "
                      "d.sequence_limit "
                      "FROM daemon d LEFT JOIN snapshot s ON s.id = d.id WHERE d.entity = ?1"),
    [TABLE_REMOVE_SNAPSHOT] = "DELETE FROM snapshot WHERE id = ?1",
    [TABLE_REMOVE_DAEMON] = "DELETE FROM daemon WHERE id = ?1",
    [TABLE_PUT_MARK] = ("INSERT INTO mark (entity, incarnation, sequence) VALUES (?1, ?2, ?3) "
                        "ON CONFLICT (entity) DO UPDATE SET incarnation = ?2, sequence = ?3"),
    [TABLE_GET_MARK] = "SELECT incarnation, sequence FROM mark WHERE entity = ?1",
    [TABLE_PUT_SNAPSHOT] = ("INSERT INTO snapshot "
                            "(id, incarnation, sequence, bytes, taken, digest, file, body) "
                            "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) "
                            "ON CONFLICT (id) DO UPDATE SET incarnation = ?2, sequence = ?3, "
                            "bytes = ?4, taken = ?5, digest = ?6, file = ?7, body = ?8"),
    [TABLE_SET_CLEAN] = "UPDATE daemon SET clean = ?2 WHERE id = ?1",
    [TABLE_PUT_FACT] = ("INSERT INTO fact (key, value) VALUES (?1, ?2) "
                        "ON CONFLICT (key) DO UPDATE SET value = ?2"),
};

berth_status table_open(table *t, sqlite3 *db, const char *snapshot_dir, berth_error *error)
{
    berth_status status = BERTH_OK;

    *t = (table){.db = db, .snapshot_dir = snapshot_dir};
    for (int i = 0; i < TABLE_STATEMENTS && !status; i++)
        status = db_prepare(db, sql[i], &t->statements[i], error);
    return status;
}

void table_close(table *t)
{
    for (int i = 0; i < TABLE_STATEMENTS; i++)
        sqlite3_finalize(t->statements[i]);
    sqlite3_close(t->db);
    *t = (table){0};
}

static bool later(uint64_t incarnation, uint64_t sequence, uint64_t than_incarnation,
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

/* Who already has the entity, origin or name of row. */
static berth_status taken(table *t, change *c, berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_HOLDER];
    const store_daemon *row = &c->daemon.row;
    const char *other = "", *what = "its name";
    char origin[ID_TEXT];
    bool named = row->name[0];
    berth_error why;
    int rc;

    db_bind_slice(st, 1, slice_of(row->entity, sizeof row->entity));
    db_bind_u64(st, 2, row->origin);
    sqlite3_bind_text(st, 3, row->name, -1, SQLITE_STATIC);
    rc = sqlite3_step(st);
    if (rc != SQLITE_ROW) {
        sqlite3_reset(st);
        return db_damaged(t->db, "an index of the daemons does not match their rows", error);
    }
    if (sqlite3_column_int(st, 0))
        what = "its identity";
    else if (sqlite3_column_int(st, 1))
        what = "its origin";
    if (!db_text(st, 2, STORE_NAME_MAX, &other))
        other = "";
    id_encode(origin, row->origin);
    fail(&why, BERTH_ERR_EXISTS, "daemon %s%s%s%s: %s is taken by the stored daemon '%s'",
         named ? row->name : "", named ? " (" : "", origin, named ? ")" : "", what, other);
    sqlite3_reset(st);
    change_fail(c, &why);
    return BERTH_OK;
}

static berth_status add(table *t, change *c, berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_ADD];
    int rc;

    bind_row(st, &c->daemon.row);
    rc = db_run(st);
    if (rc == SQLITE_CONSTRAINT_UNIQUE)
        return taken(t, c, error);
    return rc ? db_fail(t->db, rc, error) : BERTH_OK;
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

/* A daemon's row as far as its snapshot goes. */
typedef struct found {
    bool daemon, snapshot;
    int64_t id;
    uint64_t daemon_incarnation, limit; /* of its row */
    uint64_t incarnation, sequence;     /* of its snapshot */
} found;

/* Also puts the name of the snapshot's file into c->old_file. */
static berth_status look_up(table *t, change *c, const uint8_t entity[32], found *f,
                            berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_LOOKUP];
    berth_status status = BERTH_OK;
    const char *file;
    int rc;

    *f = (found){0};
    db_bind_slice(st, 1, slice_of(entity, 32));
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        f->daemon = true;
        f->id = sqlite3_column_int64(st, 0);
        f->daemon_incarnation = db_u64(st, 1);
        f->limit = db_u64(st, 6);
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

/* What a removed daemon of this entity had reached; zeros when there was none. */
static berth_status get_mark(table *t, const uint8_t entity[32], found *f, berth_error *error)
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

/* The highest of the daemon's row (nothing above its limit has left), its snapshot and an earlier
 * mark becomes the mark. */
static berth_status put_mark(table *t, const uint8_t entity[32], const found *f, berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_PUT_MARK];
    found mark = {0};
    berth_status status = get_mark(t, entity, &mark, error);
    int rc;

    if (status)
        return status;
    if (later(f->incarnation, f->sequence, mark.incarnation, mark.sequence))
        mark = *f;
    if (later(f->daemon_incarnation, f->limit, mark.incarnation, mark.sequence))
        mark = (found){.incarnation = f->daemon_incarnation, .sequence = f->limit};
    if (!mark.incarnation && !mark.sequence)
        return BERTH_OK; /* it did nothing that could be repeated */
    db_bind_slice(st, 1, slice_of(entity, 32));
    db_bind_u64(st, 2, mark.incarnation);
    db_bind_u64(st, 3, mark.sequence);
    rc = db_run(st);
    return rc ? db_fail(t->db, rc, error) : BERTH_OK;
}

static berth_status run_for_id(table *t, table_statement which, int64_t id, berth_error *error)
{
    sqlite3_stmt *st = t->statements[which];
    int rc;

    sqlite3_bind_int64(st, 1, id);
    rc = db_run(st);
    return rc ? db_fail(t->db, rc, error) : BERTH_OK;
}

static berth_status remove_daemon(table *t, change *c, berth_error *error)
{
    berth_status status;
    found f;

    status = look_up(t, c, c->entity, &f, error);
    if (status)
        return status;
    if (!f.daemon) {
        not_stored(c, c->entity);
        return BERTH_OK;
    }
    status = put_mark(t, c->entity, &f, error);
    if (!status)
        status = run_for_id(t, TABLE_REMOVE_SNAPSHOT, f.id, error);
    if (!status)
        status = run_for_id(t, TABLE_REMOVE_DAEMON, f.id, error);
    return status;
}

static void stale(change *c, const found *f)
{
    char text[ENTITY_TEXT];
    berth_error why;

    fail(&why, BERTH_ERR_STALE,
         "daemon %s: a snapshot of incarnation %" PRIu64 " at sequence %" PRIu64
         " would take it back from incarnation %" PRIu64 " at sequence %" PRIu64,
         hex_encode(text, slice_of(c->snapshot.entity, 32)), c->snapshot.incarnation,
         c->snapshot.sequence, f->incarnation, f->sequence);
    change_fail(c, &why);
}

static berth_status write_snapshot_row(table *t, change *c, int64_t id, berth_error *error)
{
    sqlite3_stmt *st = t->statements[TABLE_PUT_SNAPSHOT];
    slice bytes = slice_of(c->snapshot.container->data, c->snapshot.container->len);
    uint8_t digest[SNAPSHOT_DIGEST];
    int rc;

    snapshot_digest(digest, bytes);
    sqlite3_bind_int64(st, 1, id);
    db_bind_u64(st, 2, c->snapshot.incarnation);
    db_bind_u64(st, 3, c->snapshot.sequence);
    db_bind_u64(st, 4, bytes.len);
    sqlite3_bind_int64(st, 5, c->snapshot.taken);
    db_bind_slice(st, 6, slice_of(digest, sizeof digest));
    if (c->new_file[0]) {
        sqlite3_bind_text(st, 7, c->new_file, -1, SQLITE_STATIC);
        sqlite3_bind_null(st, 8);
    } else {
        sqlite3_bind_null(st, 7);
        db_bind_slice(st, 8, bytes);
    }
    rc = db_run(st);
    return rc ? db_fail(t->db, rc, error) : BERTH_OK;
}

static berth_status put_snapshot(table *t, change *c, berth_error *error)
{
    berth_status status;
    berth_error why;
    found f;

    status = look_up(t, c, c->snapshot.entity, &f, error);
    if (!status && f.daemon && !f.snapshot)
        status = get_mark(t, c->snapshot.entity, &f, error);
    if (status)
        return status;
    if (!f.daemon) {
        not_stored(c, c->snapshot.entity);
        return BERTH_OK;
    }
    if (later(f.incarnation, f.sequence, c->snapshot.incarnation, c->snapshot.sequence)) {
        c->old_file[0] = 0;
        stale(c, &f);
        return BERTH_OK;
    }
    if (c->snapshot.container->len > STORE_INLINE_SNAPSHOT &&
        snapfile_write(t->snapshot_dir, c->snapshot.entity, c->snapshot.container, c->new_file,
                       &why)) {
        c->old_file[0] = c->new_file[0] = 0;
        change_fail(c, &why);
        return BERTH_OK;
    }
    status = write_snapshot_row(t, c, f.id, error);
    if (!status) {
        sqlite3_bind_int(t->statements[TABLE_SET_CLEAN], 2, c->snapshot.clean);
        status = run_for_id(t, TABLE_SET_CLEAN, f.id, error);
    }
    return status;
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
    case CHANGE_BARRIER:
        break;
    }
    return BERTH_OK;
}
