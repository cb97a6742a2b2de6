/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/capability_index.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

typedef struct bucket {
    uint64_t *nodes; /* ascending */
    size_t count, cap, len;
    uint8_t text[];
} bucket;

static void bucket_free(bucket *b)
{
    free(b->nodes);
    free(b);
}

void capability_index_fini(capability_index *x)
{
    void *value;
    slice key;

    for (size_t at = 0; strmap_next(&x->buckets, &at, &key, &value);)
        bucket_free(value);
    strmap_fini(&x->buckets);
    x->entries = 0;
}

/* Where node is or belongs. */
static size_t place(const bucket *b, uint64_t node)
{
    size_t low = 0, high = b->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (b->nodes[middle] < node)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bucket *bucket_of(capability_index *x, slice text)
{
    bucket *b = strmap_get(&x->buckets, text);

    if (b)
        return b;
    b = calloc(1, sizeof *b + text.len);
    if (!b)
        return NULL;
    b->len = text.len;
    memcpy(b->text, text.ptr, text.len);
    if (!strmap_put(&x->buckets, slice_of(b->text, b->len), b)) {
        bucket_free(b);
        return NULL;
    }
    return b;
}

static bool add_one(capability_index *x, uint64_t node, slice text)
{
    bucket *b = bucket_of(x, text);
    size_t at;

    if (!b)
        return false;
    if (b->count == b->cap) {
        size_t cap = b->cap ? 2 * b->cap : 4;
        uint64_t *nodes = realloc(b->nodes, cap * sizeof *nodes);

        if (!nodes)
            return false;
        b->nodes = nodes;
        b->cap = cap;
    }
    at = place(b, node);
    memmove(b->nodes + at + 1, b->nodes + at, (b->count - at) * sizeof *b->nodes);
    b->nodes[at] = node;
    b->count++;
    x->entries++;
    return true;
}

void capability_index_remove(capability_index *x, uint64_t node, const capabilities *set)
{
    for (size_t i = 0; i < set->tag_count; i++) {
        bucket *b = strmap_get(&x->buckets, set->tags[i]);
        size_t at;

        if (!b)
            continue;
        at = place(b, node);
        if (at < b->count && b->nodes[at] == node) {
            b->count--;
            x->entries--;
            memmove(b->nodes + at, b->nodes + at + 1, (b->count - at) * sizeof *b->nodes);
        }
        if (!b->count) {
            strmap_del(&x->buckets, set->tags[i]);
            bucket_free(b);
        }
    }
}

berth_status capability_index_add(capability_index *x, uint64_t node, const capabilities *set,
                                  berth_error *error)
{
    if (set->tag_count > x->max - x->entries)
        return fail(error, BERTH_ERR_LIMIT, "index of tags: more than %zu entries", x->max);
    for (size_t i = 0; i < set->tag_count; i++) {
        if (add_one(x, node, set->tags[i]))
            continue;
        capability_index_remove(x, node, set);
        return fail(error, BERTH_ERR_NO_MEMORY, "index of tags: out of memory");
    }
    return BERTH_OK;
}

const uint64_t *capability_index_nodes(const capability_index *x, slice text, size_t *count)
{
    const bucket *b = strmap_get(&x->buckets, text);

    *count = b ? b->count : 0;
    return b ? b->nodes : NULL;
}
