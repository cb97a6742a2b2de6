/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/json.h: what json-c leaves open: a strict parser, getters whose errors name the key, and the
 * two forms of ours: bytes as "text" or "base64", 64-bit ids as 16 hex digits.
 *
 * Any thread, each json_object by one thread at a time. Ownership of objects is json-c's: the
 * caller of json_parse and json_bytes_new puts the result; getters return borrowed values.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"
#include "berth/status.h"

#include <json-c/json.h>
#include <stdbool.h>

#define JSON_MAX_DEPTH 32

/*
 * RFC 8259 and nothing else, in UTF-8: no trailing bytes, no key twice in an object (escapes
 * resolved), at most JSON_MAX_DEPTH containers deep and max_bytes long, no zero byte in a key, no
 * number that an int64, an uint64 or a finite double cannot hold. Errors give line and column.
 * BERTH_ERR_LIMIT for size and depth, BERTH_ERR_INVALID for the rest; *out is then NULL.
 */
berth_status json_parse(slice text, size_t max_bytes, struct json_object **out, berth_error *error);

/* The checks of json_parse alone; allocates only for keys. */
berth_status json_scan(slice text, size_t max_bytes, berth_error *error);

/*
 * Members of an object, by type. `path` says where the object stands ("kinds[2]"; "" or NULL for
 * the whole document) and only serves errors, e.g. "kinds[2].name: must be a string, not a number".
 * A missing or null member is an error when required; otherwise the function succeeds and *out
 * keeps what it had.
 */
enum json_need { JSON_OPTIONAL, JSON_REQUIRED };

berth_status json_get_object(struct json_object *object, const char *path, const char *key,
                             enum json_need need, struct json_object **out, berth_error *error);
berth_status json_get_array(struct json_object *object, const char *path, const char *key,
                            enum json_need need, struct json_object **out, berth_error *error);
/* An array whose elements are all strings. */
berth_status json_get_strings(struct json_object *object, const char *path, const char *key,
                              enum json_need need, struct json_object **out, berth_error *error);
/* Borrowed until the object goes; zero-terminated, but may contain zero bytes. */
berth_status json_get_string(struct json_object *object, const char *path, const char *key,
                             enum json_need need, slice *out, berth_error *error);
berth_status json_get_bool(struct json_object *object, const char *path, const char *key,
                           enum json_need need, bool *out, berth_error *error);
/* Integers only: 1.0 is refused. */
berth_status json_get_u64(struct json_object *object, const char *path, const char *key,
                          enum json_need need, uint64_t *out, berth_error *error);
berth_status json_get_i64(struct json_object *object, const char *path, const char *key,
                          enum json_need need, int64_t *out, berth_error *error);
/* 16 hex digits. */
berth_status json_get_id(struct json_object *object, const char *path, const char *key,
                         enum json_need need, uint64_t *out, berth_error *error);
/* Exactly n bytes as 2n hex digits. */
berth_status json_get_hex(struct json_object *object, const char *path, const char *key,
                          enum json_need need, void *out, size_t n, berth_error *error);

/* The bytes that the object itself holds as its member "text" or "base64" (exactly one of them).
 * On success *out has one reference; with JSON_OPTIONAL and neither member, *out is left alone. */
berth_status json_get_bytes(struct json_object *object, const char *path, enum json_need need,
                            buf **out, berth_error *error);

/* An unknown member, or NULL: the first key of object that is not in the NULL-terminated list. */
const char *json_unknown_key(struct json_object *object, const char *const *known);

/* Element i of an array of strings. */
slice json_string_at(struct json_object *array, size_t i);

/* Adding members; false when memory is short (or bytes exceed INT_MAX). json_put_bytes adds "text"
 * or "base64" to the object itself; json_bytes_new makes an object that holds nothing else. */
bool json_put_bytes(struct json_object *object, slice bytes);
struct json_object *json_bytes_new(slice bytes);
bool json_put_string(struct json_object *object, const char *key, slice text);
bool json_put_bool(struct json_object *object, const char *key, bool value);
bool json_put_u64(struct json_object *object, const char *key, uint64_t value);
bool json_put_i64(struct json_object *object, const char *key, int64_t value);
bool json_put_id(struct json_object *object, const char *key, uint64_t id);
bool json_put_hex(struct json_object *object, const char *key, slice bytes);
/* Takes over value, also on failure. */
bool json_put(struct json_object *object, const char *key, struct json_object *value);

#endif
