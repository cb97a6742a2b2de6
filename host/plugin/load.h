/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/load.h: the set of plugins itself, and the way of a file into it.
 *
 * copy into the store -> hash -> verify -> read facts and manifest -> scope, revocation, floor ->
 * admission -> names free -> open the stored copy -> table equals manifest -> init -> publish.
 *
 * All or nothing: a load that fails anywhere publishes no kind, leaves nothing open and nothing in
 * the store that was not there before. Up to "open" nothing of the plugin runs; a table that
 * differs from the manifest is found only after the constructors ran. Blocking; any thread but one
 * that runs a plugin's code; no lock is held while a plugin's code runs.
 *
 * What the answer means:
 * - NOT_FOUND, IO, PERMISSION, NO_SPACE: the file or the store cannot be read or written
 * - INVALID: not a file
 * - LIMIT: file too large
 * - BUSY: the file changed while it was copied
 * - SIGNATURE: malformed, of the legacy form, of another file, or by a key that is not trusted
 * - REFUSED, by policy: unsigned, a symbolic link, out of the key's scope, revoked, below the floor
 * - ADMISSION, by what the file is: no plugin, damaged, for another machine or ABI, a manifest that
 *   is not right, a rule of plugin/admit.h, undefined symbols, a table unlike the manifest
 * - UNSUPPORTED: it would need a process of its own
 * - EXISTS: another version of this plugin is loaded
 * - KIND_EXISTS: another plugin provides one of its kinds
 * - CORRUPT: the store's copy, or the table of floors, is damaged
 * - PLUGIN: its init failed
 */
#ifndef PLUGIN_LOAD_H
#define PLUGIN_LOAD_H

#include "plugin/plugins.h"
#include "plugin/policy.h"

typedef struct plugins_config {
    /* Plugins and floors lie in <state_dir>/plugins. NULL: plugins in a temporary directory that
     * goes with the set, floors in memory. The caller holds the lock of the state directory. */
    const char *state_dir;
    plugin_policy *policy;         /* a reference is taken */
    const berth_host *host;        /* what init gets; lives as long as the set */
    const char *const *extensions; /* ids that host->extension knows, NULL-terminated; copied */
    uint64_t max_file_bytes;       /* 0: 256 MiB */
    const char *helper; /* path of berth-examine; NULL: the one of plugin/examine.h. Copied */
} plugins_config;

berth_status plugins_new(const plugins_config *config, plugins **out, berth_error *error);

/* Retires everything. No other call may run, and no reference to a kind may be held: what still has
 * one stays in memory, and the log says so. */
void plugins_free(plugins *set);

/* For one who cannot free the set, because code of a plugin does not return: removes its temporary
 * directory. All else stays as it is. */
void plugins_give_up(plugins *set);

/* Who asks. */
typedef enum plugins_source {
    PLUGINS_OPERATOR, /* a person, now: may downgrade, if allow_downgrade says so */
    PLUGINS_CONFIG,   /* the configuration file */
    PLUGINS_WATCH,    /* the watched directory */
    PLUGINS_FETCH,    /* another host has it (plugin/travel.h): only what a key with fetch signed */
    PLUGINS_RESTART   /* the host's own record of what ran: no floor is asked or raised */
} plugins_source;

typedef struct plugins_load_options {
    plugins_source source;
    bool allow_downgrade;
    bool dry_run;         /* everything up to "names free"; nothing stays */
    const char *provides; /* a kind that it has to have, else REFUSED; NULL: any */
} plugins_load_options;

typedef struct plugins_loaded {
    uint8_t digest[DIGEST_BYTES];
    char name[MANIFEST_MAX_NAME + 1];
    char version[MANIFEST_MAX_NAME + 1];
    bool has_key;      /* signed by a trusted key */
    char key_name[64]; /* which; cut */
    bool already;      /* this very file was loaded before; nothing was done */
} plugins_loaded;

/* options NULL: an operator's plain load. out may be NULL. */
berth_status plugins_load(plugins *set, const char *path, const plugins_load_options *options,
                          plugins_loaded *out, berth_error *error);

/* A file that the store has: its content and its signature are checked as if it were new. */
berth_status plugins_load_digest(plugins *set, const uint8_t digest[DIGEST_BYTES],
                                 const plugins_load_options *options, plugins_loaded *out,
                                 berth_error *error);

/* For loads from now on; takes a reference. The log names loaded plugins that it revokes. */
void plugins_set_policy(plugins *set, plugin_policy *policy);

/* Each digest in the store, loaded or not. */
berth_status plugins_each_stored(plugins *set,
                                 bool (*fn)(void *ctx, const uint8_t digest[DIGEST_BYTES]),
                                 void *ctx, berth_error *error);

/* Remove a file from the store; BUSY while it is loaded. */
berth_status plugins_forget(plugins *set, const uint8_t digest[DIGEST_BYTES], berth_error *error);

/* The name of the plugin whose init runs on this very thread, or NULL: what may be called only in
 * init asks this. */
const char *plugins_initialising(void);

/*
 * Variables that make the dynamic loader run or find other code. Those that have acted on this
 * process already (LD_PRELOAD, LD_AUDIT, LD_LIBRARY_PATH) are REFUSED by name; all other LD_* are
 * removed from the environment. Before threads are started.
 */
berth_status plugins_environment_check(berth_error *error);

#endif
