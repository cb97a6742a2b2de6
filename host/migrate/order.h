/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate/order.h: the authority to move one daemon from one node to another: signed by an operator
 * key, or unsigned, and then worth what the node that brings it may do by itself
 * (docs/migration.md, "Who may").
 *
 *     version u8 (1), attempt 16, entity 32, source 32, target 32 (entities of nodes), verbs u32,
 *     flags u8 (1 the identity travels, 2 signed), not_before i64, not_after i64 (wall seconds),
 *     kind length u8, kind, plugin digest 32 (zeros: any), state version lowest u32, highest u32
 *     (0, 0: any), [signer 32, signature 64]
 *
 * The signature is over a domain tag and all bytes before it. Any thread; nothing blocks.
 */
#ifndef MIGRATE_ORDER_H
#define MIGRATE_ORDER_H

#include "base/cursor.h"
#include "berth/identity.h"
#include "mesh/presence.h"

#define ORDER_KIND_MAX 255
#define ORDER_MAX      (175 + ORDER_KIND_MAX + 96)
/* No order lives longer than this, whatever it says: used attempts are kept as long. */
#define ORDER_LIFE_MAX_S        (24 * 3600)
#define ORDER_CLOCK_TOLERANCE_S 300

enum { ORDER_MOVE = 1, ORDER_FETCH_PLUGIN = 2, ORDER_ATTEST_DEAD = 4 };

typedef struct order {
    uint8_t attempt[ATTEMPT_SIZE];
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint8_t source[BERTH_ENTITY_SIZE], target[BERTH_ENTITY_SIZE];
    uint32_t verbs;
    bool transport_identity;
    int64_t not_before_s, not_after_s;
    char kind[ORDER_KIND_MAX + 1]; /* "": any */
    uint8_t digest[32];            /* zeros: any */
    uint32_t state_lowest, state_highest;
    bool has_signature;
    uint8_t signer[BERTH_ENTITY_SIZE];
    uint8_t signature[BERTH_SIGNATURE_SIZE];
} order;

void order_write(writer *w, const order *o);
/* VERSION or CORRUPT, with *out zeroed: form only. */
berth_status order_read(reader *r, order *out, berth_error *error);
/* Fills in signer and signature. READ_ONLY without a seed. */
berth_status order_sign(order *o, const berth_keypair *operator_key);
/* Over all bytes of the order: what containers are bound to. */
void order_hash(uint8_t out[32], const order *o);

/*
 * Is it valid in itself at this time? SIGNATURE; STALE (over, or not begun; says which and by how
 * much); LIMIT (lives too long); INVALID (source is target, no verb). Whether the signer counts,
 * and whether this node is meant, is the caller's to judge.
 */
berth_status order_check(const order *o, int64_t now_s, verify_signature *verify,
                         berth_error *error);

#endif
