/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Staged containers when the disk fails, when an attempt ends at an awkward moment, and at the end
 * of the store.
 */
#include "unit/store_staging.h"

#include "store/staging.h"

#define BIG (STORE_INLINE_SNAPSHOT + 1000)

static void a_container_that_cannot_be_synced_is_not_there(void **state)
{
    static const struct {
        unsigned at; /* 1: of the file, 2: of the directory */
        int with;
        berth_status status;
    } troubles[] = {
        {1, EIO, BERTH_ERR_IO}, {1, ENOSPC, BERTH_ERR_NO_SPACE}, {2, EIO, BERTH_ERR_IO}};
    store *s = open_store();

    (void)state;
    for (size_t i = 0; i < sizeof troubles / sizeof *troubles; i++) {
        outcome o;

        disk.with = troubles[i].with;
        disk.fail_at = troubles[i].at;
        o = staged_it(s, 1, 1, BIG);
        assert_int_equal(o.status, troubles[i].status);
        assert_int_equal(disk.fail_at, 0);
        assert_non_null(strstr(o.error.text, "snapshots"));
        assert_int_equal(count_files("snapshots"), 0);
        assert_true(nothing_is_staged(s, 1));
        assert_int_equal(staged_it(s, 1, 1, BIG).status, BERTH_OK);
        store_attempt_unstage(s, an_attempt(1).attempt);
        until_files(0);
    }
    store_close(s);
}

/* A commit whose sync failed may be found after a crash: with its base, whatever was said since. */
static void a_prepare_that_is_found_after_all_has_its_base(void **state)
{
    char copy[80], command[400], original[80];
    store *s = open_store();

    (void)state;
    bring(s, 3, S_BARE, 0); /* the log has begun */
    assert_int_equal(staged_it(s, 1, OF_OWNED, BIG).status, BERTH_OK);
    vfs.syncs_left = 1;
    {
        store_attempt a = an_attempt(1);
        buf *rest = a_container(1, OF_STATE, BIG);
        outcome o = {0};

        store_attempt_prepare(s, &a, rest, note_outcome, &o);
        assert_int_equal(waited(s, &o).status, BERTH_ERR_IO);
        buf_unref(rest);
        store_attempt_unstage(s, a.attempt);
    }
    assert_int_equal(staged_it(s, 2, 1, 10).status, BERTH_OK); /* the thread has seen to both */
    assert_int_equal(count_files("snapshots"), 3);
    snprintf(copy, sizeof copy, "%s.copy", state_dir);
    snprintf(command, sizeof command, "cp -r %s %s && rm -f %s/store.db-shm", state_dir, copy,
             copy);
    assert_int_equal(system(command), 0);
    vfs.syncs_left = -1;
    store_close(s);

    strcpy(original, state_dir);
    strcpy(state_dir, copy);
    s = open_store();
    assert_true(is_at(s, 1, T_BASED, BIG));
    assert_int_equal(count_files("snapshots"), 2); /* the one of the second was swept */
    store_close(s);
    remove_tree(copy);
    strcpy(state_dir, original);
}

static store *reading;
static char base_file[320];

/* The file stays, as if it had been opened before it was removed. */
static void end_it(void)
{
    assert_int_equal(link(base_file, in_state("kept")), 0);
    assert_int_equal(went(reading, 1, T_NONE, 0).status, BERTH_OK);
    assert_int_equal(rename(in_state("kept"), base_file), 0);
}

/* Not a base without its rest, as if there had never been one. */
static void an_attempt_that_ends_while_it_is_read_has_no_state(void **state)
{
    store_attempt a = an_attempt(1);
    buf *base = NULL, *rest = NULL;

    (void)state;
    reading = open_store();
    bring(reading, 1, T_BASED, 100);
    strcpy(base_file, only_file());
    vfs.after_read = end_it; /* after the look at the base */
    assert_int_equal(store_attempt_state(reading, a.attempt, &base, &rest, NULL), BERTH_OK);
    assert_null(vfs.after_read);
    assert_null(base);
    assert_null(rest);
    store_close(reading);
}

/* ---- The end ---- */

static void *stop_it(void *g)
{
    staging_stop(g);
    return NULL;
}

static void at_the_end_what_waits_is_cancelled_and_no_file_stays(void **state)
{
    staging_outcome out[4];
    bool closing = false;
    pthread_t stopper;
    staging g;

    (void)state;
    staging_init(&g, state_dir);
    shut_disk();
    for (uint64_t n = 0; n < 4; n++) {
        store_attempt a = an_attempt(n);
        buf *b = a_container(n, 1, 10);

        out[n].o = (outcome){0};
        sem_init(&out[n].done, 0, 0);
        if (n == 3) { /* it comes too late */
            assert_int_equal(pthread_create(&stopper, NULL, stop_it, &g), 0);
            while (!closing) {
                pthread_mutex_lock(&g.mutex);
                closing = g.closing;
                pthread_mutex_unlock(&g.mutex);
            }
        }
        staging_add(&g, a.attempt, slice_of(b->data, b->len), b, note_staged, &out[n]);
        if (n == 0)
            until_disk_waits();
        buf_unref(b);
    }
    open_disk();
    assert_int_equal(until_staged(&out[0]).status, BERTH_OK);
    for (int n = 1; n < 4; n++)
        assert_int_equal(until_staged(&out[n]).status, BERTH_ERR_CANCELLED);
    assert_int_equal(pthread_join(stopper, NULL), 0);
    assert_int_equal(count_files(""), 1);
    staging_fini(&g);
    assert_int_equal(count_files(""), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_state, remove_state)
        TEST(a_container_that_cannot_be_synced_is_not_there),
        TEST(a_prepare_that_is_found_after_all_has_its_base),
        TEST(an_attempt_that_ends_while_it_is_read_has_no_state),
        TEST(at_the_end_what_waits_is_cancelled_and_no_file_stays),
    };

    vfs_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
