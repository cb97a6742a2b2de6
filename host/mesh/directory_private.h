/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/directory_private.h: what directory*.c share. */
#ifndef MESH_DIRECTORY_PRIVATE_H
#define MESH_DIRECTORY_PRIVATE_H

#include "mesh/directory.h"

/* A hint of these records; either may be NULL, not both. */
void directory_hint_put(writer *w, const presence *p, const handover *h);

#endif
