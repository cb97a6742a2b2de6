/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain/ledger.h: the subscriptions that belong to a daemon and move with it.
 *
 * `bindings` are the bytes inside a snapshot (compute-core 10, byte-exact); a `ledger` is the set
 * in memory: one entry per (publisher, channel), kept ordered, so that equal ledgers give equal
 * bytes. A zeroed ledger is empty. One owner at a time; nothing blocks.
 */
#ifndef CHAIN_LEDGER_H
#define CHAIN_LEDGER_H

#include "base/cursor.h"
#include "berth/status.h"

#define BINDING_MIN       11 /* bytes of the smallest entry */
#define BINDING_TOKEN_MAX 65535

typedef struct binding {
    uint64_t publisher; /* node id */
    slice channel;      /* satisfies channel_name_check */
    slice token;        /* permission token, as it was given; may be empty */
    bool has_token;     /* no token and an empty token are different things */
} binding;

/*
 * Entries in the given order; n == 0 writes the four bytes of an empty ledger. (A snapshot writes
 * no bytes at all then.) INVALID for a bad name, LIMIT for a token over BINDING_TOKEN_MAX or more
 * than 2^32 - 1 entries; NO_MEMORY.
 */
berth_status bindings_encode(writer *w, const binding *entries, size_t n, berth_error *error);

/*
 * Decode into a malloc'd array, in order, duplicates kept; slices point into bytes. Empty input is
 * an empty ledger (*out NULL). CORRUPT, with *out NULL, for anything that bindings_encode would not
 * write; the text says that it is about the bindings of a snapshot, since ignoring them would leave
 * a daemon deaf.
 */
berth_status bindings_decode(slice bytes, binding **out, size_t *n, berth_error *error);

typedef struct ledger {
    struct ledger_entry **entries;
    uint32_t count, cap;
} ledger;

void ledger_fini(ledger *l);

/* Insert, or replace the token of an existing entry. token NULL: none. INVALID, LIMIT, NO_MEMORY.
 */
berth_status ledger_record(ledger *l, uint64_t publisher, slice channel, const slice *token,
                           berth_error *error);

/* True if it was there. */
bool ledger_forget(ledger *l, uint64_t publisher, slice channel);

bool ledger_has(const ledger *l, uint64_t publisher, slice channel);
/* The same, with the entry; its slices live until the ledger changes. */
bool ledger_find(const ledger *l, uint64_t publisher, slice channel, binding *out);

/* Entry i of l->count, ordered by publisher and channel. Its slices live until the ledger changes.
 */
binding ledger_at(const ledger *l, size_t i);

/* All of it as bindings; no bytes when it is empty. */
berth_status ledger_encode(writer *w, const ledger *l, berth_error *error);

/* *out must be empty. Of equal (publisher, channel) the last wins. */
berth_status ledger_decode(ledger *out, slice bytes, berth_error *error);

#endif
