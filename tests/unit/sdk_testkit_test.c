/* SPDX-License-Identifier: Apache-2.0 */
/* The testkit beyond what conformance asks of any host: its clock, timers, requests, and
 * rebuilding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "berth/testkit.h"

#include <string.h>

#define PLUGINS BUILD_DIR "/tests/plugins/"
#define SECOND  INT64_C(1000000000)

typedef struct fixture {
    berth_test *t;
    berth_test_daemon *d;
} fixture;

static int begin(void **state)
{
    static fixture f;

    f.t = berth_test_open_file(PLUGINS "probe.so", NULL);
    f.d = f.t ? berth_test_spawn(f.t, NULL, NULL) : NULL;
    *state = &f;
    return !f.d;
}

static int end(void **state)
{
    fixture *f = *state;
    berth_test_close(f->t);
    return 0;
}

static berth_code say(fixture *f, const char *script)
{
    return berth_test_message(f->d, script, strlen(script));
}

static void timers_fire_in_their_order(void **state)
{
    fixture *f = *state;
    int64_t due, begin_ns = berth_test_now(f->t);

    assert_int_equal(say(f, "timer 1 3000000000 emit late\ntimer 2 1000000000 timer 3 0 memo c\n"
                            "timer 4 9000000000 x"),
                     BERTH_OK);
    assert_true(berth_test_timer(f->d, 1, &due) && due == begin_ns + 3 * SECOND);
    assert_int_equal(berth_test_run_timers(f->d), 0);
    berth_test_advance(f->t, 2 * SECOND);
    /* Number 2 sets number 3, which is due at once. */
    assert_int_equal(berth_test_run_timers(f->d), 2);
    assert_false(berth_test_timer(f->d, 3, NULL));
    berth_test_advance(f->t, SECOND);
    assert_int_equal(berth_test_run_timers(f->d), 1);
    assert_true(berth_test_emitted(f->d, 0, "late"));
    /* Due at the same time: in the order of setting. */
    assert_int_equal(say(f, "timer 8 5 memo first\ntimer 7 5 memo second"), BERTH_OK);
    berth_test_advance(f->t, 5);
    assert_int_equal(berth_test_run_timers(f->d), 2);
    assert_int_equal(say(f, "memo?"), BERTH_OK);
    assert_true(berth_test_emitted(f->d, 0, "second"));
    assert_int_equal(say(f, "cancel 4\ncancel 5"), BERTH_OK);
    assert_false(berth_test_timer(f->d, 4, NULL));
    assert_int_equal(berth_test_fire(f->d, 4), BERTH_E_ARGUMENT);
}

static void a_timer_of_the_same_number_is_replaced(void **state)
{
    fixture *f = *state;

    assert_int_equal(say(f, "timer 1 5 emit old\ntimer 1 7 emit new"), BERTH_OK);
    int64_t before = berth_test_now(f->t);
    assert_int_equal(berth_test_fire(f->d, 1), BERTH_OK);
    assert_true(berth_test_emitted(f->d, 0, "new"));
    assert_true(berth_test_now(f->t) == before + 7);
    assert_false(berth_test_timer(f->d, 1, NULL));
}

static void a_failed_event_changes_nothing(void **state)
{
    fixture *f = *state;

    assert_int_equal(say(f, "timer 1 5 x\nsubscribe a\nrequest 1 2 0 x\nreturn 1"), 1);
    assert_false(berth_test_timer(f->d, 1, NULL));
    assert_false(berth_test_subscribed(f->d, "a", 0));
    assert_false(berth_test_requested(f->d, 2));
    assert_int_equal(berth_test_effect_count(f->d), 0);
    assert_null(berth_test_effect_at(f->d, 0));
}

static void subscriptions_add_up(void **state)
{
    fixture *f = *state;

    assert_int_equal(say(f, "subscribe a\nsubscribe a\nsubscribe-from 3 a\nsubscribe b"), BERTH_OK);
    assert_int_equal(say(f, "unsubscribe a\nunsubscribe c"), BERTH_OK);
    assert_false(berth_test_subscribed(f->d, "a", 0));
    assert_true(berth_test_subscribed(f->d, "a", 3));
    assert_true(berth_test_subscribed(f->d, "b", 0));
}

static void replies_close_requests_unless_more_comes(void **state)
{
    fixture *f = *state;

    assert_int_equal(berth_test_reply(f->d, 2, 0, 0, "x", 1), BERTH_E_ARGUMENT);
    assert_int_equal(say(f, "request 9 2 0 x"), BERTH_OK);
    assert_int_equal(berth_test_reply(f->d, 2, BERTH_REPLY_OK, BERTH_MORE, "x", 1), BERTH_OK);
    assert_true(berth_test_requested(f->d, 2));
    assert_int_equal(berth_test_reply(f->d, 2, BERTH_REPLY_TIMEOUT, 0, NULL, 0), BERTH_OK);
    assert_false(berth_test_requested(f->d, 2));
}

static void a_rebuilt_daemon_goes_on(void **state)
{
    fixture *f = *state;

    assert_int_equal(say(f, "add 7\ntimer 1 5 value\nsubscribe a"), BERTH_OK);
    for (uint32_t version = 1; version <= 2; version++)
        assert_int_equal(berth_test_rebuild(f->d, version), BERTH_OK);
    assert_int_equal(berth_test_rebuild(f->d, 3), BERTH_E_VERSION);
    assert_true(berth_test_subscribed(f->d, "a", 0));
    assert_int_equal(berth_test_fire(f->d, 1), BERTH_OK);
    assert_true(berth_test_emitted(f->d, 0, "7"));
}

static void a_full_mailbox_is_told_to_post(void **state)
{
    fixture *f = *state;
    berth_test_birth birth = {.max_posts = 2, .max_event = 8};
    berth_test_daemon *d = berth_test_spawn(f->t, &birth, NULL);
    const char *posts[] = {"post ", "post x", "answers"};

    for (int i = 0; i < 2; i++)
        assert_int_equal(berth_test_message(d, posts[i], strlen(posts[i])), BERTH_OK);
    assert_int_equal(berth_test_post_count(d), 2);
    assert_int_equal(berth_test_message(d, "post x", 6), BERTH_OK);
    assert_int_equal(berth_test_message(d, "answers", 7), BERTH_OK);
    assert_true(berth_test_emitted(d, 0, "0 0 7"));
    assert_int_equal(berth_test_message(d, "123456789", 9), BERTH_E_ARGUMENT);
}

static void the_same_seed_gives_the_same_events(void **state)
{
    fixture *f = *state;
    char first[512];

    berth_test_set_seed(f->t, 7, 8);
    assert_int_equal(say(f, "dump"), BERTH_OK);
    berth_bytes out = berth_test_output(f->d, 0);
    assert_true(out.len < sizeof first);
    memcpy(first, out.ptr, out.len);
    first[out.len] = 0;
    assert_int_equal(say(f, "dump"), BERTH_OK);
    assert_false(berth_test_emitted(f->d, 0, first));
    berth_test_set_seed(f->t, 7, 8);
    assert_int_equal(say(f, "dump"), BERTH_OK);
    assert_true(berth_test_emitted(f->d, 0, first));
}

static void questions_carry_where_to_answer(void **state)
{
    fixture *f = *state;

    assert_int_equal(berth_test_ask(f->d, 3, "reply yes", 9), BERTH_OK);
    const berth_test_effect *e = berth_test_effect_at(f->d, 0);
    berth_ref ref = berth_test_ref(3);
    assert_memory_equal(&e->reply_to, &ref, sizeof ref);
}

static void bad_tables_are_refused_with_a_reason(void **state)
{
    static const char *const bad[][2] = {
        {"table-too-small", "size"},       {"table-no-kinds", "no kinds"},
        {"table-null-kinds", "no kinds"},  {"table-null-kind", "size"},
        {"table-no-process", "lacks"},     {"table-twin-kinds", "same name"},
        {"table-no-manifest", "manifest"}, {"init-fails", "init"},
        {"no-symbol", "undefined"},        {"text", "ELF"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char path[512] = PLUGINS;
        const char *why = NULL;
        strcat(strcat(path, bad[i][0]), ".so");
        assert_null(berth_test_open_file(path, &why));
        assert_non_null(why);
        if (!strstr(why, bad[i][1]))
            fail_msg("%s: %s", bad[i][0], why);
    }
}

static void an_unknown_kind_is_not_spawned(void **state)
{
    fixture *f = *state;
    berth_test_birth birth = {.kind = "nobody"};
    berth_code code = BERTH_OK;

    assert_null(berth_test_spawn(f->t, &birth, &code));
    assert_int_equal(code, BERTH_E_ARGUMENT);
    assert_string_equal(berth_test_last_failure(f->t), "the plugin has no such kind");
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        WITH(timers_fire_in_their_order),
        WITH(a_timer_of_the_same_number_is_replaced),
        WITH(a_failed_event_changes_nothing),
        WITH(subscriptions_add_up),
        WITH(replies_close_requests_unless_more_comes),
        WITH(a_rebuilt_daemon_goes_on),
        WITH(a_full_mailbox_is_told_to_post),
        WITH(the_same_seed_gives_the_same_events),
        WITH(questions_carry_where_to_answer),
        WITH(bad_tables_are_refused_with_a_reason),
        WITH(an_unknown_kind_is_not_spawned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
