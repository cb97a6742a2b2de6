/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/record.h"

#include "base/error.h"

#include <string.h>

#define VERSION 1
/* Before the bytes when they are signed, its zero included: a signature for one use is none for
 * another. */
static const char domain[] = "berth peer record v1";

static bool name_ok(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.'))
            return false;
    }
    return true;
}

bool record_address_ok(const address *a)
{
    if (a->u.any.sa_family == AF_INET) {
        uint32_t ip = ntohl(a->u.in.sin_addr.s_addr);
        return a->u.in.sin_port && ip >> 24 != 0 && ip >> 28 < 0xe;
    }
    if (a->u.any.sa_family != AF_INET6)
        return false;
    const struct in6_addr *ip = &a->u.in6.sin6_addr;
    /* A mapped IPv4 address has a form of its own. */
    return a->u.in6.sin6_port && !IN6_IS_ADDR_UNSPECIFIED(ip) && !IN6_IS_ADDR_MULTICAST(ip) &&
           !IN6_IS_ADDR_LINKLOCAL(ip) && !IN6_IS_ADDR_V4MAPPED(ip);
}

bool record_address_eq(const address *a, const address *b)
{
    if (a->u.any.sa_family != b->u.any.sa_family)
        return false;
    if (a->u.any.sa_family == AF_INET)
        return a->u.in.sin_port == b->u.in.sin_port &&
               a->u.in.sin_addr.s_addr == b->u.in.sin_addr.s_addr;
    return a->u.in6.sin6_port == b->u.in6.sin6_port &&
           IN6_ARE_ADDR_EQUAL(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr);
}

static void address_write(writer *w, const address *a)
{
    if (a->u.any.sa_family == AF_INET) {
        writer_u8(w, 4);
        writer_bytes(w, &a->u.in.sin_addr, 4);
        writer_u16(w, ntohs(a->u.in.sin_port));
    } else {
        writer_u8(w, 6);
        writer_bytes(w, &a->u.in6.sin6_addr, 16);
        writer_u16(w, ntohs(a->u.in6.sin6_port));
    }
}

static bool address_read(reader *r, address *a)
{
    *a = (address){0};
    switch (reader_u8(r)) {
    case 4:
        a->u.in.sin_family = AF_INET;
        a->len = sizeof a->u.in;
        reader_copy(r, &a->u.in.sin_addr, 4);
        a->u.in.sin_port = htons(reader_u16(r));
        break;
    case 6:
        a->u.in6.sin6_family = AF_INET6;
        a->len = sizeof a->u.in6;
        reader_copy(r, &a->u.in6.sin6_addr, 16);
        a->u.in6.sin6_port = htons(reader_u16(r));
        break;
    default:
        return false;
    }
    return reader_ok(r) && record_address_ok(a);
}

static bool signature_input(writer *w, slice body)
{
    writer_reserve(w, sizeof domain + body.len);
    writer_bytes(w, domain, sizeof domain);
    writer_bytes(w, body.ptr, body.len);
    return !w->failed;
}

berth_status record_sign(const peer_record *r, const berth_keypair *key, buf **out,
                         berth_error *error)
{
    writer w = {0}, input = {0};
    berth_status s = BERTH_OK;
    uint8_t signature[BERTH_SIGNATURE_SIZE];
    size_t name_len = strnlen(r->name, sizeof r->name);

    *out = NULL;
    if (name_len > RECORD_NAME_MAX || !name_ok(r->name, name_len))
        return fail(error, BERTH_ERR_INVALID,
                    "peer record: the name takes letters, digits, '-', '_' and '.', at most %d",
                    RECORD_NAME_MAX);
    if (r->address_count > RECORD_ADDRESSES_MAX)
        return fail(error, BERTH_ERR_INVALID, "peer record: %u addresses; at most %d fit",
                    r->address_count, RECORD_ADDRESSES_MAX);
    for (unsigned i = 0; i < r->address_count; i++)
        if (!record_address_ok(&r->addresses[i]))
            return fail(error, BERTH_ERR_INVALID,
                        "peer record: address %u cannot be reached from elsewhere", i + 1);
    writer_u8(&w, VERSION);
    writer_bytes(&w, key->entity, BERTH_ENTITY_SIZE);
    writer_bytes(&w, r->static_key, 32);
    writer_u64(&w, r->sequence);
    writer_u64(&w, (uint64_t)r->not_after_s);
    writer_u8(&w, (uint8_t)name_len);
    writer_bytes(&w, r->name, name_len);
    writer_u8(&w, (uint8_t)r->address_count);
    for (unsigned i = 0; i < r->address_count; i++)
        address_write(&w, &r->addresses[i]);
    if (w.failed || !signature_input(&input, slice_of(w.data, w.len))) {
        s = fail(error, BERTH_ERR_NO_MEMORY, "peer record: out of memory");
        goto out;
    }
    s = berth_sign(key, input.data, input.len, signature);
    if (s != BERTH_OK) {
        fail(error, s, "peer record: the node's key has no secret half");
        goto out;
    }
    writer_bytes(&w, signature, sizeof signature);
    *out = w.failed ? NULL : buf_copy(w.data, w.len);
    if (!*out)
        s = fail(error, BERTH_ERR_NO_MEMORY, "peer record: out of memory");
out:
    writer_free(&w);
    writer_free(&input);
    return s;
}

berth_status record_decode(slice bytes, peer_record *out, berth_error *error)
{
    reader r = reader_of(bytes.ptr, bytes.len);
    const char *what = NULL;

    *out = (peer_record){0};
    if (bytes.len > RECORD_SIZE_MAX || reader_u8(&r) != VERSION) {
        what = "of another version, or too long";
        goto bad;
    }
    reader_copy(&r, out->entity, BERTH_ENTITY_SIZE);
    reader_copy(&r, out->static_key, 32);
    out->sequence = reader_u64(&r);
    out->not_after_s = (int64_t)reader_u64(&r);
    size_t len = reader_u8(&r);
    slice name = reader_bytes(&r, len);
    if (!reader_ok(&r) || len > RECORD_NAME_MAX || !name_ok((const char *)name.ptr, len)) {
        what = "its name is not one";
        goto bad;
    }
    if (len)
        memcpy(out->name, name.ptr, len);
    unsigned count = reader_u8(&r);
    if (count > RECORD_ADDRESSES_MAX) {
        what = "more addresses than fit";
        goto bad;
    }
    for (; out->address_count < count; out->address_count++)
        if (!address_read(&r, &out->addresses[out->address_count])) {
            what = "an address that cannot be reached";
            goto bad;
        }
    reader_bytes(&r, BERTH_SIGNATURE_SIZE);
    if (!reader_done(&r)) {
        what = "of the wrong length";
        goto bad;
    }
    return BERTH_OK;
bad:
    *out = (peer_record){0};
    return fail(error, BERTH_ERR_INVALID, "peer record: %s", what);
}

berth_status record_verify(slice bytes, const peer_record *r, int64_t wall_s,
                           verify_signature *verify, berth_error *error)
{
    if (r->not_after_s < wall_s)
        return fail(error, BERTH_ERR_TIMEOUT, "peer record: it has run out");
    if (r->not_after_s > wall_s + RECORD_LIFE_MAX_S)
        return fail(error, BERTH_ERR_LIMIT, "peer record: it claims to hold for more than %d days",
                    RECORD_LIFE_MAX_S / 86400);
    writer w = {0};
    size_t body = bytes.len - BERTH_SIGNATURE_SIZE;
    if (!signature_input(&w, slice_of(bytes.ptr, body))) {
        writer_free(&w);
        return fail(error, BERTH_ERR_NO_MEMORY, "peer record: out of memory");
    }
    berth_status s = (verify ? verify : berth_verify)(r->entity, w.data, w.len, bytes.ptr + body);
    writer_free(&w);
    if (s != BERTH_OK)
        return fail(error, BERTH_ERR_SIGNATURE, "peer record: not signed by the node it is about");
    return BERTH_OK;
}

bool record_newer(const peer_record *a, const peer_record *b)
{
    return a->sequence > b->sequence;
}
