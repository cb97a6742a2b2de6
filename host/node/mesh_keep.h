/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node/mesh_keep.h: what the mesh wants to find again at the next start, on its way to disk: the
 * records of other nodes, for the peer book (node/peer_book.h), and the revocation lists that other
 * nodes brought. It is gathered as it comes, and written by a thread of its own, not more often
 * than every few seconds.
 */
#ifndef NODE_MESH_KEEP_H
#define NODE_MESH_KEEP_H

#include "base/buf.h"
#include "berth/identity.h"
#include "berth/status.h"
#include "identity/revocation.h"

typedef struct mesh_keep mesh_keep;

berth_status mesh_keep_open(const char *state_dir, mesh_keep **out, berth_error *error);
/* Writes what has not been written. NULL is allowed. */
void mesh_keep_close(mesh_keep *k);

/* As keep_record and keep_revocations of mesh_config. Any thread; do not block. */
void mesh_keep_record(mesh_keep *k, uint64_t node, slice bytes);
void mesh_keep_revocations(mesh_keep *k, slice list);

/* The list of this realm that was kept, the caller's to revocation_free. False: there is none, or,
 * with a line in the log, it cannot be read. Blocks. */
bool mesh_kept_revocations(const char *state_dir, const uint8_t realm[BERTH_ENTITY_SIZE],
                           revocation_list *out);

#endif
