/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/help.h: help pages, made of the table.
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "cli/table.h"

#include <stdio.h>

/* Every command in a line. */
void help_all(FILE *to);
/* The verbs of one noun. */
void help_noun(FILE *to, const char *noun);
/* One command: usage, arguments, options, examples. */
void help_command(FILE *to, const cli_command *command);

/* "berth daemon stop D [--grace MS]" */
char *help_usage(char *out, size_t cap, const cli_command *command);

#endif
