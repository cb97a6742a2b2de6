/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/tail.h: following a stream of outputs until it, or the patience of who reads it, ends.
 */
#ifndef CLI_TAIL_H
#define CLI_TAIL_H

#include "cli/parse.h"

/* An exit code; errors have been said. */
int tail_path(const cli_invocation *inv, const char *path);

#endif
