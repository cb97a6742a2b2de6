/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/list.h: lists of strings, as manifest and facts hold them. Inside this room only.
 */
#ifndef PLUGIN_LIST_H
#define PLUGIN_LIST_H

#include "base/cursor.h"
#include "plugin/manifest.h"

/* A copy with a zero behind it; NULL when memory is short. */
char *text_dup(slice text);

/* Append a copy; false when memory is short. */
bool list_add(manifest_list *list, slice text);
bool list_has(const manifest_list *list, const char *text);
void list_free(manifest_list *list);

/* u32 count, then each as u32 length and bytes. Decoding refuses more than max_items, more than
 * max_bytes in one item, and zero bytes in an item. A list that failed to decode is to be freed. */
void list_encode(writer *w, const manifest_list *list);
bool list_decode(reader *r, manifest_list *out, size_t max_items, size_t max_bytes);

/* One string of the same form; NULL is told from "". */
void text_encode(writer *w, const char *text);
bool text_decode(reader *r, char **out, size_t max_bytes);

#endif
