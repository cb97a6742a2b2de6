/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/detector.h: which nodes are alive, judged by when each was last heard of.
 *
 * A machine: time is given, and never taken as running backwards. Nothing blocks. One thread at a
 * time. Only what was authenticated may be reported as a heartbeat.
 *
 * `changed` is called when everything is already as it will be, so it may call back into the
 * detector, also to forget the node it is told about.
 */
#ifndef MESH_DETECTOR_H
#define MESH_DETECTOR_H

#include "base/map.h"
#include "berth/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum health {
    HEALTH_UNKNOWN, /* never heard of */
    HEALTH_HEALTHY,
    HEALTH_SUSPECTED,
    HEALTH_FAILED
} health;
#define HEALTH_COUNT 4

const char *health_name(health h);

typedef struct detector_config {
    int64_t timeout_ns;     /* silence that counts as one miss [30 s] */
    unsigned suspect_after; /* misses [2] */
    unsigned fail_after;    /* misses, more than suspect_after [3] */
    uint32_t max_nodes;     /* [4096] */
    void (*changed)(void *ctx, uint64_t node, health from, health to); /* may be NULL */
    void *ctx;
} detector_config;

typedef struct detector_node detector_node;

typedef struct detector_list {
    detector_node *first, *last; /* by when they were heard of, the earliest first */
    size_t count;
} detector_list;

/* Zeroed before detector_init; the members are the detector's. */
typedef struct detector {
    detector_config config;
    map64 nodes;
    detector_list lists[HEALTH_COUNT];
    int64_t now_ns;
    uint64_t heartbeats, failures, recoveries, refused;
} detector;

/* Zeros in config stand for the defaults. INVALID when the numbers contradict each other. */
berth_status detector_init(detector *d, const detector_config *config, berth_error *error);
void detector_fini(detector *d);

/* Something authenticated came from node. LIMIT: it is new and there is no room for it. */
berth_status detector_heartbeat(detector *d, uint64_t node, int64_t now_ns);
/* Judge all nodes; costs nothing for those whose state stays. */
void detector_check(detector *d, int64_t now_ns);
/* When detector_check has something to do next; INT64_MAX: not before a heartbeat. */
int64_t detector_deadline(const detector *d);
/* Unknown from now on, without a call of `changed`. */
void detector_forget(detector *d, uint64_t node);

/* As of the last heartbeat or check. */
health detector_health(const detector *d, uint64_t node);
/* Whole timeouts since the node was last heard of; 0 for one that was never. */
uint64_t detector_missed(const detector *d, uint64_t node, int64_t now_ns);
size_t detector_count(const detector *d, health h);

#endif
