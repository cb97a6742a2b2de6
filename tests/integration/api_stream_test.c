/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api_client.h"
#include "base/log.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

static void outputs_come_as_they_happen_until_the_daemon_goes(void **state)
{
    reply r = {0};
    bool cut;
    int fd;

    (void)state;
    spawned("echo", "e");
    answers(ask("POST", "/v1/daemons/e/events", "before"), 200, NULL);
    fd = begin_tail("/v1/daemons/e/outputs");
    assert_int_equal(number_in("/v1/status", "streams"), 1);
    answers(ask("POST", "/v1/daemons/e/events", "now"), 200, NULL);
    hears(fd, &r, "{\"index\":1,\"time\":\"20");
    hears(fd, &r, "\"to\":\"caller\",\"data\":{\"text\":\"now\"}}\n");
    assert_null(strstr(r.body, "before"));
    answers(ask("DELETE", "/v1/daemons/e", NULL), 200, NULL);
    hears(fd, &r, "{\"end\":true,\"reason\":\"the daemon is gone\"}\n");
    assert_false(hear_chunk(fd, &r, &cut));
    assert_false(cut);
    reply_free(&r);
    close(fd);
    becomes("/v1/status", "streams", 0);
}

static void a_tail_from_the_ring_begins_with_what_is_kept(void **state)
{
    reply r = {0};
    int fd;

    (void)state;
    spawned("echo", "e");
    answers(ask("POST", "/v1/daemons/e/events?framing=lines", "1\n2\n3\n"), 200, NULL);
    fd = begin_tail("/v1/daemons/e/outputs?from=ring");
    hears(fd, &r, "{\"text\":\"1\"}");
    hears(fd, &r, "{\"text\":\"3\"}");
    reply_free(&r);
    close(fd);
    answers(ask("GET", "/v1/daemons/e/outputs?from=start", NULL), 400, "must be now or ring");
    answers(ask("GET", "/v1/daemons/nosuch/outputs", NULL), 404, "NOT_FOUND");
}

static void a_slow_reader_holds_nobody_up_and_is_told_what_it_missed(void **state)
{
    static char text[64 * 1024];
    reply r = {0};
    const char *at;
    uint64_t missed = 0, seen = 0;
    int fd;

    (void)state;
    spawned("echo", "e");
    fd = begin_tail("/v1/daemons/e/outputs");
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 200; i++) /* far more than socket and ring hold */
        answers(ask("POST", "/v1/daemons/e/events", text), 200, NULL);
    answers(ask("POST", "/v1/daemons/e/events", "last"), 200, NULL);
    hears(fd, &r, "{\"text\":\"last\"}");
    for (at = r.body; (at = strstr(at, "{\"missed\":")); at++)
        missed += strtoull(at + 10, NULL, 10);
    for (at = r.body; (at = strstr(at, "{\"index\":")); at++)
        seen++;
    assert_true(missed > 0);
    assert_int_equal(missed + seen, 201);
    reply_free(&r);
    close(fd);
}

static void a_vanished_reader_is_noticed_though_nothing_happens(void **state)
{
    int fds[5];

    (void)state;
    spawned("echo", "e");
    for (int i = 0; i < 4; i++)
        fds[i] = begin_tail("/v1/daemons/e/outputs");
    fds[4] = begin_tail("/v1/channels/messages?name=news");
    becomes("/v1/status", "streams", 5);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    becomes("/v1/status", "streams", 0);
}

static void a_channel_is_heard_too(void **state)
{
    reply r = {0};
    int fd;

    (void)state;
    fd = begin_tail("/v1/channels/messages?name=news");
    answers(ask("POST", "/v1/channels/messages?name=news", "hello"), 200, NULL);
    hears(fd, &r, "\"to\":\"channel\",\"channel\":\"news\",\"data\":{\"text\":\"hello\"}}\n");
    reply_free(&r);
    close(fd);
}

/* ---- The pool, the crowd, the end ------------------------------------------------------------ */

static void a_hanging_create_blocks_no_other_request(void **state)
{
    int fd = dial();

    (void)state;
    sayf(fd,
         "POST /v1/daemons HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{\"kind\":\"hang\"}");
    sem_wait(&gate_entered);
    spawned("echo", "e");
    answers(ask("POST", "/v1/daemons/e/events", "x"), 200, NULL);
    answers(ask("GET", "/v1/daemons", NULL), 200, NULL);
    answers(ask("POST", "/v1/daemons/e/snapshot", NULL), 200, NULL);
    sem_post(&gate_open);
    answers(hear_reply(fd), 201, NULL);
    close(fd);
}

static void more_commands_than_the_pool_takes_are_told_to_try_again(void **state)
{
    api_config config = test_config();
    int fds[70], answered = 0;

    (void)state;
    config.max_jobs = 1;
    host_start(&config, NULL);
    for (int i = 0; i < 70; i++) {
        fds[i] = dial();
        sayf(fds[i], "POST /v1/daemons HTTP/1.1\r\nHost: x\r\nContent-Length: "
                     "15\r\n\r\n{\"kind\":\"hang\"}");
        if (i == 0)
            sem_wait(&gate_entered);
    }
    for (int i = 65; i < 70; i++) { /* 1 runs, 64 wait */
        answers(hear_reply(fds[i]), 503, "WOULD_BLOCK");
        answered++;
    }
    assert_int_equal(answered, 5);
    for (int i = 0; i < 65; i++)
        sem_post(&gate_open);
    for (int i = 0; i < 65; i++)
        answers(hear_reply(fds[i]), 201, NULL);
    for (int i = 0; i < 70; i++)
        close(fds[i]);
    host_stop();
}

static void one_client_too_many_is_told_so_and_room_is_found_again(void **state)
{
    api_config config = test_config();
    int fds[4];

    (void)state;
    config.max_clients = 4;
    host_start(&config, NULL);
    for (int i = 0; i < 4; i++) {
        fds[i] = dial();
        sayf(fds[i], "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n");
        answers(hear_reply(fds[i]), 200, NULL);
    }
    answers(ask("GET", "/v1/health", NULL), 503, "too many clients");
    close(fds[0]);
    for (;;) {
        reply r = ask("GET", "/v1/health", NULL);
        int status = r.status;

        reply_free(&r);
        if (status == 200)
            break;
    }
    for (int i = 1; i < 4; i++)
        close(fds[i]);
    host_stop();
}

static void a_host_that_stops_ends_its_streams_in_order(void **state)
{
    reply r = {0};
    int tail_fd, idle_fd;

    (void)state;
    host_start(NULL, NULL);
    spawned("echo", "e");
    tail_fd = begin_tail("/v1/daemons/e/outputs");
    idle_fd = dial();
    host_stop();
    hears(tail_fd, &r, "{\"end\":true,\"reason\":\"the host stops\"}\n");
    reply_free(&r);
    close(tail_fd);
    close(idle_fd);
}

static void a_host_that_stops_lets_what_runs_finish(void **state)
{
    int fd;

    (void)state;
    host_start(NULL, NULL);
    spawned("gate", "g");
    fd = begin_lines("g", "");
    assert_true(say_chunk(fd, "1\n2\n", 4));
    sem_wait(&gate_entered);
    sayf(fd, "0\r\n\r\n");
    sem_post(&gate_open);
    host_stop();
    answers(hear_reply(fd), 200, "\"applied\":2");
    close(fd);
}

static void *stop_in_thread(void *arg)
{
    host_stop();
    return arg;
}

/* Then the client knows from which line on to send again. */
static void a_host_that_stops_tells_an_upload_how_far_it_came(void **state)
{
    pthread_t thread;
    int fd;

    (void)state;
    host_start(NULL, NULL);
    spawned("echo", "e");
    fd = begin_lines("e", "");
    assert_true(say_chunk(fd, "1\n2\n", 4));
    becomes("/v1/daemons/e", "events_processed", 2);
    pthread_create(&thread, NULL, stop_in_thread, NULL);
    while (access(host.path, F_OK) == 0) /* the first thing that goes */
        sched_yield();
    assert_true(say_chunk(fd, "3\n", 2));
    answers(hear_reply(fd), 503,
            "line 3: the host is being stopped; of the lines before it 2 were applied, 0 failed");
    close(fd);
    pthread_join(thread, NULL);
}

static atomic_bool hung_ended;

static void note_the_end(void *ctx, log_level level, const char *room, const char *text)
{
    (void)ctx;
    (void)level;
    (void)room;
    if (strstr(text, "the command that hung has ended"))
        atomic_store(&hung_ended, true);
}

static void a_host_that_stops_cuts_what_hangs(void **state)
{
    reply r;
    int hung, waiting, queued;

    (void)state;
    host_start(NULL, NULL);
    spawned("gate", "g");
    hung = dial();
    sayf(hung,
         "POST /v1/daemons HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{\"kind\":\"hang\"}");
    sem_wait(&gate_entered);
    waiting = dial();
    sayf(waiting, "POST /v1/daemons/g/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
    sem_wait(&gate_entered);
    queued = begin_lines("g", "");
    say_chunk(queued, "1\n", 2);
    becomes("/v1/daemons/g", "mailbox_events", 2);
    log_set_sink(note_the_end, NULL);
    api_stop(host.api, 50);
    r = hear_reply(hung);
    assert_int_equal(r.status, 0);
    r = hear_reply(waiting);
    assert_int_equal(r.status, 0);
    close(hung);
    close(waiting);
    close(queued);
    /* what was in the mailbox finishes after the API is gone, and so does the create */
    sem_post(&gate_open);
    sem_post(&gate_open);
    while (!atomic_load(&hung_ended))
        poll(NULL, 0, 1);
    log_set_sink(NULL, NULL);
    assert_int_equal(berth_daemon_count(host.rt), 2);
    berth_runtime_free(host.rt);
    rmdir(host.dir);
}

static void *ask_much(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    char name[32], body[96], target[128];

    for (int i = 0; i < 40; i++) {
        int fd;

        snprintf(name, sizeof name, "s%u-%d", seed, i);
        snprintf(body, sizeof body, "{\"kind\":\"echo\",\"name\":\"%s\"}", name);
        answers(ask("POST", "/v1/daemons", body), 201, NULL);
        snprintf(target, sizeof target, "/v1/daemons/%s/outputs", name);
        fd = begin_tail(target);
        snprintf(target, sizeof target, "/v1/daemons/%s/events?framing=lines&reply=1", name);
        answers(ask("POST", target, "a\nb\nbad\nc"), 200, "\"applied\":3,\"failed\":1");
        snprintf(target, sizeof target, "/v1/daemons/%s/snapshot", name);
        answers(ask("POST", target, NULL), 200, NULL);
        answers(ask("GET", i % 2 ? "/v1/metrics" : "/v1/daemons", NULL), 200, NULL);
        if (i % 3 == 0)
            close(fd);
        snprintf(target, sizeof target, "/v1/daemons/%s?grace_ms=1000", name);
        answers(ask("DELETE", target, NULL), 200, NULL);
        if (i % 3)
            close(fd);
    }
    return NULL;
}

static void many_clients_at_once_all_get_their_answers(void **state)
{
    pthread_t threads[6];

    (void)state;
    for (uintptr_t i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_much, (void *)i), 0);
    for (int i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    becomes("/v1/status", "streams", 0);
    becomes("/v1/status", "uploads", 0);
    assert_int_equal(number_in("/v1/status", "daemons"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(outputs_come_as_they_happen_until_the_daemon_goes),
        test(a_tail_from_the_ring_begins_with_what_is_kept),
        test(a_slow_reader_holds_nobody_up_and_is_told_what_it_missed),
        test(a_vanished_reader_is_noticed_though_nothing_happens),
        test(a_channel_is_heard_too),
        test(a_hanging_create_blocks_no_other_request),
        cmocka_unit_test(more_commands_than_the_pool_takes_are_told_to_try_again),
        cmocka_unit_test(one_client_too_many_is_told_so_and_room_is_found_again),
        cmocka_unit_test(a_host_that_stops_ends_its_streams_in_order),
        cmocka_unit_test(a_host_that_stops_lets_what_runs_finish),
        cmocka_unit_test(a_host_that_stops_tells_an_upload_how_far_it_came),
        cmocka_unit_test(a_host_that_stops_cuts_what_hangs),
        test(many_clients_at_once_all_get_their_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
