/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/find.h: from what a client calls a daemon to the daemon, be it running or down. Inside the
 * room only. Any thread; reads the table of those that are down where no running one is meant.
 */
#ifndef API_FIND_H
#define API_FIND_H

#include "api/server.h"

typedef struct found_daemon {
    bool down;
    uint64_t origin;
    char name[128];
    /* Of one that is down: */
    char reason[BERTH_ERROR_TEXT];
    writer json; /* as the list shows it */
} found_daemon;

/*
 * A whole name or origin goes before the beginning of one, and then what runs before what is down.
 * NOT_FOUND, AMBIGUOUS, INVALID. In any case the caller ends it with found_daemon_fini, after which
 * origin and name still stand.
 */
berth_status find_daemon(api *a, const char *text, found_daemon *out, berth_error *error);
void found_daemon_fini(found_daemon *found);

/* Say that a daemon that would have to run is down, why, and what to do. Returns NOT_READY. */
berth_status fail_down(const found_daemon *found, berth_error *error);

#endif
