/* SPDX-License-Identifier: Apache-2.0 */
/* Revocation lists: raw bytes, and the same with the signature of the realm they name, so that what
 * lies behind the signature is reached, too. What is read is written back byte for byte. */
#include "identity/revocation.h"

#include <stdlib.h>
#include <string.h>

static void try(slice bytes)
{
    berth_error error = {0};
    revocation_list list;
    writer again = {0};

    if (revocation_read(&list, bytes, &error) != BERTH_OK) {
        if (list.serials || list.entities || !error.text[0])
            abort();
        return;
    }
    revocation_encode(&again, &list);
    if (again.failed || !slice_eq(slice_of(again.data, again.len), bytes))
        abort();
    for (uint32_t i = 0; i < list.serial_count; i++)
        if (!revocation_has_serial(&list, list.serials[i]))
            abort();
    for (uint32_t i = 0; i < list.entity_count; i++)
        if (!revocation_has_entity(&list, list.entities[i]))
            abort();
    writer_free(&again);
    revocation_free(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char domain[] = "berth-revocations-v1";
    static const uint8_t seed[32] = {7};
    writer message = {0};
    berth_keypair realm;

    try(slice_of(data, size));
    if (size < REVOCATION_MIN)
        return 0;
    berth_keypair_from_seed(&realm, seed);
    writer_bytes(&message, domain, sizeof domain);
    writer_bytes(&message, data, size);
    memcpy(message.data + sizeof domain + 1, realm.entity, sizeof realm.entity);
    berth_sign_must(&realm, message.data, message.len - BERTH_SIGNATURE_SIZE,
                    message.data + message.len - BERTH_SIGNATURE_SIZE);
    try(slice_of(message.data + sizeof domain, size));
    writer_free(&message);
    return 0;
}
