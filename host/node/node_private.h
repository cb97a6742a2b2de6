/* SPDX-License-Identifier: Apache-2.0 */
/* node/node_private.h: what the other files of this room may have of a host. */
#ifndef NODE_NODE_PRIVATE_H
#define NODE_NODE_PRIVATE_H

#include "berth/node.h"
#include "migrate/migrations.h"
#include "node/migration_observers.h"

/* NULL: it is alone. Valid until berth_node_free. */
migrations *node_moves(const berth_node *n);
/* The same. */
migration_observers *node_observers(const berth_node *n);
mesh *node_mesh(const berth_node *n);

#endif
