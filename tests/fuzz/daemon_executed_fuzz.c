/* SPDX-License-Identifier: Apache-2.0 */
/* Events that ran at a source, as a target reads them; what reads is written as the same bytes. */
#include "daemon/executed.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    berth_error error = {0};
    executed_reader r;
    executed_event e;
    writer again = {0};
    int64_t time_ns = 0;
    berth_status status = executed_open(&r, slice_of(data, size), &error);

    if (status == BERTH_OK)
        executed_begin(&again, &r.limits);
    while (status == BERTH_OK && r.at < r.count) {
        status = executed_next(&r, &e, &error);
        if (status == BERTH_OK)
            executed_add(&again, &e, &time_ns);
    }
    if (status == BERTH_OK) {
        executed_end(&again, 0, r.count);
        if (again.failed || again.len != size || memcmp(again.data, data, size) != 0)
            abort();
    } else if (!error.text[0]) {
        abort();
    }
    writer_free(&again);
    return 0;
}
