/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/rebuild.h: a daemon from a container. Private to the room.
 */
#ifndef DAEMON_REBUILD_H
#define DAEMON_REBUILD_H

#include "chain/container.h"
#include "daemon/runtime_private.h"

/* Decode; container_fini is the caller's. The container points into bytes. */
berth_status rebuild_read(slice bytes, container *out, berth_error *error);
/* Whether the kind can take this state at all, before any of its code is asked. */
berth_status rebuild_check(const plugin_kind *kind, const container *c, berth_error *error);
/* Chain, horizon, ledger, cursors: into a daemon that is not published yet. */
berth_status rebuild_restore(struct daemon *d, const container *c, berth_error *error);
/* Timers and requests; once it is published. */
void rebuild_dues(struct daemon *d, const container *c, int64_t now_wall);
/* The version of c's state; a bare snapshot does not say it. */
static inline uint32_t rebuild_version(const plugin_kind *kind, const container *c)
{
    return c->bare ? kind->facts->state_writes : c->state_version;
}
/* What create is told. */
void rebuild_birth(struct daemon *d, slice state, uint32_t state_version, bool restored,
                   berth_birth *out);

/*
 * Go on from base_sequence, with a signed record of the gap that tails are to see as an output to
 * TAIL_TO_RECORD, once the incarnation is on disk. The runner's, or before the daemon is published.
 */
void daemon_new_incarnation(struct daemon *d, uint64_t incarnation, uint64_t base_sequence);

/* The same where an earlier life of the daemon may have come as far as `sequence` in `incarnation`:
 * above both. Reserves sequences in d; the caller puts them on disk before outputs leave. */
void daemon_go_on_above(struct daemon *d, uint64_t incarnation, uint64_t sequence);

#endif
