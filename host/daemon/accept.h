/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/accept.h: who on other nodes may send to a daemon, as its operator says it:
 *
 *     realm            every node that is let in
 *     peers            nodes that the configuration or an operator names
 *     none             nobody
 *     NAME[,NAME...]   these nodes, by the names under which they are let in
 *
 * One of the words stands alone, and nobody is called so among others. Pure.
 */
#ifndef DAEMON_ACCEPT_H
#define DAEMON_ACCEPT_H

#include "base/cursor.h"
#include "berth/status.h"

#include <stdbool.h>

#define ACCEPT_NAMES_MAX 64
#define ACCEPT_TEXT_MAX  4096 /* so many names of at most 63 bytes, with commas */

/* INVALID, LIMIT: what is wrong with the text, and what would be right. */
berth_status accept_check(slice text, berth_error *error);

/*
 * Does a text that accept_check takes, or "" for everybody, let a node send? peer: the name under
 * which the node is let in, "" when that is not known; named: whether a peer section, or
 * `berth peer add`, says so.
 */
bool accept_takes(slice text, const char *peer, bool named);

#endif
