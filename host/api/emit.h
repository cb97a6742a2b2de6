/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/emit.h: writing JSON straight into a writer: answers, and the lines of the hot streams.
 *
 * Pure. Commas come by themselves: emit_key and the elements of an array put one unless they are
 * first. A failed allocation makes the writer failed; the one who takes the bytes asks.
 */
#ifndef API_EMIT_H
#define API_EMIT_H

#include "base/cursor.h"

/* Room for n more bytes; false and failed when there is none. */
bool emit_room(writer *w, size_t n);
void emit_text(writer *w, const char *text); /* as it stands */

/* "name": after { or another member. */
void emit_key(writer *w, const char *name);
/* A comma, unless an array has just begun. */
void emit_next(writer *w);

/* Values. A string's bytes that are no UTF-8 become U+FFFD. NULL is null. */
void emit_string(writer *w, slice text);
void emit_cstring(writer *w, const char *text);
void emit_u64(writer *w, uint64_t value);
void emit_bool(writer *w, bool value);
void emit_id(writer *w, uint64_t id);       /* "16 digits" */
void emit_hex(writer *w, slice bytes);      /* "..." */
void emit_bytes(writer *w, slice bytes);    /* {"text":...} or {"base64":...} */
void emit_time(writer *w, int64_t wall_ns); /* "2026-01-31T12:00:00.123456789Z" */

/* Members: key and value. */
void emit_member_string(writer *w, const char *name, const char *text);
void emit_member_u64(writer *w, const char *name, uint64_t value);
void emit_member_bool(writer *w, const char *name, bool value);
void emit_member_id(writer *w, const char *name, uint64_t id);
void emit_member_hex(writer *w, const char *name, slice bytes);
void emit_member_time(writer *w, const char *name, int64_t wall_ns);

#endif
