/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/token.h: permission tokens as people and programs see them. One thread; prints.
 */
#ifndef CLI_TOKEN_H
#define CLI_TOKEN_H

#include "cli/parse.h"

#include "identity/token_file.h"
#include "identity/token_revocation.h"

/* What a chain is held against when it is shown. */
typedef struct token_view {
    const token_file *file;
    const char *path; /* where it was written to; may be NULL */
    token_revocations *revoked;
    const uint8_t *roots; /* root_count of them; 0: its own first issuer will do */
    size_t root_count;
    uint64_t now_s;
} token_view;

/* The first fault of the chain, with the reason in error; FINE when it holds now. */
berth_token_fault token_view_fault(const token_view *v, berth_error *error);

/* Print it, a page and a table or JSON, with what token_view_fault found. */
void token_view_print(const cli_invocation *inv, const token_view *v, berth_token_fault fault);

#endif
