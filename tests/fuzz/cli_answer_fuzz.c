/* SPDX-License-Identifier: Apache-2.0 */
/* What something that is not a host may answer: lines, errors, times; cut where the data says. */
#include "cli/client.h"
#include "cli/format.h"
#include "cli/ndjson.h"

#include <stdlib.h>
#include <string.h>

typedef struct sum {
    size_t lines, bytes;
} sum;

static bool add_line(void *ctx, slice line)
{
    sum *s = (sum *)ctx;

    if (memchr(line.ptr ? (const char *)line.ptr : "", '\n', line.len))
        abort();
    s->lines++;
    s->bytes += line.len;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t cut = size ? data[0] + 1u : 1, feeds = 0;
    berth_error error = {0};
    sum total = {0};
    ndjson n = {.line = add_line, .ctx = &total, .max = size + 1};
    int64_t ns;
    char *text;

    for (size_t at = 0; at < size; at += cut) {
        if (ndjson_feed(&n, data + at, size - at < cut ? size - at : cut) != NDJSON_MORE)
            abort();
    }
    for (size_t i = 0; i < size; i++)
        feeds += data[i] == '\n';
    if (total.lines != feeds || total.bytes + feeds + n.held.len != size)
        abort();
    ndjson_fini(&n);

    if (client_read_error(slice_of(data, size), 500, &error) == BERTH_OK)
        abort();
    text = (char *)malloc(size + 1);
    memcpy(text, data, size);
    text[size] = 0;
    format_parse_time(text, &ns);
    if (format_width(text) > 2 * size)
        abort();
    free(text);
    return 0;
}
