/* SPDX-License-Identifier: Apache-2.0 */
/* The life of an attempt at its source: what is to be done, deadlines, how it ends. */
#include "migrate/fault.h"
#include "migrate/source_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND INT64_C(1000000000)

/* ---- Phases and ends ---- */

void source_enter(source *s, move_phase phase, int64_t now_ns)
{
    s->phase = phase;
    s->entered[phase] = now_ns;
}

/* Ended, one way or the other; what is still wanted comes before OVER. */
static void over(source *s, unsigned want)
{
    s->stage = SOURCE_ENDED;
    s->want = want | WANT_OVER;
    s->hold_at = PACE_NEVER;
    pace_stop(&s->again);
    source_parts_free(s);
}

void source_end(source *s, const move_outcome *why, int64_t now_ns)
{
    (void)now_ns;
    s->outcome = *why;
    s->outcome.moved = false;
    over(s, (s->offered ? WANT_ABORT : 0) | (s->touched ? WANT_RESUME : 0));
}

void source_fail(source *s, int64_t now_ns, move_reason reason, const char *format, ...)
{
    char text[MOVE_TEXT_MAX + 1];
    move_outcome why;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    move_failed(&why, reason, "%s", text);
    source_end(s, &why, now_ns);
}

void source_take_back(source *s, int64_t now_ns)
{
    (void)now_ns;
    s->stage = SOURCE_TAKING_BACK;
    s->want = WANT_TAKE_BACK;
    pace_stop(&s->again);
}

/* ---- Begin and end ---- */

static bool keep_name(char room[256], slice *name)
{
    if (name->len > 255)
        return false;
    if (name->len)
        memcpy(room, name->ptr, name->len);
    *name = slice_of(room, name->len);
    return true;
}

static int64_t or_default(int64_t value, int64_t otherwise)
{
    return value > 0 ? value : otherwise;
}

static void fill_in(source_config *c)
{
    c->resend_ns = or_default(c->resend_ns, SECOND / 2);
    c->deadline_ns = or_default(c->deadline_ns, 300 * SECOND);
    c->answer_ns = or_default(c->answer_ns, 10 * SECOND);
    c->max_hold_ns = or_default(c->max_hold_ns, 30 * SECOND);
    if (!c->chunk)
        c->chunk = 64 * 1024;
    if (c->chunk > MOVE_CHUNK_MAX)
        c->chunk = MOVE_CHUNK_MAX;
    if (!c->window)
        c->window = 3 << 20; /* the lane of a session takes 4: all of it finds room, heads too */
}

static source *create(const source_config *config, int64_t now_ns)
{
    source *s = calloc(1, sizeof *s);
    writer w = {0};

    if (!s)
        return NULL;
    s->config = *config;
    fill_in(&s->config);
    s->config.offer.head.kind = MESSAGE_MOVE_OFFER;
    s->again.every = s->config.resend_ns;
    s->began = s->word_at = now_ns;
    s->hold_at = PACE_NEVER;
    s->piece = PIECE_FINAL;
    if (keep_name(s->kind, &s->config.offer.kind) && keep_name(s->plugin, &s->config.offer.plugin))
        move_offer_write(&w, &s->config.offer);
    s->offer = w.failed || !w.len ? NULL : buf_copy(w.data, w.len);
    writer_free(&w);
    if (s->offer)
        return s;
    source_free(s);
    return NULL;
}

source *source_new(const source_config *config, int64_t now_ns)
{
    source *s = create(config, now_ns);

    if (!s)
        return NULL;
    s->want = WANT_OFFER;
    source_enter(s, MOVE_PHASE_SNAPSHOT, now_ns);
    pace_start(&s->again, now_ns);
    return s;
}

source *source_recover(const source_config *config, const uint8_t hash[MOVE_HASH_SIZE],
                       int64_t now_ns)
{
    source *s = create(config, now_ns);

    if (!s)
        return NULL;
    memcpy(s->hash, hash, sizeof s->hash);
    s->offered = s->touched = s->sealed = s->has_hash = s->released = true;
    s->stage = SOURCE_COMMITTING;
    s->want = WANT_COMMIT;
    source_enter(s, MOVE_PHASE_CUTOVER, now_ns);
    pace_start(&s->again, now_ns);
    return s;
}

void source_free(source *s)
{
    if (!s)
        return;
    source_parts_free(s);
    buf_unref(s->offer);
    buf_unref(s->proof);
    free(s);
}

/* ---- What the driver tells ---- */

berth_status source_abort(source *s, const move_outcome *why, int64_t now_ns)
{
    if (s->stage == SOURCE_ENDED)
        return s->outcome.moved ? BERTH_ERR_BUSY : BERTH_OK;
    if (s->released && !(FAULT(ABORT_AFTER_RELEASE) && s->stage == SOURCE_RELEASING))
        return BERTH_ERR_BUSY;
    source_end(s, why, now_ns);
    return BERTH_OK;
}

void source_target_gone(source *s, int64_t now_ns)
{
    if (s->stage < SOURCE_RELEASING)
        source_fail(s, now_ns, MOVE_TARGET_UNAVAILABLE, "the target is gone");
}

/* What a target that may have lost everything since the last session is owed. */
static void send_again(source *s)
{
    switch (s->stage) {
    case SOURCE_OFFERING:
        s->want |= WANT_OFFER;
        break;
    case SOURCE_STREAMING:
        if (s->acked < s->end || (s->proof && !s->proof_sent))
            source_go_back(s);
        else
            s->want |= s->proof ? WANT_PROOF : WANT_OFFER; /* or: is it still there? */
        break;
    case SOURCE_COMMITTING:
        s->want |= WANT_COMMIT;
        break;
    default:
        break;
    }
}

void source_target_up(source *s, int64_t now_ns)
{
    if (s->stage != SOURCE_STREAMING && s->stage != SOURCE_OFFERING &&
        s->stage != SOURCE_COMMITTING)
        return;
    pace_start(&s->again, now_ns);
    send_again(s);
}

void source_released(source *s, berth_status status, int64_t now_ns)
{
    if (!s->release_out)
        return;
    s->release_out = false;
    if (s->stage != SOURCE_RELEASING)
        return;
    if (status != BERTH_OK) {
        s->released = false;
        source_fail(s, now_ns, MOVE_STORE_FAILED, "the release could not be put on disk: %s",
                    berth_status_text(status));
    } else if (s->refused) {
        source_take_back(s, now_ns);
    } else {
        s->stage = SOURCE_COMMITTING;
        s->want = WANT_COMMIT;
        s->word_at = now_ns;
        source_enter(s, MOVE_PHASE_CUTOVER, now_ns);
        pace_start(&s->again, now_ns);
    }
}

void source_finished(source *s, int64_t now_ns)
{
    (void)now_ns;
    if (!s->finish_out)
        return;
    s->finish_out = false;
    s->outcome = (move_outcome){.moved = true};
    over(s, 0);
}

void source_taken_back(source *s, int64_t now_ns)
{
    (void)now_ns;
    if (!s->take_back_out)
        return;
    s->take_back_out = false;
    over(s, 0); /* the outcome is the refusal */
}

/* ---- Time ---- */

static bool waits_for_target(const source *s)
{
    return s->stage < SOURCE_RELEASING || s->stage == SOURCE_COMMITTING;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t source_deadline(const source *s)
{
    int64_t at = s->again.at;

    if (waits_for_target(s) && !s->in_doubt)
        at = earlier(at, pace_after(s->word_at, s->config.answer_ns));
    if (s->stage < SOURCE_RELEASING)
        at = earlier(at, earlier(pace_after(s->began, s->config.deadline_ns), s->hold_at));
    return at;
}

static double seconds(int64_t ns)
{
    return (double)ns / (double)SECOND;
}

/* What ends it before RELEASE. */
static void give_up(source *s, int64_t now_ns)
{
    if (now_ns >= s->hold_at)
        source_fail(s, now_ns, s->config.offer.precopy ? MOVE_NOT_CONVERGING : MOVE_TIMEOUT,
                    "the gate was closed for %.1f s, and the target has not prepared: move it when "
                    "it has less to do, or allow more with --max-hold",
                    seconds(s->config.max_hold_ns));
    else if (now_ns >= pace_after(s->began, s->config.deadline_ns))
        source_fail(s, now_ns, MOVE_TIMEOUT, "not prepared within %.1f s",
                    seconds(s->config.deadline_ns));
    else if (now_ns >= pace_after(s->word_at, s->config.answer_ns))
        source_fail(s, now_ns, MOVE_TARGET_UNAVAILABLE, "no word from the target for %.1f s",
                    seconds(s->config.answer_ns));
}

void source_expire(source *s, int64_t now_ns)
{
    if (s->stage < SOURCE_RELEASING)
        give_up(s, now_ns);
    else if (waits_for_target(s) && now_ns >= pace_after(s->word_at, s->config.answer_ns))
        s->in_doubt = true;
    if (FAULT(RESUME_AFTER_RELEASE) && s->in_doubt && s->stage == SOURCE_COMMITTING)
        source_fail(s, now_ns, MOVE_TIMEOUT, "the mistake that is asked for");
    if (waits_for_target(s) && pace_due(&s->again, now_ns))
        send_again(s);
}

/* ---- What is to be done ---- */

static bool take(source *s, unsigned want)
{
    bool wanted = s->want & want;

    s->want &= ~want;
    return wanted;
}

static buf *commit_message(const source *s)
{
    move_step m = {.head = s->config.offer.head, .epoch = s->config.offer.epoch};
    writer w = {0};
    buf *out;

    m.head.kind = MESSAGE_MOVE_COMMIT;
    memcpy(m.hash, s->hash, sizeof m.hash);
    move_step_write(&w, &m);
    out = w.failed ? NULL : buf_copy(w.data, w.len);
    writer_free(&w);
    return out;
}

static buf *abort_message(const source *s)
{
    move_no m = {.head = s->config.offer.head,
                 .reason = s->outcome.reason,
                 .text = slice_str(s->outcome.text)};
    writer w = {0};
    buf *out;

    m.head.kind = MESSAGE_MOVE_ABORT;
    move_no_write(&w, &m);
    out = w.failed ? NULL : buf_copy(w.data, w.len);
    writer_free(&w);
    return out;
}

/* One that is to be answered, or said to the driver only. */
static source_need_kind next_act(source *s, source_need *out)
{
    if (s->piece_out || s->release_out || s->finish_out || s->take_back_out)
        return SOURCE_NONE; /* one at a time, also when it has ended meanwhile */
    if (take(s, WANT_THROTTLE)) {
        s->touched = true;
        return SOURCE_THROTTLE;
    }
    if (take(s, WANT_PIECE)) {
        out->piece = s->piece;
        s->touched = s->piece_out = true;
        return SOURCE_PIECE;
    }
    if (take(s, WANT_RELEASE)) {
        s->release_out = true;
        if (FAULT(COMMIT_BEFORE_DURABLE))
            s->want |= WANT_COMMIT;
        return SOURCE_RELEASE;
    }
    if (take(s, WANT_FINISH)) {
        s->finish_out = true;
        return SOURCE_FINISH;
    }
    if (take(s, WANT_TAKE_BACK)) {
        s->take_back_out = true;
        return SOURCE_TAKE_BACK;
    }
    if (take(s, WANT_SERVE) && s->stage == SOURCE_OFFERING) {
        out->fetch = s->fetch;
        return SOURCE_SERVE;
    }
    return take(s, WANT_RESUME) ? SOURCE_RESUME : SOURCE_NONE;
}

/* One message, in *message; it is NULL when memory is short, which is the same as lost. */
static bool next_message(source *s, buf **message, lane *on, int64_t now_ns)
{
    *on = LANE_CALL;
    *message = NULL;
    if (take(s, WANT_ABORT)) {
        *message = abort_message(s);
        return true;
    }
    if (take(s, WANT_COMMIT)) {
        if (FAULT(FINISH_ON_COMMIT) && s->stage == SOURCE_COMMITTING) {
            s->stage = SOURCE_FINISHING;
            s->want |= WANT_FINISH;
        }
        *message = commit_message(s);
        return true;
    }
    if (take(s, WANT_OFFER)) {
        s->offered = true;
        *message = buf_ref(s->offer);
        return true;
    }
    *on = LANE_BULK;
    if (s->stage != SOURCE_STREAMING)
        return false;
    if (source_chunk(s, message, now_ns))
        return true;
    if (!s->proof || s->sent < s->end || (s->proof_sent && !take(s, WANT_PROOF)))
        return false;
    if (s->sealed && s->phase == MOVE_PHASE_TRANSFER)
        source_enter(s, MOVE_PHASE_RESTORE, now_ns);
    s->proof_sent = true;
    *message = buf_ref(s->proof);
    return true;
}

bool source_next(source *s, source_need *out, int64_t now_ns)
{
    memset(out, 0, sizeof *out);
    out->kind = next_act(s, out);
    if (out->kind != SOURCE_NONE)
        return true;
    while (next_message(s, &out->message, &out->lane, now_ns))
        if (out->message) {
            out->kind = SOURCE_SEND;
            out->node = s->config.target;
            return true;
        }
    if (s->piece_out || s->release_out || s->over || !take(s, WANT_OVER))
        return false;
    s->over = true;
    out->kind = SOURCE_OVER;
    return true;
}

/* ---- What can be seen ---- */

void source_look(const source *s, source_view *out)
{
    *out = (source_view){.phase = s->phase,
                         .over = s->over,
                         .ended = s->stage == SOURCE_ENDED,
                         .released = s->released,
                         .in_doubt = s->in_doubt,
                         .bytes_sent = s->sent_max,
                         .bytes_acknowledged = s->acked,
                         .bytes_total = s->end,
                         .rounds = s->rounds,
                         .began_ns = s->began,
                         .ignored = s->ignored,
                         .resent = s->resent,
                         .fetching = s->fetching && s->stage == SOURCE_OFFERING,
                         .fetched = s->fetch.offset};
    if (!s->sealed && s->config.offer.state_bytes > s->end)
        out->bytes_total = s->config.offer.state_bytes;
    memcpy(out->nonce, s->nonce, sizeof out->nonce);
    memcpy(out->entered_ns, s->entered, sizeof out->entered_ns);
}

const move_outcome *source_outcome(const source *s)
{
    return &s->outcome;
}
