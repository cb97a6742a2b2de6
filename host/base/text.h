/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/text.h: bytes as text and back: UTF-8, hexadecimal, base64.
 *
 * Any thread. The hex and base64 functions take time that depends on lengths only, so they may be
 * used on keys.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/buf.h"

#include <stdbool.h>

/* No overlong forms, no surrogates, nothing above U+10FFFF. Zero bytes are allowed. */
bool utf8_valid(slice text);

/* Length of the well-formed character that text starts with; 0 if it starts with none. */
size_t utf8_length(slice text);

/* Lower-case digits and a terminating zero: out has room for 2 * bytes.len + 1. Returns out. */
char *hex_encode(char *out, slice bytes);

/* Exactly 2 * n digits of either case and nothing else; otherwise false and out is zeroed. */
bool hex_decode(void *out, size_t n, slice text);

/* A 64-bit id as people and JSON see it: 16 lower-case digits, most significant first. */
#define ID_TEXT 17
char *id_encode(char out[ID_TEXT], uint64_t id);

/* Exactly 16 digits of either case; otherwise false and *id is unchanged. */
bool id_decode(uint64_t *id, slice text);

/* Standard alphabet with padding, zero-terminated, malloc'd; NULL when memory is short. */
char *base64_encode(slice bytes);

/* Standard alphabet with padding, no white space; false when it is something else or memory is
 * short. On success *out is malloc'd (never NULL), *len its length. */
bool base64_decode(slice text, uint8_t **out, size_t *len);

#endif
