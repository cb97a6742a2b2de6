/* SPDX-License-Identifier: Apache-2.0 */
/* CDS1 snapshots: what decodes is written back byte for byte. The origin in the link is a hash of
 * the entity, which no fuzzer finds, so each input is also tried with the right one. */
#include "chain/ledger.h"
#include "chain/snapshot.h"

#include <stdlib.h>
#include <string.h>

#define ENTITY 5
#define LINK   45

static void try_one(const uint8_t *data, size_t size)
{
    static const uint8_t secret[32] = {2};
    berth_error error = {0};
    berth_keypair key;
    snapshot s;
    ledger l;
    writer w = {0};
    bool found;

    if (snapshot_decode(&s, slice_of(data, size), &error) != BERTH_OK) {
        if (!error.text[0])
            abort();
        return;
    }
    if (snapshot_encode(&w, &s, &error) != BERTH_OK || w.len != size ||
        memcmp(w.data, data, size) != 0)
        abort();
    writer_free(&w);
    snapshot_next_parent(&s, &found);
    if (ledger_decode(&l, s.bindings, &error) == BERTH_OK)
        ledger_fini(&l);
    if (snapshot_open_identity(&s, secret, &key, &found, NULL, &error) == BERTH_OK && found)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;

    try_one(data, size);
    if (size < SNAPSHOT_MIN)
        return 0;
    copy = malloc(size);
    memcpy(copy, data, size);
    store_u64(copy + LINK, berth_entity_origin(copy + ENTITY));
    memcpy(copy + LINK + 16, copy + ENTITY + 32, 8); /* and the sequence */
    try_one(copy, size);
    free(copy);
    return 0;
}
