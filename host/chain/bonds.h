/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain/bonds.h: what binds a daemon to channels beside the ledger of CDS1: in which queue group it
 * is on a channel, and the permission tokens that it shows.
 *
 *     channels u32; each, ascending: name length u8, name, group length u8, group (0: broadcast)
 *     tokens u16; each, ascending: length u16, a chain of tokens as bytes
 *
 * In a snapshot (CHAN of chain/container.h) the channels are those of the ledger that have a group.
 * In a daemon's stored row they are the channels that its operator wants it to hear, and what else
 * the operator wants follows (daemon/wants.c). Equal bonds are equal bytes. Zeroed bonds are empty.
 * One owner at a time; nothing blocks.
 */
#ifndef CHAIN_BONDS_H
#define CHAIN_BONDS_H

#include "base/buf.h"
#include "base/cursor.h"
#include "berth/token.h"

#define BONDS_CHANNELS_MAX 65536
#define BONDS_TOKENS_MAX   64
#define BONDS_GROUP_MAX    255

typedef struct bonds_channel {
    slice name, group; /* group empty: broadcast */
} bonds_channel;

typedef struct bonds_token {
    buf *bytes; /* of chain: who shows it keeps a reference */
    berth_token_chain chain;
} bonds_token;

typedef struct bonds {
    struct bonds_entry **channels;
    uint32_t channel_count, channel_cap;
    bonds_token **tokens;
    uint32_t token_count;
} bonds;

void bonds_fini(bonds *b);
/* *out must be empty; NO_MEMORY leaves it so. */
berth_status bonds_copy(bonds *out, const bonds *from, berth_error *error);

/* "" or 1 to 255 bytes of UTF-8; INVALID, LIMIT. */
berth_status bonds_group_check(slice group, berth_error *error);

/* Insert, or replace the group. INVALID for a name or a group, LIMIT, NO_MEMORY. */
berth_status bonds_put(bonds *b, slice channel, slice group, berth_error *error);
/* True if it was there. */
bool bonds_forget(bonds *b, slice channel);
/* False: the channel is not there. group (may be NULL) lives until b changes. */
bool bonds_find(const bonds *b, slice channel, slice *group);
/* Channel i of channel_count, ascending. */
bonds_channel bonds_at(const bonds *b, size_t i);

/*
 * Keep a chain that is not kept yet. When there are BONDS_TOKENS_MAX, those that ended before now_s
 * go first; LIMIT when none did. INVALID for a chain of nothing; NO_MEMORY.
 */
berth_status bonds_keep(bonds *b, const berth_token_chain *chain, uint64_t now_s,
                        berth_error *error);
/* The chain that gives leave to this on the channel for longest, of those that are valid at now_s;
 * NULL: none is. It lives until b changes; a reference to its bytes, longer. */
const bonds_token *bonds_leave(const bonds *b, uint32_t action, uint64_t channel, uint64_t now_s,
                               uint32_t skew_s);

static inline bool bonds_empty(const bonds *b)
{
    return !b->channel_count && !b->token_count;
}

void bonds_write(writer *w, const bonds *b);
/* *out must be empty, and is after CORRUPT and NO_MEMORY. No bytes are empty bonds. */
berth_status bonds_read(bonds *out, slice bytes, berth_error *error);
/* The same for bonds at the beginning of bytes; what follows them is left to the caller. */
berth_status bonds_read_front(bonds *out, reader *r, berth_error *error);

#endif
