/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/temporary.h: directories that go with the process that made them. Inside this room only.
 *
 * <TMPDIR>/berth-plugins-XXXXXX. Whoever makes one holds a lock (flock) on it, which the kernel
 * drops when the process ends, however it ends; so the next one to make a directory sees whose
 * owner is gone, and removes it. systemd-tmpfiles respects the same lock and leaves a directory in
 * use alone. Not unlinked at once, nor a memfd: debuggers and profilers find code by its path, and
 * the dynamic loader tells libraries apart by theirs. Blocking; any thread.
 */
#ifndef PLUGIN_TEMPORARY_H
#define PLUGIN_TEMPORARY_H

#include "berth/status.h"

#include <limits.h>

/* Remove what processes that were killed have left, and make a new one: its path, and the
 * descriptor that holds the lock. PERMISSION where others may move directories. */
berth_status temporary_make(char out[PATH_MAX], int *lock, berth_error *error);

/* Remove it with all that a store puts there, and end the lock. */
void temporary_remove(const char *path, int lock);

#endif
