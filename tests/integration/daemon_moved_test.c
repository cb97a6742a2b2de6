/* SPDX-License-Identifier: Apache-2.0 */
/* A daemon that is on its way to another host, when this one starts again. */
#include "daemon_home.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEPT(one_that_was_released_is_neither_run_nor_down_until_it_is_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
