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

static void join_group(channels *c, const char *name, uint64_t publisher, const char *group,
                       struct daemon *d)
{
    OK(channels_join(c, slice_str(name), publisher, slice_str(group), d, NULL));
}

/* channels §8: all broadcast members and exactly one of each group; they take turns */
static void the_members_of_a_group_take_turns(void **state)
{
    (void)state;
    channels c;
    struct daemon *d[6], *got[6];
    unsigned heard[6] = {0};
    channels_init(&c);
    for (unsigned i = 0; i < 6; i++)
        d[i] = daemon_alone(i + 1, say("d%u", i));
    join(&c, "x", 0, d[0]);
    join_group(&c, "x", 0, "three", d[1]);
    join_group(&c, "x", 0, "three", d[2]);
    join_group(&c, "x", 0, "two", d[3]);
    join_group(&c, "x", 0, "three", d[4]);
    join_group(&c, "x", 0, "two", d[5]);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(hearers(&c, "x", 7, got), 3);
        assert_ptr_equal(got[0], d[0]);
        for (unsigned k = 0; k < 3; k++)
            heard[got[k]->origin - 1]++;
    }
    assert_int_equal(heard[0], 100);
    assert_in_range(heard[1], 33, 34);
    assert_in_range(heard[2], 33, 34);
    assert_in_range(heard[4], 33, 34);
    assert_int_equal(heard[3], 50);
    assert_int_equal(heard[5], 50);
    channels_leave(&c, slice_str("x"), 0, d[3]);
    channels_leave(&c, slice_str("x"), 0, d[5]);
    assert_int_equal(hearers(&c, "x", 7, got), 2); /* an empty group is none */
    channels_fini(&c);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(refs_of(d[i]), 1);
        daemon_unref(d[i]);
    }
}

/* channels §8: adding with a different mode moves the member */
static void a_daemon_is_on_a_channel_in_one_way(void **state)
{
    (void)state;
    channels c;
    struct daemon *a = daemon_alone(1, "a"), *b = daemon_alone(2, "b"), *got[4];
    channels_init(&c);
    join_group(&c, "x", 0, "g", a);
    join_group(&c, "x", 0, "g", b);
    assert_int_equal(hearers(&c, "x", 7, got), 1);
    join(&c, "x", 0, a);
    assert_int_equal(hearers(&c, "x", 7, got), 2);
    join_group(&c, "x", 0, "h", a);
    assert_int_equal(hearers(&c, "x", 7, got), 2);
    join_group(&c, "x", 0, "g", a);
    assert_int_equal(hearers(&c, "x", 7, got), 1);
    channels_fini(&c);
    assert_int_equal(refs_of(a), 1);
    daemon_unref(a);
    daemon_unref(b);
}

static void a_member_for_one_publisher_takes_no_turn_of_another(void **state)
{
    (void)state;
    channels c;
    struct daemon *a = daemon_alone(1, "a"), *b = daemon_alone(2, "b"), *got[4];
    unsigned for_a = 0;
    channels_init(&c);
    join_group(&c, "x", 7, "g", a);
    join_group(&c, "x", 0, "g", a); /* twice there, and one member all the same */
    join_group(&c, "x", 7, "g", b);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(hearers(&c, "x", 8, got), 1);
        assert_ptr_equal(got[0], a);
    }
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(hearers(&c, "x", 7, got), 1);
        for_a += got[0] == a;
    }
    assert_in_range(for_a, 44, 50); /* b may catch up first */
    channels_fini(&c);
    daemon_unref(a);
    daemon_unref(b);
}

/* channels §16.1, §21 number 12: the second server changes nothing */
static void a_service_has_one_server(void **state)
{
    (void)state;
    channels c;
    berth_error error = {0};
    uint64_t origin = 0;
    struct daemon *a = daemon_alone(1, "a"), *b = daemon_alone(2, "b"), *got[4];
    channels_init(&c);
    assert_int_equal(channels_service(slice_str("echo.requests")).len, 4);
    assert_int_equal(channels_service(slice_str(".requests")).len, 0);
    assert_int_equal(channels_service(slice_str("echo.replies")).len, 0);
    OK(channels_claim(&c, slice_str("echo.requests"), a, &error));
    FAILS(channels_join(&c, slice_str("echo.requests"), 0, (slice){0}, b, &error), EXISTS);
    CONTAINS(error.text, "service 'echo' is served by daemon 'a'");
    assert_int_equal(hearers(&c, "echo.requests", 7, got), 0);
    join(&c, "echo.requests", 0, a);
    assert_true(channels_server(&c, slice_str("echo"), &origin));
    assert_int_equal(origin, 1);
    channels_leave(&c, slice_str("echo.requests"), 0, a);
    assert_false(channels_server(&c, slice_str("echo"), &origin));
    join(&c, "echo.requests", 0, b);
    channels_fini(&c);
    assert_int_equal(refs_of(a), 1);
    assert_int_equal(refs_of(b), 1);
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
        cmocka_unit_test(the_members_of_a_group_take_turns),
        cmocka_unit_test(a_daemon_is_on_a_channel_in_one_way),
        cmocka_unit_test(a_member_for_one_publisher_takes_no_turn_of_another),
        cmocka_unit_test(a_service_has_one_server),
        cmocka_unit_test(a_channel_is_listed_as_long_as_someone_hears_it),
        cmocka_unit_test(names_that_were_only_tailed_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
