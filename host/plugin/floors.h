/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/floors.h: the version that a plugin of one name, signed by one key, must not go below.
 *
 * Durable: <state>/plugins/floors.json, written whole and synced before a version is published. So
 * a signed old version with a known hole does not come back, unless the operator asks for it by
 * name. Not thread-safe: the owner serialises.
 */
#ifndef PLUGIN_FLOORS_H
#define PLUGIN_FLOORS_H

#include "plugin/minisign.h"

typedef struct floors floors;

/* Read path, which may be missing. CORRUPT, with the cure, when it cannot be read for what it is.
 * path NULL: nothing is kept beyond floors_close. */
berth_status floors_open(const char *path, floors **out, berth_error *error);
void floors_close(floors *f);

/* REFUSED when version is below the floor. */
berth_status floors_check(const floors *f, const char *name, const uint8_t key_id[8],
                          const char *version, berth_error *error);

/* Raise the floor to version, never lower it. It is on disk when this returns OK, and unchanged
 * when it returns an error. */
berth_status floors_raise(floors *f, const char *name, const uint8_t key_id[8], const char *version,
                          berth_error *error);

#endif
