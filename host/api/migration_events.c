/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to migrations, as it happens. */
#include "api/emit.h"
#include "api/migrations.h"
#include "api/server.h"
#include "api/stream.h"
#include "base/clock.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define CHANGES 16

typedef struct events {
    migrations *x;
    migration_watch *watch;
    node_names names; /* when it began: what reads the lines must not wait for the mesh */
    bool one;         /* only this migration, until it is over: */
    migration_id id;
    bool unsure; /* its end may have been among what is not kept any more */
    bool over;
} events;

static void close_events(void *ctx)
{
    events *e = (events *)ctx;

    migration_watch_close(e->watch);
    node_names_fini(&e->names);
    free(e);
}

static void emit_change(writer *w, const events *e, int64_t wall_ns, const migration_view *v)
{
    emit_text(w, "{");
    emit_member_time(w, "time", wall_ns);
    emit_migration_members(w, v, &e->names);
    emit_text(w, "}\n");
}

typedef struct look {
    const migration_id *id;
    migration_view view;
} look;

static void look_at(void *ctx, const migration_view *v)
{
    look *l = (look *)ctx;

    if (v->over && memcmp(&v->id, l->id, sizeof v->id) == 0)
        l->view = *v;
}

static bool emit_old_end(writer *lines, events *e)
{
    look l = {.id = &e->id};

    e->unsure = false;
    migrations_each(e->x, look_at, &l);
    if (l.view.over)
        emit_change(lines, e, clock_wall_ns() - l.view.phase_ns, &l.view);
    return l.view.over;
}

static const char *fill(void *ctx, writer *lines)
{
    events *e = (events *)ctx;
    migration_change items[CHANGES];
    uint64_t missed = 0;
    bool ended = false;
    size_t n = migration_watch_read(e->watch, items, CHANGES, &missed, &ended);

    stream_emit_missed(lines, missed);
    for (size_t i = 0; i < n && !e->over; i++) {
        emit_change(lines, e, items[i].wall_ns, &items[i].view);
        e->over = e->one && items[i].view.over;
    }
    e->unsure |= e->one && missed;
    if (!n && e->unsure && !ended)
        e->over = emit_old_end(lines, e);
    return e->over ? "it is over" : !n && ended ? "the host stops" : NULL;
}

static void wake(void *ctx)
{
    request_wake((request *)ctx);
}

static void events_job(request *r)
{
    static const stream_source source = {fill, close_events};
    const char *text = target_param_get(&r->target, "migration");
    migrations *x = request_moves(r);
    berth_error error = {0};
    migration_view v;
    events *e;

    if (!x || (text && !request_migration(r, x, text, &v)))
        return;
    e = calloc(1, sizeof *e);
    if (!e) {
        fail(&error, BERTH_ERR_NO_MEMORY, "out of memory");
    } else {
        *e = (events){.x = x, .one = text, .unsure = text};
        if (text)
            e->id = v.id;
        node_names_read(&e->names, r->api->config.mesh);
        if (migrations_watch(x, text ? &e->id : NULL, wake, r, &e->watch, &error) != BERTH_OK)
            close_events(e);
    }
    if (error.code)
        request_fail(r, &error);
    else
        stream_answer(r, &source, e);
}

void moves_events(request *r)
{
    request_job(r, events_job);
}
