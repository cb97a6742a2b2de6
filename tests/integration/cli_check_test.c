/* SPDX-License-Identifier: Apache-2.0 */
/* `berth plugin check` passes what is good; its options, exit codes and JSON. What it finds in bad
 * plugins is in cli_check_flaws_test.c. */
#include "cli_check.h"

#include <json-c/json.h>

/* ---- Good ones ------------------------------------------------------------------------------- */

static void the_reference_plugins_hold_everything(void **state)
{
    (void)state;
    passes(BUILD_DIR "/plugins/echo.so");
    passes(BUILD_DIR "/plugins/counter.so");
    passes(BUILD_DIR "/plugins/tally.so");
}

static void the_examples_in_three_languages_hold_everything(void **state)
{
    (void)state;
    passes(PLUGIN("thermostat-c"));
    passes(PLUGIN("thermostat-cpp"));
    if (access(PLUGIN("thermostat-rust"), R_OK) == 0)
        passes(PLUGIN("thermostat-rust"));
}

static void good_plugins_of_every_sort_hold_everything(void **state)
{
    (void)state;
    passes(PLUGIN("orderly"));
    passes(PLUGIN("probe"));
    passes(PLUGIN("plain"));
    passes(PLUGIN("two-kinds"));
    passes(PLUGIN("largest-manifest"));
    passes(PLUGIN("versioned-1"));
    passes(PLUGIN("versioned-2"));
    passes(PLUGIN("versioned-3"));
}

/* No seed makes a good plugin fail. */
static void a_good_plugin_holds_whatever_the_seed(void **state)
{
    (void)state;
    for (uint64_t seed = 2; seed < 12; seed++)
        passes_with(BUILD_DIR "/plugins/tally.so", (check_options){.seed = seed});
}

/* ---- Options --------------------------------------------------------------------------------- */

static void the_seed_repeats_what_was_found(void **state)
{
    verdict first, again, other;

    (void)state;
    run_checks(PLUGIN("dislikes-a-byte"), (check_options){.seed = 7}, &first);
    run_checks(PLUGIN("dislikes-a-byte"), (check_options){.seed = 7}, &again);
    run_checks(PLUGIN("dislikes-a-byte"), (check_options){.seed = 8}, &other);
    assert_string_equal(first.names, "damage");
    assert_string_equal(first.damage, again.damage);
    assert_string_not_equal(first.damage, other.damage);
}

static void a_configuration_is_given_to_create(void **state)
{
    slice right = {(const uint8_t *)"21.5", 4}, wrong = {(const uint8_t *)"warm", 4};
    verdict v;

    (void)state;
    passes_with(PLUGIN("wants-config"), (check_options){.config = right});
    run_checks(PLUGIN("wants-config"), (check_options){.config = wrong}, &v);
    assert_string_equal(v.names, "run");
    assert_non_null(strstr(v.text, "given configuration warm"));
    /* An empty object serves where JSON is wanted and nothing was given. */
    passes(PLUGIN("wants-json"));
}

static void realistic_events_are_used(void **state)
{
    static const char lines[] = "sensor 1\nsensor 2\nsensor 3";
    verdict v;

    (void)state;
    run_checks(PLUGIN("wants-words"), (check_options){0}, &v);
    assert_int_equal(v.failed, 0);
    assert_non_null(strstr(v.run, "refused every one"));
    run_checks(PLUGIN("wants-words"),
               (check_options){.events = {(const uint8_t *)lines, sizeof lines - 1}}, &v);
    assert_int_equal(v.failed, 0);
    assert_non_null(strstr(v.run, "78 events, 72 of them rejected"));
}

static void a_line_that_no_event_can_be_is_cut(void **state)
{
    enum { LONG = 3 << 20 };
    uint8_t *line = malloc(LONG);

    (void)state;
    assert_non_null(line);
    memset(line, 'a', LONG);
    passes_with(BUILD_DIR "/plugins/counter.so", (check_options){.events = {line, LONG}});
    free(line);
}

static void one_kind_can_be_checked_alone(void **state)
{
    verdict v;

    (void)state;
    run_checks(PLUGIN("two-kinds"), (check_options){.kind = "two-kinds.second"}, &v);
    assert_string_equal(v.kinds, "two-kinds.second");
    run_checks(PLUGIN("two-kinds"), (check_options){0}, &v);
    assert_string_equal(v.kinds, "two-kinds.second two-kinds");
}

/* ---- The command ----------------------------------------------------------------------------- */

static void exit_codes_are_those_of_the_manual(void **state)
{
    (void)state;
    copy_plugin(PLUGIN("orderly"), "good.so");
    copy_plugin(PLUGIN("leaks"), "bad.so");
    expect("plugin check good.so", NULL, 0, NULL, "");
    expect("plugin check bad.so", NULL, 4, NULL, "");
    expect("plugin check nowhere.so", NULL, 1, "", "nowhere.so");
    expect("plugin check .", NULL, 1, "", "regular file");
    expect("plugin check good.so --time-limit soon", NULL, 2, "", "--time-limit");
    expect("plugin check good.so --time-limit 0", NULL, 2, "", "--time-limit");
    expect("plugin check good.so --seed x", NULL, 2, "", "--seed");
    expect("plugin check good.so --config @nowhere", NULL, 1, "", "nowhere");
    expect("plugin check good.so --events nowhere", NULL, 1, "", "nowhere");
    expect("plugin check good.so --kind moon", NULL, 1, NULL, "has no kind 'moon'");
    expect("plugin check", NULL, 2, "", "FILE");
}

static void json_has_every_check_with_its_figures(void **state)
{
    struct json_object *list, *member;
    size_t with_figures = 0;
    run r;

    (void)state;
    copy_plugin(PLUGIN("leaks"), "bad.so");
    run_berth(&r, "plugin check bad.so --json --seed 5", NULL);
    assert_int_equal(r.code, 4);
    assert_string_equal(r.errors, "");
    list = json_tokener_parse(r.output);
    assert_true(json_object_is_type(list, json_type_array));
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *check = json_object_array_get_idx(list, i);
        const char *name, *result;

        assert_true(json_object_object_get_ex(check, "name", &member));
        name = json_object_get_string(member);
        assert_true(json_object_object_get_ex(check, "result", &member));
        result = json_object_get_string(member);
        assert_string_equal(result, strcmp(name, "growth") == 0   ? "fail"
                                    : strcmp(name, "status") == 0 ? "skip"
                                                                  : "pass");
        assert_true(json_object_object_get_ex(check, "text", &member));
        assert_int_equal(json_object_object_get_ex(check, "cure", &member),
                         strcmp(name, "growth") == 0);
        assert_true(json_object_object_get_ex(check, "figures", &member));
        with_figures += json_object_object_length(member) > 0;
        if (strcmp(name, "time") == 0)
            assert_true(json_object_object_get_ex(member, "p99_ns", NULL));
    }
    assert_true(json_object_array_length(list) >= 24);
    assert_true(with_figures >= 5);
    json_object_put(list);
    run_free(&r);
}

static int entries_of(const char *name)
{
    char words[400];
    int n = 0;
    FILE *list;

    snprintf(words, sizeof words, "ls -A %s", in_dir(name));
    list = popen(words, "r");
    assert_non_null(list);
    for (int c; (c = fgetc(list)) != EOF;)
        n += c == '\n';
    pclose(list);
    return n;
}

static void an_interrupt_ends_it_and_leaves_nothing(void **state)
{
    run r;

    (void)state;
    assert_int_equal(mkdir(in_dir("tmp"), 0700), 0);
    setenv("TMPDIR", in_dir("tmp"), 1);
    copy_plugin(PLUGIN("hangs"), "p.so");
    run_start(&r, "plugin check p.so --time-limit 100");
    run_expect(&r, false, "init answers OK");
    assert_int_equal(entries_of("tmp"), 1);
    kill(r.pid, SIGINT);
    run_finish(&r, NULL, 0);
    assert_int_equal(r.code, 1);
    assert_non_null(strstr(r.errors, "stopped after"));
    assert_int_equal(entries_of("tmp"), 0);
    run_free(&r);
    /* Neither do crashes. */
    expect("plugin check p.so --time-limit 0.2", NULL, 4, NULL, "");
    assert_int_equal(entries_of("tmp"), 0);
    unsetenv("TMPDIR");
}

/* A signature beside the file, or a build that replaces it meanwhile, is nothing to this. */
static void it_looks_at_the_code_and_not_at_signatures(void **state)
{
    (void)state;
    copy_plugin(PLUGIN("orderly"), "p.so");
    write_file("p.so.minisig", "nonsense", 8, 0600);
    expect("plugin check p.so", NULL, 0, NULL, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_reference_plugins_hold_everything),
        TEST(the_examples_in_three_languages_hold_everything),
        TEST(good_plugins_of_every_sort_hold_everything),
        TEST(a_good_plugin_holds_whatever_the_seed),
        TEST(the_seed_repeats_what_was_found),
        TEST(a_configuration_is_given_to_create),
        TEST(realistic_events_are_used),
        TEST(a_line_that_no_event_can_be_is_cut),
        TEST(one_kind_can_be_checked_alone),
        TEST(exit_codes_are_those_of_the_manual),
        TEST(json_has_every_check_with_its_figures),
        TEST(an_interrupt_ends_it_and_leaves_nothing),
        TEST(it_looks_at_the_code_and_not_at_signatures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
