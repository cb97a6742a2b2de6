/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/schedule.h: from the handshake to the keys of packets (docs/wire.md, "Key schedule").
 *
 * Everything that protects something secret comes from the split keys, which need both sides'
 * secrets, and is bound to the final handshake hash. Only the initial keys do not: they are made
 * from what a dialler knows beforehand, so they keep out who does not know the responder's static
 * key, and promise nothing else.
 *
 * Pure functions; any thread. The caller wipes what it gets.
 */
#ifndef MESH_SCHEDULE_H
#define MESH_SCHEDULE_H

#include "base/buf.h"
#include "berth/status.h"

#include <stdbool.h>

/* Of the whole protocol between nodes. Goes into the prologue; a change of it is a change of
 * everything below. */
#define WIRE_VERSION 0x42450001u

#define SCHEDULE_SECRET       32
#define SCHEDULE_CONFIRM      16
#define SCHEDULE_REALM_MAX    64
#define SCHEDULE_PROLOGUE_MAX (24 + SCHEDULE_REALM_MAX)

/* ChaCha20-Poly1305 with its nonce base, ChaCha20 for header protection. */
typedef struct packet_keys {
    uint8_t key[32], iv[12], hp[32];
} packet_keys;

typedef enum schedule_level {
    SCHEDULE_HANDSHAKE,
    SCHEDULE_APPLICATION,
} schedule_level;

/* What both sides must agree on before the first message: label, version, realm id (may be empty).
 * LIMIT: the id is longer than SCHEDULE_REALM_MAX; *len is then 0. */
berth_status schedule_prologue(uint8_t out[SCHEDULE_PROLOGUE_MAX], size_t *len, slice realm);

/* From the responder's static public key and the connection id that the client chose for the
 * responder in its very first packet. */
void schedule_initial(packet_keys *client, packet_keys *server, const uint8_t responder_static[32],
                      slice client_dcid);

/* The secret of one direction and level; split_key: that direction's. */
void schedule_secret(uint8_t secret[SCHEDULE_SECRET], const uint8_t split_key[32],
                     const uint8_t hash[64], schedule_level level);

void schedule_keys(packet_keys *out, const uint8_t secret[SCHEDULE_SECRET]);

/* The secret after this one: there is no way back. From its keys take key and iv; the header
 * protection key stays that of the first secret. */
void schedule_next_secret(uint8_t secret[SCHEDULE_SECRET]);

/* The initiator's first word under the new keys: that it is there now, has this handshake and no
 * other. split_key: initiator to responder. */
void schedule_confirm(uint8_t mac[SCHEDULE_CONFIRM], const uint8_t split_key[32],
                      const uint8_t hash[64]);
/* In constant time. */
bool schedule_confirmed(const uint8_t mac[SCHEDULE_CONFIRM], const uint8_t split_key[32],
                        const uint8_t hash[64]);

#endif
