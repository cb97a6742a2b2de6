/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/complete.h"

#include <string.h>

static const char head[] =
    "# fish completion for berth; made by `berth completion fish`\n"
    "\n"
    "function __berth_words --description 'The words so far that are no options'\n"
    "    set -l skip 0\n"
    "    set -l words (commandline -opc)\n"
    "    set -e words[1]\n"
    "    for word in $words\n"
    "        if test $skip = 1\n"
    "            set skip 0\n"
    "            continue\n"
    "        end\n"
    "        switch $word\n"
    "            case";

static const char tail_of_head[] =
    "\n"
    "                set skip 1\n"
    "            case '-?*'\n"
    "            case '*'\n"
    "                echo $word\n"
    "        end\n"
    "    end\n"
    "end\n"
    "\n"
    "function __berth_in --description 'The words begin with these'\n"
    "    set -l words (__berth_words)\n"
    "    test (count $words) -ge (count $argv); or return 1\n"
    "    for i in (seq (count $argv))\n"
    "        test \"$words[$i]\" = \"$argv[$i]\"; or return 1\n"
    "    end\n"
    "end\n"
    "\n"
    "function __berth_next --description 'So many words follow these'\n"
    "    set -l more $argv[1]\n"
    "    set -e argv[1]\n"
    "    test (count (__berth_words)) -eq (math $more + (count $argv)); and __berth_in $argv\n"
    "end\n"
    "\n"
    "complete -c berth -f\n";

static void put_value_option(void *ctx, const cli_option *option)
{
    FILE *to = (FILE *)ctx;

    if (option->letter)
        fprintf(to, " -%c", option->letter);
    fprintf(to, " --%s", option->name);
}

static void put_quoted(FILE *to, const char *text)
{
    fputc('\'', to);
    for (; *text; text++)
        fprintf(to, *text == '\'' || *text == '\\' ? "\\%c" : "%c", *text);
    fputc('\'', to);
}

/* -r -F: a file; -x: something else; with -a: what. */
static void put_value(FILE *to, cli_hint hint, const char *words)
{
    const char *names = complete_names_of(hint);

    if (words)
        fprintf(to, " -x -a '%s'", words);
    else if (names)
        fprintf(to, " -x -a '(berth completion %s 2>/dev/null)'", names);
    else if (hint == HINT_DIR)
        fputs(" -x -a '(__fish_complete_directories)'", to);
    else
        fputs(hint == HINT_FILE ? " -r -F" : " -x", to);
}

static void put_option(FILE *to, const cli_command *c, const cli_option *o)
{
    fputs("complete -c berth", to);
    if (c)
        fprintf(to, " -n '__berth_in %s%s%s'", c->noun, c->verb ? " " : "", c->verb ? c->verb : "");
    if (o->letter)
        fprintf(to, " -s %c", o->letter);
    fprintf(to, " -l %s -d ", o->name);
    put_quoted(to, o->help);
    if (o->value)
        put_value(to, o->hint, o->words);
    fputc('\n', to);
}

static void put_argument(FILE *to, const cli_command *c, size_t index)
{
    const cli_argument *a = &c->arguments[index];

    if (!a->words && !complete_names_of(a->hint) && a->hint != HINT_FILE && a->hint != HINT_DIR)
        return;
    if (a->repeat)
        fputs("complete -c berth -n '__berth_in", to);
    else
        fprintf(to, "complete -c berth -n '__berth_next %zu", index);
    fprintf(to, " %s%s%s'", c->noun, c->verb ? " " : "", c->verb ? c->verb : "");
    if (a->hint == HINT_FILE)
        fputs(" -F", to);
    else
        put_value(to, a->hint, a->words);
    fputc('\n', to);
}

static void put_word(FILE *to, const char *after, const char *word, const char *summary)
{
    fprintf(to, "complete -c berth -n '__berth_next 0%s%s' -a %s -d ", *after ? " " : "", after,
            word);
    put_quoted(to, summary);
    fputc('\n', to);
}

void complete_fish(FILE *to)
{
    fputs(head, to);
    complete_each_value_option(put_value_option, to);
    fputs(tail_of_head, to);
    for (const cli_option *o = cli_global_options; o->name; o++)
        put_option(to, NULL, o);
    for (const cli_noun *n = cli_nouns; n->name; n++)
        put_word(to, "", n->name, n->summary);
    for (const cli_command *c = cli_commands; c->noun; c++) {
        put_word(to, c->verb ? c->noun : "", c->verb ? c->verb : c->noun, c->summary);
        for (size_t i = 0; i < cli_option_count(c); i++)
            put_option(to, c, &c->options[i]);
        for (size_t i = 0; i < cli_argument_count(c); i++)
            put_argument(to, c, i);
    }
}
