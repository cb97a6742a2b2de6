/* SPDX-License-Identifier: Apache-2.0 */
/* A daemon leaves while it runs, and comes while it is not the last word. */
#include "daemon_moves.h"

#include "daemon/arrival.h"

typedef struct pair {
    berth_runtime *from, *to;
    uint64_t d;
    leaving l;
} pair;

static void pair_open(pair *p, void **state, const char *kind)
{
    berth_keypair key = key_of(7);
    /* Limits of their own: what has run is run again with those of the source. */
    berth_runtime_config narrow = {.size = sizeof(narrow), .max_outputs = 20};
    *p = (pair){.from = help_runtime(state, NULL), .to = kinds_runtime(&narrow)};
    p->to->instances = p->from->instances;
    moves_provide(p->from);
    moves_provide(p->to);
    OK(berth_spawn_kind(p->from, kind, &key, NULL, &p->d, NULL));
}

static void pair_close(pair *p, void **state)
{
    berth_runtime_free(p->to);
    help_free(state, p->from);
}

static void leave_for_good(pair *p)
{
    departure_release(p->l.x);
    departure_free(p->l.x);
}

static void submit(berth_runtime *rt, uint64_t d, unsigned n, const char *text)
{
    berth_input inputs[16];
    for (unsigned i = 0; i < n; i++)
        inputs[i] = (berth_input){.data = text, .len = strlen(text)};
    OK(berth_submit(rt, d, inputs, n, NULL, NULL, NULL));
}

/* ---- The whole way --------------------------------------------------------------------------- */

/* Messages of clients and daemons, answers, numbers that are taken, timers, posts, controls, and
 * what is refused. How many events of d's. */
static unsigned live(pair *p, ear *e, uint64_t other)
{
    OK(tell_it(p->from, p->d, "add:5 emit:one"));
    hear(e, "one");
    OK(tell_it(p->from, other, say("send:%016" PRIx64 ":emit:two", p->d)));
    hear(e, "two");
    OK(tell_it(p->from, p->d, say("ask:%016" PRIx64 ":9:keep", other)));
    hear(e, "keep");
    FAILS(tell_it(p->from, p->d, say("ask:%016" PRIx64 ":9:taken", other)), REJECTED);
    OK(tell_it(p->from, other, "answer:late"));
    hear(e, "reply 9 0 late");
    OK(tell_it(p->from, p->d, "timer:3:0:tick"));
    hear(e, "timer 3 0 tick");
    OK(tell_it(p->from, p->d, "post:mine"));
    hear(e, "post 0 0 mine");
    OK(berth_control(p->from, p->d, BERTH_CONTROL_BACKPRESSURE_ON, 5, NULL));
    hear(e, "control 5 4 ");
    FAILS(tell_it(p->from, p->d, "many:100000"), LIMIT);
    OK(tell_it(p->from, p->d, "many:21"));
    for (unsigned i = 0; i < 21; i++)
        hear(e, "x");
    FAILS(tell_it(p->from, p->d, "reject"), REJECTED);
    return 13;
}

static void what_it_runs_meanwhile_it_runs_again(void **state)
{
    pair p;
    pair_open(&p, state, "actor");
    uint64_t other = spawn_of(p.from, "script");
    ear *e = ear_on(p.from, p.d, TAIL_FROM_RING);
    hear(e, "start 0 1 ");
    OK(tell_it(p.from, p.d, "add:3"));
    follow(&p.l, p.from, p.d, 1 << 20);
    assert_int_equal(departure_state(p.l.x)->closed_ns, 0);
    arrival *a = arrive_at(p.to, "actor", &p.l, BERTH_OK, NULL);
    departure_packed(p.l.x);
    assert_int_equal(berth_daemon_count(p.to), 0);
    assert_int_equal(run_again(&p.l, a), 0);
    unsigned ran = live(&p, e, other), again = run_again(&p.l, a);
    ran += live(&p, e, other);
    pass_by(p.from, p.d); /* the last one is recorded before it is answered, but look between */
    again += run_again(&p.l, a);
    assert_int_equal(again, ran);

    /* The gate closes in the middle of an event; what waits behind it goes along. */
    kinds_gate_close();
    submit(p.from, p.d, 1, "gate emit:passed");
    kinds_gate_await(1);
    OK(tell_it(p.from, other, say("send:%016" PRIx64 ":add:10", p.d)));
    OK(tell_it(p.from, other, say("send:%016" PRIx64 ":show", p.d)));
    close_begin(&p.l);
    kinds_gate_open();
    OK(leaving_wait(&p.l));
    hear(e, "passed");
    ear_close(e);
    const departed *s = departure_state(p.l.x);
    assert_int_equal(s->executed_count, 1);
    assert_int_equal(s->held_count, 2);
    assert_null(s->state);
    assert_true(s->closed_ns > 0 && s->snapshot_ns == 0);
    uint64_t sequence = s->sequence;
    OK(finish_at(&p.l, a, &p.l.error));
    leave_for_good(&p);

    assert_int_equal(berth_daemon_count(p.to), 0);
    OK(arrival_open(a, NULL));
    arrival_kept(a);
    e = ear_on(p.to, p.d, TAIL_FROM_RING);
    hear(e, "start 0 3 "); /* and nothing of what was said at the source */
    assert_int_equal(e->link.sequence, sequence + 1);
    hear(e, "23"); /* 3, twice 5, and what was held */
    FAILS(tell_it(p.to, p.d, "many:21"), LIMIT);
    assert_string_equal(ask_it(p.to, p.d, "show"), "23");
    hear(e, "23");
    assert_int_equal(e->link.sequence, sequence + 3);
    ear_close(e);
    pair_close(&p, state);
}

static void check_draws(void **state, const char *kind)
{
    pair p;
    berth_link was, is;
    pair_open(&p, state, kind);
    OK(tell_it(p.from, p.d, "before"));
    follow(&p.l, p.from, p.d, 1 << 20);
    arrival *a = arrive_at(p.to, kind, &p.l, BERTH_OK, NULL);
    for (unsigned i = 0; i < 100; i++)
        OK(tell_it(p.from, p.d, say("event %u", i)));
    assert_int_equal(run_again(&p.l, a), 100);
    OK(tell_it(p.from, p.d, "after"));
    uint64_t state_was = state_of(p.from, p.d, &was);
    close_begin(&p.l);
    OK(leaving_wait(&p.l));
    OK(finish_at(&p.l, a, &p.l.error));
    leave_for_good(&p);
    OK(arrival_open(a, NULL));
    arrival_kept(a);
    assert_true(state_of(p.to, p.d, &is) == state_was);
    assert_memory_equal(&is, &was, sizeof(is));
    pair_close(&p, state);
}

static void time_and_chance_are_those_of_the_source(void **state)
{
    check_draws(state, "draws");
}

static void a_large_state_comes_through(void **state)
{
    check_draws(state, "bulky");
}

/* What no link is can be lost unseen, but not unknown. */
static void what_has_not_come_is_missed(void **state)
{
    pair p;
    buf *lost;
    uint32_t count;
    berth_error error = {0};
    pair_open(&p, state, "actor");
    OK(tell_it(p.from, p.d, "add:0")); /* after on_start */
    follow(&p.l, p.from, p.d, 1 << 20);
    arrival *a = arrive_at(p.to, "actor", &p.l, BERTH_OK, NULL);
    OK(tell_it(p.from, p.d, "add:1"));
    OK(departure_executed(p.l.x, &lost, &count, NULL));
    assert_int_equal(count, 1);
    buf_unref(lost);
    OK(tell_it(p.from, p.d, "add:1"));
    close_begin(&p.l);
    OK(leaving_wait(&p.l));
    FAILS(finish_at(&p.l, a, &error), CORRUPT);
    CONTAINS(error.text, "some did not come");
    leaving_stay(&p.l);
    assert_string_equal(ask_it(p.from, p.d, "show"), "2");
    pair_close(&p, state);
}

/* ---- What is not deterministic --------------------------------------------------------------- */

static void an_other_chain_is_found_at_the_end(void **state)
{
    pair p;
    berth_error error = {0};
    pair_open(&p, state, "fickle");
    follow(&p.l, p.from, p.d, 1 << 20);
    arrival *a = arrive_at(p.to, "fickle", &p.l, BERTH_OK, NULL);
    OK(tell_it(p.from, p.d, "")); /* the last payload alone is another one */
    assert_int_equal(run_again(&p.l, a), 1);
    close_begin(&p.l);
    OK(leaving_wait(&p.l));
    FAILS(finish_at(&p.l, a, &error), PLUGIN);
    CONTAINS(error.text, "kind 'fickle' is not deterministic");
    leaving_stay(&p.l);
    OK(tell_it(p.from, p.d, ""));
    pair_close(&p, state);
}

static void an_other_answer_is_found_at_once(void **state)
{
    pair p;
    buf *bytes;
    uint32_t count;
    berth_error error = {0};
    pair_open(&p, state, "moody");
    OK(tell_it(p.from, p.d, ""));
    follow(&p.l, p.from, p.d, 1 << 20);
    arrival *a = arrive_at(p.to, "moody", &p.l, BERTH_OK, NULL);
    OK(tell_it(p.from, p.d, ""));
    atomic_store(&moves_made, 1);
    FAILS(tell_it(p.from, p.d, ""), REJECTED);
    OK(departure_executed(p.l.x, &bytes, &count, NULL));
    assert_int_equal(count, 2);
    FAILS(arrival_replay(a, bytes_of(bytes), &error), PLUGIN);
    CONTAINS(error.text, say("event 2 of its life came to %d, it had come to 0", BERTH_E_REJECT));
    buf_unref(bytes);
    leaving_stay(&p.l);
    pair_close(&p, state);
}

static void bytes_that_do_not_read_are_no_events(void **state)
{
    pair p;
    berth_error error = {0};
    pair_open(&p, state, "actor");
    follow(&p.l, p.from, p.d, 1 << 20);
    arrival *a = arrive_at(p.to, "actor", &p.l, BERTH_OK, NULL);
    FAILS(arrival_replay(a, slice_str("\1 nonsense"), &error), CORRUPT);
    CONTAINS(error.text, "executed events: cut off");
    a = arrive_at(p.to, "actor", &p.l, BERTH_OK, NULL); /* its identity and name are free again */
    arrive_at(p.to, "actor", &p.l, BERTH_ERR_EXISTS, &error);
    arrival_abandon(a);
    leaving_stay(&p.l);
    pair_close(&p, state);
}

static void its_time_does_not_go_back(void **state)
{
    pair p;
    writer w = {0};
    int64_t time_ns = 0;
    executed_event e = {
        .event = {.type = BERTH_EVENT_MESSAGE, .time_ns = INT64_MAX / 2, .attempt = 1},
        .counts = true};
    effect_limits limits = {1, 100};
    pair_open(&p, state, "draws");
    follow(&p.l, p.from, p.d, 1 << 20);
    arrival *a = arrive_at(p.to, "draws", &p.l, BERTH_OK, NULL);
    executed_begin(&w, &limits);
    executed_add(&w, &e, &time_ns);
    executed_end(&w, 0, 1);
    OK(arrival_replay(a, slice_of(w.data, w.len), NULL));
    assert_true(a->d->last_time_ns == INT64_MAX / 2);
    arrival_abandon(a);
    writer_free(&w);
    leaving_stay(&p.l);
    pair_close(&p, state);
}

/* ---- Room ------------------------------------------------------------------------------------ */

static uint64_t processed_by(berth_runtime *rt, uint64_t d)
{
    pass_by(rt, d);
    return info_of(rt, d).events_processed;
}

static bool is_idle(berth_runtime *rt, uint64_t origin)
{
    struct daemon *d = registry_get(&rt->registry, origin);
    pthread_mutex_lock(&d->lock);
    bool idle = d->turn == TURN_IDLE;
    pthread_mutex_unlock(&d->lock);
    daemon_unref(d);
    return idle;
}

static void it_waits_until_its_record_is_fetched(void **state)
{
    pair p;
    buf *bytes;
    uint32_t count;
    pair_open(&p, state, "draws");
    follow(&p.l, p.from, p.d, 0);
    submit(p.from, p.d, 3, "in one batch");
    submit(p.from, p.d, 2, "in another");
    for (unsigned i = 1; i <= 5; i++) {
        UNTIL(info_of(p.from, p.d).events_processed >= i);
        assert_int_equal(processed_by(p.from, p.d), i);
        UNTIL(is_idle(p.from, p.d)); /* and does not look again and again */
        OK(departure_executed(p.l.x, &bytes, &count, NULL));
        assert_int_equal(count, 1);
        buf_unref(bytes);
    }
    OK(tell_it(p.from, p.d, "more"));
    submit(p.from, p.d, 1, "waits");
    assert_int_equal(processed_by(p.from, p.d), 6);
    departure_resume(p.l.x, 0);
    OK(berth_flush(p.from, p.d, NULL)); /* and goes on, unrecorded */
    assert_int_equal(info_of(p.from, p.d).events_processed, 7);
    FAILS(departure_executed(p.l.x, &bytes, &count, NULL), CANCELLED);
    departure_free(p.l.x);
    pair_close(&p, state);
}

static void what_was_begun_comes_to_its_end(void **state)
{
    pair p;
    pair_open(&p, state, "draws");
    follow(&p.l, p.from, p.d, 0);
    arrival *a = arrive_at(p.to, "draws", &p.l, BERTH_OK, NULL);
    submit(p.from, p.d, 5, "in one batch");
    submit(p.from, p.d, 1, "not begun");
    UNTIL(info_of(p.from, p.d).events_processed == 1);
    close_begin(&p.l);
    OK(leaving_wait(&p.l));
    assert_int_equal(departure_state(p.l.x)->executed_count, 5);
    OK(finish_at(&p.l, a, &p.l.error));
    arrival_abandon(a);
    leaving_stay(&p.l);
    OK(berth_flush(p.from, p.d, NULL));
    assert_int_equal(info_of(p.from, p.d).events_processed, 6);
    pair_close(&p, state);
}

/* ---- It stays, or ends ----------------------------------------------------------------------- */

static void check_stays(pair *p, unsigned n)
{
    berth_runtime *rt = p->from;
    assert_string_equal(ask_it(rt, p->d, "add:1 show"), say("%u", n));
    pass_by(rt, p->d);
    struct daemon *d = registry_get(&rt->registry, p->d);
    assert_null(d->tap); /* its runner is past it */
    assert_false(d->leaving || d->held || d->frozen);
    daemon_unref(d);
}

static void it_can_stay_at_each_stage(void **state)
{
    pair p;
    pair_open(&p, state, "actor");
    kinds_gate_close();
    submit(p.from, p.d, 1, "gate");
    kinds_gate_await(1);
    follow_begin(&p.l, p.from, p.d, 1 << 20); /* before its state was taken */
    departure_resume(p.l.x, 0);
    kinds_gate_open();
    FAILS(leaving_wait(&p.l), CANCELLED);
    departure_free(p.l.x);
    check_stays(&p, 1);

    follow(&p.l, p.from, p.d, 1 << 20); /* while it is followed */
    leaving_stay(&p.l);
    check_stays(&p, 2);

    follow(&p.l, p.from, p.d, 1 << 20); /* while it closes */
    kinds_gate_close();
    submit(p.from, p.d, 1, "gate");
    kinds_gate_await(1);
    close_begin(&p.l);
    departure_resume(p.l.x, 0);
    kinds_gate_open();
    FAILS(leaving_wait(&p.l), CANCELLED);
    departure_free(p.l.x);
    check_stays(&p, 3);

    follow(&p.l, p.from, p.d, 1 << 20); /* when it is closed */
    close_begin(&p.l);
    OK(leaving_wait(&p.l));
    leaving_stay(&p.l);
    check_stays(&p, 4);
    pair_close(&p, state);
}

static void one_that_breaks_cannot_be_followed_further(void **state)
{
    pair p;
    buf *bytes;
    uint32_t count;
    berth_error error = {0};
    pair_open(&p, state, "actor");
    OK(tell_it(p.from, p.d, "add:1"));
    follow(&p.l, p.from, p.d, 1 << 20);
    OK(tell_it(p.from, p.d, "add:1"));
    FAILS(tell_it(p.from, p.d, "broken"), BROKEN);
    FAILS(departure_executed(p.l.x, &bytes, &count, &error), BROKEN);
    CONTAINS(error.text, "it broke");
    assert_null(bytes);
    close_begin(&p.l);
    FAILS(leaving_wait(&p.l), BROKEN);
    leaving next;
    follow(&next, p.from, p.d, 1 << 20);
    leaving_stay(&p.l); /* it has let go before: the next one's is not its */
    FAILS(departure_follow(p.from, p.d, 1, leaving_told, NULL, &p.l.x, NULL), BUSY);
    leaving_stay(&next);
    check_stays(&p, 1); /* it had no snapshot of its own */
    pair_close(&p, state);
}

static void one_that_is_stopped_waits_for_nobody(void **state)
{
    pair p;
    buf *bytes;
    uint32_t count;
    berth_error error = {0};
    pair_open(&p, state, "draws");
    follow(&p.l, p.from, p.d, 0);
    submit(p.from, p.d, 5, "in one batch");
    OK(berth_stop(p.from, p.d, 60000, NULL));
    FAILS(departure_executed(p.l.x, &bytes, &count, &error), BROKEN);
    CONTAINS(error.text, "it is being stopped");
    latch_init(&p.l.told, 1);
    FAILS(departure_close(p.l.x, leaving_told, &p.l, &error), NOT_FOUND);
    latch_fini(&p.l.told);
    leaving_stay(&p.l);
    assert_int_equal(berth_daemon_count(p.from), 0);
    pair_close(&p, state);
}

static void who_cannot_be_followed_is_refused(void **state)
{
    pair p;
    departure *x;
    berth_error error = {0};
    pair_open(&p, state, "actor");
    uint64_t other = spawn_of(p.from, "script");
    FAILS(departure_follow(p.from, other, 1, leaving_told, NULL, &x, &error), REFUSED);
    CONTAINS(error.text, "kind 'script' is not declared deterministic");
    assert_null(x);
    FAILS(departure_follow(p.from, 1, 1, leaving_told, NULL, &x, &error), NOT_FOUND);
    follow(&p.l, p.from, p.d, 1 << 20);
    FAILS(departure_follow(p.from, p.d, 1, leaving_told, NULL, &x, &error), BUSY);
    FAILS(departure_begin(p.from, p.d, leaving_told, NULL, &x, &error), BUSY);
    leaving_stay(&p.l);
    pair_close(&p, state);
}

/* With its state at once: the same three pieces, and a container all the same. */
static void it_can_come_as_a_whole(void **state)
{
    pair p;
    arrival *a;
    pair_open(&p, state, "actor");
    OK(tell_it(p.from, p.d, "add:7"));
    latch_init(&p.l.told, 1);
    OK(departure_begin(p.from, p.d, leaving_told, &p.l, &p.l.x, NULL));
    OK(leaving_wait(&p.l));
    const departed *s = departure_state(p.l.x);
    assert_int_equal(s->state->len, 8);
    assert_null(s->executed);
    buf *whole = joined(s);
    plugin_kind *kind = plugins_kind(p.to->plugins, slice_str("actor"));
    arrival_spec spec = {.kind = kind,
                         .identity = s->key,
                         .make = bytes_of(s->make),
                         .container = bytes_of(whole),
                         .epoch = s->epoch + 1};
    OK(arrival_build(p.to, &spec, &a, NULL));
    plugin_kind_unref(kind);
    buf_unref(whole);
    leave_for_good(&p);
    OK(arrival_open(a, NULL));
    arrival_kept(a);
    assert_string_equal(ask_it(p.to, p.d, "show"), "7");
    pair_close(&p, state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(what_it_runs_meanwhile_it_runs_again),
        BOTH(time_and_chance_are_those_of_the_source),
        BOTH(a_large_state_comes_through),
        BOTH(what_has_not_come_is_missed),
        BOTH(an_other_chain_is_found_at_the_end),
        BOTH(an_other_answer_is_found_at_once),
        BOTH(bytes_that_do_not_read_are_no_events),
        BOTH(its_time_does_not_go_back),
        BOTH(it_waits_until_its_record_is_fetched),
        BOTH(what_was_begun_comes_to_its_end),
        BOTH(it_can_stay_at_each_stage),
        BOTH(one_that_breaks_cannot_be_followed_further),
        BOTH(one_that_is_stopped_waits_for_nobody),
        BOTH(who_cannot_be_followed_is_refused),
        BOTH(it_can_come_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
