/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/manifest.h: what a plugin says about itself, read before any of its code can run.
 *
 * Pure: bytes in, struct out. docs/abi.md has the format for authors.
 */
#ifndef PLUGIN_MANIFEST_H
#define PLUGIN_MANIFEST_H

#include "base/cursor.h"
#include "berth/status.h"

#include <stdbool.h>

#define MANIFEST_MAX_BYTES (64 * 1024)
#define MANIFEST_MAX_KINDS 256
#define MANIFEST_MAX_NAME  127  /* bytes of a plugin's or kind's name */
#define MANIFEST_MAX_TEXT  1024 /* of any other string */
#define MANIFEST_MAX_LIST  64   /* items of a list */

typedef enum manifest_isolation {
    ISOLATION_ANY,
    ISOLATION_INLINE,
    ISOLATION_PROCESS
} manifest_isolation;
typedef enum manifest_durability {
    DURABILITY_ANY,
    DURABILITY_VOLATILE,
    DURABILITY_SNAPSHOT,
    DURABILITY_JOURNAL
} manifest_durability;
typedef enum manifest_config { CONFIG_NONE, CONFIG_TEXT, CONFIG_JSON } manifest_config;

/* A list of zero-terminated strings. */
typedef struct manifest_list {
    char **items;
    size_t count;
} manifest_list;

typedef struct manifest_kind {
    char *name;    /* a-z 0-9 - _ . , 1 to 127 bytes */
    char *summary; /* may be NULL */
    bool stateful;
    uint32_t state_writes;        /* version snapshot writes by itself */
    uint32_t state_writes_oldest; /* oldest it can be asked to write */
    uint32_t state_reads_oldest;  /* oldest create accepts */
    bool deterministic;
    bool fork_snapshot;
    manifest_config config;
    manifest_isolation isolation;
    manifest_durability durability;
    uint64_t memory_hint; /* bytes per daemon, 0: not said */
    manifest_list tags_required, tags_optional;
} manifest_kind;

typedef struct manifest {
    char *name;
    char *version;                 /* semver 2.0 */
    char *license;                 /* "" when not said */
    uint32_t abi_major, abi_minor; /* needed */
    char *runtime;                 /* "c", "c++", "rust", "go", ... */
    manifest_list needs_extensions, needs_privileges;
    manifest_kind *kinds;
    size_t kind_count;
    /* What is legal but probably a mistake, as unknown keys; for the author, not for the log. */
    manifest_list warnings;
} manifest;

/*
 * Parse and check all of it; an error names the key by its path, and what would be right. LIMIT for
 * size and counts, INVALID for the rest. *out is owned by the caller (manifest_free).
 */
berth_status manifest_parse(slice json, manifest **out, berth_error *error);
void manifest_free(manifest *m);

/* The kind of this name, or NULL. */
const manifest_kind *manifest_find(const manifest *m, slice name);

/* For the way between processes. What was encoded had been parsed; decoding checks no more than
 * that it cannot do harm, and answers BERTH_ERR_CORRUPT else. */
void manifest_encode(writer *w, const manifest *m);
berth_status manifest_decode(reader *r, manifest **out, berth_error *error);

/* Semver precedence: <0, 0, >0. Both must be valid (manifest_parse saw to it). */
int version_compare(const char *a, const char *b);
bool version_valid(const char *text);

#endif
