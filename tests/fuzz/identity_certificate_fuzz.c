/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates. What decodes is written back byte for byte, and can be signed by a realm. */
#include "identity/certificate.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[32] = {6};
    uint8_t wire[CERTIFICATE_MAX];
    berth_error error = {0};
    berth_keypair realm;
    realm_certificate c;

    if (certificate_decode(&c, slice_of(data, size), &error) != BERTH_OK) {
        if (!error.text[0] || c.name[0])
            abort();
        return 0;
    }
    if (certificate_encode(wire, &c) != size || memcmp(wire, data, size) != 0)
        abort();
    certificate_verify(&c, NULL);
    certificate_in_time(&c, c.not_before, 300, NULL);
    berth_keypair_from_seed(&realm, seed);
    if (certificate_sign(&c, &realm, &error) != BERTH_OK ||
        certificate_verify(&c, NULL) != BERTH_OK)
        abort();
    return 0;
}
