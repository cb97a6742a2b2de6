/* SPDX-License-Identifier: Apache-2.0 */
/* The completion scripts, tried in the shells they are for (those that are installed). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/complete.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/berth-complete-XXXXXX";

static const struct script {
    const char *shell, *file;
    void (*make)(FILE *to);
} scripts[] = {
    {"bash", "berth", complete_bash},
    {"zsh", "_berth", complete_zsh},
    {"fish", "berth.fish", complete_fish},
};

static int make_scripts(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    for (size_t i = 0; i < 3; i++) {
        char path[256];
        FILE *to;

        snprintf(path, sizeof path, "%s/%s", dir, scripts[i].file);
        if (!(to = fopen(path, "w")))
            return -1;
        scripts[i].make(to);
        fclose(to);
    }
    return 0;
}

static int remove_scripts(void **state)
{
    char command[256];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static bool installed(const char *shell)
{
    char command[64];

    snprintf(command, sizeof command, "command -v %s >/dev/null", shell);
    return system(command) == 0;
}

/* What a command prints, in one line. */
static char *printed(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *printed(const char *format, ...)
{
    static char out[8192];
    char *command = NULL;
    va_list args;
    size_t n;
    FILE *p;

    va_start(args, format);
    assert_true(vasprintf(&command, format, args) > 0);
    va_end(args);
    p = popen(command, "r");
    assert_non_null(p);
    n = fread(out, 1, sizeof out - 1, p);
    out[n] = 0;
    pclose(p);
    for (char *at = out; *at; at++) {
        if (*at == '\n')
            *at = at[1] ? ' ' : 0;
    }
    free(command);
    return out;
}

static void every_shell_parses_its_script(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char command[256];

        if (!installed(scripts[i].shell))
            continue;
        snprintf(command, sizeof command, "%s -n %s/%s", scripts[i].shell, dir, scripts[i].file);
        assert_int_equal(system(command), 0);
    }
}

/* line: words between bars, the last one being typed. `berth` answers as a host with two daemons.
 */
static char *bash_offers(const char *words)
{
    return printed("cd %s && touch plugin.so && bash --norc -c '"
                   "berth() { [ \"$2\" = daemons ] && echo alpha beta; }; . ./berth; "
                   "compopt() { :; }; "
                   "COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _berth; "
                   "echo \"${COMPREPLY[@]}\"'",
                   dir, words);
}

static void bash_offers_what_comes_next(void **state)
{
    (void)state;
    if (!installed("bash"))
        skip();
    assert_string_equal(bash_offers("berth \"\""), "run status metrics plugin daemon send tail "
                                                   "channel call service mesh peer migrate "
                                                   "migration identity token realm completion "
                                                   "help");
    assert_string_equal(bash_offers("berth d"), "daemon");
    assert_string_equal(bash_offers("berth daemon s"), "spawn show stop snapshot");
    assert_string_equal(bash_offers("berth daemon show \"\""), "alpha beta");
    assert_string_equal(bash_offers("berth --socket x daemon show b"), "beta");
    assert_string_equal(bash_offers("berth send --lines a"), "alpha");
    assert_string_equal(bash_offers("berth send alpha pl"), "plugin.so");
    assert_string_equal(bash_offers("berth realm show plugin.so pl"), "plugin.so"); /* once more */
    assert_string_equal(bash_offers("berth daemon stop alpha --g"), "--grace");
    assert_string_equal(bash_offers("berth daemon stop alpha --grace \"\""), "");
    assert_string_equal(bash_offers("berth plugin new x --lang r"), "rust");
    assert_string_equal(bash_offers("berth plugin new x --lang = r"), "rust");
    assert_string_equal(bash_offers("berth daemon control alpha drain-"),
                        "drain-start drain-finish");
    assert_string_equal(bash_offers("berth completion f"), "fish");
    assert_string_equal(bash_offers("berth status \"\""), "");
    assert_string_equal(bash_offers("berth nonsense \"\""), "");
}

static char *fish_offers(const char *line)
{
    return printed("cd %s && fish --no-config -c 'function berth; "
                   "test \"$argv[2]\" = daemons; and printf \"alpha\\nbeta\\n\"; end; "
                   "source berth.fish; complete -C \"%s\"' | cut -f 1",
                   dir, line);
}

static void fish_offers_what_comes_next(void **state)
{
    (void)state;
    if (!installed("fish"))
        skip();
    assert_string_equal(fish_offers("berth dae"), "daemon");
    assert_string_equal(fish_offers("berth daemon sp"), "spawn");
    assert_string_equal(fish_offers("berth daemon show "), "alpha beta");
    assert_string_equal(fish_offers("berth --socket x daemon show b"), "beta");
    assert_string_equal(fish_offers("berth realm show plugin.so plugin"), "plugin.so");
    assert_string_equal(fish_offers("berth daemon stop alpha --gr"), "--grace");
    assert_string_equal(fish_offers("berth plugin new x --lang r"), "rust");
    assert_string_equal(fish_offers("berth completion f"), "fish");
}

/* zsh completes only in its line editor, so the functions are called with a stand-in for what
 * draws the menu. */
static void zsh_finds_a_function_for_every_command(void **state)
{
    (void)state;
    if (!installed("zsh"))
        skip();
    assert_string_equal(printed("cd %s && zsh -f -c '"
                                "compdef() { :; }; . ./_berth; "
                                "for f in _berth _berth_daemon _berth_daemon_spawn _berth_send "
                                "_berth_plugin_new _berth_help; do "
                                "(( $+functions[$f] )) || echo missing $f; done; "
                                "_arguments() { print -r -- $argv[-1]; }; "
                                "_berth_daemon_show'",
                                dir),
                        "1:D:{_berth_names daemons}");
    assert_string_equal(printed("cd %s && zsh -f -c '"
                                "compdef() { :; }; . ./_berth; "
                                "_arguments() { print -r -- $argv[-1]; }; _berth_realm_show'",
                                dir),
                        "*:FILE:_files");
}

static void what_is_completed_is_what_the_table_has(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char path[256], *text;
        size_t n;
        FILE *f;

        snprintf(path, sizeof path, "%s/%s", dir, scripts[i].file);
        f = fopen(path, "r");
        assert_non_null(f);
        text = (char *)calloc(1, 1 << 20);
        assert_non_null(text);
        n = fread(text, 1, (1 << 20) - 1, f);
        fclose(f);
        assert_true(n > 1000);
        for (const cli_command *c = cli_commands; c->noun; c++) {
            assert_non_null(strstr(text, c->noun));
            assert_non_null(strstr(text, c->verb ? c->verb : ""));
            for (size_t k = 0; k < cli_option_count(c); k++)
                assert_non_null(strstr(text, c->options[k].name));
        }
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shell_parses_its_script),
        cmocka_unit_test(bash_offers_what_comes_next),
        cmocka_unit_test(fish_offers_what_comes_next),
        cmocka_unit_test(zsh_finds_a_function_for_every_command),
        cmocka_unit_test(what_is_completed_is_what_the_table_has),
    };

    return cmocka_run_group_tests(tests, make_scripts, remove_scripts);
}
