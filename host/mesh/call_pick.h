/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/call_pick.h: which of the nodes that serve a name is asked. Any thread; a pure function. */
#ifndef MESH_CALL_PICK_H
#define MESH_CALL_PICK_H

#include <stddef.h>
#include <stdint.h>

typedef enum call_health {
    CALL_HEALTH_UNKNOWN,
    CALL_HEALTH_GOOD,
    CALL_HEALTH_BAD /* not asked */
} call_health;

typedef struct call_candidate {
    uint64_t node;
    call_health health;
    int64_t rtt_ns; /* below 0: not known */
} call_candidate;

typedef enum call_policy {
    CALL_ROUND_ROBIN,   /* seed: a number that rises with each call */
    CALL_RANDOM,        /* seed: a random number */
    CALL_STICKY,        /* seed: the key; the same node as long as the candidates are the same */
    CALL_LOWEST_LATENCY /* the first one where nothing is known */
} call_policy;

/* Of n candidates with ascending node ids; NULL: none that may be asked. */
const call_candidate *call_pick(const call_candidate *candidates, size_t n, call_policy policy,
                                uint64_t seed);

#endif
