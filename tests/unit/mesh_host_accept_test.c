/* SPDX-License-Identifier: Apache-2.0 */
/* Who on other nodes may send to one daemon: events, calls and its name, also after a restart. */
#include "mesh_hosts.h"

#include "mesh/mesh_private.h"

static hosts h;

static uint64_t spawn(unsigned i, uint64_t key, const char *name, const char *accept)
{
    berth_keypair identity = key_of(key);
    berth_daemon_config config = {.size = sizeof config, .name = name, .accept = accept};
    berth_error error = {0};
    uint64_t origin = 0;

    if (berth_spawn_kind(h.list[i].rt, "script", &identity, &config, &origin, &error) != BERTH_OK)
        fail_msg("%s", error.text);
    return origin;
}

static void emit_to(unsigned i, uint64_t from, uint64_t to)
{
    char text[64];

    snprintf(text, sizeof text, "send:%016" PRIx64 ":add:1", to);
    OK(hosts_tell(&h, i, from, text, NULL));
}

static uint64_t refused(unsigned i)
{
    return hosts_counters(&h, i).flows.refused;
}

/* Of three hosts, the second one's daemon accepts this, and each other host has a sender. */
static uint64_t start(const char *accept, uint64_t *friend, uint64_t *stranger)
{
    hosts_init(&h, 3);
    hosts_keep(&h, 1);
    for (unsigned i = 0; i < 3; i++)
        hosts_up(&h, i);
    UNTIL(hosts_joined(&h));
    *friend = spawn(0, 1, NULL, NULL);
    *stranger = spawn(2, 3, NULL, NULL);
    return spawn(1, 2, "words", accept);
}

/* Hosts that would wait for what they do not get rid of end without a word, and last. */
static void finish(bool friend_waits)
{
    hosts_down(&h, 1, true);
    hosts_down(&h, 0, !friend_waits);
    hosts_down(&h, 2, false);
    hosts_end(&h);
}

static void events_of_a_node_that_is_not_accepted_are_refused_and_counted(void **state)
{
    uint64_t a, c, b;

    (void)state;
    b = start("host0", &a, &c);
    emit_to(2, c, b);
    UNTIL(refused(1) > 0);
    emit_to(0, a, b);
    UNTIL(hosts_count(&h, 1, b) == 1);
    /* Another daemon of that host takes them. */
    b = spawn(1, 4, NULL, NULL);
    emit_to(2, c, b);
    UNTIL(hosts_count(&h, 1, b) == 1);
    finish(false);
}

static void it_is_so_again_after_a_restart_of_the_host(void **state)
{
    uint64_t a, c, b, before;

    (void)state;
    b = start("host0", &a, &c);
    hosts_down(&h, 1, true);
    hosts_up(&h, 1);
    UNTIL(hosts_joined(&h));
    before = refused(1);
    emit_to(2, c, b);
    UNTIL(refused(1) > before);
    emit_to(0, a, b);
    UNTIL(hosts_count(&h, 1, b) == 1);
    finish(false);
}

/* What the operator gives it later does not open it. */
static void a_change_of_what_it_hears_leaves_that_as_it_is(void **state)
{
    uint64_t a, c, b, before;

    (void)state;
    b = start("none", &a, &c);
    OK(runtime_subscribe(h.list[1].rt, b, slice_str("jobs"), (slice){0}, true, NULL));
    hosts_down(&h, 1, true);
    hosts_up(&h, 1);
    UNTIL(hosts_joined(&h));
    assert_int_equal(info_of(h.list[1].rt, b).subscriptions, 1);
    before = refused(1);
    emit_to(0, a, b);
    UNTIL(refused(1) > before);
    assert_int_equal(hosts_count(&h, 1, b), 0);
    finish(true);
}

static void a_call_of_a_node_that_is_not_accepted_is_refused(void **state)
{
    uint64_t a, c, b;

    (void)state;
    b = start("host0", &a, &c);
    OK(hosts_tell(&h, 0, b, "add:1", NULL));
    assert_int_equal(hosts_tell(&h, 2, b, "add:1", NULL), BERTH_ERR_REFUSED);
    OK(hosts_tell(&h, 1, b, "add:1", NULL)); /* at home nobody is another node */
    assert_int_equal(hosts_count(&h, 1, b), 2);
    finish(false);
}

typedef struct found {
    _Atomic int done;
    berth_status status;
    uint64_t origin;
} found;

static void note_found(void *ctx, berth_status status, uint64_t origin)
{
    found *f = ctx;

    f->status = status;
    f->origin = origin;
    f->done = 1;
}

static found ask_name(unsigned i)
{
    found f = {0};

    mesh_find_daemon(h.list[i].mesh, h.list[1].key.node_id, "words", 5000 * 1000000LL, note_found,
                     &f);
    UNTIL(f.done);
    return f;
}

static void who_may_not_send_is_not_told_its_origin(void **state)
{
    uint64_t a, c, b;

    (void)state;
    b = start("host0", &a, &c);
    assert_int_equal(ask_name(0).origin, b);
    assert_int_equal(ask_name(2).status, BERTH_ERR_NOT_FOUND);
    finish(false);
}

static void a_pinned_node_is_one_of_the_peers_and_nobody_is_none(void **state)
{
    uint64_t a, c, b;

    (void)state;
    b = start("peers", &a, &c);
    OK(hosts_tell(&h, 0, b, "add:1", NULL));
    OK(hosts_tell(&h, 2, b, "add:1", NULL));
    b = spawn(1, 5, NULL, "none");
    assert_int_equal(hosts_tell(&h, 0, b, "add:1", NULL), BERTH_ERR_REFUSED);
    b = spawn(1, 6, NULL, "realm");
    OK(hosts_tell(&h, 0, b, "add:1", NULL));
    finish(false);
}

/* A list that is wrong leaves no daemon. */
static void a_spawn_that_names_nobody_is_refused(void **state)
{
    berth_daemon_config config = {.size = sizeof config, .accept = "host0,"};
    berth_error error = {0};
    uint64_t origin = 0;

    (void)state;
    hosts_start(&h, 1);
    FAILS(berth_spawn_kind(h.list[0].rt, "script", NULL, &config, &origin, &error), INVALID);
    CONTAINS(error.text, "accept 'host0,'");
    assert_int_equal(berth_daemon_count(h.list[0].rt), 0);
    hosts_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_of_a_node_that_is_not_accepted_are_refused_and_counted),
        cmocka_unit_test(it_is_so_again_after_a_restart_of_the_host),
        cmocka_unit_test(a_change_of_what_it_hears_leaves_that_as_it_is),
        cmocka_unit_test(a_call_of_a_node_that_is_not_accepted_is_refused),
        cmocka_unit_test(who_may_not_send_is_not_told_its_origin),
        cmocka_unit_test(a_pinned_node_is_one_of_the_peers_and_nobody_is_none),
        cmocka_unit_test(a_spawn_that_names_nobody_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
