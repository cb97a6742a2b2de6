/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal.h: what the kit's sources share.
 *
 *   record.c   the berth_call that plugins see: phases, limits, effects
 *   world.c    what effects add up to: timers, requests, subscriptions
 *   testkit.c  a plugin and the host it sees: its log, posts, extensions; the clock, the seeds
 *   daemon.c   instances: create, destroy, snapshot, status; the calls into them
 *   event.c    what a daemon is sent, and what came of it
 */
#ifndef TESTKIT_INTERNAL_H
#define TESTKIT_INTERNAL_H

#include "berth/testkit.h"

#include <pthread.h>
#include <stdbool.h>

#define FAIL_MAX   1024
#define CONFIG_MAX (64 * 1024)

/* Abort instead of returning NULL. */
void *kit_alloc(size_t size);
void *kit_grow(void *old, size_t size);
/* Copy len bytes and a zero behind them. */
void *kit_copy(const void *ptr, size_t len);
/* A zero-terminated copy of at most FAIL_MAX bytes, control bytes as \xNN. */
char *kit_escape(const void *ptr, uint64_t len);

/* ---- record.c ---- */

typedef enum kit_phase {
    PHASE_DEAD, /* the call has returned */
    PHASE_CREATE,
    PHASE_HANDLER,
    PHASE_SNAPSHOT,
    PHASE_STATUS,
    PHASE_DESTROY,
} kit_phase;

/* Bytes that an effect refers to. */
typedef struct kit_chunk {
    struct kit_chunk *next;
    _Alignas(16) uint8_t bytes[];
} kit_chunk;

/*
 * The effects of one call. A daemon has a few of them in turn, so that a plugin that keeps a
 * berth_call past its call meets one that is dead, not the next one.
 */
typedef struct kit_call {
    berth_call call; /* first: the plugin's pointer is ours */
    kit_phase phase;
    pthread_t thread;
    struct berth_test_daemon *daemon;
    bool limit; /* one was passed: sticky */
    berth_test_effect *effects;
    size_t effect_count, effect_cap;
    uint64_t effect_bytes;
    kit_chunk *chunks;
    void *reserved; /* from reserve, not committed */
    uint64_t reserved_cap;
    uint8_t *state; /* written by snapshot */
    uint64_t state_len, state_cap;
    char *failure; /* or NULL */
} kit_call;

void record_begin(kit_call *c, struct berth_test_daemon *d, kit_phase phase);
/* The call returned code: gives the code that counts, drops the effects of one that failed. */
berth_code record_end(kit_call *c, berth_code code);
void record_free(kit_call *c);

/* ---- world.c ---- */

typedef struct kit_timer {
    uint64_t number;
    int64_t due_ns;
    uint64_t order; /* of setting: breaks ties */
    uint8_t *data;
    uint64_t len;
} kit_timer;

typedef struct kit_subscription {
    char *channel;
    uint64_t publisher;
} kit_subscription;

typedef struct kit_post {
    struct kit_post *next;
    uint64_t len;
    uint8_t bytes[];
} kit_post;

typedef struct kit_world {
    kit_timer *timers;
    size_t timer_count;
    uint64_t timer_order;
    uint64_t *requests;
    size_t request_count;
    kit_subscription *subscriptions;
    size_t subscription_count;
} kit_world;

void world_apply(kit_world *w, const berth_test_effect *effect, int64_t now);
void world_free(kit_world *w);
bool world_requested(const kit_world *w, uint64_t request);
void world_close_request(kit_world *w, uint64_t request);
kit_timer *world_timer(const kit_world *w, uint64_t number);
/* The next one due at or before now, or NULL. */
kit_timer *world_due(const kit_world *w, int64_t now);
/* Remove it; its data becomes the caller's. */
kit_timer world_take_timer(kit_world *w, kit_timer *timer);

/* ---- daemon.c ---- */

/* What create made, until destroy: what the plugin's berth_daemon pointer points to. */
typedef struct kit_instance {
    berth_daemon handle; /* first */
    struct kit_instance *next;
    struct berth_test *test;
    struct berth_test_daemon *daemon;
    bool live;
    void *self;
} kit_instance;

#define KIT_CALLS 8

struct berth_test_daemon {
    struct berth_test_daemon *next;
    struct berth_test *test;
    const berth_kind *kind;
    kit_instance *instance;
    kit_call calls[KIT_CALLS];
    size_t call_at; /* of the last call */
    kit_world world;
    berth_test_birth birth; /* config and name are copies of ours; state is not kept */
    uint8_t *snapshot;
    uint64_t sequence;
    /* Under test->lock. */
    kit_post *posts;
    kit_post **posts_end;
    uint64_t post_count;
};

/*
 * A copy of exactly len bytes at an odd address, so that a sanitizer sees reads around it and the
 * plugin learns not to count on alignment. The block is to be freed.
 */
typedef struct kit_odd_copy {
    uint8_t *block;
    berth_bytes bytes;
} kit_odd_copy;

/* With so many zeroes behind the len bytes. NULL stays NULL, unless there are zeroes. */
kit_odd_copy kit_odd_copy_of(berth_bytes from, size_t zeroes);
kit_call *kit_last_call(berth_test_daemon *d);
/* Make the next call of d the last one; what to give the plugin. */
berth_call *kit_begin_call(berth_test_daemon *d, kit_phase phase);
/* A call that was not made, and why: BERTH_E_ARGUMENT. */
berth_code kit_refuse(berth_test_daemon *d, const char *why);

/* ---- testkit.c ---- */

typedef struct kit_line {
    int32_t level;
    char *text;
} kit_line;

struct berth_test {
    berth_host host; /* first */
    const berth_plugin *plugin;
    berth_kind *kinds; /* full-size copies */
    void *file;
    bool in_init;
    size_t extension_count;
    const char *const *extension_ids;
    const void *const *extension_tables;
    int64_t now;
    uint64_t seed[2];
    uint64_t next_origin;
    char *last_failure;
    berth_test_daemon *daemons;
    pthread_mutex_t lock; /* of what other threads reach: */
    kit_instance *instances;
    kit_line *lines;
    size_t line_count;
};

/* The next seed of the sequence. */
void kit_take_seed(berth_test *t, uint64_t out[2]);

#endif
