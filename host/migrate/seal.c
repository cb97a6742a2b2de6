/* SPDX-License-Identifier: Apache-2.0 */
/* The seals of a stream and of its rounds, and the key that goes ahead: their codecs, and what the
 * daemon's key signs in them. */
#include "base/error.h"
#include "migrate/wire_private.h"

#define FLAG_ENVELOPE 1

/* Their zero bytes are signed, too. */
static const char seal_domain[] = "berth-migration-v1";
static const char round_domain[] = "berth-migration-round-v1";

static void write_envelope(writer *w, const envelope *e)
{
    uint8_t bytes[ENVELOPE_SIZE];

    envelope_encode(bytes, e);
    writer_bytes(w, bytes, sizeof bytes);
}

void move_seal_write(writer *w, const move_seal *m)
{
    move_head_write(w, &m->head, MESSAGE_MOVE_SEAL);
    writer_u64(w, m->total);
    writer_bytes(w, m->hash, sizeof m->hash);
    writer_u32(w, m->held);
    handover_write(w, &m->handover);
    writer_u8(w, m->has_envelope ? FLAG_ENVELOPE : 0);
    if (m->has_envelope)
        write_envelope(w, &m->envelope);
    writer_bytes(w, m->signature, sizeof m->signature);
}

static const char *check_handover(const move_head *head, const handover *h)
{
    if (memcmp(h->attempt, head->attempt, ATTEMPT_SIZE) != 0)
        return "has the handover of another attempt";
    return berth_entity_origin(h->entity) == head->origin ? NULL
                                                          : "has the handover of another daemon";
}

static const char *check(const move_seal *m)
{
    return m->total ? check_handover(&m->head, &m->handover) : "seals a stream without bytes";
}

static berth_status read_envelope(reader *r, envelope *out, berth_error *error)
{
    slice sealed = reader_bytes(r, ENVELOPE_SIZE);
    berth_status status;

    if (!reader_ok(r))
        return BERTH_OK; /* the end tells */
    status = envelope_decode(out, sealed.ptr, sealed.len, NULL, error);
    return !status || status == BERTH_ERR_VERSION ? status : BERTH_ERR_CORRUPT;
}

static berth_status read_parts(reader *r, move_seal *out, const char **wrong, berth_error *error)
{
    berth_status status;
    uint8_t flags;

    out->total = reader_u64(r);
    reader_copy(r, out->hash, sizeof out->hash);
    out->held = reader_u32(r);
    status = handover_read(r, &out->handover, error);
    if (status)
        return status;
    flags = reader_u8(r);
    out->has_envelope = flags & FLAG_ENVELOPE;
    if (out->has_envelope)
        status = read_envelope(r, &out->envelope, error);
    if (status)
        return status;
    reader_copy(r, out->signature, sizeof out->signature);
    *wrong = !reader_ok(r)            ? "ends before its last part"
             : flags & ~FLAG_ENVELOPE ? "has a flag that there is not"
                                      : check(out);
    return BERTH_OK;
}

berth_status move_seal_read(move_seal *out, slice message, berth_error *error)
{
    static const char name[] = "migration seal";
    const char *wrong = NULL;
    berth_status status;
    reader r;

    memset(out, 0, sizeof *out);
    status = move_head_begin(&r, message, MESSAGE_MOVE_SEAL, name, &out->head, error);
    if (!status)
        status = read_parts(&r, out, &wrong, error);
    if (status) {
        memset(out, 0, sizeof *out);
        return status;
    }
    return move_end(&r, name, wrong, out, sizeof *out, error);
}

void move_key_write(writer *w, const move_key *m)
{
    move_head_write(w, &m->head, MESSAGE_MOVE_KEY);
    writer_u64(w, m->incarnation);
    handover_write(w, &m->handover);
    write_envelope(w, &m->envelope);
}

berth_status move_key_read(move_key *out, slice message, berth_error *error)
{
    static const char name[] = "migration key";
    berth_status status;
    reader r;

    memset(out, 0, sizeof *out);
    status = move_head_begin(&r, message, MESSAGE_MOVE_KEY, name, &out->head, error);
    if (!status) {
        out->incarnation = reader_u64(&r);
        status = handover_read(&r, &out->handover, error);
    }
    if (!status)
        status = read_envelope(&r, &out->envelope, error);
    if (status) {
        memset(out, 0, sizeof *out);
        return status;
    }
    return move_end(&r, name, check_handover(&out->head, &out->handover), out, sizeof *out, error);
}

void move_round_write(writer *w, const move_round *m)
{
    move_head_write(w, &m->head, MESSAGE_MOVE_ROUND);
    writer_u64(w, m->total);
    writer_bytes(w, m->hash, sizeof m->hash);
    writer_bytes(w, m->signature, sizeof m->signature);
}

berth_status move_round_read(move_round *out, slice message, berth_error *error)
{
    BEGIN(MESSAGE_MOVE_ROUND, "migration round")
    out->total = reader_u64(&r);
    reader_copy(&r, out->hash, sizeof out->hash);
    reader_copy(&r, out->signature, sizeof out->signature);
    if (reader_ok(&r) && !out->total)
        wrong = "proves a stream without bytes";
    END;
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t len)
{
    if (len)
        memcpy(at, bytes, len);
    return at + len;
}

static uint8_t *put_le(uint8_t *at, uint64_t v, size_t len)
{
    for (size_t i = 0; i < len; i++)
        *at++ = (uint8_t)(v >> (8 * i));
    return at;
}

/* All but the domain, and the events of a seal. */
static uint8_t *put_common(uint8_t *at, const move_offer *offer,
                           const uint8_t nonce[MOVE_NONCE_SIZE],
                           const uint8_t stream[MOVE_HASH_SIZE], uint64_t total)
{
    uint8_t hash[32];
    /* A kind that was read is not longer; nor is a signature valid of one that was cut. */
    size_t kind = offer->kind.len <= ORDER_KIND_MAX ? offer->kind.len : ORDER_KIND_MAX;

    order_hash(hash, &offer->order);
    at = put(at, hash, sizeof hash);
    at = put_le(at, offer->epoch, 8);
    at = put(at, nonce, MOVE_NONCE_SIZE);
    at = put(at, offer->order.target, BERTH_ENTITY_SIZE);
    at = put_le(at, kind, 1);
    at = put(at, offer->kind.ptr, kind);
    at = put(at, offer->digest, sizeof offer->digest);
    at = put_le(at, offer->state_version, 4);
    at = put(at, stream, MOVE_HASH_SIZE);
    return put_le(at, total, 8);
}

size_t move_seal_signed(uint8_t out[MOVE_SIGNED_MAX], const move_offer *offer,
                        const uint8_t nonce[MOVE_NONCE_SIZE], const move_seal *seal)
{
    uint8_t *at = put(out, seal_domain, sizeof seal_domain);

    at = put_common(at, offer, nonce, seal->hash, seal->total);
    at = put_le(at, seal->held, 4);
    return (size_t)(at - out);
}

size_t move_round_signed(uint8_t out[MOVE_SIGNED_MAX], const move_offer *offer,
                         const uint8_t nonce[MOVE_NONCE_SIZE], const move_round *round)
{
    uint8_t *at = put(out, round_domain, sizeof round_domain);

    at = put_common(at, offer, nonce, round->hash, round->total);
    return (size_t)(at - out);
}
