/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/tail.h: following a stream until it, or the patience of who reads it, ends.
 */
#ifndef CLI_TAIL_H
#define CLI_TAIL_H

#include "cli/parse.h"

struct json_object;

/* An exit code; errors have been said. */
int tail_path(const cli_invocation *inv, const char *path);
/* The same of other lines, which show prints; what: one of them, in a word. */
int tail_lines(const cli_invocation *inv, const char *path, const char *what,
               void (*show)(struct json_object *line));

#endif
