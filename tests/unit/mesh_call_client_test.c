/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's side of calls: each ends exactly once. */
#include "mesh_call_client.h"

/* channels §20.10: round trip */
static void a_call_is_sent_and_its_answer_ends_it(void **state)
{
    side *s = side_new(NULL);
    call_spec spec = spec_of(A);
    call_request r;
    uint64_t id;
    int user;

    (void)state;
    spec.user = &user;
    spec.want_outputs = true;
    id = begin(s, &spec);
    r = take_request(&s->lane, A);
    assert_int_equal(r.id, id);
    assert_int_equal(r.number, 1);
    assert_int_equal(r.open_from, 1);
    assert_int_equal(r.left_ns, 10 * SEC);
    assert_int_equal(r.origin, 0x77);
    assert_int_equal(r.min_epoch, 3);
    assert_true(r.want_outputs);
    assert_true(slice_eq(slice_of(r.events.ptr + 4, r.events.len - 4), one_event));
    answer(s, A, id, 1);
    assert_ptr_equal(s->ended[0].user, &user);
    assert_true(s->ended[0].has_result);
    expect_end(s, id, BERTH_OK, true);
    pass(s, SEC);
    take_notice_of(&s->lane, A, MESSAGE_CALL_ACK, 1);
    side_free(s);
}

/* channels §20.10: multiplexed by id; each exactly once */
static void calls_are_told_apart_by_their_ids(void **state)
{
    side *s = side_new(NULL);
    uint64_t ids[5];

    (void)state;
    for (int i = 0; i < 5; i++)
        ids[i] = begin_at(s, A);
    for (int i = 4; i >= 0; i--) {
        answer(s, A, ids[i], (uint64_t)i + 1);
        expect_end(s, ids[i], BERTH_OK, true);
        answer(s, A, ids[i], (uint64_t)i + 1); /* again */
    }
    assert_int_equal(s->ended_count, 0);
    assert_int_equal(stats_of(s).late, 5);
    side_free(s);
}

/* channels §16.3 row 4, §20.10: ids distinct and bit-balanced */
static void ids_cannot_be_guessed(void **state)
{
    enum { COUNT = 4096 };
    side *s = side_new(NULL);
    unsigned ones[64] = {0};
    uint64_t *ids = calloc(COUNT, sizeof *ids);

    (void)state;
    s->lane.status = BERTH_ERR_NOT_READY;
    for (int i = 0; i < COUNT; i++) {
        ids[i] = begin_at(s, A);
        for (int b = 0; b < 64; b++)
            ones[b] += ids[i] >> b & 1;
    }
    for (int b = 0; b < 64; b++) /* ten standard deviations */
        assert_true(ones[b] > COUNT / 2 - 320 && ones[b] < COUNT / 2 + 320);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(call_cancel(s->client, ids[i], s->now), BERTH_OK); /* so all differ */
    assert_int_equal(s->ended_count, COUNT);
    free(ids);
    side_free(s);
}

/* channels §16.3 row 8, §20.10: the deadline surfaces as TIMEOUT and emits CANCEL */
static void the_deadline_ends_a_call_and_tells_the_node(void **state)
{
    side *s = side_new(NULL);
    uint64_t id = begin_at(s, A);

    (void)state;
    take_request(&s->lane, A);
    assert_int_equal(call_client_deadline(s->client), s->now + 10 * SEC);
    pass(s, 10 * SEC - 1);
    assert_int_equal(s->ended_count, 0);
    pass(s, 1);
    expect_end(s, id, BERTH_ERR_TIMEOUT, true);
    take_notice_of(&s->lane, A, MESSAGE_CALL_CANCEL, 1);
    answer(s, A, id, 1);
    assert_int_equal(s->ended_count, 0);
    assert_int_equal(stats_of(s).timeouts, 1);
    side_free(s);
}

/* channels §20.10: an unknown target surfaces as no route */
static void without_a_session_there_is_no_route(void **state)
{
    side *s = side_new(NULL);
    uint64_t id;

    (void)state;
    s->lane.status = BERTH_ERR_NOT_READY;
    id = begin_at(s, A);
    pass(s, 10 * SEC);
    expect_end(s, id, BERTH_ERR_LOST, false);
    lane_quiet(&s->lane);
    assert_int_equal(stats_of(s).no_route, 1);
    side_free(s);
}

/* channels §20.10: abandoning a call cancels it */
static void a_call_that_is_cancelled_ends_at_once_and_the_node_is_told(void **state)
{
    side *s = side_new(NULL);
    uint64_t id = begin_at(s, A);

    (void)state;
    take_request(&s->lane, A);
    assert_int_equal(call_cancel(s->client, id, s->now), BERTH_OK);
    expect_end(s, id, BERTH_ERR_CANCELLED, true);
    take_notice_of(&s->lane, A, MESSAGE_CALL_CANCEL, 1);
    assert_int_equal(call_cancel(s->client, id, s->now), BERTH_ERR_NOT_FOUND);
    answer_as(s, A, id, 1, CALL_CANCELLED, true); /* late, and yet the node may forget it */
    assert_int_equal(s->ended_count, 0);
    pass(s, SEC);
    take_notice_of(&s->lane, A, MESSAGE_CALL_ACK, 1);
    s->lane.status = BERTH_ERR_NOT_READY; /* never sent: nobody is to be told */
    id = begin_at(s, B);
    call_cancel(s->client, id, s->now);
    expect_end(s, id, BERTH_ERR_CANCELLED, false);
    s->lane.status = BERTH_OK;
    call_client_up(s->client, B, s->now);
    lane_quiet(&s->lane);
    side_free(s);
}

/* channels §16.3 row 7 */
static void an_answer_counts_only_from_the_node_that_was_asked(void **state)
{
    side *s = side_new(NULL);
    uint64_t id = begin_at(s, A);

    (void)state;
    answer(s, B, id, 1);
    assert_int_equal(s->ended_count, 0);
    assert_int_equal(stats_of(s).foreign, 1);
    answer(s, A, id, 2); /* nor to another number */
    answer(s, A, id + 1, 1);
    assert_int_equal(s->ended_count, 0);
    assert_int_equal(stats_of(s).late, 2);
    answer(s, A, id, 1);
    expect_end(s, id, BERTH_OK, true);
    side_free(s);
}

/* channels §16.3 row 7: malformed is counted, and the call stays open */
static void a_malformed_answer_ends_nothing(void **state)
{
    side *s = side_new(NULL);
    uint64_t id = begin_at(s, A);
    buf *b = buf_copy("\x02\x03junk", 6);

    (void)state;
    assert_int_equal(call_client_receive(s->client, A, b, s->now, NULL), BERTH_ERR_CORRUPT);
    assert_int_equal(stats_of(s).malformed, 1);
    assert_int_equal(s->ended_count, 0);
    answer(s, A, id, 1);
    expect_end(s, id, BERTH_OK, true);
    buf_unref(b);
    side_free(s);
}

static void without_room_calls_wait_in_order(void **state)
{
    side *s = side_new(NULL);
    uint64_t ids[4];

    (void)state;
    s->lane.status = BERTH_ERR_WOULD_BLOCK;
    s->lane.room = 1;
    for (int i = 0; i < 4; i++)
        ids[i] = begin_at(s, A);
    assert_int_equal(take_request(&s->lane, A).id, ids[0]);
    lane_quiet(&s->lane);
    call_cancel(s->client, ids[0], s->now); /* the cancel waits as well, and goes first */
    expect_end(s, ids[0], BERTH_ERR_CANCELLED, true);
    s->lane.room = 3;
    call_client_room(s->client, A, s->now);
    take_notice_of(&s->lane, A, MESSAGE_CALL_CANCEL, 1);
    assert_int_equal(take_request(&s->lane, A).id, ids[1]);
    assert_int_equal(take_request(&s->lane, A).id, ids[2]);
    lane_quiet(&s->lane);
    answer(s, A, ids[1], 2);
    answer(s, A, ids[2], 3);
    s->ended_count = 0;
    pass(s, 10 * SEC); /* there was a session: not a question of the route */
    expect_end(s, ids[3], BERTH_ERR_TIMEOUT, false);
    side_free(s);
}

static void acknowledgements_are_gathered(void **state)
{
    side *s = side_new(NULL);
    uint64_t ids[70];

    (void)state;
    for (int i = 0; i < 70; i++)
        ids[i] = begin_at(s, A);
    s->lane.at = 70;
    for (uint64_t i = 0; i < 63; i++)
        answer(s, A, ids[i], i + 1);
    lane_quiet(&s->lane);
    assert_int_equal(call_client_deadline(s->client), s->now + 10 * MS);
    answer(s, A, ids[63], 64); /* enough */
    assert_int_equal(take_notice(&s->lane, A, MESSAGE_CALL_ACK).count, 64);
    answer(s, A, ids[64], 65);
    answer_as(s, A, ids[65], 66, CALL_REFUSED, false); /* not kept there: no thanks needed */
    lane_quiet(&s->lane);
    s->now += 5 * MS;
    answer(s, A, ids[66], 67);
    pass(s, 5 * MS); /* ten after the first */
    assert_int_equal(take_notice(&s->lane, A, MESSAGE_CALL_ACK).count, 2);
    answer(s, A, ids[67], 68);
    begin_at(s, A); /* goes together with the next request, in front of it */
    take_notice_of(&s->lane, A, MESSAGE_CALL_ACK, 68);
    assert_int_equal(take_request(&s->lane, A).open_from, 69);
    pass(s, 20 * SEC);
    side_free(s);
}

static void each_answer_has_its_status_here(void **state)
{
    side *s = side_new(NULL);
    uint64_t number = 0, id;

    (void)state;
#define CHECK(name, wire, here, ran, text)                                                         \
    id = begin_at(s, A);                                                                           \
    answer_as(s, A, id, ++number, CALL_##name, ran);                                               \
    expect_end(s, id, here, ran);
    CALL_STATUS_TABLE(CHECK)
#undef CHECK
    side_free(s);
}

static void what_is_open_is_bounded(void **state)
{
    side *s = side_new(&(call_client_config){.max_calls = 3, .max_bytes = 4000});
    call_spec spec = spec_of(A), large = spec_of(A);
    static char bytes[5000];
    slice event = slice_of(bytes, 3900);
    uint64_t id, none;

    (void)state;
    large.events = &event;
    id = begin(s, &large);
    assert_int_equal(call_begin(s->client, &large, s->now, &none, NULL), BERTH_ERR_WOULD_BLOCK);
    assert_int_equal(call_begin(s->client, &spec, s->now, &none, NULL), BERTH_ERR_WOULD_BLOCK);
    answer(s, A, id, 1);
    event.len = sizeof bytes; /* one that is alone may be larger */
    id = begin(s, &large);
    answer(s, A, id, 2);
    for (int i = 0; i < 3; i++)
        begin(s, &spec);
    assert_int_equal(call_begin(s->client, &spec, s->now, &none, NULL), BERTH_ERR_WOULD_BLOCK);
    pass(s, 10 * SEC);
    assert_int_equal(s->ended_count, 5);
    side_free(s);
}

static void what_cannot_be_begun_is_refused_and_leaves_nothing(void **state)
{
    static const int64_t deadlines[] = {0, -1, CALL_DEADLINE_MAX + 1};
    side *s = side_new(NULL);
    berth_error error = {0};
    call_spec spec = spec_of(A);
    uint64_t id;

    (void)state;
    for (int i = 0; i < 3; i++) {
        spec.deadline_ns = deadlines[i];
        assert_int_equal(call_begin(s->client, &spec, s->now, &id, &error), BERTH_ERR_INVALID);
    }
    spec = spec_of(A);
    spec.count = 0;
    assert_int_equal(call_begin(s->client, &spec, s->now, &id, &error), BERTH_ERR_LIMIT);
    spec = spec_of(A);
    spec.service = slice_str("No Name");
    assert_int_equal(call_begin(s->client, &spec, s->now, &id, &error), BERTH_ERR_INVALID);
    spec = spec_of(A);
    s->lane.status = BERTH_ERR_LIMIT; /* more than a session takes */
    assert_int_equal(call_begin(s->client, &spec, s->now, &id, &error), BERTH_ERR_LIMIT);
    assert_int_equal(s->ended_count, 0);
    assert_int_equal(stats_of(s).begun, 0);
    side_free(s);
}

static void what_is_open_when_it_is_freed_is_freed_silently(void **state)
{
    side *s = side_new(NULL);

    (void)state;
    answer(s, A, begin_at(s, A), 1);
    begin_at(s, A);
    s->ended_count = 0;
    call_client_free(s->client);
    assert_int_equal(s->ended_count, 0);
    lane_clear(&s->lane);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_sent_and_its_answer_ends_it),
        cmocka_unit_test(calls_are_told_apart_by_their_ids),
        cmocka_unit_test(ids_cannot_be_guessed),
        cmocka_unit_test(the_deadline_ends_a_call_and_tells_the_node),
        cmocka_unit_test(without_a_session_there_is_no_route),
        cmocka_unit_test(a_call_that_is_cancelled_ends_at_once_and_the_node_is_told),
        cmocka_unit_test(an_answer_counts_only_from_the_node_that_was_asked),
        cmocka_unit_test(a_malformed_answer_ends_nothing),
        cmocka_unit_test(without_room_calls_wait_in_order),
        cmocka_unit_test(acknowledgements_are_gathered),
        cmocka_unit_test(each_answer_has_its_status_here),
        cmocka_unit_test(what_is_open_is_bounded),
        cmocka_unit_test(what_cannot_be_begun_is_refused_and_leaves_nothing),
        cmocka_unit_test(what_is_open_when_it_is_freed_is_freed_silently),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
