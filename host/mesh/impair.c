/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queued datagrams of a path form a chain in order of their time; its first is in the heap, and
 * brings in the next when it leaves. So a path costs the heap one node, and order needs no ties.
 * One that is reordered is in the heap by itself.
 */
#include "mesh/impair.h"
#include "base/error.h"
#include "base/map.h"
#include "daemon/heap.h"

#include <stdlib.h>
#include <string.h>

#define SECOND          1000000000ull
#define REORDER_DEFAULT 10000000ll
#define QUEUE_DEFAULT   (256u << 10)
#define DATAGRAM_MAX    65535u
#define KEY_MAX         19 /* family, port, address */

typedef struct path path;

typedef struct queued {
    heap_node due; /* first: the heap hands it out */
    struct queued *next;
    path *path;
    address remote, local;
    size_t len;
    uint8_t ecn;
    uint8_t bytes[];
} queued;

struct path {
    uint8_t key[KEY_MAX];
    uint64_t seed, count;
    bool own; /* it has a rule of its own, this one: */
    impair_rule rule;
    uint64_t version;
    uint64_t seen; /* the version of the rule that what follows is of */
    bool burst;
    int64_t line_ns; /* when the line has sent what it took */
    int64_t last_ns;
    queued *tail; /* of the chain that goes on */
};

struct impair {
    uint64_t seed;
    int64_t now_ns;
    impair_rule all;
    uint64_t all_version, versions;
    unsigned active; /* rules that do something */
    strmap paths;
    path plain; /* of all those without a rule, while there is none for all */
    heap due;
    queued *lent;
    impair_counters counters;
};

/* ---- Chance ---------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

static uint64_t draw(uint64_t *fate)
{
    return mix((*fate)++);
}

/* Draws also when the share is zero: the next draw is then the same, whatever this share is. */
static bool chance(uint64_t *fate, uint32_t share)
{
    return draw(fate) % IMPAIR_ALL < share;
}

/* ---- Paths and rules ------------------------------------------------------------------------- */

static bool does_something(const impair_rule *r)
{
    return r->drop || r->loss || r->burst_enter || r->duplicate || r->corrupt || r->reorder ||
           r->delay_ns || r->jitter_ns || r->rate;
}

static bool is_ip(const address *a)
{
    return (a->u.any.sa_family == AF_INET && a->len == sizeof a->u.in) ||
           (a->u.any.sa_family == AF_INET6 && a->len == sizeof a->u.in6);
}

/* What makes a remote another one; the same for all that are neither IPv4 nor IPv6. */
static slice key_of(uint8_t key[KEY_MAX], const address *a)
{
    memset(key, 0, KEY_MAX);
    if (!is_ip(a))
        return slice_of(key, KEY_MAX);
    if (a->u.any.sa_family == AF_INET) {
        key[0] = 4;
        memcpy(key + 1, &a->u.in.sin_port, 2);
        memcpy(key + 3, &a->u.in.sin_addr, 4);
    } else {
        key[0] = 6;
        memcpy(key + 1, &a->u.in6.sin6_port, 2);
        memcpy(key + 3, &a->u.in6.sin6_addr, 16);
    }
    return slice_of(key, KEY_MAX);
}

static path *path_new(impair *i, slice key)
{
    path *p = i->paths.count < IMPAIR_PATHS_MAX ? calloc(1, sizeof *p) : NULL;

    if (!p)
        return NULL;
    memcpy(p->key, key.ptr, KEY_MAX);
    p->seed = i->seed;
    for (size_t at = 0; at < KEY_MAX; at++)
        p->seed = mix(p->seed ^ key.ptr[at]);
    if (!strmap_put(&i->paths, slice_of(p->key, KEY_MAX), p)) {
        free(p);
        return NULL;
    }
    return p;
}

/* The path to or from a remote; NULL: there is no room for another. */
static path *path_of(impair *i, const address *remote)
{
    uint8_t bytes[KEY_MAX];
    slice key = key_of(bytes, remote);
    path *p = strmap_get(&i->paths, key);

    if (p)
        return p;
    return does_something(&i->all) ? path_new(i, key) : &i->plain;
}

/* The rule of a path, which begins afresh if it is another than that of the last datagram. */
static const impair_rule *rule_of(const impair *i, path *p)
{
    uint64_t version = p->own ? p->version : i->all_version;

    if (p->seen != version) {
        p->seen = version;
        p->burst = false;
        p->line_ns = p->last_ns = INT64_MIN;
        p->tail = NULL;
    }
    return p->own ? &p->rule : &i->all;
}

berth_status impair_set(impair *i, const address *remote, const impair_rule *rule,
                        berth_error *error)
{
    uint8_t bytes[KEY_MAX];
    slice key;
    path *p;

    if (rule && impair_check(rule, error) != BERTH_OK)
        return BERTH_ERR_INVALID;
    if (!remote) {
        i->active -= does_something(&i->all);
        i->all = rule ? *rule : (impair_rule){0};
        i->active += does_something(&i->all);
        i->all_version = ++i->versions;
        return BERTH_OK;
    }
    if (!is_ip(remote))
        return fail(error, BERTH_ERR_INVALID, "impairment: the remote is no IPv4 or IPv6 address");
    key = key_of(bytes, remote);
    p = strmap_get(&i->paths, key);
    if (!p && !rule)
        return BERTH_OK;
    if (!p && !(p = path_new(i, key)))
        return i->paths.count < IMPAIR_PATHS_MAX
                   ? fail(error, BERTH_ERR_NO_MEMORY, "impairment: out of memory")
                   : fail(error, BERTH_ERR_LIMIT, "impairment: more than %u remotes",
                          IMPAIR_PATHS_MAX);
    i->active -= p->own && does_something(&p->rule);
    p->own = rule != NULL;
    p->rule = rule ? *rule : (impair_rule){0};
    p->version = ++i->versions;
    i->active += p->own && does_something(&p->rule);
    return BERTH_OK;
}

void impair_clear(impair *i)
{
    size_t at = 0;
    slice key;
    void *p;

    while (strmap_next(&i->paths, &at, &key, &p))
        ((path *)p)->own = false;
    i->all = (impair_rule){0};
    i->all_version = ++i->versions;
    i->active = 0;
}

bool impair_idle(const impair *i)
{
    return !i->active && !i->due.count;
}

/* ---- A datagram's way ------------------------------------------------------------------------ */

static int64_t time_of(impair *i, int64_t now_ns)
{
    i->now_ns = now_ns > i->now_ns ? now_ns : i->now_ns;
    return i->now_ns;
}

/* How long the line needs, rounded up: it is never faster than its rate. */
static int64_t line_takes(const impair_rule *r, uint64_t bytes)
{
    return (int64_t)((bytes * SECOND + r->rate - 1) / r->rate);
}

/* When its last byte has left; false: it does not fit into the queue. */
static bool through_line(path *p, const impair_rule *r, size_t len, int64_t now, int64_t *at)
{
    int64_t from = p->line_ns > now ? p->line_ns : now, takes = line_takes(r, len);
    int64_t ahead = line_takes(r, r->bucket), leaves = from + takes - ahead;

    /* It would wait for others, with more than the queue holds. */
    if (from - ahead > now && leaves - now > line_takes(r, r->queue ? r->queue : QUEUE_DEFAULT))
        return false;
    p->line_ns = from + takes;
    *at = leaves > now ? leaves : now;
    return true;
}

/* Queue one copy, to come out then; behind the last of its path unless it is late. */
static bool enqueue(impair *i, path *p, const queued *like, const void *bytes, int64_t due,
                    bool late, queued **out)
{
    size_t cost = sizeof *like + like->len;
    bool first = late || !p->tail;
    queued *d = NULL;

    if (cost <= IMPAIR_MEMORY - i->counters.memory)
        d = malloc(cost);
    if (!d) {
        i->counters.dropped_memory++;
        return false;
    }
    *d = *like;
    d->due.due_ns = due;
    d->path = p;
    if (d->len)
        memcpy(d->bytes, bytes, d->len);
    if (first && !heap_push(&i->due, &d->due)) {
        free(d);
        i->counters.dropped_memory++;
        return false;
    }
    if (!late) {
        if (p->tail)
            p->tail->next = d;
        p->tail = d;
        p->last_ns = due;
    }
    i->counters.memory += cost;
    i->counters.queued++;
    *out = d;
    return true;
}

static void one_copy(impair *i, path *p, const impair_rule *r, const queued *like,
                     const void *bytes, uint64_t *fate)
{
    bool corrupt = chance(fate, r->corrupt), late = chance(fate, r->reorder);
    uint64_t bit = draw(fate), jitter = draw(fate) % ((uint64_t)r->jitter_ns + 1);
    int64_t now = i->now_ns, due = now, line_was = p->line_ns;
    queued *d;

    if (r->rate && !through_line(p, r, like->len, now, &due)) {
        i->counters.dropped_queue++;
        return;
    }
    due += r->delay_ns + (int64_t)jitter;
    if (late)
        due += r->reorder_ns ? r->reorder_ns : REORDER_DEFAULT;
    else if (due < p->last_ns)
        due = p->last_ns;
    if (!enqueue(i, p, like, bytes, due, late, &d)) {
        p->line_ns = line_was;
        return;
    }
    i->counters.reordered += late;
    i->counters.delayed += due > now;
    if (corrupt && d->len) {
        bit %= 8 * (uint64_t)d->len;
        d->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        i->counters.corrupted++;
    }
}

/* Whether it is lost by chance. */
static bool lost(impair *i, path *p, const impair_rule *r, uint64_t *fate)
{
    bool turns = chance(fate, p->burst ? r->burst_leave : r->burst_enter);
    uint32_t burst_loss = r->burst_loss ? r->burst_loss : IMPAIR_ALL;

    p->burst ^= turns;
    if (!chance(fate, p->burst ? burst_loss : r->loss))
        return false;
    if (p->burst)
        i->counters.dropped_burst++;
    else
        i->counters.dropped_loss++;
    return true;
}

void impair_offer(impair *i, const address *remote, const address *local, const void *bytes,
                  size_t len, uint8_t ecn, int64_t now_ns)
{
    queued like = {.remote = *remote, .len = len, .ecn = ecn};
    path *p = path_of(i, remote);
    const impair_rule *r;
    uint64_t fate;
    bool twice;

    time_of(i, now_ns);
    i->counters.offered++;
    if (!p) {
        i->counters.dropped_paths++;
        return;
    }
    if (len > DATAGRAM_MAX) {
        i->counters.dropped_size++;
        return;
    }
    if (local)
        like.local = *local;
    r = rule_of(i, p);
    fate = mix(p->seed ^ mix(p->count++));
    if (r->drop) {
        i->counters.dropped_blackhole++;
        return;
    }
    if (lost(i, p, r, &fate))
        return;
    twice = chance(&fate, r->duplicate);
    one_copy(i, p, r, &like, bytes, &fate);
    if (twice) {
        i->counters.duplicated++;
        one_copy(i, p, r, &like, bytes, &fate);
    }
}

void impair_offer_run(impair *i, const outgoing *run, int64_t now_ns)
{
    size_t segment = run->segment ? run->segment : run->len;

    for (size_t at = 0; at < run->len; at += segment)
        impair_offer(i, &run->to, &run->local, run->bytes + at,
                     run->len - at < segment ? run->len - at : segment, run->ecn, now_ns);
}

/* ---- Out ------------------------------------------------------------------------------------- */

int64_t impair_deadline(const impair *i)
{
    return heap_next(&i->due);
}

static void release(impair *i)
{
    if (!i->lent)
        return;
    i->counters.memory -= sizeof *i->lent + i->lent->len;
    free(i->lent);
    i->lent = NULL;
}

static queued *take(impair *i, int64_t now_ns)
{
    queued *d;

    release(i);
    d = (queued *)heap_pop_due(&i->due, time_of(i, now_ns));
    if (!d)
        return NULL;
    if (d->next)
        heap_push(&i->due, &d->next->due); /* into the room of the one that left */
    else if (d->path->tail == d)
        d->path->tail = NULL;
    i->counters.queued--;
    i->lent = d;
    return d;
}

bool impair_next(impair *i, int64_t now_ns, impaired *out)
{
    const queued *d = take(i, now_ns);

    if (!d)
        return false;
    i->counters.out++;
    *out = (impaired){d->remote, d->local, d->bytes, d->len, d->ecn};
    return true;
}

bool impair_send(impair *i, uint8_t *memory, size_t cap, outgoing *out, int64_t now_ns)
{
    const queued *d;

    while ((d = take(i, now_ns)) && d->len > cap)
        i->counters.dropped_size++;
    if (!d)
        return false;
    i->counters.out++;
    memcpy(memory, d->bytes, d->len);
    *out = (outgoing){d->remote, d->local, memory, d->len, d->len, d->ecn};
    return true;
}

void impair_get_counters(const impair *i, impair_counters *out)
{
    *out = i->counters;
}

impair *impair_new(uint64_t seed)
{
    impair *i = calloc(1, sizeof *i);

    if (i) {
        i->seed = mix(seed);
        i->now_ns = INT64_MIN;
        i->versions = i->all_version = 1;
    }
    return i;
}

void impair_free(impair *i)
{
    if (!i)
        return;
    while (take(i, INT64_MAX))
        continue; /* each frees the one before */
    heap_fini(&i->due);
    strmap_fini_values(&i->paths);
    free(i);
}
