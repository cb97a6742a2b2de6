/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain/chain.h: the end of a daemon's chain, to which outputs are appended.
 *
 * The end is the head link and the hash that the next link will carry as its parent. That hash is
 * taken when an output is appended, while its bytes are at hand, so no payload is kept and a
 * snapshot can carry the chain on exactly. One owner at a time; nothing blocks or allocates.
 */
#ifndef CHAIN_CHAIN_H
#define CHAIN_CHAIN_H

#include "base/buf.h"
#include "chain/link.h"

typedef struct chain {
    berth_link head;
    uint64_t next_parent;
} chain;

/* A chain without outputs. */
void chain_init(chain *c, uint64_t origin);

/* A chain that ends with this link and payload: after a fork, with an empty one. */
void chain_from_head(chain *c, const berth_link *head, slice payload);

/* A chain that was saved as head and next_parent. */
void chain_resume(chain *c, const berth_link *head, uint64_t next_parent);

/*
 * Append an output that lies in one piece: BERTH_LINK_SIZE free bytes at `at`, the payload after
 * them. The link is written into the free bytes and, if link is not NULL, to *link. SEQUENCE, with
 * nothing changed, when the last sequence is used up.
 */
berth_status chain_append(chain *c, uint8_t *at, size_t payload_len, uint64_t horizon,
                          berth_link *link);

/* The same for a payload that lies elsewhere: as fast for a small one. */
berth_status chain_append_apart(chain *c, slice payload, uint64_t horizon, berth_link *link);

#endif
