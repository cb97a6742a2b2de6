/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/proof.h"
#include "base/error.h"

#include <string.h>

static const char domain[] = "berth-entity-proof-v1"; /* its zero byte is signed, too */

#define MESSAGE            (sizeof domain + 1 + 64 + 32 + 32 + BERTH_ENTITY_SIZE + CERTIFICATE_DIGEST)
#define BEFORE_CERTIFICATE (1 + BERTH_ENTITY_SIZE + 2)

/* What is signed: every part has one length, so no two bindings give the same bytes. */
static void message(uint8_t out[MESSAGE], const proof_binding *b,
                    const uint8_t entity[BERTH_ENTITY_SIZE], slice certificate)
{
    memcpy(out, domain, sizeof domain);
    out += sizeof domain;
    *out++ = (uint8_t)b->role;
    memcpy(out, b->hash, 64);
    memcpy(out + 64, b->signer_static, 32);
    memcpy(out + 96, b->verifier_static, 32);
    memcpy(out + 128, entity, BERTH_ENTITY_SIZE);
    certificate_digest(out + 128 + BERTH_ENTITY_SIZE, certificate);
}

berth_status proof_write(writer *out, const berth_keypair *node, slice certificate,
                         const proof_binding *binding)
{
    uint8_t bytes[MESSAGE], signature[BERTH_SIGNATURE_SIZE];

    if (certificate.len > CERTIFICATE_MAX)
        return BERTH_ERR_LIMIT;
    message(bytes, binding, node->entity, certificate);
    if (berth_sign(node, bytes, sizeof bytes, signature) != BERTH_OK)
        return BERTH_ERR_READ_ONLY;
    writer_reserve(out, PROOF_MIN + certificate.len);
    writer_u8(out, PROOF_VERSION);
    writer_bytes(out, node->entity, sizeof node->entity);
    writer_u16(out, (uint16_t)certificate.len);
    writer_bytes(out, certificate.ptr, certificate.len);
    writer_bytes(out, signature, sizeof signature);
    return out->failed ? BERTH_ERR_NO_MEMORY : BERTH_OK;
}

size_t proof_length(slice begins)
{
    reader r = reader_of(begins.ptr, begins.len);

    reader_bytes(&r, BEFORE_CERTIFICATE - 2);
    return begins.len < BEFORE_CERTIFICATE ? 0 : (size_t)PROOF_MIN + reader_u16(&r);
}

berth_status proof_read(proof *out, slice bytes, const proof_binding *binding, berth_error *error)
{
    uint8_t signed_bytes[MESSAGE], signature[BERTH_SIGNATURE_SIZE];
    reader r = reader_of(bytes.ptr, bytes.len);
    char who[BERTH_ENTITY_DISPLAY];
    berth_status status = BERTH_OK;
    uint8_t version;

    memset(out, 0, sizeof *out);
    if (bytes.len < PROOF_MIN || bytes.len > PROOF_MAX)
        return fail(error, BERTH_ERR_CORRUPT, "entity proof: %zu bytes, not %d to %d", bytes.len,
                    PROOF_MIN, PROOF_MAX);
    version = reader_u8(&r);
    if (version != PROOF_VERSION)
        return fail(error, BERTH_ERR_VERSION, "entity proof: version %u is not known, only %d is",
                    version, PROOF_VERSION);
    reader_copy(&r, out->entity, sizeof out->entity);
    out->certificate = reader_bytes(&r, reader_u16(&r));
    reader_copy(&r, signature, sizeof signature);
    if (!reader_done(&r)) {
        status = fail(error, BERTH_ERR_CORRUPT, "entity proof: its parts do not fill it exactly");
    } else {
        message(signed_bytes, binding, out->entity, out->certificate);
        if (berth_verify(out->entity, signed_bytes, sizeof signed_bytes, signature) != BERTH_OK)
            status =
                fail(error, BERTH_ERR_SIGNATURE, "entity proof: %s did not sign this handshake",
                     berth_entity_display(who, out->entity));
    }
    if (status)
        memset(out, 0, sizeof *out);
    else
        out->node_id = berth_entity_node_id(out->entity);
    return status;
}
