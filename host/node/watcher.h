/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node/watcher.h: the watched plugin directory: a thread that looks when the kernel says that
 * something changed (and every few seconds, should it not), and loads what plugin/watch.h finds
 * ready.
 *
 * What was loaded or refused is logged; removing a file unloads nothing. A directory that others
 * could write to is left alone until that is mended.
 */
#ifndef NODE_WATCHER_H
#define NODE_WATCHER_H

#include "plugin/load.h"

typedef struct watcher watcher;

typedef struct watcher_config {
    const char *dir; /* copied */
    plugins *set;    /* borrowed */
    bool need_signature;
    /* Called on the watcher's thread after a look that loaded something. May be NULL. */
    void (*loaded)(void *ctx);
    void *ctx;
} watcher_config;

/* Whether a directory could be watched: as watcher_open says, but nothing is loaded. */
berth_status watcher_check(const char *dir, berth_error *error);

/*
 * Look once, and load what is ready: files that have not changed for a second count as ready. No
 * thread runs yet. NOT_FOUND, PERMISSION or INVALID, with the cure, when the directory cannot be
 * used; a plugin that is refused is no error. Blocks.
 */
berth_status watcher_open(const watcher_config *config, watcher **out, berth_error *error);

/* From now on look by itself, on a thread of its own. */
berth_status watcher_run(watcher *w, berth_error *error);

/* Look at everything again, also at what failed before, and return when that is done. Any thread
 * but the watcher's. */
void watcher_again(watcher *w, bool need_signature);

/* Ends the thread. NULL is allowed. */
void watcher_close(watcher *w);

#endif
