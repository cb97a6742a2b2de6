/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/jobs.h: a bounded pool of threads for what may wait. Threads start when they are needed.
 *
 * Any thread may add.
 */
#ifndef API_JOBS_H
#define API_JOBS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct jobs jobs;

/* At most `threads` jobs at a time and `waiting` behind them. NULL when memory is short. */
jobs *jobs_new(unsigned threads, unsigned waiting);

/* False when there are too many, no thread can be made, or the pool stops: fn will not be called.
 */
bool jobs_add(jobs *j, void (*fn)(void *ctx), void *ctx);

/*
 * Take no more; wait until all have run, until deadline (clock_mono_ns) at most; drop(ctx) is
 * called for those that had not begun. True: the pool is gone. False: some still run; after the
 * last of them the pool goes and late(late_ctx) is called, on that thread.
 */
bool jobs_stop(jobs *j, int64_t deadline_ns, void (*drop)(void *ctx), void (*late)(void *late_ctx),
               void *late_ctx);

/* How many run now. */
unsigned jobs_running(jobs *j);

#endif
