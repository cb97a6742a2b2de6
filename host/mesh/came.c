/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/came.h"

#include "base/error.h"
#include "identity/entity.h"

#define VERSION 1

berth_status came_read(came *out, slice bytes, berth_error *error)
{
    reader r = reader_of(bytes.ptr, bytes.len);
    uint8_t version = reader_u8(&r);
    berth_status status;

    memset(out, 0, sizeof *out);
    if (reader_ok(&r) && version != VERSION)
        return fail(error, BERTH_ERR_VERSION,
                    "snapshot: how it came here is of version %u, only %d is known", version,
                    VERSION);
    status = handover_read(&r, &out->handover, error);
    out->former_count = reader_u8(&r);
    if (!status && reader_ok(&r) && out->former_count <= DIRECTORY_FORMER_MAX)
        reader_copy(&r, out->former, out->former_count * BERTH_ENTITY_SIZE);
    if (!status && (out->former_count > DIRECTORY_FORMER_MAX || !reader_done(&r)))
        status = fail(error, BERTH_ERR_CORRUPT, "snapshot: how it came here is damaged");
    if (status)
        memset(out, 0, sizeof *out);
    return status;
}

void came_write(writer *w, const handover *h, slice before)
{
    uint8_t list[DIRECTORY_FORMER_MAX + 1][BERTH_ENTITY_SIZE];
    size_t count = 0, skip;
    berth_error unread = {0};
    came old = {0};

    if (before.len && came_read(&old, before, &unread) == BERTH_OK)
        for (size_t i = 0; i < old.former_count; i++)
            if (!entity_eq(old.former[i], h->from) && !entity_eq(old.former[i], h->to))
                memcpy(list[count++], old.former[i], BERTH_ENTITY_SIZE);
    memcpy(list[count++], h->from, BERTH_ENTITY_SIZE);
    skip = count > DIRECTORY_FORMER_MAX ? count - DIRECTORY_FORMER_MAX : 0;
    writer_u8(w, VERSION);
    handover_write(w, h);
    writer_u8(w, (uint8_t)(count - skip));
    writer_bytes(w, list[skip], (count - skip) * BERTH_ENTITY_SIZE);
}
