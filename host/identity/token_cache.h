/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity/token_cache.h: the credentials that this host and its daemons hold: chains of permission
 * tokens, found by whom they were issued to, the channel, and what they allow.
 *
 * A slot is a subject with one channel, or a subject with all channels; it holds chains of
 * different scopes. Nothing is dropped silently: what does not fit is a LIMIT.
 *
 * Any thread: it has a lock of its own. Nothing blocks for long; insert verifies signatures.
 */
#ifndef IDENTITY_TOKEN_CACHE_H
#define IDENTITY_TOKEN_CACHE_H

#include "identity/token.h"
#include "identity/token_revocation.h"

#define TOKEN_CACHE_SLOTS    65536
#define TOKEN_CACHE_PER_SLOT 32

typedef struct token_cache token_cache;

/* revoked (borrowed, may be NULL) is asked at every look-up. max_slots 0: TOKEN_CACHE_SLOTS.
 * NULL: out of memory. */
token_cache *token_cache_new(uint32_t skew_s, token_revocations *revoked, size_t max_slots);
void token_cache_free(token_cache *c);

/*
 * Keep a chain whose links are all signed by their issuers and follow each other; its last token
 * says for whom it is kept. One of the same scope in the same slot is replaced. Faults: FORMAT,
 * SIGNATURE, BROKEN. LIMIT when there is no slot, or no room in it.
 */
berth_status token_cache_insert(token_cache *c, const berth_token_chain *chain,
                                berth_token_fault *fault, berth_error *error);

/*
 * The chain by which the subject may do this now: first of those for the channel itself, then of
 * those for all channels. out may be NULL. When none will do: NOT_FOUND, or the fault (EXPIRED,
 * EARLY, REVOKED) of one that would have done otherwise.
 */
berth_status token_cache_find(token_cache *c, const uint8_t subject[BERTH_ENTITY_SIZE],
                              uint32_t action, uint64_t channel, uint64_t now_s,
                              berth_token_chain *out, berth_token_fault *fault, berth_error *error);

/* Drop what has ended; how many. */
size_t token_cache_sweep(token_cache *c, uint64_t now_s);
/* Before this second a sweep finds nothing; UINT64_MAX: there is nothing to end. */
uint64_t token_cache_due(token_cache *c);

size_t token_cache_count(token_cache *c); /* chains */
size_t token_cache_slots(token_cache *c);

#endif
