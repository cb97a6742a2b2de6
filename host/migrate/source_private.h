/* SPDX-License-Identifier: Apache-2.0 */
/* migrate/source_private.h: what source.c, source_stream.c and source_message.c share. */
#ifndef MIGRATE_SOURCE_PRIVATE_H
#define MIGRATE_SOURCE_PRIVATE_H

#include "migrate/pace.h"
#include "migrate/source.h"
#include "migrate/wire_private.h"

#define PRECOPY_ROUNDS 8
#define PRECOPY_SMALL  (64 * 1024) /* so little goes with the gate closed at once */

typedef enum source_stage {
    SOURCE_OFFERING,
    SOURCE_STREAMING, /* pieces, chunks, seal */
    SOURCE_RELEASING, /* RELEASED is being put on disk: too late */
    SOURCE_COMMITTING,
    SOURCE_FINISHING,
    SOURCE_TAKING_BACK,
    SOURCE_ENDED
} source_stage;

/* What is to be handed out; at most one of each kind at a time. */
enum {
    WANT_THROTTLE = 1 << 0,
    WANT_PIECE = 1 << 1,
    WANT_RELEASE = 1 << 2,
    WANT_RESUME = 1 << 3,
    WANT_FINISH = 1 << 4,
    WANT_TAKE_BACK = 1 << 5,
    WANT_ABORT = 1 << 6,
    WANT_COMMIT = 1 << 7,
    WANT_OFFER = 1 << 8,
    WANT_PROOF = 1 << 9, /* again */
    WANT_OVER = 1 << 10,
    WANT_SERVE = 1 << 11
};

/* A part of the stream, until the target has all of it. */
typedef struct stream_part {
    uint64_t at;
    buf *bytes;
} stream_part;

struct source {
    source_config config;
    char kind[256], plugin[256];
    buf *offer;
    buf *proof; /* ROUND or SEAL of all that is there; NULL: that is known there */
    source_stage stage;
    unsigned want;
    bool offered, touched; /* OFFER, a PIECE or THROTTLE was handed out */
    bool over;             /* OVER was */
    bool released;
    bool refused; /* for good, while RELEASED is put on disk */
    /* Of the needs that are to be answered, which one is out. */
    bool piece_out, release_out, finish_out, take_back_out;

    bool fetching;
    move_fetch fetch; /* the last one */

    bool has_nonce, has_hash;
    uint8_t nonce[MOVE_NONCE_SIZE], hash[MOVE_HASH_SIZE];

    stream_part parts[SOURCE_PARTS_MAX]; /* of one piece: the next comes when it is there */
    unsigned part_count;
    uint64_t end;          /* of the stream as far as it is there */
    uint64_t sent;         /* handed out up to here, since the last going back */
    uint64_t sent_max;     /* at any time */
    uint64_t acked;        /* the target has it */
    uint64_t last, before; /* bytes of the last two pieces */
    source_piece piece;    /* the one that is asked for, or was last */
    unsigned rounds;       /* of PIECE_EXECUTED */
    bool throttled, sealed, proof_sent;
    int64_t busy_since, busy_ns; /* how long something was under way */

    pace again;
    int64_t progress_at;             /* when the target last had more */
    int64_t began, word_at, hold_at; /* word_at: of the target; hold_at: NEVER: open */
    int64_t entered[MOVE_PHASE_COUNT];
    bool in_doubt;
    move_phase phase;
    move_outcome outcome;
    uint64_t ignored, resent;
};

/* ---- source.c ---- */
void source_enter(source *s, move_phase phase, int64_t now_ns);
void source_end(source *s, const move_outcome *why, int64_t now_ns);
void source_fail(source *s, int64_t now_ns, move_reason reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* What the target said for good has been heard, and RELEASED is on disk. */
void source_take_back(source *s, int64_t now_ns);

/* ---- source_stream.c ---- */
void source_ask_piece(source *s, source_piece piece, int64_t now_ns);
/* All that was there is at the target: what next? */
void source_advance(source *s, int64_t now_ns);
void source_acknowledged(source *s, uint64_t through, int64_t now_ns);
/* The target has made what it can of the stream up to here. */
void source_built(source *s, uint64_t through, int64_t now_ns);
void source_go_back(source *s);
/* False: none may be sent now. *out NULL: memory is short, and it counts as lost. */
bool source_chunk(source *s, buf **out, int64_t now_ns);
void source_parts_free(source *s);

#endif
