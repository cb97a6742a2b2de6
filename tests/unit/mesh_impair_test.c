/* SPDX-License-Identifier: Apache-2.0 */
/* A network as bad as told: no better, no worse, and the same each time. */
#include "mesh_impair.h"

/* MANY datagrams, a step apart, all that comes of them taken out. */
static void many(const address *remote, int64_t step)
{
    for (uint32_t n = 0; n < MANY; n++) {
        drain(n * step);
        offer(remote, n, LEN, n * step);
    }
    drain(INT64_MAX - 1);
    impair_get_counters(i, &c);
}

static void assert_about(uint64_t count, double share)
{
    assert_in_range(count, (uint64_t)(MANY * share * 0.8), (uint64_t)(MANY * share * 1.2));
}

/* ---- What happens to datagrams --------------------------------------------------------------- */

static void without_a_rule_everything_comes_out_at_once_as_it_went_in(void **state)
{
    const address to = remote_of(1), local = remote_of(2);
    impaired out;

    (void)state;
    assert_true(impair_idle(i));
    assert_int_equal(impair_deadline(i), INT64_MAX);
    impair_offer(i, &to, &local, "one", 3, 2, 5);
    impair_offer(i, &to, NULL, "", 0, 0, 5);
    assert_false(impair_idle(i));
    assert_int_equal(impair_deadline(i), 5);
    assert_true(impair_next(i, 5, &out));
    assert_int_equal(out.len, 3);
    assert_memory_equal(out.bytes, "one", 3);
    assert_int_equal(out.ecn, 2);
    assert_memory_equal(&out.remote, &to, sizeof to);
    assert_memory_equal(&out.local, &local, sizeof local);
    assert_true(impair_next(i, 5, &out));
    assert_int_equal(out.len, 0);
    assert_int_equal(out.local.len, 0);
    assert_false(impair_next(i, 5, &out));
    assert_true(impair_idle(i));
}

static void each_share_is_what_the_rule_says(void **state)
{
    const address to = remote_of(1);

    (void)state;
    set(NULL, "loss=5% dup=2% reorder=3% corrupt=4%");
    many(&to, MS);
    assert_about(c.dropped_loss, 0.05);
    assert_about(c.duplicated, 0.95 * 0.02);
    assert_about(c.reordered, 0.95 * 1.02 * 0.03);
    assert_about(c.corrupted, 0.95 * 1.02 * 0.04);
    assert_int_equal(c.dropped_burst, 0);
    assert_int_equal(c.delayed, c.reordered);
    assert_int_equal(arrived, MANY - c.dropped_loss + c.duplicated);
}

static void all_or_nothing_is_exact(void **state)
{
    const address to = remote_of(1);

    (void)state;
    set(NULL, "loss=100%");
    for (uint32_t n = 0; n < 1000; n++)
        offer(&to, n, LEN, n);
    assert_int_equal(impair_deadline(i), INT64_MAX);
    set(NULL, "dup=100%");
    for (uint32_t n = 0; n < 1000; n++)
        offer(&to, n, LEN, 1000 + n);
    drain(INT64_MAX - 1);
    for (unsigned n = 0; n < 1000; n++)
        assert_int_equal(arrivals[n].copies, 2);
    assert_int_equal(arrived, 2000);
}

static void losses_in_bursts_are_as_long_and_as_many_as_told(void **state)
{
    const address to = remote_of(1);
    unsigned bursts = 0;

    (void)state;
    set(NULL, "burst=1%/25%");
    many(&to, MS);
    for (unsigned n = 1; n < MANY; n++)
        bursts += !arrivals[n].copies && arrivals[n - 1].copies;
    assert_about(c.dropped_burst, 0.01 / (0.01 + 0.25)); /* the share of time in a burst */
    assert_in_range(c.dropped_burst * 10 / bursts, 36, 44);
    assert_int_equal(c.dropped_loss, 0);
}

static void in_a_burst_its_own_loss_counts(void **state)
{
    const address to = remote_of(1);

    (void)state;
    set(NULL, "burst=5%/5%/50% loss=10%");
    many(&to, MS);
    assert_about(c.dropped_burst, 0.5 * 0.5);
    assert_about(c.dropped_loss, 0.5 * 0.1);
}

static void corruption_flips_one_bit_anywhere(void **state)
{
    const address to = remote_of(1);
    unsigned seen[8 * LEN] = {0}, different = 0;

    (void)state;
    set(NULL, "corrupt=100%");
    for (uint32_t n = 0; n < MANY; n++) {
        uint8_t sent[LEN];
        unsigned flips = 0;
        impaired out;

        fill(sent, LEN, n);
        impair_offer(i, &to, NULL, sent, LEN, 0, n);
        assert_true(impair_next(i, n, &out));
        for (unsigned bit = 0; bit < 8 * LEN; bit++)
            if ((sent[bit / 8] ^ out.bytes[bit / 8]) >> bit % 8 & 1) {
                different += !seen[bit]++;
                flips++;
            }
        assert_int_equal(flips, 1);
    }
    assert_int_equal(different, 8 * LEN);
    impair_offer(i, &to, NULL, "", 0, 0, MANY); /* no bit to flip */
}

static void a_delay_is_even_between_its_bounds(void **state)
{
    const address to = remote_of(1);
    unsigned bins[10] = {0};

    (void)state;
    set(NULL, "delay=20ms jitter=10ms");
    many(&to, 11 * MS); /* none waits for the one before */
    for (unsigned n = 0; n < MANY; n++) {
        int64_t more = arrivals[n].due_ns - n * 11 * MS - 20 * MS;

        assert_in_range(more, 0, 10 * MS);
        bins[more == 10 * MS ? 9 : more / MS]++;
    }
    for (unsigned b = 0; b < 10; b++)
        assert_in_range(bins[b], MANY / 10 * 9 / 10, MANY / 10 * 11 / 10);
    assert_int_equal(c.delayed, MANY);
}

static void jitter_does_not_change_the_order(void **state)
{
    const address to = remote_of(1);

    (void)state;
    set(NULL, "delay=5ms jitter=20ms");
    many(&to, MS);
    for (unsigned n = 0; n < MANY; n++) {
        assert_int_equal(arrivals[n].place, n);
        assert_true(n == 0 || arrivals[n].due_ns >= arrivals[n - 1].due_ns);
        assert_in_range(arrivals[n].due_ns - n * MS, 5 * MS, 25 * MS);
    }
}

static void who_is_reordered_is_overtaken_and_nobody_else(void **state)
{
    const address to = remote_of(1);
    unsigned last = 0, late = 0;

    (void)state;
    set(NULL, "delay=5ms reorder=5%/7500us");
    many(&to, MS);
    for (unsigned n = 0; n < MANY; n++) {
        int64_t took = arrivals[n].due_ns - n * MS;

        if (took != 5 * MS) {
            assert_int_equal(took, 12500000);
            late++;
            continue;
        }
        assert_true(arrivals[n].place >= last);
        last = arrivals[n].place;
    }
    assert_about(late, 0.05);
    assert_int_equal(late, c.reordered);
}

/* ---- Rate ------------------------------------------------------------------------------------ */

static void a_line_is_never_faster_than_its_rate_and_hardly_slower(void **state)
{
    const address to = remote_of(1);
    int64_t now = 0;
    uint64_t bytes = 0;

    (void)state;
    set(NULL, "rate=9999992bit queue=64KiB");
    for (uint32_t n = 0; n < 20000; n++) { /* offered: twice what it takes */
        offer(&to, n, 1250, now);
        now += MS / 2;
        while (impair_deadline(i) <= now) {
            impaired out;
            int64_t due = impair_deadline(i);

            assert_true(impair_next(i, due, &out));
            bytes += out.len;
            assert_true(bytes * SECOND <= (uint64_t)due * 1249999);
        }
    }
    assert_true(bytes >= 10u * 1250000 - 1250);
    impair_get_counters(i, &c);
    assert_in_range(c.dropped_queue, 9900, 10000);
    assert_in_range(c.queued, 51, 52); /* 64 KiB */
}

static void the_queue_takes_what_it_may_hold_and_the_tail_is_dropped(void **state)
{
    const address to = remote_of(1);

    (void)state;
    set(NULL, "rate=8kbit queue=10000B");
    for (uint32_t n = 0; n < 100; n++)
        offer(&to, n, 1000, 0);
    drain(INT64_MAX - 1);
    for (unsigned n = 0; n < 100; n++)
        assert_int_equal(arrivals[n].copies, n < 10);
    for (unsigned n = 0; n < 10; n++)
        assert_int_equal(arrivals[n].due_ns, (n + 1) * SECOND);
    impair_get_counters(i, &c);
    assert_int_equal(c.dropped_queue, 90);
}

static void one_larger_than_the_queue_passes_a_free_line(void **state)
{
    const address to = remote_of(1);

    (void)state;
    set(NULL, "rate=8kbit queue=100B");
    offer(&to, 0, 1000, 0);
    offer(&to, 1, 1000, 0);
    drain(SECOND);
    offer(&to, 2, 1000, SECOND);
    drain(INT64_MAX - 1);
    assert_int_equal(arrivals[0].due_ns, SECOND);
    assert_int_equal(arrivals[1].copies, 0);
    assert_int_equal(arrivals[2].due_ns, 2 * SECOND);
}

static void a_bucket_goes_at_once_and_fills_again_at_the_rate(void **state)
{
    const address to = remote_of(1);

    (void)state;
    set(NULL, "rate=8kbit bucket=3000B");
    for (uint32_t n = 0; n < 5; n++)
        offer(&to, n, 1000, 0);
    drain(3 * SECOND);
    for (uint32_t n = 5; n < 8; n++) /* one thousand bytes are there again */
        offer(&to, n, 1000, 3 * SECOND);
    drain(INT64_MAX - 1);
    assert_int_equal(arrived, 8);
    for (unsigned n = 0; n < 3; n++)
        assert_int_equal(arrivals[n].due_ns, 0);
    assert_int_equal(arrivals[3].due_ns, SECOND);
    assert_int_equal(arrivals[4].due_ns, 2 * SECOND);
    assert_int_equal(arrivals[5].due_ns, 3 * SECOND);
    assert_int_equal(arrivals[6].due_ns, 4 * SECOND);
}

/* ---- Seeds ----------------------------------------------------------------------------------- */

#define STORM "loss=5% burst=1%/20% dup=3% reorder=4%/3ms delay=2ms jitter=5ms corrupt=5%"

static uint64_t trace_of(uint64_t seed, bool others, const char *text)
{
    const address one = remote_of(1), other = remote_of(2);
    uint64_t trace = 0;

    impair_free(i);
    i = impair_new(seed);
    assert_non_null(i);
    set(NULL, text);
    for (uint32_t n = 0; n < 5000; n++) {
        offer(&one, n, LEN, n * MS);
        if (others && n % 3)
            offer(&other, n, LEN, n * MS);
    }
    while (impair_deadline(i) != INT64_MAX) {
        int64_t now = impair_deadline(i);
        impaired out;

        assert_true(impair_next(i, now, &out));
        if (memcmp(&out.remote, &one, sizeof one) != 0)
            continue;
        trace = (trace ^ (uint64_t)now) * 0x100000001b3ull;
        for (size_t at = 0; at < out.len; at++)
            trace = (trace ^ out.bytes[at]) * 0x100000001b3ull;
    }
    return trace;
}

static void the_same_seed_does_the_same_and_another_does_not(void **state)
{
    (void)state;
    assert_true(trace_of(7, false, STORM) == trace_of(7, false, STORM));
    assert_true(trace_of(7, false, STORM) != trace_of(8, false, STORM));
}

static void what_happens_on_a_path_does_not_depend_on_the_others(void **state)
{
    (void)state;
    assert_true(trace_of(7, false, STORM) == trace_of(7, true, STORM));
}

static void paths_do_not_share_their_fate(void **state)
{
    unsigned both = 0;

    (void)state;
    set(NULL, "loss=50%");
    for (uint32_t n = 0; n < 1000; n++)
        for (unsigned host = 1; host < 3; host++) {
            address to = remote_of(host);

            offer(&to, n, LEN, n);
        }
    drain(INT64_MAX - 1);
    for (unsigned n = 0; n < 1000; n++)
        both += arrivals[n].copies == 2;
    assert_in_range(both, 200, 300);
}

static void another_share_leaves_the_other_draws_as_they_were(void **state)
{
    static int64_t before[1000];
    const address to = remote_of(1);
    unsigned gone = 0;

    (void)state;
    set(NULL, "jitter=500us");
    for (uint32_t n = 0; n < 1000; n++)
        offer(&to, n, LEN, n * MS);
    drain(INT64_MAX - 1);
    for (unsigned n = 0; n < 1000; n++)
        before[n] = arrivals[n].due_ns;
    impair_free(i);
    setup(NULL);
    set(NULL, "jitter=500us loss=20%");
    for (uint32_t n = 0; n < 1000; n++)
        offer(&to, n, LEN, n * MS);
    drain(INT64_MAX - 1);
    for (unsigned n = 0; n < 1000; n++) {
        assert_true(!arrivals[n].copies || arrivals[n].due_ns == before[n]);
        gone += !arrivals[n].copies;
    }
    assert_in_range(gone, 150, 250);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(without_a_rule_everything_comes_out_at_once_as_it_went_in),
        TEST(each_share_is_what_the_rule_says),
        TEST(all_or_nothing_is_exact),
        TEST(losses_in_bursts_are_as_long_and_as_many_as_told),
        TEST(in_a_burst_its_own_loss_counts),
        TEST(corruption_flips_one_bit_anywhere),
        TEST(a_delay_is_even_between_its_bounds),
        TEST(jitter_does_not_change_the_order),
        TEST(who_is_reordered_is_overtaken_and_nobody_else),
        TEST(a_line_is_never_faster_than_its_rate_and_hardly_slower),
        TEST(the_queue_takes_what_it_may_hold_and_the_tail_is_dropped),
        TEST(one_larger_than_the_queue_passes_a_free_line),
        TEST(a_bucket_goes_at_once_and_fills_again_at_the_rate),
        TEST(the_same_seed_does_the_same_and_another_does_not),
        TEST(what_happens_on_a_path_does_not_depend_on_the_others),
        TEST(paths_do_not_share_their_fate),
        TEST(another_share_leaves_the_other_draws_as_they_were),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
