/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node/migration_part.h: a host's migrations, made of its configuration and its state. In the order
 * of migrate/migrations.h, of which the rest is called as it is. Blocking.
 */
#ifndef NODE_MIGRATION_PART_H
#define NODE_MIGRATION_PART_H

#include "migrate/migrations.h"
#include "node/config.h"
#include "node/state.h"

/* *out is NULL for a host that is alone (m NULL). All but c outlive it. */
berth_status migration_part_new(const config *c, const node_state *state, plugins *set, mesh *m,
                                migrations **out, berth_error *error);
/* Who and what may come, as c says, or, on an error, as before. x NULL is allowed. */
berth_status migration_part_reload(migrations *x, const config *c, berth_error *error);

#endif
