/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the API: a host without a node around it, kinds that do what a test wants, and an
 * HTTP client that can also do what no library would.
 */
#ifndef TESTS_API_CLIENT_H
#define TESTS_API_CLIENT_H

#include "api/api.h"
#include "base/clock.h"
#include "base/json.h"

#include <poll.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- Kinds ----------------------------------------------------------------------------------- */

/* echo: outputs its input; refuses "bad". gate: each event waits for the operator to open. hang:
 * create waits for the same. flood: a decimal number N as event gives an output of N bytes. */
static sem_t gate_entered, gate_open;

static inline berth_code plain_create(berth_call *call, const berth_birth *birth, void **self)
{
    (void)call;
    (void)birth;
    *self = malloc(1);
    return BERTH_OK;
}

static inline berth_code hang_create(berth_call *call, const berth_birth *birth, void **self)
{
    sem_post(&gate_entered);
    sem_wait(&gate_open);
    return plain_create(call, birth, self);
}

static inline void plain_destroy(void *self, berth_call *call)
{
    (void)call;
    free(self);
}

static inline berth_code echo_process(void *self, berth_call *call, const berth_event *event)
{
    (void)self;
    if (event->data.len == 3 && memcmp(event->data.ptr, "bad", 3) == 0)
        return (call->api->fail)(call, BERTH_E_REJECT, "that is a bad word", 18);
    return call->api->emit(call, event->data.ptr, event->data.len);
}

static inline berth_code echo_control(void *self, berth_call *call, const berth_event *event)
{
    (void)self;
    (void)call;
    (void)event;
    return BERTH_OK;
}

static inline berth_code gate_process(void *self, berth_call *call, const berth_event *event)
{
    (void)self;
    (void)call;
    (void)event;
    sem_post(&gate_entered);
    sem_wait(&gate_open);
    sem_post(&gate_open); /* open stays open */
    return BERTH_OK;
}

static inline berth_code flood_process(void *self, berth_call *call, const berth_event *event)
{
    char digits[32] = "";
    uint64_t n;
    void *room;

    (void)self;
    memcpy(digits, event->data.ptr, event->data.len < 31 ? event->data.len : 31);
    n = strtoull(digits, NULL, 10);
    room = call->api->reserve(call, n);
    if (!room)
        return BERTH_E_LIMIT;
    memset(room, 'x', n);
    return call->api->commit(call, n);
}

#define KIND_NAME(text)                                                                            \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
static const berth_kind api_test_kinds[] = {
    {.size = sizeof(berth_kind),
     .name = KIND_NAME("echo"),
     .create = plain_create,
     .destroy = plain_destroy,
     .process = echo_process,
     .on_control = echo_control},
    {.size = sizeof(berth_kind),
     .name = KIND_NAME("gate"),
     .create = plain_create,
     .destroy = plain_destroy,
     .process = gate_process},
    {.size = sizeof(berth_kind),
     .name = KIND_NAME("hang"),
     .create = hang_create,
     .destroy = plain_destroy,
     .process = echo_process},
    {.size = sizeof(berth_kind),
     .name = KIND_NAME("flood"),
     .create = plain_create,
     .destroy = plain_destroy,
     .process = flood_process},
};

/* ---- The host -------------------------------------------------------------------------------- */

typedef struct fixture {
    char dir[64], path[96];
    berth_runtime *rt;
    api *api;
} fixture;

static fixture host;

static inline berth_status test_load(void *ctx, const char *path, bool allow_downgrade,
                                     api_loaded *out, berth_error *error)
{
    (void)ctx;
    (void)out;
    (void)error;
    snprintf(error->text, sizeof error->text, "%s: not signed%s", path,
             allow_downgrade ? " (downgrade)" : "");
    return error->code = BERTH_ERR_SIGNATURE;
}

static inline api_config test_config(void)
{
    return (api_config){.socket = host.path,
                        .rt = host.rt,
                        .name = "test \"host\"",
                        .node_id = 0xabc,
                        .started_wall_ns = clock_wall_ns(),
                        .started_mono_ns = clock_mono_ns(),
                        .load = test_load,
                        .tick_ms = 20};
}

/* Start the runtime with the kinds above, and the API with this configuration (NULL: test_config).
 */
static inline void host_start(const api_config *config, const berth_runtime_config *limits)
{
    berth_error error = {0};
    api_config usual;

    sem_init(&gate_entered, 0, 0);
    sem_init(&gate_open, 0, 0);
    strcpy(host.dir, "/tmp/berth-api-XXXXXX");
    assert_non_null(mkdtemp(host.dir));
    snprintf(host.path, sizeof host.path, "%s/host.sock", host.dir);
    if (berth_runtime_new(limits, &host.rt, &error))
        fail_msg("%s", error.text);
    for (size_t i = 0; i < sizeof api_test_kinds / sizeof *api_test_kinds; i++)
        if (berth_register_factory(host.rt, &api_test_kinds[i], &error))
            fail_msg("%s", error.text);
    if (berth_runtime_start(host.rt, &error))
        fail_msg("%s", error.text);
    usual = test_config();
    if (config) {
        usual = *config;
        usual.socket = host.path;
        usual.rt = host.rt;
    }
    if (api_start(&usual, &host.api, &error))
        fail_msg("%s", error.text);
}

static inline void host_stop(void)
{
    api_stop(host.api, 10000);
    host.api = NULL;
    sem_post(&gate_open);
    berth_runtime_free(host.rt);
    host.rt = NULL;
    assert_int_equal(access(host.path, F_OK), -1);
    assert_int_equal(rmdir(host.dir), 0);
}

static inline int start(void **state)
{
    (void)state;
    host_start(NULL, NULL);
    return 0;
}

static inline int stop(void **state)
{
    (void)state;
    host_stop();
    return 0;
}

/* ---- The client ------------------------------------------------------------------------------ */

static inline int dial(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    strcpy(to.sun_path, host.path);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* Whether all of it could be sent: the other side may close. */
static inline bool say(int fd, const void *bytes, size_t n)
{
    const char *p = (const char *)bytes;

    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

        if (sent < 0)
            return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

static inline bool sayf(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline bool sayf(int fd, const char *format, ...)
{
    char text[4096];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert_true(n >= 0 && n < (int)sizeof text);
    return say(fd, text, (size_t)n);
}

typedef struct reply {
    int status; /* 0: nothing came */
    char head[4096];
    char *body; /* zero-terminated */
    size_t len;
} reply;

static inline void reply_free(reply *r)
{
    free(r->body);
    memset(r, 0, sizeof *r);
}

/* One byte at a time: tests are small. */
static inline bool hear(int fd, void *out, size_t n)
{
    char *p = (char *)out;

    while (n) {
        ssize_t got = recv(fd, p, n, 0);

        if (got <= 0)
            return false;
        p += got;
        n -= (size_t)got;
    }
    return true;
}

static inline bool hear_line(int fd, char *out, size_t cap)
{
    size_t n = 0;

    for (;;) {
        if (n + 1 >= cap || !hear(fd, out + n, 1))
            return false;
        if (out[n++] == '\n')
            break;
    }
    out[n] = '\0';
    return true;
}

static inline bool hear_head(int fd, reply *r)
{
    size_t n = 0;

    r->status = 0;
    for (;;) {
        if (!hear_line(fd, r->head + n, sizeof r->head - n))
            return false;
        if (strcmp(r->head + n, "\r\n") == 0)
            break;
        n += strlen(r->head + n);
    }
    return sscanf(r->head, "HTTP/1.1 %d", &r->status) == 1;
}

/* The next chunk of a chunked body, appended; false at the end, or when the stream is cut (*cut).
 */
static inline bool hear_chunk(int fd, reply *r, bool *cut)
{
    char line[32];
    size_t n;

    *cut = true;
    if (!hear_line(fd, line, sizeof line))
        return false;
    n = strtoul(line, NULL, 16);
    r->body = realloc(r->body, r->len + n + 1);
    assert_non_null(r->body);
    if (!hear(fd, r->body + r->len, n) || !hear_line(fd, line, sizeof line))
        return false;
    r->len += n;
    r->body[r->len] = '\0';
    *cut = false;
    return n > 0;
}

static inline reply hear_reply(int fd)
{
    reply r = {0};
    const char *length;
    bool cut;

    do {
        if (!hear_head(fd, &r))
            return r;
    } while (r.status == 100);
    if (strstr(r.head, "Transfer-Encoding: chunked")) {
        while (hear_chunk(fd, &r, &cut))
            ;
        assert_false(cut);
        return r;
    }
    length = strstr(r.head, "Content-Length: ");
    if (length) {
        r.len = strtoul(length + 16, NULL, 10);
        r.body = calloc(1, r.len + 1);
        assert_non_null(r.body);
        assert_true(hear(fd, r.body, r.len));
    }
    return r;
}

/* One request on a connection of its own. body NULL: none. */
static inline reply ask_with(const char *method, const char *target, const char *headers,
                             const void *body, size_t len)
{
    int fd = dial();
    reply r;

    sayf(fd, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s", method, target,
         headers ? headers : "");
    if (body)
        sayf(fd, "Content-Length: %zu\r\n", len);
    sayf(fd, "\r\n");
    if (body)
        say(fd, body, len);
    r = hear_reply(fd);
    close(fd);
    return r;
}

static inline reply ask(const char *method, const char *target, const char *body)
{
    return ask_with(method, target, NULL, body, body ? strlen(body) : 0);
}

/* The answer must have this status, and this text in it. */
static inline void answers(reply r, int status, const char *part)
{
    if (r.status != status || (part && (!r.body || !strstr(r.body, part))))
        fail_msg("status %d, body '%s'; wanted %d with '%s'", r.status, r.body ? r.body : "(none)",
                 status, part ? part : "");
    reply_free(&r);
}

static inline void spawned(const char *kind, const char *name)
{
    char body[256];

    snprintf(body, sizeof body, "{\"kind\":\"%s\",\"name\":\"%s\"}", kind, name);
    answers(ask("POST", "/v1/daemons", body), 201, "\"state\":\"running\"");
}

/* A number from a JSON answer: the first member of that name. */
static inline uint64_t number_in(const char *target, const char *name)
{
    reply r = ask("GET", target, NULL);
    char key[64];
    const char *at;
    uint64_t value;

    snprintf(key, sizeof key, "\"%s\":", name);
    assert_int_equal(r.status, 200);
    at = strstr(r.body, key);
    assert_non_null(at);
    value = strtoull(at + strlen(key), NULL, 10);
    reply_free(&r);
    return value;
}

/* Look again until the number is there; a test that hangs here has failed. */
static inline void becomes(const char *target, const char *name, uint64_t value)
{
    while (number_in(target, name) != value)
        poll(NULL, 0, 1);
}

/* ---- Bodies and streams -----------------------------------------------------------------------
 */

/* Send a chunked body's piece. */
static inline bool say_chunk(int fd, const void *bytes, size_t n)
{
    return sayf(fd, "%zx\r\n", n) && say(fd, bytes, n) && sayf(fd, "\r\n");
}

static inline int begin_lines(const char *daemon, const char *query)
{
    int fd = dial();

    sayf(fd,
         "POST /v1/daemons/%s/events?framing=lines%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
         "chunked\r\n\r\n",
         daemon, query);
    return fd;
}

static inline int begin_tail(const char *target)
{
    int fd = dial();
    reply r = {0};

    sayf(fd, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", target);
    assert_true(hear_head(fd, &r)); /* before there is anything to read */
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(r.head, "application/x-ndjson"));
    return fd;
}

/* Read on until this text has come. */
static inline void hears(int fd, reply *r, const char *part)
{
    bool cut;

    while (!r->body || !strstr(r->body, part))
        if (!hear_chunk(fd, r, &cut))
            fail_msg("the stream ended before '%s': %s", part, r->body ? r->body : "");
}

#define test(f) cmocka_unit_test_setup_teardown(f, start, stop)

#endif
