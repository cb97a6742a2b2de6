/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/mesh_counters.h: the mesh's counters by name: one table for the metrics and for the JSON of
 * GET /v1/mesh. Inside the room only. Pure.
 */
#ifndef API_MESH_COUNTERS_H
#define API_MESH_COUNTERS_H

#include "mesh/mesh.h"

typedef struct mesh_counter {
    const char *name;  /* without what all begin with; the same name stands together */
    const char *label; /* reason="short", or NULL */
    const char *help;  /* of the first of a name */
    uint64_t value;
} mesh_counter;

/* A gauge ends in no "_total". Calls fn for each, in order. */
void mesh_counters_each(const mesh_counters *c, void (*fn)(void *ctx, const mesh_counter *one),
                        void *ctx);

#endif
