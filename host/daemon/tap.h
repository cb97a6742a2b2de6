/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/tap.h: what a daemon runs, recorded for the host that it is to go to. Private to the room.
 *
 * The daemon's runner records; who sends it fetches, on another thread. A record has room for so
 * many bytes; the event that fills it goes over. While it is full the daemon takes no event.
 */
#ifndef DAEMON_TAP_H
#define DAEMON_TAP_H

#include "daemon/executed.h"

#include <stdbool.h>

typedef struct tap tap;

/* One reference; NULL: no memory. room: 0 is full after every event. */
tap *tap_new(uint64_t room, const effect_limits *limits);
tap *tap_ref(tap *t);
void tap_unref(tap *t);

/* The runner's: before the event's result, that a request with this number is open. */
void tap_in_use(tap *t, uint64_t request);
/* The runner's: an event was run. Its in_use is not looked at: it is what tap_in_use was told. */
void tap_event(tap *t, executed_event *e);

/* Any thread: whether it is full. */
bool tap_full(const tap *t);
/* It has another room from now on. */
void tap_set_room(tap *t, uint64_t room);
/* It is never full again: what was begun has to come to its end. Who waits is the caller's to
 * kick. */
void tap_lift(tap *t);
/* It is of no use any more, and is never full; why is static. The first one counts. */
void tap_break(tap *t, berth_status status, const char *why);

/* What was recorded since the last call (executed.h); NULL: nothing. Who waits for room is the
 * caller's to kick. The status it was broken with, BROKEN or NO_MEMORY. */
berth_status tap_take(tap *t, buf **out, uint32_t *count, berth_error *error);

#endif
