/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/instance.h: one instance of plugin code, wherever it runs.
 *
 * This is all that the rest of the room knows of plugin code: it can be created, run over events,
 * asked for a snapshot and for its status, and destroyed. Inline instances (inline.h) do it on the
 * calling thread and are DONE when the function returns; an instance in a worker process says
 * PENDING and answers later, from any thread. So nothing above may assume that plugin code shares
 * this address space or answers at once.
 *
 * Calls on one instance never overlap: the next comes after the answer to the one before. Every
 * function answers exactly once through its callback; a callback may come before the function
 * returns (then, and only then, it returns INSTANCE_DONE). No lock is held by the caller.
 */
#ifndef DAEMON_INSTANCE_H
#define DAEMON_INSTANCE_H

#include "berth/abi.h"
#include "berth/status.h"
#include "daemon/effects.h"
#include "plugin/plugins.h"

typedef struct instance instance;
typedef struct runner runner;

typedef enum instance_answer { INSTANCE_DONE, INSTANCE_PENDING } instance_answer;

/* What an instance is made of. Borrowed until created() is called, except daemon. */
typedef struct instance_spec {
    plugin_kind *kind;
    berth_daemon *daemon; /* the handle plugins hold; outlives the instance */
    const berth_birth *birth;
    effect_limits limits;
    void *self; /* an instance the embedder has made already (spawn_with_daemon), or NULL */
} instance_spec;

/*
 * OK: made is the caller's, until destroy. VERSION, CORRUPT (its state), INVALID (its
 * configuration), NO_MEMORY or PLUGIN, with the plugin's words in error, otherwise.
 */
typedef void instance_created(void *ctx, berth_status status, instance *made,
                              const berth_error *error);

/*
 * A run over events. The instance pulls events one by one, as many as it has room for, and answers
 * each, in order.
 */
typedef struct instance_run {
    /* The next event, valid until its result, or NULL: no more for now. */
    const berth_event *(*next)(struct instance_run *run);
    /* What became of the event answered next. The effects are the runner's from here on: it takes
     * the references and clears the struct. text is borrowed. */
    void (*result)(struct instance_run *run, berth_code code, effects *recorded, slice text);
    /* Whether the daemon has an open request with this number. */
    bool (*request_in_use)(void *run, uint64_t request);
    /* A run that was PENDING is over. */
    void (*finished)(struct instance_run *run);
    /* Of the thread that runs, for instances that keep per-thread scratch. */
    runner *on;
    /* Of this run; NULL: those that the instance was made with. */
    const effect_limits *limits;
} instance_run;

/* state has one reference, the callee's to drop; NULL unless OK. */
typedef void instance_snapshot_done(void *ctx, berth_status status, buf *state, slice text);
typedef void instance_status_done(void *ctx, berth_status status,
                                  const berth_daemon_status *report);

typedef struct instance_ops {
    instance_answer (*create)(const instance_spec *spec, runner *on, instance_created *done,
                              void *ctx);
    instance_answer (*run)(instance *i, instance_run *run);
    instance_answer (*snapshot)(instance *i, runner *on, uint32_t want_version, uint64_t max_state,
                                instance_snapshot_done *done, void *ctx);
    instance_answer (*status)(instance *i, runner *on, instance_status_done *done, void *ctx);
    instance_answer (*destroy)(instance *i, runner *on, void (*done)(void *ctx), void *ctx);
} instance_ops;

/* Every implementation's struct begins with this. */
struct instance {
    const instance_ops *ops;
};

#endif
