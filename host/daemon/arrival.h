/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/arrival.h: what the two ways to come have in common: whole (arrive.c), and of a state that
 * is followed by what was run since (replay.c). Private to the room.
 */
#ifndef DAEMON_ARRIVAL_H
#define DAEMON_ARRIVAL_H

#include "daemon/moving.h"
#include "daemon/spawn.h"

struct arrival {
    command command; /* first */
    struct daemon *d;
    buf *container;    /* for the store; NULL: begun */
    buf *held;         /* NULL: none */
    uint64_t limit;    /* of sequences that are reserved with the row */
    factory *expected; /* the placeholder whose place it has, or NULL */
    bool begun;        /* arrival_begin */
};

/* Take the placeholder for it out of the table; what was said there counts. NULL: there is none. */
factory *arrival_expected(runtime *rt, uint64_t origin, berth_daemon_config *config);
void arrival_expect_again(arrival *x, runtime *rt);
/* Give back the runner (may be NULL), and x with *out, or to nobody on an error. Answers status. */
berth_status arrival_made(arrival *x, runtime *rt, berth_status status, runner *on, arrival **out);
/* Its outputs wait until it is on disk. */
void arrival_is_whole(arrival *x);
/* Frees x, which has no daemon any more, or whose daemon goes on without it. */
void arrival_drop(arrival *x);

#endif
