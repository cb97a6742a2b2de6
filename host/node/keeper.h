/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node/keeper.h: the daemons that the configuration wants to run.
 *
 * One that is missing is started when the host starts, when a plugin was loaded (its kind may be
 * there now), and at a reload. One that is there is left alone, whatever its config: to apply
 * another one, stop it and reload. So an operator's stop holds until the next reload or start, and
 * a quarantined daemon stays quarantined until an operator acts.
 */
#ifndef NODE_KEEPER_H
#define NODE_KEEPER_H

#include "daemon/runtime.h"
#include "node/config.h"

typedef struct keeper keeper;

/* NULL when memory is short. rt is borrowed. */
keeper *keeper_new(runtime *rt);
void keeper_free(keeper *k);

/* These are wanted from now on, all of them to be looked at again. Takes the daemons out of c. */
berth_status keeper_want(keeper *k, config *c, berth_error *error);

/* Start what is wanted and missing; what fails is logged, with file and line. Blocks; any thread
 * but a daemon's. One caller at a time does the work: a second one returns, and the first looks
 * once more. */
void keeper_start_missing(keeper *k);

#endif
