/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/noise.h: the two messages of Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b, as a machine.
 *
 *     initiator                      responder
 *     noise_init                     noise_init
 *     noise_write   -- message 1 ->  noise_read      (now it knows the initiator's static key)
 *     noise_read    <- message 2 --  noise_write
 *     noise_split                    noise_split
 *
 * Either side calls noise_set_psk at any time before message 2; without it the key is all zero.
 *
 * A message that does not verify, a public key that gives no secret and a call out of order are
 * errors. After a failed message the handshake is over: its secrets are wiped and every later call
 * answers INVALID. Secret bytes are compared and wiped by libsodium, in constant time.
 *
 * One thread at a time per handshake. Nothing blocks; only noise_read and the writer allocate.
 */
#ifndef MESH_NOISE_H
#define MESH_NOISE_H

#include "base/buf.h"
#include "base/cursor.h"
#include "berth/status.h"

#include <stdbool.h>

#define NOISE_KEY  32 /* X25519 keys, the pre-shared key and the split keys */
#define NOISE_HASH 64

/* What a message is longer than its payload. */
#define NOISE_MESSAGE_1_OVERHEAD 96 /* ephemeral key, static key and its tag, tag */
#define NOISE_MESSAGE_2_OVERHEAD 48 /* ephemeral key, tag */
#define NOISE_MESSAGE_MAX        65535

typedef enum noise_step {
    NOISE_MESSAGE_1, /* is next to be written or read */
    NOISE_MESSAGE_2,
    NOISE_SPLIT,
    NOISE_OVER, /* split, failed or ended */
} noise_step;

/* The caller's memory; its members are noise.c's. */
typedef struct noise {
    noise_step step;
    bool initiator, knows_remote;
    uint8_t hash[NOISE_HASH], chain[NOISE_HASH], key[NOISE_KEY];
    uint8_t static_secret[NOISE_KEY], static_public[NOISE_KEY];
    uint8_t ephemeral_secret[NOISE_KEY], psk[NOISE_KEY];
    uint8_t remote_static[NOISE_KEY], remote_ephemeral[NOISE_KEY];
} noise;

/* The prologue is what both sides must agree on beforehand. remote_static: the responder's public
 * key for the initiator, NULL for the responder. The ephemeral secret is fresh random bytes, never
 * used twice. */
void noise_init(noise *n, bool initiator, slice prologue, const uint8_t static_secret[NOISE_KEY],
                const uint8_t *remote_static, const uint8_t ephemeral_secret[NOISE_KEY]);

/* Wipes everything; afterwards every call answers INVALID. Any number of times. */
void noise_fini(noise *n);

/* INVALID once message 2 is written or read. */
berth_status noise_set_psk(noise *n, const uint8_t psk[NOISE_KEY]);

/*
 * Append the next message to out. INVALID: it is not this side's turn, or the remote key is of low
 * order; LIMIT: the message would exceed NOISE_MESSAGE_MAX; NO_MEMORY. After LIMIT, NO_MEMORY and
 * a call out of turn the handshake stands as before.
 */
berth_status noise_write(noise *n, slice payload, writer *out);

/*
 * Read the next message, whole. On success *payload has one reference and the bytes are those that
 * the other side wrote; otherwise it is NULL. SIGNATURE: the message does not verify; CORRUPT: it
 * is too short or too long; INVALID: out of turn, or a key of low order. Only out of turn and
 * NO_MEMORY leave the handshake as it was.
 *
 * Message 1 proves nothing about freshness: it may be a replay.
 */
berth_status noise_read(noise *n, slice message, buf **payload, berth_error *error);

/* The other side's static key, or NULL while it is not known: before message 1 in the responder.
 * Valid until noise_fini. */
const uint8_t *noise_remote_static(const noise *n);
const uint8_t *noise_own_static(const noise *n);

/* After message 2, once: the two keys and the final handshake hash; everything else is wiped.
 * INVALID, and zeroes, at any other time. */
berth_status noise_split(noise *n, uint8_t initiator_to_responder[NOISE_KEY],
                         uint8_t responder_to_initiator[NOISE_KEY], uint8_t hash[NOISE_HASH]);

#endif
