/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/revocation.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

static const char domain[] = "berth-revocations-v1"; /* its zero byte is signed, too */

void revocation_free(revocation_list *list)
{
    free(list->serials);
    free(list->entities);
    memset(list, 0, sizeof *list);
}

/* Where serial is, or would have to be. */
static uint32_t serial_place(const revocation_list *list, uint64_t serial)
{
    uint32_t low = 0, high = list->serial_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (list->serials[middle] < serial)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t entity_place(const revocation_list *list, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    uint32_t low = 0, high = list->entity_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (memcmp(list->entities[middle], entity, BERTH_ENTITY_SIZE) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool revocation_has_serial(const revocation_list *list, uint64_t serial)
{
    uint32_t place = serial_place(list, serial);

    return place < list->serial_count && list->serials[place] == serial;
}

bool revocation_has_entity(const revocation_list *list, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    uint32_t place = entity_place(list, entity);

    return place < list->entity_count &&
           memcmp(list->entities[place], entity, BERTH_ENTITY_SIZE) == 0;
}

berth_status revocation_add_serial(revocation_list *list, uint64_t serial)
{
    uint32_t place = serial_place(list, serial);
    uint64_t *grown;

    if (revocation_has_serial(list, serial))
        return BERTH_ERR_EXISTS;
    if (list->serial_count == REVOCATION_SERIALS_MAX)
        return BERTH_ERR_LIMIT;
    grown = realloc(list->serials, (list->serial_count + 1) * sizeof *grown);
    if (!grown)
        return BERTH_ERR_NO_MEMORY;
    list->serials = grown;
    memmove(grown + place + 1, grown + place, (list->serial_count - place) * sizeof *grown);
    grown[place] = serial;
    list->serial_count++;
    return BERTH_OK;
}

berth_status revocation_add_entity(revocation_list *list, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    uint32_t place = entity_place(list, entity);
    uint8_t(*grown)[BERTH_ENTITY_SIZE];

    if (revocation_has_entity(list, entity))
        return BERTH_ERR_EXISTS;
    if (list->entity_count == REVOCATION_ENTITIES_MAX)
        return BERTH_ERR_LIMIT;
    grown = realloc(list->entities, (list->entity_count + 1) * sizeof *grown);
    if (!grown)
        return BERTH_ERR_NO_MEMORY;
    list->entities = grown;
    memmove(grown + place + 1, grown + place, (list->entity_count - place) * sizeof *grown);
    memcpy(grown[place], entity, BERTH_ENTITY_SIZE);
    list->entity_count++;
    return BERTH_OK;
}

/* Everything but the signature. */
static void write_body(writer *out, const revocation_list *list)
{
    writer_reserve(out, REVOCATION_MIN + 8 * (size_t)list->serial_count +
                            BERTH_ENTITY_SIZE * (size_t)list->entity_count);
    writer_u8(out, REVOCATION_VERSION);
    writer_bytes(out, list->realm, sizeof list->realm);
    writer_u64(out, list->number);
    writer_u64(out, (uint64_t)list->issued);
    writer_u32(out, list->serial_count);
    writer_u32(out, list->entity_count);
    for (uint32_t i = 0; i < list->serial_count; i++)
        writer_u64(out, list->serials[i]);
    if (list->entity_count)
        writer_bytes(out, list->entities, BERTH_ENTITY_SIZE * (size_t)list->entity_count);
}

berth_status revocation_sign(revocation_list *list, const berth_keypair *realm, berth_error *error)
{
    berth_status status = BERTH_OK;
    writer message = {0};

    memcpy(list->realm, realm->entity, sizeof list->realm);
    writer_bytes(&message, domain, sizeof domain);
    write_body(&message, list);
    if (message.failed)
        status = fail(error, BERTH_ERR_NO_MEMORY, "revocation list: no memory to sign it");
    else if (berth_sign(realm, message.data, message.len, list->signature) != BERTH_OK)
        status = fail(error, BERTH_ERR_READ_ONLY,
                      "revocation list: the realm's key pair is public-only: it cannot sign");
    writer_free(&message);
    return status;
}

void revocation_encode(writer *out, const revocation_list *list)
{
    write_body(out, list);
    writer_bytes(out, list->signature, sizeof list->signature);
}

static berth_status verify(const revocation_list *list, slice body, berth_error *error)
{
    berth_status status;
    writer message = {0};

    writer_bytes(&message, domain, sizeof domain);
    writer_bytes(&message, body.ptr, body.len);
    if (message.failed)
        status = fail(error, BERTH_ERR_NO_MEMORY, "revocation list: no memory to verify it");
    else if (berth_verify(list->realm, message.data, message.len, list->signature) != BERTH_OK)
        status = fail(error, BERTH_ERR_SIGNATURE, "revocation list: not signed by its realm");
    else
        status = BERTH_OK;
    writer_free(&message);
    return status;
}

/* False when they do not ascend. */
static bool read_entries(revocation_list *list, reader *r)
{
    bool good = true;

    for (uint32_t i = 0; i < list->serial_count; i++) {
        list->serials[i] = reader_u64(r);
        good = good && (i == 0 || list->serials[i - 1] < list->serials[i]);
    }
    for (uint32_t i = 0; i < list->entity_count; i++) {
        reader_copy(r, list->entities[i], BERTH_ENTITY_SIZE);
        good = good &&
               (i == 0 || memcmp(list->entities[i - 1], list->entities[i], BERTH_ENTITY_SIZE) < 0);
    }
    return good;
}

berth_status revocation_read(revocation_list *out, slice bytes, berth_error *error)
{
    reader r = reader_of(bytes.ptr, bytes.len);
    uint32_t serials, entities;
    berth_status status = BERTH_OK;
    uint8_t version;

    memset(out, 0, sizeof *out);
    if (bytes.len < REVOCATION_MIN)
        return fail(error, BERTH_ERR_CORRUPT, "revocation list: %zu bytes are too few", bytes.len);
    version = reader_u8(&r);
    if (version != REVOCATION_VERSION)
        return fail(error, BERTH_ERR_VERSION,
                    "revocation list: version %u is not known, only %d is", version,
                    REVOCATION_VERSION);
    reader_copy(&r, out->realm, sizeof out->realm);
    out->number = reader_u64(&r);
    out->issued = (int64_t)reader_u64(&r);
    serials = reader_u32(&r);
    entities = reader_u32(&r);
    if (serials > REVOCATION_SERIALS_MAX || entities > REVOCATION_ENTITIES_MAX)
        status =
            fail(error, BERTH_ERR_LIMIT, "revocation list: more than %d serials or %d entities",
                 REVOCATION_SERIALS_MAX, REVOCATION_ENTITIES_MAX);
    else if (reader_left(&r) != 8 * (size_t)serials + BERTH_ENTITY_SIZE * (size_t)entities +
                                    BERTH_SIGNATURE_SIZE ||
             out->issued < 0)
        status = fail(error, BERTH_ERR_CORRUPT,
                      "revocation list: its counts and its length do not agree");
    if (status)
        goto out;
    /* Verified first: only a realm makes us allocate. */
    memcpy(out->signature, bytes.ptr + bytes.len - BERTH_SIGNATURE_SIZE, BERTH_SIGNATURE_SIZE);
    status = verify(out, slice_of(bytes.ptr, bytes.len - BERTH_SIGNATURE_SIZE), error);
    if (status)
        goto out;
    out->serials = serials ? malloc(serials * sizeof *out->serials) : NULL;
    out->entities = entities ? malloc(entities * sizeof *out->entities) : NULL;
    if ((serials && !out->serials) || (entities && !out->entities)) {
        status = fail(error, BERTH_ERR_NO_MEMORY, "revocation list: no memory for %u entries",
                      serials + entities);
        goto out;
    }
    out->serial_count = serials;
    out->entity_count = entities;
    if (!read_entries(out, &r))
        status = fail(error, BERTH_ERR_CORRUPT, "revocation list: its entries do not ascend");
out:
    if (status)
        revocation_free(out);
    return status;
}
