/* SPDX-License-Identifier: Apache-2.0 */
/* migrate/wire_private.h: what the codecs of this room share. */
#ifndef MIGRATE_WIRE_PRIVATE_H
#define MIGRATE_WIRE_PRIVATE_H

#include "mesh/message.h"
#include "migrate/wire.h"

#define MOVE_VERSION   1
#define MOVE_HEAD_SIZE (2 + 1 + ATTEMPT_SIZE + 8)

/* Longest of each message but CHUNK. */
#define MOVE_MESSAGE_MAX 2048

void move_head_write(writer *w, const move_head *h, uint16_t kind);
/* Reads the head of a message of this kind; OK, or what is wrong with it, told. */
berth_status move_head_begin(reader *r, slice message, uint16_t kind, const char *name,
                             move_head *out, berth_error *error);
/* wrong, or that something is missing or left over: CORRUPT with *out zeroed. */
berth_status move_end(const reader *r, const char *name, const char *wrong, void *out, size_t size,
                      berth_error *error);

/* Begins a reader function: its variables, an empty result, and the head. */
#define BEGIN(kind, name)                                                                          \
    const char *const what = name;                                                                 \
    const char *wrong = NULL;                                                                      \
    berth_status status;                                                                           \
    reader r;                                                                                      \
    memset(out, 0, sizeof *out);                                                                   \
    status = move_head_begin(&r, message, kind, what, &out->head, error);                          \
    if (status) {                                                                                  \
        memset(out, 0, sizeof *out);                                                               \
        return status;                                                                             \
    }

#define END return move_end(&r, what, wrong, out, sizeof *out, error)
#endif
