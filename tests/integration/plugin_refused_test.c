/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a file is said before any of its code runs, and leaves nothing behind. */
#include "plugin_fixture.h"

typedef struct bad_file {
    const char *name;
    berth_status code;
    const char *text; /* part of the error line */
} bad_file;

/* Each is signed by a trusted key: it is the file that is refused. */
static const bad_file bad_files[] = {
    {"empty", BERTH_ERR_ADMISSION, "is empty"},
    {"text", BERTH_ERR_ADMISSION, "is not a shared object"},
    {"truncated", BERTH_ERR_ADMISSION, "is cut short"},
    {"truncated-header", BERTH_ERR_ADMISSION, "is cut short"},
    {"other-machine", BERTH_ERR_ADMISSION, "build it for"},
    {"other-class", BERTH_ERR_ADMISSION, "32-bit"},
    {"other-order", BERTH_ERR_ADMISSION, "damaged"},
    {"not-shared", BERTH_ERR_ADMISSION, "link it with -shared"},
    {"no-headers", BERTH_ERR_ADMISSION, "no dynamic segment"},
    {"no-dynamic", BERTH_ERR_ADMISSION, "no dynamic segment"},
    {"no-stack", BERTH_ERR_ADMISSION, "-z,noexecstack"},
    {"executable-stack", BERTH_ERR_ADMISSION, "-z,noexecstack"},
    {"text-relocation", BERTH_ERR_ADMISSION, "-fPIC"},
    {"writable-code", BERTH_ERR_ADMISSION, "writable and executable"},
    {"rpath", BERTH_ERR_ADMISSION, "DT_RPATH '/nowhere'"},
    {"runpath", BERTH_ERR_ADMISSION, "DT_RUNPATH '/nowhere'"},
    {"audit", BERTH_ERR_ADMISSION, "DT_AUDIT"},
    {"depaudit", BERTH_ERR_ADMISSION, "DT_DEPAUDIT"},
    {"filter", BERTH_ERR_ADMISSION, "DT_FILTER"},
    {"auxiliary", BERTH_ERR_ADMISSION, "DT_AUXILIARY"},
    {"needs-foreign", BERTH_ERR_ADMISSION, "libs = {\"libberth-test-foreign.so\"}"},
    {"nodelete", BERTH_ERR_ADMISSION, "nodelete"},
    {"static-tls", BERTH_ERR_ADMISSION, "-ftls-model=initial-exec"},
    {"unique-symbol", BERTH_ERR_ADMISSION, "berth_test_unique"},
    {"exports-extra", BERTH_ERR_ADMISSION, "berth_test_exported"},
    {"no-symbol", BERTH_ERR_ADMISSION, "does not export berth_plugin_0"},
    {"function-symbol", BERTH_ERR_ADMISSION, "not a table of data"},
    {"undefined-symbol", BERTH_ERR_ADMISSION, "berth_test_defined_nowhere"},
    {"note-none", BERTH_ERR_ADMISSION, "has no manifest"},
    {"note-other-owner", BERTH_ERR_ADMISSION, "has no manifest"},
    {"note-major-99", BERTH_ERR_ADMISSION, "ABI 99"},
    {"note-two", BERTH_ERR_ADMISSION, "two manifests"},
    {"note-truncated", BERTH_ERR_ADMISSION, "truncated note"},
    {"note-cut-head", BERTH_ERR_ADMISSION, "truncated note"},
    {"note-huge", BERTH_ERR_ADMISSION, "truncated note"},
    {"note-empty", BERTH_ERR_ADMISSION, "manifest"},
    {"note-text", BERTH_ERR_ADMISSION, "manifest"},
    {"note-list", BERTH_ERR_ADMISSION, "must be an object"},
    {"note-not-utf8", BERTH_ERR_ADMISSION, "manifest"},
    {"note-duplicate-key", BERTH_ERR_ADMISSION, "name"},
    {"note-trailing", BERTH_ERR_ADMISSION, "manifest"},
    {"note-deep", BERTH_ERR_ADMISSION, "manifest"},
    {"manifest-oversized", BERTH_ERR_ADMISSION, "at most 65536"},
    {"manifest-no-kinds", BERTH_ERR_ADMISSION, "kinds"},
    {"manifest-bad-version", BERTH_ERR_ADMISSION, "version"},
    {"manifest-bad-name", BERTH_ERR_ADMISSION, "name"},
    {"manifest-newer-minor", BERTH_ERR_ADMISSION, "needs ABI 0.99"},
    {"manifest-other-major", BERTH_ERR_ADMISSION, "make them agree"},
    {"manifest-twin-kinds", BERTH_ERR_ADMISSION, "rename one"},
    {"needs-extension", BERTH_ERR_ADMISSION, "org.example.absent/1"},
    {"needs-privilege", BERTH_ERR_ADMISSION, "moon.landing"},
    {"needs-unknown", BERTH_ERR_ADMISSION, "needs.luck"},
};

static void each_bad_file_is_refused_before_its_code_runs(void **state)
{
    fixture *f = *state;
    char built[PATH_MAX];

    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        const bad_file *bad = &bad_files[i];

        snprintf(built, sizeof built, BUILD_DIR "/tests/plugins/%s.so", bad->name);
        refuse_load(f, operator_file(f, built, &f->key), bad->code, bad->text);
        if (constructor_ran(f))
            fail_msg("%s: its constructor has run", bad->name);
    }
}

/* The same, examined in a process apart because nobody signed them. */
static void each_bad_file_is_refused_when_unsigned_too(void **state)
{
    fixture *f = *state;
    char built[PATH_MAX];

    fixture_policy(f, &(policy_options){0});
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        const bad_file *bad = &bad_files[i];

        snprintf(built, sizeof built, BUILD_DIR "/tests/plugins/%s.so", bad->name);
        refuse_load(f, operator_file(f, built, NULL), bad->code, bad->text);
        if (constructor_ran(f))
            fail_msg("%s: its constructor has run", bad->name);
    }
}

/* Found when its constructors have run already, and undone. */
static void a_table_unlike_its_manifest_is_refused(void **state)
{
    static const bad_file bad_tables[] = {
        {"table-too-large", BERTH_ERR_ADMISSION, "in a symbol of"},
        {"table-too-small", BERTH_ERR_ADMISSION, "too small"},
        {"table-no-kinds", BERTH_ERR_ADMISSION, "0 kinds in its table"},
        {"table-null-kinds", BERTH_ERR_ADMISSION, "without kinds"},
        {"table-null-kind", BERTH_ERR_ADMISSION, "sizeof(berth_kind)"},
        {"table-kind-too-small", BERTH_ERR_ADMISSION, "sizeof(berth_kind)"},
        {"table-no-process", BERTH_ERR_ADMISSION, "no process function"},
        {"table-no-create", BERTH_ERR_ADMISSION, "no create function"},
        {"table-no-destroy", BERTH_ERR_ADMISSION, "no destroy function"},
        {"table-other-manifest", BERTH_ERR_ADMISSION, "not the note in its own file"},
        {"table-no-manifest", BERTH_ERR_ADMISSION, "not the note in its own file"},
        {"table-twin-kinds", BERTH_ERR_ADMISSION, "two tables"},
        {"table-other-name", BERTH_ERR_ADMISSION, "says nothing"},
        {"table-more-kinds", BERTH_ERR_ADMISSION, "2 kinds in its table and 1"},
        {"table-fewer-kinds", BERTH_ERR_ADMISSION, "1 kinds in its table and 2"},
        {"state-without-snapshot", BERTH_ERR_ADMISSION, "no snapshot function"},
        {"snapshot-without-state", BERTH_ERR_ADMISSION, "no state"},
        {"init-fails", BERTH_ERR_PLUGIN, "its init answered 1"},
    };
    fixture *f = *state;
    char built[PATH_MAX];

    for (size_t i = 0; i < sizeof bad_tables / sizeof *bad_tables; i++) {
        const bad_file *bad = &bad_tables[i];

        snprintf(built, sizeof built, BUILD_DIR "/tests/plugins/%s.so", bad->name);
        refuse_load(f, operator_file(f, built, &f->key), bad->code, bad->text);
        assert_false(has_kind(f->set, bad->name));
    }
}

static void what_is_no_file_is_refused(void **state)
{
    fixture *f = *state;
    char path[128];

    snprintf(path, sizeof path, "%s/absent.so", f->drop);
    refuse_load(f, path, BERTH_ERR_NOT_FOUND, "cannot open");
    refuse_load(f, f->drop, BERTH_ERR_INVALID, "is a directory");
    refuse_load(f, "/dev/null", BERTH_ERR_INVALID, "a device, pipe or socket");
    snprintf(path, sizeof path, "%s/pipe.so", f->drop);
    assert_int_equal(mkfifo(path, 0600), 0);
    refuse_load(f, path, BERTH_ERR_INVALID, "a device, pipe or socket");
    snprintf(path, sizeof path, "%s/link.so", f->drop);
    assert_int_equal(symlink(PLUGIN("plain"), path), 0);
    refuse_load(f, path, BERTH_ERR_REFUSED, "symbolic link");
}

static void a_file_over_the_size_limit_is_refused_and_one_at_it_is_not(void **state)
{
    fixture *f = *state;
    const char *path = operator_file(f, PLUGIN("plain"), &f->key);
    plugins_config config = {.policy = f->policy, .host = &test_host};
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    plugins_free(f->set);
    f->set = NULL;
    for (int over = 1; over >= 0; over--) {
        berth_error error = {0};
        berth_status status;

        config.max_file_bytes = (uint64_t)st.st_size - (uint64_t)over;
        assert_ok(plugins_new(&config, &f->set, ERROR));
        status = plugins_load(f->set, path, NULL, NULL, &error);
        assert_int_equal(status, over ? BERTH_ERR_LIMIT : BERTH_OK);
        plugins_free(f->set);
        f->set = NULL;
    }
}

static void the_largest_manifest_is_accepted(void **state)
{
    fixture *f = *state;

    assert_ok(plugins_load(f->set, operator_file(f, PLUGIN("largest-manifest"), &f->key), NULL,
                           NULL, ERROR));
}

static void a_library_that_the_operator_allows_is_no_reason_to_refuse(void **state)
{
    fixture *f = *state;
    const char *const libs[] = {"libberth-test-foreign.so", NULL};
    const char *const trusted[] = {f->key.line, NULL};

    /* Admission lets it pass; the dynamic loader then does not find it in any system directory. */
    fixture_policy(f, &(policy_options){.trusted = trusted, .libs = libs});
    refuse_load(f, operator_file(f, PLUGIN("needs-foreign"), &f->key), BERTH_ERR_ADMISSION,
                "cannot open shared object file");
}

static void a_privilege_that_is_not_granted_is_refused(void **state)
{
    fixture *f = *state;
    const char *const trusted[] = {f->key.line, NULL};
    const char *const none[] = {"fs.read", NULL};
    const char *path = operator_file(f, PLUGIN("needs-threads"), &f->key);

    fixture_policy(f, &(policy_options){.trusted = trusted, .privileges = none});
    refuse_load(f, path, BERTH_ERR_ADMISSION,
                "'threads', which is not granted: take it from needs.privileges");
    fixture_trust_key(f);
    assert_ok(plugins_load(f->set, path, NULL, NULL, ERROR));
}

#define test(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(each_bad_file_is_refused_before_its_code_runs),
        test(each_bad_file_is_refused_when_unsigned_too),
        test(a_table_unlike_its_manifest_is_refused),
        test(what_is_no_file_is_refused),
        test(a_file_over_the_size_limit_is_refused_and_one_at_it_is_not),
        test(the_largest_manifest_is_accepted),
        test(a_library_that_the_operator_allows_is_no_reason_to_refuse),
        test(a_privilege_that_is_not_granted_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
