/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/store_fixture.h"

#include "base/log.h"
#include "store/db.h"
#include "store/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static void assert_refused(berth_status status, const char *what)
{
    berth_error error = {0};
    store *s = NULL;

    assert_int_equal(store_open(state_dir, &s, &error), status);
    assert_null(s);
    assert_int_equal(error.code, status);
    assert_non_null(strstr(error.text, state_dir));
    if (!strstr(error.text, what))
        fail_msg("'%s' does not say '%s'", error.text, what);
}

static void execute(const char *statement)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(in_state("store.db"), &db), SQLITE_OK);
    if (sqlite3_exec(db, statement, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", statement, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static mode_t mode_of(const char *name)
{
    struct stat st;

    assert_int_equal(lstat(in_state(name), &st), 0);
    return st.st_mode & 07777;
}

static void a_missing_state_directory_is_made_for_us_alone(void **state)
{
    mode_t before = umask(0);
    store *s;

    (void)state;
    assert_int_equal(rmdir(state_dir), 0);
    s = open_store();
    assert_int_equal(store_put_fact(s, "key", slice_of("value", 5), NULL), BERTH_OK);
    umask(before);
    assert_int_equal(mode_of("."), 0700);
    assert_int_equal(mode_of("snapshots"), 0700);
    assert_int_equal(mode_of("store.db"), 0600);
    assert_int_equal(mode_of("store.db-wal"), 0600);
    assert_int_equal(mode_of("lock"), 0600);
    assert_int_equal(access(in_state("store.db.new"), F_OK), -1);
    store_close(s);
}

static void a_second_store_in_this_process_is_locked_out(void **state)
{
    store *s = open_store();

    (void)state;
    assert_refused(BERTH_ERR_LOCKED, "this process");
    store_close(s);
    s = open_store();
    store_close(s);
}

/* A child that holds the directory until it is killed. */
static pid_t start_holder(void)
{
    int ready[2];
    pid_t pid;
    char byte;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        store *s;

        if (store_open(state_dir, &s, NULL) == BERTH_OK && write(ready[1], "r", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void a_second_host_is_told_who_has_the_directory_until_that_one_is_dead(void **state)
{
    pid_t pid = start_holder();
    char name[32];
    int status;
    store *s;

    (void)state;
    snprintf(name, sizeof name, "(pid %d)", (int)pid);
    assert_refused(BERTH_ERR_LOCKED, name);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    s = open_store();
    store_close(s);
}

static void what_the_lock_file_says_does_not_matter(void **state)
{
    static const char *const texts[] = {"", "-1\n", "99999999999999999999999\n", "12", "x\n", "\n"};
    pid_t pid = start_holder();

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int fd = open(in_state("lock"), O_WRONLY | O_TRUNC);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, texts[i], strlen(texts[i])), strlen(texts[i]));
        close(fd);
        assert_refused(BERTH_ERR_LOCKED, "another host uses");
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void a_database_of_a_newer_berth_is_refused_and_untouched(void **state)
{
    char statement[64];

    (void)state;
    store_close(open_store());
    snprintf(statement, sizeof statement, "PRAGMA user_version = %zu", schema_count + 1);
    execute(statement);
    assert_refused(BERTH_ERR_VERSION, "newer berth");
    snprintf(statement, sizeof statement, "PRAGMA user_version = %zu", schema_count);
    execute(statement);
    store_close(open_store());
}

static void a_negative_version_is_damage(void **state)
{
    (void)state;
    store_close(open_store());
    execute("PRAGMA user_version = -1");
    assert_refused(BERTH_ERR_CORRUPT, "version");
}

/* A database outside of any store, for the steps of an upgrade. */
static sqlite3 *bare_database(void)
{
    sqlite3 *db;

    close(open(in_state("bare.db"), O_WRONLY | O_CREAT, 0600));
    assert_int_equal(db_open(in_state("bare.db"), DB_WRITE, &db, NULL), BERTH_OK);
    return db;
}

static void an_older_database_is_upgraded_step_by_step(void **state)
{
    static const char *const steps[] = {
        "CREATE TABLE a (x); INSERT INTO a VALUES (1);",
        "ALTER TABLE a ADD COLUMN y DEFAULT 5;",
        "UPDATE a SET y = y + x;",
    };
    sqlite3 *db = bare_database();
    int64_t n;

    (void)state;
    for (size_t version = 1; version <= 3; version++) {
        assert_int_equal(schema_upgrade(db, steps, version, NULL), BERTH_OK);
        assert_int_equal(db_number(db, "PRAGMA user_version", &n, NULL), BERTH_OK);
        assert_int_equal(n, version);
    }
    assert_int_equal(db_number(db, "SELECT y FROM a", &n, NULL), BERTH_OK);
    assert_int_equal(n, 6);
    assert_int_equal(schema_upgrade(db, steps, 3, NULL), BERTH_OK); /* nothing is done twice */
    assert_int_equal(db_number(db, "SELECT y FROM a", &n, NULL), BERTH_OK);
    assert_int_equal(n, 6);
    assert_int_equal(schema_upgrade(db, steps, 2, NULL), BERTH_ERR_VERSION);
    sqlite3_close(db);
}

/* A daemon of the first version wants to hear nothing. */
static void a_database_of_the_first_version_is_brought_up(void **state)
{
    sqlite3 *db = bare_database();
    int64_t n;

    (void)state;
    assert_int_equal(schema_upgrade(db, schema_steps, 1, NULL), BERTH_OK);
    assert_int_equal(
        db_exec(db,
                "INSERT INTO daemon VALUES (1, x'01', 1, 'a', 'k', '', x'00', 1, 1, 0, 1, 1, 1, 0, "
                "0, x'00', x'')",
                NULL),
        BERTH_OK);
    assert_int_equal(schema_upgrade(db, schema_steps, schema_count, NULL), BERTH_OK);
    assert_int_equal(db_number(db, "SELECT count(*) FROM daemon WHERE wants = x''", &n, NULL),
                     BERTH_OK);
    assert_int_equal(n, 1);
    sqlite3_close(db);
}

static void an_upgrade_that_fails_leaves_the_version_before(void **state)
{
    static const char *const steps[] = {
        "CREATE TABLE a (x);",
        "INSERT INTO a VALUES (1);",
        "INSERT INTO missing VALUES (1);",
    };
    sqlite3 *db = bare_database();
    int64_t n;

    (void)state;
    assert_int_equal(schema_upgrade(db, steps, 1, NULL), BERTH_OK);
    assert_int_not_equal(schema_upgrade(db, steps, 3, NULL), BERTH_OK);
    assert_true(sqlite3_get_autocommit(db));
    assert_int_equal(db_number(db, "PRAGMA user_version", &n, NULL), BERTH_OK);
    assert_int_equal(n, 1);
    assert_int_equal(db_number(db, "SELECT count(*) FROM a", &n, NULL), BERTH_OK);
    assert_int_equal(n, 0);
    sqlite3_close(db);
}

static void a_file_that_is_no_database_of_ours_is_refused_with_the_cure(void **state)
{
    sqlite3 *db;
    int fd;

    (void)state;
    fd = open(in_state("store.db"), O_WRONLY | O_CREAT, 0600); /* empty */
    assert_refused(BERTH_ERR_CORRUPT, "put back a backup");
    for (int i = 0; i < 1000; i++)
        assert_int_equal(write(fd, "this is a text\n", 15), 15);
    close(fd);
    assert_refused(BERTH_ERR_CORRUPT, "store.db");
    assert_int_equal(unlink(in_state("store.db")), 0);

    assert_int_equal(sqlite3_open(in_state("store.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE other (x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(chmod(in_state("store.db"), 0600), 0);
    assert_refused(BERTH_ERR_CORRUPT, "not a database of berth");
}

static void tables_that_are_not_as_they_should_be_are_damage(void **state)
{
    static const char *const damage[] = {
        "DROP TABLE fact",
        "ALTER TABLE daemon RENAME COLUMN epoch TO era",
        "DROP TABLE snapshot; CREATE VIEW snapshot AS SELECT 1 AS id, NULL AS file",
    };

    (void)state;
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        store_close(open_store());
        execute(damage[i]);
        assert_refused(BERTH_ERR_CORRUPT, "damaged");
        unlink(in_state("store.db"));
    }
}

static void a_database_gone_from_beside_its_snapshots_is_not_replaced(void **state)
{
    char moved[80];
    store *s = open_store();
    store_daemon row = a_row(1);

    (void)state;
    assert_int_equal(add_row(s, &row).status, BERTH_OK);
    assert_int_equal(put_bytes(s, 1, 1, 1, STORE_INLINE_SNAPSHOT + 1).status, BERTH_OK);
    store_close(s);
    snprintf(moved, sizeof moved, "%s.moved", state_dir);
    assert_int_equal(rename(in_state("store.db"), moved), 0);
    assert_refused(BERTH_ERR_CORRUPT, "is missing");
    assert_int_equal(access(in_state("store.db"), F_OK), -1);
    assert_int_equal(rename(moved, in_state("store.db")), 0);
    s = open_store();
    assert_true(holds_snapshot(s, 1, 1, STORE_INLINE_SNAPSHOT + 1));
    store_close(s);
}

static void a_database_gone_from_beside_its_log_is_not_replaced(void **state)
{
    int fd;

    (void)state;
    store_close(open_store());
    assert_int_equal(unlink(in_state("store.db")), 0);
    fd = open(in_state("store.db-wal"), O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "log", 3), 3);
    close(fd);
    assert_refused(BERTH_ERR_CORRUPT, "store.db-wal");
}

/* As a host leaves it that dies between making the new database and giving it its name. */
static void the_remains_of_an_unfinished_creation_do_not_disturb(void **state)
{
    int fd;

    (void)state;
    fd = open(in_state("store.db.new"), O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "garbage", 7), 7);
    close(fd);
    fd = open(in_state("store.db.new-journal"), O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "garbage", 7), 7);
    close(fd);
    store_close(open_store());
    assert_int_equal(access(in_state("store.db.new"), F_OK), -1);
    assert_int_equal(access(in_state("store.db.new-journal"), F_OK), -1);
}

static void what_others_may_write_is_refused(void **state)
{
    static const char *const names[] = {".", "snapshots", "store.db"};

    (void)state;
    store_close(open_store());
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        mode_t before = mode_of(names[i]);

        assert_int_equal(chmod(in_state(names[i]), before | 0020), 0);
        assert_refused(BERTH_ERR_PERMISSION, "chmod");
        assert_int_equal(chmod(in_state(names[i]), before | 0002), 0);
        assert_refused(BERTH_ERR_PERMISSION, "chmod");
        assert_int_equal(chmod(in_state(names[i]), before), 0);
        if (geteuid() == 0) {
            assert_int_equal(chown(in_state(names[i]), 12345, (gid_t)-1), 0);
            assert_refused(BERTH_ERR_PERMISSION, "another user");
            assert_int_equal(chown(in_state(names[i]), 0, (gid_t)-1), 0);
        }
        store_close(open_store());
    }
}

static void links_and_directories_in_place_of_our_files_are_refused(void **state)
{
    char elsewhere[80];

    (void)state;
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere.db", state_dir);
    store_close(open_store());
    assert_int_equal(rename(in_state("store.db"), elsewhere), 0);
    assert_int_equal(symlink("elsewhere.db", in_state("store.db")), 0);
    assert_refused(BERTH_ERR_INVALID, "not a regular file");
    unlink(in_state("store.db"));
    assert_int_equal(mkdir(in_state("store.db"), 0700), 0);
    assert_refused(BERTH_ERR_INVALID, "not a regular file");
    assert_int_equal(rmdir(in_state("store.db")), 0);

    assert_int_equal(unlink(in_state("lock")), 0);
    assert_int_equal(symlink("/dev/null", in_state("lock")), 0);
    assert_refused(BERTH_ERR_IO, "lock");
    assert_int_equal(unlink(in_state("lock")), 0);

    assert_int_equal(rmdir(in_state("snapshots")), 0);
    assert_int_equal(symlink("/nowhere", in_state("snapshots")), 0);
    assert_refused(BERTH_ERR_INVALID, "not a directory");
}

static void a_state_directory_that_is_a_file_is_refused(void **state)
{
    int fd;

    (void)state;
    assert_int_equal(rmdir(state_dir), 0);
    fd = open(state_dir, O_WRONLY | O_CREAT, 0600);
    close(fd);
    assert_refused(BERTH_ERR_INVALID, "not a directory");
}

static bool touch_row(void *ctx, const store_daemon *row)
{
    store *s = ctx;
    buf *b = NULL;

    store_get_snapshot(s, row->entity, &b, NULL);
    buf_unref(b);
    return true;
}

/* Opens if it opens, and then does everything once; returns whether it opened. */
static bool live_with_it(void)
{
    store_daemon row = a_row(500);
    berth_error error = {0};
    buf *b = NULL;
    store *s;

    if (store_open(state_dir, &s, &error)) {
        assert_true(error.code == BERTH_ERR_CORRUPT || error.code == BERTH_ERR_VERSION ||
                    error.code == BERTH_ERR_IO);
        assert_non_null(strstr(error.text, "store.db"));
        return false;
    }
    store_each_daemon(s, touch_row, s, NULL);
    store_get_fact(s, "salt", &b, NULL);
    buf_unref(b);
    store_add_daemon(s, &row, NULL, NULL);
    store_update_daemon(s, &row, STORE_SET_EPOCH | STORE_SET_CONFIG, NULL, NULL);
    row = a_row(3);
    store_remove_daemon(s, row.entity, NULL, NULL);
    store_barrier(s, NULL);
    put_bytes(s, 5, 9, 9, 1000);
    store_close(s);
    return true;
}

/* A state directory with rows, snapshots and a fact, as a good image to be damaged. */
static buf *good_image(void)
{
    store *s = open_store();
    struct stat st;
    buf *image;
    int fd;

    for (uint64_t i = 0; i < 30; i++) {
        store_daemon row = a_row(i);

        assert_int_equal(add_row(s, &row).status, BERTH_OK);
        assert_int_equal(put_bytes(s, i, 1, i, i * 100).status, BERTH_OK);
    }
    assert_int_equal(store_put_fact(s, "salt", slice_of("s", 1), NULL), BERTH_OK);
    store_close(s);
    fd = open(in_state("store.db"), O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    image = buf_new((size_t)st.st_size);
    assert_int_equal(read(fd, image->data, image->len), (ssize_t)image->len);
    close(fd);
    return image;
}

static void put_image(const uint8_t *bytes, size_t len)
{
    int fd;

    unlink(in_state("store.db-wal"));
    unlink(in_state("store.db-shm"));
    fd = open(in_state("store.db"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

static void a_database_cut_short_anywhere_is_reported_as_damaged(void **state)
{
    buf *image = good_image();
    size_t at = 0;

    (void)state;
    while (at < image->len) {
        put_image(image->data, at);
        assert_false(live_with_it());
        at += at < 210 ? 7 : 512; /* in the header closely, then across every page */
        if (at > 210 && at < 512)
            at = 512; /* and exactly between them */
    }
    put_image(image->data, image->len);
    assert_true(live_with_it());
    buf_unref(image);
}

static uint32_t lcg(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static void a_database_with_wrong_bytes_never_brings_the_host_down(void **state)
{
    buf *image = good_image(), *bad = buf_new(image->len);
    uint32_t seed = 20260131;

    (void)state;
    for (int round = 0; round < 150; round++) {
        unsigned count = 1 + lcg(&seed) % 8;

        memcpy(bad->data, image->data, image->len);
        while (count--) {
            size_t at = lcg(&seed) % (round % 2 ? image->len : 4096 * 4);

            bad->data[at] = (uint8_t)lcg(&seed);
        }
        put_image(bad->data, bad->len);
        live_with_it();
    }
    buf_unref(bad);
    buf_unref(image);
}

static void silence(void *ctx, log_level level, const char *room, const char *text)
{
    (void)ctx, (void)level, (void)room, (void)text;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_state, remove_state)
        TEST(a_missing_state_directory_is_made_for_us_alone),
        TEST(a_second_store_in_this_process_is_locked_out),
        TEST(a_second_host_is_told_who_has_the_directory_until_that_one_is_dead),
        TEST(what_the_lock_file_says_does_not_matter),
        TEST(a_database_of_a_newer_berth_is_refused_and_untouched),
        TEST(a_negative_version_is_damage),
        TEST(an_older_database_is_upgraded_step_by_step),
        TEST(a_database_of_the_first_version_is_brought_up),
        TEST(an_upgrade_that_fails_leaves_the_version_before),
        TEST(a_file_that_is_no_database_of_ours_is_refused_with_the_cure),
        TEST(tables_that_are_not_as_they_should_be_are_damage),
        TEST(a_database_gone_from_beside_its_snapshots_is_not_replaced),
        TEST(a_database_gone_from_beside_its_log_is_not_replaced),
        TEST(the_remains_of_an_unfinished_creation_do_not_disturb),
        TEST(what_others_may_write_is_refused),
        TEST(links_and_directories_in_place_of_our_files_are_refused),
        TEST(a_state_directory_that_is_a_file_is_refused),
        TEST(a_database_cut_short_anywhere_is_reported_as_damaged),
        TEST(a_database_with_wrong_bytes_never_brings_the_host_down),
    };

    log_set_sink(silence, NULL); /* thousands of damaged rows */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
