/* SPDX-License-Identifier: Apache-2.0 */
/* migrate/target_private.h: what target.c, target_stream.c and target_message.c share. */
#ifndef MIGRATE_TARGET_PRIVATE_H
#define MIGRATE_TARGET_PRIVATE_H

#include "migrate/pace.h"
#include "migrate/target.h"
#include "migrate/wire_private.h"

#include <sodium.h>

/* What is to be handed out; at most one of each kind at a time. */
enum {
    TARGET_WANT_ADMIT = 1 << 0,
    TARGET_WANT_CHECK = 1 << 1,
    TARGET_WANT_PREPARE = 1 << 2,
    TARGET_WANT_OWN = 1 << 3,
    TARGET_WANT_REFUSE = 1 << 4,
    TARGET_WANT_DROP = 1 << 5,
    TARGET_SAY_ACCEPT = 1 << 6,
    TARGET_SAY_GOT = 1 << 7,
    TARGET_SAY_PREPARED = 1 << 8,
    TARGET_SAY_ASK = 1 << 9,
    TARGET_SAY_OWNED = 1 << 10,
    TARGET_SAY_REFUSED = 1 << 11,
    TARGET_WANT_OVER = 1 << 12,
    TARGET_WANT_ROUND = 1 << 13,
    TARGET_SAY_BUILT = 1 << 14
};

struct target {
    crypto_generichash_state hash; /* of the stream, as it comes */
    target_config config;
    buf *offer_bytes, *seal_bytes;
    move_offer offer;
    move_seal seal;
    bool sealed, admitted;
    target_stage stage;
    unsigned want;
    target_need_kind out; /* the need that is to be answered; NONE: none is out */
    bool over;            /* OVER was handed out */
    bool final;           /* refused, and that is on disk */
    uint8_t nonce[MOVE_NONCE_SIZE];

    buf *stream; /* its len is what there is room for; NULL: nothing came, or it was taken */
    uint64_t have;
    uint64_t cut_at, cut_len; /* bytes of it that lie elsewhere */
    move_round round;         /* to be built, or the last one that was */
    bool building;
    uint64_t built; /* the end of the last round that was */
    uint64_t told;  /* GOT said this */
    int64_t got_at; /* when it is said next; NEVER: all is said */

    pace again; /* ASK, or the refusal that is not on disk yet */
    int64_t began, word_at;
    move_outcome outcome;
    uint64_t ignored;
};

/* ---- target.c ---- */
/* Before it is owned: drop it, and with tell say so to the source. */
void target_end(target *t, const move_outcome *why, bool tell);
void target_fail(target *t, move_reason reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- target_stream.c ---- */
/* True: it was for us; what is wrong with it may have ended the attempt. */
bool target_chunk(target *t, const move_chunk *m, int64_t now_ns);
bool target_round_ends(target *t, const move_round *m);
bool target_sealed(target *t, slice message, int64_t now_ns);
/* False: no memory. */
bool target_cut(target *t, uint64_t at, uint64_t len);
/* Bytes that lie in the stream. */
static inline uint64_t target_kept(const target *t)
{
    return t->have - t->cut_len;
}

#endif
