/* SPDX-License-Identifier: Apache-2.0 */
/* Presences, handovers and the directory's messages: what is read is written back the same, and
 * nothing without a signature is believed. */
#include "mesh/directory.h"

#include <stdlib.h>

static void try_learn(const directory_hint *hint)
{
    directory_config config = {.self = {1}, .max_entries = 4};
    directory *d = directory_new(&config);
    const presence *p = hint->has_presence ? &hint->presence : NULL;
    const handover *h = hint->has_handover ? &hint->handover : NULL;
    directory_stats stats;

    if (directory_learn(d, config.self, p, h, 0, NULL) == BERTH_OK &&
        ((p && presence_verify(p, berth_verify)) || (h && handover_verify(h, berth_verify))))
        abort();
    directory_get_stats(d, &stats);
    if (stats.entries != stats.learnt || stats.local)
        abort();
    directory_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice message = slice_of(data, size);
    reader r = reader_of(data, size);
    directory_absence absence;
    directory_where where;
    directory_hint hint;
    presence a, b;
    handover h;
    writer w = {0};

    if (directory_hint_read(&hint, message, NULL) == BERTH_OK)
        try_learn(&hint);
    if (directory_where_read(&where, message, NULL) == BERTH_OK)
        directory_where_write(&w, &where);
    else if (directory_absence_read(&absence, message, NULL) == BERTH_OK)
        directory_absence_write(&w, &absence);
    else if (directory_conflict_read(&a, &b, message, NULL) == BERTH_OK)
        directory_conflict_write(&w, &a, &b);
    else if (presence_read(&r, &a, NULL) == BERTH_OK && reader_done(&r))
        presence_write(&w, &a);
    if (!w.len) {
        r = reader_of(data, size);
        if (handover_read(&r, &h, NULL) == BERTH_OK && reader_done(&r))
            handover_write(&w, &h);
    }
    if (w.len && (w.len != size || memcmp(w.data, data, size) != 0))
        abort();
    writer_free(&w);
    return 0;
}
