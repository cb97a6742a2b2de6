/* SPDX-License-Identifier: Apache-2.0 */
/* Flows: every event once and in order, whatever happens between the two ends. */
#include "mesh/flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define S   UINT64_C(0x1111)
#define R   UINT64_C(0x2222)
#define SEC INT64_C(1000000000)

static void send_text(flow_out *o, const char *text)
{
    buf *b = buf_copy(text, strlen(text));

    assert_int_equal(flow_out_send(o, R, b, NULL), BERTH_OK);
    buf_unref(b);
}

static void send_numbers(flow_out *o, int from, int to)
{
    char text[16];

    for (int i = from; i <= to; i++) {
        snprintf(text, sizeof text, "%d", i);
        send_text(o, text);
    }
}

/* The next message of o, or NULL. */
static buf *poll_one(flow_out *o, int64_t now)
{
    uint64_t receiver;
    writer w = {0};
    buf *b = NULL;

    if (flow_out_poll(o, now, &w, &receiver) && w.len) {
        assert_int_equal(receiver, R);
        b = buf_copy(w.data, w.len);
    }
    writer_free(&w);
    return b;
}

static berth_status offer(flow_in *in, buf *message)
{
    berth_error error = {0};
    flow_frame f;

    assert_int_equal(flow_frame_read(&f, slice_of(message->data, message->len), &error), BERTH_OK);
    return flow_in_offer(in, &f, message, true);
}

/* Everything that o would send now goes to in, or nowhere. */
static void carry(flow_out *o, flow_in *in, int64_t now)
{
    buf *b;

    while ((b = poll_one(o, now))) {
        flow_close c;
        berth_error error;

        if (in && flow_close_read(&c, slice_of(b->data, b->len), &error) == BERTH_OK) {
            if (flow_in_close(in, &c) == BERTH_OK)
                flow_in_closed(in, &c.head.id);
        } else if (in) {
            offer(in, b);
        }
        buf_unref(b);
    }
}

/* Apply what is next, through `through`, making it durable; each must be the next number. */
static void apply(flow_in *in, uint64_t first, uint64_t last)
{
    flow_event e;
    char text[16];

    for (uint64_t i = first; i <= last; i++) {
        assert_true(flow_in_next(in, &e));
        assert_int_equal(e.sequence, i);
        snprintf(text, sizeof text, "%d", (int)i);
        assert_true(slice_eq(e.bytes, slice_str(text)));
        flow_in_applied(in, &e.id, i);
        flow_in_durable(in, &e.id, i);
        buf_unref(e.hold);
    }
}

static void answer(flow_in *in, flow_out *o, int64_t now)
{
    flow_ack ack;

    while (flow_in_answer(in, &ack))
        flow_out_answer(o, &ack, now);
}

static flow_out_stats stats_of(const flow_out *o)
{
    flow_out_stats stats;

    flow_out_get_stats(o, &stats);
    return stats;
}

static flow_in_stats in_stats(const flow_in *in)
{
    flow_in_stats stats;

    flow_in_get_stats(in, &stats);
    return stats;
}

static void events_are_kept_until_they_are_durable_there(void **state)
{
    flow_out *o = flow_out_new(S, 1, NULL);
    flow_in *in = flow_in_new(R, 0, NULL);
    flow_event e;

    (void)state;
    send_numbers(o, 1, 3);
    carry(o, in, 0);
    assert_true(flow_in_next(in, &e));
    buf_unref(e.hold);
    answer(in, o, 0);
    assert_int_equal(stats_of(o).events, 3); /* taken is not acknowledged */
    flow_in_applied(in, &e.id, 1);
    answer(in, o, 0);
    assert_int_equal(stats_of(o).events, 3); /* nor is applied */
    flow_in_durable(in, &e.id, 1);
    answer(in, o, 0);
    assert_int_equal(stats_of(o).events, 2);
    apply(in, 2, 3);
    answer(in, o, 0);
    assert_int_equal(stats_of(o).events, 0);
    assert_int_equal(flow_out_deadline(o), INT64_MAX);
    flow_out_free(o);
    flow_in_free(in);
}

static void what_is_lost_is_sent_again_and_what_is_repeated_is_dropped(void **state)
{
    flow_out *o = flow_out_new(S, 1, NULL);
    flow_in *in = flow_in_new(R, 0, NULL);
    flow_event e;

    (void)state;
    send_numbers(o, 1, 5);
    carry(o, NULL, 0); /* lost */
    assert_null(poll_one(o, 0));
    flow_out_expire(o, flow_out_deadline(o));
    carry(o, in, SEC);
    apply(in, 1, 5);
    flow_out_expire(o, flow_out_deadline(o));
    carry(o, in, 10 * SEC); /* the answer was lost */
    assert_false(flow_in_next(in, &e));
    assert_int_equal(in_stats(in).repeated, 5);
    answer(in, o, 10 * SEC);
    assert_int_equal(stats_of(o).events, 0);
    assert_int_equal(stats_of(o).resent, 10);
    flow_out_free(o);
    flow_in_free(in);
}

static void what_overtakes_waits_for_what_is_missing(void **state)
{
    flow_out *o = flow_out_new(S, 1, NULL);
    flow_in *in = flow_in_new(R, 0, NULL);
    buf *one, *two;
    flow_event e;

    (void)state;
    send_numbers(o, 1, 2);
    one = poll_one(o, 0);
    send_numbers(o, 3, 4);
    two = poll_one(o, 0);
    assert_int_equal(offer(in, two), BERTH_OK);
    assert_false(flow_in_next(in, &e));
    assert_int_equal(offer(in, one), BERTH_OK);
    apply(in, 1, 4);
    assert_int_equal(in_stats(in).waiting, 0);
    buf_unref(one);
    buf_unref(two);
    flow_out_free(o);
    flow_in_free(in);
}

static void what_waits_has_a_bound_in_events_and_bytes(void **state)
{
    flow_out *o = flow_out_new(S, 1, &(flow_out_config){.window = 1000});
    flow_in *in = flow_in_new(R, 0, &(flow_in_config){.window = 8, .max_bytes = 20});
    flow_in_stats stats;
    int64_t now = 0;

    (void)state;
    send_numbers(o, 1, 100);
    carry(o, in, 0);
    stats = in_stats(in);
    assert_true(stats.waiting <= 8 && stats.waiting_bytes <= 20 && stats.beyond_window == 92);
    for (uint64_t i = 1; i <= 100; i++) { /* nothing was lost by it */
        if (!in_stats(in).waiting) {
            answer(in, o, now);
            now += 60 * SEC;
            flow_out_expire(o, now);
            carry(o, in, now);
        }
        apply(in, i, i);
    }
    flow_out_free(o);
    flow_in_free(in);
}

static void an_event_larger_than_the_room_still_gets_through(void **state)
{
    flow_out *o = flow_out_new(S, 1, NULL);
    flow_in *in = flow_in_new(R, 0, &(flow_in_config){.window = 8, .max_bytes = 4});
    flow_event e;

    (void)state;
    send_text(o, "much longer than four bytes");
    carry(o, in, 0);
    assert_true(flow_in_next(in, &e));
    buf_unref(e.hold);
    flow_out_free(o);
    flow_in_free(in);
}

static void a_higher_incarnation_begins_anew_and_a_lower_one_is_dropped(void **state)
{
    flow_out *before = flow_out_new(S, 1, NULL), *after = flow_out_new(S, 2, NULL);
    flow_in *in = flow_in_new(R, 0, NULL);
    buf *late;

    (void)state;
    send_numbers(before, 1, 3);
    carry(before, in, 0);
    apply(in, 1, 3);
    send_numbers(before, 4, 5);
    late = poll_one(before, 0);
    send_numbers(after, 1, 2);
    carry(after, in, 0);
    assert_int_equal(offer(in, late), BERTH_ERR_STALE);
    apply(in, 1, 2);
    answer(in, before, 0);
    assert_int_equal(flow_out_acknowledged(before, R), 0); /* not its answer */
    buf_unref(late);
    flow_out_free(before);
    flow_out_free(after);
    flow_in_free(in);
}

static void a_live_cursor_is_never_evicted(void **state)
{
    flow_in *in = flow_in_new(R, 0, &(flow_in_config){.max_cursors = 2});
    flow_out *o[3];
    flow_ack ack;
    buf *b;

    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        o[i] = flow_out_new(S + i, 1, NULL);
        send_numbers(o[i], 1, 1);
    }
    carry(o[0], in, 0);
    carry(o[1], in, 0);
    b = poll_one(o[2], 0);
    assert_int_equal(offer(in, b), BERTH_ERR_LIMIT);
    buf_unref(b);
    assert_true(flow_in_answer(in, &ack));
    assert_int_equal(ack.answer, FLOW_FULL);
    assert_int_equal(flow_out_answer(o[2], &ack, 0), BERTH_OK);
    apply(in, 1, 1);
    apply(in, 1, 1);
    for (int i = 0; i < 2; i++)
        answer(in, o[i], 0); /* each takes its own; the first answer() drains all */
    assert_int_equal(in_stats(in).cursors, 2);
    /* Room is made by a close, and then the third begins. */
    flow_out_expire(o[0], 60 * SEC);
    carry(o[0], in, 60 * SEC);
    answer(in, o[0], 60 * SEC);
    assert_int_equal(flow_out_close(o[0], R), BERTH_OK);
    carry(o[0], in, 60 * SEC);
    answer(in, o[0], 60 * SEC);
    assert_int_equal(stats_of(o[0]).flows, 0);
    for (int64_t now = 100 * SEC; now < 400 * SEC; now += 100 * SEC) {
        flow_out_expire(o[2], now);
        carry(o[2], in, now);
        answer(in, o[2], now);
    }
    apply(in, 1, 1);
    for (int i = 0; i < 3; i++)
        flow_out_free(o[i]);
    flow_in_free(in);
}

static void a_late_event_of_a_closed_flow_does_not_begin_it_anew(void **state)
{
    flow_out *o = flow_out_new(S, 1, NULL);
    flow_in *in = flow_in_new(R, 0, NULL);
    flow_event e;
    buf *late;

    (void)state;
    send_numbers(o, 1, 2);
    late = poll_one(o, 0);
    offer(in, late);
    assert_int_equal(flow_out_close(o, R), BERTH_ERR_BUSY);
    apply(in, 1, 2);
    answer(in, o, 0);
    assert_int_equal(flow_out_close(o, R), BERTH_OK);
    carry(o, in, 0);
    answer(in, o, 0);
    assert_int_equal(in_stats(in).cursors, 0);
    assert_int_equal(offer(in, late), BERTH_ERR_NOT_FOUND);
    assert_false(flow_in_next(in, &e));
    /* But the sender itself can: it is told the new generation. */
    send_numbers(o, 1, 2);
    carry(o, in, 0);
    assert_false(flow_in_next(in, &e));
    answer(in, o, 0);
    carry(o, in, 0);
    apply(in, 1, 2);
    answer(in, o, 0);
    assert_int_equal(stats_of(o).events, 0);
    buf_unref(late);
    flow_out_free(o);
    flow_in_free(in);
}

static void an_answer_about_an_earlier_life_acknowledges_nothing(void **state)
{
    flow_out *o = flow_out_new(S, 1, NULL);
    flow_in *in = flow_in_new(R, 0, NULL);
    flow_ack old;

    (void)state;
    send_numbers(o, 1, 2);
    carry(o, in, 0);
    apply(in, 1, 2);
    assert_true(flow_in_answer(in, &old));
    assert_int_equal(flow_out_answer(o, &old, 0), BERTH_OK);
    assert_int_equal(flow_out_close(o, R), BERTH_OK);
    send_numbers(o, 1, 2); /* at once: nobody waits for the close */
    carry(o, NULL, 0);
    assert_int_equal(flow_out_answer(o, &old, 0), BERTH_ERR_STALE);
    assert_int_equal(stats_of(o).events, 2);
    flow_out_free(o);
    flow_in_free(in);
}

static void an_answer_that_acknowledges_what_was_never_sent_is_refused(void **state)
{
    flow_out *o = flow_out_new(S, 1, NULL);
    flow_ack ack = {{S, 1, 1, R}, FLOW_THROUGH, 1, 0, 4, 10};

    (void)state;
    send_numbers(o, 1, 3);
    carry(o, NULL, 0);
    assert_int_equal(flow_out_answer(o, &ack, 0), BERTH_ERR_INVALID);
    assert_int_equal(stats_of(o).events, 3);
    flow_out_free(o);
}

static void both_ends_travel_in_snapshots(void **state)
{
    flow_out *o = flow_out_new(S, 1, NULL), *o2 = flow_out_new(S, 1, NULL);
    flow_in *in = flow_in_new(R, 0, NULL), *in2;
    flow_cursor cursors[4], parsed;
    char source[FLOW_SOURCE];
    berth_error error = {0};
    writer w = {0};

    (void)state;
    send_numbers(o, 1, 5);
    carry(o, in, 0);
    apply(in, 1, 3);
    answer(in, o, 0);
    flow_out_export(o, &w);
    assert_int_equal(flow_out_import(o2, slice_of(w.data, w.len), &error), BERTH_OK);
    assert_int_equal(flow_in_export(in, cursors, 4), 1);
    flow_cursor_source(source, &cursors[0]);
    assert_true(flow_cursor_parse(&parsed, slice_str(source), cursors[0].through));
    assert_memory_equal(&parsed, &cursors[0], sizeof parsed);
    in2 = flow_in_new(R, flow_in_generation(in), NULL);
    assert_int_equal(flow_in_import(in2, &parsed), BERTH_OK);
    send_numbers(o2, 6, 7);
    carry(o2, in2, 0);
    apply(in2, 4, 7);
    answer(in2, o2, 0);
    assert_int_equal(stats_of(o2).events, 0);
    for (size_t len = 0; len < w.len; len++) {
        flow_out *damaged = flow_out_new(S, 1, NULL);

        assert_int_not_equal(flow_out_import(damaged, slice_of(w.data, len), &error), BERTH_OK);
        assert_int_equal(stats_of(damaged).flows, 0);
        flow_out_free(damaged);
    }
    writer_free(&w);
    flow_out_free(o);
    flow_out_free(o2);
    flow_in_free(in);
    flow_in_free(in2);
}

static void what_neither_end_has_any_more_is_told(void **state)
{
    flow_out *o = flow_out_new(S, 1, NULL);
    flow_in *in = flow_in_new(R, 0, NULL), *old = flow_in_new(R, 0, NULL);
    flow_event e;
    flow_frame f;
    berth_error error;
    buf *b;

    (void)state;
    send_numbers(o, 1, 3);
    carry(o, in, 0);
    apply(in, 1, 3);
    answer(in, o, 0);
    send_numbers(o, 4, 4);
    b = poll_one(o, 0);
    /* The receiver is back from before all of it. A forwarder may not say so. */
    assert_int_equal(flow_frame_read(&f, slice_of(b->data, b->len), &error), BERTH_OK);
    assert_int_equal(flow_in_offer(old, &f, b, false), BERTH_ERR_REFUSED);
    assert_int_equal(flow_in_offer(old, &f, b, true), BERTH_OK);
    assert_true(flow_in_next(old, &e));
    assert_int_equal(e.sequence, 4);
    assert_int_equal(e.lost, 3);
    buf_unref(e.hold);
    buf_unref(b);
    flow_out_free(o);
    flow_in_free(in);
    flow_in_free(old);
}

static void a_full_outbox_gives_no_room_and_drops_nothing(void **state)
{
    flow_out *o = flow_out_new(S, 1, &(flow_out_config){.max_events = 3, .max_flows = 1});
    buf *b = buf_copy("x", 1);

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(flow_out_send(o, R, b, NULL), BERTH_OK);
    assert_int_equal(flow_out_send(o, R, b, NULL), BERTH_ERR_WOULD_BLOCK);
    assert_int_equal(flow_out_send(o, R + 1, b, NULL), BERTH_ERR_WOULD_BLOCK);
    assert_int_equal(stats_of(o).events, 3);
    buf_unref(b);
    flow_out_free(o);
}

static void a_forwarded_message_differs_in_epoch_and_hops_only(void **state)
{
    flow_out *o = flow_out_new(S, 1, NULL);
    berth_error error = {0};
    flow_frame f, g;
    writer w = {0};
    buf *b;

    (void)state;
    send_numbers(o, 1, 3);
    b = poll_one(o, 0);
    flow_forward(&w, slice_of(b->data, b->len), 7);
    assert_int_equal(flow_frame_read(&f, slice_of(b->data, b->len), &error), BERTH_OK);
    assert_int_equal(flow_frame_read(&g, slice_of(w.data, w.len), &error), BERTH_OK);
    assert_int_equal(g.head.min_epoch, 7);
    assert_int_equal(g.head.hops, f.head.hops + 1);
    assert_true(flow_id_eq(&f.head.id, &g.head.id) && slice_eq(f.events, g.events));
    for (int i = 0; i < FLOW_HOPS_MAX; i++) {
        writer next = {0};

        flow_forward(&next, slice_of(w.data, w.len), 8);
        writer_free(&w);
        w = next;
    }
    assert_int_equal(flow_frame_read(&g, slice_of(w.data, w.len), &error), BERTH_ERR_CORRUPT);
    for (size_t len = 0; len < b->len; len++)
        assert_int_equal(flow_frame_read(&g, slice_of(b->data, len), &error), BERTH_ERR_CORRUPT);
    writer_free(&w);
    buf_unref(b);
    flow_out_free(o);
}

static void a_muted_outbox_sends_nothing_and_a_replayed_close_forgets(void **state)
{
    flow_out *o = flow_out_new(S, 1, &(flow_out_config){.max_events = 2});
    flow_frame f;
    berth_error error;
    buf *b;

    (void)state;
    flow_out_mute(o, true);
    send_numbers(o, 1, 3); /* the original had room for each */
    assert_null(poll_one(o, 0));
    assert_int_equal(flow_out_close(o, R), BERTH_OK);
    send_numbers(o, 4, 4);
    flow_out_mute(o, false);
    b = poll_one(o, 0);
    assert_int_equal(flow_frame_read(&f, slice_of(b->data, b->len), &error), BERTH_OK);
    assert_true(f.head.id.life == 2 && f.first == 1 && f.count == 1);
    buf_unref(b);
    flow_out_free(o);
}

static void a_cursor_of_an_incarnation_that_is_over_makes_room(void **state)
{
    flow_out *o = flow_out_new(S, 1, NULL);
    flow_in *in = flow_in_new(R, 0, NULL);
    flow_id id;
    buf *late;

    (void)state;
    send_numbers(o, 1, 1);
    late = poll_one(o, 0);
    offer(in, late);
    assert_false(flow_in_outlived(in, S, 1, &id));
    apply(in, 1, 1);
    assert_false(flow_in_outlived(in, S, 1, &id));
    assert_true(flow_in_outlived(in, S, 2, &id));
    flow_in_closed(in, &id);
    assert_int_equal(in_stats(in).cursors, 0);
    assert_int_equal(offer(in, late), BERTH_ERR_NOT_FOUND);
    buf_unref(late);
    flow_out_free(o);
    flow_in_free(in);
}

static void texts_that_are_not_of_a_cursor_are_not_taken_for_one(void **state)
{
    static const char *const bad[] = {"",
                                      "flow/",
                                      "flow/1/1/1",
                                      "flow/00000000000011110/1/1",
                                      "flow/0000000000001111/01/1",
                                      "flow/0000000000001111/1/",
                                      "flow/0000000000001111/1/G",
                                      "flow/0000000000001111/1/1/",
                                      "flow/000000000000111A/1/1",
                                      "api/0000000000001111/1/1"};
    flow_cursor c;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(flow_cursor_parse(&c, slice_str(bad[i]), 1));
    assert_true(flow_cursor_parse(&c, slice_str("flow/0000000000001111/a/ffffffffffffffff"), 9));
    assert_int_equal(c.life, UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_kept_until_they_are_durable_there),
        cmocka_unit_test(what_is_lost_is_sent_again_and_what_is_repeated_is_dropped),
        cmocka_unit_test(what_overtakes_waits_for_what_is_missing),
        cmocka_unit_test(what_waits_has_a_bound_in_events_and_bytes),
        cmocka_unit_test(an_event_larger_than_the_room_still_gets_through),
        cmocka_unit_test(a_higher_incarnation_begins_anew_and_a_lower_one_is_dropped),
        cmocka_unit_test(a_live_cursor_is_never_evicted),
        cmocka_unit_test(a_late_event_of_a_closed_flow_does_not_begin_it_anew),
        cmocka_unit_test(an_answer_about_an_earlier_life_acknowledges_nothing),
        cmocka_unit_test(an_answer_that_acknowledges_what_was_never_sent_is_refused),
        cmocka_unit_test(both_ends_travel_in_snapshots),
        cmocka_unit_test(what_neither_end_has_any_more_is_told),
        cmocka_unit_test(a_full_outbox_gives_no_room_and_drops_nothing),
        cmocka_unit_test(a_forwarded_message_differs_in_epoch_and_hops_only),
        cmocka_unit_test(a_muted_outbox_sends_nothing_and_a_replayed_close_forgets),
        cmocka_unit_test(a_cursor_of_an_incarnation_that_is_over_makes_room),
        cmocka_unit_test(texts_that_are_not_of_a_cursor_are_not_taken_for_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
