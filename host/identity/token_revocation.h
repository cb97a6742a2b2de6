/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity/token_revocation.h: which permission tokens count no more: all of an issuer below a
 * generation, or single ones by their id. It only ever grows; nothing is taken back.
 *
 * In a file, as `berth token revoke` keeps it and a host reads it:
 *
 *     berth-revoked-tokens: 1
 *     floor: <entity id of the issuer> <generation>
 *     token: <id> <second in which it ends>
 *
 * Any thread: the set has a lock of its own, and calls nobody under it. Reading and writing files
 * blocks.
 */
#ifndef IDENTITY_TOKEN_REVOCATION_H
#define IDENTITY_TOKEN_REVOCATION_H

#include "identity/token.h"

#define REVOCATION_ISSUERS_MAX 65536
#define REVOCATION_TOKENS_MAX  65536
#define REVOCATION_FILE_MAX    (16 << 20)

typedef struct token_revocations token_revocations;

token_revocations *token_revocations_new(void); /* NULL: out of memory */
void token_revocations_free(token_revocations *r);

/* Revoke what the issuer issued below this generation. A lower floor than there is changes nothing.
 * LIMIT with REVOCATION_ISSUERS_MAX others. */
berth_status token_revocations_raise(token_revocations *r, const uint8_t issuer[BERTH_ENTITY_SIZE],
                                     uint32_t floor, berth_error *error);
uint32_t token_revocations_floor(token_revocations *r, const uint8_t issuer[BERTH_ENTITY_SIZE]);

/* Revoke one token. end_s: when it would end by itself; from then on (clocks may differ) the entry
 * is not written any more. LIMIT as above. */
berth_status token_revocations_add(token_revocations *r, const uint8_t id[BERTH_TOKEN_ID_SIZE],
                                   uint64_t end_s, berth_error *error);

/* For berth_token_policy: r is a token_revocations. */
bool token_revocations_has(void *r, const berth_token *token);

/* How often it has changed: who keeps verdicts knows from it when they are out of date. */
uint64_t token_revocations_version(token_revocations *r);
size_t token_revocations_count(token_revocations *r);

/* Add what the text says. On an error everything or nothing of it may have been added. */
berth_status token_revocations_parse(token_revocations *r, slice text, berth_error *error);
/* As text, in order, malloc'd; without tokens that have ended. NULL: out of memory. */
char *token_revocations_format(token_revocations *r, uint64_t now_s);

/* The file must belong to our user or root and be writable by its owner only. NOT_FOUND when there
 * is none. */
berth_status token_revocations_read(token_revocations *r, const char *path, berth_error *error);
berth_status token_revocations_write(token_revocations *r, const char *path, uint64_t now_s,
                                     berth_error *error);

#endif
