/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/check_usage.h: what the process uses, before and after something that should leave nothing.
 */
#ifndef CLI_CHECK_USAGE_H
#define CLI_CHECK_USAGE_H

#include "cli/check_run.h"

typedef struct usage {
    uint64_t heap; /* given by malloc and not taken back */
    uint64_t resident;
    unsigned threads, files; /* comparable with each other only */
} usage;

usage usage_now(void);
/* The same, after giving threads that end time to be gone. */
usage usage_settled(unsigned threads);

/*
 * End the check if there is more after `rounds` rounds of `what` than before. Tolerated are 16 KiB
 * of heap, which over a thousand rounds is less than one smallest block each, and 4 MiB of resident
 * memory, which malloc may keep of what it got back.
 */
void usage_compare(check *c, const usage *before, const usage *after, unsigned rounds,
                   const char *what);

uint64_t usage_heap(void);

#endif
