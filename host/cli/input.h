/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/input.h: what a command reads and changes: files whole, "-" for standard input, and a lock
 * for those that several may change. One thread; blocking.
 */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include "base/buf.h"
#include "berth/status.h"

#include <stddef.h>

/* At most max bytes, else LIMIT. On success *out has one reference, the caller's. Who reads secrets
 * wipes them; permissions are not looked at. */
berth_status input_read(const char *path, size_t max, buf **out, berth_error *error);

/*
 * Two who change a file at once: the second waits, so that nothing of the first is lost. The lock
 * is on the file's directory, since the file itself is replaced. lock_drop takes *lock, also -1.
 */
berth_status lock_beside(const char *path, int *lock, berth_error *error);
void lock_drop(int lock);

#endif
