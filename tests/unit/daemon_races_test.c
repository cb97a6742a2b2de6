/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start, shutdown and restores against each other, and lookers against daemons that are busy
 * (compute-core K3, K13, K14, §18.9, §18.24, §20).
 */
#include "daemon_help.h"

#include <dirent.h>

static buf *snapshot_of(berth_runtime *rt, uint64_t d)
{
    void *bytes;
    uint64_t len;
    OK(berth_snapshot(rt, d, &bytes, &len, NULL));
    buf *b = buf_copy(bytes, len);
    free(bytes);
    return b;
}

/* ---- Start ----------------------------------------------------------------------------------- */

typedef struct race {
    berth_runtime *rt;
    pthread_barrier_t begin;
    berth_status status;
    const buf *snapshot;
    uint64_t first; /* the identities of this thread are numbered from here */
    bool bring;     /* the instance's table, too */
    atomic_int restored, refused, other;
} race;

static void *start_it(void *arg)
{
    race *r = arg;
    pthread_barrier_wait(&r->begin);
    r->status = berth_runtime_start(r->rt, NULL);
    return NULL;
}

/* compute-core K13 and §20 (64 trials), as far as one machine goes: Ready is not seen before all
 * that Ready promises is there */
static void whoever_sees_ready_can_spawn(void **state)
{
    (void)state;
    for (int trial = 0; trial < 64; trial++) {
        race r = {0};
        pthread_t thread;
        uint64_t d;
        OK(berth_runtime_new(NULL, &r.rt, NULL));
        OK(berth_register_factory(r.rt, &kind_counter, NULL));
        pthread_barrier_init(&r.begin, NULL, 2);
        pthread_create(&thread, NULL, start_it, &r);
        pthread_barrier_wait(&r.begin);
        while (berth_runtime_get_state(r.rt) != BERTH_RUNTIME_READY)
            ;
        OK(berth_spawn_kind(r.rt, "counter", NULL, NULL, &d, NULL));
        assert_string_equal(ask_it(r.rt, d, ""), "1");
        pthread_join(thread, NULL);
        OK(r.status);
        pthread_barrier_destroy(&r.begin);
        berth_runtime_free(r.rt);
        assert_int_equal(kinds_alive, 0);
    }
}

static unsigned threads_of_ours(void)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned n = 0;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

/* compute-core K14, §20 (start vs shutdown): whoever wins, it ends shut down, and nothing that
 * start made is left, no thread either */
static void whoever_wins_of_start_and_shutdown_nothing_is_left(void **state)
{
    (void)state;
    unsigned before = threads_of_ours();
    int won = 0;
    for (int round = 0; round < 200; round++) {
        race r = {0};
        pthread_t thread;
        uint64_t d;
        OK(berth_runtime_new(NULL, &r.rt, NULL));
        OK(berth_register_factory(r.rt, &kind_echo, NULL));
        pthread_barrier_init(&r.begin, NULL, 2);
        pthread_create(&thread, NULL, start_it, &r);
        pthread_barrier_wait(&r.begin);
        for (int i = round % 40; i > 0; i--)
            sched_yield();
        OK(berth_runtime_shutdown(r.rt, 1000, NULL));
        pthread_join(thread, NULL);
        won += r.status == BERTH_OK;
        assert_true(r.status == BERTH_OK || r.status == BERTH_ERR_SHUTTING_DOWN);
        assert_int_equal(berth_runtime_get_state(r.rt), BERTH_RUNTIME_SHUTTING_DOWN);
        FAILS(berth_spawn_kind(r.rt, "echo", NULL, NULL, &d, NULL), SHUTTING_DOWN);
        FAILS(berth_runtime_start(r.rt, NULL), SHUTTING_DOWN);
        pthread_barrier_destroy(&r.begin);
        berth_runtime_free(r.rt);
    }
    UNTIL(threads_of_ours() == before); /* one that was joined may still be listed for a moment */
    (void)won;                          /* who wins how often is up to the machine */
}

/* ---- Restores -------------------------------------------------------------------------------- */

static void *restore_many(void *arg)
{
    race *r = arg;
    pthread_barrier_wait(&r->begin);
    for (;;) {
        berth_keypair key = key_of(r->first);
        uint64_t d;
        berth_status status =
            r->bring ? berth_spawn_from_snapshot_with_daemon(r->rt, &key, r->snapshot->data,
                                                             r->snapshot->len, NULL, &kind_counter,
                                                             NULL, &d, NULL)
                     : berth_spawn_from_snapshot(r->rt, NULL, &key, r->snapshot->data,
                                                 r->snapshot->len, NULL, &d, NULL);
        if (status == BERTH_OK) {
            atomic_fetch_add(&r->restored, 1);
            berth_stop(r->rt, d, 0, NULL);
        } else {
            atomic_fetch_add(status == BERTH_ERR_SHUTTING_DOWN ? &r->refused : &r->other, 1);
            return NULL;
        }
    }
}

/* compute-core §18.9, §20 (inbound restore vs shutdown), K11, K12: no daemon comes back to life
 * behind a shutdown, and no factory stays with its key */
static void whoever_wins_of_restore_and_shutdown_no_daemon_is_left(void **state)
{
    buf *snapshots[2];
    for (uint64_t i = 0; i < 2; i++) {
        berth_runtime *rt = help_runtime(state, NULL);
        berth_keypair key = key_of(i + 1);
        uint64_t d;
        OK(berth_spawn_kind(rt, "counter", &key, NULL, &d, NULL));
        OK(tell_it(rt, d, ""));
        snapshots[i] = snapshot_of(rt, d);
        help_free(state, rt);
    }
    for (int round = 0; round < 60; round++) {
        berth_runtime *rt = help_runtime(state, NULL);
        pthread_t threads[2];
        race r[2];
        for (int i = 0; i < 2; i++) {
            r[i] = (race){
                .rt = rt, .snapshot = snapshots[i], .first = (uint64_t)i + 1, .bring = i == 1};
            pthread_barrier_init(&r[i].begin, NULL, 2);
            pthread_create(&threads[i], NULL, restore_many, &r[i]);
        }
        for (int i = 0; i < 2; i++)
            pthread_barrier_wait(&r[i].begin);
        for (int i = round * 5; i > 0; i--)
            sched_yield();
        OK(berth_runtime_shutdown(rt, 10000, NULL));
        for (int i = 0; i < 2; i++) {
            pthread_join(threads[i], NULL);
            pthread_barrier_destroy(&r[i].begin);
            assert_int_equal(r[i].refused, 1);
            assert_int_equal(r[i].other, 0);
        }
        assert_int_equal(berth_daemon_count(rt), 0);
        assert_int_equal(factories_count(&rt->factories), 0);
        help_free(state, rt);
    }
    for (int i = 0; i < 2; i++)
        buf_unref(snapshots[i]);
}

typedef struct stalled {
    berth_runtime *rt;
    const buf *snapshot;
    berth_status status;
    berth_error error;
} stalled;

static void *restore_stalled(void *arg)
{
    stalled *s = arg;
    berth_keypair key = key_of(1);
    uint64_t d;
    berth_daemon_config config = {.size = sizeof(config), .config = "gate", .config_len = 4};
    s->status = berth_spawn_from_snapshot(s->rt, NULL, &key, s->snapshot->data, s->snapshot->len,
                                          &config, &d, &s->error);
    return NULL;
}

/* The same, with shutdown surely in between. */
static void a_restore_that_shutdown_overtakes_says_so_and_leaves_nothing(void **state)
{
    stalled s = {.rt = help_runtime(state, NULL)};
    berth_keypair key = key_of(1);
    pthread_t thread;
    uint64_t d;
    OK(berth_spawn_kind(s.rt, "script", &key, NULL, &d, NULL));
    s.snapshot = snapshot_of(s.rt, d);
    OK(berth_stop(s.rt, d, 0, NULL));
    kinds_gate_close();
    pthread_create(&thread, NULL, restore_stalled, &s);
    kinds_gate_await(1);
    OK(berth_runtime_shutdown(s.rt, 1000, NULL));
    kinds_gate_open();
    pthread_join(thread, NULL);
    if (s.status != BERTH_ERR_SHUTTING_DOWN)
        fail_msg("%s", s.error.text);
    assert_int_equal(berth_daemon_count(s.rt), 0);
    assert_int_equal(factories_count(&s.rt->factories), 0);
    buf_unref((buf *)s.snapshot);
    help_free(state, s.rt);
}

/* ---- Placeholders ---------------------------------------------------------------------------- */

typedef struct waiter {
    berth_runtime *rt;
    berth_keypair key;
    bool with_key;
    berth_status status;
} waiter;

static void *expect_it(void *arg)
{
    waiter *w = arg;
    w->status = w->with_key
                    ? berth_register_migration_target_identity(w->rt, "echo", &w->key, NULL, NULL)
                    : berth_expect_migration(w->rt, "echo", w->key.origin, 0, NULL, NULL);
    return NULL;
}

/* As the C library has it: 2 means that somebody waits. */
static bool is_waited_for(const pthread_mutex_t *lock)
{
    return *(const volatile int *)&lock->__data.__lock == 2;
}

/* compute-core K12, the narrowest case: it has seen Ready, and is put into the table when shutdown
 * has begun */
static void a_placeholder_that_shutdown_overtakes_is_taken_back(void **state)
{
    for (int with_key = 0; with_key < 2; with_key++) {
        waiter w = {.rt = help_runtime(state, NULL), .key = key_of(1), .with_key = with_key};
        factory_shard *shard = factories_shard(&w.rt->factories, w.key.origin);
        pthread_t thread;
        pthread_mutex_lock(&shard->lock);
        pthread_create(&thread, NULL, expect_it, &w);
        UNTIL(is_waited_for(&shard->lock));
        atomic_store(&w.rt->state, BERTH_RUNTIME_SHUTTING_DOWN); /* the first step of shutdown */
        pthread_mutex_unlock(&shard->lock);
        pthread_join(thread, NULL);
        FAILS(w.status, SHUTTING_DOWN);
        assert_int_equal(factories_count(&w.rt->factories), 0);
        help_free(state, w.rt);
    }
}

/* ---- Locks ----------------------------------------------------------------------------------- */

typedef struct looker {
    berth_runtime *rt;
    uint64_t origin;
    int what;
    atomic_bool *over;
} looker;

static bool any(void *ctx, const berth_daemon_info *info)
{
    (void)info;
    return !atomic_load((atomic_bool *)ctx);
}

/* All that could want the lock of this daemon; what it answers does not matter. */
static void *look(void *arg)
{
    looker *l = arg;
    do {
        berth_daemon_info info;
        berth_input in = {.data = "add:1", .len = 5};
        uint64_t n;
        void *bytes;
        switch (l->what) {
        case 0:
            berth_daemons_each(l->rt, any, l->over);
            break;
        case 1:
            berth_daemon_get(l->rt, l->origin, &info, NULL);
            break;
        case 2:
            berth_submit(l->rt, l->origin, &in, 1, NULL, NULL, NULL);
            break;
        case 3:
            if (berth_snapshot(l->rt, l->origin, &bytes, &n, NULL) == BERTH_OK)
                free(bytes);
            break;
        default:
            berth_subscribe_channel(l->rt, l->origin, 0, "c", NULL, 0, NULL);
        }
    } while (!atomic_load(l->over));
    return NULL;
}

/* compute-core K3: who waits for a daemon's lock holds no table's: with one daemon's lock held, and
 * a crowd that wants it, everything goes on for the others */
static void who_waits_for_a_daemon_holds_no_table(void **state)
{
    enum { LOOKERS = 5 };
    berth_runtime_config config = {.size = sizeof(config), .threads = 2, .call_budget_ns = 1000000};
    berth_runtime *rt = help_runtime(state, &config);
    atomic_bool over = false;
    uint64_t held = spawn_of(rt, "script"), other, got;
    looker l[LOOKERS];
    pthread_t threads[LOOKERS];
    OK(berth_flush(rt, held, NULL));
    struct daemon *d = registry_get(&rt->registry, held);
    assert_non_null(d);
    pthread_mutex_lock(&d->lock);
    for (int i = 0; i < LOOKERS; i++) {
        l[i] = (looker){rt, held, i, &over};
        pthread_create(&threads[i], NULL, look, &l[i]);
    }
    for (int i = 0; i < 100; i++) {
        berth_daemon_config named = {.size = sizeof(named), .name = "other"};
        OK(berth_spawn_kind(rt, "counter", NULL, &named, &other, NULL));
        assert_string_equal(ask_it(rt, other, ""), "1");
        OK(berth_daemon_find(rt, "other", &got, NULL));
        assert_int_equal(got, other);
        assert_int_equal(berth_daemon_count(rt), 2);
        OK(berth_expect_migration(rt, "echo", 5, 0, NULL, NULL));
        OK(berth_forget_placeholder(rt, 5, NULL));
        OK(berth_stop(rt, other, 0, NULL));
    }
    pthread_mutex_unlock(&d->lock);
    atomic_store(&over, true);
    for (int i = 0; i < LOOKERS; i++)
        pthread_join(threads[i], NULL);
    daemon_unref(d);
    help_free(state, rt);
}

static bool note(void *ctx, const berth_daemon_info *info)
{
    assert_true(info->name[0] && info->kind[0]);
    ++*(int *)ctx;
    return true;
}

/* compute-core §18.24: names are there without asking the daemon */
static void a_list_does_not_wait_for_daemons_that_are_busy(void **state)
{
    enum { BUSY = 3 };
    berth_runtime_config config = {.size = sizeof(config), .threads = 2, .call_budget_ns = 1000000};
    berth_runtime *rt = help_runtime(state, &config);
    uint64_t d[BUSY], got;
    int n = 0;
    kinds_gate_close();
    for (int i = 0; i < BUSY; i++) {
        d[i] = spawn_of(rt, "script");
        OK(post_it(rt, d[i], "gate"));
    }
    kinds_gate_await(BUSY); /* all are inside a call, and stay there */
    berth_daemons_each(rt, note, &n);
    assert_int_equal(n, BUSY);
    for (int i = 0; i < BUSY; i++) {
        OK(berth_daemon_find(rt, info_of(rt, d[i]).name, &got, NULL));
        assert_int_equal(got, d[i]);
    }
    kinds_gate_open();
    for (int i = 0; i < BUSY; i++)
        OK(berth_flush(rt, d[i], NULL));
    help_free(state, rt);
}

/* ---- Apart ----------------------------------------------------------------------------------- */

/* compute-core §20 (bindings): two daemons do not share state; older and newer snapshots restore
 * their own counters */
static void daemons_and_snapshots_keep_their_own_counts(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_keypair key = key_of(1);
    uint64_t a, b = spawn_of(rt, "counter");
    buf *snapshots[3];
    OK(berth_spawn_kind(rt, "counter", &key, NULL, &a, NULL));
    for (int i = 0; i < 3; i++) {
        snapshots[i] = snapshot_of(rt, a);
        OK(tell_it(rt, a, ""));
        OK(tell_it(rt, a, ""));
        assert_string_equal(ask_it(rt, b, ""), say("%d", i + 1));
    }
    OK(berth_stop(rt, a, 0, NULL));
    for (int i = 2; i >= 0; i--) {
        OK(berth_spawn_from_snapshot(rt, NULL, &key, snapshots[i]->data, snapshots[i]->len, NULL,
                                     &a, NULL));
        assert_string_equal(ask_it(rt, a, ""), say("%d", 2 * i + 1));
        OK(berth_stop(rt, a, 0, NULL));
        buf_unref(snapshots[i]);
    }
    assert_string_equal(ask_it(rt, b, ""), "4");
    help_free(state, rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_sees_ready_can_spawn),
        cmocka_unit_test(whoever_wins_of_start_and_shutdown_nothing_is_left),
        BOTH(whoever_wins_of_restore_and_shutdown_no_daemon_is_left),
        BOTH(a_restore_that_shutdown_overtakes_says_so_and_leaves_nothing),
        INLINE(a_placeholder_that_shutdown_overtakes_is_taken_back),
        BOTH(who_waits_for_a_daemon_holds_no_table),
        INLINE(a_list_does_not_wait_for_daemons_that_are_busy),
        BOTH(daemons_and_snapshots_keep_their_own_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
