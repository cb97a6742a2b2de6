/* SPDX-License-Identifier: Apache-2.0 */
/* States that nobody wrote: cut short, changed, made up. They are refused or taken, never fatal. */
#include "cli/check_checks.h"
#include "cli/check_host.h"
#include "cli/check_usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 1 << 20, EVENTS_AFTER = 4, ROUNDS = 20000, LEAK_ROUNDS = 1000 };

typedef struct damage {
    check *c;
    script_random random;
    uint8_t *room; /* the state to be tried; LARGEST bytes */
    uint64_t tried, taken;
    uint32_t version;
} damage;

/* Up against a guard, so that a read past the end shows. */
static bool try_state(damage *m, size_t len)
{
    check *c = m->c;
    host_birth birth = {.raw_state = slice_of(m->room, len), .raw_version = m->version};
    berth_daemon_status status;
    check_daemon *d;

    host_set_lend(c->host, LEND_END);
    d = host_create(c, &birth, NULL);
    host_set_lend(c->host, LEND_PLAIN);
    m->tried++;
    if (!d)
        return false;
    m->taken++;
    host_start(d, BERTH_START_RESTORED, NULL);
    for (uint32_t i = 0; i < EVENTS_AFTER && i < c->shared->event_count; i++) {
        berth_event e;

        script_event(c->script, i, &e);
        host_deliver(d, &e, NULL);
    }
    if (c->kind->table.status)
        host_status(d, &status, NULL);
    host_snapshot(d, c->facts->state_writes, NULL, NULL);
    host_destroy(d);
    return true;
}

/* Every length there is, or as many as fit. */
static void truncated(damage *m, const check_state *whole)
{
    size_t len = whole->len, step = len > 2048 ? len / 2048 : 1;

    memcpy(m->room, whole->bytes, len);
    for (size_t cut = 0; cut < len && check_has_time(m->c); cut += step) {
        check_detail(m->c, "from its state of %zu bytes cut to %zu", len, cut);
        try_state(m, cut);
    }
    if (len < LARGEST) {
        m->room[len] = 0;
        check_detail(m->c, "from its state of %zu bytes with one byte more", len);
        try_state(m, len + 1);
    }
}

/* Numbers that lengths and counts are never expected to be. */
static void put_extreme(damage *m, uint8_t *at, size_t room)
{
    static const uint64_t extremes[] = {
        0,          1,          0x7f,      0xff,       0xffff,
        0x7fffffff, 0xffffffff, INT64_MAX, UINT64_MAX, (uint64_t)1 << 40,
        0x100000001};
    uint64_t value = extremes[script_below(&m->random, sizeof extremes / sizeof *extremes)];
    size_t width = (size_t)1 << script_below(&m->random, 4);

    memcpy(at, &value, width < room ? width : room);
}

static void mutated(damage *m, const check_state *whole)
{
    size_t len = whole->len;

    for (unsigned round = 0; len && round < ROUNDS && check_has_time(m->c); round++) {
        unsigned changes = 1 + (unsigned)script_below(&m->random, 4);
        size_t keep = len;

        memcpy(m->room, whole->bytes, len);
        for (unsigned i = 0; i < changes; i++) {
            size_t at = (size_t)script_below(&m->random, len);

            switch (script_below(&m->random, 4)) {
            case 0:
                m->room[at] ^= (uint8_t)(1u << script_below(&m->random, 8));
                break;
            case 1:
                m->room[at] = (uint8_t)script_next(&m->random);
                break;
            case 2:
                put_extreme(m, m->room + at, len - at);
                break;
            default:
                keep = at + 1 > keep ? keep : at + 1;
            }
        }
        check_detail(m->c, "from mutated state %u (seed %llu)", round,
                     (unsigned long long)m->c->options->seed);
        try_state(m, keep);
    }
}

static void made_up(damage *m)
{
    for (unsigned round = 0; round < 500; round++) {
        size_t len = (size_t)script_below(&m->random, round % 8 ? 64 : 4096);

        for (size_t i = 0; i < len; i++)
            m->room[i] =
                round % 3 ? (uint8_t)script_next(&m->random) : (uint8_t)script_below(&m->random, 3);
        check_detail(m->c, "from made up state %u (seed %llu)", round,
                     (unsigned long long)m->c->options->seed);
        try_state(m, len);
        if (!check_has_time(m->c) && round > 100)
            return;
    }
}

static void other_versions(damage *m, const check_state *whole)
{
    const uint32_t versions[] = {0, whole->version + 1, UINT32_MAX};

    memcpy(m->room, whole->bytes, whole->len);
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        m->version = versions[i];
        check_detail(m->c, "from its state as if of version %u", m->version);
        try_state(m, whole->len);
    }
    m->version = whole->version;
}

/* What create had begun when it found the damage, it took back. */
static void refusing_leaves_nothing(damage *m, const check_state *whole)
{
    size_t cut = whole->len ? whole->len - 1 : 0;
    usage before, after;

    memcpy(m->room, whole->bytes, whole->len);
    check_detail(m->c, "again and again from its state cut to %zu bytes", cut);
    if (!whole->len || try_state(m, cut))
        return;
    before = usage_now();
    for (unsigned i = 0; i < LEAK_ROUNDS; i++)
        try_state(m, cut);
    after = usage_settled(before.threads);
    usage_compare(m->c, &before, &after, LEAK_ROUNDS, "create from a damaged state");
}

void check_damage(check *c)
{
    const check_state *whole = &c->shared->middle;
    damage m = {.c = c, .random = {c->options->seed ^ 0xda3a6e}, .version = whole->version};

    if (!whole->there)
        check_skip(c, "there is no state to damage");
    if (whole->len > LARGEST)
        check_skip(c, "a state of over 1 MiB is more than this damages");
    m.room = (uint8_t *)malloc(LARGEST);
    if (!m.room)
        abort();
    check_open(c, TABLES_PLAIN);
    refusing_leaves_nothing(&m, whole);
    made_up(&m);
    truncated(&m, whole);
    other_versions(&m, whole);
    mutated(&m, whole);
    check_figure_add(c, "states", m.tried);
    check_figure_add(c, "taken", m.taken);
    check_pass(c, "%llu damaged states: %llu refused, %llu taken, none fatal",
               (unsigned long long)m.tried, (unsigned long long)(m.tried - m.taken),
               (unsigned long long)m.taken);
}
