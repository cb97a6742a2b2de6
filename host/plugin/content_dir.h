/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/content_dir.h: the directory that a content store lives in. Inside this room only.
 */
#ifndef PLUGIN_CONTENT_DIR_H
#define PLUGIN_CONTENT_DIR_H

#include "berth/status.h"

#include <limits.h>

/* How names of unfinished copies start. */
#define CONTENT_TEMPORARY ".load-"

/* Make or check it, remove leftovers, and give its absolute path. */
berth_status content_dir_open(const char *dir, char out[PATH_MAX], berth_error *error);

#endif
