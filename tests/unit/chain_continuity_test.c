/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chain/continuity.h"
#include "chain/fork.h"
#include "vectors/vectors.h"

#include <string.h>

/* compute-core 21 */
static void the_sentinel_is_that_of_the_vectors(void **state)
{
    struct json_object *all = vectors_load(), *v = vector_at(all, "fork");

    (void)state;
    assert_true(
        fork_sentinel(vector_id(v, "origin"), json_object_get_uint64(vector_at(v, "sequence"))) ==
        vector_id(v, "sentinel"));
    json_object_put(all);
}

/* compute-core 20: fork output: own origin, sequence 1, parent not zero */
static void a_fork_begins_at_its_sentinel(void **state)
{
    berth_keypair key;
    fork_record record;
    berth_link link;
    uint64_t at = 5;
    chain c;

    (void)state;
    fork_entity(0xAAAA, 100, &at, &key, &c, &record);
    assert_true(berth_keypair_is_full(&key));
    assert_true(c.head.origin == key.origin && c.head.sequence == 0 && c.head.horizon == 0);
    assert_true(c.head.parent == fork_sentinel(0xAAAA, 100));
    assert_false(berth_link_is_genesis(&c.head));
    chain_append_apart(&c, slice_str("x"), 0, &link);
    assert_true(link.origin == key.origin && link.sequence == 1);
    assert_true(link.parent == berth_link_parent(&record.genesis, NULL, 0));
    assert_true(record.has_snapshot && record.snapshot_sequence == 5);
}

static void a_fork_record_survives_its_65_bytes(void **state)
{
    uint8_t raw[FORK_RECORD_SIZE], again[FORK_RECORD_SIZE];
    fork_record record, back;
    uint64_t at = 9;

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fork_record_make(&record, 0xAAAA, 100, 0xBBBB, i ? &at : NULL, NULL),
                         BERTH_OK);
        fork_record_encode(raw, &record);
        assert_int_equal(fork_record_decode(&back, slice_of(raw, sizeof raw), NULL), BERTH_OK);
        assert_int_equal(back.has_snapshot, i);
        assert_true(back.snapshot_sequence == (i ? 9 : 0));
        fork_record_encode(again, &back);
        assert_memory_equal(raw, again, sizeof raw);
    }
}

static void a_fork_record_that_contradicts_itself_is_refused(void **state)
{
    /* original, forked, sequence; genesis origin, sequence, parent; flag, snapshot sequence */
    static const size_t touched[] = {0, 8, 16, 24, 40, 48, 56, 57};
    uint8_t raw[FORK_RECORD_SIZE + 1] = {0};
    fork_record record;

    (void)state;
    fork_record_make(&record, 0xAAAA, 100, 0xBBBB, NULL, NULL);
    fork_record_encode(raw, &record);
    for (size_t i = 0; i < sizeof touched / sizeof *touched; i++) {
        raw[touched[i]] ^= 2;
        assert_int_equal(fork_record_decode(&record, slice_of(raw, 65), NULL), BERTH_ERR_CORRUPT);
        raw[touched[i]] ^= 2;
    }
    assert_int_equal(fork_record_decode(&record, slice_of(raw, 64), NULL), BERTH_ERR_CORRUPT);
    assert_int_equal(fork_record_decode(&record, slice_of(raw, 66), NULL), BERTH_ERR_CORRUPT);
    /* compute-core K26 */
    assert_int_equal(fork_record_make(&record, 1, 0, 1, NULL, NULL), BERTH_ERR_INVALID);
}

struct history {
    berth_keypair key;
    chain c;
    chain_verifier v;
};

static void start(struct history *h)
{
    berth_keypair_generate(&h->key);
    chain_init(&h->c, h->key.origin);
    chain_verifier_init(&h->v, h->key.entity);
}

static berth_status output(struct history *h, bool seen)
{
    berth_link link;

    assert_int_equal(chain_append_apart(&h->c, slice_str("out"), 0, &link), BERTH_OK);
    return seen ? chain_verifier_event(&h->v, &link, slice_str("out"), NULL) : BERTH_OK;
}

static void a_verifier_accepts_last_record_and_what_follows_the_base(void **state)
{
    uint8_t raw[DISCONTINUITY_SIZE];
    discontinuity record, back;
    struct history h;
    uint64_t lost;
    chain saved;

    (void)state;
    start(&h);
    for (int i = 0; i < 3; i++)
        assert_int_equal(output(&h, true), BERTH_OK);
    saved = h.c; /* the snapshot: the next two leave the host and are forgotten in a crash */
    assert_int_equal(output(&h, true), BERTH_OK);
    assert_int_equal(output(&h, true), BERTH_OK);

    assert_int_equal(discontinuity_make(&record, &h.key, &saved.head, 1, 1000, NULL), BERTH_OK);
    discontinuity_encode(raw, &record);
    assert_int_equal(discontinuity_decode(&back, slice_of(raw, sizeof raw), NULL), BERTH_OK);
    assert_memory_equal(&back, &record, sizeof back);
    discontinuity_chain(&h.c, &back);
    assert_int_equal(output(&h, true), BERTH_ERR_CORRUPT); /* not without the record */
    discontinuity_chain(&h.c, &back);
    assert_int_equal(chain_verifier_discontinuity(&h.v, &back, &lost, NULL), BERTH_OK);
    assert_true(lost == 2);
    for (int i = 0; i < 3; i++)
        assert_int_equal(output(&h, true), BERTH_OK);
    assert_true(h.c.head.sequence == 1003);
}

static void a_base_link_is_determined_by_the_record(void **state)
{
    uint8_t hashed[8 * 3 + 13];
    discontinuity record;
    struct history h;

    (void)state;
    start(&h);
    output(&h, true);
    assert_int_equal(discontinuity_make(&record, &h.key, &h.c.head, 7, 50, NULL), BERTH_OK);
    assert_true(record.base.origin == h.key.origin && record.base.horizon == 0);
    assert_true(record.base.sequence == 50);
    store_u64(hashed, h.key.origin);
    store_u64(hashed + 8, 1);
    store_u64(hashed + 16, 7);
    memcpy(hashed + 24, "discontinuity", 13);
    assert_true(record.base.parent == xxh3(hashed, sizeof hashed));
}

static void a_record_that_would_reuse_a_sequence_is_refused(void **state)
{
    discontinuity record;
    struct history h;
    chain saved;

    (void)state;
    start(&h);
    output(&h, true);
    saved = h.c;
    assert_int_equal(discontinuity_make(&record, &h.key, &saved.head, 1, 1, NULL),
                     BERTH_ERR_INVALID);
    assert_int_equal(discontinuity_make(&record, &h.key, &saved.head, 0, 9, NULL),
                     BERTH_ERR_INVALID);
    for (int i = 0; i < 5; i++)
        output(&h, true);
    assert_int_equal(discontinuity_make(&record, &h.key, &saved.head, 1, 6, NULL), BERTH_OK);
    assert_int_equal(chain_verifier_discontinuity(&h.v, &record, NULL, NULL), BERTH_ERR_CORRUPT);
    assert_int_equal(discontinuity_make(&record, &h.key, &saved.head, 1, 7, NULL), BERTH_OK);
    assert_int_equal(chain_verifier_discontinuity(&h.v, &record, NULL, NULL), BERTH_OK);
    /* the same incarnation again, or a lower one */
    assert_int_equal(discontinuity_make(&record, &h.key, &record.base, 1, 99, NULL), BERTH_OK);
    assert_int_equal(chain_verifier_discontinuity(&h.v, &record, NULL, NULL), BERTH_ERR_STALE);
}

static void a_record_of_another_or_about_another_past_is_refused(void **state)
{
    discontinuity record;
    berth_keypair other;
    struct history h;
    berth_link last;

    (void)state;
    start(&h);
    output(&h, true);
    berth_keypair_generate(&other);
    assert_int_equal(discontinuity_make(&record, &other, &h.c.head, 1, 9, NULL), BERTH_ERR_INVALID);
    last = (berth_link){.origin = other.origin};
    assert_int_equal(discontinuity_make(&record, &other, &last, 1, 9, NULL), BERTH_OK);
    assert_int_equal(chain_verifier_discontinuity(&h.v, &record, NULL, NULL),
                     BERTH_ERR_IDENTITY_MISMATCH);
    last = h.c.head;
    last.parent ^= 1;
    assert_int_equal(discontinuity_make(&record, &h.key, &last, 1, 9, NULL), BERTH_OK);
    assert_int_equal(chain_verifier_discontinuity(&h.v, &record, NULL, NULL), BERTH_ERR_CORRUPT);
    berth_keypair_wipe(&h.key);
    assert_int_equal(discontinuity_make(&record, &h.key, &h.c.head, 1, 9, NULL),
                     BERTH_ERR_READ_ONLY);
}

static void a_changed_record_does_not_decode(void **state)
{
    uint8_t raw[DISCONTINUITY_SIZE + 1] = {0};
    discontinuity record;
    struct history h;

    (void)state;
    start(&h);
    output(&h, true);
    discontinuity_make(&record, &h.key, &h.c.head, 1, 9, NULL);
    discontinuity_encode(raw, &record);
    for (size_t i = 0; i < DISCONTINUITY_SIZE; i++) {
        raw[i] ^= 0x10;
        assert_int_not_equal(discontinuity_decode(&record, slice_of(raw, DISCONTINUITY_SIZE), NULL),
                             BERTH_OK);
        raw[i] ^= 0x10;
    }
    for (size_t len = 0; len < DISCONTINUITY_SIZE; len++)
        assert_int_equal(discontinuity_decode(&record, slice_of(raw, len), NULL),
                         BERTH_ERR_CORRUPT);
    assert_int_equal(discontinuity_decode(&record, slice_of(raw, sizeof raw), NULL),
                     BERTH_ERR_CORRUPT);
    raw[0] = 2;
    assert_int_equal(discontinuity_decode(&record, slice_of(raw, DISCONTINUITY_SIZE), NULL),
                     BERTH_ERR_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sentinel_is_that_of_the_vectors),
        cmocka_unit_test(a_fork_begins_at_its_sentinel),
        cmocka_unit_test(a_fork_record_survives_its_65_bytes),
        cmocka_unit_test(a_fork_record_that_contradicts_itself_is_refused),
        cmocka_unit_test(a_verifier_accepts_last_record_and_what_follows_the_base),
        cmocka_unit_test(a_base_link_is_determined_by_the_record),
        cmocka_unit_test(a_record_that_would_reuse_a_sequence_is_refused),
        cmocka_unit_test(a_record_of_another_or_about_another_past_is_refused),
        cmocka_unit_test(a_changed_record_does_not_decode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
