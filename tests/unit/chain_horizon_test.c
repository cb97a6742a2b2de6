/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chain/chain.h"
#include "chain/horizon.h"
#include "vectors/vectors.h"

#include <string.h>

#define LIMIT HORIZON_LIMIT

/* Origins as they come: projections, hence random. */
static uint64_t origin_of(uint64_t i)
{
    return xxh3(&i, sizeof i);
}

/* compute-core 21 */
static void origins_have_the_bits_of_the_vectors(void **state)
{
    struct json_object *all = vectors_load(), *rows = vector_at(all, "bloom");

    (void)state;
    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        struct json_object *origins = vector_at(row, "origins");
        horizon h = {0};
        uint64_t origin;

        for (size_t k = 0; k < json_object_array_length(origins); k++) {
            assert_true(id_decode(&origin, json_string_at(origins, k)));
            assert_true(horizon_observe(&h, origin, 1, LIMIT));
        }
        assert_true(horizon_encode(&h) == vector_id(row, "bits"));
        horizon_fini(&h);
    }
    json_object_put(all);
}

/* compute-core 20, horizon */
static void an_empty_horizon_says_nothing_and_owns_nothing(void **state)
{
    horizon h = {0};

    (void)state;
    assert_int_equal(sizeof h, sizeof(void *));
    assert_true(horizon_encode(&h) == 0);
    assert_int_equal(horizon_count(&h), 0);
    assert_true(horizon_logical_time(&h) == 0);
    assert_null(horizon_get(&h, 1));
    assert_false(horizon_has_observed(&h, 1, 0));
    assert_false(berth_horizon_might_contain(0, 1));
    horizon_fini(&h);
}

static void only_a_higher_sequence_counts_and_ticks(void **state)
{
    horizon h = {0};

    (void)state;
    horizon_observe(&h, 1, 5, LIMIT);
    assert_true(horizon_get(&h, 1)->sequence == 5);
    assert_true(horizon_logical_time(&h) == 1);
    horizon_observe(&h, 1, 3, LIMIT);
    horizon_observe(&h, 1, 5, LIMIT);
    assert_true(horizon_get(&h, 1)->sequence == 5);
    assert_true(horizon_logical_time(&h) == 1);
    assert_true(horizon_has_observed(&h, 1, 5) && horizon_has_observed(&h, 1, 0));
    assert_false(horizon_has_observed(&h, 1, 6) || horizon_has_observed(&h, 2, 0));
    /* sequence 0 makes an entry and its bits, without a tick */
    horizon_observe(&h, 2, 0, LIMIT);
    assert_true(horizon_has_observed(&h, 2, 0));
    assert_true(berth_horizon_might_contain(horizon_encode(&h), 2));
    assert_true(horizon_logical_time(&h) == 1);
    assert_int_equal(horizon_count(&h), 2);
    horizon_fini(&h);
}

static void merging_takes_the_higher_of_each_and_passes_both_clocks(void **state)
{
    horizon a = {0}, b = {0}, empty = {0};

    (void)state;
    horizon_observe(&a, 1, 5, LIMIT);
    horizon_observe(&a, 2, 1, LIMIT);
    horizon_observe(&b, 2, 9, LIMIT);
    horizon_observe(&b, 3, 0, LIMIT);
    assert_true(horizon_merge(&a, &b, LIMIT));
    assert_true(horizon_get(&a, 1)->sequence == 5);
    assert_true(horizon_get(&a, 2)->sequence == 9);
    assert_true(horizon_get(&a, 3)->sequence == 0);
    assert_true(horizon_logical_time(&a) == 3);
    assert_true(horizon_merge(&a, &empty, LIMIT)); /* ticks though nothing changes */
    assert_true(horizon_logical_time(&a) == 4);
    assert_true(horizon_merge(&empty, &a, LIMIT));
    assert_true(horizon_encode(&empty) == horizon_encode(&a));
    assert_true(horizon_logical_time(&empty) == 5);
    horizon_fini(&a);
    horizon_fini(&b);
    horizon_fini(&empty);
}

/* Bytes of a horizon with one origin and this clock. */
static void at_clock(horizon *h, uint64_t clock)
{
    writer w = {0};

    horizon_observe(h, 1, 1, LIMIT);
    horizon_write(&w, h);
    horizon_fini(h);
    store_u64(w.data + 9, clock);
    assert_int_equal(horizon_read(h, slice_of(w.data, w.len), NULL), BERTH_OK);
    writer_free(&w);
}

static void the_clock_stops_at_its_end(void **state)
{
    horizon h = {0}, other = {0};

    (void)state;
    at_clock(&h, UINT64_MAX - 1);
    horizon_observe(&h, 1, 2, LIMIT);
    assert_true(horizon_logical_time(&h) == UINT64_MAX);
    horizon_observe(&h, 1, 3, LIMIT);
    assert_true(horizon_logical_time(&h) == UINT64_MAX);
    assert_true(horizon_get(&h, 1)->sequence == 3);
    assert_true(horizon_merge(&other, &h, LIMIT));
    assert_true(horizon_logical_time(&other) == UINT64_MAX);
    horizon_fini(&h);
    horizon_fini(&other);
}

static void what_was_observed_is_never_denied(void **state)
{
    horizon h = {0};

    (void)state;
    for (uint64_t i = 0; i < 50; i++)
        horizon_observe(&h, origin_of(i), i, LIMIT);
    for (uint64_t i = 0; i < 50; i++) {
        assert_true(berth_horizon_might_contain(horizon_encode(&h), origin_of(i)));
        assert_true(horizon_has_observed(&h, origin_of(i), i));
    }
    horizon_fini(&h);
}

static unsigned false_positives(unsigned origins)
{
    unsigned wrong = 0;
    horizon h = {0};

    for (uint64_t i = 0; i < origins; i++)
        horizon_observe(&h, origin_of(i), 1, LIMIT);
    for (uint64_t i = 0; i < 1000; i++)
        wrong += berth_horizon_might_contain(horizon_encode(&h), origin_of(1000000 + i));
    horizon_fini(&h);
    return wrong;
}

static void false_positives_stay_below_what_is_documented(void **state)
{
    (void)state;
    assert_true(false_positives(8) < 250);
    assert_true(false_positives(16) < 600);
}

static void every_origin_has_three_bits(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 256; i++)
        assert_int_equal(__builtin_popcountll(berth_horizon_bits(origin_of(i))), 3);
}

static void concurrency_ends_with_the_first_sight(void **state)
{
    berth_link a = {.origin = 0xAAAA}, b = {.origin = 0xBBBB};
    uint8_t raw[BERTH_LINK_SIZE];
    horizon h = {0};

    (void)state;
    assert_true(berth_horizon_concurrent(&a, &b));
    horizon_observe(&h, b.origin, 1, LIMIT);
    a.horizon = horizon_encode(&h);
    berth_link_encode(raw, &a); /* the filter survives the link */
    berth_link_decode(&a, raw, sizeof raw);
    assert_false(berth_horizon_concurrent(&a, &b));
    assert_false(berth_horizon_concurrent(&b, &a));
    horizon_fini(&h);
}

static void disjoint_sets_of_four_are_seen_as_concurrent(void **state)
{
    unsigned seen = 0, pairs = 0;

    (void)state;
    for (uint64_t split = 0; split < 3; split++) {
        horizon h[2] = {{0}, {0}};

        for (uint64_t i = 0; i < 8; i++)
            horizon_observe(&h[i / 4], origin_of(100 * split + i), 1, LIMIT);
        for (uint64_t i = 0; i < 16; i++) {
            berth_link a = {.origin = origin_of(100 * split + i / 4)};
            berth_link b = {.origin = origin_of(100 * split + 4 + i % 4)};

            a.horizon = horizon_encode(&h[0]);
            b.horizon = horizon_encode(&h[1]);
            seen += berth_horizon_concurrent(&a, &b);
            pairs++;
        }
        horizon_fini(&h[0]);
        horizon_fini(&h[1]);
    }
    assert_true(seen > pairs / 2);
}

/* compute-core 18.23: a peer may name any number of origins */
static void origins_past_the_limit_cost_no_memory_and_are_counted(void **state)
{
    uint64_t before;
    horizon h = {0};

    (void)state;
    for (uint64_t i = 0; i < 100; i++)
        assert_true(horizon_observe(&h, origin_of(i), 1, 64));
    assert_int_equal(horizon_count(&h), 64);
    assert_true(horizon_overflow(&h) == 36);
    assert_false(horizon_has_observed(&h, origin_of(64), 0));
    assert_true(horizon_has_observed(&h, origin_of(63), 1));
    before = horizon_logical_time(&h);
    for (uint64_t i = 0; i < 100; i++) /* the bloom bits are set for those too */
        assert_true(berth_horizon_might_contain(horizon_encode(&h), origin_of(i)));
    assert_true(horizon_observe(&h, origin_of(63), 2, 64)); /* the kept ones go on */
    assert_true(horizon_get(&h, origin_of(63))->sequence == 2);
    assert_true(horizon_logical_time(&h) == before + 1);
    horizon_fini(&h);
}

static void a_peer_has_its_share_of_the_origins_and_no_more(void **state)
{
    enum { SHARE = 8, ALL = 12, ONE = 71, OTHER = 72 };
    horizon h = {0};
    uint64_t clock;

    (void)state;
    for (uint64_t i = 0; i < SHARE; i++) /* below it, and at it */
        assert_int_equal(horizon_observe_from(&h, ONE, SHARE, origin_of(i), 1, ALL), HORIZON_KEPT);
    assert_true(horizon_overflow(&h) == 0);
    clock = horizon_logical_time(&h);
    for (uint64_t i = SHARE; i < 20; i++) { /* above it: the filter alone */
        assert_int_equal(horizon_observe_from(&h, ONE, SHARE, origin_of(i), 1, ALL),
                         HORIZON_PEER_FULL);
        assert_true(berth_horizon_might_contain(horizon_encode(&h), origin_of(i)));
        assert_null(horizon_get(&h, origin_of(i)));
    }
    assert_int_equal(horizon_count(&h), SHARE);
    assert_true(horizon_overflow(&h) == 20 - SHARE);
    assert_true(horizon_logical_time(&h) == clock + 20 - SHARE);
    /* Its known ones go on, also when another brings them, and take nothing from that one's. */
    assert_int_equal(horizon_observe_from(&h, ONE, SHARE, origin_of(0), 2, ALL), HORIZON_KEPT);
    assert_int_equal(horizon_observe_from(&h, OTHER, 1, origin_of(0), 3, ALL), HORIZON_KEPT);
    assert_true(horizon_get(&h, origin_of(0))->sequence == 3);
    assert_int_equal(horizon_observe_from(&h, OTHER, 1, origin_of(50), 1, ALL), HORIZON_KEPT);
    assert_int_equal(horizon_observe_from(&h, OTHER, 1, origin_of(51), 1, ALL), HORIZON_PEER_FULL);
    /* From here there is no share, until all is full. */
    for (uint64_t i = 60; i < 60 + ALL - SHARE - 1; i++)
        assert_int_equal(horizon_observe_from(&h, 0, 0, origin_of(i), 1, ALL), HORIZON_KEPT);
    assert_int_equal(horizon_observe_from(&h, 0, 0, origin_of(90), 1, ALL), HORIZON_FULL);
    assert_int_equal(horizon_observe_from(&h, 73, SHARE, origin_of(91), 1, ALL), HORIZON_FULL);
    assert_int_equal(horizon_count(&h), ALL);
    horizon_fini(&h);
}

static void equal_horizons_are_equal_bytes_in_any_order(void **state)
{
    horizon a = {0}, b = {0}, back = {0}, copy = {0};
    writer wa = {0}, wb = {0};

    (void)state;
    for (uint64_t i = 0; i < 300; i++)
        horizon_observe(&a, origin_of(i), i, LIMIT);
    for (uint64_t i = 300; i > 0; i--)
        horizon_observe(&b, origin_of(i - 1), i - 1, LIMIT);
    horizon_write(&wa, &a);
    horizon_write(&wb, &b);
    assert_int_equal(wa.len, wb.len);
    assert_memory_equal(wa.data, wb.data, wa.len);

    assert_int_equal(horizon_read(&back, slice_of(wa.data, wa.len), NULL), BERTH_OK);
    assert_true(horizon_clone(&copy, &back));
    horizon_fini(&back);
    assert_int_equal(horizon_count(&copy), 300);
    for (uint64_t i = 0; i < 300; i++)
        assert_true(horizon_get(&copy, origin_of(i))->sequence == i);
    assert_true(horizon_logical_time(&copy) == horizon_logical_time(&a));
    assert_true(horizon_encode(&copy) == horizon_encode(&a));
    wb.len = 0;
    horizon_write(&wb, &copy);
    assert_memory_equal(wa.data, wb.data, wa.len);
    assert_true(horizon_observe(&copy, origin_of(7), 1000, LIMIT));
    writer_free(&wa);
    writer_free(&wb);
    horizon_fini(&a);
    horizon_fini(&b);
    horizon_fini(&copy);
}

static void an_overflowed_horizon_is_kept_as_it_was(void **state)
{
    horizon h = {0}, back;
    writer w = {0};

    (void)state;
    for (uint64_t i = 0; i < 10; i++)
        horizon_observe(&h, origin_of(i), 1, 4);
    horizon_write(&w, &h);
    assert_int_equal(horizon_read(&back, slice_of(w.data, w.len), NULL), BERTH_OK);
    assert_true(horizon_overflow(&back) == 6);
    assert_true(horizon_encode(&back) == horizon_encode(&h));
    writer_free(&w);
    horizon_fini(&h);
    horizon_fini(&back);
}

/* compute-core K23 */
static void damaged_bytes_are_refused(void **state)
{
    berth_error error = {0};
    horizon h = {0}, back;
    writer w = {0};

    (void)state;
    for (uint64_t i = 0; i < 3; i++)
        horizon_observe(&h, origin_of(i), 1, LIMIT);
    horizon_write(&w, &h);
    assert_int_equal(horizon_read(&back, slice_of(NULL, 0), &error), BERTH_OK);
    assert_null(back.body);
    for (size_t len = 1; len < w.len; len++) {
        assert_int_equal(horizon_read(&back, slice_of(w.data, len), &error), BERTH_ERR_CORRUPT);
        assert_null(back.body);
    }
    memset(w.data + 25, 0xFF, 4); /* count */
    assert_int_equal(horizon_read(&back, slice_of(w.data, w.len), &error), BERTH_ERR_CORRUPT);
    w.len = 0;
    horizon_write(&w, &h);
    memcpy(w.data + 29, w.data + 45, 8); /* an origin twice */
    assert_int_equal(horizon_read(&back, slice_of(w.data, w.len), &error), BERTH_ERR_CORRUPT);
    assert_non_null(strstr(error.text, "ascending"));
    w.len = 0;
    horizon_write(&w, &h);
    w.data[1] = (uint8_t)~w.data[1]; /* filter */
    assert_int_equal(horizon_read(&back, slice_of(w.data, w.len), &error), BERTH_ERR_CORRUPT);
    assert_non_null(strstr(error.text, "filter"));
    w.data[0] = 2;
    assert_int_equal(horizon_read(&back, slice_of(w.data, w.len), &error), BERTH_ERR_VERSION);
    writer_free(&w);
    horizon_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(origins_have_the_bits_of_the_vectors),
        cmocka_unit_test(an_empty_horizon_says_nothing_and_owns_nothing),
        cmocka_unit_test(only_a_higher_sequence_counts_and_ticks),
        cmocka_unit_test(merging_takes_the_higher_of_each_and_passes_both_clocks),
        cmocka_unit_test(the_clock_stops_at_its_end),
        cmocka_unit_test(what_was_observed_is_never_denied),
        cmocka_unit_test(false_positives_stay_below_what_is_documented),
        cmocka_unit_test(every_origin_has_three_bits),
        cmocka_unit_test(concurrency_ends_with_the_first_sight),
        cmocka_unit_test(disjoint_sets_of_four_are_seen_as_concurrent),
        cmocka_unit_test(origins_past_the_limit_cost_no_memory_and_are_counted),
        cmocka_unit_test(a_peer_has_its_share_of_the_origins_and_no_more),
        cmocka_unit_test(equal_horizons_are_equal_bytes_in_any_order),
        cmocka_unit_test(an_overflowed_horizon_is_kept_as_it_was),
        cmocka_unit_test(damaged_bytes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
