/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/client.h"

#include "base/clock.h"
#include "base/cursor.h"
#include "base/error.h"
#include "base/paths.h"
#include "cli/progress.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    UPLOAD_BUFFER = 2 << 20, /* the largest that libcurl takes */
    ANSWER_BUFFER = 512 << 10,
    ERROR_MAX = 1 << 20,    /* bytes of an error's body that are read */
    ANSWER_MAX = 512 << 20, /* bytes of an answer that is held in memory: a list of daemons */
    TICK_MS = 100,
};

struct client {
    char socket[PATHS_SOCKET_MAX];
    CURL *easy;
    CURLM *multi;
};

/* One request on its way. */
typedef struct transfer {
    client *client;
    const client_request *request;
    struct curl_slist *headers;
    progress progress;
    writer failure;   /* body of an answer that is no success */
    int read_errno;   /* of reading the upload */
    int signals;      /* signalfd for SIGINT, or -1 */
    bool waits;       /* for the upload's descriptor to have something */
    bool refused;     /* the answer is a no: nothing more need be sent */
    bool failed;      /* the answer's status is no success */
    bool ended;       /* well, by the sink ... */
    bool interrupted; /* ... or by an interrupt or a reader that left */
} transfer;

berth_status client_status_of(const char *name)
{
#define NAMED(symbol, value, text)                                                                 \
    if (strcmp(name, #symbol) == 0)                                                                \
        return value;
    BERTH_STATUS_TABLE(NAMED)
#undef NAMED
    return BERTH_ERR_INTERNAL;
}

berth_status client_read_error(slice body, long http_status, berth_error *error)
{
    struct json_object *whole = NULL, *inner = NULL;
    slice code = {0}, message = {0};
    berth_status status;

    if (json_parse(body, ERROR_MAX, &whole, NULL) == BERTH_OK &&
        json_object_is_type(whole, json_type_object) &&
        json_get_object(whole, "", "error", JSON_REQUIRED, &inner, NULL) == BERTH_OK &&
        json_get_string(inner, "error", "code", JSON_REQUIRED, &code, NULL) == BERTH_OK &&
        json_get_string(inner, "error", "message", JSON_REQUIRED, &message, NULL) == BERTH_OK)
        status = fail(error, client_status_of((const char *)code.ptr), "%s",
                      message.len ? (const char *)message.ptr : (const char *)code.ptr);
    else
        status =
            fail(error, BERTH_ERR_INTERNAL,
                 "the answer (HTTP status %ld) is none that a berth host gives: is it one that "
                 "listens at this socket?",
                 http_status);
    json_object_put(whole);
    return status;
}

char *client_path(const char *format, ...)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    writer w = {0};
    va_list args;

    va_start(args, format);
    for (; *format; format++) {
        if (*format != '%') {
            writer_u8(&w, (uint8_t)*format);
            continue;
        }
        format++; /* the s */
        for (const char *at = va_arg(args, const char *); *at; at++) {
            char digits[4];

            snprintf(digits, sizeof digits, "%%%02X", (unsigned char)*at);
            writer_bytes(&w, strchr(plain, *at) ? at : digits, strchr(plain, *at) ? 1 : 3);
        }
    }
    va_end(args);
    writer_u8(&w, 0);
    if (w.failed)
        abort();
    return (char *)w.data;
}

berth_status client_open(client **out, const cli_invocation *inv, berth_error *error)
{
    const char *said = cli_value(inv, "socket");
    client *c = (client *)calloc(1, sizeof *c);
    berth_status status = BERTH_OK;

    *out = NULL;
    if (!c)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (!said)
        status = paths_socket(c->socket, sizeof c->socket, error);
    else if (strlen(said) >= sizeof c->socket)
        status = fail(error, BERTH_ERR_INVALID,
                      "--socket: the path is longer than %d bytes, which no Unix socket can have",
                      PATHS_SOCKET_MAX - 1);
    else
        strcpy(c->socket, said);
    if (status == BERTH_OK && (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 ||
                               !(c->easy = curl_easy_init()) || !(c->multi = curl_multi_init())))
        status = fail(error, BERTH_ERR_INTERNAL, "libcurl could not be started");
    if (status == BERTH_OK)
        *out = c;
    else
        client_close(c);
    return status;
}

void client_close(client *c)
{
    if (!c)
        return;
    curl_easy_cleanup(c->easy);
    curl_multi_cleanup(c->multi);
    free(c);
}

const char *client_socket(const client *c)
{
    return c->socket;
}

/* ---- What libcurl calls ---------------------------------------------------------------------- */

static size_t give_body(char *out, size_t size, size_t count, void *ctx)
{
    transfer *t = (transfer *)ctx;
    struct pollfd ready = {.fd = t->request->fd, .events = POLLIN};
    ssize_t n;

    if (t->refused)
        return 0;
    /* A pipe that has nothing now must not keep us from hearing the host. */
    if (poll(&ready, 1, 0) == 0) {
        t->waits = true;
        return CURL_READFUNC_PAUSE;
    }
    do
        n = read(t->request->fd, out, size * count);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        t->waits = true;
        return CURL_READFUNC_PAUSE;
    }
    if (n < 0) {
        t->read_errno = errno;
        return CURL_READFUNC_ABORT;
    }
    return (size_t)n;
}

static size_t take_answer(char *ptr, size_t size, size_t count, void *ctx)
{
    transfer *t = (transfer *)ctx;
    size_t len = size * count;
    long status = 0;

    curl_easy_getinfo(t->client->easy, CURLINFO_RESPONSE_CODE, &status);
    t->failed = status < 200 || status > 299;
    if (t->failed) {
        if (len <= ERROR_MAX - t->failure.len)
            writer_bytes(&t->failure, ptr, len);
        return len;
    }
    if (t->request->sink && !t->request->sink(t->request->ctx, slice_of(ptr, len))) {
        t->ended = true;
        return len + 1; /* which is what makes libcurl stop */
    }
    return len;
}

static int show_progress(void *ctx, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
                         curl_off_t up)
{
    transfer *t = (transfer *)ctx;
    bool sends = t->request->stream || up > down;

    progress_update(&t->progress, (uint64_t)(sends ? up : down),
                    (uint64_t)(sends ? up_all : down_all), clock_mono_ns());
    return 0;
}

/* ---- Preparing ------------------------------------------------------------------------------- */

/* Bytes from where a regular file stands to its end, or -1: unknown. */
static curl_off_t body_length(int fd)
{
    struct stat st;
    off_t at;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (at = lseek(fd, 0, SEEK_CUR)) < 0)
        return -1;
    return st.st_size > at ? st.st_size - at : 0;
}

static bool add_header(transfer *t, const char *line)
{
    struct curl_slist *list = curl_slist_append(t->headers, line);

    t->headers = list ? list : t->headers;
    return list != NULL;
}

static bool prepare_body(transfer *t)
{
    const client_request *r = t->request;
    CURL *easy = t->client->easy;
    char line[128];

    if (!r->stream && !(r->method && strcmp(r->method, "POST") == 0))
        return true;
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    if (r->stream) {
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, give_body);
        curl_easy_setopt(easy, CURLOPT_READDATA, t);
        curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BUFFER);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, body_length(r->fd));
        if (body_length(r->fd) < 0 && !add_header(t, "Transfer-Encoding: chunked"))
            return false;
    } else {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body.len ? (const char *)r->body.ptr : "");
    }
    snprintf(line, sizeof line, "Content-Type: %s",
             r->content_type ? r->content_type : "application/octet-stream");
    return add_header(t, line);
}

static bool prepare(transfer *t, const char *url)
{
    const client_request *r = t->request;
    CURL *easy = t->client->easy;

    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, t->client->socket);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)ANSWER_BUFFER);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, show_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, t->progress.terminal ? 0L : 1L);
    if (!prepare_body(t))
        return false;
    if (r->method)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, r->method);
    for (size_t i = 0; i < sizeof r->headers / sizeof *r->headers && r->headers[i]; i++) {
        if (!add_header(t, r->headers[i]))
            return false;
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
    return true;
}

/* ---- Running --------------------------------------------------------------------------------- */

/* What is to be watched beside libcurl's own sockets. */
static unsigned watch(const transfer *t, struct curl_waitfd fds[3])
{
    unsigned n = 0;

    if (t->waits)
        fds[n++] = (struct curl_waitfd){.fd = t->request->fd, .events = CURL_WAIT_POLLIN};
    if (t->signals >= 0)
        fds[n++] = (struct curl_waitfd){.fd = t->signals, .events = CURL_WAIT_POLLIN};
    return n;
}

/* Standard output is a pipe whose reader has gone: nothing we print is of use any more. */
static bool nobody_reads(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};

    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

static void look(transfer *t)
{
    struct pollfd in = {.fd = t->request->fd, .events = POLLIN};
    struct pollfd interrupt = {.fd = t->signals, .events = POLLIN};
    long status = 0;

    if (t->signals >= 0 && (poll(&interrupt, 1, 0) > 0 || nobody_reads()))
        t->ended = t->interrupted = true;
    curl_easy_getinfo(t->client->easy, CURLINFO_RESPONSE_CODE, &status);
    t->refused = status >= 400;
    /* An upload that waits keeps libcurl from ending, even when the answer is no. */
    if (t->waits && (t->refused || poll(&in, 1, 0) > 0)) {
        t->waits = false;
        curl_easy_pause(t->client->easy, CURLPAUSE_CONT);
    }
}

static CURLcode run_to_end(transfer *t)
{
    CURLM *multi = t->client->multi;
    CURLcode result = CURLE_OK;
    CURLMcode code = curl_multi_add_handle(multi, t->client->easy);
    int running = 1;

    while (code == CURLM_OK && running && !t->ended) {
        struct curl_waitfd fds[3];

        code = curl_multi_perform(multi, &running);
        if (code != CURLM_OK || !running)
            break;
        look(t);
        if (!t->ended)
            code = curl_multi_poll(multi, fds, watch(t, fds), TICK_MS, NULL);
    }
    for (int left = 1; left;) {
        const CURLMsg *message = curl_multi_info_read(multi, &left);

        if (message && message->msg == CURLMSG_DONE)
            result = message->data.result;
    }
    curl_multi_remove_handle(multi, t->client->easy);
    return code == CURLM_OK ? result : CURLE_FAILED_INIT;
}

static berth_status explain(transfer *t, CURLcode result, berth_error *error)
{
    const char *socket = t->client->socket;
    long status = 0, system = 0;

    curl_easy_getinfo(t->client->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->client->easy, CURLINFO_OS_ERRNO, &system);
    if (t->ended)
        return BERTH_OK;
    if (t->read_errno)
        return fail_errno(error, t->read_errno, "reading what is to be sent");
    /* The host may answer and close before it has read everything. */
    if (t->failed && t->failure.len)
        return client_read_error(slice_of(t->failure.data, t->failure.len), status, error);
    if (result == CURLE_OK)
        return status >= 200 && status <= 299 ? BERTH_OK
                                              : client_read_error((slice){0}, status, error);
    if (result == CURLE_COULDNT_CONNECT && (system == EACCES || system == EPERM))
        return fail(error, BERTH_ERR_PERMISSION,
                    "%s: permission denied: only the user that runs the host, and root, may use "
                    "its socket",
                    socket);
    if (result == CURLE_COULDNT_CONNECT)
        return fail(error, BERTH_ERR_NO_HOST,
                    "no host answers at %s: start one with 'berth run', or say where it listens "
                    "with --socket",
                    socket);
    if (result == CURLE_PARTIAL_FILE && t->request->stream && !status)
        return fail(error, BERTH_ERR_IO, "the file became shorter while it was sent");
    if (result == CURLE_GOT_NOTHING || result == CURLE_RECV_ERROR || result == CURLE_SEND_ERROR ||
        result == CURLE_PARTIAL_FILE)
        return fail(error, BERTH_ERR_LOST, "the host at %s went away before it had answered",
                    socket);
    return fail(error, BERTH_ERR_IO, "%s: %s", socket, curl_easy_strerror(result));
}

/* SIGINT as a descriptor, so that it ends the wait and nothing else. */
static int catch_interrupt(sigset_t *before)
{
    sigset_t interrupt;

    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, before);
    return signalfd(-1, &interrupt, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void release_interrupt(int fd, const sigset_t *before)
{
    struct signalfd_siginfo info;

    /* Take the signal, or it would come now. */
    if (fd >= 0) {
        while (read(fd, &info, sizeof info) > 0)
            continue;
        close(fd);
    }
    sigprocmask(SIG_SETMASK, before, NULL);
}

berth_status client_run(client *c, const client_request *request, berth_error *error)
{
    transfer t = {.client = c, .request = request, .signals = -1};
    berth_status status;
    sigset_t before;
    char *url = NULL;

    if (asprintf(&url, "http://berth%s", request->path) < 0)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (request->until_interrupted)
        t.signals = catch_interrupt(&before);
    progress_begin(&t.progress, request->progress, clock_mono_ns());
    if (prepare(&t, url))
        status = explain(&t, run_to_end(&t), error);
    else
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    progress_end(&t.progress);
    if (request->interrupted)
        *request->interrupted = t.interrupted;
    if (request->http_status)
        curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, request->http_status);
    if (request->until_interrupted)
        release_interrupt(t.signals, &before);
    curl_slist_free_all(t.headers);
    writer_free(&t.failure);
    free(url);
    return status;
}

static bool collect(void *ctx, slice piece)
{
    writer *w = (writer *)ctx;

    if (piece.len > ANSWER_MAX - w->len)
        w->failed = true;
    writer_bytes(w, piece.ptr, piece.len);
    return !w->failed;
}

berth_status client_json(client *c, const client_request *request, struct json_object **out,
                         berth_error *error)
{
    client_request collecting = *request;
    writer body = {0};
    berth_status status;

    *out = NULL;
    collecting.sink = collect;
    collecting.ctx = &body;
    status = client_run(c, &collecting, error);
    if (status == BERTH_OK && body.failed)
        status = fail(error, BERTH_ERR_LIMIT, "the answer is larger than memory allows");
    if (status == BERTH_OK) {
        status = json_parse(slice_of(body.data, body.len), ANSWER_MAX, out, error);
        if (status != BERTH_OK)
            fail_prefix(error, "the host's answer");
    }
    writer_free(&body);
    return status;
}
