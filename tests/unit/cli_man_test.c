/* SPDX-License-Identifier: Apache-2.0 */
/* The man pages say all that the table of commands says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The source of the page that treats this command. */
static char *page_of(const cli_command *command)
{
    char path[512], *text = (char *)calloc(1, 1 << 16);
    FILE *f;

    assert_non_null(text);
    snprintf(path, sizeof path, SOURCE_DIR "/docs/man/berth-%s.1.scd", command->noun);
    if (access(path, R_OK) != 0)
        snprintf(path, sizeof path, SOURCE_DIR "/docs/man/berth.1.scd");
    f = fopen(path, "r");
    assert_non_null(f);
    assert_true(fread(text, 1, (1 << 16) - 1, f) > 0);
    fclose(f);
    return text;
}

static void has(const char *page, const cli_command *c, const char *what)
{
    if (!strstr(page, what))
        fail_msg("the page of berth %s %s does not have: %s", c->noun, c->verb ? c->verb : "",
                 what);
}

static void every_command_stands_in_its_page(void **state)
{
    (void)state;
    for (const cli_command *c = cli_commands; c->noun; c++) {
        char *page = page_of(c), name[128];

        snprintf(name, sizeof name, "berth %s%s%s*", c->noun, c->verb ? " " : "",
                 c->verb ? c->verb : "");
        has(page, c, name);
        free(page);
    }
}

static void every_option_stands_in_its_page(void **state)
{
    (void)state;
    for (const cli_command *c = cli_commands; c->noun; c++) {
        char *page = page_of(c);

        for (size_t i = 0; i < cli_option_count(c); i++) {
            const cli_option *o = &c->options[i];
            char text[128];

            snprintf(text, sizeof text, "*--%s*", o->name);
            has(page, c, text);
            snprintf(text, sizeof text, "*-%c*", o->letter);
            if (o->letter)
                has(page, c, text);
        }
        free(page);
    }
}

static void every_word_that_an_argument_may_be_stands_in_its_page(void **state)
{
    (void)state;
    for (const cli_command *c = cli_commands; c->noun; c++) {
        char *page = page_of(c);

        for (size_t i = 0; i < cli_argument_count(c); i++) {
            const char *at = c->arguments[i].words, *word;
            size_t len;

            while (cli_next_word(&at, &word, &len)) {
                char text[64];

                snprintf(text, sizeof text, "%.*s", (int)len, word);
                has(page, c, text);
            }
        }
        free(page);
    }
}

static void the_exit_codes_stand_in_the_first_page(void **state)
{
    char *page = page_of(cli_find("status", NULL));

    (void)state;
    for (const char *const *code =
             (const char *const[]){"*0*", "*1*", "*2*", "*3*", "*4*", "*5*", "*6*", NULL};
         *code; code++)
        has(page, cli_find("status", NULL), *code);
    for (const cli_option *o = cli_global_options; o->name; o++) {
        char text[64];

        snprintf(text, sizeof text, "*--%s*", o->name);
        has(page, cli_find("status", NULL), text);
    }
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_stands_in_its_page),
        cmocka_unit_test(every_option_stands_in_its_page),
        cmocka_unit_test(every_word_that_an_argument_may_be_stands_in_its_page),
        cmocka_unit_test(the_exit_codes_stand_in_the_first_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
