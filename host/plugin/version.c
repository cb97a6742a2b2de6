/* SPDX-License-Identifier: Apache-2.0 */
/* Semantic versions (semver 2.0): which is valid, and which comes first. */
#include "plugin/manifest.h"

#include <string.h>

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

/* Skip a number without leading zeros; NULL if there is none. */
static const char *skip_number(const char *at)
{
    if (!digit(*at) || (*at == '0' && digit(at[1])))
        return NULL;
    while (digit(*at))
        at++;
    return at;
}

/* Skip dot-separated identifiers; numbers among them without leading zeros if strict. */
static const char *skip_identifiers(const char *at, bool strict)
{
    for (;; at++) {
        const char *start = at;
        bool number = true;

        while (digit(*at) || letter(*at)) {
            number = number && digit(*at);
            at++;
        }
        if (at == start || (strict && number && *start == '0' && at > start + 1))
            return NULL;
        if (*at != '.')
            return at;
    }
}

bool version_valid(const char *text)
{
    const char *at = text;

    for (int part = 0; part < 3; part++) {
        if (part > 0 && *at++ != '.')
            return false;
        at = skip_number(at);
        if (!at)
            return false;
    }
    if (*at == '-')
        at = skip_identifiers(at + 1, true);
    if (at && *at == '+')
        at = skip_identifiers(at + 1, false);
    return at && *at == 0;
}

/* Numbers of any length: more digits are more, as there are no leading zeros. */
static int compare_numbers(const char *a, size_t la, const char *b, size_t lb)
{
    if (la != lb)
        return la < lb ? -1 : 1;
    return memcmp(a, b, la);
}

static int compare_identifiers(const char *a, size_t la, const char *b, size_t lb)
{
    bool na = strspn(a, "0123456789") >= la, nb = strspn(b, "0123456789") >= lb;
    int order;

    if (na != nb) /* numbers come before words */
        return na ? -1 : 1;
    if (na)
        return compare_numbers(a, la, b, lb);
    order = memcmp(a, b, la < lb ? la : lb);
    return order ? order : (la > lb) - (la < lb);
}

int version_compare(const char *a, const char *b)
{
    for (int part = 0; part < 3; part++) {
        size_t la = strspn(a, "0123456789"), lb = strspn(b, "0123456789");
        int order = compare_numbers(a, la, b, lb);

        if (order)
            return order;
        a += la + (part < 2);
        b += lb + (part < 2);
    }
    if (*a != '-' || *b != '-') /* a pre-release comes before its release */
        return (*b == '-') - (*a == '-');
    do {
        size_t la = strcspn(++a, ".+"), lb = strcspn(++b, ".+");
        int order = compare_identifiers(a, la, b, lb);

        if (order)
            return order;
        a += la;
        b += lb;
    } while (*a == '.' && *b == '.');
    return (*a == '.') - (*b == '.');
}
