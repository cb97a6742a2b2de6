/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node/mesh_part.h: a host's part in the mesh, made of its configuration and its state. Its owner
 * calls one function at a time, in the order of mesh/mesh.h. All take NULL, the part of a host that
 * is alone, and do nothing then. Blocking.
 */
#ifndef NODE_MESH_PART_H
#define NODE_MESH_PART_H

#include "mesh/mesh.h"
#include "node/config.h"
#include "node/state.h"

typedef struct mesh_part mesh_part;

/* *out is NULL when the configuration wants no mesh. state outlives the part; name is copied. */
berth_status mesh_part_new(const config *c, node_state *state, const char *name, mesh_part **out,
                           berth_error *error);
mesh *mesh_part_mesh(const mesh_part *p); /* NULL for NULL */
const route *mesh_part_route(const mesh_part *p);
/* Opens the sockets, and says in the log who this node is. */
berth_status mesh_part_start(mesh_part *p, runtime *rt, berth_error *error);
/* Peers, realms, this node's certificate and channels as c says, or, on an error, as before. */
berth_status mesh_part_reload(mesh_part *p, const config *c, berth_error *error);
/* Other kinds are loaded. */
void mesh_part_facts_changed(mesh_part *p);
/* As mesh_leave; nothing calls the state any more. */
void mesh_part_leave(mesh_part *p, uint64_t grace_ms);
/* After the runtime. */
void mesh_part_free(mesh_part *p);

#endif
