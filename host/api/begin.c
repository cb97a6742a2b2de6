/* SPDX-License-Identifier: Apache-2.0 */
/* The begin of an exchange: who asks, for what, and whether the body may come. */
#include "api/emit.h"
#include "api/exchange.h"
#include "api/orders.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* What is known of a connection from its begin, in the library's pointer. */
enum { CONNECTION_KNOWN = 1, CONNECTION_FOREIGN = 2, CONNECTION_CROWDED = 4 };

void exchange_connection(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_ConnectionNotificationCode what)
{
    api *a = (api *)cls;
    uintptr_t flags = CONNECTION_KNOWN;
    int fd;

    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if ((uintptr_t)*context & CONNECTION_KNOWN)
            atomic_fetch_sub(&a->connections, 1);
        return;
    }
    fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    if (!peer_allowed(fd, a->uid))
        flags |= CONNECTION_FOREIGN;
    if (atomic_fetch_add(&a->connections, 1) >= a->config.max_clients)
        flags |= CONNECTION_CROWDED;
    *context = (void *)flags;
}

void exchange_refuse(exchange *e, unsigned status, berth_status code, const char *text)
{
    berth_error error = {0};

    fail(&error, code, "%s", text);
    request_fail_as(&e->r, status, &error);
}

const char *exchange_body_name(const exchange *e)
{
    api_body kind = e->r.route->body;

    return kind == BODY_SNAPSHOT                       ? "the snapshot"
           : kind == BODY_EVENT || kind == BODY_STREAM ? "the event"
                                                       : "body";
}

const char *exchange_body_limit(const exchange *e)
{
    api_body kind = e->r.route->body;

    return kind == BODY_SNAPSHOT                       ? ": limits { max_state } says so"
           : kind == BODY_EVENT || kind == BODY_STREAM ? ": limits { max_event } says so"
                                                       : "";
}

/* What the headers say about the body. */
static void read_headers(exchange *e)
{
    const char *length = request_get_header(&e->r, MHD_HTTP_HEADER_CONTENT_LENGTH);
    const char *coding = request_get_header(&e->r, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    const char *expect = request_get_header(&e->r, MHD_HTTP_HEADER_EXPECT);

    e->expects = expect && strcasecmp(expect, "100-continue") == 0;
    e->body_left = coding ? UINT64_MAX : length ? strtoull(length, NULL, 10) : 0;
}

/* Whether there may be a body, and of that length. */
static void begin_body(exchange *e)
{
    request *r = &e->r;
    const api_config *limits = &r->api->config;
    char text[128];

    switch (r->route->body) {
    case BODY_NONE:
        e->body_max = 0;
        break;
    case BODY_JSON:
        e->body_max = ORDER_JSON_MAX;
        break;
    case BODY_EVENT:
        e->body_max = limits->max_event;
        break;
    case BODY_SNAPSHOT:
        e->body_max = limits->max_state + API_SNAPSHOT_OVERHEAD;
        break;
    case BODY_STREAM:
        e->body_max = UINT64_MAX; /* begin may lower it */
        break;
    }
    if (r->route->begin)
        r->route->begin(r);
    if (r->route->body == BODY_STREAM && !r->upload)
        e->body_max = limits->max_event;
    if (e->answered)
        return;
    if (!e->body_max && e->body_left) {
        exchange_refuse(e, 400, BERTH_ERR_INVALID, "body: this request takes none; leave it out");
    } else if (e->body_left != UINT64_MAX && e->body_left > e->body_max) {
        snprintf(text, sizeof text, "%s: %llu bytes, and the most is %llu%s", exchange_body_name(e),
                 (unsigned long long)e->body_left, (unsigned long long)e->body_max,
                 exchange_body_limit(e));
        exchange_refuse(e, 413, BERTH_ERR_LIMIT, text);
    }
}

static bool begin_params(exchange *e)
{
    const api_route *row = e->r.route;
    char names[256], text[512];

    for (unsigned i = 0; i < e->r.target.param_count; i++) {
        const char *const *known = row->params;

        while (known && *known && strcmp(*known, e->r.target.params[i].name) != 0)
            known++;
        if (known && *known)
            continue;
        names_join(row->params, names, sizeof names);
        snprintf(text, sizeof text, "query: '%.64s' is not a parameter of %s %s; there is %s",
                 e->r.target.params[i].name, row->method, row->pattern, names);
        exchange_refuse(e, 400, BERTH_ERR_INVALID, text);
        return false;
    }
    return true;
}

static bool begin_route(exchange *e, const char *method)
{
    request *r = &e->r;
    char methods[64], text[512];
    bool same_path;
    berth_error error = {0};

    if (target_parse(e->raw, &r->target, &error)) {
        request_fail(r, &error);
        return false;
    }
    r->route = route_find(&r->target, method, &same_path);
    if (r->route)
        return true;
    if (same_path) {
        route_methods(&r->target, methods, sizeof methods);
        request_header(r, MHD_HTTP_HEADER_ALLOW, methods);
        snprintf(text, sizeof text, "method: %.16s does not work here; use %s", method, methods);
        exchange_refuse(e, 405, BERTH_ERR_INVALID, text);
    } else {
        snprintf(text, sizeof text, "path: there is no such thing; the nearest is %s",
                 route_nearest(&r->target));
        exchange_refuse(e, 404, BERTH_ERR_NOT_FOUND, text);
    }
    return false;
}

/* Who may not be answered, whatever the question. */
static void begin_connection(exchange *e)
{
    uintptr_t flags =
        (uintptr_t)MHD_get_connection_info(e->connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
            ->socket_context;
    size_t headers = MHD_get_connection_info(e->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
                         ->header_size;

    e->close = true;
    if (flags & CONNECTION_FOREIGN)
        exchange_refuse(e, 403, BERTH_ERR_PERMISSION,
                        "socket: only the user that runs the host, and root, are answered");
    else if (flags & CONNECTION_CROWDED)
        exchange_refuse(e, 503, BERTH_ERR_WOULD_BLOCK,
                        "socket: too many clients at a time; try again shortly");
    else if (headers > API_HEADERS_MAX)
        exchange_refuse(e, 431, BERTH_ERR_LIMIT, "headers: longer than 32768 bytes");
    else if (atomic_load(&e->r.api->phase) != API_RUNS)
        exchange_refuse(e, 503, BERTH_ERR_SHUTTING_DOWN, "the host is shutting down");
    else
        e->close = false;
}

void exchange_begin(exchange *e, const char *method)
{
    read_headers(e);
    begin_connection(e);
    if (!e->answered && begin_route(e, method) && begin_params(e))
        begin_body(e);
    MHD_set_connection_option(e->connection, MHD_CONNECTION_OPTION_TIMEOUT,
                              e->r.upload ? 0u : e->r.api->config.idle_s);
}
