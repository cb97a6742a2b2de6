/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/channel_message.h: what nodes say to each other about subscriptions.
 *
 * After its kind, a Subscribe or Unsubscribe has the entity id of the daemon (or node) that
 * subscribes, 32 bytes, and then the fields of the reference's message without its tag:
 *
 *   SUBSCRIBE    nonce u64, name (u8 length), chain of tokens (u16 length, 0: none), and for a
 *                queue group its name (u8 length, not 0, UTF-8); nothing for broadcast
 *   UNSUBSCRIBE  nonce u64, name
 *   ACK          nonce u64, accepted u8 (0, 1), reason u8
 *   ENDED        entity 32, name, reason u8: the publisher has ended a subscription by itself
 *
 * Any thread; nothing blocks or allocates but the writer.
 */
#ifndef MESH_CHANNEL_MESSAGE_H
#define MESH_CHANNEL_MESSAGE_H

#include "base/cursor.h"
#include "berth/identity.h"
#include "mesh/message.h"

#define CHANNEL_GROUP_MAX 255
#define CHANNEL_TOKEN_MAX 65535

typedef enum channel_reason {
    CHANNEL_FINE = 0,
    CHANNEL_UNAUTHORIZED = 1,
    CHANNEL_UNKNOWN = 2,
    CHANNEL_RATE_LIMITED = 3,
    CHANNEL_TOO_MANY = 4,
    CHANNEL_REASON_LAST = CHANNEL_TOO_MANY
} channel_reason;

/* "unauthorized"; static. */
const char *channel_reason_text(channel_reason reason);

typedef struct channel_message {
    uint16_t kind; /* MESSAGE_CHANNEL_* */
    uint64_t nonce;
    uint8_t subscriber[BERTH_ENTITY_SIZE];
    slice name;  /* satisfies channel_name_check */
    slice token; /* a chain of permission tokens, unread; empty: none */
    slice group; /* empty: broadcast */
    bool accepted;
    channel_reason reason;
} channel_message;

/* INVALID or LIMIT for a bad name, token or group; NO_MEMORY. Nothing is written then. */
berth_status channel_message_encode(writer *w, const channel_message *m, berth_error *error);

/* The slices point into message. CORRUPT with *out zeroed for what encode would not write, but that
 * a Subscribe may end after its name or after an empty group. */
berth_status channel_message_decode(slice message, channel_message *out, berth_error *error);

#endif
