/* SPDX-License-Identifier: Apache-2.0 */
/* tests/mesh_membership.h: a node that keeps the roster of its channels, and those who ask it. */
#ifndef TESTS_MESH_MEMBERSHIP_H
#define TESTS_MESH_MEMBERSHIP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chain/channel.h"
#include "mesh/capability_filter.h"
#include "mesh/membership.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND 1000000000LL
#define NOW_S  1700000000ULL

struct fixture {
    berth_keypair owner, user, other;
    channel_rules *rules;
    token_revocations *revoked;
    membership_config config;
    membership *m;
    roster_picks picks;
    int64_t now_ns;
    uint64_t now_s, issued_ago_s;
    unsigned acks, ended;
    channel_reason last;
    uint64_t last_nonce, last_node, nonce;
    bool capable, visible, hosts;
};

static inline void take(void *ctx, uint64_t node, slice message)
{
    struct fixture *f = ctx;
    channel_message msg;

    assert_int_equal(channel_message_decode(message, &msg, NULL), BERTH_OK);
    f->acks += msg.kind == MESSAGE_CHANNEL_ACK;
    f->ended += msg.kind == MESSAGE_CHANNEL_ENDED;
    f->last = msg.reason;
    f->last_nonce = msg.nonce;
    f->last_node = node;
    if (msg.kind == MESSAGE_CHANNEL_ACK)
        assert_int_equal(msg.accepted, msg.reason == CHANNEL_FINE);
}

static inline bool is_hosted(void *ctx, uint64_t node, const uint8_t *subscriber)
{
    (void)node, (void)subscriber;
    return ((struct fixture *)ctx)->hosts;
}

static inline bool is_visible(void *ctx, uint64_t node, slice channel)
{
    (void)node, (void)channel;
    return ((struct fixture *)ctx)->visible;
}

static inline bool is_capable(void *ctx, uint64_t node, const struct capability_filter *filter)
{
    (void)node, (void)filter;
    return ((struct fixture *)ctx)->capable;
}

static inline void restart(struct fixture *f)
{
    membership_free(f->m);
    f->m = membership_new(&f->config);
    assert_non_null(f->m);
}

static inline int begin(void **state)
{
    static const capability_filter any;
    struct fixture *f = calloc(1, sizeof *f);
    channel_rule open = {.name = slice_str("open")},
                 filtered = {.name = slice_str("filtered"), .subscribe = &any, .publish = &any},
                 gated = {.name = slice_str("gated"), .require_token = true, .root_count = 1};

    berth_keypair_generate(&f->owner);
    berth_keypair_generate(&f->user);
    berth_keypair_generate(&f->other);
    gated.roots = f->owner.entity;
    f->rules = channel_rules_new();
    f->revoked = token_revocations_new();
    channel_rules_put(f->rules, &open, NULL, NULL);
    channel_rules_put(f->rules, &filtered, NULL, NULL);
    channel_rules_put(f->rules, &gated, NULL, NULL);
    f->capable = f->visible = f->hosts = true;
    f->now_s = NOW_S;
    f->now_ns = 5 * SECOND;
    f->config = (membership_config){.ctx = f,
                                    .send = take,
                                    .hosts = is_hosted,
                                    .visible = is_visible,
                                    .capable = is_capable,
                                    .rules = f->rules,
                                    .revoked = f->revoked};
    restart(f);
    *state = f;
    return 0;
}

static inline int end(void **state)
{
    struct fixture *f = *state;

    membership_free(f->m);
    channel_rules_free(f->rules);
    token_revocations_free(f->revoked);
    roster_picks_fini(&f->picks);
    free(f);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static inline void pass(struct fixture *f, uint64_t seconds)
{
    f->now_s += seconds;
    f->now_ns += (int64_t)seconds * SECOND;
}

static inline channel_reason say(struct fixture *f, uint16_t kind, uint64_t node,
                                 const berth_keypair *who, const char *channel, slice token)
{
    channel_message msg = {.kind = kind, .nonce = ++f->nonce, .name = slice_str(channel)};
    unsigned acks = f->acks;
    writer w = {0};

    memcpy(msg.subscriber, who->entity, 32);
    msg.token = token;
    assert_int_equal(channel_message_encode(&w, &msg, NULL), BERTH_OK);
    assert_int_equal(
        membership_receive(f->m, node, slice_of(w.data, w.len), f->now_ns, f->now_s, NULL),
        BERTH_OK);
    writer_free(&w);
    assert_int_equal(f->acks, acks + 1);
    assert_true(f->last_nonce == f->nonce && f->last_node == node);
    return f->last;
}

static inline channel_reason subscribe(struct fixture *f, uint64_t node, const char *channel)
{
    return say(f, MESSAGE_CHANNEL_SUBSCRIBE, node, &f->user, channel, slice_of(NULL, 0));
}

/* A token of an hour. */
static inline slice leave_of(const struct fixture *f, uint8_t bytes[BERTH_TOKEN_CHAIN_SIZE],
                             const berth_keypair *issuer, const berth_keypair *subject,
                             uint32_t scope)
{
    berth_token_grant grant = {
        .channel = channel_hash(slice_str("gated")), .ttl_s = 3600, .scope = scope};
    berth_token_chain chain;
    berth_token token;

    memcpy(grant.subject, subject->entity, 32);
    assert_int_equal(
        berth_token_issue(&token, issuer, &grant, f->now_s - f->issued_ago_s, NULL, NULL),
        BERTH_OK);
    berth_token_chain_of(&chain, &token);
    return slice_of(bytes, berth_token_chain_encode(bytes, &chain));
}

static inline channel_reason subscribe_gated(struct fixture *f, uint64_t node,
                                             const berth_keypair *issuer,
                                             const berth_keypair *subject, uint32_t scope)
{
    uint8_t bytes[BERTH_TOKEN_CHAIN_SIZE];

    return say(f, MESSAGE_CHANNEL_SUBSCRIBE, node, &f->user, "gated",
               leave_of(f, bytes, issuer, subject, scope));
}

static inline channel_reason subscribe_well(struct fixture *f, uint64_t node)
{
    return subscribe_gated(f, node, &f->owner, &f->user, BERTH_SCOPE_SUBSCRIBE);
}

static inline size_t recipients(struct fixture *f, const char *channel)
{
    assert_int_equal(membership_recipients(f->m, slice_str(channel), f->now_s, &f->picks),
                     BERTH_OK);
    return f->picks.count;
}

static inline size_t members(struct fixture *f)
{
    return roster_count(membership_roster(f->m));
}

static inline void expire(struct fixture *f)
{
    membership_expire(f->m, f->now_ns, f->now_s);
}

#endif
