/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/receiver.h: a daemon that may be another node's: what its host knows it by. Asks the host.
 */
#ifndef CLI_RECEIVER_H
#define CLI_RECEIVER_H

#include "cli/parse.h"

/*
 * What to call it towards the host: free() it. NAME@PEER is asked for there, and becomes an origin.
 * NULL: it failed, has been said, and *code is its exit code.
 */
char *receiver_of(const cli_invocation *inv, const char *text, int *code);

#endif
