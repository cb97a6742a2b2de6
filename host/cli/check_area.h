/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/check_area.h: memory with nothing on either side, to lend to plugins.
 *
 * One thread per area. Memory that runs out ends the process.
 */
#ifndef CLI_CHECK_AREA_H
#define CLI_CHECK_AREA_H

#include "cli/check_run.h"

typedef enum area_place {
    AREA_END,    /* the last byte is the last that may be touched */
    AREA_BEGIN,  /* the first is */
    AREA_MIDDLE, /* at an odd address with room on both sides */
} area_place;

typedef struct area {
    uint8_t *begin; /* NULL: not there */
    size_t size;
    unsigned region; /* of the board */
} area;

#define AREA_GUARD ((size_t)64 << 10)

/* Room for cap bytes, anywhere in it. */
void area_open(area *a, check *c, const char *name, size_t cap);
/* Copy len bytes, then `zeroes` zero bytes, to that place. */
void *area_put(area *a, area_place place, const void *ptr, size_t len, size_t zeroes);
void area_writable(area *a, check *c, bool writable);
/* From now on a touch is a fault; the addresses stay taken, so that it is told from others. */
void area_close(area *a, check *c);

#endif
