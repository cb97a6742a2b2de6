/* SPDX-License-Identifier: Apache-2.0 */
/* Rounds while the daemon goes on (delivery 4): at most eight, shrinking, or not at all. */
#include "migrate_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define KIB ((size_t)1024)

static pair *run(unsigned pieces, const size_t bytes[])
{
    pair *p = pair_new();

    p->source_config.offer.precopy = true;
    p->pieces = pieces;
    memcpy(p->piece_bytes, bytes, pieces * sizeof *bytes);
    pair_begin(p);
    pair_run(p, 250 * SEC);
    assert_true(pair_source(p).over);
    return p;
}

static void without_precopy_there_is_one_piece(void **state)
{
    pair *p = pair_new();

    (void)state;
    p->piece_bytes[0] = 500 * KIB;
    pair_begin(p);
    pair_run(p, 10 * SEC);
    assert_int_equal(p->source_needs[SOURCE_PIECE], 1);
    assert_true(source_outcome(p->source)->moved);
    pair_free(p);
}

static void a_small_state_goes_with_the_gate_closed_at_once(void **state)
{
    pair *p = run(2, (const size_t[]){64 * KIB, 10});

    (void)state;
    assert_int_equal(p->source_needs[SOURCE_PIECE], 2);
    assert_int_equal(pair_source(p).rounds, 0);
    assert_true(source_outcome(p->source)->moved);
    pair_free(p);
}

static void rounds_that_shrink_go_on_until_little_is_left(void **state)
{
    pair *p = run(5, (const size_t[]){1000 * KIB, 500 * KIB, 200 * KIB, 60 * KIB, 0});

    (void)state;
    assert_int_equal(pair_source(p).rounds, 3);
    assert_int_equal(p->source_needs[SOURCE_PIECE], 5);
    assert_int_equal(p->source_needs[SOURCE_THROTTLE], 0);
    assert_true(source_outcome(p->source)->moved);
    pair_free(p);
}

static void a_round_that_does_not_shrink_throttles_once(void **state)
{
    pair *p = run(4, (const size_t[]){400 * KIB, 301 * KIB, 300 * KIB, 300 * KIB});

    (void)state;
    assert_int_equal(p->source_needs[SOURCE_THROTTLE], 1);
    assert_int_equal(pair_source(p).rounds, 2);
    assert_true(source_outcome(p->source)->moved); /* it fits into the hold */
    pair_free(p);
}

static void there_are_at_most_eight_rounds(void **state)
{
    size_t bytes[10] = {8000 * KIB};
    pair *p;

    (void)state;
    for (int i = 1; i < 10; i++)
        bytes[i] = bytes[i - 1] * 3 / 4;
    p = run(10, bytes);
    assert_int_equal(pair_source(p).rounds, 8);
    assert_int_equal(p->source_needs[SOURCE_PIECE], 10);
    assert_true(source_outcome(p->source)->moved);
    pair_free(p);
}

/* delivery 4: else NotConverging and the daemon stays */
static void what_does_not_converge_stays(void **state)
{
    pair *p = pair_new();

    (void)state;
    p->source_config.offer.precopy = true;
    p->source_config.max_hold_ns = 100 * MS;
    p->delay = 10 * MS;
    p->pieces = 1;
    p->piece_bytes[0] = 400 * KIB;
    pair_begin(p);
    pair_run(p, 60 * SEC);
    assert_int_equal(source_outcome(p->source)->reason, MOVE_NOT_CONVERGING);
    assert_int_equal(p->source_needs[SOURCE_PIECE], 3); /* the gate was never closed */
    assert_int_equal(p->source_needs[SOURCE_THROTTLE], 1);
    assert_int_equal(p->source_needs[SOURCE_RESUME], 1);
    pair_free(p);
}

static void a_last_piece_that_grew_stays_too(void **state)
{
    pair *p = pair_new();

    (void)state;
    p->source_config.offer.precopy = true;
    p->source_config.max_hold_ns = 500 * MS;
    p->delay = 10 * MS;
    p->pieces = 3;
    p->piece_bytes[0] = 400 * KIB;
    p->piece_bytes[1] = 10 * KIB;
    p->piece_bytes[2] = 800 * KIB;
    pair_begin(p);
    pair_run(p, 60 * SEC);
    assert_int_equal(source_outcome(p->source)->reason, MOVE_NOT_CONVERGING);
    assert_int_equal(p->source_needs[SOURCE_RESUME], 1);
    assert_int_equal(p->source_needs[SOURCE_RELEASE], 0);
    pair_free(p);
}

static void each_round_is_built_before_the_next_piece(void **state)
{
    pair *p = pair_new();

    (void)state;
    p->source_config.offer.precopy = true;
    p->hold_target = 1u << TARGET_ROUND;
    p->pieces = 4;
    p->piece_bytes[0] = 1000 * KIB;
    p->piece_bytes[1] = 100 * KIB;
    p->piece_bytes[2] = 10 * KIB;
    pair_begin(p);
    for (unsigned round = 1; round <= 3; round++) {
        pair_run(p, 60 * SEC);
        assert_int_equal(p->target_needs[TARGET_ROUND], round);
        assert_int_equal(p->source_needs[SOURCE_PIECE], round); /* however long it takes */
        assert_int_equal(target_round(p->target)->total, p->total);
        assert_false(pair_source(p).over);
        target_built(p->target, BERTH_OK, 0, 0, NULL, p->now);
    }
    pair_run(p, 2 * SEC);
    assert_string_equal(p->trace, "apbpbpbpcPRwoFO");
    assert_true(source_outcome(p->source)->moved);
    pair_free(p);
}

static void a_lost_round_or_its_answer_stalls_nothing(void **state)
{
    static const uint16_t kinds[] = {MESSAGE_MOVE_ROUND, MESSAGE_MOVE_BUILT, MESSAGE_MOVE_GOT,
                                     MESSAGE_MOVE_CHUNK};

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (unsigned times = 1; times <= 3; times++) {
            pair *p = pair_new();

            p->source_config.offer.precopy = true;
            p->pieces = 2;
            p->piece_bytes[0] = 200 * KIB;
            p->piece_bytes[1] = KIB;
            p->lose[kinds[i] % KINDS] = times;
            pair_begin(p);
            pair_run(p, 30 * SEC);
            assert_int_equal(p->lose[kinds[i] % KINDS], 0);
            assert_true(source_outcome(p->source)->moved);
            assert_string_equal(p->trace, "apbpbpcPRwoFO");
            pair_free(p);
        }
}

/* What a round brought may lie elsewhere from then on; what comes again of it does no harm. */
static void bytes_that_are_kept_elsewhere_are_not_missed(void **state)
{
    pair *p = pair_new();
    slice rest;

    (void)state;
    p->source_config.offer.precopy = true;
    p->cut_at = 10;
    p->cut_len = 150 * KIB;
    p->hold_target = 1u << TARGET_CHECK;
    p->pieces = 3;
    p->piece_bytes[0] = 200 * KIB;
    p->piece_bytes[1] = 100 * KIB;
    p->piece_bytes[2] = KIB;
    p->lose[MESSAGE_MOVE_BUILT % KINDS] = 2;
    pair_begin(p);
    pair_run(p, 10 * SEC);
    assert_int_equal(pair_target(p).bytes, 302 * KIB);
    rest = target_stream(p->target);
    assert_int_equal(rest.len, 152 * KIB);
    assert_int_equal(rest.ptr[50 * KIB - 1], 1);
    assert_int_equal(rest.ptr[50 * KIB], 2);
    assert_int_equal(rest.ptr[rest.len - 1], 4);
    for (unsigned at = 0; at < 302; at += 4) { /* all of it once more, as a resend would bring it */
        uint8_t bytes[4096];
        writer w = {0};

        memset(bytes, at < 200 ? 1 : at < 300 ? 2 : 3, sizeof bytes);
        memset(bytes + KIB, at < 200 ? 1 : at < 300 ? 2 : 4, sizeof bytes - KIB);
        move_chunk_write(&w, &(move_chunk){.head = p->source_config.offer.head,
                                           .offset = at * KIB,
                                           .bytes = slice_of(bytes, at < 300 ? 4096 : 2 * KIB)});
        target_message(p->target, p->source_node, slice_of(w.data, w.len), p->now);
        writer_free(&w);
    }
    assert_int_equal(pair_target(p).stage, TARGET_CHECKING);
    target_checked(p->target, BERTH_OK, NULL, p->now);
    pair_run(p, 2 * SEC);
    assert_true(source_outcome(p->source)->moved);
    pair_free(p);
}

static void nothing_is_added_while_a_round_is_built(void **state)
{
    pair *p = pair_new();
    writer w = {0};
    uint64_t total;

    (void)state;
    p->source_config.offer.precopy = true;
    p->hold_target = 1u << TARGET_ROUND;
    p->piece_bytes[0] = 100 * KIB;
    pair_begin(p);
    pair_run(p, SEC);
    total = pair_target(p).bytes;
    assert_int_equal(total, 100 * KIB);
    move_chunk_write(&w, &(move_chunk){.head = p->source_config.offer.head,
                                       .offset = total,
                                       .bytes = slice_str("impatient")});
    assert_false(target_message(p->target, p->source_node, slice_of(w.data, w.len), p->now));
    assert_int_equal(pair_target(p).bytes, total);
    writer_free(&w);
    pair_free(p);
}

static void a_round_that_is_none_ends_it_or_is_ignored(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        pair *p = pair_new();
        buf *m;

        p->source_config.offer.precopy = i != 2;
        p->wrong_hash = i == 0;
        p->build = i == 1 ? BERTH_ERR_SIGNATURE : BERTH_OK;
        move_failed(&p->why, MOVE_STATE_FAILED, "forged");
        p->piece_bytes[0] = 100 * KIB;
        p->hold_target = 1u << TARGET_CHECK;
        pair_begin(p);
        pair_run(p, 2 * SEC);
        if (i < 2) {
            assert_int_equal(source_outcome(p->source)->reason, MOVE_STATE_FAILED);
            assert_int_equal(p->target_needs[TARGET_ROUND], i);
            assert_int_equal(p->source_needs[SOURCE_PIECE], 1); /* it never stopped */
            assert_int_equal(p->source_needs[SOURCE_RESUME], 1);
            assert_int_equal(p->target_needs[TARGET_DROP], 1);
        } else { /* nobody said that there would be rounds */
            m = pair_make(p, MESSAGE_MOVE_ROUND, 9);
            assert_false(
                target_message(p->target, p->source_node, slice_of(m->data, m->len), p->now));
            buf_unref(m);
        }
        pair_free(p);
    }
}

static void only_what_was_sent_can_be_built(void **state)
{
    pair *p = pair_new();
    writer w = {0};
    move_head head = p->source_config.offer.head;

    (void)state;
    p->source_config.offer.precopy = true;
    p->hold_target = 1u << TARGET_ROUND;
    p->piece_bytes[0] = 100 * KIB;
    pair_begin(p);
    pair_run(p, SEC);
    head.kind = MESSAGE_MOVE_BUILT;
    move_got_write(&w, &(move_got){.head = head, .through = 100 * KIB + 1});
    assert_false(source_message(p->source, p->target_node, slice_of(w.data, w.len), p->now));
    w.len = 0;
    move_got_write(&w, &(move_got){.head = head, .through = 100 * KIB - 1});
    source_message(p->source, p->target_node, slice_of(w.data, w.len), p->now);
    pair_pump_source(p);
    assert_int_equal(p->source_needs[SOURCE_PIECE], 1);
    writer_free(&w);
    pair_free(p);
}

static void one_that_is_stopped_while_it_is_built_is_dropped(void **state)
{
    pair *p = pair_new();
    move_outcome why;

    (void)state;
    move_failed(&why, MOVE_CANCELLED, "enough");
    p->source_config.offer.precopy = true;
    p->hold_target = 1u << TARGET_ROUND;
    p->piece_bytes[0] = 100 * KIB;
    pair_begin(p);
    pair_run(p, SEC);
    assert_int_equal(source_abort(p->source, &why, p->now), BERTH_OK);
    pair_run(p, SEC);
    assert_true(pair_source(p).over);
    assert_int_equal(p->target_needs[TARGET_DROP], 0); /* somebody builds it */
    target_built(p->target, BERTH_OK, 0, 0, NULL, p->now);
    pair_run(p, SEC);
    assert_int_equal(p->target_needs[TARGET_DROP], 1);
    assert_int_equal(p->target_needs[TARGET_OVER], 1);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_precopy_there_is_one_piece),
        cmocka_unit_test(a_small_state_goes_with_the_gate_closed_at_once),
        cmocka_unit_test(rounds_that_shrink_go_on_until_little_is_left),
        cmocka_unit_test(a_round_that_does_not_shrink_throttles_once),
        cmocka_unit_test(there_are_at_most_eight_rounds),
        cmocka_unit_test(each_round_is_built_before_the_next_piece),
        cmocka_unit_test(a_lost_round_or_its_answer_stalls_nothing),
        cmocka_unit_test(bytes_that_are_kept_elsewhere_are_not_missed),
        cmocka_unit_test(nothing_is_added_while_a_round_is_built),
        cmocka_unit_test(a_round_that_is_none_ends_it_or_is_ignored),
        cmocka_unit_test(only_what_was_sent_can_be_built),
        cmocka_unit_test(one_that_is_stopped_while_it_is_built_is_dropped),
        cmocka_unit_test(what_does_not_converge_stays),
        cmocka_unit_test(a_last_piece_that_grew_stays_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
