/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh_world.h: two endpoints in a time of their own, on one thread, and the links between them.
 *
 * A link carries so many bytes a second in order, holds so many at its beginning, drops what comes
 * above, and loses some on the way. Nothing here looks at a clock.
 */
#ifndef MESH_WORLD_H
#define MESH_WORLD_H

#include "mesh_pair.h"

#define WORLD_MS     PAIR_MS
#define WORLD_SECOND (1000 * WORLD_MS)

typedef struct world_packet {
    struct world_packet *next;
    int64_t due_ns;
    size_t len;
    uint8_t bytes[];
} world_packet;

typedef struct world_link {
    world_packet *first, **end;
    int64_t free_ns; /* when the last byte that was taken has left */
    uint64_t carried, lost, full;
} world_link;

typedef struct world world;

typedef struct world_end {
    world *w;
    endpoint_config config;
    berth_keypair key;
    uint8_t static_public[32];
    endpoint *e;
    address at;
    session *s; /* the last that came up */
    world_link out;
    uint64_t ups, bytes, wakeups;
    buf *pouring; /* NULL: nothing */
} world_end;

struct world {
    int64_t now_ns, delay_ns;
    int64_t jitter_ns; /* at most so much later: packets overtake each other */
    uint64_t rate;     /* bytes a second; 0: no limit */
    int64_t hold_ns;   /* what waits at the beginning of a link, as time */
    unsigned loss;     /* of a million */
    uint64_t seed;
    world_end ends[2];
    uint8_t run[65536];
};

static inline uint64_t world_random(world *w)
{
    uint64_t x = (w->seed += 0x9e3779b97f4a7c15ull);

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

static inline void world_bytes(void *ctx, void *out, size_t len)
{
    for (uint8_t *p = out; len; len--)
        *p++ = (uint8_t)(world_random(ctx) >> 32);
}

static inline void world_up(void *ctx, session *s, const peer_identity *peer)
{
    world_end *d = ctx;

    (void)peer;
    d->ups++;
    d->s = s;
}

static inline void world_down(void *ctx, session *s, session_end why, const char *text)
{
    (void)ctx;
    (void)s;
    if (why != END_LOCAL && why != END_PEER)
        pair_die("a session ended", text);
}

static inline void world_fill(world_end *d)
{
    while (session_send(d->s, LANE_BULK, d->pouring, d->w->now_ns) == BERTH_OK)
        ;
}

static inline bool world_message(void *ctx, session *s, lane l, buf *message)
{
    world_end *d = ctx;

    (void)s;
    (void)l;
    d->bytes += message->len;
    return true;
}

static inline void world_room(void *ctx, session *s, lane l)
{
    world_end *d = ctx;

    (void)s;
    (void)l;
    if (d->pouring)
        world_fill(d);
}

static inline void world_init(world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->now_ns = WORLD_SECOND;
    w->seed = seed;
    for (int i = 0; i < 2; i++) {
        world_end *d = &w->ends[i];

        d->w = w;
        pair_config(&d->config, &d->key, d->static_public, d);
        d->config.events =
            (transport_events){d, world_up, world_down, world_message, pair_datagram, world_room};
        d->config.random = world_bytes;
        d->config.random_ctx = w;
        d->at = pair_loopback();
        d->at.u.in.sin_addr.s_addr = htonl(0x0a000001u + (unsigned)i);
        d->at.u.in.sin_port = htons(4600);
        d->out.end = &d->out.first;
    }
}

static inline void world_start(world *w)
{
    berth_error error = {0};

    for (int i = 0; i < 2; i++)
        if (endpoint_new(&w->ends[i].config, &w->ends[i].e, &error) != BERTH_OK)
            pair_die("cannot start", error.text);
}

static inline session *world_dial(world *w)
{
    berth_error error = {0};
    session *s;

    if (endpoint_dial(w->ends[0].e, &w->ends[1].at, w->ends[1].static_public, w->now_ns, &s,
                      &error) != BERTH_OK)
        pair_die("cannot dial", error.text);
    return s;
}

static inline void world_carry(world *w, world_link *l, const uint8_t *bytes, size_t len)
{
    world_packet *p, **at;

    if (l->free_ns < w->now_ns)
        l->free_ns = w->now_ns;
    if (w->rate && l->free_ns - w->now_ns > w->hold_ns) {
        l->full++;
        return;
    }
    if (w->rate) /* 28: the headers of IP and UDP */
        l->free_ns += (int64_t)((len + 28) * (uint64_t)WORLD_SECOND / w->rate);
    if (w->loss && world_random(w) % 1000000 < w->loss) {
        l->lost++;
        return;
    }
    p = malloc(sizeof *p + len);
    p->len = len;
    p->due_ns = l->free_ns + w->delay_ns;
    memcpy(p->bytes, bytes, len);
    at = l->end;
    if (w->jitter_ns) {
        p->due_ns += (int64_t)(world_random(w) % (uint64_t)w->jitter_ns);
        for (at = &l->first; *at && (*at)->due_ns <= p->due_ns;)
            at = &(*at)->next;
    }
    p->next = *at;
    *at = p;
    if (!p->next)
        l->end = &p->next;
    l->carried++;
}

static inline void world_flush(world *w)
{
    for (int i = 0; i < 2; i++) {
        outgoing out;

        while (endpoint_send(w->ends[i].e, w->run, sizeof w->run, &out, w->now_ns))
            for (size_t at = 0; at < out.len; at += out.segment)
                world_carry(w, &w->ends[i].out, out.bytes + at,
                            out.len - at < out.segment ? out.len - at : out.segment);
    }
}

/* The next thing that is due until then; false: nothing is. */
static inline bool world_step(world *w, int64_t until_ns)
{
    int64_t due = INT64_MAX;

    world_flush(w);
    for (int i = 0; i < 2; i++) {
        int64_t deadline = endpoint_deadline(w->ends[i].e);
        const world_packet *p = w->ends[i].out.first;

        due = deadline < due ? deadline : due;
        due = p && p->due_ns < due ? p->due_ns : due;
    }
    if (due > until_ns) {
        w->now_ns = until_ns;
        return false;
    }
    w->now_ns = due > w->now_ns ? due : w->now_ns;
    for (int i = 0; i < 2; i++) {
        world_end *from = &w->ends[i], *to = &w->ends[!i];
        world_packet *p = from->out.first;

        if (p && p->due_ns <= w->now_ns) {
            from->out.first = p->next;
            if (!p->next)
                from->out.end = &from->out.first;
            endpoint_receive(to->e, &to->at, &from->at, p->bytes, p->len, 0, w->now_ns);
            free(p);
        }
        if (endpoint_deadline(to->e) <= w->now_ns) {
            to->wakeups++;
            endpoint_expire(to->e, w->now_ns);
        }
    }
    return true;
}

static inline void world_run(world *w, int64_t for_ns)
{
    int64_t until = w->now_ns + for_ns;

    while (world_step(w, until))
        ;
}

/* From now on there is always something to send, in messages of so many bytes. */
static inline void world_pour(world_end *d, size_t len)
{
    if (!d->s)
        pair_die("cannot send", "there is no session");
    d->pouring = buf_new(len);
    memset(d->pouring->data, 'x', len);
    world_fill(d);
}

static inline void world_fini(world *w)
{
    for (int i = 0; i < 2; i++) {
        world_link *l = &w->ends[i].out;

        endpoint_free(w->ends[i].e);
        while (l->first) {
            world_packet *p = l->first;

            l->first = p->next;
            free(p);
        }
        buf_unref(w->ends[i].pouring);
    }
}

#endif
