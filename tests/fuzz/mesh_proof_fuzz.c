/* SPDX-License-Identifier: Apache-2.0 */
/* Entity proofs: raw bytes, and a true proof with a hostile certificate in it. */
#include "mesh/proof.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[32] = {5};
    proof_binding binding = {.role = PROOF_RESPONDER, .hash = {1}};
    berth_error error = {0};
    berth_keypair node;
    writer bytes = {0};
    proof p;

    berth_keypair_from_seed(&node, seed);
    if (proof_read(&p, slice_of(data, size), &binding, &error) == BERTH_OK) {
        if (proof_length(slice_of(data, size)) != size)
            abort();
    } else if (p.certificate.len || p.node_id || !error.text[0]) {
        abort();
    }
    if (size <= CERTIFICATE_MAX) {
        if (proof_write(&bytes, &node, slice_of(data, size), &binding) != BERTH_OK ||
            proof_length(slice_of(bytes.data, bytes.len)) != bytes.len ||
            proof_read(&p, slice_of(bytes.data, bytes.len), &binding, NULL) != BERTH_OK ||
            !slice_eq(p.certificate, slice_of(data, size)) || p.node_id != node.node_id)
            abort();
    }
    writer_free(&bytes);
    return 0;
}
