/* SPDX-License-Identifier: Apache-2.0 */
/* What a source is told by its target. */
#include "migrate/fault.h"
#include "migrate/source_private.h"

/* The target lives, and means this attempt. */
static bool heard(source *s, int64_t now_ns)
{
    s->word_at = now_ns;
    s->in_doubt = false;
    return true;
}

static bool on_accept(source *s, slice message, int64_t now_ns)
{
    move_accept m;

    if (move_accept_read(&m, message, NULL) != BERTH_OK || s->stage == SOURCE_ENDED)
        return false;
    if (s->stage == SOURCE_OFFERING) {
        memcpy(s->nonce, m.nonce, sizeof s->nonce);
        s->has_nonce = true;
        s->stage = SOURCE_STREAMING;
        s->want &= ~(unsigned)(WANT_OFFER | WANT_SERVE);
        pace_start(&s->again, now_ns);
        source_ask_piece(s, s->config.offer.precopy ? PIECE_RUNNING : PIECE_FINAL, now_ns);
        return heard(s, now_ns);
    }
    if (s->has_nonce && memcmp(m.nonce, s->nonce, sizeof s->nonce) == 0)
        return heard(s, now_ns); /* again */
    if (s->stage != SOURCE_STREAMING)
        return false;
    /* Somebody who accepts anew has lost what was sent to him. */
    source_fail(s, now_ns, MOVE_TARGET_UNAVAILABLE, "the target began anew: has it restarted?");
    return true;
}

static void release(source *s, int64_t now_ns)
{
    s->stage = SOURCE_RELEASING;
    s->released = true;
    s->want = WANT_RELEASE;
    s->hold_at = PACE_NEVER;
    pace_stop(&s->again);
    source_enter(s, MOVE_PHASE_REPLAY, now_ns);
}

static bool on_got(source *s, slice message, int64_t now_ns)
{
    move_got m;

    if (move_got_read(&m, message, NULL) != BERTH_OK || s->stage == SOURCE_ENDED ||
        m.through > s->sent_max)
        return false;
    heard(s, now_ns);
    if (s->stage == SOURCE_STREAMING)
        source_acknowledged(s, m.through, now_ns);
    if (FAULT(RELEASE_UNPREPARED) && s->stage == SOURCE_STREAMING && s->sealed && s->proof_sent &&
        s->acked == s->end)
        release(s, now_ns);
    return true;
}

static bool on_built(source *s, slice message, int64_t now_ns)
{
    move_got m;

    if (move_got_read(&m, message, NULL) != BERTH_OK || s->stage != SOURCE_STREAMING ||
        m.through > s->sent_max)
        return false;
    heard(s, now_ns);
    source_acknowledged(s, m.through, now_ns);
    source_built(s, m.through, now_ns);
    return true;
}

static bool same_step(const source *s, slice message)
{
    move_step m;

    return move_step_read(&m, message, NULL) == BERTH_OK && s->has_hash &&
           m.epoch == s->config.offer.epoch && memcmp(m.hash, s->hash, sizeof m.hash) == 0;
}

static bool on_prepared(source *s, slice message, int64_t now_ns)
{
    if (!same_step(s, message))
        return false;
    switch (s->stage) {
    case SOURCE_STREAMING:
        /* Nobody else knows the hash of a stream that was never sealed towards the target. */
        if (!s->sealed || s->sent_max < s->end)
            return false;
        source_acknowledged(s, s->end, now_ns);
        release(s, now_ns);
        break;
    case SOURCE_COMMITTING:
        s->want |= WANT_COMMIT;
        break;
    case SOURCE_ENDED:
        if (s->outcome.moved)
            return false;
        s->want |= WANT_ABORT;
        break;
    default:
        break;
    }
    return heard(s, now_ns);
}

static bool on_owned(source *s, slice message, int64_t now_ns)
{
    if (!same_step(s, message) || (s->stage != SOURCE_COMMITTING && s->stage != SOURCE_FINISHING &&
                                   !(s->stage == SOURCE_ENDED && s->outcome.moved)))
        return false;
    if (s->stage == SOURCE_COMMITTING) {
        s->stage = SOURCE_FINISHING;
        s->want = WANT_FINISH;
        pace_stop(&s->again);
        source_enter(s, MOVE_PHASE_COMPLETE, now_ns);
    }
    return heard(s, now_ns);
}

static void keep_refusal(source *s, const move_no *m)
{
    s->outcome = (move_outcome){.reason = m->reason};
    move_text_cut(s->outcome.text, m->text);
}

static bool on_refused(source *s, slice message, int64_t now_ns)
{
    move_outcome why = {0};
    move_no m;

    if (move_no_read(&m, message, NULL) != BERTH_OK)
        return false;
    if (FAULT(REFUSAL_NOT_FINAL))
        m.final = true;
    switch (s->stage) {
    case SOURCE_OFFERING:
    case SOURCE_STREAMING:
        why.reason = m.reason;
        move_text_cut(why.text, m.text);
        source_end(s, &why, now_ns);
        s->want &= ~(unsigned)WANT_ABORT; /* it has ended there, too */
        break;
    case SOURCE_RELEASING:
        if (!m.final)
            return false;
        if (!s->refused)
            keep_refusal(s, &m);
        s->refused = true;
        break;
    case SOURCE_COMMITTING:
        if (!m.final)
            return false;
        keep_refusal(s, &m);
        source_take_back(s, now_ns);
        break;
    case SOURCE_TAKING_BACK:
        if (!m.final)
            return false;
        break;
    default:
        return false;
    }
    return heard(s, now_ns);
}

static bool on_ask(source *s, slice message, int64_t now_ns)
{
    move_head m;

    if (move_bare_read(&m, message, NULL) != BERTH_OK)
        return false;
    switch (s->stage) {
    case SOURCE_STREAMING:
        /* Its PREPARED was lost: it says so again when it is sealed again. */
        if (!s->sealed || !s->proof_sent || s->acked < s->end)
            return false;
        s->want |= WANT_PROOF;
        break;
    case SOURCE_RELEASING:
        break; /* the answer is on its way to the disk */
    case SOURCE_COMMITTING:
        s->want |= WANT_COMMIT;
        break;
    case SOURCE_ENDED:
        if (s->outcome.moved)
            return false;
        s->want |= WANT_ABORT;
        break;
    default:
        return false;
    }
    return heard(s, now_ns);
}

/* It would have the daemon, and lacks the kind. Nothing but the plugin that was offered is meant.
 */
static bool on_fetch(source *s, slice message, int64_t now_ns)
{
    static const uint8_t no_file[32];
    move_fetch m;

    if (move_fetch_read(&m, message, NULL) != BERTH_OK || s->stage != SOURCE_OFFERING ||
        memcmp(m.digest, no_file, sizeof m.digest) == 0 ||
        memcmp(m.digest, s->config.offer.digest, sizeof m.digest) != 0)
        return false;
    s->fetching = true;
    s->fetch = m;
    s->want |= WANT_SERVE;
    return heard(s, now_ns);
}

static bool for_us(const source *s, uint64_t node, slice message, move_head *head)
{
    const move_head *mine = &s->config.offer.head;

    return node == s->config.target && move_head_read(head, message, NULL) == BERTH_OK &&
           memcmp(head->attempt, mine->attempt, ATTEMPT_SIZE) == 0 && head->origin == mine->origin;
}

static bool dispatch(source *s, uint16_t kind, slice message, int64_t now_ns)
{
    switch (kind) {
    case MESSAGE_MOVE_ACCEPT:
        return on_accept(s, message, now_ns);
    case MESSAGE_MOVE_GOT:
        return on_got(s, message, now_ns);
    case MESSAGE_MOVE_BUILT:
        return on_built(s, message, now_ns);
    case MESSAGE_MOVE_PREPARED:
        return on_prepared(s, message, now_ns);
    case MESSAGE_MOVE_OWNED:
        return on_owned(s, message, now_ns);
    case MESSAGE_MOVE_REFUSED:
        return on_refused(s, message, now_ns);
    case MESSAGE_MOVE_ASK:
        return on_ask(s, message, now_ns);
    case MESSAGE_MOVE_FETCH:
        return on_fetch(s, message, now_ns);
    default:
        return false;
    }
}

bool source_message(source *s, uint64_t node, slice message, int64_t now_ns)
{
    move_head head;

    if (for_us(s, node, message, &head) && dispatch(s, head.kind, message, now_ns))
        return true;
    s->ignored++;
    return false;
}
