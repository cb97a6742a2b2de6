/* SPDX-License-Identifier: Apache-2.0 */
/* Daemons that break, snapshots that are taken by themselves, and how daemons are. */
#include "daemon_help.h"

#include "chain/container.h"
#include "chain/continuity.h"

static void take_snapshot(berth_runtime *rt, uint64_t d)
{
    void *bytes;
    uint64_t len;
    OK(berth_snapshot(rt, d, &bytes, &len, NULL));
    free(bytes);
}

/* ---- Breaking -------------------------------------------------------------------------------- */

/* abi.md §1.5: destroyed, and made again from the last snapshot; the mailbox goes on */
static void a_broken_daemon_is_rebuilt_from_its_last_snapshot(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "script");
    OK(tell_it(rt, d, "add:5"));
    take_snapshot(rt, d);
    OK(tell_it(rt, d, "add:5"));
    long made = kinds_made;
    berth_outputs *out = berth_outputs_new();
    berth_error error = {0};
    berth_input in[] = {{"add:1", 5, NULL}, {"emit:no broken", 14, NULL}, {"show", 4, NULL}};
    FAILS(berth_deliver_batch(rt, d, in, 3, out, &error), BROKEN);
    FAILS(berth_outputs_status(out, 1), BROKEN);
    assert_int_equal(berth_outputs_failed(out), 1);
    assert_int_equal(berth_outputs_count(out), 1); /* not the broken one's */
    berth_output_view v = berth_outputs_at(out, 0);
    assert_memory_equal(v.data, "5", 1);
    assert_int_equal(kinds_made, made + 1);
    berth_daemon_info info = info_of(rt, d);
    assert_int_equal(info.state, BERTH_DAEMON_RUNNING);
    assert_int_equal(info.breaks, 1);
    assert_int_equal(info.incarnation, 2);
    berth_outputs_free(out);
    help_free(state, rt);
}

static void without_a_snapshot_it_is_born_anew(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "script");
    ear *e = ear_on(rt, d, TAIL_FROM_RING);
    hear(e, "start 0 1 ");
    OK(tell_it(rt, d, "add:5"));
    FAILS(tell_it(rt, d, "broken"), BROKEN);
    assert_true(ear_next(e)); /* the record */
    hear(e, "start 0 1 ");    /* BERTH_START_NEW */
    assert_string_equal(ask_it(rt, d, "show"), "0");
    take_snapshot(rt, d);
    FAILS(tell_it(rt, d, "broken"), BROKEN);
    hear(e, "0");
    assert_true(ear_next(e));
    hear(e, "start 0 2 "); /* BERTH_START_RESTORED */
    ear_close(e);
    help_free(state, rt);
}

/* delivery.md §2: a new incarnation says so with a record that verifies, and repeats no sequence */
static void the_chain_of_a_rebuilt_daemon_verifies_over_each_discontinuity(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_keypair key = key_of(1);
    chain_verifier v;
    uint64_t d, records = 0, outputs = 0;
    OK(berth_spawn_kind(rt, "script", &key, NULL, &d, NULL));
    tail *t;
    OK(tail_open_daemon(rt, d, TAIL_FROM_RING, NULL, NULL, &t, NULL));
    for (int i = 0; i < 3; i++) {
        OK(tell_it(rt, d, "emit:a add:1 emit:b"));
        if (i)
            take_snapshot(rt, d);
        FAILS(tell_it(rt, d, "emit:c broken"), BROKEN);
    }
    OK(tell_it(rt, d, "emit:end"));
    chain_verifier_init(&v, key.entity);
    tail_item items[64];
    uint64_t missed;
    bool ended;
    size_t n = tail_read(t, items, 64, &missed, &ended);
    for (size_t i = 0; i < n; i++) {
        slice payload = slice_of(items[i].bytes->data + 32, items[i].bytes->len - 32);
        if (items[i].to == TAIL_TO_RECORD) {
            discontinuity record;
            uint64_t lost;
            OK(discontinuity_decode(&record, payload, NULL));
            OK(chain_verifier_discontinuity(&v, &record, &lost, NULL));
            assert_int_equal(lost, 0);
            records++;
        } else {
            berth_link link;
            OK(berth_link_decode(&link, items[i].bytes->data, 32));
            OK(chain_verifier_event(&v, &link, payload, NULL));
            outputs++;
        }
        tail_item_release(&items[i]);
    }
    assert_int_equal(records, 3);
    assert_int_equal(outputs, 4 + 3 * 2 + 1); /* the starts, too */
    assert_int_equal(v.incarnation, 4);
    assert_int_equal(info_of(rt, d).incarnation, 4);
    tail_close(t);
    help_free(state, rt);
}

static void count_events(void *ctx, const berth_lifecycle_event *e)
{
    atomic_int *counts = ctx;
    atomic_fetch_add(&counts[e->type], 1);
}

/* DESIGN §6: after too many breaks it is put into quarantine, with its mail, and says why */
static void a_daemon_that_breaks_again_and_again_is_quarantined(void **state)
{
    berth_runtime_config config = {.size = sizeof(config), .breaks_allowed = 2};
    berth_runtime *rt = help_runtime(state, &config);
    atomic_int counts[6] = {0};
    berth_observe_lifecycle(rt, count_events, counts);
    uint64_t d = spawn_of(rt, "script"), len;
    void *bytes;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(info_of(rt, d).state, BERTH_DAEMON_RUNNING);
        FAILS(tell_it(rt, d, "broken"), BROKEN);
        take_snapshot(rt, d); /* the rebuild is over */
    }
    berth_daemon_info info = info_of(rt, d);
    assert_int_equal(info.state, BERTH_DAEMON_QUARANTINED);
    assert_int_equal(info.breaks, 3);
    CONTAINS(info.quarantine, "again and again");
    UNTIL(counts[BERTH_LIFECYCLE_CRASHED] == 3);
    OK(post_it(rt, d, "add:1")); /* its mail waits */
    OK(berth_snapshot(rt, d, &bytes, &len, NULL));
    free(bytes);
    assert_int_equal(info_of(rt, d).mailbox_events, 1);
    assert_int_equal(info_of(rt, d).events_processed, 0);
    runtime_counters c;
    runtime_get_counters(rt, &c);
    assert_int_equal(c.quarantined, 1);
    assert_int_equal(c.breaks, 3);
    uint64_t other = spawn_of(rt, "echo");
    assert_string_equal(ask_it(rt, other, "x"), "x");
    OK(berth_stop(rt, d, 0, NULL));
    help_free(state, rt);
}

static uint64_t timers_of(berth_runtime *rt)
{
    runtime_counters c;
    runtime_get_counters(rt, &c);
    return c.timers; /* requests, too */
}

/* abi.md §1.9: pending timers and requests are part of the snapshot: they go back with the state */
static void timers_and_requests_go_back_with_the_state(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "script"), silent = spawn_of(rt, "script");
    ear *e = ear_on(rt, d, TAIL_FROM_NOW);
    OK(tell_it(rt, d, say("within:60000 ask:%016" PRIx64 ":7:keep", silent)));
    OK(tell_it(rt, d, "timer:1:3600000:an-hour timer:2:10:soon sub:chan"));
    hear_at_last(e, "timer 2 0 soon");
    OK(tell_it(rt, d, "timer:2:50:soon"));
    take_snapshot(rt, d); /* request 7, timers 1 and 2 */
    OK(tell_it(rt, d, "cancel:1 timer:3:3600000:since unsub:chan"));
    hear_at_last(e, "timer 2 0 soon");
    OK(tell_it(rt, silent, "answer:now"));
    hear_at_last(e, "reply 7 0 now");
    assert_int_equal(timers_of(rt), 1); /* 3 */
    FAILS(tell_it(rt, d, "broken"), BROKEN);
    hear_at_last(e, "start 0 2 ");
    hear_at_last(e, "timer 2 0 soon"); /* its time has come already */
    OK(berth_flush(rt, d, NULL));
    assert_int_equal(timers_of(rt), 2); /* 7 and 1 */
    OK(tell_it(rt, silent, "answer:again"));
    hear_at_last(e, "reply 7 0 again");
    assert_int_equal(timers_of(rt), 1);
    assert_int_equal(info_of(rt, d).subscriptions, 1);
    uint64_t reached;
    OK(runtime_publish(rt, slice_str("chan"), slice_str("emit:heard"), NULL, NULL, &reached, NULL));
    hear_at_last(e, "heard");
    ear_close(e);
    help_free(state, rt);
}

/* abi.md §1.5: from any function */
static atomic_int breaks_left;

static berth_code fragile_create(berth_call *call, const berth_birth *birth, void **out)
{
    (void)call;
    (void)birth;
    *out = malloc(1);
    return BERTH_OK;
}

static void fragile_destroy(void *me, berth_call *call)
{
    (void)call;
    free(me);
}

static berth_code fragile_event(void *me, berth_call *call, const berth_event *e)
{
    (void)me;
    return call->api->emit(call, e->data.ptr, e->data.len);
}

static berth_code fragile_snapshot(void *me, berth_call *call, uint32_t want)
{
    (void)me;
    (void)call;
    (void)want;
    return atomic_fetch_sub(&breaks_left, 1) > 0 ? BERTH_E_BROKEN : BERTH_OK;
}

static berth_code fragile_status(void *me, berth_call *call, berth_daemon_status *out)
{
    (void)out;
    return fragile_snapshot(me, call, 0);
}

static const berth_kind kind_fragile = {.size = sizeof(berth_kind),
                                        .name = {"fragile", 7},
                                        .create = fragile_create,
                                        .destroy = fragile_destroy,
                                        .process = fragile_event,
                                        .snapshot = fragile_snapshot};
static const berth_kind kind_moody = {.size = sizeof(berth_kind),
                                      .name = {"moody", 5},
                                      .create = fragile_create,
                                      .destroy = fragile_destroy,
                                      .process = fragile_event,
                                      .status = fragile_status};

static void an_instance_that_breaks_in_snapshot_or_status_is_rebuilt_too(void **state)
{
    berth_runtime_config config = {.size = sizeof(config), .status_period_ns = 1000000};
    berth_runtime *rt = help_runtime(state, &config);
    uint64_t d, len;
    void *bytes;
    OK(berth_register_factory(rt, &kind_fragile, NULL));
    OK(berth_register_factory(rt, &kind_moody, NULL));
    OK(berth_spawn_kind(rt, "fragile", NULL, NULL, &d, NULL));
    breaks_left = 1;
    FAILS(berth_snapshot(rt, d, &bytes, &len, NULL), BROKEN);
    UNTIL(info_of(rt, d).breaks == 1);
    OK(berth_snapshot(rt, d, &bytes, &len, NULL));
    free(bytes);
    assert_int_equal(info_of(rt, d).incarnation, 2);
    OK(berth_spawn_kind(rt, "moody", NULL, NULL, &d, NULL));
    breaks_left = 1;
    OK(tell_it(rt, d, "x"));
    UNTIL(info_of(rt, d).breaks == 1);
    assert_string_equal(ask_it(rt, d, "y"), "y");
    help_free(state, rt);
}

static atomic_bool refuses;

static berth_code choosy_create(berth_call *call, const berth_birth *birth, void **out)
{
    if (atomic_load(&refuses))
        return call->api->fail(call, BERTH_E_MEMORY, "not again", 9);
    return fragile_create(call, birth, out);
}

static berth_code choosy_event(void *me, berth_call *call, const berth_event *e)
{
    (void)me;
    (void)call;
    return e->data.len ? BERTH_E_BROKEN : BERTH_OK;
}

static const berth_kind kind_choosy = {.size = sizeof(berth_kind),
                                       .name = {"choosy", 6},
                                       .create = choosy_create,
                                       .destroy = fragile_destroy,
                                       .process = choosy_event,
                                       .snapshot = fragile_snapshot};

static void one_that_cannot_be_made_again_is_quarantined_with_the_reason(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_error error = {0};
    uint64_t d, len;
    void *bytes;
    atomic_store(&refuses, false);
    OK(berth_register_factory(rt, &kind_choosy, NULL));
    OK(berth_spawn_kind(rt, "choosy", NULL, NULL, &d, NULL));
    atomic_store(&refuses, true);
    FAILS(tell_it(rt, d, "x"), BROKEN);
    UNTIL(info_of(rt, d).state == BERTH_DAEMON_QUARANTINED);
    CONTAINS(info_of(rt, d).quarantine, "not again");
    FAILS(berth_snapshot(rt, d, &bytes, &len, &error), BROKEN); /* there is nobody to ask */
    CONTAINS(error.text, "not again");
    OK(post_it(rt, d, ""));
    OK(berth_stop(rt, d, 10, NULL));
    help_free(state, rt);
}

/* ---- Snapshots by themselves ----------------------------------------------------------------- */

/* compute-core §18.16: after every N events, exactly; only what was applied counts */
static void a_snapshot_is_taken_after_exactly_every_n_events(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_daemon_config config = {.size = sizeof(config), .auto_snapshot = 5};
    uint64_t d;
    OK(berth_spawn_kind(rt, "script", NULL, &config, &d, NULL));
    assert_int_equal(info_of(rt, d).auto_snapshot, 5);
    for (uint64_t i = 1; i <= 23; i++) {
        OK(tell_it(rt, d, "add:1"));
        FAILS(tell_it(rt, d, "reject"), REJECTED);
        OK(berth_control(rt, d, BERTH_CONTROL_DRAIN_FINISH, 0, NULL));
        UNTIL(info_of(rt, d).snapshots_taken >= i / 5);
        OK(berth_flush(rt, d, NULL));
        assert_int_equal(info_of(rt, d).snapshots_taken, i / 5);
    }
    FAILS(tell_it(rt, d, "broken"), BROKEN);
    assert_string_equal(ask_it(rt, d, "show"), "20");
    help_free(state, rt);
}

static void also_in_the_middle_of_a_batch(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_daemon_config config = {.size = sizeof(config), .auto_snapshot = 7};
    uint64_t d;
    berth_input in[100];
    OK(berth_spawn_kind(rt, "counter", NULL, &config, &d, NULL));
    for (int i = 0; i < 100; i++)
        in[i] = (berth_input){.data = "x", .len = 1};
    OK(berth_submit(rt, d, in, 100, NULL, NULL, NULL));
    OK(berth_flush(rt, d, NULL));
    UNTIL(info_of(rt, d).snapshots_taken == 14);
    OK(berth_deliver_batch(rt, d, in, 100, NULL, NULL));
    UNTIL(info_of(rt, d).snapshots_taken == 28);
    OK(berth_flush(rt, d, NULL));
    assert_int_equal(info_of(rt, d).snapshots_taken, 28);
    help_free(state, rt);
}

/* ---- How daemons are ------------------------------------------------------------------------- */

typedef struct told {
    pthread_mutex_t lock;
    char text[2000];
} told;

static void note(void *ctx, const berth_lifecycle_event *e)
{
    told *t = ctx;
    if (e->type != BERTH_LIFECYCLE_HEALTH_CHANGED && e->type != BERTH_LIFECYCLE_SATURATION_CHANGED)
        return;
    pthread_mutex_lock(&t->lock);
    sprintf(t->text + strlen(t->text), "%s%u ",
            e->type == BERTH_LIFECYCLE_HEALTH_CHANGED ? "h" : "s", e->value);
    pthread_mutex_unlock(&t->lock);
}

static bool was_told(told *t, const char *text)
{
    pthread_mutex_lock(&t->lock);
    bool same = strcmp(t->text, text) == 0;
    pthread_mutex_unlock(&t->lock);
    return same;
}

/* compute-core §18.16: health and saturation are really polled, changes really told */
static void changes_of_health_and_saturation_are_told(void **state)
{
    berth_runtime_config config = {.size = sizeof(config), .status_period_ns = 1000000};
    berth_runtime *rt = help_runtime(state, &config);
    told t = {.lock = PTHREAD_MUTEX_INITIALIZER};
    berth_observe_lifecycle(rt, note, &t);
    uint64_t d = spawn_of(rt, "script");
    assert_int_equal(info_of(rt, d).health, BERTH_HEALTHY);
    OK(tell_it(rt, d, "add:10"));
    UNTIL(was_told(&t, "s100000 "));
    assert_int_equal(info_of(rt, d).saturation_ppm, 100000);
    assert_int_equal(info_of(rt, d).state_bytes, 8);
    OK(tell_it(rt, d, "add:2")); /* 2 %: not worth telling */
    UNTIL(info_of(rt, d).saturation_ppm == 120000);
    OK(tell_it(rt, d, "add:100"));
    UNTIL(was_told(&t, "s100000 h2 s1000000 "));
    assert_int_equal(info_of(rt, d).health, BERTH_UNHEALTHY);
    help_free(state, rt);
}

/* compute-core §18.16, abi.md §1.11: only those that ran since; through the mailbox */
static void only_daemons_that_ran_are_asked_how_they_are(void **state)
{
    berth_runtime_config config = {.size = sizeof(config), .status_period_ns = 3600000000000};
    berth_runtime *rt = help_runtime(state, &config);
    uint64_t a = spawn_of(rt, "script"), b = spawn_of(rt, "script"), c = spawn_of(rt, "counter");
    const uint64_t all[] = {a, b, c};
    for (int i = 0; i < 3; i++) /* their start is such a run */
        OK(berth_flush(rt, all[i], NULL));
    status_poll(rt);
    OK(berth_flush(rt, a, NULL));
    OK(berth_flush(rt, b, NULL));
    long polls = kinds_polls;
    status_poll(rt);
    OK(berth_flush(rt, a, NULL));
    assert_int_equal(kinds_polls, polls);
    OK(tell_it(rt, a, "add:1"));
    OK(tell_it(rt, a, "add:1"));
    OK(tell_it(rt, c, ""));
    status_poll(rt);
    status_poll(rt);
    OK(berth_flush(rt, a, NULL));
    OK(berth_flush(rt, b, NULL));
    assert_int_equal(kinds_polls, polls + 1);
    help_free(state, rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_broken_daemon_is_rebuilt_from_its_last_snapshot),
        BOTH(without_a_snapshot_it_is_born_anew),
        BOTH(the_chain_of_a_rebuilt_daemon_verifies_over_each_discontinuity),
        BOTH(a_daemon_that_breaks_again_and_again_is_quarantined),
        BOTH(timers_and_requests_go_back_with_the_state),
        BOTH(an_instance_that_breaks_in_snapshot_or_status_is_rebuilt_too),
        BOTH(one_that_cannot_be_made_again_is_quarantined_with_the_reason),
        BOTH(a_snapshot_is_taken_after_exactly_every_n_events),
        BOTH(also_in_the_middle_of_a_batch),
        BOTH(changes_of_health_and_saturation_are_told),
        BOTH(only_daemons_that_ran_are_asked_how_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
