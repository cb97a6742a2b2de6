/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and replies, timers, spawning by daemons, posts, starts and controls (abi.md §1). */
#include "daemon_help.h"

/* ---- Requests -------------------------------------------------------------------------------- */

typedef struct pair {
    berth_runtime *rt;
    uint64_t a, b; /* a asks, b is asked */
    ear *ear;      /* on a */
} pair;

static pair pair_of(void **state, const berth_runtime_config *config)
{
    pair p = {.rt = help_runtime(state, config)};
    p.a = spawn_of(p.rt, "script");
    p.b = spawn_of(p.rt, "script");
    p.ear = ear_on(p.rt, p.a, TAIL_FROM_RING);
    hear(p.ear, "start 0 1 ");
    return p;
}

static void pair_free(void **state, pair *p)
{
    ear_close(p->ear);
    help_free(state, p->rt);
}

/* a asks b with this text, within so many ms. */
static void ask(pair *p, unsigned number, unsigned ms, const char *text)
{
    OK(tell_it(p->rt, p->a, say("within:%u ask:%016" PRIx64 ":%u:%s", ms, p->b, number, text)));
    assert_true(ear_next(p->ear)); /* the request itself is an output, too */
    assert_int_equal(p->ear->to, BERTH_TO_DAEMON);
}

static uint64_t open_dues(berth_runtime *rt)
{
    runtime_counters c;
    runtime_get_counters(rt, &c);
    return c.timers;
}

static void a_request_is_answered_under_its_number(void **state)
{
    pair p = pair_of(state, NULL);
    ask(&p, 7, 60000, "reply:hello");
    hear(p.ear, "reply 7 0 hello");
    assert_int_equal(open_dues(p.rt), 0);
    ask(&p, 7, 60000, "reply:again"); /* the number is free again */
    hear(p.ear, "reply 7 0 again");
    pair_free(state, &p);
}

/* abi.md §1.9: streams of replies; outputs to the caller are such a stream */
static void an_answer_may_come_in_parts_and_outputs_to_the_caller_do(void **state)
{
    pair p = pair_of(state, NULL);
    ask(&p, 1, 60000, "more:a;more:b;reply:c");
    hear(p.ear, "more 1 0 a");
    hear(p.ear, "more 1 0 b");
    hear(p.ear, "reply 1 0 c");
    ask(&p, 2, 60000, "emit:x;add:1;emit:y;emit:z");
    hear(p.ear, "more 2 0 x");
    hear(p.ear, "more 2 0 y");
    hear(p.ear, "reply 2 0 z");
    ask(&p, 3, 60000, "emit:only");
    hear(p.ear, "reply 3 0 only");
    assert_int_equal(open_dues(p.rt), 0);
    pair_free(state, &p);
}

static void a_request_may_be_refused_by_word_or_by_failing(void **state)
{
    pair p = pair_of(state, NULL);
    ask(&p, 1, 60000, "refuse:no");
    hear(p.ear, "reply 1 3 no");
    ask(&p, 2, 60000, "emit:dropped;reject");
    hear(p.ear, "reply 2 3 told to");
    ask(&p, 3, 60000, "broken");
    hear(p.ear, "reply 3 3 ");
    assert_int_equal(open_dues(p.rt), 0);
    pair_free(state, &p);
}

static void a_request_to_nobody_is_answered_as_unknown(void **state)
{
    pair p = pair_of(state, NULL);
    p.b = 0x1234;
    ask(&p, 1, 60000, "reply:x");
    hear(p.ear, "reply 1 2 ");
    assert_int_equal(info_of(p.rt, p.a).events_lost, 1);
    OK(tell_it(p.rt, p.a, "send:1234:x")); /* without a request nobody is told */
    assert_int_equal(info_of(p.rt, p.a).events_lost, 2);
    assert_int_equal(open_dues(p.rt), 0);
    pair_free(state, &p);
}

static void a_request_times_out_and_the_late_reply_is_dropped(void **state)
{
    pair p = pair_of(state, NULL);
    ask(&p, 1, 1, "keep");
    hear(p.ear, "reply 1 1 ");
    OK(tell_it(p.rt, p.b, "answer:late"));
    OK(berth_flush(p.rt, p.b, NULL));
    OK(berth_flush(p.rt, p.a, NULL));
    OK(tell_it(p.rt, p.a, "emit:next"));
    hear(p.ear, "next");
    pair_free(state, &p);
}

/* abi.md §1.9: reply_to is plain bytes: answered later, from another event */
static void a_request_may_be_answered_later(void **state)
{
    pair p = pair_of(state, NULL);
    ask(&p, 1, 60000, "keep");
    OK(berth_flush(p.rt, p.b, NULL));
    assert_int_equal(open_dues(p.rt), 1);
    OK(tell_it(p.rt, p.b, "answer:at-last"));
    hear(p.ear, "reply 1 0 at-last");
    OK(tell_it(p.rt, p.b, "answer:twice")); /* nobody waits any more */
    OK(berth_flush(p.rt, p.a, NULL));
    OK(tell_it(p.rt, p.a, "emit:next"));
    hear(p.ear, "next");
    pair_free(state, &p);
}

static void a_request_to_a_daemon_that_is_stopped_is_answered_as_lost(void **state)
{
    pair p = pair_of(state, NULL);
    kinds_gate_close();
    OK(post_it(p.rt, p.b, "gate"));
    kinds_gate_await(1);
    ask(&p, 1, 60000, "reply:never"); /* waits in its mailbox */
    FAILS(berth_stop(p.rt, p.b, 0, NULL), TIMEOUT);
    kinds_gate_open();
    hear(p.ear, "reply 1 4 the daemon was stopped");
    pair_free(state, &p);
}

static void a_number_in_use_is_refused(void **state)
{
    pair p = pair_of(state, NULL);
    ask(&p, 5, 60000, "keep");
    FAILS(tell_it(p.rt, p.a, say("ask:%016" PRIx64 ":5:x", p.b)), REJECTED);
    FAILS(tell_it(p.rt, p.a, "spawn:echo:5"), REJECTED);
    pair_free(state, &p);
}

/* A table that is full answers, and does not swallow. */
static void requests_beyond_what_can_be_remembered_are_answered_as_lost(void **state)
{
    berth_runtime_config config = {
        .size = sizeof(config), .ring_outputs = 8192, .ring_bytes = 1 << 20};
    pair p = pair_of(state, &config);
    for (int i = 1; i <= DUES_MAX; i++)
        ask(&p, (unsigned)i, 60000, "keep");
    assert_int_equal(open_dues(p.rt), DUES_MAX);
    ask(&p, DUES_MAX + 1, 60000, "reply:x");
    hear(p.ear, say("reply %d 4 ", DUES_MAX + 1));
    OK(tell_it(p.rt, p.a, say("spawn:echo:%d", DUES_MAX + 2)));
    hear(p.ear, say("reply %d 4 ", DUES_MAX + 2));
    assert_int_equal(berth_daemon_count(p.rt), 2);
    pair_free(state, &p);
}

/* ---- Timers ---------------------------------------------------------------------------------- */

static void timers_fire_with_their_number_and_data(void **state)
{
    pair p = pair_of(state, NULL);
    OK(tell_it(p.rt, p.a, "timer:9:1:nine"));
    hear(p.ear, "timer 9 0 nine");
    OK(tell_it(p.rt, p.a, "timer:1:0:now emit:first")); /* after what is in the mailbox */
    hear(p.ear, "first");
    hear(p.ear, "timer 1 0 now");
    OK(tell_it(p.rt, p.a, "timer:0:0:one timer:0:0:two")); /* without a number: as many as wanted */
    assert_true(ear_next(p.ear));
    CONTAINS(p.ear->text, " 0 one");
    assert_true(ear_next(p.ear));
    CONTAINS(p.ear->text, " 0 two");
    assert_int_equal(open_dues(p.rt), 0);
    pair_free(state, &p);
}

static void a_timer_is_replaced_by_its_number_and_can_be_cancelled(void **state)
{
    pair p = pair_of(state, NULL);
    OK(tell_it(p.rt, p.a, "timer:1:3600000:old timer:2:3600000:gone timer:1:1:new cancel:2"));
    hear(p.ear, "timer 1 0 new");
    assert_int_equal(open_dues(p.rt), 0);
    OK(tell_it(p.rt, p.a, "cancel:77 emit:end")); /* no such timer: nothing */
    hear(p.ear, "end");
    pair_free(state, &p);
}

/* One that has fired, but has not been delivered, is still cancelled, or replaced. */
static void a_timer_that_waits_in_the_mailbox_is_void_when_it_is_cancelled(void **state)
{
    pair p = pair_of(state, NULL);
    kinds_gate_close();
    OK(tell_it(p.rt, p.a, "timer:1:0:first timer:2:0:second timer:3:0:third"));
    OK(post_it(p.rt, p.a, "gate cancel:1 timer:2:3600000:later emit:now"));
    kinds_gate_await(1);
    /* Those that the loop has not fired yet fire here. */
    runtime_tick(p.rt, clock_mono_ns() + 1000000);
    kinds_gate_open();
    /* Which of the three came before the gate is the scheduler's choice; afterwards none does. */
    hear_at_last(p.ear, "now");
    OK(berth_flush(p.rt, p.a, NULL));
    OK(tell_it(p.rt, p.a, "emit:end"));
    while (assert_true(ear_next(p.ear)), strcmp(p.ear->text, "end") != 0)
        assert_string_equal(p.ear->text, "timer 3 0 third");
    assert_int_equal(open_dues(p.rt), 1); /* the later one */
    pair_free(state, &p);
}

/* abi.md §1.9: pending timers are part of the snapshot; also those that fired and wait */
static void timers_survive_a_snapshot_and_a_restore(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_keypair key = key_of(1);
    uint64_t d, len;
    void *bytes;
    OK(berth_spawn_kind(rt, "script", &key, NULL, &d, NULL));
    OK(tell_it(rt, d, "timer:1:20:soon timer:2:3600000:later timer:0:20:anonymous"));
    OK(berth_snapshot(rt, d, &bytes, &len, NULL));
    OK(berth_stop(rt, d, 0, NULL));
    assert_int_equal(open_dues(rt), 0);
    OK(berth_spawn_from_snapshot(rt, NULL, &key, bytes, len, NULL, &d, NULL));
    ear *e = ear_on(rt, d, TAIL_FROM_RING);
    hear(e, "start 0 2 "); /* before any of them */
    assert_true(ear_next(e));
    CONTAINS(e->text, "timer ");
    assert_true(ear_next(e));
    CONTAINS(e->text, "timer ");
    OK(tell_it(rt, d, "timer:0:0:another")); /* its number is none of those that came back */
    assert_true(ear_next(e));
    CONTAINS(e->text, "another");
    assert_int_equal(open_dues(rt), 1);
    free(bytes);
    ear_close(e);
    help_free(state, rt);
}

static void a_request_that_is_open_in_a_snapshot_is_answered_after_the_restore(void **state)
{
    pair p = pair_of(state, NULL);
    berth_keypair key = key_of(1);
    uint64_t len;
    void *bytes;
    OK(berth_spawn_kind(p.rt, "script", &key, NULL, &p.a, NULL));
    OK(tell_it(p.rt, p.a, say("within:60000 ask:%016" PRIx64 ":3:keep", p.b)));
    OK(berth_flush(p.rt, p.b, NULL));
    OK(berth_snapshot(p.rt, p.a, &bytes, &len, NULL));
    OK(berth_stop(p.rt, p.a, 0, NULL));
    OK(berth_spawn_from_snapshot(p.rt, NULL, &key, bytes, len, NULL, &p.a, NULL));
    ear *e = ear_on(p.rt, p.a, TAIL_FROM_RING);
    hear(e, "start 0 2 ");
    OK(tell_it(p.rt, p.b, "answer:still"));
    hear(e, "reply 3 0 still");
    free(bytes);
    ear_close(e);
    pair_free(state, &p);
}

/* ---- Spawning by daemons --------------------------------------------------------------------- */

static void a_daemon_spawns_a_daemon_and_is_told_what_became_of_it(void **state)
{
    pair p = pair_of(state, NULL);
    uint64_t child;
    OK(tell_it(p.rt, p.a, "spawn:counter:4:child"));
    assert_true(ear_next(p.ear));
    assert_memory_equal(p.ear->text, "reply 4 0 ", 10); /* then the entity, 32 bytes */
    OK(berth_daemon_find(p.rt, "child", &child, NULL));
    assert_string_equal(ask_it(p.rt, child, ""), "1");
    OK(tell_it(p.rt, p.a, "spawn:nosuch:5"));
    assert_true(ear_next(p.ear));
    CONTAINS(p.ear->text, "reply 5 2 "); /* unknown */
    CONTAINS(p.ear->text, "nosuch");
    OK(tell_it(p.rt, p.a, "spawn:counter:6:child"));
    assert_true(ear_next(p.ear));
    CONTAINS(p.ear->text, "reply 6 3 "); /* refused */
    CONTAINS(p.ear->text, "already registered");
    OK(tell_it(p.rt, p.a, "spawn:echo:0:quiet")); /* nobody asked to be told */
    UNTIL(berth_daemon_count(p.rt) == 4);
    assert_int_equal(open_dues(p.rt), 0);
    pair_free(state, &p);
}

/* ---- Posts ----------------------------------------------------------------------------------- */

static void a_post_comes_back_as_an_event(void **state)
{
    pair p = pair_of(state, NULL);
    OK(tell_it(p.rt, p.a, "emit:during post:hello"));
    hear(p.ear, "during");
    hear(p.ear, "post 0 0 hello");
    pair_free(state, &p);
}

typedef struct poster {
    berth_daemon *handle;
    int accepted, full;
} poster;

static void *post_many(void *arg)
{
    poster *p = arg;
    for (int i = 0; i < 1000; i++) {
        berth_code code = p->handle->host->post(p->handle, "x", 1);
        p->accepted += code == BERTH_OK;
        p->full += code == BERTH_E_FULL;
    }
    return NULL;
}

/* abi.md §1.4, §1.10: from any thread, never blocking, E_FULL without room */
static void posts_from_threads_are_bounded_and_none_that_was_taken_is_lost(void **state)
{
    berth_runtime_config config = {.size = sizeof(config), .mailbox_events = 10, .max_event = 100};
    berth_runtime *rt = help_runtime(state, &config);
    uint64_t d = spawn_of(rt, "script");
    kinds_gate_close();
    OK(post_it(rt, d, "gate"));
    kinds_gate_await(1);
    struct daemon *inner = registry_get(&rt->registry, d);
    poster threads[3];
    pthread_t ids[3];
    for (int i = 0; i < 3; i++) {
        threads[i] = (poster){.handle = &inner->handle};
        pthread_create(&ids[i], NULL, post_many, &threads[i]);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(ids[i], NULL);
    int accepted = threads[0].accepted + threads[1].accepted + threads[2].accepted;
    int full = threads[0].full + threads[1].full + threads[2].full;
    assert_int_equal(accepted + full, 3000);
    assert_int_equal(accepted, 9); /* beside the one that waits at the gate */
    char big[101] = {0};
    const berth_host *host = inner->handle.host;
    assert_int_equal(host->post(&inner->handle, big, 101), BERTH_E_LIMIT);
    assert_int_equal(host->post(&inner->handle, NULL, 1), BERTH_E_ARGUMENT);
    assert_int_equal(host->post(NULL, "x", 1), BERTH_E_ARGUMENT);
    kinds_gate_open();
    OK(berth_flush(rt, d, NULL));
    assert_int_equal(info_of(rt, d).events_processed, 10);
    assert_int_equal(host->post(&inner->handle, big, 100), BERTH_OK);
    OK(berth_stop(rt, d, 0, NULL));
    assert_int_equal(host->post(&inner->handle, "x", 1), BERTH_E_NOT_NOW);
    daemon_unref(inner);
    help_free(state, rt);
}

static void a_kind_without_on_post_is_posted_nothing(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "echo");
    struct daemon *inner = registry_get(&rt->registry, d);
    assert_int_equal(inner->handle.host->post(&inner->handle, "x", 1), BERTH_E_ARGUMENT);
    daemon_unref(inner);
    help_free(state, rt);
}

/* ---- Starts and controls --------------------------------------------------------------------- */

/* abi.md §1.3: once, before the first message, with its reason */
static void start_comes_once_before_all_else(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    for (int i = 0; i < 50; i++) {
        uint64_t d = spawn_of(rt, "script");
        OK(tell_it(rt, d, "emit:message"));
        ear *e = ear_on(rt, d, TAIL_FROM_RING);
        hear(e, "start 0 1 ");
        hear(e, "message");
        ear_close(e);
        OK(berth_stop(rt, d, 0, NULL));
    }
    help_free(state, rt);
}

/* compute-core §18.16, §20 (contract): on_control gets its parameters; a kind without one says so
 */
static void controls_are_delivered_between_calls(void **state)
{
    pair p = pair_of(state, NULL);
    OK(berth_control(p.rt, p.a, BERTH_CONTROL_DRAIN_START, 250, NULL));
    hear(p.ear, "control 250 2 ");
    OK(berth_control(p.rt, p.a, BERTH_CONTROL_BACKPRESSURE_ON, 500000, NULL));
    hear(p.ear, "control 500000 4 ");
    FAILS(berth_control(p.rt, p.a, 0, 0, NULL), INVALID);
    FAILS(berth_control(p.rt, p.a, 6, 0, NULL), INVALID);
    uint64_t echo = spawn_of(p.rt, "echo");
    FAILS(berth_control(p.rt, echo, BERTH_CONTROL_SHUTDOWN, 0, NULL), UNSUPPORTED);
    FAILS(berth_control(p.rt, 1, BERTH_CONTROL_SHUTDOWN, 0, NULL), NOT_FOUND);
    pair_free(state, &p);
}

/* compute-core §18.26: with a grace period it is told first, then comes what is in the mailbox,
 * then the end. */
static void a_gracious_stop_says_so_and_lets_the_mailbox_run(void **state)
{
    pair p = pair_of(state, NULL);
    kinds_gate_close();
    OK(post_it(p.rt, p.a, "gate"));
    for (int i = 0; i < 5; i++)
        OK(post_it(p.rt, p.a, "emit:mail"));
    kinds_gate_open();
    OK(berth_stop(p.rt, p.a, 60000, NULL));
    int mail = 0, controls = 0;
    while (ear_next(p.ear)) {
        mail += strcmp(p.ear->text, "mail") == 0;
        controls += strcmp(p.ear->text, "control 60000 1 ") == 0;
    }
    assert_int_equal(mail, 5);
    assert_int_equal(controls, 1);
    pair_free(state, &p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_request_is_answered_under_its_number),
        BOTH(an_answer_may_come_in_parts_and_outputs_to_the_caller_do),
        BOTH(a_request_may_be_refused_by_word_or_by_failing),
        BOTH(a_request_to_nobody_is_answered_as_unknown),
        BOTH(a_request_times_out_and_the_late_reply_is_dropped),
        BOTH(a_request_may_be_answered_later),
        BOTH(a_request_to_a_daemon_that_is_stopped_is_answered_as_lost),
        BOTH(a_number_in_use_is_refused),
        BOTH(requests_beyond_what_can_be_remembered_are_answered_as_lost),
        BOTH(timers_fire_with_their_number_and_data),
        BOTH(a_timer_is_replaced_by_its_number_and_can_be_cancelled),
        BOTH(a_timer_that_waits_in_the_mailbox_is_void_when_it_is_cancelled),
        BOTH(timers_survive_a_snapshot_and_a_restore),
        BOTH(a_request_that_is_open_in_a_snapshot_is_answered_after_the_restore),
        BOTH(a_daemon_spawns_a_daemon_and_is_told_what_became_of_it),
        BOTH(a_post_comes_back_as_an_event),
        BOTH(posts_from_threads_are_bounded_and_none_that_was_taken_is_lost),
        INLINE(a_kind_without_on_post_is_posted_nothing),
        BOTH(start_comes_once_before_all_else),
        BOTH(controls_are_delivered_between_calls),
        BOTH(a_gracious_stop_says_so_and_lets_the_mailbox_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
