/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/target.h: a request target, taken apart: path segments and query parameters, each decoded
 * once.
 *
 * Pure; works in place on the caller's copy of the raw target.
 */
#ifndef API_TARGET_H
#define API_TARGET_H

#include "base/buf.h"
#include "berth/status.h"

#include <stdbool.h>

#define TARGET_SEGMENTS 8
#define TARGET_PARAMS   8

typedef struct target_param {
    const char *name, *value; /* value "" when there was no '=' */
} target_param;

/* All strings are zero-terminated and lie in the text given to target_parse. */
typedef struct target {
    const char *segments[TARGET_SEGMENTS];
    unsigned segment_count; /* TARGET_SEGMENTS + 1: deeper than any route */
    target_param params[TARGET_PARAMS];
    unsigned param_count;
} target;

/*
 * text is zero-terminated and is written to. Origin form ("/v1/x?y=z"), or absolute form for http.
 * A '+' is a plus. INVALID: neither form, a broken %-escape, a zero byte, an empty segment, a
 * parameter without a name or given twice. LIMIT: too many parameters.
 */
berth_status target_parse(char *text, target *out, berth_error *error);

/* The parameter's value, or NULL. */
const char *target_param_get(const target *t, const char *name);

#endif
