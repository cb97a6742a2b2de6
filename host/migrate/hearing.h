/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate/hearing.h: what has become of a moved daemon's subscriptions.
 */
#ifndef MIGRATE_HEARING_H
#define MIGRATE_HEARING_H

#include "chain/channel.h"

#include <stdbool.h>
#include <stdint.h>

#define MOVE_WHY_MAX 127

/* What has become of the daemon's subscriptions at the target, as far as that has said. */
typedef struct move_hearing {
    bool known;
    uint32_t total;
    uint32_t pending; /* of these, not answered yet */
    uint32_t missing; /* not made; they are tried again. Of the first of them: */
    char channel[CHANNEL_NAME_MAX + 1];
    uint64_t publisher; /* node */
    char why[MOVE_WHY_MAX + 1];
} move_hearing;

#endif
