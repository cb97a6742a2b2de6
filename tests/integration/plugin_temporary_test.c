/* SPDX-License-Identifier: Apache-2.0 */
/* Sets without a state directory: where their files are, and that none are left. */
#include "plugin_fixture.h"

#include <signal.h>
#include <sys/wait.h>

/* TMPDIR of its own, so that nothing else is swept or counted. */
static void own_tmp(fixture *f, char tmp[80])
{
    snprintf(tmp, 80, "%s/tmp", f->dir);
    assert_int_equal(mkdir(tmp, 0700), 0);
    setenv("TMPDIR", tmp, 1);
}

static plugins *ephemeral_set(fixture *f)
{
    plugins_config config = {.policy = f->policy, .host = &test_host};
    plugins *set;

    assert_ok(plugins_new(&config, &set, ERROR));
    return set;
}

static void an_ephemeral_set_has_a_directory_only_while_it_has_files(void **state)
{
    fixture *f = *state;
    uint8_t unknown[DIGEST_BYTES] = {1};
    plugins_loaded loaded;
    char tmp[80];
    plugins *set;

    own_tmp(f, tmp);
    set = ephemeral_set(f);
    assert_int_equal(plugins_load_digest(set, unknown, NULL, NULL, ERROR), BERTH_ERR_NOT_FOUND);
    assert_ok(plugins_forget(set, unknown, ERROR));
    assert_int_equal(count_entries(tmp), 0);
    assert_ok(plugins_load(set, operator_file(f, PLUGIN("plain"), &f->key), NULL, &loaded, ERROR));
    assert_ok(plugins_load_digest(set, loaded.digest, NULL, &loaded, ERROR));
    assert_true(loaded.already);
    assert_int_equal(count_entries(tmp), 1);
    plugins_free(set);
    assert_int_equal(count_entries(tmp), 0);
    unsetenv("TMPDIR");
}

static void an_ephemeral_set_knows_floors_too(void **state)
{
    fixture *f = *state;
    char tmp[80];
    plugins *set;
    bool gone;
    char why_not[256];

    own_tmp(f, tmp);
    set = ephemeral_set(f);
    assert_ok(
        plugins_load(set, operator_file(f, PLUGIN("versioned-2"), &f->key), NULL, NULL, ERROR));
    assert_ok(
        plugins_retire(set, slice_str("versioned"), false, &gone, why_not, sizeof why_not, ERROR));
    assert_int_equal(
        plugins_load(set, operator_file(f, PLUGIN("versioned-1"), &f->key), NULL, NULL, ERROR),
        BERTH_ERR_REFUSED);
    plugins_free(set);
    assert_int_equal(count_entries(tmp), 0);
    unsetenv("TMPDIR");
}

/* Whoever is killed cannot tidy up; the next one does it for them. */
static void what_a_killed_process_left_is_swept_by_the_next_one(void **state)
{
    fixture *f = *state;
    char tmp[80];
    plugins *set;
    pid_t pid;
    int how;

    own_tmp(f, tmp);
    operator_file(f, PLUGIN("plain"), &f->key);
    for (int i = 0; i < 3; i++) {
        pid = fork();
        if (pid == 0) {
            set = ephemeral_set(f);
            if (plugins_load(set, f->path, NULL, NULL, NULL))
                _exit(1);
            kill(getpid(), SIGKILL);
        }
        assert_int_equal(waitpid(pid, &how, 0), pid);
        assert_true(WIFSIGNALED(how));
    }
    assert_int_equal(count_entries(tmp), 1); /* each swept that of the one before */
    set = ephemeral_set(f);
    assert_ok(plugins_load(set, f->path, NULL, NULL, ERROR));
    assert_int_equal(count_entries(tmp), 1);
    plugins_free(set);
    assert_int_equal(count_entries(tmp), 0);
    unsetenv("TMPDIR");
}

static void what_a_living_one_uses_is_not_swept(void **state)
{
    fixture *f = *state;
    plugins *one, *two;
    plugins_loaded loaded;
    bool gone;
    char tmp[80], why_not[256];

    own_tmp(f, tmp);
    operator_file(f, PLUGIN("plain"), &f->key);
    one = ephemeral_set(f);
    two = ephemeral_set(f);
    assert_ok(plugins_load(one, f->path, NULL, &loaded, ERROR));
    assert_ok(plugins_load(two, f->path, NULL, NULL, ERROR));
    assert_int_equal(count_entries(tmp), 2);
    assert_ok(
        plugins_retire(one, slice_str("plain"), false, &gone, why_not, sizeof why_not, ERROR));
    assert_ok(plugins_load_digest(one, loaded.digest, NULL, NULL, ERROR));
    plugins_free(one);
    plugins_free(two);
    assert_int_equal(count_entries(tmp), 0);
    unsetenv("TMPDIR");
}

static void put(const char *dir, const char *name)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_ok(file_write(path, "x", 1, 0600, ERROR));
}

/* A directory may have such a name by chance, or by malice. */
static void only_what_is_ours_beyond_doubt_is_swept(void **state)
{
    static const char hex[] = "00000000000000000000000000000000000000000000000000000000000000ff";
    fixture *f = *state;
    char tmp[80], dir[128], name[128], link_path[128];
    plugins *set;

    own_tmp(f, tmp);
    /* No mark: somebody's copy. */
    snprintf(dir, sizeof dir, "%s/berth-plugins-backup", tmp);
    assert_int_equal(mkdir(dir, 0700), 0);
    snprintf(name, sizeof name, "%s.so", hex);
    put(dir, name);
    /* A mark, and something that is not ours: that stays, with the mark. */
    snprintf(dir, sizeof dir, "%s/berth-plugins-abcdef", tmp);
    assert_int_equal(mkdir(dir, 0700), 0);
    put(dir, "goes-with-its-process");
    put(dir, "letters");
    put(dir, name);
    /* Others have access to it. */
    snprintf(dir, sizeof dir, "%s/berth-plugins-ghijkl", tmp);
    assert_int_equal(mkdir(dir, 0755), 0);
    assert_int_equal(chmod(dir, 0755), 0);
    /* A link to what would be swept. */
    snprintf(dir, sizeof dir, "%s/elsewhere", tmp);
    assert_int_equal(mkdir(dir, 0700), 0);
    put(dir, "goes-with-its-process");
    snprintf(link_path, sizeof link_path, "%s/berth-plugins-mnopqr", tmp);
    assert_int_equal(symlink(dir, link_path), 0);
    /* Its maker ended before the mark: empty. This one goes. */
    snprintf(dir, sizeof dir, "%s/berth-plugins-stuvwx", tmp);
    assert_int_equal(mkdir(dir, 0700), 0);

    set = ephemeral_set(f);
    assert_ok(plugins_load(set, operator_file(f, PLUGIN("plain"), &f->key), NULL, NULL, ERROR));
    plugins_free(set);
    assert_int_equal(count_entries(tmp), 5);
    snprintf(dir, sizeof dir, "%s/berth-plugins-backup", tmp);
    assert_int_equal(count_entries(dir), 1);
    snprintf(dir, sizeof dir, "%s/berth-plugins-abcdef", tmp);
    assert_int_equal(count_entries(dir), 2);
    snprintf(dir, sizeof dir, "%s/elsewhere", tmp);
    assert_int_equal(count_entries(dir), 1);
    unsetenv("TMPDIR");
}

static void a_place_where_others_may_move_directories_is_refused(void **state)
{
    fixture *f = *state;
    char tmp[80];
    plugins *set;

    own_tmp(f, tmp);
    set = ephemeral_set(f);
    operator_file(f, PLUGIN("plain"), &f->key);
    assert_int_equal(chmod(tmp, 0777), 0);
    assert_int_equal(plugins_load(set, f->path, NULL, NULL, ERROR), BERTH_ERR_PERMISSION);
    assert_non_null(strstr(ERROR->text, "TMPDIR"));
    assert_int_equal(count_entries(tmp), 0);
    assert_false(constructor_ran(f));
    assert_int_equal(chmod(tmp, 01777), 0); /* as /tmp */
    assert_ok(plugins_load(set, f->path, NULL, NULL, ERROR));
    plugins_free(set);
    unsetenv("TMPDIR");
}

static void a_set_that_is_given_up_leaves_no_directory(void **state)
{
    fixture *f = *state;
    plugin_kind *kind;
    char tmp[80];
    plugins *set;

    own_tmp(f, tmp);
    set = ephemeral_set(f);
    assert_ok(plugins_load(set, operator_file(f, PLUGIN("plain"), &f->key), NULL, NULL, ERROR));
    kind = plugins_kind(set, slice_str("plain"));
    assert_non_null(kind);
    plugins_free(set); /* cannot: the kind is held */
    assert_int_equal(count_entries(tmp), 0);
    assert_string_equal(kind->facts->name, "plain");
    /* Its code is still there, and goes with the last reference. */
    plugin_kind_unref(kind);
    plugins_free(set);
    unsetenv("TMPDIR");
}

#define test(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(an_ephemeral_set_has_a_directory_only_while_it_has_files),
        test(an_ephemeral_set_knows_floors_too),
        test(what_a_killed_process_left_is_swept_by_the_next_one),
        test(what_a_living_one_uses_is_not_swept),
        test(only_what_is_ours_beyond_doubt_is_swept),
        test(a_place_where_others_may_move_directories_is_refused),
        test(a_set_that_is_given_up_leaves_no_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
