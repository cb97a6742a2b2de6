/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest is refused with a line of explanation, or it survives the way to another process. */
#include "plugin/manifest.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    berth_error error = {0};
    writer first = {0}, second = {0};
    manifest *m = NULL, *again = NULL;
    reader r;

    if (manifest_parse(slice_of(data, size), &m, &error)) {
        if (m || !error.text[0])
            abort();
        return 0;
    }
    if (!m->kind_count || manifest_find(m, slice_str(m->kinds[0].name)) != &m->kinds[0] ||
        !version_valid(m->version) || version_compare(m->version, m->version) != 0)
        abort();
    manifest_encode(&first, m);
    r = reader_of(first.data, first.len);
    if (manifest_decode(&r, &again, &error) || !reader_done(&r))
        abort();
    manifest_encode(&second, again);
    if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
        abort();
    writer_free(&first);
    writer_free(&second);
    manifest_free(m);
    manifest_free(again);
    return 0;
}
