/* SPDX-License-Identifier: Apache-2.0 */
/* From a file to kinds, and back out of memory. */
#include "plugin_fixture.h"

#include "plugin/content_store.h"
#include "plugin/examine.h"

static void a_signed_plugin_is_loaded_and_its_kinds_are_published(void **state)
{
    fixture *f = *state;
    plugins_loaded loaded;
    plugin_kind *kind;
    plugin_info info;

    assert_ok(
        plugins_load(f->set, operator_file(f, PLUGIN("two-kinds"), &f->key), NULL, &loaded, ERROR));
    assert_string_equal(loaded.name, "two-kinds");
    assert_string_equal(loaded.version, "1.0.0");
    assert_true(loaded.has_key);
    assert_false(loaded.already);
    assert_true(constructor_ran(f));
    assert_true(has_kind(f->set, "two-kinds.second"));
    kind = plugins_kind(f->set, slice_str("two-kinds"));
    assert_non_null(kind);
    assert_string_equal(kind->facts->name, "two-kinds");
    assert_memory_equal(kind->table.name.ptr, "two-kinds", 9);
    assert_null(kind->table.snapshot);
    plugin_kind_info(kind, &info);
    assert_memory_equal(info.digest, loaded.digest, DIGEST_BYTES);
    assert_string_equal(info.path, f->path);
    assert_string_equal(info.trusted_comment, "timestamp:1\tfile:test");
    assert_int_equal(info.kind_refs, 1);
    assert_false(info.retired);
    plugin_kind_unref(kind);
    assert_int_equal(stored_files(f), 2);
}

static void loading_the_same_file_again_changes_nothing(void **state)
{
    fixture *f = *state;
    const char *path = operator_file(f, PLUGIN("plain"), &f->key);
    plugins_loaded loaded;
    unsigned fds;

    assert_ok(plugins_load(f->set, path, NULL, NULL, ERROR));
    fds = open_descriptors();
    assert_ok(plugins_load(f->set, path, NULL, &loaded, ERROR));
    assert_true(loaded.already);
    assert_string_equal(loaded.name, "plain");
    assert_int_equal(loaded_plugins(f->set), 1);
    assert_int_equal(stored_files(f), 2);
    assert_int_equal(open_descriptors(), fds);
}

static void what_happens_to_the_file_afterwards_does_not_matter(void **state)
{
    fixture *f = *state;
    const char *path = operator_file(f, PLUGIN("plain"), &f->key);
    plugin_kind *kind;
    int fd;

    assert_ok(plugins_load(f->set, path, NULL, NULL, ERROR));
    fd = open(path, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    kind = plugins_kind(f->set, slice_str("plain"));
    assert_non_null(kind);
    kind->table.destroy(NULL, NULL); /* runs from the stored copy */
    plugin_kind_unref(kind);
}

static void a_second_version_is_refused_until_the_first_is_unloaded(void **state)
{
    fixture *f = *state;
    char why_not[128];
    bool gone;

    assert_ok(
        plugins_load(f->set, operator_file(f, PLUGIN("versioned-1"), &f->key), NULL, NULL, ERROR));
    refuse_load(f, operator_file(f, PLUGIN("versioned-2"), &f->key), BERTH_ERR_EXISTS,
                "berth plugin unload versioned");
    assert_ok(plugins_retire(f->set, slice_str("versioned"), false, &gone, why_not, sizeof why_not,
                             ERROR));
    assert_true(gone);
    assert_ok(plugins_load(f->set, f->path, NULL, NULL, ERROR));
}

static void a_kind_that_another_plugin_provides_is_refused(void **state)
{
    fixture *f = *state;

    assert_ok(plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), NULL, NULL, ERROR));
    refuse_load(f, operator_file(f, PLUGIN("same-kind"), &f->key), BERTH_ERR_KIND_EXISTS,
                "kind 'plain', which plugin 'plain' provides");
}

static void a_dry_run_loads_nothing(void **state)
{
    fixture *f = *state;
    plugins_load_options dry = {.dry_run = true};
    plugins_loaded loaded;

    assert_ok(
        plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), &dry, &loaded, ERROR));
    assert_string_equal(loaded.name, "plain");
    assert_false(constructor_ran(f));
    assert_false(has_kind(f->set, "plain"));
    assert_int_equal(stored_files(f), 0);
    /* And it reserved nothing. */
    assert_ok(plugins_load(f->set, f->path, NULL, NULL, ERROR));
}

static void an_unloaded_plugin_leaves_memory(void **state)
{
    fixture *f = *state;
    char why_not[128];
    bool gone;

    assert_ok(plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), NULL, NULL, ERROR));
    assert_true(mappings(f) > 0);
    assert_ok(
        plugins_retire(f->set, slice_str("plain"), false, &gone, why_not, sizeof why_not, ERROR));
    assert_true(gone);
    assert_int_equal(mappings(f), 0);
    assert_false(has_kind(f->set, "plain"));
    assert_int_equal(
        plugins_retire(f->set, slice_str("plain"), false, &gone, why_not, sizeof why_not, ERROR),
        BERTH_ERR_NOT_FOUND);
}

/* compute-core §18.30, §20 additional */
static void a_plugin_in_use_is_not_unloaded_unless_deferred(void **state)
{
    fixture *f = *state;
    plugin_kind *kind, *second;
    char why_not[128];
    plugin_info info;
    bool gone;

    assert_ok(plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), NULL, NULL, ERROR));
    kind = plugins_kind(f->set, slice_str("plain"));
    second = plugin_kind_ref(kind);
    assert_int_equal(
        plugins_retire(f->set, slice_str("plain"), false, &gone, why_not, sizeof why_not, ERROR),
        BERTH_ERR_BUSY);
    assert_non_null(strstr(ERROR->text, "2 references"));
    assert_true(has_kind(f->set, "plain"));

    assert_ok(
        plugins_retire(f->set, slice_str("plain"), true, &gone, why_not, sizeof why_not, ERROR));
    assert_false(gone);
    assert_false(has_kind(f->set, "plain"));
    plugin_kind_unref(second);
    plugin_kind_info(kind, &info);
    assert_true(info.retired);
    kind->table.destroy(NULL, NULL); /* still there */
    plugin_kind_unref(kind);
    assert_int_equal(mappings(f), 0);
    assert_int_equal(loaded_plugins(f->set), 0);
}

static void a_retired_copy_in_use_goes_on_when_it_is_loaded_again(void **state)
{
    fixture *f = *state;
    plugins_loaded loaded;
    plugin_kind *kind;
    char why_not[128];
    bool gone;

    assert_ok(plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), NULL, NULL, ERROR));
    kind = plugins_kind(f->set, slice_str("plain"));
    assert_ok(
        plugins_retire(f->set, slice_str("plain"), true, &gone, why_not, sizeof why_not, ERROR));
    assert_ok(plugins_load(f->set, f->path, NULL, &loaded, ERROR));
    assert_true(loaded.already);
    assert_true(has_kind(f->set, "plain"));
    plugin_kind_unref(kind);
    assert_true(has_kind(f->set, "plain"));
    assert_int_equal(loaded_plugins(f->set), 1);
}

static void two_versions_live_side_by_side_while_one_is_retired(void **state)
{
    fixture *f = *state;
    plugin_kind *old, *new, *exact;
    plugins_loaded loaded;
    char why_not[128];
    bool gone;

    assert_ok(plugins_load(f->set, operator_file(f, PLUGIN("versioned-1"), &f->key), NULL, &loaded,
                           ERROR));
    old = plugins_kind(f->set, slice_str("versioned"));
    assert_ok(plugins_retire(f->set, slice_str("versioned"), true, &gone, why_not, sizeof why_not,
                             ERROR));
    assert_ok(
        plugins_load(f->set, operator_file(f, PLUGIN("versioned-2"), &f->key), NULL, NULL, ERROR));
    new = plugins_kind(f->set, slice_str("versioned"));
    assert_ptr_not_equal(old, new);
    assert_ptr_not_equal(old->table.process, new->table.process);
    assert_int_equal(old->facts->state_writes, 1);
    assert_int_equal(new->facts->state_writes, 2);
    exact = plugins_kind_of(f->set, loaded.digest, slice_str("versioned"));
    assert_ptr_equal(exact, old);
    plugin_kind_unref(exact);
    plugin_kind_unref(old);
    assert_null(plugins_kind_of(f->set, loaded.digest, slice_str("versioned")));
    plugin_kind_unref(new);
}

/* A worker's business one day; today the host says the truth about it. */
static void a_plugin_that_cannot_leave_memory_is_said_to_stay(void **state)
{
    fixture *f = *state;
    char why_not[128] = "";
    void *elsewhere;
    plugin_kind *kind;
    bool gone;
    Dl_info info;

    assert_ok(plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), NULL, NULL, ERROR));
    kind = plugins_kind(f->set, slice_str("plain"));
    assert_int_not_equal(dladdr((void *)(uintptr_t)kind->table.process, &info), 0);
    elsewhere = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(elsewhere);
    plugin_kind_unref(kind);
    assert_ok(
        plugins_retire(f->set, slice_str("plain"), false, &gone, why_not, sizeof why_not, ERROR));
    assert_false(gone);
    assert_non_null(strstr(why_not, "uses it"));
    /* It can be loaded again all the same. */
    assert_ok(plugins_load(f->set, f->path, NULL, NULL, ERROR));
    dlclose(elsewhere);
}

static void after_a_restart_the_stored_copy_is_loaded_by_digest(void **state)
{
    fixture *f = *state;
    plugins_load_options restart = {.source = PLUGINS_RESTART};
    plugins_loaded loaded, again;
    uint8_t unknown[DIGEST_BYTES] = {1};

    assert_ok(
        plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), NULL, &loaded, ERROR));
    unlink(f->path);
    fixture_restart(f);
    assert_ok(plugins_load_digest(f->set, loaded.digest, &restart, &again, ERROR));
    assert_true(has_kind(f->set, "plain"));
    assert_true(again.has_key);
    assert_int_equal(plugins_load_digest(f->set, unknown, &restart, NULL, ERROR),
                     BERTH_ERR_NOT_FOUND);
    assert_int_equal(plugins_forget(f->set, loaded.digest, ERROR), BERTH_ERR_BUSY);
}

static void what_a_killed_load_left_is_removed_at_the_next_start(void **state)
{
    fixture *f = *state;
    char path[256];

    assert_ok(plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), NULL, NULL, ERROR));
    snprintf(path, sizeof path, "%s/plugins/.load-0123456789abcdef", f->state);
    assert_ok(file_write(path, "half", 4, 0600, ERROR));
    snprintf(path, sizeof path, "%s/plugins/.new-0123456789abcdef", f->state);
    assert_ok(file_write(path, "half", 4, 0600, ERROR));
    snprintf(path, sizeof path, "%s/plugins/%064d.so.minisig", f->state, 7);
    assert_ok(file_write(path, "lonely", 6, 0400, ERROR));
    assert_int_equal(stored_files(f), 5);
    fixture_restart(f);
    assert_int_equal(stored_files(f), 2);
}

static void a_dry_run_does_not_bring_a_retired_plugin_back(void **state)
{
    fixture *f = *state;
    plugins_load_options dry = {.dry_run = true};
    plugins_loaded loaded;
    plugin_kind *kind;
    char why_not[256];
    bool gone;

    assert_ok(plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), NULL, NULL, ERROR));
    kind = plugins_kind(f->set, slice_str("plain"));
    assert_ok(
        plugins_retire(f->set, slice_str("plain"), true, &gone, why_not, sizeof why_not, ERROR));
    assert_false(gone);
    assert_ok(plugins_load(f->set, f->path, &dry, &loaded, ERROR));
    assert_true(loaded.already);
    assert_false(has_kind(f->set, "plain"));
    plugin_kind_unref(kind);
    assert_int_equal(loaded_plugins(f->set), 0);
}

/* ---- Errors */

/* What is in error before a call that succeeds is in it afterwards. */
#define assert_quiet(call)                                                                         \
    do {                                                                                           \
        berth_error before_ = {.code = 12345, .text = "untouched"}, *e_ = &quiet_error;            \
        *e_ = before_;                                                                             \
        if ((call) != BERTH_OK || memcmp(e_, &before_, sizeof before_) != 0)                       \
            fail_msg("%s: %d: %s", #call, (int)e_->code, e_->text);                                \
    } while (0)

static berth_error quiet_error;
#define QUIET (&quiet_error)

static bool ignore_digest(void *ctx, const uint8_t digest[DIGEST_BYTES])
{
    (void)ctx;
    (void)digest;
    return true;
}

static void success_leaves_the_error_alone(void **state)
{
    fixture *f = *state;
    const char *const trusted[] = {f->key.line, f->other.line, NULL};
    plugins_load_options dry = {.dry_run = true};
    plugins_config nowhere = {.host = &test_host};
    plugins_loaded loaded;
    plugin_policy *policy;
    char why_not[256], copy[PATH_MAX];
    examination e;
    plugins *set;
    bool gone;

    /* Unsigned, on a host without keys and without state. */
    assert_quiet(policy_new(&(policy_options){0}, &policy, QUIET));
    nowhere.policy = policy;
    assert_quiet(plugins_new(&nowhere, &set, QUIET));
    operator_file(f, PLUGIN("plain"), NULL);
    assert_quiet(plugins_load(set, f->path, &dry, NULL, QUIET));
    assert_quiet(plugins_load(set, f->path, NULL, &loaded, QUIET));
    assert_quiet(plugins_load(set, f->path, NULL, NULL, QUIET));
    assert_quiet(plugins_load_digest(set, loaded.digest, NULL, NULL, QUIET));
    assert_quiet(plugins_each_stored(set, ignore_digest, NULL, QUIET));
    assert_quiet(
        plugins_retire(set, slice_str("plain"), false, &gone, why_not, sizeof why_not, QUIET));
    assert_quiet(plugins_forget(set, loaded.digest, QUIET));
    assert_quiet(examine_file(f->path, CONTENT_DEFAULT_MAX, &e, QUIET));
    examination_free(&e);
    /* Without a helper. */
    plugins_free(set);
    nowhere.helper = "/nonexistent";
    assert_quiet(plugins_new(&nowhere, &set, QUIET));
    assert_quiet(plugins_load(set, f->path, NULL, NULL, QUIET));
    plugins_free(set);
    policy_unref(policy);

    /* Signed by the second of two keys with one id; in a state directory without floors, and again
     * with some. */
    memcpy(f->other.public.id, f->key.public.id, sizeof f->key.public.id);
    memcpy(f->other.secret.id, f->key.public.id, sizeof f->key.public.id);
    minisign_public_line(f->other.line, &f->other.public);
    fixture_policy(f, &(policy_options){.trusted = trusted});
    for (int i = 0; i < 2; i++) {
        plugins_config config = {.state_dir = f->state, .policy = f->policy, .host = &test_host};

        plugins_free(f->set);
        f->set = NULL;
        assert_quiet(plugins_new(&config, &f->set, QUIET));
        snprintf(copy, sizeof copy, "%s", operator_file(f, PLUGIN("plain"), &f->other));
        assert_quiet(plugins_load(f->set, copy, NULL, &loaded, QUIET));
        assert_quiet(plugins_load(f->set, copy, NULL, NULL, QUIET));
    }
}

/* ---- Kinds that are linked in */

static unsigned inits, deinits;
static const char *init_name;

static berth_code static_init(const berth_host *host)
{
    assert_ptr_equal(host, &test_host);
    init_name = plugins_initialising();
    inits++;
    return BERTH_OK;
}

static void static_deinit(void)
{
    deinits++;
}

static berth_code static_create(berth_call *call, const berth_birth *birth, void **self)
{
    (void)call;
    (void)birth;
    *self = &inits;
    return BERTH_OK;
}

static void static_destroy(void *self, berth_call *call)
{
    (void)self;
    (void)call;
}

static berth_code static_process(void *self, berth_call *call, const berth_event *event)
{
    (void)self;
    (void)call;
    (void)event;
    return BERTH_OK;
}

static void linked_in_kinds_are_published_too(void **state)
{
    static const berth_kind table = {
        .size = sizeof(berth_kind),
        .name = {"linked", 6},
        .create = static_create,
        .destroy = static_destroy,
        .process = static_process,
    };
    static const berth_kind *const tables[] = {&table};
    static const berth_plugin linked = {
        .size = sizeof(berth_plugin),
        .kind_count = 1,
        .kinds = tables,
        .init = static_init,
        .deinit = static_deinit,
    };
    static const char json[] = "{\"name\":\"linked\",\"version\":\"1.0.0\",\"abi\":[0,0],\"kinds\":"
                               "[{\"name\":\"linked\"}]}";
    fixture *f = *state;
    plugin_kind *kind, *lonely;
    char why_not[128];
    bool gone;
    int user;

    inits = deinits = 0;
    assert_quiet(plugins_add_static(f->set, &linked, slice_str(json), &user, QUIET));
    assert_int_equal(inits, 1);
    assert_string_equal(init_name, "linked");
    assert_null(plugins_initialising());
    kind = plugins_kind(f->set, slice_str("linked"));
    assert_ptr_equal(kind->user, &user);
    plugin_kind_unref(kind);
    assert_int_equal(plugins_add_static(f->set, &linked, slice_str(json), NULL, ERROR),
                     BERTH_ERR_EXISTS);
    assert_int_equal(inits, 1);
    assert_ok(
        plugins_retire(f->set, slice_str("linked"), false, &gone, why_not, sizeof why_not, ERROR));
    assert_false(gone);
    assert_int_equal(deinits, 1);

    assert_quiet(plugins_detached_kind(f->set, &linked, slice_str(json), &lonely, QUIET));
    assert_false(has_kind(f->set, "linked"));
    plugin_kind_unref(lonely);
    assert_int_equal(deinits, 2);
}

static void tables_at_odd_addresses_are_refused(void **state)
{
    static const char json[] = "{\"name\":\"odd\",\"version\":\"1.0.0\",\"abi\":[0,0],\"kinds\":"
                               "[{\"name\":\"odd\"}]}";
    static _Alignas(16) const char bytes[sizeof(berth_kind) + 16];
    const berth_kind *const tables[] = {(const void *)(bytes + 1)};
    berth_plugin odd = {.size = sizeof odd, .kind_count = 1, .kinds = tables};
    fixture *f = *state;

    assert_int_equal(plugins_add_static(f->set, &odd, slice_str(json), NULL, ERROR),
                     BERTH_ERR_ADMISSION);
    assert_non_null(strstr(ERROR->text, "size or place"));
    odd.kinds = (const void *)(bytes + 1);
    assert_int_equal(plugins_add_static(f->set, &odd, slice_str(json), NULL, ERROR),
                     BERTH_ERR_ADMISSION);
    assert_int_equal(loaded_plugins(f->set), 0);
}

/* ---- The environment */

static void code_by_environment_is_refused_by_name_and_the_rest_is_cleared(void **state)
{
    static const char *const names[] = {"LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const char *before = getenv(names[i]);
        char kept[PATH_MAX];

        snprintf(kept, sizeof kept, "%s", before ? before : "");
        setenv(names[i], "/nowhere/spy.so", 1);
        assert_int_equal(plugins_environment_check(ERROR), BERTH_ERR_REFUSED);
        assert_non_null(strstr(ERROR->text, names[i]));
        unsetenv(names[i]);
        if (before)
            fprintf(stderr, "%s was %s\n", names[i], kept);
    }
    setenv("LD_BIND_NOW", "1", 1);
    setenv("LD_DEBUG_OUTPUT", "/nowhere", 1);
    setenv("LDFLAGS", "-lm", 1);
    assert_quiet(plugins_environment_check(QUIET));
    assert_null(getenv("LD_BIND_NOW"));
    assert_null(getenv("LD_DEBUG_OUTPUT"));
    assert_non_null(getenv("LDFLAGS"));
}

#define test(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_signed_plugin_is_loaded_and_its_kinds_are_published),
        test(loading_the_same_file_again_changes_nothing),
        test(what_happens_to_the_file_afterwards_does_not_matter),
        test(a_second_version_is_refused_until_the_first_is_unloaded),
        test(a_kind_that_another_plugin_provides_is_refused),
        test(a_dry_run_loads_nothing),
        test(an_unloaded_plugin_leaves_memory),
        test(a_plugin_in_use_is_not_unloaded_unless_deferred),
        test(a_retired_copy_in_use_goes_on_when_it_is_loaded_again),
        test(two_versions_live_side_by_side_while_one_is_retired),
        test(a_plugin_that_cannot_leave_memory_is_said_to_stay),
        test(after_a_restart_the_stored_copy_is_loaded_by_digest),
        test(what_a_killed_load_left_is_removed_at_the_next_start),
        test(a_dry_run_does_not_bring_a_retired_plugin_back),
        test(success_leaves_the_error_alone),
        test(linked_in_kinds_are_published_too),
        test(tables_at_odd_addresses_are_refused),
        cmocka_unit_test(code_by_environment_is_refused_by_name_and_the_rest_is_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
