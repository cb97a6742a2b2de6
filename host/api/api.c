/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api.h"
#include "api/exchange.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define POOL_BYTES     (512 * 1024) /* buffers of one connection; touched only as far as used */
#define CROWD_ANSWERED 32           /* clients beyond the limit that are told so */
#define MAX_WAITING    64           /* jobs behind those that run */

static void library_log(void *cls, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
static void library_log(void *cls, const char *format, va_list args)
{
    char text[512];
    size_t len;

    (void)cls;
    vsnprintf(text, sizeof text, format, args);
    len = strlen(text);
    while (len && text[len - 1] == '\n')
        text[--len] = '\0';
    log_debug("api", "%s", text);
}

/* Paths and parameters stay as they came: api/target.h decodes them, once. */
static size_t keep_escapes(void *cls, struct MHD_Connection *connection, char *text)
{
    (void)cls;
    (void)connection;
    return strlen(text);
}

/* Suspended connections are not watched by the library: look for clients that have left. */
static void *tick(void *arg)
{
    api *a = (api *)arg;
    struct timespec next;

    pthread_mutex_lock(&a->lock);
    while (!a->ticker_ends) {
        clock_gettime(CLOCK_MONOTONIC, &next);
        next.tv_sec += a->config.tick_ms / 1000;
        next.tv_nsec += (long)(a->config.tick_ms % 1000) * 1000000;
        if (next.tv_nsec >= 1000000000) {
            next.tv_nsec -= 1000000000;
            next.tv_sec++;
        }
        while (!a->ticker_ends && pthread_cond_timedwait(&a->change, &a->lock, &next) == 0)
            ;
        pthread_mutex_unlock(&a->lock);
        exchange_find_gone(a);
        pthread_mutex_lock(&a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

static void api_free(api *a)
{
    free(a->name);
    free(a->state_dir);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->change);
    free(a);
}

static api *api_new(const api_config *config)
{
    bool durable = config->state_dir && *config->state_dir;
    api *a = calloc(1, sizeof *a);
    pthread_condattr_t monotonic;

    if (!a)
        return NULL;
    a->config = *config;
    a->config.max_event = config->max_event ? config->max_event : 1 << 20;
    a->config.max_state = config->max_state ? config->max_state : UINT32_MAX;
    a->config.mailbox_events = config->mailbox_events ? config->mailbox_events : 1024;
    a->config.mailbox_bytes = config->mailbox_bytes ? config->mailbox_bytes : 8 << 20;
    a->config.max_clients = config->max_clients ? config->max_clients : 256;
    a->config.max_jobs = config->max_jobs ? config->max_jobs : 32;
    a->config.idle_s = config->idle_s ? config->idle_s : 60;
    a->config.tick_ms = config->tick_ms ? config->tick_ms : 1000;
    a->rt = config->rt;
    a->store = config->store;
    a->uid = geteuid();
    a->listener.fd = -1;
    a->name = strdup(config->name ? config->name : "");
    a->state_dir = durable ? strdup(config->state_dir) : NULL;
    a->spool_dir = a->state_dir ? a->state_dir : "/tmp";
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->change, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (!a->name || (durable && !a->state_dir)) {
        api_free(a);
        return NULL;
    }
    return a;
}

static struct MHD_Daemon *serve(api *a)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG,
        0, NULL, NULL, exchange_handle, a, MHD_OPTION_EXTERNAL_LOGGER, library_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, a->listener.fd, MHD_OPTION_URI_LOG_CALLBACK, exchange_open, a,
        MHD_OPTION_NOTIFY_COMPLETED, exchange_close, a, MHD_OPTION_NOTIFY_CONNECTION,
        exchange_connection, a, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES, MHD_OPTION_CONNECTION_LIMIT,
        a->config.max_clients + CROWD_ANSWERED, MHD_OPTION_CONNECTION_TIMEOUT, a->config.idle_s,
        MHD_OPTION_END);
}

berth_status api_start(const api_config *config, api **out, berth_error *error)
{
    api *a = api_new(config);
    berth_status status = BERTH_ERR_NO_MEMORY;

    *out = NULL;
    if (!a)
        return fail(error, BERTH_ERR_NO_MEMORY, "api: out of memory");
    status = listener_open(&a->listener, config->socket, error);
    if (status) {
        api_free(a);
        return status;
    }
    a->config.socket = a->listener.path;
    a->jobs = jobs_new(a->config.max_jobs, MAX_WAITING);
    if (!a->jobs) {
        status = fail(error, BERTH_ERR_NO_MEMORY, "api: out of memory");
        goto undo;
    }
    a->daemon = serve(a);
    if (!a->daemon) {
        status =
            fail(error, BERTH_ERR_IO, "api: the HTTP server does not start: %s", strerror(errno));
        goto undo;
    }
    if (pthread_create(&a->ticker, NULL, tick, a) != 0) {
        MHD_stop_daemon(a->daemon); /* closes the socket */
        a->listener.fd = -1;
        status = fail(error, BERTH_ERR_NO_MEMORY, "api: no thread can be made");
        goto undo;
    }
    *out = a;
    return BERTH_OK;
undo:
    listener_unlink(&a->listener);
    if (a->listener.fd >= 0)
        close(a->listener.fd);
    if (a->jobs)
        jobs_stop(a->jobs, 0, NULL, NULL, NULL);
    api_free(a);
    return status;
}

/* Wait until no request is open. */
static void wait_for_requests(api *a, int64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                             .tv_nsec = (long)(deadline_ns % 1000000000)};

    pthread_mutex_lock(&a->lock);
    while (a->open_count && pthread_cond_timedwait(&a->change, &a->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&a->lock);
}

static void drop_job(void *ctx)
{
    request_unref((request *)ctx);
}

static void free_late(void *ctx)
{
    api_free((api *)ctx);
    log_info("api", "the command that hung has ended");
}

void api_stop(api *a, uint64_t grace_ms)
{
    int64_t deadline;

    if (!a)
        return;
    if (grace_ms > 86400000)
        grace_ms = 86400000;
    deadline = clock_mono_ns() + (int64_t)grace_ms * 1000000;
    atomic_store(&a->phase, API_ENDS);
    /* Without a name nobody new can connect. MHD_quiesce_daemon is not for use here: in 0.9.75 it
     * and the server's thread may both take the socket out of epoll, and the second one aborts. */
    listener_unlink(&a->listener);
    exchange_wake_all(a);
    wait_for_requests(a, deadline);
    atomic_store(&a->phase, API_CUTS);
    pthread_mutex_lock(&a->lock);
    a->ticker_ends = true;
    pthread_cond_broadcast(&a->change);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->ticker, NULL);
    exchange_wake_all(a);
    MHD_stop_daemon(a->daemon); /* closes the socket */
    if (jobs_stop(a->jobs, deadline, drop_job, free_late, a))
        api_free(a);
    else
        log_warn("api", "a command hangs in a plugin and was left alone");
}
