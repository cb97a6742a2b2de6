/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node/migration_observers.h: embedders that are told of migrations as they happen: watches that
 * are read on the runtime's callback thread. Any thread but a daemon's and the migrations' own.
 */
#ifndef NODE_MIGRATION_OBSERVERS_H
#define NODE_MIGRATION_OBSERVERS_H

#include "berth/migrate.h"
#include "daemon/runtime.h"
#include "migrate/migrations.h"

typedef struct migration_observers migration_observers;

/* x and rt are borrowed, and outlive it. NULL: no memory. */
migration_observers *migration_observers_new(migrations *x, runtime *rt);
/* Those that are left are removed. After migrations_stop; NULL is allowed. */
void migration_observers_free(migration_observers *o);

berth_status migration_observers_add(migration_observers *o,
                                     void (*fn)(void *ctx, const berth_migration_event *event),
                                     void *ctx, uint64_t *id, berth_error *error);
void migration_observers_remove(migration_observers *o, uint64_t id);

/* How it ended, for embedders. */
void migration_outcome_of(berth_migration_outcome *out, const move_outcome *how,
                          const migration_view *view);

#endif
