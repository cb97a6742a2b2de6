/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity/certificate_file.h: a certificate of a realm in a file, as `berth realm sign` writes it
 * and a host reads it:
 *
 *     # harbour is a node of realm e7f162a10bec559a...: certificate 3, until 2026-11-30T10:00:00Z
 *     berth-certificate: 1
 *     certificate: <base64 of the encoding>
 *
 * Nothing in it is secret. Blocking; any thread.
 */
#ifndef IDENTITY_CERTIFICATE_FILE_H
#define IDENTITY_CERTIFICATE_FILE_H

#include "identity/certificate.h"

#define CERTIFICATE_FILE_WHAT "berth-certificate"
#define CERTIFICATE_FILE_MAX  2048

/* The text, malloc'd; NULL when memory is short. For one that was signed or decoded. */
char *certificate_file_format(const realm_certificate *c);
/* Decoded, not verified. INVALID for what is no such text, else as certificate_decode; *out is then
 * zeroed. */
berth_status certificate_file_parse(slice text, realm_certificate *out, berth_error *error);

/* Never over an existing file (EXISTS); mode 0644. */
berth_status certificate_file_write(const char *path, const realm_certificate *c,
                                    berth_error *error);
/* As certificate_file_parse; NOT_FOUND when there is no such file, LIMIT when it is too long. */
berth_status certificate_file_read(const char *path, realm_certificate *out, berth_error *error);

#endif
