/* SPDX-License-Identifier: Apache-2.0 */
/* The stream of a source: pieces as they come, chunks in a window, rounds while the daemon runs. */
#include "migrate/source_private.h"

#include <inttypes.h>

void source_ask_piece(source *s, source_piece piece, int64_t now_ns)
{
    s->piece = piece;
    s->want |= WANT_PIECE;
    if (piece == PIECE_EXECUTED)
        s->rounds++;
    if (piece == PIECE_FINAL)
        s->hold_at = pace_after(now_ns, s->config.max_hold_ns);
}

/* How long so many bytes take, judged by those that went so far; 0 when nothing is known. */
static double time_for(const source *s, uint64_t bytes)
{
    return s->acked ? (double)bytes * (double)s->busy_ns / (double)s->acked : 0;
}

/* False: it has ended, because the gate would be closed for too long. */
static bool fits_hold(source *s, uint64_t bytes, int64_t now_ns)
{
    double needs = time_for(s, bytes);
    int64_t left = s->hold_at == PACE_NEVER ? s->config.max_hold_ns : s->hold_at - now_ns;

    if (needs <= (double)left)
        return true;
    source_fail(s, now_ns, MOVE_NOT_CONVERGING,
                "after %u rounds %" PRIu64
                " bytes are left, which take %.1f s, and the gate may be closed for %.1f s: "
                "move it when it has less to do, or allow more with --max-hold",
                s->rounds, bytes, needs / 1e9, (double)s->config.max_hold_ns / 1e9);
    return false;
}

void source_advance(source *s, int64_t now_ns)
{
    bool shrinks = s->last <= s->before - s->before / 4;

    if (s->stage != SOURCE_STREAMING || s->piece_out || s->want & WANT_PIECE || s->proof ||
        s->acked < s->end)
        return;
    if (s->last <= PRECOPY_SMALL) {
        source_ask_piece(s, PIECE_FINAL, now_ns);
    } else if (s->rounds < PRECOPY_ROUNDS && (s->piece == PIECE_RUNNING || shrinks)) {
        source_ask_piece(s, PIECE_EXECUTED, now_ns);
    } else if (s->rounds < PRECOPY_ROUNDS && !s->throttled) {
        s->throttled = true;
        s->want |= WANT_THROTTLE;
        source_ask_piece(s, PIECE_EXECUTED, now_ns);
    } else if (fits_hold(s, s->last, now_ns)) {
        source_ask_piece(s, PIECE_FINAL, now_ns);
    }
}

/* NULL when it fits. */
static const char *check_seal(const source *s, const move_seal *seal)
{
    const move_offer *offer = &s->config.offer;

    if (memcmp(seal->head.attempt, offer->head.attempt, ATTEMPT_SIZE) != 0 ||
        seal->head.origin != offer->head.origin)
        return "is of another attempt";
    if (seal->total != s->end)
        return "is of another length than the stream";
    return seal->handover.epoch == offer->epoch ? NULL : "has another epoch than was offered";
}

static const char *check_round(const source *s, const move_round *round)
{
    const move_head *mine = &s->config.offer.head;

    if (memcmp(round->head.attempt, mine->attempt, ATTEMPT_SIZE) != 0 ||
        round->head.origin != mine->origin)
        return "is of another attempt";
    return round->total == s->end ? NULL : "is of another length than the stream";
}

/* NULL: it is taken. */
static const char *take_seal(source *s, slice bytes, berth_error *error)
{
    const char *wrong;
    move_seal m;

    if (move_seal_read(&m, bytes, error) != BERTH_OK)
        return error->text;
    wrong = check_seal(s, &m);
    if (wrong)
        return wrong;
    memcpy(s->hash, m.hash, sizeof s->hash);
    s->sealed = s->has_hash = true;
    return NULL;
}

static const char *take_round(source *s, slice bytes, berth_error *error)
{
    move_round m;

    return move_round_read(&m, bytes, error) == BERTH_OK ? check_round(s, &m) : error->text;
}

static void take_proof(source *s, buf *proof, int64_t now_ns)
{
    slice bytes = proof ? slice_of(proof->data, proof->len) : (slice){0};
    berth_error error = {0};
    const char *wrong =
        s->piece == PIECE_FINAL ? take_seal(s, bytes, &error) : take_round(s, bytes, &error);

    if (wrong) {
        source_fail(s, now_ns, MOVE_STATE_FAILED, "the proof of its stream: %s", wrong);
        return;
    }
    s->proof = buf_ref(proof);
    s->proof_sent = false;
}

static size_t take_parts(source *s, const source_bytes *bytes)
{
    uint64_t before = s->end;

    for (unsigned i = 0; bytes && i < bytes->count; i++) {
        s->parts[s->part_count++] = (stream_part){s->end, buf_ref(bytes->parts[i])};
        s->end += bytes->parts[i]->len;
    }
    return s->end - before;
}

void source_piece_done(source *s, berth_status status, const source_bytes *bytes,
                       const move_outcome *why, int64_t now_ns)
{
    size_t len;

    if (!s->piece_out)
        return;
    s->piece_out = false;
    if (s->stage != SOURCE_STREAMING) {
        return; /* ended meanwhile: source_next goes on with that */
    }
    if (status != BERTH_OK) {
        if (why)
            source_end(s, why, now_ns);
        else
            source_fail(s, now_ns, MOVE_STATE_FAILED, "%s", berth_status_text(status));
        return;
    }
    len = take_parts(s, bytes);
    s->before = s->piece == PIECE_RUNNING ? UINT64_MAX : s->last;
    s->last = len;
    if (s->phase == MOVE_PHASE_SNAPSHOT)
        source_enter(s, MOVE_PHASE_TRANSFER, now_ns);
    if (s->piece == PIECE_FINAL || len)
        take_proof(s, bytes ? bytes->proof : NULL, now_ns);
    if (s->sealed && s->config.offer.precopy && !fits_hold(s, len, now_ns))
        return;
    source_advance(s, now_ns);
}

static void free_part(source *s, unsigned i)
{
    buf_unref(s->parts[i].bytes);
    s->part_count--;
    memmove(&s->parts[i], &s->parts[i + 1], (s->part_count - i) * sizeof *s->parts);
}

void source_parts_free(source *s)
{
    while (s->part_count)
        free_part(s, s->part_count - 1);
}

void source_acknowledged(source *s, uint64_t through, int64_t now_ns)
{
    int64_t took = now_ns - s->progress_at;

    if (through <= s->acked)
        return;
    s->acked = through;
    if (s->sent < through)
        s->sent = through;
    s->busy_ns += now_ns - s->busy_since;
    s->busy_since = now_ns;
    while (s->part_count && s->parts[0].at + s->parts[0].bytes->len <= through)
        free_part(s, 0);
    /* On a slow way the next receipt takes as long: what is only late is not sent again. */
    pace_start(&s->again, now_ns);
    pace_stretch(&s->again, 3 * took, now_ns);
    s->progress_at = now_ns;
    source_advance(s, now_ns);
}

void source_built(source *s, uint64_t through, int64_t now_ns)
{
    if (through < s->end || !s->proof || s->sealed)
        return;
    buf_unref(s->proof);
    s->proof = NULL;
    source_advance(s, now_ns);
}

void source_go_back(source *s)
{
    if (s->sent > s->acked)
        s->resent++;
    s->sent = s->acked;
    s->proof_sent = false;
}

/* The message, its bytes copied once. NULL when memory is short: as good as lost. */
static buf *chunk_message(const move_head *head, uint64_t offset, slice bytes)
{
    move_chunk m = {.head = *head, .offset = offset};
    writer front = {0};
    buf *out;

    move_chunk_write(&front, &m);
    out = front.failed ? NULL : buf_new(front.len + bytes.len);
    if (out) {
        memcpy(out->data, front.data, front.len);
        memcpy(out->data + front.len, bytes.ptr, bytes.len);
    }
    writer_free(&front);
    return out;
}

bool source_chunk(source *s, buf **out, int64_t now_ns)
{
    const stream_part *part = s->parts;
    uint64_t at = s->sent, left;

    if (at == s->end)
        return false;
    while (part->at + part->bytes->len <= at)
        part++;
    /* On the same grid each time: none goes beyond its piece. */
    left = part->at + part->bytes->len - at;
    if (left > s->config.chunk)
        left = s->config.chunk;
    if (at - s->acked + left > s->config.window && at > s->acked)
        return false;              /* the window is full */
    if (s->sent_max == s->acked) { /* nothing was under way */
        s->busy_since = s->progress_at = now_ns;
        pace_start(&s->again, now_ns);
    }
    s->sent += left;
    if (s->sent > s->sent_max)
        s->sent_max = s->sent;
    *out = chunk_message(&s->config.offer.head, at,
                         slice_of(part->bytes->data + (at - part->at), left));
    return true;
}
