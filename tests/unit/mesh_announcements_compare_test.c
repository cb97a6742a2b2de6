/* SPDX-License-Identifier: Apache-2.0 */
/* What is passed on to a few only is found by comparing; neither grows with the number of peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NODES 24
#include "announcements_fixture.h"

static void full_mesh(void)
{
    for (unsigned a = 0; a < NODES; a++)
        for (unsigned b = a + 1; b < NODES; b++)
            up(a, b);
    settle();
}

/* Let time pass, so that comparisons come due. */
static size_t pass(int64_t for_ns)
{
    int64_t until = now + for_ns;
    size_t carried = 0;

    while (now < until) {
        now += S / 10;
        for (unsigned i = 0; i < NODES; i++)
            if (announcements_deadline(nodes[i].table) <= now)
                announcements_expire(nodes[i].table, now);
        carried += settle();
    }
    return carried;
}

static unsigned knowing(unsigned about, const char *tag)
{
    unsigned found = 0;

    for (unsigned i = 0; i < NODES; i++)
        found += knows(i, id(about), tag);
    return found;
}

static void a_change_costs_a_few_messages_a_node_however_many_peers_it_has(void **state)
{
    (void)state;
    full_mesh();
    for (unsigned v = 1; v <= 5; v++) {
        announce(3, v, "x");
        size_t carried = settle();
        /* From the node itself, and what is drawn: four each, give or take. */
        assert_true(carried >= NODES - 1);
        assert_true(carried <= (NODES - 1) * (1 + 8));
        assert_int_equal(knowing(3, "x"), NODES);
    }
}

/* In a line nothing reaches everybody but by being passed on. */
static void what_was_missed_is_found_by_comparing(void **state)
{
    unsigned lost = 0;

    (void)state;
    full_mesh();
    for (uint64_t v = 1; v <= 20; v++) {
        for (unsigned i = 0; i < NODES; i++)
            nodes[i].room = i == 3 ? 2 : SIZE_MAX; /* its other messages find no room, for good */
        announce(3, v, v % 2 ? "odd" : "even");
        settle();
        lost += knowing(3, v % 2 ? "odd" : "even") < NODES;
        for (unsigned i = 0; i < NODES; i++)
            nodes[i].room = SIZE_MAX;
        pass(60 * S);
        assert_int_equal(knowing(3, v % 2 ? "odd" : "even"), NODES);
    }
    assert_true(lost > 0); /* else this proves nothing */
}

static void peers_that_have_the_same_say_little(void **state)
{
    (void)state;
    full_mesh();
    for (unsigned i = 0; i < NODES; i++)
        announce(i, 1, "x");
    settle();
    pass(60 * S);
    uint64_t passed_on = 0, lists = 0;
    for (unsigned i = 0; i < NODES; i++) {
        passed_on -= counters(i).passed_on;
        lists -= counters(i).lists_out;
    }
    size_t carried = pass(100 * S);
    for (unsigned i = 0; i < NODES; i++) {
        passed_on += counters(i).passed_on;
        lists += counters(i).lists_out;
        assert_true(counters(i).sums_out > 0);
    }
    assert_int_equal(passed_on, 0);
    assert_int_equal(lists, 0);
    assert_true(carried <= NODES * 100 / 4); /* sums, every five seconds or so */
}

/* mesh §20: who joins hears of all, from one of its peers and not from each of them */
static void who_joins_is_told_everything_about_once(void **state)
{
    (void)state;
    for (unsigned a = 1; a < NODES; a++)
        for (unsigned b = a + 1; b < NODES; b++)
            up(a, b);
    for (unsigned i = 1; i < NODES; i++)
        announce(i, 1, "x");
    settle();
    pass(60 * S);
    for (unsigned i = 1; i < NODES; i++)
        up(0, i);
    announce(0, 1, "x");
    pass(30 * S);
    for (unsigned i = 0; i < NODES; i++)
        assert_int_equal(knowing(i, "x"), NODES);
    uint64_t told = count(0, ANNOUNCEMENT_ACCEPTED) + count(0, ANNOUNCEMENT_DUPLICATE) +
                    count(0, ANNOUNCEMENT_SECOND);
    assert_true(told >= NODES - 1);
    assert_true(told <= 3 * (NODES - 1));
}

static void a_comparison_goes_on_when_there_is_room_again(void **state)
{
    (void)state;
    for (unsigned i = 2; i < NODES; i++)
        up(1, i);
    for (unsigned i = 1; i < NODES; i++)
        announce(i, 1, "x");
    settle();
    pass(20 * S);
    nodes[1].room = 6;
    up(0, 1);
    pass(S);
    assert_false(knows(0, id(NODES - 1), "x") && knows(0, id(2), "x"));
    for (unsigned i = 0; i < 60; i++) { /* a little room each time */
        nodes[1].room = 8;
        announcements_room(nodes[1].table, id(0));
        for (unsigned k = 1; k < NODES; k++)
            announcements_room(nodes[1].table, id(k));
        pass(S);
    }
    for (unsigned i = 1; i < NODES; i++)
        assert_true(knows(0, id(i), "x"));
}

static void who_is_full_is_told_only_what_it_knows(void **state)
{
    announcements_config bounds = {.max_nodes = 10};

    (void)state;
    reboot(0, &bounds);
    for (unsigned i = 2; i < NODES; i++)
        up(1, i);
    for (unsigned i = 1; i < NODES; i++)
        announce(i, 1, "x");
    settle();
    pass(20 * S);
    up(0, 1);
    pass(20 * S);
    assert_int_equal(announcements_get_size(nodes[0].table).nodes, 10);
    uint64_t full = count(0, ANNOUNCEMENT_FULL);
    pass(100 * S);
    assert_true(count(0, ANNOUNCEMENT_FULL) <= full + 1);
}

static void comparisons_that_are_none_change_nothing(void **state)
{
    static const uint8_t junk[] = {9, 1, 2, 3, 4, 5, 6, 7, 8};
    berth_error error = {0};

    (void)state;
    up(0, 1);
    assert_int_equal(announcements_compare(nodes[0].table, id(1), MESSAGE_ANNOUNCEMENT_SUMS,
                                           slice_of(junk, sizeof junk), now, &error),
                     BERTH_ERR_CORRUPT);
    assert_true(error.text[0]);
    assert_int_equal(announcements_compare(nodes[0].table, id(1), MESSAGE_ANNOUNCEMENT_LIST,
                                           slice_of(junk, sizeof junk), now, NULL),
                     BERTH_ERR_CORRUPT);
    assert_int_equal(announcements_compare(nodes[0].table, id(1), 0x04ff,
                                           slice_of(junk, sizeof junk), now, NULL),
                     BERTH_ERR_CORRUPT);
    assert_int_equal(announcements_compare(nodes[0].table, id(2), MESSAGE_ANNOUNCEMENT_SUMS,
                                           slice_of(junk, sizeof junk), now, NULL),
                     BERTH_ERR_NOT_FOUND);
    assert_int_equal(counters(0).lists_bad, 3);
    assert_int_equal(nodes[0].queued, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_change_costs_a_few_messages_a_node_however_many_peers_it_has),
        T(what_was_missed_is_found_by_comparing),
        T(peers_that_have_the_same_say_little),
        T(who_joins_is_told_everything_about_once),
        T(a_comparison_goes_on_when_there_is_room_again),
        T(who_is_full_is_told_only_what_it_knows),
        T(comparisons_that_are_none_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
