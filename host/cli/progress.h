/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/progress.h: one line on a terminal that says how far a transfer is and how fast it goes.
 *
 * Silent for the first second, and always where standard error is no terminal.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct progress {
    const char *label; /* NULL: say nothing */
    int64_t started_ns, drawn_ns;
    bool terminal, visible;
    bool counts; /* of things, not bytes; set after progress_begin */
} progress;

void progress_begin(progress *p, const char *label, int64_t now_ns);
/* total 0: unknown. Draws at most ten times a second. */
void progress_update(progress *p, uint64_t done, uint64_t total, int64_t now_ns);
/* Take the line away again. */
void progress_end(progress *p);

/* The line itself, at most `columns` wide. Pure. */
char *progress_line(char *out, size_t cap, size_t columns, const char *label, uint64_t done,
                    uint64_t total, int64_t elapsed_ns, bool counts);

#endif
