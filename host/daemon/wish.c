/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Daemons that daemons wish for: built on a dispatcher thread, recorded by the store, published
 * when its answer is there, and answered through on_reply. No thread waits for the disk.
 */
#include "daemon/spawn.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

typedef struct spawn_job {
    task task; /* first */
    runtime *rt;
    berth_ref answer;
    buf *kind, *name, *config;
    struct daemon *d; /* built, on its way to disk */
    berth_status status;
    berth_error error;
} spawn_job;

static void end_job(spawn_job *j, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    if (j->status == BERTH_OK)
        send_answer(j->rt, NULL, &j->answer, BERTH_REPLY_OK, berth_entity_origin(entity),
                    slice_of(entity, BERTH_ENTITY_SIZE));
    else
        send_answer(j->rt, NULL, &j->answer,
                    j->status == BERTH_ERR_KIND_UNKNOWN ? BERTH_REPLY_UNKNOWN : BERTH_REPLY_REFUSED,
                    0, slice_str(j->error.text));
    buf_unref(j->kind);
    buf_unref(j->name);
    buf_unref(j->config);
    atomic_fetch_sub(&j->rt->underway, 1);
    free(j);
}

static void publish_job(task *t, runner *on)
{
    spawn_job *j = (spawn_job *)t;
    uint8_t entity[BERTH_ENTITY_SIZE];
    memcpy(entity, j->d->make->key.entity, sizeof(entity));
    j->status = spawn_finish(j->d, BERTH_START_NEW, j->status, on, &j->error);
    end_job(j, entity);
}

/* On the store's thread, which has others to serve. */
static void job_stored(void *ctx, berth_status status, const berth_error *error)
{
    spawn_job *j = ctx;
    j->status = status;
    if (error)
        j->error = *error;
    dispatcher_push(j->rt->dispatcher, &j->task);
}

static berth_status build_job(spawn_job *j, runner *on)
{
    char name[128] = "";
    berth_keypair identity;
    if (j->name)
        memcpy(name, j->name->data, j->name->len); /* at most 127 bytes, effects.c saw to it */
    berth_daemon_config config = {.size = sizeof(config),
                                  .name = j->name ? name : NULL,
                                  .config = j->config->data,
                                  .config_len = j->config->len};
    spawn_wish wish = {.identity = &identity, .config = &config};
    berth_status status = runtime_check(j->rt, false, &j->error);
    if (status != BERTH_OK)
        return status;
    wish.kind = spawn_find_kind(j->rt, slice_of(j->kind->data, j->kind->len), &j->error);
    if (!wish.kind)
        return BERTH_ERR_KIND_UNKNOWN;
    berth_keypair_generate(&identity);
    status = spawn_build(j->rt, &wish, on, &j->d, &j->error);
    berth_keypair_wipe(&identity);
    plugin_kind_unref(wish.kind);
    return status;
}

static void run_spawn_job(task *t, runner *on)
{
    spawn_job *j = (spawn_job *)t;
    j->status = build_job(j, on);
    j->task.run = publish_job;
    if (j->status != BERTH_OK)
        end_job(j, NULL);
    else if (j->rt->store)
        spawn_record(j->d, job_stored, j);
    else
        publish_job(t, on);
}

void spawn_for(struct daemon *d, const effect *e)
{
    spawn_job *j = calloc(1, sizeof(*j));
    berth_ref answer = {{d->origin, e->request, d->incarnation, REPLY_TO_DAEMON}};
    if (e->request) {
        int64_t in = d->rt->limits.send_deadline_ns;
        if (due_set(d, true, e->request, 0, NULL, in, d->last_time_ns + in) != BERTH_OK) {
            due_refused(d, e->request, 0);
            free(j);
            return;
        }
    } else {
        answer = (berth_ref){{0}};
    }
    if (!j) {
        send_answer(d->rt, NULL, &answer, BERTH_REPLY_LOST, 0, slice_str("out of memory"));
        return;
    }
    atomic_fetch_add(&d->rt->underway, 1);
    *j = (spawn_job){
        .task = {.run = run_spawn_job},
        .rt = d->rt,
        .answer = answer,
        .kind = buf_ref(e->name),
        .name = e->label ? buf_ref(e->label) : NULL,
        .config = buf_ref(e->bytes),
    };
    dispatcher_push(d->rt->dispatcher, &j->task);
}
