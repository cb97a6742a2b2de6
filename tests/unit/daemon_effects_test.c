/* SPDX-License-Identifier: Apache-2.0 */
/* What one call records: checked when it is recorded, limited, and dropped as a whole. */
#include "daemon_help.h"

#include "daemon/effects.h"

static effects made(uint64_t outputs, uint64_t bytes)
{
    return (effects){.limits = {outputs, bytes}};
}

static bool is_seven(void *ctx, uint64_t request)
{
    (void)ctx;
    return request == 7;
}

static const effect_context all = {
    .has_timer = true, .has_reply = true, .request_in_use = is_seven};
static const effect_context none = {.request_in_use = is_seven};

static berth_output output_to(uint16_t to)
{
    berth_output o = {.size = sizeof(o), .to = to, .data = {"data", 4}};
    o.channel = to == BERTH_TO_CHANNEL ? (berth_bytes){"chan", 4} : (berth_bytes){NULL, 0};
    o.reply_to.w[0] = to == BERTH_TO_REPLY;
    return o;
}

/* DESIGN §11: each limit below, at, above; abi.md §1.1: sticky */
static void the_number_of_effects_is_limited_and_the_limit_sticks(void **state)
{
    (void)state;
    effects e = made(3, 1000);
    for (int i = 0; i < 3; i++)
        assert_int_equal(effects_emit(&e, "x", 1), BERTH_OK);
    assert_null(e.limit);
    assert_int_equal(effects_emit(&e, "x", 1), BERTH_E_LIMIT);
    assert_string_equal(e.limit, "outputs per call");
    berth_output o = output_to(BERTH_TO_DAEMON);
    assert_int_equal(effects_output(&e, &all, &o), BERTH_E_LIMIT);
    assert_int_equal(e.count, 3);
    effects_clear(&e);
    assert_null(e.limit);
    assert_int_equal(effects_emit(&e, "x", 1), BERTH_OK);
    effects_fini(&e);
}

static void the_bytes_of_effects_are_limited(void **state)
{
    (void)state;
    effects e = made(100, 10);
    assert_int_equal(effects_emit(&e, "123456", 6), BERTH_OK);
    assert_int_equal(effects_emit(&e, "1234", 4), BERTH_OK); /* exactly full */
    assert_int_equal(effects_emit(&e, NULL, 0), BERTH_OK);   /* of nothing there is always room */
    assert_int_equal(effects_emit(&e, "1", 1), BERTH_E_LIMIT);
    assert_string_equal(e.limit, "output bytes per call");
    assert_int_equal(effects_emit(&e, NULL, 0), BERTH_E_LIMIT);
    effects_clear(&e);
    assert_int_equal(effects_emit(&e, "12345678901", 11), BERTH_E_LIMIT);
    effects_clear(&e);
    berth_output o = output_to(BERTH_TO_CHANNEL); /* 4 and 4: names count too */
    assert_int_equal(effects_output(&e, &all, &o), BERTH_OK);
    assert_int_equal(effects_output(&e, &all, &o), BERTH_E_LIMIT);
    effects_clear(&e);
    buf *b = buf_new(EFFECT_HEAD + 11);
    assert_int_equal(effects_emit_buf(&e, b), BERTH_E_LIMIT); /* and has dropped it */
    effects_fini(&e);
}

static void huge_lengths_do_not_wrap_around(void **state)
{
    (void)state;
    effects e = made(100, UINT64_MAX - 1000);
    effects_clear(&e);
    e.limits.output_bytes = 10;
    assert_int_equal(effects_emit(&e, "123456", 6), BERTH_OK);
    assert_int_equal(effects_emit(&e, "x", UINT64_MAX), BERTH_E_LIMIT);
    effects_clear(&e);
    berth_output o = output_to(BERTH_TO_CHANNEL);
    o.data = (berth_bytes){"x", UINT64_MAX - 1};
    assert_int_not_equal(effects_output(&e, &all, &o), BERTH_OK);
    effects_fini(&e);
}

static void effects_are_kept_in_order_with_copies_of_their_bytes(void **state)
{
    (void)state;
    effects e = made(100, 1000);
    char bytes[] = "first";
    assert_int_equal(effects_emit(&e, bytes, 5), BERTH_OK);
    memset(bytes, '!', 5);
    berth_subscription s = {.size = sizeof(s), .channel = {"a/b", 3}, .publisher = 9};
    assert_int_equal(effects_subscribe(&e, &s, true), BERTH_OK);
    assert_int_equal(effects_subscribe(&e, &s, false), BERTH_OK);
    berth_spawn sp = {.size = sizeof(sp), .kind = {"k", 1}, .config = {"c", 1}, .request = 3};
    assert_int_equal(effects_spawn(&e, &all, &sp), BERTH_OK);
    const uint8_t ops[] = {EFFECT_OUTPUT, EFFECT_SUBSCRIBE, EFFECT_UNSUBSCRIBE, EFFECT_SPAWN};
    assert_int_equal(e.count, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(e.items[i].op, ops[i]);
    assert_memory_equal(e.items[0].bytes->data + EFFECT_HEAD, "first", 5);
    assert_int_equal(e.items[1].peer, 9);
    assert_null(e.items[3].label);
    effects_fini(&e);
}

typedef struct wrong {
    const char *what;
    berth_output o;
    const effect_context *context;
} wrong;

/* abi.md §1.1: recording says OK or that the argument makes no sense; nothing is recorded then */
static void arguments_that_make_no_sense_are_refused_and_the_call_goes_on(void **state)
{
    (void)state;
    const berth_output daemon = output_to(BERTH_TO_DAEMON), channel = output_to(BERTH_TO_CHANNEL);
    const berth_output reply = output_to(BERTH_TO_REPLY), self = output_to(BERTH_TO_SELF);
    const berth_output caller = output_to(BERTH_TO_CALLER);
    wrong cases[] = {
        {"a destination that there is not", caller, &all},
        {"a flag that the destination does not have", caller, &all},
        {"cancel of a message", daemon, &all},
        {"more to a timer", self, &all},
        {"a negative delay", self, &all},
        {"bytes at NULL", caller, &all},
        {"a request without on_reply", daemon, &none},
        {"a request number that is open", daemon, &all},
        {"a timer without on_timer", self, &none},
        {"a reply to nobody", reply, &all},
        {"no channel", channel, &all},
        {"a channel with capitals", channel, &all},
        {"a channel that climbs", channel, &all},
        {"a channel at NULL", channel, &all},
        {"no size", caller, &all},
        {"a size that cannot be", caller, &all},
    };
    cases[0].o.to = 5;
    cases[1].o.flags = BERTH_MORE;
    cases[2].o.flags = BERTH_CANCEL;
    cases[3].o.flags = BERTH_MORE;
    cases[4].o.delay_ns = -1;
    cases[5].o.data = (berth_bytes){NULL, 1};
    cases[6].o.request = 1;
    cases[7].o.request = 7;
    memset(&cases[9].o.reply_to, 0, sizeof(cases[9].o.reply_to));
    cases[10].o.channel.len = 0;
    cases[11].o.channel = (berth_bytes){"Chan", 4};
    cases[12].o.channel = (berth_bytes){"a/../b", 6};
    cases[13].o.channel = (berth_bytes){NULL, 3};
    cases[14].o.size = 0;
    cases[15].o.size = 5000;
    effects e = made(100, 1000);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (effects_output(&e, cases[i].context, &cases[i].o) != BERTH_E_ARGUMENT)
            fail_msg("accepted: %s", cases[i].what);
    assert_int_equal(effects_output(&e, &all, NULL), BERTH_E_ARGUMENT);
    assert_int_equal(effects_emit(&e, NULL, 1), BERTH_E_ARGUMENT);
    assert_int_equal(e.count, 0);
    assert_null(e.limit);
    const berth_output right[] = {caller, daemon, channel, reply, self};
    for (int i = 0; i < 5; i++)
        assert_int_equal(effects_output(&e, &all, &right[i]), BERTH_OK);
    effects_fini(&e);
}

static void a_request_number_is_used_once_in_a_call(void **state)
{
    (void)state;
    effects e = made(100, 1000);
    berth_output o = output_to(BERTH_TO_DAEMON);
    berth_spawn s = {.size = sizeof(s), .kind = {"k", 1}, .request = 1};
    o.request = 1;
    assert_int_equal(effects_output(&e, &all, &o), BERTH_OK);
    assert_int_equal(effects_output(&e, &all, &o), BERTH_E_ARGUMENT);
    assert_int_equal(effects_spawn(&e, &all, &s), BERTH_E_ARGUMENT);
    s.request = 2;
    assert_int_equal(effects_spawn(&e, &all, &s), BERTH_OK);
    o.request = 2;
    assert_int_equal(effects_output(&e, &all, &o), BERTH_E_ARGUMENT);
    o = output_to(BERTH_TO_SELF); /* numbers of timers are others */
    o.request = 1;
    assert_int_equal(effects_output(&e, &all, &o), BERTH_OK);
    assert_int_equal(effects_output(&e, &all, &o), BERTH_OK);
    effects_fini(&e);
}

static void spawns_and_subscriptions_are_checked(void **state)
{
    (void)state;
    static char long_text[70000];
    memset(long_text, 'k', sizeof(long_text));
    const berth_spawn good = {.size = sizeof(good), .kind = {"k", 1}};
    berth_spawn s[7] = {good, good, good, good, good, good, good};
    s[0].flags = 1;
    s[1].kind.len = 0;
    s[2].kind = (berth_bytes){long_text, 128};
    s[3].name = (berth_bytes){long_text, 128};
    s[4].config = (berth_bytes){long_text, 65537};
    s[5].kind = (berth_bytes){NULL, 1};
    s[6].request = 7;
    effects e = made(100, 1 << 20);
    for (int i = 0; i < 7; i++)
        assert_int_equal(effects_spawn(&e, &all, &s[i]), BERTH_E_ARGUMENT);
    s[2].kind.len = 127;
    s[3].name.len = 127;
    s[4].config.len = 65536;
    for (int i = 2; i < 5; i++)
        assert_int_equal(effects_spawn(&e, &all, &s[i]), BERTH_OK);
    s[0] = good;
    s[0].request = 1;
    assert_int_equal(effects_spawn(&e, &none, &s[0]), BERTH_E_ARGUMENT);
    berth_subscription c = {.size = sizeof(c), .flags = 1, .channel = {"c", 1}};
    assert_int_equal(effects_subscribe(&e, &c, true), BERTH_E_ARGUMENT);
    c.flags = 0;
    c.channel = (berth_bytes){long_text, 256};
    assert_int_equal(effects_subscribe(&e, &c, true), BERTH_E_ARGUMENT);
    c.channel.len = 255;
    assert_int_equal(effects_subscribe(&e, &c, true), BERTH_OK);
    assert_int_equal(effects_subscribe(&e, NULL, false), BERTH_E_ARGUMENT);
    effects_fini(&e);
}

/* abi.md §2.2: what a newer header adds is refused unless it is zero */
static void a_newer_struct_is_taken_if_what_we_do_not_know_is_zero(void **state)
{
    (void)state;
    struct {
        berth_output o;
        uint64_t later;
    } newer = {.o = output_to(BERTH_TO_DAEMON)};
    newer.o.size = sizeof(newer);
    effects e = made(100, 1000);
    assert_int_equal(effects_output(&e, &all, &newer.o), BERTH_OK);
    newer.later = 1;
    assert_int_equal(effects_output(&e, &all, &newer.o), BERTH_E_NEWER);
    assert_int_equal(e.count, 1);
    assert_null(e.limit);
    effects_fini(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_number_of_effects_is_limited_and_the_limit_sticks),
        cmocka_unit_test(the_bytes_of_effects_are_limited),
        cmocka_unit_test(huge_lengths_do_not_wrap_around),
        cmocka_unit_test(effects_are_kept_in_order_with_copies_of_their_bytes),
        cmocka_unit_test(arguments_that_make_no_sense_are_refused_and_the_call_goes_on),
        cmocka_unit_test(a_request_number_is_used_once_in_a_call),
        cmocka_unit_test(spawns_and_subscriptions_are_checked),
        cmocka_unit_test(a_newer_struct_is_taken_if_what_we_do_not_know_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
