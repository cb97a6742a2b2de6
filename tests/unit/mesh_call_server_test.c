/* SPDX-License-Identifier: Apache-2.0 */
/* The side that is asked: each request is executed at most once, and its answer is there until it
 * is acknowledged. */
#include "mesh_call_server.h"

static void a_request_is_executed_and_answered(void **state)
{
    side *s = side_new(NULL);
    static const char bytes[] = "0123456789abcdef0123456789abcdefpayload";
    call_output out = {0, slice_of(bytes, sizeof bytes - 1)};
    call_result result = {.applied = 1, .output_count = 1};
    call_response r;

    (void)state;
    ask(s, A, 1);
    assert_int_equal(s->executed, 1);
    assert_int_equal(s->last.node, A);
    assert_int_equal(s->last.deadline_ns, s->now + 10 * SEC);
    assert_int_equal(s->last_request.origin, 0x77);
    lane_quiet(&s->lane);
    assert_int_equal(call_answer(s->server, s->handles[0], &result, &out, s->now), BERTH_OK);
    r = take_answer(&s->lane, A);
    assert_int_equal(r.id, 0x1d01);
    assert_true(r.kept);
    assert_int_equal(r.result.applied, 1);
    assert_true(call_output_next(&r.result.outputs, &out));
    assert_memory_equal(out.bytes.ptr + 32, "payload", 7);
    assert_int_equal(call_answer(s->server, s->handles[0], &result, &out, s->now),
                     BERTH_ERR_NOT_FOUND); /* once */
    assert_int_equal(stats_of(s).late, 1);
    acknowledge(s, A, 1);
    assert_int_equal(stats_of(s).kept, 0);
    assert_int_equal(stats_of(s).kept_bytes, 0);
    side_free(s);
}

/* channels §16.4 row 5, §20.10: duplicate refused; delivery §4: the last reply is kept */
static void a_request_that_comes_again_is_not_executed_again(void **state)
{
    side *s = side_new(NULL);

    (void)state;
    ask(s, A, 1);
    acknowledge(s, A, 1); /* of what? */
    ask(s, A, 1);
    lane_quiet(&s->lane); /* it is running: the answer comes once */
    answer(s, 0);
    expect_answer(s, A, 1, CALL_OK);
    ask(s, A, 1);
    expect_answer(s, A, 1, CALL_OK); /* kept */
    acknowledge(s, A, 1);
    ask(s, A, 1); /* a copy that was long under way: nobody waits for this */
    expect_answer(s, A, 1, CALL_OUTCOME_UNKNOWN);
    assert_int_equal(s->executed, 1);
    assert_int_equal(stats_of(s).repeated, 2);
    assert_int_equal(stats_of(s).over, 1);
    side_free(s);
}

static void numbers_may_come_in_any_order(void **state)
{
    static const uint64_t order[] = {5, 2, 9, 1, 3, 7, 4, 8, 6};
    side *s = side_new(NULL);

    (void)state;
    for (int round = 0; round < 3; round++)
        for (unsigned i = 0; i < 9; i++)
            ask(s, A, order[i]);
    assert_int_equal(s->executed, 9);
    for (unsigned i = 0; i < 9; i++)
        answer(s, i);
    for (unsigned i = 0; i < 9; i += 2)
        acknowledge(s, A, order[i]);
    for (unsigned i = 0; i < 9; i++)
        ask(s, A, order[i]);
    assert_int_equal(s->executed, 9);
    assert_int_equal(stats_of(s).kept, 4);
    ask(s, B, 5); /* another node's */
    assert_int_equal(s->executed, 10);
    answer(s, 9);
    side_free(s);
}

/* channels §16.4 row 4, §20.10: deadline passed */
static void after_its_deadline_nothing_is_executed(void **state)
{
    side *s = side_new(NULL);
    call_request r = request_of(1);

    (void)state;
    r.left_ns = 0;
    receive(s, A, &r);
    assert_int_equal(s->executed, 0);
    expect_answer(s, A, 1, CALL_TIMEOUT);
    r.left_ns = 1;
    receive(s, A, &r);
    assert_int_equal(s->executed, 1);
    answer(s, 0);
    side_free(s);
}

/* channels §21 row 29: the server cancels at the deadline */
static void at_the_deadline_the_daemon_is_told(void **state)
{
    side *s = side_new(NULL);

    (void)state;
    ask(s, A, 1);
    assert_int_equal(call_server_deadline(s->server), s->now + 10 * SEC);
    pass(s, 10 * SEC);
    assert_int_equal(s->withdrawn_count, 1);
    assert_int_equal(s->withdrawn[0].handle, s->handles[0]);
    assert_int_equal(s->withdrawn[0].why, CALL_TIMEOUT);
    cancel(s, A, 1); /* what the caller says at the same time changes nothing */
    assert_int_equal(s->withdrawn_count, 1);
    answer(s, 0);
    expect_answer(s, A, 1, CALL_TIMEOUT);
    assert_int_equal(stats_of(s).expired, 1);
    side_free(s);
}

/* channels §16.4 row 8, §20.10: cancel overrides Ok; of an unknown id it is a no-op */
static void cancelled_overrides_ok_and_nothing_else(void **state)
{
    side *s = side_new(NULL);
    call_response r;

    (void)state;
    cancel(s, A, 1);
    ask(s, A, 1);
    ask(s, A, 2);
    cancel(s, A, 3);
    cancel(s, A, 1);
    cancel(s, A, 1);
    cancel(s, A, 2);
    assert_int_equal(s->withdrawn_count, 2);
    assert_int_equal(s->withdrawn[0].why, CALL_CANCELLED);
    answer(s, 0);
    r = take_answer(&s->lane, A);
    assert_int_equal(r.result.status, CALL_CANCELLED);
    assert_int_equal(r.result.applied, 1); /* and yet the truth */
    answer_as(s, 1, CALL_REJECTED);
    expect_answer(s, A, 2, CALL_REJECTED);
    cancel(s, A, 2); /* after the answer: nobody wants it */
    assert_int_equal(stats_of(s).kept, 1);
    ask(s, A, 1);
    expect_answer(s, A, 1, CALL_CANCELLED);
    ask(s, A, 2);
    expect_answer(s, A, 2, CALL_OUTCOME_UNKNOWN);
    assert_int_equal(s->executed, 2);
    side_free(s);
}

static void what_was_refused_stays_refused(void **state)
{
    side *s = side_new(NULL);

    (void)state;
    s->accept = CALL_NOT_HERE;
    ask(s, A, 1);
    expect_answer(s, A, 1, CALL_NOT_HERE);
    assert_int_equal(stats_of(s).running, 0);
    s->accept = CALL_OK;
    ask(s, A, 1); /* a copy: the caller may have been told already, and gone elsewhere */
    expect_answer(s, A, 1, CALL_NOT_HERE);
    ask(s, A, 2);
    answer_as(s, 0, CALL_REFUSED); /* found out later */
    expect_answer(s, A, 2, CALL_REFUSED);
    acknowledge(s, A, 1);
    acknowledge(s, A, 2);
    assert_int_equal(stats_of(s).kept, 0);
    ask(s, A, 1);
    expect_answer(s, A, 1, CALL_OUTCOME_UNKNOWN);
    ask(s, A, 3); /* but under another number it may come again */
    assert_int_equal(s->executed, 2);
    assert_int_equal(stats_of(s).refused, 2);
    answer(s, 1);
    side_free(s);
}

static void receive_bytes(side *s, const void *bytes, size_t len)
{
    buf *b = buf_copy(bytes, len);

    assert_int_not_equal(call_server_receive(s->server, A, b, s->now, NULL), BERTH_OK);
    buf_unref(b);
}

/* channels §16.4 row 3, §20.10: malformed, then keeps serving */
static void what_is_malformed_is_answered_if_it_can_be_and_the_rest_goes_on(void **state)
{
    side *s = side_new(NULL);
    call_request r = request_of(1);
    buf *b;

    (void)state;
    assert_int_equal(call_request_write(&r, &one_event, &b, NULL), BERTH_OK);
    receive_bytes(s, b->data, b->len - 1);
    expect_answer(s, A, 1, CALL_MALFORMED);
    receive_bytes(s, b->data, 20);
    receive_bytes(s, "", 0);
    receive_bytes(s, "\x02\x03", 2); /* an answer has no business here */
    lane_quiet(&s->lane);
    ask(s, A, 1);
    assert_int_equal(s->executed, 1);
    receive_bytes(s, b->data, b->len - 1); /* does not end what is running */
    lane_quiet(&s->lane);
    answer(s, 0);
    expect_answer(s, A, 1, CALL_OK);
    assert_int_equal(stats_of(s).malformed, 5);
    buf_unref(b);
    side_free(s);
}

static void on_a_new_session_what_is_not_acknowledged_is_sent_again(void **state)
{
    side *s = side_new(NULL);

    (void)state;
    for (uint64_t i = 1; i <= 4; i++)
        ask(s, A, i);
    answer(s, 0);
    answer(s, 1);
    s->lane.status = BERTH_ERR_NOT_READY;
    answer(s, 2); /* without a session */
    s->lane.status = BERTH_OK;
    acknowledge(s, A, 1);
    s->lane.at = s->lane.count;
    call_server_up(s->server, A);
    expect_answer(s, A, 2, CALL_OK);
    expect_answer(s, A, 3, CALL_OK);
    lane_quiet(&s->lane);
    answer(s, 3);
    expect_answer(s, A, 4, CALL_OK);
    call_server_up(s->server, B);
    lane_quiet(&s->lane);
    side_free(s);
}

/* channels §20.10: memory; answers that come later are dropped and counted */
static void when_a_node_is_gone_what_it_asked_is_over(void **state)
{
    side *s = side_new(NULL);

    (void)state;
    ask(s, A, 1);
    ask(s, A, 2);
    answer(s, 0);
    call_server_node_gone(s->server, A, s->now);
    assert_int_equal(s->withdrawn_count, 1);
    assert_int_equal(s->withdrawn[0].why, CALL_LOST);
    assert_int_equal(stats_of(s).running, 0);
    assert_int_equal(stats_of(s).kept, 0);
    assert_int_equal(answer_as(s, 1, CALL_OK), BERTH_ERR_NOT_FOUND);
    assert_int_equal(stats_of(s).late, 1);
    s->lane.at = s->lane.count;
    ask(s, A, 1); /* it was there all the time, and never learnt the answers */
    ask(s, A, 2);
    expect_answer(s, A, 1, CALL_OUTCOME_UNKNOWN);
    expect_answer(s, A, 2, CALL_OUTCOME_UNKNOWN);
    ask(s, A, 3);
    assert_int_equal(s->executed, 3);
    answer(s, 2);
    call_server_node_gone(s->server, A, s->now);
    assert_int_equal(stats_of(s).nodes, 1);
    pass(s, 71 * SEC); /* then no call of it can be open */
    assert_int_equal(stats_of(s).nodes, 0);
    call_server_node_gone(s->server, A, s->now);
    side_free(s);
}

static void a_node_that_has_restarted_begins_anew(void **state)
{
    side *s = side_new(NULL);
    call_request r = request_of(1);

    (void)state;
    ask(s, A, 1);
    ask(s, A, 2);
    answer(s, 0);
    call_server_restarted(s->server, A);
    assert_int_equal(s->withdrawn[0].why, CALL_LOST);
    assert_int_equal(stats_of(s).nodes, 0);
    assert_int_equal(answer_as(s, 1, CALL_OK), BERTH_ERR_NOT_FOUND);
    r.boot = BOOT + 1;
    receive(s, A, &r);
    assert_int_equal(s->executed, 3);
    acknowledge(s, A, 1); /* of the boot before */
    r.boot = BOOT + 2;    /* nobody said so, and yet it shows */
    receive(s, A, &r);
    assert_int_equal(s->executed, 4);
    assert_int_equal(answer_as(s, 2, CALL_OK), BERTH_ERR_NOT_FOUND);
    assert_int_equal(answer_as(s, 3, CALL_OK), BERTH_OK);
    side_free(s);
}

static void what_has_ended_for_the_caller_ends_here(void **state)
{
    side *s = side_new(NULL);

    (void)state;
    for (uint64_t i = 1; i <= 3; i++)
        ask(s, A, i);
    answer(s, 0);
    ask_from(s, A, 4, 3); /* neither the answer to 1 nor 2 itself is wanted */
    assert_int_equal(stats_of(s).kept, 0);
    assert_int_equal(s->withdrawn_count, 1);
    assert_int_equal(s->withdrawn[0].handle, s->handles[1]);
    assert_int_equal(s->withdrawn[0].why, CALL_CANCELLED);
    ask_from(s, A, 5, 3);
    assert_int_equal(s->withdrawn_count, 1);
    s->lane.at = s->lane.count;
    answer(s, 1);
    assert_false(take_answer(&s->lane, A).kept);
    ask(s, A, 2);
    expect_answer(s, A, 2, CALL_OUTCOME_UNKNOWN);
    assert_int_equal(s->executed, 5);
    for (unsigned i = 2; i < 5; i++)
        answer(s, i);
    side_free(s);
}

static void what_runs_when_it_is_freed_is_freed_silently(void **state)
{
    side *s = side_new(NULL);

    (void)state;
    for (uint64_t i = 1; i <= 20; i++) {
        ask(s, A + i % 3, i);
        if (i % 2)
            answer(s, (unsigned)i - 1);
    }
    call_server_free(s->server);
    assert_int_equal(s->withdrawn_count, 0);
    lane_clear(&s->lane);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_executed_and_answered),
        cmocka_unit_test(a_request_that_comes_again_is_not_executed_again),
        cmocka_unit_test(numbers_may_come_in_any_order),
        cmocka_unit_test(after_its_deadline_nothing_is_executed),
        cmocka_unit_test(at_the_deadline_the_daemon_is_told),
        cmocka_unit_test(cancelled_overrides_ok_and_nothing_else),
        cmocka_unit_test(what_was_refused_stays_refused),
        cmocka_unit_test(what_is_malformed_is_answered_if_it_can_be_and_the_rest_goes_on),
        cmocka_unit_test(on_a_new_session_what_is_not_acknowledged_is_sent_again),
        cmocka_unit_test(when_a_node_is_gone_what_it_asked_is_over),
        cmocka_unit_test(a_node_that_has_restarted_begins_anew),
        cmocka_unit_test(what_has_ended_for_the_caller_ends_here),
        cmocka_unit_test(what_runs_when_it_is_freed_is_freed_silently),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
