/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/source.h: the Berth-Source header: who sends, and the number of the first event. Pure.
 */
#ifndef API_SOURCE_H
#define API_SOURCE_H

#include "berth/status.h"

#include <stdbool.h>
#include <stdint.h>

#define SOURCE_ID_MAX 64

/* 1 to 64 of A-Z a-z 0-9 . _ - */
bool source_id_valid(const char *id);

/* "id/seq", seq from 1, decimal without leading zeros. INVALID with what would be right; id and
 * *seq are then untouched. */
berth_status source_parse(const char *text, char id[SOURCE_ID_MAX + 1], uint64_t *seq,
                          berth_error *error);

/* A decimal number and nothing else, without leading zeros, at most max. */
bool decimal_parse(const char *text, uint64_t max, uint64_t *out);

#endif
