/* SPDX-License-Identifier: Apache-2.0 */
/* An order: what is read is written back the same, and judged at any time without overflow. */
#include "migrate/order.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    reader r = reader_of(data, size);
    order o;

    if (order_read(&r, &o, NULL) == BERTH_OK) {
        static const int64_t times[] = {INT64_MIN, 0, 1900000000, INT64_MAX};
        writer w = {0};
        uint8_t hash[32];

        order_write(&w, &o);
        if (w.len != size - reader_left(&r) || memcmp(w.data, data, w.len) != 0 ||
            w.len > ORDER_MAX)
            abort();
        for (size_t i = 0; i < sizeof times / sizeof *times; i++)
            order_check(&o, times[i], NULL, NULL);
        order_hash(hash, &o);
        writer_free(&w);
    }
    return 0;
}
