/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/clock.h: the only place that reads a clock. Protocol logic gets `now` as an argument.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds that never go backwards: for durations and deadlines. */
int64_t clock_mono_ns(void);

/* Nanoseconds since the Unix epoch: for records people or other hosts read. */
int64_t clock_wall_ns(void);

#endif
