/* SPDX-License-Identifier: Apache-2.0 */
/* Identity files. What is read is written and read again as the same identity. */
#include "identity/keyfile.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    berth_keypair key, again;
    char text[KEYFILE_TEXT];
    berth_error error = {0};
    size_t len;

    if (keyfile_parse(slice_of(data, size), &key, &error) != BERTH_OK) {
        if (key.full || !error.text[0])
            abort();
        return 0;
    }
    if (keyfile_format(text, &len, &key, &error) != BERTH_OK ||
        keyfile_parse(slice_of(text, len), &again, &error) != BERTH_OK ||
        memcmp(&key, &again, sizeof key) != 0)
        abort();
    return 0;
}
