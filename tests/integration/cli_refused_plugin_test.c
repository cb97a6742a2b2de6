/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins, signatures and places that get a person no host, or no plugin. Why is tested in the
 * rooms. */
#include "cli_refused.h"

/* ---- Plugins --------------------------------------------------------------------------------- */

/* Refused before their code could run; undone after it has. Blanks between. */
static const char never_run[] =
    "empty text truncated truncated-header other-machine other-class other-order "
    "not-shared no-headers no-dynamic no-stack executable-stack text-relocation "
    "writable-code rpath runpath audit depaudit filter auxiliary needs-foreign nodelete "
    "static-tls unique-symbol exports-extra no-symbol function-symbol undefined-symbol "
    "note-none note-other-owner note-major-99 note-two note-truncated note-cut-head "
    "note-huge note-empty note-text note-list note-not-utf8 note-duplicate-key "
    "note-trailing note-deep manifest-oversized manifest-no-kinds manifest-bad-version "
    "manifest-bad-name manifest-newer-minor manifest-other-major manifest-twin-kinds "
    "needs-extension needs-privilege needs-unknown";
static const char undone[] =
    "table-too-large table-too-small table-no-kinds table-null-kinds table-null-kind "
    "table-kind-too-small table-no-process table-no-create table-no-destroy "
    "table-other-manifest table-no-manifest table-twin-kinds table-other-name "
    "table-more-kinds table-fewer-kinds state-without-snapshot snapshot-without-state";

/* Until the last: the next of these names. */
static bool next_name(const char **list, char name[64])
{
    size_t len = strcspn(*list, " ");

    if (!len)
        return false;
    snprintf(name, 64, "%.*s", (int)len, *list);
    *list += len + strspn(*list + len, " ");
    return true;
}

/* The same of loading this one of the plugins for tests; the line has its name. */
static void refused_file(const char *name)
{
    char words[PATH_MAX];

    snprintf(words, sizeof words, "plugin load " PLUGINS "%s.so", name);
    refused(words, NULL, 4, name);
}

/* Nothing is loaded but what was; nothing more is stored. */
static void as_before(unsigned stored, unsigned fds)
{
    char store[128];

    expect("plugin ls --json", NULL, 0, "{\"plugins\":[]}\n", "");
    expect("daemon ls --json", NULL, 0, "{\"daemons\":[]}\n", "");
    snprintf(store, sizeof store, "%s/state/plugins", dir);
    assert_int_equal(entries(store), stored);
    await_descriptors(fds);
}

static void a_bad_plugin_costs_one_line_and_leaves_nothing(void **state)
{
    unsigned stored, fds;
    char store[128], name[64];

    (void)state;
    host_start("--state state");
    expect("plugin load " PLUGINS "plain.so", NULL, 0, NULL, "");
    expect("plugin unload plain", NULL, 0, NULL, "");
    remove(in_dir("mark"));
    snprintf(store, sizeof store, "%s/state/plugins", dir);
    stored = entries(store);
    fds = descriptors();
    for (const char *list = never_run; next_name(&list, name);) {
        refused_file(name);
        if (access(in_dir("mark"), F_OK) == 0)
            fail_msg("%s: its constructor has run", name);
    }
    as_before(stored, fds);
    for (const char *list = undone; next_name(&list, name);)
        refused_file(name);
    refused("plugin load " PLUGINS "init-fails.so", NULL, 1, "its init answered 1");
    refused("plugin load nowhere.so", NULL, 1, "nowhere.so");
    refused("plugin load {}", NULL, 1, dir);
    refused("plugin load /dev/null", NULL, 1, "/dev/null");
    assert_int_equal(mkfifo(in_dir("pipe.so"), 0600), 0);
    refused("plugin load pipe.so", NULL, 1, "pipe.so");
    as_before(stored, fds);
    /* A kind that another has; another version of what is loaded. */
    expect("plugin load " PLUGINS "plain.so", NULL, 0, NULL, "");
    refused("plugin load " PLUGINS "same-kind.so", NULL, 1, "plain");
    expect("plugin unload plain", NULL, 0, NULL, "");
    expect("plugin load " PLUGINS "versioned-1.so", NULL, 0, NULL, "");
    refused("plugin load " PLUGINS "versioned-2.so", NULL, 1, "versioned");
    expect("plugin unload versioned", NULL, 0, NULL, "");
    host_end();
}

/* Without a host: what looks at files says the same of them. */
static void a_bad_plugin_is_refused_offline_too(void **state)
{
    char words[PATH_MAX], name[64];

    (void)state;
    for (const char *list = never_run; next_name(&list, name);) {
        if (strcmp(name, "undefined-symbol") == 0 || strcmp(name, "needs-extension") == 0)
            continue; /* only the dynamic loader can tell, or a host */
        snprintf(words, sizeof words, "plugin inspect " PLUGINS "%s.so", name);
        expect(words, NULL, 4, NULL, NULL);
    }
    assert_int_equal(access(in_dir("mark"), F_OK), -1);
}

/* Sign what lies in the directory with one of the key pairs made below. */
static void sign(const char *file, const char *keys)
{
    char words[256];

    snprintf(words, sizeof words, "plugin sign %s --key %s/berth.key", file, keys);
    expect(words, NULL, 0, NULL, "");
}

static void conf(const char *text)
{
    write_file("c.conf", text, strlen(text), 0600);
}

static void what_the_keys_do_not_cover_is_refused(void **state)
{
    char text[512], hex[65], *shown;
    run r;

    (void)state;
    expect("plugin keygen -o keys", "\n", 0, NULL, "");
    expect("plugin keygen -o other", "\n", 0, NULL, "");
    copy_plugin(PLUGINS "plain.so", "plain.so");
    copy_plugin(PLUGINS "plain-2.so", "plain-2.so");
    copy_plugin(PLUGINS "versioned-1.so", "v1.so");
    copy_plugin(PLUGINS "versioned-2.so", "v2.so");
    conf("plugins { keys = { keys/berth.pub } }\n");
    host_start("--state state --config c.conf");
    refused("plugin load plain.so", NULL, 4, "not signed");
    sign("plain.so", "other");
    refused("plugin load plain.so", NULL, 4, "plain.so");
    sign("plain-2.so", "keys");
    assert_int_equal(rename(in_dir("plain-2.so.minisig"), in_dir("plain.so.minisig")), 0);
    refused("plugin load plain.so", NULL, 4, "plain.so");
    write_file("plain.so.minisig", "not a signature\n", 16, 0600);
    refused("plugin load plain.so", NULL, 4, "plain.so");
    assert_int_equal(access(in_dir("mark"), F_OK), -1);
    sign("plain.so", "keys");
    expect("plugin load plain.so", NULL, 0, NULL, "");
    run_berth(&r, "plugin show plain --json", NULL);
    shown = strstr(r.output, "\"digest\":\"");
    assert_non_null(shown);
    snprintf(hex, sizeof hex, "%s", shown + strlen("\"digest\":\""));
    run_free(&r);
    sign("v1.so", "keys");
    sign("v2.so", "keys");
    expect("plugin load v2.so", NULL, 0, NULL, "");
    expect("plugin unload versioned", NULL, 0, NULL, "");
    refused("plugin load v1.so", NULL, 4, "--allow-downgrade");
    expect("plugin load v1.so --allow-downgrade", NULL, 0, NULL, "");
    host_end();
    /* The digest revoked, and a key whose scope does not reach. */
    snprintf(text, sizeof text, "plugins { keys = { keys/berth.pub } revoked = { %s } }\n", hex);
    conf(text);
    host_start("--ephemeral --config c.conf");
    refused("plugin load plain.so", NULL, 4, "revoked");
    host_end();
    conf("plugin-key \"k\" {\n  key = keys/berth.pub\n  names = { \"versioned\" }\n}\n");
    host_start("--ephemeral --config c.conf");
    refused("plugin load plain.so", NULL, 4, "widen names");
    expect("plugin load v1.so", NULL, 0, NULL, "");
    host_end();
}

static void a_stored_copy_that_was_changed_is_not_run(void **state)
{
    char path[PATH_MAX] = "";
    DIR *d;
    int fd;

    (void)state;
    host_start("--state state");
    expect("plugin load " PLUGINS "plain.so", NULL, 0, NULL, "");
    expect("daemon spawn plain --name p", NULL, 0, NULL, "");
    host_end();
    d = opendir(in_dir("state/plugins"));
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d));)
        if (strstr(entry->d_name, ".so") && !strstr(entry->d_name, ".minisig"))
            snprintf(path, sizeof path, "%s/state/plugins/%s", dir, entry->d_name);
    closedir(d);
    assert_int_equal(chmod(path, 0600), 0);
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "\xcc", 1, 5000), 1);
    close(fd);
    remove(in_dir("mark"));
    host_start("--state state");
    refused("send p", "x", 1, "daemon 'p' is down");
    expect("plugin ls --json", NULL, 0, "{\"plugins\":[]}\n", "");
    assert_int_equal(access(in_dir("mark"), F_OK), -1);
    host_end();
}

/* ---- Where a host runs ----------------------------------------------------------------------- */

static void a_place_that_is_not_safe_gets_no_host(void **state)
{
    char *database;
    size_t len = 0;

    (void)state;
    host_start("--state state");
    host_end();
    setenv("LD_LIBRARY_PATH", dir, 1);
    refused("run --state state", NULL, 4, "LD_LIBRARY_PATH");
    unsetenv("LD_LIBRARY_PATH");
    conf("host { threads = 1 }\n");
    assert_int_equal(chmod(in_dir("c.conf"), 0622), 0);
    refused("run --state state --config c.conf", NULL, 4, "chmod");
    assert_int_equal(chmod(in_dir("state"), 0777), 0);
    refused("run --state state", NULL, 4, "chmod");
    assert_int_equal(chmod(in_dir("state"), 0700), 0);
    database = read_whole("state/store.db", &len);
    assert_non_null(database);
    write_file("state/store.db", "this is no database", 19, 0600);
    refused("run --state state", NULL, 1, "store.db");
    write_file("state/store.db", database, len / 2, 0600);
    refused("run --state state", NULL, 1, "store.db");
    write_file("state/store.db", database, len, 0600);
    free(database);
    host_start("--state state"); /* nothing of this has harmed it */
    host_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bad_plugin_costs_one_line_and_leaves_nothing),
        TEST(a_bad_plugin_is_refused_offline_too),
        TEST(what_the_keys_do_not_cover_is_refused),
        TEST(a_stored_copy_that_was_changed_is_not_run),
        TEST(a_place_that_is_not_safe_gets_no_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
