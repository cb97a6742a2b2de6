/* SPDX-License-Identifier: Apache-2.0 */
/* Daemons whose plugin has changed, or may not be loaded any more, when the host comes back. */
#include "node_fixture.h"

#include "base/text.h"
#include "daemon/runtime.h"

#define VERSION_1 BUILD_DIR "/tests/plugins/versioned-1.so"
#define VERSION_2 BUILD_DIR "/tests/plugins/versioned-2.so"

static char why[512]; /* the last one is down */

static void count_down(void *ctx, const store_daemon *row, const char *reason)
{
    snprintf(why, sizeof why, "%s", reason);
    *(unsigned *)ctx += strcmp(row->name, "p") == 0;
}

static unsigned down(berth_node *node)
{
    unsigned n = 0;

    runtime_down_each((runtime *)berth_node_runtime(node), count_down, &n);
    return n;
}

static void a_daemon_returns_on_the_copy_it_ran_on_though_a_newer_file_is_there(void **state)
{
    berth_daemon_info before, after;
    berth_node *node = start_node(VERSION_1);

    (void)state;
    spawn(node, "versioned", "p");
    assert_true(find(node, "p", &before));
    stop_node(node);

    write_conf("plugins { dir = drop }");
    drop(VERSION_2, NULL);
    node = start_node(VERSION_2);
    assert_true(find(node, "p", &after));
    assert_memory_equal(after.plugin_digest, before.plugin_digest, sizeof before.plugin_digest);
    assert_true(log_has("versioned"));
    stop_node(node);
}

static void a_daemon_of_a_revoked_plugin_stays_down_and_is_not_replaced(void **state)
{
    berth_daemon_info before, after;
    char conf[300], hex[65];
    berth_node *node = start_node(VERSION_1);

    (void)state;
    spawn(node, "versioned", "p");
    assert_true(find(node, "p", &before));
    stop_node(node);

    /* Another version provides its kind, and the configuration wants a daemon of its name. */
    hex_encode(hex, slice_of(before.plugin_digest, 32));
    snprintf(conf, sizeof conf,
             "plugins { revoked = { %s } }\n"
             "daemon p { kind = versioned durability = snapshot }\n",
             hex);
    write_conf(conf);
    node = start_node(VERSION_2);
    assert_true(log_has("revoked"));
    assert_int_equal(down(node), 1);
    assert_false(find(node, "p", &after));
    stop_node(node);

    write_conf("");
    node = start_node(NULL);
    assert_int_equal(down(node), 0);
    assert_true(find(node, "p", &after));
    assert_true(after.origin == before.origin);
    stop_node(node);
}

static void a_daemon_that_is_down_returns_when_what_kept_it_out_is_gone(void **state)
{
    berth_daemon_info before, after;
    berth_error error = {0};
    char conf[300], hex[65];
    berth_node *node = start_node(VERSION_1);

    (void)state;
    spawn(node, "versioned", "p");
    assert_true(find(node, "p", &before));
    stop_node(node);
    hex_encode(hex, slice_of(before.plugin_digest, 32));
    snprintf(conf, sizeof conf, "plugins { revoked = { %s } }\n", hex);
    write_conf(conf);
    node = start_node(NULL);
    assert_int_equal(down(node), 1);
    /* In words of people, who do not know the stored copy's digest. */
    if (strncmp(why, "plugin 'versioned' ", 19) != 0 || strstr(why, at.state))
        fail_msg("the reason is: %s", why);

    write_conf("plugins { unsigned = warn }\n");
    assert_int_equal(berth_node_reload(node, &error), BERTH_OK);
    assert_int_equal(down(node), 0);
    assert_true(find(node, "p", &after));
    assert_memory_equal(after.entity, before.entity, sizeof before.entity);
    assert_memory_equal(after.plugin_digest, before.plugin_digest, sizeof before.plugin_digest);
    stop_node(node);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, node_setup, node_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_daemon_returns_on_the_copy_it_ran_on_though_a_newer_file_is_there),
        TEST(a_daemon_of_a_revoked_plugin_stays_down_and_is_not_replaced),
        TEST(a_daemon_that_is_down_returns_when_what_kept_it_out_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
