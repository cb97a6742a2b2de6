/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the command line: a host that answers what a test tells it to.
 */
#ifndef CLI_FAKE_H
#define CLI_FAKE_H

#include "cli_run.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#define FAKE_OK(type, body)                                                                        \
    "HTTP/1.1 200 OK\r\nContent-Type: " type "\r\nConnection: close\r\n\r\n" body
#define FAKE_JSON(body)   FAKE_OK("application/json", body)
#define FAKE_NDJSON(body) FAKE_OK("application/x-ndjson", body)
#define FAKE_CHUNKED(body)                                                                         \
    "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: "                 \
    "chunked\r\n\r\n" body
#define FAKE_ERROR(status, code, message)                                                          \
    "HTTP/1.1 " status " X\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"         \
    "{\"error\":{\"code\":\"" code "\",\"message\":\"" message "\"}}"

/* What comes when a client connects; sent whole, headers and all. */
typedef struct answer {
    const char *text;
    bool early;  /* before the request's body is read */
    bool midway; /* when the first byte of the body is there */
    bool held;   /* the connection stays open until the client closes it */
} answer;

static struct fake {
    int listener;
    pthread_t thread;
    answer answer;
    const char *snapshot; /* instead, to requests for a snapshot; or NULL */
    char head[8192];
    char *body;
    size_t body_len;
} fake;

/* The next byte of the connection. */
static inline int next_byte(FILE *in)
{
    return getc_unlocked(in);
}

static inline void keep_body(const char *ptr, size_t len)
{
    fake.body = (char *)realloc(fake.body, fake.body_len + len + 1);
    memcpy(fake.body + fake.body_len, ptr, len);
    fake.body_len += len;
    fake.body[fake.body_len] = 0;
}

static inline bool take_bytes(FILE *in, size_t len)
{
    char piece[65536];

    while (len) {
        size_t n = fread(piece, 1, len < sizeof piece ? len : sizeof piece, in);

        if (!n)
            return false;
        keep_body(piece, n);
        len -= n;
    }
    return true;
}

static inline void take_head(FILE *in)
{
    size_t len = 0;
    int c;

    while (len + 1 < sizeof fake.head && (c = next_byte(in)) != EOF) {
        fake.head[len++] = (char)c;
        fake.head[len] = 0;
        if (len >= 4 && memcmp(fake.head + len - 4, "\r\n\r\n", 4) == 0)
            return;
    }
}

static inline void take_body(FILE *in)
{
    const char *length = strcasestr(fake.head, "\r\nContent-Length: ");
    char line[64];

    if (length) {
        take_bytes(in, (size_t)atoll(length + 18));
    } else if (strcasestr(fake.head, "Transfer-Encoding: chunked")) {
        while (fgets(line, sizeof line, in)) {
            size_t size = strtoul(line, NULL, 16);

            if (!take_bytes(in, size) || !fgets(line, sizeof line, in) || !size)
                break;
        }
    }
}

static inline void serve(int fd)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    FILE *in = fdopen(fd, "r");
    const char *text;
    char drain[4096];

    take_head(in);
    free(fake.body);
    fake.body = (char *)calloc(1, 1);
    fake.body_len = 0;
    if (!fake.answer.early) {
        if (strcasestr(fake.head, "Expect: 100-continue"))
            send(fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL);
        if (fake.answer.midway)
            next_byte(in);
        else
            take_body(in);
    }
    text = fake.snapshot && strstr(fake.head, "/snapshot ") ? fake.snapshot : fake.answer.text;
    send(fd, text, strlen(text), MSG_NOSIGNAL);
    while (fake.answer.held && read(fd, drain, sizeof drain) > 0)
        continue;
    fclose(in);
}

static inline void *serve_all(void *ctx)
{
    (void)ctx;
    for (;;) {
        int fd = accept4(fake.listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0)
            return NULL;
        serve(fd);
    }
}

/* In <dir>/sock, which is also where BERTH_SOCKET points. */
static inline int fake_start(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    (void)state;
    make_dir();
    snprintf(at.sun_path, sizeof at.sun_path, "%s", in_dir("sock"));
    setenv("BERTH_SOCKET", at.sun_path, 1);
    fake.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fake.listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(fake.listener, 8) != 0)
        return -1;
    return pthread_create(&fake.thread, NULL, serve_all, NULL);
}

static inline int fake_stop(void **state)
{
    (void)state;
    shutdown(fake.listener, SHUT_RDWR);
    pthread_join(fake.thread, NULL);
    close(fake.listener);
    free(fake.body);
    memset(&fake, 0, sizeof fake);
    remove_dir();
    return 0;
}

/* Only while no client is connected. */
static inline void will(const char *text)
{
    fake.answer = (answer){.text = text};
}

#endif
