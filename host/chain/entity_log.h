/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain/entity_log.h: the outputs of one daemon as someone else keeps them: each one checked
 * against the one before when it comes in. And an index of such logs by origin.
 *
 * A log belongs to one thread at a time; its references may be dropped on any. The index may be
 * used from any thread. Nothing blocks but the index's short lock.
 */
#ifndef CHAIN_ENTITY_LOG_H
#define CHAIN_ENTITY_LOG_H

#include "base/map.h"
#include "berth/chain.h"
#include "berth/identity.h"

#include <pthread.h>

typedef struct log_event {
    berth_link link;
    buf *payload; /* never NULL; the log holds one reference */
    int64_t received_at;
} log_event;

/* Sequences in a log are dense, so the place of one follows from the first. */
typedef struct entity_log {
    atomic_uint refs;
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint64_t origin;
    berth_link base;            /* the link before the first event kept */
    uint64_t next_parent;       /* what the next event must have as its parent */
    uint64_t snapshot_sequence; /* through which it was pruned; never beyond the head */
    bool begun;                 /* the genesis came in as an event */
    log_event *events;
    size_t start, count, cap; /* events[start .. start + count) */
} entity_log;

/* An empty log of a chain from its beginning. NULL when memory is short. */
entity_log *entity_log_new(const uint8_t entity[BERTH_ENTITY_SIZE]);

/* A log that goes on after a snapshot, or after the first link of a fork (sequence 0, empty
 * payload). Nothing is cross-checked. */
entity_log *entity_log_from_snapshot(const uint8_t entity[BERTH_ENTITY_SIZE], uint64_t sequence,
                                     const berth_link *head, slice head_payload);

/* The same where the parent hash is known and the payload is not. */
entity_log *entity_log_resume(const uint8_t entity[BERTH_ENTITY_SIZE], uint64_t sequence,
                              const berth_link *head, uint64_t next_parent);

entity_log *entity_log_ref(entity_log *log);
void entity_log_unref(entity_log *log);

/*
 * Add the next event. The log takes a reference of its own to payload. On an error it is unchanged:
 * CORRUPT with the fault (origin, sequence, parent), DUPLICATE with the sequence when it is already
 * in. A log from the beginning also takes the genesis itself, once, if its payload is empty.
 */
berth_status entity_log_append(entity_log *log, const berth_link *link, buf *payload,
                               int64_t received_at, berth_chain_fault *fault, berth_error *error);

/* The last link, or the base when the log is empty. */
const berth_link *entity_log_head(const entity_log *log);

/* Events with first <= sequence <= last, oldest first, in constant time. Valid until the log
 * changes. */
const log_event *entity_log_range(const entity_log *log, uint64_t first, uint64_t last,
                                  size_t *count);
/* Events with a sequence above this one. */
const log_event *entity_log_after(const entity_log *log, uint64_t sequence, size_t *count);

/* Drop the events through this sequence, which a snapshot holds now. The number dropped; if it is
 * 0, nothing changes. The next event still validates. */
size_t entity_log_prune_through(entity_log *log, uint64_t sequence);

typedef struct log_index {
    pthread_mutex_t lock;
    map64 logs; /* origin -> entity_log */
} log_index;

void log_index_init(log_index *index);
void log_index_fini(log_index *index);

/* The log of entity, made when there is none. *out has a reference that the caller drops.
 * IDENTITY_MISMATCH when another entity has the same origin (64 bits can collide); NO_MEMORY. */
berth_status log_index_open(log_index *index, const uint8_t entity[BERTH_ENTITY_SIZE],
                            entity_log **out, berth_error *error);

/* With a reference, or NULL. */
entity_log *log_index_get(log_index *index, uint64_t origin);

/* Out of the index, with its reference; NULL the second time. */
entity_log *log_index_remove(log_index *index, uint64_t origin);

size_t log_index_count(log_index *index);

#endif
