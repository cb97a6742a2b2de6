/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity/token_file.h: a permission token with the chain it belongs to, in a file, as `berth
 * token issue` writes it:
 *
 *     # leave for e7f162a10bec559a... to subscribe to sensors/lidar/front
 *     berth-token: 1
 *     channel: sensors/lidar/front
 *     chain: <base64>
 *
 * `channel` is for people and may be left out: a token holds the hash of the name, and whoever
 * shows the name holds it against that. Nothing in the file is secret. Blocking; any thread.
 */
#ifndef IDENTITY_TOKEN_FILE_H
#define IDENTITY_TOKEN_FILE_H

#include "identity/token.h"

#define TOKEN_FILE_MAX     4096
#define TOKEN_FILE_CHANNEL 256 /* the longest name and a zero */

typedef struct token_file {
    berth_token_chain chain;
    char channel[TOKEN_FILE_CHANNEL]; /* "": not said */
} token_file;

/* The text, malloc'd; NULL when memory is short. */
char *token_file_format(const token_file *f);
/* Decoded, not verified. */
berth_status token_file_parse(slice text, token_file *out, berth_error *error);

/* Never over an existing file (EXISTS); mode 0644. */
berth_status token_file_write(const char *path, const token_file *f, berth_error *error);
berth_status token_file_read(const char *path, token_file *out, berth_error *error);

#endif
