/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "mesh/directory_private.h"

#define HINT_PRESENCE 1
#define HINT_HANDOVER 2

static void write_pair(writer *w, uint16_t kind, uint64_t origin, uint64_t epoch)
{
    writer_u16(w, kind);
    writer_u64(w, origin);
    writer_u64(w, epoch);
}

static berth_status read_pair(slice message, uint16_t kind, uint64_t *origin, uint64_t *epoch,
                              const char *what, berth_error *error)
{
    reader r = reader_of(message.ptr, message.len);
    uint16_t got = reader_u16(&r);

    *origin = reader_u64(&r);
    *epoch = reader_u64(&r);
    if (got == kind && reader_done(&r))
        return BERTH_OK;
    *origin = *epoch = 0;
    return fail(error, BERTH_ERR_CORRUPT, "%s: is not 18 bytes of that kind", what);
}

void directory_where_write(writer *w, const directory_where *q)
{
    write_pair(w, MESSAGE_DIRECTORY_WHERE, q->origin, q->min_epoch);
}

berth_status directory_where_read(directory_where *out, slice message, berth_error *error)
{
    return read_pair(message, MESSAGE_DIRECTORY_WHERE, &out->origin, &out->min_epoch,
                     "directory question", error);
}

void directory_absence_write(writer *w, const directory_absence *a)
{
    write_pair(w, MESSAGE_DIRECTORY_NOT_HERE, a->origin, a->epoch);
}

berth_status directory_absence_read(directory_absence *out, slice message, berth_error *error)
{
    return read_pair(message, MESSAGE_DIRECTORY_NOT_HERE, &out->origin, &out->epoch,
                     "directory absence", error);
}

void directory_hint_put(writer *w, const presence *p, const handover *h)
{
    writer_u16(w, MESSAGE_DIRECTORY_HINT);
    writer_u8(w, (uint8_t)((p ? HINT_PRESENCE : 0) | (h ? HINT_HANDOVER : 0)));
    if (p)
        presence_write(w, p);
    if (h)
        handover_write(w, h);
}

berth_status directory_hint_read(directory_hint *out, slice message, berth_error *error)
{
    reader r = reader_of(message.ptr, message.len);
    uint16_t kind = reader_u16(&r);
    uint8_t flags = reader_u8(&r);
    berth_status status = BERTH_OK;

    memset(out, 0, sizeof *out);
    if (!reader_ok(&r) || kind != MESSAGE_DIRECTORY_HINT || flags == 0 || flags > 3)
        return fail(error, BERTH_ERR_CORRUPT, "directory hint: is of another kind, or empty");
    out->has_presence = flags & HINT_PRESENCE;
    out->has_handover = (flags & HINT_HANDOVER) != 0;
    if (out->has_presence)
        status = presence_read(&r, &out->presence, error);
    if (!status && out->has_handover)
        status = handover_read(&r, &out->handover, error);
    if (!status && !reader_done(&r))
        status = fail(error, BERTH_ERR_CORRUPT, "directory hint: something follows its records");
    if (status)
        memset(out, 0, sizeof *out);
    return status;
}

void directory_conflict_write(writer *w, const presence *a, const presence *b)
{
    writer_u16(w, MESSAGE_DIRECTORY_CONFLICT);
    presence_write(w, a);
    presence_write(w, b);
}

berth_status directory_conflict_read(presence *a, presence *b, slice message, berth_error *error)
{
    reader r = reader_of(message.ptr, message.len);
    uint16_t kind = reader_u16(&r);
    berth_status status = BERTH_OK;

    if (!reader_ok(&r) || kind != MESSAGE_DIRECTORY_CONFLICT)
        status = fail(error, BERTH_ERR_CORRUPT, "directory conflict: is of another kind");
    if (!status)
        status = presence_read(&r, a, error);
    if (!status)
        status = presence_read(&r, b, error);
    if (!status && !reader_done(&r))
        status = fail(error, BERTH_ERR_CORRUPT, "directory conflict: something follows it");
    if (status) {
        memset(a, 0, sizeof *a);
        memset(b, 0, sizeof *b);
    }
    return status;
}
