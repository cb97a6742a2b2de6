/* SPDX-License-Identifier: Apache-2.0 */
#include "chain/entity_log.h"
#include "base/error.h"
#include "chain/link.h"
#include "identity/entity.h"

#include <inttypes.h>
#include <stdlib.h>

entity_log *entity_log_resume(const uint8_t entity[BERTH_ENTITY_SIZE], uint64_t sequence,
                              const berth_link *head, uint64_t next_parent)
{
    entity_log *log = calloc(1, sizeof *log);

    if (!log)
        return NULL;
    atomic_init(&log->refs, 1);
    memcpy(log->entity, entity, BERTH_ENTITY_SIZE);
    log->origin = berth_entity_origin(entity);
    log->base = *head;
    log->next_parent = next_parent;
    log->snapshot_sequence = sequence;
    return log;
}

entity_log *entity_log_from_snapshot(const uint8_t entity[BERTH_ENTITY_SIZE], uint64_t sequence,
                                     const berth_link *head, slice head_payload)
{
    return entity_log_resume(entity, sequence, head,
                             berth_link_parent(head, head_payload.ptr, head_payload.len));
}

entity_log *entity_log_new(const uint8_t entity[BERTH_ENTITY_SIZE])
{
    berth_link genesis;

    berth_link_genesis(&genesis, berth_entity_origin(entity), 0);
    return entity_log_from_snapshot(entity, 0, &genesis, slice_of(NULL, 0));
}

entity_log *entity_log_ref(entity_log *log)
{
    atomic_fetch_add_explicit(&log->refs, 1, memory_order_relaxed);
    return log;
}

void entity_log_unref(entity_log *log)
{
    if (!log || atomic_fetch_sub_explicit(&log->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < log->count; i++)
        buf_unref(log->events[log->start + i].payload);
    free(log->events);
    free(log);
}

const berth_link *entity_log_head(const entity_log *log)
{
    return log->count ? &log->events[log->start + log->count - 1].link : &log->base;
}

/* Room for one more behind the last. */
static bool reserve(entity_log *log)
{
    log_event *events;
    size_t cap;

    if (log->start + log->count < log->cap)
        return true;
    /* Moving is paid for by the prunes that freed at least as many places. */
    if (log->start && log->start >= log->count) {
        memmove(log->events, log->events + log->start, log->count * sizeof *log->events);
        log->start = 0;
        return true;
    }
    cap = log->cap ? 2 * log->cap : 16;
    events = realloc(log->events, cap * sizeof *events);
    if (!events)
        return false;
    log->events = events;
    log->cap = cap;
    return true;
}

static berth_status check(const entity_log *log, const berth_link *link, size_t payload_len,
                          berth_chain_fault *fault, berth_error *error)
{
    const berth_link *head = entity_log_head(log);
    berth_chain_fault found = {0};
    berth_status status = BERTH_OK;
    char text[120];

    if (link->origin != log->origin) {
        found = (berth_chain_fault){BERTH_CHAIN_ORIGIN, log->origin, link->origin};
        status = BERTH_ERR_CORRUPT;
    } else if (log->count && link->sequence <= head->sequence) {
        return fail(error, BERTH_ERR_DUPLICATE, "log: sequence %" PRIu64 " is already in",
                    link->sequence);
    } else if (!log->count && !log->begun && berth_link_is_genesis(head) &&
               berth_link_is_genesis(link)) {
        if (payload_len) {
            found.check = BERTH_CHAIN_PARENT;
            status = BERTH_ERR_CORRUPT;
        }
    } else {
        status = link_validate_parent(head, log->next_parent, link, &found);
    }
    if (fault)
        *fault = found;
    if (status)
        fail(error, status, "log: %s", berth_chain_fault_text(text, sizeof text, &found));
    return status;
}

berth_status entity_log_append(entity_log *log, const berth_link *link, buf *payload,
                               int64_t received_at, berth_chain_fault *fault, berth_error *error)
{
    berth_status status;

    if (fault)
        *fault = (berth_chain_fault){0};
    status = check(log, link, payload->len, fault, error);
    if (status)
        return status;
    if (!reserve(log))
        return fail(error, BERTH_ERR_NO_MEMORY, "log: out of memory");
    log->events[log->start + log->count++] = (log_event){*link, buf_ref(payload), received_at};
    log->next_parent = berth_link_parent(link, payload->data, payload->len);
    log->begun |= berth_link_is_genesis(link);
    return BERTH_OK;
}

const log_event *entity_log_range(const entity_log *log, uint64_t first, uint64_t last,
                                  size_t *count)
{
    uint64_t from, to;

    *count = 0;
    if (!log->count || first > last)
        return NULL;
    from = log->events[log->start].link.sequence;
    to = entity_log_head(log)->sequence;
    if (first < from)
        first = from;
    if (last > to)
        last = to;
    if (first > last)
        return NULL;
    *count = (size_t)(last - first) + 1;
    return &log->events[log->start + (size_t)(first - from)];
}

const log_event *entity_log_after(const entity_log *log, uint64_t sequence, size_t *count)
{
    *count = 0;
    return sequence == UINT64_MAX ? NULL : entity_log_range(log, sequence + 1, UINT64_MAX, count);
}

size_t entity_log_prune_through(entity_log *log, uint64_t sequence)
{
    size_t dropped;

    if (!entity_log_range(log, 0, sequence, &dropped))
        return 0;
    for (size_t i = 0; i < dropped; i++)
        buf_unref(log->events[log->start + i].payload);
    log->base = log->events[log->start + dropped - 1].link;
    log->start += dropped;
    log->count -= dropped;
    if (!log->count)
        log->start = 0;
    /* A sequence beyond the head names events that no one has seen yet. */
    if (log->base.sequence > log->snapshot_sequence)
        log->snapshot_sequence = log->base.sequence;
    return dropped;
}

void log_index_init(log_index *index)
{
    *index = (log_index){.logs = {0}};
    pthread_mutex_init(&index->lock, NULL);
}

void log_index_fini(log_index *index)
{
    size_t at = 0;
    void *log;

    while (map64_next(&index->logs, &at, NULL, &log))
        entity_log_unref(log);
    map64_fini(&index->logs);
    pthread_mutex_destroy(&index->lock);
}

berth_status log_index_open(log_index *index, const uint8_t entity[BERTH_ENTITY_SIZE],
                            entity_log **out, berth_error *error)
{
    uint64_t origin = berth_entity_origin(entity);
    berth_status status = BERTH_OK;
    entity_log *log;

    *out = NULL;
    pthread_mutex_lock(&index->lock);
    log = map64_get(&index->logs, origin);
    if (!log) {
        log = entity_log_new(entity);
        if (log && !map64_put(&index->logs, origin, log)) {
            entity_log_unref(log);
            log = NULL;
        }
        if (!log)
            status = fail(error, BERTH_ERR_NO_MEMORY, "log index: out of memory");
    } else if (!entity_eq(log->entity, entity)) {
        status =
            fail(error, BERTH_ERR_IDENTITY_MISMATCH,
                 "log index: origin %016" PRIx64 " already stands for another identity", origin);
    }
    if (!status)
        *out = entity_log_ref(log);
    pthread_mutex_unlock(&index->lock);
    return status;
}

entity_log *log_index_get(log_index *index, uint64_t origin)
{
    entity_log *log;

    pthread_mutex_lock(&index->lock);
    log = map64_get(&index->logs, origin);
    if (log)
        entity_log_ref(log);
    pthread_mutex_unlock(&index->lock);
    return log;
}

entity_log *log_index_remove(log_index *index, uint64_t origin)
{
    entity_log *log;

    pthread_mutex_lock(&index->lock);
    log = map64_del(&index->logs, origin);
    pthread_mutex_unlock(&index->lock);
    return log;
}

size_t log_index_count(log_index *index)
{
    size_t count;

    pthread_mutex_lock(&index->lock);
    count = index->logs.count;
    pthread_mutex_unlock(&index->lock);
    return count;
}
