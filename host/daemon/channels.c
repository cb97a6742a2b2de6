/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/channels.h"

#include "daemon/daemon.h"

#include <stdlib.h>
#include <string.h>

#define SWEEP_LEAST 64

typedef struct subscriber {
    struct daemon *daemon; /* one reference */
    uint64_t publisher;    /* 0: any */
} subscriber;

typedef struct channel {
    subscriber *subscribers;
    uint32_t count, cap;
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
        channel_free(ch);
    }
    strmap_fini(&c->map);
    pthread_mutex_destroy(&c->lock);
}

/* Under the lock: nobody needs it any more. */
static bool is_unused(const channel *ch)
{
    return !ch->count && !(ch->tails && ring_readers(ch->tails));
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

bool channels_join(channels *c, slice name, uint64_t publisher, struct daemon *d)
{
    bool ok = false;
    pthread_mutex_lock(&c->lock);
    channel *ch = find_or_make(c, name);
    if (!ch)
        goto out;
    ok = true;
    for (uint32_t i = 0; i < ch->count; i++)
        if (ch->subscribers[i].daemon == d && ch->subscribers[i].publisher == publisher)
            goto out;
    if (ch->count == ch->cap) {
        uint32_t cap = ch->cap ? ch->cap * 2 : 4;
        subscriber *more = realloc(ch->subscribers, cap * sizeof(*more));
        if (!more) {
            ok = false;
            goto out;
        }
        ch->subscribers = more;
        ch->cap = cap;
    }
    ch->subscribers[ch->count++] = (subscriber){daemon_ref(d), publisher};
out:
    pthread_mutex_unlock(&c->lock);
    return ok;
}

void channels_leave(channels *c, slice name, uint64_t publisher, struct daemon *d)
{
    channel *unused = NULL;
    bool left = false;
    pthread_mutex_lock(&c->lock);
    channel *ch = strmap_get(&c->map, name);
    for (uint32_t i = 0; ch && i < ch->count; i++)
        if (ch->subscribers[i].daemon == d && ch->subscribers[i].publisher == publisher) {
            /* keep the order of subscription: it is the order of delivery */
            memmove(&ch->subscribers[i], &ch->subscribers[i + 1],
                    (ch->count - i - 1) * sizeof(*ch->subscribers));
            ch->count--;
            left = true;
            break;
        }
    if (ch)
        unused = take_if_unused(c, ch);
    pthread_mutex_unlock(&c->lock);
    if (unused)
        channel_free(unused);
    if (left)
        daemon_unref(d);
}

struct daemon **channels_hearers(channels *c, slice name, uint64_t publisher, uint32_t *count,
                                 ring **tails)
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
            if (!ch->subscribers[i].publisher)
                list[(*count)++] = daemon_ref(ch->subscribers[i].daemon);
        /* Those who asked for this very publisher, unless they hear everyone anyway. */
        for (uint32_t i = 0; list && i < ch->count; i++) {
            const subscriber *s = &ch->subscribers[i];
            bool twice = !s->publisher || s->publisher != publisher;
            for (uint32_t k = 0; k < *count && !twice; k++)
                twice = list[k] == s->daemon;
            if (!twice)
                list[(*count)++] = daemon_ref(s->daemon);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return list;
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
