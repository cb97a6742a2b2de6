/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/lookup.h: the addresses behind the name in an address as people write it. Waits for the name
 * server; any thread but the loop's.
 */
#ifndef MESH_LOOKUP_H
#define MESH_LOOKUP_H

#include "mesh/address.h"

#define LOOKUP_MAX 4 /* addresses of one name */

/* NOT_FOUND and why. A numeric address is itself. */
berth_status address_lookup(const address_text *name, address out[LOOKUP_MAX], unsigned *count,
                            berth_error *error);

#endif
