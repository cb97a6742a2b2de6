/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/attempts.h: the journal of migrations: what of each attempt to move a daemon is decided
 * here, as its target or as its source (delivery.md §5).
 *
 *     target   (none) -> PREPARED -> OWNED | REFUSED          PREPARED -> (none)
 *     source   (none) -> RELEASED -> HANDED_OVER | TAKEN_BACK
 *
 * PREPARED and RELEASED are open: they last until something is decided, whatever the time. The four
 * others have ended: nothing changes them, their state and record are gone, and they are kept so
 * that who asks later is told the same.
 *
 * Each function hands in one change, as those of store.h do: on disk whole or not at all, with the
 * rows of the daemon that it concerns; a change that is not OK has changed nothing. INVALID where
 * the attempt is of another daemon. What goes is overwritten with zeros in the database; its log,
 * and the blocks of a file, may still hold it for a while.
 */
#ifndef STORE_ATTEMPTS_H
#define STORE_ATTEMPTS_H

#include "store/store.h"

#define STORE_ATTEMPT_SIZE 16
#define STORE_RECORD_MAX   (256 * 1024)

typedef enum store_attempt_phase {
    STORE_PREPARED = 1,    /* target: all of it is here; only the source knows */
    STORE_OWNED = 2,       /* target: it is ours */
    STORE_REFUSED = 3,     /* target: it never will be */
    STORE_RELEASED = 4,    /* source: it is the target's */
    STORE_HANDED_OVER = 5, /* source: and the target has said so */
    STORE_TAKEN_BACK = 6,  /* source: the target refused; it runs here again */
} store_attempt_phase;

/* One attempt. The record is borrowed for the call that it is passed in. */
typedef struct store_attempt {
    uint8_t attempt[STORE_ATTEMPT_SIZE];
    uint8_t entity[32];
    store_attempt_phase phase; /* read only: each function knows its own */
    uint64_t epoch;            /* the new one */
    int64_t not_after_s;       /* wall; an ended one is kept at least until then */
    slice record;              /* the caller's own bytes; LIMIT over STORE_RECORD_MAX */
    uint64_t state_bytes;      /* read only: of the rest that store_attempt_state gives; 0: none */
    uint64_t base_bytes;       /* read only: of the base that it gives; 0: none */
} store_attempt;

/* ---- At the target ---- */

/*
 * Put a container on disk for an attempt that is not there yet: bytes, which lie in hold (a
 * reference is taken; not to be changed until done). It becomes the base of the attempt once
 * store_attempt_prepare finds it. Nothing in the database refers to it before: it does not survive
 * the host.
 *
 * Written on a thread of its own, beside changes, which do not wait for it, nor does it take part
 * in their order or in store_barrier. done (may be NULL) is called there with no lock held, or,
 * where nothing is to be written, at once on the caller's thread; it may call what waits, but not
 * close. When it is not OK nothing is left. EXISTS: the attempt has one already. INVALID: no bytes.
 * LIMIT: over STORE_SNAPSHOT_MAX. CANCELLED: unstaged, or the store was closed, before it was on
 * disk. Since 0.9.
 */
void store_attempt_stage(store *s, const uint8_t attempt[STORE_ATTEMPT_SIZE], slice bytes,
                         buf *hold, store_done *done, void *ctx);

/* Forget what was staged for an attempt, if something is, and remove it soon: once it is written,
 * if it is being written, and once a prepare that was handed in has failed; if that succeeds, it is
 * the attempt's. Does not wait for the disk. */
void store_attempt_unstage(store *s, const uint8_t attempt[STORE_ATTEMPT_SIZE]);

/*
 * PREPARED, with the stream that came; NULL or empty: none. The store takes a reference; over
 * STORE_INLINE_SNAPSHOT it is a file. What is staged for the attempt becomes its base, without
 * being written again, and goes with it; when the prepare fails it stays staged. EXISTS when there
 * is an attempt of this id, BUSY when another one of this entity is open, or what is staged is
 * still being written.
 */
void store_attempt_prepare(store *s, const store_attempt *a, buf *state, store_done *done,
                           void *ctx);

/* PREPARED is gone, as if it had never been. NOT_FOUND; BUSY in another phase. */
void store_attempt_drop(store *s, const uint8_t attempt[STORE_ATTEMPT_SIZE], store_done *done,
                        void *ctx);

/* PREPARED -> REFUSED; BUSY in another phase. Where there is no attempt of this id, one is made of
 * a's members, without a record; STALE, if it may be one that was OWNED and has expired. */
void store_attempt_refuse(store *s, const store_attempt *a, store_done *done, void *ctx);

/*
 * PREPARED -> OWNED. row is added as store_add_daemon does, in place of a row of this entity that
 * is STORE_MOVED and of the mark of a removed one; container (a reference is taken) is its latest
 * snapshot, row->clean says whether its chain resumes exactly. Without a container (NULL) the base
 * of the attempt is its latest snapshot, the file as it lies there; without a base there is none,
 * and the mark stays. NOT_FOUND; BUSY in another phase; EXISTS as store_add_daemon; STALE as
 * store_put_snapshot, when the mark or row that is here has come further than (incarnation,
 * sequence).
 */
void store_attempt_own(store *s, const uint8_t attempt[STORE_ATTEMPT_SIZE], const store_daemon *row,
                       uint64_t incarnation, uint64_t sequence, buf *container, store_done *done,
                       void *ctx);

/* ---- At the source ---- */

/* RELEASED, and the entity's row, if there is one, becomes STORE_MOVED. state: what the daemon can
 * be brought back from if the target refuses; as that of store_attempt_prepare, as are EXISTS and
 * BUSY. */
void store_attempt_release(store *s, const store_attempt *a, buf *state, store_done *done,
                           void *ctx);

/* RELEASED -> HANDED_OVER. The entity's row, identity and snapshots go; a mark remains, as of
 * store_remove_daemon, here of exactly how far the daemon had come. NOT_FOUND; BUSY in another
 * phase. */
void store_attempt_hand_over(store *s, const uint8_t attempt[STORE_ATTEMPT_SIZE],
                             uint64_t incarnation, uint64_t sequence, store_done *done, void *ctx);

/*
 * RELEASED -> TAKEN_BACK. The entity's row becomes STORE_RUN, with this epoch, and identity: sealed
 * anew, as the epoch is bound to the seal; empty: as it was. container (a reference is taken), if
 * not NULL, is its latest snapshot, and not a clean one: whoever brings it back goes on above what
 * is reserved, as after a crash. Without a row only the attempt changes. NOT_FOUND; BUSY in another
 * phase; STALE as store_put_snapshot.
 */
void store_attempt_take_back(store *s, const uint8_t attempt[STORE_ATTEMPT_SIZE], uint64_t epoch,
                             slice identity, uint64_t incarnation, uint64_t sequence,
                             buf *container, store_done *done, void *ctx);

/* ---- At both ---- */

/* Ended ones whose not_after_s has passed go. */
void store_attempts_expire(store *s, int64_t now_s, store_done *done, void *ctx);

/* Every attempt, ordered by creation; otherwise as store_each_daemon. */
berth_status store_attempts_each(store *s, bool (*fn)(void *ctx, const store_attempt *a), void *ctx,
                                 berth_error *error);

/* fn is called with the attempt; it is valid during the call. NOT_FOUND. */
berth_status store_attempt_get(store *s, const uint8_t attempt[STORE_ATTEMPT_SIZE],
                               void (*fn)(void *ctx, const store_attempt *a), void *ctx,
                               berth_error *error);

/* The state of an open attempt: what was staged for it, and what it was prepared or released with.
 * Each has one reference, or is NULL when there is none, as when the attempt has ended or is not
 * there; base may be NULL: it is not wanted. Verifies their digests: CORRUPT concerns this attempt
 * only, and gives neither. */
berth_status store_attempt_state(store *s, const uint8_t attempt[STORE_ATTEMPT_SIZE], buf **base,
                                 buf **rest, berth_error *error);

#endif
