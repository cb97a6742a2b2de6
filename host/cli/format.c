/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/format.h"

#include "cli/parse.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#define SECOND_NS 1000000000LL

char *format_bytes(char out[FORMAT_MAX], uint64_t bytes)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;

    /* 999.95 would be shown as 1000.0. */
    while (value >= 999.95 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1000;
        unit++;
    }
    snprintf(out, FORMAT_MAX, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return out;
}

char *format_count(char out[FORMAT_MAX], uint64_t count)
{
    char digits[24];
    size_t n = (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)count), at = 0;

    for (size_t i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = 0;
    return out;
}

char *format_duration(char out[FORMAT_MAX], int64_t ns)
{
    long long s = ns / SECOND_NS;

    if (ns < SECOND_NS)
        snprintf(out, FORMAT_MAX, "%lldms", (long long)(ns < 0 ? 0 : ns / 1000000));
    else if (s < 60)
        snprintf(out, FORMAT_MAX, "%llds", s);
    else if (s < 3600)
        snprintf(out, FORMAT_MAX, "%lldm %llds", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, FORMAT_MAX, "%lldh %lldm", s / 3600, s / 60 % 60);
    else
        snprintf(out, FORMAT_MAX, "%lldd %lldh", s / 86400, s / 3600 % 24);
    return out;
}

char *format_rtt(char out[FORMAT_MAX], uint64_t ns)
{
    if (ns < 1000000)
        snprintf(out, FORMAT_MAX, "%lluus", (unsigned long long)(ns / 1000));
    else if (ns < SECOND_NS)
        snprintf(out, FORMAT_MAX, ns < 10000000 ? "%.2fms" : "%.1fms", (double)ns / 1e6);
    else
        snprintf(out, FORMAT_MAX, "%.1fs", (double)ns / 1e9);
    return out;
}

char *format_share(char out[FORMAT_MAX], uint64_t part, uint64_t whole)
{
    double percent = whole ? 100.0 * (double)part / (double)whole : 0;

    if (!part || !whole)
        snprintf(out, FORMAT_MAX, "0%%");
    else
        snprintf(out, FORMAT_MAX, percent < 1 ? "%.2f%%" : "%.1f%%", percent);
    return out;
}

char *format_ago(char out[FORMAT_MAX], int64_t then_ns, int64_t now_ns)
{
    long long s = (now_ns - then_ns) / SECOND_NS, n = s < 0 ? -s : s;
    char unit = 's';

    if (n >= 86400)
        n /= 86400, unit = 'd';
    else if (n >= 3600)
        n /= 3600, unit = 'h';
    else if (n >= 60)
        n /= 60, unit = 'm';
    if (n == 0)
        snprintf(out, FORMAT_MAX, "now");
    else
        snprintf(out, FORMAT_MAX, s < 0 ? "in %lld%c" : "%lld%c ago", n, unit);
    return out;
}

bool format_parse_time(const char *text, int64_t *ns)
{
    struct tm tm = {0};
    long long fraction = 0, unit = SECOND_NS / 10;
    int used = 0, hours = 0, minutes = 0;
    char sign[2] = "";

    if (sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
               &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 6 ||
        tm.tm_year < 1970 || tm.tm_year > 2261)
        return false;
    text += used;
    if (*text == '.') {
        for (text++; *text >= '0' && *text <= '9'; text++, unit /= 10)
            fraction += unit * (*text - '0');
    }
    if (strcmp(text, "Z") != 0 && strcmp(text, "z") != 0 &&
        (sscanf(text, "%1[+-]%2d:%2d", sign, &hours, &minutes) != 3 || strlen(text) != 6))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *ns = ((int64_t)timegm(&tm) - (sign[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60)) *
              SECOND_NS +
          fraction;
    return true;
}

bool format_parse_span(const char *text, uint64_t *seconds)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    size_t len = strlen(text);
    char digits[24];
    uint64_t n;

    if (len < 2 || len > sizeof digits)
        return false;
    memcpy(digits, text, len - 1);
    digits[len - 1] = 0;
    if (!cli_parse_number(digits, &n))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (text[len - 1] == units[i].unit && n <= UINT64_MAX / units[i].seconds) {
            *seconds = n * units[i].seconds;
            return true;
        }
    return false;
}

/* The character that text starts with; len bytes long, as utf8_length has found. */
static wchar_t decode(const unsigned char *p, size_t len)
{
    static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned value = p[0] & first[len];

    for (size_t i = 1; i < len; i++)
        value = value << 6 | (p[i] & 0x3f);
    return (wchar_t)value;
}

size_t format_width(const char *text)
{
    slice rest = slice_str(text);
    size_t width = 0;

    while (rest.len) {
        size_t n = utf8_length(rest);
        int columns = n ? wcwidth(decode(rest.ptr, n)) : 1;

        width += columns > 0 ? (size_t)columns : 0;
        rest = slice_of(rest.ptr + (n ? n : 1), rest.len - (n ? n : 1));
    }
    return width;
}

bool format_parse_wait(const char *text, uint64_t most_ms, uint64_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    char digits[16] = "";
    size_t len = strspn(text, "0123456789");
    uint64_t n;

    if (len >= sizeof digits)
        return false;
    memcpy(digits, text, len);
    if (!cli_parse_number(digits, &n))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(text + len, units[i].unit) != 0)
            continue;
        *ms = n <= most_ms ? n * units[i].ms : 0;
        return *ms >= 1 && *ms <= most_ms;
    }
    return false;
}
