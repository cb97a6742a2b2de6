/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of calls when sessions, nodes and daemons come and go. */
#include "mesh_call_client.h"

static void what_is_open_is_asked_again_on_a_new_session(void **state)
{
    side *s = side_new(NULL);
    uint64_t ids[3];
    call_request r;

    (void)state;
    for (int i = 0; i < 3; i++)
        ids[i] = begin_at(s, A);
    s->lane.at = 3;
    answer(s, A, ids[0], 1);
    s->now += SEC;
    call_client_up(s->client, A, s->now); /* the old session still has the messages */
    take_notice_of(&s->lane, A, MESSAGE_CALL_ACK, 1);
    for (uint64_t i = 1; i < 3; i++) {
        r = take_request(&s->lane, A);
        assert_int_equal(r.id, ids[i]);
        assert_int_equal(r.number, i + 1);
        assert_int_equal(r.open_from, 2); /* the first is over */
        assert_int_equal(r.left_ns, 9 * SEC);
    }
    assert_int_equal(stats_of(s).repeated, 2);
    s->lane.at = 1; /* what was handed out has not changed under the old session */
    assert_int_equal(take_request(&s->lane, A).left_ns, 10 * SEC);
    s->lane.at = s->lane.count;
    answer(s, A, ids[1], 2);
    answer(s, A, ids[1], 2); /* both sessions were answered */
    answer(s, A, ids[2], 3);
    assert_int_equal(s->ended_count, 3);
    side_free(s);
}

static void what_is_not_here_is_asked_elsewhere_under_the_same_id(void **state)
{
    side *s = side_new(NULL);
    uint64_t id = begin_at(s, A);
    call_request r;

    (void)state;
    s->take = true;
    take_request(&s->lane, A);
    answer_as(s, A, id, 1, CALL_NOT_HERE, false);
    assert_int_equal(s->moved_count, 1);
    assert_int_equal(s->moved.id, id);
    assert_int_equal(s->moved.node, A);
    assert_int_equal(s->moved.status, CALL_NOT_HERE);
    assert_int_equal(s->moved.origin, 0x77);
    assert_int_equal(s->moved.min_epoch, 3);
    assert_false(s->moved.gone);
    answer(s, A, id, 1); /* now A has nothing to say any more */
    assert_int_equal(s->ended_count, 0);
    assert_int_equal(call_redirect(s->client, id, B, 4, s->now), BERTH_OK);
    r = take_request(&s->lane, B);
    assert_int_equal(r.id, id);
    assert_int_equal(r.min_epoch, 4);
    answer_as(s, B, id, r.number, CALL_NOT_HERE, false);
    assert_int_equal(call_redirect(s->client, id, A, 5, s->now), BERTH_OK);
    take_notice_of(&s->lane, A, MESSAGE_CALL_ACK, 1);
    r = take_request(&s->lane, A);
    assert_int_equal(r.number, 2);                /* another question than the first */
    answer_as(s, A, id, 1, CALL_NOT_HERE, false); /* whose answer comes once more */
    assert_int_equal(s->moved_count, 2);
    answer(s, A, id, 2);
    expect_end(s, id, BERTH_OK, true);
    side_free(s);
}

/* channels §20.10: service discovery: none: no route */
static void who_knows_no_other_node_ends_it(void **state)
{
    side *s = side_new(NULL);
    call_spec spec = spec_of(A);
    uint64_t id;

    (void)state;
    spec.service = slice_str("echo");
    id = begin(s, &spec);
    assert_true(slice_eq(take_request(&s->lane, A).service, slice_str("echo")));
    answer_as(s, A, id, 1, CALL_UNKNOWN_SERVICE, false);
    assert_true(s->moved.is_service);
    assert_int_equal(s->moved.status, CALL_UNKNOWN_SERVICE);
    assert_true(s->ended[0].has_result);
    expect_end(s, id, BERTH_ERR_NOT_FOUND, false);
    s->take = true;
    id = begin_at(s, A);
    answer_as(s, A, id, 2, CALL_NOT_HERE, false);
    pass(s, 10 * SEC); /* nobody was found in time */
    expect_end(s, id, BERTH_ERR_LOST, false);
    assert_int_equal(call_redirect(s->client, id, B, 1, s->now), BERTH_ERR_NOT_FOUND);
    side_free(s);
}

static void what_may_run_is_not_sent_elsewhere_unless_it_has_a_source(void **state)
{
    side *s = side_new(NULL);
    uint64_t id = begin_at(s, A);
    call_request r;

    (void)state;
    assert_int_equal(call_redirect(s->client, id, B, 4, s->now), BERTH_ERR_BUSY);
    answer(s, A, id, 1);
    s->ended_count = 0;
    s->lane.status = BERTH_ERR_NOT_READY;
    id = begin_at(s, A); /* was not sent: may go anywhere */
    s->lane.status = BERTH_OK;
    assert_int_equal(call_redirect(s->client, id, B, 4, s->now), BERTH_OK);
    s->lane.at = s->lane.count - 1;
    r = take_request(&s->lane, B);
    answer(s, B, id, r.number);
    expect_end(s, id, BERTH_OK, true);
    id = begin_with_source(s, A);
    s->lane.at = s->lane.count;
    assert_int_equal(call_redirect(s->client, id, B, 4, s->now), BERTH_OK);
    lane_take(&s->lane, A, MESSAGE_CALL_CANCEL);
    s->lane.at++; /* the acknowledgement that B gets first */
    r = take_request(&s->lane, B);
    answer_as(s, B, id, r.number, CALL_NOT_HERE, false);
    expect_end(s, id, BERTH_ERR_NOT_FOUND, true); /* A may have run it */
    side_free(s);
}

static void after_a_restart_the_outcome_is_unknown_without_a_source(void **state)
{
    side *s = side_new(NULL);
    uint64_t plain = begin_at(s, A), sourced = begin_with_source(s, A), other = begin_at(s, B);
    uint64_t unsent;

    (void)state;
    s->lane.status = BERTH_ERR_NOT_READY;
    unsent = begin_at(s, A);
    call_client_restarted(s->client, A);
    expect_end(s, plain, BERTH_ERR_OUTCOME_UNKNOWN, true);
    assert_int_equal(stats_of(s).unknown_outcomes, 1);
    s->lane.status = BERTH_OK;
    s->lane.at = s->lane.count;
    call_client_up(s->client, A, s->now);
    assert_int_equal(take_request(&s->lane, A).id, sourced);
    assert_int_equal(take_request(&s->lane, A).id, unsent);
    answer(s, A, sourced, 2);
    expect_end(s, sourced, BERTH_OK, true);
    answer(s, A, unsent, 3);
    expect_end(s, unsent, BERTH_OK, true);
    answer(s, B, other, 3);
    expect_end(s, other, BERTH_OK, true);
    side_free(s);
}

static void when_a_node_is_gone_for_good_nothing_waits_for_it(void **state)
{
    side *s = side_new(NULL);
    uint64_t plain = begin_at(s, A), sourced = begin_with_source(s, A), unsent;

    (void)state;
    s->take = true;
    s->lane.status = BERTH_ERR_NOT_READY;
    unsent = begin_at(s, A);
    call_client_gone(s->client, A);
    expect_end(s, plain, BERTH_ERR_OUTCOME_UNKNOWN, true);
    assert_int_equal(s->moved_count, 2);
    assert_true(s->moved.gone);
    assert_int_equal(stats_of(s).nodes, 0);
    s->lane.status = BERTH_OK;
    assert_int_equal(call_redirect(s->client, sourced, B, 1, s->now), BERTH_OK);
    s->lane.at = s->lane.count - 1;
    answer(s, B, sourced, take_request(&s->lane, B).number);
    expect_end(s, sourced, BERTH_OK, true);
    pass(s, 10 * SEC);
    expect_end(s, unsent, BERTH_ERR_LOST, false);
    s->take = false;
    s->lane.status = BERTH_ERR_NOT_READY;
    unsent = begin_at(s, A);
    call_client_gone(s->client, A);
    expect_end(s, unsent, BERTH_ERR_LOST, false);
    side_free(s);
}

static void a_node_that_has_forgotten_is_asked_anew_if_there_is_a_source(void **state)
{
    side *s = side_new(NULL);
    uint64_t id = begin_at(s, A);

    (void)state;
    answer_as(s, A, id, 1, CALL_OUTCOME_UNKNOWN, false);
    expect_end(s, id, BERTH_ERR_OUTCOME_UNKNOWN, true);
    id = begin_with_source(s, A);
    s->lane.at = s->lane.count;
    for (uint64_t i = 2; i < 5; i++) {
        answer_as(s, A, id, i, CALL_OUTCOME_UNKNOWN, false);
        assert_int_equal(take_request(&s->lane, A).number, i + 1);
    }
    answer_as(s, A, id, 5, CALL_OUTCOME_UNKNOWN, false); /* not for ever */
    expect_end(s, id, BERTH_ERR_OUTCOME_UNKNOWN, true);
    side_free(s);
}

static void what_a_new_session_cannot_carry_ends(void **state)
{
    side *s = side_new(NULL);
    uint64_t id = begin_at(s, A);

    (void)state;
    s->lane.status = BERTH_ERR_LIMIT;
    call_client_up(s->client, A, s->now);
    expect_end(s, id, BERTH_ERR_LIMIT, true);
    side_free(s);
}

static void numbers_rise_also_when_a_node_was_forgotten(void **state)
{
    side *s = side_new(NULL);
    uint64_t id, last = 0;

    (void)state;
    for (int i = 0; i < 6; i++) {
        uint64_t node = i % 3 == 2 ? B : A, number;

        id = begin_at(s, node);
        s->lane.at = s->lane.count - 1;
        number = take_request(&s->lane, node).number;
        assert_true(number > last);
        last = number;
        answer(s, node, id, number);
        pass(s, SEC);
        assert_int_equal(stats_of(s).nodes, 0);
    }
    side_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_open_is_asked_again_on_a_new_session),
        cmocka_unit_test(what_is_not_here_is_asked_elsewhere_under_the_same_id),
        cmocka_unit_test(who_knows_no_other_node_ends_it),
        cmocka_unit_test(what_may_run_is_not_sent_elsewhere_unless_it_has_a_source),
        cmocka_unit_test(after_a_restart_the_outcome_is_unknown_without_a_source),
        cmocka_unit_test(when_a_node_is_gone_for_good_nothing_waits_for_it),
        cmocka_unit_test(a_node_that_has_forgotten_is_asked_anew_if_there_is_a_source),
        cmocka_unit_test(what_a_new_session_cannot_carry_ends),
        cmocka_unit_test(numbers_rise_also_when_a_node_was_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
