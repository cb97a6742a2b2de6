/* SPDX-License-Identifier: Apache-2.0 */
/* A whole host: start, stop, return, refusal, reload, and the daemons that its configuration wants.
 */
#include "node_fixture.h"

static void a_stopped_host_comes_back_with_its_daemons_and_their_state(void **state)
{
    berth_node *node = start_node(COUNTER);
    berth_daemon_info before, after;

    (void)state;
    spawn(node, "counter", "c");
    assert_string_equal(ask(node, "c", "x"), "1");
    assert_string_equal(ask(node, "c", "x"), "2");
    assert_true(find(node, "c", &before));
    assert_string_equal(berth_node_socket(node), at.socket);
    assert_int_equal(access(at.socket, F_OK), 0);
    stop_node(node);
    assert_int_equal(access(at.socket, F_OK), -1);

    /* The plugin comes from the host's own store. */
    node = start_node(NULL);
    assert_true(find(node, "c", &after));
    assert_true(after.origin == before.origin);
    assert_true(after.sequence == before.sequence);
    assert_true(after.incarnation == before.incarnation);
    assert_string_equal(ask(node, "c", "x"), "3");
    stop_node(node);
}

static void a_stopped_daemon_does_not_come_back(void **state)
{
    berth_node *node = start_node(COUNTER);
    uint64_t origin = spawn(node, "counter", "c");
    berth_daemon_info info;

    (void)state;
    assert_int_equal(berth_stop(berth_node_runtime(node), origin, 1000, NULL), BERTH_OK);
    stop_node(node);
    node = start_node(NULL);
    assert_false(find(node, "c", &info));
    stop_node(node);
}

static void a_second_host_on_the_state_directory_is_refused_and_the_first_goes_on(void **state)
{
    berth_node *first = start_node(COUNTER), *second = NULL;
    berth_error error = {0};

    (void)state;
    spawn(first, "counter", "c");
    assert_int_equal(try_start(COUNTER, &second, &error), BERTH_ERR_LOCKED);
    assert_non_null(strstr(error.text, at.state));
    assert_null(second);
    assert_int_equal(access(at.socket, F_OK), 0);
    assert_string_equal(ask(first, "c", "x"), "1");
    stop_node(first);
}

static void a_second_host_on_the_socket_is_refused_before_it_makes_anything(void **state)
{
    berth_node *first = start_node(NULL), *second = NULL;
    berth_error error = {0};

    (void)state;
    snprintf(at.state, sizeof at.state, "%s/other", at.root);
    assert_int_equal(try_start(NULL, &second, &error), BERTH_ERR_LOCKED);
    assert_non_null(strstr(error.text, at.socket));
    assert_int_equal(access(at.state, F_OK), -1);
    stop_node(first);
    second = start_node(NULL);
    stop_node(second);
}

static void an_ephemeral_host_leaves_nothing(void **state)
{
    const char *plugin = COUNTER;
    berth_node_options options = {.size = sizeof options,
                                  .state_dir = at.state,
                                  .socket = at.socket,
                                  .plugins = &plugin,
                                  .plugin_count = 1,
                                  .ephemeral = true};
    berth_node *node = NULL;
    berth_error error = {0};
    char temporary[80];

    (void)state;
    snprintf(temporary, sizeof temporary, "%s/tmp", at.root);
    assert_int_equal(mkdir(temporary, 0700), 0);
    setenv("TMPDIR", temporary, 1);
    if (berth_node_start(&options, &node, &error) != BERTH_OK)
        fail_msg("%s", error.text);
    spawn(node, "counter", "c");
    assert_string_equal(ask(node, "c", "x"), "1");
    stop_node(node);
    unsetenv("TMPDIR");
    assert_int_equal(access(at.state, F_OK), -1);
    assert_int_equal(count_entries(temporary), 0);
}

/* ---- Starts that fail -------------------------------------------------------------------------
 */

/* What the process holds: descriptors and threads. */
static unsigned held(void)
{
    return count_entries("/proc/self/fd") * 1000 + count_entries("/proc/self/task");
}

static void refused(const char *plugin, berth_status status, const char *says)
{
    berth_node *node = NULL;
    berth_error error = {0};
    unsigned before = held();
    int result = try_start(plugin, &node, &error);

    if (result != status || !strstr(error.text, says))
        fail_msg("wanted %s ... '%s'\ngot %s: %s", berth_status_name(status), says,
                 berth_status_name(result), error.text);
    assert_null(node);
    assert_null(strchr(error.text, '\n'));
    assert_int_equal(held(), before);
    assert_int_equal(access(at.socket, F_OK), -1);
}

static void a_start_that_fails_says_why_and_leaves_nothing(void **state)
{
    berth_node *node;
    char text[256];

    (void)state;
    stop_node(start_node(NULL)); /* libraries keep what they open once */

    write_conf("host { thread = 2 }");
    refused(NULL, BERTH_ERR_INVALID, "berth.conf:1: there is no option 'thread'");
    write_conf("host { key_file = nowhere }");
    refused(NULL, BERTH_ERR_NOT_FOUND, "nowhere");
    write_conf("plugins { dir = nowhere }");
    refused(NULL, BERTH_ERR_NOT_FOUND, "nowhere");
    write_conf("plugins { keys = { nowhere.pub } }");
    refused(NULL, BERTH_ERR_NOT_FOUND, "nowhere.pub");
    write_conf("plugins { unsigned = refuse }");
    refused(COUNTER, BERTH_ERR_REFUSED, "counter.so");
    write_conf("plugin counter { isolation = process }");
    refused(COUNTER, BERTH_ERR_UNSUPPORTED, "isolation");
    write_conf("");
    refused("/etc/passwd", BERTH_ERR_ADMISSION, "/etc/passwd");
    refused("/nonexistent.so", BERTH_ERR_NOT_FOUND, "/nonexistent.so");
    assert_int_equal(chmod(at.conf, 0666), 0);
    refused(NULL, BERTH_ERR_PERMISSION, "chmod");
    write_conf("");
    assert_int_equal(chmod(at.state, 0777), 0);
    refused(NULL, BERTH_ERR_PERMISSION, "chmod");
    assert_int_equal(chmod(at.state, 0700), 0);
    snprintf(text, sizeof text, "%s/run", at.root);
    assert_int_equal(chmod(text, 0777), 0);
    refused(NULL, BERTH_ERR_PERMISSION, "run");
    assert_int_equal(chmod(text, 0700), 0);

    /* Nothing of all this holds on to the directory. */
    node = start_node(COUNTER);
    stop_node(node);
}

static void a_configuration_that_is_named_has_to_be_there(void **state)
{
    berth_node_options options = {
        .size = sizeof options, .config_file = at.conf, .state_dir = at.state, .socket = at.socket};
    berth_node *node = NULL;

    (void)state;
    assert_int_equal(berth_node_start(&options, &node, NULL), BERTH_ERR_NOT_FOUND);
    assert_int_equal(access(at.state, F_OK), -1);
}

static void variables_of_the_dynamic_loader_are_refused(void **state)
{
    (void)state;
    setenv("LD_PRELOAD", "/tmp/x.so", 1);
    refused(NULL, BERTH_ERR_REFUSED, "LD_PRELOAD");
    unsetenv("LD_PRELOAD");
    setenv("LD_LIBRARY_PATH", "/tmp", 1);
    refused(NULL, BERTH_ERR_REFUSED, "LD_LIBRARY_PATH");
    unsetenv("LD_LIBRARY_PATH");
    assert_int_equal(access(at.state, F_OK), -1);
}

/* ---- Reload -----------------------------------------------------------------------------------
 */

static void a_reload_takes_the_new_policy_and_looks_at_the_directory(void **state)
{
    berth_daemon_info info;
    berth_node *node;

    (void)state;
    write_conf("plugins { dir = drop unsigned = refuse }");
    drop(COUNTER, NULL);
    node = start_node(NULL);
    write_conf("plugins { dir = drop unsigned = warn } daemon c { kind = counter }");
    assert_int_equal(berth_node_reload(node, NULL), BERTH_OK);
    wait_log("started daemon \"c\"");
    assert_true(find(node, "c", &info));
    stop_node(node);
}

static void a_broken_configuration_leaves_the_old_one_in_force(void **state)
{
    berth_error error = {0};
    berth_node *node;

    (void)state;
    write_conf("plugins { dir = drop unsigned = refuse }");
    node = start_node(NULL);
    write_conf("plugins { dir = drop unsigned = wrn }");
    assert_int_equal(berth_node_reload(node, &error), BERTH_ERR_INVALID);
    assert_non_null(strstr(error.text, "did you mean 'warn'?"));
    assert_int_equal(unlink(at.conf), 0);
    assert_int_equal(berth_node_reload(node, &error), BERTH_ERR_NOT_FOUND);
    write_conf("plugins { dir = drop keys = { gone.pub } }");
    assert_int_equal(berth_node_reload(node, &error), BERTH_ERR_NOT_FOUND);
    drop(COUNTER, NULL);
    write_conf("plugins { dir = drop unsigned = refuse }");
    assert_int_equal(berth_node_reload(node, &error), BERTH_OK);
    assert_false(log_has("counter 1.0.0: loaded"));
    stop_node(node);
}

/* ---- Daemons of the configuration -------------------------------------------------------------
 */

static void a_wanted_daemon_is_started_once_and_keeps_its_state(void **state)
{
    berth_node *node;

    (void)state;
    write_conf("daemon c { kind = counter durability = snapshot }");
    node = start_node(COUNTER);
    assert_string_equal(ask(node, "c", "x"), "1");
    stop_node(node);
    node = start_node(COUNTER);
    assert_int_equal(berth_daemon_count(berth_node_runtime(node)), 1);
    assert_string_equal(ask(node, "c", "x"), "2");
    stop_node(node);
}

static void a_wanted_daemon_waits_for_its_kind(void **state)
{
    berth_node *node;

    (void)state;
    write_conf("plugins { dir = drop }\ndaemon c { kind = counter }");
    node = start_node(NULL);
    assert_true(log_has("berth.conf:2: daemon \"c\": no loaded plugin provides counter"));
    drop(COUNTER, NULL);
    wait_log("started daemon \"c\"");
    assert_string_equal(ask(node, "c", "x"), "1");
    stop_node(node);
}

static void an_operators_stop_holds_until_the_next_reload(void **state)
{
    berth_daemon_info info;
    berth_node *node;

    (void)state;
    write_conf("daemon c { kind = counter }");
    node = start_node(COUNTER);
    assert_true(find(node, "c", &info));
    assert_int_equal(berth_stop(berth_node_runtime(node), info.origin, 1000, NULL), BERTH_OK);
    assert_false(find(node, "c", &info));
    assert_int_equal(berth_node_reload(node, NULL), BERTH_OK);
    assert_true(find(node, "c", &info));
    stop_node(node);
}

static void a_wanted_daemon_that_fails_is_logged_and_the_host_runs(void **state)
{
    berth_daemon_info info;
    berth_node *node;

    (void)state;
    write_conf("daemon a { kind = counter config_file = nowhere }\n"
               "daemon b { kind = counter identity_file = nowhere }\n"
               "daemon c { kind = counter }\n");
    node = start_node(COUNTER);
    assert_true(log_has("berth.conf:1: daemon \"a\""));
    assert_true(log_has("berth.conf:2: daemon \"b\""));
    assert_false(find(node, "a", &info));
    assert_true(find(node, "c", &info));
    stop_node(node);
}

/* ---- Concurrency ------------------------------------------------------------------------------
 */

static void *reload_often(void *ctx)
{
    for (int i = 0; i < 20; i++)
        berth_node_reload(ctx, NULL);
    return NULL;
}

static void reloads_and_a_stop_from_several_threads(void **state)
{
    pthread_t threads[3];
    berth_node *node;

    (void)state;
    write_conf("plugins { dir = drop } daemon c { kind = counter }");
    drop(COUNTER, NULL);
    node = start_node(NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reload_often, node), 0);
    wait_log("started daemon \"c\"");
    assert_int_equal(berth_node_stop(node, 20000, NULL), BERTH_OK);
    assert_int_equal(berth_node_reload(node, NULL), BERTH_ERR_SHUTTING_DOWN);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    berth_node_free(node);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, node_setup, node_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_stopped_host_comes_back_with_its_daemons_and_their_state),
        TEST(a_stopped_daemon_does_not_come_back),
        TEST(a_second_host_on_the_state_directory_is_refused_and_the_first_goes_on),
        TEST(a_second_host_on_the_socket_is_refused_before_it_makes_anything),
        TEST(an_ephemeral_host_leaves_nothing),
        TEST(a_start_that_fails_says_why_and_leaves_nothing),
        TEST(a_configuration_that_is_named_has_to_be_there),
        TEST(variables_of_the_dynamic_loader_are_refused),
        TEST(a_reload_takes_the_new_policy_and_looks_at_the_directory),
        TEST(a_broken_configuration_leaves_the_old_one_in_force),
        TEST(a_wanted_daemon_is_started_once_and_keeps_its_state),
        TEST(a_wanted_daemon_waits_for_its_kind),
        TEST(an_operators_stop_holds_until_the_next_reload),
        TEST(a_wanted_daemon_that_fails_is_logged_and_the_host_runs),
        TEST(reloads_and_a_stop_from_several_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
