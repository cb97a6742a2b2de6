/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/call_numbers.h: which numbers of a growing sequence are done: all below `base`, and those in
 * some ranges above it. A zeroed struct is the empty set. Memory goes with the number of ranges,
 * never with that of numbers.
 */
#ifndef MESH_CALL_NUMBERS_H
#define MESH_CALL_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct number_range {
    uint64_t first, last;
} number_range;

typedef struct call_numbers {
    uint64_t base;
    number_range *ranges; /* ascending, apart from each other and from base */
    size_t count, cap;
} call_numbers;

void call_numbers_fini(call_numbers *n);
/* Room for so many more numbers, wherever they lie; false when memory is short. */
bool call_numbers_reserve(call_numbers *n, size_t more);
bool call_numbers_has(const call_numbers *n, uint64_t number);
/* Room for it was reserved. */
void call_numbers_add(call_numbers *n, uint64_t number);
/* All below base are done. */
void call_numbers_cut(call_numbers *n, uint64_t base);

#endif
