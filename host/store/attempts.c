/* SPDX-License-Identifier: Apache-2.0 */
#include "store/attempts.h"
#include "store/inside.h"

void store_attempt_stage(store *s, const uint8_t attempt[STORE_ATTEMPT_SIZE], slice bytes,
                         buf *hold, store_done *done, void *ctx)
{
    staging_add(store_staging(s), attempt, bytes, hold, done, ctx);
}

void store_attempt_unstage(store *s, const uint8_t attempt[STORE_ATTEMPT_SIZE])
{
    staging_forget(store_staging(s), attempt);
}

void store_attempt_prepare(store *s, const store_attempt *a, buf *state, store_done *done,
                           void *ctx)
{
    change *c = change_attempt(CHANGE_PREPARE, a, state);
    berth_error error;

    /* Claimed now, not when it is applied: what is unstaged in between must not make of it an
     * attempt without a base. */
    if (c && !c->refused &&
        staging_claim(store_staging(s), a->attempt, &c->attempt.base, &error) != BERTH_OK)
        change_refuse(c, &error);
    store_hand_in(s, c, done, ctx);
}

void store_attempt_drop(store *s, const uint8_t attempt[STORE_ATTEMPT_SIZE], store_done *done,
                        void *ctx)
{
    store_hand_in(s, change_attempt_end(CHANGE_DROP, attempt, 0, 0), done, ctx);
}

void store_attempt_refuse(store *s, const store_attempt *a, store_done *done, void *ctx)
{
    store_hand_in(s, change_attempt(CHANGE_REFUSE, a, NULL), done, ctx);
}

void store_attempt_own(store *s, const uint8_t attempt[STORE_ATTEMPT_SIZE], const store_daemon *row,
                       uint64_t incarnation, uint64_t sequence, buf *container, store_done *done,
                       void *ctx)
{
    store_hand_in(s, change_own(attempt, row, incarnation, sequence, container), done, ctx);
}

void store_attempt_release(store *s, const store_attempt *a, buf *state, store_done *done,
                           void *ctx)
{
    store_hand_in(s, change_attempt(CHANGE_RELEASE, a, state), done, ctx);
}

void store_attempt_hand_over(store *s, const uint8_t attempt[STORE_ATTEMPT_SIZE],
                             uint64_t incarnation, uint64_t sequence, store_done *done, void *ctx)
{
    store_expect_marks(s);
    store_hand_in(s, change_attempt_end(CHANGE_HAND_OVER, attempt, incarnation, sequence), done,
                  ctx);
}

void store_attempt_take_back(store *s, const uint8_t attempt[STORE_ATTEMPT_SIZE], uint64_t epoch,
                             slice identity, uint64_t incarnation, uint64_t sequence,
                             buf *container, store_done *done, void *ctx)
{
    store_hand_in(s, change_take_back(attempt, epoch, identity, incarnation, sequence, container),
                  done, ctx);
}

void store_attempts_expire(store *s, int64_t now_s, store_done *done, void *ctx)
{
    store_hand_in(s, change_expire(now_s), done, ctx);
}

berth_status store_attempts_each(store *s, bool (*fn)(void *ctx, const store_attempt *a), void *ctx,
                                 berth_error *error)
{
    return read_each_attempt(store_reads(s), fn, ctx, error);
}

berth_status store_attempt_get(store *s, const uint8_t attempt[STORE_ATTEMPT_SIZE],
                               void (*fn)(void *ctx, const store_attempt *a), void *ctx,
                               berth_error *error)
{
    return read_attempt(store_reads(s), attempt, fn, ctx, error);
}

berth_status store_attempt_state(store *s, const uint8_t attempt[STORE_ATTEMPT_SIZE], buf **base,
                                 buf **rest, berth_error *error)
{
    return read_attempt_state(store_reads(s), attempt, base, rest, error);
}
