/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the journal of migrations lies where on the disk: its limits, its files, damage, what is
 * left of that which has ended, and databases of earlier versions.
 */
#include "unit/store_attempts.h"

#include "store/schema.h"

#include <fcntl.h>

#define BIG (STORE_INLINE_SNAPSHOT + 1000)

static void a_record_at_its_limit_is_stored_and_above_it_refused(void **state)
{
    static uint8_t record[STORE_RECORD_MAX + 1], identity[STORE_IDENTITY_MAX + 1];
    static seen_attempt seen;
    store *s = open_store();
    store_attempt a = an_attempt(1);
    uint64_t before = fingerprint();
    outcome o = {0};
    buf *b = a_container(1, 1, STORE_INLINE_SNAPSHOT);

    (void)state;
    memset(record, 0x5E, sizeof record);
    a.record = slice_of(record, STORE_RECORD_MAX + 1);
    store_attempt_prepare(s, &a, b, note_outcome, &o);
    assert_refused(waited(s, &o), BERTH_ERR_LIMIT, before);
    a.record.len = STORE_RECORD_MAX;
    o = (outcome){0};
    store_attempt_prepare(s, &a, b, note_outcome, &o);
    assert_int_equal(waited(s, &o).status, BERTH_OK);
    buf_unref(b);
    s = reopen(s);
    assert_int_equal(store_attempt_get(s, a.attempt, see_attempt, &seen, NULL), BERTH_OK);
    assert_true(slice_eq(seen.a.record, a.record));
    assert_int_equal(went(s, 1, T_REFUSED, 0).status, BERTH_OK);

    bring(s, 2, S_RELEASED, 10);
    before = fingerprint();
    o = (outcome){0};
    store_attempt_take_back(s, an_attempt(2).attempt, 1, slice_of(identity, sizeof identity), 1, 1,
                            NULL, note_outcome, &o);
    assert_refused(waited(s, &o), BERTH_ERR_LIMIT, before);
    store_close(s);
}

static bool stands_on_disk(const void *bytes, size_t len)
{
    int fd = open(in_state("store.db"), O_RDONLY);
    struct stat st;
    uint8_t *all;
    bool found;

    assert_int_equal(fstat(fd, &st), 0);
    all = malloc((size_t)st.st_size);
    assert_int_equal(read(fd, all, (size_t)st.st_size), st.st_size);
    close(fd);
    found = memmem(all, (size_t)st.st_size, bytes, len) != NULL;
    free(all);
    return found;
}

/* Also of a record and a state that fill pages of their own. */
static void of_an_attempt_that_has_ended_no_byte_stays_in_the_database(void **state)
{
    static const stage ends[] = {T_NONE, T_OWNED, T_REFUSED, S_HANDED_OVER, S_TAKEN_BACK};
    static uint8_t record[100000];

    (void)state;
    for (size_t i = 0; i < sizeof record; i++)
        record[i] = (uint8_t)(0x30 + i % 61);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        store *s = open_store();
        store_attempt a = an_attempt(i);
        buf *b = a_container(i, OF_STATE, 50000);
        outcome o = {0};

        a.record = slice_of(record, sizeof record);
        if (ends[i] < S_BARE) {
            store_attempt_prepare(s, &a, b, note_outcome, &o);
        } else {
            bring(s, i, S_NONE, 10);
            store_attempt_release(s, &a, b, note_outcome, &o);
        }
        assert_int_equal(waited(s, &o).status, BERTH_OK);
        s = reopen(s);
        assert_true(stands_on_disk(record, 61));
        assert_true(stands_on_disk(b->data + 30000, 32));
        assert_int_equal(went(s, i, ends[i], 10).status, BERTH_OK);
        store_close(s); /* the log is gone with it */
        assert_false(stands_on_disk(record, 61));
        for (size_t at = 0; at + 32 <= b->len; at += 1000)
            assert_false(stands_on_disk(b->data + at, 32));
        buf_unref(b);
    }
}

static bool count_attempt(void *ctx, const store_attempt *a)
{
    unsigned *seen = ctx;

    assert_int_equal(a->not_after_s, *seen < 1 ? 11 : 13);
    ++*seen;
    return true;
}

static bool first_only(void *ctx, const store_attempt *a)
{
    (void)a;
    ++*(unsigned *)ctx;
    return false;
}

static void a_damaged_attempt_is_left_out_and_the_others_come(void **state)
{
    static const char *const damage[] = {
        "UPDATE attempt SET phase = 0 WHERE id = 2",
        "UPDATE attempt SET phase = 7 WHERE id = 2",
        "UPDATE attempt SET entity = x'00' WHERE id = 2",
        "UPDATE attempt SET record = zeroblob(262145) WHERE id = 2",
        "UPDATE attempt SET attempt = zeroblob(17) WHERE id = 2",
    };
    static seen_attempt seen;
    berth_error error;

    (void)state;
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        store *s = open_store();
        outcome o[2] = {0};
        unsigned n = 0;
        gate g;

        bring(s, 1, T_PREPARED, 10);
        bring(s, 2, T_PREPARED, 10);
        bring(s, 3, S_RELEASED, 10);
        store_close(s);
        tamper(damage[i]);

        s = open_store();
        assert_int_equal(store_attempts_each(s, count_attempt, &n, &error), BERTH_ERR_CORRUPT);
        assert_non_null(strstr(error.text, "row 2 of its attempts"));
        assert_int_equal(n, 2);
        n = 0;
        assert_int_equal(store_attempts_each(s, first_only, &n, NULL), BERTH_OK);
        assert_int_equal(n, 1);
        assert_int_equal(store_attempt_get(s, an_attempt(2).attempt, see_attempt, &seen, NULL),
                         i == 4 ? BERTH_ERR_NOT_FOUND : BERTH_ERR_CORRUPT);
        /* Those beside it in a group are not disturbed. */
        close_gate(s, &g);
        go(s, 1, T_OWNED, 10, note_outcome, &o[0]);
        go(s, 2, T_OWNED, 10, NULL, NULL);
        go(s, 3, S_TAKEN_BACK, 10, note_outcome, &o[1]);
        open_gate(s, &g);
        assert_int_equal(o[0].status, BERTH_OK);
        assert_int_equal(o[1].status, BERTH_OK);
        assert_true(is_at(s, 1, T_OWNED, 10));
        assert_true(is_at(s, 3, S_TAKEN_BACK, 10));
        store_close(s);
        remove_tree(state_dir);
        assert_int_equal(mkdir(state_dir, 0700), 0);
    }
}

static void a_database_of_the_version_before_is_brought_up(void **state)
{
    static wanted w;
    sqlite3 *db;
    store *s;

    (void)state;
    close(open(in_state("store.db"), O_WRONLY | O_CREAT, 0600));
    assert_int_equal(sqlite3_open(in_state("store.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA application_id = 0x42727468", NULL, NULL, NULL), 0);
    assert_int_equal(schema_upgrade(db, schema_steps, 2, NULL), BERTH_OK);
    sqlite3_close(db);
    tamper("INSERT INTO daemon VALUES (1, x'0100000000000000eeeeeeeeeeeeeeee"
           "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee', 7, 'old', 'k', '', zeroblob(32), 1, 1, 0, 1, 1, 9, "
           "0, 5, x'5e', x'', x'');"
           "INSERT INTO fact VALUES ('salt', x'01')");
    s = open_store();
    assert_true(find_row(s, 1, &w));
    assert_string_equal(w.row.name, "old");
    assert_int_equal(went(s, 1, S_RELEASED, BIG).status, BERTH_OK);
    assert_int_equal(went(s, 2, T_PREPARED, BIG).status, BERTH_OK);
    s = reopen(s);
    assert_true(find_row(s, 1, &w));
    assert_int_equal(w.row.desired, STORE_MOVED);
    assert_true(holds_attempt(s, 1, S_RELEASED, BIG));
    assert_true(is_at(s, 2, T_PREPARED, BIG));
    store_close(s);
}

/* Of version 4, with an attempt that is open: it has no base, and goes on. */
static void a_database_without_bases_is_brought_up(void **state)
{
    store_daemon row = moving_row(1);
    outcome o = {0};
    sqlite3 *db;
    store *s;

    (void)state;
    s = open_store();
    bring(s, 1, T_PREPARED, BIG);
    bring(s, 2, S_RELEASED, 10);
    store_close(s);
    tamper("DROP TABLE attempt_base; PRAGMA user_version = 4");
    s = open_store();
    assert_true(is_at(s, 1, T_PREPARED, BIG));
    assert_true(is_at(s, 2, S_RELEASED, 10));
    bring(s, 3, T_BASED, BIG);
    s = reopen(s);
    assert_true(is_at(s, 3, T_BASED, BIG));
    store_attempt_own(s, an_attempt(1).attempt, &row, 1, 1, NULL, note_outcome, &o);
    assert_int_equal(waited(s, &o).status, BERTH_OK);
    assert_int_equal(went(s, 2, S_TAKEN_BACK, 10).status, BERTH_OK);
    store_close(s);

    assert_int_equal(sqlite3_open(in_state("store.db"), &db), SQLITE_OK);
    assert_int_equal(schema_upgrade(db, schema_steps, 4, NULL), BERTH_ERR_VERSION);
    sqlite3_close(db);
}

/* ---- Files ---- */

static void flip_byte(const char *path, off_t at)
{
    int fd = open(path, O_RDWR);
    uint8_t byte;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void assert_damaged(store *s, const char *what)
{
    berth_error error = {0};
    buf *b = NULL;

    assert_int_equal(store_attempt_state(s, an_attempt(1).attempt, NULL, &b, &error),
                     BERTH_ERR_CORRUPT);
    assert_null(b);
    assert_non_null(strstr(error.text, what));
    assert_true(is_at(s, 2, T_PREPARED, 10)); /* the others are well */
}

static void a_damaged_state_is_the_trouble_of_one_attempt(void **state)
{
    store *s = open_store();
    const char *file;

    (void)state;
    bring(s, 1, T_PREPARED, BIG);
    bring(s, 2, T_PREPARED, 10);
    file = only_file();
    flip_byte(file, BIG / 2);
    assert_damaged(s, "is not what was written");
    s = reopen(s);
    assert_damaged(s, "is not what was written");
    flip_byte(file, BIG / 2);
    assert_true(is_at(s, 1, T_PREPARED, BIG));
    assert_int_equal(truncate(file, BIG - 1), 0);
    assert_damaged(s, "not as long");
    assert_int_equal(unlink(file), 0);
    assert_damaged(s, "is missing");

    /* It can still be decided. */
    assert_int_equal(went(s, 1, T_REFUSED, 0).status, BERTH_OK);
    assert_true(is_at(s, 1, T_REFUSED, 0));
    store_close(s);

    s = open_store();
    bring(s, 1 + 2, T_PREPARED, 10);
    store_close(s);
    tamper("UPDATE attempt_state SET body = zeroblob(10) WHERE id = 3");
    s = open_store();
    {
        berth_error error = {0};
        buf *b = NULL;

        assert_int_equal(store_attempt_state(s, an_attempt(3).attempt, NULL, &b, &error),
                         BERTH_ERR_CORRUPT);
        assert_non_null(strstr(error.text, "is not what was written"));
    }
    store_close(s);
}

static void a_damaged_base_is_the_trouble_of_one_attempt(void **state)
{
    store *s = open_store();
    store_attempt a = an_attempt(1);
    buf *base = NULL, *rest = NULL;
    berth_error error = {0};
    const char *file;

    (void)state;
    bring(s, 1, T_BASED, 500);
    bring(s, 2, T_PREPARED, 10);
    file = only_file();
    flip_byte(file, 250);
    assert_int_equal(store_attempt_state(s, a.attempt, &base, &rest, &error), BERTH_ERR_CORRUPT);
    assert_non_null(strstr(error.text, "the base kept for attempt"));
    assert_null(base);
    assert_null(rest);
    assert_int_equal(store_attempt_state(s, a.attempt, NULL, &rest, &error), BERTH_OK);
    assert_true(same_bytes(rest, 1, OF_STATE, 500));
    buf_unref(rest);
    flip_byte(file, 250);
    assert_true(is_at(s, 1, T_BASED, 500));

    /* Of the rest: neither is given. */
    tamper("UPDATE attempt_state SET digest = zeroblob(16) WHERE id = 1");
    assert_int_equal(store_attempt_state(s, a.attempt, &base, &rest, &error), BERTH_ERR_CORRUPT);
    assert_null(base);
    assert_null(rest);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(store_attempt_state(s, a.attempt, &base, &rest, &error), BERTH_ERR_CORRUPT);
    assert_non_null(strstr(error.text, "is missing"));

    /* A name that is none of this room's is not made the name of a snapshot; it can be decided. */
    tamper("UPDATE attempt_base SET file = '../../etc/passwd'");
    {
        outcome o = went(s, 1, T_OWNED_BASE, 500);

        assert_int_equal(o.status, BERTH_ERR_CORRUPT);
        assert_non_null(strstr(o.error.text, "bases"));
    }
    assert_int_equal(went(s, 1, T_REFUSED, 0).status, BERTH_OK);
    assert_true(is_at(s, 1, T_REFUSED, 0));
    assert_true(is_at(s, 2, T_PREPARED, 10));
    store_close(s);
}

static void make_file(const char *name)
{
    int fd = open(in_state(name), O_WRONLY | O_CREAT | O_EXCL, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static void states_that_are_named_survive_the_sweep_and_others_do_not(void **state)
{
    store *s = open_store();

    (void)state;
    bring(s, 1, T_PREPARED, BIG);
    bring(s, 2, S_RELEASED, BIG);
    bring(s, 3, T_BASED, 10);
    store_close(s);
    make_file("snapshots/0123456789abcdef-0123456789abcdef.bsn");
    make_file("snapshots/.new-0123456789abcdef");
    assert_int_equal(count_files("snapshots"), 6);
    s = open_store();
    assert_int_equal(count_files("snapshots"), 4);
    assert_true(is_at(s, 1, T_PREPARED, BIG));
    assert_true(is_at(s, 2, S_RELEASED, BIG));
    assert_true(is_at(s, 3, T_BASED, 10));
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_state, remove_state)
        TEST(a_record_at_its_limit_is_stored_and_above_it_refused),
        TEST(of_an_attempt_that_has_ended_no_byte_stays_in_the_database),
        TEST(a_damaged_attempt_is_left_out_and_the_others_come),
        TEST(a_database_of_the_version_before_is_brought_up),
        TEST(a_database_without_bases_is_brought_up),
        TEST(a_damaged_base_is_the_trouble_of_one_attempt),
        TEST(a_damaged_state_is_the_trouble_of_one_attempt),
        TEST(states_that_are_named_survive_the_sweep_and_others_do_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
