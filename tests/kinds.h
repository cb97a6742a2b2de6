/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/kinds.h: kinds that are linked into tests of the daemon room.
 *
 * echo     outputs its input; no state
 * counter  counts, outputs the count in decimal; state: u64
 * script   does what its events say; see kinds.c. What comes to its other handlers it outputs
 *
 * A configuration that begins with "fail" makes create fail, "post" makes it post to itself, "gate"
 * makes it wait at the gate.
 */
#ifndef TESTS_KINDS_H
#define TESTS_KINDS_H

#include "berth/runtime.h"

#include <stdatomic.h>

extern const berth_kind kind_echo, kind_counter, kind_script;

/* Instances of all kinds alive, and ever made; calls that found another one inside their instance;
 * calls of status. */
extern atomic_long kinds_alive, kinds_made, kinds_overlaps, kinds_polls;

/* A gate at which calls of script wait ("gate"). It is open to begin with. */
void kinds_gate_close(void);
void kinds_gate_open(void);
/* Returns when n calls wait at it. */
void kinds_gate_await(unsigned n);

/* A started runtime with the three kinds; small limits where config says so (NULL: defaults). */
berth_runtime *kinds_runtime(const berth_runtime_config *config);

#endif
