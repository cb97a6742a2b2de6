/* SPDX-License-Identifier: Apache-2.0 */
/* Durable daemons, spawned in batches, beside the same rows put into SQLite by hand. */
#include "bench.h"

#include "base/log.h"

#include "base/random.h"
#include "daemon/runtime.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT 10000

static berth_code make(berth_call *call, const berth_birth *birth, void **self)
{
    (void)call;
    (void)birth;
    *self = calloc(1, 16);
    return *self ? BERTH_OK : BERTH_E_MEMORY;
}

static void unmake(void *self, berth_call *call)
{
    (void)call;
    free(self);
}

static berth_code ignore(void *self, berth_call *call, const berth_event *e)
{
    (void)self;
    (void)call;
    (void)e;
    return BERTH_OK;
}

static const berth_kind kind = {.size = sizeof(berth_kind),
                                .name = {"bench", 5},
                                .create = make,
                                .destroy = unmake,
                                .process = ignore};

typedef struct world {
    char dir[64];
    int round;
    berth_keypair *keys;
} world;

static void must(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static int64_t spawn_durable(void *ctx, uint64_t n)
{
    world *w = ctx;
    berth_error error = {0};
    char dir[96];
    uint8_t host_key[32] = {1};
    store *s;
    runtime *rt;
    snprintf(dir, sizeof(dir), "%s/a%d", w->dir, w->round++);
    must(mkdir(dir, 0700) == 0, "mkdir");
    must(store_open(dir, &s, &error) == BERTH_OK, error.text);
    runtime_parts parts = {.store = s, .host_key = host_key};
    must(runtime_new(&parts, &rt, &error) == BERTH_OK, error.text);
    must(berth_register_factory(rt, &kind, &error) == BERTH_OK, error.text);
    must(berth_runtime_start(rt, &error) == BERTH_OK, error.text);
    int64_t t = bench_now();
    must(berth_spawn_batch(rt, "bench", w->keys, n, NULL, NULL, &error) == BERTH_OK, error.text);
    t = bench_now() - t;
    berth_runtime_free(rt);
    store_close(s);
    return t;
}

/* The columns and indexes that the store has, the same sizes, one transaction. */
static int64_t rows_by_hand(void *ctx, uint64_t n)
{
    world *w = ctx;
    char path[96];
    sqlite3 *db;
    sqlite3_stmt *st;
    uint8_t sealed[73] = {0}, digest[32] = {0};
    snprintf(path, sizeof(path), "%s/b%d.db", w->dir, w->round++);
    must(sqlite3_open(path, &db) == SQLITE_OK, "open");
    must(sqlite3_exec(
             db,
             "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
             "CREATE TABLE daemon (id INTEGER PRIMARY KEY, entity BLOB NOT NULL UNIQUE,"
             " origin INTEGER NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE, kind TEXT, plugin TEXT,"
             " digest BLOB, identity BLOB, config BLOB, desired INTEGER, durability INTEGER,"
             " auto_snapshot INTEGER, incarnation INTEGER, epoch INTEGER, sequence_limit INTEGER,"
             " clean INTEGER, created INTEGER) STRICT",
             NULL, NULL, NULL) == SQLITE_OK,
         "schema");
    must(sqlite3_prepare_v2(
             db,
             "INSERT INTO daemon VALUES (NULL,?,?,?,'bench','',?,?,x'',1,2,0,1,0,4294967296,0,?)",
             -1, &st, NULL) == SQLITE_OK,
         "prepare");
    int64_t t = bench_now();
    sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    for (uint64_t i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof(name), "bench-%016llx", (unsigned long long)w->keys[i].origin);
        sqlite3_bind_blob(st, 1, w->keys[i].entity, 32, SQLITE_STATIC);
        sqlite3_bind_int64(st, 2, (int64_t)w->keys[i].origin);
        sqlite3_bind_text(st, 3, name, -1, SQLITE_STATIC);
        sqlite3_bind_blob(st, 4, digest, sizeof(digest), SQLITE_STATIC);
        sqlite3_bind_blob(st, 5, sealed, sizeof(sealed), SQLITE_STATIC);
        sqlite3_bind_int64(st, 6, t);
        must(sqlite3_step(st) == SQLITE_DONE, sqlite3_errmsg(db));
        sqlite3_reset(st);
    }
    must(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK, "commit");
    t = bench_now() - t;
    sqlite3_finalize(st);
    sqlite3_close(db);
    return t;
}

int main(int argc, char **argv)
{
    world w = {.dir = "./berth-bench-XXXXXX"};
    char command[96];
    bench_begin(argc, argv);
    log_set_level(LOG_LEVEL_ERROR);
    must(mkdtemp(w.dir) != NULL, "mkdtemp");
    w.keys = calloc(COUNT, sizeof(*w.keys));
    for (int i = 0; i < COUNT; i++)
        berth_keypair_generate(&w.keys[i]);
    bench_run(&(bench_row){"spawn", "durable, 10,000 in a batch", "daemon",
                           "the same rows, one transaction", "at most 1.5x", spawn_durable,
                           rows_by_hand, &w, COUNT, 7, false, NULL, 0});
    bench_end();
    snprintf(command, sizeof(command), "rm -rf %s", w.dir);
    return system(command);
}
