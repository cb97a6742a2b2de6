/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/complete.h"

#include <string.h>

/* The head of the script: where the cursor is. $key becomes the command, $at the number of its
 * arguments so far. */
static const char head[] =
    "# bash completion for berth; made by `berth completion bash`\n"
    "\n"
    "_berth_offer() {\n"
    "    local IFS=$' \\t\\n'\n"
    "    case $1 in\n"
    "    words) COMPREPLY=($(compgen -W \"$2\" -- \"$cur\")) ;;\n"
    "    names) COMPREPLY=($(compgen -W \"$(berth completion \"$2\" 2>/dev/null)\" -- \"$cur\")) "
    ";;\n"
    "    file) local IFS=$'\\n'; compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
    "    dir) local IFS=$'\\n'; compopt -o filenames; COMPREPLY=($(compgen -d -- \"$cur\")) ;;\n"
    "    esac\n"
    "}\n"
    "\n"
    "_berth() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    local words=() key at i\n"
    "\n"
    "    COMPREPLY=()\n"
    "    if [[ $cur == = ]]; then\n"
    "        cur=\n"
    "    elif [[ $prev == = ]]; then\n"
    "        prev=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    fi\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        case ${COMP_WORDS[i]} in\n";

static void put_value_option(void *ctx, const cli_option *option)
{
    FILE *to = (FILE *)ctx;

    if (option->letter)
        fprintf(to, " | -%c", option->letter);
    fprintf(to, " | --%s", option->name);
}

static void put_key(FILE *to, const cli_command *c)
{
    fprintf(to, "%s%s%s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "");
}

static void put_offer(FILE *to, cli_hint hint, const char *words)
{
    const char *names = complete_names_of(hint);

    if (words)
        fprintf(to, "_berth_offer words '%s'; return", words);
    else if (names)
        fprintf(to, "_berth_offer names %s; return", names);
    else if (hint == HINT_FILE || hint == HINT_DIR)
        fprintf(to, "_berth_offer %s; return", hint == HINT_FILE ? "file" : "dir");
    else
        fputs("return", to);
}

static void put_values(FILE *to, const cli_command *c, const cli_option *options, size_t count)
{
    for (size_t i = 0; i < count && options[i].name; i++) {
        const cli_option *o = &options[i];

        if (!o->value)
            continue;
        fputs("    \"", to);
        if (c)
            put_key(to, c);
        fprintf(to, c ? " --%s\"" : "\"*\" --%s\"", o->name);
        if (c && o->letter) {
            fputs(" | \"", to);
            put_key(to, c);
            fprintf(to, " -%c\"", o->letter);
        }
        fputs(") ", to);
        put_offer(to, o->hint, o->words);
        fputs(" ;;\n", to);
    }
}

static void put_option_names(FILE *to, const cli_command *c)
{
    for (size_t i = 0; c && i < cli_option_count(c); i++)
        fprintf(to, "--%s ", c->options[i].name);
    for (const cli_option *o = cli_global_options; o->name; o++) {
        if (!c || !cli_has_own(c, o))
            fprintf(to, "--%s%s", o->name, o[1].name ? " " : "");
    }
}

static void put_nouns(FILE *to)
{
    const char *last = "";

    for (const cli_command *c = cli_commands; c->noun; c++) {
        if (strcmp(c->noun, last) != 0)
            fprintf(to, "%s%s", *last ? " " : "", c->noun);
        last = c->noun;
    }
}

static void put_verbs(FILE *to, const char *noun)
{
    bool first = true;

    for (const cli_command *c = cli_commands; c->noun; c++) {
        if (strcmp(c->noun, noun) == 0) {
            fprintf(to, "%s%s", first ? "" : " ", c->verb);
            first = false;
        }
    }
}

void complete_bash(FILE *to)
{
    fputs(head, to);
    fputs("        =", to);
    complete_each_value_option(put_value_option, to);
    fputs(")\n"
          "            [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))\n"
          "            ((i++))\n"
          "            ;;\n"
          "        -*) ;;\n"
          "        *) words+=(\"${COMP_WORDS[i]}\") ;;\n"
          "        esac\n"
          "    done\n"
          "    key=${words[0]} at=$((${#words[@]} - 1))\n"
          "    case $key in\n",
          to);
    for (const cli_noun *n = cli_nouns; n->name; n++)
        fprintf(to, "%s%s", n == cli_nouns ? "    " : " | ", n->name);
    fputs(") [[ ${words[1]} ]] && key=\"$key ${words[1]}\" && ((at--)) ;;\n"
          "    esac\n"
          "\n"
          "    case \"$key $prev\" in\n",
          to);
    for (const cli_command *c = cli_commands; c->noun; c++)
        put_values(to, c, c->options, CLI_OPTIONS);
    put_values(to, NULL, cli_global_options, 16);
    fputs("    esac\n"
          "    if [[ $cur == -* ]]; then\n"
          "        case $key in\n",
          to);
    for (const cli_command *c = cli_commands; c->noun; c++) {
        fputs("        \"", to);
        put_key(to, c);
        fputs("\") _berth_offer words '", to);
        put_option_names(to, c);
        fputs("' ;;\n", to);
    }
    fputs("        *) _berth_offer words '", to);
    put_option_names(to, NULL);
    fputs("' ;;\n        esac\n        return\n    fi\n    case \"$key/$at\" in\n", to);
    fputs("    /*) _berth_offer words '", to);
    put_nouns(to);
    fputs("' ;;\n", to);
    for (const cli_noun *n = cli_nouns; n->name; n++) {
        fprintf(to, "    %s/0) _berth_offer words '", n->name);
        put_verbs(to, n->name);
        fputs("' ;;\n", to);
    }
    for (const cli_command *c = cli_commands; c->noun; c++) {
        for (size_t i = 0; i < cli_argument_count(c); i++) {
            const cli_argument *a = &c->arguments[i];

            fputs("    \"", to);
            put_key(to, c);
            if (a->repeat)
                fputs("/\"*) ", to);
            else
                fprintf(to, "/%zu\") ", i);
            put_offer(to, a->hint, a->words);
            fputs(" ;;\n", to);
        }
    }
    fputs("    esac\n}\n\ncomplete -F _berth berth\n", to);
}
