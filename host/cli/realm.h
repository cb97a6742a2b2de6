/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/realm.h: what a realm makes, as people and programs see it: certificates, revocation lists,
 * and the public half of its key. One thread; prints.
 */
#ifndef CLI_REALM_H
#define CLI_REALM_H

#include "cli/parse.h"

#include "identity/certificate.h"
#include "identity/realm_key.h"
#include "identity/revocation.h"

typedef enum realm_state {
    REALM_VALID,
    REALM_NOT_YET,
    REALM_EXPIRED,
    REALM_REVOKED,
    REALM_FORGED,  /* not signed by the realm that it names */
    REALM_FOREIGN, /* of another realm than asked for */
} realm_state;

typedef enum realm_kind { REALM_IS_CERTIFICATE, REALM_IS_LIST, REALM_IS_KEY } realm_kind;

/* One file. Only the member of its kind is filled; the key has no seed. */
typedef struct realm_view {
    const char *path; /* NULL: in no file */
    realm_kind kind;
    realm_state state;
    realm_certificate certificate;
    revocation_list list;
    realm_key key;
} realm_view;

/* What it is held against. */
typedef struct realm_measure {
    const uint8_t *realm;           /* NULL: any */
    const revocation_list *revoked; /* NULL: none */
    int64_t now_s;
} realm_measure;

/* "-" is standard input. What can be read, though its signature may be wrong; a list's never is. */
berth_status realm_view_read(realm_view *out, const char *path, berth_error *error);
void realm_view_free(realm_view *v);

/* Sets state. REFUSED or SIGNATURE, and the reason, unless it is REALM_VALID. */
berth_status realm_view_judge(realm_view *v, const realm_measure *m, berth_error *error);

/* A page for one, a table for several, an object a line for programs. */
void realm_view_print(const cli_invocation *inv, const realm_view *views, size_t count,
                      const realm_measure *m);

#endif
