/* SPDX-License-Identifier: Apache-2.0 */
/* Daemons that daemons spawn, while the disk is slow and while the host ends. */
#include "daemon_home.h"

#define WISHES 8 /* more than there are threads */

static uint64_t asker_of(home *h)
{
    uint64_t d;
    berth_daemon_config config = {.size = sizeof(config), .name = "asker"};
    OK(berth_spawn_kind(h->rt, "script", NULL, &config, &d, NULL));
    OK(berth_flush(h->rt, d, NULL));
    return d;
}

static void wish(home *h, uint64_t asker)
{
    for (int i = 1; i <= WISHES; i++)
        OK(post_it(h->rt, asker, say("spawn:echo:%d:child-%d", i, i)));
    OK(berth_flush(h->rt, asker, NULL));
}

static uint64_t underway(home *h)
{
    return atomic_load(&h->rt->underway);
}

/* DESIGN §3: a slow disk costs those who wait for it, and no thread */
static void while_wishes_wait_for_the_disk_other_daemons_run(void **state)
{
    home h = home_open(state, 0);
    uint64_t asker = asker_of(&h), other, child;
    OK(berth_spawn_kind(h.rt, "counter", NULL, NULL, &other, NULL));
    ear *e = ear_on(h.rt, asker, TAIL_FROM_RING);
    sqlite3 *hold = disk_hold();
    wish(&h, asker);
    UNTIL(kinds_alive == 2 + WISHES); /* all of them are built */
    for (int i = 1; i <= 3; i++)
        OK(post_it(h.rt, other, "x")); /* through its mailbox, to a thread of the pool */
    OK(berth_flush(h.rt, other, NULL));
    assert_int_equal(info_of(h.rt, other).events_processed, 3);
    assert_int_equal(underway(&h), WISHES);
    assert_int_equal(berth_daemon_count(h.rt), 2); /* and nobody can find one */
    FAILS(berth_daemon_find(h.rt, "child-1", &child, NULL), NOT_FOUND);
    disk_release(hold);
    hear_at_last(e, "start 0 1 ");
    for (int i = 0; i < WISHES; i++) {
        assert_true(ear_next(e));
        CONTAINS(e->text, "reply ");
    }
    for (int i = 1; i <= WISHES; i++) {
        OK(berth_daemon_find(h.rt, say("child-%d", i), &child, NULL));
        assert_true(row_of(&h, child).there);
        assert_string_equal(ask_it(h.rt, child, "x"), "x");
    }
    ear_close(e);
    home_close(state, &h);
}

static void *end(void *arg)
{
    home *h = arg;
    OK(berth_runtime_shutdown(h->rt, 10000, NULL));
    return NULL;
}

/* compute-core K11: whoever wins, no daemon is left that nobody ends, and no row of one */
static void wishes_that_a_shutdown_overtakes_leave_nothing(void **state)
{
    home h = home_open(state, 0);
    uint64_t asker = asker_of(&h);
    pthread_t thread;
    sqlite3 *hold = disk_hold();
    wish(&h, asker);
    UNTIL(kinds_alive == 1 + WISHES);
    pthread_create(&thread, NULL, end, &h);
    UNTIL(berth_runtime_get_state(h.rt) == BERTH_RUNTIME_SHUTTING_DOWN);
    disk_release(hold);
    pthread_join(thread, NULL);
    assert_int_equal(underway(&h), 0);
    assert_int_equal(berth_daemon_count(h.rt), 0);
    assert_int_equal(factories_count(&h.rt->factories), 0);
    assert_int_equal(kinds_alive, 0);
    home_close(state, &h);
    h = home_open(state, 0);
    assert_int_equal(berth_daemon_count(h.rt), 1); /* the asker */
    home_close(state, &h);
}

static void a_wish_for_a_name_that_is_taken_is_refused_and_leaves_nothing(void **state)
{
    home h = home_open(state, 0);
    uint64_t asker = asker_of(&h);
    ear *e = ear_on(h.rt, asker, TAIL_FROM_RING);
    hear_at_last(e, "start 0 1 ");
    OK(tell_it(h.rt, asker, "spawn:echo:1:twin"));
    assert_true(ear_next(e));
    CONTAINS(e->text, "reply 1 0 ");
    OK(tell_it(h.rt, asker, "spawn:echo:2:twin")); /* the name is taken */
    assert_true(ear_next(e));
    CONTAINS(e->text, "reply 2 ");
    CONTAINS(e->text, "already registered");
    assert_int_equal(berth_daemon_count(h.rt), 2);
    assert_int_equal(factories_count(&h.rt->factories), 2);
    UNTIL(underway(&h) == 0); /* a moment after its answer */
    ear_close(e);
    home_close(state, &h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEPT(while_wishes_wait_for_the_disk_other_daemons_run),
        LATER(while_wishes_wait_for_the_disk_other_daemons_run),
        KEPT(wishes_that_a_shutdown_overtakes_leave_nothing),
        LATER(wishes_that_a_shutdown_overtakes_leave_nothing),
        KEPT(a_wish_for_a_name_that_is_taken_is_refused_and_leaves_nothing),
        LATER(a_wish_for_a_name_that_is_taken_is_refused_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
