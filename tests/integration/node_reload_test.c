/* SPDX-License-Identifier: Apache-2.0 */
/* What a reload takes, and that it tells of all that it does not. */
#include "node_fixture.h"

static void forget_log(void)
{
    pthread_mutex_lock(&logged.lock);
    logged.text[0] = '\0';
    pthread_mutex_unlock(&logged.lock);
}

static void reload(berth_node *node, const char *conf)
{
    berth_error error = {0};

    forget_log();
    write_conf(conf);
    if (berth_node_reload(node, &error) != BERTH_OK)
        fail_msg("%s", error.text);
}

static void settings_that_only_a_start_takes_are_named_until_they_are_as_started(void **state)
{
    berth_node *node;

    (void)state;
    write_conf("host { name = a } limits { call_budget = 10ms }");
    node = start_node(NULL);
    reload(node, "host { name = b key_file = k } limits { call_budget = 20ms max_event = 2MiB }");
    assert_true(log_has("restart the host to apply: host { name, key_file }, limits { max_event, "
                        "call_budget }"));
    reload(node, "host { name = b } limits { call_budget = 10000us }");
    assert_true(log_has("restart the host to apply: host { name }\n"));
    reload(node, "host { name = a } limits { call_budget = 10ms }");
    assert_false(log_has("restart"));
    stop_node(node);
}

static void settings_that_the_command_line_says_are_no_change(void **state)
{
    berth_node *node;

    (void)state;
    node = start_node(NULL);
    stop_node(node);
    write_conf("");
    node = start_node(NULL); /* with threads, state and socket of its own */
    reload(node, "host { threads = 7 state = elsewhere socket = there }");
    assert_false(log_has("restart"));
    stop_node(node);
}

static void another_plugin_directory_is_taken(void **state)
{
    char other[96];
    berth_node *node;

    (void)state;
    write_conf("plugins { dir = drop }");
    node = start_node(NULL);
    snprintf(other, sizeof other, "%s/other", at.root);
    assert_int_equal(mkdir(other, 0700), 0);
    reload(node, "plugins { dir = other } daemon c { kind = counter }");
    assert_true(log_has("/other now"));
    strcpy(at.drop, other);
    drop(COUNTER, NULL);
    wait_log("started daemon \"c\"");
    reload(node, "");
    assert_true(log_has("no plugin directory any more"));
    reload(node, "plugins { dir = drop }");
    assert_true(log_has("/drop now"));
    stop_node(node);
}

static void a_directory_that_cannot_be_watched_fails_the_whole_reload(void **state)
{
    berth_daemon_info info;
    berth_error error = {0};
    berth_node *node;

    (void)state;
    write_conf("plugins { dir = drop }");
    node = start_node(COUNTER);
    write_conf("plugins { dir = nowhere } daemon c { kind = counter }");
    assert_int_equal(berth_node_reload(node, &error), BERTH_ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "/nowhere"));
    assert_false(find(node, "c", &info));
    write_conf("plugins { dir = drop } daemon e { kind = echo }");
    assert_int_equal(berth_node_reload(node, &error), BERTH_OK);
    drop(ECHO, NULL); /* the former directory is still watched */
    wait_log("started daemon \"e\"");
    stop_node(node);
}

static void daemons_that_run_on_otherwise_than_configured_are_named(void **state)
{
    berth_node *node;

    (void)state;
    write_conf("daemon a { kind = counter }\ndaemon b { kind = counter config = \"\" }\n"
               "daemon c { kind = counter }\ndaemon d { kind = counter auto_snapshot = 5 }");
    node = start_node(COUNTER);
    reload(node, "daemon a { kind = counter auto_snapshot = 7 durability = volatile }\n"
                 "daemon b { kind = echo config = x }\n"
                 "daemon d { kind = counter auto_snapshot = 5 }");
    assert_true(log_has("berth.conf:1: daemon \"a\": runs on as it was, with another "
                        "auto_snapshot, durability than configured"));
    assert_true(log_has("berth.conf:2: daemon \"b\": runs on as it was, with another kind, config "
                        "or identity than configured"));
    assert_true(log_has("daemon \"c\" is not in the configuration any more: it runs on"));
    assert_false(log_has("daemon \"d\""));
    assert_string_equal(ask(node, "c", "x"), "1");
    stop_node(node);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, node_setup, node_teardown)
    const struct CMUnitTest tests[] = {
        TEST(settings_that_only_a_start_takes_are_named_until_they_are_as_started),
        TEST(settings_that_the_command_line_says_are_no_change),
        TEST(another_plugin_directory_is_taken),
        TEST(a_directory_that_cannot_be_watched_fails_the_whole_reload),
        TEST(daemons_that_run_on_otherwise_than_configured_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
