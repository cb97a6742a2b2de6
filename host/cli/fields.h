/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/fields.h: members of a host's answer, for showing. What is missing, or of another type, is
 * "" or 0: an older or newer host is shown as far as it is understood.
 */
#ifndef CLI_FIELDS_H
#define CLI_FIELDS_H

#include "base/json.h"
#include "cli/format.h"

const char *field_text(struct json_object *object, const char *key);
uint64_t field_u64(struct json_object *object, const char *key);
bool field_bool(struct json_object *object, const char *key);
/* NULL when there is none. */
struct json_object *field_object(struct json_object *object, const char *key);
struct json_object *field_array(struct json_object *object, const char *key);
size_t field_count(struct json_object *array);

/* "3m ago" of a time member; "" without one. */
char *field_ago(char out[FORMAT_MAX], struct json_object *object, const char *key);
/* "2026-11-21T12:42:51Z (3m ago)" of a time member. */
char *field_when(char out[FORMAT_MAX], struct json_object *object, const char *key);
/* Its strings, separated by blanks; free() it. */
char *field_joined(struct json_object *array);

#endif
