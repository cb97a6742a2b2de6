/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node/psk.h: the pre-shared keys of a mesh, in a file:
 *
 *     # since March
 *     <64 hex digits>
 *     # until all have the new one
 *     <64 hex digits>
 *
 * One key a line, the newest first: it is used to call others, all are accepted from them. Lines
 * that are empty or start with '#' do not count. Errors name the line and never what stands in it.
 * Blocking; any thread.
 */
#ifndef NODE_PSK_H
#define NODE_PSK_H

#include "mesh/transport.h"

#define PSK_FILE_MAX 4096

typedef struct psk_set {
    uint8_t keys[PSK_MAX][32]; /* as endpoint_config.psks */
    unsigned count;            /* 1 to PSK_MAX */
} psk_set;

/*
 * PERMISSION, with the chmod that cures it, when anyone else could read or change the file; but in
 * $CREDENTIALS_DIRECTORY systemd sees to that. On success *out is the caller's to wipe; otherwise
 * it is zeroed.
 */
berth_status psk_read(const char *path, psk_set *out, berth_error *error);
void psk_wipe(psk_set *set);

/* The text alone. INVALID: no key, a line that is none, a key of zeros, one key twice; LIMIT: more
 * than PSK_MAX. */
berth_status psk_parse(slice text, psk_set *out, berth_error *error);

#endif
