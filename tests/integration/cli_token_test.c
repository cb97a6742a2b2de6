/* SPDX-License-Identifier: Apache-2.0 */
/* berth token: issued, passed on, shown and revoked without a host. */
#include "cli_run.h"

#include <json-c/json.h>

static char owner[65], team[65], words[65];

/* An identity in a file; its entity id. */
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

static int begin(void **state)
{
    (void)state;
    umask(022);
    make_dir();
    setenv("BERTH_SOCKET", in_dir("nobody"), 1);
    setenv("XDG_CONFIG_HOME", dir, 1);
    identity("owner.id", owner);
    identity("team.id", team);
    identity("words.id", words);
    return 0;
}

static int end(void **state)
{
    (void)state;
    remove_dir();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

/* `berth token <format>`, and what must come of it. */
static void token(int code, const char *errors, const char *format, ...)
{
    char line[1024];
    va_list args;
    int n = snprintf(line, sizeof line, "token ");

    va_start(args, format);
    vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    expect(line, NULL, code, NULL, errors);
}

static struct json_object *json_of(const char *line, int code)
{
    struct json_object *object;
    run r;

    run_berth(&r, line, NULL);
    assert_int_equal(r.code, code);
    object = json_tokener_parse(r.output);
    assert_non_null(object);
    run_free(&r);
    return object;
}

static const char *text_of(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    assert_true(json_object_object_get_ex(object, key, &value));
    return json_object_get_string(value);
}

static struct json_object *link_of(struct json_object *object, size_t at, size_t count)
{
    struct json_object *chain = NULL;

    assert_true(json_object_object_get_ex(object, "chain", &chain));
    assert_int_equal(json_object_array_length(chain), count);
    return json_object_array_get_idx(chain, at);
}

static void a_token_says_what_it_gives_leave_to(void **state)
{
    struct json_object *shown, *link;
    run r;

    (void)state;
    token(0, "",
          "issue %s house/temperature --allow publish --allow subscribe --identity owner.id "
          "--valid 12h -o a.token",
          words);
    run_berth(&r, "token show a.token", NULL);
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(r.output, words));
    assert_non_null(strstr(r.output, "house/temperature"));
    assert_non_null(strstr(r.output, "publish, subscribe"));
    assert_non_null(strstr(r.output, "(in 1"));
    run_free(&r);
    shown = json_of("token show a.token --json", 0);
    assert_string_equal(text_of(shown, "state"), "fine");
    assert_string_equal(text_of(shown, "channel"), "house/temperature");
    assert_string_equal(text_of(shown, "subject"), words);
    link = link_of(shown, 0, 1);
    assert_string_equal(text_of(link, "issuer"), owner);
    assert_string_equal(text_of(link, "not_after"), text_of(shown, "expires"));
    assert_string_equal(text_of(link, "depth"), "0");
    json_object_put(shown);
}

static void a_token_goes_through_a_pipe(void **state)
{
    char line[256];
    run r;

    (void)state;
    snprintf(line, sizeof line, "token issue %s a --allow subscribe --identity owner.id", words);
    run_berth(&r, line, NULL);
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(r.output, "berth-token: 1\nchannel: a\nchain: "));
    expect("token show -", r.output, 0, NULL, "");
    run_free(&r);
}

static void leave_is_passed_on_and_gets_less(void **state)
{
    struct json_object *shown;

    (void)state;
    token(0, "",
          "issue %s --all-channels --allow publish --allow subscribe --depth 1 "
          "--identity owner.id -o team.token",
          team);
    token(0, "",
          "issue %s a/b --allow subscribe --parent team.token --identity team.id -o words.token",
          words);
    shown = json_of("token show words.token --json", 0);
    assert_string_equal(text_of(link_of(shown, 0, 2), "issuer"), owner);
    assert_string_equal(text_of(link_of(shown, 1, 2), "issuer"), team);
    assert_string_equal(text_of(link_of(shown, 1, 2), "subject"), words);
    assert_string_equal(text_of(shown, "channel"), "a/b");
    json_object_put(shown);
    token(0, "", "show words.token --root %s --root %s", team, owner);
    token(4, "does not trust", "show words.token --root %s", team);
}

static void what_cannot_be_passed_on_is_refused_with_the_reason(void **state)
{
    (void)state;
    token(0, "", "issue %s a --allow subscribe --identity owner.id -o no.token", team);
    token(4, "passed on as often as it may",
          "issue %s --allow subscribe --parent no.token --identity team.id", words);
    token(0, "", "issue %s a --allow subscribe --depth 1 --identity owner.id -o one.token", team);
    token(4, "by its subject only",
          "issue %s --allow subscribe --parent one.token --identity owner.id", words);
    token(4, "another channel",
          "issue %s b --allow subscribe --parent one.token --identity team.id", words);
    token(4, "does not have what is to be passed on: publish",
          "issue %s --allow publish --parent one.token --identity team.id", words);
    token(4, "0 times at most",
          "issue %s --allow subscribe --depth 1 --parent one.token --identity team.id", words);
    token(0, "", "issue %s --allow subscribe --parent one.token --identity team.id -o two.token",
          words);
}

static void words_that_make_no_sense_are_exit_2(void **state)
{
    (void)state;
    token(2, "64 hex digits", "issue nobody a --allow subscribe --identity owner.id");
    token(2, "--identity", "issue %s a --allow subscribe", words);
    token(2, "--allow", "issue %s a --identity owner.id", words);
    token(2, "publish", "issue %s a --allow everything --identity owner.id", words);
    token(2, "which channel", "issue %s --allow subscribe --identity owner.id", words);
    token(2, "either", "issue %s a --all-channels --allow subscribe --identity owner.id", words);
    token(2, "channel name 'A'", "issue %s A --allow subscribe --identity owner.id", words);
    token(2, "--valid", "issue %s a --valid 1y --allow subscribe --identity owner.id", words);
    token(2, "--valid", "issue %s a --valid 0s --allow subscribe --identity owner.id", words);
    token(2, "--depth", "issue %s a --depth 256 --allow subscribe --identity owner.id", words);
    token(2, "--list", "revoke a.token");
    token(2, "which token", "revoke --list r");
    token(2, "--issuer", "revoke --below 3 --list r");
    token(2, "--below", "revoke --issuer %s --list r", owner);
}

static void a_year_is_the_most(void **state)
{
    (void)state;
    token(0, "", "issue %s a --valid 365d --allow subscribe --identity owner.id", words);
    token(1, "a year at most", "issue %s a --valid 366d --allow subscribe --identity owner.id",
          words);
}

static void nothing_is_overwritten_and_bad_files_are_named(void **state)
{
    (void)state;
    token(0, "", "issue %s a --allow subscribe --identity owner.id -o a.token", words);
    token(1, "a.token", "issue %s a --allow subscribe --identity owner.id -o a.token", words);
    token(1, "nowhere", "show nowhere");
    write_file("b.token", "hello\n", 6, 0644);
    token(1, "b.token: line 1", "show b.token");
    token(1, "b.token", "issue %s a --allow subscribe --parent b.token --identity owner.id", words);
    chmod(in_dir("owner.id"), 0644);
    token(4, "chmod", "issue %s a --allow subscribe --identity owner.id", words);
}

/* The same chain under the name of another channel, and with a byte of it changed. */
static void an_altered_file_is_found(void **state)
{
    char *text, *at;

    (void)state;
    token(0, "", "issue %s a --allow subscribe --identity owner.id -o a.token", words);
    text = read_whole("a.token", NULL);
    at = strstr(text, "channel: a");
    at[9] = 'b';
    write_file("b.token", text, strlen(text), 0644);
    token(1, "altered", "show b.token");
    at[9] = 'a';
    at = strstr(text, "chain: ") + 20;
    *at = *at == 'A' ? 'B' : 'A';
    write_file("c.token", text, strlen(text), 0644);
    token(4, "not signed by its issuer", "show c.token");
    free(text);
}

static void what_is_revoked_is_exit_4(void **state)
{
    struct json_object *shown;

    (void)state;
    token(0, "", "issue %s a --allow subscribe --identity owner.id -o a.token", words);
    token(0, "", "issue %s a --allow subscribe --identity owner.id -o b.token", words);
    token(0, "", "revoke a.token --list revoked");
    token(4, "was revoked", "show a.token --revoked revoked");
    token(0, "", "show b.token --revoked revoked");
    shown = json_of("token show a.token --revoked revoked --json", 4);
    assert_string_equal(text_of(shown, "state"), "revoked");
    json_object_put(shown);
    token(0, "", "revoke b.token --all --list revoked");
    token(4, "was revoked", "show b.token --revoked revoked");
    token(0, "", "issue %s a --allow subscribe --generation 1 --identity owner.id -o c.token",
          words);
    token(0, "", "show c.token --revoked revoked");
    token(0, "", "revoke --issuer %s --below 2 --list revoked", owner);
    token(4, "was revoked", "show c.token --revoked revoked");
    token(4, "was revoked", "show a.token --revoked revoked"); /* still */
}

static void any_link_of_a_chain_can_be_revoked(void **state)
{
    (void)state;
    token(0, "", "issue %s a --allow subscribe --depth 1 --identity owner.id -o t.token", team);
    token(0, "", "issue %s --allow subscribe --parent t.token --identity team.id -o w.token",
          words);
    token(2, "--link is 1 to 2", "revoke w.token --link 3 --list revoked");
    token(0, "", "revoke w.token --link 1 --list revoked");
    token(4, "link 1 of 2", "show w.token --revoked revoked");
    token(4, "was revoked", "show t.token --revoked revoked");
}

static void a_list_that_is_none_is_not_touched(void **state)
{
    char *text;

    (void)state;
    token(0, "", "issue %s a --allow subscribe --identity owner.id -o a.token", words);
    write_file("list", "hello\n", 6, 0644);
    token(1, "list: line 1", "revoke a.token --list list");
    text = read_whole("list", NULL);
    assert_string_equal(text, "hello\n");
    free(text);
    token(1, "nowhere", "revoke a.token --list nowhere/list");
    token(1, "nowhere", "show a.token --revoked nowhere");
}

static void two_who_revoke_at_once_lose_nothing(void **state)
{
    enum { MANY = 12 };
    run runs[MANY];
    char line[64];

    (void)state;
    for (int i = 0; i < MANY; i++)
        token(0, "", "issue %s a --allow subscribe --identity owner.id -o %d.token", words, i);
    for (int i = 0; i < MANY; i++) {
        snprintf(line, sizeof line, "token revoke %d.token --list revoked", i);
        run_start(&runs[i], line);
        close(runs[i].in);
    }
    for (int i = 0; i < MANY; i++) {
        int status;

        assert_int_equal(waitpid(runs[i].pid, &status, 0), runs[i].pid);
        assert_int_equal(status, 0);
        close(runs[i].out);
        close(runs[i].err);
    }
    for (int i = 0; i < MANY; i++)
        token(4, "was revoked", "show %d.token --revoked revoked", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_says_what_it_gives_leave_to),
        TEST(a_token_goes_through_a_pipe),
        TEST(leave_is_passed_on_and_gets_less),
        TEST(what_cannot_be_passed_on_is_refused_with_the_reason),
        TEST(words_that_make_no_sense_are_exit_2),
        TEST(a_year_is_the_most),
        TEST(nothing_is_overwritten_and_bad_files_are_named),
        TEST(an_altered_file_is_found),
        TEST(what_is_revoked_is_exit_4),
        TEST(any_link_of_a_chain_can_be_revoked),
        TEST(a_list_that_is_none_is_not_touched),
        TEST(two_who_revoke_at_once_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
