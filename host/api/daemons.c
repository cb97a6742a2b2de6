/* SPDX-License-Identifier: Apache-2.0 */
#include "api/emit.h"
#include "api/find.h"
#include "api/listing.h"
#include "api/orders.h"
#include "api/server.h"
#include "base/error.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Looking --------------------------------------------------------------------------------- */

static const char *state_name(berth_daemon_state state)
{
    switch (state) {
    case BERTH_DAEMON_RUNNING:
        return "running";
    case BERTH_DAEMON_HELD:
        return "held";
    case BERTH_DAEMON_QUARANTINED:
        return "quarantined";
    default:
        return "stopping";
    }
}

static const char *durability_name(uint32_t durability)
{
    switch (durability) {
    case DURABILITY_SNAPSHOT:
        return "snapshot";
    case DURABILITY_JOURNAL:
        return "journal";
    default:
        return "volatile";
    }
}

static const char *health_name(int32_t health)
{
    switch (health) {
    case BERTH_HEALTHY:
        return "healthy";
    case BERTH_DEGRADED:
        return "degraded";
    default:
        return "unhealthy";
    }
}

static void emit_digest(writer *w, const uint8_t digest[DIGEST_BYTES])
{
    static const uint8_t none[DIGEST_BYTES];

    emit_key(w, "digest");
    if (memcmp(digest, none, DIGEST_BYTES) == 0)
        emit_text(w, "null");
    else
        emit_hex(w, slice_of(digest, DIGEST_BYTES));
}

/* Its members, without the braces. */
static void emit_members(writer *w, const berth_daemon_info *info)
{
    emit_member_string(w, "name", info->name);
    emit_member_string(w, "kind", info->kind);
    emit_member_id(w, "origin", info->origin);
    emit_member_hex(w, "entity", slice_of(info->entity, sizeof info->entity));
    emit_member_string(w, "state", state_name(info->state));
    if (*info->quarantine)
        emit_member_string(w, "reason", info->quarantine);
    emit_member_string(w, "durability", durability_name(info->durability));
    emit_member_u64(w, "auto_snapshot", info->auto_snapshot);
    emit_member_u64(w, "incarnation", info->incarnation);
    emit_member_u64(w, "epoch", info->epoch);
    emit_digest(w, info->plugin_digest);
    emit_member_time(w, "started", info->started_wall_ns);
    emit_member_u64(w, "sequence", info->sequence);
    emit_member_u64(w, "events_processed", info->events_processed);
    emit_member_u64(w, "events_emitted", info->events_emitted);
    emit_member_u64(w, "events_lost", info->events_lost);
    emit_member_u64(w, "errors", info->errors);
    emit_member_u64(w, "snapshots_taken", info->snapshots_taken);
    emit_member_u64(w, "breaks", info->breaks);
    emit_member_u64(w, "overruns", info->overruns);
    emit_member_u64(w, "busy_ns", (uint64_t)info->busy_ns);
    emit_member_u64(w, "mailbox_events", info->mailbox_events);
    emit_member_u64(w, "mailbox_bytes", info->mailbox_bytes);
    emit_member_string(w, "health", health_name(info->health));
    emit_member_u64(w, "saturation_ppm", info->saturation_ppm);
    emit_member_u64(w, "state_bytes", info->state_bytes);
    emit_member_u64(w, "subscriptions", info->subscriptions);
}

void emit_daemon(writer *w, const berth_daemon_info *info)
{
    emit_text(w, "{");
    emit_members(w, info);
    emit_text(w, "}");
}

void emit_down_daemon(writer *w, const store_daemon *row, const char *reason)
{
    emit_text(w, "{");
    emit_member_string(w, "name", row->name);
    emit_member_string(w, "kind", row->kind);
    emit_member_id(w, "origin", row->origin);
    emit_member_hex(w, "entity", slice_of(row->entity, sizeof row->entity));
    emit_member_string(w, "state", "down");
    emit_member_string(w, "reason", reason);
    emit_member_string(w, "durability", durability_name(row->durability));
    emit_member_u64(w, "auto_snapshot", row->auto_snapshot);
    emit_member_u64(w, "incarnation", row->incarnation);
    emit_member_u64(w, "epoch", row->epoch);
    emit_digest(w, row->digest);
    emit_member_string(w, "plugin", row->plugin);
    emit_key(w, "snapshot");
    if (row->has_snapshot) {
        emit_text(w, "{");
        emit_member_u64(w, "sequence", row->snapshot_sequence);
        emit_member_u64(w, "bytes", row->snapshot_bytes);
        emit_member_time(w, "time", row->snapshot_wall_ns);
        emit_text(w, "}");
    } else {
        emit_text(w, "null");
    }
    emit_text(w, "}");
}

static bool list_daemon(void *ctx, const berth_daemon_info *info)
{
    listing *l = (listing *)ctx;
    writer *w = listing_next(l);

    if (!w)
        return false;
    emit_daemon(w, info);
    listing_flush(l);
    return true;
}

static void list_down(void *ctx, const store_daemon *row, const char *reason)
{
    listing *l = (listing *)ctx;
    writer *w = listing_next(l);

    if (!w)
        return;
    emit_down_daemon(w, row, reason);
    listing_flush(l);
}

static void list_job(request *r)
{
    listing l;

    listing_init(&l, r);
    emit_text(&l.spool.tail, "{\"daemons\":[");
    berth_daemons_each(r->api->rt, list_daemon, &l);
    runtime_down_each(r->api->rt, list_down, &l);
    emit_text(&l.spool.tail, "]}\n");
    listing_answer(&l, r, "application/json");
}

void daemons_list(request *r)
{
    request_job(r, list_job);
}

void answer_daemon(request *r, unsigned status, uint64_t origin)
{
    berth_daemon_info info = {.size = sizeof info};
    berth_error error = {0};
    char place[64], hex[ID_TEXT];
    writer w = {0};

    if (berth_daemon_get(r->api->rt, origin, &info, &error)) {
        request_fail(r, &error);
        return;
    }
    if (status == 201) {
        snprintf(place, sizeof place, "/v1/daemons/%s", id_encode(hex, origin));
        request_header(r, "Location", place);
    }
    emit_text(&w, "{");
    emit_members(&w, &info);
    emit_hearings(&w, r->api->rt, origin);
    emit_tokens(&w, r->api->rt, origin);
    emit_accept(&w, r->api->rt, origin);
    emit_text(&w, "}");
    request_answer(r, status, &w);
}

void daemons_get(request *r)
{
    berth_error error = {0};
    found_daemon found;

    if (find_daemon(r->api, r->target.segments[2], &found, &error))
        request_fail(r, &error);
    else if (found.down)
        request_answer(r, 200, &found.json);
    else
        answer_daemon(r, 200, found.origin);
    found_daemon_fini(&found);
}

/* ---- Spawn and stop -------------------------------------------------------------------------- */

static void spawn_job(request *r)
{
    berth_daemon_config config = {.size = sizeof config};
    spawn_order order;
    berth_error error = {0};
    uint64_t origin = 0;
    berth_status status = spawn_order_read(&order, slice_of(r->body.data, r->body.len), &error);

    if (!status) {
        config.name = *order.name ? order.name : NULL;
        config.durability = order.durability;
        config.auto_snapshot = order.auto_snapshot;
        config.config = order.config ? order.config->data : NULL;
        config.config_len = order.config ? order.config->len : 0;
        config.subscribe = order.subscribe;
        config.subscribe_count = order.subscribe_count;
        config.serve = order.serve;
        config.serve_count = order.serve_count;
        config.tokens = order.tokens;
        config.token_count = order.token_count;
        config.accept = *order.accept ? order.accept : NULL;
        status =
            berth_spawn_kind(r->api->rt, order.kind, order.has_identity ? &order.identity : NULL,
                             &config, &origin, &error);
    }
    spawn_order_fini(&order);
    if (r->body.len)
        explicit_bzero(r->body.data, r->body.len); /* a seed may have been in it */
    if (status)
        request_fail(r, &error);
    else
        answer_daemon(r, 201, origin);
}

void daemons_post(request *r)
{
    request_job(r, spawn_job);
}

static void stop_job(request *r)
{
    berth_error error = {0};
    found_daemon found;
    uint64_t grace_ms = 0;
    berth_status status;
    writer w = {0};

    if (!request_number(r, "grace_ms", 3600000, &grace_ms))
        return;
    status = find_daemon(r->api, r->target.segments[2], &found, &error);
    if (!status)
        status = found.down ? runtime_forget_down(r->api->rt, found.name, &error)
                            : berth_stop(r->api->rt, found.origin, grace_ms, &error);
    found_daemon_fini(&found);
    if (status) {
        request_fail(r, &error);
        return;
    }
    emit_text(&w, "{\"stopped\":true");
    emit_member_string(&w, "name", found.name);
    emit_member_id(&w, "origin", found.origin);
    emit_text(&w, "}");
    request_answer(r, 200, &w);
}

void daemons_delete(request *r)
{
    request_job(r, stop_job);
}
