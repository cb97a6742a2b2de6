/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/store_attempts.h"
#include "unit/store_vfs.h"

#define BIG (STORE_INLINE_SNAPSHOT + 1000)

static outcome expired(store *s, int64_t now)
{
    outcome o = {0};

    store_attempts_expire(s, now, note_outcome, &o);
    return waited(s, &o);
}

static outcome owned_as(store *s, uint64_t n, const store_daemon *row, uint64_t incarnation,
                        uint64_t sequence, size_t len)
{
    store_attempt a = an_attempt(n);
    buf *b = len ? a_container(n, sequence, len) : NULL;
    outcome o = {0};

    store_attempt_own(s, a.attempt, row, incarnation, sequence, b, note_outcome, &o);
    buf_unref(b);
    return waited(s, &o);
}

/* ---- Steps ---- */

static void each_stage_survives_the_host_with_all_that_belongs_to_it(void **state)
{
    static const size_t sizes[] = {1, STORE_INLINE_SNAPSHOT, BIG, 3000000};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        store *s = open_store();
        unsigned files = 0;

        for (uint64_t n = 0; n < STAGES; n++) {
            bring(s, n, (stage)n, sizes[i]);
            assert_true(is_at(s, n, (stage)n, sizes[i]));
            files += files_at((stage)n, sizes[i]);
        }
        assert_int_equal(count_files("snapshots"), files);
        s = reopen(s);
        for (uint64_t n = 0; n < STAGES; n++)
            assert_true(is_at(s, n, (stage)n, sizes[i]));
        assert_int_equal(count_files("snapshots"), files);
        store_close(s);
        remove_tree(state_dir);
        assert_int_equal(mkdir(state_dir, 0700), 0);
    }
}

/* Every function at every stage: what may be is, everything else is refused and changes nothing. */
static void a_step_is_taken_from_its_own_phase_only(void **state)
{
#define O  BERTH_OK
#define B  BERTH_ERR_BUSY
#define E  BERTH_ERR_EXISTS
#define NF BERTH_ERR_NOT_FOUND
    static const berth_status expected[STAGES][STAGES] = {
        /* at  T_NONE PREP OWN REFUSED BASED OWN_BASE S_BARE S_NONE RELEASED OVER BACK */
        [T_NONE] = {NF, O, NF, O, O, NF, O, NF, O, NF, NF},
        [T_PREPARED] = {O, E, O, O, E, O, O, NF, E, B, B},
        [T_OWNED] = {B, E, B, B, E, B, E, BERTH_ERR_STALE, E, B, B},
        [T_REFUSED] = {B, E, B, B, E, B, O, NF, E, B, B},
        [T_BASED] = {O, E, O, O, E, O, O, NF, E, B, B},
        [T_OWNED_BASE] = {B, E, B, B, E, B, E, BERTH_ERR_STALE, E, B, B},
        [S_BARE] = {NF, O, NF, O, O, NF, E, O, O, NF, NF},
        [S_NONE] = {NF, O, NF, O, O, NF, E, O, O, NF, NF},
        [S_RELEASED] = {B, E, B, B, E, B, E, O, E, O, O},
        [S_HANDED_OVER] = {B, E, B, B, E, B, BERTH_ERR_REFUSED, NF, E, B, B},
        [S_TAKEN_BACK] = {B, E, B, B, E, B, E, BERTH_ERR_STALE, E, B, B},
    };
#undef O
#undef B
#undef E
#undef NF
    static const size_t sizes[] = {100, BIG};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (stage from = 0; from < STAGES; from++)
            for (stage to = 0; to < STAGES; to++) {
                store *s;
                uint64_t before;
                outcome o;

                if (sizes[i] == BIG && !files_at(to, BIG))
                    continue;
                s = open_store();
                bring(s, 1, from, sizes[i]);
                before = fingerprint();
                o = went(s, 1, to, sizes[i]);
                if (o.status != expected[from][to])
                    fail_msg("from %d to %d: %d %s", from, to, o.status, o.error.text);
                if (o.status)
                    assert_refused(o, expected[from][to], before);
                else if (phase_at(to))
                    assert_true(holds_attempt(s, 1, to, sizes[i]));
                store_close(s);
                remove_tree(state_dir);
                assert_int_equal(mkdir(state_dir, 0700), 0);
            }
}

static void an_entity_has_one_open_attempt_at_most(void **state)
{
    static const stage open[] = {T_PREPARED, S_RELEASED};
    store *s = open_store();

    (void)state;
    for (uint64_t n = 0; n < 2; n++) {
        store_attempt other = an_attempt(n + 100);
        uint64_t before;
        outcome o = {0};
        buf *b = a_container(n, 3, BIG);

        bring(s, n, open[n], 10);
        before = fingerprint();
        memcpy(other.entity, an_attempt(n).entity, sizeof other.entity);
        store_attempt_prepare(s, &other, b, note_outcome, &o);
        assert_refused(waited(s, &o), BERTH_ERR_BUSY, before);
        o = (outcome){0};
        store_attempt_release(s, &other, b, note_outcome, &o);
        assert_refused(waited(s, &o), BERTH_ERR_BUSY, before);
        assert_non_null(strstr(o.error.text, n ? "released" : "prepared"));

        /* Once it has ended, another may begin. */
        assert_int_equal(went(s, n, n ? S_TAKEN_BACK : T_NONE, 10).status, BERTH_OK);
        o = (outcome){0};
        store_attempt_prepare(s, &other, b, note_outcome, &o);
        assert_int_equal(waited(s, &o).status, BERTH_OK);
        buf_unref(b);
    }
    store_close(s);
}

static void an_attempt_may_be_without_state_row_and_container(void **state)
{
    store *s = open_store();
    store_attempt a = an_attempt(1), b = an_attempt(2), c = an_attempt(3);
    store_daemon row = moving_row(2);
    buf *got = NULL;
    outcome o[6] = {0};
    static wanted w;

    (void)state;
    store_attempt_release(s, &a, NULL, note_outcome, &o[0]);
    store_attempt_prepare(s, &b, NULL, note_outcome, &o[1]);
    store_attempt_release(s, &c, NULL, note_outcome, &o[2]);
    store_barrier(s, NULL);
    assert_int_equal(store_attempt_state(s, b.attempt, NULL, &got, NULL), BERTH_OK);
    assert_null(got);

    store_attempt_hand_over(s, a.attempt, 3, 4, note_outcome, &o[3]);
    store_attempt_own(s, b.attempt, &row, 0, 0, NULL, note_outcome, &o[4]);
    {
        buf *container = a_container(3, 1, BIG);

        store_attempt_take_back(s, c.attempt, 9, slice_of(NULL, 0), 1, 1, container, note_outcome,
                                &o[5]);
        buf_unref(container);
    }
    store_barrier(s, NULL);
    for (int i = 0; i < 6; i++)
        if (o[i].status)
            fail_msg("%d: %s", i, o[i].error.text);
    assert_true(holds_mark(s, 1, 3, 4));
    assert_true(find_row(s, 2, &w));
    assert_false(w.row.has_snapshot);
    assert_false(find_row(s, 3, &w));
    assert_int_equal(count_files("snapshots"), 0);
    store_close(s);
}

static void a_daemon_that_is_taken_back_without_news_is_as_it_was(void **state)
{
    store *s = open_store();
    store_attempt a = an_attempt(1);
    static wanted w;
    outcome o = {0};

    (void)state;
    bring(s, 1, S_RELEASED, BIG);
    store_attempt_take_back(s, a.attempt, 77, slice_of(NULL, 0), 0, 0, NULL, note_outcome, &o);
    assert_int_equal(waited(s, &o).status, BERTH_OK);
    assert_true(find_row(s, 1, &w));
    assert_int_equal(w.row.desired, STORE_RUN);
    assert_int_equal(w.row.epoch, 77);
    assert_int_equal(w.row.incarnation, INCARNATION);
    assert_true(slice_eq(w.row.identity, slice_str("sealed")));
    assert_true(holds_snapshot(s, 1, OF_FIRST, BIG));
    assert_int_equal(count_files("snapshots"), 1);
    store_close(s);
}

static void a_daemon_is_not_taken_back_to_before_its_snapshot(void **state)
{
    store *s = open_store();
    uint64_t before;

    (void)state;
    bring(s, 1, S_RELEASED, BIG);
    assert_int_equal(put_bytes(s, 1, INCARNATION, OF_BACK + 1, BIG).status, BERTH_OK);
    before = fingerprint();
    assert_refused(went(s, 1, S_TAKEN_BACK, BIG), BERTH_ERR_STALE, before);
    assert_true(holds_snapshot(s, 1, OF_BACK + 1, BIG));
    assert_true(holds_attempt(s, 1, S_RELEASED, BIG));
    store_close(s);
}

/* ---- What is here already ---- */

/* From here, and back by another attempt: as often as one likes. */
static void a_daemon_that_returns_takes_the_place_of_its_mark(void **state)
{
    store *s = open_store();
    store_daemon row = moving_row(1);
    store_attempt back = an_attempt(50);
    uint64_t before;
    outcome o = {0};

    (void)state;
    bring(s, 1, S_HANDED_OVER, BIG);
    memcpy(back.entity, row.entity, sizeof back.entity);
    store_attempt_prepare(s, &back, NULL, note_outcome, &o);
    assert_int_equal(waited(s, &o).status, BERTH_OK);
    before = fingerprint();
    assert_refused(owned_as(s, 50, &row, INCARNATION, SEQUENCE - 1, BIG), BERTH_ERR_STALE, before);
    assert_refused(owned_as(s, 50, &row, INCARNATION - 1, SEQUENCE + 9, 10), BERTH_ERR_STALE,
                   before);
    assert_int_equal(owned_as(s, 50, &row, INCARNATION, SEQUENCE, BIG).status, BERTH_OK);
    assert_true(holds_mark(s, 1, 0, 0));
    s = reopen(s);
    assert_int_equal(count_files("snapshots"), 1);
    assert_int_equal(put_bytes(s, 1, INCARNATION, SEQUENCE, 5).status, BERTH_OK);
    assert_int_equal(put_bytes(s, 1, INCARNATION, SEQUENCE - 1, 5).status, BERTH_ERR_STALE);
    store_close(s);
}

static void a_daemon_that_returns_takes_the_place_of_its_moved_row(void **state)
{
    store *s = open_store();
    store_daemon row = a_row(1), gone = {.desired = STORE_MOVED, .incarnation = 4};
    store_attempt a = an_attempt(1);
    uint64_t before;
    static wanted w;
    outcome o = {0};

    (void)state;
    bring(s, 1, S_NONE, BIG); /* incarnation 5, its snapshot at 1 */
    memcpy(gone.entity, row.entity, sizeof gone.entity);
    store_attempt_prepare(s, &a, NULL, note_outcome, &o);
    assert_int_equal(waited(s, &o).status, BERTH_OK);
    before = fingerprint();
    row = moving_row(1);
    assert_refused(owned_as(s, 1, &row, 9, 9, BIG), BERTH_ERR_EXISTS, before); /* it runs here */

    assert_int_equal(update_row(s, &gone, STORE_SET_DESIRED).status, BERTH_OK);
    before = fingerprint();
    assert_refused(owned_as(s, 1, &row, 5, 0, BIG), BERTH_ERR_STALE, before); /* the snapshot */
    gone.incarnation = 7;
    assert_int_equal(update_row(s, &gone, STORE_SET_INCARNATION).status, BERTH_OK);
    before = fingerprint();
    assert_refused(owned_as(s, 1, &row, 6, 100, BIG), BERTH_ERR_STALE, before); /* the row */

    /* What the row has reserved above its snapshot does not count: 4096, against 20. */
    assert_int_equal(owned_as(s, 1, &row, 7, 20, BIG).status, BERTH_OK);
    assert_true(find_row(s, 1, &w));
    assert_int_equal(w.row.desired, STORE_RUN);
    assert_int_equal(w.row.epoch, 1001);
    assert_true(holds_snapshot(s, 1, 20, BIG));
    assert_int_equal(count_files("snapshots"), 1);
    assert_int_equal(count_rows(s), 1);
    store_close(s);
}

static void what_is_taken_is_not_owned(void **state)
{
    store *s = open_store();
    store_daemon holder = a_row(20), row = moving_row(1);
    uint64_t before;

    (void)state;
    assert_int_equal(add_row(s, &holder).status, BERTH_OK);
    bring(s, 1, T_PREPARED, BIG);
    before = fingerprint();
    row.name = "daemon-20";
    assert_refused(owned_as(s, 1, &row, 1, 1, BIG), BERTH_ERR_EXISTS, before);
    row = moving_row(1);
    row.origin = holder.origin;
    assert_refused(owned_as(s, 1, &row, 1, 1, BIG), BERTH_ERR_EXISTS, before);
    row = moving_row(2); /* not the one that is moved */
    assert_refused(owned_as(s, 1, &row, 1, 1, BIG), BERTH_ERR_INVALID, before);
    {
        store_attempt a = an_attempt(1);
        outcome o = {0};

        a.entity[0] ^= 1;
        store_attempt_refuse(s, &a, note_outcome, &o);
        assert_refused(waited(s, &o), BERTH_ERR_INVALID, before);
    }
    row = moving_row(1);
    assert_int_equal(owned_as(s, 1, &row, 1, 1, BIG).status, BERTH_OK);
    store_close(s);
}

static void a_daemon_that_is_on_its_way_is_not_added(void **state)
{
    store *s = open_store();
    store_daemon row = a_row(1), other = a_row(2);
    store_attempt a = an_attempt(3);
    uint64_t before;
    outcome o = {0};

    (void)state;
    bring(s, 1, S_RELEASED, 10);
    store_attempt_release(s, &a, NULL, note_outcome, &o); /* it has no row */
    assert_int_equal(waited(s, &o).status, BERTH_OK);
    before = fingerprint();
    o = add_row(s, &row);
    assert_refused(o, BERTH_ERR_EXISTS, before);
    assert_non_null(strstr(o.error.text, "on its way to another host"));
    other.name = row.name;
    o = add_row(s, &other);
    assert_refused(o, BERTH_ERR_EXISTS, before);
    assert_non_null(strstr(o.error.text, "its name"));
    assert_non_null(strstr(o.error.text, "on its way to another host"));
    row = a_row(3);
    o = add_row(s, &row);
    assert_refused(o, BERTH_ERR_EXISTS, before);
    assert_non_null(strstr(o.error.text, "on its way to another host"));
    store_close(s);
}

/* ---- Time ---- */

static void ended_attempts_go_when_their_time_has_passed(void **state)
{
    store *s = open_store();

    (void)state;
    for (uint64_t n = 0; n < STAGES; n++)
        bring(s, n, (stage)n, 10);
    for (uint64_t n = 0; n < STAGES; n++) {
        assert_int_equal(expired(s, (int64_t)n + 10).status, BERTH_OK); /* just not yet */
        assert_true(is_at(s, n, (stage)n, 10));
        assert_int_equal(expired(s, (int64_t)n + 11).status, BERTH_OK);
        if (is_open((stage)n))
            assert_true(is_at(s, n, (stage)n, 10));
        else
            assert_true(holds_attempt(s, n, T_NONE, 10));
    }
    assert_int_equal(expired(s, INT64_MAX).status, BERTH_OK);
    assert_true(is_at(s, T_PREPARED, T_PREPARED, 10));
    assert_true(is_at(s, S_RELEASED, S_RELEASED, 10));
    store_close(s);
}

/* The source asks again about what was owned here: a refusal now would make two of it. */
static void what_may_have_been_owned_and_is_forgotten_is_not_refused(void **state)
{
    store *s = open_store();
    uint64_t before;

    (void)state;
    bring(s, 7, T_REFUSED, 10);
    assert_int_equal(expired(s, 1000).status, BERTH_OK);
    assert_int_equal(went(s, 7, T_REFUSED, 10).status, BERTH_OK); /* none was owned yet */
    for (uint64_t n = 5; n >= 4; n--) {                           /* the later one counts */
        bring(s, n, T_OWNED, 10);
        assert_int_equal(expired(s, 1000).status, BERTH_OK);
    }
    s = reopen(s);
    before = fingerprint();
    assert_refused(went(s, 5, T_REFUSED, 10), BERTH_ERR_STALE, before);
    assert_refused(went(s, 3, T_REFUSED, 10), BERTH_ERR_STALE, before);
    assert_int_equal(went(s, 6, T_REFUSED, 10).status, BERTH_OK);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_state, remove_state)
        TEST(each_stage_survives_the_host_with_all_that_belongs_to_it),
        TEST(a_step_is_taken_from_its_own_phase_only),
        TEST(an_entity_has_one_open_attempt_at_most),
        TEST(an_attempt_may_be_without_state_row_and_container),
        TEST(a_daemon_that_is_taken_back_without_news_is_as_it_was),
        TEST(a_daemon_is_not_taken_back_to_before_its_snapshot),
        TEST(a_daemon_that_returns_takes_the_place_of_its_mark),
        TEST(a_daemon_that_returns_takes_the_place_of_its_moved_row),
        TEST(what_is_taken_is_not_owned),
        TEST(a_daemon_that_is_on_its_way_is_not_added),
        TEST(ended_attempts_go_when_their_time_has_passed),
        TEST(what_may_have_been_owned_and_is_forgotten_is_not_refused),
    };

    vfs_install(); /* without it every commit would wait for the disk */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
