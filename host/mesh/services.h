/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/services.h: the names that daemons of this host serve, and by which other nodes find them
 * (announcement tag `nrpc:NAME`). A name has one daemon: who comes second changes nothing.
 *
 * One thread at a time; nothing blocks.
 */
#ifndef MESH_SERVICES_H
#define MESH_SERVICES_H

#include "base/buf.h"
#include "berth/status.h"

#include <stdbool.h>

#define SERVICES_MAX 4096

typedef struct services services;

/* max 0: SERVICES_MAX. NULL when memory is short. */
services *services_new(size_t max);
void services_free(services *s);

/* The daemon serves the name from now on; OK also if it did already. EXISTS: another one does, and
 * goes on. INVALID, LIMIT: no name (call_service_check). LIMIT: too many names. NO_MEMORY. */
berth_status services_add(services *s, slice name, uint64_t origin, berth_error *error);
/* False: that daemon does not serve that name. */
bool services_remove(services *s, slice name, uint64_t origin);
/* All that a daemon serves: it has ended, or lives elsewhere now. How many. */
size_t services_remove_origin(services *s, uint64_t origin);

/* Who serves it; false: nobody here. */
bool services_find(const services *s, slice name, uint64_t *origin);
/* The names in the order of their bytes, zero-terminated, for host_facts; until the next change.
 * At most cap of them; returns how many there are. */
size_t services_names(const services *s, const char **out, size_t cap);
/* Another number after each change: the announcement is to be made anew. */
uint64_t services_version(const services *s);

#endif
