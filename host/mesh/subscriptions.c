/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/subscriptions.h"
#include "base/error.h"
#include "base/map.h"
#include "base/random.h"
#include "chain/channel.h"
#include "daemon/heap.h"

#include <stdlib.h>

#define SECOND_NS  INT64_C(1000000000)
#define SILENCE_NS (31 * SECOND_NS) /* a little more than a publisher's throttle */
#define KEY_MAX    (8 + BERTH_ENTITY_SIZE + CHANNEL_NAME_MAX)

typedef struct wish {
    heap_node timer; /* first: the heap hands it out */
    subscription seen;
    uint64_t nonce;       /* of all attempts; 0: none yet */
    uint8_t key[KEY_MAX]; /* publisher, subscriber, name */
    size_t key_len;
    uint8_t *bytes;               /* group and token, one behind the other */
    struct wish *previous, *next; /* of the publisher */
} wish;

/* A publisher that something is wanted of. */
typedef struct publisher {
    wish *first;
    bool up;
} publisher;

struct subscriptions {
    subscriptions_config config;
    strmap wishes;
    map64 nonces;     /* wishes that have one */
    map64 publishers; /* also nodes that are up and of which nothing is wanted */
    heap timers;
    subscriptions_counters counters;
};

static int64_t or_default(int64_t value, int64_t fallback)
{
    return value ? value : fallback;
}

static void system_random(void *ctx, void *out, size_t len)
{
    (void)ctx;
    random_bytes(out, len);
}

subscriptions *subscriptions_new(const subscriptions_config *config)
{
    subscriptions *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->config = *config;
    s->config.random = config->random ? config->random : system_random;
    s->config.max = config->max ? config->max : 65536;
    s->config.answer_ns = or_default(config->answer_ns, 5 * SECOND_NS);
    s->config.refused_ns = or_default(config->refused_ns, 5 * SECOND_NS);
    s->config.pause_ns = or_default(config->pause_ns, 600 * SECOND_NS);
    s->config.leave_attempts = (unsigned)or_default(config->leave_attempts, 3);
    return s;
}

static void wish_free(wish *w)
{
    if (w)
        free(w->bytes);
    free(w);
}

void subscriptions_free(subscriptions *s)
{
    size_t at = 0;
    uint64_t node;
    void *value;
    slice key;

    if (!s)
        return;
    while (strmap_next(&s->wishes, &at, &key, &value))
        wish_free(value);
    at = 0;
    while (map64_next(&s->publishers, &at, &node, &value))
        free(value);
    strmap_fini(&s->wishes);
    map64_fini(&s->nonces);
    map64_fini(&s->publishers);
    heap_fini(&s->timers);
    free(s);
}

/* ---- Tables ---------------------------------------------------------------------------------- */

static slice make_key(uint8_t key[KEY_MAX], uint64_t node, const uint8_t *subscriber, slice channel)
{
    size_t len = channel.len <= CHANNEL_NAME_MAX ? channel.len : CHANNEL_NAME_MAX;

    store_u64(key, node);
    memcpy(key + 8, subscriber, BERTH_ENTITY_SIZE);
    if (len)
        memcpy(key + 8 + BERTH_ENTITY_SIZE, channel.ptr, len);
    return slice_of(key, 8 + BERTH_ENTITY_SIZE + len);
}

static wish *find(const subscriptions *s, uint64_t node, const uint8_t *subscriber, slice channel)
{
    uint8_t key[KEY_MAX];

    return strmap_get(&s->wishes, make_key(key, node, subscriber, channel));
}

static publisher *publisher_for(subscriptions *s, uint64_t node)
{
    publisher *p = map64_get(&s->publishers, node);

    if (p)
        return p;
    p = calloc(1, sizeof *p);
    if (p && !map64_put(&s->publishers, node, p)) {
        free(p);
        p = NULL;
    }
    return p;
}

static void drop_idle_publisher(subscriptions *s, uint64_t node)
{
    publisher *p = map64_get(&s->publishers, node);

    if (p && !p->first && !p->up)
        free(map64_del(&s->publishers, node));
}

static bool is_up(const subscriptions *s, const wish *w)
{
    const publisher *p = map64_get(&s->publishers, w->seen.publisher);

    return p && p->up;
}

static void forget(subscriptions *s, wish *w)
{
    publisher *p = map64_get(&s->publishers, w->seen.publisher);
    uint64_t node = w->seen.publisher;

    heap_remove(&s->timers, &w->timer);
    if (w->nonce)
        map64_del(&s->nonces, w->nonce);
    strmap_del(&s->wishes, slice_of(w->key, w->key_len));
    if (w->previous)
        w->previous->next = w->next;
    else
        p->first = w->next;
    if (w->next)
        w->next->previous = w->previous;
    wish_free(w);
    drop_idle_publisher(s, node);
}

static void set_state(subscriptions *s, wish *w, subscription_state state)
{
    bool changed = w->seen.state != state;

    w->seen.state = state;
    if (changed && s->config.changed)
        s->config.changed(s->config.ctx, &w->seen);
}

/* Without memory for the timer the next session brings it back. */
static void wake_at(subscriptions *s, wish *w, int64_t now_ns, int64_t in_ns)
{
    heap_remove(&s->timers, &w->timer);
    w->timer.due_ns = in_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + in_ns;
    heap_push(&s->timers, &w->timer);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* A nonce that nobody can guess: it is what ties an answer to its question. */
static bool draw_nonce(subscriptions *s, wish *w)
{
    uint64_t nonce = 0;

    while (!nonce || map64_get(&s->nonces, nonce))
        s->config.random(s->config.ctx, &nonce, sizeof nonce);
    if (w->nonce)
        map64_del(&s->nonces, w->nonce);
    w->nonce = map64_put(&s->nonces, nonce, w) ? nonce : 0;
    return w->nonce != 0;
}

/* Grows with the attempts, up to the longest pause; and up to a quarter more by chance, so that
 * many do not come at once. */
static int64_t pause_of(subscriptions *s, int64_t first_ns, unsigned attempts)
{
    int64_t pause_ns = first_ns < s->config.pause_ns ? first_ns : s->config.pause_ns;
    uint32_t chance;

    for (unsigned i = 1; i < attempts && pause_ns < s->config.pause_ns; i++)
        pause_ns = pause_ns < s->config.pause_ns / 2 ? 2 * pause_ns : s->config.pause_ns;
    s->config.random(s->config.ctx, &chance, sizeof chance);
    return pause_ns + pause_ns / 4 / UINT16_MAX * (chance & UINT16_MAX);
}

/* Send the question; an answer is due. */
static void ask(subscriptions *s, wish *w, int64_t now_ns)
{
    bool leaving = w->seen.state == SUBSCRIPTION_LEAVING;
    channel_message msg = {.kind =
                               leaving ? MESSAGE_CHANNEL_UNSUBSCRIBE : MESSAGE_CHANNEL_SUBSCRIBE,
                           .name = w->seen.channel};
    writer out = {0};

    if (!leaving)
        set_state(s, w, SUBSCRIPTION_ASKING);
    memcpy(msg.subscriber, w->seen.subscriber, sizeof msg.subscriber);
    if (!leaving) {
        msg.token = w->seen.token;
        msg.group = w->seen.group;
    }
    /* Before anything is sent, so that the answer finds it. */
    if (w->nonce || draw_nonce(s, w)) {
        msg.nonce = w->nonce;
        if (channel_message_encode(&out, &msg, NULL) == BERTH_OK)
            s->config.send(s->config.ctx, w->seen.publisher, slice_of(out.data, out.len));
    }
    writer_free(&out);
    if (w->seen.attempts)
        s->counters.repeated++;
    else
        s->counters.asked++;
    w->seen.attempts++;
    wake_at(s, w, now_ns, pause_of(s, s->config.answer_ns, w->seen.attempts));
}

/* Begin with this wish, from its first attempt, with a nonce of its own. */
static void begin(subscriptions *s, wish *w, int64_t now_ns)
{
    w->seen.attempts = 0;
    if (w->nonce) {
        map64_del(&s->nonces, w->nonce);
        w->nonce = 0;
    }
    heap_remove(&s->timers, &w->timer);
    if (is_up(s, w))
        ask(s, w, now_ns);
    else if (w->seen.state != SUBSCRIPTION_LEAVING)
        set_state(s, w, SUBSCRIPTION_WAITING);
}

/* ---- Wanting --------------------------------------------------------------------------------- */

static bool keep(wish *w, slice group, slice token)
{
    uint8_t *bytes = malloc(group.len + token.len + 1);

    if (!bytes)
        return false;
    if (group.len)
        memcpy(bytes, group.ptr, group.len);
    if (token.len)
        memcpy(bytes + group.len, token.ptr, token.len);
    free(w->bytes);
    w->bytes = bytes;
    w->seen.group = slice_of(bytes, group.len);
    w->seen.token = slice_of(bytes + group.len, token.len);
    return true;
}

/* Would the message be one? */
static berth_status check(uint64_t node, const uint8_t *subscriber, slice channel, slice group,
                          slice token, berth_error *error)
{
    channel_message msg = {.kind = MESSAGE_CHANNEL_SUBSCRIBE,
                           .nonce = node,
                           .name = channel,
                           .group = group,
                           .token = token};
    writer out = {0};
    berth_status status;

    memcpy(msg.subscriber, subscriber, sizeof msg.subscriber);
    status = channel_message_encode(&out, &msg, error);
    writer_free(&out);
    return status;
}

static wish *wish_new(subscriptions *s, uint64_t node, const uint8_t *subscriber, slice channel,
                      slice group, slice token)
{
    publisher *p = publisher_for(s, node);
    wish *w = calloc(1, sizeof *w);

    if (!p || !w || !keep(w, group, token))
        goto no_memory;
    w->key_len = make_key(w->key, node, subscriber, channel).len;
    w->seen.publisher = node;
    memcpy(w->seen.subscriber, subscriber, BERTH_ENTITY_SIZE);
    w->seen.channel = slice_of(w->key + 8 + BERTH_ENTITY_SIZE, channel.len);
    if (!strmap_put(&s->wishes, slice_of(w->key, w->key_len), w))
        goto no_memory;
    w->next = p->first;
    if (p->first)
        p->first->previous = w;
    p->first = w;
    return w;
no_memory:
    wish_free(w);
    drop_idle_publisher(s, node);
    return NULL;
}

berth_status subscriptions_want(subscriptions *s, uint64_t node,
                                const uint8_t subscriber[BERTH_ENTITY_SIZE], slice channel,
                                slice group, slice token, int64_t now_ns, berth_error *error)
{
    berth_status status = check(node, subscriber, channel, group, token, error);
    wish *w = status ? NULL : find(s, node, subscriber, channel);

    if (status)
        return status;
    if (w && w->seen.state != SUBSCRIPTION_LEAVING && slice_eq(w->seen.group, group) &&
        slice_eq(w->seen.token, token))
        return BERTH_OK;
    if (!w && s->wishes.count >= s->config.max)
        return fail(error, BERTH_ERR_LIMIT,
                    "subscription to '%.*s': this host has %zu already; unsubscribe from others",
                    (int)channel.len, (const char *)channel.ptr, s->config.max);
    if (w) {
        if (!keep(w, group, token))
            return fail(error, BERTH_ERR_NO_MEMORY, "subscription: out of memory");
        if (w->seen.state == SUBSCRIPTION_LEAVING)
            w->seen.state = SUBSCRIPTION_WAITING;
    } else {
        w = wish_new(s, node, subscriber, channel, group, token);
        if (!w)
            return fail(error, BERTH_ERR_NO_MEMORY, "subscription: out of memory");
    }
    begin(s, w, now_ns);
    return BERTH_OK;
}

/* What was never asked for can be forgotten; else the publisher is told. */
static void drop(subscriptions *s, wish *w, int64_t now_ns)
{
    bool asked = w->seen.state == SUBSCRIPTION_HELD || w->seen.state == SUBSCRIPTION_ASKING;

    if (!asked || !is_up(s, w)) {
        /* Without a session the publisher forgets the node; if not, its events find nobody here,
         * and it is told so when they come. */
        set_state(s, w, SUBSCRIPTION_LEAVING);
        forget(s, w);
        s->counters.left++;
        return;
    }
    set_state(s, w, SUBSCRIPTION_LEAVING);
    begin(s, w, now_ns);
}

bool subscriptions_drop(subscriptions *s, uint64_t node,
                        const uint8_t subscriber[BERTH_ENTITY_SIZE], slice channel, int64_t now_ns)
{
    wish *w = find(s, node, subscriber, channel);

    if (!w || w->seen.state == SUBSCRIPTION_LEAVING)
        return false;
    drop(s, w, now_ns);
    return true;
}

/* All of one daemon that are not leaving; malloc'd. NULL: no memory. */
static wish **all_of(const subscriptions *s, const uint8_t subscriber[BERTH_ENTITY_SIZE],
                     size_t *count)
{
    size_t at = 0;
    wish **found = malloc((s->wishes.count + 1) * sizeof(wish *));
    void *value;
    slice key;

    *count = 0;
    while (found && strmap_next(&s->wishes, &at, &key, &value)) {
        wish *w = value;

        if (memcmp(w->seen.subscriber, subscriber, BERTH_ENTITY_SIZE) == 0 &&
            w->seen.state != SUBSCRIPTION_LEAVING)
            found[(*count)++] = w;
    }
    return found;
}

size_t subscriptions_drop_all(subscriptions *s, const uint8_t subscriber[BERTH_ENTITY_SIZE],
                              int64_t now_ns)
{
    size_t count;
    wish **found = all_of(s, subscriber, &count);

    for (size_t i = 0; i < count; i++)
        drop(s, found[i], now_ns);
    free(found);
    return count;
}

size_t subscriptions_forget(subscriptions *s, const uint8_t subscriber[BERTH_ENTITY_SIZE])
{
    size_t count;
    wish **found = all_of(s, subscriber, &count);

    for (size_t i = 0; i < count; i++) {
        set_state(s, found[i], SUBSCRIPTION_LEAVING);
        forget(s, found[i]);
        s->counters.left++;
    }
    free(found);
    return count;
}

/* ---- Sessions -------------------------------------------------------------------------------- */

void subscriptions_up(subscriptions *s, uint64_t node, int64_t now_ns)
{
    publisher *p = publisher_for(s, node);

    if (!p)
        return;
    p->up = true;
    for (wish *w = p->first; w; w = w->next)
        begin(s, w, now_ns);
}

void subscriptions_down(subscriptions *s, uint64_t node, int64_t now_ns)
{
    publisher *p = map64_get(&s->publishers, node);
    wish *next;

    if (!p)
        return;
    p->up = false;
    for (wish *w = p->first; w; w = next) {
        next = w->next;
        if (w->seen.state == SUBSCRIPTION_LEAVING) {
            bool last = !w->next && !w->previous;

            forget(s, w); /* the last one takes p with it */
            s->counters.left++;
            if (last)
                return;
        } else {
            begin(s, w, now_ns);
        }
    }
    drop_idle_publisher(s, node);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void refused(subscriptions *s, wish *w, channel_reason reason, int64_t now_ns)
{
    int64_t first_ns = s->config.refused_ns;

    /* Who is silenced for a while asks after it. */
    if (reason == CHANNEL_RATE_LIMITED && first_ns < SILENCE_NS)
        first_ns = SILENCE_NS;
    w->seen.reason = reason;
    set_state(s, w, SUBSCRIPTION_REFUSED);
    wake_at(s, w, now_ns, pause_of(s, first_ns, w->seen.attempts));
}

static void answered(subscriptions *s, uint64_t node, const channel_message *msg, int64_t now_ns)
{
    wish *w = msg->nonce ? map64_get(&s->nonces, msg->nonce) : NULL;

    /* From another node it must not take the place of the genuine answer. */
    if (!w || w->seen.publisher != node) {
        s->counters.foreign++;
        return;
    }
    if (w->seen.state == SUBSCRIPTION_LEAVING) {
        forget(s, w);
        s->counters.left++;
    } else if (msg->accepted) {
        heap_remove(&s->timers, &w->timer);
        s->counters.accepted += w->seen.state != SUBSCRIPTION_HELD;
        w->seen.attempts = 0;
        w->seen.reason = CHANNEL_FINE;
        set_state(s, w, SUBSCRIPTION_HELD);
    } else if (w->seen.state != SUBSCRIPTION_HELD) {
        s->counters.refused++;
        refused(s, w, msg->reason, now_ns);
    }
}

static void ended(subscriptions *s, uint64_t node, const channel_message *msg, int64_t now_ns)
{
    wish *w = find(s, node, msg->subscriber, msg->name);

    if (!w || w->seen.state != SUBSCRIPTION_HELD) {
        s->counters.foreign += !w;
        return;
    }
    s->counters.ended++;
    w->seen.attempts = 1;
    refused(s, w, msg->reason, now_ns);
}

berth_status subscriptions_receive(subscriptions *s, uint64_t node, slice message, int64_t now_ns,
                                   berth_error *error)
{
    channel_message msg;
    berth_status status = channel_message_decode(message, &msg, error);

    if (!status && msg.kind != MESSAGE_CHANNEL_ACK && msg.kind != MESSAGE_CHANNEL_ENDED)
        status =
            fail(error, BERTH_ERR_CORRUPT, "channel message: 0x%04x is for publishers", msg.kind);
    if (status) {
        s->counters.malformed++;
        return status;
    }
    if (msg.kind == MESSAGE_CHANNEL_ACK)
        answered(s, node, &msg, now_ns);
    else
        ended(s, node, &msg, now_ns);
    return BERTH_OK;
}

/* ---- Time ------------------------------------------------------------------------------------ */

int64_t subscriptions_deadline(const subscriptions *s)
{
    return heap_next(&s->timers);
}

void subscriptions_expire(subscriptions *s, int64_t now_ns)
{
    heap_node *due;

    while ((due = heap_pop_due(&s->timers, now_ns))) {
        wish *w = (wish *)due;

        if (w->seen.state == SUBSCRIPTION_LEAVING && w->seen.attempts >= s->config.leave_attempts) {
            forget(s, w);
            s->counters.left++;
        } else if (is_up(s, w)) {
            ask(s, w, now_ns);
        }
    }
}

/* ---- Questions ------------------------------------------------------------------------------- */

const subscription *subscriptions_find(const subscriptions *s, uint64_t node,
                                       const uint8_t subscriber[BERTH_ENTITY_SIZE], slice channel)
{
    const wish *w = find(s, node, subscriber, channel);

    return w ? &w->seen : NULL;
}

const subscription *subscriptions_next(const subscriptions *s, size_t *at)
{
    void *value;
    slice key;

    return strmap_next(&s->wishes, at, &key, &value) ? &((const wish *)value)->seen : NULL;
}

size_t subscriptions_holders(const subscriptions *s, uint64_t node, slice channel)
{
    const publisher *p = map64_get(&s->publishers, node);
    size_t holders = 0;

    for (const wish *w = p ? p->first : NULL; w; w = w->next)
        holders += w->seen.state == SUBSCRIPTION_HELD && slice_eq(w->seen.channel, channel);
    return holders;
}

size_t subscriptions_count(const subscriptions *s)
{
    return s->wishes.count;
}

void subscriptions_get_counters(const subscriptions *s, subscriptions_counters *out)
{
    *out = s->counters;
}
