/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/format.h: numbers and times as people read them.
 *
 * Pure; each writes into a buffer of FORMAT_MAX bytes and returns it.
 */
#ifndef CLI_FORMAT_H
#define CLI_FORMAT_H

#include "base/buf.h"

#include <stdbool.h>

enum { FORMAT_MAX = 64 };

/* 999 B, 1.0 KB, 12.3 MB: decimal units, as disks and networks count. */
char *format_bytes(char out[FORMAT_MAX], uint64_t bytes);
/* 1234567 -> 1,234,567 */
char *format_count(char out[FORMAT_MAX], uint64_t count);
/* 850ms, 12s, 3m 5s, 2h 7m, 4d 3h */
char *format_duration(char out[FORMAT_MAX], int64_t ns);
/* 312us, 1.25ms, 31.2ms, 2.1s: how far away something is. */
char *format_rtt(char out[FORMAT_MAX], uint64_t ns);
/* 0%, 0.02%, 12.5%; of nothing: 0% */
char *format_share(char out[FORMAT_MAX], uint64_t part, uint64_t whole);
/* "3m ago"; "in 2h" for what is yet to come; "now" below a second. */
char *format_ago(char out[FORMAT_MAX], int64_t then_ns, int64_t now_ns);

/* An RFC 3339 time in UTC or with an offset -> nanoseconds since the epoch. */
bool format_parse_time(const char *text, int64_t *ns);

/* "45s", "15m", "12h", "30d"; false on anything else. */
bool format_parse_span(const char *text, uint64_t *seconds);

/* "500ms", "30s", "5m", "1h": above 0, at most so long; in milliseconds. */
bool format_parse_wait(const char *text, uint64_t most_ms, uint64_t *ms);

/* Columns that valid UTF-8 takes on a terminal; other bytes count one each. */
size_t format_width(const char *text);

#endif
