/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/presence.h"
#include "base/error.h"
#include "identity/entity.h"

#define RECORD_VERSION 1

/* In front of what is signed, their zeros included, so that no record can stand for another. */
static const char presence_domain[] = "berth-presence-v1";
static const char handover_domain[] = "berth-handover-v1";

/* A record is short and of fixed length: it is put together where it lies. */
typedef struct cut {
    uint8_t *at;
} cut;

static void put(cut *c, const void *bytes, size_t len)
{
    memcpy(c->at, bytes, len);
    c->at += len;
}

static void put_u64(cut *c, uint64_t v)
{
    store_u64(c->at, v);
    c->at += 8;
}

static void put_presence(cut *c, const presence *p)
{
    *c->at++ = RECORD_VERSION;
    put(c, p->entity, sizeof p->entity);
    put(c, p->node, sizeof p->node);
    put_u64(c, p->epoch);
    put_u64(c, p->incarnation);
    put_u64(c, (uint64_t)p->not_after_s);
}

static void put_handover(cut *c, const handover *h)
{
    *c->at++ = RECORD_VERSION;
    put(c, h->entity, sizeof h->entity);
    put_u64(c, h->epoch);
    put(c, h->from, sizeof h->from);
    put(c, h->to, sizeof h->to);
    put(c, h->attempt, sizeof h->attempt);
    put(c, h->head, sizeof h->head);
    put(c, h->by, sizeof h->by);
}

size_t presence_signed(uint8_t out[SIGNED_MAX], const presence *p)
{
    cut c = {out};

    put(&c, presence_domain, sizeof presence_domain);
    put_presence(&c, p);
    return (size_t)(c.at - out);
}

size_t handover_signed(uint8_t out[SIGNED_MAX], const handover *h)
{
    cut c = {out};

    put(&c, handover_domain, sizeof handover_domain);
    put_handover(&c, h);
    return (size_t)(c.at - out);
}

berth_status presence_sign(presence *p, const berth_keypair *daemon)
{
    uint8_t bytes[SIGNED_MAX];

    memcpy(p->entity, daemon->entity, sizeof p->entity);
    return berth_sign(daemon, bytes, presence_signed(bytes, p), p->signature);
}

berth_status handover_sign(handover *h, const berth_keypair *daemon, const berth_keypair *by)
{
    uint8_t bytes[SIGNED_MAX];
    berth_status status;
    size_t len;

    memcpy(h->entity, daemon->entity, sizeof h->entity);
    memcpy(h->by, by->entity, sizeof h->by);
    len = handover_signed(bytes, h);
    status = berth_sign(daemon, bytes, len, h->daemon_signature);
    return status ? status : berth_sign(by, bytes, len, h->by_signature);
}

berth_status presence_verify(const presence *p, verify_signature *verify)
{
    uint8_t bytes[SIGNED_MAX];

    return verify(p->entity, bytes, presence_signed(bytes, p), p->signature) ? BERTH_ERR_SIGNATURE
                                                                             : BERTH_OK;
}

berth_status handover_verify(const handover *h, verify_signature *verify)
{
    uint8_t bytes[SIGNED_MAX];
    size_t len = handover_signed(bytes, h);

    if (verify(h->entity, bytes, len, h->daemon_signature) ||
        verify(h->by, bytes, len, h->by_signature))
        return BERTH_ERR_SIGNATURE;
    return BERTH_OK;
}

void presence_write(writer *w, const presence *p)
{
    uint8_t bytes[PRESENCE_SIZE];
    cut c = {bytes};

    put_presence(&c, p);
    put(&c, p->signature, sizeof p->signature);
    writer_bytes(w, bytes, sizeof bytes);
}

void handover_write(writer *w, const handover *h)
{
    uint8_t bytes[HANDOVER_SIZE];
    cut c = {bytes};

    put_handover(&c, h);
    put(&c, h->daemon_signature, sizeof h->daemon_signature);
    put(&c, h->by_signature, sizeof h->by_signature);
    writer_bytes(w, bytes, sizeof bytes);
}

berth_status presence_read(reader *r, presence *out, berth_error *error)
{
    uint8_t version = reader_u8(r);

    memset(out, 0, sizeof *out);
    if (reader_ok(r) && version != RECORD_VERSION)
        return fail(error, BERTH_ERR_VERSION, "presence: version %u is not known here", version);
    reader_copy(r, out->entity, sizeof out->entity);
    reader_copy(r, out->node, sizeof out->node);
    out->epoch = reader_u64(r);
    out->incarnation = reader_u64(r);
    out->not_after_s = (int64_t)reader_u64(r);
    reader_copy(r, out->signature, sizeof out->signature);
    if (reader_ok(r) && out->epoch && out->incarnation)
        return BERTH_OK;
    memset(out, 0, sizeof *out);
    return fail(error, BERTH_ERR_CORRUPT,
                reader_ok(r) ? "presence: epoch and incarnation begin with 1"
                             : "presence: is shorter than 153 bytes");
}

berth_status handover_read(reader *r, handover *out, berth_error *error)
{
    uint8_t version = reader_u8(r);

    memset(out, 0, sizeof *out);
    if (reader_ok(r) && version != RECORD_VERSION)
        return fail(error, BERTH_ERR_VERSION, "handover: version %u is not known here", version);
    reader_copy(r, out->entity, sizeof out->entity);
    out->epoch = reader_u64(r);
    reader_copy(r, out->from, sizeof out->from);
    reader_copy(r, out->to, sizeof out->to);
    reader_copy(r, out->attempt, sizeof out->attempt);
    reader_copy(r, out->head, sizeof out->head);
    reader_copy(r, out->by, sizeof out->by);
    reader_copy(r, out->daemon_signature, sizeof out->daemon_signature);
    reader_copy(r, out->by_signature, sizeof out->by_signature);
    if (reader_ok(r) && out->epoch > 1)
        return BERTH_OK;
    memset(out, 0, sizeof *out);
    return fail(error, BERTH_ERR_CORRUPT,
                reader_ok(r) ? "handover: the first epoch that follows another is 2"
                             : "handover: is shorter than 313 bytes");
}

bool presence_eq(const presence *a, const presence *b)
{
    return entity_eq(a->entity, b->entity) && entity_eq(a->node, b->node) && a->epoch == b->epoch &&
           a->incarnation == b->incarnation && a->not_after_s == b->not_after_s &&
           memcmp(a->signature, b->signature, sizeof a->signature) == 0;
}
