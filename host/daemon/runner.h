/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/runner.h: a thread while it runs daemons: a dispatcher's, or a caller's that found its
 * daemon idle. What the watchdog looks at, and the scratch memory that calls reuse.
 */
#ifndef DAEMON_RUNNER_H
#define DAEMON_RUNNER_H

#include "daemon/inline.h"

#include <stdatomic.h>

struct runner {
    runner *next;      /* all of a runtime's */
    runner *next_free; /* those that no thread has */
    inline_scratch *scratch;
    /* For the watchdog: whose code runs now (0: nobody's), and a count of the calls made, which
     * stands still while one does not return. Written by the runner's thread only. */
    _Atomic uint64_t origin;
    _Atomic uint64_t calls;
    /* The watchdog's own. */
    uint64_t seen_calls;
    int64_t seen_ns;
    bool marked;
};

#endif
