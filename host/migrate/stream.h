/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate/stream.h: what a target is sent of a daemon: pieces, one behind the other.
 *
 *     piece: type u8, length u64, bytes
 *     MAKE       what a factory is made of (daemon/moving.h)
 *     CONTAINER  BSN1 (chain/container.h)
 *     HELD       events that were accepted and not run (daemon/held.h); left out when there are
 * none
 *
 * In this order, each once. Any thread; nothing is allocated but by stream_write.
 */
#ifndef MIGRATE_STREAM_H
#define MIGRATE_STREAM_H

#include "base/buf.h"
#include "berth/status.h"

typedef struct stream_parts {
    slice make, container, held;
} stream_parts;

/* One reference; NULL: no memory. */
buf *stream_write(const stream_parts *p);
/* CORRUPT; the parts point into bytes. */
berth_status stream_read(stream_parts *out, slice bytes, berth_error *error);

#endif
