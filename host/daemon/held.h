/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/held.h: events that a daemon's host has accepted and not run, as bytes for the host that
 * will run them. Private to the room.
 *
 *     version u8 (1), count u32; each: type u16, flags u32, any u8, status i32, origin u64,
 *     sequence u64, request u64, reply 4 u64, channel length u16, channel, length u32, data
 */
#ifndef DAEMON_HELD_H
#define DAEMON_HELD_H

#include "base/cursor.h"
#include "daemon/batch.h"

/* Whether the batch's events go along. Others are sent again by who sent them, made anew where the
 * daemon is, or go after it by another way. */
bool held_takes(const batch *b);
void held_begin(writer *w);
/* What of the batch was not run yet. */
void held_add(writer *w, const batch *b, uint32_t *count);
void held_end(writer *w, size_t begin, uint32_t count);

/* CORRUPT; nothing is allocated but for what is there. put takes over each batch (of one event, in
 * order), and may be NULL. */
berth_status held_read(slice bytes, void (*put)(void *ctx, batch *b), void *ctx, uint32_t *count,
                       berth_error *error);

#endif
