/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is on disk of an attempt besides its phase, and how it goes on after a restart.
 *
 *     record: version u8 (2), the other node's entity 32, nonce 32, incarnation u64, sequence u64,
 *     node that ordered it u64 (0: none, or this one), OFFER (length u32, message), SEAL (the same)
 */
#include "migrate/migrations_private.h"

#include "base/error.h"

#include <sodium.h>
#include <stdlib.h>

#define RECORD_VERSION 2

static void put_message(writer *w, slice msg)
{
    writer_u32(w, (uint32_t)msg.len);
    writer_bytes(w, msg.ptr, msg.len);
}

static void write_record(writer *w, const attempt *a, slice offer, slice seal)
{
    writer_u8(w, RECORD_VERSION);
    writer_bytes(w, a->peer_entity, sizeof a->peer_entity);
    writer_bytes(w, a->nonce, sizeof a->nonce);
    writer_u64(w, a->incarnation);
    writer_u64(w, a->sequence);
    writer_u64(w, a->orchestrator);
    put_message(w, offer);
    put_message(w, seal);
}

static void fill(const attempt *a, store_attempt *out, const writer *w, uint64_t epoch)
{
    *out = (store_attempt){
        .epoch = epoch, .not_after_s = a->not_after_s, .record = slice_of(w->data, w->len)};
    memcpy(out->attempt, a->id, sizeof out->attempt);
    memcpy(out->entity, a->entity, sizeof out->entity);
}

static void no_memory(store_done *done, void *ctx)
{
    berth_error error = {0};

    fail(&error, BERTH_ERR_NO_MEMORY, "out of memory");
    done(ctx, BERTH_ERR_NO_MEMORY, &error);
}

void journal_prepare(attempt *a, buf *stream, store_done *done, void *ctx)
{
    store_attempt row;
    writer w = {0};

    write_record(&w, a, slice_of(a->offer_bytes->data, a->offer_bytes->len),
                 slice_of(a->seal_bytes->data, a->seal_bytes->len));
    fill(a, &row, &w, target_offer(a->target)->epoch);
    if (w.failed)
        no_memory(done, ctx);
    else
        store_attempt_prepare(a->x->config.store, &row, stream, done, ctx);
    if (w.data)
        sodium_memzero(w.data, w.len);
    writer_free(&w);
}

void journal_release(attempt *a, store_done *done, void *ctx)
{
    store_attempt row;
    writer w = {0}, offer = {0};

    move_offer_write(&offer, &a->offer);
    write_record(&w, a, slice_of(offer.data, offer.len), slice_of(a->seal->data, a->seal->len));
    fill(a, &row, &w, a->offer.epoch);
    if (w.failed || offer.failed)
        no_memory(done, ctx);
    else
        store_attempt_release(a->x->config.store, &row, a->stream, done, ctx);
    if (w.data)
        sodium_memzero(w.data, w.len);
    writer_free(&w);
    writer_free(&offer);
}

void journal_refuse(attempt *a, store_done *done, void *ctx)
{
    store_attempt row;
    writer none = {0};

    fill(a, &row, &none, target_offer(a->target)->epoch);
    store_attempt_refuse(a->x->config.store, &row, done, ctx);
}

typedef struct phase_of {
    store_attempt_phase phase;
    uint64_t epoch;
} phase_of;

static void take_phase(void *ctx, const store_attempt *a)
{
    phase_of *p = ctx;

    *p = (phase_of){a->phase, a->epoch};
}

bool journal_phase(migrations *x, const uint8_t id[ATTEMPT_SIZE], store_attempt_phase *phase,
                   uint64_t *epoch)
{
    phase_of p = {0};
    berth_error error = {0};

    if (!x->config.store ||
        store_attempt_get(x->config.store, id, take_phase, &p, &error) != BERTH_OK)
        return false;
    *phase = p.phase;
    *epoch = p.epoch;
    return true;
}

/* ---- After a restart ------------------------------------------------------------------------- */

typedef struct record {
    const uint8_t *peer, *nonce;
    uint64_t incarnation, sequence, orchestrator;
    slice offer, seal;
} record;

static bool read_record(record *out, slice bytes)
{
    reader r = reader_of(bytes.ptr, bytes.len);
    uint8_t version = reader_u8(&r);

    out->peer = reader_bytes(&r, BERTH_ENTITY_SIZE).ptr;
    out->nonce = reader_bytes(&r, MOVE_NONCE_SIZE).ptr;
    out->incarnation = reader_u64(&r);
    out->sequence = reader_u64(&r);
    out->orchestrator = version == 1 ? 0 : reader_u64(&r);
    out->offer = reader_bytes(&r, reader_u32(&r));
    out->seal = reader_bytes(&r, reader_u32(&r));
    return reader_done(&r) && version >= 1 && version <= RECORD_VERSION;
}

static void begin_common(attempt *a, const store_attempt *row, const record *r)
{
    memcpy(a->entity, row->entity, sizeof a->entity);
    memcpy(a->peer_entity, r->peer, sizeof a->peer_entity);
    memcpy(a->nonce, r->nonce, sizeof a->nonce);
    a->peer = berth_entity_node_id(r->peer);
    a->not_after_s = row->not_after_s;
    a->incarnation = r->incarnation;
    a->sequence = r->sequence;
}

static bool recover_source(attempt *a, const record *r, const move_offer *offer,
                           const move_seal *seal)
{
    source_config config = {.target = a->peer, .resend_ns = a->x->config.resend_ns};

    a->orchestrator = r->orchestrator;
    a->offer = *offer;
    snprintf(a->plugin, sizeof a->plugin, "%.*s", (int)offer->plugin.len,
             (const char *)offer->plugin.ptr);
    a->offer.kind = slice_str(a->kind);
    a->offer.plugin = slice_str(a->plugin);
    a->handover = seal->handover;
    a->seal = buf_copy(r->seal.ptr, r->seal.len);
    config.offer = a->offer;
    a->source = source_recover(&config, seal->hash, now_of());
    return a->source && a->seal && map64_put(&a->x->by_origin, a->origin, a);
}

static bool recover_target(attempt *a, const record *r)
{
    target_config config = {.source = a->peer,
                            .max_stream = a->x->config.max_stream,
                            .resend_ns = a->x->config.resend_ns};

    a->offer_bytes = buf_copy(r->offer.ptr, r->offer.len);
    a->seal_bytes = buf_copy(r->seal.ptr, r->seal.len);
    a->target = target_recover(&config, r->offer, r->seal, false, now_of());
    a->prepared = true;
    return a->offer_bytes && a->seal_bytes && a->target && target_undecided(a);
}

static bool recover(void *ctx, const store_attempt *row)
{
    migrations *x = ctx;
    berth_error error = {0};
    move_offer offer;
    move_seal seal;
    record r;
    attempt *a;
    bool good;

    if (row->phase != STORE_RELEASED && row->phase != STORE_PREPARED)
        return true;
    if (!read_record(&r, row->record) || move_offer_read(&offer, r.offer, &error) != BERTH_OK ||
        move_seal_read(&seal, r.seal, &error) != BERTH_OK) {
        log_error("migrate", "an attempt to move a daemon cannot be read from the journal: %s",
                  error.text);
        return true;
    }
    a = attempt_new(x, row->attempt, offer.head.origin);
    if (!a)
        return false;
    begin_common(a, row, &r);
    snprintf(a->kind, sizeof a->kind, "%.*s", (int)offer.kind.len, (const char *)offer.kind.ptr);
    good =
        row->phase == STORE_RELEASED ? recover_source(a, &r, &offer, &seal) : recover_target(a, &r);
    log_info("migrate",
             "daemon %016llx of kind '%s': its move %s node %016llx is not over, the "
             "other node is asked",
             (unsigned long long)a->origin, a->kind, row->phase == STORE_RELEASED ? "to" : "from",
             (unsigned long long)a->peer);
    if (good)
        attempt_pump(a);
    else
        attempt_free(a);
    return good;
}

berth_status journal_recover(migrations *x, berth_error *error)
{
    berth_status status;

    if (!x->config.store)
        return BERTH_OK;
    status = store_attempts_each(x->config.store, recover, x, error);
    if (status == BERTH_ERR_CORRUPT) {
        log_error("migrate", "%s", error->text);
        status = BERTH_OK;
    }
    return status;
}
