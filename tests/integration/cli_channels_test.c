/* SPDX-License-Identifier: Apache-2.0 */
/* Channels, groups, services and tokens of daemons, as an operator handles them. */
#include "cli_run.h"

#include <json-c/json.h>

#define ECHO "plugin load " BUILD_DIR "/plugins/echo.so"

static run host;
static char owner[65], words[65];

static void identity(const char *file, char entity[65])
{
    char line[64];
    run r;

    snprintf(line, sizeof line, "identity new -o %s --json", file);
    run_berth(&r, line, NULL);
    assert_int_equal(r.code, 0);
    memcpy(entity, strstr(r.output, "\"entity\":\"") + 10, 64);
    entity[64] = 0;
    run_free(&r);
}

static void host_start(void)
{
    run_start(&host, "run --json --socket {}/run/sock --state {}/state");
    run_expect(&host, false, "\"ready\":true");
}

static void host_end(void)
{
    kill(host.pid, SIGTERM);
    run_finish(&host, NULL, 0);
    assert_int_equal(host.code, 0);
    run_free(&host);
}

static int begin(void **state)
{
    (void)state;
    umask(022);
    make_dir();
    setenv("BERTH_SOCKET", in_dir("run/sock"), 1);
    setenv("XDG_CONFIG_HOME", dir, 1);
    unsetenv("NOTIFY_SOCKET");
    identity("owner.id", owner);
    identity("words.id", words);
    host_start();
    expect(ECHO, NULL, 0, NULL, "");
    return 0;
}

static int end(void **state)
{
    (void)state;
    if (host.pid) {
        kill(host.pid, SIGKILL);
        run_finish(&host, NULL, 0);
        run_free(&host);
    }
    remove_dir();
    return 0;
}

static struct json_object *json_of(const char *line)
{
    struct json_object *object;
    run r;

    run_berth(&r, line, NULL);
    if (r.code)
        fail_msg("berth %s: %s", line, r.errors);
    object = json_tokener_parse(r.output);
    assert_non_null(object);
    run_free(&r);
    return object;
}

/* A member of what the host knows of a daemon, as JSON text. */
static void shows(const char *daemon, const char *member, const char *text)
{
    char line[128];
    struct json_object *all, *value = NULL;

    snprintf(line, sizeof line, "daemon show %s --json", daemon);
    all = json_of(line);
    assert_true(json_object_object_get_ex(all, member, &value));
    if (strcmp(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN), text) != 0)
        fail_msg("%s: %s, not %s", member, json_object_to_json_string(value), text);
    json_object_put(all);
}

static void a_daemon_is_spawned_with_what_it_hears_and_serves(void **state)
{
    char line[512];
    run r;

    (void)state;
    snprintf(line, sizeof line,
             "token issue %s jobs --allow subscribe --identity owner.id --valid 12h -o a.token",
             words);
    expect(line, NULL, 0, NULL, "");
    expect("daemon spawn echo --name w --identity words.id --subscribe jobs@workers --subscribe "
           "news --serve maths --token a.token",
           NULL, 0, NULL, "");
    shows("w", "hears",
          "[{\"channel\":\"jobs\",\"group\":\"workers\"},{\"channel\":\"maths.requests\"},"
          "{\"channel\":\"news\"}]");
    shows("w", "serves", "[\"maths\"]");
    run_berth(&r, "daemon show w", NULL);
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(r.output, "jobs in group workers"));
    assert_non_null(strstr(r.output, "maths"));
    assert_non_null(strstr(r.output, "subscribe, until "));
    run_free(&r);
    host_end();
    host_start();
    shows("w", "serves", "[\"maths\"]");
    shows("w", "subscriptions", "3");
    host_end();
}

static void whom_a_daemon_accepts_is_shown_and_lasts(void **state)
{
    run r;

    (void)state;
    expect("daemon spawn echo --name w --identity words.id --accept lighthouse,harbour", NULL, 0,
           NULL, "");
    expect("daemon spawn echo --name all", NULL, 0, NULL, "");
    expect("daemon spawn echo --name x --accept peers,b", NULL, 1, "", "'peers' says it all");
    expect("daemon spawn echo --name x --accept a,,b", NULL, 1, "", "accept 'a,,b'");
    shows("all", "accept", "\"realm\"");
    run_berth(&r, "daemon show w", NULL);
    assert_non_null(strstr(r.output, "accepts from"));
    assert_non_null(strstr(r.output, "lighthouse,harbour"));
    run_free(&r);
    expect("channel sub news w", NULL, 0, NULL, "");
    host_end();
    host_start();
    shows("w", "accept", "\"lighthouse,harbour\"");
    /* A snapshot does not know: who restores it says so again. */
    expect("daemon snapshot w -o w.snapshot", NULL, 0, NULL, "");
    expect("daemon stop w", NULL, 0, NULL, "");
    expect("daemon restore w.snapshot --name w --identity words.id --accept none", NULL, 0, NULL,
           "");
    shows("w", "accept", "\"none\"");
    host_end();
}

static void a_running_daemon_is_subscribed_and_it_lasts(void **state)
{
    (void)state;
    expect("daemon spawn echo --name w", NULL, 0, NULL, "");
    expect("channel sub jobs@workers w", NULL, 0, "w hears jobs@workers\n", "");
    expect("channel sub news w", NULL, 0, NULL, "");
    shows("w", "hears", "[{\"channel\":\"jobs\",\"group\":\"workers\"},{\"channel\":\"news\"}]");
    expect("channel sub jobs w", NULL, 0, NULL, "");
    expect("channel unsub news w", NULL, 0, "w does not hear news any more\n", "");
    expect("channel unsub news w", NULL, 1, "", "is not subscribed to channel 'news'");
    host_end();
    host_start();
    shows("w", "hears", "[{\"channel\":\"jobs\"}]");
    expect("channel sub Jobs w", NULL, 1, "", "only a-z");
    expect("channel sub jobs nobody", NULL, 1, "", "nobody");
    host_end();
}

static void tokens_are_given_and_refused_by_the_name_of_their_file(void **state)
{
    char line[512];

    (void)state;
    snprintf(line, sizeof line,
             "token issue %s jobs --allow publish --identity owner.id -o o.token", owner);
    expect(line, NULL, 0, NULL, "");
    expect("daemon spawn echo --name w --identity words.id --token o.token", NULL, 4, "",
           "o.token: the token is for ");
    write_file("bad.token", "berth-token: 1\n", 15, 0600);
    expect("daemon spawn echo --name w --token bad.token", NULL, 1, "", "bad.token");
    expect("daemon spawn echo --name w --token none.token", NULL, 1, "", "none.token");
    expect("daemon show w", NULL, 1, "", "w");

    expect("daemon spawn echo --name w --identity words.id", NULL, 0, NULL, "");
    shows("w", "tokens", "[]");
    expect("token give o.token w", NULL, 4, "", "the token is for ");
    snprintf(line, sizeof line,
             "token issue %s jobs --allow publish --identity owner.id -o w.token", words);
    expect(line, NULL, 0, NULL, "");
    expect("token give w.token w", NULL, 0, "w holds it\n", "");
    host_end();
    host_start();
    json_object_put(json_of("daemon show w --json"));
    expect("token give w.token w", NULL, 0, "w holds it\n", "");
    host_end();
}

static void a_second_server_is_refused(void **state)
{
    (void)state;
    expect("daemon spawn echo --name first --serve maths", NULL, 0, NULL, "");
    expect("daemon spawn echo --name second --serve maths", NULL, 1, "",
           "service 'maths' is served by daemon 'first'");
    expect("daemon show second", NULL, 1, "", "second");
    expect("daemon spawn echo --name second", NULL, 0, NULL, "");
    expect("channel sub maths.requests second", NULL, 1, "", "is served by daemon 'first'");
    expect("daemon stop first", NULL, 0, NULL, "");
    expect("channel sub maths.requests second", NULL, 0, NULL, "");
    shows("second", "serves", "[\"maths\"]");
    host_end();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_daemon_is_spawned_with_what_it_hears_and_serves),
        TEST(whom_a_daemon_accepts_is_shown_and_lasts),
        TEST(a_running_daemon_is_subscribed_and_it_lasts),
        TEST(tokens_are_given_and_refused_by_the_name_of_their_file),
        TEST(a_second_server_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
