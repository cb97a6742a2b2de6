/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/commit.h: a group of changes in one transaction.
 *
 * Writer thread only. For this room only.
 */
#ifndef STORE_COMMIT_H
#define STORE_COMMIT_H

#include "store/table.h"

typedef struct commit_stats {
    uint64_t commits, commit_ns, snapshot_bytes;
} commit_stats;

/*
 * Apply and commit the n changes that start at first. Afterwards each has its status, and a change
 * that is OK is on disk. Without room for all, as many as fit are committed, in smaller groups, in
 * order.
 */
void commit_group(table *t, change *first, size_t n, commit_stats *stats);

#endif
