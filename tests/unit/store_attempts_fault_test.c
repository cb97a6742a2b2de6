/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of migrations in groups, and on a disk that is full or fails at every write and every
 * sync that its steps contain, one after the other.
 */
#include "unit/store_attempts.h"
#include "unit/store_vfs.h"

#define BIG (STORE_INLINE_SNAPSHOT + 1000)

/* Every step there is, and once more those that write files, with something that needs one. */
static const struct {
    stage from, to;
} steps[] = {
    {T_NONE, T_PREPARED},
    {T_PREPARED, T_NONE},
    {T_PREPARED, T_OWNED},
    {T_NONE, T_REFUSED},
    {T_PREPARED, T_REFUSED},
    {T_BASED, T_NONE},
    {T_BASED, T_OWNED_BASE},
    {S_NONE, S_RELEASED},
    {S_RELEASED, S_HANDED_OVER},
    {S_RELEASED, S_TAKEN_BACK},
    /* files: */
    {T_NONE, T_PREPARED},
    {T_PREPARED, T_OWNED},
    {S_NONE, S_RELEASED},
    {S_RELEASED, S_TAKEN_BACK},
    {T_NONE, T_BASED},
    {T_BASED, T_OWNED_BASE},
    {T_BASED, T_OWNED},
};
#define WORK  (sizeof steps / sizeof *steps)
#define SMALL 10

static size_t size_of(uint64_t n)
{
    return n < SMALL ? 6000 : BIG;
}

static unsigned files_expected(const outcome *outcomes)
{
    unsigned files = 0;

    for (uint64_t n = 0; n < WORK; n++) {
        files += files_at(outcomes[n].status ? steps[n].from : steps[n].to, size_of(n));
        files += outcomes[n].status && steps[n].to == T_BASED; /* staged, and still so */
    }
    return files;
}

/* What was answered OK is done, the rest is whole as it was. Returns how many failed. */
static unsigned assert_truthful(store *s, const outcome *outcomes, berth_status failure)
{
    unsigned failed = 0;

    for (uint64_t n = 0; n < WORK; n++) {
        stage want = outcomes[n].status ? steps[n].from : steps[n].to;

        assert_int_equal(outcomes[n].calls, 1);
        if (outcomes[n].status)
            assert_int_equal(outcomes[n].status, failure);
        if (!is_at(s, n, want, size_of(n)))
            fail_msg("attempt %u is not at stage %u", (unsigned)n, (unsigned)want);
        failed += outcomes[n].status != BERTH_OK;
    }
    return failed;
}

static unsigned work_with_trouble(long *limit, long at, uint64_t group, berth_status failure)
{
    outcome outcomes[WORK] = {0};
    store *s = open_store();
    unsigned failed;
    gate g;

    for (uint64_t n = 0; n < WORK; n++)
        bring(s, n, steps[n].from, size_of(n));
    *limit = at;
    for (uint64_t n = 0; n < WORK; n++) {
        if (n % group == 0)
            close_gate(s, &g);
        go(s, n, steps[n].to, size_of(n), note_outcome, &outcomes[n]);
        if (n % group == group - 1 || n == WORK - 1)
            open_gate(s, &g);
    }
    failed = assert_truthful(s, outcomes, failure);
    if (failure == BERTH_ERR_NO_SPACE) /* after a failed sync the files of both sides stay */
        assert_int_equal(count_files("snapshots"), files_expected(outcomes));
    *limit = -1;

    /* Over: what failed is tried again, and works. */
    for (uint64_t n = 0; n < WORK; n++)
        if (outcomes[n].status) {
            outcomes[n] = went(s, n, steps[n].to, size_of(n));
            assert_int_equal(outcomes[n].status, BERTH_OK);
        }
    assert_int_equal(assert_truthful(s, outcomes, failure), 0);
    s = reopen(s);
    assert_int_equal(assert_truthful(s, outcomes, failure), 0);
    assert_int_equal(count_files("snapshots"), files_expected(outcomes));
    store_close(s);
    remove_tree(state_dir);
    assert_int_equal(mkdir(state_dir, 0700), 0);
    return failed;
}

static void a_disk_full_at_any_write_fails_what_does_not_fit_and_nothing_else(void **state)
{
    unsigned rounds_with_both = 0, failed = WORK;

    (void)state;
    for (long at = 1; failed; at++) {
        failed = work_with_trouble(&vfs.writes_left, at, 4, BERTH_ERR_NO_SPACE);
        rounds_with_both += failed > 0 && failed < WORK;
    }
    assert_true(rounds_with_both > 5);
}

static void a_sync_that_fails_is_an_io_error_and_undoes_its_group(void **state)
{
    unsigned rounds_with_failures = 0;

    (void)state;
    for (long at = 1; at < 7; at++)
        rounds_with_failures += work_with_trouble(&vfs.syncs_left, at, 5, BERTH_ERR_IO) > 0;
    assert_true(rounds_with_failures > 0);
}

/* The host dies right after a commit whose sync failed, and it is found after all: with its file.
 */
static void a_commit_that_is_found_after_all_has_its_state(void **state)
{
    char copy[80], command[400], original[80];
    store *s = open_store();

    (void)state;
    bring(s, 1, S_NONE, BIG);
    vfs.syncs_left = 1;
    assert_int_equal(went(s, 1, S_RELEASED, BIG).status, BERTH_ERR_IO);
    assert_true(is_at(s, 1, S_NONE, BIG));
    snprintf(copy, sizeof copy, "%s.copy", state_dir);
    snprintf(command, sizeof command, "cp -r %s %s && rm -f %s/store.db-shm", state_dir, copy,
             copy);
    assert_int_equal(system(command), 0);
    vfs.syncs_left = -1;
    store_close(s);

    strcpy(original, state_dir);
    strcpy(state_dir, copy);
    s = open_store();
    assert_true(is_at(s, 1, S_RELEASED, BIG));
    store_close(s);
    remove_tree(copy);
    strcpy(state_dir, original);
}

static void steps_handed_in_together_are_committed_together(void **state)
{
    static outcome outcomes[3000];
    store *s = open_store();
    store_stats before, after;
    gate g;

    (void)state;
    close_gate(s, &g);
    store_get_stats(s, &before);
    /* Three steps of each, one after the other in the same transaction. */
    for (uint64_t n = 0; n < 1000; n++) {
        size_t len = n % 100 ? 50 : BIG;

        go(s, n, T_PREPARED, len, note_outcome, &outcomes[3 * n]);
        go(s, n, n % 2 ? T_OWNED : T_REFUSED, len, note_outcome, &outcomes[3 * n + 1]);
        go(s, n, T_PREPARED, len, note_outcome, &outcomes[3 * n + 2]); /* once more: EXISTS */
    }
    open_gate(s, &g);
    store_get_stats(s, &after);
    assert_int_equal(after.commits - before.commits, 1);
    for (uint64_t n = 0; n < 1000; n++) {
        assert_int_equal(outcomes[3 * n].status, BERTH_OK);
        assert_int_equal(outcomes[3 * n + 1].status, BERTH_OK);
        assert_int_equal(outcomes[3 * n + 2].status, BERTH_ERR_EXISTS);
    }
    for (uint64_t n = 0; n < 1000; n += n % 100 ? 99 : 1) /* of both sizes and kinds */
        assert_true(is_at(s, n, n % 2 ? T_OWNED : T_REFUSED, n % 100 ? 50 : BIG));
    assert_int_equal(count_files("snapshots"), 0); /* those of n % 100 were refused */
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_state, remove_state)
        TEST(a_disk_full_at_any_write_fails_what_does_not_fit_and_nothing_else),
        TEST(a_sync_that_fails_is_an_io_error_and_undoes_its_group),
        TEST(a_commit_that_is_found_after_all_has_its_state),
        TEST(steps_handed_in_together_are_committed_together),
    };

    vfs_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
