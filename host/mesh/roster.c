/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/roster.h"
#include "base/cursor.h"
#include "base/error.h"
#include "base/map.h"

#include <stdlib.h>

#define KEY_SIZE (8 + BERTH_ENTITY_SIZE)

/* Members that are served alike: the broadcast members of a channel, or one queue group. */
typedef struct group {
    struct member **members;
    size_t count, cap;
    size_t turn;
    struct group *next; /* of the channel's queue groups */
    size_t name_len;
    uint8_t name[];
} group;

/* How many members a node has on a channel. */
typedef struct presence_count {
    size_t count;
} presence_count;

typedef struct channel {
    strmap members; /* by node and subscriber */
    map64 nodes;    /* presence_count */
    group *broadcast, *groups;
    size_t group_count;
    size_t name_len;
    uint8_t name[];
} channel;

typedef struct node_entry {
    struct member *first;
    size_t members, channels;
} node_entry;

typedef struct member {
    roster_member seen; /* what others read; its slices point into channel, group and chain */
    uint8_t key[KEY_SIZE];
    channel *on;
    group *in;
    size_t at; /* in the members of in */
    node_entry *of;
    struct member *previous, *next; /* of the node */
    uint8_t *chain;
} member;

struct roster {
    strmap channels;
    map64 nodes;
    size_t count;
    roster_limits limits;
};

static size_t or_default(size_t value, size_t fallback)
{
    return value ? value : fallback;
}

roster *roster_new(const roster_limits *limits)
{
    static const roster_limits none;
    roster *r = calloc(1, sizeof *r);

    limits = limits ? limits : &none;
    if (r)
        r->limits = (roster_limits){
            .members = or_default(limits->members, 262144),
            .channels_per_node = or_default(limits->channels_per_node, 1024),
            .members_per_node = or_default(limits->members_per_node, 16384),
            .groups_per_channel = or_default(limits->groups_per_channel, 1024),
        };
    return r;
}

static slice make_key(uint8_t key[KEY_SIZE], uint64_t node, const uint8_t *subscriber)
{
    store_u64(key, node);
    memcpy(key + 8, subscriber, BERTH_ENTITY_SIZE);
    return slice_of(key, KEY_SIZE);
}

static member *find(const roster *r, uint64_t node, const uint8_t *subscriber, slice name)
{
    channel *c = strmap_get(&r->channels, name);
    uint8_t key[KEY_SIZE];

    return c ? strmap_get(&c->members, make_key(key, node, subscriber)) : NULL;
}

/* ---- Groups ---------------------------------------------------------------------------------- */

static group *group_new(slice name)
{
    group *g = calloc(1, sizeof *g + name.len);

    if (g && name.len) {
        memcpy(g->name, name.ptr, name.len);
        g->name_len = name.len;
    }
    return g;
}

static void group_free(group *g)
{
    if (g)
        free(g->members);
    free(g);
}

static bool group_room(group *g)
{
    size_t cap = g->cap ? 2 * g->cap : 4;
    member **more;

    if (g->count < g->cap)
        return true;
    more = realloc(g->members, cap * sizeof(member *));
    if (!more)
        return false;
    g->members = more;
    g->cap = cap;
    return true;
}

/* There is room. */
static void group_join(group *g, member *m)
{
    m->in = g;
    m->at = g->count;
    m->seen.group = slice_of(g->name, g->name_len);
    g->members[g->count++] = m;
}

static void group_leave(member *m)
{
    group *g = m->in;

    g->members[m->at] = g->members[--g->count];
    g->members[m->at]->at = m->at;
    if (g->turn >= g->count)
        g->turn = 0;
}

static void drop_empty_group(channel *c, group *g)
{
    if (g == c->broadcast || g->count)
        return;
    for (group **at = &c->groups; *at; at = &(*at)->next)
        if (*at == g) {
            *at = g->next;
            c->group_count--;
            group_free(g);
            return;
        }
}

/* The group of that name with room for one more; made if need be. */
static berth_status group_for(const roster *r, channel *c, slice name, group **out,
                              berth_error *error)
{
    group *g = name.len ? c->groups : c->broadcast;

    while (name.len && g && !slice_eq(slice_of(g->name, g->name_len), name))
        g = g->next;
    if (!g && c->group_count >= r->limits.groups_per_channel)
        return fail(error, BERTH_ERR_LIMIT, "channel '%.*s': it has %zu queue groups already",
                    (int)c->name_len, (const char *)c->name, r->limits.groups_per_channel);
    if (!g) {
        g = group_new(name);
        if (g) {
            g->next = c->groups;
            c->groups = g;
            c->group_count++;
        }
    }
    if (!g || !group_room(g)) {
        if (g)
            drop_empty_group(c, g);
        return fail(error, BERTH_ERR_NO_MEMORY, "subscription: out of memory");
    }
    *out = g;
    return BERTH_OK;
}

/* ---- Channels and nodes ---------------------------------------------------------------------- */

static void channel_free(channel *c)
{
    strmap_fini(&c->members);
    map64_fini(&c->nodes);
    group_free(c->broadcast);
    while (c->groups) {
        group *g = c->groups;

        c->groups = g->next;
        group_free(g);
    }
    free(c);
}

static channel *channel_for(roster *r, slice name)
{
    channel *c = strmap_get(&r->channels, name);

    if (c)
        return c;
    c = calloc(1, sizeof *c + name.len);
    if (!c)
        return NULL;
    c->name_len = name.len;
    memcpy(c->name, name.ptr, name.len);
    c->broadcast = group_new(slice_of(NULL, 0));
    if (!c->broadcast || !strmap_put(&r->channels, slice_of(c->name, c->name_len), c)) {
        channel_free(c);
        return NULL;
    }
    return c;
}

static void drop_empty_channel(roster *r, channel *c)
{
    if (c->members.count)
        return;
    strmap_del(&r->channels, slice_of(c->name, c->name_len));
    channel_free(c);
}

static node_entry *node_for(roster *r, uint64_t node)
{
    node_entry *n = map64_get(&r->nodes, node);

    if (n)
        return n;
    n = calloc(1, sizeof *n);
    if (n && !map64_put(&r->nodes, node, n)) {
        free(n);
        n = NULL;
    }
    return n;
}

static void drop_empty_node(roster *r, uint64_t node)
{
    node_entry *n = map64_get(&r->nodes, node);

    if (n && !n->members)
        free(map64_del(&r->nodes, node));
}

/* One more of the node on the channel. */
static bool count_up(channel *c, node_entry *n, uint64_t node)
{
    presence_count *p = map64_get(&c->nodes, node);

    if (!p) {
        p = calloc(1, sizeof *p);
        if (!p || !map64_put(&c->nodes, node, p)) {
            free(p);
            return false;
        }
        n->channels++;
    }
    p->count++;
    return true;
}

static void count_down(channel *c, node_entry *n, uint64_t node)
{
    presence_count *p = map64_get(&c->nodes, node);

    if (--p->count == 0) {
        free(map64_del(&c->nodes, node));
        n->channels--;
    }
}

/* ---- Members --------------------------------------------------------------------------------- */

static bool keep_chain(member *m, slice chain, uint64_t until_s)
{
    uint8_t *copy = NULL;

    if (chain.len) {
        copy = malloc(chain.len);
        if (!copy)
            return false;
        memcpy(copy, chain.ptr, chain.len);
    }
    free(m->chain);
    m->chain = copy;
    m->seen.chain = slice_of(copy, chain.len);
    m->seen.until_s = until_s;
    return true;
}

static void detach(roster *r, member *m)
{
    channel *c = m->on;
    group *g = m->in;
    uint64_t node = m->seen.node;

    strmap_del(&c->members, slice_of(m->key, KEY_SIZE));
    group_leave(m);
    drop_empty_group(c, g);
    count_down(c, m->of, node);
    drop_empty_channel(r, c);
    if (m->previous)
        m->previous->next = m->next;
    else
        m->of->first = m->next;
    if (m->next)
        m->next->previous = m->previous;
    m->of->members--;
    r->count--;
    drop_empty_node(r, node);
    free(m->chain);
    free(m);
}

static berth_status within_limits(const roster *r, uint64_t node, slice name, berth_error *error)
{
    if (r->count >= r->limits.members)
        return fail(error, BERTH_ERR_LIMIT, "subscription: there are %zu already", r->count);
    if (roster_node_members(r, node) >= r->limits.members_per_node)
        return fail(error, BERTH_ERR_LIMIT, "subscription: node %016llx has %zu already",
                    (unsigned long long)node, r->limits.members_per_node);
    if (!roster_may_add_channel(r, node, name))
        return fail(error, BERTH_ERR_LIMIT, "subscription: node %016llx is on %zu channels already",
                    (unsigned long long)node, r->limits.channels_per_node);
    return BERTH_OK;
}

static berth_status add_new(roster *r, channel *c, group *g, uint64_t node,
                            const uint8_t *subscriber, slice chain, uint64_t until_s)
{
    node_entry *n = node_for(r, node);
    member *m = calloc(1, sizeof *m);

    if (!m || !n || !keep_chain(m, chain, until_s))
        goto no_memory;
    make_key(m->key, node, subscriber);
    m->seen.node = node;
    m->seen.origin = berth_entity_origin(subscriber);
    memcpy(m->seen.subscriber, subscriber, BERTH_ENTITY_SIZE);
    m->seen.channel = slice_of(c->name, c->name_len);
    m->on = c;
    m->of = n;
    if (!strmap_put(&c->members, slice_of(m->key, KEY_SIZE), m))
        goto no_memory;
    if (!count_up(c, n, node)) {
        strmap_del(&c->members, slice_of(m->key, KEY_SIZE));
        goto no_memory;
    }
    group_join(g, m);
    m->next = n->first;
    if (n->first)
        n->first->previous = m;
    n->first = m;
    n->members++;
    r->count++;
    return BERTH_OK;
no_memory:
    if (m)
        free(m->chain);
    free(m);
    return BERTH_ERR_NO_MEMORY;
}

static void move(member *m, group *to)
{
    group *from = m->in;

    group_leave(m);
    drop_empty_group(m->on, from);
    group_join(to, m);
}

berth_status roster_add(roster *r, uint64_t node, const uint8_t subscriber[BERTH_ENTITY_SIZE],
                        slice name, slice group_name, slice chain, uint64_t until_s, bool *changed,
                        berth_error *error)
{
    member *m = find(r, node, subscriber, name);
    berth_status status = m ? BERTH_OK : within_limits(r, node, name, error);
    channel *c;
    group *g = NULL;

    *changed = false;
    if (status)
        return status;
    if (m && slice_eq(m->seen.group, group_name))
        return keep_chain(m, chain, until_s)
                   ? BERTH_OK
                   : fail(error, BERTH_ERR_NO_MEMORY, "subscription: out of memory");
    c = channel_for(r, name);
    if (!c)
        return fail(error, BERTH_ERR_NO_MEMORY, "subscription: out of memory");
    status = group_for(r, c, group_name, &g, error);
    if (!status && m) {
        if (keep_chain(m, chain, until_s))
            move(m, g);
        else
            status = fail(error, BERTH_ERR_NO_MEMORY, "subscription: out of memory");
    } else if (!status) {
        status = add_new(r, c, g, node, subscriber, chain, until_s);
        if (status)
            fail(error, status, "subscription: out of memory");
    }
    *changed = !status;
    if (status) {
        if (strmap_get(&r->channels, name) && c->groups && !c->groups->count)
            drop_empty_group(c, c->groups);
        drop_empty_channel(r, c);
        drop_empty_node(r, node);
    }
    return status;
}

bool roster_remove(roster *r, uint64_t node, const uint8_t subscriber[BERTH_ENTITY_SIZE],
                   slice name)
{
    member *m = find(r, node, subscriber, name);

    if (m)
        detach(r, m);
    return m != NULL;
}

size_t roster_remove_node(roster *r, uint64_t node)
{
    node_entry *n = map64_get(&r->nodes, node);
    size_t count = n ? n->members : 0;

    for (size_t left = count; left; left--) /* the last one takes n with it */
        detach(r, n->first);
    return count;
}

void roster_free(roster *r)
{
    size_t at;
    uint64_t node;
    void *value;

    if (!r)
        return;
    while (at = 0, map64_next(&r->nodes, &at, &node, &value))
        roster_remove_node(r, node);
    map64_fini(&r->nodes);
    strmap_fini(&r->channels);
    free(r);
}

/* ---- Questions ------------------------------------------------------------------------------- */

const roster_member *roster_find(const roster *r, uint64_t node,
                                 const uint8_t subscriber[BERTH_ENTITY_SIZE], slice name)
{
    const member *m = find(r, node, subscriber, name);

    return m ? &m->seen : NULL;
}

size_t roster_count(const roster *r)
{
    return r->count;
}

size_t roster_channel_count(const roster *r)
{
    return r->channels.count;
}

size_t roster_members(const roster *r, slice name)
{
    const channel *c = strmap_get(&r->channels, name);

    return c ? c->members.count : 0;
}

size_t roster_nodes(const roster *r, slice name)
{
    const channel *c = strmap_get(&r->channels, name);

    return c ? c->nodes.count : 0;
}

size_t roster_node_channels(const roster *r, uint64_t node)
{
    const node_entry *n = map64_get(&r->nodes, node);

    return n ? n->channels : 0;
}

size_t roster_node_members(const roster *r, uint64_t node)
{
    const node_entry *n = map64_get(&r->nodes, node);

    return n ? n->members : 0;
}

size_t roster_node_on(const roster *r, uint64_t node, slice name)
{
    const channel *c = strmap_get(&r->channels, name);
    const presence_count *p = c ? map64_get(&c->nodes, node) : NULL;

    return p ? p->count : 0;
}

bool roster_may_add_channel(const roster *r, uint64_t node, slice name)
{
    return roster_node_on(r, node, name) ||
           roster_node_channels(r, node) < r->limits.channels_per_node;
}

bool roster_next_channel(const roster *r, size_t *at, slice *name)
{
    void *value;

    return strmap_next(&r->channels, at, name, &value);
}

/* ---- Picking --------------------------------------------------------------------------------- */

void roster_picks_fini(roster_picks *p)
{
    free(p->items);
    *p = (roster_picks){0};
}

/* Room for n, and none picked yet. */
static berth_status picks_begin(roster_picks *p, size_t n)
{
    const roster_member **more;

    p->count = 0;
    if (n <= p->cap)
        return BERTH_OK;
    more = realloc(p->items, n * sizeof *more);
    if (!more)
        return BERTH_ERR_NO_MEMORY;
    p->items = more;
    p->cap = n;
    return BERTH_OK;
}

static void pick_in_turn(group *g, bool (*admit)(void *, const roster_member *), void *ctx,
                         roster_picks *out)
{
    for (size_t i = 0; i < g->count; i++) {
        const member *m = g->members[(g->turn + i) % g->count];

        if (admit && !admit(ctx, &m->seen))
            continue;
        g->turn = (g->turn + i + 1) % g->count;
        out->items[out->count++] = &m->seen;
        return;
    }
}

berth_status roster_pick(roster *r, slice name,
                         bool (*admit)(void *ctx, const roster_member *member), void *ctx,
                         roster_picks *out)
{
    channel *c = strmap_get(&r->channels, name);
    berth_status status = picks_begin(out, c ? c->broadcast->count + c->group_count : 0);

    if (!c || status)
        return status;
    for (size_t i = 0; i < c->broadcast->count; i++) {
        const member *m = c->broadcast->members[i];

        if (!admit || admit(ctx, &m->seen))
            out->items[out->count++] = &m->seen;
    }
    for (group *g = c->groups; g; g = g->next)
        pick_in_turn(g, admit, ctx, out);
    return BERTH_OK;
}

void roster_unpick(roster *r, const roster_picks *picks)
{
    (void)r;
    for (size_t i = 0; i < picks->count; i++) {
        const member *m = (const member *)picks->items[i]; /* seen is its first */

        m->in->turn = m->at;
    }
}

static void pick_node(const node_entry *n, roster_picks *out)
{
    for (const member *m = n->first; m; m = m->next)
        out->items[out->count++] = &m->seen;
}

berth_status roster_all(const roster *r, roster_picks *out)
{
    berth_status status = picks_begin(out, r->count);
    size_t at = 0;
    uint64_t node;
    void *value;

    while (!status && map64_next(&r->nodes, &at, &node, &value))
        pick_node(value, out);
    return status;
}

berth_status roster_of_node(const roster *r, uint64_t node, roster_picks *out)
{
    const node_entry *n = map64_get(&r->nodes, node);
    berth_status status = picks_begin(out, n ? n->members : 0);

    if (n && !status)
        pick_node(n, out);
    return status;
}
