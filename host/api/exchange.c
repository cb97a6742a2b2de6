/* SPDX-License-Identifier: Apache-2.0 */
#include "api/exchange.h"
#include "api/emit.h"
#include "api/orders.h"
#include "base/clock.h"
#include "base/error.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

void *exchange_open(void *cls, const char *uri, struct MHD_Connection *connection)
{
    api *a = (api *)cls;
    exchange *e = calloc(1, sizeof *e);

    if (!e)
        return NULL;
    e->raw = strdup(uri);
    if (!e->raw) {
        free(e);
        return NULL;
    }
    e->r.api = a;
    e->refs = 1;
    e->connection = connection;
    e->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    pthread_mutex_init(&e->lock, NULL);
    pthread_mutex_lock(&a->lock);
    e->next = a->open;
    if (e->next)
        e->next->prev = e;
    a->open = e;
    a->open_count++;
    pthread_mutex_unlock(&a->lock);
    return e;
}

request *request_ref(request *r)
{
    atomic_fetch_add_explicit(&exchange_of(r)->refs, 1, memory_order_relaxed);
    return r;
}

void request_unref(request *r)
{
    exchange *e = exchange_of(r);

    if (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (r->drop)
        r->drop(r->state);
    if (e->response)
        MHD_destroy_response(e->response);
    writer_free(&e->text);
    writer_free(&r->body);
    pthread_mutex_destroy(&e->lock);
    free(e->raw);
    free(e);
}

static unsigned status_slot(unsigned status)
{
    switch (status) {
#define API_STATUS_CASE(code)                                                                      \
    case code:                                                                                     \
        return API_STATUS_##code;
        API_STATUSES(API_STATUS_CASE)
#undef API_STATUS_CASE
    default:
        return API_STATUS_OTHER;
    }
}

void exchange_close(void *cls, struct MHD_Connection *connection, void **own,
                    enum MHD_RequestTerminationCode why)
{
    api *a = (api *)cls;
    exchange *e = (exchange *)*own;
    unsigned row, slot;

    (void)connection;
    (void)why;
    if (!e)
        return;
    *own = NULL;
    pthread_mutex_lock(&a->lock);
    if (e->next)
        e->next->prev = e->prev;
    if (e->prev)
        e->prev->next = e->next;
    else
        a->open = e->next;
    if (!--a->open_count)
        pthread_cond_broadcast(&a->change);
    pthread_mutex_unlock(&a->lock);
    pthread_mutex_lock(&e->lock);
    e->connection = NULL;
    e->parked = false;
    pthread_mutex_unlock(&e->lock);
    row = e->r.route ? (unsigned)(e->r.route - api_routes) : API_ROUTES_MAX;
    slot = e->job ? API_STATUS_OTHER : status_slot(e->status);
    atomic_fetch_add_explicit(&a->requests[row][slot], 1, memory_order_relaxed);
    if (!e->job && e->r.drop) {
        e->r.drop(e->r.state);
        e->r.drop = NULL;
    }
    request_unref(&e->r);
}

bool request_cut(const request *r)
{
    return atomic_load(&((const exchange *)r)->gone) || atomic_load(&r->api->phase) == API_CUTS;
}

bool request_park(request *r)
{
    exchange *e = exchange_of(r);
    bool parks = false;

    pthread_mutex_lock(&e->lock);
    if (e->woken) {
        e->woken = false;
    } else if (!request_cut(r)) {
        e->parked = parks = true;
        MHD_suspend_connection(e->connection);
    }
    pthread_mutex_unlock(&e->lock);
    return parks;
}

void request_wake(request *r)
{
    exchange *e = exchange_of(r);

    pthread_mutex_lock(&e->lock);
    if (e->parked) {
        e->parked = false;
        MHD_resume_connection(e->connection);
    } else {
        e->woken = true;
    }
    pthread_mutex_unlock(&e->lock);
}

static bool client_left(exchange *e)
{
    struct pollfd p = {.fd = e->fd};
    bool parked;

    pthread_mutex_lock(&e->lock);
    parked = e->parked;
    pthread_mutex_unlock(&e->lock);
    return parked && poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR);
}

static void wake_each(api *a, bool only_gone)
{
    pthread_mutex_lock(&a->lock);
    for (exchange *e = a->open; e; e = e->next) {
        if (only_gone && !client_left(e))
            continue;
        if (only_gone)
            atomic_store(&e->gone, true);
        request_wake(&e->r);
    }
    pthread_mutex_unlock(&a->lock);
}

void exchange_wake_all(api *a)
{
    wake_each(a, false);
}

void exchange_find_gone(api *a)
{
    wake_each(a, true);
}

/* ---- The answer ------------------------------------------------------------------------------ */

/*
 * The library answers only after the upload. A refusal of a long one goes out directly, so that the
 * client hears it now; what it still sends is read and forgotten for a moment, since closing at
 * once could cost it the answer.
 */
static void tell(exchange *e)
{
    char head[256];
    struct iovec parts[2] = {{head, 0}, {e->text.data, e->text.len}};
    struct msghdr whole = {.msg_iov = parts, .msg_iovlen = 2};

    parts[0].iov_len =
        (size_t)snprintf(head, sizeof head,
                         "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nContent-Length: "
                         "%zu\r\nConnection: close\r\n\r\n",
                         e->status, MHD_get_reason_phrase_for(e->status), e->text.len);
    (void)sendmsg(e->fd, &whole, MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(e->fd, SHUT_WR);
    e->told_ns = clock_mono_ns();
    MHD_set_connection_option(e->connection, MHD_CONNECTION_OPTION_TIMEOUT, 2u);
}

static enum MHD_Result send_answer(exchange *e)
{
    struct MHD_Response *response = e->response;
    enum MHD_Result result;

    if (!response) {
        response =
            MHD_create_response_from_buffer(e->text.len, e->text.data, MHD_RESPMEM_MUST_FREE);
        if (!response)
            return MHD_NO;
        e->text = (writer){0};
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    }
    e->response = NULL;
    for (unsigned i = 0; i < e->header_count; i++)
        MHD_add_response_header(response, e->headers[i].name, e->headers[i].value);
    if (e->close || atomic_load(&e->r.api->phase) != API_RUNS)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    if (e->status == 503)
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    result = MHD_queue_response(e->connection, e->status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- The way through ------------------------------------------------------------------------- */

static void collect(exchange *e, const uint8_t *data, size_t n)
{
    request *r = &e->r;
    char text[128];

    if (n > e->body_max - r->body.len) {
        snprintf(text, sizeof text, "%s: longer than %llu bytes, which is the most here%s",
                 exchange_body_name(e), (unsigned long long)e->body_max, exchange_body_limit(e));
        exchange_refuse(e, 413, BERTH_ERR_LIMIT, text);
        return;
    }
    if (!r->body.cap && e->body_left != UINT64_MAX)
        emit_room(&r->body, e->body_left < (1 << 20) ? (size_t)e->body_left : 1 << 20);
    if (emit_room(&r->body, n)) {
        memcpy(r->body.data + r->body.len, data, n);
        r->body.len += n;
    } else {
        exchange_refuse(e, 500, BERTH_ERR_NO_MEMORY, "body: out of memory");
    }
}

/* A piece of the body. */
static enum MHD_Result take(exchange *e, const uint8_t *data, size_t *size)
{
    request *r = &e->r;
    size_t used = 0;

    if (e->told_ns) {
        *size = 0;
        return clock_mono_ns() - e->told_ns < EXCHANGE_LINGER_NS ? MHD_YES : MHD_NO;
    }
    if (!e->answered && !r->upload) {
        collect(e, data, *size);
        used = *size;
    }
    while (!e->answered && used < *size) {
        used += r->upload(r, data + used, *size - used);
        if (e->answered || used == *size)
            break;
        if (request_park(r))
            break;
        if (request_cut(r))
            return MHD_NO;
    }
    if (e->answered)
        used = *size;
    if (e->body_left != UINT64_MAX)
        e->body_left -= used < e->body_left ? used : e->body_left;
    atomic_fetch_add_explicit(&r->api->received_bytes, used, memory_order_relaxed);
    *size -= used;
    if (e->answered && e->status >= 400 && e->body_left > EXCHANGE_DISCARD)
        tell(e);
    return MHD_YES;
}

static bool ready(exchange *e)
{
    if (e->job && atomic_load_explicit(&e->job_done, memory_order_acquire))
        e->job = NULL;
    return !e->job && e->answered;
}

/* The body is there. */
static enum MHD_Result end(exchange *e)
{
    request *r = &e->r;

    if (e->told_ns)
        return MHD_NO;
    if (!e->ended) {
        e->ended = true;
        if (!e->answered)
            r->route->run(r);
    } else if (!ready(e) && !e->job && r->next) {
        r->next(r);
    }
    while (!ready(e)) {
        if (!e->job && !r->next) {
            exchange_refuse(e, 500, BERTH_ERR_INTERNAL, "the request was left without an answer");
            break;
        }
        if (request_park(r))
            return MHD_YES;
        if (request_cut(r))
            return MHD_NO;
        if (!ready(e) && !e->job && r->next)
            r->next(r);
    }
    return send_answer(e);
}

enum MHD_Result exchange_handle(void *cls, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *size, void **own)
{
    exchange *e = (exchange *)*own;

    (void)cls;
    (void)connection;
    (void)url;
    (void)version;
    if (!e)
        return MHD_NO;
    if (!e->begun) {
        e->begun = true;
        exchange_begin(e, method);
        if (!e->answered)
            return MHD_YES;
        if (!e->body_left || e->expects)
            return send_answer(e);
        if (e->body_left > EXCHANGE_DISCARD)
            tell(e);
        return MHD_YES;
    }
    if (request_cut(&e->r))
        return MHD_NO;
    return *size ? take(e, (const uint8_t *)data, size) : end(e);
}
