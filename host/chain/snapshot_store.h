/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain/snapshot_store.h: the latest snapshot of each daemon, in memory, which no one can turn
 * back.
 *
 * Keyed by the full entity id. A mark per entity remembers the highest sequence ever stored, also
 * after the snapshot was removed. Check, insert and mark are one step under one lock, so no order
 * of store and remove lets an older one in (compute-core K20). Any thread; the lock is held for
 * moments.
 */
#ifndef CHAIN_SNAPSHOT_STORE_H
#define CHAIN_SNAPSHOT_STORE_H

#include "base/map.h"
#include "berth/identity.h"

#include <pthread.h>

typedef struct snapshot_store {
    pthread_mutex_t lock;
    strmap slots; /* entity -> struct slot; a slot outlives its snapshot, for the mark */
    size_t live;
} snapshot_store;

void snapshot_store_init(snapshot_store *s);
void snapshot_store_fini(snapshot_store *s);

/* Keep this one if its sequence is above every one before it; else STALE. The store takes a
 * reference of its own to bytes. NO_MEMORY. */
berth_status snapshot_store_put(snapshot_store *s, const uint8_t entity[BERTH_ENTITY_SIZE],
                                uint64_t sequence, buf *bytes, berth_error *error);

/* With a reference, or NULL. sequence may be NULL. */
buf *snapshot_store_get(snapshot_store *s, const uint8_t entity[BERTH_ENTITY_SIZE],
                        uint64_t *sequence);

/* Drops the snapshot, keeps the mark. False when there was none. */
bool snapshot_store_remove(snapshot_store *s, const uint8_t entity[BERTH_ENTITY_SIZE]);

/* Drops the mark too, after which an old snapshot is taken again. Only for one who ends an
 * identity. */
void snapshot_store_forget(snapshot_store *s, const uint8_t entity[BERTH_ENTITY_SIZE]);

/* Entities with a snapshot. */
size_t snapshot_store_count(snapshot_store *s);

#endif
