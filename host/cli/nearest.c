/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/parse.h"

#include <limits.h>
#include <string.h>

enum { LONGEST = 31 };

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned cli_distance(const char *a, const char *b)
{
    unsigned table[LONGEST + 1][LONGEST + 1];
    size_t m = strlen(a), n = strlen(b);

    if (m > LONGEST || n > LONGEST)
        return UINT_MAX;
    for (size_t i = 0; i <= m; i++)
        table[i][0] = (unsigned)i;
    for (size_t j = 0; j <= n; j++)
        table[0][j] = (unsigned)j;
    for (size_t i = 1; i <= m; i++) {
        for (size_t j = 1; j <= n; j++) {
            unsigned replace = table[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

            table[i][j] = least(replace, least(table[i - 1][j], table[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                table[i][j] = least(table[i][j], table[i - 2][j - 2] + 1);
        }
    }
    return table[m][n];
}

bool cli_near(const char *typed, const char *word)
{
    size_t len = strlen(typed);

    /* The begin of a word counts from two letters on: `comp` for completion. */
    if (len >= 2 && strncmp(typed, word, len) == 0)
        return true;
    return cli_distance(typed, word) <= (len <= 2   ? 1
                                         : len <= 5 ? 2
                                                    : 3) &&
           cli_distance(typed, word) < len;
}
