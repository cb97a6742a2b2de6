/* SPDX-License-Identifier: Apache-2.0 */
/* Names that daemons serve, and daemons of the other host by their names there. */
#include "cli_two.h"

#define TEST(name)  cmocka_unit_test_setup_teardown(name, begin, end)
#define NOT_SERVED  "`berth service ls` lists those that are known"
#define SPAWN_WORDS "daemon spawn probe --name words --serve words"

/* A daemon `words` on b serves words, and a has heard of it. */
static void connect_and_serve(void)
{
    connect_hosts();
    expect(at(1, SPAWN_WORDS), NULL, 0, NULL, "");
    until(0, "service ls", "words");
}

static void stop_both(void)
{
    stop(0);
    stop(1);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static void who_serves_a_name_on_the_other_host_answers_a_call(void **state)
{
    (void)state;
    connect_and_serve();
    expect(at(0, "call words"), "emit hello", 0, "hello", "");
    expect(at(0, "call words -"), "memo kept\nemit first\nemit last", 0, "last", "");
    expect(at(0, "call words --node b --deadline 1m"), "memo?", 0, "kept", "");
    expect(at(0, "call words"), "memo none", 0, "", ""); /* done, and nothing to say */
    write_file("question", "emit of a file", 14, 0600);
    expect(at(0, "call words {}/question"), NULL, 0, "of a file", "");
    expect(at(1, "call words"), "emit at home", 0, "at home", "");
    expect(at(1, "call words --node b"), "emit at home", 0, "at home", "");
    stop_both();
}

static void an_answer_says_who_gave_it(void **state)
{
    char *node, *origin, part[256];
    run r;

    (void)state;
    connect_and_serve();
    node = member(1, "mesh show --json", "node", NULL);
    origin = member(1, "daemon show words --json", "origin", NULL);
    snprintf(part, sizeof part, "{\"node\":\"%s\",\"origin\":\"%s\",\"sequence\":", node, origin);
    run_berth(&r, at(0, "call words --json"), "emit hello");
    assert_int_equal(r.code, 0);
    assert_int_equal(strncmp(r.output, part, strlen(part)), 0);
    assert_non_null(strstr(r.output, "\"data\":{\"text\":\"hello\"}}"));
    run_free(&r);
    snprintf(part, sizeof part, "{\"node\":\"%s\"}\n", node);
    expect(at(0, "call words --json"), "add 1", 0, part, "");
    snprintf(part, sizeof part,
             "{\"services\":[{\"service\":\"words\",\"node\":\"%s\",\"node_name\":\"b\"}]}\n",
             node);
    expect(at(0, "service ls --json"), NULL, 0, part, "");
    snprintf(part, sizeof part,
             "{\"services\":[{\"service\":\"words\",\"node\":\"%s\",\"node_name\":\"b\","
             "\"daemon\":\"%s\"}]}\n",
             node, origin);
    expect(at(1, "service ls --json"), NULL, 0, part, "");
    expect(at(0, "completion services"), NULL, 0, "words\n", "");
    free(node);
    free(origin);
    stop_both();
}

static void what_nobody_serves_is_not_found(void **state)
{
    (void)state;
    connect_and_serve();
    expect(at(0, "call nobody"), "emit x", 1, "", NOT_SERVED);
    expect(at(0, "call words --node a"), "emit x", 1, "", "this node does not serve the name");
    expect(at(0, "call words --node nobody"), "emit x", 1, "", "there is no peer 'nobody'");
    expect(at(0, "call Words"), "emit x", 1, "", "service 'Words': ");
    expect(at(1, "daemon stop words"), NULL, 0, NULL, "");
    expect(at(0, "call words"), "emit x", 1, "", NOT_SERVED); /* whether a knows it yet or not */
    stop_both();
}

static void an_event_that_the_daemon_refuses_is_an_error_with_its_words(void **state)
{
    (void)state;
    connect_and_serve();
    expect(at(0, "call words"), "fail 1 not like this", 1, "", "not like this");
    expect(at(1, "call words"), "fail 1 not like this", 1, "", "not like this");
    stop_both();
}

static void a_call_ends_at_its_deadline(void **state)
{
    (void)state;
    connect_and_serve();
    kill(hosts[1].pid, SIGSTOP);
    expect(at(0, "call words --deadline 50ms"), "emit x", 1, "", "no answer within 50 ms");
    kill(hosts[1].pid, SIGCONT);
    expect(at(0, "call words"), "emit then", 0, "then", "");
    for (const char *const *t = (const char *const[]){"0s", "5", "s", "61m", "-1s", "1.5s", NULL};
         *t; t++) {
        char words[64];

        snprintf(words, sizeof words, "call words --deadline %s", *t);
        expect(at(0, words), "emit x", 2, "", "--deadline: must be a time");
    }
    stop_both();
}

static void a_name_has_one_daemon_on_a_host_and_hosts_take_turns(void **state)
{
    bool a = false, b = false;

    (void)state;
    connect_and_serve();
    expect(at(1, "daemon spawn probe --name more --serve words"), NULL, 1, "",
           "is served by daemon 'words' already");
    expect(at(0, SPAWN_WORDS), NULL, 0, NULL, "");
    expect(at(0, "call words --node a"), "memo a", 0, "", "");
    expect(at(0, "call words --node b"), "memo b", 0, "", "");
    while (!a || !b) {
        run r;

        run_berth(&r, at(0, "call words"), "memo?");
        assert_int_equal(r.code, 0);
        a |= strcmp(r.output, "a") == 0;
        b |= strcmp(r.output, "b") == 0;
        run_free(&r);
    }
    stop_both();
}

/* ---- Daemons by name ------------------------------------------------------------------------- */

static void a_daemon_of_the_other_host_is_sent_to_by_its_name_there(void **state)
{
    char *origin, words[64];

    (void)state;
    connect_and_serve();
    expect(at(0, "send words@b"), "memo by name", 0, "", "");
    expect(at(1, "send words --reply"), "memo?", 0, "by name\n", "");
    expect(at(0, "send words@b --lines --reply"), "emit 1\nemit 2\n", 0, "1\n2\n", "");
    origin = member(1, "daemon show words --json", "origin", NULL);
    snprintf(words, sizeof words, "send %s --reply", origin);
    expect(at(0, words), "memo?", 0, "by name\n", "");
    free(origin);
    expect(at(0, "send word@b"), "memo x", 1, "", "no daemon that runs there has the name 'word'");
    expect(at(0, "send words@zoe"), "memo x", 1, "", "there is no peer 'zoe'");
    expect(at(0, "send words@"), "memo x", 2, "", "'words@' is not NAME@PEER");
    expect(at(0, "send @b"), "memo x", 2, "", "'@b' is not NAME@PEER");
    stop_both();
}

static void a_host_that_is_alone_has_nobody_to_ask(void **state)
{
    (void)state;
    configure(0, "");
    start(0);
    expect(at(0, SPAWN_WORDS), NULL, 0, NULL, "");
    expect(at(0, "call words"), "emit x", 1, "", "this host is alone");
    expect(at(0, "service ls"), NULL, 1, "", "this host is alone");
    expect(at(0, "send words@b"), "emit x", 1, "", "this host is alone");
    stop(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_serves_a_name_on_the_other_host_answers_a_call),
        TEST(an_answer_says_who_gave_it),
        TEST(what_nobody_serves_is_not_found),
        TEST(an_event_that_the_daemon_refuses_is_an_error_with_its_words),
        TEST(a_call_ends_at_its_deadline),
        TEST(a_name_has_one_daemon_on_a_host_and_hosts_take_turns),
        TEST(a_daemon_of_the_other_host_is_sent_to_by_its_name_there),
        TEST(a_host_that_is_alone_has_nobody_to_ask),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
