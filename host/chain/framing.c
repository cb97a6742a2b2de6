/* SPDX-License-Identifier: Apache-2.0 */
#include "chain/framing.h"
#include "chain/link.h"

berth_status frame_write(writer *w, const frame_event *events, size_t n, frame_written *out)
{
    size_t before = w->len;

    *out = (frame_written){0};
    for (size_t i = 0; i < n; i++) {
        const frame_event *e = &events[i];

        if (e->payload.len > UINT32_MAX - BERTH_LINK_SIZE || out->events == FRAME_EVENTS_MAX) {
            out->skipped++;
            continue;
        }
        writer_u32(w, (uint32_t)(BERTH_LINK_SIZE + e->payload.len));
        link_write(w, &e->link);
        writer_bytes(w, e->payload.ptr, e->payload.len);
        out->events++;
    }
    out->bytes = w->len - before;
    return w->failed ? BERTH_ERR_NO_MEMORY : BERTH_OK;
}

frame_reader frame_read(slice data, uint16_t count)
{
    return (frame_reader){reader_of(data.ptr, data.len), count};
}

bool frame_next(frame_reader *f, frame_event *out)
{
    slice whole;

    if (!f->left)
        return false;
    whole = reader_bytes(&f->r, reader_u32(&f->r));
    if (!reader_ok(&f->r) || whole.len < BERTH_LINK_SIZE) {
        f->r.bad = true;
        return false;
    }
    berth_link_decode(&out->link, whole.ptr, whole.len);
    out->payload = slice_of(whole.ptr + BERTH_LINK_SIZE, whole.len - BERTH_LINK_SIZE);
    f->left--;
    return true;
}
