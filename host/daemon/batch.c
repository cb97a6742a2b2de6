/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/batch.h"

#include <stdlib.h>
#include <string.h>

#define BATCH_MAX (1u << 20)

batch *batch_new(uint32_t cap, size_t bytes)
{
    if (!cap || cap > BATCH_MAX)
        return NULL;
    batch *b = malloc(sizeof(*b) + cap * sizeof(message));
    if (!b)
        return NULL;
    memset(b, 0, sizeof(*b));
    b->cap = cap;
    b->common.size = sizeof(b->common);
    b->common.type = BERTH_EVENT_MESSAGE;
    if (bytes) {
        b->store = malloc(bytes);
        if (!b->store) {
            free(b);
            return NULL;
        }
        b->store_cap = bytes;
    }
    return b;
}

/* What the batch has gathered; its arrays stay. */
static void drop_contents(batch *b)
{
    for (uint32_t i = 0; i < b->count; i++)
        buf_unref(b->messages[i].hold);
    for (uint32_t i = 0; i < b->output_count; i++)
        buf_unref(b->outputs[i].bytes);
    free(b->codes);
    free(b->first_text);
}

batch *batch_renew(batch *b, uint32_t cap)
{
    if (!b || b->cap < cap) {
        batch_free(b);
        return batch_new(cap, 0);
    }
    drop_contents(b);
    batch kept = *b;
    memset(b, 0, sizeof(*b));
    b->common.size = sizeof(b->common);
    b->common.type = BERTH_EVENT_MESSAGE;
    b->cap = kept.cap;
    b->outputs = kept.outputs;
    b->output_cap = kept.output_cap;
    b->store = kept.store;
    b->store_cap = kept.store_cap;
    return b;
}

bool batch_add(batch *b, const void *data, size_t len)
{
    if (b->count == b->cap)
        return false;
    if (len > b->store_cap - b->store_len) {
        size_t cap = b->store_cap * 2 > b->store_len + len ? b->store_cap * 2 : b->store_len + len;
        uint8_t *store = realloc(b->store, cap);
        if (!store)
            return false;
        b->store = store;
        b->store_cap = cap;
    }
    if (len)
        memcpy(b->store + b->store_len, data, len);
    b->store_len += len;
    b->stored = true;
    return batch_add_borrowed(b, NULL, len);
}

batch *batch_of_event(const berth_event *event, buf *hold)
{
    batch *b = batch_new(1, 0);
    if (!b) {
        buf_unref(hold);
        return NULL;
    }
    b->common = *event;
    b->common.size = sizeof(b->common);
    b->messages[b->count++] = (message){.data = event->data.ptr,
                                        .len = event->data.len,
                                        .hold = hold,
                                        .origin = event->sequence ? event->origin : 0,
                                        .sequence = event->sequence};
    b->bytes = event->data.len;
    return b;
}

void batch_fail(batch *b, uint32_t index, berth_status status, const char *text, size_t text_len)
{
    b->failed++;
    if (!b->codes)
        b->codes = calloc(b->cap, sizeof(*b->codes)); /* without memory only the counts are known */
    if (b->codes)
        b->codes[index] = status;
    if (b->first_status != BERTH_OK)
        return;
    b->first_status = status;
    b->first_failed = index;
    if (text_len && (b->first_text = malloc(text_len + 1))) {
        memcpy(b->first_text, text, text_len);
        b->first_text[text_len] = 0;
    }
}

bool batch_grow_outputs(batch *b)
{
    uint32_t cap = b->output_cap ? b->output_cap * 2 : b->cap < 8 ? 8 : b->cap;
    output *outputs = realloc(b->outputs, cap * sizeof(*outputs));
    if (!outputs)
        return false;
    b->outputs = outputs;
    b->output_cap = cap;
    return true;
}

void batch_seal(batch *b)
{
    const uint8_t *at = b->store;
    for (uint32_t i = 0; b->stored && i < b->count; i++) {
        b->messages[i].data = at;
        at += b->messages[i].len;
    }
}

void batch_free(batch *b)
{
    if (!b)
        return;
    drop_contents(b);
    free(b->outputs);
    free(b->store);
    free(b);
}
