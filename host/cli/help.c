/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/help.h"

#include "cli/commands.h"
#include "cli/output.h"

#include <string.h>

static void append(char *out, size_t cap, const char *format, const char *a, const char *b)
{
    size_t len = strlen(out);

    snprintf(out + len, cap - len, format, a, b);
}

/* "D CONTROL [OPERAND]" */
static void append_arguments(char *out, size_t cap, const cli_command *command)
{
    for (size_t i = 0; i < cli_argument_count(command); i++) {
        const cli_argument *a = &command->arguments[i];

        append(out, cap, a->optional ? " [%s]%s" : " %s%s", a->name, a->repeat ? "..." : "");
    }
}

char *help_usage(char *out, size_t cap, const cli_command *command)
{
    snprintf(out, cap, "berth %s%s%s", command->noun, command->verb ? " " : "",
             command->verb ? command->verb : "");
    append_arguments(out, cap, command);
    for (size_t i = 0; i < cli_option_count(command); i++) {
        const cli_option *o = &command->options[i];
        char name[64];

        if (o->letter)
            snprintf(name, sizeof name, "-%c", o->letter);
        else
            snprintf(name, sizeof name, "--%s", o->name);
        append(out, cap, o->value ? " [%s %s]" : " [%s%s]", name, o->value ? o->value : "");
        if (o->repeat)
            append(out, cap, "%s%s", "...", "");
    }
    return out;
}

static void heading(FILE *to, const char *text)
{
    fprintf(to, output_has_colours(to) ? "\n\x1b[1m%s\x1b[0m\n" : "\n%s\n", text);
}

/* What the command has an option of its own for is left out. */
static void list_options(FILE *to, const cli_command *command, const cli_option *options,
                         size_t count)
{
    static const tab_column columns[] = {{NULL, false}, {NULL, false}};
    tab t;

    tab_begin(&t, columns, 2);
    for (size_t i = 0; i < count && options[i].name; i++) {
        const cli_option *o = &options[i];
        char letter[8] = "    ";

        if (command && options == cli_global_options && cli_has_own(command, o))
            continue;
        if (o->letter)
            snprintf(letter, sizeof letter, "-%c, ", o->letter);
        tab_add(&t, STYLE_PLAIN, "  %s--%s%s%s", letter, o->name, o->value ? " " : "",
                o->value ? o->value : "");
        tab_add(&t, STYLE_PLAIN, "%s", o->help);
    }
    tab_end(&t, to, false);
}

static void list_arguments(FILE *to, const cli_command *command)
{
    static const tab_column columns[] = {{NULL, false}, {NULL, false}};
    tab t;

    tab_begin(&t, columns, 2);
    for (size_t i = 0; i < cli_argument_count(command); i++) {
        const cli_argument *a = &command->arguments[i];

        tab_add(&t, STYLE_PLAIN, "  %s", a->name);
        tab_add(&t, STYLE_PLAIN, "%s%s%s", a->help, a->words ? ": " : "", a->words ? a->words : "");
    }
    tab_end(&t, to, false);
}

void help_command(FILE *to, const cli_command *command)
{
    char usage[512];
    size_t examples = 0;

    fprintf(to, "%s\n\n  %s\n", help_usage(usage, sizeof usage, command), command->summary);
    if (command->text)
        fprintf(to, "\n%s\n", command->text);
    if (cli_argument_count(command)) {
        heading(to, "Arguments");
        list_arguments(to, command);
    }
    if (cli_option_count(command)) {
        heading(to, "Options");
        list_options(to, command, command->options, CLI_OPTIONS);
    }
    heading(to, "Everywhere");
    list_options(to, command, cli_global_options, 16);
    for (; examples < CLI_EXAMPLES && command->examples[examples].line; examples++) {
        const cli_example *e = &command->examples[examples];

        if (examples == 0)
            heading(to, "Examples");
        fprintf(to, "  %s\n", e->line);
        if (e->what)
            fprintf(to, "      %s\n", e->what);
    }
}

static void list_commands(FILE *to, const char *noun)
{
    static const tab_column columns[] = {{NULL, false}, {NULL, false}};
    tab t;

    tab_begin(&t, columns, 2);
    for (const cli_command *c = cli_commands; c->noun; c++) {
        char words[256] = "";

        if (noun ? strcmp(c->noun, noun) != 0 : c->verb != NULL)
            continue;
        append(words, sizeof words, c->verb ? "%s %s" : "%s%s", c->noun, c->verb ? c->verb : "");
        append_arguments(words, sizeof words, c);
        tab_add(&t, STYLE_PLAIN, "  %s", words);
        tab_add(&t, STYLE_PLAIN, "%s", c->summary);
    }
    tab_end(&t, to, false);
}

void help_noun(FILE *to, const char *noun)
{
    for (const cli_noun *n = cli_nouns; n->name; n++) {
        if (strcmp(n->name, noun) == 0)
            fprintf(to, "berth %s VERB\n\n  %s\n", noun, n->summary);
    }
    heading(to, "Verbs");
    list_commands(to, noun);
    fprintf(to, "\n'berth help %s VERB' says more, with examples.\n", noun);
}

void help_all(FILE *to)
{
    fprintf(to, "berth COMMAND ...\n\n  a host for daemons: small stateful event processors that "
                "arrive as shared objects\n");
    heading(to, "Commands");
    list_commands(to, NULL);
    for (const cli_noun *n = cli_nouns; n->name; n++) {
        char title[128];

        snprintf(title, sizeof title, "%c%s: %s", n->name[0] - 'a' + 'A', n->name + 1, n->summary);
        heading(to, title);
        list_commands(to, n->name);
    }
    heading(to, "Everywhere");
    list_options(to, NULL, cli_global_options, 16);
    fprintf(to, "\nD is a daemon's name, its origin in hex, or a unique prefix of either.\n"
                "Exit codes: 0 done, 1 failed, 2 usage, 3 no host at the socket, 4 refused by "
                "policy or check;\n"
                "of migrations also 5 took too long, 6 in doubt.\n"
                "'berth help COMMAND' says more, with examples.\n");
}

int cmd_help(const cli_invocation *inv)
{
    const char *noun = cli_argument_at(inv, 0), *verb = cli_argument_at(inv, 1);
    char *words[] = {(char *)"berth", (char *)noun, (char *)verb, NULL};
    cli_invocation asked = {0};
    berth_error error = {0};
    cli_wish wish;
    int code = EXIT_DONE;

    if (!noun) {
        help_all(stdout);
        return EXIT_DONE;
    }
    /* Of a command that needs arguments the parser says what is missing, which is not the question.
     */
    cli_parse(verb ? 3 : 2, words, &asked, &wish, &error);
    if (asked.command && (!verb || asked.command->verb))
        help_command(stdout, asked.command);
    else if (asked.noun && !verb)
        help_noun(stdout, asked.noun);
    else
        code = output_usage(inv, "%s", asked.command ? "it has no verbs" : error.text);
    cli_invocation_free(&asked);
    return code;
}
