/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 32 };

/* One command line, split as a shell would, as far as the table's examples need it. */
typedef struct line {
    char text[512];
    char *argv[WORDS];
    int argc;
    cli_invocation inv;
    cli_wish wish;
    berth_error error;
    berth_status status;
} line;

static void split(line *l, const char *text)
{
    char quote = 0, *at;
    bool inside = false;

    snprintf(l->text, sizeof l->text, "%s", text);
    l->argc = 0;
    for (at = l->text; *at; at++) {
        if (*at == '\'' && (!quote || quote == *at)) {
            quote = quote ? 0 : *at;
            if (!inside)
                l->argv[l->argc++] = at;
            inside = true;
            memmove(at, at + 1, strlen(at));
            at--;
            continue;
        }
        if (*at == ' ' && !quote) {
            *at = 0;
            inside = false;
        } else if (!inside) {
            l->argv[l->argc++] = at;
            inside = true;
        }
    }
    l->argv[l->argc] = NULL;
}

static void parse(line *l, const char *text)
{
    memset(l, 0, sizeof *l);
    split(l, text);
    l->status = cli_parse(l->argc, l->argv, &l->inv, &l->wish, &l->error);
}

static void wrong(const char *text, const char *says)
{
    line l;

    parse(&l, text);
    assert_int_equal(l.status, BERTH_ERR_INVALID);
    if (!strstr(l.error.text, says))
        fail_msg("'%s' says: %s", text, l.error.text);
    cli_invocation_free(&l.inv);
}

static void arguments_and_options_come_in_any_order(void **state)
{
    static const char *const lines[] = {
        "berth daemon stop words --grace 500 --json",
        "berth --json daemon --socket s stop --grace=500 words",
        "berth daemon stop --grace 500 --json -- words",
    };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        line l;

        parse(&l, lines[i]);
        assert_int_equal(l.status, BERTH_OK);
        assert_int_equal(l.wish, WISH_RUN);
        assert_ptr_equal(l.inv.command, cli_find("daemon", "stop"));
        assert_string_equal(cli_argument_at(&l.inv, 0), "words");
        assert_int_equal(cli_number(&l.inv, "grace", 0), 500);
        assert_true(cli_flag(&l.inv, "json"));
        cli_invocation_free(&l.inv);
    }
}

static void a_repeated_option_keeps_its_values_in_order(void **state)
{
    size_t at = 0;
    line l;

    (void)state;
    parse(&l, "berth run --plugin a.so --ephemeral --plugin=b.so");
    assert_int_equal(l.status, BERTH_OK);
    assert_string_equal(cli_next_value(&l.inv, "plugin", &at), "a.so");
    assert_string_equal(cli_next_value(&l.inv, "plugin", &at), "b.so");
    assert_null(cli_next_value(&l.inv, "plugin", &at));
    cli_invocation_free(&l.inv);
    wrong("berth tail d --from now --from now", "--from is given twice");
}

static void a_repeated_argument_keeps_its_words_in_order(void **state)
{
    line l;

    (void)state;
    parse(&l, "berth realm show a b --json c d e -- -f");
    assert_int_equal(l.status, BERTH_OK);
    assert_int_equal(l.inv.argument_count, 6);
    assert_string_equal(cli_argument_at(&l.inv, 0), "a");
    assert_string_equal(cli_argument_at(&l.inv, 4), "e");
    assert_string_equal(cli_argument_at(&l.inv, 5), "-f");
    assert_null(cli_argument_at(&l.inv, 6));
    cli_invocation_free(&l.inv);
    wrong("berth realm show", "needs FILE");
    wrong("berth realm sign a b", "one word too many");
}

static void only_the_last_argument_is_repeated(void **state)
{
    (void)state;
    for (const cli_command *c = cli_commands; c->noun; c++)
        for (size_t i = 1; i < cli_argument_count(c); i++)
            assert_false(c->arguments[i - 1].repeat);
}

static void a_dash_alone_is_an_argument(void **state)
{
    line l;

    (void)state;
    parse(&l, "berth send words - --lines");
    assert_int_equal(l.status, BERTH_OK);
    assert_string_equal(cli_argument_at(&l.inv, 1), "-");
    cli_invocation_free(&l.inv);
    parse(&l, "berth daemon snapshot words -o- ");
    assert_int_equal(l.status, BERTH_OK);
    assert_string_equal(cli_value(&l.inv, "output"), "-");
    cli_invocation_free(&l.inv);
}

static void an_unknown_word_names_the_nearest_right_one(void **state)
{
    (void)state;
    wrong("berth sned words", "'berth send'");
    wrong("berth deamon ls", "'berth daemon'");
    wrong("berth stats", "'berth status'");
    wrong("berth comp bash", "'berth completion'");
    wrong("berth ls", "'berth daemon ls'");
    wrong("berth spawn counter", "'berth daemon spawn'");
    wrong("berth daemon spwan counter", "'berth daemon spawn'");
    wrong("berth plugin loda x", "'berth plugin load'");
    wrong("berth daemon stop words --grase 4", "--grace");
    wrong("berth status --jsno", "--json");
    wrong("berth --scoket x status", "--socket");
}

static void what_resembles_nothing_gets_no_guess(void **state)
{
    line l;

    (void)state;
    wrong("berth xyzzy", "there is no command 'xyzzy'");
    wrong("berth daemon xyzzy", "daemon has spawn, ls, show");
    wrong("berth status --xyzzy", "has no option --xyzzy");
    parse(&l, "berth xyzzy");
    assert_null(strstr(l.error.text, "did you mean"));
    cli_invocation_free(&l.inv);
}

static void values_are_checked_before_anything_runs(void **state)
{
    (void)state;
    wrong("berth daemon stop words --grace soon", "--grace: 'soon' is not a whole number");
    wrong("berth daemon stop words --grace 18446744073709551616", "not a whole number");
    wrong("berth daemon stop words --grace -1", "not a whole number");
    wrong("berth tail words --from yesterday", "not one of now, start-of-ring");
    wrong("berth daemon control words dance", "CONTROL: 'dance' is not one of drain,");
    wrong("berth daemon control words drain x", "OPERAND");
    wrong("berth daemon stop words --grace", "--grace needs a value");
    wrong("berth send words --lines=yes", "--lines takes no value");
    wrong("berth daemon stop", "needs D");
    wrong("berth status now", "one word too many");
}

static void help_is_given_without_the_arguments(void **state)
{
    line l;

    (void)state;
    parse(&l, "berth daemon spawn --help");
    assert_int_equal(l.status, BERTH_OK);
    assert_int_equal(l.wish, WISH_HELP);
    assert_ptr_equal(l.inv.command, cli_find("daemon", "spawn"));
    cli_invocation_free(&l.inv);
    parse(&l, "berth daemon -h");
    assert_int_equal(l.wish, WISH_HELP);
    assert_null(l.inv.command);
    assert_string_equal(l.inv.noun, "daemon");
    cli_invocation_free(&l.inv);
    parse(&l, "berth daemon");
    assert_int_equal(l.wish, WISH_GUIDE);
    cli_invocation_free(&l.inv);
    parse(&l, "berth --version");
    assert_int_equal(l.wish, WISH_VERSION);
    cli_invocation_free(&l.inv);
}

static void a_number_is_digits_and_nothing_else(void **state)
{
    uint64_t n = 7;

    (void)state;
    assert_true(cli_parse_number("18446744073709551615", &n));
    assert_true(n == UINT64_MAX);
    assert_false(cli_parse_number("18446744073709551616", &n));
    assert_false(cli_parse_number("99999999999999999999999", &n));
    assert_false(cli_parse_number("", &n));
    assert_false(cli_parse_number(" 1", &n));
    assert_false(cli_parse_number("1k", &n));
    assert_true(n == UINT64_MAX);
}

/* ---- The table ------------------------------------------------------------------------------- */

static void every_example_of_the_table_parses(void **state)
{
    size_t examples = 0;

    (void)state;
    for (const cli_command *c = cli_commands; c->noun; c++) {
        assert_non_null(c->summary);
        assert_non_null(c->run);
        assert_non_null(c->examples[0].line);
        for (size_t i = 0; i < CLI_EXAMPLES && c->examples[i].line; i++, examples++) {
            char text[512];
            line l;

            snprintf(text, sizeof text, "%s", strstr(c->examples[i].line, "berth "));
            text[strcspn(text, "|>")] = 0;
            parse(&l, text);
            if (l.status != BERTH_OK || l.inv.command != c)
                fail_msg("'%s': %s", text, l.error.text);
            cli_invocation_free(&l.inv);
        }
    }
    assert_true(examples > 30);
}

static void the_commands_of_one_noun_stand_together(void **state)
{
    (void)state;
    for (const cli_command *c = cli_commands; c->noun; c++) {
        assert_int_equal(cli_has_verbs(c->noun), c->verb != NULL);
        assert_ptr_equal(cli_find(c->noun, c->verb), c);
        for (const cli_command *other = c + 1; other->noun; other++) {
            if (strcmp(other->noun, c->noun) == 0)
                assert_string_equal(other[-1].noun, c->noun);
        }
    }
}

/* Completion scripts skip an option's value without knowing the command. */
static void an_option_takes_a_value_everywhere_or_nowhere(void **state)
{
    (void)state;
    for (const cli_command *c = cli_commands; c->noun; c++) {
        for (size_t i = 0; i < cli_option_count(c); i++) {
            for (const cli_command *other = cli_commands; other->noun; other++) {
                const cli_option *same =
                    cli_find_option(other, c->options[i].name, strlen(c->options[i].name));

                if (same)
                    assert_int_equal(same->value != NULL, c->options[i].value != NULL);
            }
        }
    }
}

static void an_optional_argument_is_followed_by_optional_ones(void **state)
{
    (void)state;
    for (const cli_command *c = cli_commands; c->noun; c++) {
        for (size_t i = 1; i < cli_argument_count(c); i++)
            assert_true(c->arguments[i].optional || !c->arguments[i - 1].optional);
    }
}

static void an_empty_word_names_no_daemon(void **state)
{
    static const char *const lines[] = {"berth send ''", "berth tail ''", "berth daemon show ''",
                                        "berth daemon stop ''", "berth daemon control '' drain"};

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        wrong(lines[i], "D: '' names no daemon: give a name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_and_options_come_in_any_order),
        cmocka_unit_test(a_repeated_option_keeps_its_values_in_order),
        cmocka_unit_test(a_repeated_argument_keeps_its_words_in_order),
        cmocka_unit_test(only_the_last_argument_is_repeated),
        cmocka_unit_test(a_dash_alone_is_an_argument),
        cmocka_unit_test(an_empty_word_names_no_daemon),
        cmocka_unit_test(an_unknown_word_names_the_nearest_right_one),
        cmocka_unit_test(what_resembles_nothing_gets_no_guess),
        cmocka_unit_test(values_are_checked_before_anything_runs),
        cmocka_unit_test(help_is_given_without_the_arguments),
        cmocka_unit_test(a_number_is_digits_and_nothing_else),
        cmocka_unit_test(every_example_of_the_table_parses),
        cmocka_unit_test(the_commands_of_one_noun_stand_together),
        cmocka_unit_test(an_option_takes_a_value_everywhere_or_nowhere),
        cmocka_unit_test(an_optional_argument_is_followed_by_optional_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
