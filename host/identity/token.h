/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity/token.h: what the rooms above need beside berth/token.h, whose functions live in token.c
 * and token_chain.c.
 *
 * Any thread; nothing blocks.
 */
#ifndef IDENTITY_TOKEN_H
#define IDENTITY_TOKEN_H

#include "base/buf.h"
#include "berth/token.h"

/* The bytes that are signed: all but the signature. */
#define TOKEN_SIGNED_SIZE 105

/* berth_token_issue with a given nonce: for vectors and the simulator, where nothing is random. */
berth_status token_issue_with(berth_token *out, const berth_keypair *issuer,
                              const berth_token_grant *grant, uint64_t now_s, uint64_t nonce,
                              berth_token_fault *fault, berth_error *error);

/* The two parts of berth_token_verify. */
berth_token_fault token_signature_fault(const berth_token *token);
berth_token_fault token_time_fault(const berth_token *token, uint64_t now_s, uint32_t skew_s);

/* Set *fault and write "permission token: <text of the fault>" with what helps about this token
 * (may be NULL). Returns the status of the fault. */
berth_status token_refuse(berth_token_fault what, const berth_token *token,
                          berth_token_fault *fault, berth_error *error);

/* The status of a fault; OK without one. */
berth_status token_fault_status(berth_token_fault fault);

/* "publish, subscribe" and so on; what has no name as 0x hex digits; "nothing". Returns out. */
#define TOKEN_SCOPE_TEXT 80
char *token_scope_text(char out[TOKEN_SCOPE_TEXT], uint32_t scope);
/* One word of it; false when it is none. */
bool token_scope_parse(slice word, uint32_t *scope);

/* "2026-11-21T12:00:00Z"; years that have more than four digits as seconds. Returns out. */
#define TOKEN_TIME_TEXT 32
char *token_time_text(char out[TOKEN_TIME_TEXT], uint64_t at_s);

#endif
