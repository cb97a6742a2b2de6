/* SPDX-License-Identifier: Apache-2.0 */
/* The side that is asked has bounds for all that it runs and keeps, and what they cost is told. */
#include "mesh_call_server.h"

static void one_node_cannot_run_too_much(void **state)
{
    side *s = side_new(&(call_server_config){.max_running = 3});

    (void)state;
    for (uint64_t i = 1; i <= 5; i++)
        ask(s, A, i);
    assert_int_equal(s->executed, 3);
    expect_answer(s, A, 4, CALL_BACKPRESSURE);
    expect_answer(s, A, 5, CALL_BACKPRESSURE);
    assert_int_equal(stats_of(s).backpressure, 2);
    ask(s, B, 1);
    assert_int_equal(s->executed, 4);
    ask(s, A, 3); /* the same as before */
    lane_quiet(&s->lane);
    answer(s, 0);
    s->lane.at = s->lane.count;
    ask(s, A, 4); /* there is room now, but the caller was told otherwise */
    expect_answer(s, A, 4, CALL_BACKPRESSURE);
    ask(s, A, 6);
    assert_int_equal(s->executed, 5);
    for (unsigned i = 1; i < 5; i++)
        answer(s, i);
    side_free(s);
}

static void the_oldest_answers_make_room_for_younger_ones(void **state)
{
    side *s = side_new(&(call_server_config){.max_entries = 3});

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        ask(s, A, i + 1);
        answer(s, i);
        expect_answer(s, A, i + 1, CALL_OK);
    }
    ask(s, A, 4); /* the first has to go: it is merged into all that is over */
    assert_int_equal(s->executed, 4);
    assert_int_equal(stats_of(s).evicted, 1);
    ask(s, A, 1); /* was not acknowledged, and is not executed again either */
    expect_answer(s, A, 1, CALL_OUTCOME_UNKNOWN);
    ask(s, A, 2);
    expect_answer(s, A, 2, CALL_OK);
    assert_int_equal(s->executed, 4);
    answer(s, 3);
    side_free(s);
}

static void what_found_no_room_is_not_executed_later(void **state)
{
    side *s = side_new(&(call_server_config){.max_entries = 2});

    (void)state;
    for (uint64_t i = 1; i <= 3; i++)
        ask(s, A, i);
    assert_int_equal(s->executed, 2);
    expect_answer(s, A, 3, CALL_BACKPRESSURE);
    answer(s, 0);
    answer(s, 1);
    s->lane.at = s->lane.count;
    ask_from(s, A, 3, 3); /* a copy: there is room now, but the caller has been told */
    expect_answer(s, A, 3, CALL_OUTCOME_UNKNOWN);
    ask_from(s, A, 4, 4);
    assert_int_equal(s->executed, 3);
    answer(s, 2);
    side_free(s);
}

static void numbers_with_holes_do_not_cost_more_than_the_bound(void **state)
{
    enum { MAX = 64 };
    side *s = side_new(&(call_server_config){.max_entries = MAX});

    (void)state;
    for (uint64_t i = 1; i <= 1000; i++) {
        ask(s, A, 2 * i);
        if (s->executed == i)
            answer(s, (unsigned)i - 1);
        acknowledge(s, A, 2 * i);
    }
    assert_int_equal(s->executed, MAX); /* each left a range of its own */
    ask_from(s, A, 4000, 3000);         /* the holes are gone */
    assert_int_equal(s->executed, MAX + 1);
    answer(s, MAX);
    side_free(s);
}

/* An answer of so many bytes, more or less. */
static void answer_large(side *s, unsigned i, size_t len)
{
    static const char bytes[4096];
    call_output out = {0, slice_of(bytes, len)};
    call_result r = {.output_count = 1};

    assert_int_equal(call_answer(s->server, s->handles[i], &r, &out, s->now), BERTH_OK);
}

static void the_bytes_that_are_kept_are_bounded(void **state)
{
    side *s = side_new(&(call_server_config){.max_bytes = 1000, .total_bytes = 2500});

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        ask(s, A, i + 1);
        answer_large(s, i, 300);
    }
    assert_int_equal(stats_of(s).kept, 2);
    assert_int_equal(stats_of(s).evicted, 2);
    ask(s, A, 5);
    answer_large(s, 4, 2000); /* alone it may be larger */
    assert_int_equal(stats_of(s).kept, 1);
    ask(s, B, 1);
    answer_large(s, 5, 300);
    assert_int_equal(stats_of(s).kept, 2);
    ask(s, B, 2);
    answer_large(s, 6, 900); /* in all too much: B pays, A does not, and yet all were sent */
    assert_int_equal(stats_of(s).kept, 1);
    assert_int_equal(s->lane.count, 7);
    ask(s, A, 5);
    s->lane.at = 7;
    expect_answer(s, A, 5, CALL_OK);
    ask(s, B, 2);
    expect_answer(s, B, 2, CALL_OUTCOME_UNKNOWN);
    side_free(s);
}

static void all_nodes_together_are_bounded(void **state)
{
    side *s = side_new(&(call_server_config){.max_nodes = 2, .total_entries = 3});

    (void)state;
    ask(s, A, 1);
    ask(s, A, 2);
    ask(s, B, 1);
    ask(s, B, 2);
    expect_answer(s, B, 2, CALL_BACKPRESSURE);
    assert_int_equal(stats_of(s).backpressure, 1);
    ask(s, 0xcc, 1);
    expect_answer(s, 0xcc, 1, CALL_BACKPRESSURE);
    assert_int_equal(s->executed, 3);
    for (unsigned i = 0; i < 3; i++)
        answer(s, i);
    ask(s, B, 3); /* B's own answer goes */
    assert_int_equal(s->executed, 4);
    answer(s, 3);
    s->lane.at = s->lane.count;
    pass(s, 71 * SEC);
    ask(s, 0xcc, 1); /* the others are forgotten */
    assert_int_equal(s->executed, 5);
    answer(s, 4);
    side_free(s);
}

static void without_room_answers_wait_in_order(void **state)
{
    side *s = side_new(&(call_server_config){.max_running = 3});

    (void)state;
    for (uint64_t i = 1; i <= 3; i++)
        ask(s, A, i);
    s->lane.status = BERTH_ERR_WOULD_BLOCK;
    answer(s, 0);
    answer(s, 1);
    ask(s, A, 4);
    ask(s, A, 5);
    ask(s, A, 6);
    ask(s, A, 1); /* waits already */
    answer_as(s, 2, CALL_NOT_HERE);
    lane_quiet(&s->lane);
    s->lane.room = 1;
    call_server_room(s->server, A);
    expect_answer(s, A, 1, CALL_OK);
    lane_quiet(&s->lane);
    acknowledge(s, A, 1);
    s->lane.status = BERTH_OK;
    call_server_room(s->server, A);
    expect_answer(s, A, 2, CALL_OK);
    expect_answer(s, A, 6, CALL_BACKPRESSURE);
    expect_answer(s, A, 3, CALL_NOT_HERE);
    lane_quiet(&s->lane);
    answer(s, 3);
    answer(s, 4);
    side_free(s);
}

static void refusals_that_wait_are_bounded(void **state)
{
    side *s = side_new(&(call_server_config){.max_entries = 10});

    (void)state;
    s->lane.status = BERTH_ERR_WOULD_BLOCK;
    for (uint64_t i = 1; i <= 310; i++)
        ask(s, A, i);
    assert_int_equal(stats_of(s).answers_dropped, 310 - 10 - 256);
    s->lane.status = BERTH_OK;
    call_server_room(s->server, A);
    assert_int_equal(s->lane.count, 256);
    for (unsigned i = 0; i < 10; i++)
        answer(s, i);
    side_free(s);
}

static void an_answer_that_waits_and_has_to_go_leaves_word(void **state)
{
    side *s = side_new(&(call_server_config){.max_bytes = 500});

    (void)state;
    ask(s, A, 1);
    ask(s, A, 2);
    s->lane.status = BERTH_ERR_WOULD_BLOCK;
    answer_large(s, 0, 400);
    answer_large(s, 1, 400);
    s->lane.status = BERTH_OK;
    call_server_room(s->server, A);
    expect_answer(s, A, 2, CALL_OK);
    expect_answer(s, A, 1, CALL_OUTCOME_UNKNOWN);
    side_free(s);
}

static void an_answer_is_kept_for_a_minute_after_the_deadline(void **state)
{
    side *s = side_new(NULL);
    call_request r = request_of(2);

    (void)state;
    ask(s, A, 1);
    answer(s, 0);
    pass(s, 70 * SEC - 1);
    assert_int_equal(stats_of(s).kept, 1);
    pass(s, 1);
    assert_int_equal(stats_of(s).kept, 0);
    assert_int_equal(stats_of(s).outlived, 1);
    assert_int_equal(stats_of(s).nodes, 0);
    r.left_ns = CALL_DEADLINE_MAX;
    receive(s, A, &r);
    pass(s, CALL_DEADLINE_MAX);
    answer(s, 1);
    pass(s, 60 * SEC);
    assert_int_equal(stats_of(s).kept, 0);
    side_free(s);
}

static void what_cannot_be_written_is_answered_without_it(void **state)
{
    static const char large[CALL_OUTPUT_BYTES];
    side *s = side_new(NULL);
    call_output out = {0, slice_of(large, sizeof large)};
    call_result result = {.applied = 3, .output_count = 1};
    call_response r;

    (void)state;
    ask(s, A, 1);
    ask(s, A, 2);
    assert_int_equal(call_answer(s->server, s->handles[0], &result, &out, s->now), BERTH_OK);
    r = take_answer(&s->lane, A);
    assert_int_equal(r.result.status, CALL_LIMIT);
    assert_int_equal(r.result.applied, 3);
    assert_int_equal(r.result.output_count, 0);
    assert_true(r.result.text.len > 0);
    out.bytes.len = 31;
    assert_int_equal(call_answer(s->server, s->handles[1], &result, &out, s->now), BERTH_OK);
    expect_answer(s, A, 2, CALL_INTERNAL);
    side_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_node_cannot_run_too_much),
        cmocka_unit_test(the_oldest_answers_make_room_for_younger_ones),
        cmocka_unit_test(what_found_no_room_is_not_executed_later),
        cmocka_unit_test(numbers_with_holes_do_not_cost_more_than_the_bound),
        cmocka_unit_test(the_bytes_that_are_kept_are_bounded),
        cmocka_unit_test(all_nodes_together_are_bounded),
        cmocka_unit_test(without_room_answers_wait_in_order),
        cmocka_unit_test(refusals_that_wait_are_bounded),
        cmocka_unit_test(an_answer_that_waits_and_has_to_go_leaves_word),
        cmocka_unit_test(an_answer_is_kept_for_a_minute_after_the_deadline),
        cmocka_unit_test(what_cannot_be_written_is_answered_without_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
