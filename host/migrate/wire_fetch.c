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

berth_status move_fetch_read(move_fetch *out, slice message, berth_error *error)
{
    BEGIN(MESSAGE_MOVE_FETCH, "migration fetch")
    reader_copy(&r, out->digest, sizeof out->digest);
    out->limit = reader_u64(&r);
    out->offset = reader_u64(&r);
    out->length = reader_u32(&r);
    if (reader_ok(&r) && out->length > MOVE_FETCH_MAX)
        wrong = "asks for too many bytes at once";
    else if (out->offset > UINT64_MAX - out->length || out->offset + out->length > out->limit)
        wrong = "asks for bytes beyond its own limit";
    END;
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
    BEGIN(MESSAGE_MOVE_PLUGIN, "migration plugin")
    reader_copy(&r, out->digest, sizeof out->digest);
    out->total = reader_u64(&r);
    out->signature = reader_bytes(&r, reader_u16(&r));
    if (reader_ok(&r) && (!out->total || !out->signature.len))
        wrong = out->total ? "is of a file without a signature" : "is of a file without bytes";
    END;
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
    BEGIN(MESSAGE_MOVE_PART, "migration part of a plugin")
    reader_copy(&r, out->digest, sizeof out->digest);
    out->offset = reader_u64(&r);
    out->bytes = reader_bytes(&r, reader_left(&r));
    if (reader_ok(&r) && (!out->bytes.len || out->bytes.len > MOVE_CHUNK_MAX))
        wrong = "has no bytes, or too many";
    else if (out->offset > UINT64_MAX - out->bytes.len)
        wrong = "goes beyond the last offset";
    END;
}
