/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/announcements_parts.h"

#include "base/error.h"
#include "base/random.h"

#include <stdlib.h>
#include <string.h>

static size_t or_default(size_t value, size_t otherwise)
{
    return value ? value : otherwise;
}

announcements *announcements_new(const announcements_config *config,
                                 const announcements_events *events, void *ctx)
{
    announcements *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->config = *config;
    t->config.max_nodes = or_default(config->max_nodes, 16384);
    t->config.max_bytes = or_default(config->max_bytes, (size_t)64 << 20);
    t->config.max_remembered = or_default(config->max_remembered, 65536);
    t->config.max_peers = or_default(config->max_peers, 4096);
    t->config.max_ttl_s = config->max_ttl_s ? config->max_ttl_s : 3600;
    t->config.skew_s = config->skew_s ? config->skew_s : 300;
    t->index.max = or_default(config->max_tags, (size_t)1 << 20);
    t->config.compare_ns = config->compare_ns ? config->compare_ns : 5000000000;
    t->chance = config->seed ? config->seed : random_u64();
    t->now_ns = INT64_MIN;
    t->listed_ns = INT64_MIN / 2;
    t->events = *events;
    t->ctx = ctx;
    return t;
}

/* ---- records ---- */

static void append(known_list *list, known *k)
{
    k->prev = list->last;
    k->next = NULL;
    *(list->last ? &list->last->next : &list->first) = k;
    list->last = k;
    list->count++;
}

static void unlink_from(known_list *list, known *k)
{
    *(k->prev ? &k->prev->next : &list->first) = k->next;
    *(k->next ? &k->next->prev : &list->last) = k->prev;
    list->count--;
}

static void clear(announcements *t, known *k)
{
    if (k->message)
        t->bytes -= k->message->len;
    buf_unref(k->message);
    k->message = NULL;
    capabilities_fini(&k->set);
}

void announcements_free(announcements *t)
{
    void *value;
    uint64_t id;

    if (!t)
        return;
    for (size_t at = 0; map64_next(&t->nodes, &at, &id, &value);) {
        clear(t, value);
        free(value);
    }
    for (size_t at = 0; map64_next(&t->peers, &at, &id, &value);)
        free(value);
    map64_fini(&t->nodes);
    map64_fini(&t->peers);
    free(t->listeners);
    heap_fini(&t->expiry);
    capability_index_fini(&t->index);
    free(t);
}

static void discard(announcements *t, known *k)
{
    unlink_from(&t->gone, k);
    map64_del(&t->nodes, k->node_id);
    free(k);
}

void known_trim(announcements *t)
{
    while (t->gone.count > t->config.max_remembered) {
        discard(t, t->gone.first);
        t->counters.memory_lost++;
    }
}

known *known_at(announcements *t, uint64_t node)
{
    known *k = map64_get(&t->nodes, node);

    if (k)
        return k;
    k = calloc(1, sizeof *k);
    if (!k || !map64_put(&t->nodes, node, k)) {
        free(k);
        return NULL;
    }
    k->node_id = node;
    k->credit_ns = INT64_MIN;
    append(&t->gone, k);
    return k;
}

void known_drop_empty(announcements *t, known *k)
{
    if (k->live || k->seen[0] || k->seen[1])
        return;
    discard(t, k);
}

void known_retire(announcements *t, known *k)
{
    capability_index_remove(&t->index, k->node_id, &k->set);
    sums_remove(&t->sums, k->node_id, k->version);
    heap_remove(&t->expiry, &k->expiry);
    unlink_from(&t->live, k);
    clear(t, k);
    k->live = false;
    append(&t->gone, k);
}

static void tell_forgotten(announcements *t, uint64_t node)
{
    if (t->events.forgotten)
        t->events.forgotten(t->ctx, node);
}

bool known_room(announcements *t, const known *k, size_t bytes, size_t tags, bool direct)
{
    /* what this node has now makes way for itself */
    size_t own_bytes = k->live ? k->message->len : 0, own_tags = k->live ? k->set.tag_count : 0;
    known *victim, *next;

    for (victim = t->live.first;; victim = next) {
        if ((k->live || t->live.count < t->config.max_nodes) &&
            t->bytes - own_bytes + bytes <= t->config.max_bytes &&
            t->index.entries - own_tags + tags <= t->index.max)
            return true;
        if (!direct)
            return false;
        while (victim && (victim->own || !victim->hops || victim == k))
            victim = victim->next;
        if (!victim)
            return false;
        next = victim->next;
        t->counters.displaced++;
        known_retire(t, victim);
        tell_forgotten(t, victim->node_id);
    }
}

/* It says what it said: the index stays as it is. */
static void refresh(announcements *t, known *k, uint64_t version, capabilities *set, buf *message,
                    int64_t expires_ns)
{
    heap_remove(&t->expiry, &k->expiry);
    k->expiry.due_ns = expires_ns;
    heap_push(&t->expiry, &k->expiry); /* the place that it just had */
    sums_remove(&t->sums, k->node_id, k->version);
    unlink_from(&t->live, k);
    append(&t->live, k);
    t->bytes = t->bytes - k->message->len + message->len;
    buf_unref(k->message);
    capabilities_fini(set);
    k->message = message;
    k->version = version;
    sums_add(&t->sums, k->node_id, k->version);
    k->stamp = ++t->stamp;
}

berth_status known_install(announcements *t, known *k, uint64_t version, capabilities *set,
                           buf *message, int64_t expires_ns, bool tell, berth_error *error)
{
    bool was_live = k->live;
    berth_status status;

    if (was_live && capabilities_equal(&k->set, set)) {
        refresh(t, k, version, set, message, expires_ns);
        return BERTH_OK;
    }
    if (was_live)
        known_retire(t, k);
    status = capability_index_add(&t->index, k->node_id, set, error);
    k->expiry = (heap_node){.due_ns = expires_ns};
    if (!status && !heap_push(&t->expiry, &k->expiry)) {
        capability_index_remove(&t->index, k->node_id, set);
        status = fail(error, BERTH_ERR_NO_MEMORY, "announcements: out of memory");
    }
    if (status) {
        capabilities_fini(set);
        buf_unref(message);
        if (was_live)
            tell_forgotten(t, k->node_id);
        return status;
    }
    unlink_from(&t->gone, k);
    append(&t->live, k);
    k->live = true;
    k->version = version;
    k->stamp = ++t->stamp;
    k->set = *set;
    k->message = message;
    *set = (capabilities){0};
    t->bytes += message->len;
    sums_add(&t->sums, k->node_id, k->version);
    if (tell && t->events.learned)
        t->events.learned(t->ctx, k->node_id, &k->set);
    return BERTH_OK;
}

/* ---- passing on ---- */

/* The first change that the peer does not have. */
static known *first_new(const announcements *t, const listener *p)
{
    known *k = t->live.last;

    if (!k || k->stamp <= p->cursor)
        return NULL;
    while (k->prev && k->prev->stamp > p->cursor)
        k = k->prev;
    return k;
}

/* Not to the node itself, nor to whom it came from, nor beyond the last hop. */
bool known_is_for(const known *k, const listener *p)
{
    return k->node_id != p->node_id && k->sender != p->node_id && k->via != p->node_id &&
           (k->own || k->hops + 1 < ANNOUNCEMENT_HOPS);
}

/* Our own goes to all; another's to a few that are drawn for it. The draw is a function of both, so
 * nothing has to be remembered of it. */
static bool is_drawn(const announcements *t, const known *k, const listener *p)
{
    uint64_t z;

    if (k->own || t->peers.count <= FEW || k->stamp <= p->since)
        return true;
    if (k->asked)
        return false;
    z = (p->node_id ^ k->node_id ^ t->config.node_id ^ k->version << 32) * 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    return (z ^ z >> 31) % t->peers.count < FANOUT;
}

bool listener_send(announcements *t, listener *p, const known *k)
{
    berth_status status = t->events.send(t->ctx, p->node_id, k->message);

    if (status == BERTH_ERR_WOULD_BLOCK) {
        p->blocked = true;
        t->counters.held_back++;
        return false;
    }
    if (status)
        t->counters.not_sent++;
    else
        t->counters.passed_on++;
    return true;
}

void listener_pump(announcements *t, listener *p)
{
    for (known *k = p->blocked ? NULL : first_new(t, p); k; k = k->next) {
        if (known_is_for(k, p) && is_drawn(t, k, p) && !listener_send(t, p, k))
            return;
        p->cursor = k->stamp;
    }
}

void announcements_pump(announcements *t)
{
    for (size_t i = 0; i < t->peers.count; i++)
        listener_pump(t, t->listeners[i]);
}

static listener *listener_new(announcements *t, uint64_t peer)
{
    listener *p = NULL;

    if (t->peers.count == t->listeners_cap) {
        size_t cap = t->listeners_cap ? 2 * t->listeners_cap : 16;
        listener **more = realloc(t->listeners, cap * sizeof(*more));

        if (!more)
            return NULL;
        t->listeners = more;
        t->listeners_cap = cap;
    }
    p = calloc(1, sizeof *p);
    if (!p || !map64_put(&t->peers, peer, p)) {
        free(p);
        return NULL;
    }
    p->place = t->peers.count - 1;
    t->listeners[p->place] = p;
    return p;
}

berth_status announcements_peer_up(announcements *t, uint64_t peer,
                                   const uint8_t entity[BERTH_ENTITY_SIZE], berth_error *error)
{
    listener *p = map64_get(&t->peers, peer);

    if (!p) {
        if (t->peers.count >= t->config.max_peers)
            return fail(error, BERTH_ERR_LIMIT, "announcements: more than %zu peers",
                        t->config.max_peers);
        p = listener_new(t, peer);
        if (!p)
            return fail(error, BERTH_ERR_NO_MEMORY, "announcements: out of memory");
    }
    listener_compare_never(t, p);
    *p = (listener){.node_id = peer, .place = p->place, .since = t->stamp, .asked_ns = INT64_MIN};
    memcpy(p->entity, entity, sizeof p->entity);
    if (t->live.count <= AT_ONCE) {
        listener_pump(t, p);
    } else {
        p->cursor = t->stamp;
        listener_compare_soon(t, p);
    }
    return BERTH_OK;
}

void announcements_peer_down(announcements *t, uint64_t peer)
{
    listener *p = map64_del(&t->peers, peer);

    if (!p)
        return;
    listener_compare_never(t, p);
    t->listeners[p->place] = t->listeners[t->peers.count];
    t->listeners[p->place]->place = p->place;
    free(p);
    /* should it come back without its memory, it is told what it once told us */
    for (known *k = t->live.first; k; k = k->next) {
        if (k->sender == peer)
            k->sender = 0;
        if (k->via == peer)
            k->via = 0;
    }
}

void announcements_room(announcements *t, uint64_t peer)
{
    listener *p = map64_get(&t->peers, peer);

    if (!p)
        return;
    p->blocked = false;
    listener_pump(t, p);
}

/* ---- time ---- */

void announcements_forget(announcements *t, uint64_t node)
{
    known *k = map64_get(&t->nodes, node);

    if (!k || !k->live || k->own)
        return;
    known_retire(t, k);
    known_trim(t);
    tell_forgotten(t, node);
}

int64_t announcements_deadline(const announcements *t)
{
    int64_t due = heap_next(&t->expiry), compare = announcements_compare_deadline(t);

    return compare < due ? compare : due;
}

void announcements_expire(announcements *t, int64_t now_ns)
{
    heap_node *due;

    announcements_advance(t, now_ns);
    while ((due = heap_pop_due(&t->expiry, now_ns))) {
        known *k = (known *)(void *)due;

        known_retire(t, k);
        t->counters.expired++;
        tell_forgotten(t, k->node_id);
    }
    known_trim(t);
    announcements_compare_tick(t);
}

/* ---- looking ---- */

static const known *find_live(const announcements *t, uint64_t node, int64_t now_ns)
{
    const known *k = map64_get(&t->nodes, node);

    return k && k->live && k->expiry.due_ns > now_ns ? k : NULL;
}

const capabilities *announcements_get(const announcements *t, uint64_t node, int64_t now_ns)
{
    const known *k = find_live(t, node, now_ns);

    return k ? &k->set : NULL;
}

uint64_t announcements_version(const announcements *t, uint64_t node)
{
    const known *k = map64_get(&t->nodes, node);

    return k ? k->version : 0;
}

static bool matches(const announcements *t, const known *k, const capability_filter *filter,
                    const capability_scope *scope)
{
    subnet_relation relation = SUBNET_UNKNOWN;

    if (!filter_matches(filter, &k->set))
        return false;
    if (!scope)
        return true;
    if (k->own)
        relation = SUBNET_SAME;
    else if (t->events.subnet)
        relation = t->events.subnet(t->ctx, k->node_id);
    return scope_admits(scope, &k->set, relation, t->config.subnet_policy);
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

berth_status announcements_find(const announcements *t, const capability_filter *filter,
                                const capability_scope *scope, int64_t now_ns, uint64_t **nodes,
                                size_t *count, berth_error *error)
{
    const uint64_t *few = NULL;
    size_t n = t->live.count, found;

    *nodes = NULL;
    *count = 0;
    /* the rarest of the tags says where to look */
    for (size_t i = 0; i < filter->tag_count; i++) {
        const uint64_t *ids = capability_index_nodes(&t->index, filter->tags[i], &found);

        if (!found)
            return BERTH_OK;
        if (!few || found < n) {
            few = ids;
            n = found;
        }
    }
    if (!n)
        return BERTH_OK;
    *nodes = malloc(n * sizeof **nodes);
    if (!*nodes)
        return fail(error, BERTH_ERR_NO_MEMORY, "announcements: out of memory");
    if (few) {
        for (size_t i = 0; i < n; i++) {
            const known *k = find_live(t, few[i], now_ns);

            if (k && matches(t, k, filter, scope))
                (*nodes)[(*count)++] = k->node_id;
        }
    } else {
        for (const known *k = t->live.first; k; k = k->next)
            if (k->expiry.due_ns > now_ns && matches(t, k, filter, scope))
                (*nodes)[(*count)++] = k->node_id;
        qsort(*nodes, *count, sizeof **nodes, compare_ids);
    }
    return BERTH_OK;
}

void announcements_get_counters(const announcements *t, announcements_counters *out)
{
    *out = t->counters;
}

announcements_size announcements_get_size(const announcements *t)
{
    return (announcements_size){t->live.count, t->gone.count, t->bytes, t->index.entries,
                                t->peers.count};
}
