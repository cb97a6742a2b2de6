/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts made from a number, each of a daemon of its own, and the stages that they pass: what is
 * on disk then, all of it.
 */
#ifndef STORE_ATTEMPTS_FIXTURE_H
#define STORE_ATTEMPTS_FIXTURE_H

#include "unit/store_fixture.h"

#include "store/attempts.h"

#include <sqlite3.h>

typedef enum stage {
    T_NONE, /* at the target: no trace */
    T_PREPARED,
    T_OWNED,
    T_REFUSED,
    T_BASED,      /* prepared on what was staged */
    T_OWNED_BASE, /* owned, with that as the snapshot: the same on disk as T_OWNED */
    S_BARE,       /* at the source: a row, without a snapshot */
    S_NONE,       /* a row with a snapshot */
    S_RELEASED,
    S_HANDED_OVER,
    S_TAKEN_BACK,
    STAGES
} stage;

#define INCARNATION 5
#define SEQUENCE    88

/* The numbers that make the bytes of a state and of the containers. */
#define OF_STATE 900
#define OF_FIRST 1
#define OF_OWNED SEQUENCE
#define OF_BACK  99

static inline bool is_open(stage at)
{
    return at == T_PREPARED || at == T_BASED || at == S_RELEASED;
}

static inline store_attempt_phase phase_at(stage at)
{
    static const store_attempt_phase phases[STAGES] = {
        [T_PREPARED] = STORE_PREPARED,       [T_OWNED] = STORE_OWNED,
        [T_REFUSED] = STORE_REFUSED,         [S_RELEASED] = STORE_RELEASED,
        [S_HANDED_OVER] = STORE_HANDED_OVER, [S_TAKEN_BACK] = STORE_TAKEN_BACK,
        [T_BASED] = STORE_PREPARED,          [T_OWNED_BASE] = STORE_OWNED,
    };

    return phases[at];
}

/* Attempt n, of the daemon of the same number. */
static inline store_attempt an_attempt(uint64_t n)
{
    static _Thread_local char records[16][48];
    char *record = records[n % 16];
    store_attempt a = {.epoch = n + 1000, .not_after_s = (int64_t)n + 10};
    store_daemon row = a_row(n);

    memcpy(a.entity, row.entity, sizeof a.entity);
    memset(a.attempt, 0xA7, sizeof a.attempt);
    memcpy(a.attempt, &n, sizeof n);
    snprintf(record, sizeof records[0], "order, seal and key of %llu", (unsigned long long)n);
    a.record = slice_str(record);
    return a;
}

/* The row that it has where it arrives, and has had where it left. */
static inline store_daemon moving_row(uint64_t n)
{
    store_daemon row = a_row(n);

    row.incarnation = INCARNATION;
    row.epoch = n + 1000;
    row.sequence_limit = 4096;
    return row;
}

/* ---- Staging, which no barrier waits for ---- */

typedef struct staging_outcome {
    outcome o;
    sem_t done;
} staging_outcome;

static inline void note_staged(void *ctx, berth_status status, const berth_error *error)
{
    staging_outcome *s = ctx;

    note_outcome(&s->o, status, error);
    sem_post(&s->done);
}

/* Stages what n's container is at a sequence, in the middle of a larger buffer. */
static inline void stage_it(store *s, uint64_t n, uint64_t sequence, size_t len,
                            staging_outcome *out)
{
    store_attempt a = an_attempt(n);
    buf *bytes = a_container(n, sequence, len), *hold = buf_new(len + 20);

    memset(hold->data, 0xDD, hold->len);
    memcpy(hold->data + 7, bytes->data, len);
    out->o = (outcome){0};
    sem_init(&out->done, 0, 0);
    store_attempt_stage(s, a.attempt, slice_of(hold->data + 7, len), hold, note_staged, out);
    buf_unref(bytes);
    buf_unref(hold);
}

static inline outcome until_staged(staging_outcome *out)
{
    while (sem_wait(&out->done) != 0)
        ;
    sem_destroy(&out->done);
    assert_int_equal(out->o.calls, 1);
    assert_int_equal(out->o.error.code, out->o.status);
    return out->o;
}

static inline outcome staged_it(store *s, uint64_t n, uint64_t sequence, size_t len)
{
    staging_outcome out;

    stage_it(s, n, sequence, len, &out);
    return until_staged(&out);
}

/* What was unstaged goes soon. */
static inline void until_files(unsigned n)
{
    while (count_files("snapshots") != n)
        usleep(1000);
}

/* Hands in the step that leads to a stage: from the one before it, or, to T_NONE, back. len is of
 * the state that is kept, and of the container. */
static inline void go(store *s, uint64_t n, stage to, size_t len, store_done *done, void *ctx)
{
    store_attempt a = an_attempt(n);
    store_daemon row = moving_row(n);
    buf *state = a_container(n, OF_STATE, len), *b = NULL;
    berth_status how;

    switch (to) {
    case T_NONE:
        store_attempt_drop(s, a.attempt, done, ctx);
        break;
    case T_PREPARED:
        store_attempt_prepare(s, &a, state, done, ctx);
        break;
    case T_OWNED:
        b = a_container(n, OF_OWNED, len);
        store_attempt_own(s, a.attempt, &row, INCARNATION, SEQUENCE, b, done, ctx);
        break;
    case T_REFUSED:
        store_attempt_refuse(s, &a, done, ctx);
        break;
    case T_BASED:
        how = staged_it(s, n, OF_OWNED, len).status;
        assert_true(!how || how == BERTH_ERR_EXISTS); /* of a prepare that failed */
        store_attempt_prepare(s, &a, state, done, ctx);
        break;
    case T_OWNED_BASE:
        store_attempt_own(s, a.attempt, &row, INCARNATION, SEQUENCE, NULL, done, ctx);
        break;
    case S_BARE:
        row.epoch = 0;
        store_add_daemon(s, &row, done, ctx);
        break;
    case S_NONE:
        b = a_container(n, OF_FIRST, len);
        store_put_snapshot(s, row.entity, INCARNATION, OF_FIRST, b, false, done, ctx);
        break;
    case S_RELEASED:
        store_attempt_release(s, &a, state, done, ctx);
        break;
    case S_HANDED_OVER:
        store_attempt_hand_over(s, a.attempt, INCARNATION, SEQUENCE, done, ctx);
        break;
    case S_TAKEN_BACK:
        b = a_container(n, OF_BACK, len);
        store_attempt_take_back(s, a.attempt, n + 1001, slice_of("resealed", 8), INCARNATION,
                                OF_BACK, b, done, ctx);
        break;
    case STAGES:
        break;
    }
    buf_unref(state);
    buf_unref(b);
}

static inline outcome went(store *s, uint64_t n, stage to, size_t len)
{
    unsigned files = count_files("snapshots");
    outcome o = {0};

    go(s, n, to, len, note_outcome, &o);
    waited(s, &o);
    if (to == T_BASED && o.status) {
        assert_int_equal(count_files("snapshots"), files + 1); /* it is still staged */
        store_attempt_unstage(s, an_attempt(n).attempt);
        until_files(files);
    }
    return o;
}

/* From nothing to a stage; PREPARED comes before REFUSED. */
static inline void bring(store *s, uint64_t n, stage to, size_t len)
{
    static const stage before[STAGES] = {
        [T_PREPARED] = T_NONE,       [T_OWNED] = T_PREPARED,   [T_REFUSED] = T_PREPARED,
        [T_BASED] = T_NONE,          [T_OWNED_BASE] = T_BASED, [S_BARE] = T_NONE,
        [S_NONE] = S_BARE,           [S_RELEASED] = S_NONE,    [S_HANDED_OVER] = S_RELEASED,
        [S_TAKEN_BACK] = S_RELEASED,
    };
    outcome o;

    if (to == T_NONE)
        return;
    bring(s, n, before[to], len);
    o = went(s, n, to, len);
    if (o.status)
        fail_msg("%s", o.error.text);
}

/* ---- What is on disk ---- */

typedef struct seen_attempt {
    unsigned calls;
    store_attempt a;
    uint8_t record[STORE_RECORD_MAX];
} seen_attempt;

static inline void see_attempt(void *ctx, const store_attempt *a)
{
    seen_attempt *seen = ctx;

    seen->calls++;
    seen->a = *a;
    memcpy(seen->record, a->record.ptr ? a->record.ptr : seen->record, a->record.len);
    seen->a.record = slice_of(seen->record, a->record.len);
}

static inline bool same_bytes(buf *got, uint64_t n, uint64_t number, size_t len)
{
    buf *want = a_container(n, number, len);
    bool same = got && slice_eq(slice_of(want->data, want->len), slice_of(got->data, got->len));

    buf_unref(want);
    return same;
}

static inline bool holds_attempt(store *s, uint64_t n, stage at, size_t len)
{
    static seen_attempt seen;
    store_attempt a = an_attempt(n);
    buf *state = NULL, *base = NULL;
    bool right;

    seen.calls = 0;
    if (!phase_at(at))
        return store_attempt_get(s, a.attempt, see_attempt, &seen, NULL) == BERTH_ERR_NOT_FOUND &&
               !seen.calls && store_attempt_state(s, a.attempt, &base, &state, NULL) == BERTH_OK &&
               !state && !base;
    right = store_attempt_get(s, a.attempt, see_attempt, &seen, NULL) == BERTH_OK &&
            seen.calls == 1 && seen.a.phase == phase_at(at) &&
            memcmp(seen.a.attempt, a.attempt, sizeof a.attempt) == 0 &&
            memcmp(seen.a.entity, a.entity, sizeof a.entity) == 0 && seen.a.epoch == a.epoch &&
            seen.a.not_after_s == a.not_after_s &&
            store_attempt_state(s, a.attempt, &base, &state, NULL) == BERTH_OK;
    if (is_open(at))
        right = right && slice_eq(seen.a.record, a.record) && seen.a.state_bytes == len &&
                same_bytes(state, n, OF_STATE, len);
    else
        right = right && seen.a.record.len == 0 && seen.a.state_bytes == 0 && !state;
    right = right && seen.a.base_bytes == (at == T_BASED ? len : 0) &&
            (at == T_BASED ? same_bytes(base, n, OF_OWNED, len) : !base);
    buf_unref(base);
    buf_unref(state);
    return right;
}

static inline bool holds_mark(store *s, uint64_t n, uint64_t incarnation, uint64_t sequence)
{
    store_daemon row = a_row(n);
    uint64_t i, q;

    return store_get_mark(s, row.entity, &i, &q, NULL) == BERTH_OK && i == incarnation &&
           q == sequence;
}

/* Everything that concerns attempt n is as it is at this stage, and nothing is of another. */
static inline bool is_at(store *s, uint64_t n, stage at, size_t len)
{
    static wanted w;
    store_desired desired = at == S_RELEASED ? STORE_MOVED : STORE_RUN;
    bool there = find_row(s, n, &w);

    if (!holds_attempt(s, n, at, len) || (there && w.row.desired != desired))
        return false;
    switch (at) {
    case T_OWNED:
    case T_OWNED_BASE:
        return there && w.row.epoch == n + 1000 && w.row.snapshot_sequence == OF_OWNED &&
               holds_snapshot(s, n, OF_OWNED, len) && holds_mark(s, n, 0, 0);
    case S_BARE:
        return there && !w.row.has_snapshot;
    case S_NONE:
    case S_RELEASED:
        return there && w.row.epoch == 0 && slice_eq(w.row.identity, slice_str("sealed")) &&
               w.row.snapshot_sequence == OF_FIRST && holds_snapshot(s, n, OF_FIRST, len);
    case S_HANDED_OVER:
        return !there && holds_mark(s, n, INCARNATION, SEQUENCE);
    case S_TAKEN_BACK:
        return there && w.row.epoch == n + 1001 &&
               slice_eq(w.row.identity, slice_str("resealed")) && !w.row.clean &&
               w.row.snapshot_sequence == OF_BACK && holds_snapshot(s, n, OF_BACK, len);
    default:
        return !there && holds_mark(s, n, 0, 0);
    }
}

/* How many files there are of one attempt at a stage. What was staged is one, however short. */
static inline unsigned files_at(stage at, size_t len)
{
    static const unsigned files[STAGES] = {
        [T_PREPARED] = 1, [T_OWNED] = 1,    [T_BASED] = 1,
        [S_NONE] = 1,     [S_RELEASED] = 2, [S_TAKEN_BACK] = 1,
    };
    unsigned staged = at == T_BASED || at == T_OWNED_BASE;

    return staged + (len > STORE_INLINE_SNAPSHOT ? files[at] : 0);
}

/* ---- The disk as a whole ---- */

static inline uint64_t mix(uint64_t h, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ ((const uint8_t *)bytes)[i]) * 0x100000001B3u;
    return h;
}

static inline uint64_t mix_table(uint64_t h, sqlite3 *db, const char *table)
{
    sqlite3_stmt *st;
    char sql[80];

    snprintf(sql, sizeof sql, "SELECT * FROM %s ORDER BY 1", table);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    h = mix(h, table, strlen(table));
    while (sqlite3_step(st) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(st); i++) {
            const void *bytes = sqlite3_column_blob(st, i);
            int len = sqlite3_column_bytes(st, i);

            h = mix(mix(h, &len, sizeof len), bytes ? bytes : "", (size_t)len);
        }
    sqlite3_finalize(st);
    return h;
}

/* Of every row, and of the names of the files: equal, if nothing has changed. */
static inline uint64_t fingerprint(void)
{
    static const char *const tables[] = {"daemon",       "snapshot",         "mark",
                                         "fact",         "attempt",          "attempt_state",
                                         "attempt_base", "attempt_forgotten"};
    uint64_t h = 0xCBF29CE484222325u, names = 0;
    struct dirent *entry;
    sqlite3 *db;
    DIR *d;

    assert_int_equal(sqlite3_open(in_state("store.db"), &db), SQLITE_OK);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        h = mix_table(h, db, tables[i]);
    sqlite3_close(db);
    d = opendir(in_state("snapshots"));
    while ((entry = readdir(d)))
        names += mix(h, entry->d_name, strlen(entry->d_name)); /* in any order */
    closedir(d);
    return h ^ names;
}

/* The only file of the snapshots. */
static inline const char *only_file(void)
{
    static char path[320];
    DIR *d = opendir(in_state("snapshots"));
    struct dirent *entry;

    assert_int_equal(count_files("snapshots"), 1);
    while ((entry = readdir(d)))
        if (entry->d_name[0] != '.')
            snprintf(path, sizeof path, "%s/snapshots/%.200s", state_dir, entry->d_name);
    closedir(d);
    return path;
}

static inline void assert_refused(outcome o, berth_status status, uint64_t before)
{
    if (o.status != status)
        fail_msg("%d in place of %d: %s", o.status, status, o.error.text);
    assert_true(strlen(o.error.text) > 20);
    assert_int_equal(fingerprint(), before);
}

static inline void tamper(const char *statement)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(in_state("store.db"), &db), SQLITE_OK);
    if (sqlite3_exec(db, statement, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", statement, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static inline store *reopen(store *s)
{
    store_close(s);
    return open_store();
}

#endif
