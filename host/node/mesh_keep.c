/* SPDX-License-Identifier: Apache-2.0 */
#include "node/mesh_keep.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "identity/revocation_file.h"
#include "node/peer_book.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAUSE_S 5

typedef struct kept_list {
    struct kept_list *next;
    buf *bytes;
} kept_list;

struct mesh_keep {
    char *dir;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    map64 nodes;      /* buf */
    kept_list *lists; /* not written yet, the newest first */
    bool dirty, ends;
    bool failed; /* said so in the log; the thread's */
};

/* ---- Writing --------------------------------------------------------------------------------- */

/* The records as they are now, each with a reference; NULL: no memory. */
static buf **snapshot(mesh_keep *k, size_t *count)
{
    buf **list;
    void *value;

    *count = 0;
    pthread_mutex_lock(&k->lock);
    list = calloc(k->nodes.count + 1, sizeof *list);
    for (size_t at = 0; list && map64_next(&k->nodes, &at, NULL, &value);)
        list[(*count)++] = buf_ref(value);
    pthread_mutex_unlock(&k->lock);
    return list;
}

static berth_status write_book(mesh_keep *k, berth_error *error)
{
    size_t count;
    buf **list = snapshot(k, &count);
    slice *records = calloc(count + 1, sizeof *records);
    berth_status status = BERTH_OK;

    if (!list || !records)
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count && list && records; i++)
        records[i] = slice_of(list[i]->data, list[i]->len);
    if (status == BERTH_OK)
        status = peer_book_write(k->dir, records, count, error);
    for (size_t i = 0; i < count && list; i++)
        buf_unref(list[i]);
    free(list);
    free(records);
    return status;
}

static void list_path(char out[PATH_MAX], const char *dir, const uint8_t realm[BERTH_ENTITY_SIZE])
{
    char id[2 * BERTH_ENTITY_SIZE + 1];

    snprintf(out, PATH_MAX, "%s/mesh/%s.revoked", dir,
             hex_encode(id, slice_of(realm, BERTH_ENTITY_SIZE)));
}

static berth_status write_list(mesh_keep *k, const buf *bytes, berth_error *error)
{
    revocation_list list = {0};
    char path[PATH_MAX];
    berth_status status = revocation_read(&list, slice_of(bytes->data, bytes->len), error);

    if (status == BERTH_OK) {
        list_path(path, k->dir, list.realm);
        status = revocation_file_write(path, &list, error);
    }
    revocation_free(&list);
    return status;
}

/* In the order in which they came, so that the newest of a realm stays. */
static berth_status write_lists(mesh_keep *k, kept_list *newest, berth_error *error)
{
    kept_list *oldest = NULL;
    berth_status status = BERTH_OK;

    while (newest) {
        kept_list *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        kept_list *next = oldest->next;

        if (status == BERTH_OK)
            status = write_list(k, oldest->bytes, error);
        buf_unref(oldest->bytes);
        free(oldest);
        oldest = next;
    }
    return status;
}

/* Takes and gives back the lock. The book first: it makes the directory. */
static void write_all(mesh_keep *k)
{
    kept_list *lists = k->lists;
    berth_error error = {0};
    berth_status status, listed;

    k->lists = NULL;
    k->dirty = false;
    pthread_mutex_unlock(&k->lock);
    status = write_book(k, &error);
    listed = write_lists(k, lists, status == BERTH_OK ? &error : &(berth_error){0});
    if (status == BERTH_OK)
        status = listed;
    if (status != BERTH_OK && !k->failed)
        log_warn("node", "mesh: what is known of others cannot be written down: %s", error.text);
    k->failed = status != BERTH_OK;
    pthread_mutex_lock(&k->lock);
}

static void *run(void *ctx)
{
    mesh_keep *k = ctx;

    pthread_mutex_lock(&k->lock);
    for (;;) {
        struct timespec until;

        while (!k->dirty && !k->ends)
            pthread_cond_wait(&k->change, &k->lock);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += PAUSE_S;
        while (!k->ends && pthread_cond_timedwait(&k->change, &k->lock, &until) != ETIMEDOUT)
            ;
        if (!k->dirty)
            break;
        write_all(k);
    }
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

/* ---- The owner's ----------------------------------------------------------------------------- */

static void release(mesh_keep *k)
{
    void *value;

    for (size_t at = 0; map64_next(&k->nodes, &at, NULL, &value);)
        buf_unref(value);
    map64_fini(&k->nodes);
    pthread_mutex_destroy(&k->lock);
    pthread_cond_destroy(&k->change);
    free(k->dir);
    free(k);
}

berth_status mesh_keep_open(const char *state_dir, mesh_keep **out, berth_error *error)
{
    mesh_keep *k = calloc(1, sizeof *k);
    pthread_condattr_t monotonic;
    int code;

    *out = NULL;
    if (!k)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    pthread_mutex_init(&k->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&k->change, &monotonic);
    pthread_condattr_destroy(&monotonic);
    k->dir = strdup(state_dir);
    code = k->dir ? pthread_create(&k->thread, NULL, run, k) : ENOMEM;
    if (code != 0) {
        release(k);
        return fail_errno(error, code, "a thread to write down the peers");
    }
    *out = k;
    return BERTH_OK;
}

void mesh_keep_close(mesh_keep *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->ends = true;
    pthread_cond_signal(&k->change);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    release(k);
}

/* ---- What comes ------------------------------------------------------------------------------ */

/* Under the lock. */
static void touch(mesh_keep *k)
{
    k->dirty = true;
    pthread_cond_signal(&k->change);
}

void mesh_keep_record(mesh_keep *k, uint64_t node, slice bytes)
{
    buf *copy = bytes.len ? buf_copy(bytes.ptr, bytes.len) : NULL, *old = NULL;

    pthread_mutex_lock(&k->lock);
    if (!bytes.len) {
        old = map64_del(&k->nodes, node);
    } else if (copy && (map64_get(&k->nodes, node) || k->nodes.count < PEER_BOOK_RECORDS_MAX)) {
        old = map64_get(&k->nodes, node);
        if (map64_put(&k->nodes, node, copy))
            copy = NULL;
        else
            old = NULL;
    }
    touch(k);
    pthread_mutex_unlock(&k->lock);
    buf_unref(copy);
    buf_unref(old);
}

void mesh_keep_revocations(mesh_keep *k, slice list)
{
    kept_list *one = calloc(1, sizeof *one);

    if (!one || !(one->bytes = buf_copy(list.ptr, list.len))) {
        log_warn("node", "mesh: out of memory for a revocation list: it counts, and is not kept");
        free(one);
        return;
    }
    pthread_mutex_lock(&k->lock);
    one->next = k->lists;
    k->lists = one;
    touch(k);
    pthread_mutex_unlock(&k->lock);
}

bool mesh_kept_revocations(const char *state_dir, const uint8_t realm[BERTH_ENTITY_SIZE],
                           revocation_list *out)
{
    berth_error error = {0};
    char path[PATH_MAX];
    berth_status status;

    list_path(path, state_dir, realm);
    status = revocation_file_read(path, out, &error);
    if (status == BERTH_OK && memcmp(out->realm, realm, BERTH_ENTITY_SIZE) != 0) {
        revocation_free(out);
        status = fail(&error, BERTH_ERR_CORRUPT, "%s: the list is of another realm", path);
    }
    if (status != BERTH_OK && status != BERTH_ERR_NOT_FOUND)
        log_warn("node", "mesh: %s; it is left aside", error.text);
    return status == BERTH_OK;
}
