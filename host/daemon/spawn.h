/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/spawn.h: from a wish to a running daemon, in steps that can be undone. Private to the
 * room.
 *
 *     spawn_build     checks, claims identity and name, makes the instance    nothing visible yet
 *     spawn_record    hands the rows to the store                              (asynchronous)
 *     spawn_publish   into the table, gate open, on_start queued
 *     spawn_abandon   undoes build: removes exactly what it inserted
 *
 * One that comes from another host, and ran there while its state was sent, is built in two steps:
 *
 *     spawn_rehearse  checks, claims, makes the instance; it needs no key yet, nothing else is
 * there spawn_perform   all that stands around the state
 *
 * Many daemons can be built, recorded together, and then published (berth_spawn_batch, resume).
 */
#ifndef DAEMON_SPAWN_H
#define DAEMON_SPAWN_H

#include "daemon/latch.h"
#include "daemon/rebuild.h"

/* What an operator may want one daemon to hear and to serve. */
#define WANTS_SUBSCRIPTIONS_MAX 256
#define WANTS_SERVICES_MAX      64

typedef struct spawn_wish {
    plugin_kind *kind;                 /* borrowed */
    const berth_keypair *identity;     /* full */
    const berth_daemon_config *config; /* of this size, or that of an earlier version */
    slice snapshot;                    /* ptr NULL: born new */
    void *self;                        /* the embedder's instance, or NULL */
    const store_daemon *row;           /* of a daemon that comes back, or NULL */
    /* Of one that comes from another host, with its snapshot: */
    uint64_t epoch; /* 0: it does not */
    slice wants;    /* as of a row */
    slice came;
    bool rehearsal; /* spawn_rehearse */
} spawn_wish;

berth_status spawn_build(runtime *rt, const spawn_wish *wish, runner *on, struct daemon **out,
                         berth_error *error);
/* Of a snapshot that is not the last word: identity may be public only. As spawn_build. */
berth_status spawn_rehearse(runtime *rt, const spawn_wish *wish, runner *on, struct daemon **out,
                            berth_error *error);
/* It has run again what it ran meanwhile: the rest is as in the wish's snapshot, whose state is not
 * looked at. PLUGIN: its chain is another one; CORRUPT: it has not run all of it; as spawn_build.
 * After an error it can only be abandoned. */
berth_status spawn_perform(struct daemon *d, const spawn_wish *wish, berth_error *error);
/* What the store keeps of it; row is borrowed for the call of fn. */
berth_status spawn_row(struct daemon *d, void (*fn)(void *ctx, const store_daemon *row), void *ctx,
                       berth_error *error);
/* done: as soon as the rows are on disk, or cannot be, on any thread. */
void spawn_record(struct daemon *d, store_done *done, void *ctx);
/* Takes over the builder's reference, whatever it answers; what fails is undone. */
berth_status spawn_publish(struct daemon *d, int32_t reason, runner *on, berth_error *error);
void spawn_abandon(struct daemon *d, runner *on);
/* After recording: publish, or undo what was built and recorded. */
berth_status spawn_finish(struct daemon *d, int32_t reason, berth_status recorded, runner *on,
                          berth_error *error);

/* depart.c: what a daemon was made of on the host it comes from; borrowed from bytes. CORRUPT,
 * VERSION. */
berth_status moving_make_read(slice bytes, berth_daemon_config *config, slice *wants,
                              berth_error *error);

/* One reference to a kind that is provided, or NULL. */
plugin_kind *spawn_find_kind(runtime *rt, slice name, berth_error *error);

/* Ready, and not on a thread that must not wait. */
berth_status runtime_check(const runtime *rt, bool blocks, berth_error *error);

/* Names of daemons. One that was not given a name has one made from kind and origin, which is not
 * stored: it follows from them. */
#define DAEMON_NAME_MAX 127
bool daemon_name_valid(const char *name);
void daemon_default_name(char out[DAEMON_NAME_MAX + 1], const char *kind, uint64_t origin);

/* The durability a daemon gets: what was asked, else what the kind prefers, else snapshot. */
uint32_t spawn_durability(const plugin_kind *kind, uint32_t asked);

#endif
