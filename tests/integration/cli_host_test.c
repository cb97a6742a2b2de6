/* SPDX-License-Identifier: Apache-2.0 */
/* The program as host and as client at once: what an operator does in a day. */
#include "cli_run.h"

#include <json-c/json.h>
#include <sys/socket.h>
#include <sys/un.h>

#define TALLY "plugin load " BUILD_DIR "/plugins/tally.so"
#define ECHO  "plugin load " BUILD_DIR "/plugins/echo.so"
#define PROBE "plugin load " BUILD_DIR "/tests/plugins/probe.so"

static run host;

static int begin(void **state)
{
    (void)state;
    umask(022);
    make_dir();
    setenv("BERTH_SOCKET", in_dir("run/sock"), 1);
    setenv("XDG_CONFIG_HOME", dir, 1);
    unsetenv("NOTIFY_SOCKET");
    return 0;
}

/* The host, with these options, up to the moment it is ready. */
static void host_start(const char *options)
{
    char words[256];

    snprintf(words, sizeof words, "run --json --socket {}/run/sock %s", options);
    run_start(&host, words);
    run_expect(&host, false, "\"ready\":true");
}

static void host_end(int signal_number, int code)
{
    kill(host.pid, signal_number);
    run_finish(&host, NULL, 0);
    if (host.code != code)
        fail_msg("the host ended with %d, not %d: %s", host.code, code, host.errors);
    run_free(&host);
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

/* ---- A day ----------------------------------------------------------------------------------- */

static void words_are_counted_and_asked_for(void **state)
{
    (void)state;
    host_start("--ephemeral");
    expect(TALLY, NULL, 0, NULL, "");
    expect("daemon spawn tally --name words", NULL, 0, NULL, "");
    expect("send words --lines", "one fish\ntwo fish\n\nred fish", 0, NULL, "");
    expect("send words --reply", "?count fish", 0, "{\"word\":\"fish\",\"count\":3}\n", "");
    expect("send wor --reply -", "?total", 0, "{\"total\":6}\n", "");
    write_file("question", "?distinct\n", 10, 0600);
    expect("send words --reply question", NULL, 0, "{\"distinct\":4}\n", "");
    expect("status", NULL, 0, NULL, "");
    expect("daemon show words", NULL, 0, NULL, "");
    expect("plugin show tally", NULL, 0, NULL, "");
    expect("metrics", NULL, 0, NULL, "");
    expect("completion daemons", NULL, 0, "words\n", "");
    expect("completion kinds", NULL, 0, "tally\n", "");
    host_end(SIGTERM, 0);
    expect("status", NULL, 3, "", "no host answers");
}

static void json_is_what_the_host_answers(void **state)
{
    static const char *const commands[] = {
        "status",           "metrics",           "plugin ls",
        "plugin show echo", "channel ls",        "daemon ls",
        "daemon show e",    "send e --lines",    "daemon snapshot e",
        "daemon stop e",    "plugin unload echo"};

    (void)state;
    host_start("--ephemeral");
    expect(ECHO " --json", NULL, 0, NULL, "");
    expect("daemon spawn echo --name e --json", NULL, 0, NULL, "");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        struct json_object *object;
        char words[128];
        run r;

        snprintf(words, sizeof words, "%s --json", commands[i]);
        run_berth(&r, words, strncmp(words, "send", 4) == 0 ? "a\nb\n" : NULL);
        assert_int_equal(r.code, 0);
        object = json_tokener_parse(r.output);
        if (!json_object_is_type(object, json_type_object))
            fail_msg("berth %s printed: %s", words, r.output);
        json_object_put(object);
        run_free(&r);
    }
    host_end(SIGTERM, 0);
}

static void bytes_come_back_as_they_were_sent(void **state)
{
    size_t len = (1 << 20);
    char *data = (char *)malloc(len);
    run r;

    (void)state;
    host_start("--ephemeral");
    expect(ECHO, NULL, 0, NULL, "");
    expect("daemon spawn echo --name e", NULL, 0, NULL, "");
    for (size_t i = 0; i < len; i++)
        data[i] = (char)(i * 2654435761u >> 11);
    write_file("event", data, len, 0600);
    run_berth(&r, "send e event --reply", NULL);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.output_len, len + 1);
    assert_memory_equal(r.output, data, len);
    run_free(&r);
    free(data);
    expect("send e --reply", "", 0, "\n", "");
    expect("send e --reply --lines", "a\n\nb", 0, "a\n\nb\n", "");
    host_end(SIGTERM, 0);
}

static void an_event_over_the_limit_is_refused_with_its_line(void **state)
{
    size_t len = (1 << 20) + 3;
    char *data = (char *)malloc(len);

    (void)state;
    host_start("--ephemeral");
    expect(ECHO, NULL, 0, NULL, "");
    expect("daemon spawn echo --name e", NULL, 0, NULL, "");
    memset(data, 'x', len);
    data[1] = '\n';
    write_file("event", data, len, 0600);
    expect("send e event", NULL, 1, "", "berth: ");
    expect("send e --lines event", NULL, 1, "", "line 2");
    free(data);
    expect("send e --reply", "still here", 0, "still here\n", "");
    host_end(SIGTERM, 0);
}

static void a_tail_shows_what_a_daemon_emits(void **state)
{
    run tail;

    (void)state;
    host_start("--ephemeral");
    expect(ECHO, NULL, 0, NULL, "");
    expect("daemon spawn echo --name e", NULL, 0, NULL, "");
    expect("send e", "before", 0, "", "");
    run_start(&tail, "tail e --from start-of-ring");
    run_expect(&tail, false, "before\n");
    expect("send e", "after", 0, "", "");
    run_expect(&tail, false, "after\n");
    expect("daemon stop e", NULL, 0, NULL, "");
    run_finish(&tail, NULL, 0);
    assert_int_equal(tail.code, 0);
    assert_string_equal(tail.output, "before\nafter\n");
    run_free(&tail);
    host_end(SIGTERM, 0);
}

static void a_host_that_stops_ends_a_tail_well(void **state)
{
    run tail;

    (void)state;
    host_start("--ephemeral");
    expect(ECHO, NULL, 0, NULL, "");
    expect("daemon spawn echo --name e", NULL, 0, NULL, "");
    expect("send e", "x", 0, "", "");
    run_start(&tail, "tail e --from start-of-ring");
    run_expect(&tail, false, "x\n");
    host_end(SIGTERM, 0);
    run_finish(&tail, NULL, 0);
    assert_int_equal(tail.code, 0);
    run_free(&tail);
}

static void a_host_that_is_killed_breaks_a_tail(void **state)
{
    run tail;

    (void)state;
    host_start("--ephemeral");
    expect(ECHO, NULL, 0, NULL, "");
    expect("daemon spawn echo --name e", NULL, 0, NULL, "");
    expect("send e", "x", 0, "", "");
    run_start(&tail, "tail e --from start-of-ring");
    run_expect(&tail, false, "x\n");
    host_end(SIGKILL, 128 + SIGKILL);
    run_finish(&tail, NULL, 0);
    assert_int_equal(tail.code, 1);
    assert_non_null(strstr(tail.errors, "went away"));
    run_free(&tail);
}

static void channels_carry_what_is_published(void **state)
{
    run tail;

    (void)state;
    host_start("--ephemeral");
    run_start(&tail, "channel tail house/temperature");
    /* Only a reader that listens gets it; the list says when it does. */
    for (bool there = false; !there;) {
        run r;

        run_berth(&r, "channel ls", NULL);
        there = strstr(r.output, "house/temperature") != NULL;
        run_free(&r);
    }
    expect("channel pub house/temperature", "21.5", 0, NULL, "");
    run_expect(&tail, false, "21.5\n");
    kill(tail.pid, SIGINT);
    run_finish(&tail, NULL, 0);
    assert_int_equal(tail.code, 0);
    run_free(&tail);
    expect("channel pub Bad_Name", "x", 1, "", "berth: ");
    host_end(SIGTERM, 0);
}

/* What `berth realm sign` needs of a host, the node id that `berth status` prints among it. */
static void a_host_is_identified_while_it_runs_and_after(void **state)
{
    char node[17], *at;
    run status, running, stopped;

    (void)state;
    host_start("--state {}/state");
    run_berth(&status, "status --json", NULL);
    at = strstr(status.output, "\"node\":\"");
    assert_non_null(at);
    snprintf(node, sizeof node, "%s", at + 8);
    run_berth(&running, "identity show --state {}/state --json", NULL);
    assert_int_equal(running.code, 0);
    host_end(SIGTERM, 0);
    run_berth(&stopped, "identity show --state {}/state --json", NULL);
    assert_int_equal(stopped.code, 0);
    assert_string_equal(running.output, stopped.output);
    assert_non_null(strstr(stopped.output, node));
    expect("realm init harbour.realm", NULL, 0, NULL, "");
    expect("realm sign - --realm-key harbour.realm --name crane -o crane.cert", stopped.output, 0,
           NULL, "");
    run_free(&running);
    run_berth(&running, "realm show crane.cert", NULL);
    assert_non_null(strstr(running.output, node));
    run_free(&status);
    run_free(&running);
    run_free(&stopped);
    host_start("--state {}/state"); /* as if nobody had looked */
    host_end(SIGTERM, 0);
    expect("identity show --state {}/none", NULL, 1, "", "no host has run there");
    expect("identity show", NULL, 2, "", "--state");
    expect("identity show x --state {}/state", NULL, 2, "", "--state");
}

static void a_snapshot_brings_a_daemon_back(void **state)
{
    (void)state;
    host_start("--ephemeral");
    expect(TALLY, NULL, 0, NULL, "");
    expect("identity new -o w.id", NULL, 0, NULL, "");
    expect("identity new -o other.id", NULL, 0, NULL, "");
    expect("daemon spawn tally --name words --identity w.id", NULL, 0, NULL, "");
    expect("daemon spawn tally --name more --identity w.id", NULL, 1, "", "berth: ");
    expect("send words --lines", "a b\nb\n", 0, NULL, "");
    expect("daemon snapshot words", NULL, 0, NULL, "");
    expect("daemon restore words.snapshot --identity w.id", NULL, 1, "", "berth: ");
    expect("daemon stop words --grace 1000", NULL, 0, NULL, "");
    expect("daemon restore words.snapshot --identity other.id", NULL, 1, "", "berth: ");
    expect("daemon restore words.snapshot", NULL, 2, "", "--identity FILE is needed");
    expect("daemon restore words.snapshot --name words --identity w.id", NULL, 0, NULL, "");
    expect("send words --reply", "?count b", 0, "{\"word\":\"b\",\"count\":2}\n", "");
    write_file("damaged", "BSN1 but not really", 19, 0600);
    expect("daemon restore damaged --identity other.id", NULL, 1, "", "berth: ");
    host_end(SIGTERM, 0);
}

static void what_goes_wrong_has_a_line_and_the_right_code(void **state)
{
    (void)state;
    host_start("--ephemeral");
    expect("daemon spawn tally", NULL, 1, "", "tally");
    expect("daemon show nobody", NULL, 1, "", "nobody");
    expect("send nobody", "x", 1, "", "nobody");
    expect("tail nobody", NULL, 1, "", "nobody");
    expect("plugin unload tally", NULL, 1, "", "tally");
    write_file("text.so", "hello\n", 6, 0600);
    expect("plugin load text.so", NULL, 4, "", "text.so");
    expect(TALLY, NULL, 0, NULL, "");
    expect("daemon spawn tally --name one-a", NULL, 0, NULL, "");
    expect("daemon spawn tally --name one-b", NULL, 0, NULL, "");
    expect("daemon spawn tally --name one-b", NULL, 1, "", "one-b");
    expect("daemon show one", NULL, 1, "", "one-");
    expect("plugin unload tally", NULL, 1, "", "tally");
    expect("daemon control one-a drain", NULL, 1, "", "berth: ");
    expect("status", NULL, 0, NULL, "");
    host_end(SIGTERM, 0);
}

static void a_host_with_keys_refuses_what_they_did_not_sign(void **state)
{
    static const char conf[] = "plugins { keys = { keys/berth.pub } }\n";
    run r;

    (void)state;
    expect("plugin keygen -o keys", "\n", 0, NULL, "");
    write_file("c.conf", conf, sizeof conf - 1, 0600);
    copy_plugin(BUILD_DIR "/plugins/echo.so", "echo.so");
    host_start("--ephemeral --config c.conf");
    expect("plugin load echo.so", NULL, 4, "", "echo");
    expect("plugin sign echo.so --key keys/berth.key", NULL, 0, NULL, "");
    expect("plugin load echo.so", NULL, 0, NULL, "");
    /* The list has the key file's base name, the page all of it. */
    run_berth(&r, "plugin ls", NULL);
    assert_non_null(strstr(r.output, "berth.pub"));
    assert_null(strstr(r.output, "keys/"));
    run_free(&r);
    run_berth(&r, "plugin show echo", NULL);
    assert_non_null(strstr(r.output, in_dir("keys/berth.pub")));
    run_free(&r);
    host_end(SIGTERM, 0);
}

/* ---- Its life -------------------------------------------------------------------------------- */

static void what_ran_comes_back_with_the_next_host(void **state)
{
    (void)state;
    host_start("--state state");
    expect(TALLY, NULL, 0, NULL, "");
    expect("daemon spawn tally --name words", NULL, 0, NULL, "");
    expect("send words --lines", "a b\nb\n", 0, NULL, "");
    host_end(SIGTERM, 0);
    host_start("--state state");
    expect("send words --reply", "?count b", 0, "{\"word\":\"b\",\"count\":2}\n", "");
    host_end(SIGINT, 0);
}

static void a_daemon_that_is_down_is_said_to_be_down_and_why(void **state)
{
    static const char conf[] = "plugins { keys = { keys/berth.pub } }\n";
    static const char *const need_it_running[] = {"send words", "tail words", "send wor",
                                                  "daemon snapshot words -o -",
                                                  "daemon control words drain"};

    (void)state;
    host_start("--state state");
    expect(TALLY, NULL, 0, NULL, "");
    expect("daemon spawn tally --name words", NULL, 0, NULL, "");
    host_end(SIGTERM, 0);
    expect("plugin keygen -o keys", "\n", 0, NULL, "");
    write_file("c.conf", conf, sizeof conf - 1, 0600);
    host_start("--state state --config c.conf");
    for (size_t i = 0; i < sizeof need_it_running / sizeof *need_it_running; i++) {
        expect(need_it_running[i], "x", 1, "", "berth: daemon 'words' is down: ");
        expect(need_it_running[i], "x", 1, "", "is not signed");
        expect(need_it_running[i], "x", 1, "", "`berth plugin load` brings it back");
    }
    /* One that runs and only begins so is not meant. */
    copy_plugin(BUILD_DIR "/plugins/echo.so", "echo.so");
    expect("plugin sign echo.so --key keys/berth.key", NULL, 0, NULL, "");
    expect("plugin load echo.so", NULL, 0, NULL, "");
    expect("daemon spawn echo --name words-2", NULL, 0, NULL, "");
    expect("send words", "x", 1, "", "'words' is down");
    expect("send words- --reply", "x", 0, "x\n", "");
    expect("daemon show words", NULL, 0, NULL, "");
    expect("daemon stop words", NULL, 0, NULL, "");
    expect("daemon show words", NULL, 0, NULL, "");
    expect("daemon stop words", NULL, 0, NULL, "");
    expect("daemon show words", NULL, 1, "", "there is no daemon 'words'");
    host_end(SIGTERM, 0);
}

static void a_second_host_on_the_same_state_is_refused(void **state)
{
    (void)state;
    host_start("--state state");
    expect("run --state state --socket other", NULL, 1, "", "state");
    expect("run --ephemeral --socket run/sock", NULL, 1, "", "run/sock");
    expect("status", NULL, 0, NULL, "");
    host_end(SIGTERM, 0);
}

static void a_host_that_cannot_start_says_why_and_leaves_nothing(void **state)
{
    (void)state;
    write_file("bad.conf", "host {\n  nmae = x\n}\n", 20, 0600);
    expect("run --ephemeral --config bad.conf --socket s", NULL, 1, "", "bad.conf:2");
    expect("run --ephemeral --config nowhere.conf --socket s", NULL, 1, "", "nowhere.conf");
    expect("run --ephemeral --plugin nowhere.so --socket s", NULL, 1, "", "nowhere.so");
    chmod(in_dir("bad.conf"), 0666);
    expect("run --ephemeral --config bad.conf --socket s", NULL, 4, "", "chmod");
    assert_int_equal(access(in_dir("s"), F_OK), -1);
}

static void a_second_signal_stops_at_once(void **state)
{
    run send;

    (void)state;
    host_start("--ephemeral");
    expect(PROBE, NULL, 0, NULL, "");
    expect("daemon spawn probe --name p", NULL, 0, NULL, "");
    /* A call that outlasts the patience of any service manager. */
    run_start(&send, "send p");
    assert_int_equal(write(send.in, "sleep 600000", 12), 12);
    close(send.in);
    send.in = -1;
    for (bool busy = false; !busy;) {
        run r;

        run_berth(&r, "daemon show p", NULL);
        busy = strstr(r.output, "in one call for") != NULL;
        run_free(&r);
    }
    kill(host.pid, SIGTERM);
    run_expect(&host, true, "once more stops at once");
    kill(host.pid, SIGTERM); /* so soon it is the same wish, sent to its group as well */
    for (siginfo_t ended = {0}; ended.si_pid != host.pid;) {
        kill(host.pid, SIGTERM);
        assert_int_equal(waitid(P_PID, (id_t)host.pid, &ended, WEXITED | WNOHANG | WNOWAIT), 0);
        usleep(10000);
    }
    host_end(SIGTERM, 1);
    run_finish(&send, NULL, 0);
    assert_int_equal(send.code, 1);
    run_free(&send);
}

static void no_core_file_and_no_debugger_sees_a_host_unless_asked_for(void **state)
{
    run tail;

    (void)state;
    for (int debugging = 0; debugging <= 1; debugging++) {
        setenv("BERTH_DUMPABLE", debugging ? "1" : "0", 1);
        host_start("--ephemeral");
        expect(PROBE, NULL, 0, NULL, "");
        expect("daemon spawn probe --name p", NULL, 0, NULL, "");
        run_start(&tail, "tail p --from start-of-ring");
        expect("send p", "dumpable", 0, "", "");
        run_expect(&tail, false, debugging ? "dumpable=1\n" : "dumpable=0\n");
        host_end(SIGTERM, 0);
        run_finish(&tail, NULL, 0);
        run_free(&tail);
    }
    unsetenv("BERTH_DUMPABLE");
}

/* The next message of the service manager's socket. */
static char *next_message(int fd)
{
    static char text[256];
    ssize_t n = recv(fd, text, sizeof text - 1, 0);

    assert_true(n > 0);
    text[n] = 0;
    return text;
}

static void notifies(const char *name, socklen_t len)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(at.sun_path, name, len);
    if (name[0] == '@')
        at.sun_path[0] = 0;
    assert_int_equal(
        bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
        0);
    setenv("NOTIFY_SOCKET", name, 1);
    host_start("--ephemeral");
    assert_string_equal(next_message(fd), "READY=1");
    kill(host.pid, SIGHUP);
    assert_memory_equal(next_message(fd), "RELOADING=1\nMONOTONIC_USEC=", 27);
    assert_string_equal(next_message(fd), "READY=1");
    kill(host.pid, SIGTERM);
    assert_string_equal(next_message(fd), "STOPPING=1");
    host_end(SIGCONT, 0);
    close(fd);
}

static void a_service_manager_is_told(void **state)
{
    char name[64];

    (void)state;
    snprintf(name, sizeof name, "%s", in_dir("notify"));
    notifies(name, (socklen_t)strlen(name));
    snprintf(name, sizeof name, "@berth-cli-test-%d", (int)getpid());
    notifies(name, (socklen_t)strlen(name));
}

static void a_reload_takes_new_keys_and_keeps_the_old_after_a_mistake(void **state)
{
    static const char keys[] = "plugins { keys = { keys/berth.pub } }\n";

    (void)state;
    write_file("c.conf", "", 0, 0600);
    expect("plugin keygen -o keys", "\n", 0, NULL, "");
    host_start("--ephemeral --config c.conf");
    expect(ECHO, NULL, 0, NULL, "");
    write_file("c.conf", keys, sizeof keys - 1, 0600);
    kill(host.pid, SIGHUP);
    run_expect(&host, true, "reloaded");
    expect(TALLY, NULL, 4, "", "tally");
    write_file("c.conf", "plugins { kyes = { x } }\n", 25, 0600);
    kill(host.pid, SIGHUP);
    run_expect(&host, true, "c.conf:1");
    expect(TALLY, NULL, 4, "", "tally");
    host_end(SIGTERM, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(words_are_counted_and_asked_for),
        TEST(json_is_what_the_host_answers),
        TEST(bytes_come_back_as_they_were_sent),
        TEST(an_event_over_the_limit_is_refused_with_its_line),
        TEST(a_tail_shows_what_a_daemon_emits),
        TEST(a_host_that_stops_ends_a_tail_well),
        TEST(a_host_that_is_killed_breaks_a_tail),
        TEST(channels_carry_what_is_published),
        TEST(a_host_is_identified_while_it_runs_and_after),
        TEST(a_snapshot_brings_a_daemon_back),
        TEST(what_goes_wrong_has_a_line_and_the_right_code),
        TEST(a_host_with_keys_refuses_what_they_did_not_sign),
        TEST(what_ran_comes_back_with_the_next_host),
        TEST(a_daemon_that_is_down_is_said_to_be_down_and_why),
        TEST(a_second_host_on_the_same_state_is_refused),
        TEST(a_host_that_cannot_start_says_why_and_leaves_nothing),
        TEST(a_second_signal_stops_at_once),
        TEST(no_core_file_and_no_debugger_sees_a_host_unless_asked_for),
        TEST(a_service_manager_is_told),
        TEST(a_reload_takes_new_keys_and_keeps_the_old_after_a_mistake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
