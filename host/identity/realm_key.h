/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity/realm_key.h: the key pair of a realm in a file, as `berth realm init` writes it:
 *
 *     # key of realm e7f162a10bec559a...: whoever has this file lets nodes into the realm
 *     berth-realm-key: 1
 *     name: harbour
 *     realm: <64 hex digits>
 *     seed: <64 hex digits>
 *
 * `name` is for people, and may be left out as may `realm`. It is another form than an identity's
 * (identity/keyfile.h), so that neither is taken for the other. Blocking; any thread.
 */
#ifndef IDENTITY_REALM_KEY_H
#define IDENTITY_REALM_KEY_H

#include "base/buf.h"
#include "berth/identity.h"
#include "identity/certificate.h"

#define REALM_KEY_WHAT "berth-realm-key"
#define REALM_KEY_MAX  4096
#define REALM_KEY_TEXT 512

typedef struct realm_key {
    berth_keypair pair;                  /* its entity is the realm's id */
    char name[CERTIFICATE_NAME_MAX + 1]; /* as certificate_name_check has it, or "" */
} realm_key;

/* Any key may be wiped, also a zeroed one. */
void realm_key_wipe(realm_key *key);

/* The text; len is set to its length, and the caller wipes out. READ_ONLY without a seed. */
berth_status realm_key_format(char out[REALM_KEY_TEXT], size_t *len, const realm_key *key,
                              berth_error *error);
/* On an error *out is zeroed. No error quotes a value. */
berth_status realm_key_parse(slice text, realm_key *out, berth_error *error);

/* Never over an existing file (EXISTS); mode 0600. */
berth_status realm_key_write(const char *path, const realm_key *key, berth_error *error);
/* PERMISSION, with the chmod that cures it, when anyone else could read or change the file. */
berth_status realm_key_read(const char *path, realm_key *out, berth_error *error);

#endif
