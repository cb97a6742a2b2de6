/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/announcement_own.h: what this node announces, and when.
 *
 * A machine without a clock: who drives it asks announcer_deadline, and calls announcer_next with
 * the time. A change is announced at once, for up to burst announcements in a row; each
 * min_interval without one allows one more, and a change beyond that waits for it. Without change,
 * every refresh interval. Every announcement has
 * a higher version than any before it, also across restarts: versions follow the wall clock in
 * milliseconds, and each is handed to keep_version before it is used.
 *
 * One thread at a time; blocks only as keep_version does.
 */
#ifndef MESH_ANNOUNCEMENT_OWN_H
#define MESH_ANNOUNCEMENT_OWN_H

#include "mesh/announcement.h"

/* What a host knows of itself. Strings are borrowed for the call. */
typedef struct host_facts {
    unsigned cores;
    uint64_t memory_bytes;
    const char *os; /* NULL: not told */
    unsigned abi_major, abi_minor;
    const char *const *kinds; /* loaded now */
    size_t kind_count;
    const uint16_t *subprotocols;
    size_t subprotocol_count;
    const char *const *services; /* that daemons serve */
    size_t service_count;
} host_facts;

/* hardware.cpu_cores= hardware.memory_gb= software.os= abi:M.N kind:NAME subprotocol:0x%04x
 * nrpc:SERVICE, in place of those that the set had; others stay. */
berth_status host_facts_write(capabilities *set, const host_facts *facts, berth_error *error);

typedef struct announcer_config {
    int64_t refresh_ns, min_interval_ns; /* 0: 150 s and 10 s */
    unsigned burst;                      /* 0: 4; the first of a start counts twice */
    uint64_t last_version;               /* as it was kept; 0: none */
    /* May fail: the clock then vouches alone, and the failure is counted. NULL: nothing is kept. */
    berth_status (*keep_version)(void *ctx, uint64_t version);
    void *ctx;
} announcer_config;

typedef struct announcer {
    announcer_config config;
    const berth_keypair *key; /* borrowed */
    capabilities set;
    uint64_t version;
    int64_t last_ns;  /* the last announcement */
    int64_t spent_ns; /* when the whole burst is there again */
    int64_t retry_ns; /* not before, after a failure */
    bool announced, changed, withdrawn;
    uint64_t versions_not_kept;
} announcer;

/* key outlives a. */
void announcer_init(announcer *a, const announcer_config *config, const berth_keypair *key);
void announcer_fini(announcer *a);

/* Copies. The same set again is no change. LIMIT when no announcement could hold it; the set
 * before then stays. */
berth_status announcer_set(announcer *a, const capabilities *set, berth_error *error);
/* What is said when leaving: the next announcement expires at once, and is the last. */
void announcer_withdraw(announcer *a);

/* INT64_MAX: nothing to announce. */
int64_t announcer_deadline(const announcer *a);
/* NOT_READY before the deadline. Writes the text and what it was made of (NULL: not wanted; else
 * the caller finishes it). After another failure the next try is one min_interval later. */
berth_status announcer_next(announcer *a, writer *text, announcement *out, int64_t mono_ns,
                            uint64_t wall_ns, berth_error *error);

/* How long an announcement lasts that is refreshed so: two refreshes, one second at least. */
uint32_t announcer_ttl(int64_t refresh_ns, int64_t min_interval_ns);

#endif
