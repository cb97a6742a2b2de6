/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/schema.h: the tables, their version, and how a database of an earlier version becomes one
 * of this. For this room only; blocking.
 */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

#include "berth/status.h"

#include <sqlite3.h>
#include <stddef.h>

/* Fixed, so that a file cut in the middle of a page can be told by its length. */
#define SCHEMA_PAGE 4096

/*
 * A step is the SQL that leads from version i (its index) to i + 1. Steps that were ever released
 * are not edited: a change of the tables is a new step at the end.
 */
extern const char *const schema_steps[];
extern const size_t schema_count;

/* Bring db to version `count`, all or nothing. VERSION when it is beyond. */
berth_status schema_upgrade(sqlite3 *db, const char *const *steps, size_t count,
                            berth_error *error);

/* A new database at path, complete and durable when it gets its name; never replaces one. */
berth_status schema_create(const char *dir, const char *path, berth_error *error);

/* db is one of ours, of this version or brought to it, and not damaged as far as can be told in
 * about a second. */
berth_status schema_check(sqlite3 *db, berth_error *error);

#endif
