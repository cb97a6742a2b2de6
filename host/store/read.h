/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/read.h: reads beside the writer, from any thread: each borrows a connection of its own for
 * the time of the call, so that no lock is held while a caller's function runs. For this room only.
 */
#ifndef STORE_READ_H
#define STORE_READ_H

#include "store/attempts.h"
#include "store/db.h"

#include <pthread.h>

/* Connections kept open between calls. */
#define READ_IDLE_MAX 4

typedef enum read_statement {
    READ_EACH,
    READ_SNAPSHOT,
    READ_FACT,
    READ_MARK,
    READ_ANY_MARK,
    READ_EACH_ATTEMPT,
    READ_ATTEMPT,
    READ_STATE,
    READ_BASE,
    READ_STATEMENTS
} read_statement;

typedef struct read_connection {
    struct read_connection *next;
    sqlite3 *db;
    sqlite3_stmt *statements[READ_STATEMENTS];
} read_connection;

typedef struct read_pool {
    pthread_mutex_t mutex;
    read_connection *idle;
    unsigned idle_count;
    const char *path, *snapshot_dir; /* borrowed */
} read_pool;

void read_pool_init(read_pool *p, const char *path, const char *snapshot_dir);
/* No read may be running. */
void read_pool_fini(read_pool *p);

/* For the files that read: one of the connections, for the time of a call. */
berth_status read_borrow(read_pool *p, read_connection **out, berth_error *error);
void read_give_back(read_pool *p, read_connection *r);

/* A number that must be one of a few. */
bool read_small(sqlite3_stmt *st, int column, int64_t low, int64_t high, int64_t *out);

/* As their namesakes in store.h and attempts.h. */
berth_status read_snapshot(read_pool *p, const uint8_t entity[32], buf **out, berth_error *error);
berth_status read_each_daemon(read_pool *p, bool (*fn)(void *ctx, const store_daemon *row),
                              void *ctx, berth_error *error);
berth_status read_fact(read_pool *p, const char *key, buf **out, berth_error *error);
berth_status read_mark(read_pool *p, const uint8_t entity[32], uint64_t *incarnation,
                       uint64_t *sequence, uint64_t *gone, berth_error *error);
berth_status read_any_mark(read_pool *p, bool *any, berth_error *error);
berth_status read_each_attempt(read_pool *p, bool (*fn)(void *ctx, const store_attempt *a),
                               void *ctx, berth_error *error);
berth_status read_attempt(read_pool *p, const uint8_t attempt[STORE_ATTEMPT_SIZE],
                          void (*fn)(void *ctx, const store_attempt *a), void *ctx,
                          berth_error *error);
berth_status read_attempt_state(read_pool *p, const uint8_t attempt[STORE_ATTEMPT_SIZE], buf **base,
                                buf **rest, berth_error *error);

#endif
