/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few nodes whose links are lists of messages: what tests of announcements share.
 */
#ifndef TESTS_ANNOUNCEMENTS_FIXTURE_H
#define TESTS_ANNOUNCEMENTS_FIXTURE_H

#include "mesh/announcements.h"
#include "mesh/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S    1000000000ll
#define WALL 1700000000000000000ull

#ifndef NODES
#define NODES 5
#endif
#define QUEUE 1024

typedef struct node {
    berth_keypair key;
    announcements *table;
    unsigned learned, forgotten, metric;
    uint64_t via;
    struct packet {
        uint64_t to;
        buf *message;
    } out[QUEUE];
    size_t queued, room; /* how many more messages its links take */
} node;

static node nodes[NODES];
static int64_t now;

static inline berth_status on_send(void *ctx, uint64_t peer, buf *message)
{
    node *n = ctx;

    if (!n->room)
        return BERTH_ERR_WOULD_BLOCK;
    n->room--;
    assert_true(n->queued < QUEUE);
    n->out[n->queued++] = (struct packet){peer, buf_ref(message)};
    return BERTH_OK;
}

static inline void on_learned(void *ctx, uint64_t id, const capabilities *set)
{
    (void)id;
    (void)set;
    ((node *)ctx)->learned++;
}

static inline void on_forgotten(void *ctx, uint64_t id)
{
    (void)id;
    ((node *)ctx)->forgotten++;
}

static inline void on_route(void *ctx, uint64_t id, uint64_t via, unsigned metric)
{
    (void)id;
    ((node *)ctx)->via = via;
    ((node *)ctx)->metric = metric;
}

static const announcements_events events = {on_send, on_learned, on_forgotten, on_route, NULL};

static inline void key_of(berth_keypair *key, unsigned i)
{
    uint8_t seed[32] = {(uint8_t)i, (uint8_t)(i >> 8), 0x77};

    berth_keypair_from_seed(key, seed);
}

static inline void boot(unsigned i, const announcements_config *bounds)
{
    announcements_config config = bounds ? *bounds : (announcements_config){0};
    node *n = &nodes[i];

    *n = (node){.room = SIZE_MAX};
    key_of(&n->key, i);
    config.node_id = n->key.node_id;
    config.seed = i + 1;
    n->table = announcements_new(&config, &events, n);
    assert_non_null(n->table);
}

static inline void drop_queue(node *n)
{
    while (n->queued)
        buf_unref(n->out[--n->queued].message);
}

static inline int setup(void **state)
{
    (void)state;
    now = 1000 * S;
    for (unsigned i = 0; i < NODES; i++)
        boot(i, NULL);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NODES; i++) {
        drop_queue(&nodes[i]);
        announcements_free(nodes[i].table);
        nodes[i].table = NULL;
    }
    return 0;
}

static inline void reboot(unsigned i, const announcements_config *bounds)
{
    drop_queue(&nodes[i]);
    announcements_free(nodes[i].table);
    boot(i, bounds);
}

static inline uint64_t wall(void)
{
    return WALL + (uint64_t)now;
}

static inline uint64_t id(unsigned i)
{
    return nodes[i].key.node_id;
}

static inline node *by_id(uint64_t node_id)
{
    for (unsigned i = 0; i < NODES; i++)
        if (id(i) == node_id)
            return &nodes[i];
    return NULL;
}

static inline void up(unsigned a, unsigned b)
{
    assert_int_equal(announcements_peer_up(nodes[a].table, id(b), nodes[b].key.entity, NULL), 0);
    assert_int_equal(announcements_peer_up(nodes[b].table, id(a), nodes[a].key.entity, NULL), 0);
}

static inline uint64_t count(unsigned i, announcement_result result)
{
    announcements_counters c;

    announcements_get_counters(nodes[i].table, &c);
    return c.results[result];
}

static inline announcements_counters counters(unsigned i)
{
    announcements_counters c;

    announcements_get_counters(nodes[i].table, &c);
    return c;
}

/* Carry messages until there are none; how many there were. */
static inline size_t settle(void)
{
    size_t carried = 0;
    bool again = true;

    while (again) {
        again = false;
        for (unsigned i = 0; i < NODES; i++) {
            node *n = &nodes[i];

            for (size_t k = 0; k < n->queued; k++) {
                struct packet p = n->out[k];
                node *to = by_id(p.to);

                again = true;
                carried++;
                assert_true(p.message->len >= 2 && p.message->data[1] == MESSAGE_ANNOUNCEMENT >> 8);
                slice body = slice_of(p.message->data + 2, p.message->len - 2);
                uint16_t kind = (uint16_t)(p.message->data[0] | p.message->data[1] << 8);
                if (to && kind == MESSAGE_ANNOUNCEMENT)
                    announcements_receive(to->table, id(i), body, now, wall(), NULL);
                else if (to)
                    assert_int_not_equal(
                        announcements_compare(to->table, id(i), kind, body, now, NULL),
                        BERTH_ERR_CORRUPT);
                buf_unref(p.message);
            }
            n->queued = 0;
        }
    }
    return carried;
}

/* An announcement as its node would make it, with one or two tags. */
typedef struct wish {
    uint64_t version, timestamp_ns;
    uint32_t ttl_s;
    const char *tag, *second;
    uint8_t hops;
    bool plain, lie;
    uint64_t node_id; /* with lie */
} wish;

static inline buf *text_by(const berth_keypair *key, wish w)
{
    announcement a = {.version = w.version,
                      .timestamp_ns = w.timestamp_ns ? w.timestamp_ns : wall(),
                      .ttl_s = w.ttl_s,
                      .hop_count = w.hops,
                      .node_id = w.lie ? w.node_id : key->node_id};
    writer plain = {0}, text = {0};
    buf *out;

    memcpy(a.entity, key->entity, sizeof a.entity);
    if (w.tag)
        assert_int_equal(capabilities_put(&a.set, slice_str(w.tag), NULL), 0);
    if (w.second)
        assert_int_equal(capabilities_put(&a.set, slice_str(w.second), NULL), 0);
    capabilities_set(&a.set, slice_str("owner"), slice_str("me"), NULL);
    announcement_write_signed(&plain, &a);
    berth_sign_must(key, plain.data, plain.len, a.signature);
    a.is_signed = !w.plain;
    announcement_write(&text, &a);
    out = buf_copy(text.data, text.len);
    announcement_fini(&a);
    writer_free(&plain);
    writer_free(&text);
    return out;
}

static inline announcement_result hear(unsigned at, unsigned from, const berth_keypair *by, wish w)
{
    buf *text = text_by(by, w);
    berth_error error = {0};
    announcement_result result = announcements_receive(
        nodes[at].table, id(from), slice_of(text->data, text->len), now, wall(), &error);

    buf_unref(text);
    return result;
}

static inline void announce(unsigned i, uint64_t version, const char *tag)
{
    announcement a = {.version = version, .timestamp_ns = wall(), .ttl_s = 300};
    writer text = {0};

    assert_int_equal(capabilities_put(&a.set, slice_str(tag), NULL), 0);
    assert_int_equal(announcement_sign(&text, &a, &nodes[i].key, NULL), 0);
    assert_int_equal(
        announcements_own(nodes[i].table, &a, slice_of(text.data, text.len), now, NULL), 0);
    announcement_fini(&a);
    writer_free(&text);
}

static inline bool knows(unsigned at, uint64_t node_id, const char *tag)
{
    const capabilities *set = announcements_get(nodes[at].table, node_id, now);

    return set && (!tag || capabilities_has_exact(set, slice_str(tag)));
}

static inline size_t found(unsigned at, const char *filter_text)
{
    capability_filter filter;
    capability_scope scope;
    uint64_t *ids;
    size_t n;

    assert_int_equal(filter_parse(&filter, &scope, slice_str(filter_text), NULL), 0);
    assert_int_equal(announcements_find(nodes[at].table, &filter, &scope, now, &ids, &n, NULL), 0);
    for (size_t i = 1; i < n; i++)
        assert_true(ids[i - 1] < ids[i]);
    free(ids);
    return n;
}

/* What was refused for this reason left no trace but its counter. */
static inline void nothing_is_left_of(unsigned at, announcement_result reason)
{
    announcements_size size = announcements_get_size(nodes[at].table);

    assert_int_equal(count(at, reason), 1);
    assert_int_equal(size.nodes, 0);
    assert_int_equal(size.remembered, 0);
    assert_int_equal(nodes[at].queued, 0);
    assert_int_equal(nodes[at].learned, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
