/* SPDX-License-Identifier: Apache-2.0 */
/* To whom a rule applies and since when; and the bounds of what is kept. */
#include "mesh_impair.h"

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

/* In a burst that hardly ends, behind a line that is busy for long; then another such rule. */
static void a_new_rule_begins_without_burst_and_with_a_free_line(void **state)
{
    const address own = remote_of(1), other = remote_of(2), *const whose[] = {&own, NULL};

    (void)state;
    for (unsigned w = 0; w < 2; w++) {
        const address *to = w ? &other : &own;
        int64_t now = w * 1000 * SECOND;

        set(whose[w], "rate=8kbit");
        for (uint32_t n = 0; n < 10; n++)
            offer(to, n, 1000, now);
        set(whose[w], "rate=80kbit");
        offer(to, 100 + w, 1000, now);
        drain(now + SECOND / 10);
        assert_int_equal(arrivals[100 + w].copies, 1);
        set(whose[w], "burst=100%/0.0001%");
        assert_int_equal(passes(to, now + SECOND / 10), 0);
        set(whose[w], "burst=0.0001%/0.0001%");
        assert_int_equal(passes(to, now + SECOND / 10), 1);
    }
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
    const address to = remote_of(1), slow = remote_of(2);

    (void)state;
    set(NULL, "delay=1s");
    set(&slow, "rate=8kbit");
    for (uint32_t n = 0; n < 1100; n++)
        offer(&to, n, 65535, 0);
    impair_get_counters(i, &c);
    assert_in_range(c.queued, 1000, 1023);
    assert_int_equal(c.dropped_memory, 1100 - c.queued);
    assert_true(c.memory > IMPAIR_MEMORY - 66000);
    for (uint32_t n = 0; n < 50; n++)
        offer(&slow, n, 65535, 0);
    drain(SECOND);
    offer(&to, 0, LEN, SECOND);
    offer(&slow, 2000, 1000, SECOND); /* its line has carried none of those dropped */
    drain(2 * SECOND);
    assert_int_equal(arrivals[0].copies, 2);
    assert_int_equal(arrivals[2000].copies, 1);
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
        TEST(a_partition_is_of_one_remote_and_one_direction),
        TEST(the_own_rule_of_a_remote_stands_before_that_for_all),
        TEST(addresses_of_both_families_have_paths),
        TEST(nothing_is_idle_while_a_rule_does_something),
        TEST(after_a_clear_nothing_waits_for_what_was_queued),
        TEST(a_new_rule_begins_without_burst_and_with_a_free_line),
        TEST(time_does_not_go_back),
        TEST(memory_is_bounded_and_what_does_not_fit_is_counted),
        TEST(small_ones_count_with_their_bookkeeping),
        TEST(remotes_are_bounded_and_what_comes_of_more_is_counted),
        TEST(a_datagram_longer_than_any_is_dropped),
        TEST(a_run_is_taken_apart_and_comes_out_one_by_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
