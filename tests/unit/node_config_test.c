/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: what it may hold, and what each mistake is answered with. */
#include "node/config.h"

#include "base/text.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define HOME "/home/ann"
#define PATH "/etc/berth/berth.conf"
#define KEY  "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
#define HEX  "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

static config *parse(const char *text)
{
    config *c = NULL;
    berth_error error = {0};

    if (config_parse(slice_str(text), PATH, HOME, &c, &error) != BERTH_OK)
        fail_msg("%s", error.text);
    return c;
}

static void every_option_reaches_its_field(void **state)
{
    config *c = parse("# a comment\n"
                      "host {\n"
                      "    name = harbour // another\n"
                      "    state = /var/lib/berth\n"
                      "    socket = \"/run/berth/a socket\"\n"
                      "    threads = 3 /* a third\n"
                      "                   of two lines */\n"
                      "    key_file = host.key\n"
                      "}\n"
                      "plugins {\n"
                      "    dir = plugins\n"
                      "    keys = { \"" KEY "\", # the author's\n"
                      "             keys/ops.pub }\n"
                      "    unsigned = refuse\n"
                      "    libs = { libz.so.1, libssl.so.3 }\n"
                      "    revoked = { " HEX " }\n"
                      "}\n"
                      "limits { max_event = 4MiB max_outputs = 100 call_budget = \"20 ms\"\n"
                      "         send_deadline = 1m max_state = 4294967295 }\n"
                      "plugin-key \"ops\" {\n"
                      "    key = \"" KEY "\"\n"
                      "    names = { tally, 'x-*' }\n"
                      "    kinds = { \"org.example.*\" }\n"
                      "    isolation = process\n"
                      "    fetch = yes\n"
                      "}\n"
                      "plugin tally { isolation = inline }\n"
                      "daemon words {\n"
                      "    kind = tally\n"
                      "    config = '{\"top\": \"${10}\"}'\n"
                      "    auto_snapshot = 1000\n"
                      "    durability = snapshot\n"
                      "    identity_file = words.id\n"
                      "}\n"
                      "daemon \"count\" { kind = counter config_file = /c }\n");

    (void)state;
    assert_string_equal(c->file, PATH);
    assert_string_equal(c->name, "harbour");
    assert_string_equal(c->state_dir, "/var/lib/berth");
    assert_string_equal(c->socket, "/run/berth/a socket");
    assert_int_equal(c->limits.threads, 3);
    assert_string_equal(c->key_file, "/etc/berth/host.key");
    assert_string_equal(c->plugin_dir, "/etc/berth/plugins");
    assert_int_equal(c->keys.count, 2);
    assert_string_equal(c->keys.items[0], KEY);
    assert_string_equal(c->keys.items[1], "/etc/berth/keys/ops.pub");
    assert_int_equal(c->unsigned_plugins, CONFIG_UNSIGNED_REFUSE);
    assert_int_equal(c->libs.count, 2);
    assert_string_equal(c->libs.items[1], "libssl.so.3");
    assert_string_equal(c->revoked.items[0], HEX);
    assert_int_equal(c->limits.max_event, 4 << 20);
    assert_int_equal(c->limits.max_outputs, 100);
    assert_int_equal(c->limits.call_budget_ns, 20000000);
    assert_true(c->limits.send_deadline_ns == 60000000000);
    assert_true(c->limits.max_state == 4294967295);
    assert_int_equal(c->limits.mailbox_events, 0);
    assert_int_equal(c->scoped_count, 1);
    assert_string_equal(c->scoped[0].name, "ops");
    assert_string_equal(c->scoped[0].key, KEY);
    assert_string_equal(c->scoped[0].names.items[1], "x-*");
    assert_string_equal(c->scoped[0].kinds.items[0], "org.example.*");
    assert_int_equal(c->scoped[0].isolation, CONFIG_ISOLATION_PROCESS);
    assert_true(c->scoped[0].fetch);
    assert_int_equal(c->plugin_count, 1);
    assert_int_equal(c->plugins[0].isolation, CONFIG_ISOLATION_INLINE);
    assert_int_equal(c->daemon_count, 2);
    assert_string_equal(c->daemons[0].config, "{\"top\": \"${10}\"}");
    assert_int_equal(c->daemons[0].auto_snapshot, 1000);
    assert_int_equal(c->daemons[0].durability, 2);
    assert_string_equal(c->daemons[0].identity_file, "/etc/berth/words.id");
    assert_null(c->daemons[1].config);
    assert_string_equal(c->daemons[1].config_file, "/c");
    config_free(c);
}

static void the_example_shows_every_option_and_is_right(void **state)
{
    config *c = NULL;
    berth_error error = {0};

    (void)state;
    if (config_read(SOURCE_DIR "/host/node/berth.conf.example", &c, &error) != BERTH_OK)
        fail_msg("%s", error.text);
    assert_string_equal(c->name, "harbour");
    assert_int_equal(c->daemon_count, 1);
    assert_string_equal(c->daemons[0].config, "");
    assert_int_equal(c->limits.breaks_allowed, 3);
    assert_int_equal(c->mesh.listen.count, 2);
    assert_int_equal(c->peer_count, 1);
    assert_int_equal(c->realm_count, 1);
    assert_int_equal(c->channel_count, 1);
    config_free(c);
}

static void nothing_said_is_the_defaults(void **state)
{
    const char *empties[] = {
        "", "\n", "# only a comment", "host { }", "host{}plugins{}limits{}", "/**/", "\r\n\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof empties / sizeof *empties; i++) {
        config *c = parse(empties[i]);
        assert_null(c->name);
        assert_null(c->plugin_dir);
        assert_int_equal(c->unsigned_plugins, CONFIG_UNSIGNED_UNSAID);
        assert_int_equal(c->limits.max_event, 0);
        assert_int_equal(c->limits.size, sizeof c->limits);
        assert_int_equal(c->daemon_count, 0);
        config_free(c);
    }
}

static void a_tilde_at_the_beginning_of_a_path_is_the_home(void **state)
{
    config *c = parse("host { state = ~/state key_file = \"~/a key\" socket = a/~/b name = x }\n"
                      "plugins { dir = ~ keys = { ~/me.pub, k.pub } }\n"
                      "daemon d { kind = k config = \"~/text\" identity_file = ~/d.id }\n");
    berth_error error = {0};

    (void)state;
    assert_string_equal(c->state_dir, HOME "/state");
    assert_string_equal(c->key_file, HOME "/a key");
    assert_string_equal(c->socket, "/etc/berth/a/~/b");
    assert_string_equal(c->plugin_dir, HOME);
    assert_string_equal(c->keys.items[0], HOME "/me.pub");
    assert_string_equal(c->keys.items[1], "/etc/berth/k.pub");
    assert_string_equal(c->daemons[0].config, "~/text");
    assert_string_equal(c->daemons[0].identity_file, HOME "/d.id");
    config_free(c);
    /* Without a home it stands for nothing. */
    c = NULL;
    assert_int_equal(config_parse(slice_str("host {\n state = ~/state }"), PATH, NULL, &c, &error),
                     BERTH_ERR_INVALID);
    assert_null(c);
    assert_string_equal(error.text, PATH ":2: state: '~/state': nobody says where the home of this "
                                         "user is: set HOME, or write the whole path");
}

static void the_home_of_who_reads_a_file_stands_for_the_tilde(void **state)
{
    static const char text[] = "host { state = ~/s }\n";
    char path[] = "/tmp/berth-config-XXXXXX";
    int fd = mkstemp(path);
    config *c = NULL;

    (void)state;
    assert_true(write(fd, text, sizeof text - 1) == sizeof text - 1);
    setenv("HOME", "/home/bob", 1);
    assert_int_equal(config_read(path, &c, NULL), BERTH_OK);
    assert_string_equal(c->state_dir, "/home/bob/s");
    config_free(c);
    close(fd);
    unlink(path);
}

/* Each mistake: the text, the line that must be named, and what the answer must say. */
static const struct mistake {
    const char *text;
    int line;
    const char *says;
} mistakes[] = {
    {"host {\n  thread = 3\n}", 2,
     "did you mean 'threads'? (name, state, socket, threads, key_file)"},
    {"host {\n  colour = red\n}", 2, "there is no option 'colour' in host: (name, state"},
    {"hots { }", 1, "there is no section 'hots': did you mean 'host'?"},
    {"\n\nplugin_key a { }", 3, "did you mean 'plugin-key'?"},
    {"threads = 3", 1, "it belongs into a section: host { threads = ... }"},
    {"daemons { }", 1, "did you mean 'daemon'?"},
    {"host {\n\n threads = many }", 3, "threads: 'many': must be a whole number"},
    {"host { threads = 0 }", 1, "must be from 1 to 1024"},
    {"host { threads = 1025 }", 1, "must be from 1 to 1024"},
    {"host { threads = -1 }", 1, "must be a whole number"},
    {"host { threads = 99999999999999999999999 }", 1, "must be a whole number"},
    {"\nhost {\n threads = 3", 2, "never closed: a } is missing"},
    {"host {\n threads 3 }", 2, "missing equal sign"},
    {"host threads", 1, "missing opening brace"},
    {"}", 1, "closes nothing"},
    {"host { threads = 3\n threads = 4 }", 2, "'threads' is given twice"},
    {"host { }\nhost { }", 2, "'host' is given twice"},
    {"host { name = \"a b\" }", 1, "must be 1 to 127 of"},
    {"host { state = \"\" }", 1, "must be a path"},
    {"host { state = ~eve/state }", 1, "write ~/ for this user's home"},
    {"plugins { keys = { a.pub,\n ~eve/b.pub } }", 2, "write ~/ for this user's home"},
    {"limits { max_event = 0 }", 1, "must be from 1 to 16777216 bytes"},
    {"limits { max_event = 16777217 }", 1, "must be from 1 to 16777216 bytes"},
    {"limits { max_event = 17MiB }", 1, "must be from 1"},
    {"limits { max_event = 1MB }", 1, "such as 4096, 64KiB or 8MiB"},
    {"limits { max_event = 1 MiB }", 1, "right behind its number"},
    {"limits { max_state = 4GiB }", 1, "must be from 1 to 4294967295"},
    {"limits { call_budget = 10 }", 1, "must be a duration such as"},
    {"limits { call_budget = 2h }", 1, "must be from"},
    {"plugins { unsigned = refused }", 1, "did you mean 'refuse'? (refuse, warn)"},
    {"plugins { unsigned = no }", 1, "must be one of: refuse, warn"},
    {"plugins { keys = { \"RWnot-a-key\" } }", 1, "must be a minisign public key"},
    {"plugins { keys = { a.pub,\n RW } }", 2, "must be a minisign public key"},
    {"plugins { revoked = { 1234 } }", 1, "must be the 64 hex digits"},
    {"plugins { libs = { ../evil.so } }", 1, "must be a library's soname"},
    {"plugins { libs = { libz.so.1 }\nlibs = { liby.so.1 } }", 2, "write all values in one list"},
    {"plugins { revoked = { " HEX " } revoked = { } }", 1, "an empty list says nothing"},
    {"plugins { libs += { libz.so.1 } }", 1, "+= is not known here"},
    {"plugin-key ops {\n}", 2, "plugin-key \"ops\" has no key: add `key = ...`"},
    {"plugin-key ops { key = a.pub names = { \"a*b\" } }", 1, "must be a name such as"},
    {"plugin-key ops { key = a.pub\nnames = { /* any */ } }", 2, "an empty list says nothing"},
    {"plugin-key ops { key = a.pub fetch = maybe }", 1, "must be one of: yes, no"},
    {"plugin-key ops { key = a.pub }\nplugin-key ops { key = b.pub }", 2, "duplicate title 'ops'"},
    {"plugin-key { key = a.pub }", 1, "missing title"},
    {"plugin t { isolation = worker }", 1, "must be one of: inline, process"},
    {"daemon d { }", 1, "daemon \"d\" has no kind"},
    {"daemon \"a b\" { kind = k }", 1, "the name must be 1 to 127 of"},
    {"daemon d { kind = k config = a config_file = b }", 1, "keep one"},
    {"daemon d { kind = k durability = journal }", 1, "must be one of: volatile, snapshot"},
    {"daemon d { kind = k auto_snapshot = often }", 1, "must be a whole number"},
    /* What libconfuse would have misread without a word. */
    {"plugin-key k { key = a.pub\nnames = { org.example.* } }", 2, "'*' stands outside of quotes"},
    {"plugins { keys = { RWQf+x } }", 1, "'+' stands outside of quotes"},
    {"host { state = a//b }", 1, "needs quotes"},
    {"host|name = x", 1, "'|' stands outside of quotes"},
    {"\"host|name\" = x", 1, "stands outside of its section"},
    {"host { state = \"${HOME}\" }", 1, "environment variables are not replaced"},
    {"host { state = ${HOME} }", 1, "'$' stands outside of quotes"},
    {"host {\n state = \"/a\n}\n", 2, "this string is never closed"},
    {"host { state = '/a }", 1, "this string is never closed"},
    {"\n/* never", 2, "this comment is never closed"},
    {"host { state = \"\\x00\" }", 1, "a backslash in double quotes"},
    {"host { state = \"\\777\" }", 1, "a backslash in double quotes"},
    {"host { name = \x01 }", 1, "control character"},
    {"host { name = \r }", 1, "control character"},
    {"host { name = \xc3\xa4 }", 1, "'\xc3\xa4' stands outside of quotes"},
    {"host { name = \xff }", 0, "is not UTF-8 text"},
};

static void each_mistake_names_the_line_and_the_cure(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        const struct mistake *m = &mistakes[i];
        config *c = (config *)(uintptr_t)1;
        berth_error error = {0};
        char where[64];

        if (config_parse(slice_str(m->text), PATH, HOME, &c, &error) != BERTH_ERR_INVALID)
            fail_msg("accepted: %s", m->text);
        assert_null(c);
        snprintf(where, sizeof where, m->line ? PATH ":%d: " : PATH, m->line);
        if (strncmp(error.text, where, strlen(where)) != 0 || !strstr(error.text, m->says))
            fail_msg("for: %s\nwanted: %s ... %s\ngot:    %s", m->text, where, m->says, error.text);
        assert_null(strchr(error.text, '\n'));
    }
}

static void a_mistake_leaves_no_trace_in_the_next_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        config *c = NULL;

        assert_int_not_equal(config_parse(slice_str(mistakes[i].text), PATH, HOME, &c, NULL),
                             BERTH_OK);
        c = parse("host { name = after }");
        assert_string_equal(c->name, "after");
        config_free(c);
    }
}

static void a_zero_byte_is_refused_wherever_it_stands(void **state)
{
    static const char text[] = "host { name = \"a\0b\" }";
    config *c = NULL;
    berth_error error = {0};

    (void)state;
    assert_int_equal(config_parse(slice_of(text, sizeof text - 1), PATH, HOME, &c, &error),
                     BERTH_ERR_INVALID);
    assert_non_null(strstr(error.text, "zero byte"));
    assert_int_equal(config_parse(slice_of("\0", 1), PATH, HOME, &c, &error), BERTH_ERR_INVALID);
}

static void size_is_bounded_at_and_above_the_limit(void **state)
{
    char *text = malloc(CONFIG_MAX_BYTES + 1);
    config *c = NULL;

    (void)state;
    memset(text, '\n', CONFIG_MAX_BYTES + 1);
    assert_int_equal(config_parse(slice_of(text, CONFIG_MAX_BYTES), PATH, HOME, &c, NULL),
                     BERTH_OK);
    config_free(c);
    assert_int_equal(config_parse(slice_of(text, CONFIG_MAX_BYTES + 1), PATH, HOME, &c, NULL),
                     BERTH_ERR_INVALID);
    free(text);
}

static void lists_and_sections_are_bounded_at_and_above_the_limit(void **state)
{
    char *text = malloc(CONFIG_MAX_BYTES);
    config *c = NULL;

    (void)state;
    for (int extra = 0; extra < 2; extra++) {
        size_t at = 0;
        for (int i = 0; i < CONFIG_MAX_SECTIONS + extra; i++)
            at += (size_t)sprintf(text + at, "plugin p%d {}\n", i);
        assert_int_equal(config_parse(slice_of(text, at), PATH, HOME, &c, NULL),
                         extra ? BERTH_ERR_INVALID : BERTH_OK);
        config_free(c);
    }
    free(text);
}

static void the_command_line_stands_above_the_file(void **state)
{
    const char *plugins[] = {"/a.so", "b.so"};
    berth_node_options options = {.size = sizeof options,
                                  .threads = 5,
                                  .state_dir = "/other",
                                  .plugins = plugins,
                                  .plugin_count = 2};
    config *c = parse("host { state = /var/lib/berth socket = /run/s threads = 3 }");
    char cwd[4096], joined[5000];

    (void)state;
    assert_int_equal(config_override(c, &options, NULL), BERTH_OK);
    assert_int_equal(c->limits.threads, 5);
    assert_string_equal(c->state_dir, "/other");
    assert_string_equal(c->socket, "/run/s");
    assert_non_null(getcwd(cwd, sizeof cwd));
    snprintf(joined, sizeof joined, "%s/b.so", cwd);
    assert_int_equal(c->load.count, 2);
    assert_string_equal(c->load.items[1], joined);
    config_free(c);
}

static void a_file_that_others_may_write_is_refused(void **state)
{
    char path[] = "/tmp/berth-config-XXXXXX";
    int fd = mkstemp(path);
    config *c = NULL;
    berth_error error = {0};

    (void)state;
    assert_true(write(fd, "host { name = x }\n", 18) == 18);
    assert_int_equal(fchmod(fd, 0644), 0);
    assert_int_equal(config_read(path, &c, &error), BERTH_OK);
    assert_string_equal(c->name, "x");
    config_free(c);
    assert_int_equal(fchmod(fd, 0664), 0);
    assert_int_equal(config_read(path, &c, &error), BERTH_ERR_PERMISSION);
    assert_non_null(strstr(error.text, "chmod go-w"));
    assert_int_equal(fchmod(fd, 0646), 0);
    assert_int_equal(config_read(path, &c, &error), BERTH_ERR_PERMISSION);
    close(fd);
    unlink(path);
    assert_int_equal(config_read(path, &c, &error), BERTH_ERR_NOT_FOUND);
    assert_int_equal(config_read("/tmp", &c, &error), BERTH_ERR_INVALID);
}

static void *parse_many(void *arg)
{
    const char *text = arg;

    for (int i = 0; i < 200; i++) {
        config *c = NULL;
        berth_error error = {0};
        if (config_parse(slice_str(text), PATH, HOME, &c, &error) == BERTH_OK)
            assert_string_equal(c->name, "one");
        else
            assert_non_null(strstr(error.text, "did you mean 'threads'?"));
        config_free(c);
    }
    return NULL;
}

static void parses_on_several_threads_do_not_mix(void **state)
{
    const char *texts[] = {"host { name = one }", "host { thread = 1 }",
                           "host { name = one threads = 2 }"};
    pthread_t threads[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, parse_many, (void *)(uintptr_t)texts[i]),
                         0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_reaches_its_field),
        cmocka_unit_test(the_example_shows_every_option_and_is_right),
        cmocka_unit_test(a_tilde_at_the_beginning_of_a_path_is_the_home),
        cmocka_unit_test(the_home_of_who_reads_a_file_stands_for_the_tilde),
        cmocka_unit_test(nothing_said_is_the_defaults),
        cmocka_unit_test(each_mistake_names_the_line_and_the_cure),
        cmocka_unit_test(a_mistake_leaves_no_trace_in_the_next_parse),
        cmocka_unit_test(a_zero_byte_is_refused_wherever_it_stands),
        cmocka_unit_test(size_is_bounded_at_and_above_the_limit),
        cmocka_unit_test(lists_and_sections_are_bounded_at_and_above_the_limit),
        cmocka_unit_test(the_command_line_stands_above_the_file),
        cmocka_unit_test(a_file_that_others_may_write_is_refused),
        cmocka_unit_test(parses_on_several_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
