/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/minisign_lines.h: the text form that all files of minisign share. Inside this room only.
 */
#ifndef PLUGIN_MINISIGN_LINES_H
#define PLUGIN_MINISIGN_LINES_H

#include "base/buf.h"

#include <stdbool.h>

#define UNTRUSTED_PREFIX "untrusted comment: "
#define TRUSTED_PREFIX   "trusted comment: "

/* The next line without its end; false at the end of the text. */
bool line_next(slice *rest, slice *line);

/* What follows prefix, if line starts with it. */
bool line_after(slice line, const char *prefix, slice *tail);

/* Exactly len bytes of base64, without white space. Constant time for a given length. */
bool line_base64(slice line, void *out, size_t len);

#endif
