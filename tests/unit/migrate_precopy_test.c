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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_precopy_there_is_one_piece),
        cmocka_unit_test(a_small_state_goes_with_the_gate_closed_at_once),
        cmocka_unit_test(rounds_that_shrink_go_on_until_little_is_left),
        cmocka_unit_test(a_round_that_does_not_shrink_throttles_once),
        cmocka_unit_test(there_are_at_most_eight_rounds),
        cmocka_unit_test(what_does_not_converge_stays),
        cmocka_unit_test(a_last_piece_that_grew_stays_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
