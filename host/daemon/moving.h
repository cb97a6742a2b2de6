/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/moving.h: a daemon leaves this host for another, or comes from one: what has to happen to
 * the daemon itself. Who may, who decides and what is on disk is not known here (migrate).
 *
 *     departure_begin    its gate closes between two events; when all that it has emitted has left,
 *                        its state is taken and its mailbox frozen: `done`
 *     departure_resume   as if nothing had happened
 *     departure_release  it lives elsewhere: what waits for it goes there, it ends here
 *
 *     arrival_build      a daemon that nobody can see yet
 *     arrival_open       it runs; its outputs wait
 *     arrival_kept       that it is here is on disk: its outputs may leave
 *     arrival_abandon    it never came
 *
 * Any thread but a daemon's; callbacks come on a daemon's thread, without locks, and must not
 * block.
 */
#ifndef DAEMON_MOVING_H
#define DAEMON_MOVING_H

#include "daemon/runtime.h"

/* ---- Leaving --------------------------------------------------------------------------------- */

/* What can be said of a daemon before it is touched. Borrowed for the call. */
typedef struct moving_facts {
    const berth_keypair *key;
    const char *name, *kind;
    const char *plugin; /* "": linked into the host */
    const uint8_t *digest;
    uint32_t state_version;
    uint64_t state_bytes; /* as of its last report */
    uint64_t epoch, incarnation;
    uint8_t head[32]; /* the last link of its chain, as of the end of its last turn */
    bool deterministic, stateful;
} moving_facts;
/* Call fn with them, on this thread. NOT_FOUND; BROKEN: it is down, in quarantine, or ending. */
berth_status runtime_moving_facts(runtime *rt, uint64_t origin,
                                  void (*fn)(void *ctx, const moving_facts *f), void *ctx,
                                  berth_error *error);

/* What is here under an origin. */
typedef struct moving_place {
    bool taken;    /* a daemon runs, or is being built */
    bool expected; /* a placeholder waits for it: */
    bool other_kind, has_key;
    uint64_t orchestrator; /* node that may bring it; 0: any */
} moving_place;
moving_place runtime_moving_place(runtime *rt, uint64_t origin, const char *kind);
/* A copy of the key that was registered for it; the caller wipes it. */
bool runtime_moving_key(runtime *rt, uint64_t origin, berth_keypair *out);

/* Of a daemon that runs here; false: it does not. */
bool runtime_has(runtime *rt, uint64_t origin);
bool runtime_entity_of(runtime *rt, uint64_t origin, uint8_t entity[BERTH_ENTITY_SIZE]);
bool runtime_kind_of(runtime *rt, uint64_t origin, char *kind, size_t size);

/* Bring back one daemon of the store that is to run and does not. Blocks; runs plugin code. */
berth_status runtime_resume_one(runtime *rt, const uint8_t entity[BERTH_ENTITY_SIZE],
                                berth_error *error);

typedef struct departure departure;

/* What there is when the gate is closed; it lives as long as the departure. */
typedef struct departed {
    buf *make;      /* what a factory is made of: configuration, level, wishes */
    buf *container; /* BSN1 */
    buf *held;      /* events that were accepted and not run; NULL: none */
    uint32_t held_count;
    const berth_keypair *key;
    uint8_t head[32]; /* its last link */
    uint64_t epoch, incarnation, sequence;
    int64_t closed_ns;   /* monotonic: no event was run since */
    int64_t snapshot_ns; /* how long the snapshot itself took */
} departed;

/* status: OK; CANCELLED: it was resumed before; others with the reason, and the gate is open again.
 * Once. */
typedef void departure_done(void *ctx, departure *x, berth_status status, const berth_error *error);

/* NOT_FOUND; BUSY: another departure of it is under way; NO_MEMORY. */
berth_status departure_begin(runtime *rt, uint64_t origin, departure_done *done, void *ctx,
                             departure **out, berth_error *error);
/* With done's OK. */
const departed *departure_state(const departure *x);
/* It has been copied: its bytes are not needed any more. */
void departure_packed(departure *x);
/* The gate opens again, with all that waited; epoch above 0: at that epoch from now on. Once;
 * before or after done, which comes in any case. */
void departure_resume(departure *x, uint64_t epoch);

/* The identity of a daemon that is or was here, as a row of this epoch keeps it: SEAL_SIZE bytes.
 * NOT_FOUND, and the errors of unseal_identity. */
berth_status runtime_reseal(runtime *rt, const uint8_t entity[BERTH_ENTITY_SIZE], uint64_t epoch,
                            uint8_t *out, berth_error *error);
/* It has gone. What others had sent and we only held goes after it by the route. Once, after done's
 * OK; does not wait. */
void departure_release(departure *x);
/* After done, and resume or release. NULL is allowed. */
void departure_free(departure *x);

/* ---- Coming ---------------------------------------------------------------------------------- */

typedef struct arrival arrival;

typedef struct arrival_spec {
    plugin_kind *kind; /* borrowed */
    const berth_keypair *identity;
    slice make, container, held;
    uint64_t epoch;
    slice came; /* how: kept by the route, see route.h; may be empty */
} arrival_spec;

/* Runs plugin code on this thread. EXISTS: the identity or its name is taken; VERSION,
 * IDENTITY_MISMATCH, CORRUPT, PLUGIN: the state. Nothing is left on an error. */
berth_status arrival_build(runtime *rt, const arrival_spec *spec, arrival **out,
                           berth_error *error);
/* What the store keeps of it: the row and the container (BSN1), borrowed for the call; with a host
 * key. */
berth_status arrival_row(arrival *x,
                         void (*fn)(void *ctx, const store_daemon *row, uint64_t incarnation,
                                    uint64_t sequence, buf *container),
                         void *ctx, berth_error *error);
/* The held events first, then all others. On an error it is abandoned. */
berth_status arrival_open(arrival *x, berth_error *error);
/* Frees x. */
void arrival_kept(arrival *x);
void arrival_abandon(arrival *x);

/* What `make` says, for whoever judges it; CORRUPT. */
berth_status moving_make_check(slice make, berth_error *error);
/* How many events `held` has; CORRUPT when it does not read. */
berth_status moving_held_count(slice held, uint32_t *count, berth_error *error);

#endif
