/* SPDX-License-Identifier: Apache-2.0 */
#include "migrate/fetch.h"

#include "migrate/pace.h"
#include "migrate/wire_private.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND INT64_C(1000000000)
#define PIECE  (512 * 1024u)

typedef enum fetch_stage {
    STAGE_ASKING, /* what is it? */
    STAGE_OPENING,
    STAGE_RECEIVING, /* a piece */
    STAGE_WRITING,
    STAGE_LOADING,
    STAGE_ENDED
} fetch_stage;

struct fetch {
    fetch_config config;
    fetch_stage stage;
    bool ask;            /* a FETCH is to be sent */
    fetch_need_kind act; /* to be handed out; NONE: nothing is */
    bool out;            /* it was, and is not answered */
    bool over, loaded;   /* OVER was handed out */
    uint64_t total;
    buf *signature;
    uint64_t have;      /* written, or being written */
    buf *piece;         /* NULL: none is there, or it was handed out */
    uint32_t piece_len; /* of it has come */
    pace again;
    int64_t piece_at; /* when the present piece was first asked for */
    uint64_t ignored;
    move_outcome outcome;
};

/* ---- Begin and end ---- */

static void end(fetch *f, const move_outcome *why)
{
    f->stage = STAGE_ENDED;
    f->outcome = *why;
    f->act = FETCH_OVER;
    f->ask = false;
    pace_stop(&f->again);
    buf_unref(f->piece);
    f->piece = NULL;
}

static void __attribute__((format(printf, 3, 4)))
give_up(fetch *f, move_reason reason, const char *format, ...)
{
    char text[MOVE_TEXT_MAX + 1];
    move_outcome why;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    move_failed(&why, reason, "%s", text);
    end(f, &why);
}

static void ask(fetch *f, fetch_stage stage, int64_t now_ns)
{
    f->stage = stage;
    f->ask = true;
    f->piece_at = now_ns;
    f->again.every = stage == STAGE_RECEIVING ? 8 * f->config.resend_ns : f->config.resend_ns;
    pace_start(&f->again, now_ns);
}

fetch *fetch_new(const fetch_config *config, int64_t now_ns)
{
    fetch *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    f->config = *config;
    f->config.head.kind = MESSAGE_MOVE_FETCH;
    if (f->config.resend_ns <= 0)
        f->config.resend_ns = SECOND / 2;
    if (f->config.piece_ns <= 0)
        f->config.piece_ns = 60 * SECOND;
    if (!f->config.piece)
        f->config.piece = PIECE;
    if (f->config.piece > MOVE_FETCH_MAX)
        f->config.piece = MOVE_FETCH_MAX;
    ask(f, STAGE_ASKING, now_ns);
    return f;
}

void fetch_free(fetch *f)
{
    if (!f)
        return;
    buf_unref(f->signature);
    buf_unref(f->piece);
    free(f);
}

/* ---- What comes ---- */

static uint32_t piece_size(const fetch *f)
{
    uint64_t left = f->total - f->have;

    return left < f->config.piece ? (uint32_t)left : f->config.piece;
}

static void next_piece(fetch *f, int64_t now_ns)
{
    f->piece_len = 0;
    f->piece = buf_new(piece_size(f));
    if (f->piece)
        ask(f, STAGE_RECEIVING, now_ns);
    else
        give_up(f, MOVE_NO_ROOM, "out of memory for a piece of the plugin");
}

static void act(fetch *f, fetch_stage stage, fetch_need_kind need)
{
    f->stage = stage;
    f->act = need;
    f->ask = false;
    pace_stop(&f->again);
}

static bool on_plugin(fetch *f, slice message)
{
    move_plugin m;

    if (move_plugin_read(&m, message, NULL) != BERTH_OK ||
        memcmp(m.digest, f->config.digest, sizeof m.digest) != 0)
        return false;
    if (f->stage != STAGE_ASKING) {
        if (m.total != f->total ||
            !slice_eq(m.signature, slice_of(f->signature->data, f->signature->len)))
            give_up(f, MOVE_FACTORY_NOT_FOUND,
                    "the source says of the plugin what it did not say "
                    "before");
        return true;
    }
    if (m.total > f->config.limit) {
        give_up(f, MOVE_FACTORY_NOT_FOUND,
                "the plugin has %" PRIu64 " bytes, and %" PRIu64 " are the most here", m.total,
                f->config.limit);
        return true;
    }
    f->signature = buf_copy(m.signature.ptr, m.signature.len);
    if (!f->signature)
        return false; /* as if it were lost: it is asked for again */
    f->total = m.total;
    act(f, STAGE_OPENING, FETCH_OPEN);
    return true;
}

static bool on_part(fetch *f, slice message, int64_t now_ns)
{
    uint64_t at = f->have + f->piece_len, end_of;
    uint32_t size, known;
    slice bytes;
    move_part m;

    if (move_part_read(&m, message, NULL) != BERTH_OK ||
        memcmp(m.digest, f->config.digest, sizeof m.digest) != 0 || f->stage == STAGE_ASKING)
        return false;
    end_of = m.offset + m.bytes.len; /* does not overflow: it was read */
    if (end_of > f->total) {
        give_up(f, MOVE_FACTORY_NOT_FOUND,
                "the plugin goes on behind its %" PRIu64 " bytes that the source said", f->total);
        return true;
    }
    /* Again, or behind a gap: it is asked for in its time. */
    if (f->stage != STAGE_RECEIVING || m.offset > at || end_of <= at)
        return true;
    known = (uint32_t)(at - m.offset);
    bytes = slice_of(m.bytes.ptr + known, m.bytes.len - known);
    size = piece_size(f);
    if (bytes.len > size - f->piece_len) /* more than was asked for */
        bytes.len = size - f->piece_len;
    memcpy(f->piece->data + f->piece_len, bytes.ptr, bytes.len);
    f->piece_len += (uint32_t)bytes.len;
    pace_start(&f->again, now_ns);
    if (f->piece_len == size) {
        f->have += size;
        act(f, STAGE_WRITING, FETCH_WRITE);
    }
    return true;
}

static bool for_us(const fetch *f, uint64_t node, slice message, move_head *head)
{
    return node == f->config.source && move_head_read(head, message, NULL) == BERTH_OK &&
           memcmp(head->attempt, f->config.head.attempt, ATTEMPT_SIZE) == 0 &&
           head->origin == f->config.head.origin;
}

bool fetch_message(fetch *f, uint64_t node, slice message, int64_t now_ns)
{
    move_head head;
    bool taken = false;

    if (f->stage != STAGE_ENDED && for_us(f, node, message, &head)) {
        if (head.kind == MESSAGE_MOVE_PLUGIN)
            taken = on_plugin(f, message);
        else if (head.kind == MESSAGE_MOVE_PART)
            taken = on_part(f, message, now_ns);
    }
    f->ignored += !taken;
    return taken;
}

static bool waits_for_source(const fetch *f)
{
    return f->stage == STAGE_ASKING || f->stage == STAGE_RECEIVING;
}

void fetch_source_up(fetch *f, int64_t now_ns)
{
    if (!waits_for_source(f))
        return;
    f->ask = true;
    pace_start(&f->again, now_ns);
}

void fetch_answered(fetch *f, berth_status status, const move_outcome *why, int64_t now_ns)
{
    if (!f->out)
        return;
    f->out = false;
    if (f->stage == STAGE_ENDED) /* meanwhile */
        return;
    if (status != BERTH_OK) {
        if (why)
            end(f, why);
        else
            give_up(f, MOVE_FACTORY_NOT_FOUND, "%s", berth_status_text(status));
    } else if (f->stage == STAGE_LOADING) {
        f->loaded = true;
        f->stage = STAGE_ENDED;
        f->act = FETCH_OVER;
    } else if (f->have < f->total) {
        next_piece(f, now_ns);
    } else {
        act(f, STAGE_LOADING, FETCH_LOAD);
    }
}

/* ---- Time ---- */

int64_t fetch_deadline(const fetch *f)
{
    int64_t late = pace_after(f->piece_at, f->config.piece_ns);

    if (!waits_for_source(f))
        return PACE_NEVER;
    return late < f->again.at ? late : f->again.at;
}

void fetch_expire(fetch *f, int64_t now_ns)
{
    if (!waits_for_source(f))
        return;
    if (now_ns >= pace_after(f->piece_at, f->config.piece_ns))
        give_up(f, MOVE_TIMEOUT,
                "the plugin does not come: %" PRIu64 " of %" PRIu64
                " bytes, and no more for %.1f s",
                f->have + f->piece_len, f->total, (double)f->config.piece_ns / (double)SECOND);
    else if (pace_due(&f->again, now_ns))
        f->ask = true;
}

/* ---- What is to be done ---- */

static buf *ask_message(const fetch *f)
{
    move_fetch m = {.head = f->config.head, .limit = f->config.limit};
    writer w = {0};
    buf *out;

    memcpy(m.digest, f->config.digest, sizeof m.digest);
    if (f->stage == STAGE_RECEIVING) {
        m.offset = f->have + f->piece_len;
        m.length = piece_size(f) - f->piece_len;
    }
    move_fetch_write(&w, &m);
    out = w.failed ? NULL : buf_copy(w.data, w.len);
    writer_free(&w);
    return out;
}

bool fetch_next(fetch *f, fetch_need *out, int64_t now_ns)
{
    (void)now_ns;
    memset(out, 0, sizeof *out);
    if (f->out || f->over)
        return false;
    if (f->ask) {
        f->ask = false;
        out->message = ask_message(f); /* NULL: as good as lost */
        out->kind = out->message ? FETCH_SEND : FETCH_NONE;
        return out->message != NULL;
    }
    out->kind = f->act;
    f->act = FETCH_NONE;
    f->out = out->kind == FETCH_OPEN || out->kind == FETCH_WRITE || out->kind == FETCH_LOAD;
    f->over = out->kind == FETCH_OVER;
    out->total = f->total;
    if (out->kind == FETCH_OPEN)
        out->signature = slice_of(f->signature->data, f->signature->len);
    if (out->kind == FETCH_WRITE) {
        out->bytes = f->piece;
        f->piece = NULL;
    }
    return out->kind != FETCH_NONE;
}

/* ---- What can be seen ---- */

void fetch_look(const fetch *f, fetch_view *out)
{
    *out = (fetch_view){.bytes = f->have + (f->stage == STAGE_RECEIVING ? f->piece_len : 0),
                        .total = f->total,
                        .over = f->over,
                        .loaded = f->loaded,
                        .ignored = f->ignored};
}

const move_outcome *fetch_outcome(const fetch *f)
{
    return &f->outcome;
}
