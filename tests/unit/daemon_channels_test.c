/* SPDX-License-Identifier: Apache-2.0 */
/* Who hears which channel on this host. */
#include "daemon_help.h"

#include "daemon/channels.h"

static uint32_t hearers(channels *c, const char *name, uint64_t publisher, struct daemon **out)
{
    uint32_t n;
    ring *tails;
    struct daemon **list = channels_hearers(c, slice_str(name), publisher, true, &n, &tails);
    for (uint32_t i = 0; i < n; i++) {
        out[i] = list[i];
        daemon_unref(list[i]);
    }
    free(list);
    ring_unref(tails);
    return n;
}

static void join(channels *c, const char *name, uint64_t publisher, struct daemon *d)
{
    OK(channels_join(c, slice_str(name), publisher, (slice){0}, d, NULL));
}

static void everyone_hears_a_channel_once_in_order_of_subscription(void **state)
{
    (void)state;
    channels c;
    struct daemon *a = daemon_alone(1, "a"), *b = daemon_alone(2, "b"), *got[4];
    channels_init(&c);
    join(&c, "x", 0, a);
    join(&c, "x", 0, b);
    join(&c, "x", 0, a); /* idempotent */
    join(&c, "y", 0, b);
    assert_int_equal(hearers(&c, "x", 7, got), 2);
    assert_ptr_equal(got[0], a);
    assert_ptr_equal(got[1], b);
    assert_int_equal(hearers(&c, "y", 7, got), 1);
    assert_ptr_equal(got[0], b);
    assert_int_equal(hearers(&c, "z", 7, got), 0);
    channels_fini(&c);
    assert_int_equal(refs_of(a), 1);
    assert_int_equal(refs_of(b), 1);
    daemon_unref(a);
    daemon_unref(b);
}

/* compute-core §18.7: two daemons, one channel, one unsubscribes */
static void one_that_leaves_does_not_silence_the_other(void **state)
{
    (void)state;
    channels c;
    struct daemon *a = daemon_alone(1, "a"), *b = daemon_alone(2, "b"), *got[4];
    channels_init(&c);
    join(&c, "x", 0, a);
    join(&c, "x", 0, b);
    channels_leave(&c, slice_str("x"), 0, a);
    channels_leave(&c, slice_str("x"), 0, a);
    channels_leave(&c, slice_str("nowhere"), 0, a);
    assert_int_equal(hearers(&c, "x", 7, got), 1);
    assert_ptr_equal(got[0], b);
    assert_int_equal(refs_of(a), 1);
    channels_fini(&c);
    daemon_unref(a);
    daemon_unref(b);
}

static void a_subscription_to_one_publisher_hears_no_other(void **state)
{
    (void)state;
    channels c;
    struct daemon *a = daemon_alone(1, "a"), *b = daemon_alone(2, "b"), *got[4];
    channels_init(&c);
    join(&c, "x", 7, a);
    join(&c, "x", 0, b);
    assert_int_equal(hearers(&c, "x", 8, got), 1);
    assert_ptr_equal(got[0], b);
    assert_int_equal(hearers(&c, "x", 7, got), 2);
    join(&c, "x", 0, a); /* both: still heard once */
    assert_int_equal(hearers(&c, "x", 7, got), 2);
    channels_leave(&c, slice_str("x"), 0, a);
    assert_int_equal(hearers(&c, "x", 7, got), 2);
    channels_fini(&c);
    daemon_unref(a);
    daemon_unref(b);
}

typedef struct listing {
    uint64_t count, subscribers, tails, published;
} listing;

static void list(void *ctx, const channel_info *info)
{
    listing *l = ctx;
    l->count++;
    l->subscribers += info->subscribers;
    l->tails += info->tails;
    l->published += info->published;
}

static listing listed(channels *c)
{
    listing l = {0};
    channels_each(c, list, &l);
    return l;
}

static void a_channel_is_listed_as_long_as_someone_hears_it(void **state)
{
    (void)state;
    channels c;
    ring_budget budget = {.items = 4, .bytes = 1000, .total = 1000};
    struct daemon *a = daemon_alone(1, "a"), *got[4];
    channels_init(&c);
    join(&c, "x", 0, a);
    hearers(&c, "x", 7, got);
    tail *t = channels_tail(&c, slice_str("x"), &budget, NULL, NULL);
    listing l = listed(&c);
    assert_int_equal(l.count, 1);
    assert_int_equal(l.subscribers, 1);
    assert_int_equal(l.tails, 1);
    assert_int_equal(l.published, 1);
    channels_leave(&c, slice_str("x"), 0, a);
    assert_int_equal(listed(&c).count, 1);
    tail_close(t);
    assert_int_equal(listed(&c).count, 0);
    channels_fini(&c);
    daemon_unref(a);
}

/* Anyone may tail any name: names that nobody hears any more must not pile up. */
static void names_that_were_only_tailed_are_forgotten(void **state)
{
    (void)state;
    channels c;
    ring_budget budget = {.items = 4, .bytes = 1000, .total = 1000};
    channels_init(&c);
    for (int i = 0; i < 10000; i++)
        tail_close(channels_tail(&c, slice_str(say("name-%d", i)), &budget, NULL, NULL));
    assert_true(c.map.count < 200);
    channels_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everyone_hears_a_channel_once_in_order_of_subscription),
        cmocka_unit_test(one_that_leaves_does_not_silence_the_other),
        cmocka_unit_test(a_subscription_to_one_publisher_hears_no_other),
        cmocka_unit_test(a_channel_is_listed_as_long_as_someone_hears_it),
        cmocka_unit_test(names_that_were_only_tailed_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
