/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate/source.h: one attempt to move one daemon, at the node that runs it. The source decides:
 * up to RELEASE it can go back, from then on only the target's durable refusal lets it.
 *
 *     OFFER -> ACCEPT   the target agrees; the daemon has not noticed anything
 *     PIECE             gate closed, state taken (or, with precopy, first while it runs)
 *     CHUNK... -> GOT   the stream, in a window
 *     ROUND -> BUILT    with precopy, after each piece but the last: the target keeps up
 *     SEAL -> PREPARED  all of it is on the target's disk
 *     RELEASE           on our disk: it is the target's now
 *     COMMIT -> OWNED   again and again until the target has answered
 *     FINISH            wipe what is left here
 *
 * A machine: no I/O, clock or threads. Inputs are calls; what it needs done comes out of
 * source_next, one by one, until NONE. A need that is to be answered is asked for once, and the
 * answer may come any time later; while it is out, messages are still taken, and sent, but nothing
 * else is asked for: RESUME and OVER of an attempt that ends meanwhile wait for it. Times are
 * monotonic.
 *
 * Messages about attempts that no machine is there for are the driver's to answer: an ASK, or a
 * PREPARED, with COMMIT (recover a machine) if RELEASED is on disk, with ABORT if it is not; a
 * COMMIT with OWNED, or with a final REFUSED, if that is on disk. Which attempts were used is kept
 * on disk before they begin, so that a late ORDER or OFFER begins none again.
 */
#ifndef MIGRATE_SOURCE_H
#define MIGRATE_SOURCE_H

#include "base/buf.h"
#include "mesh/transport.h"
#include "migrate/wire.h"

typedef struct source source;

typedef struct source_config {
    move_offer offer;    /* kind and plugin name are copied; head.attempt and origin count */
    uint64_t target;     /* node */
    int64_t resend_ns;   /* [500 ms], doubled up to 8 times that */
    int64_t deadline_ns; /* from now until it is released, else it stays [300 s] */
    int64_t answer_ns;   /* of that, without a word from the target [10 s] */
    int64_t max_hold_ns; /* the gate closed, before it is released [30 s] */
    uint32_t chunk;      /* bytes [64 KiB], at most MOVE_CHUNK_MAX */
    uint64_t window;     /* bytes under way [3 MiB] */
} source_config;

typedef enum source_piece {
    PIECE_RUNNING,  /* the state, while the daemon goes on (precopy) */
    PIECE_EXECUTED, /* the events that it has run since the piece before (precopy) */
    PIECE_FINAL     /* close the gate: what is still to come, all held events, and the seal. The
                       first piece at once if nothing came before it */
} source_piece;

typedef enum source_need_kind {
    SOURCE_NONE,
    SOURCE_SEND,      /* message, to node, on lane; may get lost */
    SOURCE_PIECE,     /* piece; answer with source_piece_done */
    SOURCE_THROTTLE,  /* the daemon is to run slower (precopy does not converge) */
    SOURCE_RELEASE,   /* put RELEASED on disk; answer with source_released */
    SOURCE_RESUME,    /* open the gate again: nothing has happened */
    SOURCE_FINISH,    /* the target owns it: wipe; answer with source_finished */
    SOURCE_TAKE_BACK, /* released, but durably refused: run it again, at the epoch above; answer
                         with source_taken_back */
    SOURCE_SERVE,     /* the target lacks the kind and asks for (some of) the plugin's file, as
                         `fetch` says: send it, or abort. Not answered here; it asks again */
    SOURCE_OVER       /* look at source_outcome; nothing comes any more, but answers to a target
                         that still asks, until it is freed */
} source_need_kind;

typedef struct source_need {
    source_need_kind kind;
    uint64_t node;
    lane lane;
    buf *message; /* SEND: one reference, the caller's */
    source_piece piece;
    move_fetch fetch; /* SERVE */
} source_need;

/* NULL when memory is short. */
source *source_new(const source_config *config, int64_t now_ns);
/* After a restart: RELEASED was on disk. hash: of the stream, as the seal had it. */
source *source_recover(const source_config *config, const uint8_t hash[MOVE_HASH_SIZE],
                       int64_t now_ns);
void source_free(source *s);

/* A message about this attempt from a node (its whole id, as the session proved it). Others than
 * the target are ignored and counted: true means that it was for us and not refused. */
bool source_message(source *s, uint64_t node, slice message, int64_t now_ns);
/* The target's session is up again: what is owed is sent now. */
void source_target_up(source *s, int64_t now_ns);
/* The failure detector says that it is gone: before RELEASE the attempt ends. */
void source_target_gone(source *s, int64_t now_ns);
/* OK: stop it. BUSY: too late, it is decided. */
berth_status source_abort(source *s, const move_outcome *why, int64_t now_ns);

#define SOURCE_PARTS_MAX 8
/* One piece of the stream: parts, one behind the other, none of them empty; and what proves the
 * stream up to its end: with PIECE_FINAL a message of move_seal_write, else, unless the piece is
 * empty, one of move_round_write. */
typedef struct source_bytes {
    buf *parts[SOURCE_PARTS_MAX];
    unsigned count;
    buf *proof;
} source_bytes;

/* Answers. bytes: borrowed, references are taken; may be NULL unless OK. On a status that is not OK
 * why says why. */
void source_piece_done(source *s, berth_status status, const source_bytes *bytes,
                       const move_outcome *why, int64_t now_ns);
/* Not OK: it is not on disk, and never will be. Who cannot know that does not answer, and looks
 * after a restart. */
void source_released(source *s, berth_status status, int64_t now_ns);
void source_finished(source *s, int64_t now_ns);
void source_taken_back(source *s, int64_t now_ns);

bool source_next(source *s, source_need *out, int64_t now_ns);
/* When to call source_expire; INT64_MAX: not before something happens. */
int64_t source_deadline(const source *s);
void source_expire(source *s, int64_t now_ns);

typedef struct source_view {
    move_phase phase;
    bool over;     /* SOURCE_OVER was handed out: nothing is left to be done */
    bool ended;    /* its outcome is decided; what is left to be done may not be done yet */
    bool released; /* too late to abort */
    bool in_doubt; /* released, and the target has been silent for answer_ns */
    uint64_t bytes_sent, bytes_acknowledged, bytes_total, rounds;
    uint8_t nonce[MOVE_NONCE_SIZE]; /* the target's; valid from PIECE on */
    int64_t began_ns;
    int64_t entered_ns[MOVE_PHASE_COUNT]; /* when; 0: not, or before a restart */
    uint64_t ignored, resent;
    bool fetching;    /* the target fetches the plugin, */
    uint64_t fetched; /* of which it has so many bytes */
} source_view;
void source_look(const source *s, source_view *out);
/* Valid once over; it does not change any more. */
const move_outcome *source_outcome(const source *s);

#endif
