/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity/revocation_file.h: a realm's revocation list in a file, as `berth realm revoke` writes
 * it and a host reads it:
 *
 *     # what realm e7f162a10bec559a... has taken back: list 4 of 2026-10-31T10:00:00Z
 *     berth-revocations: 1
 *     list: <base64 of the encoding>
 *
 * Nothing in it is secret, and nobody can change it but the realm. Blocking; any thread.
 */
#ifndef IDENTITY_REVOCATION_FILE_H
#define IDENTITY_REVOCATION_FILE_H

#include "identity/revocation.h"

#define REVOCATION_FILE_WHAT "berth-revocations"
/* Bytes that such a file has at most: base64 of the largest list, and room for the other lines. */
#define REVOCATION_FILE_SIZE (4 * ((REVOCATION_MAX + 2) / 3) + 2048)

/* The text, malloc'd; NULL when memory is short. For a list that was signed or read. */
char *revocation_file_format(const revocation_list *list);
/* Decoded and verified, as revocation_read does; INVALID for what is no such text. *out is empty on
 * an error, else the caller's to revocation_free. */
berth_status revocation_file_parse(slice text, revocation_list *out, berth_error *error);

/* In place of what is there, so that a crash leaves the old list or the new one; mode 0644. */
berth_status revocation_file_write(const char *path, const revocation_list *list,
                                   berth_error *error);
/* As revocation_file_parse; NOT_FOUND when there is no such file, LIMIT when it is too long. */
berth_status revocation_file_read(const char *path, revocation_list *out, berth_error *error);

#endif
