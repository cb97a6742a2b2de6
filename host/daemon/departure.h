/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/departure.h: what the two ways to leave have in common: at once (depart.c), and after it
 * was followed (follow.c). Private to the room.
 */
#ifndef DAEMON_DEPARTURE_H
#define DAEMON_DEPARTURE_H

#include "daemon/moving.h"
#include "daemon/spawn.h"

struct departure {
    command command; /* first */
    struct daemon *d;
    departure_done *done;
    void *ctx;
    atomic_uint refs; /* the owner's, and one of each command that is under way */
    tap *tap;         /* of one that is followed, else NULL. One reference */
    command untap;
    pthread_mutex_t lock;
    bool over;    /* [lock] it was let go, and holds nothing of the daemon */
    bool tapped;  /* [lock] its tap is the daemon's */
    batch *aside; /* [lock] of the frozen mailbox, in order */
    berth_keypair key;
    departed state;
};

void departure_unref(departure *x);
/* Holds nothing yet. */
berth_status departure_new(runtime *rt, uint64_t origin, departure_done *done, void *ctx,
                           departure **out, berth_error *error);
/* It leaves from now on, and c is under way. BUSY, NOT_FOUND. */
berth_status departure_start(departure *x, command c, berth_error *error);
/* c is under way; if it waits until the daemon is still, the daemon is held. NOT_FOUND. */
berth_status departure_command(departure *x, command c, berth_error *error);
/* What a beginning answers: what did not begin is gone. */
berth_status departure_begun(departure **out, berth_status status, const berth_error *why,
                             berth_error *error);

/* What a factory of d is made of; NULL: no memory. */
buf *departure_make(struct daemon *d, berth_error *error);

bool departure_is_over(departure *x);
/* Once, whoever comes first: the daemon goes on as if nothing had happened. */
void departure_let_go(departure *x);

/* The runner's, in this order as far as they are needed: the command's answer becomes the state;
 * who the daemon is, and where its chain; its mailbox is frozen, and done is told; done is told. */
void departure_take_state(departure *x);
void departure_note(departure *x, struct daemon *d);
void departure_freeze(departure *x, struct daemon *d, berth_status status, berth_error *error);
void departure_answer(departure *x, berth_status status, const berth_error *error);

/* follow.c: nothing is recorded any more. */
void follow_end(departure *x);

#endif
