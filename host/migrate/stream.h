/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate/stream.h: what a target is sent of a daemon: pieces, one behind the other.
 *
 *     piece: type u8, length u64, bytes; none is empty
 *     MAKE       what a factory is made of (daemon/moving.h)
 *     CONTAINER  BSN1 (chain/container.h)
 *     HELD       events that were accepted and not run (daemon/held.h); left out when there are
 * none EXECUTED   what it ran since the state was taken (daemon/executed.h)
 *
 *     of a daemon that stands still   MAKE CONTAINER [HELD]
 *     of one that ran meanwhile       MAKE CONTAINER EXECUTED... MAKE CONTAINER [HELD]
 *
 * The second MAKE and CONTAINER are as of its stop, and that container is without state. The first
 * container, the base, may have been cut out, to be kept elsewhere. Any thread; nothing is
 * allocated.
 */
#ifndef MIGRATE_STREAM_H
#define MIGRATE_STREAM_H

#include "base/buf.h"
#include "berth/status.h"

#include <stdbool.h>

#define STREAM_HEAD         (1 + 8)
#define STREAM_EXECUTED_MAX 16

typedef enum stream_piece {
    STREAM_MAKE = 1,
    STREAM_CONTAINER,
    STREAM_HELD,
    STREAM_EXECUTED
} stream_piece;

typedef struct stream_parts {
    slice base_make, base; /* empty: it stood still; base alone: it was cut out */
    slice executed[STREAM_EXECUTED_MAX];
    unsigned executed_count;
    slice make, container, held;
} stream_parts;

void stream_head(uint8_t out[STREAM_HEAD], stream_piece type, uint64_t len);
/* The piece that rest begins with; rest is then behind it. False: there is none that is whole. */
bool stream_next(slice *rest, stream_piece *type, slice *body);
/* All of a stream. CORRUPT; the parts point into bytes. */
berth_status stream_read(stream_parts *out, slice bytes, berth_error *error);

#endif
