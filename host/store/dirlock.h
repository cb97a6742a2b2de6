/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/dirlock.h: one host to a state directory.
 *
 * The kernel holds the lock and drops it when the host ends in whatever way, so there is no stale
 * one. The file <dir>/lock stays; what it says is only for the error that the second host gets.
 */
#ifndef STORE_DIRLOCK_H
#define STORE_DIRLOCK_H

#include "berth/status.h"

/* LOCKED, naming the holder, when it is taken, by this process too. At once, unless the process
 * that the file names has ended: what that one was just starting may hold the lock until it runs,
 * so up to two seconds then. */
berth_status dirlock_take(const char *dir, int *fd, berth_error *error);

/* fd may be -1. */
void dirlock_drop(int fd);

#endif
