/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of impairment as text: what can be said, and what is answered to what cannot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/impair.h"

#include <stdlib.h>
#include <string.h>

static impair_rule parse(const char *text)
{
    berth_error error = {0};
    impair_rule rule;

    if (impair_parse(&rule, slice_str(text), &error) != BERTH_OK)
        fail_msg("'%s': %s", text, error.text);
    return rule;
}

static void every_word_sets_what_it_says(void **state)
{
    impair_rule r = parse("drop loss=1% burst=0.5%/20%/90% dup=0.1% corrupt=0.01% reorder=2%/20ms "
                          "delay=5ms jitter=1.5ms rate=100Mbit queue=128KiB bucket=1500B");

    (void)state;
    assert_true(r.drop);
    assert_int_equal(r.loss, 10000);
    assert_int_equal(r.burst_enter, 5000);
    assert_int_equal(r.burst_leave, 200000);
    assert_int_equal(r.burst_loss, 900000);
    assert_int_equal(r.duplicate, 1000);
    assert_int_equal(r.corrupt, 100);
    assert_int_equal(r.reorder, 20000);
    assert_int_equal(r.reorder_ns, 20000000);
    assert_int_equal(r.delay_ns, 5000000);
    assert_int_equal(r.jitter_ns, 1500000);
    assert_int_equal(r.rate, 12500000);
    assert_int_equal(r.queue, 128 << 10);
    assert_int_equal(r.bucket, 1500);
}

static void what_is_left_away_is_off(void **state)
{
    static const char *const nothing[] = {"", "   ", "loss=0% delay=0ms"};
    impair_rule r;

    (void)state;
    for (size_t at = 0; at < sizeof nothing / sizeof *nothing; at++) {
        r = parse(nothing[at]);
        assert_false(r.drop || r.loss || r.burst_enter || r.duplicate || r.corrupt || r.reorder ||
                     r.delay_ns || r.jitter_ns || r.rate);
    }
    r = parse("burst=1%/20% reorder=2%");
    assert_int_equal(r.burst_loss, 0);
    assert_int_equal(r.reorder_ns, 0);
}

static void numbers_reach_from_the_least_to_the_most(void **state)
{
    (void)state;
    assert_int_equal(parse("loss=1ppm").loss, 1);
    assert_int_equal(parse("loss=0.0001%").loss, 1);
    assert_int_equal(parse("loss=0.000100000%").loss, 1);
    assert_int_equal(parse("loss=100%").loss, IMPAIR_ALL);
    assert_int_equal(parse("loss=1000000ppm").loss, IMPAIR_ALL);
    assert_int_equal(parse("delay=1ns").delay_ns, 1);
    assert_int_equal(parse("delay=0.000000001s").delay_ns, 1);
    assert_int_equal(parse("delay=3600s").delay_ns, IMPAIR_TIME_MAX);
    assert_int_equal(parse("rate=8bit").rate, 1);
    assert_int_equal(parse("rate=0.008kbit").rate, 1);
    assert_int_equal(parse("rate=100Gbit").rate, IMPAIR_RATE_MAX);
    assert_int_equal(parse("rate=8bit queue=1B").queue, 1);
    assert_int_equal(parse("rate=8bit bucket=64MiB").bucket, 64 << 20);
}

static void what_cannot_be_said_is_answered_with_the_word_and_what_is_allowed(void **state)
{
#define ALL " drop, loss, burst, dup, corrupt, reorder, delay, jitter, rate, queue, bucket"
    static const struct {
        const char *text, *error;
    } wrong[] = {
        {"los=1%", "'los=1%': did you mean 'loss'? (drop, loss,"},
        {"wind=1%", "'wind=1%': must begin with one of:" ALL},
        {"=1%", "'=1%': must begin with one of:" ALL},
        {"loss", "'loss': needs a value: SHARE, such as loss=1%"},
        {"loss=", "'loss=': must be a share such as 1%, 0.05% or 200ppm"},
        {"loss=1", "'loss=1': must be a share such as"},
        {"loss=1.%", "'loss=1.%': must be a share such as"},
        {"loss=.5%", "'loss=.5%': must be a share such as"},
        {"loss=-1%", "'loss=-1%': must be a share such as"},
        {"loss=1ms", "'loss=1ms': must be a share such as"},
        {"loss=1%%", "'loss=1%%': must be a share such as"},
        {"delay=5ms\tloss=1%", "must be a time such as"},
        {"loss=100.0001%", "'loss=100.0001%': must be from 0% to 100%"},
        {"loss=101%", "'loss=101%': must be from 0% to 100%"},
        {"loss=99999999999999999999999%", "must be from 0% to 100%"},
        {"loss=18446744073709551617%", "must be from 0% to 100%"}, /* 2^64 + 1 */
        {"rate=18446744074Gbit", "must be from 8bit to 100Gbit"},  /* over 2^64 bits */
        {"loss=0.00001%", "'loss=0.00001%': must be a whole number of ppm"},
        {"loss=0.0000000001%", "must be a whole number of ppm"},
        {"loss=1% delay=5ms loss=2%", "'loss=2%': 'loss' was given before; once only"},
        {"loss=1%/2%", "'loss=1%/2%': too many values: must be SHARE, such as loss=1%"},
        {"drop=yes", "'drop=yes': takes no value: write drop"},
        {"drop drop", "'drop': 'drop' was given before"},
        {"delay=5", "'delay=5': must be a time such as 500us, 5ms or 1.5s"},
        {"delay=5MS", "'delay=5MS': must be a time such as"},
        {"delay=3601s", "'delay=3601s': must be from 0ms to 3600s"},
        {"jitter=0.5ns", "'jitter=0.5ns': must be a whole number of ns"},
        {"rate=100", "'rate=100': must be a rate such as 64kbit, 100Mbit or 1Gbit"},
        {"rate=0bit", "'rate=0bit': must be from 8bit to 100Gbit"},
        {"rate=101Gbit", "'rate=101Gbit': must be from 8bit to 100Gbit"},
        {"rate=12bit", "'rate=12bit': must be a multiple of 8bit"},
        {"rate=8bit queue=5kB", "'queue=5kB': must be a size such as 1500B, 256KiB or 1MiB"},
        {"rate=8bit queue=0B", "'queue=0B': must be from 1B to 64MiB"},
        {"rate=8bit queue=65MiB", "'queue=65MiB': must be from 1B to 64MiB"},
        {"rate=8bit queue=1.5B", "'queue=1.5B': must be a whole number of bytes"},
        {"queue=1MiB", "'queue': needs a rate, such as rate=100Mbit"},
        {"bucket=1MiB", "'bucket': needs a rate, such as rate=100Mbit"},
        {"burst=1%", "'burst=1%': too few values: must be ENTER/LEAVE or ENTER/LEAVE/LOSS"},
        {"burst=1%/2%/3%/4%", "too many values: must be ENTER/LEAVE or ENTER/LEAVE/LOSS"},
        {"burst=1%/", "'burst=1%/': must be a share such as"},
        {"burst=1%/20%/0%", "'burst=1%/20%/0%': only its first value may be zero"},
        {"burst=1%/0%", "'burst=1%/0%': only its first value may be zero"},
        {"burst=0%/20%", "'burst': never begins"},
        {"reorder=1%/0ms", "'reorder=1%/0ms': only its first value may be zero"},
        {"reorder=0%/5ms", "'reorder': a time needs a share"},
        {"reorder=1%/5%", "'reorder=1%/5%': must be a time such as"},
    };

    (void)state;
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {
        berth_error error = {0};
        impair_rule rule;

        memset(&rule, 1, sizeof rule);
        assert_int_equal(impair_parse(&rule, slice_str(wrong[at].text), &error), BERTH_ERR_INVALID);
        assert_int_equal(error.code, BERTH_ERR_INVALID);
        if (strncmp(error.text, "impairment '", 12) != 0 || !strstr(error.text, wrong[at].error))
            fail_msg("'%s': %s", wrong[at].text, error.text);
        assert_int_equal(rule.loss, 0);
        assert_int_equal(rule.delay_ns, 0);
    }
}

static void a_long_word_is_cut_in_the_error_but_what_is_allowed_is_not(void **state)
{
    berth_error error = {0};
    char text[4096];
    impair_rule rule;

    (void)state;
    memset(text, 'x', sizeof text);
    assert_int_equal(impair_parse(&rule, slice_of(text, sizeof text), &error), BERTH_ERR_INVALID);
    assert_non_null(strstr(error.text, "rate, queue, bucket"));
}

static void text_and_rule_are_the_same_both_ways(void **state)
{
    static const struct {
        const char *text, *again; /* NULL: the same */
    } texts[] = {
        {"", NULL},
        {"drop", NULL},
        {"loss=1% delay=5ms jitter=1ms rate=100Mbit", NULL},
        {"loss=100% burst=0.5%/20% dup=0.1% corrupt=0.0001%", NULL},
        {"burst=1%/20.5%/90%", NULL},
        {"reorder=2%/20ms rate=1Gbit queue=256KiB bucket=16KiB", NULL},
        {"  rate=1000Mbit   loss=100ppm ", "loss=0.01% rate=1Gbit"},
        {"jitter=1.5ms delay=0.25s", "delay=250ms jitter=1500us"},
        {"rate=12.8kbit queue=2048B", "rate=12800bit queue=2KiB"},
        {"loss=0% delay=0ms", ""},
    };

    (void)state;
    for (size_t at = 0; at < sizeof texts / sizeof *texts; at++) {
        impair_rule rule = parse(texts[at].text);
        char text[IMPAIR_TEXT];

        assert_string_equal(impair_format(text, &rule),
                            texts[at].again ? texts[at].again : texts[at].text);
    }
}

/* The greatest numbers, each in the most digits it can need. */
static void the_longest_rule_fits(void **state)
{
    const impair_rule longest = {
        .delay_ns = IMPAIR_TIME_MAX - 1,
        .jitter_ns = IMPAIR_TIME_MAX - 1,
        .reorder_ns = IMPAIR_TIME_MAX - 1,
        .rate = IMPAIR_RATE_MAX - 1,
        .queue = (64 << 20) - 1,
        .bucket = (64 << 20) - 1,
        .loss = IMPAIR_ALL - 1,
        .duplicate = IMPAIR_ALL - 1,
        .corrupt = IMPAIR_ALL - 1,
        .reorder = IMPAIR_ALL - 1,
        .burst_enter = IMPAIR_ALL - 1,
        .burst_leave = IMPAIR_ALL - 1,
        .burst_loss = IMPAIR_ALL - 1,
        .drop = true,
    };
    char text[IMPAIR_TEXT], again[IMPAIR_TEXT];
    impair_rule rule;

    (void)state;
    rule = parse(impair_format(text, &longest));
    assert_true(strlen(text) < IMPAIR_TEXT - 1);
    assert_int_equal(rule.delay_ns, longest.delay_ns);
    assert_int_equal(rule.rate, longest.rate);
    assert_int_equal(rule.bucket, longest.bucket);
    assert_int_equal(rule.burst_loss, longest.burst_loss);
    assert_string_equal(impair_format(again, &rule), text);
}

static void a_rule_out_of_range_is_not_set(void **state)
{
    static const impair_rule wrong[] = {
        {.loss = IMPAIR_ALL + 1},
        {.duplicate = IMPAIR_ALL + 1},
        {.delay_ns = -1},
        {.jitter_ns = IMPAIR_TIME_MAX + 1},
        {.rate = IMPAIR_RATE_MAX + 1},
        {.rate = 1, .queue = (64 << 20) + 1},
        {.rate = 1, .bucket = UINT64_MAX},
        {.burst_enter = 1},
        {.burst_leave = 1},
        {.reorder_ns = 1},
        {.queue = 1},
    };
    impair *i = impair_new(1);

    (void)state;
    assert_non_null(i);
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {
        berth_error error = {0};

        assert_int_equal(impair_set(i, NULL, &wrong[at], &error), BERTH_ERR_INVALID);
        assert_true(error.text[0] != '\0');
        assert_true(impair_idle(i));
    }
    impair_free(i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_word_sets_what_it_says),
        cmocka_unit_test(what_is_left_away_is_off),
        cmocka_unit_test(numbers_reach_from_the_least_to_the_most),
        cmocka_unit_test(what_cannot_be_said_is_answered_with_the_word_and_what_is_allowed),
        cmocka_unit_test(a_long_word_is_cut_in_the_error_but_what_is_allowed_is_not),
        cmocka_unit_test(text_and_rule_are_the_same_both_ways),
        cmocka_unit_test(the_longest_rule_fits),
        cmocka_unit_test(a_rule_out_of_range_is_not_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
