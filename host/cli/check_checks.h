/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/check_checks.h: the checks, one function each; check_plan.c has their order and what each
 * needs.
 */
#ifndef CLI_CHECK_CHECKS_H
#define CLI_CHECK_CHECKS_H

#include "cli/check_run.h"

/* check_file.c: the file as a whole */
check_fn check_table;
check_fn check_unload;

/* check_life.c: being born, living, saying how one is */
check_fn check_life_run;
check_fn check_life_config;
check_fn check_life_status;

/* check_cost.c: what it leaves behind and what it takes */
check_fn check_cost_growth;
check_fn check_cost_time;

/* check_events.c: what events may look like */
check_fn check_events_bounds;
check_fn check_events_read_only;
check_fn check_events_borrowed;
check_fn check_events_unknown;
check_fn check_events_reject;

/* check_rules.c: what the plugin may do, and what it may be told */
check_fn check_rules_calls;
check_fn check_rules_limits;
check_fn check_rules_refusals;
check_fn check_rules_tables;

/* check_state.c: snapshots */
check_fn check_state_snapshot;
check_fn check_state_bytes;
check_fn check_state_replay;
check_fn check_state_restore;
check_fn check_state_stateless;

/* check_damage.c: states that nobody wrote */
check_fn check_damage;

/* check_threads.c: several instances, several threads */
check_fn check_threads_instances;
check_fn check_threads_hops;

/* ---- Shared by them -------------------------------------------------------------------------- */

/* End the check if the daemon's answers differ from those of the run that nobody disturbed. */
void check_same(check *c, const script_trace *trace, uint32_t from, uint32_t to, const char *how,
                const char *cure);

#endif
