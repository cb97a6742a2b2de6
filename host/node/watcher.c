/* SPDX-License-Identifier: Apache-2.0 */
#include "node/watcher.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "plugin/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#define MAX_FILES 4096
#define SETTLE_NS                                                                                  \
    (1000ll * 1000 * 1000) /* how old a file has to be to be ready at the first look */
#define ROUND_MS   5000    /* look at least this often: the kernel does not see all */
#define MENDED_MS  500     /* the same, while the directory cannot be used */
#define SOONEST_MS 20

struct watcher {
    char *dir;
    plugins *set;
    void (*loaded)(void *ctx);
    void *ctx;

    /* Of the thread that looks: first the opener's, then our own. */
    watch *machine;
    bool need_signature;
    bool any_loaded;
    berth_status complained; /* the last trouble with the directory, so that it is logged once */

    bool running;
    pthread_t thread;
    uv_loop_t loop;
    uv_fs_event_t events;
    uv_timer_t timer;
    uv_async_t wake;
    bool events_on;

    /* Shared. */
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool stop;
    bool asked_signature;
    uint64_t asked, done; /* watcher_again: how often, and up to which it is done */
};

/* ---- A look at the directory -------------------------------------------------------------------
 */

typedef struct listing {
    watch_file *files;
    size_t count;
} listing;

static void listing_free(listing *l)
{
    for (size_t i = 0; i < l->count; i++)
        free((char *)(uintptr_t)l->files[i].name);
    free(l->files);
    *l = (listing){0};
}

static watch_stamp stamp_of(int dir, const char *name)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return (watch_stamp){0};
    return (watch_stamp){.device = st.st_dev,
                         .inode = st.st_ino,
                         .size = (uint64_t)st.st_size,
                         .modified_ns = st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec};
}

static bool is_plugin_name(const char *name)
{
    size_t len = strlen(name);

    return name[0] != '.' && len > 3 && strcmp(name + len - 3, ".so") == 0;
}

/* Adds one name; false when memory is short. */
static bool list_file(listing *l, int dir, const char *name)
{
    char signature[NAME_MAX + 16];
    watch_file *f;

    if (l->count % 64 == 0) {
        watch_file *more = realloc(l->files, (l->count + 64) * sizeof *more);
        if (!more)
            return false;
        l->files = more;
    }
    f = &l->files[l->count];
    snprintf(signature, sizeof signature, "%s.minisig", name);
    f->file = stamp_of(dir, name);
    f->signature = stamp_of(dir, signature);
    if (f->file.inode == 0) /* went away meanwhile */
        return true;
    f->name = strdup(name);
    if (!f->name)
        return false;
    l->count++;
    return true;
}

static berth_status list_dir(const char *path, listing *out, berth_error *error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = NULL;
    berth_status status;

    if (fd < 0)
        return fail_errno(error, errno, "plugin directory %s", path);
    status = file_check_safe_fd(fd, path, error);
    if (status == BERTH_OK && !(dir = fdopendir(fd)))
        status = fail_errno(error, errno, "plugin directory %s", path);
    if (!dir) {
        close(fd);
        return status;
    }
    for (struct dirent *entry; status == BERTH_OK && (entry = readdir(dir));) {
        if (!is_plugin_name(entry->d_name))
            continue;
        if (out->count == MAX_FILES)
            status = fail(error, BERTH_ERR_LIMIT, "plugin directory %s: more than %d plugins in it",
                          path, MAX_FILES);
        else if (!list_file(out, fd, entry->d_name))
            status = fail(error, BERTH_ERR_NO_MEMORY, "plugin directory %s: out of memory", path);
    }
    closedir(dir);
    return status;
}

static watch_outcome outcome_of(berth_status status)
{
    switch (status) {
    case BERTH_OK:
        return WATCH_LOADED;
    case BERTH_ERR_EXISTS:
        return WATCH_OTHER_VERSION;
    case BERTH_ERR_BUSY:
    case BERTH_ERR_NO_MEMORY:
        return WATCH_AGAIN;
    default:
        return WATCH_FAILED;
    }
}

/* The watch machine found something to do. */
static void act(void *ctx, watch_action action, const char *name)
{
    static const plugins_load_options options = {.source = PLUGINS_WATCH};
    watcher *w = ctx;
    char *path = NULL;
    plugins_loaded loaded = {0};
    berth_error error = {0};
    berth_status status;

    if (action == WATCH_NEW_VERSION) {
        log_info("node",
                 "%s/%s: is a new version of a plugin that is loaded; it is not taken by itself",
                 w->dir, name);
        return;
    }
    if (asprintf(&path, "%s/%s", w->dir, name) < 0) {
        watch_result(w->machine, name, WATCH_AGAIN, clock_mono_ns());
        return;
    }
    status = plugins_load(w->set, path, &options, &loaded, &error);
    if (status == BERTH_OK && !loaded.already)
        w->any_loaded = true;
    else if (outcome_of(status) == WATCH_OTHER_VERSION)
        log_info("node", "plugin directory: %s", error.text);
    else if (outcome_of(status) == WATCH_FAILED)
        log_error("node", "plugin directory: %s", error.text);
    watch_result(w->machine, name, outcome_of(status), clock_mono_ns());
    free(path);
}

/* Feeds the machine with what has not changed for `settled` nanoseconds, as of now_ns. */
static void feed(watcher *w, const listing *all, int64_t settled, int64_t now_ns)
{
    int64_t newest = clock_wall_ns() - settled;
    watch_file *files = calloc(all->count + 1, sizeof *files);
    berth_error error = {0};
    size_t count = 0;

    for (size_t i = 0; files && i < all->count; i++)
        if (!settled || (all->files[i].file.modified_ns <= newest &&
                         all->files[i].signature.modified_ns <= newest))
            files[count++] = all->files[i];
    if (!files ||
        watch_scan(w->machine, files, count, w->need_signature, now_ns, act, w, &error) != BERTH_OK)
        log_warn("node", "plugin directory %s: %s", w->dir, files ? error.text : "out of memory");
    free(files);
}

/* One look. first: nobody has seen anything yet, so what is old enough counts as settled. */
static berth_status look(watcher *w, bool first, berth_error *error)
{
    listing all = {0};
    berth_status status = list_dir(w->dir, &all, error);

    w->any_loaded = false;
    if (status == BERTH_OK) {
        int64_t now = clock_mono_ns();
        if (first)
            feed(w, &all, SETTLE_NS, now - WATCH_STABLE_NS);
        feed(w, &all, 0, now);
    }
    listing_free(&all);
    return status;
}

/* ---- The thread --------------------------------------------------------------------------------
 */

static void on_timer(uv_timer_t *timer);

static void set_timer(watcher *w)
{
    int64_t next = watch_next_ns(w->machine), now = clock_mono_ns();
    int64_t latest_ms = w->complained ? MENDED_MS : ROUND_MS;
    int64_t wait_ms = next == INT64_MAX ? latest_ms : (next - now) / 1000000 + 1;

    if (wait_ms < SOONEST_MS)
        wait_ms = SOONEST_MS;
    if (wait_ms > latest_ms)
        wait_ms = latest_ms;
    uv_timer_start(&w->timer, on_timer, (uint64_t)wait_ms, 0);
}

static void on_change(uv_fs_event_t *events, const char *name, int what, int status)
{
    watcher *w = events->data;

    (void)name;
    (void)what;
    (void)status;
    /* Many changes come at once; one look a little later sees them all. */
    if (!uv_is_active((uv_handle_t *)&w->timer) || uv_timer_get_due_in(&w->timer) > SOONEST_MS)
        uv_timer_start(&w->timer, on_timer, SOONEST_MS, 0);
}

/* A directory that was replaced by another of its name has to be watched anew. */
static void watch_events(watcher *w)
{
    if (w->events_on)
        uv_fs_event_stop(&w->events);
    w->events_on = uv_fs_event_start(&w->events, on_change, w->dir, 0) == 0;
}

static void look_and_report(watcher *w, bool first)
{
    berth_error error = {0};
    berth_status status = look(w, first, &error);

    if (status != BERTH_OK && status != w->complained)
        log_error("node", "%s", error.text);
    if (status == BERTH_OK && w->complained) {
        log_info("node", "plugin directory %s: can be used again", w->dir);
        watch_events(w);
    }
    w->complained = status;
    if (w->any_loaded && w->loaded)
        w->loaded(w->ctx);
    set_timer(w);
}

static void on_timer(uv_timer_t *timer)
{
    look_and_report(timer->data, false);
}

static void on_wake(uv_async_t *wake)
{
    watcher *w = wake->data;
    uint64_t asked;
    bool stop;

    pthread_mutex_lock(&w->lock);
    stop = w->stop;
    asked = w->asked;
    w->need_signature = w->asked_signature;
    pthread_mutex_unlock(&w->lock);

    if (asked != w->done && !stop) {
        watch *fresh = watch_new();
        if (fresh) {
            watch_free(w->machine);
            w->machine = fresh;
        }
        watch_events(w);
        look_and_report(w, true);
    }
    pthread_mutex_lock(&w->lock);
    w->done = asked;
    pthread_cond_broadcast(&w->answered);
    pthread_mutex_unlock(&w->lock);
    if (stop) {
        uv_close((uv_handle_t *)&w->events, NULL);
        uv_close((uv_handle_t *)&w->timer, NULL);
        uv_close((uv_handle_t *)&w->wake, NULL);
    }
}

static void *run(void *ctx)
{
    watcher *w = ctx;

    watch_events(w);
    if (!w->events_on)
        log_warn("node",
                 "plugin directory %s: the kernel does not tell of changes; looking every %d s",
                 w->dir, ROUND_MS / 1000);
    set_timer(w);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    return NULL;
}

/* ---- The offered functions ---------------------------------------------------------------------
 */

berth_status watcher_check(const char *dir, berth_error *error)
{
    listing all = {0};
    berth_status status = list_dir(dir, &all, error);

    listing_free(&all);
    return status;
}

berth_status watcher_open(const watcher_config *config, watcher **out, berth_error *error)
{
    watcher *w = calloc(1, sizeof *w);
    berth_status status = BERTH_OK;

    *out = NULL;
    if (!w)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->answered, NULL);
    w->dir = strdup(config->dir);
    w->machine = watch_new();
    w->set = config->set;
    w->need_signature = w->asked_signature = config->need_signature;
    w->loaded = config->loaded;
    w->ctx = config->ctx;
    if (!w->dir || !w->machine)
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (status == BERTH_OK)
        status = look(w, true, error);
    if (status == BERTH_OK)
        *out = w;
    else
        watcher_close(w);
    return status;
}

berth_status watcher_run(watcher *w, berth_error *error)
{
    sigset_t all, before;
    int result = uv_loop_init(&w->loop);

    if (result != 0)
        return fail(error, BERTH_ERR_IO, "plugin directory %s: %s", w->dir, uv_strerror(result));
    uv_fs_event_init(&w->loop, &w->events);
    uv_timer_init(&w->loop, &w->timer);
    uv_async_init(&w->loop, &w->wake, on_wake);
    w->events.data = w->timer.data = w->wake.data = w;

    /* Signals are for the one who started the host. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    result = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    w->running = result == 0;
    if (w->running)
        return BERTH_OK;
    uv_close((uv_handle_t *)&w->events, NULL);
    uv_close((uv_handle_t *)&w->timer, NULL);
    uv_close((uv_handle_t *)&w->wake, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    uv_loop_close(&w->loop);
    return fail_errno(error, result, "plugin directory %s: cannot start a thread", w->dir);
}

void watcher_again(watcher *w, bool need_signature)
{
    uint64_t ticket;

    pthread_mutex_lock(&w->lock);
    w->asked_signature = need_signature;
    ticket = ++w->asked;
    uv_async_send(&w->wake);
    while (w->done < ticket)
        pthread_cond_wait(&w->answered, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

void watcher_close(watcher *w)
{
    if (!w)
        return;
    if (w->running) {
        pthread_mutex_lock(&w->lock);
        w->stop = true;
        uv_async_send(&w->wake);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
        uv_loop_close(&w->loop);
    }
    watch_free(w->machine);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->answered);
    free(w->dir);
    free(w);
}
