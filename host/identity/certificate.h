/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity/certificate.h: a realm's word that an entity is one of its nodes, under a name and for a
 * time. A realm is an Ed25519 key pair; its id is the public key.
 *
 * A certificate lets a node into the mesh and gives it no right beyond that.
 *
 * Pure functions; any thread. Nothing here reads a clock: who asks says what time it is.
 */
#ifndef IDENTITY_CERTIFICATE_H
#define IDENTITY_CERTIFICATE_H

#include "base/buf.h"
#include "berth/identity.h"

#define CERTIFICATE_VERSION  1
#define CERTIFICATE_NAME_MAX 63
#define CERTIFICATE_MIN      (CERTIFICATE_MAX - CERTIFICATE_NAME_MAX + 1)
#define CERTIFICATE_MAX                                                                            \
    (1 + BERTH_ENTITY_SIZE + 8 + BERTH_ENTITY_SIZE + 8 + 8 + 1 + CERTIFICATE_NAME_MAX +            \
     BERTH_SIGNATURE_SIZE)
#define CERTIFICATE_DIGEST 32

#define CERTIFICATE_DEFAULT_S ((int64_t)30 * 86400)
/* 9999-12-31T23:59:59Z: no time beyond it is taken. */
#define CERTIFICATE_TIME_MAX INT64_C(253402300799)

typedef struct realm_certificate {
    uint8_t realm[BERTH_ENTITY_SIZE];
    uint64_t serial; /* a realm uses none twice */
    uint8_t entity[BERTH_ENTITY_SIZE];
    int64_t not_before, not_after; /* seconds since 1970, UTC; both ends count */
    char name[CERTIFICATE_NAME_MAX + 1];
    uint8_t signature[BERTH_SIGNATURE_SIZE];
} realm_certificate;

/* 1 to 63 of A-Z a-z 0-9 . _ -, beginning with a letter or digit; else INVALID. */
berth_status certificate_name_check(slice name, berth_error *error);

/* Set realm and signature; everything else is the caller's. INVALID: a name or times that no
 * certificate can have; READ_ONLY: the realm's key has no seed. */
berth_status certificate_sign(realm_certificate *c, const berth_keypair *realm, berth_error *error);

/* How many bytes it is; out holds CERTIFICATE_MAX. For one that was signed or decoded. */
size_t certificate_encode(uint8_t out[CERTIFICATE_MAX], const realm_certificate *c);

/* The bytes and nothing after them. VERSION, or CORRUPT: no certificate has this form. There is one
 * encoding for each certificate. Says nothing about the signature. */
berth_status certificate_decode(realm_certificate *out, slice bytes, berth_error *error);

/* Is it signed by the realm that it names? SIGNATURE if not. Whether that realm is to be trusted,
 * and the time, are other questions. */
berth_status certificate_verify(const realm_certificate *c, berth_error *error);

/* May it be used now, by a clock that may be off by tolerance_s? REFUSED and which end if not. */
berth_status certificate_in_time(const realm_certificate *c, int64_t now_s, int64_t tolerance_s,
                                 berth_error *error);

/* BLAKE2b-256 of the encoding; also of no bytes at all, where there is no certificate. */
void certificate_digest(uint8_t out[CERTIFICATE_DIGEST], slice bytes);

#endif
