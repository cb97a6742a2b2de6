/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh_impair.h: one machine of impairment, its rules as text, and what came out of it, for its
 * tests.
 */
#ifndef TESTS_MESH_IMPAIR_H
#define TESTS_MESH_IMPAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/impair.h"

#include <stdlib.h>
#include <string.h>

#define MS     1000000ll
#define SECOND (1000 * MS)

enum { MANY = 50000, LEN = 64 };

static impair *i;
static impair_counters c;

/* What came out, by the number in its first bytes. */
static struct arrival {
    int64_t due_ns;
    unsigned place, copies; /* place: of the first copy, among all */
} arrivals[MANY];
static unsigned arrived;
static int64_t told_ns; /* the last time that the machine was given */

static inline address remote_of(unsigned host)
{
    address a = {.len = sizeof a.u.in};

    a.u.in.sin_family = AF_INET;
    a.u.in.sin_addr.s_addr = htonl(0x0a000000u + host);
    a.u.in.sin_port = htons(4600);
    return a;
}

static inline int setup(void **state)
{
    (void)state;
    i = impair_new(1);
    assert_non_null(i);
    memset(arrivals, 0, sizeof arrivals);
    arrived = 0;
    told_ns = INT64_MIN;
    return 0;
}

static inline int teardown(void **state)
{
    uint64_t dropped;
    impaired out;

    (void)state;
    while (impair_next(i, INT64_MAX, &out))
        continue;
    impair_get_counters(i, &c);
    dropped = c.dropped_blackhole + c.dropped_loss + c.dropped_burst + c.dropped_queue +
              c.dropped_memory + c.dropped_paths + c.dropped_size;
    assert_int_equal(c.offered + c.duplicated, c.out + c.queued + dropped);
    assert_int_equal(c.queued + c.memory, 0);
    impair_free(i);
    return 0;
}

static inline impair_rule rule_of(const char *text)
{
    berth_error error = {0};
    impair_rule rule;

    if (impair_parse(&rule, slice_str(text), &error) != BERTH_OK)
        fail_msg("%s", error.text);
    return rule;
}

static inline void set(const address *remote, const char *text)
{
    impair_rule rule = rule_of(text);
    berth_error error = {0};

    if (impair_set(i, remote, &rule, &error) != BERTH_OK)
        fail_msg("%s", error.text);
}

static inline void fill(uint8_t *bytes, size_t len, uint32_t number)
{
    memset(bytes, (int)(number * 7), len);
    memcpy(bytes, &number, sizeof number);
}

static inline void offer(const address *remote, uint32_t number, size_t len, int64_t now)
{
    static uint8_t bytes[65536];

    fill(bytes, len, number);
    impair_offer(i, remote, NULL, bytes, len, 0, now);
    told_ns = now;
}

/* Take out what is due until then, each when it is. */
static inline void drain(int64_t until)
{
    impaired out;

    while (impair_deadline(i) <= until) {
        int64_t due = impair_deadline(i);
        uint32_t number;

        if (due > told_ns) {
            assert_false(impair_next(i, due - 1, &out));
            told_ns = due;
        }
        assert_true(impair_next(i, told_ns, &out));
        assert_true(out.len >= sizeof number);
        memcpy(&number, out.bytes, sizeof number);
        number %= MANY; /* one that is damaged */
        if (!arrivals[number].copies++) {
            arrivals[number].due_ns = due;
            arrivals[number].place = arrived;
        }
        arrived++;
    }
}

#endif
