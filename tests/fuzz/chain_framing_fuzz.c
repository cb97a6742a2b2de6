/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: the events that are read, written again, are the bytes they were read from. */
#include "chain/framing.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint16_t count = size >= 2 ? (uint16_t)(data[0] | data[1] << 8) : 0;
    slice frames = slice_of(data + (size >= 2 ? 2 : size), size >= 2 ? size - 2 : 0);
    frame_reader f = frame_read(frames, count);
    frame_written written;
    frame_event e;
    writer w = {0};

    while (frame_next(&f, &e))
        if (frame_write(&w, &e, 1, &written) != BERTH_OK || written.events != 1)
            abort();
    if (w.len > frames.len || (w.len && memcmp(w.data, frames.ptr, w.len) != 0))
        abort();
    writer_free(&w);
    return 0;
}
