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
    message *m = &b->messages[b->count++];
    memset(m, 0, sizeof(*m));
    m->event.size = sizeof(m->event);
    m->event.type = BERTH_EVENT_MESSAGE;
    m->stored = true;
    m->event.data.len = len;
    if (len)
        memcpy(b->store + b->store_len, data, len);
    b->store_len += len;
    b->bytes += len;
    return true;
}

bool batch_add_message(batch *b, const berth_event *event, buf *hold, bool chained)
{
    if (b->count == b->cap)
        return false;
    message *m = &b->messages[b->count++];
    *m = (message){.event = *event, .hold = hold, .chained = chained};
    m->event.size = sizeof(m->event);
    b->bytes += event->data.len;
    return true;
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

void batch_output(batch *b, uint32_t index, buf *bytes)
{
    if (b->output_count == b->output_cap) {
        uint32_t cap = b->output_cap ? b->output_cap * 2 : b->cap < 8 ? 8 : b->cap;
        output *outputs = realloc(b->outputs, cap * sizeof(*outputs));
        if (!outputs) {
            buf_unref(bytes);
            return;
        }
        b->outputs = outputs;
        b->output_cap = cap;
    }
    b->outputs[b->output_count++] = (output){bytes, index};
}

void batch_seal(batch *b)
{
    const uint8_t *at = b->store;
    for (uint32_t i = 0; i < b->count; i++) {
        message *m = &b->messages[i];
        if (!m->stored)
            continue;
        m->event.data.ptr = at;
        at += m->event.data.len;
    }
}

void batch_free(batch *b)
{
    if (!b)
        return;
    for (uint32_t i = 0; i < b->count; i++)
        buf_unref(b->messages[i].hold);
    for (uint32_t i = 0; i < b->output_count; i++)
        buf_unref(b->outputs[i].bytes);
    free(b->outputs);
    free(b->codes);
    free(b->first_text);
    free(b->store);
    free(b);
}
