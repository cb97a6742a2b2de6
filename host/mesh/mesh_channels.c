/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels across nodes: what daemons here want to hear of other nodes, and who on other nodes
 * hears what is published here.
 */
#include "mesh/mesh_private.h"

#include "base/error.h"
#include "base/log.h"
#include "identity/entity.h"

#include <stdlib.h>

/* Between two tries to make a daemon of this node a member of a group. */
#define MEMBER_RETRY_NS (5 * S_NS)
#define MEMBER_PAUSE_NS (600 * S_NS) /* at most */

/* ---- What the machines ask, and say ---------------------------------------------------------- */

static void member_send(void *ctx, uint64_t node, slice msg)
{
    mesh_send(ctx, node, LANE_CONTROL, msg); /* who gets no answer asks again */
}

/* Under channels_lock; any thread. */
static bool member_hosts(void *ctx, uint64_t node, const uint8_t subscriber[BERTH_ENTITY_SIZE])
{
    mesh *m = ctx;
    directory_place place;

    /* Ours are members as long as they run here. */
    if (berth_entity_node_id(subscriber) == node || node == m->key.node_id)
        return true;
    pthread_mutex_lock(&m->places_lock);
    directory_look(m->directory, berth_entity_origin(subscriber), &place);
    pthread_mutex_unlock(&m->places_lock);
    return place.known && !place.conflict && berth_entity_node_id(place.node) == node;
}

bool mesh_channels_offers(void *ctx, const capability_filter *filter)
{
    const mesh *m = ctx;

    return filter_matches(filter, &m->offered);
}

/* Under channels_lock; on the loop, but for this node. */
static bool member_capable(void *ctx, uint64_t node, const capability_filter *filter)
{
    static const capabilities nothing;
    const mesh *m = ctx;
    const capabilities *set;

    if (node == m->key.node_id)
        return mesh_channels_offers(ctx, filter);
    set = announcements_get(m->announcements, node, m->now_ns);
    return filter_matches(filter, set ? set : &nothing);
}

/* The other side has to know whose subscription it is before it comes. */
static bool subscriber_send(void *ctx, uint64_t node, slice msg)
{
    mesh *m = ctx;
    mesh_node *n = mesh_node_of(m, node);
    berth_error error = {0};
    channel_message asked;

    if (!n || !n->up)
        return false;
    if (channel_message_decode(msg, &asked, &error) == BERTH_OK &&
        asked.kind == MESSAGE_CHANNEL_SUBSCRIBE)
        places_hint(m, asked.subscriber, 0, n, LANE_CONTROL);
    return mesh_send(m, node, LANE_CONTROL, msg) == BERTH_OK;
}

static void subscriber_changed(void *ctx, const subscription *s)
{
    char name[CERTIFICATE_NAME_MAX];

    (void)ctx;
    if (s->state != SUBSCRIPTION_REFUSED || s->attempts > 1)
        return;
    snprintf(name, sizeof name, "%.*s", (int)s->channel.len, (const char *)s->channel.ptr);
    log_warn("mesh", "channel '%s' of node %016llx: %s; will ask again", name,
             (unsigned long long)s->publisher, channel_reason_text(s->reason));
}

berth_status mesh_channels_open(mesh *m, berth_error *error)
{
    membership_config members = {.ctx = m,
                                 .send = member_send,
                                 .hosts = member_hosts,
                                 .capable = member_capable,
                                 .skew_s = TRUST_CLOCK_TOLERANCE_S};
    subscriptions_config wanted = {
        .ctx = m, .send = subscriber_send, .changed = subscriber_changed};

    m->rules = channel_rules_new();
    m->revoked = token_revocations_new();
    members.rules = m->rules;
    members.revoked = m->revoked;
    m->membership = m->rules && m->revoked ? membership_new(&members) : NULL;
    m->subscriptions = subscriptions_new(&wanted);
    return m->membership && m->subscriptions ? BERTH_OK
                                             : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

/* Under channels_lock. */
static void count_members(mesh *m)
{
    atomic_store(&m->members, roster_count(membership_roster(m->membership)) != 0);
}

/* ---- Members of this node ------------------------------------------------------------------- */

bool mesh_channels_is_guarded(const mesh *m, slice channel)
{
    const channel_rule *rule = channel_rules_find(m->rules, channel);

    return rule && channel_rule_wants_token(rule);
}

bool mesh_channels_guards(void *ctx, slice channel)
{
    mesh *m = ctx;
    bool guarded;

    pthread_mutex_lock(&m->channels_lock);
    guarded = mesh_channels_is_guarded(m, channel);
    pthread_mutex_unlock(&m->channels_lock);
    return guarded;
}

/*
 * Who is in a queue group takes turns with those of other nodes, so what is published here has to
 * choose among all: ours are members here, too. So are those of a channel that asks for leave,
 * which they need as others do. Any thread: it is so when this returns.
 */
static void set_member(mesh *m, const uint8_t *subscriber, slice channel, slice group, slice token,
                       bool on, bool tell)
{
    berth_error error = {0};

    pthread_mutex_lock(&m->channels_lock);
    if (!on || (!group.len && !mesh_channels_is_guarded(m, channel)))
        membership_leave(m->membership, m->key.node_id, subscriber, channel);
    else if (membership_join(m->membership, m->key.node_id, subscriber, channel, group, token,
                             clock_mono_ns(), (uint64_t)mesh_wall_s(m), &error) != BERTH_OK &&
             tell)
        log_warn("mesh", "a daemon of this node does not hear %s; will try again", error.text);
    count_members(m);
    pthread_mutex_unlock(&m->channels_lock);
    if (atomic_load(&m->members))
        mesh_wake(m); /* there may be a leave that ends */
}

void mesh_channels_unhost(mesh *m, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    pthread_mutex_lock(&m->channels_lock);
    membership_unhost(m->membership, m->key.node_id, entity);
    count_members(m);
    pthread_mutex_unlock(&m->channels_lock);
}

/* Should it be a member here, and is not? */
bool mesh_channels_lacks(mesh *m, const wish *w)
{
    slice channel = slice_of(w->channel->data, w->channel->len);
    bool lacks;

    if (entity_eq(w->subscriber, m->key.entity))
        return false; /* who follows a channel here */
    pthread_mutex_lock(&m->channels_lock);
    lacks = (w->group || mesh_channels_is_guarded(m, channel)) &&
            !roster_find(membership_roster(m->membership), m->key.node_id, w->subscriber, channel);
    pthread_mutex_unlock(&m->channels_lock);
    return lacks;
}

static void look_at_members(mesh *m, int64_t in_ns)
{
    if (m->members_ns > m->now_ns + in_ns)
        m->members_ns = m->now_ns + in_ns;
}

/* Those who were refused, or whose leave has ended, are tried again, ever more seldom. */
static void restore_members(mesh *m)
{
    m->members_ns = NEVER;
    for (wish *w = m->wishes; w; w = w->next) {
        if (!mesh_channels_lacks(m, w))
            continue;
        if (w->retry_ns <= m->now_ns) {
            w->pause_ns = w->pause_ns ? 2 * w->pause_ns : MEMBER_RETRY_NS;
            if (w->pause_ns > MEMBER_PAUSE_NS)
                w->pause_ns = MEMBER_PAUSE_NS;
            w->retry_ns = m->now_ns + w->pause_ns;
            set_member(m, w->subscriber, slice_of(w->channel->data, w->channel->len),
                       w->group ? slice_of(w->group->data, w->group->len) : (slice){0},
                       w->token ? slice_of(w->token->data, w->token->len) : (slice){0}, true,
                       false);
        }
        if (mesh_channels_lacks(m, w))
            look_at_members(m, w->retry_ns - m->now_ns);
    }
}

/* Whatever was in their way may be gone. */
static void retry_members(mesh *m)
{
    for (wish *w = m->wishes; w; w = w->next)
        w->retry_ns = w->pause_ns = 0;
    look_at_members(m, 0);
}

/* ---- Rules ----------------------------------------------------------------------------------- */

static berth_status put_rules(channel_rules *r, const channel_rule *rules, size_t count,
                              berth_error *error)
{
    static const channel_rule open = {.prefix = true};
    berth_status status = BERTH_OK;

    if (!count)
        return channel_rules_put(r, &open, NULL, error);
    for (size_t i = 0; i < count && status == BERTH_OK; i++) {
        bool closed = false;

        status = channel_rules_put(r, &rules[i], &closed, error);
        if (closed)
            log_warn("mesh", "channel '%.*s' needs a token and names no root: nobody can use it",
                     (int)rules[i].name.len, (const char *)rules[i].name.ptr);
    }
    return status;
}

/* The membership machine has the table of rules, so the table stays and its contents change. */
berth_status mesh_channels_set_rules(mesh *m, const mesh_policy *p, berth_error *error)
{
    channel_rules *trial = channel_rules_new();
    berth_status status = trial ? put_rules(trial, p->channels, p->channel_count, error)
                                : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");

    channel_rules_free(trial);
    if (status == BERTH_OK && p->revoked_tokens.len)
        status = token_revocations_parse(m->revoked, p->revoked_tokens, error);
    if (status != BERTH_OK)
        return status;
    pthread_mutex_lock(&m->channels_lock);
    channel_rules_clear(m->rules);
    status = put_rules(m->rules, p->channels, p->channel_count, error);
    membership_recheck(m->membership);
    pthread_mutex_unlock(&m->channels_lock);
    retry_members(m);
    return status;
}

/* ---- Wishes ---------------------------------------------------------------------------------- */

static bool is_wish(const wish *w, const uint8_t *subscriber, uint64_t publisher, slice channel)
{
    return w->publisher == publisher && entity_eq(w->subscriber, subscriber) &&
           slice_eq(slice_of(w->channel->data, w->channel->len), channel);
}

static void want(mesh *m, const wish *w, uint64_t node)
{
    berth_error error = {0};

    if (w->publisher)
        return; /* only what this node publishes */
    if (subscriptions_want(m->subscriptions, node, w->subscriber,
                           slice_of(w->channel->data, w->channel->len),
                           w->group ? slice_of(w->group->data, w->group->len) : (slice){0},
                           w->token ? slice_of(w->token->data, w->token->len) : (slice){0},
                           m->now_ns, &error) != BERTH_OK)
        log_warn("mesh", "%s", error.text);
}

static void wish_free(wish *w)
{
    buf_unref(w->channel);
    buf_unref(w->group);
    buf_unref(w->token);
    free(w);
}

/* From whoever publishes it (0): all nodes there are, and those to come; or from this node. */
static void wish_add(mesh *m, const uint8_t *subscriber, uint64_t publisher, slice channel,
                     slice group, slice token)
{
    wish *w = m->wishes;
    void *value;

    while (w && !is_wish(w, subscriber, publisher, channel))
        w = w->next;
    if (!w) {
        w = calloc(1, sizeof *w);
        if (!w || !(w->channel = buf_copy(channel.ptr, channel.len))) {
            free(w);
            return;
        }
        memcpy(w->subscriber, subscriber, BERTH_ENTITY_SIZE);
        w->publisher = publisher;
        w->next = m->wishes;
        m->wishes = w;
    }
    buf_unref(w->group);
    buf_unref(w->token);
    w->group = group.len ? buf_copy(group.ptr, group.len) : NULL;
    w->pause_ns = 0;
    w->retry_ns = m->now_ns + MEMBER_RETRY_NS; /* it was tried when it came */
    if (mesh_channels_lacks(m, w))
        look_at_members(m, MEMBER_RETRY_NS);
    w->token = token.len ? buf_copy(token.ptr, token.len) : NULL;
    for (size_t at = 0; map64_next(&m->nodes, &at, NULL, &value);) {
        const mesh_node *n = value;

        if (n->up)
            want(m, w, n->id);
    }
}

static void wish_drop(mesh *m, const uint8_t *subscriber, uint64_t publisher, slice channel)
{
    void *value;

    for (wish **at = &m->wishes; *at;) {
        wish *w = *at;

        if (!is_wish(w, subscriber, publisher, channel)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        wish_free(w);
    }
    for (size_t at = 0; !publisher && map64_next(&m->nodes, &at, NULL, &value);)
        subscriptions_drop(m->subscriptions, ((const mesh_node *)value)->id, subscriber, channel,
                           m->now_ns);
}

static void take_service(void *ctx, slice service, uint64_t origin)
{
    mesh *m = ctx;
    berth_error error = {0};
    uint64_t before;

    if (services_find(m->services, service, &before) && before != origin)
        services_remove(m->services, service, before);
    if (services_add(m->services, service, origin, &error) != BERTH_OK)
        log_warn("mesh", "%s", error.text);
}

/* What the runtime says is so; changes may come here in another order. */
static void review_service(mesh *m, slice service)
{
    uint64_t origin;

    if (runtime_service_find(m->rt, service, &origin))
        take_service(m, service, origin);
    else if (services_find(m->services, service, &origin))
        services_remove(m->services, service, origin);
    atomic_store(&m->facts_flag, true);
}

/* Take its wishes out; as a list. */
static wish *take_wishes(mesh *m, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    wish *taken = NULL;

    for (wish **at = &m->wishes; *at;) {
        wish *w = *at;

        if (!entity_eq(w->subscriber, entity)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->next = taken;
        taken = w;
    }
    return taken;
}

/* Under channels_lock. */
void mesh_channels_go(mesh *m, const uint8_t entity[BERTH_ENTITY_SIZE], uint64_t node)
{
    membership_unhost(m->membership, m->key.node_id, entity);
    for (const wish *w = m->wishes; w; w = w->next) {
        berth_error error = {0};

        if (entity_eq(w->subscriber, entity) &&
            membership_join(m->membership, node, entity,
                            slice_of(w->channel->data, w->channel->len),
                            w->group ? slice_of(w->group->data, w->group->len) : (slice){0},
                            w->token ? slice_of(w->token->data, w->token->len) : (slice){0},
                            m->now_ns, (uint64_t)mesh_wall_s(m), &error) != BERTH_OK)
            log_warn("mesh", "a daemon that left for another node does not hear %s", error.text);
    }
    count_members(m);
}

static void drop_services(mesh *m, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    if (!services_remove_origin(m->services, berth_entity_origin(entity)))
        return;
    runtime_services(m->rt, take_service, m); /* it may be here again already */
    atomic_store(&m->facts_flag, true);
}

static void free_wishes(wish *list)
{
    while (list) {
        wish *w = list;

        list = w->next;
        wish_free(w);
    }
}

void mesh_channels_drop(mesh *m, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    free_wishes(take_wishes(m, entity));
    subscriptions_drop_all(m->subscriptions, entity, m->now_ns);
    drop_services(m, entity);
}

void mesh_channels_forget(mesh *m, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    free_wishes(take_wishes(m, entity));
    subscriptions_forget(m->subscriptions, entity);
    drop_services(m, entity);
}

/* Under channels_lock. */
void mesh_channels_moved(mesh *m, const uint8_t entity[BERTH_ENTITY_SIZE], uint64_t from,
                         uint64_t to)
{
    membership_rehost(m->membership, from, to, entity);
    count_members(m);
}

typedef struct change {
    mesh_task task;
    uint8_t subscriber[BERTH_ENTITY_SIZE];
    uint64_t publisher;
    bool on;
    size_t channel_len, group_len, token_len;
    uint8_t bytes[]; /* channel, group, token */
} change;

static void take_change(mesh *m, mesh_task *t, bool closed)
{
    change *c = (change *)t;
    slice channel = slice_of(c->bytes, c->channel_len);
    slice group = slice_of(c->bytes + c->channel_len, c->group_len);
    slice token = slice_of(c->bytes + c->channel_len + c->group_len, c->token_len);
    bool own = c->publisher == m->key.node_id;
    berth_error error = {0};

    if (closed) {
        free(c);
        return;
    }
    if (c->on && (!c->publisher || own))
        wish_add(m, c->subscriber, c->publisher, channel, group, token);
    else if (!c->publisher || own)
        wish_drop(m, c->subscriber, c->publisher, channel);
    else if (!c->on)
        subscriptions_drop(m->subscriptions, c->publisher, c->subscriber, channel, m->now_ns);
    else if (subscriptions_want(m->subscriptions, c->publisher, c->subscriber, channel, group,
                                token, m->now_ns, &error) != BERTH_OK)
        log_warn("mesh", "%s", error.text);
    if (runtime_channel_service(channel).len)
        review_service(m, runtime_channel_service(channel));
    free(c);
}

void mesh_channels_subscribe(void *ctx, route_link *link, uint64_t publisher, slice channel,
                             slice group, slice token, bool on)
{
    mesh *m = ctx;
    change *c = calloc(1, sizeof *c + channel.len + group.len + token.len);

    if (!c)
        return;
    if (!publisher || publisher == m->key.node_id)
        set_member(m, link->entity, channel, group, token, on, true);
    c->task.run = take_change;
    memcpy(c->subscriber, link->entity, sizeof c->subscriber);
    c->publisher = publisher;
    c->on = on;
    c->channel_len = channel.len;
    c->group_len = group.len;
    c->token_len = token.len;
    memcpy(c->bytes, channel.ptr, channel.len);
    if (group.len)
        memcpy(c->bytes + channel.len, group.ptr, group.len);
    if (token.len)
        memcpy(c->bytes + channel.len + group.len, token.ptr, token.len);
    mesh_post(m, &c->task);
}

/* ---- Those who follow a channel here --------------------------------------------------------- */

static void take_listener(mesh *m, mesh_task *t, bool closed)
{
    change *c = (change *)t;
    slice channel = slice_of(c->bytes, c->channel_len);
    listener *l = m->listeners;

    while (l && !slice_eq(slice_of(l->channel->data, l->channel->len), channel))
        l = l->next;
    if (!closed && !l && (l = calloc(1, sizeof *l))) {
        l->channel = buf_copy(channel.ptr, channel.len);
        if (l->channel) {
            l->next = m->listeners;
            m->listeners = l;
            mesh_sweep_in(m, SWEEP_NS);
            wish_add(m, m->key.entity, 0, channel, (slice){0}, (slice){0});
        } else {
            free(l);
        }
    }
    free(c);
}

void mesh_channels_listen(void *ctx, slice channel)
{
    change *c = calloc(1, sizeof *c + channel.len);

    if (!c)
        return;
    c->task.run = take_listener;
    c->channel_len = channel.len;
    memcpy(c->bytes, channel.ptr, channel.len);
    mesh_post(ctx, &c->task);
}

/* A tail does not say that it ends; whether there is one is looked at now and then. */
void mesh_channels_sweep(mesh *m)
{
    for (listener **at = &m->listeners; *at;) {
        listener *l = *at;
        slice channel = slice_of(l->channel->data, l->channel->len);

        if (runtime_channel_hear(m->rt, channel, NULL)) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        wish_drop(m, m->key.entity, 0, channel);
        buf_unref(l->channel);
        free(l);
    }
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

void mesh_channels_node_up(mesh *m, uint64_t node)
{
    for (const wish *w = m->wishes; w; w = w->next)
        want(m, w, node);
    subscriptions_up(m->subscriptions, node, m->now_ns);
}

void mesh_channels_node_down(mesh *m, uint64_t node)
{
    subscriptions_down(m->subscriptions, node, m->now_ns);
}

void mesh_channels_node_gone(mesh *m, uint64_t node)
{
    pthread_mutex_lock(&m->channels_lock);
    membership_node_gone(m->membership, node);
    count_members(m);
    pthread_mutex_unlock(&m->channels_lock);
}

void mesh_channels_message(mesh *m, uint64_t node, slice msg)
{
    uint16_t kind = message_kind(msg);
    berth_error error = {0};

    if (kind == MESSAGE_CHANNEL_ACK || kind == MESSAGE_CHANNEL_ENDED) {
        subscriptions_receive(m->subscriptions, node, msg, m->now_ns, &error);
        return;
    }
    pthread_mutex_lock(&m->channels_lock);
    membership_receive(m->membership, node, msg, m->now_ns, (uint64_t)mesh_wall_s(m), &error);
    count_members(m);
    pthread_mutex_unlock(&m->channels_lock);
}

int64_t mesh_channels_deadline(mesh *m)
{
    int64_t members, wanted = subscriptions_deadline(m->subscriptions);

    pthread_mutex_lock(&m->channels_lock);
    members = membership_deadline(m->membership);
    pthread_mutex_unlock(&m->channels_lock);
    if (m->members_ns < members)
        members = m->members_ns;
    return members < wanted ? members : wanted;
}

void mesh_channels_expire(mesh *m)
{
    size_t before;
    bool swept;

    subscriptions_expire(m->subscriptions, m->now_ns);
    pthread_mutex_lock(&m->channels_lock);
    before = roster_count(membership_roster(m->membership));
    membership_expire(m->membership, m->now_ns, (uint64_t)mesh_wall_s(m));
    swept = roster_count(membership_roster(m->membership)) < before;
    count_members(m);
    pthread_mutex_unlock(&m->channels_lock);
    if (swept)
        look_at_members(m, MEMBER_RETRY_NS);
    if (m->members_ns <= m->now_ns)
        restore_members(m);
}

void mesh_channels_fini(mesh *m)
{
    while (m->wishes) {
        wish *w = m->wishes;

        m->wishes = w->next;
        wish_free(w);
    }
    while (m->listeners) {
        listener *l = m->listeners;

        m->listeners = l->next;
        buf_unref(l->channel);
        free(l);
    }
    roster_picks_fini(&m->picks);
    subscriptions_free(m->subscriptions);
    membership_free(m->membership);
    channel_rules_free(m->rules);
    token_revocations_free(m->revoked);
}
