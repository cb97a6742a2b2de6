/* SPDX-License-Identifier: Apache-2.0 */
/* Bindings: what decodes is written back byte for byte, and the set of it is a fixed point. */
#include "chain/ledger.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    writer plain = {0}, first = {0}, second = {0};
    berth_error error = {0};
    ledger l, again;
    binding *all;
    size_t n;

    if (bindings_decode(slice_of(data, size), &all, &n, &error) != BERTH_OK) {
        if (all || !error.text[0])
            abort();
        return 0;
    }
    if (bindings_encode(&plain, all, n, &error) != BERTH_OK)
        abort();
    if (size && (plain.len != size || memcmp(plain.data, data, size) != 0))
        abort();
    if (ledger_decode(&l, slice_of(data, size), &error) != BERTH_OK || l.count > n ||
        ledger_encode(&first, &l, &error) != BERTH_OK ||
        ledger_decode(&again, slice_of(first.data, first.len), &error) != BERTH_OK ||
        ledger_encode(&second, &again, &error) != BERTH_OK || first.len != second.len ||
        (first.len && memcmp(first.data, second.data, first.len) != 0))
        abort();
    for (size_t i = 0; i < n; i++)
        if (!ledger_has(&l, all[i].publisher, all[i].channel))
            abort();
    free(all);
    ledger_fini(&l);
    ledger_fini(&again);
    writer_free(&plain);
    writer_free(&first);
    writer_free(&second);
    return 0;
}
