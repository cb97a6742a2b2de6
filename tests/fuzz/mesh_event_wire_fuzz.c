/* SPDX-License-Identifier: Apache-2.0 */
/* An event from another node: what is read is written back the same. The first 8 bytes are the
 * sender. */
#include "mesh/event_wire.h"

#include "daemon/route.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wire_event in;
    uint64_t sender;
    buf *back;

    if (size < 8)
        return 0;
    sender = load_u64(data);
    data += 8;
    size -= 8;
    if (event_wire_read(&in, slice_of(data, size), sender, NULL) != BERTH_OK)
        return 0;
    if (in.payload.len > size || in.channel.len > 255)
        abort();
    berth_event e = {.type = in.type,
                     .flags = in.more ? BERTH_MORE : 0,
                     .sequence = in.linked ? in.sequence : 0,
                     .data = {in.payload.ptr, in.payload.len},
                     .channel = {in.channel.ptr, in.channel.len},
                     .request = in.type == BERTH_EVENT_REPLY ? in.request : 0,
                     .status = in.status};
    if (in.asks)
        e.reply_to = (berth_ref){{sender, in.request, in.incarnation, REPLY_TO_DAEMON}};
    back = event_wire_make(&e);
    if (!back || back->len != size || memcmp(back->data, data, size) != 0)
        abort();
    buf_unref(back);
    return 0;
}
