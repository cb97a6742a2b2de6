/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/set.h: what the set and its plugins are made of. Inside this room only.
 *
 * A plugin is referenced twice over. kind_refs counts who may run its code: at zero a retired
 * plugin is closed. memory_refs counts who looks at the struct: the list holds one until the plugin
 * is closed, and plugins_each one per plugin it visits.
 */
#ifndef PLUGIN_SET_H
#define PLUGIN_SET_H

#include "plugin/content_store.h"
#include "plugin/examine.h"
#include "plugin/floors.h"
#include "plugin/load.h"

#include "base/map.h"

#include <pthread.h>
#include <stdatomic.h>

typedef enum plugin_state {
    PLUGIN_LOADING, /* not in the list yet */
    PLUGIN_PUBLISHED,
    PLUGIN_RETIRED, /* no longer found by name; waits for its last reference */
    PLUGIN_CLOSING  /* a thread runs its deinit */
} plugin_state;

struct plugin {
    plugins *set;
    plugin *next;
    atomic_uint memory_refs, kind_refs;
    plugin_state state; /* under the set's lock */
    manifest *manifest;
    bool has_file;
    uint8_t digest[DIGEST_BYTES];
    char *key_name, *trusted_comment, *path;
    int64_t loaded_wall_ns;
    berth_plugin table;
    plugin_kind *kinds; /* as many as the manifest has, in its order */
    /* Of a file. */
    void *handle;
    char *stored_path;
    uintptr_t base;
    bool nodelete, unique;
};

/* What someone has reserved: nobody else may load the same meanwhile. Lives on their stack. */
typedef struct loading {
    bool has_digest; /* of a file */
    uint8_t digest[DIGEST_BYTES];
    const manifest *manifest; /* NULL: nothing but the digest */
    bool look_only;           /* see whether all is free, and change nothing */
    plugin_policy *policy;    /* what it was judged by; NULL: none was asked */
    struct loading *next;
} loading;

struct plugins {
    pthread_mutex_t lock;   /* over everything down to policy */
    pthread_cond_t changed; /* a load ended, a plugin was closed */
    strmap kinds;           /* published: name -> plugin_kind */
    plugin *list;           /* newest first */
    loading *loading;
    plugin_policy *policy;
    pthread_mutex_t floors_lock; /* over floors: held while its file is written */
    floors *floors;
    content_store *store;
    const berth_host *host;
    char *helper; /* or NULL: look for it each time */
    manifest_list extensions;
    const char **extension_ids;
};

/* A plugin around a manifest, which it takes over unless memory is short (NULL). */
plugin *plugin_new(plugins *set, manifest *m);
void plugin_unref(plugin *p);

/*
 * Wait until nobody loads or closes the same, then see whether name and kinds are free, and keep
 * them so until set_release. *already: the same file is published (again), nothing is reserved.
 */
berth_status set_reserve(plugins *set, loading *l, bool *already, berth_error *error);
void set_release(plugins *set, loading *l);

/* Reserve a digest alone, until set_release. False: it is loaded, or someone is at it. */
bool set_reserve_digest(plugins *set, loading *l);

/* All kinds of p, or none: NO_MEMORY, or BUSY when the set has another policy by now. The list has
 * a reference of its own. Ends the reservation if it could. */
berth_status set_publish(plugins *set, plugin *p, loading *l, berth_error *error);

/* plugins_load of a copy that is there already, which is taken over. */
berth_status load_file(plugins *set, content_file *file, const plugins_load_options *options,
                       plugins_loaded *out, berth_error *error);

/* Run init, and deinit. */
berth_status plugin_init(plugin *p, berth_error *error);
void plugin_deinit(plugin *p);

/* dlclose, and look whether the library left: if not, why_not says why. */
bool plugin_unmap(plugin *p, char *why_not, size_t cap);

/* deinit, unmap, leave the list. p was made CLOSING by the caller, who loses it. */
bool set_close(plugin *p, char *why_not, size_t cap);

/*
 * Check the plugin's table against its manifest and copy it. room: bytes that may be read at raw.
 * facts and base tell what belongs to the file, and which address its note has; NULL for a table
 * that is linked in. Fills p->table and p->kinds.
 */
berth_status plugin_take_table(plugin *p, const berth_plugin *raw, uint64_t room,
                               const elf_facts *facts, void *user, berth_error *error);

#endif
