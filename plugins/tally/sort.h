/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sort.h: putting words in order without touching the table they lie in.
 *
 * An item is a word's place with the number that decides most comparisons, so that sorting millions
 * of words rarely looks at the words themselves. No input makes it slower than n log n.
 */
#ifndef TALLY_SORT_H
#define TALLY_SORT_H

#include "words.h"

typedef struct sort_item {
    uint64_t key;
    uint64_t place;
} sort_item;

/* Every word, by its bytes. Items are the caller's to free; NULL when memory is short (or w is
 * empty: w->distinct tells). */
sort_item *sort_by_bytes(const words *w);

/* The n words seen most, the most frequent first, words of one count by their bytes. Memory grows
 * with min(n, distinct), *found. NULL as above. */
sort_item *sort_most_frequent(const words *w, uint64_t n, uint64_t *found);

#endif
