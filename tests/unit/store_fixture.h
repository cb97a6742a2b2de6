/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the store share: a state directory for each test, rows and snapshots made from
 * a number, and changes that are waited for.
 */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store.h"

#include <dirent.h>
#include <ftw.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char state_dir[64];

static inline const char *in_state(const char *name)
{
    static char path[320];

    snprintf(path, sizeof path, "%s/%s", state_dir, name);
    return path;
}

static inline int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(name);
}

static inline void remove_tree(const char *path)
{
    nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline int make_state(void **state)
{
    (void)state;
    strcpy(state_dir, "/tmp/berth-store-XXXXXX");
    return mkdtemp(state_dir) ? 0 : -1;
}

static inline int remove_state(void **state)
{
    (void)state;
    remove_tree(state_dir);
    return 0;
}

static inline store *open_store(void)
{
    berth_error error = {0};
    store *s;

    if (store_open(state_dir, &s, &error))
        fail_msg("%s", error.text);
    return s;
}

/* Row `i` for ever the same; its name lives in a ring of static buffers. */
static inline store_daemon a_row(uint64_t i)
{
    static _Thread_local char names[16][32];
    char *name = names[i % 16];
    store_daemon row = {
        .origin = i * 0x9E3779B97F4A7C15u + 1,
        .name = name,
        .kind = "counter",
        .plugin = "counter",
        .identity = slice_of("sealed", 6),
        .config = slice_of("{}", 2),
        .desired = STORE_RUN,
        .durability = 1,
        .incarnation = 1,
        .created_wall_ns = (int64_t)i,
    };

    snprintf(name, sizeof names[0], "daemon-%llu", (unsigned long long)i);
    memset(row.entity, 0xEE, sizeof row.entity);
    memcpy(row.entity, &i, sizeof i);
    return row;
}

/* Bytes that depend on both numbers, so that no two snapshots of a test are alike. */
static inline buf *a_container(uint64_t i, uint64_t sequence, size_t len)
{
    uint64_t x = (i + 1) * 0x9E3779B97F4A7C15u ^ (sequence + 1) * 0xD1B54A32D192ED03u;
    buf *b = buf_new(len);

    for (size_t at = 0; at < len; at += sizeof x) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        memcpy(b->data + at, &x, len - at < sizeof x ? len - at : sizeof x);
    }
    return b;
}

/* The outcome of one change. */
typedef struct outcome {
    berth_status status;
    unsigned calls;
    berth_error error;
} outcome;

static inline void note_outcome(void *ctx, berth_status status, const berth_error *error)
{
    outcome *o = ctx;

    o->status = status;
    o->calls++;
    o->error = *error;
}

static inline outcome waited(store *s, outcome *o)
{
    store_barrier(s, NULL); /* its answer may be that of the change */
    assert_int_equal(o->calls, 1);
    assert_int_equal(o->error.code, o->status);
    return *o;
}

static inline outcome add_row(store *s, const store_daemon *row)
{
    outcome o = {0};

    store_add_daemon(s, row, note_outcome, &o);
    return waited(s, &o);
}

static inline outcome update_row(store *s, const store_daemon *row, unsigned set)
{
    outcome o = {0};

    store_update_daemon(s, row, set, note_outcome, &o);
    return waited(s, &o);
}

static inline outcome remove_row(store *s, uint64_t i)
{
    store_daemon row = a_row(i);
    outcome o = {0};

    store_remove_daemon(s, row.entity, note_outcome, &o);
    return waited(s, &o);
}

static inline outcome put_bytes(store *s, uint64_t i, uint64_t incarnation, uint64_t sequence,
                                size_t len)
{
    store_daemon row = a_row(i);
    buf *b = a_container(i, sequence, len);
    outcome o = {0};

    store_put_snapshot(s, row.entity, incarnation, sequence, b, false, note_outcome, &o);
    buf_unref(b);
    return waited(s, &o);
}

/* The stored snapshot is the one that put_bytes made of these numbers. */
static inline bool holds_snapshot(store *s, uint64_t i, uint64_t sequence, size_t len)
{
    store_daemon row = a_row(i);
    buf *want = a_container(i, sequence, len), *got = NULL;
    berth_error error = {0};
    bool same;

    same = store_get_snapshot(s, row.entity, &got, &error) == BERTH_OK && got &&
           slice_eq(slice_of(want->data, want->len), slice_of(got->data, got->len));
    if (error.code)
        print_error("%s\n", error.text);
    buf_unref(want);
    buf_unref(got);
    return same;
}

/* One row, if it is there. */
typedef struct wanted {
    const uint8_t *entity;
    bool found;
    store_daemon row;
    char name[256], kind[256], plugin[256];
    size_t identity_len, config_len;
    uint8_t identity[STORE_IDENTITY_MAX], config[STORE_CONFIG_MAX], wants[STORE_WANTS_MAX];
} wanted;

static inline bool keep_wanted(void *ctx, const store_daemon *row)
{
    wanted *w = ctx;

    if (memcmp(row->entity, w->entity, 32) != 0)
        return true;
    w->found = true;
    w->row = *row;
    w->row.name = strcpy(w->name, row->name);
    w->row.kind = strcpy(w->kind, row->kind);
    w->row.plugin = strcpy(w->plugin, row->plugin);
    memcpy(w->identity, row->identity.ptr ? row->identity.ptr : w->identity, row->identity.len);
    memcpy(w->config, row->config.ptr ? row->config.ptr : w->config, row->config.len);
    w->row.identity = slice_of(w->identity, row->identity.len);
    w->row.config = slice_of(w->config, row->config.len);
    memcpy(w->wants, row->wants.ptr ? row->wants.ptr : w->wants, row->wants.len);
    w->row.wants = slice_of(w->wants, row->wants.len);
    return false;
}

static inline bool find_row(store *s, uint64_t i, wanted *w)
{
    store_daemon row = a_row(i);
    uint8_t entity[32];

    memcpy(entity, row.entity, 32);
    w->entity = entity;
    w->found = false;
    assert_int_equal(store_each_daemon(s, keep_wanted, w, NULL), BERTH_OK);
    return w->found;
}

static inline bool count_row(void *ctx, const store_daemon *row)
{
    (void)row;
    ++*(unsigned *)ctx;
    return true;
}

static inline unsigned count_rows(store *s)
{
    unsigned n = 0;

    assert_int_equal(store_each_daemon(s, count_row, &n, NULL), BERTH_OK);
    return n;
}

static inline unsigned count_files(const char *dir)
{
    DIR *d = opendir(in_state(dir));
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2; /* . and .. */
}

/* ---- What is handed in while a gate is closed becomes one group ---- */

typedef struct gate {
    sem_t reached, open;
} gate;

static inline void stop_at_gate(void *ctx, berth_status status, const berth_error *error)
{
    gate *g = ctx;

    (void)status, (void)error;
    sem_post(&g->reached);
    while (sem_wait(&g->open) != 0)
        ;
}

/* From here until open_gate the writer waits, so that what is handed in becomes one group, exactly.
 * The change that holds it is one to a daemon that is not there, and so writes nothing. */
static inline void close_gate(store *s, gate *g)
{
    store_daemon nobody = a_row(999999);

    sem_init(&g->reached, 0, 0);
    sem_init(&g->open, 0, 0);
    store_update_daemon(s, &nobody, STORE_SET_EPOCH, stop_at_gate, g);
    while (sem_wait(&g->reached) != 0)
        ;
}

/* Returns when the group is answered. */
static inline void open_gate(store *s, gate *g)
{
    sem_post(&g->open);
    store_barrier(s, NULL);
    sem_destroy(&g->reached);
    sem_destroy(&g->open);
}

#endif
