/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/kinds.h: kinds that are linked into tests of the daemon room.
 *
 * echo     outputs its input
 * counter  counts, outputs the count in decimal; state: u64
 * script   does what its events say; see kinds.c
 */
#ifndef TESTS_KINDS_H
#define TESTS_KINDS_H

#include "berth/runtime.h"

#include <stdatomic.h>

extern const berth_kind kind_echo, kind_counter, kind_script;

/* Instances of all kinds alive, and ever made. */
extern atomic_long kinds_alive, kinds_made;

/* A started runtime with the three kinds; small limits where config says so (NULL: defaults). */
berth_runtime *kinds_runtime(const berth_runtime_config *config);

#endif
