/* SPDX-License-Identifier: Apache-2.0 */
/* The stream at its target: contiguous, bounded, hashed as it comes. */
#include "base/error.h"
#include "identity/entity.h"
#include "migrate/fault.h"
#include "migrate/target_private.h"

#include <inttypes.h>

#define ROOM_MIN (64 * 1024)
#define LARGE    (8 << 20)

/* What was announced; it was promised room, and takes none before it comes: so large a block is
 * only addresses until it is written to. */
static buf *room_for_all(const target *t, uint64_t most)
{
    uint64_t all = t->offer.state_bytes + ROOM_MIN;

    return t->offer.state_bytes < LARGE || all > most ? NULL : buf_new(all);
}

/* Room for need bytes: it grows with what came. */
static bool make_room(target *t, uint64_t need)
{
    uint64_t most = t->sealed ? t->seal.total : t->config.max_stream;
    uint64_t room;
    buf *grown;

    if (!t->stream)
        t->stream = room_for_all(t, most);
    room = t->stream ? 2 * (uint64_t)t->stream->len : ROOM_MIN;

    if (t->stream && need <= t->stream->len)
        return true;
    if (room < need)
        room = need;
    if (room > most)
        room = most;
    grown = t->stream ? buf_grow(t->stream, room) : buf_new(room);
    if (!grown)
        return false;
    t->stream = grown;
    return true;
}

/* Stream and seal are whole, if they are. */
static void complete(target *t)
{
    uint8_t hash[MOVE_HASH_SIZE];

    if (!t->sealed || t->have < t->seal.total)
        return;
    crypto_generichash_final(&t->hash, hash, sizeof hash);
    if (memcmp(hash, t->seal.hash, sizeof hash) != 0 && !FAULT(NO_HASH)) {
        target_fail(t, MOVE_STATE_FAILED, "the stream has another hash than its seal says");
        return;
    }
    t->stage = TARGET_CHECKING;
    t->want |= TARGET_WANT_CHECK | TARGET_SAY_GOT;
}

/* Bytes that came before: the same, or somebody lies. */
static bool repeats(const target *t, const move_chunk *m)
{
    uint64_t len = m->bytes.len;

    uint64_t at = m->offset;

    if (at >= t->have || !t->stream)
        return true;
    if (len > t->have - at)
        len = t->have - at;
    if (t->cut_len && at + len > t->cut_at) {
        if (at < t->cut_at + t->cut_len)
            return true; /* that lies elsewhere, as its round had it */
        at -= t->cut_len;
    }
    return memcmp(t->stream->data + at, m->bytes.ptr, len) == 0;
}

bool target_cut(target *t, uint64_t at, uint64_t len)
{
    uint64_t kept = t->have - len;
    buf *rest = t->cut_len ? NULL : buf_new(kept > ROOM_MIN ? kept : ROOM_MIN);

    if (!rest)
        return false;
    memcpy(rest->data, t->stream->data, at);
    memcpy(rest->data + at, t->stream->data + at + len, kept - at);
    buf_unref(t->stream);
    t->stream = rest;
    t->cut_at = at;
    t->cut_len = len;
    return true;
}

static void take_bytes(target *t, slice bytes, int64_t now_ns)
{
    if (!make_room(t, target_kept(t) + bytes.len)) {
        target_fail(t, MOVE_NO_ROOM, "no memory for %" PRIu64 " bytes of the stream",
                    t->have + bytes.len);
        return;
    }
    memcpy(t->stream->data + target_kept(t), bytes.ptr, bytes.len);
    crypto_generichash_update(&t->hash, bytes.ptr, bytes.len);
    t->have += bytes.len;
    if (t->have - t->told >= t->config.got_every)
        t->want |= TARGET_SAY_GOT;
    else if (t->got_at == PACE_NEVER)
        t->got_at = pace_after(now_ns, t->config.resend_ns / 8);
    complete(t);
}

bool target_chunk(target *t, const move_chunk *m, int64_t now_ns)
{
    uint64_t end = m->offset + m->bytes.len; /* does not overflow: it was read */
    uint64_t known;

    if (end > t->config.max_stream) {
        target_fail(t, MOVE_NO_ROOM, "the stream goes beyond %" PRIu64 " bytes, the most here",
                    t->config.max_stream);
        return true;
    }
    if (t->sealed && end > t->seal.total) {
        target_fail(t, MOVE_STATE_FAILED, "the stream goes on behind the end that its seal says");
        return true;
    }
    if (!repeats(t, m)) {
        target_fail(t, MOVE_STATE_FAILED, "the stream has other bytes than before at %" PRIu64,
                    m->offset);
        return true;
    }
    if (t->building && end > t->have)
        return false;                            /* nobody goes on before that is built */
    if (m->offset > t->have || end <= t->have) { /* too early, or again: say where we are */
        t->want |= TARGET_SAY_GOT;
        return m->offset <= t->have;
    }
    known = t->have - m->offset;
    take_bytes(t, slice_of(m->bytes.ptr + known, m->bytes.len - known), now_ns);
    return true;
}

bool target_round_ends(target *t, const move_round *m)
{
    crypto_generichash_state so_far = t->hash;
    uint8_t hash[MOVE_HASH_SIZE];

    if (!t->offer.precopy || t->sealed)
        return false;
    if (m->total <= t->built) {
        t->want |= TARGET_SAY_BUILT;
    } else if (t->building || m->total > t->have) {
        t->want |= TARGET_SAY_GOT; /* at work, or not all of it has come */
    } else if (m->total < t->have) {
        target_fail(t, MOVE_STATE_FAILED, "a round ends before what has come");
    } else {
        crypto_generichash_final(&so_far, hash, sizeof hash);
        if (memcmp(hash, m->hash, sizeof hash) != 0 && !FAULT(NO_HASH)) {
            target_fail(t, MOVE_STATE_FAILED, "the stream has another hash than its round says");
            return true;
        }
        t->round = *m;
        t->building = true;
        t->want |= TARGET_WANT_ROUND | TARGET_SAY_GOT;
    }
    return true;
}

static const char *check_seal(const target *t, const move_seal *m)
{
    const order *o = &t->offer.order;

    if (m->handover.epoch != t->offer.epoch)
        return "another epoch than was offered";
    if (!entity_eq(m->handover.entity, o->entity))
        return "another daemon than was ordered";
    if (!entity_eq(m->handover.from, o->source) || !entity_eq(m->handover.to, o->target))
        return "other nodes than were ordered";
    return m->total < t->have ? "an end before what has come" : NULL;
}

bool target_sealed(target *t, slice message, int64_t now_ns)
{
    berth_error error = {0};
    const char *wrong;
    move_seal m;

    (void)now_ns;
    if (t->sealed && slice_eq(message, target_seal(t))) {
        t->want |= TARGET_SAY_GOT;
        return true;
    }
    if (move_seal_read(&m, message, &error) != BERTH_OK) {
        target_fail(t, MOVE_STATE_FAILED, "%s", error.text);
        return true;
    }
    if (t->building)
        return false;
    wrong = t->sealed ? "other things than the seal before" : check_seal(t, &m);
    if (wrong) {
        target_fail(t, MOVE_STATE_FAILED, "the seal says %s", wrong);
        return true;
    }
    if (m.total > t->config.max_stream) {
        target_fail(t, MOVE_NO_ROOM,
                    "the stream has %" PRIu64 " bytes, and %" PRIu64 " are the most here", m.total,
                    t->config.max_stream);
        return true;
    }
    t->seal_bytes = buf_copy(message.ptr, message.len);
    if (!t->seal_bytes)
        return false; /* as if it were lost: it comes again */
    t->seal = m;
    t->sealed = true;
    t->want |= TARGET_SAY_GOT;
    complete(t);
    return true;
}
