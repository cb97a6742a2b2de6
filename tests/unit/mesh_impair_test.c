/* SPDX-License-Identifier: Apache-2.0 */
/* A network as bad as told: no better, no worse, and the same each time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/impair.h"

#include <stdlib.h>
#include <string.h>

#define MS     1000000ll
#define SECOND (1000 * MS)

enum { MANY = 50000, LEN = 64 };

static impair *i;
static impair_counters c;

/* What came out, by the number in its first bytes. */
static struct arrival {
    int64_t due_ns;
    unsigned place, copies; /* place: of the first copy, among all */
    uint8_t bytes[LEN];
} arrivals[MANY];
static unsigned arrived;
static int64_t told_ns; /* the last time that the machine was given */

static address remote_of(unsigned host)
{
    address a = {.len = sizeof a.u.in};

    a.u.in.sin_family = AF_INET;
    a.u.in.sin_addr.s_addr = htonl(0x0a000000u + host);
    a.u.in.sin_port = htons(4600);
    return a;
}

static int setup(void **state)
{
    (void)state;
    i = impair_new(1);
    assert_non_null(i);
    memset(arrivals, 0, sizeof arrivals);
    arrived = 0;
    told_ns = INT64_MIN;
    return 0;
}

static int teardown(void **state)
{
    uint64_t dropped;

    (void)state;
    impair_get_counters(i, &c);
    dropped = c.dropped_blackhole + c.dropped_loss + c.dropped_burst + c.dropped_queue +
              c.dropped_memory + c.dropped_paths + c.dropped_size;
    assert_int_equal(c.offered + c.duplicated, c.out + c.queued + dropped);
    assert_true(c.memory <= IMPAIR_MEMORY);
    impair_free(i);
    return 0;
}

static impair_rule rule_of(const char *text)
{
    berth_error error = {0};
    impair_rule rule;

    if (impair_parse(&rule, slice_str(text), &error) != BERTH_OK)
        fail_msg("%s", error.text);
    return rule;
}

static void set(const address *remote, const char *text)
{
    impair_rule rule = rule_of(text);
    berth_error error = {0};

    if (impair_set(i, remote, &rule, &error) != BERTH_OK)
        fail_msg("%s", error.text);
}

static void fill(uint8_t *bytes, size_t len, uint32_t number)
{
    memset(bytes, (int)(number * 7), len);
    memcpy(bytes, &number, sizeof number);
}

static void offer(const address *remote, uint32_t number, size_t len, int64_t now)
{
    static uint8_t bytes[65536];

    fill(bytes, len, number);
    impair_offer(i, remote, NULL, bytes, len, 0, now);
    told_ns = now;
}

/* Take out what is due until then, each when it is. */
static void drain(int64_t until)
{
    impaired out;

    while (impair_deadline(i) <= until) {
        int64_t due = impair_deadline(i);
        uint32_t number;

        if (due > told_ns) {
            assert_false(impair_next(i, due - 1, &out));
            told_ns = due;
        }
        assert_true(impair_next(i, told_ns, &out));
        assert_true(out.len >= sizeof number);
        memcpy(&number, out.bytes, sizeof number);
        number %= MANY; /* one that is damaged */
        if (!arrivals[number].copies++) {
            arrivals[number].due_ns = due;
            arrivals[number].place = arrived;
            memcpy(arrivals[number].bytes, out.bytes, out.len < LEN ? out.len : LEN);
        }
        arrived++;
    }
}

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
    set(NULL, "rate=10Mbit queue=64KiB");
    for (uint32_t n = 0; n < 20000; n++) { /* offered: twice what it takes */
        offer(&to, n, 1250, now);
        now += MS / 2;
        while (impair_deadline(i) <= now) {
            impaired out;
            int64_t due = impair_deadline(i);

            assert_true(impair_next(i, due, &out));
            bytes += out.len;
            assert_true(bytes * SECOND <= (uint64_t)due * 1250000);
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

/* ---- Rules ----------------------------------------------------------------------------------- */

static unsigned passes(const address *remote, int64_t now)
{
    unsigned before = arrived;

    offer(remote, 0, LEN, now);
    drain(now);
    return arrived - before;
}

static void a_partition_is_of_one_remote_and_one_direction(void **state)
{
    const address cut = remote_of(1), other = remote_of(2);
    impair *back = impair_new(2);
    impaired out;

    (void)state;
    assert_non_null(back);
    set(&cut, "drop");
    assert_int_equal(passes(&cut, 1), 0);
    assert_int_equal(passes(&other, 1), 1);
    impair_offer(back, &cut, NULL, "heard", 5, 0, 1);
    assert_true(impair_next(back, 1, &out));
    impair_free(back);
    impair_get_counters(i, &c);
    assert_int_equal(c.dropped_blackhole, 1);
    assert_int_equal(impair_set(i, &cut, NULL, NULL), BERTH_OK);
    assert_int_equal(passes(&cut, 2), 1);
    assert_true(impair_idle(i));
}

static void the_own_rule_of_a_remote_stands_before_that_for_all(void **state)
{
    address one = remote_of(1), other = remote_of(2), port = one;

    (void)state;
    port.u.in.sin_port = htons(4601);
    set(NULL, "drop");
    set(&one, "");
    assert_int_equal(passes(&one, 1), 1);
    assert_int_equal(passes(&other, 1), 0);
    assert_int_equal(passes(&port, 1), 0);
    assert_int_equal(impair_set(i, &one, NULL, NULL), BERTH_OK);
    assert_int_equal(passes(&one, 2), 0);
    assert_int_equal(impair_set(i, NULL, NULL, NULL), BERTH_OK);
    assert_int_equal(passes(&other, 3), 1);
    assert_true(impair_idle(i));
}

static void addresses_of_both_families_have_paths(void **state)
{
    address six = {.len = sizeof six.u.in6}, other, none = {.len = 1};

    (void)state;
    six.u.in6.sin6_family = AF_INET6;
    six.u.in6.sin6_addr.s6_addr[15] = 1;
    six.u.in6.sin6_port = htons(4600);
    other = six;
    other.u.in6.sin6_addr.s6_addr[15] = 2;
    set(&six, "drop");
    assert_int_equal(passes(&six, 1), 0);
    assert_int_equal(passes(&other, 1), 1);
    assert_int_equal(passes(&none, 1), 1);
    assert_int_equal(impair_set(i, &none, NULL, NULL), BERTH_ERR_INVALID);
}

static void nothing_is_idle_while_a_rule_does_something(void **state)
{
    const address one = remote_of(1);

    (void)state;
    set(&one, "");
    set(NULL, "");
    assert_true(impair_idle(i));
    set(&one, "delay=1ms");
    assert_false(impair_idle(i));
    set(&one, "loss=1%");
    set(NULL, "loss=1%");
    assert_false(impair_idle(i));
    set(NULL, "");
    assert_false(impair_idle(i));
    impair_clear(i);
    assert_true(impair_idle(i));
}

static void after_a_clear_nothing_waits_for_what_was_queued(void **state)
{
    const address to = remote_of(1);

    (void)state;
    set(NULL, "rate=8kbit delay=5s");
    set(&to, "rate=8kbit delay=10s");
    for (uint32_t n = 0; n < 10; n++)
        offer(&to, n, 1000, 0);
    impair_clear(i);
    assert_false(impair_idle(i));
    offer(&to, 10, LEN, SECOND);
    offer(&to, 11, LEN, SECOND);
    drain(SECOND);
    assert_int_equal(arrived, 2);
    assert_int_equal(arrivals[11].place, 1);
    drain(INT64_MAX - 1);
    for (unsigned n = 0; n < 10; n++)
        assert_int_equal(arrivals[n].due_ns, (11 + n) * SECOND);
    assert_true(impair_idle(i));
}

static void time_does_not_go_back(void **state)
{
    const address to = remote_of(1);
    impaired out;

    (void)state;
    set(NULL, "delay=1ms");
    offer(&to, 0, LEN, 10 * MS);
    offer(&to, 1, LEN, 5 * MS);
    assert_true(impair_next(i, 11 * MS, &out));
    assert_true(impair_next(i, 0, &out));
}

/* ---- Bounds ---------------------------------------------------------------------------------- */

static void memory_is_bounded_and_what_does_not_fit_is_counted(void **state)
{
    const address to = remote_of(1);

    (void)state;
    set(NULL, "delay=1s");
    for (uint32_t n = 0; n < 1100; n++)
        offer(&to, n, 65535, 0);
    impair_get_counters(i, &c);
    assert_in_range(c.queued, 1000, 1023);
    assert_int_equal(c.dropped_memory, 1100 - c.queued);
    assert_true(c.memory > IMPAIR_MEMORY - 66000);
    drain(SECOND);
    offer(&to, 0, LEN, SECOND);
    drain(2 * SECOND);
    assert_int_equal(arrivals[0].copies, 2);
}

static void small_ones_count_with_their_bookkeeping(void **state)
{
    const address to = remote_of(1);

    (void)state;
    set(NULL, "delay=1s");
    for (uint32_t n = 0; n < 1000000; n++)
        impair_offer(i, &to, NULL, "", 0, 0, 0);
    impair_get_counters(i, &c);
    assert_true(c.dropped_memory > 0);
    assert_true(c.memory > IMPAIR_MEMORY - 1000);
}

static void remotes_are_bounded_and_what_comes_of_more_is_counted(void **state)
{
    const address over = remote_of(IMPAIR_PATHS_MAX);
    impair_rule rule = rule_of("loss=1%");
    berth_error error = {0};

    (void)state;
    set(NULL, "delay=1ms");
    for (unsigned host = 0; host <= IMPAIR_PATHS_MAX; host++) {
        address to = remote_of(host);

        offer(&to, host, LEN, 0);
    }
    impair_get_counters(i, &c);
    assert_int_equal(c.queued, IMPAIR_PATHS_MAX);
    assert_int_equal(c.dropped_paths, 1);
    assert_int_equal(impair_set(i, &over, &rule, &error), BERTH_ERR_LIMIT);
    assert_non_null(strstr(error.text, "4096"));
}

static void a_datagram_longer_than_any_is_dropped(void **state)
{
    const address to = remote_of(1);

    (void)state;
    offer(&to, 0, 65535, 0);
    offer(&to, 1, 65536, 0);
    impair_get_counters(i, &c);
    assert_int_equal(c.queued, 1);
    assert_int_equal(c.dropped_size, 1);
}

static void a_run_is_taken_apart_and_comes_out_one_by_one(void **state)
{
    static const size_t lens[] = {1200, 1200, 1200, 400};
    uint8_t bytes[4000], memory[1200];
    outgoing run = {.to = remote_of(1),
                    .local = remote_of(2),
                    .bytes = bytes,
                    .len = sizeof bytes,
                    .segment = 1200,
                    .ecn = 1},
             out;

    (void)state;
    for (size_t at = 0; at < sizeof bytes; at++)
        bytes[at] = (uint8_t)(at / 7);
    impair_offer_run(i, &run, 1);
    for (size_t n = 0; n < 4; n++) {
        assert_true(impair_send(i, memory, sizeof memory, &out, 1));
        assert_int_equal(out.len, lens[n]);
        assert_int_equal(out.segment, lens[n]);
        assert_ptr_equal(out.bytes, memory);
        assert_memory_equal(memory, bytes + n * 1200, out.len);
        assert_memory_equal(&out.to, &run.to, sizeof run.to);
        assert_memory_equal(&out.local, &run.local, sizeof run.local);
        assert_int_equal(out.ecn, 1);
    }
    assert_false(impair_send(i, memory, sizeof memory, &out, 1));
    impair_offer_run(i, &run, 1);
    assert_true(impair_send(i, memory, 1199, &out, 1));
    assert_int_equal(out.len, 400);
    impair_get_counters(i, &c);
    assert_int_equal(c.dropped_size, 3);
    assert_int_equal(c.out, 5);
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
        TEST(a_partition_is_of_one_remote_and_one_direction),
        TEST(the_own_rule_of_a_remote_stands_before_that_for_all),
        TEST(addresses_of_both_families_have_paths),
        TEST(nothing_is_idle_while_a_rule_does_something),
        TEST(after_a_clear_nothing_waits_for_what_was_queued),
        TEST(time_does_not_go_back),
        TEST(memory_is_bounded_and_what_does_not_fit_is_counted),
        TEST(small_ones_count_with_their_bookkeeping),
        TEST(remotes_are_bounded_and_what_comes_of_more_is_counted),
        TEST(a_datagram_longer_than_any_is_dropped),
        TEST(a_run_is_taken_apart_and_comes_out_one_by_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
