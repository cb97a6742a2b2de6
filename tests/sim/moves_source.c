/* SPDX-License-Identifier: Apache-2.0 */
/* What a host does for the source of an attempt. */
#include "moves.h"

#include <sodium.h>
#include <stdlib.h>

/* ---- Begin ---- */

static bool may_begin(world *w, int n, int a, const order *o, move_outcome *why)
{
    const host *h = &w->hosts[n];
    const attempt *x = &w->attempts[a];
    const running *r = &h->run[x->daemon];

    if (!FAULT(ANY_ORDER) && !order_is_valid(w, o))
        move_failed(why, MOVE_REFUSED, "not a valid order");
    else if (memcmp(o->source, h->entity, sizeof o->source) != 0)
        move_failed(why, MOVE_REFUSED, "another source");
    else if (!r->loaded)
        move_failed(why, MOVE_DAEMON_NOT_FOUND, "not here");
    else if (r->moving >= 0 && !FAULT(TWO_AT_ONCE))
        move_failed(why, MOVE_ALREADY_MIGRATING, "by attempt %d", r->moving);
    else
        return true;
    return false;
}

bool source_begin(world *w, int n, int a, const order *o, move_outcome *why)
{
    host *h = &w->hosts[n];

    if (!may_begin(w, n, a, o, why))
        return false;
    moves_trace(w, "attempt %d: daemon %d from %d to %d", a, w->attempts[a].daemon, n,
                w->attempts[a].target);
    if (h->run[w->attempts[a].daemon].moving < 0)
        h->run[w->attempts[a].daemon].moving = a;
    h->beginning[a] = true;
    disk_write(w, n, OP_USED, a, w->attempts[a].daemon, NULL, NULL);
    return true;
}

static source_config config_of(world *w, int n, int a)
{
    attempt *x = &w->attempts[a];
    source_config c = {.target = w->hosts[x->target].id,
                       .resend_ns = 200 * MS,
                       .deadline_ns = 25 * SEC,
                       .answer_ns = 4 * SEC,
                       .max_hold_ns = 6 * SEC,
                       .chunk = w->options.chunk,
                       .window = 4 * w->options.chunk};

    (void)n;
    c.offer = (move_offer){.epoch = x->epoch,
                           .kind = slice_str("sim"),
                           .state_bytes = w->options.padding,
                           .precopy = a % 2,
                           .order = x->order};
    memcpy(c.offer.head.attempt, x->order.attempt, ATTEMPT_SIZE);
    c.offer.head.origin = w->daemons[x->daemon].origin;
    return c;
}

void source_create(world *w, int n, int a)
{
    host *h = &w->hosts[n];
    attempt *x = &w->attempts[a];
    source_config c;

    h->beginning[a] = false;
    if (!x->valid)
        moves_fail(w, "attempt %d: begun without a valid order", a);
    if (x->begun)
        moves_fail(w, "attempt %d: begun twice", a);
    x->begun = true;
    x->epoch = h->run[x->daemon].epoch + 1;
    c = config_of(w, n, a);
    source_free(h->sources[a]);
    h->sources[a] = source_new(&c, moves_now(w, n));
}

void source_recover_row(world *w, int n, int a)
{
    host *h = &w->hosts[n];
    source_config c = config_of(w, n, a);

    moves_trace(w, "attempt %d: host %d had released it", a, n);
    h->sources[a] = source_recover(&c, h->rows[a].hash, moves_now(w, n));
}

/* ---- The stream ---- */

static void put_padding(writer *s, size_t len)
{
    writer_u8(s, 'P');
    writer_u32(s, (uint32_t)len);
    for (size_t i = 0; i < len; i++)
        writer_u8(s, (uint8_t)i);
}

static void put_state(writer *s, const counts *c, size_t padding)
{
    writer_u8(s, 'S');
    for (int i = 0; i < CLIENTS; i++) {
        writer_u64(s, FAULT(DROP_CURSORS) ? 0 : c->seen[i]);
        writer_u64(s, c->applied[i]);
    }
    put_padding(s, padding);
}

static void put_event(writer *s, uint8_t kind, const held_event *e)
{
    writer_u8(s, kind);
    writer_u8(s, (uint8_t)e->client);
    writer_u64(s, e->number);
}

/* What was run since the last piece; of large states more or less. */
static void put_run(world *w, writer *s, const running *r)
{
    for (size_t i = 0; i < r->log_count && !(FAULT(DROP_EXECUTED) && !r->gate); i++)
        put_event(s, 'E', &r->log[i]);
    if (w->options.padding < 1024)
        return;
    put_padding(s, moves_random(w, 2 * w->options.padding));
}

static buf *make_seal(world *w, int n, int a)
{
    host *h = &w->hosts[n];
    const attempt *x = &w->attempts[a];
    source_config c = config_of(w, n, a);
    uint8_t bytes[BERTH_ENTITY_SIZE + MOVE_SIGNED_MAX];
    move_seal m = {.head = c.offer.head, .total = h->stream_len[a], .held = h->stream_held[a]};
    source_view view;
    writer s = {0};
    size_t len;
    buf *out;

    crypto_generichash(m.hash, sizeof m.hash, h->stream[a], h->stream_len[a], NULL, 0);
    m.handover.epoch = x->epoch;
    memcpy(m.handover.entity, x->order.entity, BERTH_ENTITY_SIZE);
    memcpy(m.handover.from, x->order.source, BERTH_ENTITY_SIZE);
    memcpy(m.handover.to, x->order.target, BERTH_ENTITY_SIZE);
    memcpy(m.handover.attempt, x->order.attempt, ATTEMPT_SIZE);
    source_look(h->sources[a], &view);
    memcpy(bytes, x->order.entity, BERTH_ENTITY_SIZE);
    len = move_seal_signed(bytes + BERTH_ENTITY_SIZE, &c.offer, view.nonce, &m);
    store_u64(m.signature, moves_hash(bytes, BERTH_ENTITY_SIZE + len));
    move_seal_write(&s, &m);
    out = buf_copy(s.data, s.len);
    writer_free(&s);
    memcpy(w->attempts[a].hash, m.hash, sizeof m.hash);
    w->attempts[a].has_hash = true;
    return out;
}

static buf *make_round(world *w, int n, int a)
{
    host *h = &w->hosts[n];
    source_config c = config_of(w, n, a);
    uint8_t bytes[BERTH_ENTITY_SIZE + MOVE_SIGNED_MAX];
    move_round m = {.head = c.offer.head, .total = h->stream_len[a]};
    source_view view;
    writer s = {0};
    size_t len;
    buf *out;

    crypto_generichash(m.hash, sizeof m.hash, h->stream[a], h->stream_len[a], NULL, 0);
    source_look(h->sources[a], &view);
    memcpy(bytes, w->attempts[a].order.entity, BERTH_ENTITY_SIZE);
    len = move_round_signed(bytes + BERTH_ENTITY_SIZE, &c.offer, view.nonce, &m);
    store_u64(m.signature, moves_hash(bytes, BERTH_ENTITY_SIZE + len));
    move_round_write(&s, &m);
    out = buf_copy(s.data, s.len);
    writer_free(&s);
    return out;
}

void source_piece_due(world *w, int n, int a)
{
    host *h = &w->hosts[n];
    running *r = &h->run[w->attempts[a].daemon];
    writer s = {0};
    buf *stream, *proof = NULL;

    if (!h->sources[a])
        return;
    if (!h->stream_len[a])
        put_state(&s, &r->counts, w->options.padding);
    else
        put_run(w, &s, r);
    r->log_count = 0;
    if (h->piece[a] == PIECE_FINAL && !FAULT(DROP_HELD))
        for (size_t i = 0; i < r->held_count; i++)
            put_event(&s, 'H', &r->held[i]);
    if (h->piece[a] == PIECE_FINAL)
        h->stream_held[a] = (uint32_t)(FAULT(DROP_HELD) ? 0 : r->held_count);
    h->stream[a] = realloc(h->stream[a], h->stream_len[a] + s.len + 1);
    if (s.len)
        memcpy(h->stream[a] + h->stream_len[a], s.data, s.len);
    h->stream_len[a] += s.len;
    stream = buf_copy(s.data, s.len);
    writer_free(&s);
    if (h->piece[a] == PIECE_FINAL)
        proof = make_seal(w, n, a);
    else if (stream->len)
        proof = make_round(w, n, a);
    if (FAULT(DROP_HELD) && h->piece[a] == PIECE_FINAL)
        h->stream_held[a] = (uint32_t)r->held_count; /* and acknowledges them */
    source_piece_done(h->sources[a], BERTH_OK,
                      &(source_bytes){.parts = {stream}, .count = stream->len != 0, .proof = proof},
                      NULL, moves_now(w, n));
    buf_unref(stream);
    buf_unref(proof);
    host_pump(w, n);
}

/* ---- Needs ---- */

static row row_of(host *h, world *w, int a, row_kind kind)
{
    row r = {.kind = kind};

    if (kind == ROW_RELEASED) {
        r.stream = buf_copy(h->stream[a], h->stream_len[a]);
        memcpy(r.hash, w->attempts[a].hash, sizeof r.hash);
    }
    return r;
}

static void write_row(world *w, int n, int a, op_kind kind, row_kind as)
{
    row r = row_of(&w->hosts[n], w, a, as);

    disk_write(w, n, kind, a, w->attempts[a].daemon, &r, NULL);
    row_free(&r);
}

static void resume(world *w, int n, int a)
{
    host *h = &w->hosts[n];
    int d = w->attempts[a].daemon;
    running *r = &h->run[d];

    moves_trace(w, "attempt %d: daemon %d goes on at %d", a, d, n);
    if (h->rows[a].kind == ROW_RELEASED || h->rows[a].kind == ROW_FINISHED)
        moves_fail(w, "attempt %d: opened again after it was released", a);
    if (!host_may_run(w, n, d, r->epoch))
        return;
    r->gate = true;
    client_resume(w, n, d);
}

static void take_back(world *w, int n, int a)
{
    host *h = &w->hosts[n];
    own_row own = {.owned = true, .epoch = w->attempts[a].epoch + 1};
    row r = {.kind = ROW_TAKEN_BACK, .reason = source_outcome(h->sources[a])->reason};
    uint32_t held;

    if (!stream_decode(slice_of(h->rows[a].stream->data, h->rows[a].stream->len), &own.counts,
                       &held))
        moves_fail(w, "attempt %d: what was released cannot be taken back", a);
    disk_write(w, n, OP_TAKEN_BACK, a, w->attempts[a].daemon, &r, &own);
}

static void over(world *w, int n, int a)
{
    host *h = &w->hosts[n];
    const move_outcome *outcome = source_outcome(h->sources[a]);
    running *r = &h->run[w->attempts[a].daemon];

    moves_trace(w, "attempt %d: over at its source: %s %s", a,
                outcome->moved ? "moved" : move_reason_word(outcome->reason), outcome->text);
    if (h->has_ended[a])
        moves_fail(w, "attempt %d: over twice", a);
    h->has_ended[a] = true;
    h->ended_moved[a] = outcome->moved;
    h->ended_reason[a] = outcome->reason;
    if (r->moving == a) {
        r->moving = -1;
        r->log_count = 0;
    }
    if (h->frees) {
        source_free(h->sources[a]);
        h->sources[a] = NULL;
    }
}

static void act(world *w, int n, int a, const source_need *need)
{
    host *h = &w->hosts[n];
    running *r = &h->run[w->attempts[a].daemon];

    switch (need->kind) {
    case SOURCE_SEND:
        moves_send(w, n, need->node, need->message);
        break;
    case SOURCE_PIECE:
        h->piece[a] = need->piece;
        if (need->piece == PIECE_FINAL && !FAULT(GATE_STAYS_OPEN))
            r->gate = false;
        moves_later(w, (int64_t)moves_random(w, 300) * MS, WHAT_PIECE, n, a);
        break;
    case SOURCE_RELEASE:
        write_row(w, n, a, OP_RELEASED, ROW_RELEASED);
        break;
    case SOURCE_FINISH:
        write_row(w, n, a, OP_FINISHED, ROW_FINISHED);
        break;
    case SOURCE_RESUME:
        resume(w, n, a);
        break;
    case SOURCE_TAKE_BACK:
        take_back(w, n, a);
        break;
    case SOURCE_OVER:
        over(w, n, a);
        break;
    default:
        break;
    }
}

void source_pump(world *w, int n, int a)
{
    host *h = &w->hosts[n];
    source_need need;

    while (h->sources[a] && source_next(h->sources[a], &need, moves_now(w, n)))
        act(w, n, a, &need);
}

/* ---- What an orchestrator hears ---- */

bool source_state(world *w, int n, int a, move_state *m)
{
    host *h = &w->hosts[n];
    source_view view;

    *m = (move_state){.head = {.origin = w->daemons[w->attempts[a].daemon].origin}};
    memcpy(m->head.attempt, w->attempts[a].order.attempt, ATTEMPT_SIZE);
    if (h->sources[a]) {
        source_look(h->sources[a], &view);
        m->phase = view.phase;
        m->over = view.over;
        m->in_doubt = view.in_doubt && !view.over;
        m->moved = view.over && source_outcome(h->sources[a])->moved;
        m->reason = source_outcome(h->sources[a])->reason;
    } else if (h->rows[a].kind == ROW_FINISHED || h->rows[a].kind == ROW_TAKEN_BACK) {
        m->over = true;
        m->moved = h->rows[a].kind == ROW_FINISHED;
        m->reason = h->rows[a].reason;
    } else if (h->has_ended[a]) {
        m->over = true;
        m->moved = h->ended_moved[a];
        m->reason = h->ended_reason[a];
    }
    return m->over || h->sources[a];
}

void source_tell(world *w, int n, int a, int to)
{
    host *h = &w->hosts[n];
    move_state m;
    move_no no = {.reason = MOVE_UNKNOWN_ATTEMPT};
    writer s = {0};

    if (h->beginning[a])
        return; /* not before it is known to be used */
    if (!source_state(w, n, a, &m)) {
        no.head = m.head;
        no.head.kind = MESSAGE_MOVE_REFUSED;
        move_no_write(&s, &no);
    } else {
        move_state_write(&s, &m);
    }
    moves_send(w, n, w->hosts[to].id, buf_copy(s.data, s.len));
    writer_free(&s);
}
