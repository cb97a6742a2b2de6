/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator meets on a bad day: the words of refusals, and odd ways to be started. */
#include "cli_refused.h"

#define LOAD(name) "plugin load " BUILD_DIR "/plugins/" name ".so"

static void a_plugin_in_use_names_the_daemons_that_need_it(void **state)
{
    (void)state;
    host_start("--ephemeral");
    expect(LOAD("counter"), NULL, 0, NULL, "");
    expect("daemon spawn counter --name a", NULL, 0, NULL, "");
    refused("plugin unload counter", NULL, 1, "in use by 1 daemon (a): stop it first");
    for (char name[] = "daemon spawn counter --name b"; name[sizeof name - 2] < 'e';
         name[sizeof name - 2]++)
        expect(name, NULL, 0, NULL, "");
    refused("plugin unload counter", NULL, 1, "in use by 4 daemons (");
    refused("plugin unload counter", NULL, 1, ", ...): stop them first");
    host_end();
}

static void plugins_are_listed_with_their_daemons(void **state)
{
    run r;

    (void)state;
    host_start("--ephemeral");
    expect(LOAD("counter"), NULL, 0, NULL, "");
    expect(LOAD("echo"), NULL, 0, NULL, "");
    expect("daemon spawn echo --name a", NULL, 0, NULL, "");
    expect("daemon spawn echo --name b", NULL, 0, NULL, "");
    run_berth(&r, "plugin ls --json", NULL);
    assert_non_null(strstr(r.output, "\"daemons\":0"));
    assert_non_null(strstr(r.output, "\"daemons\":2"));
    run_free(&r);
    host_end();
}

static void an_event_that_is_too_large_is_told_the_limit(void **state)
{
    char *large = (char *)malloc((1 << 20) + 2);
    run r;

    (void)state;
    memset(large, 'x', (1 << 20) + 1);
    write_file("large", large, (1 << 20) + 1, 0600);
    write_file("largest", large, 1 << 20, 0600);
    host_start("--ephemeral");
    expect(LOAD("echo"), NULL, 0, NULL, "");
    expect("daemon spawn echo --name e", NULL, 0, NULL, "");
    expect("send e largest", NULL, 0, "", "");
    refused("send e large", NULL, 1,
            "the event: 1048577 bytes, and the most is 1048576: limits { max_event }");
    run_start(&r, "send e"); /* of a length that is not known before */
    run_finish(&r, large, (1 << 20) + 1);
    assert_int_equal(r.code, 1);
    assert_non_null(strstr(r.errors, "max_event"));
    run_free(&r);
    free(large);
    host_end();
}

/* Nothing that the program opens may take the place of a closed standard descriptor. */
static void closed_standard_descriptors_harm_nothing(void **state)
{
    char command[512];

    (void)state;
    host_start("--ephemeral");
    expect(LOAD("echo"), NULL, 0, NULL, "");
    expect("daemon spawn echo --name e", NULL, 0, NULL, "");
    snprintf(command, sizeof command,
             BUILD_DIR "/berth send e --reply <&- >%s 2>%s; test $? = 1 && grep -q 'Bad file' %s",
             in_dir("out"), in_dir("err"), in_dir("err"));
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command,
             BUILD_DIR "/berth status >&- 2>%s; test $? = 1 && grep -q 'standard output' %s",
             in_dir("err"), in_dir("err"));
    assert_int_equal(system(command), 0);
    assert_int_equal(system(BUILD_DIR "/berth status <&- >/dev/null 2>&-"), 0);
    host_end();
}

static void a_host_without_standard_descriptors_keeps_its_state_in_order(void **state)
{
    char command[512];

    (void)state;
    snprintf(command, sizeof command, "exec " BUILD_DIR "/berth run --state %s <&- >&- 2>&-",
             in_dir("state"));
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        int status;
        run r = {0};

        if (pid == 0) {
            execl("/bin/sh", "sh", "-c", command, (char *)NULL);
            _exit(127);
        }
        for (;;) { /* it has no way to say when it is ready */
            run_berth(&r, "status", NULL);
            if (r.code == 0)
                break;
            if (r.code != 3 || waitpid(pid, &status, WNOHANG) != 0)
                fail_msg("it ended, or: %s", r.errors);
            run_free(&r);
        }
        run_free(&r);
        if (i == 0) {
            expect(LOAD("counter"), NULL, 0, NULL, "");
            expect("daemon spawn counter --name c", NULL, 0, NULL, "");
        }
        expect("send c --reply", "x", 0, i ? "2\n" : "1\n", "");
        kill(pid, SIGTERM);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

static void a_file_that_is_no_identity_is_not_to_be_chmodded(void **state)
{
    (void)state;
    write_file("other", "root:x:0:0\n", 11, 0644);
    refused("identity show other", NULL, 1, "other: is not an identity file");
}

static void words_of_other_programs_are_understood(void **state)
{
    (void)state;
    refused("version", NULL, 2, "did you mean 'berth --version'?");
    refused("ls", NULL, 2, "did you mean 'berth daemon ls'?");
    refused("plugin verify x --key nonsense", NULL, 1, "'nonsense' is neither a minisign public");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_plugin_in_use_names_the_daemons_that_need_it),
        TEST(plugins_are_listed_with_their_daemons),
        TEST(an_event_that_is_too_large_is_told_the_limit),
        TEST(closed_standard_descriptors_harm_nothing),
        TEST(a_host_without_standard_descriptors_keeps_its_state_in_order),
        TEST(a_file_that_is_no_identity_is_not_to_be_chmodded),
        TEST(words_of_other_programs_are_understood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
