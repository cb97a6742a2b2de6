/* SPDX-License-Identifier: Apache-2.0 */
/* What a driver asks of an outbox: room, stalls, giving up, closing what nobody uses. */
#include "mesh/flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SENDER UINT64_C(0x1111)
#define SEC    INT64_C(1000000000)

static void send_to(flow_out *o, uint64_t receiver, const char *text)
{
    buf *b = buf_copy(text, strlen(text));

    assert_int_equal(flow_out_send(o, receiver, b, NULL), BERTH_OK);
    buf_unref(b);
}

/* The next message: its receiver, and the first number in it; 0: there is none. */
static uint64_t poll_first(flow_out *o, int64_t now, writer *w, uint64_t *first)
{
    uint64_t receiver = 0;
    flow_frame f;
    berth_error error = {0};

    w->len = 0;
    if (!flow_out_poll(o, now, w, &receiver))
        return 0;
    assert_int_equal(flow_frame_read(&f, slice_of(w->data, w->len), &error), BERTH_OK);
    *first = f.first;
    return receiver;
}

static void acknowledge(flow_out *o, uint64_t receiver, uint64_t life, uint64_t to, int64_t now)
{
    flow_ack ack = {
        .id = {SENDER, 1, life, receiver}, .answer = FLOW_THROUGH, .through = to, .window = 100};

    assert_int_equal(flow_out_answer(o, &ack, now), BERTH_OK);
}

static void a_stalled_flow_hands_out_nothing_and_goes_on_where_it_stopped(void **state)
{
    flow_out *o = flow_out_new(SENDER, 1, NULL);
    writer w = {0};
    uint64_t first;

    (void)state;
    send_to(o, 1, "a");
    assert_int_equal(poll_first(o, 0, &w, &first), 1);
    send_to(o, 1, "b");
    send_to(o, 2, "x");
    assert_int_equal(poll_first(o, 0, &w, &first), 1);
    assert_int_equal(first, 2);
    flow_out_stall(o, 1, slice_of(w.data, w.len));
    send_to(o, 1, "c");
    assert_int_equal(poll_first(o, 0, &w, &first), 2); /* the other goes on */
    assert_int_equal(poll_first(o, 0, &w, &first), 0);
    flow_out_room(o, 1);
    assert_int_equal(poll_first(o, 0, &w, &first), 1);
    assert_int_equal(first, 2); /* not from the beginning: the first is under way */
    assert_int_equal(poll_first(o, 0, &w, &first), 0);
    /* A new place has room of its own. */
    flow_out_stall(o, 1, slice_of(w.data, w.len));
    flow_out_moved(o, 1);
    assert_int_equal(poll_first(o, 0, &w, &first), 1);
    assert_int_equal(first, 1);
    writer_free(&w);
    flow_out_free(o);
}

static void many_events_are_taken_together_or_not_at_all(void **state)
{
    flow_out_config config = {.max_events = 4, .max_bytes = 100, .max_flows = 3};
    flow_out *o = flow_out_new(SENDER, 1, &config);

    (void)state;
    assert_true(flow_out_fits(o, 1000, 1000, 1000)); /* an empty one takes whatever there is */
    send_to(o, 1, "a");
    assert_true(flow_out_fits(o, 3, 99, 2));
    assert_false(flow_out_fits(o, 4, 10, 1));
    assert_false(flow_out_fits(o, 1, 100, 1));
    assert_false(flow_out_fits(o, 1, 1, 3));
    flow_out_free(o);
}

static void gather(void *ctx, slice event)
{
    strncat(ctx, (const char *)event.ptr, event.len);
}

static void who_gives_up_on_a_receiver_is_shown_what_is_lost(void **state)
{
    flow_out *o = flow_out_new(SENDER, 1, NULL);
    flow_waiting at = {0};
    flow_out_stats stats;
    writer w = {0};
    uint64_t first;
    char lost[16] = "";

    (void)state;
    send_to(o, 1, "a");
    send_to(o, 1, "b");
    send_to(o, 1, "c");
    send_to(o, 2, "x");
    assert_int_equal(poll_first(o, 0, &w, &first), 1);
    acknowledge(o, 1, 1, 1, 0);
    assert_true(flow_out_next(o, &at));
    assert_int_equal(at.receiver, 1);
    assert_int_equal(at.events, 2);
    assert_true(flow_out_next(o, &at));
    assert_int_equal(at.receiver, 2);
    assert_false(flow_out_next(o, &at));
    flow_out_drop(o, 1, gather, lost);
    assert_string_equal(lost, "bc");
    flow_out_get_stats(o, &stats);
    assert_int_equal(stats.events, 1);
    assert_int_equal(stats.flows, 1);
    /* A flow to the same receiver is another one. */
    send_to(o, 1, "d");
    assert_int_equal(poll_first(o, 0, &w, &first), 2);
    assert_int_equal(poll_first(o, 0, &w, &first), 1);
    assert_int_equal(first, 1);
    writer_free(&w);
    flow_out_free(o);
}

static void flows_that_nobody_uses_are_closed_and_others_are_not(void **state)
{
    flow_out *o = flow_out_new(SENDER, 1, NULL);
    writer w = {0};
    uint64_t first, receiver;
    flow_close c;
    berth_error error = {0};
    flow_out_stats stats;

    (void)state;
    for (uint64_t to = 1; to <= 3; to++) {
        send_to(o, to, "a");
        assert_int_equal(poll_first(o, (int64_t)to * SEC, &w, &first), to);
    }
    acknowledge(o, 1, 1, 1, 1 * SEC);
    acknowledge(o, 2, 2, 1, 20 * SEC);
    /* 1 is idle, 2 was used lately, 3 waits for an answer */
    assert_int_equal(flow_out_close_idle(o, 10 * SEC), 1);
    assert_int_equal(flow_out_close_idle(o, 10 * SEC), 0);
    w.len = 0;
    assert_true(flow_out_poll(o, 30 * SEC, &w, &receiver));
    assert_int_equal(receiver, 1);
    assert_int_equal(flow_close_read(&c, slice_of(w.data, w.len), &error), BERTH_OK);
    flow_ack ack = {.id = c.head.id, .answer = FLOW_CLOSED};
    assert_int_equal(flow_out_answer(o, &ack, 31 * SEC), BERTH_OK);
    flow_out_get_stats(o, &stats);
    assert_int_equal(stats.flows, 2);
    writer_free(&w);
    flow_out_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stalled_flow_hands_out_nothing_and_goes_on_where_it_stopped),
        cmocka_unit_test(many_events_are_taken_together_or_not_at_all),
        cmocka_unit_test(who_gives_up_on_a_receiver_is_shown_what_is_lost),
        cmocka_unit_test(flows_that_nobody_uses_are_closed_and_others_are_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
