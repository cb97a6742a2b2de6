/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api_client.h"

#include <dirent.h>

static struct json_object *json_of(reply *r)
{
    struct json_object *o = NULL;
    berth_error error = {0};

    if (json_parse(slice_of(r->body, r->len), 1 << 24, &o, &error))
        fail_msg("%s: %s", r->body, error.text);
    reply_free(r);
    return o;
}

static void health_and_status_tell_about_the_host(void **state)
{
    struct json_object *o;
    slice text = {0};
    reply r;
    int fd;

    (void)state;
    answers(ask("GET", "/v1/health", NULL), 200, "{\"ready\":true}");
    r = ask("GET", "/v1/status", NULL);
    assert_int_equal(r.status, 200);
    o = json_of(&r);
    assert_int_equal(json_get_string(o, "", "name", JSON_REQUIRED, &text, NULL), BERTH_OK);
    assert_true(slice_eq(text, slice_str("test \"host\"")));
    assert_int_equal(json_get_string(o, "", "node", JSON_REQUIRED, &text, NULL), BERTH_OK);
    assert_true(slice_eq(text, slice_str("0000000000000abc")));
    json_object_put(o);
    fd = dial();
    sayf(fd, "HEAD /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_true(hear_head(fd, &r));
    assert_int_equal(r.status, 200);
    assert_int_equal(recv(fd, r.head, 1, 0), 0);
    close(fd);
}

static void a_daemon_is_spawned_shown_listed_and_stopped(void **state)
{
    struct json_object *o, *list = NULL;
    uint64_t origin = 0;
    char target[64];
    reply r;

    (void)state;
    r = ask("POST", "/v1/daemons",
            "{\"kind\":\"echo\",\"name\":\"e1\",\"identity\":{\"seed\":"
            "\"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\"}}");
    assert_int_equal(r.status, 201);
    assert_non_null(strstr(r.head, "Location: /v1/daemons/"));
    o = json_of(&r);
    assert_int_equal(json_get_id(o, "", "origin", JSON_REQUIRED, &origin, NULL), BERTH_OK);
    json_object_put(o);
    snprintf(target, sizeof target, "/v1/daemons/%016llx", (unsigned long long)origin);
    answers(ask("GET", target, NULL), 200, "\"name\":\"e1\"");
    answers(ask("GET", "/v1/daemons/e", NULL), 200, "\"name\":\"e1\"");
    spawned("echo", "e2");
    answers(ask("GET", "/v1/daemons/e", NULL), 400, "AMBIGUOUS");
    r = ask("GET", "/v1/daemons", NULL);
    o = json_of(&r);
    assert_int_equal(json_get_array(o, "", "daemons", JSON_REQUIRED, &list, NULL), BERTH_OK);
    assert_int_equal(json_object_array_length(list), 2);
    json_object_put(o);
    answers(ask("DELETE", "/v1/daemons/e1?grace_ms=1000", NULL), 200,
            "\"stopped\":true,\"name\":\"e1\"");
    answers(ask("GET", target, NULL), 404, "NOT_FOUND");
    answers(ask("DELETE", "/v1/daemons/e1", NULL), 404, "NOT_FOUND");
}

static void a_spawn_that_fails_says_why_with_its_own_status(void **state)
{
    (void)state;
    spawned("echo", "e");
    answers(ask("POST", "/v1/daemons", "{\"kind\":\"nosuch\"}"), 404, "KIND_UNKNOWN");
    answers(ask("POST", "/v1/daemons", "{\"kind\":\"echo\",\"name\":\"e\"}"), 409, "EXISTS");
    answers(ask("POST", "/v1/daemons", "{\"kind\":\"echo\",\"name\":\"no spaces\"}"), 400,
            "INVALID");
    answers(ask("POST", "/v1/daemons", "{\"kind\":\"echo\""), 400, "line 1");
    answers(ask("POST", "/v1/daemons", "{\"kind\":1}"), 400, "kind: must be a string");
    answers(ask("POST", "/v1/daemons", "{\"kind\":\"echo\",\"x\":1}"), 400,
            "there is kind, name, config");
    answers(ask("POST", "/v1/daemons", NULL), 400, "INVALID");
}

static void plugins_are_listed_and_a_refused_one_is_403(void **state)
{
    (void)state;
    answers(ask("GET", "/v1/plugins", NULL), 200, "\"plugins\":[");
    answers(ask("GET", "/v1/plugins/nosuch", NULL), 404, "plugin 'nosuch': is not loaded");
    answers(ask("POST", "/v1/plugins", "{\"path\":\"/x.so\",\"allow_downgrade\":true}"), 403,
            "/x.so: not signed (downgrade)");
    answers(ask("POST", "/v1/plugins", "{\"path\":\"x.so\"}"), 400, "must be absolute");
    answers(ask("DELETE", "/v1/plugins/nosuch", NULL), 404, "NOT_FOUND");
    answers(ask("DELETE", "/v1/plugins/x?defer=maybe", NULL), 400, "defer: must be true or false");
    answers(ask("POST", "/v1/reload", NULL), 501, "UNSUPPORTED");
}

static void an_event_is_applied_and_its_outputs_come_back(void **state)
{
    (void)state;
    spawned("echo", "e");
    answers(ask("POST", "/v1/daemons/e/events", "hello"), 200,
            "{\"applied\":1,\"failed\":0,\"duplicates\":0}");
    answers(ask("POST", "/v1/daemons/e/events?reply=1", "hello"), 200,
            "\"data\":{\"text\":\"hello\"}}\n{\"applied\":1,");
    answers(ask_with("POST", "/v1/daemons/e/events?reply=true", NULL, "\xff\x00", 2), 200,
            "\"data\":{\"base64\":\"/wA=\"}}\n");
    answers(ask("POST", "/v1/daemons/e/events?reply=1", ""), 200, "\"data\":{\"text\":\"\"}}");
    answers(ask("POST", "/v1/daemons/e/events", NULL), 200, "\"applied\":1");
    answers(ask("POST", "/v1/daemons/e/events", "bad"), 422, "that is a bad word");
    answers(ask("POST", "/v1/daemons/e/events?reply=1", "bad"), 200,
            "\"failed\":1,\"duplicates\":0,\"first_error\":{\"line\":1,\"code\":\"REJECTED\"");
    answers(ask("POST", "/v1/daemons/nosuch/events", "x"), 404, "NOT_FOUND");
    answers(ask("POST", "/v1/daemons/e/events?framing=words", "x"), 400, "must be one or lines");
}

static void lines_are_events_and_the_first_that_fails_is_named(void **state)
{
    (void)state;
    spawned("echo", "e");
    answers(ask("POST", "/v1/daemons/e/events?framing=lines", "one\ntwo\n\nbad\nfive"), 200,
            "{\"applied\":4,\"failed\":1,\"duplicates\":0,\"first_error\":{\"line\":4,");
    answers(ask("POST", "/v1/daemons/e/events?framing=lines", ""), 200, "{\"applied\":0,");
    answers(ask("POST", "/v1/daemons/e/events?framing=lines", "\n"), 200, "{\"applied\":1,");
    answers(ask("POST", "/v1/daemons/e/events?framing=lines&reply=1", "a\nb\r\n"), 200,
            "\"data\":{\"text\":\"b\\r\"}}\n{\"applied\":2,");
}

static void what_a_source_sent_before_is_a_duplicate(void **state)
{
    (void)state;
    spawned("echo", "e");
    answers(ask_with("POST", "/v1/daemons/e/events?framing=lines", "Berth-Source: me/1\r\n",
                     "a\nb\n", 4),
            200, "{\"applied\":2,\"failed\":0,\"duplicates\":0}");
    answers(ask_with("POST", "/v1/daemons/e/events?framing=lines", "Berth-Source: me/2\r\n",
                     "b\nc\n", 4),
            200, "{\"applied\":1,\"failed\":0,\"duplicates\":1}");
    answers(ask_with("POST", "/v1/daemons/e/events", "Berth-Source: me/3\r\n", "c", 1), 200,
            "{\"applied\":0,\"failed\":0,\"duplicates\":1}");
    answers(ask_with("POST", "/v1/daemons/e/events", "Berth-Source: me\r\n", "c", 1), 400,
            "Berth-Source: must be id/number");
    answers(ask("DELETE", "/v1/daemons/e/sources/me", NULL), 200, "\"closed\":true");
    answers(ask_with("POST", "/v1/daemons/e/events", "Berth-Source: me/1\r\n", "a", 1), 200,
            "{\"applied\":1");
    answers(ask("DELETE", "/v1/daemons/e/sources/m%20e", NULL), 400, "source: must be");
}

static void a_snapshot_restores_with_its_own_identity_only(void **state)
{
    static const char seed[] =
        "Berth-Identity: 9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\r\n";
    static const char other[] =
        "Berth-Identity: 4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb\r\n";
    reply r;

    (void)state;
    answers(ask("POST", "/v1/daemons",
                "{\"kind\":\"echo\",\"name\":\"e\",\"identity\":{\"seed\":"
                "\"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\"}}"),
            201, NULL);
    answers(ask("POST", "/v1/daemons/e/events", "x"), 200, NULL);
    r = ask("POST", "/v1/daemons/e/snapshot", NULL);
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(r.head, "application/octet-stream"));
    assert_true(r.len > 32);
    answers(ask_with("POST", "/v1/restore", seed, r.body, r.len), 409, "EXISTS");
    answers(ask("DELETE", "/v1/daemons/e", NULL), 200, NULL);
    answers(ask_with("POST", "/v1/restore", other, r.body, r.len), 400, "IDENTITY_MISMATCH");
    answers(ask_with("POST", "/v1/restore", NULL, r.body, r.len), 400,
            "Berth-Identity: is missing");
    answers(ask_with("POST", "/v1/restore", "Berth-Identity: 12\r\n", r.body, r.len), 400,
            "64 hex digits");
    answers(ask_with("POST", "/v1/restore", seed, r.body, r.len - 5), 400, "CORRUPT");
    answers(ask_with("POST", "/v1/restore", seed, "junk", 4), 400, "CORRUPT");
    answers(ask_with("POST", "/v1/restore?name=back&kind=echo", seed, r.body, r.len), 201,
            "\"name\":\"back\"");
    answers(ask("GET", "/v1/daemons/back", NULL), 200, "\"sequence\":1");
    reply_free(&r);
}

static void a_control_reaches_the_daemon_or_is_unsupported(void **state)
{
    (void)state;
    spawned("echo", "e");
    spawned("flood", "f");
    answers(ask("POST", "/v1/daemons/e/control", "{\"control\":\"drain-start\",\"operand\":10}"),
            200, "\"handled\":true");
    answers(ask("POST", "/v1/daemons/f/control", "{\"control\":\"drain-start\"}"), 501,
            "UNSUPPORTED");
    answers(ask("POST", "/v1/daemons/e/control", "{\"control\":\"explode\"}"), 400,
            "there is shutdown");
    answers(ask("POST", "/v1/daemons/g/control", "{\"control\":\"shutdown\"}"), 404, "NOT_FOUND");
}

static void a_message_reaches_who_is_subscribed(void **state)
{
    uint64_t origin = 0;

    (void)state;
    spawned("echo", "e");
    answers(ask("POST", "/v1/channels/messages?name=news", "x"), 200, "{\"reached\":0}");
    assert_int_equal(berth_daemon_find(host.rt, "e", &origin, NULL), BERTH_OK);
    assert_int_equal(berth_subscribe_channel(host.rt, origin, 0, "news", NULL, 0, NULL), BERTH_OK);
    answers(ask("POST", "/v1/channels/messages?name=news", "x"), 200, "{\"reached\":1}");
    becomes("/v1/daemons/e", "events_processed", 1);
    answers(ask("GET", "/v1/channels", NULL), 200, "\"name\":\"news\",\"subscribers\":1");
    answers(ask("POST", "/v1/channels/messages", "x"), 400, "name: must be the channel's name");
    answers(ask("POST", "/v1/channels/messages?name=A%20b", "x"), 400, "a-z 0-9");
    answers(ask_with("POST", "/v1/channels/messages?name=news", "Berth-Token: A!\r\n", "x", 1), 400,
            "Berth-Token: must be a chain of tokens in base64");
    answers(ask_with("POST", "/v1/channels/messages?name=news", "Berth-Token: AAAA\r\n", "x", 1),
            400, "Berth-Token: ");
}

static void a_request_that_makes_no_sense_is_told_what_would(void **state)
{
    reply r;

    (void)state;
    answers(ask("GET", "/v1/statsu", NULL), 404, "the nearest is /v1/status");
    answers(ask("GET", "/v1//status", NULL), 400, "empty segment");
    answers(ask("GET", "/v1/status%00", NULL), 400, "not 00");
    answers(ask("GET", "/v1/status?verbose=1", NULL), 400,
            "'verbose' is not a parameter of GET /v1/status; there is none");
    answers(ask("GET", "/v1/status", "body"), 400, "takes none");
    answers(ask("DELETE", "/v1/daemons/x?grace_ms=-1", NULL), 400,
            "grace_ms: must be a number from 0 to 3600000");
    r = ask("PUT", "/v1/daemons", NULL);
    assert_non_null(strstr(r.head, "Allow: GET, POST"));
    answers(r, 405, "use GET, POST");
}

static void what_is_no_http_is_answered_or_dropped_and_the_host_goes_on(void **state)
{
    static const char *const rows[] = {
        "\r\n\r\n",
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET /v1/status\r\n\r\n",
        "GET /v1/status HTTP/9.9\r\n\r\n",
        "GET /v1/status HTTP/1.1\r\n\r\n",
        "GET /v1/status HTTP/1.1\r\nHost: x\r\nbroken header\r\n\r\n",
        "POST /v1/daemons HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
        "POST /v1/daemons HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n{}",
        "POST /v1/daemons HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n{}",
        "POST /v1/daemons HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
        "chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "POST /v1/daemons HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
        "chunked\r\n\r\n-5\r\n{}\r\n0\r\n\r\n",
        "POST /v1/daemons HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
        "chunked\r\n\r\nffffffffffffffff0\r\n",
        "POST /v1/daemons HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nshort",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int fd = dial();
        struct pollfd answer = {.fd = fd, .events = POLLIN};
        char sink[512];

        say(fd, rows[i], strlen(rows[i]));
        if (poll(&answer, 1, 50) > 0) /* some get an answer, some wait for more */
            assert_true(recv(fd, sink, sizeof sink, 0) >= 0);
        close(fd);
        answers(ask("GET", "/v1/health", NULL), 200, NULL);
    }
}

static void headers_and_bodies_end_at_their_limits(void **state)
{
    static char body[(1 << 20) + 2], header[40000];

    (void)state;
    spawned("echo", "e");
    memset(body, 'x', sizeof body - 1);
    body[1 << 20] = '\0';
    answers(ask("POST", "/v1/daemons/e/events", body), 200, "\"applied\":1");
    body[1 << 20] = 'x';
    answers(ask("POST", "/v1/daemons/e/events", body), 413,
            "1048577 bytes, and the most is 1048576");
    answers(ask("POST", "/v1/daemons", body), 413, "the most is 524288");
    memset(header, 'h', sizeof header - 1);
    memcpy(header, "X: ", 3);
    strcpy(header + 20000, "\r\n");
    {
        int fd = dial();

        sayf(fd, "GET /v1/health HTTP/1.1\r\nHost: x\r\n");
        say(fd, header, strlen(header));
        sayf(fd, "\r\n");
        answers(hear_reply(fd), 200, NULL);
        close(fd);
        fd = dial();
        sayf(fd, "GET /v1/health HTTP/1.1\r\nHost: x\r\n");
        say(fd, header, strlen(header));
        say(fd, header, strlen(header));
        sayf(fd, "\r\n");
        answers(hear_reply(fd), 431, "longer than 32768");
        close(fd);
    }
}

static void a_client_that_waits_for_continue_gets_it_or_the_refusal(void **state)
{
    reply r = {0};
    int fd = dial();

    (void)state;
    spawned("echo", "e");
    sayf(fd, "POST /v1/daemons/e/events HTTP/1.1\r\nHost: x\r\nExpect: "
             "100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_true(hear_head(fd, &r));
    assert_int_equal(r.status, 100);
    sayf(fd, "hi");
    answers(hear_reply(fd), 200, "\"applied\":1");
    close(fd);
    fd = dial();
    sayf(fd, "POST /v1/daemons/nosuch/events HTTP/1.1\r\nHost: x\r\nExpect: "
             "100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_true(hear_head(fd, &r));
    assert_int_equal(r.status, 404);
    close(fd);
}

static void a_connection_serves_one_request_after_the_other(void **state)
{
    int fd = dial();

    (void)state;
    spawned("echo", "e");
    for (int i = 0; i < 50; i++) {
        sayf(fd, "POST /v1/daemons/e/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
        answers(hear_reply(fd), 200, NULL);
        sayf(fd,
             "POST /v1/daemons/nosuch/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
        answers(hear_reply(fd), 404, NULL);
        sayf(fd, "GET /v1/daemons HTTP/1.1\r\nHost: x\r\n\r\n");
        answers(hear_reply(fd), 200, NULL);
    }
    close(fd);
}

static void metrics_satisfy_promtool(void **state)
{
    FILE *checker;
    reply r;

    (void)state;
    if (system("command -v promtool >/dev/null 2>&1") != 0)
        skip();
    spawned("echo", "e");
    answers(ask("POST", "/v1/daemons/e/events", "x"), 200, NULL);
    answers(ask("GET", "/v1/nosuch", NULL), 404, NULL);
    r = ask("GET", "/v1/metrics", NULL);
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(r.head, "text/plain; version=0.0.4"));
    assert_non_null(strstr(r.body, "berth_daemon_processed_total{daemon=\"e\",kind=\"echo\""));
    assert_non_null(strstr(r.body, "name=\"test \\\"host\\\"\""));
    assert_non_null(strstr(r.body, "route=\"none\",status=\"404\"} 1\n"));
    checker = popen("promtool check metrics", "w");
    assert_non_null(checker);
    fwrite(r.body, 1, r.len, checker);
    assert_int_equal(pclose(checker), 0);
    reply_free(&r);
}

static unsigned open_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

static void start_and_stop_leave_no_descriptor_open(void **state)
{
    unsigned before;

    (void)state;
    host_start(NULL, NULL);
    host_stop();
    before = open_descriptors();
    for (int i = 0; i < 3; i++) {
        host_start(NULL, NULL);
        spawned("echo", "e");
        answers(ask("POST", "/v1/daemons/e/events", "x"), 200, NULL);
        host_stop();
    }
    assert_int_equal(open_descriptors(), before);
}

static void a_second_host_at_the_socket_is_refused(void **state)
{
    api_config config = test_config();
    berth_error error = {0};
    api *second = NULL;

    (void)state;
    assert_int_equal(api_start(&config, &second, &error), BERTH_ERR_LOCKED);
    assert_null(second);
    answers(ask("GET", "/v1/health", NULL), 200, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(health_and_status_tell_about_the_host),
        test(a_daemon_is_spawned_shown_listed_and_stopped),
        test(a_spawn_that_fails_says_why_with_its_own_status),
        test(plugins_are_listed_and_a_refused_one_is_403),
        test(an_event_is_applied_and_its_outputs_come_back),
        test(lines_are_events_and_the_first_that_fails_is_named),
        test(what_a_source_sent_before_is_a_duplicate),
        test(a_snapshot_restores_with_its_own_identity_only),
        test(a_control_reaches_the_daemon_or_is_unsupported),
        test(a_message_reaches_who_is_subscribed),
        test(a_request_that_makes_no_sense_is_told_what_would),
        test(what_is_no_http_is_answered_or_dropped_and_the_host_goes_on),
        test(headers_and_bodies_end_at_their_limits),
        test(a_client_that_waits_for_continue_gets_it_or_the_refusal),
        test(a_connection_serves_one_request_after_the_other),
        test(metrics_satisfy_promtool),
        test(a_second_host_at_the_socket_is_refused),
        cmocka_unit_test(start_and_stop_leave_no_descriptor_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
