/* SPDX-License-Identifier: Apache-2.0 */
/* Mailboxes, credit, and daemons that wait for one another (DESIGN §3: no cycle can deadlock). */
#include "daemon_help.h"

static berth_runtime *small(void **state, uint64_t events, uint64_t bytes)
{
    berth_runtime_config config = {.size = sizeof(config),
                                   .threads = 2,
                                   .mailbox_events = events,
                                   .mailbox_bytes = bytes,
                                   .ring_outputs = 4096,
                                   .ring_bytes = 1 << 20,
                                   .call_budget_ns = 1000000};
    return help_runtime(state, &config);
}

/* A daemon in a call that waits at the gate; nothing else is in its mailbox. */
static uint64_t stuck(berth_runtime *rt)
{
    uint64_t d = spawn_of(rt, "script");
    OK(berth_flush(rt, d, NULL));
    kinds_gate_close();
    OK(post_it(rt, d, "gate"));
    kinds_gate_await(1);
    return d;
}

static berth_status post_n(berth_runtime *rt, uint64_t d, unsigned n, const char *text)
{
    static berth_input in[2000];
    for (unsigned i = 0; i < n; i++)
        in[i] = (berth_input){.data = text, .len = strlen(text)};
    return berth_submit(rt, d, in, n, NULL, NULL, NULL);
}

static bool is_quiet(berth_runtime *rt)
{
    runtime_counters c;
    runtime_get_counters(rt, &c);
    return c.mailbox_events == 0 && c.blocked_daemons == 0;
}

/* ---- Limits ---------------------------------------------------------------------------------- */

/* Events: below, at, above; the one that runs counts until its call is over */
static void a_mailbox_takes_as_many_events_as_it_may_and_no_more(void **state)
{
    berth_runtime *rt = small(state, 10, 1 << 20);
    uint64_t d = stuck(rt);
    OK(post_n(rt, d, 8, "add:1"));
    assert_int_equal(info_of(rt, d).mailbox_events, 9);
    FAILS(post_n(rt, d, 2, "add:100"), WOULD_BLOCK); /* all or none */
    OK(post_n(rt, d, 1, "add:1"));
    assert_int_equal(info_of(rt, d).mailbox_events, 10);
    FAILS(post_n(rt, d, 1, "add:100"), WOULD_BLOCK);
    kinds_gate_open();
    assert_string_equal(ask_it(rt, d, "show"), "9");
    assert_int_equal(info_of(rt, d).mailbox_events, 0);
    assert_int_equal(info_of(rt, d).mailbox_bytes, 0);
    OK(post_n(rt, d, 1000, "add:1")); /* more than it holds goes into an empty one */
    assert_string_equal(ask_it(rt, d, "show"), "1009");
    help_free(state, rt);
}

static void a_mailbox_takes_as_many_bytes_as_it_may_and_no_more(void **state)
{
    berth_runtime *rt = small(state, 1000, 100);
    uint64_t d = stuck(rt); /* 4 bytes */
    OK(post_n(rt, d, 9, "add:000001"));
    FAILS(post_n(rt, d, 1, "add:001"), WOULD_BLOCK);
    OK(post_n(rt, d, 1, "add:01"));
    assert_int_equal(info_of(rt, d).mailbox_bytes, 100);
    FAILS(post_n(rt, d, 1, "x"), WOULD_BLOCK);
    kinds_gate_open();
    assert_string_equal(ask_it(rt, d, "show"), "10");
    help_free(state, rt);
}

static void an_event_over_the_limit_is_refused_and_nothing_of_its_batch_is_delivered(void **state)
{
    berth_runtime_config config = {.size = sizeof(config), .max_event = 50};
    berth_runtime *rt = help_runtime(state, &config);
    uint64_t d = spawn_of(rt, "counter");
    char big[51] = {0};
    berth_error error = {0};
    berth_input in[] = {{"x", 1, NULL}, {big, 51, NULL}};
    FAILS(berth_deliver_batch(rt, d, in, 2, NULL, &error), LIMIT);
    CONTAINS(error.text, "event 1");
    FAILS(berth_submit(rt, d, in, 2, NULL, NULL, NULL), LIMIT);
    FAILS(berth_submit_wait(rt, d, in, 2, NULL, NULL, NULL), LIMIT);
    FAILS(berth_deliver_batch(rt, d, in, 0, NULL, NULL), INVALID);
    FAILS(berth_submit(rt, d, in, 0, NULL, NULL, NULL), INVALID);
    in[1].len = 50;
    OK(berth_deliver_batch(rt, d, in, 2, NULL, NULL));
    in[1].len = 49;
    OK(berth_deliver_batch(rt, d, in, 2, NULL, NULL));
    assert_string_equal(ask_it(rt, d, ""), "5");
    help_free(state, rt);
}

/* ---- Credit ---------------------------------------------------------------------------------- */

static void count_up(void *ctx)
{
    atomic_fetch_add((atomic_int *)ctx, 1);
}

static batch *batch_saying(const char *text)
{
    batch *b = batch_new(1, 0);
    assert_true(batch_add(b, text, strlen(text)));
    return b;
}

static void credit_comes_once_when_there_is_room(void **state)
{
    berth_runtime *rt = small(state, 4, 1000);
    uint64_t d = stuck(rt);
    atomic_int credits = 0;
    OK(post_n(rt, d, 3, "add:1"));
    batch *b = batch_saying("add:10");
    FAILS(runtime_submit(rt, d, b, count_up, &credits, NULL), WOULD_BLOCK);
    assert_int_equal(credits, 0);
    kinds_gate_open();
    UNTIL(credits == 1);
    OK(runtime_submit(rt, d, b, count_up, &credits, NULL)); /* it is still ours, and goes now */
    assert_string_equal(ask_it(rt, d, "show"), "13");
    assert_int_equal(credits, 1);
    help_free(state, rt);
}

static void credit_comes_also_when_the_daemon_is_gone(void **state)
{
    berth_runtime *rt = small(state, 4, 1000);
    uint64_t d = stuck(rt);
    atomic_int credits = 0;
    OK(post_n(rt, d, 3, "add:1"));
    batch *b = batch_saying("add:10");
    FAILS(runtime_submit(rt, d, b, count_up, &credits, NULL), WOULD_BLOCK);
    FAILS(berth_stop(rt, d, 0, NULL), TIMEOUT);
    kinds_gate_open();
    UNTIL(credits == 1);
    FAILS(runtime_submit(rt, d, b, NULL, NULL, NULL), NOT_FOUND);
    batch_free(b);
    help_free(state, rt);
}

typedef struct sender {
    berth_runtime *rt;
    uint64_t d;
    atomic_int sent;
} sender;

static void *send_many(void *arg)
{
    sender *s = arg;
    berth_input in = {.data = "add:1", .len = 5};
    for (int i = 0; i < 500; i++) {
        OK(berth_submit_wait(s->rt, s->d, &in, 1, NULL, NULL, NULL));
        atomic_fetch_add(&s->sent, 1);
    }
    return NULL;
}

static void whoever_waits_for_room_gets_it(void **state)
{
    berth_runtime *rt = small(state, 8, 1000);
    sender s = {.rt = rt, .d = stuck(rt)};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, send_many, &s);
    UNTIL(info_of(rt, s.d).mailbox_events == 8);
    assert_true(s.sent <= 7);
    kinds_gate_open();
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_string_equal(ask_it(rt, s.d, "show"), "2000");
    help_free(state, rt);
}

/* ---- Daemons that wait for daemons ----------------------------------------------------------- */

/* A slow consumer holds the emitter, not its thread; nothing is lost, the order is kept. */
static void a_full_receiver_holds_the_sender_but_not_its_thread(void **state)
{
    berth_runtime_config config = {
        .size = sizeof(config), .threads = 1, .mailbox_events = 8, .call_budget_ns = 1000000};
    berth_runtime *rt = help_runtime(state, &config);
    uint64_t b = stuck(rt), a = spawn_of(rt, "script"), c = spawn_of(rt, "counter");
    OK(post_it(rt, a, say("flood:%016" PRIx64 ":100 emit:x", b)));
    OK(post_it(rt, a, "add:1"));
    runtime_counters n;
    UNTIL((runtime_get_counters(rt, &n), n.blocked_daemons == 1));
    for (int i = 1; i <= 50; i++) /* others go on */
        assert_string_equal(ask_it(rt, c, ""), say("%d", i));
    assert_int_equal(info_of(rt, a).events_processed, 1); /* it is held itself: its mail waits */
    assert_int_equal(info_of(rt, a).mailbox_events, 1);
    OK(post_it(rt, c, ""));
    OK(berth_flush(rt, c, NULL));
    kinds_gate_open();
    assert_string_equal(ask_it(rt, a, "show"), "1");
    UNTIL(is_quiet(rt));
    assert_string_equal(ask_it(rt, b, "show"), "100");
    assert_int_equal(info_of(rt, a).events_lost, 0);
    help_free(state, rt);
}

/* compute-core K5, abi.md §1.10: the deadline ends the wait; what could not be sent is lost */
static void a_send_that_waits_too_long_is_lost_and_the_sender_goes_on(void **state)
{
    berth_runtime_config config = {
        .size = sizeof(config), .mailbox_events = 8, .send_deadline_ns = 2000000};
    berth_runtime *rt = help_runtime(state, &config);
    uint64_t b = stuck(rt), a = spawn_of(rt, "script");
    ear *e = ear_on(rt, a, TAIL_FROM_NOW);
    OK(tell_it(rt, a, say("flood:%016" PRIx64 ":9 within:60000 ask:%016" PRIx64 ":3:x", b, b)));
    hear_at_last(e, "reply 3 4 "); /* lost */
    assert_int_equal(info_of(rt, a).events_lost, 3);
    assert_string_equal(ask_it(rt, a, "emit:alive"), "alive");
    kinds_gate_open();
    assert_string_equal(ask_it(rt, b, "show"), "7");
    ear_close(e);
    help_free(state, rt);
}

/* The hard cap: 8 times the mark; beyond it a send that must not wait is lost at once. */
static void a_daemon_that_floods_itself_does_not_wait_for_itself(void **state)
{
    berth_runtime *rt = small(state, 8, 1 << 20);
    uint64_t d = spawn_of(rt, "script");
    OK(berth_flush(rt, d, NULL));
    OK(tell_it(rt, d, say("flood:%016" PRIx64 ":63", d))); /* the one that runs may count */
    assert_string_equal(ask_it(rt, d, "show"), "63");
    assert_int_equal(info_of(rt, d).events_lost, 0);
    OK(tell_it(rt, d, say("flood:%016" PRIx64 ":1000", d)));
    uint64_t got = strtoull(ask_it(rt, d, "show"), NULL, 10) - 63;
    assert_in_range(got, 63, 64);
    assert_int_equal(info_of(rt, d).events_lost, 1000 - got);
    help_free(state, rt);
}

/* Daemons in a circle, each sending two messages for each that it gets, over full mailboxes. */
static void circle(void **state, unsigned members, unsigned depth)
{
    berth_runtime *rt = small(state, 4, 1 << 20);
    uint64_t ring_of[3];
    for (unsigned i = 0; i < members; i++) {
        ring_of[i] = spawn_of(rt, "script");
        OK(berth_flush(rt, ring_of[i], NULL));
    }
    for (unsigned i = 0; i < members; i++) {
        const char *text = say("bounce:%016" PRIx64 ":%u", ring_of[(i + 1) % members], depth);
        berth_input in = {.data = text, .len = strlen(text)};
        OK(berth_submit_wait(rt, ring_of[i], &in, 1, NULL, NULL, NULL));
    }
    uint64_t processed = 0, sent = 0, lost = 0;
    for (int64_t until = clock_mono_ns() + HELP_PATIENCE_NS; clock_mono_ns() < until;) {
        processed = sent = lost = 0;
        bool quiet = is_quiet(rt);
        for (unsigned i = 0; i < members; i++) {
            berth_daemon_info info = info_of(rt, ring_of[i]);
            processed += info.events_processed;
            sent += info.events_emitted - 1; /* without its start */
            lost += info.events_lost;
        }
        if (quiet && processed == members + sent - lost)
            break;
        help_nap();
    }
    assert_true(is_quiet(rt));
    assert_int_equal(processed, members + sent - lost);
    assert_true(sent > 100);
    for (unsigned i = 0; i < members; i++)
        assert_string_equal(ask_it(rt, ring_of[i], "show"), "0"); /* they all answer */
    help_free(state, rt);
}

static void two_daemons_that_flood_each_other_do_not_deadlock(void **state)
{
    circle(state, 2, 12);
}

static void nor_does_a_circle_of_three(void **state)
{
    circle(state, 3, 12);
}

static void a_daemon_that_sends_to_itself_for_ever_hinders_nobody_and_can_be_stopped(void **state)
{
    berth_runtime_config config = {.size = sizeof(config), .threads = 1, .mailbox_events = 8};
    berth_runtime *rt = help_runtime(state, &config);
    uint64_t a = spawn_of(rt, "script"), b = spawn_of(rt, "script"), c = spawn_of(rt, "counter");
    OK(post_it(rt, a, "loop"));
    OK(post_it(rt, b, "loop"));
    for (int i = 0; i < 20; i++) {
        OK(post_it(rt, c, ""));
        OK(berth_flush(rt, c, NULL));
    }
    assert_string_equal(ask_it(rt, c, ""), "21");
    UNTIL(info_of(rt, a).events_processed > 1000);
    OK(berth_flush(rt, a, NULL)); /* what was posted before it: not what comes for ever after */
    OK(berth_stop(rt, a, 20, NULL));
    OK(berth_stop(rt, b, 0, NULL));
    assert_int_equal(berth_daemon_count(rt), 1);
    help_free(state, rt);
}

/* ---- Calls that do not return ---------------------------------------------------------------- */

/* compute-core K5, K4: others go on; stop and shutdown say so and return */
static void a_call_that_does_not_return_stops_neither_the_others_nor_the_end(void **state)
{
    berth_runtime_config config = {.size = sizeof(config), .threads = 1, .call_budget_ns = 1000000};
    berth_runtime *rt = help_runtime(state, &config);
    berth_error error = {0};
    uint64_t d = stuck(rt), other = spawn_of(rt, "counter");
    for (int i = 0; i < 20; i++) {
        OK(post_it(rt, other, ""));
        OK(berth_flush(rt, other, NULL));
    }
    if (!*state) { /* where plugin code runs on our threads, it is seen */
        UNTIL(info_of(rt, d).busy_ns > 0);
        assert_int_equal(info_of(rt, d).overruns, 1);
    }
    OK(post_it(rt, d, "add:1"));
    FAILS(berth_stop(rt, d, 1, &error), TIMEOUT);
    CONTAINS(error.text, "does not return");
    FAILS(tell_it(rt, d, "x"), NOT_FOUND); /* gone from the table */
    assert_int_equal(berth_daemon_count(rt), 1);
    assert_true(kinds_alive >= 2); /* K21: its destroy follows that call */
    FAILS(berth_spawn_kind(rt, "nosuch", NULL, NULL, &d, NULL), KIND_UNKNOWN);
    kinds_gate_open();
    UNTIL(kinds_alive == 1);
    uint64_t again = stuck(rt);
    FAILS(berth_runtime_shutdown(rt, 1, &error), TIMEOUT);
    CONTAINS(error.text, "does not return");
    assert_int_equal(berth_daemon_count(rt), 0);
    (void)again;
    FAILS(berth_runtime_shutdown(rt, 1, &error), TIMEOUT); /* it is still there */
    kinds_gate_open();
    OK(berth_runtime_shutdown(rt, 1000, NULL));
    assert_int_equal(kinds_alive, 0);
    help_free(state, rt);
}

/* ---- What is left at the end ----------------------------------------------------------------- */

typedef struct answers {
    atomic_int ok, cancelled, failed, other;
} answers;

static void answered_so(void *ctx, berth_status status, uint64_t failed)
{
    answers *a = ctx;
    atomic_fetch_add(status == BERTH_OK              ? &a->ok
                     : status == BERTH_ERR_CANCELLED ? &a->cancelled
                                                     : &a->other,
                     1);
    atomic_fetch_add(&a->failed, (int)failed);
}

static void mail_that_is_left_at_stop_is_answered_as_cancelled(void **state)
{
    berth_runtime *rt = small(state, 100, 1000);
    uint64_t d = stuck(rt);
    answers a = {0};
    berth_input in[3] = {{"add:1", 5, NULL}, {"add:1", 5, NULL}, {"add:1", 5, NULL}};
    for (int i = 0; i < 10; i++)
        OK(berth_submit(rt, d, in, 3, answered_so, &a, NULL));
    FAILS(berth_stop(rt, d, 0, NULL), TIMEOUT);
    assert_int_equal(a.cancelled, 0);
    kinds_gate_open();
    UNTIL(a.cancelled == 10);
    assert_int_equal(a.failed, 30);
    assert_int_equal(a.ok + a.other, 0);
    help_free(state, rt);
}

static void *deliver_one(void *arg)
{
    sender *s = arg;
    FAILS(tell_it(s->rt, s->d, "add:1"), CANCELLED);
    return NULL;
}

static void a_delivery_that_waits_ends_with_the_daemon(void **state)
{
    berth_runtime *rt = small(state, 100, 1000);
    sender s = {.rt = rt, .d = stuck(rt)};
    pthread_t thread;
    pthread_create(&thread, NULL, deliver_one, &s);
    UNTIL(info_of(rt, s.d).mailbox_events == 2);
    FAILS(berth_stop(rt, s.d, 0, NULL), TIMEOUT);
    kinds_gate_open();
    pthread_join(thread, NULL);
    help_free(state, rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_mailbox_takes_as_many_events_as_it_may_and_no_more),
        BOTH(a_mailbox_takes_as_many_bytes_as_it_may_and_no_more),
        BOTH(an_event_over_the_limit_is_refused_and_nothing_of_its_batch_is_delivered),
        BOTH(credit_comes_once_when_there_is_room),
        BOTH(credit_comes_also_when_the_daemon_is_gone),
        BOTH(whoever_waits_for_room_gets_it),
        BOTH(a_full_receiver_holds_the_sender_but_not_its_thread),
        BOTH(a_send_that_waits_too_long_is_lost_and_the_sender_goes_on),
        BOTH(a_daemon_that_floods_itself_does_not_wait_for_itself),
        BOTH(two_daemons_that_flood_each_other_do_not_deadlock),
        BOTH(nor_does_a_circle_of_three),
        BOTH(a_daemon_that_sends_to_itself_for_ever_hinders_nobody_and_can_be_stopped),
        BOTH(a_call_that_does_not_return_stops_neither_the_others_nor_the_end),
        BOTH(mail_that_is_left_at_stop_is_answered_as_cancelled),
        BOTH(a_delivery_that_waits_ends_with_the_daemon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
