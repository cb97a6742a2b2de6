/* SPDX-License-Identifier: Apache-2.0 */
/* The file of peers that a host knew. The input is also taken with the digest that it should have,
 * so that what lies behind it is reached. */
#include "node/peer_book.h"

#include "mesh/record.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST 32

typedef struct tally {
    const uint8_t *from, *to;
    size_t count;
} tally;

static void see(void *ctx, slice record)
{
    tally *t = ctx;

    if (!record.len || record.len > RECORD_SIZE_MAX || record.ptr < t->from ||
        record.ptr + record.len > t->to)
        abort();
    t->count++;
}

static void decode(const uint8_t *bytes, size_t len)
{
    tally t = {.from = bytes, .to = bytes + len};
    size_t count = 1;
    berth_status status = peer_book_decode(slice_of(bytes, len), see, &t, &count, NULL);

    if (count != t.count || (status != BERTH_OK && count))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *whole = calloc(1, size + DIGEST);

    if (!whole)
        return 0;
    if (size)
        memcpy(whole, data, size);
    decode(whole, size);
    crypto_generichash(whole + size, DIGEST, whole, size, NULL, 0);
    decode(whole, size + DIGEST);
    free(whole);
    return 0;
}
