/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api_client.h"

/* n lines "line 0" ...; the caller frees. */
static char *numbered_lines(unsigned n, size_t *len)
{
    char *text = malloc(n * 16 + 1);

    assert_non_null(text);
    *len = 0;
    for (unsigned i = 0; i < n; i++)
        *len += (size_t)sprintf(text + *len, "line %u\n", i);
    return text;
}

static void many_lines_arrive_in_order_whatever_the_chunks(void **state)
{
    enum { LINES = 20000 };
    static const size_t pieces[] = {7, 1000, 65536, 1 << 20};

    (void)state;
    spawned("echo", "e");
    for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
        size_t len, at = 0;
        char *text = numbered_lines(p ? LINES : 500, &len), wanted[128];
        unsigned count = p ? LINES : 500;
        int fd = begin_lines("e", "&reply=1");
        reply r;

        for (; at < len; at += pieces[p])
            assert_true(say_chunk(fd, text + at, len - at < pieces[p] ? len - at : pieces[p]));
        sayf(fd, "0\r\n\r\n");
        r = hear_reply(fd);
        assert_int_equal(r.status, 200);
        at = 0;
        for (unsigned i = 0; i < count; i++) {
            char *end = strchr(r.body + at, '\n');

            assert_non_null(end);
            *end = '\0';
            snprintf(wanted, sizeof wanted, "{\"input\":%u,", i);
            assert_memory_equal(r.body + at, wanted, strlen(wanted));
            snprintf(wanted, sizeof wanted, "\"data\":{\"text\":\"line %u\"}}", i);
            assert_non_null(strstr(r.body + at, wanted));
            at = (size_t)(end + 1 - r.body);
        }
        snprintf(wanted, sizeof wanted, "{\"applied\":%u,\"failed\":0,\"duplicates\":0}\n", count);
        assert_string_equal(r.body + at, wanted);
        reply_free(&r);
        free(text);
        close(fd);
    }
}

static void lines_are_delivered_before_the_upload_ends(void **state)
{
    int fd;

    (void)state;
    spawned("echo", "e");
    fd = begin_lines("e", "");
    assert_true(say_chunk(fd, "one\nhalf", 8));
    becomes("/v1/daemons/e", "events_processed", 1);
    assert_true(say_chunk(fd, " of it\nanother half", 19));
    becomes("/v1/daemons/e", "events_processed", 2);
    sayf(fd, "0\r\n\r\n");
    answers(hear_reply(fd), 200, "\"applied\":3");
    close(fd);
}

static void a_full_mailbox_makes_the_client_wait_and_nobody_else(void **state)
{
    enum { LINES = 30000 };
    size_t len, sent = 0;
    char *text = numbered_lines(LINES, &len);
    struct pollfd writable;
    int fd;

    (void)state;
    spawned("gate", "g");
    spawned("echo", "e");
    fd = begin_lines("g", "");
    sayf(fd, "%zx\r\n", len);
    writable = (struct pollfd){.fd = fd, .events = POLLOUT};
    /* as much as goes in: then the host reads no more */
    while (sent < len && poll(&writable, 1, 300) > 0) {
        ssize_t n = send(fd, text + sent, len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        assert_true(n > 0);
        sent += (size_t)n;
    }
    sem_wait(&gate_entered);
    answers(ask("POST", "/v1/daemons/e/events", "x"), 200, NULL);
    assert_int_equal(number_in("/v1/daemons/g", "events_processed"), 0);
    assert_true(number_in("/v1/daemons/g", "mailbox_events") <= 1024);
    assert_int_equal(number_in("/v1/status", "uploads"), 1);
    sem_post(&gate_open);
    say(fd, text + sent, len - sent);
    sayf(fd, "\r\n0\r\n\r\n");
    answers(hear_reply(fd), 200, "{\"applied\":30000,\"failed\":0,\"duplicates\":0}");
    close(fd);
    free(text);
}

static void a_line_over_the_limit_stops_the_upload_at_once(void **state)
{
    static char big[(1 << 20) + 1];
    int fd;

    (void)state;
    spawned("echo", "e");
    memset(big, 'x', sizeof big);
    fd = begin_lines("e", "");
    assert_true(say_chunk(fd, "one\nbad\n", 8));
    say_chunk(fd, big, sizeof big);
    /* the upload has not ended, the answer comes all the same */
    answers(hear_reply(fd), 413,
            "line 3: is longer than 1048576 bytes, the most an event may have; of the lines before "
            "it 1 "
            "were applied, 1 failed, 0 were duplicates\",\"line\":3},\"applied\":1,\"failed\":1,");
    close(fd);
    assert_int_equal(number_in("/v1/daemons/e", "events_processed"), 1);
    /* with a length that is known and short, the connection stays in order */
    fd = dial();
    sayf(fd, "POST /v1/daemons/nosuch/events HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    answers(hear_reply(fd), 404, NULL);
    sayf(fd, "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n");
    answers(hear_reply(fd), 200, NULL);
    close(fd);
}

static void an_upload_to_a_daemon_that_goes_ends_with_the_line(void **state)
{
    int fd;

    (void)state;
    spawned("echo", "e");
    fd = begin_lines("e", "");
    assert_true(say_chunk(fd, "1\n2\n", 4));
    becomes("/v1/daemons/e", "events_processed", 2);
    answers(ask("DELETE", "/v1/daemons/e", NULL), 200, NULL);
    assert_true(say_chunk(fd, "3\n", 2));
    answers(hear_reply(fd), 404, "\"line\":3},\"applied\":2,\"failed\":0,");
    close(fd);
}

static void what_a_vanished_client_had_sent_is_applied(void **state)
{
    int fd;

    (void)state;
    spawned("gate", "g");
    fd = begin_lines("g", "");
    assert_true(say_chunk(fd, "1\n2\n3\nhalf", 10));
    becomes("/v1/daemons/g", "mailbox_events", 3);
    close(fd);
    becomes("/v1/status", "uploads", 0);
    sem_post(&gate_open);
    becomes("/v1/daemons/g", "events_processed", 3);
    becomes("/v1/daemons/g", "mailbox_events", 0);
    assert_int_equal(number_in("/v1/daemons/g", "events_processed"), 3);
}

static void a_client_that_vanishes_while_it_waits_is_noticed(void **state)
{
    size_t len;
    char *text = numbered_lines(3000, &len);
    int fd;

    (void)state;
    spawned("gate", "g");
    /* more than the mailbox holds, but less than the socket does: the client has sent all */
    fd = begin_lines("g", "");
    assert_true(say_chunk(fd, text, len));
    sem_wait(&gate_entered);
    becomes("/v1/status", "uploads", 1);
    close(fd);
    becomes("/v1/status", "uploads", 0);
    /* one that waits for its single event */
    fd = dial();
    sayf(fd, "POST /v1/daemons/g/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
    becomes("/v1/status", "uploads", 1);
    close(fd);
    becomes("/v1/status", "uploads", 0);
    free(text);
}

static void long_replies_go_through_a_file(void **state)
{
    reply r;

    (void)state;
    spawned("flood", "f");
    r = ask("POST", "/v1/daemons/f/events?framing=lines&reply=1", "3000000\n1\n3000000\n");
    assert_int_equal(r.status, 200);
    assert_true(r.len > 6000000);
    assert_non_null(strstr(r.body + 3000000, "{\"input\":1,\"sequence\":2,"));
    assert_non_null(strstr(r.body + r.len - 60, "{\"applied\":3,"));
    reply_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(many_lines_arrive_in_order_whatever_the_chunks),
        test(lines_are_delivered_before_the_upload_ends),
        test(a_full_mailbox_makes_the_client_wait_and_nobody_else),
        test(a_line_over_the_limit_stops_the_upload_at_once),
        test(an_upload_to_a_daemon_that_goes_ends_with_the_line),
        test(what_a_vanished_client_had_sent_is_applied),
        test(a_client_that_vanishes_while_it_waits_is_noticed),
        test(long_replies_go_through_a_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
