/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/check_script.h"

#include <stdlib.h>
#include <string.h>

enum { GAP = 16, RANDOM_EVENTS = 16, LONG_TEXT = 4096 };

#define SECOND_NS INT64_C(1000000000)
#define BEGIN_NS  (INT64_C(1700000000) * SECOND_NS)
#define PEER      UINT64_C(0x7065657200000001)
#define BYTES(lit)                                                                                 \
    {                                                                                              \
        (const uint8_t *)("" lit), sizeof(lit) - 1                                                 \
    }

/* None begins or ends with the same byte as the next, and none is longer than a line or two: longer
 * ones are made below. */
static const slice everyday[] = {
    BYTES("hello"),
    BYTES("the quick brown fox jumps over the lazy dog"),
    BYTES("20.4"),
    BYTES("one\n"),
    BYTES("18"),
    BYTES(""),
    BYTES("{\"temperature\": 21.5, \"unit\": \"C\", \"ok\": true}"),
    BYTES("-17"),
    BYTES("[1, 2.5e3, \"three\", null, {\"four\": [5]}]"),
    BYTES("the fox and the dog\nand the hen\n"),
    BYTES("22.75"),
    BYTES("{}"),
    BYTES("\"a string\""),
    BYTES("key=value"),
    BYTES("gr\xc3\xbc\xc3\x9f dich, \xe4\xb8\x96\xe7\x95\x8c"),
    BYTES("18446744073709551616"),
    BYTES("\xff\xfe\x80 no text"),
    BYTES("a\0b\0c"),
    BYTES("   "),
    BYTES("{\"broken\": "),
    BYTES("%s%n%d"),
    BYTES("?"),
    BYTES("?top 3"),
    BYTES("?total"),
    BYTES("?count the"),
    BYTES("get key"),
    BYTES("19.9"),
};

enum { EVERYDAY = sizeof everyday / sizeof *everyday };

/* ---- Chance ---------------------------------------------------------------------------------- */

uint64_t script_next(script_random *r)
{
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t script_below(script_random *r, uint64_t n)
{
    return script_next(r) % n;
}

uint64_t script_mix(uint64_t h, const void *ptr, size_t len)
{
    const uint8_t *p = (const uint8_t *)ptr;
    uint64_t word;

    h ^= len * UINT64_C(0x9e3779b97f4a7c15);
    for (; len >= 8; len -= 8, p += 8) {
        memcpy(&word, p, 8);
        h = (h ^ word) * UINT64_C(0xbf58476d1ce4e5b9);
        h ^= h >> 29;
    }
    word = 0;
    if (len)
        memcpy(&word, p, len);
    h = (h ^ word) * UINT64_C(0x94d049bb133111eb);
    return h ^ (h >> 32);
}

/* ---- Making it ------------------------------------------------------------------------------- */

typedef struct maker {
    script *s;
    size_t used, cap;
    size_t offsets[SCRIPT_MAX];
} maker;

static void add(maker *m, const void *ptr, size_t len)
{
    script *s = m->s;

    if (s->count == SCRIPT_MAX)
        return;
    if (!s->bytes || m->used + len + GAP > m->cap) {
        m->cap = 2 * m->cap + len + GAP;
        s->bytes = (uint8_t *)realloc(s->bytes, m->cap);
        if (!s->bytes)
            abort();
    }
    memcpy(s->bytes + m->used, len ? ptr : "", len);
    memset(s->bytes + m->used + len, 0, GAP);
    m->offsets[s->count] = m->used;
    s->events[s->count++].len = len;
    m->used += len + GAP;
}

static void add_lines(maker *m, slice lines)
{
    const uint8_t *at = lines.ptr, *end = at + lines.len;

    for (unsigned i = 0; i < SCRIPT_LINES && at < end; i++) {
        const uint8_t *feed = (const uint8_t *)memchr(at, '\n', (size_t)(end - at));
        const uint8_t *stop = feed ? feed : end;

        size_t len = (size_t)(stop - at);

        add(m, at, len < SCRIPT_LINE_MAX ? len : SCRIPT_LINE_MAX);
        at = stop + 1;
    }
}

static void add_everyday(maker *m)
{
    for (unsigned i = 0; i < EVERYDAY; i++)
        add(m, everyday[i].ptr, everyday[i].len);
}

/* Words and bytes that nobody has thought of, and two long ones. */
static void add_random(maker *m)
{
    script_random r = {m->s->seed};
    uint8_t text[LONG_TEXT];

    for (unsigned i = 0; i < RANDOM_EVENTS; i++) {
        size_t len = (size_t)script_below(&r, 64);

        /* Letters below 'x', so that a byte that is read by mistake stands out. */
        for (size_t j = 0; j < len; j++)
            text[j] = i % 2 ? (uint8_t)script_next(&r)
                            : (uint8_t) "abcdefgh 0123456789."[script_below(&r, 20)];
        add(m, text, len);
    }
    for (size_t j = 0; j < LONG_TEXT; j++)
        text[j] = (uint8_t) "etaoin shrdlu"[script_below(&r, 13)];
    add(m, text, LONG_TEXT);
    for (size_t j = 0; j < 256; j++)
        text[j] = (uint8_t)j;
    add(m, text, 256);
}

script *script_new(slice lines, uint64_t seed)
{
    maker m = {0};

    m.s = (script *)calloc(1, sizeof *m.s);
    if (!m.s)
        abort();
    m.s->seed = seed;
    add_lines(&m, lines);
    add_everyday(&m);
    add_random(&m);
    add_lines(&m, lines);
    add_everyday(&m);
    for (uint32_t i = 0; i < m.s->count; i++)
        m.s->events[i].ptr = m.s->bytes + m.offsets[i];
    return m.s;
}

void script_free(script *s)
{
    if (s)
        free(s->bytes);
    free(s);
}

void script_event(const script *s, uint32_t i, berth_event *out)
{
    static const char channel[] = "check/news";
    script_random r = {s->seed ^ (UINT64_C(0xd1b54a32d192ed03) * (i + 1))};

    *out = (berth_event){
        .size = sizeof *out,
        .type = BERTH_EVENT_MESSAGE,
        .origin = i % 4 == 3 ? PEER : 0,
        .sequence = i % 4 == 3 ? i + 1 : 0,
        /* A second each, an hour every sixteen events. */
        .time_ns = BEGIN_NS + (int64_t)i * SECOND_NS + (int64_t)(i / 16) * 3600 * SECOND_NS,
        .data = {s->events[i].ptr, s->events[i].len},
        .attempt = 1,
    };
    out->seed[0] = script_next(&r);
    out->seed[1] = script_next(&r);
    if (i % 5 == 4)
        out->channel = (berth_bytes){channel, sizeof channel - 1};
    else if (i % 3 == 1)
        out->reply_to = (berth_ref){{i + 1, 2, 3, 4}};
}

uint32_t script_compare(const script_trace *a, const script_trace *b, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        if (i >= a->count || i >= b->count || a->entries[i].digest != b->entries[i].digest)
            return i;
    }
    return to;
}
