/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/paths.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int clean(void **state)
{
    (void)state;
    unsetenv("BERTH_SOCKET");
    unsetenv("XDG_RUNTIME_DIR");
    unsetenv("XDG_STATE_HOME");
    unsetenv("XDG_CONFIG_HOME");
    setenv("HOME", "/home/ada", 1);
    return 0;
}

static void the_socket_is_what_the_environment_says_first(void **state)
{
    char out[PATHS_SOCKET_MAX];
    berth_error error = {0};

    (void)state;
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    assert_int_equal(paths_socket(out, sizeof out, &error), BERTH_OK);
    /* A service of root's has no session's directory: nor has root's own. */
    assert_string_equal(out,
                        geteuid() == 0 ? "/run/berth/berth.sock" : "/run/user/7/berth/berth.sock");
    setenv("BERTH_SOCKET", "here.sock", 1);
    assert_int_equal(paths_socket(out, sizeof out, &error), BERTH_OK);
    assert_string_equal(out, "here.sock");
}

static void a_relative_or_empty_variable_counts_as_unset(void **state)
{
    char out[PATHS_SOCKET_MAX];
    berth_error error = {0};

    (void)state;
    setenv("XDG_RUNTIME_DIR", "run", 1);
    setenv("BERTH_SOCKET", "", 1);
    assert_int_equal(paths_socket(out, sizeof out, &error), BERTH_OK);
    assert_string_equal(out, geteuid() == 0 ? "/run/berth/berth.sock"
                                            : "/home/ada/.local/state/berth/berth.sock");
}

static void a_socket_path_that_does_not_fit_is_refused(void **state)
{
    char out[PATHS_SOCKET_MAX], value[PATHS_SOCKET_MAX + 1];
    berth_error error = {0};

    (void)state;
    memset(value, 's', sizeof value);
    value[PATHS_SOCKET_MAX] = 0;
    setenv("BERTH_SOCKET", value, 1);
    assert_int_equal(paths_socket(out, sizeof out, &error), BERTH_ERR_INVALID);
    value[PATHS_SOCKET_MAX - 1] = 0;
    setenv("BERTH_SOCKET", value, 1);
    assert_int_equal(paths_socket(out, sizeof out, &error), BERTH_OK);
    assert_string_equal(out, value);
}

static void the_users_configuration_goes_before_the_systems(void **state)
{
    char dir[] = "/tmp/berth-paths-XXXXXX", out[PATHS_MAX], path[256];
    berth_error error = {0};
    bool found = true;

    (void)state;
    assert_non_null(mkdtemp(dir));
    setenv("XDG_CONFIG_HOME", dir, 1);
    strcat(strcpy(path, dir), "/berth");
    assert_int_equal(mkdir(path, 0700), 0);
    strcat(path, "/berth.conf");
    if (access("/etc/berth/berth.conf", F_OK) != 0) {
        assert_int_equal(paths_config_file(out, sizeof out, &found, &error), BERTH_OK);
        assert_false(found);
        assert_string_equal(out, path);
    }
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_int_equal(paths_config_file(out, sizeof out, &found, &error), BERTH_OK);
    assert_true(found);
    assert_string_equal(out, path);
    unlink(path);
    path[strlen(path) - strlen("/berth.conf")] = 0;
    rmdir(path);
    rmdir(dir);
}

static void the_state_directory_of_a_user_is_in_the_home(void **state)
{
    char out[PATHS_MAX];
    berth_error error = {0};

    (void)state;
    assert_int_equal(paths_state_dir(out, sizeof out, &error), BERTH_OK);
    assert_string_equal(out, geteuid() == 0 ? "/var/lib/berth" : "/home/ada/.local/state/berth");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_socket_is_what_the_environment_says_first, clean),
        cmocka_unit_test_setup(a_relative_or_empty_variable_counts_as_unset, clean),
        cmocka_unit_test_setup(a_socket_path_that_does_not_fit_is_refused, clean),
        cmocka_unit_test_setup(the_users_configuration_goes_before_the_systems, clean),
        cmocka_unit_test_setup(the_state_directory_of_a_user_is_in_the_home, clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
