/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/capability_index.h: which nodes have a tag, by its exact text.
 *
 * An entry is one node under one of its tags; their number is bounded, and adding a node is all or
 * nothing. A zeroed struct with max set is empty. One thread at a time; nothing blocks.
 */
#ifndef MESH_CAPABILITY_INDEX_H
#define MESH_CAPABILITY_INDEX_H

#include "base/map.h"
#include "mesh/capability.h"

typedef struct capability_index {
    strmap buckets; /* one for each tag that some node has */
    size_t entries, max;
} capability_index;

void capability_index_fini(capability_index *x);
/* LIMIT when the set's tags do not all fit. The node must not be there. */
berth_status capability_index_add(capability_index *x, uint64_t node, const capabilities *set,
                                  berth_error *error);
/* With the same set. */
void capability_index_remove(capability_index *x, uint64_t node, const capabilities *set);
/* Ascending; borrowed until the next change. NULL and 0: nobody. */
const uint64_t *capability_index_nodes(const capability_index *x, slice text, size_t *count);

#endif
