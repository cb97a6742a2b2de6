/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node/peer_records.h: what the mesh wants to keep of other nodes, on its way to the peer book
 * (node/peer_book.h): gathered as it comes, and written by a thread of its own, not more often than
 * every few seconds.
 */
#ifndef NODE_PEER_RECORDS_H
#define NODE_PEER_RECORDS_H

#include "base/buf.h"
#include "berth/status.h"

typedef struct peer_records peer_records;

berth_status peer_records_open(const char *state_dir, peer_records **out, berth_error *error);
/* Writes what has not been written. NULL is allowed. */
void peer_records_close(peer_records *r);

/* As mesh_config.keep_record, ctx being the records. Any thread; does not block. */
void peer_records_keep(void *ctx, uint64_t node, slice bytes);

#endif
