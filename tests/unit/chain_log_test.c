/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chain/chain.h"
#include "chain/entity_log.h"
#include "chain/fork.h"

#include <stdio.h>
#include <string.h>

struct fixture {
    berth_keypair key;
    chain c;
    entity_log *log;
};

static int make(void **state)
{
    static struct fixture f;

    berth_keypair_generate(&f.key);
    chain_init(&f.c, f.key.origin);
    f.log = entity_log_new(f.key.entity);
    *state = &f;
    return f.log ? 0 : -1;
}

static int drop(void **state)
{
    entity_log_unref(((struct fixture *)*state)->log);
    return 0;
}

static berth_status append(entity_log *log, const berth_link *link, const char *payload,
                           berth_chain_fault *fault, berth_error *error)
{
    buf *b = buf_copy(payload, strlen(payload));
    berth_status status = entity_log_append(log, link, b, 1, fault, error);

    buf_unref(b);
    return status;
}

/* n more outputs of the chain, put into the log. */
static void grow(struct fixture *f, int n)
{
    char payload[32];
    berth_link link;

    for (int i = 0; i < n; i++) {
        snprintf(payload, sizeof payload, "output %d", i);
        assert_int_equal(chain_append_apart(&f->c, slice_str(payload), 0, &link), BERTH_OK);
        assert_int_equal(append(f->log, &link, payload, NULL, NULL), BERTH_OK);
    }
}

/* compute-core 20, log */
static void a_chain_of_five_is_taken(void **state)
{
    struct fixture *f = *state;

    assert_true(entity_log_head(f->log)->sequence == 0);
    grow(f, 5);
    assert_true(entity_log_head(f->log)->sequence == 5);
    assert_int_equal(f->log->count, 5);
}

static void what_does_not_follow_is_refused_and_changes_nothing(void **state)
{
    struct fixture *f = *state;
    berth_chain_fault fault;
    berth_error error;
    berth_link link;

    grow(f, 3);
    chain_append_apart(&f->c, slice_str("4"), 0, &link);
    link.parent ^= 1;
    assert_int_equal(append(f->log, &link, "4", &fault, &error), BERTH_ERR_CORRUPT);
    assert_int_equal(fault.check, BERTH_CHAIN_PARENT);
    assert_memory_equal(error.text, "log: parent hash ", 17);
    link.parent ^= 1;
    link.origin ^= 1;
    assert_int_equal(append(f->log, &link, "4", &fault, &error), BERTH_ERR_CORRUPT);
    assert_int_equal(fault.check, BERTH_CHAIN_ORIGIN);
    link.origin ^= 1;
    link.sequence = 3;
    assert_int_equal(append(f->log, &link, "4", &fault, &error), BERTH_ERR_DUPLICATE);
    assert_string_equal(error.text, "log: sequence 3 is already in");
    link.sequence = 5;
    assert_int_equal(append(f->log, &link, "4", &fault, &error), BERTH_ERR_CORRUPT);
    assert_int_equal(fault.check, BERTH_CHAIN_SEQUENCE);
    assert_int_equal(f->log->count, 3);
    link.sequence = 4;
    assert_int_equal(append(f->log, &link, "4", &fault, &error), BERTH_OK);
}

static void ranges_are_inclusive_and_clipped(void **state)
{
    struct fixture *f = *state;
    const log_event *events;
    size_t n;

    assert_null(entity_log_range(f->log, 0, 9, &n));
    grow(f, 10);
    events = entity_log_range(f->log, 3, 7, &n);
    assert_int_equal(n, 5);
    assert_true(events[0].link.sequence == 3 && events[4].link.sequence == 7);
    entity_log_after(f->log, 8, &n);
    assert_int_equal(n, 2);
    events = entity_log_after(f->log, 0, &n);
    assert_int_equal(n, 10);
    assert_true(events[0].link.sequence == 1);
    assert_null(entity_log_after(f->log, 10, &n));
    assert_null(entity_log_after(f->log, UINT64_MAX, &n));
    assert_null(entity_log_range(f->log, 7, 3, &n));
    entity_log_range(f->log, 0, UINT64_MAX, &n);
    assert_int_equal(n, 10);
}

static void pruning_keeps_the_rest_and_the_chain(void **state)
{
    struct fixture *f = *state;
    size_t n;

    grow(f, 5);
    assert_int_equal(entity_log_prune_through(f->log, 3), 3);
    assert_true(f->log->base.sequence == 3); /* a partial prune moves the base too */
    assert_true(f->log->snapshot_sequence == 3);
    entity_log_after(f->log, 0, &n);
    assert_int_equal(n, 2);
    grow(f, 1);
    assert_int_equal(entity_log_prune_through(f->log, 6), 3);
    assert_true(f->log->base.sequence == 6);
    grow(f, 2); /* after a full prune */
    assert_int_equal(f->log->count, 2);
}

static void pruning_nothing_changes_nothing(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(entity_log_prune_through(f->log, 100), 0);
    assert_true(f->log->snapshot_sequence == 0);
    grow(f, 5);
    entity_log_prune_through(f->log, 3);
    assert_int_equal(entity_log_prune_through(f->log, 2), 0);
    assert_true(f->log->snapshot_sequence == 3 && f->log->base.sequence == 3);
}

/* compute-core 18.19 */
static void pruning_beyond_the_head_does_not_claim_the_future(void **state)
{
    struct fixture *f = *state;

    grow(f, 5);
    assert_int_equal(entity_log_prune_through(f->log, 100), 5);
    assert_true(f->log->snapshot_sequence == 5);
    grow(f, 1);
}

static void a_long_log_that_is_pruned_as_it_grows_stays_small(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 1000; i++) {
        grow(f, 3);
        entity_log_prune_through(f->log, (uint64_t)(3 * i));
    }
    assert_true(f->log->cap <= 32);
    assert_true(entity_log_head(f->log)->sequence == 3000);
}

static void the_genesis_is_taken_once_and_without_payload(void **state)
{
    struct fixture *f = *state;
    berth_chain_fault fault;
    berth_link genesis;
    chain c;

    berth_link_genesis(&genesis, f->key.origin, 77);
    assert_int_equal(append(f->log, &genesis, "x", &fault, NULL), BERTH_ERR_CORRUPT);
    assert_int_equal(fault.check, BERTH_CHAIN_PARENT);
    assert_true(fault.expected == 0 && fault.got == 0);
    assert_int_equal(append(f->log, &genesis, "", &fault, NULL), BERTH_OK);
    assert_int_equal(append(f->log, &genesis, "", &fault, NULL), BERTH_ERR_DUPLICATE);
    assert_int_equal(entity_log_prune_through(f->log, 0), 1);
    assert_int_equal(append(f->log, &genesis, "", &fault, NULL), BERTH_ERR_CORRUPT);
    assert_int_equal(fault.check, BERTH_CHAIN_SEQUENCE);
    chain_from_head(&c, &genesis, slice_of(NULL, 0)); /* its horizon is in the next parent */
    f->c = c;
    grow(f, 2);
}

static void a_log_goes_on_after_a_snapshot(void **state)
{
    struct fixture *f = *state;
    berth_chain_fault fault;
    berth_link link, head;
    entity_log *log;

    for (int i = 0; i < 5; i++)
        chain_append_apart(&f->c, slice_str("same"), 0, &head);
    log = entity_log_from_snapshot(f->key.entity, 5, &head, slice_str("same"));
    /* an old one is no duplicate here: the log never had it */
    assert_int_equal(append(log, &head, "same", &fault, NULL), BERTH_ERR_CORRUPT);
    assert_int_equal(fault.check, BERTH_CHAIN_SEQUENCE);
    chain_append_apart(&f->c, slice_str("six"), 0, &link);
    assert_int_equal(append(log, &link, "six", NULL, NULL), BERTH_OK);
    entity_log_unref(log);

    /* compute-core 18.1: the same with what our snapshots carry */
    log = entity_log_resume(f->key.entity, 5, &head, berth_link_parent(&head, "same", 4));
    assert_int_equal(append(log, &link, "six", NULL, NULL), BERTH_OK);
    entity_log_unref(log);
}

static void a_forked_chain_needs_its_own_beginning(void **state)
{
    struct fixture *f = *state;
    berth_keypair key;
    fork_record record;
    berth_link link;
    entity_log *log;
    chain c;

    fork_entity(f->key.origin, 100, NULL, &key, &c, &record);
    chain_append_apart(&c, slice_str("first"), 0, &link);
    log = entity_log_new(key.entity);
    assert_int_equal(append(log, &link, "first", NULL, NULL), BERTH_ERR_CORRUPT);
    entity_log_unref(log);
    log = entity_log_from_snapshot(key.entity, 0, &record.genesis, slice_of(NULL, 0));
    assert_int_equal(append(log, &link, "first", NULL, NULL), BERTH_OK);
    entity_log_unref(log);
}

static void the_index_keeps_entities_apart(void **state)
{
    struct fixture *f = *state;
    entity_log *a, *b, *again;
    berth_keypair other;
    log_index index;

    berth_keypair_generate(&other);
    log_index_init(&index);
    assert_int_equal(log_index_open(&index, f->key.entity, &a, NULL), BERTH_OK);
    assert_int_equal(log_index_open(&index, other.entity, &b, NULL), BERTH_OK);
    assert_ptr_not_equal(a, b);
    assert_int_equal(log_index_open(&index, f->key.entity, &again, NULL), BERTH_OK);
    assert_ptr_equal(a, again);
    entity_log_unref(again);
    assert_int_equal(log_index_count(&index), 2);
    again = log_index_get(&index, other.origin);
    assert_ptr_equal(b, again);
    entity_log_unref(again);
    entity_log_unref(b);

    b = log_index_remove(&index, other.origin);
    assert_non_null(b);
    entity_log_unref(b);
    assert_null(log_index_remove(&index, other.origin));
    assert_null(log_index_get(&index, other.origin));
    entity_log_unref(a);
    log_index_fini(&index);
}

/* compute-core 18.22, K25. No two keys with one origin are known, so an entry is made to look like
 * one of another identity. */
static void a_collision_of_origins_is_found(void **state)
{
    struct fixture *f = *state;
    entity_log *log, *none;
    berth_error error;
    log_index index;

    log_index_init(&index);
    assert_int_equal(log_index_open(&index, f->key.entity, &log, NULL), BERTH_OK);
    log->entity[31] ^= 1;
    assert_int_equal(log_index_open(&index, f->key.entity, &none, &error),
                     BERTH_ERR_IDENTITY_MISMATCH);
    assert_null(none);
    entity_log_unref(log);
    log_index_fini(&index);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)
    const struct CMUnitTest tests[] = {
        TEST(a_chain_of_five_is_taken),
        TEST(what_does_not_follow_is_refused_and_changes_nothing),
        TEST(ranges_are_inclusive_and_clipped),
        TEST(pruning_keeps_the_rest_and_the_chain),
        TEST(pruning_nothing_changes_nothing),
        TEST(pruning_beyond_the_head_does_not_claim_the_future),
        TEST(a_long_log_that_is_pruned_as_it_grows_stays_small),
        TEST(the_genesis_is_taken_once_and_without_payload),
        TEST(a_log_goes_on_after_a_snapshot),
        TEST(a_forked_chain_needs_its_own_beginning),
        TEST(the_index_keeps_entities_apart),
        TEST(a_collision_of_origins_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
