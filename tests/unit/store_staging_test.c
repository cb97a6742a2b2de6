/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers that are on disk before the attempt that they are for: how they become its base and
 * the snapshot of a daemon without being written again, and how they go.
 */
#include "unit/store_staging.h"

#define BIG (STORE_INLINE_SNAPSHOT + 1000)

/* The only file there is, by what would change if it were written anew. */
static ino_t only_inode(void)
{
    struct stat st;

    assert_int_equal(stat(only_file(), &st), 0);
    return st.st_ino;
}

/* ---- On the way ---- */

static void a_container_is_written_once_from_staged_to_the_snapshot(void **state)
{
    static const size_t sizes[] = {1, STORE_INLINE_SNAPSHOT, 5000000};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t len = sizes[i];
        store *s = open_store();
        store_attempt a = an_attempt(1);
        buf *rest = a_container(1, OF_STATE, 30);
        outcome o = {0};
        unsigned syncs;
        ino_t inode;

        assert_int_equal(staged_it(s, 1, OF_OWNED, len).status, BERTH_OK);
        inode = only_inode();
        syncs = disk.syncs;
        assert_true(holds_attempt(s, 1, T_NONE, 0)); /* nothing in the database knows of it */

        store_attempt_prepare(s, &a, rest, note_outcome, &o);
        assert_int_equal(waited(s, &o).status, BERTH_OK);
        buf_unref(rest);
        assert_int_equal(only_inode(), inode);
        s = reopen(s);
        {
            buf *base = NULL;

            rest = NULL;
            assert_int_equal(store_attempt_state(s, a.attempt, &base, &rest, NULL), BERTH_OK);
            assert_true(same_bytes(base, 1, OF_OWNED, len));
            assert_true(same_bytes(rest, 1, OF_STATE, 30));
            buf_unref(base);
            buf_unref(rest);
        }
        assert_int_equal(only_inode(), inode);

        assert_int_equal(went(s, 1, T_OWNED_BASE, 0).status, BERTH_OK);
        assert_true(is_at(s, 1, T_OWNED, len));
        assert_int_equal(only_inode(), inode);
        s = reopen(s);
        assert_true(is_at(s, 1, T_OWNED, len));
        assert_int_equal(only_inode(), inode);
        assert_int_equal(disk.syncs, syncs);

        /* It is a snapshot like any other: the next one takes its place. */
        assert_int_equal(put_bytes(s, 1, INCARNATION, SEQUENCE + 1, 5).status, BERTH_OK);
        assert_int_equal(count_files("snapshots"), 0);
        store_close(s);
        remove_tree(state_dir);
        assert_int_equal(mkdir(state_dir, 0700), 0);
    }
}

static void what_ends_an_attempt_otherwise_removes_its_base(void **state)
{
    static const stage ends[] = {T_NONE, T_REFUSED, T_OWNED};
    store *s = open_store();

    (void)state;
    for (uint64_t n = 0; n < sizeof ends / sizeof *ends; n++) {
        bring(s, n, T_BASED, 10);
        assert_int_equal(count_files("snapshots"), 1);
        assert_int_equal(went(s, n, ends[n], 10).status, BERTH_OK);
        assert_int_equal(count_files("snapshots"), 0);
        assert_true(is_at(s, n, ends[n], 10));
    }
    store_close(s);
}

/* As of store_put_snapshot; and the attempt keeps its base. */
static void a_base_does_not_take_a_daemon_back(void **state)
{
    store *s = open_store();
    store_daemon row = moving_row(1);
    store_attempt back = an_attempt(50);
    uint64_t before;
    outcome o = {0};

    (void)state;
    bring(s, 1, S_HANDED_OVER, BIG); /* at SEQUENCE */
    memcpy(back.entity, row.entity, sizeof back.entity);
    assert_int_equal(staged_it(s, 50, 7, BIG).status, BERTH_OK);
    store_attempt_prepare(s, &back, NULL, note_outcome, &o);
    assert_int_equal(waited(s, &o).status, BERTH_OK);
    before = fingerprint();
    o = (outcome){0};
    store_attempt_own(s, back.attempt, &row, INCARNATION, SEQUENCE - 1, NULL, note_outcome, &o);
    assert_refused(waited(s, &o), BERTH_ERR_STALE, before);
    row.name = "another";
    row.entity[9] ^= 1;
    o = (outcome){0};
    store_attempt_own(s, back.attempt, &row, INCARNATION, SEQUENCE, NULL, note_outcome, &o);
    assert_refused(waited(s, &o), BERTH_ERR_INVALID, before);
    row = moving_row(1);
    o = (outcome){0};
    store_attempt_own(s, back.attempt, &row, INCARNATION, SEQUENCE, NULL, note_outcome, &o);
    assert_int_equal(waited(s, &o).status, BERTH_OK);
    assert_true(holds_mark(s, 1, 0, 0));
    assert_int_equal(put_bytes(s, 1, INCARNATION, SEQUENCE - 1, 5).status, BERTH_ERR_STALE);
    store_close(s);
}

/* ---- What may be staged, and when it may be prepared ---- */

static void an_attempt_has_one_container_at_most(void **state)
{
    store *s = open_store();
    staging_outcome first;
    outcome o;

    (void)state;
    shut_disk();
    stage_it(s, 1, 1, 10, &first);
    until_disk_waits();
    assert_int_equal(staged_it(s, 1, 2, 10).status, BERTH_ERR_EXISTS); /* being written */
    open_disk();
    assert_int_equal(until_staged(&first).status, BERTH_OK);
    o = staged_it(s, 1, 2, 10);
    assert_int_equal(o.status, BERTH_ERR_EXISTS);
    assert_non_null(strstr(o.error.text, "has a container already"));
    assert_int_equal(count_files("snapshots"), 1);
    assert_int_equal(staged_it(s, 2, 2, 10).status, BERTH_OK);
    store_close(s);
    assert_int_equal(count_files("snapshots"), 0);
}

static void what_cannot_be_a_container_is_refused(void **state)
{
    store *s = open_store();
    store_attempt a = an_attempt(1);
    buf *b = buf_copy("x", 1);
    staging_outcome out = {0};

    (void)state;
    assert_int_equal(staged_it(s, 1, 1, 0).status, BERTH_ERR_INVALID);
    sem_init(&out.done, 0, 0);
    store_attempt_stage(s, a.attempt, slice_of(b->data, STORE_SNAPSHOT_MAX + 1), b, note_staged,
                        &out);
    assert_int_equal(until_staged(&out).status, BERTH_ERR_LIMIT);
    store_attempt_stage(s, a.attempt, slice_of(b->data, 0), b, NULL, NULL);
    assert_int_equal(atomic_load(&b->refs), 1);
    buf_unref(b);
    assert_true(nothing_is_staged(s, 1));
    store_close(s);
}

static void what_is_being_written_cannot_be_prepared_yet(void **state)
{
    store *s = open_store();
    store_attempt a = an_attempt(1);
    staging_outcome slow;
    uint64_t before;
    outcome o = {0};

    (void)state;
    before = fingerprint();
    shut_disk();
    stage_it(s, 1, OF_OWNED, 10, &slow);
    until_disk_waits();
    store_attempt_prepare(s, &a, NULL, note_outcome, &o);
    assert_int_equal(waited(s, &o).status, BERTH_ERR_BUSY);
    assert_non_null(strstr(o.error.text, "is being written"));
    assert_true(holds_attempt(s, 1, T_NONE, 0));
    open_disk();
    assert_int_equal(until_staged(&slow).status, BERTH_OK);
    assert_true(fingerprint() != before); /* its file */
    o = (outcome){0};
    store_attempt_prepare(s, &a, NULL, note_outcome, &o);
    assert_int_equal(waited(s, &o).status, BERTH_OK);
    {
        buf *base = NULL, *rest = NULL;

        assert_int_equal(store_attempt_state(s, a.attempt, &base, &rest, NULL), BERTH_OK);
        assert_true(same_bytes(base, 1, OF_OWNED, 10));
        assert_null(rest);
        buf_unref(base);
    }
    store_close(s);
}

typedef struct following {
    store *s;
    outcome prepared;
    sem_t done;
} following;

static void note_following(void *ctx, berth_status status, const berth_error *error)
{
    following *f = ctx;

    note_outcome(&f->prepared, status, error);
    sem_post(&f->done);
}

static void prepare_now(void *ctx, berth_status status, const berth_error *error)
{
    following *f = ctx;
    store_attempt a = an_attempt(1);

    (void)error;
    assert_int_equal(status, BERTH_OK);
    store_attempt_prepare(f->s, &a, NULL, note_following, f);
}

static void it_can_be_prepared_from_the_done_function(void **state)
{
    following f = {.s = open_store()};
    store_attempt a = an_attempt(1);
    buf *b = a_container(1, OF_OWNED, BIG);

    (void)state;
    sem_init(&f.done, 0, 0);
    store_attempt_stage(f.s, a.attempt, slice_of(b->data, b->len), b, prepare_now, &f);
    buf_unref(b);
    while (sem_wait(&f.done) != 0)
        ;
    sem_destroy(&f.done);
    assert_int_equal(f.prepared.status, BERTH_OK);
    assert_int_equal(count_files("snapshots"), 1);
    store_close(f.s);
}

/* The disk takes its time over a container: what others hand in reaches it meanwhile. */
static void a_container_that_is_being_written_delays_no_change(void **state)
{
    store *s = open_store();
    store_daemon row = a_row(7);
    staging_outcome slow;

    (void)state;
    shut_disk();
    stage_it(s, 1, 1, 3000000, &slow);
    until_disk_waits();
    assert_int_equal(add_row(s, &row).status, BERTH_OK);
    assert_int_equal(put_bytes(s, 7, 1, 1, BIG).status, BERTH_OK);
    assert_true(holds_snapshot(s, 7, 1, BIG));
    assert_int_equal(slow.o.calls, 0);
    open_disk();
    assert_int_equal(until_staged(&slow).status, BERTH_OK);
    store_close(s);
}

/* ---- Giving up ---- */

static void what_is_unstaged_is_gone_as_often_as_one_says_so(void **state)
{
    store *s = open_store();
    store_attempt a = an_attempt(1);

    (void)state;
    store_attempt_unstage(s, a.attempt); /* there was nothing */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(staged_it(s, 1, 1, BIG).status, BERTH_OK);
        store_attempt_unstage(s, a.attempt);
        store_attempt_unstage(s, a.attempt);
        assert_true(nothing_is_staged(s, 1));
    }
    until_files(0);
    store_close(s);
}

static void what_is_unstaged_while_it_is_written_or_waits_is_cancelled(void **state)
{
    store *s = open_store();
    staging_outcome written, waiting, again;

    (void)state;
    shut_disk();
    stage_it(s, 1, 1, BIG, &written);
    until_disk_waits();
    stage_it(s, 2, 1, BIG, &waiting);
    store_attempt_unstage(s, an_attempt(1).attempt);
    store_attempt_unstage(s, an_attempt(2).attempt);
    assert_true(nothing_is_staged(s, 1));
    stage_it(s, 1, OF_OWNED, 20, &again); /* another one has its place at once */
    open_disk();
    assert_int_equal(until_staged(&written).status, BERTH_ERR_CANCELLED);
    assert_int_equal(until_staged(&waiting).status, BERTH_ERR_CANCELLED);
    assert_int_equal(until_staged(&again).status, BERTH_OK);
    assert_int_equal(count_files("snapshots"), 1);
    assert_int_equal(went(s, 1, T_BASED, 20).status, BERTH_OK); /* EXISTS to stage: it is there */
    assert_true(is_at(s, 1, T_BASED, 20));
    store_close(s);
}

static void what_a_change_refers_to_stays_until_its_fate_is_known(void **state)
{
    store *s = open_store();
    store_attempt rival = an_attempt(3), a = an_attempt(1), b = an_attempt(2);
    outcome o[3] = {0};
    gate g;

    (void)state;
    bring(s, 3, T_PREPARED, 10);
    memcpy(b.entity, rival.entity, sizeof b.entity);
    assert_int_equal(staged_it(s, 1, OF_OWNED, 10).status, BERTH_OK);
    assert_int_equal(staged_it(s, 2, OF_OWNED, 10).status, BERTH_OK);
    close_gate(s, &g);
    store_attempt_prepare(s, &a, NULL, note_outcome, &o[0]);
    store_attempt_prepare(s, &a, NULL, note_outcome, &o[1]);
    store_attempt_prepare(s, &b, NULL, note_outcome, &o[2]);
    store_attempt_unstage(s, a.attempt);
    store_attempt_unstage(s, b.attempt);
    assert_int_equal(staged_it(s, 9, 1, 10).status, BERTH_OK); /* the thread has seen to them */
    assert_int_equal(count_files("snapshots"), 3);
    open_gate(s, &g);
    assert_int_equal(o[0].status, BERTH_OK);
    assert_int_equal(o[1].status, BERTH_ERR_BUSY);
    assert_int_equal(o[2].status, BERTH_ERR_BUSY); /* its entity is being moved */
    store_attempt_unstage(s, an_attempt(9).attempt);
    until_files(1); /* that of the first is the attempt's own */
    s = reopen(s);
    assert_int_equal(went(s, 1, T_OWNED_BASE, 0).status, BERTH_OK);
    assert_true(is_at(s, 1, T_OWNED, 10));
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_state, remove_state)
        TEST(a_container_is_written_once_from_staged_to_the_snapshot),
        TEST(what_ends_an_attempt_otherwise_removes_its_base),
        TEST(a_base_does_not_take_a_daemon_back),
        TEST(an_attempt_has_one_container_at_most),
        TEST(what_cannot_be_a_container_is_refused),
        TEST(what_is_being_written_cannot_be_prepared_yet),
        TEST(it_can_be_prepared_from_the_done_function),
        TEST(a_container_that_is_being_written_delays_no_change),
        TEST(what_is_unstaged_is_gone_as_often_as_one_says_so),
        TEST(what_is_unstaged_while_it_is_written_or_waits_is_cancelled),
        TEST(what_a_change_refers_to_stays_until_its_fate_is_known),
    };

    vfs_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
