/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity/keyfile.h: an identity in a file, as `berth identity new` writes it:
 *
 *     # berth identity 2152f8d19b791d24...: whoever has this file is this daemon
 *     berth-identity: 1
 *     entity: <64 hex digits>
 *     seed: <64 hex digits>
 *
 * Lines that are empty or start with '#' do not count; `entity` may be left out. Blocking; any
 * thread.
 */
#ifndef IDENTITY_KEYFILE_H
#define IDENTITY_KEYFILE_H

#include "base/buf.h"
#include "berth/identity.h"

#define KEYFILE_MAX 4096

/* Never overwrites (EXISTS); mode 0600. READ_ONLY when key has no seed. */
berth_status keyfile_write(const char *path, const berth_keypair *key, berth_error *error);

/* PERMISSION, with the chmod that cures it, when anyone else could read or change the file. On
 * success *out is full and the caller's to wipe; otherwise it is zeroed. */
berth_status keyfile_read(const char *path, berth_keypair *out, berth_error *error);

/* The text alone. len is set to the length written; the caller wipes out. */
#define KEYFILE_TEXT 320
berth_status keyfile_format(char out[KEYFILE_TEXT], size_t *len, const berth_keypair *key,
                            berth_error *error);
berth_status keyfile_parse(slice text, berth_keypair *out, berth_error *error);

#endif
