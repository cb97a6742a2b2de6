/* SPDX-License-Identifier: Apache-2.0 */
/* Tails of daemons and channels, and channels themselves, through a runtime. */
#include "daemon_help.h"

/* ---- Tails of daemons ------------------------------------------------------------------------ */

static void a_tail_begins_with_what_is_kept_or_with_what_comes(void **state)
{
    berth_runtime_config config = {.size = sizeof(config), .ring_outputs = 4};
    berth_runtime *rt = help_runtime(state, &config);
    uint64_t d = spawn_of(rt, "echo");
    for (int i = 0; i < 10; i++)
        OK(tell_it(rt, d, say("%d", i)));
    ear *old = ear_on(rt, d, TAIL_FROM_RING), *now = ear_on(rt, d, TAIL_FROM_NOW);
    OK(tell_it(rt, d, "x"));
    hear(old, "7"); /* of the four that were kept the first has just gone */
    assert_int_equal(old->missed, 1);
    hear(old, "8");
    hear(old, "9");
    hear(old, "x");
    hear(now, "x");
    assert_int_equal(now->missed, 0);
    assert_int_equal(now->link.sequence, 11);
    ear_close(old);
    ear_close(now);
    tail *t;
    FAILS(tail_open_daemon(rt, 1, TAIL_FROM_NOW, NULL, NULL, &t, NULL), NOT_FOUND);
    help_free(state, rt);
}

/* A slow reader holds nobody up, and what it got and what it missed add up. */
static void a_slow_reader_is_told_how_much_it_missed(void **state)
{
    berth_runtime_config config = {.size = sizeof(config), .ring_outputs = 16};
    berth_runtime *rt = help_runtime(state, &config);
    uint64_t d = spawn_of(rt, "counter");
    tail *t;
    tail_item items[7];
    uint64_t missed, got = 0, lost = 0, last = 0;
    bool ended = false;
    OK(tail_open_daemon(rt, d, TAIL_FROM_NOW, NULL, NULL, &t, NULL));
    for (int i = 0; i < 1000; i++) {
        OK(tell_it(rt, d, ""));
        if (i % 37 != 0)
            continue;
        size_t n = tail_read(t, items, 7, &missed, &ended);
        lost += missed;
        for (size_t k = 0; k < n; k++) {
            assert_true(items[k].index >= last);
            last = items[k].index + 1;
            tail_item_release(&items[k]);
        }
        got += n;
    }
    OK(berth_stop(rt, d, 0, NULL));
    while (!ended) {
        size_t n = tail_read(t, items, 7, &missed, &ended);
        lost += missed;
        got += n;
        for (size_t k = 0; k < n; k++)
            tail_item_release(&items[k]);
    }
    assert_int_equal(got + lost, 1000);
    assert_true(lost > 0);
    tail_close(t);
    help_free(state, rt);
}

/* compute-core §18.3 */
static void every_chained_output_is_seen_whereever_it_goes_and_then_the_end(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "script"), other = spawn_of(rt, "echo");
    ear *e = ear_on(rt, d, TAIL_FROM_RING);
    OK(tell_it(rt, d, say("emit:a send:%016" PRIx64 ":b pub:chan:c timer:1:3600000:t", other)));
    hear(e, "start 0 1 ");
    const struct {
        const char *text;
        uint16_t to;
    } outputs[] = {{"a", BERTH_TO_CALLER}, {"b", BERTH_TO_DAEMON}, {"c", BERTH_TO_CHANNEL}};
    for (uint64_t i = 0; i < 3; i++) {
        hear(e, outputs[i].text);
        assert_int_equal(e->to, outputs[i].to);
        assert_int_equal(e->link.sequence, i + 2);
    }
    OK(berth_stop(rt, d, 0, NULL));
    assert_false(ear_next(e)); /* a timer is no output */
    ear_close(e);
    help_free(state, rt);
}

/* All rings together keep to their budget. */
static void rings_of_many_daemons_are_bounded_together(void **state)
{
    berth_runtime_config config = {
        .size = sizeof(config), .ring_bytes = 20000, .ring_total_bytes = 50000};
    berth_runtime *rt = help_runtime(state, &config);
    runtime_counters c;
    char text[1000];
    memset(text, 'x', sizeof(text));
    uint64_t all[10];
    for (int i = 0; i < 10; i++) {
        all[i] = spawn_of(rt, "echo");
        for (int k = 0; k < 30; k++)
            OK(berth_deliver(rt, all[i], text, sizeof(text), NULL, NULL));
        runtime_get_counters(rt, &c);
        assert_true(c.ring_bytes <= 50000);
    }
    assert_true(c.ring_bytes > 30000);
    for (int i = 0; i < 10; i++)
        OK(berth_stop(rt, all[i], 0, NULL));
    UNTIL((runtime_get_counters(rt, &c), c.ring_bytes == 0));
    help_free(state, rt);
}

/* Whoever reads along sees outputs also where idle rings have used up what all may hold. */
static void one_who_reads_along_sees_outputs_though_others_filled_the_budget(void **state)
{
    berth_runtime_config config = {
        .size = sizeof(config), .ring_bytes = 20000, .ring_total_bytes = 40000};
    berth_runtime *rt = help_runtime(state, &config);
    char text[1000];
    memset(text, 'x', sizeof(text));
    for (int i = 0; i < 4; i++) {
        uint64_t d = spawn_of(rt, "echo");
        for (int k = 0; k < 30; k++)
            OK(berth_deliver(rt, d, text, sizeof(text), NULL, NULL));
    }
    uint64_t late = spawn_of(rt, "echo");
    ear *e = ear_on(rt, late, TAIL_FROM_NOW);
    for (int i = 0; i < 10; i++) {
        OK(tell_it(rt, late, say("%d", i)));
        hear(e, say("%d", i));
    }
    assert_int_equal(e->missed, 0);
    ear_close(e);
    help_free(state, rt);
}

/* ---- Channels -------------------------------------------------------------------------------- */

static uint64_t publish(berth_runtime *rt, const char *channel, const char *text)
{
    uint64_t reached = 99;
    OK(runtime_publish(rt, slice_str(channel), slice_str(text), NULL, NULL, &reached, NULL));
    return reached;
}

static ear *ear_on_channel(berth_runtime *rt, const char *name)
{
    ear *e = malloc(sizeof(*e));
    ear_init(e);
    OK(tail_open_channel(rt, slice_str(name), ear_wake, e, &e->tail, NULL));
    return e;
}

/* DESIGN §3, compute-core §18.3: one deliver, whoever publishes; the daemon sees which channel it
 * came by */
static void what_is_published_reaches_subscribers_and_tails(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t a = spawn_of(rt, "script"), b = spawn_of(rt, "script");
    ear *e = ear_on_channel(rt, "news/a");
    OK(tell_it(rt, a, "sub:news/a"));
    OK(berth_subscribe_channel(rt, b, 0, "news/a", NULL, 0, NULL));
    assert_int_equal(publish(rt, "news/a", "add:1"), 2);
    assert_int_equal(publish(rt, "news/b", "add:1"), 0); /* exact names */
    hear(e, "add:1");
    assert_int_equal(e->to, BERTH_TO_CHANNEL);
    assert_string_equal(ask_it(rt, a, "show"), "1");
    assert_string_equal(ask_it(rt, b, "show"), "1");
    OK(tell_it(rt, a, "pub:news/a:add:5")); /* by a daemon: also to itself */
    hear(e, "add:5");
    assert_int_equal(e->link.origin, a);
    assert_string_equal(ask_it(rt, b, "show"), "6");
    assert_string_equal(ask_it(rt, a, "show"), "6");
    ear_close(e);
    uint64_t reached;
    FAILS(runtime_publish(rt, slice_str("News"), slice_str("x"), NULL, NULL, &reached, NULL),
          INVALID);
    FAILS(runtime_publish(rt, slice_str("a"), slice_of("x", (1 << 20) + 1), NULL, NULL, &reached,
                          NULL),
          LIMIT);
    help_free(state, rt);
}

/* compute-core §20 additional, §18.7: two daemons, one channel, one unsubscribes, or is stopped */
static void one_that_unsubscribes_or_stops_does_not_silence_the_other(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t a = spawn_of(rt, "script"), b = spawn_of(rt, "script"), c = spawn_of(rt, "script");
    const uint64_t all[] = {a, b, c};
    for (int i = 0; i < 3; i++)
        OK(tell_it(rt, all[i], "sub:chan"));
    assert_int_equal(publish(rt, "chan", "add:1"), 3);
    OK(tell_it(rt, a, "unsub:chan"));
    assert_int_equal(publish(rt, "chan", "add:1"), 2);
    OK(berth_stop(rt, b, 0, NULL));
    assert_int_equal(publish(rt, "chan", "add:1"), 1);
    assert_string_equal(ask_it(rt, a, "show"), "1");
    assert_string_equal(ask_it(rt, c, "show"), "3");
    help_free(state, rt);
}

static void count_up(void *ctx)
{
    atomic_fetch_add((atomic_int *)ctx, 1);
}

/* To all or to nobody: one who has to wait can try again without doubling. */
static void while_one_subscriber_has_no_room_nothing_is_published(void **state)
{
    berth_runtime_config config = {.size = sizeof(config), .threads = 2, .mailbox_events = 2};
    berth_runtime *rt = help_runtime(state, &config);
    uint64_t a = spawn_of(rt, "script"), b = spawn_of(rt, "script"), reached;
    atomic_int credits = 0;
    OK(tell_it(rt, a, "sub:chan"));
    OK(tell_it(rt, b, "sub:chan"));
    kinds_gate_close();
    OK(post_it(rt, b, "gate"));
    kinds_gate_await(1);
    assert_int_equal(publish(rt, "chan", "add:1"), 2);
    FAILS(runtime_publish(rt, slice_str("chan"), slice_str("add:1"), count_up, &credits, &reached,
                          NULL),
          WOULD_BLOCK);
    assert_int_equal(reached, 0);
    kinds_gate_open();
    UNTIL(credits == 1);
    assert_int_equal(publish(rt, "chan", "add:1"), 2);
    assert_string_equal(ask_it(rt, a, "show"), "2");
    assert_string_equal(ask_it(rt, b, "show"), "2");
    help_free(state, rt);
}

/* A daemon that publishes to one without room is held, and loses nothing. */
static void a_publishing_daemon_waits_for_a_full_subscriber(void **state)
{
    berth_runtime_config config = {.size = sizeof(config), .threads = 2, .mailbox_events = 4};
    berth_runtime *rt = help_runtime(state, &config);
    uint64_t a = spawn_of(rt, "script"), b = spawn_of(rt, "script"), c = spawn_of(rt, "script");
    OK(tell_it(rt, b, "sub:chan"));
    OK(tell_it(rt, c, "sub:chan"));
    kinds_gate_close();
    OK(post_it(rt, b, "gate"));
    kinds_gate_await(1);
    for (int i = 0; i < 4; i++) {
        const char *text = "pub:chan:add:1 pub:chan:add:1 pub:chan:add:1";
        berth_input in = {.data = text, .len = strlen(text)};
        OK(berth_submit_wait(rt, a, &in, 1, NULL, NULL, NULL));
    }
    runtime_counters n;
    UNTIL((runtime_get_counters(rt, &n), n.blocked_daemons == 1));
    kinds_gate_open();
    OK(berth_flush(rt, a, NULL));
    UNTIL((runtime_get_counters(rt, &n), n.blocked_daemons == 0 && n.mailbox_events == 0));
    assert_string_equal(ask_it(rt, b, "show"), "12");
    assert_string_equal(ask_it(rt, c, "show"), "12");
    assert_int_equal(info_of(rt, a).events_lost, 0);
    help_free(state, rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_tail_begins_with_what_is_kept_or_with_what_comes),
        BOTH(a_slow_reader_is_told_how_much_it_missed),
        BOTH(every_chained_output_is_seen_whereever_it_goes_and_then_the_end),
        BOTH(rings_of_many_daemons_are_bounded_together),
        INLINE(one_who_reads_along_sees_outputs_though_others_filled_the_budget),
        BOTH(what_is_published_reaches_subscribers_and_tails),
        BOTH(one_that_unsubscribes_or_stops_does_not_silence_the_other),
        BOTH(while_one_subscriber_has_no_room_nothing_is_published),
        BOTH(a_publishing_daemon_waits_for_a_full_subscriber),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
