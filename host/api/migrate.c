/* SPDX-License-Identifier: Apache-2.0 */
/* The begin of a migration: who is meant, where it is to go, and whether that can be. */
#include "api/emit.h"
#include "api/find.h"
#include "api/migration_order.h"
#include "api/migrations.h"
#include "base/error.h"
#include "base/text.h"
#include "daemon/moving.h"
#include "identity/entity.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct begin {
    request *r;
    migrations *x;
    mesh *m;
    migration_order order;
    migration_spec spec;
    char kind[128]; /* "": not known here */
    move_reason reason;
    berth_error error;
} begin;

static bool refuse(begin *b, move_reason reason)
{
    b->reason = reason;
    return false;
}

/* One that runs here, or the origin of one that runs elsewhere. */
static bool find_mover(begin *b)
{
    const char *text = b->order.daemon;
    uint8_t bytes[8];
    found_daemon found;
    berth_status status = find_daemon(b->r->api, text, &found, &b->error);

    if (status == BERTH_OK && found.down)
        status = fail_down(&found, &b->error);
    b->spec.origin = found.origin;
    found_daemon_fini(&found);
    if (status == BERTH_ERR_NOT_FOUND && strlen(text) == 16 &&
        hex_decode(bytes, sizeof bytes, slice_str(text))) {
        b->error = (berth_error){0};
        b->spec.origin = strtoull(text, NULL, 16);
        status = BERTH_OK;
    }
    if (status != BERTH_OK)
        return refuse(b, status == BERTH_ERR_NOT_FOUND ? MOVE_DAEMON_NOT_FOUND : MOVE_NOT_READY);
    runtime_kind_of(b->r->api->rt, b->spec.origin, b->kind, sizeof b->kind);
    return true;
}

/* A node that there is a session with, or this one. */
static bool find_node(begin *b, const char *text, uint64_t *out)
{
    mesh_peer_view v;
    mesh_self self;
    char own[ID_TEXT];

    mesh_get_self(b->m, &self);
    if (strcmp(text, self.name) == 0 || strcmp(text, id_encode(own, self.node)) == 0) {
        *out = self.node;
        return true;
    }
    if (mesh_peer_find(b->m, text, &v, &b->error) != BERTH_OK)
        return refuse(b, MOVE_TARGET_UNAVAILABLE);
    *out = v.node;
    if (v.up)
        return true;
    fail(&b->error, BERTH_ERR_NOT_READY, "peer '%s': is not connected, %s", v.name, peer_state(&v));
    return refuse(b, MOVE_TARGET_UNAVAILABLE);
}

static bool read_spec(begin *b)
{
    const migration_order *o = &b->order;

    b->spec.transport_identity = o->transport_identity;
    b->spec.retry_not_ready_ns = (int64_t)o->retry_not_ready_ms * 1000000;
    b->spec.deadline_ns = (int64_t)o->deadline_ms * 1000000;
    b->spec.max_hold_ns = (int64_t)o->max_hold_ms * 1000000;
    return find_mover(b) && (!*o->node || find_node(b, o->node, &b->spec.target)) &&
           (!*o->source || find_node(b, o->source, &b->spec.source));
}

/* ---- Only to see whether it could be --------------------------------------------------------- */

static void look_if_under_way(void *ctx, const migration_view *v)
{
    begin *b = ctx;

    if (!v->over && v->origin == b->spec.origin)
        b->reason = MOVE_ALREADY_MIGRATING;
}

static bool source_of(begin *b)
{
    mesh_self self;

    mesh_get_self(b->m, &self);
    if (!b->spec.source)
        b->spec.source = migrations_find(b->x, b->spec.origin);
    if (b->spec.source &&
        (b->spec.source != self.node || runtime_has(b->r->api->rt, b->spec.origin)))
        return true;
    fail(&b->error, BERTH_ERR_NOT_FOUND, "no node is known that runs it");
    return refuse(b, MOVE_DAEMON_NOT_FOUND);
}

/* Any one will do. */
static bool choose_target(begin *b)
{
    move_outcome why;

    if (!b->kind[0] &&
        !migrations_kind_of(b->x, b->spec.origin, b->spec.source, b->kind, sizeof b->kind, &why)) {
        fail(&b->error, move_reason_status(why.reason), "%s: %s", move_reason_text(why.reason),
             why.text);
        return refuse(b, why.reason);
    }
    b->spec.target = migrations_choose(b->x, b->kind, b->spec.source);
    if (b->spec.target)
        return true;
    fail(&b->error, BERTH_ERR_NOT_FOUND, "no other node is known that has its kind");
    return refuse(b, MOVE_NO_TARGET);
}

/* Whether the target has announced the kind; one that has, when any will do. */
static bool target_of(begin *b, bool *announced)
{
    char tag[sizeof b->kind + sizeof "kind:"];
    capability_filter filter = {.tag_count = 1};
    uint64_t *nodes = NULL;
    size_t count = 0;

    if (b->spec.target && b->spec.target == b->spec.source) {
        fail(&b->error, BERTH_ERR_EXISTS, "it is on that node already");
        return refuse(b, MOVE_ALREADY_THERE);
    }
    *announced = !b->spec.target;
    if (!b->spec.target)
        return choose_target(b);
    if (!b->kind[0])
        return true;
    snprintf(tag, sizeof tag, "kind:%s", b->kind);
    filter.tags[0] = slice_str(tag);
    if (mesh_find_nodes(b->m, &filter, &nodes, &count, &b->error) != BERTH_OK)
        return refuse(b, MOVE_NO_TARGET);
    for (size_t i = 0; i < count && !*announced; i++)
        *announced = nodes[i] == b->spec.target;
    free(nodes);
    if (*announced)
        return true;
    fail(&b->error, BERTH_ERR_KIND_UNKNOWN,
         "node %016" PRIx64 " does not say that it has the kind %s: load its plugin there",
         b->spec.target, b->kind);
    return refuse(b, MOVE_FACTORY_NOT_FOUND);
}

static bool try_dry(begin *b, bool *announced)
{
    migrations_each(b->x, look_if_under_way, b);
    if (b->reason == MOVE_ALREADY_MIGRATING) {
        fail(&b->error, BERTH_ERR_BUSY, "it is on its way already");
        return false;
    }
    return source_of(b) && target_of(b, announced);
}

static void answer_dry(begin *b)
{
    bool announced = false;
    node_names names;
    writer w = {0};

    if (!try_dry(b, &announced))
        return;
    node_names_read(&names, b->m);
    emit_text(&w, "{");
    emit_member_bool(&w, "dry_run", true);
    emit_member_id(&w, "origin", b->spec.origin);
    emit_member_string(&w, "kind", b->kind[0] ? b->kind : NULL);
    emit_member_node(&w, "source", &names, b->spec.source);
    emit_member_node(&w, "target", &names, b->spec.target);
    emit_member_bool(&w, "announced", announced);
    emit_text(&w, "}");
    node_names_fini(&names);
    request_answer(b->r, 200, &w);
}

/* ---- In earnest ------------------------------------------------------------------------------ */

static void begin_now(begin *b)
{
    migration_id id;
    move_outcome why;
    writer w = {0};

    if (migrations_begin(b->x, &b->spec, &id, &why, &b->error) != BERTH_OK) {
        b->reason = why.reason;
        return;
    }
    emit_text(&w, "{");
    emit_member_hex(&w, "id", slice_of(id.bytes, sizeof id.bytes));
    emit_member_id(&w, "origin", b->spec.origin);
    emit_text(&w, "}");
    request_answer(b->r, 202, &w);
}

static void post_job(request *r)
{
    begin b = {.r = r, .x = request_moves(r), .m = r->api->config.mesh};

    if (!b.x)
        return;
    if (migration_order_read(&b.order, slice_of(r->body.data, r->body.len), &b.error) != BERTH_OK) {
        request_fail(r, &b.error);
        return;
    }
    if (read_spec(&b) && b.order.dry_run)
        answer_dry(&b);
    else if (!b.error.code)
        begin_now(&b);
    if (!b.error.code)
        return;
    fail_prefix(&b.error, "daemon '%.80s' cannot be moved", b.order.daemon);
    request_fail_reason(r, b.reason, &b.error);
}

void moves_post(request *r)
{
    request_job(r, post_job);
}
