/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/random.h: randomness fit for keys, and the one place that starts libsodium.
 *
 * Any thread. A machine without randomness ends the process: nothing safe can be done without it.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fill out with n unpredictable bytes. Aborts when the system has none. */
void random_bytes(void *out, size_t n);
uint64_t random_u64(void);

/* Idempotent and cheap. Whoever calls libsodium directly calls this first, so that the library has
 * chosen its fast implementations before a second thread looks. */
void sodium_ready(void);

#endif
