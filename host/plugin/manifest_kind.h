/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/manifest_kind.h: the parts that manifest_parse is made of. Inside this room only.
 *
 * path is where the object stands in the document, for errors; "" for the document itself.
 */
#ifndef PLUGIN_MANIFEST_KIND_H
#define PLUGIN_MANIFEST_KIND_H

#include "base/json.h"
#include "plugin/manifest.h"

bool manifest_name_valid(slice name);

/* One entry of "kinds". */
berth_status manifest_read_kind(struct json_object *o, const char *path, manifest_kind *out,
                                manifest_list *warnings, berth_error *error);

/* A string of at most MANIFEST_MAX_TEXT bytes without zero bytes; *out is malloc'd, NULL if absent.
 */
berth_status manifest_text(struct json_object *o, const char *path, const char *key,
                           enum json_need need, char **out, berth_error *error);

/* An optional array of such strings, none of them empty or there twice. */
berth_status manifest_strings(struct json_object *o, const char *path, const char *key,
                              manifest_list *out, berth_error *error);

/* A warning for each key of o that is not in the list, with the known key it looks like. */
berth_status manifest_warn_unknown(struct json_object *o, const char *path,
                                   const char *const *known, manifest_list *warnings,
                                   berth_error *error);

#endif
