/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity/realm_book.h: what a realm has used up, in a file beside its key: serials of
 * certificates and numbers of revocation lists, neither of which may come twice.
 *
 *     berth-realm-book: 1
 *     realm: <64 hex digits>
 *     serial: 12
 *     list: 4
 *
 * Who changes it holds a lock from the reading to the writing. Blocking; any thread.
 */
#ifndef IDENTITY_REALM_BOOK_H
#define IDENTITY_REALM_BOOK_H

#include "base/buf.h"
#include "berth/identity.h"

#define REALM_BOOK_MAX 2048

typedef struct realm_book {
    uint8_t realm[BERTH_ENTITY_SIZE];
    uint64_t serial; /* the last one used; 0: none */
    uint64_t list;
} realm_book;

/* The text, malloc'd; NULL when memory is short. */
char *realm_book_format(const realm_book *book);
/* On an error *out is zeroed. */
berth_status realm_book_parse(slice text, realm_book *out, berth_error *error);

/* NOT_FOUND when there is none; PERMISSION when others may write it; INVALID also when it is that
 * of another realm. */
berth_status realm_book_read(const char *path, const uint8_t realm[BERTH_ENTITY_SIZE],
                             realm_book *out, berth_error *error);
/* In place of what is there, durable when it returns; mode 0600. */
berth_status realm_book_write(const char *path, const realm_book *book, berth_error *error);

#endif
