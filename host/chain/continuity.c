/* SPDX-License-Identifier: Apache-2.0 */
#include "chain/continuity.h"
#include "base/error.h"
#include "identity/entity.h"

#include <inttypes.h>

#define RECORD_VERSION 1
#define SIGNED_SIZE    (DISCONTINUITY_SIZE - BERTH_SIGNATURE_SIZE)

/* Signed in front of the record, so that no signature for another use can stand for one. */
static const char domain[] = "berth-discontinuity-v1";

/* The signature needs it all in one piece: tag, then record without signature. */
struct transcript {
    uint8_t bytes[sizeof domain + SIGNED_SIZE];
};

static void write_fields(uint8_t *out, const discontinuity *d)
{
    out[0] = RECORD_VERSION;
    memcpy(out + 1, d->entity, sizeof d->entity);
    store_u64(out + 33, d->incarnation);
    berth_link_encode(out + 41, &d->last);
    berth_link_encode(out + 73, &d->base);
}

static void transcript_of(struct transcript *t, const discontinuity *d)
{
    memcpy(t->bytes, domain, sizeof domain);
    write_fields(t->bytes + sizeof domain, d);
}

void discontinuity_base(berth_link *out, uint64_t origin, uint64_t previous_sequence,
                        uint64_t incarnation, uint64_t base_sequence)
{
    static const char label[] = "discontinuity";
    uint8_t raw[24 + sizeof label - 1];

    store_u64(raw, origin);
    store_u64(raw + 8, previous_sequence);
    store_u64(raw + 16, incarnation);
    memcpy(raw + 24, label, sizeof label - 1);
    *out =
        (berth_link){.origin = origin, .sequence = base_sequence, .parent = xxh3(raw, sizeof raw)};
}

/* What must hold before a signature is looked at; NULL if it does. */
static const char *wrong_with(const discontinuity *d)
{
    uint64_t origin = berth_entity_origin(d->entity);
    berth_link base;

    if (d->incarnation == 0)
        return "the incarnation must be above 0";
    if (d->last.origin != origin)
        return "the last link is of another daemon";
    if (d->base.sequence <= d->last.sequence)
        return "the new sequence must be above the last one";
    discontinuity_base(&base, origin, d->last.sequence, d->incarnation, d->base.sequence);
    if (!link_eq(&base, &d->base))
        return "the base link does not follow from the record";
    return NULL;
}

berth_status discontinuity_make(discontinuity *out, const berth_keypair *key,
                                const berth_link *last, uint64_t incarnation,
                                uint64_t base_sequence, berth_error *error)
{
    berth_link known = *last; /* which may lie in *out */
    struct transcript t;
    const char *wrong;

    memset(out, 0, sizeof *out);
    memcpy(out->entity, key->entity, sizeof out->entity);
    out->incarnation = incarnation;
    out->last = known;
    discontinuity_base(&out->base, key->origin, known.sequence, incarnation, base_sequence);
    wrong = wrong_with(out);
    if (wrong) {
        memset(out, 0, sizeof *out);
        return fail(error, BERTH_ERR_INVALID, "discontinuity: %s", wrong);
    }
    transcript_of(&t, out);
    if (berth_sign(key, t.bytes, sizeof t.bytes, out->signature) != BERTH_OK) {
        memset(out, 0, sizeof *out);
        return fail(error, BERTH_ERR_READ_ONLY,
                    "discontinuity: cannot be signed: the key pair is public-only");
    }
    return BERTH_OK;
}

void discontinuity_chain(chain *out, const discontinuity *record)
{
    chain_from_head(out, &record->base, slice_of(NULL, 0));
}

void discontinuity_encode(uint8_t out[DISCONTINUITY_SIZE], const discontinuity *record)
{
    write_fields(out, record);
    memcpy(out + SIGNED_SIZE, record->signature, sizeof record->signature);
}

static berth_status refused(discontinuity *out, berth_error *error, berth_status status,
                            const char *what)
{
    memset(out, 0, sizeof *out);
    return fail(error, status, "discontinuity record: %s", what);
}

berth_status discontinuity_decode(discontinuity *out, slice bytes, berth_error *error)
{
    reader r = reader_of(bytes.ptr, bytes.len);
    uint8_t version = reader_u8(&r);
    struct transcript t;
    const char *wrong;

    reader_copy(&r, out->entity, sizeof out->entity);
    out->incarnation = reader_u64(&r);
    link_read(&r, &out->last);
    link_read(&r, &out->base);
    reader_copy(&r, out->signature, sizeof out->signature);
    if (bytes.len && version != RECORD_VERSION)
        return refused(out, error, BERTH_ERR_VERSION,
                       "of an unknown version; only version 1 is read");
    if (!reader_done(&r))
        return refused(out, error, BERTH_ERR_CORRUPT, "is not 169 bytes long");
    wrong = wrong_with(out);
    if (wrong)
        return refused(out, error, BERTH_ERR_CORRUPT, wrong);
    transcript_of(&t, out);
    if (berth_verify(out->entity, t.bytes, sizeof t.bytes, out->signature) != BERTH_OK)
        return refused(out, error, BERTH_ERR_SIGNATURE, "is not signed by the daemon it is about");
    return BERTH_OK;
}

void chain_verifier_init(chain_verifier *v, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    memcpy(v->entity, entity, sizeof v->entity);
    chain_init(&v->seen, berth_entity_origin(entity));
    v->incarnation = 0;
}

berth_status chain_verifier_event(chain_verifier *v, const berth_link *link, slice payload,
                                  berth_chain_fault *fault)
{
    berth_status status = link_validate_parent(&v->seen.head, v->seen.next_parent, link, fault);

    if (!status)
        chain_from_head(&v->seen, link, payload);
    return status;
}

berth_status chain_verifier_discontinuity(chain_verifier *v, const discontinuity *record,
                                          uint64_t *lost, berth_error *error)
{
    const berth_link *head = &v->seen.head, *last = &record->last;

    if (!entity_eq(v->entity, record->entity))
        return fail(error, BERTH_ERR_IDENTITY_MISMATCH,
                    "discontinuity record: of another identity");
    if (record->incarnation <= v->incarnation)
        return fail(error, BERTH_ERR_STALE,
                    "discontinuity record: incarnation %" PRIu64 " is not above %" PRIu64,
                    record->incarnation, v->incarnation);
    if (record->base.sequence <= head->sequence)
        return fail(error, BERTH_ERR_CORRUPT,
                    "discontinuity record: goes on from sequence %" PRIu64 ", which %" PRIu64
                    " was seen to pass: the same sequences would be used twice",
                    record->base.sequence, head->sequence);
    if (last->sequence == head->sequence && !link_eq(last, head))
        return fail(error, BERTH_ERR_CORRUPT,
                    "discontinuity record: its last link is not the one seen at sequence %" PRIu64,
                    last->sequence);
    if (lost)
        *lost = head->sequence > last->sequence ? head->sequence - last->sequence : 0;
    discontinuity_chain(&v->seen, record);
    v->incarnation = record->incarnation;
    return BERTH_OK;
}
