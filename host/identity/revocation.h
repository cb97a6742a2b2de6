/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity/revocation.h: what a realm has taken back: serials of certificates, and entities that
 * are no longer to be let in by any certificate.
 *
 * A realm numbers its lists; of two, the one with the higher number is in force, and nobody goes
 * back to a lower one. A list is whole: it replaces the one before.
 *
 * Pure functions; any thread, a list by one thread at a time.
 */
#ifndef IDENTITY_REVOCATION_H
#define IDENTITY_REVOCATION_H

#include "base/buf.h"
#include "base/cursor.h"
#include "berth/identity.h"

#define REVOCATION_VERSION      1
#define REVOCATION_SERIALS_MAX  65536
#define REVOCATION_ENTITIES_MAX 16384
#define REVOCATION_MIN          (1 + BERTH_ENTITY_SIZE + 8 + 8 + 4 + 4 + BERTH_SIGNATURE_SIZE)
#define REVOCATION_MAX                                                                             \
    (REVOCATION_MIN + 8 * REVOCATION_SERIALS_MAX + BERTH_ENTITY_SIZE * REVOCATION_ENTITIES_MAX)

/* Both arrays ascend and hold nothing twice. Zeroed is an empty list without a realm. */
typedef struct revocation_list {
    uint8_t realm[BERTH_ENTITY_SIZE];
    uint64_t number;
    int64_t issued; /* seconds since 1970; for people */
    uint64_t *serials;
    uint8_t (*entities)[BERTH_ENTITY_SIZE];
    uint32_t serial_count, entity_count;
    uint8_t signature[BERTH_SIGNATURE_SIZE];
} revocation_list;

void revocation_free(revocation_list *list);

/* EXISTS when it is there already, LIMIT when the list is full, NO_MEMORY. The signature is then
 * that of another list, until it is signed again. */
berth_status revocation_add_serial(revocation_list *list, uint64_t serial);
berth_status revocation_add_entity(revocation_list *list, const uint8_t entity[BERTH_ENTITY_SIZE]);

bool revocation_has_serial(const revocation_list *list, uint64_t serial);
bool revocation_has_entity(const revocation_list *list, const uint8_t entity[BERTH_ENTITY_SIZE]);

/* Set realm and signature; number and issued are the caller's. */
berth_status revocation_sign(revocation_list *list, const berth_keypair *realm, berth_error *error);

/* Appended to out, which may fail. */
void revocation_encode(writer *out, const revocation_list *list);

/* Decode and verify in one: a list whose signature is not its realm's is nothing. CORRUPT, VERSION,
 * LIMIT, NO_MEMORY, SIGNATURE; *out is then empty. Counts are held against the bytes that are there
 * before anything is allocated. The caller frees. */
berth_status revocation_read(revocation_list *out, slice bytes, berth_error *error);

#endif
