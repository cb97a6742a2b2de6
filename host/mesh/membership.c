/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/membership.h"
#include "base/error.h"
#include "base/map.h"
#include "chain/channel.h"

#include <stdlib.h>

#define SECOND_NS    INT64_C(1000000000)
#define FAILURES_MAX 65536 /* nodes whose refusals are counted */

/* How often a node was refused. */
typedef struct failures {
    uint32_t count;
    int64_t since_ns, silent_until_ns;
} failures;

struct membership {
    membership_config config;
    roster *roster;
    map64 failures;
    membership_counters counters;
    int64_t sweep_ns; /* the next look at all members */
    int64_t due_ns;   /* when the first leave ends */
    bool recheck;
    roster_picks sweep;
};

static int64_t or_default(int64_t value, int64_t fallback)
{
    return value ? value : fallback;
}

membership *membership_new(const membership_config *config)
{
    membership *m = calloc(1, sizeof *m);

    if (!m)
        return NULL;
    m->config = *config;
    m->config.failures = (uint32_t)or_default(config->failures, 16);
    m->config.window_ns = or_default(config->window_ns, 60 * SECOND_NS);
    m->config.throttle_ns = or_default(config->throttle_ns, 30 * SECOND_NS);
    m->config.sweep_ns = or_default(config->sweep_ns, 30 * SECOND_NS);
    if (m->config.sweep_ns < SECOND_NS)
        m->config.sweep_ns = SECOND_NS;
    m->sweep_ns = m->due_ns = INT64_MAX;
    m->roster = roster_new(&config->limits);
    if (!m->roster) {
        free(m);
        return NULL;
    }
    return m;
}

void membership_free(membership *m)
{
    size_t at = 0;
    uint64_t node;
    void *value;

    if (!m)
        return;
    while (map64_next(&m->failures, &at, &node, &value))
        free(value);
    map64_fini(&m->failures);
    roster_picks_fini(&m->sweep);
    roster_free(m->roster);
    free(m);
}

static int64_t later(int64_t now_ns, int64_t by_ns)
{
    return by_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + by_ns;
}

static void send(membership *m, uint64_t node, const channel_message *message)
{
    writer w = {0};

    if (m->config.send && channel_message_encode(&w, message, NULL) == BERTH_OK)
        m->config.send(m->config.ctx, node, slice_of(w.data, w.len));
    writer_free(&w);
}

static void answer(membership *m, uint64_t node, uint64_t nonce, channel_reason reason)
{
    send(m, node,
         &(channel_message){.kind = MESSAGE_CHANNEL_ACK,
                            .nonce = nonce,
                            .accepted = reason == CHANNEL_FINE,
                            .reason = reason});
}

/* ---- Throttling ------------------------------------------------------------------------------ */

static void forgive(membership *m, uint64_t node)
{
    free(map64_del(&m->failures, node));
}

/* The record is over: its window without, or its silence with, enough refusals in it. */
static bool is_over(const membership *m, const failures *f, int64_t now_ns)
{
    return f->silent_until_ns ? now_ns >= f->silent_until_ns
                              : now_ns >= later(f->since_ns, m->config.window_ns);
}

static bool is_throttled(membership *m, uint64_t node, int64_t now_ns)
{
    failures *f = map64_get(&m->failures, node);

    if (!f || !f->silent_until_ns)
        return false;
    if (!is_over(m, f, now_ns))
        return true;
    forgive(m, node);
    return false;
}

/* Room for one more record: those that are over go; if none is, the oldest. */
static void make_room(membership *m, int64_t now_ns)
{
    uint64_t node, oldest = 0;
    int64_t since_ns = INT64_MAX;
    bool found = true;
    void *value;

    if (m->failures.count < FAILURES_MAX)
        return;
    while (found) {
        size_t at = 0;

        found = false;
        while (!found && map64_next(&m->failures, &at, &node, &value)) {
            const failures *f = value;

            found = is_over(m, f, now_ns);
            if (f->since_ns < since_ns) {
                since_ns = f->since_ns;
                oldest = node;
            }
        }
        if (found) {
            forgive(m, node);
            return;
        }
    }
    forgive(m, oldest);
}

static void count_failure(membership *m, uint64_t node, int64_t now_ns)
{
    failures *f = map64_get(&m->failures, node);

    if (m->config.failures == UINT32_MAX)
        return;
    if (!f) {
        make_room(m, now_ns);
        f = calloc(1, sizeof *f);
        if (!f || !map64_put(&m->failures, node, f)) {
            free(f);
            return;
        }
        f->since_ns = now_ns;
    } else if (is_over(m, f, now_ns)) {
        *f = (failures){.since_ns = now_ns};
    }
    if (++f->count >= m->config.failures)
        f->silent_until_ns = later(now_ns, m->config.throttle_ns);
}

/* ---- Subscribe ------------------------------------------------------------------------------- */

static bool hosts(const membership *m, uint64_t node, const uint8_t *subscriber)
{
    return !m->config.hosts || m->config.hosts(m->config.ctx, node, subscriber);
}

static bool visible(const membership *m, uint64_t node, slice channel)
{
    return !m->config.visible || m->config.visible(m->config.ctx, node, channel);
}

static bool gate(const membership *m, const channel_rule *rule, slice channel, slice chain,
                 const uint8_t *presenter, bool presigned, uint64_t now_s, uint64_t *until_s)
{
    channel_claim claim = {.action = BERTH_SCOPE_SUBSCRIBE,
                           .channel = channel,
                           .chain = chain,
                           .presenter = presenter,
                           .now_s = now_s,
                           .skew_s = m->config.skew_s,
                           .presigned = presigned,
                           .revoked = m->config.revoked};

    return channel_rule_gate(rule, &claim, until_s, NULL, NULL) == BERTH_OK;
}

/*
 * In this order, which decides what a node is told. Who is a subscriber already is spared the
 * limit, and nothing else. That the node speaks for the subscriber is asked also of open channels:
 * what is published goes to the subscriber, wherever it lives.
 */
static channel_reason judge(membership *m, uint64_t node, const channel_message *msg,
                            uint64_t now_s, uint64_t *until_s, bool *keep_chain)
{
    const channel_rule *rule;

    if (!roster_may_add_channel(m->roster, node, msg->name))
        return CHANNEL_TOO_MANY;
    rule = m->config.rules ? channel_rules_find(m->config.rules, msg->name) : NULL;
    if (m->config.rules && !rule)
        return CHANNEL_UNKNOWN;
    if (!visible(m, node, msg->name) || !hosts(m, node, msg->subscriber))
        return CHANNEL_UNAUTHORIZED;
    if (!rule)
        return CHANNEL_FINE;
    if (rule->subscribe &&
        (!m->config.capable || !m->config.capable(m->config.ctx, node, rule->subscribe)))
        return CHANNEL_UNAUTHORIZED;
    if (!gate(m, rule, msg->name, msg->token, msg->subscriber, false, now_s, until_s))
        return CHANNEL_UNAUTHORIZED;
    *keep_chain = channel_rule_wants_token(rule);
    return CHANNEL_FINE;
}

/* The monotonic time at which leave until that second has ended, with the skew that it is granted.
 * What has ended already, and counts no more, will not end again. */
static int64_t when(const membership *m, uint64_t until_s, int64_t now_ns, uint64_t now_s)
{
    uint64_t skew =
        m->config.skew_s < BERTH_TOKEN_SKEW_MAX ? m->config.skew_s : BERTH_TOKEN_SKEW_MAX;
    uint64_t end_s = until_s > UINT64_MAX - skew ? UINT64_MAX : until_s + skew;

    if (end_s <= now_s || end_s - now_s > INT64_MAX / SECOND_NS)
        return INT64_MAX;
    return later(now_ns, (int64_t)(end_s - now_s) * SECOND_NS);
}

static void schedule(membership *m, uint64_t until_s, int64_t now_ns, uint64_t now_s)
{
    int64_t due_ns = when(m, until_s, now_ns, now_s);

    if (due_ns < m->due_ns)
        m->due_ns = due_ns;
    if (m->sweep_ns == INT64_MAX)
        m->sweep_ns = later(now_ns, m->config.sweep_ns);
}

static channel_reason accept(membership *m, uint64_t node, const channel_message *msg,
                             int64_t now_ns, uint64_t now_s)
{
    bool keep_chain = false, changed = false;
    uint64_t until_s = UINT64_MAX;
    channel_reason reason = judge(m, node, msg, now_s, &until_s, &keep_chain);

    if (!reason && roster_add(m->roster, node, msg->subscriber, msg->name, msg->group,
                              keep_chain ? msg->token : slice_of(NULL, 0), until_s, &changed,
                              NULL) != BERTH_OK)
        reason = CHANNEL_TOO_MANY;
    if (!reason) {
        m->counters.accepted += changed;
        m->counters.renewed += !changed;
        schedule(m, until_s, now_ns, now_s);
    }
    return reason;
}

static void subscribe(membership *m, uint64_t node, const channel_message *msg, int64_t now_ns,
                      uint64_t now_s)
{
    channel_reason reason =
        is_throttled(m, node, now_ns) ? CHANNEL_RATE_LIMITED : accept(m, node, msg, now_ns, now_s);

    if (!reason) {
        forgive(m, node);
    } else {
        m->counters.refused[reason]++;
        if (reason != CHANNEL_TOO_MANY && reason != CHANNEL_RATE_LIMITED)
            count_failure(m, node, now_ns);
    }
    answer(m, node, msg->nonce, reason);
}

berth_status membership_receive(membership *m, uint64_t node, slice message, int64_t now_ns,
                                uint64_t now_s, berth_error *error)
{
    channel_message msg;
    berth_status status = channel_message_decode(message, &msg, error);

    if (!status && msg.kind != MESSAGE_CHANNEL_SUBSCRIBE && msg.kind != MESSAGE_CHANNEL_UNSUBSCRIBE)
        status =
            fail(error, BERTH_ERR_CORRUPT, "channel message: 0x%04x is for subscribers", msg.kind);
    if (status) {
        m->counters.malformed++;
        return status;
    }
    if (msg.kind == MESSAGE_CHANNEL_SUBSCRIBE) {
        subscribe(m, node, &msg, now_ns, now_s);
    } else {
        m->counters.left += roster_remove(m->roster, node, msg.subscriber, msg.name);
        answer(m, node, msg.nonce, CHANNEL_FINE);
    }
    return BERTH_OK;
}

berth_status membership_join(membership *m, uint64_t node,
                             const uint8_t subscriber[BERTH_ENTITY_SIZE], slice channel,
                             slice group, slice chain, int64_t now_ns, uint64_t now_s,
                             berth_error *error)
{
    channel_message msg = {
        .kind = MESSAGE_CHANNEL_SUBSCRIBE, .name = channel, .group = group, .token = chain};
    channel_reason reason;

    memcpy(msg.subscriber, subscriber, sizeof msg.subscriber);
    reason = accept(m, node, &msg, now_ns, now_s);
    if (!reason)
        return BERTH_OK;
    m->counters.refused[reason]++;
    return fail(error, reason == CHANNEL_TOO_MANY ? BERTH_ERR_LIMIT : BERTH_ERR_REFUSED,
                "channel '%.*s': %s", (int)channel.len, (const char *)channel.ptr,
                channel_reason_text(reason));
}

bool membership_leave(membership *m, uint64_t node, const uint8_t subscriber[BERTH_ENTITY_SIZE],
                      slice channel)
{
    return roster_remove(m->roster, node, subscriber, channel);
}

/* ---- Publish --------------------------------------------------------------------------------- */

/* Whether a member may still hear. Its chain was verified when it subscribed. */
static bool still_may(const membership *m, const roster_member *member, uint64_t now_s)
{
    const channel_rule *rule =
        m->config.rules ? channel_rules_find(m->config.rules, member->channel) : NULL;

    if (m->config.rules && !rule)
        return false;
    if (!hosts(m, member->node, member->subscriber))
        return false;
    return !rule ||
           gate(m, rule, member->channel, member->chain, member->subscriber, true, now_s, NULL);
}

typedef struct asking {
    membership *m;
    uint64_t now_s;
} asking;

static bool admit(void *ctx, const roster_member *member)
{
    asking *a = ctx;

    if (!visible(a->m, member->node, member->channel))
        return false;
    if (still_may(a->m, member, a->now_s))
        return true;
    a->m->counters.skipped++;
    a->m->recheck = true; /* the roster must not change now */
    return false;
}

berth_status membership_recipients(membership *m, slice channel, uint64_t now_s, roster_picks *out)
{
    asking a = {m, now_s};

    return roster_pick(m->roster, channel, admit, &a, out);
}

void membership_recall(membership *m, const roster_picks *picks)
{
    roster_unpick(m->roster, picks);
}

berth_status membership_may_publish(const membership *m, slice channel, slice chain, bool presigned,
                                    const uint8_t publisher[BERTH_ENTITY_SIZE],
                                    bool (*matches)(void *ctx, const struct capability_filter *f),
                                    void *ctx, uint64_t now_s, berth_error *error)
{
    const channel_rule *rule =
        m->config.rules ? channel_rules_find(m->config.rules, channel) : NULL;
    channel_claim claim = {.action = BERTH_SCOPE_PUBLISH,
                           .channel = channel,
                           .chain = chain,
                           .presenter = publisher,
                           .now_s = now_s,
                           .skew_s = m->config.skew_s,
                           .presigned = presigned,
                           .revoked = m->config.revoked};

    if (!rule) /* nobody has restricted it */
        return channel_name_check(channel, error);
    if (rule->publish && (!matches || !matches(ctx, rule->publish)))
        return fail(error, BERTH_ERR_REFUSED,
                    "channel '%.*s': this host does not have the capabilities to publish on it",
                    (int)channel.len, (const char *)channel.ptr);
    if (channel_rule_wants_token(rule) && rule->root_count && !chain.len)
        return fail(error, BERTH_ERR_REFUSED,
                    "channel '%.*s': it takes a permission token to publish there, and none was "
                    "shown: have one issued with `berth token issue`",
                    (int)channel.len, (const char *)channel.ptr);
    if (channel_rule_gate(rule, &claim, NULL, NULL, error) == BERTH_OK)
        return BERTH_OK;
    fail_prefix(error, "channel '%.*s'", (int)channel.len, (const char *)channel.ptr);
    if (error)
        error->code = BERTH_ERR_REFUSED; /* whatever is wrong with the token */
    return BERTH_ERR_REFUSED;
}

/* ---- Ends ------------------------------------------------------------------------------------ */

size_t membership_node_gone(membership *m, uint64_t node)
{
    return roster_remove_node(m->roster, node);
}

size_t membership_unhost(membership *m, uint64_t node, const uint8_t entity[BERTH_ENTITY_SIZE])
{
    size_t removed = 0;

    if (roster_of_node(m->roster, node, &m->sweep) != BERTH_OK)
        return 0;
    for (size_t i = 0; i < m->sweep.count; i++) {
        const roster_member *member = m->sweep.items[i];

        if (memcmp(member->subscriber, entity, BERTH_ENTITY_SIZE) == 0)
            removed += roster_remove(m->roster, node, entity, member->channel);
    }
    return removed;
}

size_t membership_rehost(membership *m, uint64_t from, uint64_t to,
                         const uint8_t entity[BERTH_ENTITY_SIZE])
{
    size_t moved = 0;

    if ((from ? roster_of_node(m->roster, from, &m->sweep) : roster_all(m->roster, &m->sweep)) !=
        BERTH_OK)
        return 0;
    for (size_t i = 0; i < m->sweep.count; i++) {
        const roster_member *member = m->sweep.items[i];
        bool changed;

        if (member->node == to || memcmp(member->subscriber, entity, BERTH_ENTITY_SIZE) != 0)
            continue;
        /* What it has shown it has shown; whether the other node may hear is asked at each publish
         * and sweep, as ever. */
        if (roster_add(m->roster, to, entity, member->channel, member->group, member->chain,
                       member->until_s, &changed, NULL) == BERTH_OK)
            moved++;
        roster_remove(m->roster, member->node, entity, member->channel);
    }
    return moved;
}

void membership_recheck(membership *m)
{
    m->recheck = true;
}

int64_t membership_deadline(const membership *m)
{
    if (m->recheck)
        return 0;
    return m->sweep_ns < m->due_ns ? m->sweep_ns : m->due_ns;
}

static void end(membership *m, const roster_member *member)
{
    channel_message msg = {.kind = MESSAGE_CHANNEL_ENDED, .reason = CHANNEL_UNAUTHORIZED};
    uint8_t name[CHANNEL_NAME_MAX];
    uint64_t node = member->node;

    memcpy(name, member->channel.ptr, member->channel.len);
    memcpy(msg.subscriber, member->subscriber, sizeof msg.subscriber);
    msg.name = slice_of(name, member->channel.len);
    m->counters.swept += roster_remove(m->roster, node, msg.subscriber, msg.name);
    send(m, node, &msg);
}

void membership_expire(membership *m, int64_t now_ns, uint64_t now_s)
{
    if (now_ns < membership_deadline(m))
        return;
    m->recheck = false;
    m->due_ns = INT64_MAX;
    m->sweep_ns = later(now_ns, m->config.sweep_ns);
    if (roster_all(m->roster, &m->sweep) != BERTH_OK)
        return; /* the next sweep tries again; publishes look for themselves */
    for (size_t i = 0; i < m->sweep.count; i++) {
        const roster_member *member = m->sweep.items[i];

        if (still_may(m, member, now_s))
            schedule(m, member->until_s, now_ns, now_s);
        else
            end(m, member);
    }
    if (!roster_count(m->roster))
        m->sweep_ns = INT64_MAX;
}

const roster *membership_roster(const membership *m)
{
    return m->roster;
}

void membership_get_counters(const membership *m, membership_counters *out)
{
    *out = m->counters;
}
