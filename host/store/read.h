/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/read.h: reads beside the writer, from any thread: each borrows a connection of its own for
 * the time of the call, so that no lock is held while a caller's function runs. For this room only.
 */
#ifndef STORE_READ_H
#define STORE_READ_H

#include "store/store.h"

#include <pthread.h>

/* Connections kept open between calls. */
#define READ_IDLE_MAX 4

typedef struct read_connection read_connection;

typedef struct read_pool {
    pthread_mutex_t mutex;
    read_connection *idle;
    unsigned idle_count;
    const char *path, *snapshot_dir; /* borrowed */
} read_pool;

void read_pool_init(read_pool *p, const char *path, const char *snapshot_dir);
/* No read may be running. */
void read_pool_fini(read_pool *p);

/* As their namesakes in store.h. */
berth_status read_snapshot(read_pool *p, const uint8_t entity[32], buf **out, berth_error *error);
berth_status read_each_daemon(read_pool *p, bool (*fn)(void *ctx, const store_daemon *row),
                              void *ctx, berth_error *error);
berth_status read_fact(read_pool *p, const char *key, buf **out, berth_error *error);
berth_status read_mark(read_pool *p, const uint8_t entity[32], uint64_t *incarnation,
                       uint64_t *sequence, berth_error *error);
berth_status read_any_mark(read_pool *p, bool *any, berth_error *error);

#endif
