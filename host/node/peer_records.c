/* SPDX-License-Identifier: Apache-2.0 */
#include "node/peer_records.h"

#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "node/peer_book.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAUSE_S 5

struct peer_records {
    char *dir;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    map64 nodes; /* buf */
    bool dirty, ends;
    bool failed; /* said so in the log; the thread's */
};

/* The records as they are now, each with a reference; NULL: no memory. */
static buf **snapshot(peer_records *r, size_t *count)
{
    buf **list;
    void *value;

    *count = 0;
    pthread_mutex_lock(&r->lock);
    list = calloc(r->nodes.count + 1, sizeof *list);
    for (size_t at = 0; list && map64_next(&r->nodes, &at, NULL, &value);)
        list[(*count)++] = buf_ref(value);
    r->dirty = false;
    pthread_mutex_unlock(&r->lock);
    return list;
}

static void write_book(peer_records *r)
{
    size_t count;
    buf **list = snapshot(r, &count);
    slice *records = calloc(count + 1, sizeof *records);
    berth_error error = {0};
    berth_status status = BERTH_OK;

    if (!list || !records)
        status = fail(&error, BERTH_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count && records; i++)
        records[i] = slice_of(list[i]->data, list[i]->len);
    if (status == BERTH_OK)
        status = peer_book_write(r->dir, records, count, &error);
    if (status != BERTH_OK && !r->failed)
        log_warn("node", "the peers cannot be written down: %s", error.text);
    r->failed = status != BERTH_OK;
    for (size_t i = 0; i < count; i++)
        buf_unref(list[i]);
    free(list);
    free(records);
}

static void *run(void *ctx)
{
    peer_records *r = ctx;

    pthread_mutex_lock(&r->lock);
    for (;;) {
        struct timespec until;

        while (!r->dirty && !r->ends)
            pthread_cond_wait(&r->change, &r->lock);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += PAUSE_S;
        while (!r->ends && pthread_cond_timedwait(&r->change, &r->lock, &until) != ETIMEDOUT)
            ;
        if (!r->dirty)
            break;
        pthread_mutex_unlock(&r->lock);
        write_book(r);
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void release(peer_records *r)
{
    void *value;

    for (size_t at = 0; map64_next(&r->nodes, &at, NULL, &value);)
        buf_unref(value);
    map64_fini(&r->nodes);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->change);
    free(r->dir);
    free(r);
}

berth_status peer_records_open(const char *state_dir, peer_records **out, berth_error *error)
{
    peer_records *r = calloc(1, sizeof *r);
    pthread_condattr_t monotonic;
    int code;

    *out = NULL;
    if (!r)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->change, &monotonic);
    pthread_condattr_destroy(&monotonic);
    r->dir = strdup(state_dir);
    code = r->dir ? pthread_create(&r->thread, NULL, run, r) : ENOMEM;
    if (code != 0) {
        release(r);
        return fail_errno(error, code, "a thread to write down the peers");
    }
    *out = r;
    return BERTH_OK;
}

void peer_records_close(peer_records *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->ends = true;
    pthread_cond_signal(&r->change);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    release(r);
}

void peer_records_keep(void *ctx, uint64_t node, slice bytes)
{
    peer_records *r = ctx;
    buf *copy = bytes.len ? buf_copy(bytes.ptr, bytes.len) : NULL, *old = NULL;

    pthread_mutex_lock(&r->lock);
    if (!bytes.len)
        old = map64_del(&r->nodes, node);
    else if (copy && (map64_get(&r->nodes, node) || r->nodes.count < PEER_BOOK_RECORDS_MAX)) {
        old = map64_get(&r->nodes, node);
        if (map64_put(&r->nodes, node, copy))
            copy = NULL;
        else
            old = NULL;
    }
    r->dirty = true;
    pthread_cond_signal(&r->change);
    pthread_mutex_unlock(&r->lock);
    buf_unref(copy);
    buf_unref(old);
}
