/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strangers. A first packet carries a token, which says one of two things:
 *
 *     1  psk id (4), MAC (16)        its sender holds a pre-shared key of ours. Made by the
 * dialler, may be replayed: a filter, no proof 2  psk (1), time (8),          its sender gets what
 * is sent to its address: a cookie, made by first dcid (8), MAC (16)    us in a Retry. Replaces the
 * other and remembers which psk it had
 *
 * What does not pass costs one hash and no memory.
 */
#include "mesh/quic.h"

#include <sodium.h>

enum { TOKEN_PSK = 1, TOKEN_COOKIE = 2 };

#define PSK_TOKEN      (1 + 4 + 16)
#define COOKIE         (1 + 1 + 8 + 8 + 16)
#define COOKIE_LIFE_NS (10 * 1000000000ll)
#define RESETS_A_TENTH 16 /* stateless resets per tenth of a second */
#define TYPE_INITIAL   0

static void derive(uint8_t *out, size_t len, const char *label, const uint8_t key[32])
{
    crypto_generichash(out, len, (const uint8_t *)label, strlen(label), key, 32);
}

void accept_init(endpoint *e)
{
    derive(e->cookie_key, 32, "berth cookie", e->config.reset_key);
    derive(e->reset_key, 32, "berth reset", e->config.reset_key);
    derive(e->retry_key, 32, "berth retry", e->static_public);
    for (unsigned i = 0; i < e->config.psk_count; i++) {
        uint8_t id[16];

        derive(id, sizeof id, "berth psk id", e->config.psks[i]);
        memcpy(e->psk_ids[i], id, sizeof e->psk_ids[i]);
        derive(e->psk_keys[i], 32, "berth psk filter", e->config.psks[i]);
    }
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

static void psk_mac(uint8_t mac[16], const uint8_t key[32], const uint8_t responder_static[32],
                    const uint8_t *dcid, const uint8_t *scid)
{
    uint8_t bytes[32 + 2 * QUIC_CID];

    memcpy(bytes, responder_static, 32);
    memcpy(bytes + 32, dcid, QUIC_CID);
    memcpy(bytes + 32 + QUIC_CID, scid, QUIC_CID);
    crypto_generichash(mac, 16, bytes, sizeof bytes, key, 32);
}

size_t accept_token(const endpoint *e, uint8_t out[64], const uint8_t responder_static[32],
                    const uint8_t dcid[QUIC_CID], const uint8_t scid[QUIC_CID])
{
    if (!e->config.psk_count)
        return 0;
    out[0] = TOKEN_PSK;
    memcpy(out + 1, e->psk_ids[0], 4);
    psk_mac(out + 5, e->psk_keys[0], responder_static, dcid, scid);
    return PSK_TOKEN;
}

/* The index of the psk, or -1. */
static int check_psk(const endpoint *e, const wire_header *h)
{
    for (unsigned i = 0; i < e->config.psk_count && h->token.len == PSK_TOKEN; i++) {
        uint8_t mac[16];

        if (memcmp(h->token.ptr + 1, e->psk_ids[i], 4) != 0)
            continue;
        psk_mac(mac, e->psk_keys[i], e->static_public, h->dcid, h->scid);
        if (sodium_memcmp(mac, h->token.ptr + 5, sizeof mac) == 0)
            return (int)i;
    }
    return -1;
}

/* scid: the one that the Retry offers, which is the next packet's dcid. */
static void cookie_mac(const endpoint *e, uint8_t mac[16], const uint8_t *head, size_t head_len,
                       const uint8_t *scid, const uint8_t *theirs, const address *from)
{
    crypto_generichash_state state;

    crypto_generichash_init(&state, e->cookie_key, 32, 16);
    crypto_generichash_update(&state, head, head_len);
    crypto_generichash_update(&state, scid, QUIC_CID);
    crypto_generichash_update(&state, theirs, QUIC_CID);
    if (from->u.any.sa_family == AF_INET) {
        crypto_generichash_update(&state, (const uint8_t *)&from->u.in.sin_addr, 4);
        crypto_generichash_update(&state, (const uint8_t *)&from->u.in.sin_port, 2);
    } else {
        crypto_generichash_update(&state, (const uint8_t *)&from->u.in6.sin6_addr, 16);
        crypto_generichash_update(&state, (const uint8_t *)&from->u.in6.sin6_port, 2);
    }
    crypto_generichash_final(&state, mac, 16);
}

static reply *new_reply(endpoint *e, const address *local, const address *from)
{
    reply *r;

    if (e->reply_count == QUIC_REPLIES)
        return NULL;
    r = &e->replies[(e->reply_first + e->reply_count) % QUIC_REPLIES];
    *r = (reply){.to = *from};
    if (local && address_valid(local) && local->u.any.sa_family == from->u.any.sa_family)
        r->local = *local;
    return r;
}

/* psk: index, or -1 when there is none. */
static void send_retry(endpoint *e, const wire_header *h, int psk, const address *local,
                       const address *from)
{
    reply *r = new_reply(e, local, from);
    ngtcp2_crypto_aead_ctx key = {.native_handle = e->retry_key};
    ngtcp2_crypto_ctx context;
    ngtcp2_cid theirs, first, offer;
    uint8_t token[COOKIE], scid[QUIC_CID];
    ngtcp2_ssize n;

    if (!r) {
        e->counters.dropped_full++;
        return;
    }
    do /* the library asserts that they differ */
        endpoint_random(e, scid, sizeof scid);
    while (memcmp(scid, h->dcid, sizeof scid) == 0);
    token[0] = TOKEN_COOKIE;
    token[1] = (uint8_t)(psk + 1);
    store_u64(token + 2, (uint64_t)e->now_ns);
    memcpy(token + 10, h->dcid, QUIC_CID);
    cookie_mac(e, token + 18, token, 18, scid, h->scid, from);
    ngtcp2_cid_init(&theirs, h->scid, QUIC_CID);
    ngtcp2_cid_init(&first, h->dcid, QUIC_CID);
    ngtcp2_cid_init(&offer, scid, QUIC_CID);
    crypto_context(&context);
    n = ngtcp2_pkt_write_retry(r->bytes, sizeof r->bytes, NGTCP2_PROTO_VER_V1, &theirs, &offer,
                               &first, token, sizeof token, crypto_encrypt, &context.aead, &key);
    if (n <= 0)
        return;
    r->len = wire_exchange(r->bytes, (size_t)n, NGTCP2_PROTO_VER_V1, WIRE_VERSION);
    e->reply_count++;
    e->counters.cookies_sent++;
}

static bool check_cookie(const endpoint *e, const wire_header *h, const address *from, int *psk)
{
    uint8_t mac[16];
    int64_t age;

    if (h->token.len != COOKIE)
        return false;
    cookie_mac(e, mac, h->token.ptr, 18, h->dcid, h->scid, from);
    if (sodium_memcmp(mac, h->token.ptr + 18, sizeof mac) != 0)
        return false;
    age = e->now_ns - (int64_t)load_u64(h->token.ptr + 2);
    *psk = h->token.ptr[1] - 1;
    /* The configuration may have changed since; what the MAC covers was ours, though. */
    return age >= 0 && age <= COOKIE_LIFE_NS && *psk < (int)e->config.psk_count &&
           (*psk >= 0) == (e->config.psk_count > 0);
}

/* ---- First packets --------------------------------------------------------------------------- */

void accept_first(endpoint *e, const wire_header *h, const address *local, const address *from,
                  const uint8_t *bytes, size_t len, uint8_t ecn)
{
    session_start start = {.to = from, .local = local, .dcid = h->dcid, .scid = h->scid};
    session *s;
    int psk = -1;

    if (h->type != TYPE_INITIAL) {
        e->counters.dropped_unknown++;
        return;
    }
    if (len < QUIC_FIRST) {
        e->counters.dropped_short++;
        return;
    }
    if (h->token.len && h->token.ptr[0] == TOKEN_COOKIE) {
        if (!check_cookie(e, h, from, &psk)) {
            e->counters.dropped_token++;
            return;
        }
        start.odcid = h->token.ptr + 10;
        start.token = h->token;
    } else if (e->config.psk_count && (psk = check_psk(e, h)) < 0) {
        e->counters.dropped_filter++;
        return;
    }
    if (e->handshakes >= e->config.max_handshakes || e->session_count >= e->config.max_sessions) {
        e->counters.dropped_full++;
        return;
    }
    if (!start.odcid && e->handshakes >= e->config.max_handshakes / 2) {
        send_retry(e, h, psk, local, from);
        return;
    }
    if (psk >= 0)
        start.psk = e->config.psks[psk];
    if (session_new(e, &start, &s, NULL) != BERTH_OK) {
        e->counters.dropped_full++;
        return;
    }
    session_receive(s, local, from, bytes, len, ecn);
}

/* ---- Stateless resets ------------------------------------------------------------------------ */

void accept_reset_token(const endpoint *e, uint8_t out[16], const uint8_t cid[QUIC_CID])
{
    crypto_generichash(out, 16, cid, QUIC_CID, e->reset_key, 32);
}

/* Ours has forgotten the session, or the packet is for nobody: say so, in fewer bytes than came,
 * so that two who both have forgotten fall silent. */
static void send_reset(endpoint *e, const wire_header *h, const address *local, const address *from,
                       size_t len)
{
    enum { RANDOM = 22, RESET = RANDOM + 16 };
    uint8_t random[RANDOM], token[16];
    size_t n = len - 1 < RESET ? len - 1 : RESET;
    reply *r;

    if (e->now_ns - e->reset_since_ns > 100000000) {
        e->reset_since_ns = e->now_ns;
        e->resets_since = 0;
    }
    if (n < QUIC_SMALLEST || e->resets_since >= RESETS_A_TENTH || !(r = new_reply(e, local, from)))
        return;
    endpoint_random(e, random, sizeof random);
    random[0] = (random[0] & 0x3f) | 0x40; /* looks like any packet */
    accept_reset_token(e, token, h->dcid);
    memcpy(r->bytes, random, n - sizeof token);
    memcpy(r->bytes + n - sizeof token, token, sizeof token);
    r->len = n;
    e->reply_count++;
    e->resets_since++;
    e->counters.resets_sent++;
}

void accept_unknown(endpoint *e, const wire_header *h, const address *local, const address *from,
                    size_t len)
{
    e->counters.dropped_unknown++;
    if (!h->is_long)
        send_reset(e, h, local, from, len);
}
