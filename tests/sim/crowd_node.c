/* SPDX-License-Identifier: Apache-2.0 */
/* One node: the machines of a host put together, and the clock that drives them all. */
#include "crowd.h"
#include "mesh/message.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static crowd *verifying; /* verify_signature has no argument of ours */

static berth_status verify_once(const uint8_t entity[BERTH_ENTITY_SIZE], const void *message,
                                size_t len, const uint8_t signature[BERTH_SIGNATURE_SIZE])
{
    static const uint8_t key[crypto_shorthash_KEYBYTES] = {1};
    uint8_t digest[crypto_shorthash_BYTES], all[8 + BERTH_ENTITY_SIZE + BERTH_SIGNATURE_SIZE];
    uint64_t id;

    crypto_shorthash(all, message, len, key);
    memcpy(all + 8, entity, BERTH_ENTITY_SIZE);
    memcpy(all + 8 + BERTH_ENTITY_SIZE, signature, BERTH_SIGNATURE_SIZE);
    crypto_shorthash(digest, all, sizeof all, key);
    memcpy(&id, digest, sizeof id);
    if (map64_get(&verifying->verified, id))
        return BERTH_OK;
    verifying->verifications++;
    berth_status status = berth_verify(entity, message, len, signature);
    if (!status)
        map64_put(&verifying->verified, id, verifying);
    return status;
}

static void node_random(void *ctx, void *out, size_t len)
{
    endpoint *e = ctx;
    uint8_t *o = out;

    while (len) {
        uint64_t r = crowd_random(&e->random);
        size_t n = len < sizeof r ? len : sizeof r;
        memcpy(o, &r, n);
        o += n;
        len -= n;
    }
}

static int64_t node_wall(void *ctx)
{
    return WALL + ((endpoint *)ctx)->c->now / SEC;
}

static uint64_t wall_ns(const crowd *c)
{
    return (uint64_t)(WALL * SEC + c->now);
}

/* ---- Between the machines -------------------------------------------------------------------- */

static berth_status on_send(void *ctx, uint64_t peer, buf *message)
{
    endpoint *e = ctx;
    session *s = peers_session(e->peers, peer);

    return s ? crowd_transport.send(s, LANE_CONTROL, message, e->c->now) : BERTH_ERR_NOT_FOUND;
}

static void on_peer(void *ctx, const peer_event *event)
{
    endpoint *e = ctx;

    switch (event->change) {
    case PEER_UP:
    case PEER_RESTARTED:
        announcements_peer_up(e->announcements, event->node, event->entity, NULL);
        break;
    case PEER_DOWN:
        announcements_peer_down(e->announcements, event->node);
        break;
    case PEER_LEFT:
    case PEER_FAILED:
        announcements_forget(e->announcements, event->node);
        break;
    default:
        break;
    }
}

static berth_status keep_version(void *ctx, uint64_t version)
{
    ((endpoint *)ctx)->version = version;
    return BERTH_OK;
}

void crowd_heard(endpoint *e, session *s, slice message)
{
    uint64_t node = peers_node(e->peers, s);
    slice body = slice_of(message.ptr + MESSAGE_KIND_SIZE, message.len - MESSAGE_KIND_SIZE);

    uint16_t kind = (uint16_t)(message.ptr[0] | message.ptr[1] << 8);

    if (kind == MESSAGE_ANNOUNCEMENT)
        announcements_receive(e->announcements, node, body, e->c->now, wall_ns(e->c), NULL);
    else if (announcements_compare(e->announcements, node, kind, body, e->c->now, NULL) ==
             BERTH_ERR_CORRUPT)
        crowd_fail(e->c, "node %u does not take a comparison of node %u", e->at, s->far_at);
}

static void announce(endpoint *e)
{
    announcement own;
    writer text = {0};

    if (announcer_next(&e->announcer, &text, &own, e->c->now, wall_ns(e->c), NULL) == BERTH_OK) {
        announcements_own(e->announcements, &own, slice_of(text.data, text.len), e->c->now, NULL);
        announcement_fini(&own);
    }
    writer_free(&text);
}

static int64_t deadline(const endpoint *e)
{
    int64_t due = peers_deadline(e->peers), other = announcements_deadline(e->announcements);

    if (other < due)
        due = other;
    other = announcer_deadline(&e->announcer);
    return other < due ? other : due;
}

void crowd_settle(endpoint *e)
{
    int64_t due = deadline(e);

    if (e->wake.place && e->wake.due_ns == due)
        return;
    heap_remove(&e->c->timers, &e->wake);
    e->wake.due_ns = due;
    if (due != INT64_MAX && !heap_push(&e->c->timers, &e->wake))
        abort();
}

static void wake(endpoint *e)
{
    crowd *c = e->c;

    if (!e->peers) { /* its time to start has come */
        crowd_start(c, e->at);
        return;
    }
    if (announcer_deadline(&e->announcer) <= c->now)
        announce(e);
    if (peers_deadline(e->peers) <= c->now)
        peers_tick(e->peers, c->now);
    announcements_expire(e->announcements, c->now);
    if (e->leaving && peers_gone(e->peers))
        crowd_kill(c, e->at);
    else
        crowd_settle(e);
}

/* ---- Life ------------------------------------------------------------------------------------ */

unsigned crowd_begins_with(const crowd *c, unsigned at)
{
    return c->config.star || !at ? 0 : (unsigned)(crowd_mix(c->config.seed, at) % at);
}

static void say_what_it_can(endpoint *e)
{
    static const char *const kinds[] = {"counter", "echo", "org.example.thermostat"};
    static const uint16_t subprotocols[] = {0x0001, 0x0100, 0x0200, 0x0400, 0x0500};
    capabilities set = {0};
    host_facts facts = {.cores = 4 + e->at % 60,
                        .memory_bytes = (uint64_t)(8 + e->at % 120) << 30,
                        .os = "linux",
                        .abi_minor = 1,
                        .kinds = kinds,
                        .kind_count = 3,
                        .subprotocols = subprotocols,
                        .subprotocol_count = 5};

    if (host_facts_write(&set, &facts, NULL) || announcer_set(&e->announcer, &set, NULL))
        abort();
    capabilities_fini(&set);
}

static void begin_with(endpoint *e, unsigned at)
{
    const endpoint *to = &e->c->nodes[at];
    char name[32];

    snprintf(name, sizeof name, "node-%u", at);
    if (peers_configure(e->peers, name, to->static_key, &to->where, 1, e->c->now, NULL))
        abort();
}

void crowd_start(crowd *c, unsigned at)
{
    endpoint *e = &c->nodes[at];
    peers_config config = c->config.peers;
    announcements_config bounds = c->config.announcements;
    announcements_events events = {.send = on_send};
    announcer_config own = {.refresh_ns = c->config.refresh_ns,
                            .last_version = e->version,
                            .keep_version = keep_version,
                            .ctx = e};
    berth_error error = {0};

    e->starts++;
    e->leaving = false;
    e->random = crowd_mix(crowd_mix(c->config.seed, at), e->starts);
    config.identity = &e->key;
    memcpy(config.static_key, e->static_key, sizeof config.static_key);
    snprintf(config.name, sizeof config.name, "node-%u", at);
    config.addresses[0] = e->where;
    config.address_count = 1;
    config.random = node_random;
    config.wall_s = node_wall;
    config.verify = verify_once;
    config.ctx = e;
    config.transport = crowd_transport;
    config.transport.endpoint = e;
    if (peers_new(&config, c->now, &e->peers, &error) != BERTH_OK) {
        fprintf(stderr, "%s\n", error.text);
        abort();
    }
    peers_subscribe(e->peers, on_peer, e);
    bounds.node_id = e->key.node_id;
    bounds.verify = verify_once;
    bounds.seed = e->random;
    e->announcements = announcements_new(&bounds, &events, e);
    if (!e->announcements)
        abort();
    announcer_init(&e->announcer, &own, &e->key);
    e->announcer.last_ns = c->now;
    say_what_it_can(e);
    if (at)
        begin_with(e, crowd_begins_with(c, at));
    if (at && e->starts > 1)
        begin_with(e, 0);
    crowd_settle(e);
}

void crowd_kill(crowd *c, unsigned at)
{
    endpoint *e = &c->nodes[at];

    if (!e->peers)
        return;
    heap_remove(&c->timers, &e->wake);
    peers_free(e->peers);
    announcements_free(e->announcements);
    announcer_fini(&e->announcer);
    e->peers = NULL;
    e->announcements = NULL;
    e->down_ns = c->now;
    crowd_cut_off(e);
}

void crowd_leave(crowd *c, unsigned at)
{
    endpoint *e = &c->nodes[at];

    e->leaving = true;
    announcer_withdraw(&e->announcer);
    announce(e);
    peers_leave(e->peers, c->now);
    crowd_settle(e);
}

void crowd_init(crowd *c, const crowd_config *config)
{
    *c = (crowd){.config = *config, .now = SEC, .random = crowd_mix(config->seed, 1)};
    c->nodes = calloc(config->nodes, sizeof *c->nodes);
    if (!c->nodes)
        abort();
    verifying = c;
    for (unsigned i = 0; i < config->nodes; i++) {
        endpoint *e = &c->nodes[i];
        uint8_t secret[32] = {(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16)};

        memcpy(secret + 8, &config->seed, sizeof config->seed);
        e->c = c;
        e->at = i;
        berth_keypair_from_seed(&e->key, secret);
        memcpy(e->static_key, e->key.entity, 32); /* as unique, and nobody looks inside */
        e->static_key[31] ^= 1;
        e->where.len = sizeof e->where.u.in;
        e->where.u.in.sin_family = AF_INET;
        e->where.u.in.sin_port = htons(4701);
        e->where.u.in.sin_addr.s_addr = htonl(0x0a000000 | i);
        if (!map64_put(&c->by_id, e->key.node_id, e))
            abort();
        e->wake.due_ns = c->now;
        if (i && config->over_ns)
            e->wake.due_ns += (int64_t)(crowd_random(&c->random) % (uint64_t)config->over_ns);
        if (!heap_push(&c->timers, &e->wake))
            abort();
    }
}

void crowd_fini(crowd *c)
{
    for (unsigned i = 0; i < c->config.nodes; i++)
        crowd_kill(c, i);
    crowd_net_fini(c);
    heap_fini(&c->timers);
    map64_fini(&c->by_id);
    map64_fini(&c->verified);
    free(c->nodes);
    *c = (crowd){0};
}

void crowd_run(crowd *c, int64_t until)
{
    while (c->now < until) {
        int64_t next = heap_next(&c->wire);
        heap_node *h;

        if (heap_next(&c->timers) < next)
            next = heap_next(&c->timers);
        if (c->patrol_ns < next)
            next = c->patrol_ns;
        if (next > until)
            next = until;
        if (next > c->now)
            c->now = next;
        crowd_deliver(c);
        while ((h = heap_pop_due(&c->timers, c->now))) {
            c->steps++;
            wake((endpoint *)(void *)h);
        }
        if (c->patrol_ns <= c->now) {
            crowd_patrol(c);
            c->patrol_ns = c->now + SEC;
        }
    }
}
