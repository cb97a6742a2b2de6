/* SPDX-License-Identifier: Apache-2.0 */
/* Groups and tokens of a daemon: what decodes is written back byte for byte. */
#include "chain/bonds.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    berth_error error = {0};
    writer w = {0};
    bonds b;

    if (bonds_read(&b, slice_of(data, size), &error) != BERTH_OK) {
        if (!bonds_empty(&b) || b.channels || b.tokens || !error.text[0])
            abort();
        return 0;
    }
    if (b.token_count > BONDS_TOKENS_MAX || b.channel_count > BONDS_CHANNELS_MAX)
        abort();
    for (uint32_t i = 0; i < b.channel_count; i++)
        if (!bonds_find(&b, bonds_at(&b, i).name, NULL))
            abort();
    bonds_leave(&b, BERTH_SCOPE_PUBLISH, 1, 1700000000, BERTH_TOKEN_SKEW);
    bonds_write(&w, &b);
    if (size && (w.failed || w.len != size || memcmp(w.data, data, size) != 0))
        abort();
    writer_free(&w);
    bonds_fini(&b);
    return 0;
}
