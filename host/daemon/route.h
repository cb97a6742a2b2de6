/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/route.h: the two questions a daemon's surroundings answer: may it run, and where does an
 * event go whose receiver is not here. The mesh will implement it; until then both have local
 * answers.
 */
#ifndef DAEMON_ROUTE_H
#define DAEMON_ROUTE_H

#include "base/buf.h"
#include "berth/abi.h"
#include "berth/status.h"

#include <stdbool.h>

typedef struct route {
    void *ctx;
    /*
     * Asked, without locks, before every opening of a daemon's gate: whether this host may run the
     * entity at this epoch. NULL: yes.
     */
    bool (*may_run)(void *ctx, const uint8_t entity[32], uint64_t epoch);
    /*
     * Send an event to an origin that is not on this host; hold keeps its bytes (take a reference).
     * OK: accepted. WOULD_BLOCK: later, wake is called. NOT_FOUND: unknown. Must not block. NULL:
     * unknown.
     */
    berth_status (*send)(void *ctx, uint64_t target, const berth_event *event, buf *hold,
                         void (*wake)(void *wake_ctx), void *wake_ctx);
} route;

#endif
