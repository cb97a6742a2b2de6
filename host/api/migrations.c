/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations of daemons: those that come, go, or were ordered here. What begins one is in
 * api/migrate.c. */
#include "api/migrations.h"

#include "api/emit.h"
#include "api/listing.h"
#include "api/migration_order.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MOST_MS 60000

migrations *request_moves(request *r)
{
    return request_mesh(r) ? r->api->config.moves : NULL;
}

void request_fail_reason(request *r, move_reason reason, const berth_error *error)
{
    writer w = {0};

    emit_error(&w, error->code, error->text, 0);
    emit_member_string(&w, "reason", move_reason_word(reason));
    emit_text(&w, "}");
    request_answer(r, http_status_of(error->code), &w);
}

/* ---- As JSON --------------------------------------------------------------------------------- */

void node_names_read(node_names *n, mesh *m)
{
    peer_list_read(&n->peers, m);
    mesh_get_self(m, &n->self);
}

void node_names_fini(node_names *n)
{
    peer_list_fini(&n->peers);
}

const char *node_name(const node_names *n, uint64_t node)
{
    if (node && node == n->self.node)
        return n->self.name;
    for (size_t i = 0; node && i < n->peers.count; i++)
        if (n->peers.items[i].node == node)
            return n->peers.items[i].name;
    return NULL;
}

void emit_member_node(writer *w, const char *key, const node_names *n, uint64_t node)
{
    char name[64];

    if (node)
        emit_member_id(w, key, node);
    else
        emit_member_string(w, key, NULL);
    snprintf(name, sizeof name, "%s_name", key);
    emit_member_string(w, name, node_name(n, node));
}

static const char *state_of(const migration_view *v)
{
    if (!v->over)
        return v->in_doubt ? "in-doubt" : "moving";
    return v->outcome.moved ? "moved" : v->outcome.unknown ? "unknown" : "failed";
}

static const char *role_of(const migration_view *v)
{
    return v->role == MIGRATION_ORDERED  ? "ordered"
           : v->role == MIGRATION_SOURCE ? "source"
                                         : "target";
}

static void emit_ns(writer *w, const char *key, int64_t ns)
{
    emit_member_u64(w, key, ns > 0 ? (uint64_t)ns : 0);
}

static void emit_outcome(writer *w, const migration_view *v)
{
    bool failed = v->over && !v->outcome.moved;

    emit_member_string(w, "reason", failed ? move_reason_word(v->outcome.reason) : NULL);
    emit_member_string(w, "message",
                       !failed              ? NULL
                       : v->outcome.text[0] ? v->outcome.text
                                            : move_reason_text(v->outcome.reason));
}

/* null: the target has not said. */
static void emit_hearing(writer *w, const move_hearing *h, const node_names *n)
{
    emit_key(w, "subscriptions");
    if (!h->known) {
        emit_text(w, "null");
        return;
    }
    emit_text(w, "{");
    emit_member_u64(w, "total", h->total);
    emit_member_u64(w, "pending", h->pending);
    emit_member_u64(w, "missing", h->missing);
    emit_member_string(w, "channel", h->missing ? h->channel : NULL);
    emit_member_node(w, "publisher", n, h->publisher);
    emit_member_string(w, "message", h->missing ? h->why : NULL);
    emit_text(w, "}");
}

void emit_migration_members(writer *w, const migration_view *v, const node_names *n)
{
    emit_member_hex(w, "id", slice_of(v->id.bytes, sizeof v->id.bytes));
    emit_member_string(w, "state", state_of(v));
    emit_member_string(w, "role", role_of(v));
    emit_member_id(w, "origin", v->origin);
    emit_member_string(w, "name", v->name[0] ? v->name : NULL);
    emit_member_string(w, "kind", v->kind[0] ? v->kind : NULL);
    emit_member_node(w, "source", n, v->source);
    emit_member_node(w, "target", n, v->target);
    emit_member_string(w, "phase", move_phase_word(v->phase));
    emit_member_u64(w, "percent", move_phase_percent(v->phase));
    emit_member_node(w, "waits_for", n, v->in_doubt && !v->over ? v->waits_for : 0);
    emit_outcome(w, v);
    emit_member_u64(w, "attempts", v->attempts);
    emit_member_bool(w, "fetching", v->fetching);
    emit_member_u64(w, "bytes_sent", v->bytes_sent);
    emit_member_u64(w, "bytes_total", v->bytes_total);
    emit_member_u64(w, "held_events", v->held);
    emit_ns(w, "elapsed_ns", v->elapsed_ns);
    emit_ns(w, "phase_ns", v->phase_ns);
    emit_ns(w, "blackout_ns", v->blackout_ns);
    emit_ns(w, "snapshot_ns", v->snapshot_ns);
    emit_hearing(w, &v->hearing, n);
}

static void emit_migration(writer *w, const migration_view *v, const node_names *n)
{
    emit_text(w, "{");
    emit_migration_members(w, v, n);
    emit_text(w, "}");
}

/* ---- Looking --------------------------------------------------------------------------------- */

typedef struct collect {
    listing l;
    node_names names;
} collect;

static void list_one(void *ctx, const migration_view *v)
{
    collect *c = ctx;
    writer *w = listing_next(&c->l);

    if (!w)
        return;
    emit_migration(w, v, &c->names);
    listing_flush(&c->l);
}

static void list_job(request *r)
{
    migrations *x = request_moves(r);
    collect c;

    if (!x)
        return;
    listing_init(&c.l, r);
    node_names_read(&c.names, r->api->config.mesh);
    emit_text(&c.l.spool.tail, "{\"migrations\":[");
    migrations_each(x, list_one, &c);
    emit_text(&c.l.spool.tail, "]}\n");
    node_names_fini(&c.names);
    listing_answer(&c.l, r, "application/json");
}

void moves_list(request *r)
{
    request_job(r, list_job);
}

/* The one whose id begins so. */
typedef struct seek {
    const char *text;
    unsigned hits;
    migration_view view;
} seek;

static void seek_one(void *ctx, const migration_view *v)
{
    seek *s = ctx;
    char id[2 * sizeof v->id.bytes + 1];

    hex_encode(id, slice_of(v->id.bytes, sizeof v->id.bytes));
    if (strncmp(id, s->text, strlen(s->text)) != 0)
        return;
    /* One that was begun here by another node's order may be told twice. */
    if (s->hits && memcmp(s->view.id.bytes, v->id.bytes, sizeof v->id.bytes) == 0)
        return;
    s->view = *v;
    s->hits++;
}

bool request_migration(request *r, migrations *x, const char *text, migration_view *out)
{
    seek s = {.text = text};
    berth_error error = {0};

    migrations_each(x, seek_one, &s);
    *out = s.view;
    if (s.hits == 1)
        return true;
    if (s.hits)
        fail(&error, BERTH_ERR_AMBIGUOUS, "migration '%.64s': %u begin so; write more of the id",
             s.text, s.hits);
    else
        fail(&error, BERTH_ERR_NOT_FOUND,
             "there is no migration '%.64s': `berth migration ls` shows those under way and the "
             "last ones that are over",
             s.text);
    request_fail(r, &error);
    return false;
}

/* Segment 2 of the path. False: it has answered. */
static bool find_migration(request *r, migrations *x, migration_view *out)
{
    return request_migration(r, x, r->target.segments[2], out);
}

static void answer_view(request *r, unsigned status, const migration_view *v)
{
    node_names names;
    writer w = {0};

    node_names_read(&names, r->api->config.mesh);
    emit_migration(&w, v, &names);
    node_names_fini(&names);
    request_answer(r, status, &w);
}

/* A thread of the pool waits: not so many of them that commands have none. False: it has answered.
 */
static bool wait_for_end(request *r, migrations *x, migration_view *v, uint64_t wait_ms)
{
    unsigned most = (r->api->config.max_jobs + 1) / 2;
    berth_error error = {0};
    move_outcome unread;
    bool room = atomic_fetch_add(&r->api->waits, 1) < most;

    if (room)
        migrations_wait(x, &v->id, (int64_t)wait_ms * 1000000, &unread, &error);
    atomic_fetch_sub(&r->api->waits, 1);
    if (room && !find_migration(r, x, v))
        return false;
    /* A daemon that does not return from its call keeps it from being over, whatever happens. */
    if (room && (v->over || error.code != BERTH_ERR_SHUTTING_DOWN))
        return true;
    if (!room)
        fail(&error, BERTH_ERR_WOULD_BLOCK,
             "%u requests wait for migrations already; try again shortly, or without wait_ms",
             most);
    request_fail(r, &error);
    return false;
}

static void get_job(request *r)
{
    migrations *x = request_moves(r);
    uint64_t wait_ms = 0;
    migration_view v;

    if (!x || !request_number(r, "wait_ms", WAIT_MOST_MS, &wait_ms) || !find_migration(r, x, &v))
        return;
    if (wait_ms && !v.over && !wait_for_end(r, x, &v, wait_ms))
        return;
    answer_view(r, 200, &v);
}

void moves_get(request *r)
{
    request_job(r, get_job);
}

/* ---- Stopping -------------------------------------------------------------------------------- */

static void delete_job(request *r)
{
    migrations *x = request_moves(r);
    berth_error error = {0};
    migration_view v;

    if (!x || !find_migration(r, x, &v))
        return;
    if (v.over)
        fail(&error, BERTH_ERR_BUSY, "migration '%.64s': is over: %s", r->target.segments[2],
             v.outcome.moved ? "the daemon was moved" : "the daemon was not moved");
    else if (v.role == MIGRATION_TARGET)
        fail(&error, BERTH_ERR_REFUSED,
             "migration '%.64s': the daemon comes here from node %016" PRIx64
             ", which alone decides: abort it there",
             r->target.segments[2], v.source);
    else if (migrations_cancel(x, &v.id, &error) != BERTH_OK)
        fail_prefix(&error, "migration '%.64s'", r->target.segments[2]);
    else if (find_migration(r, x, &v))
        answer_view(r, 200, &v);
    if (error.code)
        request_fail_reason(r, error.code == BERTH_ERR_BUSY ? MOVE_TOO_LATE : MOVE_REFUSED, &error);
}

void moves_delete(request *r)
{
    request_job(r, delete_job);
}

/* ---- Deciding without the other node --------------------------------------------------------- */

/* A peer, or 16 digits of a node: one that will not come back may be no peer any more. */
static berth_status dead_node(mesh *m, const char *text, uint64_t *out, berth_error *error)
{
    mesh_peer_view v;
    berth_status status = mesh_peer_find(m, text, &v, error);

    if (status == BERTH_OK)
        *out = v.node;
    if (status != BERTH_ERR_NOT_FOUND || strlen(text) != 16 ||
        strspn(text, "0123456789abcdefABCDEF") != 16)
        return status;
    *out = strtoull(text, NULL, 16);
    *error = (berth_error){0};
    return BERTH_OK;
}

static void resolve_job(request *r)
{
    migrations *x = request_moves(r);
    berth_error error = {0};
    resolve_order order;
    migration_view v;
    uint64_t dead;

    if (!x || !find_migration(r, x, &v))
        return;
    if (resolve_order_read(&order, slice_of(r->body.data, r->body.len), &error) != BERTH_OK ||
        dead_node(r->api->config.mesh, order.dead, &dead, &error) != BERTH_OK)
        request_fail(r, &error);
    else if (migrations_resolve(x, &v.id, dead, &error) == BERTH_OK && find_migration(r, x, &v))
        answer_view(r, 200, &v);
    else if (error.code) {
        fail_prefix(&error, "migration '%.64s'", r->target.segments[2]);
        request_fail(r, &error);
    }
}

void moves_resolve(request *r)
{
    request_job(r, resolve_job);
}
