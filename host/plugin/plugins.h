/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/plugins.h: the set of loaded plugins and the table of kinds they provide.
 *
 * The way of a file into this table is plugin/load.h. Any thread may call. The set's lock is never
 * held while a plugin's code (constructors, init, deinit, destructors) runs.
 */
#ifndef PLUGIN_PLUGINS_H
#define PLUGIN_PLUGINS_H

#include "berth/abi.h"
#include "plugin/manifest.h"

typedef struct plugins plugins;
typedef struct plugin plugin;

#define DIGEST_BYTES 32

/*
 * A kind that daemons can be made of. Immutable. A reference to it keeps the plugin's code in
 * memory: factories, daemons, and calls in flight hold one each.
 */
typedef struct plugin_kind {
    plugin *owner; /* never NULL; a kind registered in-process has an owner without a file */
    const manifest_kind *facts; /* from the manifest */
    berth_kind table;           /* the plugin's table, copied full size, the rest zero */
    void *user;                 /* for kinds registered in-process; else NULL */
} plugin_kind;

/* Facts of one loaded plugin, for people. Strings live as long as the caller's reference. */
typedef struct plugin_info {
    const manifest *manifest;
    uint8_t digest[DIGEST_BYTES]; /* zero when there is no file */
    const char *key_name;         /* whose signature, or NULL: unsigned */
    const char *trusted_comment;  /* or NULL; shown, never believed */
    const char *path;             /* where the operator's file was; may be gone. NULL: in-process */
    int64_t loaded_wall_ns;
    unsigned kind_refs; /* references to its kinds: factories, daemons, calls */
    bool retired;       /* unpublished, waits for its last reference */
} plugin_info;

/* One reference to the kind published under this name, or NULL. */
plugin_kind *plugins_kind(plugins *set, slice name);
/* The same of one exact plugin copy, published or retired but still in memory; NULL if not loaded.
 */
plugin_kind *plugins_kind_of(plugins *set, const uint8_t digest[DIGEST_BYTES], slice name);
plugin_kind *plugin_kind_ref(plugin_kind *kind);
/* Dropping the last reference of a retired plugin unloads it on this very thread: never call it
 * under a lock, nor from a thread that still has to return into the plugin. */
void plugin_kind_unref(plugin_kind *kind);

/*
 * A reference that lets its owner look at the kind, its facts and its plugin's info, but not run
 * its code: it does not keep the library in memory, nor an unload waiting.
 */
plugin_kind *plugin_kind_ref_facts(plugin_kind *kind);
void plugin_kind_unref_facts(plugin_kind *kind);

void plugin_kind_info(const plugin_kind *kind, plugin_info *out);

/*
 * Provide kinds that are linked into the process, without file, signature or manifest note; all or
 * none. table and json live as long as the set. user is handed back in plugin_kind.user.
 */
berth_status plugins_add_static(plugins *set, const berth_plugin *table, slice manifest_json,
                                void *user, berth_error *error);

/*
 * The one kind of a table that no name leads to: for a daemon whose embedder brings its code along.
 * *out has one reference; when the last one goes, deinit runs and the copy is freed.
 */
berth_status plugins_detached_kind(plugins *set, const berth_plugin *table, slice manifest_json,
                                   plugin_kind **out, berth_error *error);

/* Called for each plugin in the set (retired ones last); info lives during the call. No lock is
 * held. */
void plugins_each(plugins *set, void (*fn)(void *ctx, const plugin_info *info), void *ctx);

/*
 * Unpublish every kind of the named plugin. BUSY, naming how many, while there are references,
 * unless defer: then it leaves the table now and memory when the last one is dropped. *gone tells
 * whether the library really left the address space; if not, why_not says what holds it (at least
 * 128 bytes).
 */
berth_status plugins_retire(plugins *set, slice name, bool defer, bool *gone, char *why_not,
                            size_t why_not_cap, berth_error *error);

#endif
