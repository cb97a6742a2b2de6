/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `berth run`: a node, signals, and the service manager.
 *
 * Signals are taken by a thread of their own, so that a second SIGTERM works while the first one's
 * stop, or a long start, still goes on.
 */
#include "cli/commands.h"
#include "cli/notify.h"
#include "cli/output.h"
#include "cli/progress.h"

#include "base/clock.h"
#include "base/log.h"
#include "berth/node.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* What daemons get for finishing what waits for them, within what service managers allow. */
enum { GRACE_MS = 30000 };

/* timeout(1) and shells send a signal to the process and to its group: that is one wish. */
enum { SAME_WISH_NS = 200000000 };

typedef struct wishes {
    sigset_t signals;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned stops, reloads;
    int64_t stop_ns; /* of the first stop */
    bool over;       /* the next signal is for the thread that takes them */
} wishes;

static void *take_signals(void *ctx)
{
    wishes *w = (wishes *)ctx;

    for (;;) {
        int number = 0;

        if (sigwait(&w->signals, &number) != 0)
            continue;
        pthread_mutex_lock(&w->lock);
        if (w->over)
            break;
        if (number == SIGHUP)
            w->reloads++;
        else if (!w->stops) {
            w->stops = 1;
            w->stop_ns = clock_mono_ns();
            log_info("run", "%s: stopping; once more stops at once", strsignal(number));
        } else if (clock_mono_ns() - w->stop_ns >= SAME_WISH_NS) {
            log_warn("run", "stopped at once: what came after the last snapshots is lost");
            _exit(EXIT_FAILED);
        }
        pthread_cond_signal(&w->changed);
        pthread_mutex_unlock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void reload(berth_node *node)
{
    berth_error error = {0};
    char message[80];

    snprintf(message, sizeof message, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)(clock_mono_ns() / 1000));
    notify_send(message);
    if (berth_node_reload(node, &error) != BERTH_OK)
        log_error("run", "reload: %s; what was configured before stays", error.text);
    else
        log_info("run", "reloaded");
    notify_send("READY=1");
}

/* Until somebody wants it to stop. */
static void serve(berth_node *node, wishes *w)
{
    pthread_mutex_lock(&w->lock);
    while (!w->stops) {
        if (w->reloads) {
            w->reloads = 0;
            pthread_mutex_unlock(&w->lock);
            reload(node);
            pthread_mutex_lock(&w->lock);
            continue;
        }
        pthread_cond_wait(&w->changed, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
}

static void say_ready(const cli_invocation *inv, berth_node *node)
{
    unsigned long long daemons = berth_daemon_count(berth_node_runtime(node));
    const char *socket = berth_node_socket(node);
    struct json_object *object;

    log_info("run", "ready at %s with %llu daemon%s, process %d", socket, daemons,
             daemons == 1 ? "" : "s", (int)getpid());
    notify_send("READY=1");
    if (!cli_flag(inv, "json"))
        return;
    object = json_object_new_object();
    json_put_bool(object, "ready", true);
    json_put_string(object, "socket", slice_str(socket));
    json_put_u64(object, "daemons", daemons);
    output_json(object);
    json_object_put(object);
    fflush(stdout);
}

static int stop(berth_node *node)
{
    berth_error error = {0};
    berth_status status;

    notify_send("STOPPING=1");
    status = berth_node_stop(node, GRACE_MS, &error);
    if (status != BERTH_OK)
        return output_fail(&error);
    log_info("run", "stopped");
    return EXIT_DONE;
}

static void show_progress(void *ctx, uint64_t done, uint64_t total)
{
    progress_update(ctx, done, total, clock_mono_ns());
}

static int run(const cli_invocation *inv, berth_node_options *options)
{
    progress shown = {0};
    wishes w = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    berth_node *node = NULL;
    berth_error error = {0};
    pthread_t thread;
    int code;

    /* Blocked in every thread that is born from here on. */
    sigemptyset(&w.signals);
    sigaddset(&w.signals, SIGTERM);
    sigaddset(&w.signals, SIGINT);
    sigaddset(&w.signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &w.signals, NULL);
    if (pthread_create(&thread, NULL, take_signals, &w) != 0) {
        output_note("no thread can be started");
        return EXIT_FAILED;
    }
    /* A service's log is told how it goes by the node; a person at a terminal sees it. */
    if (isatty(STDERR_FILENO)) {
        progress_begin(&shown, "bringing back daemons", clock_mono_ns());
        shown.counts = true;
        options->progress = show_progress;
        options->progress_ctx = &shown;
    }
    berth_status started = berth_node_start(options, &node, &error);
    progress_end(&shown);
    if (started != BERTH_OK) {
        code = output_fail(&error);
    } else {
        say_ready(inv, node);
        serve(node, &w);
        code = stop(node);
        /* After a stop that timed out a daemon still has its thread: the process ends under it. */
        if (code == EXIT_DONE)
            berth_node_free(node);
    }
    pthread_mutex_lock(&w.lock);
    w.over = true;
    pthread_mutex_unlock(&w.lock);
    pthread_kill(thread, SIGHUP);
    pthread_join(thread, NULL);
    return code;
}

/* Keys will lie in this process: no core file and no debugger of the same user shows them. */
static void close_memory(void)
{
    const char *debugging = getenv("BERTH_DUMPABLE");

    if (debugging && strcmp(debugging, "1") == 0)
        log_warn("run", "BERTH_DUMPABLE=1: core files and debuggers of this user may see the keys");
    else if (prctl(PR_SET_DUMPABLE, 0) != 0)
        log_warn("run", "core files and debuggers of this user may see the keys: %s",
                 strerror(errno));
}

int cmd_run(const cli_invocation *inv)
{
    berth_node_options options = {.size = sizeof options};
    uint64_t threads = cli_number(inv, "threads", 1);
    const char **plugins = (const char **)calloc(inv->given_count + 1, sizeof *plugins);
    size_t at = 0;
    int code;

    close_memory();
    if (!plugins)
        abort();
    if (threads < 1 || threads > 1024) {
        free(plugins);
        return output_usage(inv, "--threads: must be from 1 to 1024");
    }
    for (const char *file; (file = cli_next_value(inv, "plugin", &at));)
        plugins[options.plugin_count++] = file;
    options.plugins = plugins;
    options.threads = cli_value(inv, "threads") ? (uint32_t)threads : 0;
    options.config_file = cli_value(inv, "config");
    options.state_dir = cli_value(inv, "state");
    options.socket = cli_value(inv, "socket");
    options.ephemeral = cli_flag(inv, "ephemeral");
    if (options.ephemeral && options.state_dir)
        code = output_usage(inv, "--ephemeral keeps nothing, so --state has no place beside it");
    else
        code = run(inv, &options);
    free(plugins);
    return code;
}
