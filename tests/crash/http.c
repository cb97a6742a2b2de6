/* SPDX-License-Identifier: Apache-2.0 */
#include "crash.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int dial(const host *h)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", h->socket);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool say(int fd, const char *bytes, size_t n)
{
    while (n) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* Until the other side closes. */
static char *hear(int fd, uint64_t until, size_t *len)
{
    size_t room = 1 << 16, n = 0;
    char *text = malloc(room);

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = now_ms();
        ssize_t got;

        if (now >= until || poll(&p, 1, (int)(until - now)) <= 0)
            break;
        if (n + 1 == room)
            text = realloc(text, room *= 2);
        got = recv(fd, text + n, room - n - 1, 0);
        if (got < 0)
            break;
        if (got == 0) {
            text[n] = 0;
            *len = n;
            return text;
        }
        n += (size_t)got;
    }
    free(text);
    return NULL;
}

/* The pieces of a chunked body, put together where they lie. false: it was cut. */
static bool join_chunks(char *body, size_t *len)
{
    char *from = body, *to = body, *end = body + *len;

    while (from < end) {
        char *line = strstr(from, "\r\n");
        size_t n = strtoul(from, NULL, 16);

        if (!line || line + 2 + n > end)
            return false;
        memmove(to, line + 2, n);
        to += n;
        if (!n) {
            *to = 0;
            *len = (size_t)(to - body);
            return true;
        }
        from = line + 2 + n + 2;
    }
    return false;
}

static bool understand(char *text, size_t len, reply *r)
{
    char *body = strstr(text, "\r\n\r\n"), *length;
    size_t n;

    if (!body || sscanf(text, "HTTP/1.1 %d", &r->status) != 1)
        return false;
    if (r->status == 100) {
        char *next = body + 4;

        return understand(next, len - (size_t)(next - text), r);
    }
    *body = 0;
    body += 4;
    n = len - (size_t)(body - text);
    length = strcasestr(text, "\r\nContent-Length: ");
    if (strcasestr(text, "\r\nTransfer-Encoding: chunked")) {
        if (!join_chunks(body, &n))
            return false;
    } else if (length && strtoul(length + 18, NULL, 10) != n) {
        return false;
    }
    r->body = malloc(n + 1);
    memcpy(r->body, body, n);
    r->body[n] = 0;
    r->len = n;
    return true;
}

reply http(const host *h, const char *method, const char *path, const char *headers,
           const char *body, unsigned timeout_ms)
{
    uint64_t until = now_ms() + timeout_ms;
    int fd = dial(h);
    reply r = {0};
    char head[1024], *text = NULL;
    size_t len;
    int n;

    n = snprintf(head, sizeof head,
                 "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n",
                 method, path, body ? strlen(body) : 0, headers ? headers : "");
    if (fd >= 0 && say(fd, head, (size_t)n) && (!body || say(fd, body, strlen(body))))
        text = hear(fd, until, &len);
    if (fd >= 0)
        close(fd);
    if (!text || !understand(text, len, &r)) {
        r.status = 0;
        r.body = calloc(1, 1);
    }
    free(text);
    return r;
}

void reply_free(reply *r)
{
    free(r->body);
    r->body = NULL;
}

const char *member(const char *json, const char *name, char *out, size_t size)
{
    char key[64];
    const char *at;
    size_t n = 0;

    snprintf(key, sizeof key, "\"%s\":", name);
    at = strstr(json, key);
    if (at) {
        at += strlen(key);
        at += *at == '[';
        at += *at == '"';
        while (at[n] && !strchr("\",}]", at[n]) && n + 1 < size) {
            out[n] = at[n];
            n++;
        }
    }
    out[n] = 0;
    return out;
}

uint64_t member_u64(const char *json, const char *name)
{
    char text[32];

    return strtoull(member(json, name, text, sizeof text), NULL, 10);
}
