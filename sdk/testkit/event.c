/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static berth_handler *handler_of(const berth_kind *kind, uint16_t type)
{
    switch (type) {
    case BERTH_EVENT_START:
        return kind->on_start;
    case BERTH_EVENT_MESSAGE:
        return kind->process;
    case BERTH_EVENT_TIMER:
        return kind->on_timer;
    case BERTH_EVENT_REPLY:
        return kind->on_reply;
    case BERTH_EVENT_POST:
        return kind->on_post;
    case BERTH_EVENT_CONTROL:
        return kind->on_control;
    default:
        return NULL;
    }
}

berth_code berth_test_deliver(berth_test_daemon *d, const berth_event *event)
{
    berth_handler *handler = handler_of(d->kind, event->type);
    berth_event e = *event;

    if (!handler)
        return kit_refuse(d, "the kind has no handler for this type of event");
    if (e.data.len > d->birth.max_event)
        return kit_refuse(d, "the data is longer than max_event");
    e.size = sizeof e;
    if (e.time_ns == 0)
        e.time_ns = d->test->now;
    if (e.seed[0] == 0 && e.seed[1] == 0)
        kit_take_seed(d->test, e.seed);
    if (e.attempt == 0)
        e.attempt = 1;

    kit_odd_copy data = kit_odd_copy_of(e.data, 0);
    kit_odd_copy channel = kit_odd_copy_of(e.channel, 0);
    e.data = data.bytes;
    e.channel = channel.bytes;
    berth_call *call = kit_begin_call(d, PHASE_HANDLER);
    berth_code code = record_end(kit_last_call(d), handler(d->instance->self, call, &e));
    free(data.block);
    free(channel.block);
    const kit_call *done = kit_last_call(d);
    for (size_t i = 0; i < done->effect_count; i++)
        world_apply(&d->world, &done->effects[i], d->test->now);
    return code;
}

static berth_code deliver(berth_test_daemon *d, uint16_t type, int32_t status, uint64_t request,
                          const void *data, uint64_t len)
{
    berth_event e = {.type = type, .status = status, .request = request, .data = {data, len}};
    return berth_test_deliver(d, &e);
}

berth_code berth_test_start(berth_test_daemon *d, int32_t reason)
{
    return deliver(d, BERTH_EVENT_START, reason, 0, NULL, 0);
}

berth_code berth_test_message(berth_test_daemon *d, const void *data, uint64_t len)
{
    return deliver(d, BERTH_EVENT_MESSAGE, 0, 0, data, len);
}

berth_ref berth_test_ref(uint64_t request)
{
    return (berth_ref){{UINT64_C(0x7465737472656600), request, ~request, 1}};
}

berth_code berth_test_ask(berth_test_daemon *d, uint64_t request, const void *data, uint64_t len)
{
    berth_event e = {.type = BERTH_EVENT_MESSAGE,
                     .data = {data, len},
                     .origin = UINT64_C(0xa5ce2),
                     .sequence = ++d->sequence,
                     .reply_to = berth_test_ref(request)};
    return berth_test_deliver(d, &e);
}

berth_code berth_test_control(berth_test_daemon *d, int32_t control, uint64_t operand)
{
    return deliver(d, BERTH_EVENT_CONTROL, control, operand, NULL, 0);
}

berth_code berth_test_reply(berth_test_daemon *d, uint64_t request, int32_t status, uint16_t flags,
                            const void *data, uint64_t len)
{
    berth_event e = {.type = BERTH_EVENT_REPLY,
                     .flags = flags,
                     .status = status,
                     .request = request,
                     .data = {data, len}};

    if (!world_requested(&d->world, request))
        return kit_refuse(d, "the daemon has no such request open");
    if (!(flags & BERTH_MORE))
        world_close_request(&d->world, request);
    return berth_test_deliver(d, &e);
}

static berth_code fire(berth_test_daemon *d, kit_timer *pending)
{
    kit_timer timer = world_take_timer(&d->world, pending);

    if (timer.due_ns > d->test->now)
        d->test->now = timer.due_ns;
    berth_code code = deliver(d, BERTH_EVENT_TIMER, 0, timer.number, timer.data, timer.len);
    free(timer.data);
    return code;
}

berth_code berth_test_fire(berth_test_daemon *d, uint64_t number)
{
    kit_timer *timer = world_timer(&d->world, number);
    return timer ? fire(d, timer) : kit_refuse(d, "no timer with this number is pending");
}

size_t berth_test_run_timers(berth_test_daemon *d)
{
    size_t count = 0;

    for (kit_timer *timer; (timer = world_due(&d->world, d->test->now)) != NULL; count++)
        fire(d, timer);
    return count;
}

berth_code berth_test_run_post(berth_test_daemon *d)
{
    pthread_mutex_lock(&d->test->lock);
    kit_post *post = d->posts;
    if (post) {
        d->posts = post->next;
        if (!d->posts)
            d->posts_end = &d->posts;
        d->post_count--;
    }
    pthread_mutex_unlock(&d->test->lock);
    if (!post)
        return kit_refuse(d, "no post is waiting");
    berth_code code = deliver(d, BERTH_EVENT_POST, 0, 0, post->bytes, post->len);
    free(post);
    return code;
}

size_t berth_test_post_count(berth_test_daemon *d)
{
    pthread_mutex_lock(&d->test->lock);
    size_t count = d->post_count;
    pthread_mutex_unlock(&d->test->lock);
    return count;
}

/* ---- Looking ---- */

size_t berth_test_effect_count(const berth_test_daemon *d)
{
    return d->calls[d->call_at].effect_count;
}

const berth_test_effect *berth_test_effect_at(const berth_test_daemon *d, size_t i)
{
    const kit_call *c = &d->calls[d->call_at];
    return i < c->effect_count ? &c->effects[i] : NULL;
}

berth_bytes berth_test_output(const berth_test_daemon *d, size_t i)
{
    const kit_call *c = &d->calls[d->call_at];

    for (size_t k = 0; k < c->effect_count; k++) {
        const berth_test_effect *e = &c->effects[k];
        if (e->what == BERTH_TEST_OUTPUT && e->to == BERTH_TO_CALLER && i-- == 0)
            return e->data;
    }
    return (berth_bytes){NULL, 0};
}

int berth_test_emitted(const berth_test_daemon *d, size_t i, const char *text)
{
    berth_bytes have = berth_test_output(d, i);
    return have.ptr && have.len == strlen(text) && memcmp(have.ptr, text, have.len) == 0;
}

int berth_test_requested(const berth_test_daemon *d, uint64_t request)
{
    return world_requested(&d->world, request);
}

int berth_test_timer(const berth_test_daemon *d, uint64_t number, int64_t *due_ns)
{
    const kit_timer *timer = world_timer(&d->world, number);

    if (timer && due_ns)
        *due_ns = timer->due_ns;
    return timer != NULL;
}
