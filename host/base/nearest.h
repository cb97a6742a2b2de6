/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/nearest.h: what somebody who mistyped a word may have meant.
 *
 * Pure; any thread. For words of people: time grows with the product of the lengths.
 */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <stdbool.h>

#define NEAREST_MAX 255

/*
 * How many insertions, deletions, replacements and swaps of neighbours make b of a; UINT_MAX when
 * one of them is longer than NEAREST_MAX bytes.
 */
unsigned typing_distance(const char *a, const char *b);

/* Whether somebody who typed `typed` may have meant `word`: few typing errors for its length, or
 * the begin of it. */
bool may_mean(const char *typed, const char *word);

/* Of the names that may have been meant, the nearest; the first of equals; NULL when there is
 * none. names ends with NULL. */
const char *nearest_name(const char *typed, const char *const *names);

#endif
