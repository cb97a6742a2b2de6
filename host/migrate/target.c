/* SPDX-License-Identifier: Apache-2.0 */
/* The life of an attempt at its target: what is to be done, deadlines, how it ends. */
#include "base/random.h"
#include "migrate/fault.h"
#include "migrate/target_private.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND INT64_C(1000000000)

/* ---- Ends ---- */

static void over(target *t, unsigned want)
{
    t->stage = TARGET_ENDED;
    t->want = want | TARGET_WANT_OVER;
    t->got_at = PACE_NEVER;
    pace_stop(&t->again);
}

void target_end(target *t, const move_outcome *why, bool tell)
{
    t->outcome = *why;
    t->outcome.moved = false;
    over(t, (t->admitted ? TARGET_WANT_DROP : 0) | (tell ? TARGET_SAY_REFUSED : 0));
}

void target_fail(target *t, move_reason reason, const char *format, ...)
{
    char text[MOVE_TEXT_MAX + 1];
    move_outcome why;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    move_failed(&why, reason, "%s", text);
    target_end(t, &why, true);
}

/* ---- Begin and end ---- */

static target *create(const target_config *config, slice offer, int64_t now_ns)
{
    target *t = aligned_alloc(_Alignof(target), sizeof *t); /* the hash wants 64 */

    if (!t)
        return NULL;
    memset(t, 0, sizeof *t);
    sodium_ready();
    crypto_generichash_init(&t->hash, NULL, 0, MOVE_HASH_SIZE);
    t->config = *config;
    if (t->config.resend_ns <= 0)
        t->config.resend_ns = SECOND / 2;
    if (t->config.silence_ns <= 0)
        t->config.silence_ns = 30 * SECOND;
    if (!t->config.got_every)
        t->config.got_every = 512 * 1024;
    t->again = (pace){.every = t->config.resend_ns, .at = PACE_NEVER};
    t->got_at = PACE_NEVER;
    t->began = t->word_at = now_ns;
    t->offer_bytes = buf_copy(offer.ptr, offer.len);
    /* Read in our copy: its slices stay. */
    if (t->offer_bytes &&
        move_offer_read(&t->offer, slice_of(t->offer_bytes->data, offer.len), NULL) == BERTH_OK)
        return t;
    target_free(t);
    return NULL;
}

target *target_new(const target_config *config, slice offer, int64_t now_ns)
{
    target *t = create(config, offer, now_ns);

    if (!t)
        return NULL;
    t->want = TARGET_WANT_ADMIT;
    if (t->offer.state_bytes > config->max_stream)
        target_fail(t, MOVE_NO_ROOM,
                    "the state has about %" PRIu64 " bytes, and %" PRIu64 " are the most here",
                    t->offer.state_bytes, config->max_stream);
    return t;
}

target *target_recover(const target_config *config, slice offer, slice seal, bool owned,
                       int64_t now_ns)
{
    target *t = create(config, offer, now_ns);

    if (!t)
        return NULL;
    t->seal_bytes = buf_copy(seal.ptr, seal.len);
    if (!t->seal_bytes || move_seal_read(&t->seal, seal, NULL) != BERTH_OK) {
        target_free(t);
        return NULL;
    }
    t->sealed = t->admitted = true;
    t->have = t->told = t->seal.total;
    if (owned) {
        t->stage = TARGET_OWNED;
        t->outcome.moved = true;
        t->want = TARGET_SAY_OWNED | TARGET_WANT_OVER;
    } else {
        t->stage = TARGET_PREPARED;
        t->want = TARGET_SAY_ASK;
        pace_start(&t->again, now_ns);
    }
    return t;
}

void target_free(target *t)
{
    if (!t)
        return;
    buf_unref(t->offer_bytes);
    buf_unref(t->seal_bytes);
    buf_unref(t->stream);
    free(t);
}

/* ---- What the driver tells ---- */

void target_source_up(target *t, int64_t now_ns)
{
    if (t->stage == TARGET_RECEIVING)
        t->want |= TARGET_SAY_GOT;
    if (t->stage != TARGET_PREPARED)
        return;
    pace_start(&t->again, now_ns);
    t->want |= TARGET_SAY_ASK;
}

void target_still_there(target *t, int64_t now_ns)
{
    (void)now_ns;
    if (t->stage < TARGET_PREPARED)
        t->want |= TARGET_SAY_GOT;
}

/* The answer to a need of this kind, if that is the one that is out. */
static bool answered(target *t, target_need_kind kind)
{
    if (t->out != kind)
        return false;
    t->out = TARGET_NONE;
    return true;
}

static void fail_with(target *t, berth_status status, move_reason reason, const move_outcome *why)
{
    if (why)
        target_end(t, why, true);
    else
        target_fail(t, reason, "%s", berth_status_text(status));
}

void target_admitted(target *t, berth_status status, const uint8_t nonce[MOVE_NONCE_SIZE],
                     const move_outcome *why, int64_t now_ns)
{
    (void)now_ns;
    if (!answered(t, TARGET_ADMIT))
        return;
    if (t->stage != TARGET_OFFERED) { /* ended meanwhile */
        if (status == BERTH_OK)
            t->want |= TARGET_WANT_DROP;
        return;
    }
    if (status != BERTH_OK) {
        fail_with(t, status, MOVE_REFUSED, why);
        return;
    }
    t->admitted = true;
    memcpy(t->nonce, nonce, sizeof t->nonce);
    t->stage = TARGET_RECEIVING;
    t->want |= TARGET_SAY_ACCEPT;
}

void target_built(target *t, berth_status status, uint64_t cut_at, uint64_t cut_len,
                  const move_outcome *why, int64_t now_ns)
{
    (void)now_ns;
    if (!answered(t, TARGET_ROUND) || t->stage != TARGET_RECEIVING)
        return;
    t->building = false;
    if (status != BERTH_OK) {
        fail_with(t, status, MOVE_STATE_FAILED, why);
        return;
    }
    if (cut_len && !target_cut(t, cut_at, cut_len)) {
        target_fail(t, MOVE_NO_ROOM, "out of memory");
        return;
    }
    t->built = t->round.total;
    t->want |= TARGET_SAY_BUILT;
}

void target_checked(target *t, berth_status status, const move_outcome *why, int64_t now_ns)
{
    (void)now_ns;
    if (!answered(t, TARGET_CHECK) || t->stage != TARGET_CHECKING)
        return;
    if (status != BERTH_OK) {
        fail_with(t, status, MOVE_STATE_FAILED, why);
        return;
    }
    t->stage = TARGET_PREPARING;
    t->want |= TARGET_WANT_PREPARE;
}

static void prepared(target *t, int64_t now_ns)
{
    t->stage = TARGET_PREPARED;
    t->want |= TARGET_SAY_PREPARED;
    pace_start(&t->again, now_ns);
}

void target_prepared(target *t, berth_status status, int64_t now_ns)
{
    if (!answered(t, TARGET_PREPARE) || t->stage != TARGET_PREPARING)
        return;
    if (status == BERTH_OK)
        prepared(t, now_ns);
    else
        target_fail(t, MOVE_STORE_FAILED, "the state could not be put on disk: %s",
                    berth_status_text(status));
}

void target_owned(target *t, berth_status status, const move_outcome *why, int64_t now_ns)
{
    (void)now_ns;
    if (!answered(t, TARGET_OWN))
        return;
    if (status == BERTH_OK) {
        t->stage = TARGET_OWNED;
        t->outcome = (move_outcome){.moved = true};
        t->want |= TARGET_SAY_OWNED | TARGET_WANT_OVER;
        return;
    }
    if (why)
        t->outcome = *why;
    else
        move_failed(&t->outcome, MOVE_STATE_FAILED, "%s", berth_status_text(status));
    t->outcome.moved = false;
    t->stage = TARGET_REFUSING;
    t->want |= TARGET_WANT_REFUSE;
}

void target_refused(target *t, berth_status status, int64_t now_ns)
{
    if (!answered(t, TARGET_REFUSE))
        return;
    if (status == BERTH_OK) {
        t->final = true;
        over(t, TARGET_SAY_REFUSED);
    } else {
        pace_start(&t->again, now_ns); /* what is not on disk counts for nobody: try again */
    }
}

/* ---- Time ---- */

static bool hears_source(const target *t)
{
    return t->stage < TARGET_PREPARING; /* what is on its way to the disk gets there */
}

int64_t target_deadline(const target *t)
{
    int64_t at = t->again.at < t->got_at ? t->again.at : t->got_at;
    int64_t silent = pace_after(t->word_at, t->config.silence_ns);

    return hears_source(t) && silent < at ? silent : at;
}

void target_expire(target *t, int64_t now_ns)
{
    if (hears_source(t) && now_ns >= pace_after(t->word_at, t->config.silence_ns)) {
        target_fail(t, MOVE_TIMEOUT, "no word from the source for %.1f s",
                    (double)t->config.silence_ns / (double)SECOND);
        return;
    }
    if (t->got_at != PACE_NEVER && now_ns >= t->got_at)
        t->want |= TARGET_SAY_GOT;
    if (!pace_due(&t->again, now_ns))
        return;
    if (t->stage == TARGET_PREPARED)
        t->want |= TARGET_SAY_ASK;
    else if (t->stage == TARGET_REFUSING && t->out == TARGET_NONE)
        t->want |= TARGET_WANT_REFUSE;
    if (FAULT(OWN_ON_TIMEOUT) && t->stage == TARGET_PREPARED &&
        t->again.wait >= 8 * t->again.every) {
        t->stage = TARGET_OWNING;
        t->want |= TARGET_WANT_OWN;
    }
}

/* ---- What is to be done ---- */

static bool take(target *t, unsigned want)
{
    bool wanted = t->want & want;

    t->want &= ~want;
    return wanted;
}

static target_need_kind next_act(target *t)
{
    if (t->out != TARGET_NONE)
        return TARGET_NONE; /* one at a time, also when it has ended meanwhile */
    if (take(t, TARGET_WANT_ADMIT))
        return t->out = TARGET_ADMIT;
    if (take(t, TARGET_WANT_ROUND))
        return t->out = TARGET_ROUND;
    if (take(t, TARGET_WANT_CHECK))
        return t->out = TARGET_CHECK;
    if (take(t, TARGET_WANT_PREPARE)) {
        if (FAULT(PREPARED_BEFORE_DURABLE))
            t->want |= TARGET_SAY_PREPARED;
        return t->out = TARGET_PREPARE;
    }
    if (take(t, TARGET_WANT_OWN)) {
        pace_stop(&t->again);
        if (FAULT(OWNED_BEFORE_DURABLE))
            t->want |= TARGET_SAY_OWNED;
        return t->out = TARGET_OWN;
    }
    if (take(t, TARGET_WANT_REFUSE)) {
        pace_stop(&t->again);
        if (FAULT(FINAL_BEFORE_DURABLE)) {
            t->final = true;
            t->want |= TARGET_SAY_REFUSED;
        }
        return t->out = TARGET_REFUSE;
    }
    return take(t, TARGET_WANT_DROP) ? TARGET_DROP : TARGET_NONE;
}

static move_head head_of(const target *t, uint16_t kind)
{
    move_head head = t->offer.head;

    head.kind = kind;
    return head;
}

static void write_step(writer *w, const target *t, uint16_t kind)
{
    move_step m = {.head = head_of(t, kind), .epoch = t->offer.epoch};

    memcpy(m.hash, t->seal.hash, sizeof m.hash);
    move_step_write(w, &m);
}

static void write_refused(writer *w, const target *t)
{
    move_no m = {.head = head_of(t, MESSAGE_MOVE_REFUSED),
                 .reason = t->outcome.reason,
                 .final = t->final,
                 .text = slice_str(t->outcome.text)};

    move_no_write(w, &m);
}

/* The next message that is owed, if one is. */
static bool write_next(writer *w, target *t)
{
    move_head ask = head_of(t, MESSAGE_MOVE_ASK);

    if (take(t, TARGET_SAY_REFUSED)) {
        write_refused(w, t);
    } else if (take(t, TARGET_SAY_ACCEPT)) {
        move_accept m = {.head = head_of(t, MESSAGE_MOVE_ACCEPT)};

        memcpy(m.nonce, t->nonce, sizeof m.nonce);
        move_accept_write(w, &m);
    } else if (take(t, TARGET_SAY_GOT)) {
        move_got m = {.head = head_of(t, MESSAGE_MOVE_GOT), .through = t->have};

        t->told = t->have;
        t->got_at = PACE_NEVER;
        move_got_write(w, &m);
    } else if (take(t, TARGET_SAY_BUILT)) {
        move_got m = {.head = head_of(t, MESSAGE_MOVE_BUILT), .through = t->built};

        move_got_write(w, &m);
    } else if (take(t, TARGET_SAY_PREPARED)) {
        write_step(w, t, MESSAGE_MOVE_PREPARED);
    } else if (take(t, TARGET_SAY_ASK)) {
        move_bare_write(w, &ask);
    } else if (take(t, TARGET_SAY_OWNED)) {
        write_step(w, t, MESSAGE_MOVE_OWNED);
    } else {
        return false;
    }
    return true;
}

bool target_next(target *t, target_need *out, int64_t now_ns)
{
    writer w = {0};

    (void)now_ns;
    memset(out, 0, sizeof *out);
    out->kind = next_act(t);
    if (out->kind != TARGET_NONE)
        return true;
    while (!out->message && write_next(&w, t)) {
        out->message = w.failed ? NULL : buf_copy(w.data, w.len); /* NULL: as good as lost */
        w.len = 0;
    }
    writer_free(&w);
    if (out->message) {
        out->kind = TARGET_SEND;
        out->node = t->config.source;
        out->lane = LANE_CALL;
        return true;
    }
    if (t->out != TARGET_NONE || t->over || !take(t, TARGET_WANT_OVER))
        return false;
    t->over = true;
    out->kind = TARGET_OVER;
    return true;
}

/* ---- What can be seen ---- */

void target_look(const target *t, target_view *out)
{
    *out = (target_view){.stage = t->stage,
                         .bytes = t->have,
                         .total = t->sealed ? t->seal.total : 0,
                         .began_ns = t->began,
                         .ignored = t->ignored};
}

const move_offer *target_offer(const target *t)
{
    return &t->offer;
}

slice target_stream(const target *t)
{
    return t->stream ? slice_of(t->stream->data, target_kept(t)) : slice_of(NULL, 0);
}

buf *target_stream_buf(const target *t)
{
    return t->stream;
}

slice target_seal(const target *t)
{
    return t->sealed ? slice_of(t->seal_bytes->data, t->seal_bytes->len) : slice_of(NULL, 0);
}

const move_round *target_round(const target *t)
{
    return &t->round;
}

const uint8_t *target_nonce(const target *t)
{
    return t->nonce;
}

buf *target_take_stream(target *t)
{
    buf *stream = t->stream;

    /* Not while it grows. */
    if (!stream || !t->sealed || t->have < t->seal.total)
        return NULL;
    stream->len = target_kept(t); /* nobody else has it yet */
    t->stream = NULL;
    return stream;
}

const move_outcome *target_outcome(const target *t)
{
    return &t->outcome;
}
