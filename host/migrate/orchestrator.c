/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever wants a daemon moved: attempts one after the other, and one outcome. */
#include "migrate/orchestrator.h"
#include "migrate/fault.h"
#include "migrate/pace.h"
#include "migrate/wire_private.h"

#include <stdlib.h>

#define SECOND      INT64_C(1000000000)
#define BACKOFF     (SECOND / 2)
#define BACKOFF_MAX (16 * SECOND)

typedef enum stage {
    ORCHESTRATOR_BEGINNING, /* an order is asked for, or about to be */
    ORCHESTRATOR_ORDERED,   /* the source has not answered yet */
    ORCHESTRATOR_LOOKING,
    ORCHESTRATOR_WAITING, /* the target was not ready: later again */
    ORCHESTRATOR_ENDED
} stage;

enum { WANT_BEGIN = 1, WANT_ORDER = 2, WANT_LOOK = 4, WANT_CANCEL = 8, WANT_OVER = 16 };

struct orchestrator {
    orchestrator_config config;
    stage stage;
    unsigned want;
    bool begin_out, over;
    bool cancelled; /* somebody wants it to stop, and it is not known to be too late */
    unsigned attempts;
    move_head head; /* of the present attempt */
    buf *order;     /* its message */
    int64_t began, backoff, retry_at;
    int64_t word_at, ordered_at;
    pace again; /* ORDER, or the wish to stop */
    int64_t look_at;
    move_state state;
    char text[MOVE_TEXT_MAX + 1];
    move_outcome outcome;
};

/* ---- Ends ---- */

static void over(orchestrator *o, const move_outcome *outcome)
{
    o->outcome = *outcome;
    o->stage = ORCHESTRATOR_ENDED;
    o->want = WANT_OVER;
    o->state.over = true;
    o->state.moved = outcome->moved;
    o->state.in_doubt = false;
    o->state.reason = outcome->moved ? 0 : outcome->reason;
    memmove(o->text, outcome->text, sizeof o->text);
    o->state.text = slice_str(o->text);
}

static void cancel_now(orchestrator *o)
{
    move_outcome why;

    move_failed(&why, MOVE_CANCELLED, "cancelled before the source was asked");
    over(o, &why);
}

/* An attempt has ended without moving anything: the last one? (spec, migration 11.2) */
static void failed(orchestrator *o, move_outcome *why, int64_t now_ns)
{
    uint8_t attempts = o->attempts < UINT8_MAX ? (uint8_t)o->attempts : UINT8_MAX;

    if (!move_reason_retriable(why->reason) || o->config.retry_not_ready_ns <= 0) {
        over(o, why);
    } else if (o->cancelled) {
        move_failed(why, MOVE_CANCELLED, "cancelled while the target was not ready");
        over(o, why);
    } else if (now_ns >= pace_after(o->began, o->config.retry_not_ready_ns)) {
        move_failed(why, MOVE_NOT_READY_TIMEOUT, "the target was not ready, %u times", attempts);
        why->attempts = attempts;
        over(o, why);
    } else {
        o->stage = ORCHESTRATOR_WAITING;
        o->want = 0;
        o->retry_at = pace_after(now_ns, o->backoff);
        o->backoff = o->backoff < BACKOFF_MAX ? 2 * o->backoff : BACKOFF_MAX;
        pace_stop(&o->again);
    }
}

/* ---- Begin and end ---- */

static int64_t or_default(int64_t value, int64_t otherwise)
{
    return value > 0 ? value : otherwise;
}

orchestrator *orchestrator_new(const orchestrator_config *config, int64_t now_ns)
{
    orchestrator *o = calloc(1, sizeof *o);

    if (!o)
        return NULL;
    o->config = *config;
    o->config.resend_ns = or_default(config->resend_ns, SECOND / 2);
    o->config.look_ns = or_default(config->look_ns, SECOND);
    o->config.silence_ns = or_default(config->silence_ns, 10 * SECOND);
    o->again = (pace){.every = o->config.resend_ns, .at = PACE_NEVER};
    o->backoff = BACKOFF;
    o->began = now_ns;
    o->head.origin = config->origin;
    o->want = WANT_BEGIN;
    o->state.text = slice_str(o->text);
    return o;
}

void orchestrator_free(orchestrator *o)
{
    if (!o)
        return;
    buf_unref(o->order);
    free(o);
}

/* ---- What the driver tells ---- */

static bool keep_order(orchestrator *o, const move_order *given)
{
    writer w = {0};

    move_order_write(&w, given);
    buf_unref(o->order);
    o->order = w.failed ? NULL : buf_copy(w.data, w.len);
    writer_free(&w);
    o->head = given->head;
    return o->order != NULL;
}

void orchestrator_begun(orchestrator *o, berth_status status, const move_order *given,
                        const move_outcome *why, int64_t now_ns)
{
    move_outcome none;

    if (!o->begin_out)
        return;
    o->begin_out = false;
    if (o->stage != ORCHESTRATOR_BEGINNING)
        return;
    if (status != BERTH_OK || !keep_order(o, given)) {
        move_failed(&none, MOVE_REFUSED, "%s",
                    berth_status_text(status ? status : BERTH_ERR_NO_MEMORY));
        if (status != BERTH_OK && why)
            none = *why;
        none.moved = false;
        failed(o, &none, now_ns);
        return;
    }
    if (o->cancelled && !o->config.local) { /* the source knows nothing of it */
        cancel_now(o);
        return;
    }
    o->state = (move_state){.head = given->head, .text = slice_str(o->text)};
    o->text[0] = 0;
    o->word_at = o->ordered_at = now_ns;
    o->look_at = PACE_NEVER;
    o->stage = o->config.local ? ORCHESTRATOR_LOOKING : ORCHESTRATOR_ORDERED;
    o->want |= o->config.local ? 0 : WANT_ORDER;
    if (o->cancelled)
        o->want |= WANT_CANCEL;
    pace_start(&o->again, now_ns);
}

static void heard(orchestrator *o, int64_t now_ns)
{
    o->word_at = now_ns;
    o->state.in_doubt = false;
    if (o->stage == ORCHESTRATOR_ORDERED) {
        o->stage = ORCHESTRATOR_LOOKING;
        o->want &= ~(unsigned)WANT_ORDER;
    }
    o->look_at = pace_after(now_ns, o->config.look_ns);
}

void orchestrator_state(orchestrator *o, const move_state *state, int64_t now_ns)
{
    move_outcome outcome = {.moved = state->moved, .reason = state->reason};
    move_phase reached = o->state.phase;

    if ((o->stage != ORCHESTRATOR_ORDERED && o->stage != ORCHESTRATOR_LOOKING) ||
        memcmp(state->head.attempt, o->head.attempt, ATTEMPT_SIZE) != 0)
        return;
    heard(o, now_ns);
    if (!state->over && state->phase < reached)
        return; /* overtaken by a later one */
    move_text_cut(o->text, state->text);
    o->state = *state;
    o->state.text = slice_str(o->text);
    if (!state->over)
        return;
    memcpy(outcome.text, o->text, sizeof outcome.text);
    if (state->moved)
        over(o, &outcome);
    else
        failed(o, &outcome, now_ns);
}

static bool on_state(orchestrator *o, slice message, int64_t now_ns)
{
    move_state m;

    if (move_state_read(&m, message, NULL) != BERTH_OK)
        return false;
    orchestrator_state(o, &m, now_ns);
    return true;
}

static bool on_refused(orchestrator *o, slice message, int64_t now_ns)
{
    move_outcome why = {0};
    move_no m;

    if (move_no_read(&m, message, NULL) != BERTH_OK || m.head.kind != MESSAGE_MOVE_REFUSED)
        return false;
    heard(o, now_ns);
    why.reason = m.reason;
    move_text_cut(why.text, m.text);
    if (m.reason == MOVE_TOO_LATE) { /* to stop it: how it ends is still to be heard */
        o->cancelled = false;
        o->want &= ~(unsigned)WANT_CANCEL;
        o->want |= WANT_LOOK;
    } else {
        failed(o, &why, now_ns);
    }
    return true;
}

bool orchestrator_message(orchestrator *o, uint64_t node, slice message, int64_t now_ns)
{
    move_head head;

    if ((o->stage != ORCHESTRATOR_ORDERED && o->stage != ORCHESTRATOR_LOOKING) ||
        node != o->config.source || move_head_read(&head, message, NULL) != BERTH_OK ||
        head.origin != o->head.origin || memcmp(head.attempt, o->head.attempt, ATTEMPT_SIZE) != 0)
        return false;
    if (head.kind == MESSAGE_MOVE_STATE)
        return on_state(o, message, now_ns);
    return head.kind == MESSAGE_MOVE_REFUSED && on_refused(o, message, now_ns);
}

/* What is sent until it is answered: the order, or the wish to stop, which stands for both. */
static unsigned ask_again(const orchestrator *o)
{
    if (o->cancelled)
        return WANT_CANCEL;
    return o->stage == ORCHESTRATOR_ORDERED ? WANT_ORDER : 0;
}

void orchestrator_source_up(orchestrator *o, int64_t now_ns)
{
    if (o->config.local || (o->stage != ORCHESTRATOR_ORDERED && o->stage != ORCHESTRATOR_LOOKING))
        return;
    pace_start(&o->again, now_ns);
    if (o->stage == ORCHESTRATOR_LOOKING)
        o->want |= WANT_LOOK;
    o->want |= ask_again(o);
}

void orchestrator_cancel(orchestrator *o, int64_t now_ns)
{
    if (o->stage == ORCHESTRATOR_ENDED)
        return;
    if (o->stage == ORCHESTRATOR_WAITING || (o->stage == ORCHESTRATOR_BEGINNING && !o->begin_out)) {
        cancel_now(o);
        return;
    }
    o->cancelled = true;
    o->want &= ~(unsigned)WANT_ORDER; /* it may be there already; not once more */
    if (o->stage == ORCHESTRATOR_BEGINNING)
        return; /* until there is something to stop */
    o->want |= WANT_CANCEL;
    pace_start(&o->again, now_ns);
}

/* ---- Time ---- */

int64_t orchestrator_deadline(const orchestrator *o)
{
    int64_t at = PACE_NEVER, silent = pace_after(o->word_at, o->config.silence_ns);

    if (o->stage == ORCHESTRATOR_WAITING)
        return o->retry_at;
    if (o->stage != ORCHESTRATOR_ORDERED && o->stage != ORCHESTRATOR_LOOKING)
        return PACE_NEVER;
    if (o->stage == ORCHESTRATOR_ORDERED || o->cancelled)
        at = o->again.at;
    if (!o->config.local && !o->state.in_doubt && silent < at)
        at = silent;
    if (!o->config.local && o->look_at < at)
        at = o->look_at;
    return at;
}

/* Nothing was ever heard, or nothing any more: only the first is an end, and not one that is sure.
 */
static void silent(orchestrator *o)
{
    move_outcome why;

    if (o->stage == ORCHESTRATOR_LOOKING && !FAULT(SILENCE_IS_FAILURE)) {
        o->state.in_doubt = true;
        return;
    }
    move_failed(&why, MOVE_TIMEOUT,
                "no answer from the source for %.1f s: whether it has begun is not known, ask it "
                "when it is back",
                (double)o->config.silence_ns / (double)SECOND);
    why.unknown = o->stage == ORCHESTRATOR_ORDERED;
    over(o, &why);
}

void orchestrator_expire(orchestrator *o, int64_t now_ns)
{
    if (o->stage == ORCHESTRATOR_WAITING && now_ns >= o->retry_at) {
        o->stage = ORCHESTRATOR_BEGINNING;
        o->want |= WANT_BEGIN;
    }
    if (o->stage != ORCHESTRATOR_ORDERED && o->stage != ORCHESTRATOR_LOOKING)
        return;
    if (!o->config.local && now_ns >= pace_after(o->word_at, o->config.silence_ns))
        silent(o);
    if (o->stage == ORCHESTRATOR_ENDED)
        return;
    if (!o->config.local && now_ns >= o->look_at) {
        o->want |= WANT_LOOK;
        o->look_at = pace_after(now_ns, o->config.look_ns);
    }
    if ((o->stage == ORCHESTRATOR_ORDERED || o->cancelled) && pace_due(&o->again, now_ns))
        o->want |=
            (o->stage == ORCHESTRATOR_ORDERED ? WANT_ORDER : 0) | (o->cancelled ? WANT_CANCEL : 0);
}

/* ---- What is to be done ---- */

static bool take(orchestrator *o, unsigned want)
{
    bool wanted = o->want & want;

    o->want &= ~want;
    return wanted;
}

static buf *look_message(const orchestrator *o)
{
    move_head m = o->head;
    writer w = {0};
    buf *out;

    m.kind = MESSAGE_MOVE_LOOK;
    move_bare_write(&w, &m);
    out = w.failed ? NULL : buf_copy(w.data, w.len);
    writer_free(&w);
    return out;
}

static buf *cancel_message(const orchestrator *o)
{
    move_no m = {.head = o->head, .reason = MOVE_CANCELLED, .text = slice_str("cancelled")};
    writer w = {0};
    buf *out;

    m.head.kind = MESSAGE_MOVE_ABORT;
    move_no_write(&w, &m);
    out = w.failed ? NULL : buf_copy(w.data, w.len);
    writer_free(&w);
    return out;
}

/* *out NULL: memory is short, and it counts as lost. */
static bool next_message(orchestrator *o, buf **out)
{
    if (take(o, WANT_ORDER))
        *out = buf_ref(o->order);
    else if (take(o, WANT_CANCEL))
        *out = cancel_message(o);
    else if (take(o, WANT_LOOK))
        *out = look_message(o);
    else
        return false;
    return true;
}

bool orchestrator_next(orchestrator *o, orchestrator_need *out, int64_t now_ns)
{
    (void)now_ns;
    memset(out, 0, sizeof *out);
    if (take(o, WANT_BEGIN)) {
        o->attempts++;
        o->begin_out = true;
        out->kind = ORCHESTRATOR_BEGIN;
        return true;
    }
    while (next_message(o, &out->message))
        if (out->message) {
            out->kind = ORCHESTRATOR_SEND;
            out->node = o->config.source;
            return true;
        }
    if (o->begin_out || o->over || !take(o, WANT_OVER))
        return false;
    o->over = true;
    out->kind = ORCHESTRATOR_OVER;
    return true;
}

/* ---- What can be seen ---- */

void orchestrator_look(const orchestrator *o, orchestrator_view *out)
{
    *out = (orchestrator_view){
        .over = o->stage == ORCHESTRATOR_ENDED, .attempts = o->attempts, .state = o->state};
    memcpy(out->attempt, o->head.attempt, ATTEMPT_SIZE);
}

const move_outcome *orchestrator_outcome(const orchestrator *o)
{
    return &o->outcome;
}
