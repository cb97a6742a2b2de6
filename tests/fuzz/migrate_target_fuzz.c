/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A target and any sequence of messages, answers and times: it never crashes, never owns without a
 * COMMIT of its source, never refuses for good what is not on disk, and holds no more than it may.
 */
#include "driven.h"
#include "mesh/message.h"
#include "migrate/target.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE_NODE 78
#define STREAM      1024
#define MOST        1500

typedef struct driven {
    target *t;
    int64_t now;
    move_offer offer;
    uint8_t stream[STREAM], hash[MOVE_HASH_SIZE];
    target_need_kind out;
    bool prepared, committed, refused;
    unsigned own, drop, over;
    uint64_t cut; /* bytes of the stream that are kept elsewhere */
    move_outcome outcome;
} driven;

static void sent(driven *d, const buf *m)
{
    slice bytes = slice_of(m->data, m->len);
    move_no no;

    switch (m->data[0]) {
    case MESSAGE_MOVE_PREPARED & 0xff:
    case MESSAGE_MOVE_ASK & 0xff:
        must(d->prepared);
        break;
    case MESSAGE_MOVE_OWNED & 0xff:
        must(d->own == 1);
        break;
    case MESSAGE_MOVE_REFUSED & 0xff:
        must(move_no_read(&no, bytes, NULL) == BERTH_OK && no.final == d->refused);
        break;
    default:
        break;
    }
}

static void pump(driven *d)
{
    target_need need;
    target_view v;

    while (target_next(d->t, &need, d->now)) {
        must(!d->over || need.kind == TARGET_SEND);
        if (need.kind == TARGET_SEND) {
            must(need.node == SOURCE_NODE);
            sent(d, need.message);
            buf_unref(need.message);
            continue;
        }
        must(d->out == TARGET_NONE);
        if (need.kind == TARGET_OWN)
            must(d->committed && d->prepared && !d->drop);
        if (need.kind == TARGET_DROP)
            must(++d->drop == 1 && !d->own && !d->committed);
        if (need.kind == TARGET_OVER) {
            must(++d->over == 1);
            d->outcome = *target_outcome(d->t);
            must(d->outcome.moved == (d->own == 1));
        }
        if (need.kind != TARGET_DROP && need.kind != TARGET_OVER)
            d->out = need.kind;
    }
    target_look(d->t, &v);
    must(v.bytes <= MOST && target_stream(d->t).len <= MOST);
    if (d->over)
        must(memcmp(&d->outcome, target_outcome(d->t), sizeof d->outcome) == 0);
}

static void write_seal(driven *d, writer *w, const move_head *head, uint8_t how)
{
    move_seal m = {.head = *head, .total = how == 5 ? 100 : STREAM};

    memcpy(m.hash, d->hash, sizeof m.hash);
    m.hash[0] ^= how == 6;
    m.handover.epoch = d->offer.epoch + (how == 7);
    memcpy(m.handover.attempt, head->attempt, ATTEMPT_SIZE);
    memcpy(m.handover.entity, d->offer.order.entity, BERTH_ENTITY_SIZE);
    move_seal_write(w, &m);
}

static void write_round(driven *d, writer *w, const move_head *head, uint8_t how)
{
    target_view v;
    move_round m = {.head = *head};

    target_look(d->t, &v);
    m.total = how < 128 && v.bytes ? v.bytes : how + 1u;
    if (m.total <= STREAM)
        crypto_generichash(m.hash, sizeof m.hash, d->stream, m.total, NULL, 0);
    m.hash[0] ^= how == 6;
    move_round_write(w, &m);
}

static void write_chunk(driven *d, writer *w, const move_head *head, uint8_t how)
{
    target_view v;
    move_chunk m = {.head = *head};

    target_look(d->t, &v);
    m.offset = how < 128 ? v.bytes : how * 10u;
    m.bytes = m.offset < STREAM ? slice_of(d->stream + m.offset, STREAM - m.offset)
                                : slice_of(d->stream, 300);
    if (how & 32 && m.bytes.len > 200)
        m.bytes.len = 200;
    if (how == 8)
        m.bytes.ptr = d->stream + 1, m.bytes.len = 1;
    move_chunk_write(w, &m);
}

static void message(driven *d, uint8_t kind, uint8_t how)
{
    move_head head = d->offer.head;
    move_step step = {.epoch = d->offer.epoch + (how == 3)};
    writer w = {0};
    bool taken;

    head.kind = (uint16_t)(MESSAGE_MOVE_ORDER + kind % 24);
    head.attempt[0] ^= how == 1;
    memcpy(step.hash, d->hash, sizeof step.hash);
    step.hash[0] ^= how == 4;
    step.head = head;
    switch (head.kind) {
    case MESSAGE_MOVE_OFFER:
        move_offer_write(&w, &d->offer);
        break;
    case MESSAGE_MOVE_CHUNK:
        write_chunk(d, &w, &head, how);
        break;
    case MESSAGE_MOVE_ROUND:
        write_round(d, &w, &head, how);
        break;
    case MESSAGE_MOVE_SEAL:
        write_seal(d, &w, &head, how);
        break;
    case MESSAGE_MOVE_PREPARED:
    case MESSAGE_MOVE_COMMIT:
    case MESSAGE_MOVE_OWNED:
        move_step_write(&w, &step);
        break;
    case MESSAGE_MOVE_REFUSED:
    case MESSAGE_MOVE_ABORT:
        move_no_write(&w, &(move_no){.head = head, .reason = MOVE_CANCELLED});
        break;
    default:
        move_bare_write(&w, &head);
        break;
    }
    taken = target_message(d->t, how == 2 ? SOURCE_NODE + 1 : SOURCE_NODE, slice_of(w.data, w.len),
                           d->now);
    must(!taken || how != 2);
    if (taken && head.kind == MESSAGE_MOVE_COMMIT) {
        must(how != 1 && how != 3 && how != 4);
        d->committed = true;
    }
    writer_free(&w);
}

/* Some of what has come is kept elsewhere, once. */
static void build(driven *d, berth_status status, uint8_t how)
{
    slice has = target_stream(d->t);
    uint64_t at = has.len * (how >> 5) / 8, len = d->cut ? 0 : (has.len - at) * (how >> 2 & 7) / 8;
    target_view before, after;
    move_outcome why;

    move_failed(&why, MOVE_STATE_FAILED, "as the input says");
    target_look(d->t, &before);
    target_built(d->t, status, at, len, &why, d->now);
    target_look(d->t, &after);
    must(after.bytes == before.bytes);
    if (before.stage != TARGET_RECEIVING || status != BERTH_OK)
        return;
    d->cut += len;
    must(target_stream(d->t).len == has.len - len || after.stage == TARGET_ENDED);
}

static void answer(driven *d, uint8_t how)
{
    static const uint8_t nonce[MOVE_NONCE_SIZE] = {1};
    berth_status status = how & 1 ? BERTH_ERR_IO : BERTH_OK;
    target_need_kind out = d->out;
    move_outcome why;

    move_failed(&why, MOVE_REFUSED, "as the input says");
    d->out = TARGET_NONE;
    if (out == TARGET_PREPARE && !status)
        d->prepared = true;
    if (out == TARGET_OWN && !status)
        d->own++;
    if (out == TARGET_REFUSE && !status)
        d->refused = true;
    if (out == TARGET_ADMIT)
        target_admitted(d->t, status, nonce, &why, d->now);
    else if (out == TARGET_ROUND)
        build(d, status, how);
    else if (out == TARGET_CHECK)
        target_checked(d->t, status, how & 2 ? &why : NULL, d->now);
    else if (out == TARGET_PREPARE)
        target_prepared(d->t, status, d->now);
    else if (out == TARGET_OWN)
        target_owned(d->t, status, how & 2 ? &why : NULL, d->now);
    else if (out == TARGET_REFUSE)
        target_refused(d->t, status, d->now);
}

static void step(driven *d, uint8_t op, uint8_t how)
{
    switch (op % 8) {
    case 0:
    case 1:
    case 2:
    case 3:
        message(d, op / 8, how);
        break;
    case 4:
        answer(d, how);
        break;
    case 5:
        target_source_up(d->t, d->now);
        break;
    case 6:
        target_still_there(d->t, d->now);
        if (how == 9)
            buf_unref(target_take_stream(d->t));
        break;
    default:
        d->now += (int64_t)how * how * 10000000;
        target_expire(d->t, d->now);
        break;
    }
    pump(d);
}

static target *begin(driven *d, bool recovered, bool owned)
{
    target_config config = {.source = SOURCE_NODE, .max_stream = MOST, .got_every = 256};
    writer offer = {0}, seal = {0};
    target *t;

    move_offer_write(&offer, &d->offer);
    write_seal(d, &seal, &d->offer.head, 0);
    t = recovered ? target_recover(&config, slice_of(offer.data, offer.len),
                                   slice_of(seal.data, seal.len), owned, 0)
                  : target_new(&config, slice_of(offer.data, offer.len), 0);
    writer_free(&offer);
    writer_free(&seal);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    driven *d = calloc(1, sizeof *d);
    uint8_t how = next(&data, &size);

    memset(d->stream, 'x', sizeof d->stream / 2);
    crypto_generichash(d->hash, sizeof d->hash, d->stream, STREAM, NULL, 0);
    d->offer = (move_offer){.epoch = 3, .kind = slice_str("k")};
    d->offer.head.origin = berth_entity_origin(d->offer.order.entity);
    d->offer.head.kind = MESSAGE_MOVE_OFFER;
    d->offer.precopy = how & 1;
    d->prepared = how >= 0xf0;
    if (how >= 0xf8)
        d->own = 1, d->committed = true;
    d->t = begin(d, how >= 0xf0, how >= 0xf8);
    if (!d->t)
        abort();
    pump(d);
    while (size) {
        uint8_t op = next(&data, &size);

        step(d, op, next(&data, &size));
    }
    target_free(d->t);
    free(d);
    return 0;
}
