/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source and a target of one attempt, a network between them that loses what it is told to, a
 * virtual clock, and hosts that answer at once what is asked of them, or not at all.
 */
#ifndef TESTS_MIGRATE_PAIR_H
#define TESTS_MIGRATE_PAIR_H

#include "mesh/message.h"
#include "migrate/source.h"
#include "migrate/target.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define MS         INT64_C(1000000)
#define SEC        (1000 * MS)
#define KINDS      32
#define QUEUE      4096
#define PIECES     16
#define PAIR_STEPS 200000

typedef struct pair_message {
    bool to_target;
    buf *bytes;
} pair_message;

typedef struct pair {
    source_config source_config;
    target_config target_config;
    source *source;
    target *target;
    int64_t now, delay;
    uint64_t source_node, target_node;
    berth_keypair daemon, from, to, operator_key;

    pair_message queue[QUEUE];
    size_t head, tail;
    unsigned
        lose[KINDS]; /* so many of the next ones of this kind (its low byte, by KINDS) are lost */
    bool deaf[2];    /* nothing reaches the source, the target */
    unsigned sent[KINDS];              /* of each kind */
    uint32_t hold_source, hold_target; /* bits: needs of these kinds are not answered */

    size_t piece_bytes[PIECES];
    unsigned pieces;
    uint8_t fill;                  /* of the bytes of a piece */
    crypto_generichash_state hash; /* of the stream so far, at the source */
    uint64_t total;
    bool wrong_hash;
    buf *seal;
    uint64_t cut_at, cut_len; /* of the first round that is built */

    berth_status admit, build, check, prepare, own, refuse, release, piece;
    move_outcome why; /* with those that are not OK */
    unsigned source_needs[SOURCE_OVER + 1], target_needs[TARGET_OVER + 1];
    char trace[4096]; /* a letter for each need but SEND */
    buf *last[KINDS]; /* the last message of each kind */
} pair;

static inline berth_keypair pair_key(uint8_t n)
{
    uint8_t seed[BERTH_SEED_SIZE] = {n};
    berth_keypair key;

    berth_keypair_from_seed(&key, seed);
    return key;
}

static inline order pair_order(const pair *p, uint8_t attempt)
{
    order o = {.verbs = ORDER_MOVE, .not_before_s = 1000, .not_after_s = 2000};

    memset(o.attempt, attempt, sizeof o.attempt);
    memcpy(o.entity, p->daemon.entity, sizeof o.entity);
    memcpy(o.source, p->from.entity, sizeof o.source);
    memcpy(o.target, p->to.entity, sizeof o.target);
    return o;
}

static inline void pair_init(pair *p)
{
    memset(p, 0, sizeof *p);
    p->daemon = pair_key(1);
    p->from = pair_key(2);
    p->to = pair_key(3);
    p->operator_key = pair_key(4);
    p->source_node = p->from.node_id;
    p->target_node = p->to.node_id;
    p->now = 100 * SEC;
    p->delay = MS;
    p->pieces = 1;
    p->piece_bytes[0] = 1000;
    p->source_config = (source_config){.target = p->target_node, .chunk = 4096, .window = 65536};
    p->source_config.offer = (move_offer){.epoch = 5,
                                          .kind = slice_str("org.example.counter"),
                                          .plugin = slice_str("counter"),
                                          .digest = {5},
                                          .state_version = 1,
                                          .state_bytes = 1000,
                                          .order = pair_order(p, 9)};
    p->source_config.offer.head.origin = p->daemon.origin;
    memset(p->source_config.offer.head.attempt, 9, ATTEMPT_SIZE);
    p->target_config = (target_config){.source = p->source_node, .max_stream = 64 << 20};
    crypto_generichash_init(&p->hash, NULL, 0, MOVE_HASH_SIZE);
}

static inline pair *pair_new(void)
{
    pair *p = aligned_alloc(64, (sizeof *p + 63) / 64 * 64);

    pair_init(p);
    return p;
}

static inline void pair_free(pair *p)
{
    source_free(p->source);
    target_free(p->target);
    for (; p->head != p->tail; p->head++)
        buf_unref(p->queue[p->head % QUEUE].bytes);
    for (int i = 0; i < KINDS; i++)
        buf_unref(p->last[i]);
    buf_unref(p->seal);
    free(p);
}

static inline void pair_trace(pair *p, char c)
{
    size_t len = strlen(p->trace);

    if (len + 1 < sizeof p->trace)
        p->trace[len] = c;
}

static inline void pair_post(pair *p, bool to_target, buf *bytes)
{
    unsigned kind = bytes->data[0] % KINDS;

    p->sent[kind]++;
    buf_unref(p->last[kind]);
    p->last[kind] = buf_ref(bytes);
    if (p->lose[kind])
        p->lose[kind]--;
    else if (!p->deaf[to_target] && p->tail - p->head < QUEUE)
        p->queue[p->tail++ % QUEUE] = (pair_message){to_target, buf_ref(bytes)};
    buf_unref(bytes);
}

static inline buf *pair_bytes(writer *w)
{
    buf *b = buf_copy(w->data, w->len);

    writer_free(w);
    return b;
}

static inline buf *pair_make_seal(pair *p)
{
    crypto_generichash_state hash = p->hash;
    move_seal m = {.head = p->source_config.offer.head, .total = p->total};
    const order *o = &p->source_config.offer.order;
    writer w = {0};

    crypto_generichash_final(&hash, m.hash, sizeof m.hash);
    m.hash[0] ^= p->wrong_hash;
    m.handover.epoch = p->source_config.offer.epoch;
    memcpy(m.handover.entity, o->entity, sizeof o->entity);
    memcpy(m.handover.from, o->source, sizeof o->source);
    memcpy(m.handover.to, o->target, sizeof o->target);
    memcpy(m.handover.attempt, o->attempt, sizeof o->attempt);
    move_seal_write(&w, &m);
    return pair_bytes(&w);
}

static inline buf *pair_make_round(pair *p)
{
    crypto_generichash_state hash = p->hash;
    move_round m = {.head = p->source_config.offer.head, .total = p->total};
    writer w = {0};

    crypto_generichash_final(&hash, m.hash, sizeof m.hash);
    m.hash[0] ^= p->wrong_hash;
    move_round_write(&w, &m);
    return pair_bytes(&w);
}

static inline void pair_piece(pair *p, source_piece piece)
{
    unsigned i = p->source_needs[SOURCE_PIECE] - 1;
    size_t len = p->piece_bytes[i < p->pieces ? i : p->pieces - 1];
    source_bytes out = {.count = 0};

    ++p->fill;
    for (size_t half = len / 2; len; len -= half ? half : len, half = len) {
        buf *part = buf_new(half ? half : len);

        memset(part->data, p->fill, part->len);
        crypto_generichash_update(&p->hash, part->data, part->len);
        p->total += part->len;
        out.parts[out.count++] = part;
    }
    if (piece == PIECE_FINAL) {
        buf_unref(p->seal);
        p->seal = pair_make_seal(p);
        out.proof = buf_ref(p->seal);
    } else if (out.count) {
        out.proof = pair_make_round(p);
    }
    source_piece_done(p->source, p->piece, &out, &p->why, p->now);
    while (out.count)
        buf_unref(out.parts[--out.count]);
    buf_unref(out.proof);
}

/* Everything the source asks for now. */
static inline bool pair_pump_source(pair *p)
{
    source_need need;
    bool any = false;

    while (p->source && source_next(p->source, &need, p->now)) {
        any = true;
        p->source_needs[need.kind]++;
        if (need.kind != SOURCE_SEND)
            pair_trace(p, "-_pTRrFBsO"[need.kind]);
        if (need.kind == SOURCE_SEND)
            pair_post(p, true, need.message);
        else if (p->hold_source & 1u << need.kind)
            continue;
        else if (need.kind == SOURCE_PIECE)
            pair_piece(p, need.piece);
        else if (need.kind == SOURCE_RELEASE)
            source_released(p->source, p->release, p->now);
        else if (need.kind == SOURCE_FINISH)
            source_finished(p->source, p->now);
        else if (need.kind == SOURCE_TAKE_BACK)
            source_taken_back(p->source, p->now);
    }
    return any;
}

static inline bool pair_pump_target(pair *p)
{
    static const uint8_t nonce[MOVE_NONCE_SIZE] = {7};
    target_need need;
    bool any = false;

    while (p->target && target_next(p->target, &need, p->now)) {
        any = true;
        p->target_needs[need.kind]++;
        if (need.kind != TARGET_SEND)
            pair_trace(p, "-_abcPwxdo"[need.kind]);
        if (need.kind == TARGET_SEND)
            pair_post(p, false, need.message);
        else if (p->hold_target & 1u << need.kind)
            continue;
        else if (need.kind == TARGET_ADMIT)
            target_admitted(p->target, p->admit, nonce, &p->why, p->now);
        else if (need.kind == TARGET_ROUND)
            target_built(p->target, p->build, p->cut_at,
                         p->target_needs[need.kind] > 1 ? 0 : p->cut_len, &p->why, p->now);
        else if (need.kind == TARGET_CHECK)
            target_checked(p->target, p->check, &p->why, p->now);
        else if (need.kind == TARGET_PREPARE)
            target_prepared(p->target, p->prepare, p->now);
        else if (need.kind == TARGET_OWN)
            target_owned(p->target, p->own, &p->why, p->now);
        else if (need.kind == TARGET_REFUSE)
            target_refused(p->target, p->refuse, p->now);
    }
    return any;
}

/* One message arrives. A target is there from its first offer on. */
static inline void pair_deliver(pair *p)
{
    pair_message m = p->queue[p->head++ % QUEUE];
    slice bytes = slice_of(m.bytes->data, m.bytes->len);

    if (m.to_target && !p->target && m.bytes->data[0] == (MESSAGE_MOVE_OFFER & 0xff))
        p->target = target_new(&p->target_config, bytes, p->now);
    else if (m.to_target && p->target)
        target_message(p->target, p->source_node, bytes, p->now);
    else if (!m.to_target && p->source)
        source_message(p->source, p->target_node, bytes, p->now);
    buf_unref(m.bytes);
}

static inline void pair_pump(pair *p)
{
    while ((int)pair_pump_source(p) | (int)pair_pump_target(p))
        ;
}

static inline void pair_expire(pair *p)
{
    if (p->source && source_deadline(p->source) <= p->now)
        source_expire(p->source, p->now);
    if (p->target && target_deadline(p->target) <= p->now)
        target_expire(p->target, p->now);
}

/* For this long, or until nothing would happen any more. */
static inline void pair_run(pair *p, int64_t for_ns)
{
    int64_t end = p->now + for_ns;

    for (int i = 0; i < PAIR_STEPS; i++) {
        int64_t next = INT64_MAX, at;

        pair_pump(p);
        if (p->head != p->tail) {
            p->now += p->delay;
            pair_deliver(p);
            pair_expire(p);
            if (p->now >= end)
                break;
            continue;
        }
        if (p->source && (at = source_deadline(p->source)) < next)
            next = at;
        if (p->target && (at = target_deadline(p->target)) < next)
            next = at;
        if (next > end) {
            p->now = end;
            break;
        }
        if (next > p->now)
            p->now = next;
        pair_expire(p);
    }
    pair_pump(p);
}

static inline void pair_begin(pair *p)
{
    p->source = source_new(&p->source_config, p->now);
}

/* A message of any kind as this attempt has it, with another attempt's number if wanted. */
static inline buf *pair_make(pair *p, uint16_t kind, uint8_t attempt)
{
    static const uint8_t nonce[MOVE_NONCE_SIZE] = {7};
    move_head head = p->source_config.offer.head;
    move_step step = {.epoch = p->source_config.offer.epoch};
    move_no no = {.reason = MOVE_REFUSED, .text = slice_str("made up")};
    move_offer offer = p->source_config.offer;
    move_order given = {.order = offer.order};
    move_accept accept;
    move_seal seal;
    writer w = {0};

    head.kind = kind;
    memset(head.attempt, attempt, sizeof head.attempt);
    memset(offer.order.attempt, attempt, sizeof head.attempt);
    memset(given.order.attempt, attempt, sizeof head.attempt);
    buf_unref(p->seal);
    p->seal = pair_make_seal(p);
    if (!p->total || move_seal_read(&seal, slice_of(p->seal->data, p->seal->len), NULL))
        memset(&seal, 0, sizeof seal);
    step.head = no.head = offer.head = given.head = accept.head = head;
    memcpy(step.hash, seal.hash, sizeof step.hash);
    memcpy(accept.nonce, nonce, sizeof nonce);
    if (kind == MESSAGE_MOVE_ROUND) {
        buf *round = pair_make_round(p);

        round->data[3] ^= attempt ^ p->source_config.offer.head.attempt[0];
        return round;
    }
    if (kind == MESSAGE_MOVE_ORDER)
        move_order_write(&w, &given);
    else if (kind == MESSAGE_MOVE_OFFER)
        move_offer_write(&w, &offer);
    else if (kind == MESSAGE_MOVE_ACCEPT)
        move_accept_write(&w, &accept);
    else if (kind == MESSAGE_MOVE_CHUNK)
        move_chunk_write(&w, &(move_chunk){.head = head, .bytes = slice_of("\1", 1)});
    else if (kind == MESSAGE_MOVE_GOT || kind == MESSAGE_MOVE_BUILT)
        move_got_write(&w, &(move_got){.head = head});
    else if (kind == MESSAGE_MOVE_SEAL) {
        seal.head = head;
        memset(seal.handover.attempt, attempt, sizeof head.attempt);
        move_seal_write(&w, &seal);
    } else if (kind == MESSAGE_MOVE_PREPARED || kind == MESSAGE_MOVE_COMMIT ||
               kind == MESSAGE_MOVE_OWNED)
        move_step_write(&w, &step);
    else if (kind == MESSAGE_MOVE_REFUSED || kind == MESSAGE_MOVE_ABORT)
        move_no_write(&w, &no);
    else if (kind == MESSAGE_MOVE_STATE)
        move_state_write(&w, &(move_state){.head = head});
    else if (kind == MESSAGE_MOVE_FETCH)
        move_fetch_write(&w, &(move_fetch){.head = head, .digest = {5}, .limit = 1});
    else if (kind == MESSAGE_MOVE_PLUGIN)
        move_plugin_write(
            &w, &(move_plugin){
                    .head = head, .digest = {5}, .total = 1, .signature = slice_str("signed")});
    else if (kind == MESSAGE_MOVE_PART)
        move_part_write(&w, &(move_part){.head = head, .digest = {5}, .bytes = slice_of("\1", 1)});
    else if (kind == MESSAGE_MOVE_HEARS)
        move_hears_write(&w, &(move_hears){.head = head, .hearing = {.known = true, .total = 1}});
    else if (kind == MESSAGE_MOVE_KIND)
        move_kind_write(&w, &(move_kind){.head = head, .kind = slice_str("tally")});
    else
        move_bare_write(&w, &head);
    return pair_bytes(&w);
}

/* Until the target has sent this many of a kind, or for a minute. */
static inline void pair_until(pair *p, uint16_t kind, unsigned count)
{
    for (int i = 0; i < 60000 && p->sent[kind % KINDS] < count; i++)
        pair_run(p, MS);
}

static inline source_view pair_source(const pair *p)
{
    source_view v;

    source_look(p->source, &v);
    return v;
}

static inline target_view pair_target(const pair *p)
{
    target_view v;

    target_look(p->target, &v);
    return v;
}

#endif
