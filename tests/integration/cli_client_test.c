/* SPDX-License-Identifier: Apache-2.0 */
/* The program against a host that answers what the test wants: exit codes, bytes, streams. */
#include "cli_fake.h"

#include <dirent.h>
#include <fcntl.h>

static void nobody_at_the_socket_is_exit_3(void **state)
{
    (void)state;
    expect("--socket {}/nobody status", NULL, 3, "", "berth: no host answers at");
    write_file("file", "", 0, 0600);
    expect("--socket {}/file daemon ls", NULL, 3, "", "'berth run'");
    if (geteuid() == 0) /* whose own socket is the system's: a host may be there */
        return;
    unsetenv("BERTH_SOCKET");
    setenv("XDG_RUNTIME_DIR", dir, 1);
    expect("status", NULL, 3, "", in_dir("berth/berth.sock"));
    unsetenv("XDG_RUNTIME_DIR");
}

static void somebody_elses_socket_is_exit_4(void **state)
{
    (void)state;
    if (geteuid() == 0)
        skip();
    chmod(in_dir("sock"), 0);
    expect("status", NULL, 4, "", "permission denied");
}

static void a_socket_path_that_no_socket_can_have_is_refused(void **state)
{
    char words[300] = "status --socket /";

    (void)state;
    memset(words + strlen(words), 'x', 200);
    expect(words, NULL, 1, "", "longer than 107 bytes");
}

static void the_hosts_line_is_what_is_said(void **state)
{
    (void)state;
    will(FAKE_ERROR("404", "NOT_FOUND", "there is no daemon 'x'"));
    expect("daemon show x", NULL, 1, "", "berth: there is no daemon 'x'\n");
    will(FAKE_ERROR("409", "BUSY", "2 daemons need it"));
    expect("plugin unload x", NULL, 1, "", "berth: 2 daemons need it\n");
    will(FAKE_ERROR("500", "WHAT_IS_THIS", "odd"));
    expect("plugin ls", NULL, 1, "", "berth: odd\n");
}

static void what_policy_refuses_is_exit_4(void **state)
{
    (void)state;
    write_file("p.so", "x", 1, 0600);
    will(FAKE_ERROR("403", "SIGNATURE", "s"));
    expect("plugin load p.so", NULL, 4, "", "berth: s\n");
    will(FAKE_ERROR("403", "ADMISSION", "a"));
    expect("plugin load p.so", NULL, 4, "", "berth: a\n");
    will(FAKE_ERROR("403", "REFUSED", "r"));
    expect("plugin load p.so", NULL, 4, "", "berth: r\n");
    will(FAKE_ERROR("403", "PERMISSION", "p"));
    expect("status", NULL, 4, "", "berth: p\n");
}

static void a_wrong_command_line_is_exit_2(void **state)
{
    (void)state;
    expect("", NULL, 2, "", "berth COMMAND");
    expect("daemon", NULL, 2, "", "berth daemon VERB");
    expect("daemon spwan", NULL, 2, "", "'berth daemon spawn'");
    expect("daemon spawn", NULL, 2, "", "needs KIND");
    expect("completion tcsh", NULL, 2, "", "bash, zsh, fish");
    expect("help nonsense", NULL, 2, "", "there is no command 'nonsense'");
    expect("run --ephemeral --state x", NULL, 2, "", "--ephemeral");
    expect("run --threads 5000", NULL, 2, "", "from 1 to 1024");
    expect("run --threads 0", NULL, 2, "", "from 1 to 1024");
    expect("daemon restore snap", NULL, 2, "", "--identity FILE is needed");
}

static void help_is_exit_0_and_on_standard_output(void **state)
{
    run r;

    (void)state;
    run_berth(&r, "help daemon spawn", NULL);
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(r.output, "berth daemon spawn KIND [--name NAME]"));
    assert_non_null(strstr(r.output, "Examples\n"));
    assert_string_equal(r.errors, "");
    run_free(&r);
    run_berth(&r, "daemon spawn -h", NULL);
    assert_int_equal(r.code, 0);
    run_free(&r);
    expect("--version", NULL, 0, NULL, "");
    expect("help", NULL, 0, NULL, "");
    expect("help daemon", NULL, 0, NULL, "");
}

static void an_answer_of_something_else_is_said_to_be_one(void **state)
{
    (void)state;
    will("HTTP/1.1 500 X\r\nContent-Length: 4\r\n\r\noops");
    expect("status", NULL, 1, "", "is it one that listens at this socket?");
    will("HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n");
    expect("status", NULL, 1, "", "HTTP status 302");
    will(FAKE_JSON("<html>"));
    expect("status", NULL, 1, "", "the host's answer: ");
    will("SSH-2.0-OpenSSH_9.2\r\n");
    expect("status", NULL, 1, "", "berth: ");
    will("");
    expect("status", NULL, 1, "", "went away");
    will("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}");
    expect("status", NULL, 1, "", "went away");
}

static void a_list_is_sorted_and_plain_in_a_pipe(void **state)
{
    (void)state;
    will(FAKE_JSON("{\"daemons\":["
                   "{\"name\":\"words\",\"kind\":\"tally\",\"origin\":\"00000000000000ff\","
                   "\"state\":\"running\",\"events_processed\":1234567,\"events_emitted\":2,"
                   "\"mailbox_events\":0},"
                   "{\"name\":\"a\\u001b[31m\",\"kind\":\"gone\",\"origin\":\"0000000000000001\","
                   "\"state\":\"down\",\"reason\":\"no plugin provides gone\"}]}"));
    expect("daemon ls", NULL, 0,
           "NAME       KIND   ORIGIN            STATE       EVENTS  OUTPUTS  WAITING  STARTED  "
           "NOTE\n"
           "a\\x1b[31m  gone   0000000000000001  down             -        -        -  -        "
           "no plugin provides gone\n"
           "words      tally  00000000000000ff  running  1,234,567        2        0           \n",
           "");
    will(FAKE_JSON("{\"daemons\":[]}"));
    expect("daemon ls --json", NULL, 0, "{\"daemons\":[]}\n", "");
}

static void names_are_encoded_in_paths(void **state)
{
    (void)state;
    will(FAKE_JSON("{}"));
    expect("daemon show ../a?b%c/ü", NULL, 0, NULL, "");
    assert_non_null(strstr(fake.head, "GET /v1/daemons/..%2Fa%3Fb%25c%2F%C3%BC HTTP/1.1\r\n"));
    expect("daemon show ..", NULL, 0, NULL, "");
    assert_non_null(strstr(fake.head, "GET /v1/daemons/.. HTTP/1.1\r\n"));
}

/* ---- Sending --------------------------------------------------------------------------------- */

#define SENT FAKE_JSON("{\"applied\":1,\"failed\":0,\"duplicates\":0}")

static void an_event_is_sent_byte_for_byte(void **state)
{
    size_t len = 5 << 20;
    char *data = (char *)malloc(len);

    (void)state;
    for (size_t i = 0; i < len; i++)
        data[i] = (char)(i * 2654435761u >> 13);
    write_file("event", data, len, 0600);
    will(SENT);
    expect("send words event", NULL, 0, "", "");
    assert_non_null(strstr(fake.head, "POST /v1/daemons/words/events HTTP/1.1"));
    assert_non_null(strstr(fake.head, "Content-Length: 5242880"));
    assert_int_equal(fake.body_len, len);
    assert_memory_equal(fake.body, data, len);
    free(data);
    expect("send words", "from a pipe\n", 0, "", "");
    assert_non_null(strstr(fake.head, "Transfer-Encoding: chunked"));
    assert_string_equal(fake.body, "from a pipe\n");
    expect("send words -", NULL, 0, "", "");
    assert_int_equal(fake.body_len, 0);
    write_file("event", "", 0, 0600);
    expect("send words event", NULL, 0, "", "");
    assert_int_equal(fake.body_len, 0);
}

static void a_pipe_is_passed_on_as_it_comes(void **state)
{
    run r;

    (void)state;
    will(SENT);
    run_start(&r, "send words --lines");
    for (int i = 0; i < 3; i++)
        assert_int_equal(write(r.in, "line\n", 5), 5);
    run_finish(&r, "end", 3);
    assert_int_equal(r.code, 0);
    assert_string_equal(fake.body, "line\nline\nline\nend");
    assert_non_null(strstr(fake.head, "/events?framing=lines HTTP"));
    assert_non_null(strstr(r.output, "applied 1 event in"));
    assert_string_equal(r.errors, ""); /* no progress where nobody looks */
    run_free(&r);
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    expect("send words nowhere", NULL, 1, "", "berth: nowhere: No such file");
    expect("send words {}", NULL, 1, "", "is a directory");
    expect("plugin load nowhere.so", NULL, 1, "", "berth: nowhere.so: No such file");
}

static void an_answer_before_the_upload_ends_is_heard(void **state)
{
    size_t len = 32 << 20;
    char *data = (char *)calloc(1, len);
    run r;

    (void)state;
    write_file("big", data, len, 0600);
    free(data);
    will(FAKE_ERROR("404", "NOT_FOUND", "no such daemon"));
    fake.answer.early = true;
    expect("send x --lines big", NULL, 1, "", "no such daemon");
    /* Nothing more comes through this pipe, and nobody closes it. */
    fake.answer = (answer){.text = fake.answer.text, .midway = true};
    run_start(&r, "send x --lines");
    assert_int_equal(write(r.in, "line\n", 5), 5);
    run_expect(&r, true, "no such daemon");
    run_finish(&r, "x", 1);
    assert_int_equal(r.code, 1);
    run_free(&r);
}

static void events_that_failed_are_exit_1_with_the_first_of_them(void **state)
{
    (void)state;
    will(FAKE_JSON("{\"applied\":3,\"failed\":2,\"duplicates\":0,\"first_error\":{\"line\":2,"
                   "\"code\":\"REJECTED\",\"message\":\"no number\"}}"));
    expect("send x --lines", "1\na\n", 1, NULL,
           "berth: 2 of 5 events failed, the first at line 2: no number\n");
}

static void replies_are_raw_bytes_for_people_and_lines_for_programs(void **state)
{
#define REPLIES                                                                                    \
    "{\"input\":0,\"sequence\":1,\"link\":\"00\",\"data\":{\"text\":\"a\\tb\"}}\n"                 \
    "{\"input\":0,\"sequence\":2,\"link\":\"00\",\"data\":{\"base64\":\"/wAb\"}}\n"                \
    "{\"applied\":1,\"failed\":0,\"duplicates\":0}\n"
    run r;

    (void)state;
    will(FAKE_NDJSON(REPLIES));
    run_berth(&r, "send x --reply", "?");
    assert_int_equal(r.code, 0);
    assert_int_equal(r.output_len, 8);
    assert_memory_equal(r.output, "a\tb\n\xff\0\x1b\n", 8);
    run_free(&r);
    assert_non_null(strstr(fake.head, "/events?reply=true HTTP"));
    expect("send x --reply --json", "?", 0, REPLIES, "");
    /* The stream breaks off: what it would have said is not known. */
    will(FAKE_NDJSON("{\"input\":0,\"data\":{\"text\":\"a\"}}\n"));
    expect("send x --reply", "?", 1, "a\n", "went away in the middle");
    will(FAKE_NDJSON("{\"error\":{\"code\":\"REFUSED\",\"message\":\"no more\"}}\n"));
    expect("send x --reply", "?", 4, "", "berth: no more\n");
}

/* ---- Tails ----------------------------------------------------------------------------------- */

#define OUT(text) "{\"index\":0,\"data\":{\"text\":\"" text "\"}}\n"

static void a_tail_prints_payloads_and_says_what_it_missed(void **state)
{
    (void)state;
    will(FAKE_NDJSON(OUT("one") "{\"missed\":1200}\n" OUT(
        "two") "{\"end\":true,\"reason\":\"the daemon is gone\"}\n"));
    expect("tail x", NULL, 0, "one\ntwo\n", "berth: missed 1,200 outputs\n");
    assert_non_null(strstr(fake.head, "GET /v1/daemons/x/outputs HTTP"));
    expect("tail x --from start-of-ring --json", NULL, 0,
           OUT("one") "{\"missed\":1200}\n" OUT(
               "two") "{\"end\":true,\"reason\":\"the daemon is gone\"}\n",
           "the end: the daemon is gone");
    assert_non_null(strstr(fake.head, "/outputs?from=ring HTTP"));
}

static void a_tail_that_breaks_off_is_a_failure(void **state)
{
    (void)state;
    will(FAKE_NDJSON(OUT("one")));
    expect("tail x", NULL, 1, "one\n", "went away");
    will(FAKE_NDJSON("{\"index\":0,\"data\":"));
    expect("tail x", NULL, 1, "", "went away");
    will(FAKE_NDJSON("not json\n"));
    expect("tail x", NULL, 1, "", "the host's answer");
    will(FAKE_NDJSON("{\"index\":0,\"data\":{\"base64\":\"?\"}}\n"));
    expect("tail x", NULL, 1, "", "base64");
    will(FAKE_CHUNKED("f\r\n{\"missed\":1}\n\n\n"));
    expect("tail x", NULL, 1, "", "");
}

static void an_interrupt_ends_a_tail_well(void **state)
{
    run r;

    (void)state;
    will(FAKE_NDJSON(OUT("one")));
    fake.answer.held = true;
    run_start(&r, "tail x");
    run_expect(&r, false, "one\n");
    kill(r.pid, SIGINT);
    run_finish(&r, NULL, 0);
    assert_int_equal(r.code, 0);
    assert_string_equal(r.errors, "");
    run_free(&r);
}

static void a_reader_that_left_ends_a_tail_without_a_word(void **state)
{
    run r;

    (void)state;
    will(FAKE_NDJSON(OUT("one")));
    fake.answer.held = true;
    run_start(&r, "tail x");
    run_expect(&r, false, "one\n");
    close(r.out);
    r.out = -1;
    run_finish(&r, NULL, 0);
    assert_int_equal(r.code, 0);
    assert_string_equal(r.errors, "");
    run_free(&r);
}

static void a_full_disk_under_standard_output_is_a_failure(void **state)
{
    char command[256];

    (void)state;
    if (access("/dev/full", W_OK) != 0)
        skip();
    will(FAKE_OK("text/plain", "metric 1\n"));
    snprintf(command, sizeof command, BUILD_DIR "/berth metrics >/dev/full 2>%s", in_dir("err"));
    assert_int_equal(WEXITSTATUS(system(command)), 1);
}

/* ---- Files ----------------------------------------------------------------------------------- */

static int entries(void)
{
    DIR *d = opendir(dir);
    int n = -2; /* . and .. */

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void a_snapshot_appears_whole_or_not_at_all(void **state)
{
    char *text;

    (void)state;
    will(FAKE_ERROR("404", "NOT_FOUND", "no such daemon"));
    expect("daemon snapshot x -o {}/s", NULL, 1, "", "no such daemon");
    will(FAKE_JSON("{\"name\":\"../words\"}"));
    fake.snapshot = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    expect("daemon snapshot x -o {}/s", NULL, 1, "", "went away");
    fake.snapshot = FAKE_ERROR("503", "SHUTTING_DOWN", "the host is stopping");
    expect("daemon snapshot x -o {}/s", NULL, 1, "", "stopping");
    assert_int_equal(entries(), 1); /* the socket */
    fake.snapshot = FAKE_OK("application/octet-stream", "BSN1bytes");
    expect("daemon snapshot x -o -", NULL, 0, "BSN1bytes", "");
    expect("daemon snapshot x -o {}/s", NULL, 0, NULL, "");
    expect("daemon snapshot w", NULL, 0, ".._words.snapshot: snapshot of ../words, 9 B\n", "");
    text = read_whole(".._words.snapshot", NULL);
    assert_string_equal(text, "BSN1bytes");
    free(text);
    assert_int_equal(entries(), 3);
    expect("daemon snapshot x -o {}/no/s", NULL, 1, "", "No such file");
}

/* As `-o /dev/null`, which root can replace. */
static void a_snapshot_goes_into_what_is_no_file_and_does_not_replace_it(void **state)
{
    char *text, bytes[16] = "";
    struct stat st;
    int pipe;

    (void)state;
    will(FAKE_JSON("{\"name\":\"words\"}"));
    fake.snapshot = FAKE_OK("application/octet-stream", "BSN1bytes");
    assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
    pipe = open(in_dir("pipe"), O_RDWR | O_NONBLOCK | O_CLOEXEC); /* nobody has to wait for it */
    assert_true(pipe >= 0);
    expect("daemon snapshot x -o {}/pipe", NULL, 0, NULL, "");
    assert_int_equal(read(pipe, bytes, sizeof bytes), 9);
    assert_string_equal(bytes, "BSN1bytes");
    assert_int_equal(symlink("pipe", in_dir("to-pipe")), 0);
    expect("daemon snapshot x -o {}/to-pipe", NULL, 0, NULL, "");
    assert_int_equal(read(pipe, bytes, sizeof bytes), 9);
    assert_int_equal(lstat(in_dir("pipe"), &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    close(pipe);

    write_file("real", "old", 3, 0600);
    assert_int_equal(symlink("real", in_dir("link")), 0);
    expect("daemon snapshot x -o {}/link", NULL, 0, NULL, "");
    assert_int_equal(lstat(in_dir("link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    text = read_whole("real", NULL);
    assert_string_equal(text, "BSN1bytes");
    free(text);
    assert_int_equal(symlink("nothing", in_dir("dangling")), 0);
    expect("daemon snapshot x -o {}/dangling", NULL, 1, "", "leads nowhere");
    expect("daemon snapshot x -o {}", NULL, 1, "", "is a directory");
}

static void spawn_sends_what_it_was_told(void **state)
{
    char head[512];

    (void)state;
    expect("identity new -o {}/id", NULL, 0, NULL, "");
    write_file("conf", "a\xff", 2, 0600);
    will(FAKE_JSON("{\"name\":\"w\",\"kind\":\"tally\",\"origin\":\"00000000000000ff\"}"));
    expect("daemon spawn tally --name w --config @conf --identity id", NULL, 0,
           "spawned w (tally, origin 00000000000000ff)\n", "");
    snprintf(head, sizeof head, "%s", fake.body);
    assert_non_null(strstr(head, "\"config\":{\"base64\":\"Yf8=\"}"));
    assert_non_null(strstr(head, "\"identity\":{\"seed\":\""));
    assert_non_null(strstr(head, "\"kind\":\"tally\",\"name\":\"w\""));
    chmod(in_dir("id"), 0644);
    expect("daemon spawn tally --identity id", NULL, 4, "", "id");
    expect("daemon spawn tally --config @nowhere", NULL, 1, "", "nowhere");
}

static void restore_sends_the_file_and_the_identity(void **state)
{
    (void)state;
    expect("identity new -o {}/id", NULL, 0, NULL, "");
    write_file("snap", "BSN1", 4, 0600);
    will(FAKE_JSON("{\"name\":\"w\",\"kind\":\"tally\",\"origin\":\"00000000000000ff\"}"));
    expect("daemon restore snap --identity id --name w --kind tally", NULL, 0,
           "restored w (tally, origin 00000000000000ff)\n", "");
    assert_non_null(strstr(fake.head, "POST /v1/restore?name=w&kind=tally HTTP"));
    expect("daemon restore snap --identity id --accept a,b", NULL, 0, NULL, "");
    assert_non_null(strstr(fake.head, "POST /v1/restore?accept=a%2Cb HTTP"));
    assert_non_null(strstr(fake.head, "Berth-Identity: "));
    assert_string_equal(fake.body, "BSN1");
    expect("daemon restore - --kind tally --identity id", "BSN1", 0, NULL, "");
    assert_non_null(strstr(fake.head, "POST /v1/restore?kind=tally HTTP"));
}

static void controls_and_stops_reach_the_host(void **state)
{
    (void)state;
    will(FAKE_JSON("{\"handled\":true}"));
    expect("daemon control w drain 500", NULL, 0, "w has handled drain-start\n", "");
    assert_string_equal(fake.body, "{\"control\":\"drain-start\",\"operand\":500}");
    will(FAKE_JSON("{\"stopped\":true,\"name\":\"w\",\"origin\":\"00000000000000ff\"}"));
    expect("daemon stop w --grace 70", NULL, 0, "stopped w (origin 00000000000000ff)\n", "");
    assert_non_null(strstr(fake.head, "DELETE /v1/daemons/w?grace_ms=70 HTTP"));
    will(FAKE_JSON("{\"reached\":2}"));
    expect("channel pub house/temperature", "21.5", 0, "reached 2 daemons\n", "");
    assert_non_null(strstr(fake.head, "POST /v1/channels/messages?name=house%2Ftemperature HTTP"));
    assert_string_equal(fake.body, "21.5");
}

static void shells_get_names_to_complete_with(void **state)
{
    (void)state;
    will(FAKE_JSON("{\"plugins\":[{\"name\":\"p\",\"kinds\":[{\"name\":\"k1\"},{\"name\":\"k2\"}]}"
                   "]}"));
    expect("completion kinds", NULL, 0, "k1\nk2\n", "");
    expect("completion plugins", NULL, 0, "p\n", "");
    expect("--socket {}/nobody completion daemons", NULL, 3, "", "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_start, fake_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nobody_at_the_socket_is_exit_3),
        TEST(somebody_elses_socket_is_exit_4),
        TEST(a_socket_path_that_no_socket_can_have_is_refused),
        TEST(the_hosts_line_is_what_is_said),
        TEST(what_policy_refuses_is_exit_4),
        TEST(a_wrong_command_line_is_exit_2),
        TEST(help_is_exit_0_and_on_standard_output),
        TEST(an_answer_of_something_else_is_said_to_be_one),
        TEST(a_list_is_sorted_and_plain_in_a_pipe),
        TEST(names_are_encoded_in_paths),
        TEST(an_event_is_sent_byte_for_byte),
        TEST(a_pipe_is_passed_on_as_it_comes),
        TEST(a_file_that_cannot_be_read_is_named),
        TEST(an_answer_before_the_upload_ends_is_heard),
        TEST(events_that_failed_are_exit_1_with_the_first_of_them),
        TEST(replies_are_raw_bytes_for_people_and_lines_for_programs),
        TEST(a_tail_prints_payloads_and_says_what_it_missed),
        TEST(a_tail_that_breaks_off_is_a_failure),
        TEST(an_interrupt_ends_a_tail_well),
        TEST(a_reader_that_left_ends_a_tail_without_a_word),
        TEST(a_full_disk_under_standard_output_is_a_failure),
        TEST(a_snapshot_appears_whole_or_not_at_all),
        TEST(a_snapshot_goes_into_what_is_no_file_and_does_not_replace_it),
        TEST(spawn_sends_what_it_was_told),
        TEST(restore_sends_the_file_and_the_identity),
        TEST(controls_and_stops_reach_the_host),
        TEST(shells_get_names_to_complete_with),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
