/* SPDX-License-Identifier: Apache-2.0 */
/*
 * berth/node.h: a whole host, as `berth run` starts it: a runtime with its state directory,
 * plugins, keys, watched directory and API socket. Since 0.1.
 *
 * The node owns its threads. Functions may be called from any thread but a daemon's and a
 * callback's.
 */
#ifndef BERTH_NODE_H
#define BERTH_NODE_H

#include "berth/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct berth_node berth_node;

/* What the command line adds to, or sets instead of, the configuration file. NULL and 0: not said.
 */
typedef struct berth_node_options {
    uint32_t size;
    uint32_t threads;
    const char *config_file; /* NULL: the defaults, or $XDG_CONFIG_HOME and /etc as
                                docs/operators.md says */
    const char *state_dir;
    const char *socket;
    const char *const *plugins; /* files to load before the start */
    uint64_t plugin_count;
    bool ephemeral; /* no state directory: nothing survives */
    /* Told now and then, on the calling thread, how many stored daemons are back; may be NULL. */
    void (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *progress_ctx;
} berth_node_options;

/*
 * Read the configuration, open the state, load the plugins, bring back the daemons, open the
 * socket. When it returns OK the host is ready. Anything that fails leaves nothing behind. Blocks.
 */
BERTH_API berth_status berth_node_start(const berth_node_options *options, berth_node **out,
                                        berth_error *error);

/* The runtime inside; valid until berth_node_free. */
BERTH_API berth_runtime *berth_node_runtime(berth_node *node);

/* Where the socket is; "" when there is none. Valid until berth_node_free. */
BERTH_API const char *berth_node_socket(const berth_node *node);

/*
 * Read the configuration again: keys, policies, plugin directory and wanted daemons are taken, all
 * or, after a mistake, none; the log names what only a start takes. Looks at the plugin directory.
 */
BERTH_API berth_status berth_node_reload(berth_node *node, berth_error *error);

/* Drain, take final snapshots, stop. As berth_runtime_shutdown. */
BERTH_API berth_status berth_node_stop(berth_node *node, uint64_t grace_ms, berth_error *error);
BERTH_API void berth_node_free(berth_node *node);

#ifdef __cplusplus
}
#endif
#endif
