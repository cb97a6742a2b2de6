/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/capability.h: the set of tags and metadata with which a node describes itself.
 *
 * Tags are unique strings in bytewise order, metadata are unique keys in bytewise order, so that
 * one set has one text. A zeroed struct is an empty set; capabilities_fini frees it. One thread at
 * a time; nothing blocks. Strings are copied in and borrowed out until the set changes.
 */
#ifndef MESH_CAPABILITY_H
#define MESH_CAPABILITY_H

#include "base/cursor.h"
#include "mesh/capability_tag.h"

struct json_object;

/* What a set can hold; a message of the largest size holds fewer. */
#define CAPABILITY_TAGS_MAX      2048
#define CAPABILITY_METADATA_MAX  1024
#define CAPABILITY_BLOB_HEAT_MAX 256

typedef struct capability_pair {
    slice key, value;
} capability_pair;

typedef struct capabilities {
    slice *tags;
    capability_pair *metadata;
    size_t tag_count, tag_cap, pair_count, pair_cap;
} capabilities;

void capabilities_fini(capabilities *set);
/* *to was empty; it stays so on failure. */
berth_status capabilities_copy(capabilities *to, const capabilities *from, berth_error *error);
bool capabilities_equal(const capabilities *a, const capabilities *b);

/* For the owner of the set: REFUSED for a tag with a reserved prefix, LIMIT for one over TAG_MAX.
 * Adding what is there succeeds. */
berth_status capabilities_add(capabilities *set, slice text, berth_error *error);
/* The same for those who may write reserved tags; of any length. */
berth_status capabilities_put(capabilities *set, slice text, berth_error *error);
berth_status capabilities_put_text(capabilities *set, berth_error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool capabilities_remove(capabilities *set, slice text);
/* All tags that begin so; how many went. */
size_t capabilities_remove_prefix(capabilities *set, const char *prefix);

/* Exactly this string; or one that means the same, whatever its separator. */
bool capabilities_has_exact(const capabilities *set, slice text);
bool capabilities_has(const capabilities *set, slice text);

/* Any key may be set locally. Replaces. */
berth_status capabilities_set(capabilities *set, slice key, slice value, berth_error *error);
/* Empty with ptr NULL when there is none. */
slice capabilities_get(const capabilities *set, slice key);

/* Keys that are hints for the node's own scheduling and are nobody's business elsewhere. How many
 * there were. */
size_t capabilities_strip_reserved(capabilities *set);

/* Heat of chains that the same set does not claim, and blob heat beyond the first
 * CAPABILITY_BLOB_HEAT_MAX, goes. How many went. */
size_t capabilities_strip_heat(capabilities *set);

/* {"tags":[...],"metadata":{...}}: the only text of this set. */
void capabilities_write(writer *w, const capabilities *set);
/* From its JSON object; members may be missing, unknown ones are passed over. *out was empty; it
 * stays so on failure. */
berth_status capabilities_read(capabilities *out, struct json_object *object, berth_error *error);

/* Canonical JSON string, quotes included. text is UTF-8. */
void capabilities_write_string(writer *w, slice text);

#endif
