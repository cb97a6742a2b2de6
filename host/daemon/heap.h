/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/heap.h: what is due next. A binary heap of nodes that know their place, so that any of
 * them can be taken out in O(log n). No clock, no lock: the owner brings both.
 */
#ifndef DAEMON_HEAP_H
#define DAEMON_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct heap_node {
    int64_t due_ns;
    size_t place; /* 1-based; 0: in no heap */
} heap_node;

typedef struct heap {
    heap_node **nodes;
    size_t count, cap;
} heap;

void heap_fini(heap *h);
/* False when memory is short. The node must be in no heap. */
bool heap_push(heap *h, heap_node *n);
/* Nothing if it is in no heap. */
void heap_remove(heap *h, heap_node *n);
/* The first if it is due at now, taken out; else NULL. */
heap_node *heap_pop_due(heap *h, int64_t now_ns);
/* When the first is due; INT64_MAX: never. */
int64_t heap_next(const heap *h);

#endif
