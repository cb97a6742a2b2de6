/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/check.h: try a plugin hard, each check in a child process of its own.
 *
 * The caller's process must have one thread: children are forked and run on without exec. Blocks,
 * for seconds. The plugin's code runs as this user, with no more than a clock to hold it: this is
 * for authors who check their own work, not for judging files of strangers.
 */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "base/buf.h"
#include "berth/status.h"

#include <stdbool.h>

typedef enum check_outcome { CHECK_PASS, CHECK_FAIL, CHECK_SKIP } check_outcome;

enum { CHECK_TEXT = 640, CHECK_CURE = 320, CHECK_FIGURES = 6 };

typedef struct check_figure {
    const char *name; /* with its unit, as "median_ns"; static */
    uint64_t value;
} check_figure;

typedef struct check_result {
    const char *name; /* stays the same from release to release; static */
    const char *kind; /* NULL: about the file as a whole */
    check_outcome outcome;
    char text[CHECK_TEXT]; /* what was found; one line, control bytes escaped */
    char cure[CHECK_CURE]; /* what to do, where it failed; may be empty */
    check_figure figures[CHECK_FIGURES];
    size_t figure_count;
    int64_t took_ns;
} check_result;

#define CHECK_LIMIT_NS (10ll * 1000 * 1000 * 1000)

typedef struct check_options {
    const char *file;
    const char *kind; /* check only this one; NULL: all */
    slice config;     /* for create; ptr NULL: none was given */
    slice events;     /* realistic ones, one a line; may be empty */
    uint64_t seed;
    int64_t limit_ns; /* for each check; 0: CHECK_LIMIT_NS */
    /* A check begins; done of about total (0 while that is not known). Both may be NULL. */
    void (*begin)(void *ctx, const char *name, const char *kind, size_t done, size_t total);
    void (*report)(void *ctx, const check_result *result);
    void *ctx;
} check_options;

/*
 * Run all checks, in order, and report each. *failed: how many did not hold. An error is about the
 * checker or about reading the file (a file that is no plugin is a failed check); CANCELLED after
 * SIGINT or SIGTERM.
 */
berth_status check_plugin(const check_options *options, size_t *failed, berth_error *error);

/* Every check there is, in order; NULL past the last. */
const char *check_name(size_t i);

#endif
