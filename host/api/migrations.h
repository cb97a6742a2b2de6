/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/migrations.h: what the handlers of migrations share. Inside the room only; blocks, so on the
 * pool.
 */
#ifndef API_MIGRATIONS_H
#define API_MIGRATIONS_H

#include "api/peers.h"
#include "migrate/migrations.h"

/* NULL: this host is alone, and the request is answered. */
migrations *request_moves(request *r);
/* The error, and the reason's word beside it. */
void request_fail_reason(request *r, move_reason reason, const berth_error *error);

/* What nodes are called, at one moment. */
typedef struct node_names {
    peer_list peers;
    mesh_self self;
} node_names;

void node_names_read(node_names *n, mesh *m);
void node_names_fini(node_names *n);
/* NULL: it is not known. */
const char *node_name(const node_names *n, uint64_t node);
/* "key": its id, "key_name": its name; null for 0. */
void emit_member_node(writer *w, const char *key, const node_names *n, uint64_t node);

/* The one whose id begins with text. False: it has answered. */
bool request_migration(request *r, migrations *x, const char *text, migration_view *out);
/* What is known of it; the names may be those of another moment. Does not block. */
void emit_migration_members(writer *w, const migration_view *v, const node_names *n);

#endif
