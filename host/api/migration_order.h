/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/migration_order.h: the bodies of POST /v1/migrations: move a daemon, and of what decides one
 * in doubt. Pure; errors as in api/orders.h.
 */
#ifndef API_MIGRATION_ORDER_H
#define API_MIGRATION_ORDER_H

#include "base/buf.h"
#include "berth/status.h"

#include <stdbool.h>

#define MIGRATION_MOST_MS UINT64_C(86400000) /* of each of its times */

typedef struct migration_order {
    char daemon[256], node[128], source[128]; /* node "": any that can take it; source "": where
                                                 the daemon is */
    bool transport_identity, dry_run;
    uint64_t retry_not_ready_ms, deadline_ms, max_hold_ms; /* deadline, max_hold 0: as usual */
} migration_order;

berth_status migration_order_read(migration_order *order, slice body, berth_error *error);

/* The body of POST /v1/migrations/ID/resolve: the node that will never come back. */
typedef struct resolve_order {
    char dead[128];
} resolve_order;

berth_status resolve_order_read(resolve_order *order, slice body, berth_error *error);

#endif
