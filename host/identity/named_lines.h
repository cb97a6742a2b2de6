/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity/named_lines.h: small text files of lines `name: value`. Empty lines and those that start
 * with '#' do not count; the first that does is `<what>: <version>`.
 *
 * Pure. Any thread.
 */
#ifndef IDENTITY_NAMED_LINES_H
#define IDENTITY_NAMED_LINES_H

#include "base/buf.h"
#include "berth/status.h"

#include <stdbool.h>

typedef struct named_lines {
    slice rest;
    size_t number;    /* of the line that named_lines_next found */
    bool headed;      /* the first line was there */
    const char *what; /* what the file is, e.g. "berth-token" */
} named_lines;

/* Whose only version is 1. */
named_lines named_lines_of(slice text, const char *what);

/*
 * The next line, without white space around its parts. OK with *more false at the end; INVALID or
 * VERSION, with the number of the line in the text, for what is no such file.
 */
berth_status named_lines_next(named_lines *l, slice *name, slice *value, bool *more,
                              berth_error *error);

/* "line 3: <text>", for what a caller finds wrong with the values of that line. */
berth_status named_lines_wrong(const named_lines *l, const char *text, berth_error *error);

/*
 * The value of that line, named in the error, but never quoted there: it may be a secret. INVALID
 * when it is something else; out is then unspecified. Base64 is of at most max bytes and malloc'd.
 */
berth_status named_lines_base64(const named_lines *l, const char *name, slice value, size_t max,
                                uint8_t **out, size_t *len, berth_error *error);
berth_status named_lines_hex(const named_lines *l, const char *name, slice value, void *out,
                             size_t n, berth_error *error);
berth_status named_lines_u64(const named_lines *l, const char *name, slice value, uint64_t *out,
                             berth_error *error);
/* Marks a name as seen; INVALID when it was before. */
berth_status named_lines_once(const named_lines *l, bool *seen, const char *name,
                              berth_error *error);

/* What a text says it is, for one who takes several: its first name, or nothing. */
slice named_lines_what(slice text);

#endif
