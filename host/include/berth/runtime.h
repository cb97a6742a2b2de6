/* SPDX-License-Identifier: Apache-2.0 */
/*
 * berth/runtime.h: a runtime holds daemons and runs them.
 *
 * For those who embed libberth. `berth run` is this runtime with a state directory, a socket and a
 * configuration around it (berth/node.h).
 *
 * Life: Registering -> Ready -> ShuttingDown. Kinds can be provided in the first two; daemons live
 * in Ready. Every function may be called from any thread. Those marked "blocks" wait for daemons,
 * and answer DEADLOCK when called from a daemon's handler or from a callback of the runtime.
 *
 * A daemon is named by its origin, the 64-bit projection of its identity. Pointers passed in are
 * borrowed for the call. Structs begin with their size, so that they can grow; zero it all, set
 * size, and every member you leave has its default. A berth_error may be NULL. Since 0.1.
 */
#ifndef BERTH_RUNTIME_H
#define BERTH_RUNTIME_H

#include "berth/abi.h"
#include "berth/chain.h"
#include "berth/identity.h"
#include "berth/status.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define BERTH_API __attribute__((visibility("default")))
#else
#define BERTH_API
#endif

typedef struct berth_runtime berth_runtime;

/* Limits and sizes; 0 is the default in parentheses. */
typedef struct berth_runtime_config {
    uint32_t size;
    uint32_t threads;          /* dispatcher threads (one per core) */
    uint64_t max_event;        /* bytes of one event (1 MiB; at most 16 MiB) */
    uint64_t max_outputs;      /* effects of one call (4096) */
    uint64_t max_output_bytes; /* bytes of all effects of one call (64 MiB) */
    uint64_t max_state;        /* bytes of one snapshot's state (4 GiB - 1) */
    uint64_t mailbox_events;   /* events that wait for one daemon (1024) */
    uint64_t mailbox_bytes;    /* bytes that wait for one daemon (8 MiB) */
    uint64_t ring_outputs;     /* outputs kept per daemon for tails (256) */
    uint64_t ring_bytes;       /* bytes kept per daemon for tails (64 KiB) */
    uint64_t ring_total_bytes; /* bytes kept for tails in all (64 MiB) */
    uint64_t call_budget_ns;   /* a longer call is marked and compensated (10 ms) */
    uint64_t send_deadline_ns; /* how long a send waits for room (30 s) */
    uint64_t horizon_origins;  /* exact origins kept per daemon (4096) */
    uint64_t status_period_ns; /* how often daemons that ran are asked how they are (1 s) */
    uint64_t breaks_allowed;   /* rebuilds within a minute before quarantine (3) */
} berth_runtime_config;

/* ---- Life ------------------------------------------------------------------------------------ */

/* A runtime in Registering, without a store: its daemons live as long as it does. */
BERTH_API berth_status berth_runtime_new(const berth_runtime_config *config, berth_runtime **out,
                                         berth_error *error);

/* Registering -> Ready. In Ready: nothing. SHUTTING_DOWN after shutdown. */
BERTH_API berth_status berth_runtime_start(berth_runtime *rt, berth_error *error);

/*
 * Stop accepting, let every daemon finish the call it is in, take final snapshots of durable
 * daemons, destroy all daemons. Blocks up to grace_ms; then returns TIMEOUT, naming a daemon that
 * does not come back, and leaves its thread and memory alone. IO: a final snapshot is not on disk;
 * its daemon will come back from the one before. May be called again.
 */
BERTH_API berth_status berth_runtime_shutdown(berth_runtime *rt, uint64_t grace_ms,
                                              berth_error *error);

/* Shuts down if that was not done, joins the threads, frees. Blocks. NULL is allowed. */
BERTH_API void berth_runtime_free(berth_runtime *rt);

typedef enum berth_runtime_state {
    BERTH_RUNTIME_REGISTERING,
    BERTH_RUNTIME_READY,
    BERTH_RUNTIME_SHUTTING_DOWN
} berth_runtime_state;
BERTH_API berth_runtime_state berth_runtime_get_state(const berth_runtime *rt);

/* ---- Kinds ----------------------------------------------------------------------------------- */

/*
 * Provide a kind whose code is linked into this process; the table is copied. It has state if and
 * only if it has a snapshot function (then version 1). KIND_EXISTS when the name is taken: of many
 * callers at once exactly one succeeds.
 */
BERTH_API berth_status berth_register_factory(berth_runtime *rt, const berth_kind *table,
                                              berth_error *error);

/* What a plugin's manifest would say of a kind. Zeros: nothing. Since 0.1. */
typedef struct berth_factory_facts {
    uint64_t size;      /* sizeof */
    bool deterministic; /* the same state and events give the same state and outputs, wherever: it
                           can be sent elsewhere while it runs */
} berth_factory_facts;
/* The same with facts, borrowed; NULL: none. INVALID: facts without a size. Since 0.1. */
BERTH_API berth_status berth_register_factory_with(berth_runtime *rt, const berth_kind *table,
                                                   const berth_factory_facts *facts,
                                                   berth_error *error);

/* BUSY while daemons or factories of the kind exist. */
BERTH_API berth_status berth_unregister_factory(berth_runtime *rt, const char *kind,
                                                berth_error *error);

/* ---- Daemons --------------------------------------------------------------------------------- */

/* A permission token that a daemon is given. */
typedef struct berth_daemon_token {
    const void *bytes; /* a chain of tokens, as berth_token_chain_encode writes it */
    uint64_t len;
    const char *name; /* what errors call it: the file that it comes from, say; or NULL */
} berth_daemon_token;

/* How a daemon is to be kept, and what it hears and serves. */
typedef struct berth_daemon_config {
    uint32_t size;
    uint32_t durability; /* 0: what the kind prefers; 1 volatile; 2 snapshot */
    /* 1 to 127 of a-z A-Z 0-9 - _ . NULL: as in the snapshot, else made from kind and origin. One
     * that ends in "-" and an origin, or is one, can only be that of the daemon that has it. */
    const char *name;
    const void *config; /* for create; at most 64 KiB */
    uint64_t config_len;
    uint64_t auto_snapshot; /* a snapshot after every N events; 0: never */
    /* Since 0.2. "CHANNEL", or "CHANNEL@GROUP" to take turns with the others of a queue group; at
     * most 256. */
    const char *const *subscribe;
    uint64_t subscribe_count;
    /* Names of services: it hears "SERVICE.requests". A host has one server of a service, so with
     * the second one the spawn ends in EXISTS. At most 64. */
    const char *const *serve;
    uint64_t serve_count;
    /* What it shows where a channel asks for leave, to subscribe or to publish. Each has to be
     * issued for the daemon's identity and not to be over, else REFUSED. At most 64. */
    const berth_daemon_token *tokens;
    uint64_t token_count;
    /* Who on other nodes may send to it: "realm", every node that is let in; "peers", those that
     * are named as peers; "none"; or up to 64 names of peers, "NAME,NAME". What the mesh as a whole
     * refuses stays refused. Kept as the above. NULL: as it was kept, else "realm". */
    const char *accept;
    /* Of a daemon that was moved to another host, which is gone for good: it goes on here, above
     * the epoch that host had. Else such a spawn ends in REFUSED. */
    bool takeover;
} berth_daemon_config;

/*
 * Start a daemon of a provided kind. identity NULL: a fresh one. When this returns OK the daemon is
 * running, and on disk if it is durable and the runtime has a store. Blocks.
 *
 * NOT_READY, SHUTTING_DOWN; KIND_UNKNOWN; EXISTS ("already registered") when the identity or the
 * name is in use: the one that has it is untouched, and the kind's create is not called; PLUGIN,
 * with its text, when create fails: nothing is left behind.
 */
BERTH_API berth_status berth_spawn_kind(berth_runtime *rt, const char *kind,
                                        const berth_keypair *identity,
                                        const berth_daemon_config *config, uint64_t *origin,
                                        berth_error *error);

/*
 * The same for many identities at once: their rows go to disk together, which makes a durable
 * daemon cost little more than its row. All or none. config applies to each; its name has to be
 * NULL. origins (may be NULL) has room for count. Blocks.
 */
BERTH_API berth_status berth_spawn_batch(berth_runtime *rt, const char *kind,
                                         const berth_keypair *identities, uint64_t count,
                                         const berth_daemon_config *config, uint64_t *origins,
                                         berth_error *error);

/* The same with a table of the caller's own, not registered as a kind. self: an instance the caller
 * has made (the runtime owns it from OK on), or NULL: the table's create makes it. */
BERTH_API berth_status berth_spawn_with_daemon(berth_runtime *rt, const berth_keypair *identity,
                                               const berth_daemon_config *config,
                                               const berth_kind *table, void *self,
                                               uint64_t *origin, berth_error *error);

/*
 * Start a daemon from a snapshot (a BSN1 container or a bare CDS1 snapshot). identity must be the
 * one the snapshot was taken of, by all 32 bytes, else IDENTITY_MISMATCH before anything happens;
 * NULL: the snapshot must carry none, fails with INVALID. kind NULL: the one the container names.
 */
BERTH_API berth_status berth_spawn_from_snapshot(berth_runtime *rt, const char *kind,
                                                 const berth_keypair *identity,
                                                 const void *snapshot, uint64_t snapshot_len,
                                                 const berth_daemon_config *config,
                                                 uint64_t *origin, berth_error *error);

BERTH_API berth_status berth_spawn_from_snapshot_with_daemon(
    berth_runtime *rt, const berth_keypair *identity, const void *snapshot, uint64_t snapshot_len,
    const berth_daemon_config *config, const berth_kind *table, void *self, uint64_t *origin,
    berth_error *error);

/*
 * Stop a daemon and forget it (its stored rows too). With a grace period the daemon first gets
 * BERTH_CONTROL_SHUTDOWN and runs what is in its mailbox, at most that long; what is then left ends
 * as CANCELLED. Blocks until its destroy has returned, unless it is in a call that does not return
 * within the grace: TIMEOUT then, it is gone from the table, and its destroy follows that call.
 */
BERTH_API berth_status berth_stop(berth_runtime *rt, uint64_t origin, uint64_t grace_ms,
                                  berth_error *error);

/* A snapshot between two events, as BSN1 bytes; free() them. A stateless kind gives one with an
 * empty state. With a store it is on disk when this returns OK. Blocks. */
BERTH_API berth_status berth_snapshot(berth_runtime *rt, uint64_t origin, void **bytes,
                                      uint64_t *len, berth_error *error);

/* A control event (BERTH_CONTROL_*) to on_control, between calls; returns when it has been handled.
 * UNSUPPORTED when the kind has none. Blocks. */
BERTH_API berth_status berth_control(berth_runtime *rt, uint64_t origin, int32_t control,
                                     uint64_t operand, berth_error *error);

/* ---- Events ---------------------------------------------------------------------------------- */

/* One event to deliver. */
typedef struct berth_input {
    const void *data;
    uint64_t len;
    /* The causal link it came with, or NULL: from outside. */
    const berth_link *link;
} berth_input;

/* One output: link and payload, in one piece in memory. */
typedef struct berth_output_view {
    berth_link link;
    const void *data; /* valid until the outputs are cleared */
    uint64_t len;
    uint64_t input; /* index of the event that caused it */
} berth_output_view;

/* Outputs, and the codes of the inputs; reusable, so that delivering allocates nothing of its own.
 */
typedef struct berth_outputs berth_outputs;
BERTH_API berth_outputs *berth_outputs_new(void);
BERTH_API void berth_outputs_free(berth_outputs *outputs);
BERTH_API void berth_outputs_clear(berth_outputs *outputs);
BERTH_API uint64_t berth_outputs_count(const berth_outputs *outputs);
BERTH_API berth_output_view berth_outputs_at(const berth_outputs *outputs, uint64_t index);
/* How many inputs of the last delivery failed, the status of one, and its text ("" if none). */
BERTH_API uint64_t berth_outputs_failed(const berth_outputs *outputs);
BERTH_API berth_status berth_outputs_status(const berth_outputs *outputs, uint64_t input);
BERTH_API const char *berth_outputs_text(const berth_outputs *outputs, uint64_t input);

/*
 * Deliver count events in order and wait until they have been applied. The outputs that they
 * caused, and that go to their caller, are in outputs afterwards (may be NULL; what was in it
 * goes). Runs on the calling thread when the daemon is idle, else through its mailbox. Blocks.
 *
 * OK: all were applied. REJECTED or BROKEN, with the daemon's text: that of the first event that
 * failed; the others were applied nevertheless (berth_outputs_status tells which). LIMIT: an event
 * is too large; none was delivered. NOT_FOUND, NOT_READY, SHUTTING_DOWN, DEADLOCK.
 */
BERTH_API berth_status berth_deliver_batch(berth_runtime *rt, uint64_t origin,
                                           const berth_input *inputs, uint64_t count,
                                           berth_outputs *outputs, berth_error *error);

/* One event. */
BERTH_API berth_status berth_deliver(berth_runtime *rt, uint64_t origin, const void *data,
                                     uint64_t len, berth_outputs *outputs, berth_error *error);

/*
 * What became of events that were posted. Called on the runtime's callback thread.
 * status as in berth_deliver_batch.
 */
typedef void berth_submitted(void *ctx, berth_status status, uint64_t failed);

/*
 * Put count events (at most mailbox_events) into the mailbox, all or none, and return. WOULD_BLOCK
 * when there is no room: try again, or block in berth_submit_wait. done may be NULL.
 */
BERTH_API berth_status berth_submit(berth_runtime *rt, uint64_t origin, const berth_input *inputs,
                                    uint64_t count, berth_submitted *done, void *ctx,
                                    berth_error *error);

/* As berth_submit, but waits for room. Blocks. */
BERTH_API berth_status berth_submit_wait(berth_runtime *rt, uint64_t origin,
                                         const berth_input *inputs, uint64_t count,
                                         berth_submitted *done, void *ctx, berth_error *error);

/* Returns when everything posted before to this daemon has been applied. Blocks. */
BERTH_API berth_status berth_flush(berth_runtime *rt, uint64_t origin, berth_error *error);

/* ---- Looking --------------------------------------------------------------------------------- */

typedef enum berth_daemon_state {
    BERTH_DAEMON_RUNNING = 1,
    BERTH_DAEMON_HELD = 2,        /* its gate is closed: being moved, upgraded, restored */
    BERTH_DAEMON_QUARANTINED = 3, /* broke too often; holds its mailbox until an operator acts */
    BERTH_DAEMON_STOPPING = 4
} berth_daemon_state;

typedef struct berth_daemon_info {
    uint32_t size;
    berth_daemon_state state;
    uint8_t entity[32];
    uint64_t origin;
    char name[128];
    char kind[128];
    uint64_t incarnation, epoch;
    uint64_t sequence; /* of the last output */
    uint64_t events_processed, events_emitted, errors, snapshots_taken, breaks;
    uint64_t events_lost; /* sends of this daemon that ended as lost */
    uint64_t mailbox_events, mailbox_bytes;
    uint64_t overruns; /* calls past the budget */
    int64_t busy_ns;   /* how long the running call has been running; 0: none */
    int32_t health;    /* BERTH_HEALTHY, ...; as last polled */
    uint32_t saturation_ppm;
    uint64_t state_bytes; /* as last polled */
    uint32_t durability;  /* 1 volatile, 2 snapshot */
    uint32_t subscriptions;
    uint64_t auto_snapshot;
    int64_t started_wall_ns;
    uint8_t plugin_digest[32];
    char quarantine[256]; /* why, or "" */
} berth_daemon_info;

/* NOT_FOUND when there is none. Never waits for the daemon. */
BERTH_API berth_status berth_daemon_get(berth_runtime *rt, uint64_t origin, berth_daemon_info *out,
                                        berth_error *error);

/* Calls fn for each daemon until it returns false; no lock is held. */
BERTH_API void berth_daemons_each(berth_runtime *rt,
                                  bool (*fn)(void *ctx, const berth_daemon_info *info), void *ctx);
BERTH_API uint64_t berth_daemon_count(const berth_runtime *rt);

/* A name, an origin in hex, or a unique prefix of either -> origin. NOT_FOUND; AMBIGUOUS, naming
 * some. */
BERTH_API berth_status berth_daemon_find(berth_runtime *rt, const char *text, uint64_t *origin,
                                         berth_error *error);

/* ---- Channels -------------------------------------------------------------------------------- */

/* Subscribe a daemon, as its own call->api->subscribe would; recorded in its ledger, which moves
 * with it. publisher 0: any node. token may be empty; it is kept in the ledger. EXISTS: the channel
 * is "SERVICE.requests", and another daemon serves that. Blocks. */
BERTH_API berth_status berth_subscribe_channel(berth_runtime *rt, uint64_t origin,
                                               uint64_t publisher, const char *channel,
                                               const void *token, uint64_t token_len,
                                               berth_error *error);
/* The same as a member of a queue group of the channel: each message is for one of its members, who
 * take turns, on this host and on others. group: at most 255 bytes of UTF-8; NULL or "": as above,
 * all messages. A daemon is on a channel in one way: subscribing again changes it. Since 0.2. */
BERTH_API berth_status berth_subscribe_group(berth_runtime *rt, uint64_t origin, uint64_t publisher,
                                             const char *channel, const char *group,
                                             const void *token, uint64_t token_len,
                                             berth_error *error);
/* Give a daemon a permission token, which it holds from then on, and takes with it: it shows it
 * where a channel asks for leave to publish, or to subscribe without another token. bytes: a chain.
 * CORRUPT, SIGNATURE; REFUSED: it is for another identity, or is over. LIMIT: it holds 64 that are
 * not over. Blocks. Since 0.2. */
BERTH_API berth_status berth_give_token(berth_runtime *rt, uint64_t origin, const void *bytes,
                                        uint64_t len, berth_error *error);
BERTH_API berth_status berth_unsubscribe_channel(berth_runtime *rt, uint64_t origin,
                                                 uint64_t publisher, const char *channel,
                                                 berth_error *error);
/* Calls fn for each entry of the daemon's ledger. Blocks. */
BERTH_API berth_status berth_subscriptions(berth_runtime *rt, uint64_t origin,
                                           void (*fn)(void *ctx, uint64_t publisher,
                                                      const char *channel, const void *token,
                                                      uint64_t token_len),
                                           void *ctx, berth_error *error);

/* ---- Observers ------------------------------------------------------------------------------- */

typedef enum berth_lifecycle_type {
    BERTH_LIFECYCLE_REGISTERED = 1,
    BERTH_LIFECYCLE_UNREGISTERED = 2,
    BERTH_LIFECYCLE_CRASHED = 3,           /* text: why */
    BERTH_LIFECYCLE_HEALTH_CHANGED = 4,    /* value: BERTH_HEALTHY, ... */
    BERTH_LIFECYCLE_SATURATION_CHANGED = 5 /* value: parts per million */
} berth_lifecycle_type;

typedef struct berth_lifecycle_event {
    berth_lifecycle_type type;
    uint32_t value;
    uint64_t origin;
    const char *name;
    const char *kind;
    const char *text;
    int64_t mono_ns;
} berth_lifecycle_event;

/*
 * fn is called on the runtime's callback thread, one event after the other; those of one daemon in
 * the order in which they happened, a replaced daemon's UNREGISTERED before its successor's
 * REGISTERED. Everything borrowed for the call. fn may call the runtime, but not its blocking
 * functions. Returns an id for berth_unobserve, after which fn is not running and will not run
 * again (unless called from fn).
 */
BERTH_API uint64_t berth_observe_lifecycle(
    berth_runtime *rt, void (*fn)(void *ctx, const berth_lifecycle_event *event), void *ctx);

/*
 * fn is called after each event that the daemon applied, with the event, on the thread that ran it
 * and before the next one: so in the order of processing. It must be quick and must not call the
 * runtime.
 */
BERTH_API uint64_t berth_observe_delivery(berth_runtime *rt, uint64_t origin,
                                          void (*fn)(void *ctx, uint64_t origin,
                                                     const berth_event *event),
                                          void *ctx);
BERTH_API void berth_unobserve(berth_runtime *rt, uint64_t id);

/* ---- Placeholders ---------------------------------------------------------------------------- */

/*
 * Say that a daemon with this origin may come here by migration and be rebuilt as `kind`: without
 * its key, or with it. Colliding with any factory, live or placeholder: EXISTS, and that one is
 * untouched. orchestrator 0: the first that asks.
 */
BERTH_API berth_status berth_expect_migration(berth_runtime *rt, const char *kind, uint64_t origin,
                                              uint64_t orchestrator,
                                              const berth_daemon_config *config,
                                              berth_error *error);
BERTH_API berth_status berth_register_migration_target_identity(berth_runtime *rt, const char *kind,
                                                                const berth_keypair *identity,
                                                                const berth_daemon_config *config,
                                                                berth_error *error);
/* Withdraw it. NOT_FOUND; BUSY for the factory of a living daemon. */
BERTH_API berth_status berth_forget_placeholder(berth_runtime *rt, uint64_t origin,
                                                berth_error *error);

#ifdef __cplusplus
}
#endif
#endif
