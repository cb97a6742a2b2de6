/* SPDX-License-Identifier: Apache-2.0 */
#include "migrate/order.h"
#include "base/error.h"
#include "base/random.h"
#include "identity/entity.h"

#include <inttypes.h>
#include <sodium.h>

#define ORDER_VERSION 1

enum { FLAG_IDENTITY = 1, FLAG_SIGNED = 2, FLAGS = FLAG_IDENTITY | FLAG_SIGNED };

static const char domain[] = "berth-order-v1"; /* its zero byte is signed, too */

/* Where the next byte goes; an order is short and put together where it lies. */
typedef struct cut {
    uint8_t *at;
} cut;

static void put(cut *c, const void *bytes, size_t len)
{
    memcpy(c->at, bytes, len);
    c->at += len;
}

static void put_u32(cut *c, uint32_t v)
{
    v = htole32(v);
    put(c, &v, sizeof v);
}

static void put_u64(cut *c, uint64_t v)
{
    store_u64(c->at, v);
    c->at += 8;
}

/* All but signer and signature. */
static void put_body(cut *c, const order *o)
{
    size_t kind = strnlen(o->kind, ORDER_KIND_MAX);

    *c->at++ = ORDER_VERSION;
    put(c, o->attempt, sizeof o->attempt);
    put(c, o->entity, sizeof o->entity);
    put(c, o->source, sizeof o->source);
    put(c, o->target, sizeof o->target);
    put_u32(c, o->verbs);
    *c->at++ = (uint8_t)((o->transport_identity ? FLAG_IDENTITY : 0) |
                         (o->has_signature ? FLAG_SIGNED : 0));
    put_u64(c, (uint64_t)o->not_before_s);
    put_u64(c, (uint64_t)o->not_after_s);
    *c->at++ = (uint8_t)kind;
    put(c, o->kind, kind);
    put(c, o->digest, sizeof o->digest);
    put_u32(c, o->state_lowest);
    put_u32(c, o->state_highest);
    if (o->has_signature)
        put(c, o->signer, sizeof o->signer);
}

static size_t encode(uint8_t out[ORDER_MAX], const order *o)
{
    cut c = {out};

    put_body(&c, o);
    if (o->has_signature)
        put(&c, o->signature, sizeof o->signature);
    return (size_t)(c.at - out);
}

static size_t signed_bytes(uint8_t out[sizeof domain + ORDER_MAX], const order *o)
{
    cut c = {out};

    put(&c, domain, sizeof domain);
    put_body(&c, o);
    return (size_t)(c.at - out);
}

void order_write(writer *w, const order *o)
{
    uint8_t bytes[ORDER_MAX];

    writer_bytes(w, bytes, encode(bytes, o));
}

/* A kind is text that ends where its length says. */
static const char *read_kind(reader *r, order *out)
{
    slice kind = reader_bytes(r, reader_u8(r));

    if (kind.len && memchr(kind.ptr, 0, kind.len))
        return "has a zero byte in its kind";
    if (kind.len)
        memcpy(out->kind, kind.ptr, kind.len);
    return NULL;
}

static const char *read_body(reader *r, order *out)
{
    const char *wrong;
    uint8_t flags;

    reader_copy(r, out->attempt, sizeof out->attempt);
    reader_copy(r, out->entity, sizeof out->entity);
    reader_copy(r, out->source, sizeof out->source);
    reader_copy(r, out->target, sizeof out->target);
    out->verbs = reader_u32(r);
    flags = reader_u8(r);
    out->not_before_s = (int64_t)reader_u64(r);
    out->not_after_s = (int64_t)reader_u64(r);
    wrong = read_kind(r, out);
    reader_copy(r, out->digest, sizeof out->digest);
    out->state_lowest = reader_u32(r);
    out->state_highest = reader_u32(r);
    out->transport_identity = flags & FLAG_IDENTITY;
    out->has_signature = (flags & FLAG_SIGNED) != 0;
    if (out->has_signature) {
        reader_copy(r, out->signer, sizeof out->signer);
        reader_copy(r, out->signature, sizeof out->signature);
    }
    if (!reader_ok(r))
        return "ends before its last part";
    if (flags & ~FLAGS)
        return "has a flag that there is not";
    if (!wrong && out->state_lowest > out->state_highest)
        return "wants a state version above the highest that it wants";
    return wrong;
}

berth_status order_read(reader *r, order *out, berth_error *error)
{
    uint8_t version = reader_u8(r);
    const char *wrong;

    memset(out, 0, sizeof *out);
    if (reader_ok(r) && version != ORDER_VERSION)
        return fail(error, BERTH_ERR_VERSION, "order: version %u is not known, only %d is", version,
                    ORDER_VERSION);
    wrong = read_body(r, out);
    if (!wrong)
        return BERTH_OK;
    memset(out, 0, sizeof *out);
    return fail(error, BERTH_ERR_CORRUPT, "order: %s", wrong);
}

berth_status order_sign(order *o, const berth_keypair *operator_key)
{
    uint8_t bytes[sizeof domain + ORDER_MAX];

    o->has_signature = true;
    memcpy(o->signer, operator_key->entity, sizeof o->signer);
    return berth_sign(operator_key, bytes, signed_bytes(bytes, o), o->signature);
}

void order_hash(uint8_t out[32], const order *o)
{
    uint8_t bytes[ORDER_MAX];

    sodium_ready();
    crypto_generichash(out, 32, bytes, encode(bytes, o), NULL, 0);
}

static berth_status check_form(const order *o, berth_error *error)
{
    char text[BERTH_ENTITY_DISPLAY];

    if (entity_eq(o->source, o->target))
        return fail(error, BERTH_ERR_INVALID,
                    "order: source and target are one node, %s: name another target",
                    berth_entity_display(text, o->source));
    if (!o->verbs)
        return fail(error, BERTH_ERR_INVALID, "order: it has no verb, so it allows nothing");
    if (o->not_before_s < 0 || o->not_after_s <= o->not_before_s)
        return fail(error, BERTH_ERR_INVALID, "order: it ends before it begins");
    if (o->not_after_s - o->not_before_s > ORDER_LIFE_MAX_S)
        return fail(error, BERTH_ERR_LIMIT,
                    "order: it is valid for %" PRId64 " s, and at most %d are allowed: sign a "
                    "shorter one",
                    o->not_after_s - o->not_before_s, ORDER_LIFE_MAX_S);
    return BERTH_OK;
}

berth_status order_check(const order *o, int64_t now_s, verify_signature *verify,
                         berth_error *error)
{
    uint8_t bytes[sizeof domain + ORDER_MAX];
    char text[BERTH_ENTITY_DISPLAY];
    berth_status status = check_form(o, error);

    if (status)
        return status;
    if (now_s < 0)
        now_s = 0; /* as the times of the order are not negative, nothing overflows */
    if (now_s < o->not_before_s && o->not_before_s - now_s > ORDER_CLOCK_TOLERANCE_S)
        return fail(error, BERTH_ERR_STALE,
                    "order: it begins %" PRId64
                    " s from now: wait, or compare the clocks of both machines",
                    o->not_before_s - now_s);
    if (now_s > o->not_after_s && now_s - o->not_after_s > ORDER_CLOCK_TOLERANCE_S)
        return fail(error, BERTH_ERR_STALE, "order: it ended %" PRId64 " s ago: sign a new one",
                    now_s - o->not_after_s);
    if (!o->has_signature)
        return BERTH_OK;
    if (!verify)
        verify = berth_verify;
    if (verify(o->signer, bytes, signed_bytes(bytes, o), o->signature) != BERTH_OK)
        return fail(error, BERTH_ERR_SIGNATURE,
                    "order: not signed by %s, which it names: sign it again",
                    berth_entity_display(text, o->signer));
    return BERTH_OK;
}
