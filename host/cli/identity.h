/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/identity.h: the --identity option.
 */
#ifndef CLI_IDENTITY_H
#define CLI_IDENTITY_H

#include "cli/parse.h"

/* The seed as 64 hex digits and a zero. */
#define IDENTITY_SEED_TEXT 65

/* The seed in the file that --identity names; "" when it was not given. An exit code; errors have
 * been said. The caller wipes seed. */
int identity_of(const cli_invocation *inv, char seed[IDENTITY_SEED_TEXT]);

#endif
