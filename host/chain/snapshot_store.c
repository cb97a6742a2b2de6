/* SPDX-License-Identifier: Apache-2.0 */
#include "chain/snapshot_store.h"
#include "base/error.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint64_t mark;
    buf *bytes; /* NULL: removed */
};

static slice key_of(const uint8_t entity[BERTH_ENTITY_SIZE])
{
    return slice_of(entity, BERTH_ENTITY_SIZE);
}

void snapshot_store_init(snapshot_store *s)
{
    *s = (snapshot_store){.live = 0};
    pthread_mutex_init(&s->lock, NULL);
}

void snapshot_store_fini(snapshot_store *s)
{
    size_t at = 0;
    void *value;

    while (strmap_next(&s->slots, &at, NULL, &value)) {
        buf_unref(((struct slot *)value)->bytes);
        free(value);
    }
    strmap_fini(&s->slots);
    pthread_mutex_destroy(&s->lock);
}

/* A new slot in the map; NULL when memory is short. */
static struct slot *add(snapshot_store *s, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    struct slot *slot = calloc(1, sizeof *slot);

    if (!slot)
        return NULL;
    memcpy(slot->entity, entity, BERTH_ENTITY_SIZE);
    if (strmap_put(&s->slots, key_of(slot->entity), slot))
        return slot;
    free(slot);
    return NULL;
}

berth_status snapshot_store_put(snapshot_store *s, const uint8_t entity[BERTH_ENTITY_SIZE],
                                uint64_t sequence, buf *bytes, berth_error *error)
{
    berth_status status = BERTH_OK;
    buf *old = NULL;
    struct slot *slot;

    pthread_mutex_lock(&s->lock);
    slot = strmap_get(&s->slots, key_of(entity));
    if (slot && sequence <= slot->mark) {
        status = fail(error, BERTH_ERR_STALE,
                      "snapshot store: sequence %" PRIu64 " is not above %" PRIu64, sequence,
                      slot->mark);
        goto out;
    }
    if (!slot) {
        slot = add(s, entity);
        if (!slot) {
            status = fail(error, BERTH_ERR_NO_MEMORY, "snapshot store: out of memory");
            goto out;
        }
    }
    old = slot->bytes;
    s->live += old == NULL;
    slot->bytes = buf_ref(bytes);
    slot->mark = sequence;

out:
    pthread_mutex_unlock(&s->lock);
    buf_unref(old);
    return status;
}

buf *snapshot_store_get(snapshot_store *s, const uint8_t entity[BERTH_ENTITY_SIZE],
                        uint64_t *sequence)
{
    struct slot *slot;
    buf *bytes = NULL;

    pthread_mutex_lock(&s->lock);
    slot = strmap_get(&s->slots, key_of(entity));
    if (slot && slot->bytes) {
        bytes = buf_ref(slot->bytes);
        if (sequence)
            *sequence = slot->mark;
    }
    pthread_mutex_unlock(&s->lock);
    return bytes;
}

bool snapshot_store_remove(snapshot_store *s, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    struct slot *slot;
    buf *old = NULL;

    pthread_mutex_lock(&s->lock);
    slot = strmap_get(&s->slots, key_of(entity));
    if (slot && slot->bytes) {
        old = slot->bytes;
        slot->bytes = NULL;
        s->live--;
    }
    pthread_mutex_unlock(&s->lock);
    buf_unref(old);
    return old != NULL;
}

void snapshot_store_forget(snapshot_store *s, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    struct slot *slot;

    pthread_mutex_lock(&s->lock);
    slot = strmap_del(&s->slots, key_of(entity));
    if (slot && slot->bytes)
        s->live--;
    pthread_mutex_unlock(&s->lock);
    if (slot)
        buf_unref(slot->bytes);
    free(slot);
}

size_t snapshot_store_count(snapshot_store *s)
{
    size_t count;

    pthread_mutex_lock(&s->lock);
    count = s->live;
    pthread_mutex_unlock(&s->lock);
    return count;
}
