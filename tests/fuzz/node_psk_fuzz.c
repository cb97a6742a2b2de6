/* SPDX-License-Identifier: Apache-2.0 */
/* The file of pre-shared keys. */
#include "node/psk.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const psk_set none;
    berth_error error = {0};
    psk_set set;
    berth_status status = psk_parse(slice_of(data, size), &set, &error);

    if (status == BERTH_OK ? set.count < 1 || set.count > PSK_MAX
                           : memcmp(&set, &none, sizeof set) != 0 || !error.text[0])
        abort();
    psk_wipe(&set);
    return 0;
}
