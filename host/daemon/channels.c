/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/channels.h"

#include "base/error.h"
#include "chain/channel.h"
#include "daemon/daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SWEEP_LEAST 64

/* A queue group of one channel. */
typedef struct queue_group {
    struct queue_group *next;
    uint32_t members;
    uint32_t best;    /* of the publish `asked`: who has waited longest; an index */
    uint64_t asked;   /* published, when it was last looked at */
    uint8_t name_len; /* never 0 */
    uint8_t name[];
} queue_group;

typedef struct subscriber {
    struct daemon *daemon; /* one reference */
    uint64_t publisher;    /* 0: any */
    queue_group *group;    /* NULL: broadcast */
    uint64_t served;       /* in a group: the publish that it got last */
} subscriber;

typedef struct channel {
    subscriber *subscribers;
    uint32_t count, cap;
    queue_group *groups;
    struct daemon *server; /* of a service, one reference; NULL: nobody, or no service */
    uint64_t published;
    ring *tails; /* NULL: never tailed */
    size_t name_len;
    char name[];
} channel;

void channels_init(channels *c)
{
    memset(c, 0, sizeof(*c));
    pthread_mutex_init(&c->lock, NULL);
}

static void channel_free(channel *ch)
{
    if (ch->tails)
        ring_end(ch->tails);
    ring_unref(ch->tails);
    while (ch->groups) {
        queue_group *g = ch->groups;
        ch->groups = g->next;
        free(g);
    }
    free(ch->subscribers);
    free(ch);
}

void channels_fini(channels *c)
{
    size_t at = 0;
    slice name;
    void *value;
    while (strmap_next(&c->map, &at, &name, &value)) {
        channel *ch = value;
        for (uint32_t i = 0; i < ch->count; i++)
            daemon_unref(ch->subscribers[i].daemon);
        if (ch->server)
            daemon_unref(ch->server);
        channel_free(ch);
    }
    strmap_fini(&c->map);
    pthread_mutex_destroy(&c->lock);
}

/* Under the lock: nobody needs it any more. */
static bool is_unused(const channel *ch)
{
    return !ch->count && !ch->server && !(ch->tails && ring_readers(ch->tails));
}

/*
 * Under the lock. A channel whose last tail was closed stays behind, since a tail does not know its
 * channel; when they have become as many as the others, they go. Nobody reads them, so nobody is
 * called.
 */
static void sweep(channels *c)
{
    void *value;
    channel **gone = malloc(c->map.count * sizeof(*gone));
    size_t n = 0;
    for (size_t at = 0; gone && strmap_next(&c->map, &at, NULL, &value);)
        if (is_unused(value))
            gone[n++] = value;
    for (size_t i = 0; i < n; i++) {
        strmap_del(&c->map, slice_of(gone[i]->name, gone[i]->name_len));
        channel_free(gone[i]);
    }
    free(gone);
    c->sweep_at = c->map.count * 2 > SWEEP_LEAST ? c->map.count * 2 : SWEEP_LEAST;
}

/* Under the lock. */
static channel *find_or_make(channels *c, slice name)
{
    channel *ch = strmap_get(&c->map, name);
    if (ch)
        return ch;
    if (c->map.count >= c->sweep_at)
        sweep(c);
    ch = calloc(1, sizeof(*ch) + name.len + 1);
    if (!ch)
        return NULL;
    ch->name_len = name.len;
    memcpy(ch->name, name.ptr, name.len);
    if (!strmap_put(&c->map, slice_of(ch->name, ch->name_len), ch)) {
        free(ch);
        return NULL;
    }
    return ch;
}

/* Under the lock. The caller frees it without the lock. */
static channel *take_if_unused(channels *c, channel *ch)
{
    if (!is_unused(ch))
        return NULL;
    strmap_del(&c->map, slice_of(ch->name, ch->name_len));
    return ch;
}

/* ---- Services -------------------------------------------------------------------------------- */

static const char requests[] = ".requests";

slice channels_service(slice name)
{
    const size_t len = sizeof(requests) - 1;
    if (name.len <= len || memcmp(name.ptr + name.len - len, requests, len) != 0)
        return (slice){0};
    return slice_of(name.ptr, name.len - len);
}

/* Under the lock. */
static berth_status claim(channel *ch, slice name, struct daemon *d, berth_error *error)
{
    slice service = channels_service(name);
    if (!service.len || ch->server == d)
        return BERTH_OK;
    if (ch->server)
        return fail(error, BERTH_ERR_EXISTS,
                    "service '%.*s' is served by daemon '%s' already: a host has one server of a "
                    "service",
                    (int)service.len, (const char *)service.ptr, ch->server->name);
    ch->server = daemon_ref(d);
    return BERTH_OK;
}

berth_status channels_claim(channels *c, slice name, struct daemon *d, berth_error *error)
{
    if (!channels_service(name).len)
        return BERTH_OK;
    pthread_mutex_lock(&c->lock);
    channel *ch = find_or_make(c, name);
    berth_status status =
        ch ? claim(ch, name, d, error) : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    pthread_mutex_unlock(&c->lock);
    return status;
}

bool channels_server(channels *c, slice service, uint64_t *origin)
{
    char name[CHANNEL_NAME_MAX + 1];
    int len = snprintf(name, sizeof(name), "%.*s%s", (int)service.len, (const char *)service.ptr,
                       requests);
    const channel *ch = NULL;
    if (len < 0 || (size_t)len >= sizeof(name))
        return false;
    pthread_mutex_lock(&c->lock);
    ch = strmap_get(&c->map, slice_of(name, (size_t)len));
    bool served = ch && ch->server;
    if (served)
        *origin = ch->server->origin;
    pthread_mutex_unlock(&c->lock);
    return served;
}

void channels_services(channels *c, void (*fn)(void *ctx, slice service, uint64_t origin),
                       void *ctx)
{
    struct served {
        uint64_t origin;
        buf *name;
    } *list = NULL;
    size_t n = 0, at = 0;
    void *value;
    pthread_mutex_lock(&c->lock);
    if (c->map.count)
        list = calloc(c->map.count, sizeof(*list));
    while (list && strmap_next(&c->map, &at, NULL, &value)) {
        const channel *ch = value;
        slice service = channels_service(slice_of(ch->name, ch->name_len));
        if (ch->server && (list[n].name = buf_copy(service.ptr, service.len)))
            list[n++].origin = ch->server->origin;
    }
    pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < n; i++) {
        fn(ctx, slice_of(list[i].name->data, list[i].name->len), list[i].origin);
        buf_unref(list[i].name);
    }
    free(list);
}

/* ---- Groups ---------------------------------------------------------------------------------- */

/* Under the lock: the group of that name; NULL also when memory is short. */
static queue_group *find_group(channel *ch, slice name, bool make)
{
    queue_group *g = ch->groups;
    while (g && !slice_eq(slice_of(g->name, g->name_len), name))
        g = g->next;
    if (g || !make)
        return g;
    g = calloc(1, sizeof(*g) + name.len);
    if (!g)
        return NULL;
    g->name_len = (uint8_t)name.len;
    memcpy(g->name, name.ptr, name.len);
    g->next = ch->groups;
    ch->groups = g;
    return g;
}

/* Under the lock. */
static void drop_if_empty(channel *ch, queue_group *g)
{
    if (!g || g->members)
        return;
    queue_group **at = &ch->groups;
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    free(g);
}

static bool hears(const subscriber *s, uint64_t publisher)
{
    return !s->publisher || s->publisher == publisher;
}

/* Under the lock: of each group that has somebody for this publisher, who has waited longest. */
static void pick_groups(channel *ch, uint64_t publisher, struct daemon **list, uint32_t *count)
{
    for (uint32_t i = 0; i < ch->count; i++) {
        const subscriber *s = &ch->subscribers[i];
        queue_group *g = s->group;
        if (!g || !hears(s, publisher))
            continue;
        if (g->asked != ch->published || s->served < ch->subscribers[g->best].served)
            g->best = i;
        g->asked = ch->published;
    }
    for (queue_group *g = ch->groups; g; g = g->next)
        if (g->asked == ch->published)
            list[(*count)++] = daemon_ref(ch->subscribers[g->best].daemon);
    /* A daemon may be there twice, for one publisher and for all: it had its turn once. */
    for (uint32_t i = 0; i < ch->count; i++) {
        subscriber *s = &ch->subscribers[i];
        if (s->group && s->group->asked == ch->published &&
            s->daemon == ch->subscribers[s->group->best].daemon)
            s->served = ch->published;
    }
}

/* ---- Subscribers ----------------------------------------------------------------------------- */

/* Under the lock. */
static subscriber *find_subscriber(channel *ch, uint64_t publisher, const struct daemon *d)
{
    for (uint32_t i = 0; i < ch->count; i++)
        if (ch->subscribers[i].daemon == d && ch->subscribers[i].publisher == publisher)
            return &ch->subscribers[i];
    return NULL;
}

static bool room_for_one(channel *ch)
{
    uint32_t cap = ch->cap ? ch->cap * 2 : 4;
    if (ch->count < ch->cap)
        return true;
    subscriber *more = realloc(ch->subscribers, cap * sizeof(*more));
    if (!more)
        return false;
    ch->subscribers = more;
    ch->cap = cap;
    return true;
}

/* Under the lock. */
static bool join(channel *ch, uint64_t publisher, slice group_name, struct daemon *d)
{
    queue_group *g = group_name.len ? find_group(ch, group_name, true) : NULL;
    subscriber *s = find_subscriber(ch, publisher, d);
    if ((group_name.len && !g) || (!s && !room_for_one(ch))) {
        drop_if_empty(ch, g);
        return false;
    }
    if (!s) {
        s = &ch->subscribers[ch->count++];
        *s = (subscriber){.daemon = daemon_ref(d), .publisher = publisher};
    } else if (s->group == g) {
        return true;
    }
    queue_group *before = s->group;
    if (before)
        before->members--;
    drop_if_empty(ch, before);
    s->group = g;
    if (g)
        g->members++;
    return true;
}

berth_status channels_join(channels *c, slice name, uint64_t publisher, slice group,
                           struct daemon *d, berth_error *error)
{
    channel *unused = NULL;
    pthread_mutex_lock(&c->lock);
    channel *ch = find_or_make(c, name);
    berth_status status =
        ch ? claim(ch, name, d, error) : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (status == BERTH_OK && !join(ch, publisher, group, d)) {
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
        unused = take_if_unused(c, ch);
    }
    pthread_mutex_unlock(&c->lock);
    if (unused)
        channel_free(unused);
    return status;
}

/* Under the lock: keeps the order of subscription, which is the order of delivery. */
static void detach(channel *ch, subscriber *s)
{
    queue_group *g = s->group;
    size_t behind = (size_t)(ch->subscribers + ch->count - (s + 1));
    if (g)
        g->members--;
    drop_if_empty(ch, g);
    memmove(s, s + 1, behind * sizeof(*s));
    ch->count--;
}

/* Under the lock: does no entry of d remain? */
static bool is_off(const channel *ch, const struct daemon *d)
{
    for (uint32_t i = 0; i < ch->count; i++)
        if (ch->subscribers[i].daemon == d)
            return false;
    return true;
}

void channels_leave(channels *c, slice name, uint64_t publisher, struct daemon *d)
{
    channel *unused = NULL;
    unsigned released = 0;
    pthread_mutex_lock(&c->lock);
    channel *ch = strmap_get(&c->map, name);
    subscriber *s = ch ? find_subscriber(ch, publisher, d) : NULL;
    if (s) {
        detach(ch, s);
        released++;
    }
    if (ch && ch->server == d && is_off(ch, d)) {
        ch->server = NULL;
        released++;
    }
    if (ch)
        unused = take_if_unused(c, ch);
    pthread_mutex_unlock(&c->lock);
    if (unused)
        channel_free(unused);
    while (released--)
        daemon_unref(d);
}

struct daemon **channels_hearers(channels *c, slice name, uint64_t publisher, bool groups,
                                 uint32_t *count, ring **tails)
{
    struct daemon **list = NULL;
    *count = 0;
    *tails = NULL;
    pthread_mutex_lock(&c->lock);
    channel *ch = strmap_get(&c->map, name);
    if (ch) {
        ch->published++;
        if (ch->tails)
            *tails = ring_ref(ch->tails);
        if (ch->count)
            list = malloc(ch->count * sizeof(*list));
        for (uint32_t i = 0; list && i < ch->count; i++)
            if (!ch->subscribers[i].publisher && !ch->subscribers[i].group)
                list[(*count)++] = daemon_ref(ch->subscribers[i].daemon);
        /* Those who asked for this very publisher, unless they hear everyone anyway. */
        for (uint32_t i = 0; list && i < ch->count; i++) {
            const subscriber *s = &ch->subscribers[i];
            bool twice = s->group || !s->publisher || s->publisher != publisher;
            for (uint32_t k = 0; k < *count && !twice; k++)
                twice = list[k] == s->daemon;
            if (!twice)
                list[(*count)++] = daemon_ref(s->daemon);
        }
        if (list && groups && ch->groups)
            pick_groups(ch, publisher, list, count);
    }
    pthread_mutex_unlock(&c->lock);
    return list;
}

/* A subscription, copied: the channel, then the group. */
typedef struct copied {
    uint64_t publisher;
    size_t channel_len;
    buf *bytes;
} copied;

/* Under the lock. */
static bool copy_subscriber(copied *to, const channel *ch, const subscriber *s)
{
    size_t group_len = s->group ? s->group->name_len : 0;
    to->bytes = buf_new(ch->name_len + group_len);
    if (!to->bytes)
        return false;
    memcpy(to->bytes->data, ch->name, ch->name_len);
    if (group_len)
        memcpy(to->bytes->data + ch->name_len, s->group->name, group_len);
    to->publisher = s->publisher;
    to->channel_len = ch->name_len;
    return true;
}

static int by_channel(const void *a, const void *b)
{
    const copied *x = a, *y = b;
    size_t n = x->channel_len < y->channel_len ? x->channel_len : y->channel_len;
    int order = memcmp(x->bytes->data, y->bytes->data, n);
    if (!order)
        order = (x->channel_len > y->channel_len) - (x->channel_len < y->channel_len);
    return order ? order : (x->publisher > y->publisher) - (x->publisher < y->publisher);
}

void channels_of(channels *c, const struct daemon *d,
                 void (*fn)(void *ctx, const runtime_hearing *h), void *ctx)
{
    copied *list = NULL;
    size_t n = 0, cap = 0, at = 0;
    bool room = true;
    void *value;
    pthread_mutex_lock(&c->lock);
    while (room && strmap_next(&c->map, &at, NULL, &value)) {
        const channel *ch = value;
        for (uint32_t i = 0; i < ch->count && room; i++) {
            if (ch->subscribers[i].daemon != d)
                continue;
            if (n == cap) {
                copied *more = realloc(list, (cap ? 2 * cap : 16) * sizeof(*more));
                room = more != NULL;
                list = room ? more : list;
                cap = room ? (cap ? 2 * cap : 16) : cap;
            }
            room = room && copy_subscriber(&list[n], ch, &ch->subscribers[i]);
            n += room;
        }
    }
    pthread_mutex_unlock(&c->lock);
    if (n)
        qsort(list, n, sizeof(*list), by_channel);
    for (size_t i = 0; i < n; i++) {
        const buf *b = list[i].bytes;
        runtime_hearing h = {slice_of(b->data, list[i].channel_len),
                             slice_of(b->data + list[i].channel_len, b->len - list[i].channel_len),
                             list[i].publisher};
        fn(ctx, &h);
        buf_unref(list[i].bytes);
    }
    free(list);
}

ring *channels_ring(channels *c, slice name)
{
    pthread_mutex_lock(&c->lock);
    channel *ch = strmap_get(&c->map, name);
    ring *r = ch && ch->tails ? ring_ref(ch->tails) : NULL;
    pthread_mutex_unlock(&c->lock);
    return r;
}

tail *channels_tail(channels *c, slice name, ring_budget *budget, void (*wake)(void *ctx),
                    void *ctx)
{
    tail *t = NULL;
    pthread_mutex_lock(&c->lock);
    channel *ch = find_or_make(c, name);
    if (ch && !ch->tails)
        ch->tails = ring_new(budget, false);
    if (ch && ch->tails)
        t = ring_open(ch->tails, TAIL_FROM_NOW, wake, ctx);
    pthread_mutex_unlock(&c->lock);
    return t;
}

void channels_each(channels *c, void (*fn)(void *ctx, const channel_info *info), void *ctx)
{
    channel_info *infos = NULL;
    size_t n = 0;
    pthread_mutex_lock(&c->lock);
    if (c->map.count)
        infos = calloc(c->map.count, sizeof(*infos));
    size_t at = 0;
    slice name;
    void *value;
    while (infos && strmap_next(&c->map, &at, &name, &value)) {
        channel *ch = value;
        uint64_t readers = ch->tails ? ring_readers(ch->tails) : 0;
        if (!ch->count && !readers)
            continue; /* its last tail was closed */
        infos[n++] = (channel_info){.name = strdup(ch->name),
                                    .subscribers = ch->count,
                                    .tails = readers,
                                    .published = ch->published};
    }
    pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < n; i++) {
        if (infos[i].name)
            fn(ctx, &infos[i]);
        free((char *)infos[i].name);
    }
    free(infos);
}
