/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/store_fixture.h"

#include <dirent.h>
#include <fcntl.h>

#define BIG (STORE_INLINE_SNAPSHOT + 1)

/* Files in <state>/snapshots; *one is the path of the last seen. */
static unsigned snapshot_files(char one[320])
{
    DIR *d = opendir(in_state("snapshots"));
    struct dirent *entry;
    unsigned n = 0;

    assert_non_null(d);
    while ((entry = readdir(d))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (one)
            snprintf(one, 320, "%s/snapshots/%.200s", state_dir, entry->d_name);
        n++;
    }
    closedir(d);
    return n;
}

static store *store_with_rows(uint64_t n)
{
    store *s = open_store();

    for (uint64_t i = 1; i <= n; i++) {
        store_daemon row = a_row(i);

        assert_int_equal(add_row(s, &row).status, BERTH_OK);
    }
    return s;
}

static void a_snapshot_of_any_size_comes_back_as_it_was(void **state)
{
    static const size_t sizes[] = {
        0, 1, STORE_INLINE_SNAPSHOT - 1, STORE_INLINE_SNAPSHOT, BIG, 5000000, 7};
    static wanted w;
    store *s = store_with_rows(1);

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(put_bytes(s, 1, 1, i, sizes[i]).status, BERTH_OK);
        assert_true(holds_snapshot(s, 1, i, sizes[i]));
        assert_int_equal(snapshot_files(NULL), sizes[i] > STORE_INLINE_SNAPSHOT);
        store_close(s);
        s = open_store();
        assert_true(holds_snapshot(s, 1, i, sizes[i]));
        assert_true(find_row(s, 1, &w));
        assert_true(w.row.has_snapshot);
        assert_int_equal(w.row.snapshot_sequence, i);
        assert_int_equal(w.row.snapshot_bytes, sizes[i]);
        assert_true(w.row.snapshot_wall_ns > 0);
    }
    store_close(s);
}

static void only_the_latest_file_stays_and_none_after_removal(void **state)
{
    store *s = store_with_rows(1);
    store_stats stats;

    (void)state;
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(put_bytes(s, 1, 1, i, BIG).status, BERTH_OK);
        assert_int_equal(snapshot_files(NULL), 1);
    }
    store_get_stats(s, &stats);
    assert_int_equal(stats.snapshot_bytes, 5 * BIG);
    assert_int_equal(remove_row(s, 1).status, BERTH_OK);
    assert_int_equal(snapshot_files(NULL), 0);
    store_close(s);
}

/* Two of one daemon in one transaction: the file of the first is superseded before it ever counted.
 */
static void snapshots_that_supersede_each_other_in_one_group_leave_one_file(void **state)
{
    store *s = store_with_rows(1);
    store_daemon row = a_row(1);

    (void)state;
    for (uint64_t i = 0; i < 20; i++) {
        buf *b = a_container(1, i, BIG);

        store_put_snapshot(s, row.entity, 1, i, b, false, NULL, NULL);
        buf_unref(b);
    }
    assert_int_equal(store_barrier(s, NULL), BERTH_OK);
    assert_int_equal(snapshot_files(NULL), 1);
    assert_true(holds_snapshot(s, 1, 19, BIG));
    store_close(s);
}

static void clean_goes_with_the_snapshot(void **state)
{
    static wanted w;
    store *s = store_with_rows(1);
    store_daemon row = a_row(1);
    buf *b = a_container(1, 1, 10);

    (void)state;
    store_put_snapshot(s, row.entity, 1, 1, b, true, NULL, NULL);
    assert_int_equal(store_barrier(s, NULL), BERTH_OK);
    assert_true(find_row(s, 1, &w));
    assert_true(w.row.clean);
    store_put_snapshot(s, row.entity, 1, 2, b, false, NULL, NULL);
    assert_int_equal(store_barrier(s, NULL), BERTH_OK);
    assert_true(find_row(s, 1, &w));
    assert_false(w.row.clean);
    assert_int_equal(atomic_load(&b->refs), 1); /* the store let go of it */
    buf_unref(b);
    store_close(s);
}

/* compute-core K20 */
static void a_snapshot_older_than_the_stored_one_is_stale(void **state)
{
    store *s = store_with_rows(1);
    outcome o;

    (void)state;
    assert_int_equal(put_bytes(s, 1, 2, 100, 10).status, BERTH_OK);
    o = put_bytes(s, 1, 2, 99, BIG);
    assert_int_equal(o.status, BERTH_ERR_STALE);
    assert_non_null(strstr(o.error.text, "sequence 99"));
    assert_int_equal(put_bytes(s, 1, 1, UINT64_MAX, 10).status, BERTH_ERR_STALE);
    assert_int_equal(snapshot_files(NULL), 0);
    assert_true(holds_snapshot(s, 1, 100, 10));

    /* A daemon that consumes without output has news at the same sequence. */
    assert_int_equal(put_bytes(s, 1, 2, 100, 20).status, BERTH_OK);
    assert_true(holds_snapshot(s, 1, 100, 20));
    /* A higher incarnation may begin again; numbers are unsigned up to the last. */
    assert_int_equal(put_bytes(s, 1, 3, 0, 10).status, BERTH_OK);
    assert_int_equal(put_bytes(s, 1, UINT64_MAX, UINT64_MAX, 10).status, BERTH_OK);
    assert_int_equal(put_bytes(s, 1, 4, 0, 10).status, BERTH_ERR_STALE);
    assert_int_equal(put_bytes(s, 1, UINT64_MAX, INT64_MAX, 10).status, BERTH_ERR_STALE);
    store_close(s);
}

/* compute-core K20 */
static void what_a_removed_daemon_had_reached_is_not_forgotten(void **state)
{
    uint64_t incarnation, sequence;
    store *s = store_with_rows(1);
    store_daemon row = a_row(1);

    (void)state;
    assert_int_equal(put_bytes(s, 1, 3, 100, 10).status, BERTH_OK);
    assert_int_equal(remove_row(s, 1).status, BERTH_OK);
    assert_int_equal(put_bytes(s, 1, 3, 101, 10).status, BERTH_ERR_NOT_FOUND);
    store_close(s);

    s = open_store();
    assert_int_equal(store_get_mark(s, row.entity, &incarnation, &sequence, NULL), BERTH_OK);
    assert_int_equal(incarnation, 3);
    assert_int_equal(sequence, 100);
    row.incarnation = 4;
    assert_int_equal(add_row(s, &row).status, BERTH_OK);
    assert_int_equal(put_bytes(s, 1, 3, 99, 10).status, BERTH_ERR_STALE);
    assert_int_equal(put_bytes(s, 1, 4, 0, 10).status, BERTH_OK);

    /* Removed again without a newer snapshot: the incarnation of the row counts. */
    row.incarnation = 9;
    assert_int_equal(update_row(s, &row, STORE_SET_INCARNATION).status, BERTH_OK);
    assert_int_equal(remove_row(s, 1).status, BERTH_OK);
    assert_int_equal(store_get_mark(s, row.entity, &incarnation, &sequence, NULL), BERTH_OK);
    assert_int_equal(incarnation, 9);
    assert_int_equal(sequence, 0);

    /* And a mark never falls. */
    row.incarnation = 1;
    assert_int_equal(add_row(s, &row).status, BERTH_OK);
    assert_int_equal(remove_row(s, 1).status, BERTH_OK);
    assert_int_equal(store_get_mark(s, row.entity, &incarnation, &sequence, NULL), BERTH_OK);
    assert_int_equal(incarnation, 9);
    row = a_row(2);
    assert_int_equal(store_get_mark(s, row.entity, &incarnation, &sequence, NULL), BERTH_OK);
    assert_int_equal(incarnation, 0);
    store_close(s);
}

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

static void assert_damaged(store *s, const char *file, const char *what)
{
    store_daemon row = a_row(1);
    berth_error error = {0};
    buf *b = NULL;

    assert_int_equal(store_get_snapshot(s, row.entity, &b, &error), BERTH_ERR_CORRUPT);
    assert_null(b);
    assert_non_null(strstr(error.text, strrchr(file, '/') + 1));
    assert_non_null(strstr(error.text, what));
    assert_true(holds_snapshot(s, 2, 1, 10)); /* the others are well */
}

static void a_damaged_snapshot_file_is_the_trouble_of_one_daemon(void **state)
{
    char file[320];
    store *s = store_with_rows(2);

    (void)state;
    assert_int_equal(put_bytes(s, 2, 1, 1, 10).status, BERTH_OK);

    assert_int_equal(put_bytes(s, 1, 1, 1, BIG).status, BERTH_OK);
    assert_int_equal(snapshot_files(file), 1);
    flip_byte(file, BIG / 2);
    assert_damaged(s, file, "is not what was written");
    flip_byte(file, BIG / 2);
    assert_true(holds_snapshot(s, 1, 1, BIG));

    assert_int_equal(truncate(file, BIG - 1), 0);
    assert_damaged(s, file, "not as long");
    assert_int_equal(truncate(file, BIG + 1), 0);
    assert_damaged(s, file, "not as long");
    assert_int_equal(unlink(file), 0);
    assert_damaged(s, file, "is missing");

    /* The next one cures it. */
    assert_int_equal(put_bytes(s, 1, 1, 2, BIG).status, BERTH_OK);
    assert_true(holds_snapshot(s, 1, 2, BIG));
    assert_int_equal(snapshot_files(file), 1);

    /* What others could have written is not read. */
    assert_int_equal(chmod(file, 0666), 0);
    assert_int_equal(store_get_snapshot(s, a_row(1).entity, &(buf *){NULL}, NULL),
                     BERTH_ERR_PERMISSION);
    store_close(s);
}

static void make_file(const char *name)
{
    int fd = open(in_state(name), O_WRONLY | O_CREAT | O_EXCL, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static void files_that_no_row_names_are_removed_at_open_and_no_others(void **state)
{
    store *s = store_with_rows(1);

    (void)state;
    assert_int_equal(put_bytes(s, 1, 1, 1, BIG).status, BERTH_OK);
    store_close(s);
    make_file("snapshots/0123456789abcdef-0123456789abcdef.bsn");
    make_file("snapshots/.new-0123456789abcdef");
    make_file("snapshots/of-the-operator.bsn");
    make_file("snapshots/0123456789ABCDEF-0123456789abcdef.bsn");
    assert_int_equal(snapshot_files(NULL), 5);

    s = open_store();
    assert_int_equal(snapshot_files(NULL), 3);
    assert_int_equal(access(in_state("snapshots/of-the-operator.bsn"), F_OK), 0);
    assert_true(holds_snapshot(s, 1, 1, BIG));
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_state, remove_state)
        TEST(a_snapshot_of_any_size_comes_back_as_it_was),
        TEST(only_the_latest_file_stays_and_none_after_removal),
        TEST(snapshots_that_supersede_each_other_in_one_group_leave_one_file),
        TEST(clean_goes_with_the_snapshot),
        TEST(a_snapshot_older_than_the_stored_one_is_stale),
        TEST(what_a_removed_daemon_had_reached_is_not_forgotten),
        TEST(a_damaged_snapshot_file_is_the_trouble_of_one_daemon),
        TEST(files_that_no_row_names_are_removed_at_open_and_no_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
