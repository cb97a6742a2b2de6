/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/plugin_file.h: reading plugin files without a host. Blocks; any thread.
 */
#ifndef CLI_PLUGIN_FILE_H
#define CLI_PLUGIN_FILE_H

#include "plugin/minisign.h"

/* The hash that minisign signs, and the size (may be NULL), of a regular file. */
berth_status plugin_file_hash(const char *path, uint8_t hash[MINISIGN_HASH_BYTES], uint64_t *size,
                              berth_error *error);

/* The signature beside it. *there is false, and the answer OK, when there is none. */
berth_status plugin_file_signature(const char *path, minisign_signature *out, bool *there,
                                   berth_error *error);

#endif
