/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/peers_codec.h: the messages that the peer table exchanges, as bytes. docs/wire.md has them.
 *
 * Encoders give one reference, or NULL when memory is short. Decoders take what follows the kind,
 * say false for anything but exactly one message, and allocate nothing.
 */
#ifndef MESH_PEERS_CODEC_H
#define MESH_PEERS_CODEC_H

#include "base/cursor.h"

#define HELLO_RENEWAL 0x01 /* the session is to replace the one that there is */

typedef struct hello {
    uint8_t flags;
    uint64_t boot; /* differs from one start of a node to the next */
    slice record;
} hello;

#define KNOWN_ANSWER  0x01 /* nothing is expected back */
#define KNOWN_PARTIAL 0x02 /* says nothing about nodes that are not in it */
#define KNOWN_MAX     16384
#define KNOWN_NO_PATH UINT32_MAX
#define KNOWN_RELAYED (UINT32_MAX - 1) /* a session, but over another node: none for a third */

typedef struct known {
    uint64_t node;
    uint64_t sequence; /* of the newest record of it */
    uint32_t rtt_us;   /* of the sender's session with it, or one of these */
} known;

#define RECORDS_MAX 64 /* in one message */

/* The kind, and what follows it. False: too short to have one. */
bool message_open(slice message, uint16_t *kind, slice *body);

buf *hello_encode(const hello *h);
bool hello_decode(slice body, hello *out);

/* PING, PONG: a number that comes back. WHO_REACHES: a node id. */
buf *number_encode(uint16_t kind, uint64_t number);
bool number_decode(slice body, uint64_t *number);

/* LEAVE, USE: nothing but the kind. */
buf *bare_encode(uint16_t kind);

buf *known_encode(uint8_t flags, const known *all, size_t count);
/* r then gives count entries through known_next. */
bool known_open(slice body, uint8_t *flags, size_t *count, reader *r);
known known_next(reader *r);

buf *records_encode(buf *const *all, size_t count);
/* r then gives count records through records_next. */
bool records_open(slice body, size_t *count, reader *r);
slice records_next(reader *r);

#endif
