/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_fixture.h: whole hosts on a directory of the test's own, in this process or in a child that
 * can be killed.
 */
#ifndef TESTS_NODE_FIXTURE_H
#define TESTS_NODE_FIXTURE_H

#include "base/error.h" /* before cmocka.h, which has a macro fail */
#include "base/file.h"
#include "base/log.h"
#include "berth/node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNTER BUILD_DIR "/plugins/counter.so"
#define ECHO    BUILD_DIR "/plugins/echo.so"
#define TALLY   BUILD_DIR "/plugins/tally.so"

typedef struct place {
    char root[64], state[80], socket[80], conf[80], drop[80];
} place;

static place at __attribute__((unused));

/* All lines of the log since the test began. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char text[1 << 16];
} logged = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static inline void keep_log(void *ctx, log_level level, const char *room, const char *text)
{
    (void)ctx;
    (void)level;
    pthread_mutex_lock(&logged.lock);
    if (strlen(logged.text) + strlen(room) + strlen(text) + 4 < sizeof logged.text)
        sprintf(logged.text + strlen(logged.text), "%s: %s\n", room, text);
    pthread_cond_broadcast(&logged.changed);
    pthread_mutex_unlock(&logged.lock);
}

static inline bool log_has(const char *text)
{
    bool found;

    pthread_mutex_lock(&logged.lock);
    found = strstr(logged.text, text) != NULL;
    pthread_mutex_unlock(&logged.lock);
    return found;
}

/* What is not logged within a minute never is. */
static inline void wait_log(const char *text)
{
    struct timespec end;
    bool found;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 60;
    pthread_mutex_lock(&logged.lock);
    while (!(found = strstr(logged.text, text) != NULL))
        if (pthread_cond_timedwait(&logged.changed, &logged.lock, &end) != 0)
            break;
    pthread_mutex_unlock(&logged.lock);
    if (!found)
        fail_msg("waited in vain for '%s'; the log: %s", text, logged.text);
}

static inline int node_setup(void **state)
{
    (void)state;
    strcpy(at.root, "/tmp/berth-node-XXXXXX");
    if (!mkdtemp(at.root))
        return -1;
    snprintf(at.state, sizeof at.state, "%s/state", at.root);
    snprintf(at.socket, sizeof at.socket, "%s/run/s", at.root);
    snprintf(at.conf, sizeof at.conf, "%s/berth.conf", at.root);
    snprintf(at.drop, sizeof at.drop, "%s/drop", at.root);
    logged.text[0] = '\0';
    log_set_sink(keep_log, NULL);
    unsetenv("CREDENTIALS_DIRECTORY");
    setenv("XDG_CONFIG_HOME", at.root, 1);
    return mkdir(at.drop, 0700);
}

static inline int node_teardown(void **state)
{
    char command[128];

    (void)state;
    log_set_sink(NULL, NULL);
    snprintf(command, sizeof command, "rm -rf %s", at.root);
    return system(command);
}

static inline void write_conf(const char *text)
{
    assert_int_equal(file_write(at.conf, text, strlen(text), 0600, NULL), BERTH_OK);
}

/* file: a plugin to load, or NULL. The test's configuration is used when it has written one. */
static inline berth_status try_start(const char *file, berth_node **out, berth_error *error)
{
    berth_node_options options = {.size = sizeof options,
                                  .threads = 2,
                                  .config_file = access(at.conf, F_OK) == 0 ? at.conf : NULL,
                                  .state_dir = at.state,
                                  .socket = at.socket,
                                  .plugins = &file,
                                  .plugin_count = file ? 1 : 0};

    return berth_node_start(&options, out, error);
}

static inline berth_node *start_node(const char *file)
{
    berth_node *node = NULL;
    berth_error error = {0};

    if (try_start(file, &node, &error) != BERTH_OK)
        fail_msg("%s: %s; the log: %s", berth_status_name(error.code), error.text, logged.text);
    return node;
}

static inline void stop_node(berth_node *node)
{
    berth_error error = {0};

    if (berth_node_stop(node, 20000, &error) != BERTH_OK)
        fail_msg("stop: %s", error.text);
    berth_node_free(node);
}

static inline uint64_t spawn(berth_node *node, const char *kind, const char *name)
{
    berth_daemon_config config = {.size = sizeof config, .name = name, .durability = 2};
    berth_error error = {0};
    uint64_t origin = 0;

    if (berth_spawn_kind(berth_node_runtime(node), kind, NULL, &config, &origin, &error) !=
        BERTH_OK)
        fail_msg("spawn %s: %s", kind, error.text);
    return origin;
}

static inline bool find(berth_node *node, const char *name, berth_daemon_info *info)
{
    uint64_t origin;

    *info = (berth_daemon_info){.size = sizeof *info};
    /* A short name may also be the beginning of another one, or of an origin. */
    return berth_daemon_find(berth_node_runtime(node), name, &origin, NULL) == BERTH_OK &&
           berth_daemon_get(berth_node_runtime(node), origin, info, NULL) == BERTH_OK &&
           strcmp(info->name, name) == 0;
}

/* Send one event; the first output as text, valid until the next call. */
static inline const char *ask(berth_node *node, const char *name, const char *event)
{
    static char answer[256];
    berth_outputs *outputs = berth_outputs_new();
    berth_error error = {0};
    uint64_t origin;

    if (berth_daemon_find(berth_node_runtime(node), name, &origin, &error) != BERTH_OK ||
        berth_deliver(berth_node_runtime(node), origin, event, strlen(event), outputs, &error) !=
            BERTH_OK)
        fail_msg("%s: %s", name, error.text);
    answer[0] = '\0';
    if (berth_outputs_count(outputs) > 0) {
        berth_output_view v = berth_outputs_at(outputs, 0);
        snprintf(answer, sizeof answer, "%.*s", (int)v.len, (const char *)v.data);
    }
    berth_outputs_free(outputs);
    return answer;
}

/* A copy of a file in the watched directory, under its own name or another. */
static inline void drop(const char *file, const char *name)
{
    char path[PATH_MAX];
    buf *bytes = NULL;

    assert_int_equal(file_read(file, 64 << 20, 0, &bytes, NULL), BERTH_OK);
    snprintf(path, sizeof path, "%s/%s", at.drop, name ? name : strrchr(file, '/') + 1);
    assert_int_equal(file_write(path, bytes->data, bytes->len, 0644, NULL), BERTH_OK);
    buf_unref(bytes);
}

static inline unsigned count_entries(const char *path)
{
    DIR *dir = opendir(path);
    unsigned n = 0;

    for (struct dirent *entry; dir && (entry = readdir(dir));)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (dir)
        closedir(dir);
    return n;
}

/* ---- Hosts in a child
 * ---------------------------------------------------------------------------- */

/*
 * A child that starts a host and runs body in it, which says with told() how far it is. The parent
 * reads that from *progress, and kills.
 */
static int told_fd __attribute__((unused)) = -1;

static inline void told(uint64_t n)
{
    if (write(told_fd, &n, sizeof n) != sizeof n)
        _exit(3);
}

static inline pid_t start_child(void (*body)(berth_node *node), const char *file, int *progress)
{
    int fds[2];
    pid_t pid;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        berth_node *node = NULL;
        berth_error error = {0};

        close(fds[0]);
        told_fd = fds[1];
        if (try_start(file, &node, &error) != BERTH_OK) {
            fprintf(stderr, "child: %s\n", error.text);
            _exit(2);
        }
        body(node);
        _exit(0);
    }
    assert_true(pid > 0);
    close(fds[1]);
    *progress = fds[0];
    return pid;
}

/* Reads until n was told; what was told last, when the child has ended. */
static inline uint64_t hear(int progress, uint64_t n)
{
    uint64_t last = 0, next;

    while (last < n && read(progress, &next, sizeof next) == sizeof next)
        last = next;
    return last;
}

static inline void kill_child(pid_t pid)
{
    int how;

    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &how, 0), pid);
    if (!WIFSIGNALED(how) || WTERMSIG(how) != SIGKILL)
        fail_msg("the child ended by itself: status %x", (unsigned)how);
}

#endif
