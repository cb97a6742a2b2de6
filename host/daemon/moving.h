/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/moving.h: a daemon leaves this host for another, or comes from one: what has to happen to
 * the daemon itself. Who may, who decides and what is on disk is not known here (migrate).
 *
 *     departure_begin    its gate closes between two events; when all that it has emitted has left,
 *                        its state is taken and its mailbox frozen: `done`
 *
 *     departure_follow   or: its state is taken while it goes on, and what it runs is recorded:
 * `done` departure_executed what that was, again and again departure_close    its gate closes, as
 * above, but its state stays: `done` again
 *
 *     departure_resume   as if nothing had happened
 *     departure_release  it lives elsewhere: what waits for it goes there, it ends here
 *
 *     arrival_build      a daemon that nobody can see yet
 *
 *     arrival_begin      or: an instance, of a state that is not the last word
 *     arrival_replay     it runs again what it ran at the source since, without any effect
 *     arrival_finish     the last word, but for the state: a daemon that nobody can see yet
 *
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
/* A copy of the key that was registered for it, also after arrival_begin; the caller wipes it. */
bool runtime_moving_key(runtime *rt, uint64_t origin, berth_keypair *out);

/* Of a daemon that runs here; false: it does not. */
bool runtime_has(runtime *rt, uint64_t origin);
bool runtime_entity_of(runtime *rt, uint64_t origin, uint8_t entity[BERTH_ENTITY_SIZE]);
bool runtime_kind_of(runtime *rt, uint64_t origin, char *kind, size_t size);

/* Bring back one daemon of the store that is to run and does not. Blocks; runs plugin code. */
berth_status runtime_resume_one(runtime *rt, const uint8_t entity[BERTH_ENTITY_SIZE],
                                berth_error *error);

typedef struct departure departure;

/* What there is when it was taken; it lives as long as the departure, or until departure_packed.
 * BSN1 is container_head, state, container_tail and the digest of these (container_digest), one
 * behind the other: a state may be too large to be copied, or hashed while its daemon waits. Of one
 * that was followed and is closed the state is NULL, and counts as empty. */
typedef struct departed {
    buf *make; /* what a factory is made of: configuration, level, wishes */
    buf *container_head, *state, *container_tail;
    buf *executed; /* of one that was followed: what departure_executed would say; NULL: nothing */
    uint32_t executed_count;
    buf *held; /* events that were accepted and not run; NULL: none, or it is not closed */
    uint32_t held_count;
    const berth_keypair *key;
    uint8_t head[32]; /* its last link */
    uint64_t epoch, incarnation, sequence;
    int64_t closed_ns;   /* monotonic: no batch was begun since; 0: it goes on */
    int64_t snapshot_ns; /* how long the snapshot itself took; 0: none was taken */
} departed;

/* status: OK; CANCELLED: it was resumed before; others with the reason, and the gate is open again.
 * Once. */
typedef void departure_done(void *ctx, departure *x, berth_status status, const berth_error *error);

/* NOT_FOUND; BUSY: another departure of it is under way; NO_MEMORY. */
berth_status departure_begin(runtime *rt, uint64_t origin, departure_done *done, void *ctx,
                             departure **out, berth_error *error);
/*
 * Its state is taken between two events, and it goes on; all that it runs from there on is
 * recorded. room: bytes of the record that may wait to be fetched. When they are full the daemon
 * waits until somebody fetches, and so is slowed down to what can be sent. As departure_begin;
 * REFUSED: its kind is not deterministic. done comes with the state; departure_close comes after
 * it.
 */
berth_status departure_follow(runtime *rt, uint64_t origin, uint64_t room, departure_done *done,
                              void *ctx, departure **out, berth_error *error);
/*
 * After done: what it has run since the last call (daemon/executed.h), one reference, and how many
 * events that is; NULL: nothing. BROKEN, NO_MEMORY: the record is of no use any more (the daemon
 * broke, is being stopped, memory is short): the departure can only be resumed. Does not wait.
 */
berth_status departure_executed(departure *x, buf **out, uint32_t *count, berth_error *error);
/* Of the record, from its next event on. After done. */
void departure_set_room(departure *x, uint64_t room);
/*
 * After departure_follow's done: the gate closes as with departure_begin, and this done is called
 * when it is still. The state says what the daemon is made of now, all that stands around its state
 * (which is not taken), and what is left of the record; what it said before is gone. NOT_FOUND: the
 * daemon has ended; then done does not come, and it can only be resumed. done's status may be that
 * of departure_executed.
 */
berth_status departure_close(departure *x, departure_done *done, void *ctx, berth_error *error);
/* With done's OK. */
const departed *departure_state(const departure *x);
/* It has been copied: its bytes are not needed any more. */
void departure_packed(departure *x);
/* The gate opens again, with all that waited, and nothing is recorded any more; epoch above 0: at
 * that epoch from now on. Once; before or after done, which comes in any case. */
void departure_resume(departure *x, uint64_t epoch);

/* The identity of a daemon that is or was here, as a row of this epoch keeps it: SEAL_SIZE bytes.
 * NOT_FOUND, and the errors of unseal_identity. */
berth_status runtime_reseal(runtime *rt, const uint8_t entity[BERTH_ENTITY_SIZE], uint64_t epoch,
                            uint8_t *out, berth_error *error);
/* It has gone. What others had sent and we only held goes after it by the route. Once, after the OK
 * of departure_begin's or departure_close's done; does not wait. */
void departure_release(departure *x);
/* After the last done, and resume or release. NULL is allowed. */
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

/* What arrival_begin is given. All borrowed for the call. */
typedef struct arrival_base {
    plugin_kind *kind;
    const uint8_t *entity; /* BERTH_ENTITY_SIZE */
    slice make, container;
    uint64_t epoch; /* at which it is to run here; 1 or more */
} arrival_base;

/*
 * Identity and name are taken, and an instance is made of the state; nobody can see it, and its key
 * is not needed yet. Errors as arrival_build. Runs plugin code on this thread.
 */
berth_status arrival_begin(runtime *rt, const arrival_base *base, arrival **out,
                           berth_error *error);
/*
 * What departure_executed said, in order: the instance runs it again, with the source's limits, and
 * is heard by nobody. Each handler has to return what it returned there; the outputs go into the
 * chain. CORRUPT, VERSION: the bytes; PLUGIN: a handler did something else, the error says at which
 * event; NO_MEMORY, SHUTTING_DOWN. After an error x is abandoned (and gone).
 * Runs plugin code on this thread, and waits for it.
 */
berth_status arrival_replay(arrival *x, slice executed, berth_error *error);
/*
 * After all of it: spec as for arrival_build, its container without the state, its kind that of the
 * base. PLUGIN: the kind is not deterministic, the chain came out otherwise than at the source;
 * CORRUPT: not all that it ran has come; else as arrival_build. After an error x is abandoned (and
 * gone); after OK x is as after arrival_build.
 */
berth_status arrival_finish(arrival *x, const arrival_spec *spec, berth_error *error);

/* What the store keeps of it: the row and the container (BSN1), borrowed for the call; with a host
 * key. container is NULL for one that was begun: there is none of it as it is now, what was given
 * to arrival_begin is to be kept, and arrival_kept has a new one taken. */
berth_status arrival_row(arrival *x,
                         void (*fn)(void *ctx, const store_daemon *row, uint64_t incarnation,
                                    uint64_t sequence, buf *container),
                         void *ctx, berth_error *error);
/* The held events first, then all others. On an error it is abandoned. */
berth_status arrival_open(arrival *x, berth_error *error);
/* Frees x. Of one that was begun (and is not volatile) a snapshot is taken. */
void arrival_kept(arrival *x);
/* Frees x; a placeholder that it took the place of is back. */
void arrival_abandon(arrival *x);

/* What `make` says, for whoever judges it; CORRUPT. */
berth_status moving_make_check(slice make, berth_error *error);
/* How many events `held` has; CORRUPT when it does not read. */
berth_status moving_held_count(slice held, uint32_t *count, berth_error *error);

#endif
