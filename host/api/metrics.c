/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus text format 0.0.4; base units, counters end in _total. */
#include "api/emit.h"
#include "api/listing.h"
#include "api/mesh_counters.h"
#include "api/peers.h"
#include "api/server.h"
#include "base/text.h"
#include "migrate/migrations.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef BERTH_VERSION
#define BERTH_VERSION "0.1.0"
#endif

#define DAEMONS_SHOWN 1000
#define PEERS_SHOWN   1000

static const int status_codes[API_STATUS_COUNT] = {
#define API_STATUS_VALUE(code) [API_STATUS_##code] = code,
    API_STATUSES(API_STATUS_VALUE)
#undef API_STATUS_VALUE
};

uint64_t api_requests_total(const api *a)
{
    uint64_t sum = 0;

    for (unsigned row = 0; row <= API_ROUTES_MAX; row++)
        for (unsigned slot = 0; slot < API_STATUS_COUNT; slot++)
            sum += atomic_load_explicit(&a->requests[row][slot], memory_order_relaxed);
    return sum;
}

static void head(writer *w, const char *name, const char *type, const char *help)
{
    emit_text(w, "# HELP ");
    emit_text(w, name);
    emit_text(w, " ");
    emit_text(w, help);
    emit_text(w, "\n# TYPE ");
    emit_text(w, name);
    emit_text(w, " ");
    emit_text(w, type);
    emit_text(w, "\n");
}

static void label(writer *w, const char *name, const char *value)
{
    emit_text(w, name);
    emit_text(w, "=\"");
    for (; *value; value++) {
        char piece[3] = {*value, 0, 0};

        if (*value == '"' || *value == '\\' || *value == '\n') {
            piece[0] = '\\';
            piece[1] = *value == '\n' ? 'n' : *value;
        }
        emit_text(w, piece);
    }
    emit_text(w, "\"");
}

static void number(writer *w, uint64_t value)
{
    emit_text(w, " ");
    emit_u64(w, value);
    emit_text(w, "\n");
}

/* value / unit, as a decimal fraction */
static void fraction(writer *w, uint64_t value, uint64_t unit)
{
    char text[64];

    snprintf(text, sizeof text, " %" PRIu64 ".%09" PRIu64 "\n", value / unit,
             (value % unit) * (1000000000 / unit));
    emit_text(w, text);
}

static void plain(writer *w, const char *name, const char *type, const char *help, uint64_t value)
{
    head(w, name, type, help);
    emit_text(w, name);
    number(w, value);
}

static void counter(writer *w, const char *name, const char *help, uint64_t value)
{
    plain(w, name, "counter", help, value);
}

static void gauge(writer *w, const char *name, const char *help, uint64_t value)
{
    plain(w, name, "gauge", help, value);
}

static void put_host(writer *w, const api *a)
{
    bool ready = berth_runtime_get_state(a->rt) == BERTH_RUNTIME_READY;
    char abi[32], node[ID_TEXT];

    snprintf(abi, sizeof abi, "%d.%d", BERTH_ABI_MAJOR, BERTH_ABI_MINOR);
    head(w, "berth_host_info", "gauge", "Always 1; the labels say which host this is.");
    emit_text(w, "berth_host_info{");
    label(w, "name", a->name);
    emit_text(w, ",");
    label(w, "node", id_encode(node, a->config.node_id));
    emit_text(w, ",");
    label(w, "version", BERTH_VERSION);
    emit_text(w, ",");
    label(w, "abi", abi);
    emit_text(w, "}");
    number(w, 1);
    head(w, "berth_start_time_seconds", "gauge", "When the host started, in seconds since 1970.");
    emit_text(w, "berth_start_time_seconds");
    fraction(w, (uint64_t)a->config.started_wall_ns, 1000000000);
    gauge(w, "berth_ready", "Whether the host takes work.", ready);
}

static void put_overflow(writer *w, const char *what, uint64_t count)
{
    emit_text(w, "berth_horizon_overflow_total{");
    label(w, "full", what);
    emit_text(w, "}");
    number(w, count);
}

static void put_runtime(writer *w, runtime *rt)
{
    runtime_counters c = {0};

    runtime_get_counters(rt, &c);
    counter(w, "berth_events_processed_total", "Events that daemons applied.", c.events_processed);
    counter(w, "berth_events_emitted_total", "Outputs of daemons.", c.events_emitted);
    counter(w, "berth_events_rejected_total", "Events that daemons refused.", c.events_rejected);
    counter(w, "berth_events_duplicate_total", "Events acknowledged, having been applied before.",
            c.events_duplicate);
    counter(w, "berth_events_lost_total", "Sends between daemons that ended as lost.",
            c.events_lost);
    counter(w, "berth_snapshots_taken_total", "Snapshots taken.", c.snapshots_taken);
    counter(w, "berth_snapshot_bytes_total", "Bytes of all snapshots taken.", c.snapshot_bytes);
    counter(w, "berth_daemon_breaks_total", "Times a daemon broke and was rebuilt or quarantined.",
            c.breaks);
    counter(w, "berth_call_overruns_total", "Calls that took longer than their budget.",
            c.overruns);
    counter(w, "berth_daemons_spawned_total", "Daemons started.", c.daemons_spawned);
    counter(w, "berth_daemons_stopped_total", "Daemons stopped.", c.daemons_stopped);
    counter(w, "berth_dispatcher_steals_total", "Batches of work a thread took from another.",
            c.steals);
    head(w, "berth_horizon_overflow_total", "counter",
         "Events of origins that their daemon cannot remember exactly, by what was full.");
    put_overflow(w, "daemon", c.horizon_full);
    put_overflow(w, "peer", c.horizon_peer_full);
    gauge(w, "berth_daemons", "Daemons here now.", c.daemons);
    gauge(w, "berth_daemons_quarantined", "Daemons that broke too often and are held.",
          c.quarantined);
    gauge(w, "berth_daemons_blocked", "Daemons that wait for room at their target.",
          c.blocked_daemons);
    gauge(w, "berth_factories", "Factories, those of running daemons included.", c.factories);
    gauge(w, "berth_kinds", "Kinds that daemons can be made of.", c.kinds);
    gauge(w, "berth_mailbox_events", "Events that wait, in all mailboxes.", c.mailbox_events);
    gauge(w, "berth_tail_ring_bytes", "Bytes of outputs kept for tails.", c.ring_bytes);
    gauge(w, "berth_timers", "Timers set by daemons.", c.timers);
    gauge(w, "berth_requests_pending", "Requests between daemons that wait for their answer.",
          c.requests);
    gauge(w, "berth_dispatcher_threads", "Threads that run daemons.", c.threads);
    gauge(w, "berth_dispatcher_compensating_threads",
          "Threads that stand in for overrunning calls.", c.compensating_threads);
}

static void put_store(writer *w, store *s)
{
    store_stats stats = {0};

    if (!s)
        return;
    store_get_stats(s, &stats);
    counter(w, "berth_store_commits_total", "Transactions.", stats.commits);
    counter(w, "berth_store_changes_total", "Changes handed in.", stats.changes);
    counter(w, "berth_store_failures_total", "Changes that could not be made durable.",
            stats.failures);
    counter(w, "berth_store_snapshot_bytes_total", "Bytes of snapshots written.",
            stats.snapshot_bytes);
    head(w, "berth_store_commit_seconds_total", "counter", "Time spent in commits.");
    emit_text(w, "berth_store_commit_seconds_total");
    fraction(w, stats.commit_ns, 1000000000);
    gauge(w, "berth_store_queued", "Changes that wait for the writer.", stats.queued);
}

static void put_api(writer *w, api *a)
{
    gauge(w, "berth_api_connections", "Clients connected.", atomic_load(&a->connections));
    gauge(w, "berth_api_streams", "Open streams of outputs.", atomic_load(&a->streams));
    gauge(w, "berth_api_uploads", "Requests that send events now.", atomic_load(&a->uploads));
    gauge(w, "berth_api_commands_running", "Commands that run now.", jobs_running(a->jobs));
    counter(w, "berth_api_received_bytes_total", "Bytes of request bodies.",
            atomic_load(&a->received_bytes));
    head(w, "berth_api_requests_total", "counter",
         "Requests ended, by route and status; status 0: cut, or another one.");
    for (unsigned row = 0; row <= API_ROUTES_MAX; row++) {
        for (unsigned slot = 0; slot < API_STATUS_COUNT; slot++) {
            uint64_t count = atomic_load_explicit(&a->requests[row][slot], memory_order_relaxed);
            char code[16];

            if (!count)
                continue;
            snprintf(code, sizeof code, "%d", status_codes[slot]);
            emit_text(w, "berth_api_requests_total{");
            label(w, "method", row < api_route_count ? api_routes[row].method : "");
            emit_text(w, ",");
            label(w, "route", row < api_route_count ? api_routes[row].pattern : "none");
            emit_text(w, ",");
            label(w, "status", code);
            emit_text(w, "}");
            number(w, count);
        }
    }
}

static void put_mesh_counter(void *ctx, const mesh_counter *one)
{
    writer *w = ctx;
    size_t len = strlen(one->name);
    bool total = len > 6 && strcmp(one->name + len - 6, "_total") == 0;
    char name[128];

    snprintf(name, sizeof name, "berth_mesh_%s", one->name);
    if (one->help)
        head(w, name, total ? "counter" : "gauge", one->help);
    emit_text(w, name);
    if (one->label) {
        emit_text(w, "{");
        emit_text(w, one->label);
        emit_text(w, "}");
    }
    number(w, one->value);
}

static void put_peer_label(writer *w, const char *name, const mesh_peer_view *v)
{
    char node[ID_TEXT];

    emit_text(w, name);
    emit_text(w, "{");
    label(w, "peer", v->name);
    emit_text(w, ",");
    label(w, "node", id_encode(node, v->node));
    emit_text(w, "}");
}

static void put_peers(writer *w, const peer_list *l)
{
    head(w, "berth_mesh_peer_up", "gauge", "Whether there is a session with the peer.");
    for (size_t i = 0; i < l->count; i++) {
        put_peer_label(w, "berth_mesh_peer_up", &l->items[i]);
        number(w, l->items[i].up);
    }
    head(w, "berth_mesh_peer_rtt_seconds", "gauge", "Round trip, as its session measures it.");
    for (size_t i = 0; i < l->count; i++) {
        if (!l->items[i].up || l->items[i].session.rtt_ns <= 0)
            continue;
        put_peer_label(w, "berth_mesh_peer_rtt_seconds", &l->items[i]);
        fraction(w, (uint64_t)l->items[i].session.rtt_ns, 1000000000);
    }
}

/* Peers only as long as they are few: metrics are no inventory. */
static void put_mesh(writer *w, mesh *m)
{
    mesh_counters c = {0};
    peer_list all;

    if (!m)
        return;
    mesh_get_counters(m, &c);
    mesh_counters_each(&c, put_mesh_counter, w);
    if (c.peers_known > PEERS_SHOWN)
        return;
    peer_list_read(&all, m);
    put_peers(w, &all);
    peer_list_fini(&all);
}

static void put_message_drops(writer *w, const migrations_counters *c)
{
    static const char name[] = "berth_migration_messages_ignored_total";
    const struct {
        const char *reason;
        uint64_t count;
    } rows[] = {{"malformed", c->malformed},
                {"unknown", c->unknown},
                {"unauthorized", c->unauthorized},
                {"full", c->dropped}};

    head(w, "berth_migration_messages_ignored_total", "counter",
         "Messages about migrations that were not acted on.");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        emit_text(w, name);
        emit_text(w, "{");
        label(w, "reason", rows[i].reason);
        emit_text(w, "}");
        number(w, rows[i].count);
    }
}

/* name{role="source",key="value"} */
static void put_role(writer *w, const char *name, const char *role, const char *key,
                     const char *value)
{
    emit_text(w, name);
    emit_text(w, "{");
    label(w, "role", role);
    emit_text(w, ",");
    label(w, key, value);
    emit_text(w, "}");
}

static void put_ends(writer *w, const char *role, const migration_role_counters *c)
{
    static const char name[] = "berth_migration_ends_total";

    put_role(w, name, role, "outcome", "moved");
    number(w, c->moved);
    for (unsigned i = 0; i < MOVE_REASON_COUNT; i++) {
        put_role(w, name, role, "outcome", move_reason_word((move_reason)i));
        number(w, c->failed[i]);
    }
}

static void put_phases(writer *w, const migrations_counters *c)
{
    static const char entered[] = "berth_migration_phase_entries_total";
    static const char seconds[] = "berth_migration_phase_seconds_total";
    const migration_role_counters *parts[] = {&c->at_source, &c->at_target};
    const char *roles[] = {"source", "target"};

    head(w, "berth_migration_ends_total", "counter",
         "Attempts from and to this host that are over, by how they ended.");
    for (unsigned r = 0; r < 2; r++)
        put_ends(w, roles[r], parts[r]);
    head(w, entered, "counter", "Attempts that went into a phase.");
    for (unsigned i = 0; i < 2 * MOVE_PHASE_COUNT; i++) {
        unsigned phase = i % MOVE_PHASE_COUNT, r = i / MOVE_PHASE_COUNT;

        put_role(w, entered, roles[r], "phase", move_phase_word((move_phase)phase));
        number(w, parts[r]->entered[phase]);
    }
    head(w, seconds, "counter", "Time spent in phases that are over.");
    for (unsigned i = 0; i < 2 * MOVE_PHASE_COUNT; i++) {
        unsigned phase = i % MOVE_PHASE_COUNT, r = i / MOVE_PHASE_COUNT;

        put_role(w, seconds, roles[r], "phase", move_phase_word((move_phase)phase));
        fraction(w, parts[r]->phase_ns[phase], 1000000000);
    }
}

static void put_seconds(writer *w, const char *name, const char *help, uint64_t ns)
{
    head(w, name, "counter", help);
    emit_text(w, name);
    fraction(w, ns, 1000000000);
}

static void put_moves(writer *w, migrations *x)
{
    migrations_counters c = {0};

    if (!x)
        return;
    migrations_get_counters(x, &c);
    counter(w, "berth_migrations_begun_total", "Attempts to move a daemon away from here.",
            c.begun);
    counter(w, "berth_migrations_moved_total", "Daemons that were moved away from here.", c.moved);
    counter(w, "berth_migrations_failed_total",
            "Attempts after which the daemon stayed where it was.", c.failed);
    counter(w, "berth_migrations_received_total", "Daemons that came here.", c.received);
    counter(w, "berth_migrations_refused_total", "Daemons that were offered and not let in.",
            c.refused);
    gauge(w, "berth_migrations_under_way", "Migrations from and to this host that go on now.",
          c.underway);
    gauge(w, "berth_migrations_in_doubt",
          "Migrations that wait for the word of another node, and for nothing else.", c.in_doubt);
    put_message_drops(w, &c);
    counter(w, "berth_migration_sent_bytes_total", "Bytes of daemons that were sent.", c.bytes_out);
    counter(w, "berth_migration_received_bytes_total", "Bytes of daemons that came.", c.bytes_in);
    counter(w, "berth_plugins_fetched_total",
            "Plugins that were fetched from another host, for a daemon that came.",
            c.plugins_fetched);
    counter(w, "berth_plugin_fetches_refused_total",
            "Offers not taken because the plugin could not be fetched.", c.fetches_refused);
    counter(w, "berth_plugin_fetch_received_bytes_total", "Bytes of plugins that were fetched.",
            c.plugin_bytes_in);
    counter(w, "berth_plugin_fetch_sent_bytes_total", "Bytes of plugins that others fetched.",
            c.plugin_bytes_out);
    counter(w, "berth_migration_executed_events_total",
            "Events that were run here while their daemon was sent, and again at its target.",
            c.executed_events);
    counter(w, "berth_migration_held_events_total",
            "Events that waited while their daemon was moved.", c.held_events);
    put_seconds(w, "berth_migration_blackout_seconds_total",
                "Time for which daemons that were moved away ran nowhere.", c.blackout_ns);
    put_seconds(w, "berth_migration_snapshot_seconds_total",
                "Of that, time in which their states were taken.", c.snapshot_ns);
    put_phases(w, &c);
    counter(w, "berth_migration_changes_missed_total",
            "Changes of migrations that watchers were too slow for.", c.changes_missed);
}

typedef struct daemon_rows {
    berth_daemon_info *rows;
    unsigned count;
} daemon_rows;

static bool take_row(void *ctx, const berth_daemon_info *info)
{
    daemon_rows *all = (daemon_rows *)ctx;

    if (all->count == DAEMONS_SHOWN)
        return false;
    all->rows[all->count++] = *info;
    return true;
}

typedef struct daemon_metric {
    const char *name, *type, *help;
    size_t offset; /* of an uint64_t in berth_daemon_info */
} daemon_metric;

static void put_daemon_label(writer *w, const char *name, const berth_daemon_info *info)
{
    char origin[ID_TEXT];

    emit_text(w, name);
    emit_text(w, "{");
    label(w, "daemon", info->name);
    emit_text(w, ",");
    label(w, "kind", info->kind);
    emit_text(w, ",");
    label(w, "origin", id_encode(origin, info->origin));
    emit_text(w, "}");
}

#define DAEMON_METRIC(suffix, type, field, help)                                                   \
    {                                                                                              \
        "berth_daemon_" suffix, type, help, offsetof(berth_daemon_info, field)                     \
    }

static void put_daemons(writer *w, const daemon_rows *all)
{
    static const daemon_metric metrics[] = {
        DAEMON_METRIC("processed_total", "counter", events_processed, "Events the daemon applied."),
        DAEMON_METRIC("emitted_total", "counter", events_emitted, "Outputs of the daemon."),
        DAEMON_METRIC("errors_total", "counter", errors, "Events the daemon refused."),
        DAEMON_METRIC("lost_total", "counter", events_lost,
                      "Sends of the daemon that ended as lost."),
        DAEMON_METRIC("overruns_total", "counter", overruns,
                      "Calls of the daemon past their budget."),
        DAEMON_METRIC("queued_events", "gauge", mailbox_events, "Events that wait for the daemon."),
        DAEMON_METRIC("queued_bytes", "gauge", mailbox_bytes, "Bytes that wait for the daemon."),
        DAEMON_METRIC("state_bytes", "gauge", state_bytes, "Size of the state, as last polled."),
    };

    for (size_t m = 0; m < sizeof metrics / sizeof *metrics; m++) {
        head(w, metrics[m].name, metrics[m].type, metrics[m].help);
        for (unsigned i = 0; i < all->count; i++) {
            uint64_t value;

            memcpy(&value, (const char *)&all->rows[i] + metrics[m].offset, sizeof value);
            put_daemon_label(w, metrics[m].name, &all->rows[i]);
            number(w, value);
        }
    }
    head(w, "berth_daemon_healthy", "gauge", "1 healthy, 0 degraded or unhealthy, as last polled.");
    for (unsigned i = 0; i < all->count; i++) {
        put_daemon_label(w, "berth_daemon_healthy", &all->rows[i]);
        number(w, all->rows[i].health == BERTH_HEALTHY);
    }
    head(w, "berth_daemon_saturation_ratio", "gauge",
         "Share of its capacity in use, as last polled.");
    for (unsigned i = 0; i < all->count; i++) {
        put_daemon_label(w, "berth_daemon_saturation_ratio", &all->rows[i]);
        fraction(w, all->rows[i].saturation_ppm, 1000000);
    }
}

static void metrics_job(request *r)
{
    api *a = r->api;
    daemon_rows all = {0};
    listing l;
    writer *w;

    listing_init(&l, r);
    w = &l.spool.tail;
    put_host(w, a);
    put_runtime(w, a->rt);
    put_store(w, a->store);
    put_api(w, a);
    put_mesh(w, a->config.mesh);
    put_moves(w, a->config.moves);
    if (berth_daemon_count(a->rt) <= DAEMONS_SHOWN)
        all.rows = calloc(DAEMONS_SHOWN, sizeof *all.rows);
    if (all.rows) {
        berth_daemons_each(a->rt, take_row, &all);
        if (all.count)
            put_daemons(w, &all);
    }
    free(all.rows);
    listing_answer(&l, r, "text/plain; version=0.0.4; charset=utf-8");
}

void metrics_get(request *r)
{
    request_job(r, metrics_job);
}
