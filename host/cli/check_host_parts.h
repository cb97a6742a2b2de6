/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/check_host_parts.h: what the sources of the checking host share.
 *
 *   check_host.c    loading, tables, lending, the life of daemons
 *   check_record.c  what plugins call: effects
 *   check_outside.c the same outside of calls: log, post, extension
 *   check_play.c    the script, and the world around it
 */
#ifndef CLI_CHECK_HOST_PARTS_H
#define CLI_CHECK_HOST_PARTS_H

#include "cli/check_host.h"

#include <pthread.h>

enum {
    HOST_DAEMONS = 128,
    HOST_HANDLES = 64,
    HOST_PENDING = 64,
    HOST_POSTS = 16,
    HOST_POST_BYTES = 512,
    HOST_CANARY = 64,
    HOST_BEHIND = 64,
};

#define HOST_MAX_EVENT   ((uint64_t)1 << 20)
#define HOST_MAX_OUTPUTS ((uint64_t)4096)
#define HOST_MAX_BYTES   ((uint64_t)64 << 20)
#define HOST_STATE_ROOM  ((uint64_t)64 << 20)
#define HOST_GARBAGE     0xa5

typedef enum host_phase {
    PHASE_DEAD,
    PHASE_CREATE,
    PHASE_HANDLER,
    PHASE_SNAPSHOT,
    PHASE_STATUS,
    PHASE_DESTROY,
} host_phase;

/* What a berth_call points to. A daemon has a few in turn, so that one that a plugin keeps is known
 * to be dead for a while. */
typedef struct host_handle {
    berth_call call; /* first */
    check_daemon *daemon;
    pthread_t thread;
    const char *name; /* of the plugin's function */
    atomic_int phase;
} host_handle;

/* A timer or a request that the running call sets. */
typedef struct host_pending {
    bool is_timer, cancel, is_spawn;
    int64_t delay_ns;
    uint64_t number, len;
    uint8_t data[SCRIPT_TIMER_DATA];
} host_pending;

/* What the running call has recorded. */
typedef struct host_record {
    uint32_t count;
    bool limited;
    uint64_t bytes, digest;
    char shown[SCRIPT_SHOWN], text[160];
    host_pending pending[HOST_PENDING];
    uint32_t pending_count;
    uint8_t *room; /* for reserve */
    uint64_t room_len, reserved_len;
    bool reserved;
} host_record;

typedef struct host_post {
    uint64_t len;
    uint8_t data[HOST_POST_BYTES];
} host_post;

struct check_daemon {
    berth_daemon handle; /* first */
    check_host *host;
    atomic_bool live;
    uint64_t died; /* the host's count of deaths then */
    void *self;
    uint64_t origin;
    host_handle handles[HOST_HANDLES];
    unsigned handle_at;
    host_handle *running;
    host_record record;
    script_world world;
    int64_t now_ns;
    /* Zeroes behind them, in case somebody looks there. */
    berth_event event;
    uint8_t behind_event[HOST_BEHIND];
    berth_birth birth;
    uint8_t behind_birth[HOST_BEHIND];
    pthread_mutex_t lock; /* over posts */
    host_post posts[HOST_POSTS];
    unsigned post_first, post_count;
};

typedef enum host_slot {
    SLOT_EVENT,
    SLOT_DATA,
    SLOT_CHANNEL,
    SLOT_BIRTH,
    SLOT_CONFIG,
    SLOT_NAME,
    SLOT_STATE,
    SLOT_STATUS,
    HOST_SLOTS
} host_slot;

struct check_host {
    check *c;
    host_lend lend;
    host_tables tables;
    const berth_host *host;    /* as plugins see it */
    const berth_call_api *api; /* likewise */
    area areas[HOST_SLOTS], host_area, api_area;
    uint8_t *plain_config;
    uint8_t *state; /* written by the last snapshot */
    uint64_t state_len;
    check_daemon *daemons;
    uint64_t deaths;
    /* Refusing. */
    atomic_bool refuses, has_refused;
    atomic_ullong effects;
    uint64_t refuse_at;
    berth_code refuse_code;
    /* Broken rules: the first of each. */
    atomic_int broken[HOST_RULES];
    char broken_text[HOST_RULES][200];
};

extern const berth_call_api host_call_api;
extern const berth_host host_table;

/* check_host.c */
/* The one host of this child, for what plugins call without a handle of ours. */
extern check_host *host_current;
/* A new handle for a call of this function. */
host_handle *host_begin(check_daemon *d, host_phase phase, const char *name);
/* The function answered code: what counts, and what it did. Timers and requests enter the world. */
berth_code host_end(check_daemon *d, berth_code code, host_answer *answer);

/* check_record.c */
void record_reset(host_record *r);
/* Whether nothing was written past what reserve gave; noted if it was. */
void record_check_reserve(check_daemon *d);
/* Counts an effect; whether the check wishes that it is refused, and how. */
bool record_refused(check_host *h, berth_code *code);
void record_broken(check_host *h, host_rule rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* check_play.c */
void world_apply(check_daemon *d);

#endif
