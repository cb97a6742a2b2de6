/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/error.h: raising an error with one line of explanation.
 *
 * Everyone may call it. A berth_error pointer may be NULL where the caller wants the code only.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "berth/status.h"

#include <stddef.h>

/*
 * Write code and a formatted line into *error (cut at BERTH_ERROR_TEXT, control bytes escaped so
 * that hostile names cannot forge log lines) and return code, so that a function may end with
 * `return fail(error, BERTH_ERR_X, "plugin '%s': ...", ...)`.
 */
berth_status fail(berth_error *error, berth_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Put "<formatted prefix>: " before the text that *error already holds; returns its code. */
berth_status fail_prefix(berth_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Map errno to a status and explain it: "<what>: <strerror>". ENOSPC and EDQUOT become NO_SPACE,
 * ENOENT NOT_FOUND, EACCES and EPERM PERMISSION, ENOMEM NO_MEMORY, EEXIST EXISTS; the rest IO. */
berth_status fail_errno(berth_error *error, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Copy text into out (cap bytes, always terminated), control bytes and DEL as \xNN. */
void text_escape(char *out, size_t cap, const char *text, size_t len);

#endif
