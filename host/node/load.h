/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node/load.h: which plugins a host loads when it starts, and in which order.
 *
 * Blocking; any thread but a daemon's.
 */
#ifndef NODE_LOAD_H
#define NODE_LOAD_H

#include "node/config.h"
#include "plugin/load.h"
#include "store/store.h"

/*
 * The copies on which stored daemons ran. They come first: a newer file that the command line or
 * the directory has must not keep a daemon from coming back. One that cannot be loaded is logged;
 * its daemons stay down. store may be NULL.
 */
berth_status load_recorded(plugins *set, store *s, berth_error *error);

/* The files of the command line; the first that is refused ends it. One of which another version
 * runs is logged and left. */
berth_status load_named(plugins *set, const config *c, berth_error *error);

#endif
