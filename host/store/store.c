/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "store/commit.h"
#include "store/dirlock.h"
#include "store/inside.h"
#include "store/schema.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One transaction takes at most this much: enough that its fixed costs vanish, little enough that
 * the first of a million need not wait for the last. */
#define GROUP_CHANGES 131072
#define GROUP_BYTES   (64u << 20)

/* Pages in the log (4 KiB each) from which on it is copied into the database: when the writer has
 * nothing else to do, and when it is high time. */
#define CHECKPOINT_IDLE 1000
#define CHECKPOINT_BUSY 16384

struct store {
    char *path, *snapshot_dir;
    int lock_fd;
    read_pool reads;
    staging staging;

    pthread_mutex_t mutex;
    pthread_cond_t wake;
    change *head, **tail; /* handed in, not yet taken by the writer */
    bool closing;

    /* Writer thread only. */
    pthread_t thread;
    bool running;
    table table;
    int log_pages;
    berth_error failure; /* the first since the last barrier; code 0: none */

    /* Whether there is any mark: most stores have none, and each spawn would ask. */
    atomic_bool marks;

    atomic_uint_fast64_t commits, changes, failures, snapshot_bytes, commit_ns, queued;
};

/* ---- the writer ---- */

static staging_fate fate_of(const change *c)
{
    if (!c->status)
        return STAGING_NAMED;
    return c->unknown ? STAGING_UNKNOWN : STAGING_UNNAMED;
}

static void answer(store *s, change *c)
{
    static const berth_error none;
    berth_error error;
    const berth_error *shown = &none;

    if (c->status) {
        fail(&error, c->status, "%s", c->text ? c->text : berth_status_text(c->status));
        shown = &error;
        if (!s->failure.code)
            s->failure = error;
        atomic_fetch_add_explicit(&s->failures, 1, memory_order_relaxed);
    }
    if (c->type != CHANGE_BARRIER)
        atomic_fetch_add_explicit(&s->changes, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&s->queued, 1, memory_order_relaxed);
    if (c->type == CHANGE_PREPARE)
        staging_settle(&s->staging, c->attempt.base, fate_of(c));
    if (c->done)
        c->done(c->ctx, c->status, shown);
    change_free(c);
}

/* Commits the front of the list, answers it, and returns the rest. */
static change *write_group(store *s, change *list)
{
    commit_stats stats = {0};
    size_t n = 0, bytes = 0;
    change *c;

    for (c = list; c && n < GROUP_CHANGES && bytes < GROUP_BYTES; c = c->next, n++)
        bytes += c->weight;
    commit_group(&s->table, list, n, &stats);
    atomic_fetch_add_explicit(&s->commits, stats.commits, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->commit_ns, stats.commit_ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->snapshot_bytes, stats.snapshot_bytes, memory_order_relaxed);
    while (n--) {
        c = list;
        list = c->next;
        answer(s, c);
    }
    return list;
}

/* SQLite tells how long its log is after each commit. */
static int note_log(void *ctx, sqlite3 *db, const char *name, int pages)
{
    store *s = ctx;

    (void)db, (void)name;
    s->log_pages = pages;
    return SQLITE_OK;
}

static void checkpoint(store *s, int from)
{
    if (s->log_pages < from)
        return;
    /* Without success (a full disk, a long read) the log stays and keeps everything; tried again
     * after the next commit. */
    sqlite3_wal_checkpoint_v2(s->table.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    s->log_pages = 0;
}

/* What was handed in; waits for it. NULL when there will be no more. */
static change *take(store *s)
{
    change *list;

    pthread_mutex_lock(&s->mutex);
    if (!s->head && s->log_pages >= CHECKPOINT_IDLE) {
        pthread_mutex_unlock(&s->mutex);
        checkpoint(s, CHECKPOINT_IDLE);
        pthread_mutex_lock(&s->mutex);
    }
    while (!s->head && !s->closing)
        pthread_cond_wait(&s->wake, &s->mutex);
    list = s->head;
    s->head = NULL;
    s->tail = &s->head;
    pthread_mutex_unlock(&s->mutex);
    return list;
}

static void *write_all(void *arg)
{
    store *s = arg;
    change *list;

    while ((list = take(s)))
        while (list) {
            list = write_group(s, list);
            checkpoint(s, CHECKPOINT_BUSY);
        }
    return NULL;
}

void store_hand_in(store *s, change *c, store_done *done, void *ctx)
{
    bool was_empty;

    if (!c) {
        berth_error error;

        fail(&error, BERTH_ERR_NO_MEMORY, "%s: out of memory for a change", s->path);
        atomic_fetch_add_explicit(&s->failures, 1, memory_order_relaxed);
        if (done)
            done(ctx, error.code, &error);
        return;
    }
    c->done = done;
    c->ctx = ctx;
    atomic_fetch_add_explicit(&s->queued, 1, memory_order_relaxed);
    pthread_mutex_lock(&s->mutex);
    was_empty = !s->head;
    *s->tail = c;
    s->tail = &c->next;
    pthread_mutex_unlock(&s->mutex);
    if (was_empty)
        pthread_cond_signal(&s->wake);
}

void store_expect_marks(store *s)
{
    atomic_store(&s->marks, true);
}

/* ---- changes ---- */

void store_add_daemon(store *s, const store_daemon *row, store_done *done, void *ctx)
{
    store_hand_in(s, change_add(row), done, ctx);
}

void store_update_daemon(store *s, const store_daemon *row, unsigned set, store_done *done,
                         void *ctx)
{
    store_hand_in(s, change_update(row, set), done, ctx);
}

void store_remove_daemon(store *s, const uint8_t entity[32], store_done *done, void *ctx)
{
    store_expect_marks(s);
    store_hand_in(s, change_remove(entity), done, ctx);
}

void store_put_snapshot(store *s, const uint8_t entity[32], uint64_t incarnation, uint64_t sequence,
                        buf *container, bool clean, store_done *done, void *ctx)
{
    store_hand_in(s, change_snapshot(entity, incarnation, sequence, container, clean), done, ctx);
}

/* One who waits for a change. */
typedef struct waiter {
    store *store;
    pthread_mutex_t mutex;
    pthread_cond_t finished;
    bool is_finished;
    berth_status status;
    berth_error *error; /* the caller's; may be NULL */
} waiter;

static void finish(waiter *w, berth_status status, const berth_error *error)
{
    pthread_mutex_lock(&w->mutex);
    w->status = status;
    if (status && w->error)
        *w->error = *error;
    w->is_finished = true;
    pthread_cond_signal(&w->finished);
    pthread_mutex_unlock(&w->mutex);
}

static void change_done(void *ctx, berth_status status, const berth_error *error)
{
    finish(ctx, status, error);
}

static void barrier_done(void *ctx, berth_status status, const berth_error *error)
{
    waiter *w = ctx;
    berth_error failure = w->store->failure;

    (void)status, (void)error;
    w->store->failure = (berth_error){0};
    finish(w, failure.code, &failure);
}

static berth_status wait_for(store *s, change *c, store_done *done, berth_error *error)
{
    waiter w = {.store = s, .error = error};

    if (!c)
        return fail(error, BERTH_ERR_NO_MEMORY, "%s: out of memory for a change", s->path);
    if (pthread_equal(pthread_self(), s->thread)) {
        change_free(c);
        return fail(error, BERTH_ERR_DEADLOCK,
                    "%s: a done function must not wait for the store: it runs on the thread that "
                    "writes",
                    s->path);
    }
    pthread_mutex_init(&w.mutex, NULL);
    pthread_cond_init(&w.finished, NULL);
    store_hand_in(s, c, done, &w);
    pthread_mutex_lock(&w.mutex);
    while (!w.is_finished)
        pthread_cond_wait(&w.finished, &w.mutex);
    pthread_mutex_unlock(&w.mutex);
    pthread_cond_destroy(&w.finished);
    pthread_mutex_destroy(&w.mutex);
    return w.status;
}

berth_status store_barrier(store *s, berth_error *error)
{
    return wait_for(s, change_barrier(), barrier_done, error);
}

berth_status store_put_fact(store *s, const char *key, slice value, berth_error *error)
{
    return wait_for(s, change_fact(key, value), change_done, error);
}

/* ---- reads ---- */

read_pool *store_reads(store *s)
{
    return &s->reads;
}

staging *store_staging(store *s)
{
    return &s->staging;
}

berth_status store_get_snapshot(store *s, const uint8_t entity[32], buf **out, berth_error *error)
{
    return read_snapshot(&s->reads, entity, out, error);
}

berth_status store_each_daemon(store *s, bool (*fn)(void *ctx, const store_daemon *row), void *ctx,
                               berth_error *error)
{
    return read_each_daemon(&s->reads, fn, ctx, error);
}

berth_status store_get_mark(store *s, const uint8_t entity[32], uint64_t *incarnation,
                            uint64_t *sequence, berth_error *error)
{
    uint64_t gone;

    *incarnation = *sequence = 0;
    if (!atomic_load(&s->marks))
        return BERTH_OK;
    return read_mark(&s->reads, entity, incarnation, sequence, &gone, error);
}

berth_status store_get_gone(store *s, const uint8_t entity[32], uint64_t *epoch, berth_error *error)
{
    uint64_t incarnation, sequence;

    *epoch = 0;
    if (!atomic_load(&s->marks))
        return BERTH_OK;
    return read_mark(&s->reads, entity, &incarnation, &sequence, epoch, error);
}

berth_status store_get_fact(store *s, const char *key, buf **out, berth_error *error)
{
    return read_fact(&s->reads, key, out, error);
}

void store_get_stats(store *s, store_stats *out)
{
    out->commits = atomic_load_explicit(&s->commits, memory_order_relaxed);
    out->changes = atomic_load_explicit(&s->changes, memory_order_relaxed);
    out->failures = atomic_load_explicit(&s->failures, memory_order_relaxed);
    out->snapshot_bytes = atomic_load_explicit(&s->snapshot_bytes, memory_order_relaxed);
    out->commit_ns = atomic_load_explicit(&s->commit_ns, memory_order_relaxed);
    out->queued = atomic_load_explicit(&s->queued, memory_order_relaxed);
}

/* ---- opening and closing ---- */

static bool has_log(const store *s)
{
    char log[PATH_MAX];
    struct stat st;
    int n = snprintf(log, sizeof log, "%s-wal", s->path);

    return n > 0 && (size_t)n < sizeof log && lstat(log, &st) == 0 && st.st_size > 0;
}

/* A missing database is a new one only where nothing says that there was one before. */
static berth_status create_database(store *s, const char *dir, berth_error *error)
{
    if (has_log(s))
        return fail(error, BERTH_ERR_CORRUPT,
                    "%s: is missing, but its log %s-wal is there: put the database back from a "
                    "backup, or move the log away to begin anew",
                    s->path, s->path);
    if (snapfile_any(s->snapshot_dir))
        return fail(error, BERTH_ERR_CORRUPT,
                    "%s: is missing, but %s has snapshots: put the database back from a backup, or "
                    "move the snapshots away to begin anew",
                    s->path, s->snapshot_dir);
    return schema_create(dir, s->path, error);
}

static berth_status open_database(store *s, const char *dir, berth_error *error)
{
    berth_status status;
    sqlite3 *db = NULL;
    struct stat st;

    if (lstat(s->path, &st) != 0) {
        if (errno != ENOENT)
            return fail_errno(error, errno, "%s", s->path);
        status = create_database(s, dir, error);
        if (status)
            return status;
    } else if (!S_ISREG(st.st_mode)) {
        return fail(error, BERTH_ERR_INVALID, "%s: is not a regular file: move it away", s->path);
    } else if (st.st_size % SCHEMA_PAGE && !has_log(s)) {
        /* SQLite would take the missing end of its last page for zeros. */
        return fail(error, BERTH_ERR_CORRUPT,
                    "%s: the database is damaged (cut short): put back a backup of the whole state "
                    "directory, or salvage its rows with 'sqlite3 %s .recover'",
                    s->path, s->path);
    }
    status = file_check_safe(s->path, error);
    if (!status)
        status = db_open(s->path, DB_WRITE, &db, error);
    if (status)
        return status;
    status = schema_check(db, error);
    if (!status)
        status = db_exec(db, "PRAGMA journal_mode = WAL", error);
    if (status)
        sqlite3_close(db);
    else
        status = table_open(&s->table, db, s->snapshot_dir, error);
    return status;
}

berth_status store_start_thread(pthread_t *out, const char *name, void *(*run)(void *arg),
                                void *arg, const char *where, berth_error *error)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(out, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc)
        return fail_errno(error, rc, "%s: cannot start the thread %s", where, name);
    pthread_setname_np(*out, name);
    return BERTH_OK;
}

static berth_status start_writer(store *s, berth_error *error)
{
    berth_status status;

    sqlite3_wal_hook(s->table.db, note_log, s);
    status = store_start_thread(&s->thread, "berth-store", write_all, s, s->path, error);
    s->running = !status;
    return status;
}

static berth_status prepare_dirs(store *s, const char *dir, berth_error *error)
{
    berth_status status;

    status = file_mkdirs(dir, error);
    if (!status)
        status = file_check_safe(dir, error);
    if (!status)
        status = dirlock_take(dir, &s->lock_fd, error);
    if (!status)
        status = file_mkdirs(s->snapshot_dir, error);
    if (!status)
        status = file_check_safe(s->snapshot_dir, error);
    return status;
}

berth_status store_open(const char *state_dir, store **out, berth_error *error)
{
    store *s = calloc(1, sizeof *s);
    berth_status status = BERTH_ERR_NO_MEMORY;
    bool named, marks = true;

    *out = NULL;
    if (!s)
        return fail(error, BERTH_ERR_NO_MEMORY, "%s: out of memory", state_dir);
    s->lock_fd = -1;
    s->tail = &s->head;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->wake, NULL);
    named = asprintf(&s->path, "%s/store.db", state_dir) > 0;
    if (!named)
        s->path = NULL;
    if (asprintf(&s->snapshot_dir, "%s/snapshots", state_dir) <= 0) {
        s->snapshot_dir = NULL;
        named = false;
    }
    read_pool_init(&s->reads, s->path, s->snapshot_dir);
    staging_init(&s->staging, s->snapshot_dir);
    if (!named) {
        fail(error, BERTH_ERR_NO_MEMORY, "%s: out of memory", state_dir);
        goto out;
    }

    status = prepare_dirs(s, state_dir, error);
    if (!status)
        status = open_database(s, state_dir, error);
    if (!status)
        status = snapfile_sweep(s->snapshot_dir, s->table.db, error);
    if (!status)
        status = read_any_mark(&s->reads, &marks, error);
    atomic_init(&s->marks, marks);
    if (!status)
        status = start_writer(s, error);

out:
    if (status)
        store_close(s);
    else
        *out = s;
    return status;
}

void store_close(store *s)
{
    if (!s)
        return;
    staging_stop(&s->staging); /* before the writer, which may be handed what follows from it */
    if (s->running) {
        pthread_mutex_lock(&s->mutex);
        s->closing = true;
        pthread_mutex_unlock(&s->mutex);
        pthread_cond_signal(&s->wake);
        pthread_join(s->thread, NULL);
    }
    staging_fini(&s->staging);
    read_pool_fini(&s->reads);
    table_close(&s->table);
    dirlock_drop(s->lock_fd);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->mutex);
    free(s->snapshot_dir);
    free(s->path);
    free(s);
}
