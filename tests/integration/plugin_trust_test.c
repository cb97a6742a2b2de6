/* SPDX-License-Identifier: Apache-2.0 */
/* Whose plugins are loaded, and what the store does about those who meddle with it. */
#include "plugin_fixture.h"

#include "base/text.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

/* ---- Signatures */

static void unsigned_is_refused_with_a_key_and_let_in_without_one(void **state)
{
    fixture *f = *state;
    const char *path = operator_file(f, PLUGIN("plain"), NULL);
    plugins_loaded loaded;

    refuse_load(f, path, BERTH_ERR_REFUSED, "is not signed");
    fixture_policy(f, &(policy_options){.unsigned_plugins = POLICY_UNSIGNED_REFUSE});
    refuse_load(f, path, BERTH_ERR_REFUSED, "is not signed");
    assert_false(constructor_ran(f));
    fixture_policy(f, &(policy_options){0});
    assert_ok(plugins_load(f->set, path, NULL, &loaded, ERROR));
    assert_false(loaded.has_key);
}

static void a_signature_by_a_key_that_is_not_trusted_is_refused(void **state)
{
    fixture *f = *state;
    char id[MINISIGN_ID_TEXT];

    minisign_id_text(id, f->other.public.id);
    refuse_load(f, operator_file(f, PLUGIN("plain"), &f->other), BERTH_ERR_SIGNATURE, id);
}

static void the_signature_of_another_file_is_refused(void **state)
{
    fixture *f = *state;
    char command[512];

    operator_file(f, PLUGIN("plain-2"), &f->key);
    operator_file(f, PLUGIN("plain"), NULL);
    snprintf(command, sizeof command, "cp %s/plain-2.so.minisig %s/plain.so.minisig", f->drop,
             f->drop);
    assert_int_equal(system(command), 0);
    refuse_load(f, f->path, BERTH_ERR_SIGNATURE, "belongs to another file");
}

static void one_changed_byte_of_the_file_is_noticed(void **state)
{
    fixture *f = *state;
    const char *path = operator_file(f, PLUGIN("plain"), &f->key);
    int fd = open(path, O_RDWR);
    uint8_t byte;

    assert_int_equal(pread(fd, &byte, 1, 4000), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 4000), 1);
    close(fd);
    refuse_load(f, path, BERTH_ERR_SIGNATURE, "does not verify");
}

static void damaged_signatures_are_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "line 1"},
        {"hello\n", "line 1"},
        {"untrusted comment: x\nAAAA\n", "line 2"},
        /* the legacy form */
        {"untrusted comment: x\nRWS4amMyXo+CHb2cebSTHM2tQA4NRy7pA+zGs0sfk++L1hVuwQ6pwzaOm/"
         "JJ1SK3pBYmBfK75fyOmqv+GhlSF0WN6TintcTICgk=\ntrusted comment: y\n",
         "legacy form"},
    };
    fixture *f = *state;
    char beside[PATH_MAX + 16];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *path = operator_file(f, PLUGIN("plain"), NULL);

        snprintf(beside, sizeof beside, "%s.minisig", path);
        assert_ok(file_write(beside, bad[i].text, strlen(bad[i].text), 0644, ERROR));
        refuse_load(f, path, BERTH_ERR_SIGNATURE, bad[i].why);
    }
}

static void a_key_signs_only_what_its_scope_says(void **state)
{
    static const char *const others[] = {"counter", "org.*", NULL};
    static const char *const fitting[] = {"two-*", NULL};
    static const char *const one_kind[] = {"two-kinds", NULL};
    fixture *f = *state;
    policy_key_options key = {.name = "release", .key = f->key.line, .names = others};
    policy_options options = {.keys = &key, .key_count = 1};
    const char *path = operator_file(f, PLUGIN("two-kinds"), &f->key);
    plugins_loaded loaded;

    fixture_policy(f, &options);
    refuse_load(f, path, BERTH_ERR_REFUSED, "widen names in plugin-key \"release\"");
    key.names = fitting;
    key.kinds = one_kind;
    fixture_policy(f, &options);
    refuse_load(f, path, BERTH_ERR_REFUSED, "kind 'two-kinds.second', which key 'release'");
    key.kinds = fitting;
    key.isolation = ISOLATION_PROCESS;
    fixture_policy(f, &options);
    refuse_load(f, path, BERTH_ERR_UNSUPPORTED, "process of its own");
    assert_false(constructor_ran(f));
    key.isolation = ISOLATION_INLINE;
    fixture_policy(f, &options);
    assert_ok(plugins_load(f->set, path, NULL, &loaded, ERROR));
    assert_string_equal(loaded.key_name, "release");
}

static void a_revoked_digest_is_refused_from_file_and_from_store(void **state)
{
    fixture *f = *state;
    const char *path = operator_file(f, PLUGIN("plain"), &f->key);
    const char *const trusted[] = {f->key.line, NULL};
    char hex[65], why_not[128];
    const char *const revoked[] = {hex, NULL};
    plugins_loaded loaded;
    bool gone;

    assert_ok(plugins_load(f->set, path, NULL, &loaded, ERROR));
    assert_ok(
        plugins_retire(f->set, slice_str("plain"), false, &gone, why_not, sizeof why_not, ERROR));
    hex_encode(hex, slice_of(loaded.digest, sizeof loaded.digest));
    fixture_policy(f, &(policy_options){.trusted = trusted, .revoked = revoked});
    refuse_load(f, path, BERTH_ERR_REFUSED, "is revoked");
    assert_int_equal(plugins_load_digest(f->set, loaded.digest, NULL, NULL, ERROR),
                     BERTH_ERR_REFUSED);
}

static void keys_are_asked_again_at_every_open(void **state)
{
    fixture *f = *state;
    plugins_load_options restart = {.source = PLUGINS_RESTART};
    const char *const other[] = {f->other.line, NULL};
    plugins_loaded loaded;

    assert_ok(
        plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), NULL, &loaded, ERROR));
    fixture_policy(f, &(policy_options){.trusted = other});
    fixture_restart(f);
    assert_int_equal(plugins_load_digest(f->set, loaded.digest, &restart, NULL, ERROR),
                     BERTH_ERR_SIGNATURE);
    assert_int_equal(stored_files(f), 2); /* not ours to remove */
    /* A new signature over the same bytes takes the place of the old one. */
    assert_ok(
        plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->other), NULL, NULL, ERROR));
    fixture_restart(f);
    assert_ok(plugins_load_digest(f->set, loaded.digest, &restart, NULL, ERROR));
}

static void a_signature_made_while_the_plugin_runs_counts_at_the_next_start(void **state)
{
    fixture *f = *state;
    plugins_load_options restart = {.source = PLUGINS_RESTART};
    const char *const trusted[] = {f->key.line, NULL};
    plugins_loaded loaded;

    fixture_policy(f, &(policy_options){0});
    assert_ok(plugins_load(f->set, operator_file(f, PLUGIN("plain"), NULL), NULL, &loaded, ERROR));
    assert_ok(
        plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), NULL, &loaded, ERROR));
    assert_true(loaded.already);
    assert_int_equal(stored_files(f), 2);
    fixture_policy(f, &(policy_options){.trusted = trusted});
    fixture_restart(f);
    assert_ok(plugins_load_digest(f->set, loaded.digest, &restart, &loaded, ERROR));
    assert_true(loaded.has_key);
}

/* ---- Floors */

static void retire(fixture *f, const char *name)
{
    char why_not[128];
    bool gone;

    assert_ok(
        plugins_retire(f->set, slice_str(name), false, &gone, why_not, sizeof why_not, ERROR));
    assert_true(gone);
}

static void a_signature_that_nobody_can_verify_does_not_replace_a_good_one(void **state)
{
    fixture *f = *state;
    plugins_load_options restart = {.source = PLUGINS_RESTART};
    plugins_loaded loaded;

    assert_ok(
        plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), NULL, &loaded, ERROR));
    fixture_policy(f, &(policy_options){0}); /* for a while, no keys */
    fixture_restart(f);
    assert_ok(
        plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->other), NULL, NULL, ERROR));
    fixture_trust_key(f);
    fixture_restart(f);
    assert_ok(plugins_load_digest(f->set, loaded.digest, &restart, &loaded, ERROR));
    assert_true(loaded.has_key);
}

static void below_the_floor_only_an_operator_who_says_so_gets(void **state)
{
    fixture *f = *state;
    plugins_load_options options = {.source = PLUGINS_WATCH, .allow_downgrade = true};
    plugins_load_options restart = {.source = PLUGINS_RESTART};
    plugins_loaded old;
    const char *path;

    assert_ok(
        plugins_load(f->set, operator_file(f, PLUGIN("versioned-2"), &f->key), NULL, NULL, ERROR));
    retire(f, "versioned");
    fixture_restart(f); /* the floor is durable */
    path = operator_file(f, PLUGIN("versioned-1"), &f->key);
    refuse_load(f, path, BERTH_ERR_REFUSED, "--allow-downgrade");
    assert_int_equal(plugins_load(f->set, path, &options, NULL, ERROR), BERTH_ERR_REFUSED);
    options.source = PLUGINS_OPERATOR;
    assert_ok(plugins_load(f->set, path, &options, &old, ERROR));
    fixture_restart(f);
    /* What ran comes back after a restart; the floor stays where it was. */
    assert_ok(plugins_load_digest(f->set, old.digest, &restart, NULL, ERROR));
    retire(f, "versioned");
    refuse_load(f, path, BERTH_ERR_REFUSED, "version 2.0.0 was loaded here before");
}

static void a_plugin_that_fails_does_not_raise_the_floor(void **state)
{
    fixture *f = *state;
    char floors[128];

    refuse_load(f, operator_file(f, PLUGIN("init-fails"), &f->key), BERTH_ERR_PLUGIN, "init");
    snprintf(floors, sizeof floors, "%s/plugins/floors.json", f->state);
    assert_int_not_equal(access(floors, F_OK), 0);
}

static void floors_are_per_key(void **state)
{
    fixture *f = *state;
    const char *const both[] = {f->key.line, f->other.line, NULL};

    fixture_policy(f, &(policy_options){.trusted = both});
    assert_ok(
        plugins_load(f->set, operator_file(f, PLUGIN("versioned-2"), &f->key), NULL, NULL, ERROR));
    retire(f, "versioned");
    assert_ok(plugins_load(f->set, operator_file(f, PLUGIN("versioned-1"), &f->other), NULL, NULL,
                           ERROR));
}

static void damaged_floors_are_reported_and_not_ignored(void **state)
{
    fixture *f = *state;
    plugins_config config = {.state_dir = f->state, .policy = f->policy, .host = &test_host};
    char floors[128];
    plugins *set;

    snprintf(floors, sizeof floors, "%s/plugins/floors.json", f->state);
    assert_ok(file_write(floors, "{\"floors\":[{\"na", 15, 0600, ERROR));
    assert_int_equal(plugins_new(&config, &set, ERROR), BERTH_ERR_CORRUPT);
    assert_null(set);
    assert_non_null(strstr(ERROR->text, floors));
    unlink(floors);
}

/* ---- The store */

static void stored_path(const fixture *f, const uint8_t *digest, char out[256])
{
    char hex[65];

    snprintf(out, 256, "%s/plugins/%s.so", f->state,
             hex_encode(hex, slice_of(digest, DIGEST_BYTES)));
}

static void stored_files_are_read_only(void **state)
{
    fixture *f = *state;
    plugins_loaded loaded;
    char path[256];
    struct stat st;

    assert_ok(
        plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), NULL, &loaded, ERROR));
    stored_path(f, loaded.digest, path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0444);
    strcat(path, ".minisig");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0444);
    snprintf(path, sizeof path, "%s/plugins", f->state);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void a_changed_stored_file_is_refused_and_named(void **state)
{
    fixture *f = *state;
    plugins_load_options restart = {.source = PLUGINS_RESTART};
    const char *path = operator_file(f, PLUGIN("plain"), &f->key);
    plugins_loaded loaded;
    char stored[256];
    uint8_t byte;
    int fd;

    assert_ok(plugins_load(f->set, path, NULL, &loaded, ERROR));
    fixture_restart(f);
    stored_path(f, loaded.digest, stored);
    assert_int_equal(chmod(stored, 0600), 0);
    fd = open(stored, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, 5000), 1);
    byte ^= 0x80;
    assert_int_equal(pwrite(fd, &byte, 1, 5000), 1);
    close(fd);
    unlink(f->mark);
    assert_int_equal(plugins_load_digest(f->set, loaded.digest, &restart, NULL, ERROR),
                     BERTH_ERR_CORRUPT);
    assert_non_null(strstr(ERROR->text, stored));
    assert_non_null(strstr(ERROR->text, "load the plugin again"));
    /* The good file does not slip past the bad copy either; removing that is the cure. */
    refuse_load(f, path, BERTH_ERR_CORRUPT, "remove this file");
    assert_false(constructor_ran(f));
    unlink(stored);
    assert_ok(plugins_load(f->set, path, NULL, NULL, ERROR));
}

static void a_link_in_the_store_is_not_followed(void **state)
{
    fixture *f = *state;
    plugins_load_options restart = {.source = PLUGINS_RESTART};
    plugins_loaded loaded;
    char stored[256], moved[256];

    assert_ok(
        plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), NULL, &loaded, ERROR));
    fixture_restart(f);
    stored_path(f, loaded.digest, stored);
    snprintf(moved, sizeof moved, "%s/moved.so", f->dir);
    assert_int_equal(rename(stored, moved), 0);
    assert_int_equal(symlink(moved, stored), 0);
    assert_int_equal(plugins_load_digest(f->set, loaded.digest, &restart, NULL, ERROR),
                     BERTH_ERR_CORRUPT);
    unlink(stored);
}

/* A name that is taken by a link to nowhere: nothing is there, and nothing can be put there. */
static void a_load_that_finds_no_place_in_the_store_leaves_no_signature_there(void **state)
{
    fixture *f = *state;
    plugins_loaded loaded;
    plugins_load_options dry = {.dry_run = true};
    char stored[256];

    assert_ok(
        plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), &dry, &loaded, ERROR));
    stored_path(f, loaded.digest, stored);
    assert_int_equal(symlink("/nonexistent", stored), 0);
    refuse_load(f, f->path, BERTH_ERR_CORRUPT, "is a symbolic link");
    assert_int_equal(unlink(stored), 0);
    assert_int_equal(stored_files(f), 0);
}

static plugins *changing;
static plugin_policy *next_policy;

/* The log line of a file that is read in the host comes between signature and admission. */
static void change_policy(void *ctx, log_level level, const char *room, const char *text)
{
    (void)ctx;
    (void)level;
    (void)room;
    if (next_policy && strstr(text, "is read inside of the host")) {
        plugins_set_policy(changing, next_policy);
        next_policy = NULL;
    }
}

static void a_policy_that_changes_during_a_load_counts_for_it(void **state)
{
    fixture *f = *state;
    plugins_config config = {.state_dir = f->state, .host = &test_host, .helper = "/nonexistent"};
    const char *const trusted[] = {f->key.line, NULL};
    plugin_policy *strict;

    assert_ok(policy_new(&(policy_options){.trusted = trusted}, &strict, ERROR));
    fixture_policy(f, &(policy_options){0});
    plugins_free(f->set);
    f->set = NULL;
    config.policy = f->policy;
    assert_ok(plugins_new(&config, &f->set, ERROR));
    changing = f->set;
    next_policy = strict;
    log_set_sink(change_policy, NULL);
    refuse_load(f, operator_file(f, PLUGIN("plain"), NULL), BERTH_ERR_BUSY, "try again");
    assert_null(next_policy); /* it was changed */
    assert_false(has_kind(f->set, "plain"));
    refuse_load(f, f->path, BERTH_ERR_REFUSED, "is not signed");
    log_set_sink(fixture_log, NULL);
    policy_unref(strict);
}

static void a_store_that_others_may_write_to_is_refused(void **state)
{
    fixture *f = *state;
    plugins_config config = {.state_dir = f->state, .policy = f->policy, .host = &test_host};
    char dir[128];
    plugins *set;

    snprintf(dir, sizeof dir, "%s/plugins", f->state);
    assert_int_equal(chmod(dir, 0777), 0);
    assert_int_equal(plugins_new(&config, &set, ERROR), BERTH_ERR_PERMISSION);
    assert_non_null(strstr(ERROR->text, "chmod go-w"));
    assert_int_equal(chmod(dir, 0700), 0);
}

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return ok;
}

/* May we mount here, as root or as the root of a user namespace? */
static bool own_mounts(void)
{
    char map[64];

    snprintf(map, sizeof map, "0 %u 1", (unsigned)geteuid());
    if (unshare(CLONE_NEWNS) != 0 &&
        (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 || !write_text("/proc/self/setgroups", "deny") ||
         !write_text("/proc/self/uid_map", map)))
        return false;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* The program run again, by itself: with its state on a file system of 16 KiB. */
static int on_a_full_disk(void)
{
    berth_error error = {0};
    int result = 0;
    void *state;
    fixture *f;

    if (!own_mounts() || fixture_setup(&state) != 0)
        return 77;
    f = state;
    plugins_free(f->set);
    f->set = NULL;
    if (mount("full", f->state, "tmpfs", 0, "size=16k,mode=700") != 0)
        return 77;
    fixture_start(f);
    operator_file(f, PLUGIN("plain"), &f->key);
    if (plugins_load(f->set, f->path, NULL, NULL, &error) != BERTH_ERR_NO_SPACE ||
        !strstr(error.text, f->path))
        result = 1;
    else if (stored_files(f) != 0 || has_kind(f->set, "plain") || constructor_ran(f))
        result = 2;
    else if (mount(NULL, f->state, NULL, MS_REMOUNT, "size=16m") != 0)
        result = 77;
    else if (plugins_load(f->set, f->path, NULL, NULL, &error) != BERTH_OK)
        result = 3;
    plugins_free(f->set);
    f->set = NULL;
    umount2(f->state, MNT_DETACH);
    fixture_teardown(&state);
    return result;
}

static void a_full_disk_is_told_and_leaves_nothing(void **state)
{
    pid_t pid = fork();
    int how = 0;

    (void)state;
    if (pid == 0) {
        execl("/proc/self/exe", "plugin_trust_test", "full-disk", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFEXITED(how));
    if (WEXITSTATUS(how) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(how), 0);
}

#define test(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        test(unsigned_is_refused_with_a_key_and_let_in_without_one),
        test(a_signature_by_a_key_that_is_not_trusted_is_refused),
        test(the_signature_of_another_file_is_refused),
        test(one_changed_byte_of_the_file_is_noticed),
        test(damaged_signatures_are_refused),
        test(a_key_signs_only_what_its_scope_says),
        test(a_revoked_digest_is_refused_from_file_and_from_store),
        test(keys_are_asked_again_at_every_open),
        test(a_signature_made_while_the_plugin_runs_counts_at_the_next_start),
        test(a_signature_that_nobody_can_verify_does_not_replace_a_good_one),
        test(below_the_floor_only_an_operator_who_says_so_gets),
        test(a_plugin_that_fails_does_not_raise_the_floor),
        test(floors_are_per_key),
        test(damaged_floors_are_reported_and_not_ignored),
        test(stored_files_are_read_only),
        test(a_changed_stored_file_is_refused_and_named),
        test(a_link_in_the_store_is_not_followed),
        test(a_load_that_finds_no_place_in_the_store_leaves_no_signature_there),
        test(a_policy_that_changes_during_a_load_counts_for_it),
        test(a_store_that_others_may_write_to_is_refused),
        cmocka_unit_test(a_full_disk_is_told_and_leaves_nothing),
    };
    if (argc > 1 && strcmp(argv[1], "full-disk") == 0)
        return on_a_full_disk();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
