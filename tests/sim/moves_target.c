/* SPDX-License-Identifier: Apache-2.0 */
/* What a host does for the target of an attempt. */
#include "moves.h"

static target_config config_of(world *w, int a)
{
    return (target_config){.source = w->hosts[w->attempts[a].source].id,
                           .max_stream = 1 << 20,
                           .resend_ns = 200 * MS,
                           .silence_ns = 6 * SEC,
                           .got_every = 2 * w->options.chunk};
}

void target_offered(world *w, int n, int from, int a, slice offer)
{
    host *h = &w->hosts[n];
    target_config c = config_of(w, a);
    move_offer m;

    if (h->rows[a].kind != ROW_NONE || h->tried[a])
        return; /* a late one */
    if (move_offer_read(&m, offer, NULL) != BERTH_OK ||
        memcmp(m.order.source, w->hosts[from].entity, BERTH_ENTITY_SIZE) != 0)
        return; /* somebody else's order */
    h->tried[a] = true;
    c.source = w->hosts[from].id;
    h->targets[a] = target_new(&c, offer, moves_now(w, n));
    host_pump(w, n);
}

void target_recover_row(world *w, int n, int a)
{
    host *h = &w->hosts[n];
    const row *r = &h->rows[a];
    target_config c = config_of(w, a);

    moves_trace(w, "attempt %d: host %d had %s it", a, n,
                r->kind == ROW_OWNED ? "owned" : "prepared");
    h->targets[a] = target_recover(&c, slice_of(r->offer->data, r->offer->len),
                                   slice_of(r->seal->data, r->seal->len), r->kind == ROW_OWNED,
                                   moves_now(w, n));
}

/* ---- Whether it may come ---- */

static bool may_come(world *w, int n, int a, move_outcome *why)
{
    host *h = &w->hosts[n];
    const move_offer *offer = target_offer(h->targets[a]);
    int d = w->attempts[a].daemon;

    if (!FAULT(ANY_ORDER) && !order_is_valid(w, &offer->order)) {
        move_failed(why, MOVE_REFUSED, "not a valid order");
        return false;
    }
    if (memcmp(offer->order.target, h->entity, BERTH_ENTITY_SIZE) != 0) {
        move_failed(why, MOVE_REFUSED, "another node's order");
        return false;
    }
    if (w->now < h->ready_at) {
        move_failed(why, MOVE_NOT_READY, "not yet");
        return false;
    }
    if (h->own[d].owned) {
        move_failed(why, MOVE_ALREADY_THERE, "it is here");
        return false;
    }
    for (int b = 0; b < w->attempt_count; b++)
        if (b != a && w->attempts[b].daemon == d && h->targets[b] &&
            h->rows[b].kind == ROW_PREPARED) {
            move_failed(why, MOVE_NOT_READY, "attempt %d is not decided", b);
            return false;
        }
    return true;
}

void target_admit(world *w, int n, int a)
{
    host *h = &w->hosts[n];
    uint8_t nonce[MOVE_NONCE_SIZE];
    move_outcome why;

    if (!h->targets[a])
        return;
    for (size_t i = 0; i < sizeof nonce; i += 8)
        store_u64(nonce + i, moves_random(w, 0));
    if (moves_chance(w, w->options.refuses / 3)) {
        move_failed(&why, MOVE_FACTORY_NOT_FOUND, "not this one");
        target_admitted(h->targets[a], BERTH_ERR_REFUSED, NULL, &why, moves_now(w, n));
    } else if (!may_come(w, n, a, &why)) {
        target_admitted(h->targets[a], BERTH_ERR_REFUSED, NULL, &why, moves_now(w, n));
    } else {
        if (!w->attempts[a].valid)
            moves_fail(w, "attempt %d: let in without a valid order", a);
        target_admitted(h->targets[a], BERTH_OK, nonce, NULL, moves_now(w, n));
    }
    host_pump(w, n);
}

/* ---- Whether it is what the seal says ---- */

static bool decode_event(reader *r, counts *out, bool run)
{
    uint8_t c = reader_u8(r);
    uint64_t number = reader_u64(r);

    if (!reader_ok(r) || c >= CLIENTS)
        return false;
    if (number == out->seen[c] + 1) {
        out->seen[c]++;
        out->applied[c]++;
        return true;
    }
    return !run && number <= out->seen[c];
}

bool stream_decode(slice stream, counts *out, uint32_t *held)
{
    reader r = reader_of(stream.ptr, stream.len);
    bool fine = true;

    *held = 0;
    memset(out, 0, sizeof *out);
    while (fine && reader_left(&r)) {
        uint8_t kind = reader_u8(&r);

        if (kind == 'S') {
            for (int c = 0; c < CLIENTS; c++) {
                out->seen[c] = reader_u64(&r);
                out->applied[c] = reader_u64(&r);
            }
        } else if (kind == 'P') {
            reader_bytes(&r, reader_u32(&r));
        } else if (kind == 'E' || kind == 'H') {
            *held += kind == 'H';
            fine = decode_event(&r, out, kind == 'E' && !FAULT(DROP_CURSORS));
        } else {
            fine = false;
        }
    }
    return fine && reader_done(&r);
}

static bool verify_stream(world *w, host *h, int a)
{
    const move_offer *offer = target_offer(h->targets[a]);
    uint8_t bytes[BERTH_ENTITY_SIZE + MOVE_SIGNED_MAX];
    move_seal m;
    counts c;
    uint32_t held;
    size_t len;

    (void)w;
    if (move_seal_read(&m, target_seal(h->targets[a]), NULL) != BERTH_OK)
        return false;
    memcpy(bytes, offer->order.entity, BERTH_ENTITY_SIZE);
    len = move_seal_signed(bytes + BERTH_ENTITY_SIZE, offer, target_nonce(h->targets[a]), &m);
    if (load_u64(m.signature) != moves_hash(bytes, BERTH_ENTITY_SIZE + len))
        return false;
    return stream_decode(target_stream(h->targets[a]), &c, &held) && held == m.held;
}

/* Of the first round, what it is padded with: bytes that the machine need not keep. */
static uint64_t to_cut(const world *w, const target *t)
{
    return target_stream(t).len == target_round(t)->total ? 1 + 4 + w->options.padding : 0;
}

/* A round is built after a while; what it has is only looked at when all is there. */
void target_build(world *w, int n, int a)
{
    host *h = &w->hosts[n];
    uint8_t bytes[BERTH_ENTITY_SIZE + MOVE_SIGNED_MAX];
    move_outcome why;
    size_t len;

    if (!h->targets[a])
        return;
    const move_offer *offer = target_offer(h->targets[a]);
    const move_round *m = target_round(h->targets[a]);

    memcpy(bytes, offer->order.entity, BERTH_ENTITY_SIZE);
    len = move_round_signed(bytes + BERTH_ENTITY_SIZE, offer, target_nonce(h->targets[a]), m);
    move_failed(&why, MOVE_STATE_FAILED, "not what the round says");
    if (moves_chance(w, w->options.refuses / 4) ||
        load_u64(m->signature) != moves_hash(bytes, BERTH_ENTITY_SIZE + len))
        target_built(h->targets[a], BERTH_ERR_CORRUPT, 0, 0, &why, moves_now(w, n));
    else
        target_built(h->targets[a], BERTH_OK, 1 + CLIENTS * 16, to_cut(w, h->targets[a]), NULL,
                     moves_now(w, n));
    host_pump(w, n);
}

void target_check(world *w, int n, int a)
{
    host *h = &w->hosts[n];
    move_outcome why;

    if (!h->targets[a])
        return;
    move_failed(&why, MOVE_STATE_FAILED, "not what the seal says");
    if (moves_chance(w, w->options.refuses / 4) || !verify_stream(w, h, a))
        target_checked(h->targets[a], BERTH_ERR_CORRUPT, &why, moves_now(w, n));
    else
        target_checked(h->targets[a], BERTH_OK, NULL, moves_now(w, n));
    host_pump(w, n);
}

/* ---- Needs ---- */

static void prepare(world *w, int n, int a)
{
    target *t = w->hosts[n].targets[a];
    slice seal = target_seal(t);
    writer offer = {0};
    row r = {.kind = ROW_PREPARED};

    move_offer_write(&offer, target_offer(t));
    r.offer = buf_copy(offer.data, offer.len);
    r.seal = buf_copy(seal.ptr, seal.len);
    r.stream = target_take_stream(t);
    disk_write(w, n, OP_PREPARED, a, w->attempts[a].daemon, &r, NULL);
    row_free(&r);
    writer_free(&offer);
}

static void own(world *w, int n, int a)
{
    host *h = &w->hosts[n];
    row r = {0};
    own_row o = {.owned = true};
    move_outcome why;
    uint32_t held;

    if (moves_chance(w, w->options.refuses / 3)) {
        move_failed(&why, MOVE_STATE_FAILED, "it does not open");
        target_owned(h->targets[a], BERTH_ERR_PLUGIN, &why, moves_now(w, n));
        return;
    }
    if (h->rows[a].kind != ROW_PREPARED || !h->rows[a].stream) {
        moves_fail(w, "attempt %d: host %d is to own what it has not prepared", a, n);
        return;
    }
    o.epoch = target_offer(h->targets[a])->epoch - FAULT(KEEP_EPOCH);
    stream_decode(slice_of(h->rows[a].stream->data, h->rows[a].stream->len), &o.counts, &held);
    row_copy(&r, &h->rows[a]);
    r.kind = ROW_OWNED;
    disk_write(w, n, OP_OWNED, a, w->attempts[a].daemon, &r, &o);
    row_free(&r);
}

static void refuse(world *w, int n, int a)
{
    row r = {.kind = ROW_REFUSED, .reason = target_outcome(w->hosts[n].targets[a])->reason};

    disk_write(w, n, OP_REFUSED, a, w->attempts[a].daemon, &r, NULL);
}

static void act(world *w, int n, int a, const target_need *need)
{
    host *h = &w->hosts[n];

    switch (need->kind) {
    case TARGET_SEND:
        moves_send(w, n, need->node, need->message);
        break;
    case TARGET_ADMIT:
        moves_later(w, (int64_t)moves_random(w, 200) * MS, WHAT_ADMIT, n, a);
        break;
    case TARGET_ROUND:
        moves_later(w, (int64_t)moves_random(w, 300) * MS, WHAT_BUILD, n, a);
        break;
    case TARGET_CHECK:
        moves_later(w, (int64_t)moves_random(w, 300) * MS, WHAT_CHECK, n, a);
        break;
    case TARGET_PREPARE:
        prepare(w, n, a);
        break;
    case TARGET_OWN:
        own(w, n, a);
        break;
    case TARGET_REFUSE:
        refuse(w, n, a);
        break;
    case TARGET_DROP:
        disk_write(w, n, OP_DROPPED, a, w->attempts[a].daemon, NULL, NULL);
        break;
    case TARGET_OVER:
        moves_trace(w, "attempt %d: over at its target %d", a, n);
        if (h->frees) {
            target_free(h->targets[a]);
            h->targets[a] = NULL;
        }
        break;
    default:
        break;
    }
}

void target_pump(world *w, int n, int a)
{
    host *h = &w->hosts[n];
    target_need need;

    while (h->targets[a] && target_next(h->targets[a], &need, moves_now(w, n)))
        act(w, n, a, &need);
}
