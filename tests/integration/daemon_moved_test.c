/* SPDX-License-Identifier: Apache-2.0 */
/* A daemon that is on its way to another host, when this one starts again. */
#include "daemon_home.h"
#include "daemon_moves.h"

#include "daemon/spawn.h"
#include "identity/seal.h"
#include "store/attempts.h"

static const uint8_t attempt[STORE_ATTEMPT_SIZE] = {0xA7, 1};

static uint64_t spawn_named(home *h, const char *kind, const char *name)
{
    uint64_t d;
    berth_daemon_config config = {.size = sizeof(config), .name = name};
    OK(berth_spawn_kind(h->rt, kind, NULL, &config, &d, NULL));
    return d;
}

static void release(home *h, const uint8_t entity[32])
{
    store_attempt a = {.epoch = 1, .not_after_s = 100, .record = slice_str("order")};
    latch stored;
    memcpy(a.attempt, attempt, sizeof(attempt));
    memcpy(a.entity, entity, sizeof(a.entity));
    latch_init(&stored, 1);
    store_attempt_release(h->store, &a, NULL, store_answered, &stored);
    OK(latch_wait(&stored, NULL));
    latch_fini(&stored);
}

/* At epoch 1: its identity is sealed anew, as the epoch is bound to the seal. */
static void take_back(home *h, const berth_keypair *key)
{
    uint8_t sealed[SEAL_SIZE];
    latch stored;
    OK(seal_identity(sealed, key, home_key, "daemon", 1, NULL));
    latch_init(&stored, 1);
    store_attempt_take_back(h->store, attempt, 1, slice_of(sealed, sizeof(sealed)), 0, 0, NULL,
                            store_answered, &stored);
    OK(latch_wait(&stored, NULL));
    latch_fini(&stored);
}

static void count_down(void *ctx, const store_daemon *row, const char *reason)
{
    (void)row, (void)reason;
    ++*(unsigned *)ctx;
}

static unsigned down_count(home *h)
{
    unsigned n = 0;
    runtime_down_each(h->rt, count_down, &n);
    return n;
}

/* delivery.md §5: after RELEASED the source never runs it again, unless the target has refused */
static void one_that_was_released_is_neither_run_nor_down_until_it_is_taken_back(void **state)
{
    home h = home_open(state, 0);
    uint64_t stays = spawn_named(&h, "counter", "stays"), d = spawn_named(&h, "counter", "goes");
    berth_daemon_config config = {.size = sizeof(config), .name = "goes"};
    berth_error error = {0};
    berth_keypair key;
    struct daemon *found = registry_get(&h.rt->registry, d);
    assert_non_null(found);
    key = found->make->key;
    daemon_unref(found);
    assert_string_equal(ask_it(h.rt, d, ""), "1");
    OK(berth_runtime_shutdown(h.rt, 10000, NULL));
    release(&h, key.entity);
    home_close(state, &h);

    h = home_open(state, 0);
    assert_int_equal(berth_daemon_count(h.rt), 1);
    assert_int_equal(down_count(&h), 0);
    assert_string_equal(ask_it(h.rt, stays, ""), "1");
    OK(runtime_resume_down(h.rt, NULL));
    assert_int_equal(berth_daemon_count(h.rt), 1);
    assert_true(row_of(&h, d).there);
    /* Nor is another put in its place. */
    uint64_t other;
    FAILS(berth_spawn_kind(h.rt, "echo", NULL, &config, &other, &error), EXISTS);
    CONTAINS(error.text, "on its way to another host");
    config.name = "again";
    FAILS(berth_spawn_kind(h.rt, "counter", &key, &config, &other, &error), EXISTS);
    CONTAINS(error.text, "on its way to another host");
    assert_int_equal(berth_daemon_count(h.rt), 1);
    take_back(&h, &key);
    home_close(state, &h);

    h = home_open(state, 0);
    assert_int_equal(berth_daemon_count(h.rt), 2);
    assert_int_equal(down_count(&h), 0);
    assert_string_equal(ask_it(h.rt, d, ""), "2");
    home_close(state, &h);
    berth_keypair_wipe(&key);
}

/* ---- One that came while it ran -------------------------------------------------------------- */

static home open_moves(void **state)
{
    home h = home_open_with(state, "ecs", 0);
    moves_provide(h.rt);
    OK(runtime_resume(h.rt, NULL, NULL, NULL));
    return h;
}

typedef struct kept_row {
    home *h;
    buf *base;
    latch stored;
} kept_row;

/* As the journal does: the row is new, the container is the one that came first. */
static void keep_row(void *ctx, const store_daemon *row, uint64_t incarnation, uint64_t sequence,
                     buf *bytes)
{
    kept_row *k = ctx;
    assert_null(bytes);
    assert_false(row->clean);
    assert_true(sequence == 3 && row->sequence_limit > sequence);
    store_add_daemon(k->h->store, row, NULL, NULL);
    store_put_snapshot(k->h->store, row->entity, incarnation, 1, k->base, false, store_answered,
                       &k->stored);
}

static arrival *come(home *h, berth_runtime *from, uint64_t d, buf **base)
{
    leaving l;
    OK(tell_it(from, d, "base"));
    follow(&l, from, d, 1 << 20);
    *base = joined(departure_state(l.x));
    arrival *a = arrive_at(h->rt, "draws", &l, BERTH_OK, NULL);
    OK(tell_it(from, d, "later"));
    OK(tell_it(from, d, "last"));
    close_begin(&l);
    OK(leaving_wait(&l));
    OK(finish_at(&l, a, &l.error));
    departure_release(l.x);
    departure_free(l.x);
    return a;
}

static void what_is_kept_of_one_that_was_followed_is_renewed(void **state)
{
    home h = open_moves(state);
    berth_keypair key = key_of(7);
    berth_runtime *from = kinds_runtime(NULL);
    uint64_t d;
    berth_link head, again;
    moves_provide(from);
    OK(berth_spawn_kind(from, "draws", &key, NULL, &d, NULL));
    kept_row k = {.h = &h};
    arrival *a = come(&h, from, d, &k.base);
    berth_runtime_free(from);
    OK(arrival_open(a, NULL));
    latch_init(&k.stored, 1);
    OK(arrival_row(a, keep_row, &k, NULL));
    OK(latch_wait(&k.stored, NULL));
    latch_fini(&k.stored);
    buf_unref(k.base);
    assert_int_equal(row_of(&h, d).snapshot_sequence, 1);
    assert_int_equal(info_of(h.rt, d).snapshots_taken, 0);
    arrival_kept(a);
    UNTIL(info_of(h.rt, d).snapshots_taken == 1);
    store_barrier(h.store, NULL);
    assert_int_equal(row_of(&h, d).snapshot_sequence, 3); /* without being asked */
    uint64_t was = state_of(h.rt, d, &head);
    OK(berth_runtime_shutdown(h.rt, 10000, NULL));
    home_close(state, &h);

    h = open_moves(state);
    assert_true(state_of(h.rt, d, &again) == was);
    assert_memory_equal(&again, &head, sizeof(head));
    home_close(state, &h);
}

/* What was registered for it counts, may be asked for while it comes, and is back if it does not.
 */
static void a_placeholder_waits_for_one_that_comes_in_pieces(void **state)
{
    home h = open_moves(state);
    berth_keypair key = key_of(7), got;
    berth_runtime *from = kinds_runtime(NULL);
    uint64_t d;
    leaving l;
    moves_provide(from);
    OK(berth_spawn_kind(from, "draws", &key, NULL, &d, NULL));
    OK(berth_register_migration_target_identity(h.rt, "draws", &key, NULL, NULL));
    follow(&l, from, d, 1 << 20);
    for (unsigned i = 0; i < 2; i++) {
        arrival *a = arrive_at(h.rt, "draws", &l, BERTH_OK, NULL);
        moving_place p = runtime_moving_place(h.rt, d, "draws");
        assert_true(p.taken && !p.expected);
        assert_true(runtime_moving_key(h.rt, d, &got));
        assert_memory_equal(&got, &key, sizeof(key));
        arrival_abandon(a);
        p = runtime_moving_place(h.rt, d, "draws");
        assert_true(!p.taken && p.expected && p.has_key);
    }
    leaving_stay(&l);
    berth_runtime_free(from);
    home_close(state, &h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEPT(one_that_was_released_is_neither_run_nor_down_until_it_is_taken_back),
        KEPT(what_is_kept_of_one_that_was_followed_is_renewed),
        LATER(what_is_kept_of_one_that_was_followed_is_renewed),
        KEPT(a_placeholder_waits_for_one_that_comes_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
