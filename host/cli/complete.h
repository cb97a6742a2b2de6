/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/complete.h: completion scripts, made of the table.
 *
 * Names of daemons, plugins, kinds, channels, peers and others are asked of the host by the
 * scripts, through `berth completion daemons` and its like.
 */
#ifndef CLI_COMPLETE_H
#define CLI_COMPLETE_H

#include "cli/table.h"

#include <stdio.h>

void complete_bash(FILE *to);
void complete_zsh(FILE *to);
void complete_fish(FILE *to);

/* What the scripts ask for: "daemons" for HINT_DAEMON; NULL for hints that no host answers. */
const char *complete_names_of(cli_hint hint);

/* Calls fn once for each option that takes a value, whatever the command. */
void complete_each_value_option(void (*fn)(void *ctx, const cli_option *option), void *ctx);

#endif
