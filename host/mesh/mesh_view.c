/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at the mesh from other threads. */
#include "mesh/mesh_private.h"

#include "base/error.h"
#include "base/text.h"

#include <stdlib.h>
#include <strings.h>

/* ---- Peers ----------------------------------------------------------------------------------- */

static void view_of(mesh *m, const peer_view *v, mesh_peer_view *out)
{
    *out =
        (mesh_peer_view){.node = v->node,
                         .configured = v->configured,
                         .left = v->left,
                         .health = v->health,
                         .up = v->session != NULL,
                         .dialling = v->dialling,
                         .rtt_ns = v->rtt_ns,
                         .failures = v->failures,
                         .dial_in_ns = v->dial_at_ns == NEVER ? NEVER : v->dial_at_ns - m->now_ns};
    memcpy(out->entity, v->entity, sizeof out->entity);
    memcpy(out->key, v->static_key, sizeof out->key);
    snprintf(out->name, sizeof out->name, "%s",
             v->name[0]  ? v->name
             : v->record ? v->record->name
                         : "");
    if (v->session) {
        session_get_info(v->session, &out->session);
        out->dialled = session_dialled(v->session);
        out->may = trust_grants(m->trust, session_peer(v->session), mesh_wall_s(m));
    }
    for (unsigned i = 0; v->record && i < v->record->address_count; i++)
        out->addresses[out->address_count++] = v->record->addresses[i];
    for (size_t i = 0; i < m->peer_count && !out->address_count; i++)
        if (m->peer_list[i].peer.has_key &&
            memcmp(m->peer_list[i].peer.key, v->static_key, 32) == 0) {
            memcpy(out->addresses, m->peer_list[i].peer.addresses, sizeof out->addresses);
            out->address_count = m->peer_list[i].peer.address_count;
        }
    if (v->node)
        out->capabilities = announcements_get(m->announcements, v->node, m->now_ns);
}

typedef struct looking {
    mesh *m;
    mesh_peer_view *list;
    size_t count, cap;
} looking;

static void look(void *ctx, const peer_view *v)
{
    looking *l = ctx;

    if (l->count < l->cap)
        view_of(l->m, v, &l->list[l->count++]);
}

static int by_name(const void *a, const void *b)
{
    const mesh_peer_view *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order ? order : (x->node > y->node) - (x->node < y->node);
}

static void look_at_all(mesh *m, looking *l)
{
    *l = (looking){.m = m, .cap = m->peers ? peers_count(m->peers) : 0};
    l->list = calloc(l->cap + 1, sizeof *l->list);
    if (!l->list || m->stage == STAGE_ENDED || !m->peers)
        return;
    m->now_ns = clock_mono_ns();
    peers_each(m->peers, look, l);
    qsort(l->list, l->count, sizeof *l->list, by_name);
}

typedef struct each_call {
    void (*fn)(void *ctx, const mesh_peer_view *view);
    void *ctx;
} each_call;

static void each(mesh *m, void *ctx)
{
    each_call *c = ctx;
    looking l;

    look_at_all(m, &l);
    for (size_t i = 0; i < l.count; i++)
        c->fn(c->ctx, &l.list[i]);
    free(l.list);
}

void mesh_peers_each(mesh *m, void (*fn)(void *ctx, const mesh_peer_view *view), void *ctx)
{
    each_call c = {fn, ctx};

    mesh_ask(m, each, &c);
}

typedef struct find_call {
    const char *text;
    mesh_peer_view *out;
    berth_status status;
    berth_error *error;
} find_call;

static void find(mesh *m, void *ctx)
{
    find_call *c = ctx;
    size_t len = strlen(c->text), found = 0;
    bool exact = false;
    looking l;

    look_at_all(m, &l);
    for (size_t i = 0; i < l.count && !exact; i++) {
        char id[ID_TEXT];

        id_encode(id, l.list[i].node);
        exact = strcmp(l.list[i].name, c->text) == 0 || strcasecmp(id, c->text) == 0;
        if (exact || strncmp(l.list[i].name, c->text, len) == 0 ||
            strncasecmp(id, c->text, len) == 0) {
            *c->out = l.list[i];
            c->out->capabilities = NULL;
            found++;
        }
    }
    free(l.list);
    if (exact || found == 1)
        c->status = BERTH_OK;
    else if (!found)
        c->status = fail(c->error, BERTH_ERR_NOT_FOUND,
                         "there is no peer '%s': `berth peer ls` lists them", c->text);
    else
        c->status = fail(c->error, BERTH_ERR_AMBIGUOUS,
                         "'%s' could be any of %zu peers: give more of it", c->text, found);
}

berth_status mesh_peer_find(mesh *m, const char *text, mesh_peer_view *out, berth_error *error)
{
    berth_error unread = {0};
    find_call c = {.text = text, .out = out, .error = error ? error : &unread};

    mesh_ask(m, find, &c);
    return c.status;
}

/* ---- Pings ----------------------------------------------------------------------------------- */

typedef struct ping_task {
    mesh_task task;
    ping *ping;
    int64_t timeout_ns;
} ping_task;

static void begin_ping(mesh *m, mesh_task *t, bool closed)
{
    ping *p = ((ping_task *)t)->ping;
    berth_status status = closed || m->stage != STAGE_RUNNING ? BERTH_ERR_NOT_READY : BERTH_OK;
    peer_view v;

    if (status == BERTH_OK && !peers_find(m->peers, p->node, &v))
        status = BERTH_ERR_NOT_FOUND;
    if (status == BERTH_OK && peers_ping(m->peers, p->node, m->now_ns) != BERTH_OK)
        status = BERTH_ERR_NOT_READY;
    if (status != BERTH_OK) {
        p->answer(p->ctx, status, 0);
        free(p);
    } else {
        p->until_ns = m->now_ns + ((ping_task *)t)->timeout_ns;
        p->next = m->pings;
        m->pings = p;
        mesh_sweep_in(m, SWEEP_NS);
    }
    free(t);
}

void mesh_ping(mesh *m, uint64_t node, int64_t timeout_ns,
               void (*answer)(void *ctx, berth_status status, int64_t rtt_ns), void *ctx)
{
    ping_task *t = calloc(1, sizeof *t);
    ping *p = calloc(1, sizeof *p);

    if (!t || !p) {
        free(t);
        free(p);
        answer(ctx, BERTH_ERR_NO_MEMORY, 0);
        return;
    }
    *p = (ping){.node = node, .answer = answer, .ctx = ctx};
    *t = (ping_task){.task = {.run = begin_ping}, .ping = p, .timeout_ns = timeout_ns};
    mesh_post(m, &t->task);
}

berth_status mesh_watch(mesh *m, peer_subscriber *call, void *ctx)
{
    if (m->watcher_count == sizeof m->watchers / sizeof *m->watchers)
        return BERTH_ERR_LIMIT;
    m->watchers[m->watcher_count].call = call;
    m->watchers[m->watcher_count++].ctx = ctx;
    return BERTH_OK;
}

/* ---- This node, its counters, places --------------------------------------------------------- */

static void get_self(mesh *m, void *ctx)
{
    mesh_self *out = ctx;

    *out = (mesh_self){.node = m->key.node_id};
    snprintf(out->name, sizeof out->name, "%s", m->name);
    memcpy(out->entity, m->key.entity, sizeof out->entity);
    memcpy(out->key, m->static_public, sizeof out->key);
    for (unsigned i = 0; i < m->socket_count; i++) {
        out->listening[out->listening_count++] = *udp_address(m->sockets[i].udp);
        out->udp |= udp_features(m->sockets[i].udp);
    }
}

void mesh_get_self(mesh *m, mesh_self *out)
{
    mesh_ask(m, get_self, out);
}

static void add_udp(udp_counters *sum, const udp_counters *c)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)c;

    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
        to[i] += from[i];
}

static void count_links(mesh *m, mesh_counters *out)
{
    for (size_t i = 0; i <= m->link_count; i++) {
        route_link *l = i < m->link_count ? m->all_links[i] : m->node_link;
        flow_out_stats s;

        pthread_mutex_lock(&l->lock);
        link_stats(l, &s);
        pthread_mutex_unlock(&l->lock);
        out->outbox_events += s.events;
        out->outbox_bytes += s.bytes;
        out->flows.sent += s.sent;
        out->flows.resent += s.resent;
        out->flows.acknowledged += s.acknowledged;
    }
}

static void get_counters(mesh *m, void *ctx)
{
    mesh_counters *out = ctx;

    *out = (mesh_counters){.flows = m->flows,
                           .unknown_messages = m->unknown_messages,
                           .relay = m->relay,
                           .turns = m->turns};
    out->revocations_told = m->revocations_told;
    out->revocations_taken = m->revocations_taken;
    out->revocations_old = m->revocations_old;
    out->revocations_refused = m->revocations_refused;
    memcpy(out->trust, m->trust_counts, sizeof out->trust);
    out->flows.published = atomic_load(&m->published);
    out->flows.refused_publish = atomic_load(&m->refused_publish);
    if (m->endpoint)
        endpoint_get_counters(m->endpoint, &out->endpoint);
    for (unsigned i = 0; i < m->socket_count; i++) {
        udp_counters c;

        udp_get_counters(m->sockets[i].udp, &c);
        add_udp(&out->udp, &c);
    }
    if (m->peers) {
        peers_get_counters(m->peers, &out->peers);
        out->peers_known = peers_count(m->peers);
        out->peers_live = peers_live(m->peers);
    }
    announcements_get_counters(m->announcements, &out->announcements);
    out->announced = announcements_get_size(m->announcements);
    pthread_mutex_lock(&m->places_lock);
    directory_get_stats(m->directory, &out->directory);
    pthread_mutex_unlock(&m->places_lock);
    pthread_mutex_lock(&m->channels_lock);
    membership_get_counters(m->membership, &out->membership);
    out->members = roster_count(membership_roster(m->membership));
    pthread_mutex_unlock(&m->channels_lock);
    call_client_get_stats(m->call_client, &out->asked);
    call_server_get_stats(m->call_server, &out->served);
    subscriptions_get_counters(m->subscriptions, &out->subscriptions);
    out->subscriptions_wanted = subscriptions_count(m->subscriptions);
    count_links(m, out);
}

void mesh_get_counters(mesh *m, mesh_counters *out)
{
    mesh_ask(m, get_counters, out);
}

typedef struct where_call {
    uint64_t origin;
    directory_place *out;
} where_call;

static void look_where(mesh *m, void *ctx)
{
    where_call *c = ctx;

    if (m->stage == STAGE_RUNNING) {
        places_own(m, c->origin, 0);
        places_find(m, c->origin, c->out);
    }
    pthread_mutex_lock(&m->places_lock);
    directory_look(m->directory, c->origin, c->out);
    pthread_mutex_unlock(&m->places_lock);
}

void mesh_where(mesh *m, uint64_t origin, directory_place *out)
{
    where_call c = {origin, out};

    mesh_ask(m, look_where, &c);
}

typedef struct nodes_call {
    const capability_filter *filter;
    uint64_t **nodes;
    size_t *count;
    berth_status status;
    berth_error *error;
} nodes_call;

static void find_nodes(mesh *m, void *ctx)
{
    nodes_call *c = ctx;

    c->status = announcements_find(m->announcements, c->filter, NULL, clock_mono_ns(), c->nodes,
                                   c->count, c->error);
}

berth_status mesh_find_nodes(mesh *m, const capability_filter *filter, uint64_t **nodes,
                             size_t *count, berth_error *error)
{
    berth_error unread = {0};
    nodes_call c = {filter, nodes, count, BERTH_OK, error ? error : &unread};

    mesh_ask(m, find_nodes, &c);
    return c.status;
}

/* ---- Services -------------------------------------------------------------------------------- */

typedef struct services_call {
    void (*fn)(void *ctx, const mesh_service_view *view);
    void *ctx;
    mesh_service_view *list;
    size_t count, cap;
} services_call;

static void add_service(services_call *c, slice name, uint64_t node, uint64_t origin)
{
    if (c->count == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 64;
        mesh_service_view *more = realloc(c->list, cap * sizeof *more);

        if (!more)
            return;
        c->list = more;
        c->cap = cap;
    }
    c->list[c->count++] = (mesh_service_view){name, node, origin};
}

static int by_service(const void *a, const void *b)
{
    const mesh_service_view *x = a, *y = b;
    size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
    int order = memcmp(x->name.ptr, y->name.ptr, n);

    if (!order)
        order = (x->name.len > y->name.len) - (x->name.len < y->name.len);
    return order ? order : (x->node > y->node) - (x->node < y->node);
}

static void each_service(mesh *m, void *ctx)
{
    static const char prefix[] = "nrpc:";
    const size_t skip = sizeof prefix - 1;
    services_call *c = ctx;
    const char *names[SERVICES_MAX];
    size_t count = services_names(m->services, names, SERVICES_MAX);
    uint64_t origin;
    looking l;

    look_at_all(m, &l);
    for (size_t i = 0; i < l.count; i++)
        for (size_t t = 0; l.list[i].capabilities && t < l.list[i].capabilities->tag_count; t++) {
            slice tag = l.list[i].capabilities->tags[t];

            if (tag.len > skip && memcmp(tag.ptr, prefix, skip) == 0)
                add_service(c, slice_of(tag.ptr + skip, tag.len - skip), l.list[i].node, 0);
        }
    for (size_t i = 0; i < count && i < SERVICES_MAX; i++)
        if (services_find(m->services, slice_str(names[i]), &origin))
            add_service(c, slice_str(names[i]), m->key.node_id, origin);
    if (c->count)
        qsort(c->list, c->count, sizeof *c->list, by_service);
    for (size_t i = 0; i < c->count; i++)
        c->fn(c->ctx, &c->list[i]);
    free(c->list);
    free(l.list);
}

void mesh_services_each(mesh *m, void (*fn)(void *ctx, const mesh_service_view *view), void *ctx)
{
    services_call c = {.fn = fn, .ctx = ctx};

    mesh_ask(m, each_service, &c);
}

/* ---- Channels -------------------------------------------------------------------------------- */

typedef struct channel_list {
    strmap names; /* channel_entry */
} channel_list;

typedef struct channel_entry {
    mesh_channel_view view;
    uint8_t name[];
} channel_entry;

static channel_entry *entry_of(channel_list *l, slice name)
{
    channel_entry *e = strmap_get(&l->names, name);

    if (e)
        return e;
    e = calloc(1, sizeof *e + name.len);
    if (!e)
        return NULL;
    memcpy(e->name, name.ptr, name.len);
    e->view.name = slice_of(e->name, name.len);
    if (!strmap_put(&l->names, e->view.name, e)) {
        free(e);
        return NULL;
    }
    return e;
}

typedef struct channels_call {
    void (*fn)(void *ctx, const mesh_channel_view *view);
    void *ctx;
} channels_call;

static void each_channel(mesh *m, void *ctx)
{
    channels_call *c = ctx;
    channel_list list = {0};
    const roster *r = membership_roster(m->membership);
    slice name;
    void *value;

    pthread_mutex_lock(&m->channels_lock);
    for (size_t at = 0; roster_next_channel(r, &at, &name);) {
        channel_entry *e = entry_of(&list, name);

        if (e) {
            e->view.members = roster_members(r, name);
            e->view.nodes = roster_nodes(r, name);
        }
    }
    pthread_mutex_unlock(&m->channels_lock);
    for (size_t at = 0;;) {
        const subscription *s = subscriptions_next(m->subscriptions, &at);
        channel_entry *e = s ? entry_of(&list, s->channel) : NULL;

        if (!s)
            break;
        if (!e)
            continue;
        e->view.wanted++;
        e->view.held += s->state == SUBSCRIPTION_HELD;
        if (s->state == SUBSCRIPTION_REFUSED)
            e->view.reason = s->reason;
    }
    for (size_t at = 0; strmap_next(&list.names, &at, NULL, &value);)
        c->fn(c->ctx, &((channel_entry *)value)->view);
    strmap_fini_values(&list.names);
}

void mesh_channels_each(mesh *m, void (*fn)(void *ctx, const mesh_channel_view *view), void *ctx)
{
    channels_call c = {fn, ctx};

    mesh_ask(m, each_channel, &c);
}
