/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/schedule.h"
#include "base/cursor.h"
#include "base/random.h"

#include <sodium.h>
#include <string.h>

static const char prologue_label[] = "berth mesh prologue";

_Static_assert(sizeof prologue_label - 1 + 4 + 1 <= 24, "room before the realm id");

/* Every label begins like this, so that none can be another protocol's. */
static const char prefix[] = "berth mesh 1 ";

/* Keyed BLAKE2b over prefix, label, a zero byte, context. The length of the output is part of the
 * hash, too. */
static void derive(uint8_t *out, size_t len, const uint8_t key[32], const char *label,
                   slice context)
{
    crypto_generichash_state state;

    sodium_ready();
    crypto_generichash_init(&state, key, 32, len);
    crypto_generichash_update(&state, (const uint8_t *)prefix, sizeof prefix - 1);
    crypto_generichash_update(&state, (const uint8_t *)label, strlen(label) + 1);
    if (context.len)
        crypto_generichash_update(&state, context.ptr, context.len);
    crypto_generichash_final(&state, out, len);
    sodium_memzero(&state, sizeof state);
}

berth_status schedule_prologue(uint8_t out[SCHEDULE_PROLOGUE_MAX], size_t *len, slice realm)
{
    uint8_t *at = out;

    *len = 0;
    if (realm.len > SCHEDULE_REALM_MAX)
        return BERTH_ERR_LIMIT;
    memcpy(at, prologue_label, sizeof prologue_label - 1);
    at += sizeof prologue_label - 1;
    for (unsigned i = 0; i < 4; i++)
        *at++ = (uint8_t)(WIRE_VERSION >> (8 * i));
    *at++ = (uint8_t)realm.len;
    if (realm.len)
        memcpy(at, realm.ptr, realm.len);
    *len = (size_t)(at - out) + realm.len;
    return BERTH_OK;
}

void schedule_initial(packet_keys *client, packet_keys *server, const uint8_t responder_static[32],
                      slice client_dcid)
{
    uint8_t secret[SCHEDULE_SECRET];

    derive(secret, sizeof secret, responder_static, "initial client", client_dcid);
    schedule_keys(client, secret);
    derive(secret, sizeof secret, responder_static, "initial server", client_dcid);
    schedule_keys(server, secret);
    sodium_memzero(secret, sizeof secret);
}

void schedule_secret(uint8_t secret[SCHEDULE_SECRET], const uint8_t split_key[32],
                     const uint8_t hash[64], schedule_level level)
{
    derive(secret, SCHEDULE_SECRET, split_key,
           level == SCHEDULE_HANDSHAKE ? "handshake" : "application", slice_of(hash, 64));
}

void schedule_keys(packet_keys *out, const uint8_t secret[SCHEDULE_SECRET])
{
    uint8_t iv[16]; /* the shortest that the hash gives */

    derive(out->key, sizeof out->key, secret, "key", slice_of(NULL, 0));
    derive(iv, sizeof iv, secret, "iv", slice_of(NULL, 0));
    memcpy(out->iv, iv, sizeof out->iv);
    derive(out->hp, sizeof out->hp, secret, "hp", slice_of(NULL, 0));
    sodium_memzero(iv, sizeof iv);
}

void schedule_next_secret(uint8_t secret[SCHEDULE_SECRET])
{
    uint8_t next[SCHEDULE_SECRET];

    derive(next, sizeof next, secret, "next", slice_of(NULL, 0));
    memcpy(secret, next, sizeof next);
    sodium_memzero(next, sizeof next);
}

void schedule_confirm(uint8_t mac[SCHEDULE_CONFIRM], const uint8_t split_key[32],
                      const uint8_t hash[64])
{
    derive(mac, SCHEDULE_CONFIRM, split_key, "confirm", slice_of(hash, 64));
}

bool schedule_confirmed(const uint8_t mac[SCHEDULE_CONFIRM], const uint8_t split_key[32],
                        const uint8_t hash[64])
{
    uint8_t expected[SCHEDULE_CONFIRM];
    bool same;

    schedule_confirm(expected, split_key, hash);
    same = sodium_memcmp(expected, mac, sizeof expected) == 0;
    sodium_memzero(expected, sizeof expected);
    return same;
}
