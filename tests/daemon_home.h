/* SPDX-License-Identifier: Apache-2.0 */
/* tests/daemon_home.h: a state directory, and runtimes that live in it one after the other. */
#ifndef TESTS_DAEMON_HOME_H
#define TESTS_DAEMON_HOME_H

#include "daemon_help.h"

#include "chain/continuity.h"
#include "store/store.h"

#include <ftw.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

static char home_dir[64];
static uint8_t home_key[32] = {7, 1, 2, 3};

typedef struct home {
    store *store;
    berth_runtime *rt;
} home;

static inline int home_remove(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(name);
}

static inline int home_make(void **state)
{
    (void)state;
    strcpy(home_dir, "/tmp/berth-home-XXXXXX");
    assert_non_null(mkdtemp(home_dir));
    return 0;
}

static inline int home_forget(void **state)
{
    (void)state;
    nftw(home_dir, home_remove, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}

/* A test in a state directory of its own: with instances that answer at once, or later. */
#define KEPT(test)                                                                                 \
    {                                                                                              \
#test, test, home_make, home_forget, NULL                                                  \
    }
#define LATER(test)                                                                                \
    {                                                                                              \
#test " (answered later)", test, home_make, home_forget, (void *)&async_ops                \
    }

/* With the kinds whose letters are given (e, c, s); not resumed yet. */
static inline home home_open_with(void **state, const char *kinds, uint64_t block)
{
    home h;
    berth_error error = {0};
    log_set_level(LOG_LEVEL_ERROR);
    log_set_sink(help_log, NULL);
    kinds_gate_open();
    if (store_open(home_dir, &h.store, &error) != BERTH_OK)
        fail_msg("%s", error.text);
    runtime_parts parts = {.store = h.store, .host_key = home_key};
    OK(runtime_new(&parts, &h.rt, NULL));
    for (const char *k = kinds; *k; k++)
        OK(berth_register_factory(h.rt,
                                  *k == 'e'   ? &kind_echo
                                  : *k == 'c' ? &kind_counter
                                              : &kind_script,
                                  NULL));
    if (block)
        h.rt->sequence_block = block;
    if (*state) {
        async_start();
        h.rt->instances = &async_ops;
    }
    OK(berth_runtime_start(h.rt, NULL));
    return h;
}

static inline home home_open(void **state, uint64_t block)
{
    home h = home_open_with(state, "ecs", block);
    OK(runtime_resume(h.rt, NULL, NULL, NULL));
    return h;
}

static inline void home_close(void **state, home *h)
{
    help_free(state, h->rt);
    store_close(h->store);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

typedef struct home_row {
    bool there, clean, has_snapshot;
    uint64_t incarnation, sequence_limit, snapshot_sequence, origin;
} home_row;

static bool home_take(void *ctx, const store_daemon *row)
{
    home_row *r = ctx;
    if (row->origin == r->origin)
        *r = (home_row){true,
                        row->clean,
                        row->has_snapshot,
                        row->incarnation,
                        row->sequence_limit,
                        row->snapshot_sequence,
                        row->origin};
    return true;
}

/* What is on disk now. */
static inline home_row row_of(home *h, uint64_t origin)
{
    home_row r = {.origin = origin};
    OK(store_each_daemon(h->store, home_take, &r, NULL));
    return r;
}

/* ---- The disk, held ------------------------------------------------------------------------- */

/* While it is held nothing becomes durable. */
static inline sqlite3 *disk_hold(void)
{
    sqlite3 *db;
    char path[128];
    snprintf(path, sizeof(path), "%s/store.db", home_dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static inline void disk_release(sqlite3 *db)
{
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* ---- A chain, checked ------------------------------------------------------------------------ */

/* Reads what is in the tail and checks that it follows; records too. Outputs that passed. */
static inline uint64_t chain_check(chain_verifier *v, tail *t, uint64_t *records)
{
    tail_item items[32];
    uint64_t missed, outputs = 0;
    bool ended;
    for (size_t n; (n = tail_read(t, items, 32, &missed, &ended)) > 0;) {
        for (size_t i = 0; i < n; i++) {
            slice payload = slice_of(items[i].bytes->data + 32, items[i].bytes->len - 32);
            if (items[i].to == TAIL_TO_RECORD) {
                discontinuity record;
                uint64_t lost;
                OK(discontinuity_decode(&record, payload, NULL));
                OK(chain_verifier_discontinuity(v, &record, &lost, NULL));
                ++*records;
            } else {
                berth_link link;
                OK(berth_link_decode(&link, items[i].bytes->data, 32));
                OK(chain_verifier_event(v, &link, payload, NULL));
                outputs++;
            }
            tail_item_release(&items[i]);
        }
        assert_int_equal(missed, 0);
    }
    return outputs;
}

static inline tail *tail_of(berth_runtime *rt, uint64_t d)
{
    tail *t;
    OK(tail_open_daemon(rt, d, TAIL_FROM_RING, NULL, NULL, &t, NULL));
    return t;
}

#endif
