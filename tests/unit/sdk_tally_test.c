/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin tally, its sources linked in, against a slow but obvious counter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "berth/plugin.h"
#include "berth/testkit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static berth_test *kit;

static int begin(void **state)
{
    kit = berth_test_open(&berth_plugin_0, NULL);
    *state = kit ? berth_test_spawn(kit, NULL, NULL) : NULL;
    return !*state;
}

static int end(void **state)
{
    (void)state;
    berth_test_close(kit);
    return 0;
}

static berth_code say(berth_test_daemon *d, const char *text)
{
    return berth_test_message(d, text, strlen(text));
}

/* Whether the question has this one line as its answer. */
static void assert_answer(berth_test_daemon *d, const char *question, const char *answer)
{
    assert_int_equal(say(d, question), BERTH_OK);
    assert_int_equal(berth_test_effect_count(d), 1);
    if (!berth_test_emitted(d, 0, answer)) {
        berth_bytes have = berth_test_output(d, 0);
        fail_msg("%s -> %.*s, not %s", question, (int)have.len, (const char *)have.ptr, answer);
    }
}

static void texts_are_counted_word_by_word(void **state)
{
    berth_test_daemon *d = *state;

    assert_int_equal(say(d, ""), BERTH_OK);
    assert_int_equal(say(d, " \t\n\v\f\r"), BERTH_OK);
    assert_answer(d, "?total", "{\"total\":0}");
    assert_answer(d, "?top 3", "[]");
    assert_int_equal(say(d, "the cat\tsaw\r\nthe dog, the  Cat"), BERTH_OK);
    assert_int_equal(berth_test_effect_count(d), 0);
    assert_answer(d, "?total", "{\"total\":7}");
    assert_answer(d, "?distinct\n", "{\"distinct\":5}");
    assert_answer(d, "?count the \r\n", "{\"word\":\"the\",\"count\":3}");
    assert_answer(d, "?count   cat", "{\"word\":\"cat\",\"count\":1}");
    assert_answer(d, "?count absent", "{\"word\":\"absent\",\"count\":0}");
    /* Ties by byte order: 'C' < 'c'. */
    assert_answer(d, "?top 3",
                  "[{\"word\":\"the\",\"count\":3},{\"word\":\"Cat\",\"count\":1},"
                  "{\"word\":\"cat\",\"count\":1}]");
    assert_answer(d, "?top 0", "[]");
    assert_answer(d, "?top 99999999999999999999999",
                  "[{\"word\":\"the\",\"count\":3},{\"word\":\"Cat\",\"count\":1},"
                  "{\"word\":\"cat\",\"count\":1},{\"word\":\"dog,\",\"count\":1},"
                  "{\"word\":\"saw\",\"count\":1}]");
    /* A question mark elsewhere than at the start is text. */
    assert_int_equal(say(d, " ?total"), BERTH_OK);
    assert_answer(d, "?count ?total", "{\"word\":\"?total\",\"count\":1}");
}

static void words_become_valid_json(void **state)
{
    berth_test_daemon *d = *state;

    assert_answer(d, "?count \"\\\x01\x7f", "{\"word\":\"\\\"\\\\\\u0001\x7f\",\"count\":0}");
    assert_answer(d, "?count \xe2\x82\xac", "{\"word\":\"\xe2\x82\xac\",\"count\":0}");
    assert_answer(d, "?count \xff", "{\"base64\":\"/w==\",\"count\":0}");
    assert_answer(d, "?count \xc0\x80", "{\"base64\":\"wIA=\",\"count\":0}");
    assert_answer(d, "?count \xed\xa0\x80", "{\"base64\":\"7aCA\",\"count\":0}");
    assert_answer(d, "?count \xf4\x90\x80\x80", "{\"base64\":\"9JCAgA==\",\"count\":0}");
    assert_answer(d, "?count a\xc3", "{\"base64\":\"YcM=\",\"count\":0}");
}

static void unknown_questions_are_rejected_with_a_text(void **state)
{
    static const char *const bad[] = {"?",       "??",      "?totals",     "?total x", "?Total",
                                      "?count",  "?count ", "?count a b",  "?top",     "?top x",
                                      "?top -1", "?top 1x", "?distinct 1", "?top 1 2", "? total"};
    berth_test_daemon *d = *state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(say(d, bad[i]), BERTH_E_REJECT);
        assert_int_not_equal(*berth_test_failure(d), 0);
    }
    assert_answer(d, "?total", "{\"total\":0}");
}

/* ---- Against the obvious ---- */

/* n words of a vocabulary; some are long, some differ in their last byte only. */
static void make_word(char *out, uint64_t i)
{
    if (i % 5 == 0)
        sprintf(out, "a-common-beginning-of-many-words-%llu", (unsigned long long)i);
    else
        sprintf(out, "%llx", (unsigned long long)(i * UINT64_C(0x9e3779b97f4a7c15)));
}

static void counts_are_those_of_a_plain_array(void **state)
{
    enum { WORDS = 50000, EVENTS = 20000 };
    berth_test_daemon *d = *state;
    uint64_t *counts = calloc(WORDS, sizeof *counts);
    const uint64_t seed[2] = {3, 4};
    berth_random random = berth_random_from(seed);
    char text[2000], question[128], answer[128], word[64];
    uint64_t total = 0, distinct = 0;

    for (int e = 0; e < EVENTS; e++) {
        size_t len = 0;
        for (int k = 0; k < 20; k++) {
            /* A few words often, most seldom. */
            uint64_t bound = berth_random_below(&random, 8) ? WORDS : 100;
            uint64_t i = berth_random_below(&random, bound);
            make_word(word, i);
            len += (size_t)sprintf(text + len, "%s ", word);
            distinct += counts[i]++ == 0;
            total++;
        }
        assert_int_equal(berth_test_message(d, text, len), BERTH_OK);
    }
    sprintf(answer, "{\"total\":%llu}", (unsigned long long)total);
    assert_answer(d, "?total", answer);
    sprintf(answer, "{\"distinct\":%llu}", (unsigned long long)distinct);
    assert_answer(d, "?distinct", answer);
    for (uint64_t i = 0; i < WORDS; i += 97) {
        make_word(word, i);
        sprintf(question, "?count %s", word);
        sprintf(answer, "{\"word\":\"%s\",\"count\":%llu}", word, (unsigned long long)counts[i]);
        assert_answer(d, question, answer);
    }
    free(counts);
}

static void the_top_is_sorted_whatever_its_length(void **state)
{
    berth_test_daemon *d = *state;
    char word[64], question[32], expected[200];

    /* word-k is seen k % 7 + 1 times; the order among equals is by bytes. */
    for (int k = 0; k < 500; k++) {
        sprintf(word, "w%03d", k);
        for (int i = 0; i <= k % 7; i++)
            assert_int_equal(say(d, word), BERTH_OK);
    }
    for (int n = 1; n < 600; n += 59) {
        sprintf(question, "?top %d", n);
        assert_int_equal(say(d, question), BERTH_OK);
        berth_bytes out = berth_test_output(d, 0);
        char *list = strndup(out.ptr, out.len), *at = list;
        int seen = 0;
        for (int count = 7; count > 0 && seen < n; count--) {
            for (int k = count - 1; k < 500 && seen < n; k += 7, seen++) {
                sprintf(expected, "%c{\"word\":\"w%03d\",\"count\":%d}", seen ? ',' : '[', k,
                        count);
                assert_memory_equal(at, expected, strlen(expected));
                at += strlen(expected);
            }
        }
        assert_string_equal(at, "]");
        free(list);
    }
}

/* ---- State ---- */

static void the_same_counts_give_the_same_snapshot(void **state)
{
    berth_test_daemon *d = *state;
    berth_test_birth birth = {.name = "other"};
    berth_test_daemon *other = berth_test_spawn(kit, &birth, NULL);
    berth_bytes a, b;
    char word[64];

    for (uint64_t i = 0; i < 3000; i++) {
        make_word(word, i);
        assert_int_equal(say(d, word), BERTH_OK);
        make_word(word, 2999 - i);
        assert_int_equal(say(other, word), BERTH_OK);
    }
    assert_int_equal(berth_test_snapshot(d, 1, &a), BERTH_OK);
    assert_int_equal(berth_test_snapshot(other, 1, &b), BERTH_OK);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.ptr, b.ptr, a.len);
    berth_daemon_status status;
    assert_int_equal(berth_test_status(d, &status), BERTH_OK);
    assert_int_equal(status.state_bytes, a.len);
    assert_int_equal(berth_test_snapshot(d, 2, &b), BERTH_E_VERSION);
}

static void the_snapshot_has_the_documented_bytes(void **state)
{
    static const char expected[] = "\x04\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01"
                                   "a\x03\x02"
                                   "bc\x01";
    berth_test_daemon *d = *state;
    berth_bytes bytes;

    assert_int_equal(say(d, "a bc a a"), BERTH_OK);
    assert_int_equal(berth_test_snapshot(d, 1, &bytes), BERTH_OK);
    assert_int_equal(bytes.len, sizeof expected - 1);
    assert_memory_equal(bytes.ptr, expected, bytes.len);
}

static void a_rebuilt_tally_answers_the_same(void **state)
{
    berth_test_daemon *d = *state;

    assert_int_equal(say(d, "x y z x \xff x"), BERTH_OK);
    assert_int_equal(berth_test_rebuild(d, 1), BERTH_OK);
    assert_answer(d, "?top 9",
                  "[{\"word\":\"x\",\"count\":3},{\"word\":\"y\",\"count\":1},"
                  "{\"word\":\"z\",\"count\":1},{\"base64\":\"/w==\",\"count\":1}]");
    assert_int_equal(say(d, "x"), BERTH_OK);
    assert_answer(d, "?count x", "{\"word\":\"x\",\"count\":4}");
}

static berth_code create_from(const void *state, uint64_t len, uint32_t version)
{
    berth_test_birth birth = {.state = {state, len}, .state_version = version};
    berth_code code;
    berth_test_daemon *d = berth_test_spawn(kit, &birth, &code);

    if (d)
        berth_test_destroy(d);
    return code;
}

#define STATE(total, distinct, rest)                                                               \
    {                                                                                              \
        total "\0\0\0\0\0\0\0" distinct "\0\0\0\0\0\0\0" rest,                                     \
            sizeof(total "\0\0\0\0\0\0\0" distinct "\0\0\0\0\0\0\0" rest) - 1                      \
    }

static void hostile_states_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        uint64_t len;
    } bad[] = {
        {"", 0},
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 15},
        STATE("\0", "\0", "x"),           /* left over */
        STATE("\1", "\1", ""),            /* cut off */
        STATE("\1", "\1", "\1a"),         /* no count */
        STATE("\0", "\1", "\1a\0"),       /* count 0 */
        STATE("\2", "\1", "\1a\1"),       /* total is not the sum */
        STATE("\1", "\1", "\0\1\1"),      /* empty word */
        STATE("\1", "\1", "\1 \1"),       /* white space */
        STATE("\2", "\2", "\1b\1\1a\1"),  /* out of order */
        STATE("\2", "\2", "\1a\1\1a\1"),  /* twice */
        STATE("\2", "\2", "\2ab\1\1a\1"), /* longer before shorter */
        STATE("\1", "\1", "\1a\x81\0"),   /* varint with a zero at its end */
        STATE("\1", "\1", "\x81\0a\1"),   /* the same in a length */
        STATE("\1", "\1", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\1"), /* huge length */
        {"\1\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\1a\1", 19},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (create_from(bad[i].bytes, bad[i].len, 1) != BERTH_E_STATE)
            fail_msg("state %zu is accepted", i);
    }
    assert_int_equal(create_from("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, 1), BERTH_OK);
    assert_int_equal(create_from("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, 2), BERTH_E_VERSION);
}

static void damaged_states_never_crash_and_good_ones_are_unique(void **state)
{
    berth_test_daemon *d = *state;
    const uint64_t seed[2] = {5, 6};
    berth_random random = berth_random_from(seed);
    char word[64];
    berth_bytes good;

    for (uint64_t i = 0; i < 40; i++) {
        make_word(word, i % 30);
        assert_int_equal(say(d, word), BERTH_OK);
    }
    assert_int_equal(berth_test_snapshot(d, 1, &good), BERTH_OK);
    uint8_t *bad = malloc(good.len);
    for (uint64_t len = 0; len < good.len; len++)
        assert_int_equal(create_from(good.ptr, len, 1), BERTH_E_STATE);
    for (int i = 0; i < 3000; i++) {
        memcpy(bad, good.ptr, good.len);
        for (uint64_t k = 0; k <= berth_random_below(&random, 3); k++)
            bad[berth_random_below(&random, good.len)] ^=
                (uint8_t)(1 + berth_random_below(&random, 255));
        berth_test_birth birth = {.state = {bad, good.len}, .state_version = 1};
        berth_test_daemon *other = berth_test_spawn(kit, &birth, NULL);
        if (!other)
            continue;
        /* Whatever is accepted is written again as it was. */
        berth_bytes again;
        assert_int_equal(berth_test_snapshot(other, 1, &again), BERTH_OK);
        assert_int_equal(again.len, good.len);
        assert_memory_equal(again.ptr, bad, good.len);
        berth_test_destroy(other);
    }
    free(bad);
}

static void counts_stay_at_their_maximum(void **state)
{
    static const char full[] = "\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\0\0\0\0\0\0\x01"
                               "a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    berth_test_birth birth = {.state = {full, sizeof full - 1}, .state_version = 1};
    berth_test_daemon *d = berth_test_spawn(kit, &birth, NULL);

    (void)state;
    assert_non_null(d);
    assert_int_equal(say(d, "a a b"), BERTH_OK);
    assert_answer(d, "?count a", "{\"word\":\"a\",\"count\":18446744073709551615}");
    assert_answer(d, "?total", "{\"total\":18446744073709551615}");
    assert_int_equal(berth_test_rebuild(d, 1), BERTH_OK);
}

/* ---- Limits ---- */

static void a_text_that_would_outgrow_the_snapshot_is_refused_whole(void **state)
{
    berth_test_birth birth = {.max_state = 16 + 3 * 10};
    berth_test_daemon *d = berth_test_spawn(kit, &birth, NULL);
    berth_bytes bytes;

    (void)state;
    assert_int_equal(say(d, "a b c d e f g h i"), BERTH_OK);
    assert_int_equal(say(d, "a k a l"), BERTH_E_REJECT);
    assert_int_not_equal(*berth_test_failure(d), 0);
    assert_answer(d, "?total", "{\"total\":9}");
    assert_answer(d, "?distinct", "{\"distinct\":9}");
    assert_answer(d, "?count a", "{\"word\":\"a\",\"count\":1}");
    assert_answer(d, "?count k", "{\"word\":\"k\",\"count\":0}");
    assert_int_equal(say(d, "l a"), BERTH_OK);
    assert_answer(d, "?top 2", "[{\"word\":\"a\",\"count\":2},{\"word\":\"b\",\"count\":1}]");
    assert_int_equal(berth_test_snapshot(d, 1, &bytes), BERTH_OK);
    assert_int_equal(bytes.len, 16 + 3 * 10);
    assert_int_equal(berth_test_rebuild(d, 1), BERTH_OK);
}

static void an_answer_over_the_limit_is_refused(void **state)
{
    berth_test_birth birth = {.max_output_bytes = 64};
    berth_test_daemon *d = berth_test_spawn(kit, &birth, NULL);

    (void)state;
    assert_int_equal(say(d, "aaaaaaaaaa bbbbbbbbbb cccccccccc dddddddddd"), BERTH_OK);
    assert_int_equal(say(d, "?top 4"), BERTH_E_REJECT);
    assert_int_not_equal(*berth_test_failure(d), 0);
    assert_answer(d, "?top 1", "[{\"word\":\"aaaaaaaaaa\",\"count\":1}]");
}

static void words_of_every_length_are_held(void **state)
{
    berth_test_daemon *d = *state;
    static const size_t lengths[] = {1, 127, 128, 4095, 4096, 16384, (1 << 20) - 14, 1 << 20};
    char *text = malloc(1 << 20);
    char answer[64];

    memset(text, 'w', 1 << 20);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
            assert_int_equal(berth_test_message(d, text, lengths[i]), BERTH_OK);
        assert_int_equal(berth_test_rebuild(d, 1), BERTH_OK);
    }
    sprintf(answer, "{\"distinct\":%zu}", sizeof lengths / sizeof *lengths);
    assert_answer(d, "?distinct", answer);
    sprintf(answer, "{\"total\":%zu}", 2 * sizeof lengths / sizeof *lengths);
    assert_answer(d, "?total", answer);
    free(text);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        WITH(texts_are_counted_word_by_word),
        WITH(words_become_valid_json),
        WITH(unknown_questions_are_rejected_with_a_text),
        WITH(counts_are_those_of_a_plain_array),
        WITH(the_top_is_sorted_whatever_its_length),
        WITH(the_same_counts_give_the_same_snapshot),
        WITH(the_snapshot_has_the_documented_bytes),
        WITH(a_rebuilt_tally_answers_the_same),
        WITH(hostile_states_are_refused),
        WITH(damaged_states_never_crash_and_good_ones_are_unique),
        WITH(counts_stay_at_their_maximum),
        WITH(a_text_that_would_outgrow_the_snapshot_is_refused_whole),
        WITH(an_answer_over_the_limit_is_refused),
        WITH(words_of_every_length_are_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
