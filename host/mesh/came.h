/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/came.h: how a daemon came to its host, and which others may still forward events to it: what
 * travels with its snapshots as HAND (chain/container.h).
 *
 *     version u8 (1), handover 313 bytes, count u8, count entities of earlier hosts, oldest first
 *
 * Any thread; nothing blocks.
 */
#ifndef MESH_CAME_H
#define MESH_CAME_H

#include "mesh/directory.h"

typedef struct came {
    handover handover;
    uint8_t former[DIRECTORY_FORMER_MAX][BERTH_ENTITY_SIZE];
    size_t former_count;
} came;

/* CORRUPT, VERSION; form only: signatures are the reader's to verify, or not needed. */
berth_status came_read(came *out, slice bytes, berth_error *error);
/* The next one: by this handover, from a host to which it had come by `before` (empty: it began
 * there). What does not read of `before` is left out. */
void came_write(writer *w, const handover *h, slice before);

#endif
