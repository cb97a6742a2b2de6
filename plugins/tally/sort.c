/* SPDX-License-Identifier: Apache-2.0 */
#include "sort.h"

#include <stdlib.h>
#include <string.h>

/* Whether a stands before b. */
typedef bool sort_before(const words *w, const sort_item *a, const sort_item *b);

static int compare_bytes(const words *w, const sort_item *a, const sort_item *b)
{
    word x = words_at(w, a->place), y = words_at(w, b->place);
    int order = memcmp(x.text, y.text, x.len < y.len ? x.len : y.len);

    return order ? order : (x.len > y.len) - (x.len < y.len);
}

/* key: the first 8 bytes, big-endian, zero-padded. */
static bool before_by_bytes(const words *w, const sort_item *a, const sort_item *b)
{
    return a->key != b->key ? a->key < b->key : compare_bytes(w, a, b) < 0;
}

/* key: the count. */
static bool before_by_count(const words *w, const sort_item *a, const sort_item *b)
{
    return a->key != b->key ? a->key > b->key : compare_bytes(w, a, b) < 0;
}

/* ---- A heap whose root is the item that stands last ---- */

static void sift_down(const words *w, sort_item *items, uint64_t n, uint64_t i, sort_before *before)
{
    sort_item moving = items[i];

    for (uint64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(w, &items[child], &items[child + 1]))
            child++;
        if (!before(w, &moving, &items[child]))
            break;
        items[i] = items[child];
    }
    items[i] = moving;
}

static void make_heap(const words *w, sort_item *items, uint64_t n, sort_before *before)
{
    for (uint64_t i = n / 2; i > 0; i--)
        sift_down(w, items, n, i - 1, before);
}

static void sort_heap(const words *w, sort_item *items, uint64_t n, sort_before *before)
{
    for (; n > 1; n--) {
        sort_item last = items[0];
        items[0] = items[n - 1];
        items[n - 1] = last;
        sift_down(w, items, n - 1, 0, before);
    }
}

/* ---- Quicksort, with the heap where the pivots turn out badly (introsort, Musser 1997) ---- */

static void sort_few(const words *w, sort_item *items, uint64_t n, sort_before *before)
{
    for (uint64_t i = 1; i < n; i++) {
        sort_item moving = items[i];
        uint64_t j = i;
        for (; j > 0 && before(w, &moving, &items[j - 1]); j--)
            items[j] = items[j - 1];
        items[j] = moving;
    }
}

static void sort_all(const words *w, sort_item *items, uint64_t n, unsigned depth,
                     sort_before *before)
{
    while (n > 16) {
        if (depth-- == 0) {
            make_heap(w, items, n, before);
            sort_heap(w, items, n, before);
            return;
        }
        sort_item three[3] = {items[0], items[n / 2], items[n - 1]};
        sort_few(w, three, 3, before);
        sort_item pivot = three[1];

        uint64_t i = 0, j = n - 1;
        for (;; i++, j--) {
            while (before(w, &items[i], &pivot))
                i++;
            while (before(w, &pivot, &items[j]))
                j--;
            if (i >= j)
                break;
            sort_item swapped = items[i];
            items[i] = items[j];
            items[j] = swapped;
        }
        /* The smaller side by recursion, so that the stack stays low. */
        if (i < n - i) {
            sort_all(w, items, i, depth, before);
            items += i;
            n -= i;
        } else {
            sort_all(w, items + i, n - i, depth, before);
            n = i;
        }
    }
    sort_few(w, items, n, before);
}

static unsigned depth_limit(uint64_t n)
{
    unsigned depth = 0;
    for (; n; n >>= 1)
        depth += 2;
    return depth;
}

sort_item *sort_by_bytes(const words *w)
{
    sort_item *items = w->distinct ? malloc(w->distinct * sizeof *items) : NULL;
    uint64_t n = 0;

    if (!items)
        return NULL;
    for (uint64_t place = words_first(w); place != WORDS_END; place = words_next(w, place)) {
        word found = words_at(w, place);
        uint64_t key = 0;
        for (unsigned i = 0; i < 8; i++)
            key = key << 8 | (i < found.len ? found.text[i] : 0);
        items[n++] = (sort_item){key, place};
    }
    sort_all(w, items, n, depth_limit(n), before_by_bytes);
    return items;
}

sort_item *sort_most_frequent(const words *w, uint64_t n, uint64_t *found)
{
    uint64_t cap = n < w->distinct ? n : w->distinct;
    sort_item *items = cap ? malloc(cap * sizeof *items) : NULL;
    uint64_t have = 0;

    *found = 0;
    if (!items)
        return NULL;
    for (uint64_t place = words_first(w); place != WORDS_END; place = words_next(w, place)) {
        sort_item item = {words_at(w, place).count, place};
        if (have < cap) {
            items[have++] = item;
            if (have == cap)
                make_heap(w, items, cap, before_by_count);
        } else if (before_by_count(w, &item, &items[0])) {
            items[0] = item;
            sift_down(w, items, cap, 0, before_by_count);
        }
    }
    sort_heap(w, items, cap, before_by_count);
    *found = cap;
    return items;
}
