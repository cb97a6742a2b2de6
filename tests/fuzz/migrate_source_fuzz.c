/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source and any sequence of messages, answers, stops and times: it never crashes, has one
 * outcome, never releases what was not prepared, and never opens again what it released.
 */
#include "driven.h"
#include "mesh/message.h"
#include "migrate/source.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define TARGET_NODE 77

typedef struct driven {
    source *s;
    int64_t now;
    move_offer offer;
    crypto_generichash_state hash;
    uint8_t final_hash[MOVE_HASH_SIZE];
    uint64_t total;
    bool piece_out, release_out, finish_out, back_out, sealed;
    source_piece piece;
    bool prepared; /* a PREPARED that fits was sent to it */
    bool refused;  /* a final refusal was */
    bool owned;    /* an OWNED that fits was */
    bool fetch;    /* a FETCH that fits was */
    unsigned release, released, resume, back, finish, over;
    move_outcome outcome;
} driven;

static void pump(driven *d)
{
    source_need need;

    while (source_next(d->s, &need, d->now)) {
        must(!d->over || need.kind == SOURCE_SEND);
        switch (need.kind) {
        case SOURCE_SEND:
            must(need.message && need.message->len > 2 && need.node == TARGET_NODE);
            if (need.message->data[0] == (MESSAGE_MOVE_COMMIT & 0xff))
                must(d->released == 1);
            if (need.message->data[0] == (MESSAGE_MOVE_ABORT & 0xff))
                must(!d->released || d->refused);
            buf_unref(need.message);
            break;
        case SOURCE_PIECE:
            must(!d->piece_out && !d->sealed);
            d->piece_out = true;
            d->piece = need.piece;
            break;
        case SOURCE_THROTTLE:
            break;
        case SOURCE_RELEASE:
            must(d->prepared && ++d->release == 1 && !d->resume);
            d->release_out = true;
            break;
        case SOURCE_RESUME:
            must(++d->resume == 1 && !d->released);
            break;
        case SOURCE_FINISH:
            must(++d->finish == 1 && d->released && d->owned);
            d->finish_out = true;
            break;
        case SOURCE_TAKE_BACK:
            must(++d->back == 1 && d->released && d->refused);
            d->back_out = true;
            break;
        case SOURCE_SERVE:
            must(d->fetch && !d->sealed && !d->released);
            break;
        case SOURCE_OVER:
            must(++d->over == 1 && !d->piece_out && !d->release_out && !d->finish_out &&
                 !d->back_out);
            d->outcome = *source_outcome(d->s);
            must(d->outcome.moved == (d->finish == 1));
            break;
        default:
            abort();
        }
    }
    if (d->over)
        must(memcmp(&d->outcome, source_outcome(d->s), sizeof d->outcome) == 0);
}

static void piece(driven *d, uint8_t how)
{
    static const size_t sizes[] = {0, 1, 4096, 70000};
    size_t len = sizes[how & 3];
    buf *stream = buf_new(len), *seal = NULL;
    move_outcome why;

    move_failed(&why, MOVE_STATE_FAILED, "as the input says");
    memset(stream->data, how, len);
    if (!d->piece_out) {
        buf_unref(stream);
        return;
    }
    d->piece_out = false;
    if (d->piece == PIECE_FINAL && (how & 0x10) == 0) {
        crypto_generichash_state hash;
        move_seal m = {.head = d->offer.head, .total = d->total + len};
        writer w = {0};

        if (len)
            crypto_generichash_update(&d->hash, stream->data, len);
        hash = d->hash;
        crypto_generichash_final(&hash, d->final_hash, sizeof d->final_hash);
        memcpy(m.hash, d->final_hash, sizeof m.hash);
        m.handover.epoch = d->offer.epoch;
        memcpy(m.handover.attempt, d->offer.head.attempt, ATTEMPT_SIZE);
        memcpy(m.handover.entity, d->offer.order.entity, BERTH_ENTITY_SIZE);
        move_seal_write(&w, &m);
        seal = buf_copy(w.data, w.len);
        writer_free(&w);
        d->sealed = true;
    } else if (len) {
        move_round m = {.head = d->offer.head, .total = d->total + len + ((how & 0x40) != 0)};
        writer w = {0};

        crypto_generichash_update(&d->hash, stream->data, len);
        move_round_write(&w, &m);
        seal = buf_copy(w.data, w.len);
        writer_free(&w);
    }
    d->total += len;
    source_piece_done(d->s, (how & 0x20) ? BERTH_ERR_PLUGIN : BERTH_OK,
                      &(source_bytes){.parts = {stream}, .count = len != 0, .proof = seal}, &why,
                      d->now);
    buf_unref(stream);
    buf_unref(seal);
}

static void message(driven *d, uint8_t kind, uint8_t how)
{
    move_head head = d->offer.head;
    move_step step = {.epoch = d->offer.epoch + (how == 3)};
    move_no no = {.reason = (move_reason)(how & 15), .final = how & 16};
    source_view v;
    writer w = {0};
    bool taken;

    source_look(d->s, &v);
    head.kind = (uint16_t)(MESSAGE_MOVE_ORDER + kind % 24);
    head.attempt[0] ^= how == 1;
    memcpy(step.hash, d->final_hash, sizeof step.hash);
    step.hash[0] ^= how == 4;
    step.head = no.head = head;
    switch (head.kind) {
    case MESSAGE_MOVE_ACCEPT:
        move_accept_write(&w, &(move_accept){.head = head, .nonce = {how == 5}});
        break;
    case MESSAGE_MOVE_GOT:
    case MESSAGE_MOVE_BUILT:
        move_got_write(&w, &(move_got){.head = head,
                                       .through = how < 128 ? v.bytes_sent
                                                            : v.bytes_sent * (how - 127u) / 64});
        break;
    case MESSAGE_MOVE_PREPARED:
    case MESSAGE_MOVE_COMMIT:
    case MESSAGE_MOVE_OWNED:
        move_step_write(&w, &step);
        break;
    case MESSAGE_MOVE_REFUSED:
        move_no_write(&w, &no);
        break;
    case MESSAGE_MOVE_FETCH:
        move_fetch_write(
            &w, &(move_fetch){.head = head, .digest = {5, how == 6}, .limit = 1000, .length = how});
        break;
    default:
        move_bare_write(&w, &head);
        break;
    }
    taken = source_message(d->s, how == 2 ? TARGET_NODE + 1 : TARGET_NODE, slice_of(w.data, w.len),
                           d->now);
    must(!taken || (how != 1 && how != 2));
    if (taken && head.kind == MESSAGE_MOVE_FETCH) {
        must(how != 6);
        d->fetch = true;
    }
    if (taken && how != 3 && how != 4) {
        d->prepared |= head.kind == MESSAGE_MOVE_PREPARED && d->sealed;
        d->owned |= head.kind == MESSAGE_MOVE_OWNED;
        d->refused |= head.kind == MESSAGE_MOVE_REFUSED && no.final;
    }
    writer_free(&w);
}

static void step(driven *d, uint8_t op, uint8_t how)
{
    move_outcome why;

    move_failed(&why, MOVE_CANCELLED, "as the input says");
    switch (op % 12) {
    case 0:
    case 1:
    case 2:
    case 3:
        message(d, op / 12, how);
        break;
    case 4:
        piece(d, how);
        break;
    case 5:
        if (d->release_out && !(how & 1))
            d->released++;
        if (d->release_out)
            source_released(d->s, (how & 1) ? BERTH_ERR_IO : BERTH_OK, d->now);
        d->release_out = false;
        break;
    case 6:
        d->finish_out = false;
        source_finished(d->s, d->now);
        break;
    case 7:
        d->back_out = false;
        source_taken_back(d->s, d->now);
        break;
    case 8:
        if (source_abort(d->s, &why, d->now) == BERTH_OK)
            must(!d->released || d->back);
        break;
    case 9:
        source_target_up(d->s, d->now);
        break;
    case 10:
        source_target_gone(d->s, d->now);
        break;
    default:
        d->now += (int64_t)how * how * 10000000;
        source_expire(d->s, d->now);
        break;
    }
    pump(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    driven *d = aligned_alloc(64, (sizeof *d + 63) / 64 * 64);
    source_config config = {.target = TARGET_NODE, .chunk = 4096, .window = 16384};
    bool recovered;

    memset(d, 0, sizeof *d);
    crypto_generichash_init(&d->hash, NULL, 0, MOVE_HASH_SIZE);
    d->offer = (move_offer){.epoch = 3, .kind = slice_str("k"), .digest = {5}};
    d->offer.head.origin = berth_entity_origin(d->offer.order.entity);
    recovered = size && data[0] == 0xff;
    d->offer.precopy = size && data[0] & 1;
    config.offer = d->offer;
    if (recovered) {
        d->prepared = d->sealed = true;
        d->released = 1;
    }
    d->s = recovered ? source_recover(&config, d->final_hash, 0) : source_new(&config, 0);
    if (!d->s)
        abort();
    next(&data, &size);
    pump(d);
    while (size) {
        uint8_t op = next(&data, &size);

        step(d, op, next(&data, &size));
        if (!d->over && source_deadline(d->s) < d->now - INT64_C(1000000000000))
            abort(); /* a deadline that is never kept */
    }
    source_free(d->s);
    free(d);
    return 0;
}
