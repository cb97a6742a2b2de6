/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/watch.h: when a file in the watched directory is ready to be loaded.
 *
 * A machine without I/O: it gets what a look at the directory found, and the time, and says what to
 * do. A file is loaded once it and its signature have not changed for WATCH_STABLE_NS. A file that
 * failed is left alone until it or its signature changes. A changed file that is loaded already is
 * reported as a new version, once, and never loaded over the old one. A file that disappears is
 * forgotten; whatever it brought stays loaded. One thread at a time.
 */
#ifndef PLUGIN_WATCH_H
#define PLUGIN_WATCH_H

#include "berth/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WATCH_STABLE_NS (300ll * 1000 * 1000)

typedef struct watch watch;

/* What tells one content of a name from another. All zero: not there. */
typedef struct watch_stamp {
    uint64_t device, inode, size;
    int64_t modified_ns;
} watch_stamp;

/* One file NAME.so of the directory. */
typedef struct watch_file {
    const char *name; /* without directory; borrowed for the call */
    watch_stamp file;
    watch_stamp signature; /* of NAME.so.minisig */
} watch_file;

typedef enum watch_action {
    WATCH_LOAD,       /* load it, then tell the outcome with watch_result */
    WATCH_NEW_VERSION /* tell people that it waits to be loaded in place of the old one */
} watch_action;

typedef void watch_fn(void *ctx, watch_action action, const char *name);

watch *watch_new(void);
void watch_free(watch *w);

/*
 * What the directory holds now; now_ns is of base/clock.h's monotonic clock. fn is called for each
 * file that something is to be done with; it may call watch_result, and nothing else of here.
 * need_signature: this host takes signed plugins only, so a file without one is not ready.
 * NO_MEMORY leaves the rest for the next look.
 */
berth_status watch_scan(watch *w, const watch_file *files, size_t count, bool need_signature,
                        int64_t now_ns, watch_fn *fn, void *ctx, berth_error *error);

typedef enum watch_outcome {
    WATCH_LOADED,
    WATCH_OTHER_VERSION, /* another version of the same plugin is loaded: counts as a new version */
    WATCH_FAILED,        /* wait until it changes */
    WATCH_AGAIN          /* busy or out of memory: after the same time again */
} watch_outcome;

void watch_result(watch *w, const char *name, watch_outcome outcome, int64_t now_ns);

/* When to look again though nothing was seen to change; INT64_MAX: no need. */
int64_t watch_next_ns(const watch *w);

#endif
