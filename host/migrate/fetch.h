/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate/fetch.h: the file of a plugin, fetched by a target that was offered a daemon whose kind
 * it lacks, from the source of that attempt. The offer stays unanswered meanwhile.
 *
 *     FETCH 0 -> PLUGIN    how long is it, and who has signed it?
 *     OPEN                 may it come? nothing of it has come yet
 *     FETCH n -> PART...   a piece, again and again; what is lost is asked for again
 *     WRITE                the piece is whole
 *     LOAD                 all of it is: verify and load it
 *
 * It holds one piece in memory. A machine as migrate/source.h: no I/O, clock or threads; a need
 * that is to be answered is asked for once, and nothing else until fetch_answered. What came is
 * believed in nothing: that the source does not exceed what it said is checked here, what the file
 * is when it is loaded. Since 0.1.
 */
#ifndef MIGRATE_FETCH_H
#define MIGRATE_FETCH_H

#include "base/buf.h"
#include "mesh/transport.h"
#include "migrate/wire.h"

typedef struct fetch fetch;

typedef struct fetch_config {
    move_head head;     /* of the attempt for whose sake it is; kind does not count */
    uint64_t source;    /* node */
    uint8_t digest[32]; /* of the offer */
    uint64_t limit;     /* bytes: a longer file is refused before any of it is sent */
    uint32_t piece;     /* bytes [512 KiB], at most MOVE_FETCH_MAX */
    int64_t resend_ns;  /* [500 ms], doubled up to 8 times that; of parts, 8 times as rarely: they
                           come on a lane that loses none unless its session ends */
    int64_t piece_ns;   /* without a whole piece more it ends [60 s] */
} fetch_config;

typedef enum fetch_need_kind {
    FETCH_NONE,
    FETCH_SEND,  /* message, to the source, on LANE_CALL; may get lost */
    FETCH_OPEN,  /* total and signature are known: make a file, if it may come */
    FETCH_WRITE, /* bytes: at the end of the file */
    FETCH_LOAD,  /* the file is whole */
    FETCH_OVER   /* look at fetch_outcome; nothing comes any more */
} fetch_need_kind;

typedef struct fetch_need {
    fetch_need_kind kind;
    buf *message;    /* SEND: one reference, the caller's */
    uint64_t total;  /* OPEN */
    slice signature; /* OPEN; lives as long as the fetch */
    buf *bytes;      /* WRITE: one reference, the caller's */
} fetch_need;

/* NULL when memory is short. */
fetch *fetch_new(const fetch_config *config, int64_t now_ns);
void fetch_free(fetch *f);

/* PLUGIN or PART. From others than the source, about other attempts or files, malformed or out of
 * its time: ignored, false. What shows that the source lies ends it. */
bool fetch_message(fetch *f, uint64_t node, slice message, int64_t now_ns);
/* The source's session is up again: what was under way is asked for now. */
void fetch_source_up(fetch *f, int64_t now_ns);
/* The answer to OPEN, WRITE or LOAD. why: with a status that is not OK. */
void fetch_answered(fetch *f, berth_status status, const move_outcome *why, int64_t now_ns);

bool fetch_next(fetch *f, fetch_need *out, int64_t now_ns);
/* When to call fetch_expire; INT64_MAX: not before something happens. */
int64_t fetch_deadline(const fetch *f);
void fetch_expire(fetch *f, int64_t now_ns);

typedef struct fetch_view {
    uint64_t bytes, total; /* total 0: not known yet */
    bool over, loaded;
    uint64_t ignored;
} fetch_view;
void fetch_look(const fetch *f, fetch_view *out);
/* Why it was not loaded; valid once over. */
const move_outcome *fetch_outcome(const fetch *f);

#endif
