/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include <string.h>

size_t cli_argument_count(const cli_command *command)
{
    size_t n = 0;

    while (n < CLI_ARGUMENTS && command->arguments[n].name)
        n++;
    return n;
}

size_t cli_option_count(const cli_command *command)
{
    size_t n = 0;

    while (n < CLI_OPTIONS && command->options[n].name)
        n++;
    return n;
}

const cli_command *cli_find(const char *noun, const char *verb)
{
    for (const cli_command *c = cli_commands; c->noun; c++) {
        if (strcmp(c->noun, noun) == 0 && (verb && c->verb ? strcmp(c->verb, verb) == 0 : !c->verb))
            return c;
    }
    return NULL;
}

bool cli_has_verbs(const char *noun)
{
    for (const cli_noun *n = cli_nouns; n->name; n++) {
        if (strcmp(n->name, noun) == 0)
            return true;
    }
    return false;
}

static bool is_named(const cli_option *option, const char *name, size_t len)
{
    return strncmp(option->name, name, len) == 0 && option->name[len] == 0;
}

const cli_option *cli_find_option(const cli_command *command, const char *name, size_t len)
{
    size_t count = command ? cli_option_count(command) : 0;

    for (size_t i = 0; i < count; i++) {
        if (is_named(&command->options[i], name, len))
            return &command->options[i];
    }
    for (const cli_option *o = cli_global_options; o->name; o++) {
        if (is_named(o, name, len))
            return o;
    }
    return NULL;
}

const cli_option *cli_find_letter(const cli_command *command, char letter)
{
    size_t count = command ? cli_option_count(command) : 0;

    for (size_t i = 0; i < count; i++) {
        if (command->options[i].letter == letter)
            return &command->options[i];
    }
    for (const cli_option *o = cli_global_options; o->name; o++) {
        if (o->letter == letter)
            return o;
    }
    return NULL;
}

bool cli_has_own(const cli_command *command, const cli_option *global)
{
    const cli_option *found = cli_find_option(command, global->name, strlen(global->name));

    return found != global;
}

bool cli_next_word(const char **at, const char **word, size_t *len)
{
    if (!*at || !**at)
        return false;
    *word = *at;
    *len = strcspn(*at, " ");
    *at += *len + ((*at)[*len] == ' ');
    return true;
}
