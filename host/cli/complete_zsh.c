/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/complete.h"

#include <string.h>

/* Text inside single quotes inside an _arguments or _describe specification. */
static void put_escaped(FILE *to, const char *text, const char *special)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", to);
        else if (strchr(special, *text))
            fprintf(to, "\\%c", *text);
        else
            fputc(*text, to);
    }
}

static void put_action(FILE *to, const char *name, cli_hint hint, const char *words)
{
    const char *names = complete_names_of(hint);

    fputc(':', to);
    put_escaped(to, name, ":[]\\");
    fputc(':', to);
    if (words)
        fprintf(to, "(%s)", words);
    else if (names)
        fprintf(to, "{_berth_names %s}", names);
    else if (hint == HINT_FILE)
        fputs("_files", to);
    else if (hint == HINT_DIR)
        fputs("_files -/", to);
    else
        fputc(' ', to);
}

static void put_option(FILE *to, const cli_option *o, const char *indent)
{
    fprintf(to, " \\\n%s", indent);
    if (o->letter)
        fprintf(to, "'(-%c --%s)'{-%c,--%s}'", o->letter, o->name, o->letter, o->name);
    else
        fprintf(to, "'%s--%s", o->repeat ? "*" : "", o->name);
    /* A value may be the next word or follow a '='. */
    if (o->value && !o->letter)
        fputc('=', to);
    fputc('[', to);
    put_escaped(to, o->help, ":[]\\");
    fputc(']', to);
    if (o->value)
        put_action(to, o->value, o->hint, o->words);
    fputc('\'', to);
}

static void put_globals(FILE *to, const cli_command *c, const char *indent)
{
    for (const cli_option *o = cli_global_options; o->name; o++) {
        if (!c || !cli_has_own(c, o))
            put_option(to, o, indent);
    }
}

static void put_command(FILE *to, const cli_command *c)
{
    fprintf(to, "_berth_%s%s%s() {\n    _arguments -S", c->noun, c->verb ? "_" : "",
            c->verb ? c->verb : "");
    for (size_t i = 0; i < cli_option_count(c); i++)
        put_option(to, &c->options[i], "        ");
    put_globals(to, c, "        ");
    for (size_t i = 0; i < cli_argument_count(c); i++) {
        const cli_argument *a = &c->arguments[i];

        if (a->repeat)
            fputs(" \\\n        '*", to);
        else
            fprintf(to, " \\\n        '%zu%s", i + 1, a->optional ? ":" : "");
        put_action(to, a->name, a->hint, a->words);
        fputc('\'', to);
    }
    fputs("\n}\n\n", to);
}

static void put_described(FILE *to, const char *word, const char *summary)
{
    fprintf(to, "            '%s:", word);
    put_escaped(to, summary, ":\\");
    fputs("'\n", to);
}

/* A function that completes the next word and hands what follows to the function named after it. */
static void put_dispatch_begin(FILE *to, const char *name)
{
    fprintf(to,
            "%s() {\n"
            "    local curcontext=$curcontext state line\n"
            "    local -A opt_args\n"
            "    local -a choices\n"
            "\n"
            "    _arguments -C -S",
            name);
    put_globals(to, NULL, "        ");
    fputs(" \\\n        '1: :->word' \\\n        '*:: :->rest'\n"
          "    case $state in\n"
          "    word)\n"
          "        choices=(\n",
          to);
}

static void put_dispatch_end(FILE *to, const char *name)
{
    fprintf(to,
            "        )\n"
            "        _describe -t commands command choices\n"
            "        ;;\n"
            "    rest) (( $+functions[%s_$words[1]] )) && %s_$words[1] ;;\n"
            "    esac\n"
            "}\n\n",
            name, name);
}

void complete_zsh(FILE *to)
{
    fputs("#compdef berth\n"
          "# zsh completion for berth; made by `berth completion zsh`\n"
          "\n"
          "_berth_names() {\n"
          "    local -a names\n"
          "    names=(${(f)\"$(_call_program names berth completion $1 2>/dev/null)\"})\n"
          "    compadd -a names\n"
          "}\n\n",
          to);
    for (const cli_command *c = cli_commands; c->noun; c++)
        put_command(to, c);
    for (const cli_noun *n = cli_nouns; n->name; n++) {
        char name[64];

        snprintf(name, sizeof name, "_berth_%s", n->name);
        put_dispatch_begin(to, name);
        for (const cli_command *c = cli_commands; c->noun; c++) {
            if (strcmp(c->noun, n->name) == 0)
                put_described(to, c->verb, c->summary);
        }
        put_dispatch_end(to, name);
    }
    put_dispatch_begin(to, "_berth");
    for (const cli_command *c = cli_commands; c->noun; c++) {
        if (!c->verb)
            put_described(to, c->noun, c->summary);
    }
    for (const cli_noun *n = cli_nouns; n->name; n++)
        put_described(to, n->name, n->summary);
    put_dispatch_end(to, "_berth");
    fputs("if [[ $funcstack[1] == _berth ]]; then\n"
          "    _berth \"$@\"\n"
          "else\n"
          "    compdef _berth berth\n"
          "fi\n",
          to);
}
