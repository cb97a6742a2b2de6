/* SPDX-License-Identifier: Apache-2.0 */
#include "api/emit.h"
#include "api/peers.h"
#include "api/server.h"
#include "base/clock.h"
#include "base/error.h"

#include <stdio.h>
#include <unistd.h>

#ifndef BERTH_VERSION
#define BERTH_VERSION "0.1.0"
#endif

void health_get(request *r)
{
    berth_runtime_state state = berth_runtime_get_state(r->api->rt);
    berth_error error = {0};
    writer w = {0};

    if (state == BERTH_RUNTIME_READY) {
        emit_text(&w, "{\"ready\":true}");
        request_answer(r, 200, &w);
        return;
    }
    if (state == BERTH_RUNTIME_REGISTERING)
        fail(&error, BERTH_ERR_NOT_READY, "the host is starting");
    else
        fail(&error, BERTH_ERR_SHUTTING_DOWN, "the host is shutting down");
    request_fail(r, &error);
}

static const char *state_name(berth_runtime_state state)
{
    switch (state) {
    case BERTH_RUNTIME_REGISTERING:
        return "registering";
    case BERTH_RUNTIME_READY:
        return "ready";
    default:
        return "shutting-down";
    }
}

static void emit_counters(writer *w, const runtime_counters *c)
{
    emit_key(w, "counters");
    emit_text(w, "{");
#define COUNTER(field) emit_member_u64(w, #field, c->field)
    COUNTER(events_processed);
    COUNTER(events_emitted);
    COUNTER(events_rejected);
    COUNTER(events_duplicate);
    COUNTER(events_lost);
    COUNTER(snapshots_taken);
    COUNTER(snapshot_bytes);
    COUNTER(breaks);
    COUNTER(quarantined);
    COUNTER(overruns);
    COUNTER(horizon_full);
    COUNTER(horizon_peer_full);
    COUNTER(daemons);
    COUNTER(daemons_spawned);
    COUNTER(daemons_stopped);
    COUNTER(factories);
    COUNTER(kinds);
    COUNTER(mailbox_events);
    COUNTER(ring_bytes);
    COUNTER(blocked_daemons);
    COUNTER(compensating_threads);
    COUNTER(steals);
    COUNTER(timers);
    COUNTER(requests);
#undef COUNTER
    emit_text(w, "}");
}

static void emit_store(writer *w, store *s)
{
    store_stats stats = {0};

    emit_key(w, "store");
    if (!s) {
        emit_text(w, "null");
        return;
    }
    store_get_stats(s, &stats);
    emit_text(w, "{");
    emit_member_u64(w, "commits", stats.commits);
    emit_member_u64(w, "changes", stats.changes);
    emit_member_u64(w, "failures", stats.failures);
    emit_member_u64(w, "snapshot_bytes", stats.snapshot_bytes);
    emit_member_u64(w, "commit_ns", stats.commit_ns);
    emit_member_u64(w, "queued", stats.queued);
    emit_text(w, "}");
}

#define DOWN_SHOWN 100

typedef struct down_list {
    writer *w;
    unsigned count;
} down_list;

static void emit_down(void *ctx, const store_daemon *row, const char *reason)
{
    down_list *list = (down_list *)ctx;

    if (list->count++ >= DOWN_SHOWN)
        return;
    emit_next(list->w);
    emit_text(list->w, "{");
    emit_member_string(list->w, "name", row->name);
    emit_member_string(list->w, "kind", row->kind);
    emit_member_id(list->w, "origin", row->origin);
    emit_member_string(list->w, "reason", reason);
    emit_text(list->w, "}");
}

static void emit_mesh(writer *w, mesh *m)
{
    mesh_counters c = {0};

    emit_key(w, "mesh");
    if (!m) {
        emit_text(w, "null");
        return;
    }
    mesh_get_counters(m, &c);
    emit_text(w, "{");
    emit_mesh_members(w, m, &c);
    emit_text(w, "}");
}

static void status_job(request *r)
{
    const api *a = r->api;
    runtime_counters counters = {0};
    writer w = {0};
    down_list down = {.w = &w};
    char abi[32];

    runtime_get_counters(a->rt, &counters);
    snprintf(abi, sizeof abi, "%d.%d", BERTH_ABI_MAJOR, BERTH_ABI_MINOR);
    emit_text(&w, "{");
    emit_member_string(&w, "name", a->name);
    emit_member_string(&w, "version", BERTH_VERSION);
    emit_member_string(&w, "abi", abi);
    emit_member_u64(&w, "pid", (uint64_t)getpid());
    emit_member_string(&w, "state", state_name(berth_runtime_get_state(r->api->rt)));
    emit_member_time(&w, "started", a->config.started_wall_ns);
    emit_member_u64(&w, "uptime_ns", (uint64_t)(clock_mono_ns() - a->config.started_mono_ns));
    emit_member_id(&w, "node", a->config.node_id);
    emit_member_u64(&w, "threads", counters.threads);
    emit_member_string(&w, "state_dir", a->state_dir);
    emit_member_string(&w, "socket", a->listener.path);
    emit_member_bool(&w, "ephemeral", !a->state_dir);
    emit_counters(&w, &counters);
    emit_store(&w, a->store);
    emit_mesh(&w, a->config.mesh);
    emit_key(&w, "api");
    emit_text(&w, "{");
    emit_member_u64(&w, "connections", atomic_load(&a->connections));
    emit_member_u64(&w, "streams", atomic_load(&a->streams));
    emit_member_u64(&w, "uploads", atomic_load(&a->uploads));
    emit_member_u64(&w, "requests", api_requests_total(a));
    emit_text(&w, "}");
    emit_key(&w, "down");
    emit_text(&w, "[");
    runtime_down_each(a->rt, emit_down, &down);
    emit_text(&w, "]");
    emit_member_u64(&w, "down_count", down.count);
    emit_text(&w, "}");
    request_answer(r, 200, &w);
}

/* Asking the mesh waits for its thread. */
void status_get(request *r)
{
    if (r->api->config.mesh)
        request_job(r, status_job);
    else
        status_job(r);
}

static void reload_job(request *r)
{
    const api_config *hooks = &r->api->config;
    berth_error error = {0};
    writer w = {0};
    berth_status status = hooks->reload ? hooks->reload(hooks->ctx, &error)
                                        : fail(&error, BERTH_ERR_UNSUPPORTED,
                                               "this host has no configuration to reload");

    if (status) {
        request_fail(r, &error);
        return;
    }
    emit_text(&w, "{\"reloaded\":true}");
    request_answer(r, 200, &w);
}

void reload_post(request *r)
{
    request_job(r, reload_job);
}
