/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/parse.h: from argv to one entry of the table with its arguments and options.
 *
 * Pure: nothing is printed, nothing opened.
 */
#ifndef CLI_PARSE_H
#define CLI_PARSE_H

#include "berth/status.h"
#include "cli/table.h"

#include <stdint.h>

typedef struct cli_given {
    const cli_option *option;
    const char *value; /* NULL for a flag */
} cli_given;

/* All strings are argv's. */
typedef struct cli_invocation {
    const cli_command *command;
    const char *noun; /* where command is NULL: the noun that help is wanted for, or NULL */
    const char **arguments;
    size_t argument_count;
    cli_given *given;
    size_t given_count;
} cli_invocation;

typedef enum cli_wish {
    WISH_RUN,     /* command and its parts are complete */
    WISH_HELP,    /* --help was among the options */
    WISH_VERSION, /* --version stood alone */
    WISH_GUIDE,   /* a noun without a verb, or nothing at all: not an order, but no typing error */
} cli_wish;

/*
 * INVALID with a line that names the word, and the nearest right one, when argv makes no sense;
 * out->command or out->noun then tell how far it did. Free out in any case.
 */
berth_status cli_parse(int argc, char **argv, cli_invocation *out, cli_wish *wish,
                       berth_error *error);
void cli_invocation_free(cli_invocation *inv);

/* The last value given for an option; NULL when it was not given. */
const char *cli_value(const cli_invocation *inv, const char *option);
bool cli_flag(const cli_invocation *inv, const char *option);
/* The parser has checked that it is a number. */
uint64_t cli_number(const cli_invocation *inv, const char *option, uint64_t fallback);
/* Each value of a repeated option: start with *at = 0; NULL at the end. */
const char *cli_next_value(const cli_invocation *inv, const char *option, size_t *at);
/* NULL when it was left out. */
const char *cli_argument_at(const cli_invocation *inv, size_t index);

/* Decimal digits and nothing else, at most 2^64 - 1. */
bool cli_parse_number(const char *text, uint64_t *out);

#endif
