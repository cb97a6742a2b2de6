/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store on a disk that is full, fails, or loses power, at every write and every sync that its
 * work contains, one after the other.
 */
#include "unit/store_fixture.h"
#include "unit/store_vfs.h"

#include <sys/wait.h>

#define CHANGES 24
#define GROUP   6
#define BIG     (STORE_INLINE_SNAPSHOT + 1000)

static size_t size_of(uint64_t i)
{
    return i % 3 == 2 ? BIG : 1 + 20000 * (i % 3);
}

/* The i-th change of the work: daemons 0..7 are there; all of them get a snapshot, 8..15 are new,
 * 0..7 get a new epoch. */
static void hand_in(store *s, uint64_t i, outcome *o)
{
    store_daemon row = a_row(i % 16);
    buf *b;

    if (i < 8) {
        b = a_container(i, 50, size_of(i));
        store_put_snapshot(s, row.entity, 1, 50, b, true, note_outcome, o);
        buf_unref(b);
    } else if (i < 16) {
        store_add_daemon(s, &row, note_outcome, o);
    } else {
        row = a_row(i - 16);
        row.epoch = 77;
        store_update_daemon(s, &row, STORE_SET_EPOCH, note_outcome, o);
    }
}

static bool took_effect(store *s, uint64_t i)
{
    static wanted w;

    if (i < 8)
        return find_row(s, i, &w) && w.row.clean && w.row.snapshot_sequence == 50 &&
               holds_snapshot(s, i, 50, size_of(i));
    if (i < 16)
        return find_row(s, i, &w);
    return find_row(s, i - 16, &w) && w.row.epoch == 77;
}

static bool is_as_before(store *s, uint64_t i)
{
    static wanted w;

    if (i < 8)
        return find_row(s, i, &w) && !w.row.clean && w.row.snapshot_sequence == 1 &&
               holds_snapshot(s, i, 1, size_of(i));
    if (i < 16)
        return !find_row(s, i, &w);
    return find_row(s, i - 16, &w) && w.row.epoch == 0;
}

static void prepare(store *s)
{
    for (uint64_t i = 0; i < 8; i++) {
        store_daemon row = a_row(i);

        assert_int_equal(add_row(s, &row).status, BERTH_OK);
        assert_int_equal(put_bytes(s, i, 1, 1, size_of(i)).status, BERTH_OK);
    }
}

static off_t file_size(const char *name)
{
    struct stat st;

    assert_int_equal(stat(in_state(name), &st), 0);
    return st.st_size;
}

/* Did all that was answered OK, and nothing that was answered otherwise. Returns how many failed.
 */
static unsigned assert_truthful(store *s, const outcome *outcomes, berth_status failure)
{
    unsigned failed = 0;

    for (uint64_t i = 0; i < CHANGES; i++) {
        assert_int_equal(outcomes[i].calls, 1);
        if (outcomes[i].status == BERTH_OK) {
            assert_true(took_effect(s, i));
            continue;
        }
        assert_int_equal(outcomes[i].status, failure);
        assert_true(is_as_before(s, i));
        failed++;
    }
    return failed;
}

/* The whole story with one limit; returns how many changes failed. */
static unsigned work_with_trouble(long *limit, long at, berth_status failure)
{
    outcome outcomes[CHANGES] = {0};
    store *s = open_store();
    unsigned failed;
    gate g;

    prepare(s);
    *limit = at;
    for (uint64_t i = 0; i < CHANGES; i++) {
        if (i % GROUP == 0)
            close_gate(s, &g);
        hand_in(s, i, &outcomes[i]);
        if (i % GROUP == GROUP - 1)
            open_gate(s, &g);
    }
    failed = assert_truthful(s, outcomes, failure);
    *limit = -1;

    /* Over: what failed is tried again, and works. */
    for (uint64_t i = 0; i < CHANGES; i++) {
        if (outcomes[i].status == BERTH_OK)
            continue;
        outcomes[i] = (outcome){0};
        hand_in(s, i, &outcomes[i]);
        waited(s, &outcomes[i]);
        assert_int_equal(outcomes[i].status, BERTH_OK);
    }
    assert_int_equal(assert_truthful(s, outcomes, failure), 0);
    store_close(s);

    s = open_store();
    assert_int_equal(assert_truthful(s, outcomes, failure), 0);
    assert_int_equal(count_files("snapshots"), 2); /* of daemons 2 and 5: nothing is left behind */
    store_close(s);
    remove_tree(state_dir);
    assert_int_equal(mkdir(state_dir, 0700), 0);
    return failed;
}

static void a_disk_full_at_any_write_fails_what_does_not_fit_and_nothing_else(void **state)
{
    unsigned rounds_with_both = 0, failed = CHANGES;

    (void)state;
    for (long at = 1; failed; at++) {
        failed = work_with_trouble(&vfs.writes_left, at, BERTH_ERR_NO_SPACE);
        rounds_with_both += failed > 0 && failed < CHANGES;
    }
    assert_true(rounds_with_both > 5);
}

static void a_group_too_large_is_committed_as_far_as_it_fits(void **state)
{
    static const uint64_t small[] = {0, 1, 3, 4, 6, 7};
    unsigned fitted = 0;
    store_daemon row;
    outcome outcomes[9] = {0};
    store *s = open_store();
    gate g;

    (void)state;
    prepare(s);
    close_gate(s, &g);
    /* Three rows, then a snapshot of 16 pages for each of the six daemons that have theirs in the
     * row. */
    for (uint64_t i = 0; i < 9; i++) {
        row = a_row(i < 3 ? 200 + i : small[i - 3]);
        if (i < 3) {
            store_add_daemon(s, &row, note_outcome, &outcomes[i]);
        } else {
            buf *b = a_container(small[i - 3], 60, STORE_INLINE_SNAPSHOT);

            store_put_snapshot(s, row.entity, 1, 60, b, true, note_outcome, &outcomes[i]);
            buf_unref(b);
        }
    }
    vfs.room = file_size("store.db-wal") + 45 * 4200; /* for some of them, not for all */
    open_gate(s, &g);
    vfs.room = -1;
    for (uint64_t i = 0; i < 9; i++) {
        if (i < 3) {
            assert_int_equal(outcomes[i].status, BERTH_OK);
        } else if (outcomes[i].status == BERTH_OK) {
            assert_true(holds_snapshot(s, small[i - 3], 60, STORE_INLINE_SNAPSHOT));
            fitted++;
        } else {
            assert_int_equal(outcomes[i].status, BERTH_ERR_NO_SPACE);
            assert_true(holds_snapshot(s, small[i - 3], 1, size_of(small[i - 3])));
        }
    }
    assert_true(fitted > 0 && fitted < 6);
    store_close(s);
}

static void a_sync_that_fails_is_an_io_error_and_undoes_its_group(void **state)
{
    unsigned rounds_with_failures = 0;

    (void)state;
    for (long at = 1; at < 6; at++)
        rounds_with_failures += work_with_trouble(&vfs.syncs_left, at, BERTH_ERR_IO) > 0;
    assert_true(rounds_with_failures > 0);
}

/* The host dies right after a commit whose sync failed: all of it was written nevertheless, so the
 * log holds a transaction that was reported as failed. What its row names must be there. */
static void a_commit_that_is_found_after_all_has_its_snapshot_file(void **state)
{
    char copy[80], command[400], original[80];
    store *s = open_store();
    static wanted w;

    (void)state;
    prepare(s);
    vfs.syncs_left = 1;
    assert_int_equal(put_bytes(s, 2, 1, 50, BIG).status, BERTH_ERR_IO);
    assert_true(holds_snapshot(s, 2, 1, BIG));
    snprintf(copy, sizeof copy, "%s.copy", state_dir);
    snprintf(command, sizeof command, "cp -r %s %s && rm -f %s/store.db-shm", state_dir, copy,
             copy);
    assert_int_equal(system(command), 0);
    vfs.syncs_left = -1;
    store_close(s);

    strcpy(original, state_dir);
    strcpy(state_dir, copy);
    s = open_store();
    assert_true(find_row(s, 2, &w));
    assert_int_equal(w.row.snapshot_sequence, 50);
    assert_true(holds_snapshot(s, 2, 50, BIG));
    store_close(s);
    remove_tree(copy);
    strcpy(state_dir, original);
}

static void a_disk_full_while_the_store_is_made_leaves_nothing_half_made(void **state)
{
    berth_error error = {0};
    store *s = NULL;
    long at;

    (void)state;
    for (at = 1;; at++) {
        berth_status status;

        vfs.writes_left = at;
        status = store_open(state_dir, &s, &error);
        vfs.writes_left = -1;
        if (!status) {
            store_close(s);
            break;
        }
        assert_int_equal(status, BERTH_ERR_NO_SPACE);
        assert_non_null(strstr(error.text, "no space left"));
        assert_int_equal(access(in_state("store.db.new"), F_OK), -1);
        store_close(open_store());
        remove_tree(state_dir);
        assert_int_equal(mkdir(state_dir, 0700), 0);
    }
    assert_true(at > 5);
}

static store *replacing;

static void replace_snapshot(void)
{
    assert_int_equal(put_bytes(replacing, 2, 1, 50, BIG + 1).status, BERTH_OK);
}

/* The file that the row named is gone before the reader opens it; by then there is a newer one. */
static void a_snapshot_replaced_between_its_row_and_its_file_is_read_anew(void **state)
{
    store *s = open_store();

    (void)state;
    prepare(s);
    assert_true(holds_snapshot(s, 2, 1, BIG)); /* the reader's connection is there */
    replacing = s;
    vfs.after_read = replace_snapshot;
    assert_true(holds_snapshot(s, 2, 50, BIG + 1));
    assert_null(vfs.after_read); /* it was called */
    store_close(s);
}

/* ---- power ---- */

static char disk_dir[80];

typedef struct report {
    int fd;
    uint64_t number;
} report;

static void tell_parent(void *ctx, berth_status status, const berth_error *error)
{
    report *r = ctx;

    (void)error;
    if (status == BERTH_OK && write(r->fd, &r->number, sizeof r->number) != sizeof r->number)
        abort();
}

#define ROUNDS 240

/* Change n: daemon n is added, daemon n - 4 gets a snapshot, daemon n - 8 another. */
static void work_until_cut(int fd)
{
    static report reports[ROUNDS * 3];
    berth_error error;
    store *s;

    if (store_open(state_dir, &s, &error)) {
        print_error("%s\n", error.text);
        _exit(1);
    }
    for (uint64_t n = 0; n < ROUNDS; n++) {
        store_daemon row = a_row(n);

        for (uint64_t k = 0; k < 3; k++)
            reports[3 * n + k] = (report){fd, 3 * n + k};
        store_add_daemon(s, &row, tell_parent, &reports[3 * n]);
        for (uint64_t k = 1; k < 3 && 4 * k <= n; k++) {
            uint64_t i = n - 4 * k;
            size_t len = size_of(i);
            buf *b = a_container(i, k, len);

            row = a_row(i);
            store_put_snapshot(s, row.entity, 1, k, b, false, tell_parent, &reports[3 * n + k]);
            buf_unref(b);
        }
        if (n % 5 == 0)
            store_barrier(s, NULL); /* so that there are many groups */
    }
    store_close(s);
    _exit(0);
}

/* A new store, closed and so on the disk as it is. */
static void make_disk(void)
{
    char command[320];

    snprintf(disk_dir, sizeof disk_dir, "%s.disk", state_dir);
    assert_int_equal(mkdir(disk_dir, 0700), 0);
    store_close(open_store());
    snprintf(command, sizeof command, "cp %s/store.db %s/", state_dir, disk_dir);
    assert_int_equal(system(command), 0);
}

/* What was on the disk, with the snapshot files, which the store syncs itself, becomes the state.
 */
static void restart_after_cut(void)
{
    char from[160], to[160];

    snprintf(from, sizeof from, "%s/snapshots", state_dir);
    snprintf(to, sizeof to, "%s/snapshots", disk_dir);
    assert_int_equal(rename(from, to), 0);
    remove_tree(state_dir);
    assert_int_equal(rename(disk_dir, state_dir), 0);
}

static void assert_reported_is_there(int fd)
{
    uint64_t done[ROUNDS] = {0}, number;
    static wanted w;
    store *s = open_store();

    /* done[i]: 1 added, 2 first snapshot, 4 second */
    while (read(fd, &number, sizeof number) == sizeof number)
        done[number / 3 - 4 * (number % 3)] |= 1u << number % 3;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t least = done[i] & 4 ? 2 : done[i] & 2 ? 1 : 0;

        if (!done[i])
            continue;
        assert_true(find_row(s, i, &w));
        assert_true(w.row.snapshot_sequence >= least);
        if (w.row.has_snapshot)
            assert_true(holds_snapshot(s, i, w.row.snapshot_sequence, size_of(i)));
    }
    store_close(s);
}

static void what_was_reported_done_survives_a_power_cut_at_any_moment(void **state)
{
    bool finished = false;

    (void)state;
    for (long cut = 3; !finished; cut += 41 + cut / 4) {
        int pipe_fds[2], status;
        pid_t pid;

        make_disk();
        assert_int_equal(pipe(pipe_fds), 0);
        assert_true(fcntl(pipe_fds[1], F_SETPIPE_SZ, 1 << 16) >= ROUNDS * 3 * 8);
        pid = fork();
        if (pid == 0) {
            vfs.disk = disk_dir;
            vfs.cut_left = cut;
            vfs.seed = (uint32_t)cut;
            work_until_cut(pipe_fds[1]);
        }
        close(pipe_fds[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_true(WEXITSTATUS(status) == 7 || WEXITSTATUS(status) == 0);
        finished = WEXITSTATUS(status) == 0;

        restart_after_cut();
        assert_reported_is_there(pipe_fds[0]);
        close(pipe_fds[0]);
        remove_tree(state_dir);
        assert_int_equal(mkdir(state_dir, 0700), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_state, remove_state)
        TEST(a_disk_full_at_any_write_fails_what_does_not_fit_and_nothing_else),
        TEST(a_group_too_large_is_committed_as_far_as_it_fits),
        TEST(a_sync_that_fails_is_an_io_error_and_undoes_its_group),
        TEST(a_commit_that_is_found_after_all_has_its_snapshot_file),
        TEST(a_snapshot_replaced_between_its_row_and_its_file_is_read_anew),
        TEST(a_disk_full_while_the_store_is_made_leaves_nothing_half_made),
        TEST(what_was_reported_done_survives_a_power_cut_at_any_moment),
    };

    vfs_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
