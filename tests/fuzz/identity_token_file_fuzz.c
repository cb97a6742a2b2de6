/* SPDX-License-Identifier: Apache-2.0 */
/* Files of permission tokens and of revocations. What is read is written and read as the same. */
#include "identity/token_file.h"
#include "identity/token_revocation.h"

#include <stdlib.h>
#include <string.h>

static void revocations(slice text)
{
    token_revocations *a = token_revocations_new(), *b = token_revocations_new();
    char *once, *twice;

    if (token_revocations_parse(a, text, NULL) == BERTH_OK) {
        once = token_revocations_format(a, 0);
        if (token_revocations_parse(b, slice_str(once), NULL) != BERTH_OK)
            abort();
        twice = token_revocations_format(b, 0);
        if (strcmp(once, twice) != 0)
            abort();
        free(once);
        free(twice);
    }
    token_revocations_free(a);
    token_revocations_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    token_file file, again;
    berth_error error = {0};
    char *text;

    revocations(slice_of(data, size));
    if (token_file_parse(slice_of(data, size), &file, &error) != BERTH_OK) {
        if (file.chain.count || !error.text[0])
            abort();
        return 0;
    }
    text = token_file_format(&file);
    if (!text || token_file_parse(slice_str(text), &again, NULL) != BERTH_OK ||
        memcmp(&file, &again, sizeof file) != 0)
        abort();
    free(text);
    return 0;
}
