/* SPDX-License-Identifier: Apache-2.0 */
/* Fork and discontinuity records: what decodes is written back byte for byte. The hashes in them
 * are tried as given and as they would have to be. */
#include "chain/continuity.h"
#include "chain/fork.h"

#include <stdlib.h>
#include <string.h>

static void try_fork(const uint8_t *data, size_t size)
{
    uint8_t raw[FORK_RECORD_SIZE];
    fork_record record;

    if (fork_record_decode(&record, slice_of(data, size), NULL) != BERTH_OK)
        return;
    fork_record_encode(raw, &record);
    if (size != sizeof raw || memcmp(raw, data, size) != 0)
        abort();
}

static void try_discontinuity(const uint8_t *data, size_t size)
{
    uint8_t raw[DISCONTINUITY_SIZE];
    discontinuity record;

    if (discontinuity_decode(&record, slice_of(data, size), NULL) != BERTH_OK)
        return;
    discontinuity_encode(raw, &record);
    if (size != sizeof raw || memcmp(raw, data, size) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t raw[DISCONTINUITY_SIZE];
    berth_link base;

    try_fork(data, size);
    try_discontinuity(data, size);
    if (size == FORK_RECORD_SIZE) {
        memcpy(raw, data, size);
        memcpy(raw + 24, raw + 8, 8);
        store_u64(raw + 48, fork_sentinel(load_u64(raw), load_u64(raw + 16)));
        try_fork(raw, size);
    }
    if (size == DISCONTINUITY_SIZE) {
        memcpy(raw, data, size);
        store_u64(raw + 41, berth_entity_origin(raw + 1));
        discontinuity_base(&base, load_u64(raw + 41), load_u64(raw + 57), load_u64(raw + 33),
                           load_u64(raw + 89));
        berth_link_encode(raw + 73, &base);
        try_discontinuity(raw, size);
    }
    return 0;
}
