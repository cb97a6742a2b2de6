/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/server.h: what the handlers share: the running API itself. Inside the room only.
 */
#ifndef API_SERVER_H
#define API_SERVER_H

#include "api/api.h"
#include "api/jobs.h"
#include "api/request.h"
#include "api/socket.h"

#include <pthread.h>
#include <stdatomic.h>

#define API_HEADERS_MAX       (32 * 1024)
#define API_SNAPSHOT_OVERHEAD (64 * 1024 * 1024) /* cursors, horizon, held requests */
#define API_ROUTES_MAX        48
#define API_REPLY_MAX         (UINT64_C(64) << 30) /* of outputs in one answer */

typedef enum api_phase {
    API_RUNS,
    API_ENDS, /* no new requests; streams end */
    API_CUTS  /* nobody waits any more */
} api_phase;

/* HTTP status codes that are counted; the last slot takes the others. */
#define API_STATUSES(X)                                                                            \
    X(200)                                                                                         \
    X(201)                                                                                         \
    X(202)                                                                                         \
    X(400) X(403) X(404) X(405) X(409) X(413) X(422) X(431) X(500) X(501) X(503) X(504) X(507)
enum {
#define API_STATUS_SLOT(code) API_STATUS_##code,
    API_STATUSES(API_STATUS_SLOT)
#undef API_STATUS_SLOT
        API_STATUS_OTHER,
    API_STATUS_COUNT
};

struct api {
    api_config config;
    char *name, *state_dir;
    const char *spool_dir;
    runtime *rt;
    store *store;
    uid_t uid;
    listener listener;
    struct MHD_Daemon *daemon;
    jobs *jobs;
    pthread_t ticker;

    pthread_mutex_t lock;  /* the list of open requests, and: */
    pthread_cond_t change; /* it became empty, or the ticker is to end */
    struct exchange *open;
    unsigned open_count;
    bool ticker_ends;

    _Atomic api_phase phase;
    atomic_uint connections, streams, uploads, waits;
    atomic_ullong requests[API_ROUTES_MAX + 1][API_STATUS_COUNT]; /* last row: no such route */
    atomic_ullong received_bytes;
};

/* For metrics. */
uint64_t api_requests_total(const api *a);
int api_status_code(unsigned slot); /* 0: the others */

/* Handlers, a file for each resource. */
void status_get(request *r);
void health_get(request *r);
void reload_post(request *r);
void metrics_get(request *r);
void plugins_list(request *r);
void plugins_get(request *r);
void plugins_post(request *r);
void plugins_delete(request *r);
void daemons_list(request *r);
void daemons_get(request *r);
void daemons_post(request *r);
void daemons_delete(request *r);
void control_post(request *r);
void snapshot_post(request *r);
void restore_begin(request *r);
void restore_post(request *r);
void events_begin(request *r);
void events_end(request *r);
void sources_delete(request *r);
void subscriptions_post(request *r);
void subscriptions_delete(request *r);
void tokens_post(request *r);
void outputs_get(request *r);
void mesh_get(request *r);
void peers_list(request *r);
void peers_get(request *r);
void peers_post(request *r);
void peers_delete(request *r);
void peers_ping_post(request *r);
void peers_daemon_get(request *r);
void services_list(request *r);
void services_post(request *r);
void channels_list(request *r);
void messages_get(request *r);
void messages_post(request *r);
void moves_list(request *r);
void moves_post(request *r);
void moves_get(request *r);
void moves_delete(request *r);
void moves_resolve(request *r);
void moves_events(request *r);

/* The JSON of one daemon that runs. */
void emit_daemon(writer *w, const berth_daemon_info *info);
/* Members of a running one: what it hears and serves; the tokens that it holds. */
void emit_hearings(writer *w, runtime *rt, uint64_t origin);
void emit_tokens(writer *w, runtime *rt, uint64_t origin);
void emit_accept(writer *w, runtime *rt, uint64_t origin);
/* And of one that is down. */
void emit_down_daemon(writer *w, const store_daemon *row, const char *reason);
/* Answer with the daemon as it is now; 201 with its place. Any thread. */
void answer_daemon(request *r, unsigned status, uint64_t origin);
#endif
