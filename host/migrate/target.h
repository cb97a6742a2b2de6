/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate/target.h: one attempt to move a daemon to this node.
 *
 *     OFFER             may it come, can it run here: answered before anything is sent
 *     CHUNK, ROUND      with precopy, a part of the stream: built while the daemon still runs there
 *     CHUNK, SEAL       the stream, bounded; when it is whole it is verified and built, not run
 *     PREPARED          on our disk, acknowledged. From here on only the source knows: it is asked
 *                       again and again, and nothing happens by itself
 *     COMMIT -> OWN     ours: open the gate, put OWNED on disk, acknowledge
 *
 * Until PREPARED everything ends by a word of the source, a deadline, or a mistake. After it a
 * refusal counts only when it is on disk. A machine as migrate/source.h, which also says what the
 * driver answers of attempts that no machine is there for.
 */
#ifndef MIGRATE_TARGET_H
#define MIGRATE_TARGET_H

#include "base/buf.h"
#include "mesh/transport.h"
#include "migrate/wire.h"

typedef struct target target;

typedef struct target_config {
    uint64_t source;     /* node */
    uint64_t max_stream; /* bytes */
    int64_t resend_ns;   /* [500 ms], doubled up to 8 times that */
    int64_t silence_ns;  /* without a word of the source before PREPARED it ends [30 s] */
    uint32_t got_every;  /* bytes between two GOT [512 KiB] */
} target_config;

typedef enum target_need_kind {
    TARGET_NONE,
    TARGET_SEND,    /* message, to the source, on LANE_CALL; may get lost */
    TARGET_ADMIT,   /* may it come, and can it? answer with target_admitted */
    TARGET_ROUND,   /* the stream so far is what its round says: verify the signature, build what
                       can be; answer with target_built. Nothing is added to it meanwhile */
    TARGET_CHECK,   /* stream and seal are whole: verify and build; answer with target_checked */
    TARGET_PREPARE, /* put PREPARED on disk; answer with target_prepared */
    TARGET_OWN,     /* committed: open the gate, put OWNED on disk; answer with target_owned when it
                       is there */
    TARGET_REFUSE,  /* put on disk that this attempt will never own it, and drop what was built;
                       answer with target_refused */
    TARGET_DROP,    /* drop what was built and kept, PREPARED on disk included: it never happened */
    TARGET_OVER
} target_need_kind;

typedef struct target_need {
    target_need_kind kind;
    uint64_t node;
    lane lane;
    buf *message; /* SEND: one reference, the caller's */
} target_need;

/* offer: the message; NULL when memory is short or it does not read (the caller has read it). */
target *target_new(const target_config *config, slice offer, int64_t now_ns);
/* After a restart: PREPARED (owned false) or OWNED was on disk. offer and seal as they were. */
target *target_recover(const target_config *config, slice offer, slice seal, bool owned,
                       int64_t now_ns);
void target_free(target *t);

/* From others than the source: ignored, false. */
bool target_message(target *t, uint64_t node, slice message, int64_t now_ns);
void target_source_up(target *t, int64_t now_ns);
/* What was fetched, loaded or asked for takes longer: the source is told that we are alive. */
void target_still_there(target *t, int64_t now_ns);

/* nonce: fresh random bytes. why: with a status that is not OK. */
void target_admitted(target *t, berth_status status, const uint8_t nonce[MOVE_NONCE_SIZE],
                     const move_outcome *why, int64_t now_ns);
/* OK: cut_len bytes from cut_at on are kept elsewhere, if that is not 0; once in an attempt. From
 * then on the stream is without them. */
void target_built(target *t, berth_status status, uint64_t cut_at, uint64_t cut_len,
                  const move_outcome *why, int64_t now_ns);
void target_checked(target *t, berth_status status, const move_outcome *why, int64_t now_ns);
void target_prepared(target *t, berth_status status, int64_t now_ns);
/* Not OK: it could not be opened here after all (why), the gate is closed, and OWNED is not on disk
 * nor will be: TARGET_REFUSE comes next. */
void target_owned(target *t, berth_status status, const move_outcome *why, int64_t now_ns);
/* Not OK: it is asked for again, after a while; nobody is told before it is on disk. */
void target_refused(target *t, berth_status status, int64_t now_ns);

bool target_next(target *t, target_need *out, int64_t now_ns);
int64_t target_deadline(const target *t);
void target_expire(target *t, int64_t now_ns);

typedef enum target_stage {
    TARGET_OFFERED,
    TARGET_RECEIVING,
    TARGET_CHECKING,
    TARGET_PREPARING,
    TARGET_PREPARED, /* in doubt until the source says */
    TARGET_OWNING,
    TARGET_OWNED,
    TARGET_REFUSING,
    TARGET_ENDED /* refused or aborted; answers repeats until it is freed */
} target_stage;

typedef struct target_view {
    target_stage stage;
    uint64_t bytes, total; /* total 0: not known yet */
    int64_t began_ns;
    uint64_t ignored;
} target_view;
void target_look(const target *t, target_view *out);

/* What has come; borrowed. The seal reads with move_seal_read; the round is the one to be built. */
const move_offer *target_offer(const target *t);
slice target_stream(const target *t);
/* What it lies in; borrowed, and as it is until a round is built or the stream taken. */
buf *target_stream_buf(const target *t);
slice target_seal(const target *t);
const move_round *target_round(const target *t);
const uint8_t *target_nonce(const target *t);
/* Take the stream out of the machine, once it is whole (CHECK): it is on disk, or built. One
 * reference; NULL before, and the second time. */
buf *target_take_stream(target *t);
const move_outcome *target_outcome(const target *t);

#endif
