/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/heap.h"

#include <stdlib.h>

void heap_fini(heap *h)
{
    free(h->nodes);
    *h = (heap){0};
}

static void put(heap *h, size_t place, heap_node *n)
{
    h->nodes[place - 1] = n;
    n->place = place;
}

static heap_node *at(const heap *h, size_t place)
{
    return h->nodes[place - 1];
}

static void rise(heap *h, heap_node *n)
{
    size_t place = n->place;
    while (place > 1 && at(h, place / 2)->due_ns > n->due_ns) {
        put(h, place, at(h, place / 2));
        place /= 2;
    }
    put(h, place, n);
}

static void sink(heap *h, heap_node *n)
{
    size_t place = n->place;
    for (;;) {
        size_t child = place * 2;
        if (child > h->count)
            break;
        if (child < h->count && at(h, child + 1)->due_ns < at(h, child)->due_ns)
            child++;
        if (at(h, child)->due_ns >= n->due_ns)
            break;
        put(h, place, at(h, child));
        place = child;
    }
    put(h, place, n);
}

bool heap_push(heap *h, heap_node *n)
{
    if (h->count == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 64;
        heap_node **nodes = realloc(h->nodes, cap * sizeof(*nodes));
        if (!nodes)
            return false;
        h->nodes = nodes;
        h->cap = cap;
    }
    put(h, ++h->count, n);
    rise(h, n);
    return true;
}

void heap_remove(heap *h, heap_node *n)
{
    if (!n->place)
        return;
    heap_node *last = at(h, h->count--);
    if (last != n) {
        put(h, n->place, last);
        rise(h, last);
        sink(h, last);
    }
    n->place = 0;
}

heap_node *heap_pop_due(heap *h, int64_t now_ns)
{
    if (!h->count || h->nodes[0]->due_ns > now_ns)
        return NULL;
    heap_node *first = h->nodes[0];
    heap_remove(h, first);
    return first;
}

int64_t heap_next(const heap *h)
{
    return h->count ? h->nodes[0]->due_ns : INT64_MAX;
}
