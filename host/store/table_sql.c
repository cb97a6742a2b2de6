/* SPDX-License-Identifier: Apache-2.0 */
#include "store/table.h"

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
                      "ifnull(name, kind || printf('-%016x', origin)), desired FROM daemon "
                      "WHERE (entity = ?1 OR origin = ?2 OR name = ?3) AND id IS NOT ?4 "
                      "ORDER BY entity = ?1 DESC, origin = ?2 DESC LIMIT 1"),
    /* A NULL leaves the column as it is. */
    [TABLE_UPDATE] = ("UPDATE daemon SET desired = ifnull(?2, desired), "
                      "incarnation = ifnull(?3, incarnation), epoch = ifnull(?4, epoch), "
                      "sequence_limit = ifnull(?5, sequence_limit), clean = ifnull(?6, clean), "
                      "digest = ifnull(?7, digest), config = ifnull(?8, config), "
                      "wants = ifnull(?9, wants) WHERE entity = ?1"),
    [TABLE_LOOKUP] = ("SELECT d.id, d.incarnation, s.incarnation, s.sequence, s.file, s.id, "
                      "d.sequence_limit, d.desired "
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
    [TABLE_REMOVE_MARK] = "DELETE FROM mark WHERE entity = ?1",
    [TABLE_MARK_GONE] = ("INSERT INTO mark (entity, incarnation, sequence, gone) "
                         "SELECT entity, 0, 0, epoch FROM attempt WHERE id = ?1 "
                         "ON CONFLICT (entity) DO UPDATE SET gone = excluded.gone"),
    [TABLE_FIND_GONE] = "SELECT 1 FROM mark WHERE entity = ?1 AND gone >= ?2 AND gone > 0",
    [TABLE_SET_CLEAN] = "UPDATE daemon SET clean = ?2 WHERE id = ?1",
    [TABLE_PUT_FACT] = ("INSERT INTO fact (key, value) VALUES (?1, ?2) "
                        "ON CONFLICT (key) DO UPDATE SET value = ?2"),
    [TABLE_SET_MOVED] = "UPDATE daemon SET desired = 3 WHERE entity = ?1",
    [TABLE_SET_BACK] = ("UPDATE daemon SET desired = 1, epoch = ?2, "
                        "identity = ifnull(?3, identity) WHERE id = ?1"),
    [TABLE_FIND_ATTEMPT] = ("SELECT a.id, a.phase, a.entity, s.file, b.file, b.id "
                            "FROM attempt a LEFT JOIN attempt_state s ON s.id = a.id "
                            "LEFT JOIN attempt_base b ON b.id = a.id WHERE a.attempt = ?1"),
    [TABLE_FIND_OPEN] = "SELECT attempt, phase FROM attempt WHERE entity = ?1 AND phase IN (1, 4)",
    [TABLE_ADD_ATTEMPT] = ("INSERT INTO attempt (attempt, entity, phase, epoch, not_after, record) "
                           "VALUES (?1, ?2, ?3, ?4, ?5, ?6)"),
    [TABLE_ADD_STATE] = ("INSERT INTO attempt_state (id, bytes, digest, file, body) "
                         "VALUES (?1, ?2, ?3, ?4, ?5)"),
    [TABLE_ADD_BASE] = ("INSERT INTO attempt_base (id, bytes, digest, file) "
                        "VALUES (?1, ?2, ?3, ?4)"),
    [TABLE_OWN_BASE] = ("INSERT INTO snapshot "
                        "(id, incarnation, sequence, bytes, taken, digest, file) "
                        "SELECT ?2, ?3, ?4, bytes, ?5, digest, file FROM attempt_base "
                        "WHERE id = ?1"),
    [TABLE_END_ATTEMPT] = "UPDATE attempt SET phase = ?2, record = x'' WHERE id = ?1",
    [TABLE_REMOVE_ATTEMPT] = "DELETE FROM attempt WHERE id = ?1",
    [TABLE_REMOVE_STATE] = "DELETE FROM attempt_state WHERE id = ?1",
    [TABLE_REMOVE_BASE] = "DELETE FROM attempt_base WHERE id = ?1",
    [TABLE_FORGET] = ("INSERT INTO attempt_forgotten SELECT 0, max(not_after) FROM attempt "
                      "WHERE phase = 2 AND not_after < ?1 GROUP BY phase "
                      "ON CONFLICT (id) DO UPDATE SET "
                      "not_after = max(not_after, excluded.not_after)"),
    [TABLE_FORGOTTEN] = "SELECT 1 FROM attempt_forgotten WHERE not_after >= ?1",
    [TABLE_EXPIRE] = "DELETE FROM attempt WHERE phase NOT IN (1, 4) AND not_after < ?1",
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
