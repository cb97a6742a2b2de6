/* SPDX-License-Identifier: Apache-2.0 */
/* The durable horizon: what is read is written back byte for byte. The filter follows from the
 * origins, so each input is also tried with a filter that has every bit, which is right for an
 * overflowed one. */
#include "chain/horizon.h"

#include <stdlib.h>
#include <string.h>

static void try_one(const uint8_t *data, size_t size)
{
    berth_error error = {0};
    horizon h;
    writer w = {0};

    if (horizon_read(&h, slice_of(data, size), &error) != BERTH_OK) {
        if (h.body || !error.text[0])
            abort();
        return;
    }
    horizon_write(&w, &h);
    if (w.len != size || (size && memcmp(w.data, data, size) != 0))
        abort();
    for (size_t i = 0; i < horizon_count(&h); i++)
        if (horizon_get(&h, horizon_at(&h, i)->origin) != horizon_at(&h, i))
            abort();
    writer_free(&w);
    horizon_fini(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;

    try_one(data, size);
    if (size < 29)
        return 0;
    copy = malloc(size);
    memcpy(copy, data, size);
    memset(copy + 1, 0xFF, 8);
    copy[17] |= 1; /* overflow */
    try_one(copy, size);
    free(copy);
    return 0;
}
