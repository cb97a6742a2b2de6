/* SPDX-License-Identifier: Apache-2.0 */
/* Identity envelopes and sealed identities. What decodes is written back byte for byte; nothing
 * opens. */
#include "identity/envelope.h"
#include "identity/seal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t secret[32] = {2}, link[32], entity[32] = {3};
    uint8_t wire[ENVELOPE_SIZE];
    envelope_fault fault;
    berth_keypair key;
    envelope e;

    if (unseal_identity(&key, slice_of(data, size), entity, secret, "fuzz", 1, NULL) == BERTH_OK)
        abort();
    if (envelope_decode(&e, data, size, &fault, NULL) != BERTH_OK) {
        if (fault == ENVELOPE_FINE)
            abort();
        return 0;
    }
    envelope_encode(wire, &e);
    if (memcmp(wire, data, sizeof wire) != 0)
        abort();
    if (envelope_open(&key, &e, secret, link, NULL, &fault, NULL) == BERTH_OK || key.full)
        abort();
    return 0;
}
