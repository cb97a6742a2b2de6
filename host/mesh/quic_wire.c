/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of packets, as far as they can be read without a key (RFC 8999, RFC 9000 §17). */
#include "mesh/quic.h"

enum { TYPE_INITIAL, TYPE_0RTT, TYPE_HANDSHAKE, TYPE_RETRY };

static uint32_t load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void store_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

/* QUIC's variable-length integer; a bad reader gives 0. */
static uint64_t read_varint(reader *r)
{
    uint64_t v = reader_u8(r);
    unsigned more = (1u << (v >> 6)) - 1;

    v &= 0x3f;
    while (more--)
        v = v << 8 | reader_u8(r);
    return r->bad ? 0 : v;
}

/* From the byte after the version to the end of the packet; nothing if it is not all there. */
static bool read_long(wire_header *h, reader *r)
{
    if (reader_u8(r) != QUIC_CID)
        return false;
    h->dcid = reader_bytes(r, QUIC_CID).ptr;
    if (reader_u8(r) != QUIC_CID)
        return false;
    h->scid = reader_bytes(r, QUIC_CID).ptr;
    if (h->type == TYPE_RETRY) {
        reader_bytes(r, reader_left(r));
        return reader_ok(r);
    }
    if (h->type == TYPE_INITIAL) {
        uint64_t len = read_varint(r);

        if (r->bad || len > reader_left(r))
            return false;
        h->token = reader_bytes(r, len);
    }
    {
        uint64_t len = read_varint(r);

        if (r->bad || len > reader_left(r))
            return false;
        reader_bytes(r, len);
    }
    return reader_ok(r);
}

wire_verdict wire_read(wire_header *out, const uint8_t *bytes, size_t len)
{
    reader r;

    *out = (wire_header){0};
    if (len < QUIC_SMALLEST)
        return WIRE_SHORT;
    if (!(bytes[0] & 0x80)) {
        out->dcid = bytes + 1;
        return WIRE_OK;
    }
    out->is_long = true;
    out->type = bytes[0] >> 4 & 3;
    out->version = load_be32(bytes + 1);
    if (out->version != WIRE_VERSION)
        return WIRE_VERSION_UNKNOWN;
    r = reader_of(bytes + 5, len - 5);
    return read_long(out, &r) ? WIRE_OK : WIRE_INVALID;
}

size_t wire_exchange(uint8_t *bytes, size_t len, uint32_t from, uint32_t to)
{
    size_t at = 0;

    while (at < len && bytes[at] & 0x80) {
        wire_header h = {.type = bytes[at] >> 4 & 3};
        reader r;

        if (len - at < 5 || load_be32(bytes + at + 1) != from)
            return at;
        r = reader_of(bytes + at + 5, len - at - 5);
        if (!read_long(&h, &r))
            return at;
        store_be32(bytes + at + 1, to);
        at = (size_t)(r.at - bytes);
    }
    return len;
}
