/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/call_numbers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void call_numbers_fini(call_numbers *n)
{
    free(n->ranges);
    *n = (call_numbers){0};
}

bool call_numbers_reserve(call_numbers *n, size_t more)
{
    size_t cap = n->cap ? n->cap : 4;
    number_range *ranges;

    while (cap < n->count + more)
        cap *= 2;
    if (cap == n->cap)
        return true;
    ranges = realloc(n->ranges, cap * sizeof *ranges);
    if (!ranges)
        return false;
    n->ranges = ranges;
    n->cap = cap;
    return true;
}

/* The first range that ends at or behind number. */
static size_t find(const call_numbers *n, uint64_t number)
{
    size_t low = 0, high = n->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (n->ranges[middle].last < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool call_numbers_has(const call_numbers *n, uint64_t number)
{
    size_t at = find(n, number);

    return number < n->base || (at < n->count && n->ranges[at].first <= number);
}

static void remove_at(call_numbers *n, size_t at, size_t count)
{
    if (!count)
        return;
    n->count -= count;
    memmove(n->ranges + at, n->ranges + at + count, (n->count - at) * sizeof *n->ranges);
}

void call_numbers_add(call_numbers *n, uint64_t number)
{
    size_t at = find(n, number);
    bool before = at > 0 && n->ranges[at - 1].last == number - 1;
    bool behind = at < n->count && n->ranges[at].first == number + 1;

    if (call_numbers_has(n, number))
        return;
    if (number == n->base) {
        call_numbers_cut(n, number + 1);
    } else if (before && behind) {
        n->ranges[at - 1].last = n->ranges[at].last;
        remove_at(n, at, 1);
    } else if (before) {
        n->ranges[at - 1].last = number;
    } else if (behind) {
        n->ranges[at].first = number;
    } else {
        assert(n->count < n->cap);
        memmove(n->ranges + at + 1, n->ranges + at, (n->count - at) * sizeof *n->ranges);
        n->ranges[at] = (number_range){number, number};
        n->count++;
    }
}

void call_numbers_cut(call_numbers *n, uint64_t base)
{
    size_t gone;

    if (base <= n->base)
        return;
    n->base = base;
    gone = find(n, base);
    if (gone < n->count && n->ranges[gone].first <= base && n->ranges[gone].last < UINT64_MAX)
        n->base = n->ranges[gone++].last + 1;
    remove_at(n, 0, gone);
}
