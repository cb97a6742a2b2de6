/* SPDX-License-Identifier: Apache-2.0 */
/* Messages from outside to a channel of this host, and its tails. */
#include "daemon/spawn.h"

#include "base/clock.h"
#include "base/error.h"
#include "chain/channel.h"

#include <stdlib.h>
#include <string.h>

/* To everyone or to nobody: room is looked for first, so that a caller that has to wait can try
 * again without doubling. Room that vanishes in between is made up for by going over the mark. */
static berth_status room_for_all(struct daemon **list, uint32_t count, uint64_t len,
                                 void (*fn)(void *ctx), void *ctx, berth_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        credit *waiter = fn ? malloc(sizeof(*waiter)) : NULL;
        if (waiter)
            *waiter = (credit){.fn = fn, .ctx = ctx};
        if (!mailbox_has_room(list[i], 1, len, waiter))
            return fail(error, BERTH_ERR_WOULD_BLOCK, "the mailbox of daemon '%s' is full",
                        list[i]->name);
        free(waiter);
    }
    return BERTH_OK;
}

static berth_status fan_out(struct daemon **list, uint32_t count, const berth_event *event,
                            buf *hold, uint64_t *reached, berth_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        batch *b = batch_of_event(event, buf_ref(hold));
        if (!b)
            return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
        if (mailbox_put(list[i], b, MAIL_OVER, NULL) == BERTH_OK)
            ++*reached;
        else
            batch_free(b);
    }
    return BERTH_OK;
}

static void show_message(ring *tails, slice data, slice channel)
{
    buf *bytes = buf_new(EFFECT_HEAD + data.len);
    buf *name = buf_copy(channel.ptr, channel.len);
    if (bytes && name) {
        memset(bytes->data, 0, EFFECT_HEAD);
        if (data.len)
            memcpy(bytes->data + EFFECT_HEAD, data.ptr, data.len);
        tail_item item = {
            .bytes = bytes, .wall_ns = clock_wall_ns(), .to = BERTH_TO_CHANNEL, .channel = name};
        ring_put(tails, &item);
    }
    buf_unref(bytes);
    buf_unref(name);
}

unsigned runtime_hearers(const runtime *rt, slice channel)
{
    const route *r = &rt->route;
    if (!r->publish)
        return HEARERS_BROADCAST | HEARERS_GROUPS;
    return r->guards && r->guards(r->ctx, channel) ? 0 : HEARERS_BROADCAST;
}

berth_status runtime_publish(runtime *rt, slice channel, slice data, void (*fn)(void *ctx),
                             void *ctx, uint64_t *reached, berth_error *error)
{
    return runtime_publish_with(rt, channel, data, NULL, fn, ctx, reached, error);
}

berth_status runtime_publish_with(runtime *rt, slice channel, slice data, buf *leave,
                                  void (*fn)(void *ctx), void *ctx, uint64_t *reached,
                                  berth_error *error)
{
    *reached = 0;
    berth_status status = runtime_check(rt, false, error);
    if (status == BERTH_OK)
        status = channel_name_check(channel, error);
    if (status == BERTH_OK && data.len > rt->limits.max_event)
        status = fail(error, BERTH_ERR_LIMIT, "the message has %zu bytes, %llu are allowed",
                      data.len, (unsigned long long)rt->limits.max_event);
    if (status != BERTH_OK)
        return status;
    /* One buffer for all: room for a link that it does not have, the data, and the channel's name.
     */
    buf *bytes = buf_new(EFFECT_HEAD + data.len + channel.len);
    if (!bytes)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    memset(bytes->data, 0, EFFECT_HEAD);
    if (data.len)
        memcpy(bytes->data + EFFECT_HEAD, data.ptr, data.len);
    memcpy(bytes->data + EFFECT_HEAD + data.len, channel.ptr, channel.len);
    berth_event event = {
        .type = BERTH_EVENT_MESSAGE,
        .data = {bytes->data + EFFECT_HEAD, data.len},
        .channel = {bytes->data + EFFECT_HEAD + data.len, channel.len},
    };
    uint32_t count;
    ring *tails;
    struct daemon **list = channels_hearers(&rt->channels, channel, rt->node_id,
                                            runtime_hearers(rt, channel), &count, &tails);
    status = room_for_all(list, count, data.len, fn, ctx, error);
    if (status == BERTH_OK && rt->route.publish) {
        route_event away = {.event = &event, .hold = bytes, .leave = leave};
        status = rt->route.publish(rt->route.ctx, NULL, &away, fn, ctx, error);
    }
    if (status == BERTH_OK)
        status = fan_out(list, count, &event, bytes, reached, error);
    if (tails) {
        if (status == BERTH_OK)
            show_message(tails, data, channel);
        ring_unref(tails);
    }
    for (uint32_t i = 0; i < count; i++)
        daemon_unref(list[i]);
    free(list);
    buf_unref(bytes);
    return status;
}

bool runtime_channel_hear(runtime *rt, slice channel, buf *bytes)
{
    ring *tails = channels_ring(&rt->channels, channel);
    buf *name = tails ? buf_copy(channel.ptr, channel.len) : NULL;
    bool heard = name && ring_has_readers(tails);
    if (heard && bytes) {
        tail_item item = {
            .bytes = bytes, .wall_ns = clock_wall_ns(), .to = BERTH_TO_CHANNEL, .channel = name};
        ring_put(tails, &item);
    }
    buf_unref(name);
    ring_unref(tails);
    return heard;
}

slice runtime_channel_service(slice channel)
{
    return channels_service(channel);
}

bool runtime_service_find(runtime *rt, slice service, uint64_t *origin)
{
    return channels_server(&rt->channels, service, origin);
}

void runtime_services(runtime *rt, void (*fn)(void *ctx, slice service, uint64_t origin), void *ctx)
{
    channels_services(&rt->channels, fn, ctx);
}

void runtime_channels_each(runtime *rt, void (*fn)(void *ctx, const channel_info *info), void *ctx)
{
    channels_each(&rt->channels, fn, ctx);
}

berth_status tail_open_channel(runtime *rt, slice channel, void (*wake)(void *ctx), void *ctx,
                               tail **out, berth_error *error)
{
    berth_status status = channel_name_check(channel, error);
    if (status != BERTH_OK)
        return status;
    *out = channels_tail(&rt->channels, channel, &rt->rings, wake, ctx);
    if (*out && rt->route.listen)
        rt->route.listen(rt->route.ctx, channel);
    return *out ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

berth_status tail_open_daemon(runtime *rt, uint64_t origin, tail_from from, void (*wake)(void *ctx),
                              void *ctx, tail **out, berth_error *error)
{
    struct daemon *d = registry_get(&rt->registry, origin);
    if (!d)
        return fail(error, BERTH_ERR_NOT_FOUND, "there is no daemon %016llx",
                    (unsigned long long)origin);
    ring *r = daemon_outputs(d);
    *out = r ? ring_open(r, from, wake, ctx) : NULL;
    daemon_unref(d);
    return *out ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}
