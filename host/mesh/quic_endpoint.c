/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoint: its configuration, whose datagram it is, and what is due when. */
#include "base/error.h"
#include "base/random.h"
#include "mesh/quic.h"

#include <sodium.h>
#include <stdlib.h>

#define MS            1000000ll
#define S             (1000 * MS)
#define PACKET_MAX    65527u
#define DATAGRAM_MAX  65536u
#define LARGEST       (UINT64_C(1) << 32)
#define session_of(n) ((session *)(void *)((char *)(n)-offsetof(session, timer)))

/* ---- Small things ---------------------------------------------------------------------------- */

void endpoint_random(endpoint *e, void *out, size_t len)
{
    if (e->config.random)
        e->config.random(e->config.random_ctx, out, len);
    else
        random_bytes(out, len);
}

int64_t endpoint_time(endpoint *e, int64_t now_ns)
{
    if (now_ns > e->now_ns)
        e->now_ns = now_ns;
    return e->now_ns;
}

bool address_valid(const address *a)
{
    if (a->len == sizeof a->u.in && a->u.any.sa_family == AF_INET)
        return a->u.in.sin_port != 0;
    return a->len == sizeof a->u.in6 && a->u.any.sa_family == AF_INET6 && a->u.in6.sin6_port != 0;
}

bool address_equal(const address *a, const address *b)
{
    if (a->len != b->len || a->u.any.sa_family != b->u.any.sa_family)
        return false;
    if (a->u.any.sa_family == AF_INET)
        return a->u.in.sin_port == b->u.in.sin_port &&
               a->u.in.sin_addr.s_addr == b->u.in.sin_addr.s_addr;
    return a->u.in6.sin6_port == b->u.in6.sin6_port &&
           memcmp(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr, sizeof a->u.in6.sin6_addr) == 0;
}

void endpoint_ready(session *s)
{
    endpoint *e = s->e;

    if (s->ready)
        return;
    s->ready = true;
    s->ready_next = NULL;
    if (e->ready_last)
        e->ready_last->ready_next = s;
    else
        e->ready_first = s;
    e->ready_last = s;
}

void endpoint_unready(session *s)
{
    endpoint *e = s->e;
    session **at = &e->ready_first, *before = NULL;

    if (!s->ready)
        return;
    while (*at != s) {
        before = *at;
        at = &before->ready_next;
    }
    *at = s->ready_next;
    if (e->ready_last == s)
        e->ready_last = before;
    s->ready = false;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void defaults(endpoint_config *c)
{
#define DEFAULT(name, value) c->name = c->name ? c->name : (value)
    DEFAULT(max_sessions, 4096);
    DEFAULT(max_handshakes, 256);
    DEFAULT(max_message, 256u << 20);
    DEFAULT(max_queued, 4u << 20);
    DEFAULT(max_packet, 1452);
    DEFAULT(keep_alive_ns, 5 * S);
    DEFAULT(idle_ns, 30 * S);
    DEFAULT(handshake_ns, 5 * S);
    DEFAULT(session_life_ns, 24 * 3600 * S);
    DEFAULT(rekey_bytes, UINT64_C(64) << 30);
    DEFAULT(rekey_ns, 3600 * S);
#undef DEFAULT
}

static berth_status check(const endpoint_config *c, berth_error *error)
{
    const char *wrong = NULL;

    if (!c->identity || !berth_keypair_is_full(c->identity))
        wrong = "identity has no secret half";
    else if (!c->admit || !c->events.up || !c->events.down || !c->events.message || !c->events.room)
        wrong = "admit, up, down, message and room must be there";
    else if (c->realm.len > SCHEDULE_REALM_MAX)
        wrong = "realm is longer than 64 bytes";
    else if (c->certificate.len > CERTIFICATE_MAX)
        wrong = "certificate is longer than any";
    else if (c->psk_count > PSK_MAX)
        wrong = "psk_count is above 4";
    else if (c->max_packet < QUIC_FIRST || c->max_packet > PACKET_MAX)
        wrong = "max_packet must be 1200 to 65527";
    else if (c->max_handshakes < 2)
        wrong = "max_handshakes must be at least 2";
    else if (c->max_message >= LARGEST)
        wrong = "max_message must be below 4 GiB";
    else if (c->keep_alive_ns < 0 || c->idle_ns < 0 || c->handshake_ns < 0 ||
             c->session_life_ns < 0 || c->rekey_ns < 0)
        wrong = "a time is negative";
    else if (c->keep_alive_ns >= c->idle_ns)
        wrong = "keep_alive_ns must be below idle_ns, else every quiet session ends";
    if (wrong)
        return fail(error, BERTH_ERR_INVALID, "transport: %s", wrong);
    return BERTH_OK;
}

berth_status endpoint_new(const endpoint_config *config, endpoint **out, berth_error *error)
{
    endpoint *e = NULL;
    berth_status status;

    *out = NULL;
    sodium_ready();
    e = calloc(1, sizeof *e);
    if (!e)
        return fail(error, BERTH_ERR_NO_MEMORY, "no memory for an endpoint");
    e->config = *config;
    defaults(&e->config);
    status = check(&e->config, error);
    if (status != BERTH_OK)
        goto out;
    if (crypto_scalarmult_base(e->static_public, e->config.static_secret) != 0) {
        status = fail(error, BERTH_ERR_INVALID, "transport: the static secret is no key");
        goto out;
    }
    status = schedule_prologue(e->prologue, &e->prologue_len, e->config.realm);
    if (status != BERTH_OK)
        goto out;
    e->scratch = malloc(DATAGRAM_MAX);
    if (!e->scratch) {
        status = fail(error, BERTH_ERR_NO_MEMORY, "no memory for an endpoint");
        goto out;
    }
    accept_init(e);
    session_callbacks(&e->callbacks);
    *out = e;
    return BERTH_OK;
out:
    sodium_memzero(e, sizeof *e);
    free(e);
    return status;
}

berth_status endpoint_set_certificate(endpoint *e, slice certificate, berth_error *error)
{
    if (certificate.len > CERTIFICATE_MAX)
        return fail(error, BERTH_ERR_INVALID, "transport: certificate is longer than any");
    e->config.certificate = certificate;
    return BERTH_OK;
}

void endpoint_free(endpoint *e)
{
    if (!e)
        return;
    e->closing = true;
    while (e->sessions) {
        session *s = e->sessions;

        if (s->state != SESSION_LINGERING) {
            s->silent = true;
            session_end_now(s, END_LOCAL, 0, "this node is going");
            session_settle(s);
        } else {
            session_free(s);
        }
    }
    map64_fini(&e->cids);
    map64_fini(&e->resets);
    heap_fini(&e->timers);
    free(e->scratch);
    sodium_memzero(e, sizeof *e);
    free(e);
}

/* ---- What comes ------------------------------------------------------------------------------ */

/* A short packet for nobody: does it say that a peer has lost our session? */
static bool heard_reset(endpoint *e, const uint8_t *bytes, size_t len)
{
    const uint8_t *token = bytes + len - 16;
    session *s = map64_get(&e->resets, load_u64(token));

    if (!s || s->state == SESSION_LINGERING)
        return false;
    for (unsigned i = 0; i < s->reset_count; i++) {
        if (sodium_memcmp(s->reset_tokens[i], token, 16) != 0)
            continue;
        s->silent = true;
        session_end_now(s, END_PEER, 0, "the peer has lost this session");
        session_settle(s);
        return true;
    }
    return false;
}

void endpoint_receive(endpoint *e, const address *local, const address *from, const uint8_t *bytes,
                      size_t len, uint8_t ecn, int64_t now_ns)
{
    wire_header h;
    session *s;

    endpoint_time(e, now_ns);
    e->counters.datagrams_in++;
    if (!address_valid(from) || len > DATAGRAM_MAX) {
        e->counters.dropped_invalid++;
        return;
    }
    if (len < QUIC_SMALLEST) {
        e->counters.dropped_short++;
        return;
    }
    if (bytes[0] & 0x80) {
        /* What lies behind the last packet of ours is cut off. */
        memcpy(e->scratch, bytes, len);
        switch (wire_read(&h, e->scratch, len)) {
        case WIRE_OK:
            break;
        case WIRE_VERSION_UNKNOWN:
            e->counters.dropped_version++;
            return;
        default:
            e->counters.dropped_invalid++;
            return;
        }
        len = wire_exchange(e->scratch, len, WIRE_VERSION, NGTCP2_PROTO_VER_V1);
        bytes = e->scratch;
    } else {
        wire_read(&h, bytes, len);
    }
    s = map64_get(&e->cids, load_u64(h.dcid));
    if (s)
        session_receive(s, local, from, bytes, len, ecn);
    else if (h.is_long)
        accept_first(e, &h, local, from, bytes, len, ecn);
    else if (!heard_reset(e, bytes, len))
        accept_unknown(e, &h, local, from, len);
}

/* ---- What is due ----------------------------------------------------------------------------- */

int64_t endpoint_deadline(const endpoint *e)
{
    return heap_next(&e->timers);
}

void endpoint_expire(endpoint *e, int64_t now_ns)
{
    /* What is due again at once waits for the next call: no session can hold up the others. */
    size_t turns = e->timers.count;
    heap_node *n;

    endpoint_time(e, now_ns);
    while (turns-- && (n = heap_pop_due(&e->timers, e->now_ns)))
        session_expire(session_of(n));
}

void endpoint_get_counters(const endpoint *e, endpoint_counters *out)
{
    *out = e->counters;
    out->handshakes = e->handshakes;
}
