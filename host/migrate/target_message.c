/* SPDX-License-Identifier: Apache-2.0 */
/* What a target is told by its source. */
#include "migrate/fault.h"
#include "migrate/target_private.h"

static bool on_offer(target *t, slice message)
{
    if (!slice_eq(message, slice_of(t->offer_bytes->data, t->offer_bytes->len)))
        return false;
    switch (t->stage) {
    case TARGET_OFFERED:
    case TARGET_CHECKING:
    case TARGET_PREPARING:
        t->want |= TARGET_SAY_GOT; /* at work */
        break;
    case TARGET_RECEIVING:
        t->want |= TARGET_SAY_ACCEPT;
        break;
    case TARGET_ENDED:
        t->want |= TARGET_SAY_REFUSED;
        break;
    default:
        break;
    }
    return true;
}

static bool on_chunk(target *t, slice message, int64_t now_ns)
{
    move_chunk m;

    if (move_chunk_read(&m, message, NULL) != BERTH_OK)
        return false;
    if (t->stage == TARGET_RECEIVING)
        return target_chunk(t, &m, now_ns);
    if (t->stage == TARGET_ENDED)
        t->want |= TARGET_SAY_REFUSED;
    else if (t->stage == TARGET_CHECKING || t->stage == TARGET_PREPARING)
        t->want |= TARGET_SAY_GOT;
    /* What is sealed is whole: bytes of it come late. */
    return t->sealed && m.offset + m.bytes.len <= t->seal.total;
}

static bool on_round(target *t, slice message)
{
    move_round m;

    if (move_round_read(&m, message, NULL) != BERTH_OK)
        return false;
    if (t->stage == TARGET_RECEIVING)
        return target_round_ends(t, &m);
    if (t->stage == TARGET_ENDED)
        t->want |= TARGET_SAY_REFUSED;
    return t->stage == TARGET_ENDED;
}

static bool on_seal(target *t, slice message, int64_t now_ns)
{
    if (t->stage == TARGET_RECEIVING)
        return target_sealed(t, message, now_ns);
    if (!t->sealed || !slice_eq(message, target_seal(t)))
        return false;
    if (t->stage == TARGET_CHECKING || t->stage == TARGET_PREPARING)
        t->want |= TARGET_SAY_GOT;
    else if (t->stage == TARGET_PREPARED)
        t->want |= TARGET_SAY_PREPARED;
    else if (t->stage == TARGET_OWNED)
        t->want |= TARGET_SAY_OWNED;
    else if (t->stage == TARGET_ENDED)
        t->want |= TARGET_SAY_REFUSED;
    return true;
}

static bool on_commit(target *t, slice message)
{
    move_step m;

    if (move_step_read(&m, message, NULL) != BERTH_OK || !t->sealed || m.epoch != t->offer.epoch ||
        memcmp(m.hash, t->seal.hash, sizeof m.hash) != 0)
        return false;
    switch (t->stage) {
    case TARGET_PREPARED:
        t->stage = TARGET_OWNING;
        t->want = TARGET_WANT_OWN;
        pace_stop(&t->again);
        return true;
    case TARGET_OWNING:
    case TARGET_REFUSING:
        return true; /* the answer comes when it is on disk */
    case TARGET_OWNED:
        t->want |= TARGET_SAY_OWNED;
        return true;
    case TARGET_ENDED:
        if (!t->final)
            return false;
        t->want |= TARGET_SAY_REFUSED;
        return true;
    default:
        return false;
    }
}

static bool on_abort(target *t, slice message)
{
    move_outcome why = {0};
    move_no m;

    if (move_no_read(&m, message, NULL) != BERTH_OK || t->stage == TARGET_OWNING ||
        t->stage == TARGET_OWNED || t->stage == TARGET_REFUSING)
        return false;
    if (t->stage == TARGET_ENDED)
        return true;
    why.reason = m.reason;
    move_text_cut(why.text, m.text);
    target_end(t, &why, false);
    return true;
}

static bool for_us(const target *t, uint64_t node, slice message, move_head *head)
{
    if (move_head_read(head, message, NULL) != BERTH_OK ||
        memcmp(head->attempt, t->offer.head.attempt, ATTEMPT_SIZE) != 0 ||
        head->origin != t->offer.head.origin)
        return false;
    return node == t->config.source ||
           (FAULT(ABORT_FROM_ANYONE) && head->kind == MESSAGE_MOVE_ABORT) ||
           (FAULT(COMMIT_FROM_ANYONE) && head->kind == MESSAGE_MOVE_COMMIT);
}

static bool dispatch(target *t, uint16_t kind, slice message, int64_t now_ns)
{
    switch (kind) {
    case MESSAGE_MOVE_OFFER:
        return on_offer(t, message);
    case MESSAGE_MOVE_CHUNK:
        return on_chunk(t, message, now_ns);
    case MESSAGE_MOVE_ROUND:
        return on_round(t, message);
    case MESSAGE_MOVE_SEAL:
        return on_seal(t, message, now_ns);
    case MESSAGE_MOVE_COMMIT:
        return on_commit(t, message);
    case MESSAGE_MOVE_ABORT:
        return on_abort(t, message);
    default:
        return false;
    }
}

bool target_message(target *t, uint64_t node, slice message, int64_t now_ns)
{
    move_head head;

    if (for_us(t, node, message, &head) && dispatch(t, head.kind, message, now_ns)) {
        t->word_at = now_ns;
        return true;
    }
    t->ignored++;
    return false;
}
