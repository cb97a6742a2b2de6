/* SPDX-License-Identifier: Apache-2.0 */
#include "berth/node.h"

#include "api/api.h"
#include "api/socket.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/paths.h"
#include "node/config.h"
#include "node/keeper.h"
#include "node/load.h"
#include "node/mesh_part.h"
#include "node/migration_part.h"
#include "node/node_private.h"
#include "node/policy.h"
#include "node/state.h"
#include "node/watcher.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define API_GRACE_MS  2000 /* for answers that are under way when the host stops */
#define MESH_GRACE_MS 2000 /* for what daemons sent last to arrive elsewhere */
#define FREE_GRACE_MS 5000
#define PROGRESS_NS   2000000000ll

/* Parts are made from top to bottom and taken down from bottom to top; NULL: not made. */
struct berth_node {
    char *config_file;       /* as the caller named it; NULL: look in the usual places */
    config *started;         /* what it was started with, all but the daemons */
    berth_node_options said; /* of that, what the command line said; points into started */
    char *plugin_dir;        /* that is watched, or NULL */
    char *socket;
    char name[128];
    node_state state;
    plugins *plugins;
    mesh_part *mesh;                /* NULL: alone. Outlives the runtime, which calls its route */
    migrations *moves;              /* NULL: alone */
    migration_observers *observers; /* the same */
    runtime *rt;
    bool stuck; /* a daemon did not come back: the runtime cannot be taken down */
    keeper *keeper;
    watcher *watcher;
    api *api;
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* or NULL */
    void *progress_ctx;
    pthread_mutex_t lock; /* one reload at a time, none from a stop on */
    bool stopping;
};

static berth_runtime *runtime_inside(const berth_node *n)
{
    return (berth_runtime *)n->rt;
}

/* ---- Configuration -----------------------------------------------------------------------------
 */

/* The file, or nothing said when nobody named one and there is none in the usual places. */
static berth_status read_config(const char *named, config **out, berth_error *error)
{
    char usual[PATHS_MAX];
    bool found = false;

    *out = NULL;
    if (named)
        return config_read(named, out, error);
    if (paths_config_file(usual, sizeof usual, &found, NULL) == BERTH_OK && found)
        return config_read(usual, out, error);
    *out = config_new();
    return *out ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

static berth_status take_names(berth_node *n, const config *c, berth_error *error)
{
    char socket[PATHS_MAX];
    berth_status status = BERTH_OK;

    if (c->name)
        snprintf(n->name, sizeof n->name, "%s", c->name);
    else if (gethostname(n->name, sizeof n->name - 1) != 0)
        snprintf(n->name, sizeof n->name, "berth");
    if (!c->socket)
        status = paths_socket(socket, sizeof socket, error);
    if (status != BERTH_OK)
        return status;
    n->socket = strdup(c->socket ? c->socket : socket);
    n->plugin_dir = c->plugin_dir ? strdup(c->plugin_dir) : NULL;
    if (!n->socket || (c->plugin_dir && !n->plugin_dir))
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    return BERTH_OK;
}

/* ---- Plugins -----------------------------------------------------------------------------------
 */

static void plugin_loaded(void *ctx)
{
    berth_node *n = ctx;
    berth_error error = {0};

    if (!n->keeper)
        return; /* still starting: both come later */
    mesh_part_facts_changed(n->mesh);
    /* The stored ones first: one of them may be what the configuration wants. */
    if (runtime_resume_down(n->rt, &error))
        log_error("node", "%s", error.text);
    keeper_start_missing(n->keeper);
}

static berth_status open_watcher(berth_node *n, const char *dir, const plugin_policy *policy,
                                 watcher **out, berth_error *error)
{
    watcher_config watched = {.dir = dir,
                              .set = n->plugins,
                              .need_signature = !policy_allows_unsigned(policy),
                              .loaded = plugin_loaded,
                              .ctx = n};

    return watcher_open(&watched, out, error);
}

static berth_status open_plugins(berth_node *n, const config *c, berth_error *error)
{
    plugins_config settings = {.state_dir = n->state.dir, .host = runtime_host_table()};
    berth_status status = node_policy(c, &settings.policy, error);

    if (status == BERTH_OK)
        status = plugins_new(&settings, &n->plugins, error);
    if (status == BERTH_OK)
        status = load_recorded(n->plugins, n->state.store, error);
    if (status == BERTH_OK)
        status = load_named(n->plugins, c, error);
    if (status == BERTH_OK && n->plugin_dir)
        status = open_watcher(n, n->plugin_dir, settings.policy, &n->watcher, error);
    policy_unref(settings.policy);
    return status;
}

/* ---- Daemons -----------------------------------------------------------------------------------
 */

typedef struct resume_progress {
    int64_t logged_ns;
    uint64_t total;
    const berth_node *node;
} resume_progress;

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
    resume_progress *p = ctx;
    int64_t now = clock_mono_ns();

    p->total = total;
    if (p->node->progress) {
        p->node->progress(p->node->progress_ctx, done, total);
        return;
    }
    if (done < total && now - p->logged_ns >= PROGRESS_NS) {
        log_info("node", "bringing back daemons: %llu of %llu", (unsigned long long)done,
                 (unsigned long long)total);
        p->logged_ns = now;
    }
}

static void count_down(void *ctx, const store_daemon *row, const char *reason)
{
    (void)row;
    (void)reason;
    ++*(uint64_t *)ctx;
}

static bool count_unclean(void *ctx, const store_daemon *row)
{
    *(uint64_t *)ctx += row->desired == STORE_RUN && !row->clean;
    return true;
}

/* Whoever reads the log has to learn that something was lost, and that it is not known what. */
static void tell_unclean(const berth_node *n)
{
    uint64_t count = 0;

    store_each_daemon(n->state.store, count_unclean, &count, NULL);
    if (count)
        log_warn("node",
                 "the host before this one did not end cleanly: %llu daemon%s back as of the last "
                 "snapshot; what came after it is lost",
                 (unsigned long long)count, count == 1 ? " comes" : "s come");
}

static berth_status start_runtime(berth_node *n, config *c, berth_error *error)
{
    runtime_parts parts = {.config = &c->limits,
                           .plugins = n->plugins,
                           .store = n->state.store,
                           .host_key = n->state.host_key,
                           .node_id = n->state.identity.node_id,
                           .route = mesh_part_route(n->mesh)};
    resume_progress progress = {.logged_ns = clock_mono_ns(), .node = n};
    uint64_t down = 0;
    berth_status status = runtime_new(&parts, &n->rt, error);

    if (status == BERTH_OK)
        status = berth_runtime_start(runtime_inside(n), error);
    if (status == BERTH_OK && n->state.store) {
        tell_unclean(n);
        status = runtime_resume(n->rt, on_progress, &progress, error);
    }
    if (status == BERTH_OK)
        status = mesh_part_start(n->mesh, n->rt, error);
    if (status == BERTH_OK && !(n->keeper = keeper_new(n->rt)))
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (status == BERTH_OK && n->moves)
        status = migrations_start(n->moves, n->rt, error);
    if (status == BERTH_OK && n->moves) {
        n->observers = migration_observers_new(n->moves, n->rt);
        if (!n->observers)
            status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    if (status != BERTH_OK)
        return status;
    runtime_down_each(n->rt, count_down, &down);
    if (progress.total)
        log_info("node", "brought back %llu of %llu daemons",
                 (unsigned long long)(progress.total - down), (unsigned long long)progress.total);
    status = keeper_want(n->keeper, c, error);
    if (status == BERTH_OK)
        keeper_start_missing(n->keeper);
    return status;
}

/* ---- What the API asks of us -------------------------------------------------------------------
 */

static berth_status api_load(void *ctx, const char *path, bool allow_downgrade, api_loaded *out,
                             berth_error *error)
{
    berth_node *n = ctx;
    plugins_load_options options = {.source = PLUGINS_OPERATOR, .allow_downgrade = allow_downgrade};
    plugins_loaded loaded = {0};
    berth_status status = plugins_load(n->plugins, path, &options, &loaded, error);

    if (status != BERTH_OK)
        return status;
    snprintf(out->name, sizeof out->name, "%s", loaded.name);
    memcpy(out->digest, loaded.digest, sizeof out->digest);
    out->already = loaded.already;
    plugin_loaded(n);
    return BERTH_OK;
}

static void api_unloaded(void *ctx)
{
    berth_node *n = ctx;

    mesh_part_facts_changed(n->mesh);
}

static berth_status api_reload(void *ctx, berth_error *error)
{
    return berth_node_reload(ctx, error);
}

static berth_status start_api(berth_node *n, const config *c, berth_error *error)
{
    api_config settings = {.socket = n->socket,
                           .rt = n->rt,
                           .store = n->state.store,
                           .mesh = mesh_part_mesh(n->mesh),
                           .moves = n->moves,
                           .name = n->name,
                           .state_dir = n->state.dir,
                           .node_id = n->state.identity.node_id,
                           .started_wall_ns = clock_wall_ns(),
                           .started_mono_ns = clock_mono_ns(),
                           .ctx = n,
                           .load = api_load,
                           .unloaded = api_unloaded,
                           .reload = api_reload,
                           .max_event = c->limits.max_event,
                           .max_state = c->limits.max_state,
                           .mailbox_events = c->limits.mailbox_events,
                           .mailbox_bytes = c->limits.mailbox_bytes};

    return api_start(&settings, &n->api, error);
}

/* Nothing is made on disk for a host that cannot be. Where it has been made already, opening it
 * tells more: the process that has it. */
static bool state_is_there(const config *c)
{
    char usual[PATHS_MAX];
    const char *dir = c->state_dir;

    if (!dir && paths_state_dir(usual, sizeof usual, NULL) == BERTH_OK)
        dir = usual;
    return c->ephemeral || !dir || access(dir, F_OK) == 0;
}

/* ---- Life --------------------------------------------------------------------------------------
 */

berth_status berth_node_start(const berth_node_options *options, berth_node **out,
                              berth_error *error)
{
    berth_error unread = {0};
    berth_node_options said = {.size = sizeof said};
    berth_node *n = calloc(1, sizeof *n);
    config *c = NULL;
    berth_status status;

    *out = NULL;
    if (!error)
        error = &unread;
    if (!n)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    pthread_mutex_init(&n->lock, NULL);
    if (options)
        memcpy(&said, options, options->size < sizeof said ? options->size : sizeof said);
    n->progress = said.progress;
    n->progress_ctx = said.progress_ctx;

    status = plugins_environment_check(error);
    if (status == BERTH_OK)
        status = read_config(said.config_file, &c, error);
    if (status == BERTH_OK) {
        n->started = c;
        status = config_override(c, &said, error);
    }
    if (status == BERTH_OK && said.config_file &&
        !(n->config_file = realpath(said.config_file, NULL)))
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (status == BERTH_OK)
        status = take_names(n, c, error);
    if (status == BERTH_OK && !state_is_there(c))
        status = listener_check(n->socket, error);
    if (status == BERTH_OK)
        status = state_open(c, &n->state, error);
    if (status == BERTH_OK)
        status = open_plugins(n, c, error);
    if (status == BERTH_OK)
        status = mesh_part_new(c, &n->state, n->name, &n->mesh, error);
    if (status == BERTH_OK)
        status =
            migration_part_new(c, &n->state, n->plugins, mesh_part_mesh(n->mesh), &n->moves, error);
    if (status == BERTH_OK && n->moves)
        migrations_on_loaded(n->moves, plugin_loaded, n);
    if (status == BERTH_OK)
        status = start_runtime(n, c, error);
    if (status == BERTH_OK && n->watcher)
        status = watcher_run(n->watcher, error);
    if (status == BERTH_OK)
        status = start_api(n, c, error);
    if (status == BERTH_OK) {
        n->said = (berth_node_options){.size = sizeof n->said,
                                       .threads = said.threads,
                                       .state_dir = said.state_dir ? c->state_dir : NULL,
                                       .socket = said.socket ? c->socket : NULL,
                                       .ephemeral = said.ephemeral};
        *out = n;
    } else
        berth_node_free(n);
    return status;
}

migrations *node_moves(const berth_node *n)
{
    return n->moves;
}

migration_observers *node_observers(const berth_node *n)
{
    return n->observers;
}

mesh *node_mesh(const berth_node *n)
{
    return mesh_part_mesh(n->mesh);
}

berth_runtime *berth_node_runtime(berth_node *n)
{
    return runtime_inside(n);
}

const char *berth_node_socket(const berth_node *n)
{
    return n->socket;
}

/* ---- Reload ------------------------------------------------------------------------------------
 */

static bool same_directory(const berth_node *n, const config *c)
{
    return strcmp(c->plugin_dir ? c->plugin_dir : "", n->plugin_dir ? n->plugin_dir : "") == 0;
}

/* The directory was found usable just before; if that has changed, the former one stays. */
static void change_directory(berth_node *n, const config *c, const plugin_policy *policy)
{
    berth_error error = {0};
    watcher *fresh = NULL;
    char *dir = NULL;
    berth_status status = BERTH_OK;

    if (c->plugin_dir) {
        dir = strdup(c->plugin_dir);
        status = dir ? open_watcher(n, dir, policy, &fresh, &error)
                     : fail(&error, BERTH_ERR_NO_MEMORY, "out of memory");
        if (status == BERTH_OK)
            status = watcher_run(fresh, &error);
    }
    if (status != BERTH_OK) {
        log_error("node", "%s; the plugin directory stays what it was", error.text);
        watcher_close(fresh);
        free(dir);
        return;
    }
    watcher_close(n->watcher);
    free(n->plugin_dir);
    n->watcher = fresh;
    n->plugin_dir = dir;
    log_info("node", dir ? "the plugin directory is %s now" : "no plugin directory any more", dir);
}

/* All that can be refused has been accepted: from here on it is as c says. */
static void take_config(berth_node *n, const config *c, plugin_policy *policy)
{
    char changed[512];

    plugins_set_policy(n->plugins, policy);
    if (!same_directory(n, c))
        change_directory(n, c, policy);
    else if (n->watcher)
        watcher_again(n->watcher, !policy_allows_unsigned(policy));
    plugin_loaded(n); /* what the old policy kept out may come in now */
    if (config_start_changes(n->started, c, changed, sizeof changed))
        log_warn("node", "not taken by a reload, restart the host to apply: %s", changed);
}

berth_status berth_node_reload(berth_node *n, berth_error *error)
{
    berth_error unread = {0};
    plugin_policy *policy = NULL;
    config *c = NULL;
    berth_status status;

    if (!error)
        error = &unread;
    pthread_mutex_lock(&n->lock);
    if (n->stopping) {
        pthread_mutex_unlock(&n->lock);
        return fail(error, BERTH_ERR_SHUTTING_DOWN, "the host is shutting down");
    }
    status = read_config(n->config_file, &c, error);
    if (status == BERTH_OK)
        status = config_override(c, &n->said, error);
    if (status == BERTH_OK)
        status = node_policy(c, &policy, error);
    if (status == BERTH_OK && c->plugin_dir && !same_directory(n, c))
        status = watcher_check(c->plugin_dir, error);
    if (status == BERTH_OK)
        status = mesh_part_reload(n->mesh, c, error);
    if (status == BERTH_OK)
        status = migration_part_reload(n->moves, c, error);
    if (status == BERTH_OK)
        status = keeper_want(n->keeper, c, error);
    if (status == BERTH_OK)
        take_config(n, c, policy);
    policy_unref(policy);
    config_free(c);
    pthread_mutex_unlock(&n->lock);
    return status;
}

berth_status berth_node_stop(berth_node *n, uint64_t grace_ms, berth_error *error)
{
    int64_t end =
        clock_mono_ns() + (int64_t)(grace_ms < INT32_MAX ? grace_ms : INT32_MAX) * 1000000;
    int64_t left;
    watcher *watching;
    api *serving;
    berth_status status;

    pthread_mutex_lock(&n->lock);
    n->stopping = true;
    watching = n->watcher;
    serving = n->api;
    n->watcher = NULL;
    n->api = NULL;
    pthread_mutex_unlock(&n->lock);

    watcher_close(watching);
    migrations_stop(n->moves); /* whoever waits for one at the API is answered */
    api_stop(serving, grace_ms < API_GRACE_MS ? grace_ms : API_GRACE_MS);
    if (!n->rt)
        return BERTH_OK;
    left = (end - clock_mono_ns()) / 1000000;
    status = berth_runtime_shutdown(runtime_inside(n), left > 0 ? (uint64_t)left : 0, error);
    mesh_part_leave(n->mesh, MESH_GRACE_MS);
    pthread_mutex_lock(&n->lock);
    n->stuck = status == BERTH_ERR_TIMEOUT;
    pthread_mutex_unlock(&n->lock);
    return status;
}

void berth_node_free(berth_node *n)
{
    if (!n)
        return;
    if (!n->stopping)
        berth_node_stop(n, FREE_GRACE_MS, NULL);
    keeper_free(n->keeper);
    if (n->stuck) {
        /* Its thread still runs, and may use all of this until the process ends. */
        log_error("node", "a daemon does not return from its call; its memory is given up");
        plugins_give_up(n->plugins);
        return;
    }
    mesh_part_leave(n->mesh, 0);
    migration_observers_free(n->observers);
    migrations_free(n->moves);
    berth_runtime_free(runtime_inside(n));
    mesh_part_free(n->mesh);
    plugins_free(n->plugins);
    state_close(&n->state);
    pthread_mutex_destroy(&n->lock);
    config_free(n->started);
    free(n->config_file);
    free(n->plugin_dir);
    free(n->socket);
    free(n);
}
