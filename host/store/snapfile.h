/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/snapfile.h: snapshots and states of attempts that are too long for a row, and staged
 * containers, one file each in <state>/snapshots.
 *
 * A file never changes once it has its name; a row names it and holds its length and digest.
 * Blocking. For this room only.
 */
#ifndef STORE_SNAPFILE_H
#define STORE_SNAPFILE_H

#include "base/buf.h"
#include "berth/status.h"

#include <sqlite3.h>
#include <stdbool.h>

/* "<first 16 digits of an entity or attempt>-<16 random digits>.bsn" and a zero. */
#define SNAPFILE_NAME 38

#define SNAPSHOT_DIGEST 16

/* Against damage, not against malice: who can write here can change the row as well. */
void snapshot_digest(uint8_t out[SNAPSHOT_DIGEST], slice bytes);

/* A name that this room may have given; nothing else is ever opened or removed. */
bool snapfile_is_name(const char *name);

/* Durable, name included, when it returns; on failure nothing is left. name is chosen here. */
berth_status snapfile_write(const char *dir, const uint8_t owner[8], slice bytes,
                            char name[SNAPFILE_NAME], berth_error *error);

/* NOT_FOUND when it is not there; CORRUPT when it is not `len` bytes long. */
berth_status snapfile_read(const char *dir, const char *name, uint64_t len, buf **out,
                           berth_error *error);

void snapfile_remove(const char *dir, const char *name);

/* Remove what earlier hosts left behind: files of ours that no row names. At open only. */
berth_status snapfile_sweep(const char *dir, sqlite3 *db, berth_error *error);

/* There is at least one snapshot in dir. */
bool snapfile_any(const char *dir);

#endif
