/* SPDX-License-Identifier: Apache-2.0 */
/* The messages that bring a plugin to a target that lacks it. */
#include "base/error.h"
#include "migrate/wire_private.h"

void move_fetch_write(writer *w, const move_fetch *m)
{
    move_head_write(w, &m->head, MESSAGE_MOVE_FETCH);
    writer_bytes(w, m->digest, sizeof m->digest);
    writer_u64(w, m->limit);
    writer_u64(w, m->offset);
    writer_u32(w, m->length);
}

static berth_status begin(reader *r, slice message, uint16_t kind, const char *name,
                          move_head *head, uint8_t digest[32], berth_error *error)
{
    berth_status status = move_head_begin(r, message, kind, name, head, error);

    if (status == BERTH_OK)
        reader_copy(r, digest, 32);
    return status;
}

berth_status move_fetch_read(move_fetch *out, slice message, berth_error *error)
{
    static const char name[] = "migration fetch";
    const char *wrong = NULL;
    berth_status status;
    reader r;

    memset(out, 0, sizeof *out);
    status = begin(&r, message, MESSAGE_MOVE_FETCH, name, &out->head, out->digest, error);
    if (status) {
        memset(out, 0, sizeof *out);
        return status;
    }
    out->limit = reader_u64(&r);
    out->offset = reader_u64(&r);
    out->length = reader_u32(&r);
    if (reader_ok(&r) && out->length > MOVE_FETCH_MAX)
        wrong = "asks for too many bytes at once";
    else if (out->offset > UINT64_MAX - out->length || out->offset + out->length > out->limit)
        wrong = "asks for bytes beyond its own limit";
    return move_end(&r, name, wrong, out, sizeof *out, error);
}

void move_plugin_write(writer *w, const move_plugin *m)
{
    move_head_write(w, &m->head, MESSAGE_MOVE_PLUGIN);
    writer_bytes(w, m->digest, sizeof m->digest);
    writer_u64(w, m->total);
    writer_u16(w, (uint16_t)m->signature.len);
    writer_bytes(w, m->signature.ptr, m->signature.len);
}

berth_status move_plugin_read(move_plugin *out, slice message, berth_error *error)
{
    static const char name[] = "migration plugin";
    const char *wrong = NULL;
    berth_status status;
    reader r;

    memset(out, 0, sizeof *out);
    status = begin(&r, message, MESSAGE_MOVE_PLUGIN, name, &out->head, out->digest, error);
    if (status) {
        memset(out, 0, sizeof *out);
        return status;
    }
    out->total = reader_u64(&r);
    out->signature = reader_bytes(&r, reader_u16(&r));
    if (reader_ok(&r) && (!out->total || !out->signature.len))
        wrong = out->total ? "is of a file without a signature" : "is of a file without bytes";
    return move_end(&r, name, wrong, out, sizeof *out, error);
}

void move_part_write(writer *w, const move_part *m)
{
    writer_reserve(w, MOVE_HEAD_SIZE + 40 + m->bytes.len);
    move_head_write(w, &m->head, MESSAGE_MOVE_PART);
    writer_bytes(w, m->digest, sizeof m->digest);
    writer_u64(w, m->offset);
    writer_bytes(w, m->bytes.ptr, m->bytes.len);
}

berth_status move_part_read(move_part *out, slice message, berth_error *error)
{
    static const char name[] = "migration part of a plugin";
    const char *wrong = NULL;
    berth_status status;
    reader r;

    memset(out, 0, sizeof *out);
    status = begin(&r, message, MESSAGE_MOVE_PART, name, &out->head, out->digest, error);
    if (status) {
        memset(out, 0, sizeof *out);
        return status;
    }
    out->offset = reader_u64(&r);
    out->bytes = reader_bytes(&r, reader_left(&r));
    if (reader_ok(&r) && (!out->bytes.len || out->bytes.len > MOVE_CHUNK_MAX))
        wrong = "has no bytes, or too many";
    else if (out->offset > UINT64_MAX - out->bytes.len)
        wrong = "goes beyond the last offset";
    return move_end(&r, name, wrong, out, sizeof *out, error);
}
