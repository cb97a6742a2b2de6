/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/executed.h"

#include "base/error.h"

#define VERSION    1
#define HEAD_COUNT (1 + 8 + 8)
#define MIN_SIZE   (4 + 16 + 4)

enum {
    HAS_TYPE = 0x1,
    HAS_FLAGS = 0x2,
    HAS_STATUS = 0x4,
    HAS_TIME = 0x8,
    HAS_ATTEMPT = 0x10,
    HAS_ORIGIN = 0x20,
    HAS_SEQUENCE = 0x40,
    HAS_REQUEST = 0x80,
    HAS_REPLY = 0x100,
    HAS_CHANNEL = 0x200,
    HAS_PEER = 0x400,
    IS_OBSERVED = 0x800,
    HAS_CODE = 0x1000,
    COUNTS_NOT = 0x2000,
    HAS_IN_USE = 0x4000,
    KNOWN = 0x7fff,
};

/* ---- Writing --------------------------------------------------------------------------------- */

void executed_begin(writer *w, const effect_limits *limits)
{
    writer_u8(w, VERSION);
    writer_u64(w, limits->outputs);
    writer_u64(w, limits->output_bytes);
    writer_u32(w, 0);
}

void executed_end(writer *w, size_t begin, uint32_t count)
{
    uint32_t n = htole32(count);

    if (!w->failed)
        memcpy(w->data + begin + HEAD_COUNT, &n, sizeof n);
}

static bool has_reply(const berth_ref *r)
{
    return r->w[0] | r->w[1] | r->w[2] | r->w[3];
}

/* What of it has to be said, after an event of this time. */
static uint32_t said(const executed_event *x, int64_t time_ns)
{
    const berth_event *e = &x->event;

    return (e->type != BERTH_EVENT_MESSAGE ? HAS_TYPE : 0) | (e->flags ? HAS_FLAGS : 0) |
           (e->status ? HAS_STATUS : 0) | (e->time_ns != time_ns ? HAS_TIME : 0) |
           (e->attempt != 1 ? HAS_ATTEMPT : 0) | (e->origin ? HAS_ORIGIN : 0) |
           (e->sequence ? HAS_SEQUENCE : 0) | (e->request ? HAS_REQUEST : 0) |
           (has_reply(&e->reply_to) ? HAS_REPLY : 0) | (e->channel.len ? HAS_CHANNEL : 0) |
           (x->observed ? x->peer ? HAS_PEER : IS_OBSERVED : 0) | (x->code ? HAS_CODE : 0) |
           (x->counts ? 0 : COUNTS_NOT) | (x->in_use_count ? HAS_IN_USE : 0);
}

void executed_add(writer *w, const executed_event *x, int64_t *time_ns)
{
    const berth_event *e = &x->event;
    uint32_t has = said(x, *time_ns);

    *time_ns = e->time_ns;
    writer_u32(w, has);
    if (has & HAS_TYPE)
        writer_u16(w, e->type);
    if (has & HAS_FLAGS)
        writer_u16(w, e->flags);
    if (has & HAS_STATUS)
        writer_u32(w, (uint32_t)e->status);
    if (has & HAS_TIME)
        writer_u64(w, (uint64_t)e->time_ns);
    if (has & HAS_ATTEMPT)
        writer_u32(w, e->attempt);
    if (has & HAS_ORIGIN)
        writer_u64(w, e->origin);
    if (has & HAS_SEQUENCE)
        writer_u64(w, e->sequence);
    if (has & HAS_REQUEST)
        writer_u64(w, e->request);
    for (unsigned i = 0; has & HAS_REPLY && i < 4; i++)
        writer_u64(w, e->reply_to.w[i]);
    if (has & HAS_CHANNEL) {
        writer_u16(w, (uint16_t)e->channel.len);
        writer_bytes(w, e->channel.ptr, e->channel.len);
    }
    if (has & HAS_PEER)
        writer_u64(w, x->peer);
    if (has & HAS_CODE)
        writer_u32(w, (uint32_t)x->code);
    if (has & HAS_IN_USE) {
        writer_u16(w, x->in_use_count);
        writer_bytes(w, x->in_use, (size_t)x->in_use_count * 8);
    }
    writer_u64(w, e->seed[0]);
    writer_u64(w, e->seed[1]);
    writer_u32(w, (uint32_t)e->data.len);
    writer_bytes(w, e->data.ptr, e->data.len);
}

/* ---- Reading --------------------------------------------------------------------------------- */

berth_status executed_open(executed_reader *x, slice bytes, berth_error *error)
{
    uint8_t version;

    *x = (executed_reader){.r = reader_of(bytes.ptr, bytes.len)};
    version = reader_u8(&x->r);
    if (reader_ok(&x->r) && version != VERSION)
        return fail(error, BERTH_ERR_VERSION, "executed events: of version %u, only %d is known",
                    version, VERSION);
    x->limits.outputs = reader_u64(&x->r);
    x->limits.output_bytes = reader_u64(&x->r);
    x->count = reader_u32(&x->r);
    if (!reader_ok(&x->r) || x->count > reader_left(&x->r) / MIN_SIZE)
        return fail(error, BERTH_ERR_CORRUPT, "executed events: cut off");
    if (!x->count || x->limits.outputs > UINT32_MAX)
        return fail(error, BERTH_ERR_CORRUPT, "executed events: %s",
                    x->count ? "more outputs a call than there can be" : "there are none");
    return BERTH_OK;
}

static berth_bytes bytes_of(slice s)
{
    return (berth_bytes){s.ptr, s.len};
}

static void read_event(reader *r, uint32_t has, berth_event *e)
{
    if (has & HAS_TYPE)
        e->type = reader_u16(r);
    if (has & HAS_FLAGS)
        e->flags = reader_u16(r);
    if (has & HAS_STATUS)
        e->status = (int32_t)reader_u32(r);
    if (has & HAS_TIME)
        e->time_ns = (int64_t)reader_u64(r);
    if (has & HAS_ATTEMPT)
        e->attempt = reader_u32(r);
    if (has & HAS_ORIGIN)
        e->origin = reader_u64(r);
    if (has & HAS_SEQUENCE)
        e->sequence = reader_u64(r);
    if (has & HAS_REQUEST)
        e->request = reader_u64(r);
    for (unsigned i = 0; has & HAS_REPLY && i < 4; i++)
        e->reply_to.w[i] = reader_u64(r);
    if (has & HAS_CHANNEL)
        e->channel = bytes_of(reader_bytes(r, reader_u16(r)));
}

static bool is_type(uint16_t type)
{
    return type >= BERTH_EVENT_START && type <= BERTH_EVENT_CONTROL;
}

berth_status executed_next(executed_reader *x, executed_event *out, berth_error *error)
{
    reader *r = &x->r;
    uint32_t has = reader_u32(r);
    berth_event *e = &out->event;

    *out = (executed_event){.event = {.size = sizeof(*e),
                                      .type = BERTH_EVENT_MESSAGE,
                                      .time_ns = x->time_ns,
                                      .attempt = 1},
                            .observed = has & (HAS_PEER | IS_OBSERVED),
                            .counts = !(has & COUNTS_NOT)};
    read_event(r, has, e);
    if (has & HAS_PEER)
        out->peer = reader_u64(r);
    if (has & HAS_CODE)
        out->code = (berth_code)reader_u32(r);
    if (has & HAS_IN_USE) {
        out->in_use_count = reader_u16(r);
        out->in_use = reader_bytes(r, (size_t)out->in_use_count * 8).ptr;
    }
    e->seed[0] = reader_u64(r);
    e->seed[1] = reader_u64(r);
    e->data = bytes_of(reader_bytes(r, reader_u32(r)));
    if (!reader_ok(r) || has & ~(uint32_t)KNOWN || !is_type(e->type) ||
        said(out, x->time_ns) != has)
        return fail(error, BERTH_ERR_CORRUPT, "executed events: event %u does not read", x->at);
    x->time_ns = e->time_ns;
    if (++x->at == x->count && reader_left(r))
        return fail(error, BERTH_ERR_CORRUPT, "executed events: bytes follow the last one");
    return BERTH_OK;
}
