/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/realm_signing.h: a realm's key with the book of what it has used, held so that nobody else
 * signs with it meanwhile. One thread; blocking.
 */
#ifndef CLI_REALM_SIGNING_H
#define CLI_REALM_SIGNING_H

#include "identity/realm_book.h"
#include "identity/realm_key.h"

typedef struct realm_signing {
    realm_key key;
    char *book_path;
    realm_book book; /* without a file: of this realm, nothing used */
    bool has_book;
    int lock;
} realm_signing;

/* Waits for others who sign. On success realm_signing_end, which wipes the key. */
berth_status realm_signing_begin(realm_signing *s, const char *key_path, berth_error *error);
void realm_signing_end(realm_signing *s);

/* Where the book of a key lies that is no symbolic link: malloc'd, NULL when memory is short. */
char *realm_book_beside(const char *key_path);

#endif
