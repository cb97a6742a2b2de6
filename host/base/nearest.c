/* SPDX-License-Identifier: Apache-2.0 */
#include "base/nearest.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned typing_distance(const char *a, const char *b)
{
    /* Of the table of all beginnings of a and b, the row that is being made and two before it. */
    unsigned rows[3][NEAREST_MAX + 1];
    unsigned *two = rows[0], *one = rows[1], *row = rows[2], *spare;
    size_t m = strnlen(a, NEAREST_MAX + 1), n = strnlen(b, NEAREST_MAX + 1);

    if (m > NEAREST_MAX || n > NEAREST_MAX)
        return UINT_MAX;
    for (size_t j = 0; j <= n; j++)
        one[j] = two[j] = (unsigned)j;
    for (size_t i = 1; i <= m; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= n; j++) {
            unsigned replace = one[j - 1] + (a[i - 1] != b[j - 1]);

            row[j] = least(replace, least(one[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], two[j - 2] + 1);
        }
        spare = two;
        two = one;
        one = row;
        row = spare;
    }
    return one[n];
}

bool may_mean(const char *typed, const char *word)
{
    size_t len = strlen(typed);
    unsigned distance, allowed = len <= 2 ? 1 : len <= 5 ? 2 : 3;

    /* The begin of a word counts from two letters on: `comp` for completion. */
    if (len >= 2 && strncmp(typed, word, len) == 0)
        return true;
    distance = typing_distance(typed, word);
    return distance <= allowed && distance < len;
}

const char *nearest_name(const char *typed, const char *const *names)
{
    const char *best = NULL;
    unsigned best_distance = 0;

    for (; *names; names++) {
        unsigned distance = typing_distance(typed, *names);

        if (may_mean(typed, *names) && (!best || distance < best_distance)) {
            best = *names;
            best_distance = distance;
        }
    }
    return best;
}
