/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/runtime_private.h: the runtime as this room sees it: what all daemons share.
 */
#ifndef DAEMON_RUNTIME_PRIVATE_H
#define DAEMON_RUNTIME_PRIVATE_H

#include "daemon/channels.h"
#include "daemon/daemon.h"
#include "daemon/factories.h"
#include "daemon/observers.h"
#include "daemon/registry.h"
#include "identity/seal.h"

typedef struct loop loop;

typedef struct runtime_limits {
    uint64_t max_event, max_outputs, max_output_bytes, max_state;
    uint64_t mailbox_events, mailbox_bytes;
    int64_t call_budget_ns, send_deadline_ns, status_period_ns;
    uint64_t horizon_origins, breaks_allowed;
} runtime_limits;

struct berth_runtime {
    runtime_limits limits;
    const instance_ops *instances; /* where plugin code runs */
    _Atomic int state;             /* berth_runtime_state */
    _Atomic uint64_t seed;
    plugins *plugins;
    bool own_plugins;
    store *store;
    uint8_t host_key[HOST_KEY_SIZE];
    uint64_t node_id;
    route route;
    uint64_t sequence_block; /* how far ahead sequences are reserved on disk */

    registry registry;
    factories factories;
    channels channels;
    observers observers;
    ring_budget rings;
    dispatcher *dispatcher;
    loop *loop; /* the clock: timers, watchdog, status polls */

    pthread_mutex_t due_lock;
    heap dues;

    /* Who waits for whom: only under this lock does a daemon become, or stop being, blocked. */
    pthread_mutex_t block_lock;
    struct daemon *blocked;

    /* Origins of daemons that ran since they were last asked how they are. No references: one that
     * is stopped must not keep its kind until the next poll. */
    pthread_mutex_t dirty_lock;
    uint64_t *dirty;
    size_t dirty_count, dirty_cap;

    pthread_mutex_t down_lock;
    struct down *down; /* daemons that could not come back */

    /* Of daemons that are gone; the living are added up when asked. */
    _Atomic uint64_t processed, emitted, errors, duplicates, lost, snapshots, snapshot_bytes;
    _Atomic uint64_t breaks, quarantined, overruns, spawned, stopped, due_count;
    _Atomic uint64_t horizon_full, horizon_peer_full; /* events whose origin found no room */
    _Atomic uint64_t unkept;   /* daemons that ended without their final snapshot */
    _Atomic uint64_t underway; /* FINISHes of daemons and wishes to spawn that are not done */
};

/* Random bits for events and instances; not for keys. */
uint64_t runtime_seed(runtime *rt);

/* Whom of this host a publish reaches by the channel table (HEARERS_*); the others by the route. */
unsigned runtime_hearers(const runtime *rt, slice channel);

/* loop.c: the clock's thread. */
berth_status loop_start(runtime *rt, berth_error *error);
void loop_stop(runtime *rt);
/* A due earlier than all before was set. */
void loop_wake(runtime *rt);

/* The clock's work, free of clocks itself: everything that is due at now. */
void runtime_tick(runtime *rt, int64_t now_ns);

/* status.c */
void status_mark_dirty(struct daemon *d);
void status_poll(runtime *rt);
/* resume.c */
void down_forget(runtime *rt);

/* A store_done that answers the latch in ctx. */
void store_answered(void *ctx, berth_status status, const berth_error *error);

/* Whether this host may run d now (route.h); true opens the gate and schedules. */
bool daemon_open_gate(struct daemon *d);

#endif
