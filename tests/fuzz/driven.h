/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/driven.h: what the targets share that drive a machine by the bytes of their input. */
#ifndef FUZZ_DRIVEN_H
#define FUZZ_DRIVEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* The next byte of the input; 0 behind its end. */
static inline uint8_t next(const uint8_t **data, size_t *size)
{
    if (!*size)
        return 0;
    (*size)--;
    return *(*data)++;
}

static inline void must(bool what)
{
    if (!what)
        abort();
}

#endif
