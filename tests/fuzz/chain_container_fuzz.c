/* SPDX-License-Identifier: Apache-2.0 */
/* BSN1 containers: what is read is written in one form only, which reads as the same. Digest and
 * origin are hashes, which no fuzzer finds, so each input is also tried with the right ones. */
#include "chain/container.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST 32
#define SNAP   (8 + 16)

static void write_one(const container *c, writer *w)
{
    berth_error error = {0};

    if (container_encode(w, c, &error) != BERTH_OK)
        abort();
}

static void try_one(const uint8_t *data, size_t size)
{
    writer first = {0}, second = {0};
    berth_error error = {0};
    container c, again;

    if (container_decode(&c, slice_of(data, size), &error) != BERTH_OK) {
        if (!error.text[0] || c.cursors || c.timers || c.requests || c.horizon.body)
            abort();
        return;
    }
    if (!c.bare) {
        write_one(&c, &first);
        if (container_decode(&again, slice_of(first.data, first.len), &error) != BERTH_OK)
            abort();
        write_one(&again, &second);
        if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
            abort();
        container_fini(&again);
    }
    container_fini(&c);
    writer_free(&first);
    writer_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;

    try_one(data, size);
    if (size < SNAP + SNAPSHOT_MIN + DIGEST)
        return 0;
    copy = malloc(size);
    memcpy(copy, data, size);
    store_u64(copy + SNAP + 45, berth_entity_origin(copy + SNAP + 5));
    memcpy(copy + SNAP + 61, copy + SNAP + 37, 8);
    crypto_generichash(copy + size - DIGEST, DIGEST, copy, size - DIGEST, NULL, 0);
    try_one(copy, size);
    free(copy);
    return 0;
}
