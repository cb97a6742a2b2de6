/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/recovery.h: handlers that try to bring back what is unhealthy, run by the supervisor's
 * tick.
 *
 * A handler has a name and a handle with which it is taken out again (compute-core §18.28). No lock
 * is held while one runs: it may register others, which first run the next time, behind the
 * survivors; a concurrent run finds nothing to do (K19). Any thread.
 */
#ifndef DAEMON_RECOVERY_H
#define DAEMON_RECOVERY_H

#include "berth/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct recovery recovery;

/* What a handler reports: a slot that it recovered. */
typedef void recovery_report(void *ctx, const char *name, uint8_t slot);

/* Calls report for each slot it recovered. BERTH_OK, or a failure: then it is taken out (a handler
 * that cannot do its work would be run for ever), with a line in the log. */
typedef berth_status recovery_handler(void *ctx, recovery_report *report, void *report_ctx);

recovery *recovery_new(void);
/* No run may be going on. */
void recovery_free(recovery *r);

/* An id above 0, or 0 when memory is short. *count (may be NULL): handlers now. */
uint64_t recovery_register(recovery *r, const char *name, recovery_handler *fn, void *ctx,
                           size_t *count);
/* False: it was not there. A run that is going on may still call it once. */
bool recovery_unregister(recovery *r, uint64_t id);
/* During a run: those registered meanwhile. */
size_t recovery_count(recovery *r);

/* Run all; report may be NULL. How many slots were recovered. */
size_t recovery_run(recovery *r, recovery_report *report, void *ctx);

#endif
