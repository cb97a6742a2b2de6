/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/inside.h: what the other files of this room need of a store. For this room only.
 */
#ifndef STORE_INSIDE_H
#define STORE_INSIDE_H

#include "store/change.h"
#include "store/read.h"
#include "store/staging.h"

#include <pthread.h>

/* Puts c, or that there was no memory for it (NULL), on its way. Any thread. */
void store_hand_in(store *s, change *c, store_done *done, void *ctx);

/* From now on there may be marks. Before the change that makes one is handed in. */
void store_expect_marks(store *s);

read_pool *store_reads(store *s);
staging *store_staging(store *s);

/* A thread that takes no signals: they are for the host's own. where: whose it is, for the error.
 */
berth_status store_start_thread(pthread_t *out, const char *name, void *(*run)(void *arg),
                                void *arg, const char *where, berth_error *error);

#endif
