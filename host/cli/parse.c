/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/parse.h"

#include "base/error.h"
#include "base/nearest.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is being typed, and the best match for it so far. */
typedef struct guess {
    const char *typed;
    const char *best;
    unsigned distance;
} guess;

static void consider(guess *g, const char *word)
{
    unsigned distance = typing_distance(g->typed, word);

    if (may_mean(g->typed, word) && (!g->best || distance < g->distance)) {
        g->best = word;
        g->distance = distance;
    }
}

static berth_status unknown_noun(const char *word, berth_error *error)
{
    guess g = {.typed = word};

    for (const cli_command *c = cli_commands; c->noun; c++)
        consider(&g, c->noun);
    /* `berth ls`: the verb is right, only its noun was left out. */
    for (const cli_command *c = cli_commands; c->noun; c++) {
        if (c->verb && strcmp(c->verb, word) == 0 && (!g.best || g.distance > 0) &&
            (strcmp(word, "ls") != 0 || strcmp(c->noun, "daemon") == 0))
            return fail(error, BERTH_ERR_INVALID,
                        "there is no command '%s': did you mean 'berth %s %s'?", word, c->noun,
                        c->verb);
    }
    if (strcmp(word, "version") == 0)
        return fail(error, BERTH_ERR_INVALID,
                    "there is no command 'version': did you mean 'berth --version'?");
    if (g.best)
        return fail(error, BERTH_ERR_INVALID, "there is no command '%s': did you mean 'berth %s'?",
                    word, g.best);
    return fail(error, BERTH_ERR_INVALID, "there is no command '%s'", word);
}

static berth_status unknown_verb(const char *noun, const char *word, berth_error *error)
{
    guess g = {.typed = word};
    char all[256] = "";

    for (const cli_command *c = cli_commands; c->noun; c++) {
        if (strcmp(c->noun, noun) == 0) {
            size_t len = strlen(all);

            consider(&g, c->verb);
            snprintf(all + len, sizeof all - len, "%s%s", len ? ", " : "", c->verb);
        }
    }
    if (g.best)
        return fail(error, BERTH_ERR_INVALID,
                    "there is no command '%s %s': did you mean 'berth %s %s'?", noun, word, noun,
                    g.best);
    return fail(error, BERTH_ERR_INVALID, "there is no command '%s %s': %s has %s", noun, word,
                noun, all);
}

/* "berth daemon spawn", for messages. */
static const char *called(const cli_command *command, char *out, size_t cap)
{
    snprintf(out, cap, "berth%s%s%s%s", command ? " " : "", command ? command->noun : "",
             command && command->verb ? " " : "", command && command->verb ? command->verb : "");
    return out;
}

static berth_status unknown_option(const cli_command *command, const char *word, berth_error *error)
{
    size_t dashes = word[1] == '-' ? 2 : 1;
    char typed[64], name[64];
    guess g = {.typed = typed};

    snprintf(typed, sizeof typed, "%.*s", (int)strcspn(word + dashes, "="), word + dashes);
    for (size_t i = 0; command && i < cli_option_count(command); i++)
        consider(&g, command->options[i].name);
    for (const cli_option *o = cli_global_options; o->name; o++)
        consider(&g, o->name);
    called(command, name, sizeof name);
    if (g.best)
        return fail(error, BERTH_ERR_INVALID, "'%s' has no option %.*s: did you mean --%s?", name,
                    (int)strcspn(word, "="), word, g.best);
    return fail(error, BERTH_ERR_INVALID, "'%s' has no option %.*s", name, (int)strcspn(word, "="),
                word);
}

bool cli_parse_number(const char *text, uint64_t *out)
{
    uint64_t value = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        unsigned digit = (unsigned)(*text - '0');

        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

/* Check a value against its hint. `what` is "--grace" or "CONTROL". */
static berth_status check_value(const char *what, cli_hint hint, const char *words,
                                const char *value, berth_error *error)
{
    const char *at = words, *word;
    size_t len;
    uint64_t number;
    char list[256] = "";

    if (hint == HINT_DAEMON && !*value)
        return fail(error, BERTH_ERR_INVALID,
                    "%s: '' names no daemon: give a name, an origin, or the beginning of either",
                    what);
    if (hint == HINT_NUMBER && !cli_parse_number(value, &number))
        return fail(error, BERTH_ERR_INVALID, "%s: '%s' is not a whole number", what, value);
    if (hint != HINT_WORDS)
        return BERTH_OK;
    while (cli_next_word(&at, &word, &len)) {
        size_t used = strlen(list);

        if (strlen(value) == len && memcmp(value, word, len) == 0)
            return BERTH_OK;
        snprintf(list + used, sizeof list - used, "%s%.*s", used ? ", " : "", (int)len, word);
    }
    return fail(error, BERTH_ERR_INVALID, "%s: '%s' is not one of %s", what, value, list);
}

static berth_status give(cli_invocation *inv, const cli_option *option, const char *value,
                         berth_error *error)
{
    char what[64];
    berth_status status;

    snprintf(what, sizeof what, "--%s", option->name);
    if (!option->repeat && option->value && cli_value(inv, option->name))
        return fail(error, BERTH_ERR_INVALID, "%s is given twice", what);
    if (value && (status = check_value(what, option->hint, option->words, value, error)))
        return status;
    inv->given[inv->given_count++] = (cli_given){option, value};
    return BERTH_OK;
}

/* The option at argv[*at], with its value, which may be the word behind it. */
static berth_status take_option(cli_invocation *inv, int argc, char **argv, int *at,
                                berth_error *error)
{
    const char *word = argv[*at], *value = NULL;
    const cli_option *option;

    if (word[1] == '-') {
        size_t len = strcspn(word + 2, "=");

        option = cli_find_option(inv->command, word + 2, len);
        if (word[2 + len] == '=')
            value = word + 2 + len + 1;
    } else {
        option = cli_find_letter(inv->command, word[1]);
        if (option && word[2])
            value = word + 2 + (word[2] == '=');
    }
    if (!option)
        return unknown_option(inv->command, word, error);
    if (!option->value && value)
        return fail(error, BERTH_ERR_INVALID, "--%s takes no value", option->name);
    if (option->value && !value) {
        if (*at + 1 >= argc)
            return fail(error, BERTH_ERR_INVALID, "--%s needs a value: --%s %s", option->name,
                        option->name, option->value);
        value = argv[++*at];
    }
    return give(inv, option, value, error);
}

static berth_status take_argument(cli_invocation *inv, const char *word, berth_error *error)
{
    const cli_command *command = inv->command;
    size_t count = cli_argument_count(command), at = inv->argument_count;
    const cli_argument *argument;
    char name[64];
    berth_status status;

    if (at >= count && count && command->arguments[count - 1].repeat)
        at = count - 1;
    if (at >= count)
        return fail(error, BERTH_ERR_INVALID, "'%s' is one word too many for '%s'", word,
                    called(command, name, sizeof name));
    argument = &command->arguments[at];
    status = check_value(argument->name, argument->hint, argument->words, word, error);
    if (status == BERTH_OK)
        inv->arguments[inv->argument_count++] = word;
    return status;
}

/* The next word while the command is not known yet. */
static berth_status take_name(cli_invocation *inv, const char *word, berth_error *error)
{
    if (!inv->noun) {
        inv->command = cli_find(word, NULL);
        if (!inv->command && !cli_has_verbs(word))
            return unknown_noun(word, error);
        inv->noun = word;
        return BERTH_OK;
    }
    inv->command = cli_find(inv->noun, word);
    return inv->command ? BERTH_OK : unknown_verb(inv->noun, word, error);
}

berth_status cli_parse(int argc, char **argv, cli_invocation *out, cli_wish *wish,
                       berth_error *error)
{
    bool options = true;
    char name[64];
    berth_status status = BERTH_OK;

    *out = (cli_invocation){0};
    *wish = WISH_RUN;
    out->given = (cli_given *)calloc((size_t)argc + 1, sizeof *out->given);
    out->arguments = (const char **)calloc((size_t)argc + 1, sizeof *out->arguments);
    if (!out->given || !out->arguments)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
        *wish = WISH_VERSION;
        return BERTH_OK;
    }
    for (int i = 1; i < argc && status == BERTH_OK; i++) {
        const char *word = argv[i];

        if (options && strcmp(word, "--") == 0)
            options = false;
        else if (options && word[0] == '-' && word[1])
            status = take_option(out, argc, argv, &i, error);
        else if (!out->command)
            status = take_name(out, word, error);
        else
            status = take_argument(out, word, error);
    }
    if (status != BERTH_OK)
        return status;
    if (cli_flag(out, "help")) {
        *wish = WISH_HELP;
        return BERTH_OK;
    }
    if (!out->command) {
        *wish = WISH_GUIDE;
        return BERTH_OK;
    }
    if (out->argument_count < cli_argument_count(out->command) &&
        !out->command->arguments[out->argument_count].optional)
        return fail(error, BERTH_ERR_INVALID, "'%s' needs %s: %s",
                    called(out->command, name, sizeof name),
                    out->command->arguments[out->argument_count].name,
                    out->command->arguments[out->argument_count].help);
    return BERTH_OK;
}

void cli_invocation_free(cli_invocation *inv)
{
    free(inv->given);
    free(inv->arguments);
    *inv = (cli_invocation){0};
}

const char *cli_next_value(const cli_invocation *inv, const char *option, size_t *at)
{
    while (*at < inv->given_count) {
        const cli_given *g = &inv->given[(*at)++];

        if (strcmp(g->option->name, option) == 0)
            return g->value;
    }
    return NULL;
}

const char *cli_value(const cli_invocation *inv, const char *option)
{
    size_t at = 0;

    return cli_next_value(inv, option, &at);
}

bool cli_flag(const cli_invocation *inv, const char *option)
{
    for (size_t i = 0; i < inv->given_count; i++) {
        const cli_option *given = inv->given[i].option;

        assert(given);
        if (strcmp(given->name, option) == 0)
            return true;
    }
    return false;
}

uint64_t cli_number(const cli_invocation *inv, const char *option, uint64_t fallback)
{
    const char *value = cli_value(inv, option);
    uint64_t number = fallback;

    if (value)
        cli_parse_number(value, &number);
    return number;
}

const char *cli_argument_at(const cli_invocation *inv, size_t index)
{
    return index < inv->argument_count ? inv->arguments[index] : NULL;
}
