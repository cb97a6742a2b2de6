/* SPDX-License-Identifier: Apache-2.0 */
/* Events from outside: berth_deliver, berth_submit, and what the rooms above use. */
#include "daemon/spawn.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

struct berth_outputs {
    batch *done; /* the last delivery's batch: outputs and results live there */
};

berth_outputs *berth_outputs_new(void)
{
    return calloc(1, sizeof(berth_outputs));
}

void berth_outputs_clear(berth_outputs *o)
{
    if (o->done)
        o->done = batch_renew(o->done, 1); /* keeps its memory for the next delivery */
}

void berth_outputs_free(berth_outputs *o)
{
    if (!o)
        return;
    batch_free(o->done);
    free(o);
}

uint64_t berth_outputs_count(const berth_outputs *o)
{
    return o->done ? o->done->output_count : 0;
}

berth_output_view berth_outputs_at(const berth_outputs *o, uint64_t index)
{
    if (index >= berth_outputs_count(o))
        return (berth_output_view){0};
    const output *out = &o->done->outputs[index];
    berth_output_view view = {
        .data = out->bytes->data + EFFECT_HEAD,
        .len = out->bytes->len - EFFECT_HEAD,
        .input = out->input,
    };
    berth_link_decode(&view.link, out->bytes->data, EFFECT_HEAD);
    return view;
}

uint64_t berth_outputs_failed(const berth_outputs *o)
{
    return o->done ? o->done->failed : 0;
}

berth_status berth_outputs_status(const berth_outputs *o, uint64_t input)
{
    const batch *b = o->done;
    return b && b->codes && input < b->count ? b->codes[input] : BERTH_OK;
}

const char *berth_outputs_text(const berth_outputs *o, uint64_t input)
{
    const batch *b = o->done;
    return b && b->failed && b->first_failed == input && b->first_text ? b->first_text : "";
}

/* ---- Submitting ------------------------------------------------------------------------------ */

static berth_status no_daemon(uint64_t origin, berth_error *error)
{
    return fail(error, BERTH_ERR_NOT_FOUND, "there is no daemon %016llx",
                (unsigned long long)origin);
}

static berth_status check_sizes(const runtime *rt, const batch *b, berth_error *error)
{
    for (uint32_t i = 0; i < b->count; i++)
        if (b->messages[i].len > rt->limits.max_event)
            return fail(error, BERTH_ERR_LIMIT, "event %u has %llu bytes, %llu are allowed", i,
                        (unsigned long long)b->messages[i].len,
                        (unsigned long long)rt->limits.max_event);
    if (!b->count)
        return fail(error, BERTH_ERR_INVALID, "there is no event to deliver");
    return BERTH_OK;
}

/* The daemon, if it is here and what is handed in now would not overtake what is on its way. */
static struct daemon *reached(runtime *rt, uint64_t origin)
{
    struct daemon *d = registry_get(&rt->registry, origin);
    if (d && rt->route.behind && rt->route.behind(rt->route.ctx, origin)) {
        daemon_unref(d);
        return NULL;
    }
    return d;
}

static berth_status submit(runtime *rt, uint64_t origin, batch *b, bool here, void (*fn)(void *ctx),
                           void *ctx, berth_error *error)
{
    berth_status status = runtime_check(rt, false, error);
    if (status == BERTH_OK)
        status = check_sizes(rt, b, error);
    if (status != BERTH_OK)
        return status;
    credit *waiter = NULL;
    if (fn) {
        waiter = malloc(sizeof(*waiter));
        if (!waiter)
            return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
        *waiter = (credit){.fn = fn, .ctx = ctx};
    }
    struct daemon *d = here ? registry_get(&rt->registry, origin) : reached(rt, origin);
    if (!d) {
        free(waiter);
        if (here || !rt->route.submit)
            return no_daemon(origin, error);
        batch_seal(b);
        return rt->route.submit(rt->route.ctx, origin, b, fn, ctx, error);
    }
    batch_seal(b);
    status = mailbox_put(d, b, MAIL_CREDIT, waiter);
    if (status != BERTH_ERR_WOULD_BLOCK)
        free(waiter);
    if (status == BERTH_ERR_WOULD_BLOCK)
        fail(error, status, "the mailbox of daemon '%s' is full", d->name);
    else if (status != BERTH_OK)
        fail(error, status, "daemon '%s' is being stopped", d->name);
    daemon_unref(d);
    return status;
}

bool runtime_reaches_others(const runtime *rt)
{
    return rt->route.submit != NULL;
}

berth_status runtime_submit(runtime *rt, uint64_t origin, batch *b, void (*fn)(void *ctx),
                            void *ctx, berth_error *error)
{
    return submit(rt, origin, b, false, fn, ctx, error);
}

berth_status runtime_submit_here(runtime *rt, uint64_t origin, batch *b, void (*fn)(void *ctx),
                                 void *ctx, berth_error *error)
{
    return submit(rt, origin, b, true, fn, ctx, error);
}

/*
 * A batch of these inputs, in the memory of `old` if it has room. copy: the caller will not wait,
 * so their bytes are taken along.
 */
static batch *batch_of(batch *old, const berth_input *inputs, uint64_t count, bool copy,
                       berth_error *error)
{
    size_t bytes = 0;
    for (uint64_t i = 0; copy && i < count; i++)
        bytes += inputs[i].len;
    batch *b = NULL;
    if (count <= UINT32_MAX)
        b = copy ? batch_new((uint32_t)count, bytes) : batch_renew(old, (uint32_t)count);
    else if (old)
        batch_free(old);
    for (uint64_t i = 0; b && i < count; i++) {
        bool added = copy ? batch_add(b, inputs[i].data, inputs[i].len)
                          : batch_add_borrowed(b, inputs[i].data, inputs[i].len);
        if (!added) {
            batch_free(b);
            b = NULL;
        } else if (inputs[i].link) {
            b->messages[i].origin = inputs[i].link->origin;
            b->messages[i].sequence = inputs[i].link->sequence;
        }
    }
    if (!b && count)
        fail(error, BERTH_ERR_NO_MEMORY, "out of memory for %llu events",
             (unsigned long long)count);
    else if (!b)
        fail(error, BERTH_ERR_INVALID, "there is no event to deliver");
    return b;
}

static void delivered(void *ctx, batch *b)
{
    (void)b;
    latch_answer(ctx, BERTH_OK, NULL);
}

static berth_status result_of(const batch *b, berth_error *error)
{
    if (b->first_status == BERTH_OK)
        return BERTH_OK;
    return fail(error, b->first_status, "event %u: %s%s%s", b->first_failed,
                berth_status_text(b->first_status), b->first_text ? ": " : "",
                b->first_text ? b->first_text : "");
}

static void room(void *ctx)
{
    latch_answer(ctx, BERTH_OK, NULL);
}

/* Submit, waiting for room as long as there is none. */
static berth_status submit_wait(runtime *rt, uint64_t origin, batch *b, berth_error *error)
{
    for (;;) {
        latch l;
        latch_init(&l, 1);
        berth_status status = runtime_submit(rt, origin, b, room, &l, error);
        if (status == BERTH_ERR_WOULD_BLOCK)
            latch_wait(&l, NULL);
        latch_fini(&l);
        if (status != BERTH_ERR_WOULD_BLOCK)
            return status;
    }
}

static berth_status deliver(runtime *rt, uint64_t origin, batch *b, berth_error *error)
{
    berth_status status = check_sizes(rt, b, error);
    if (status != BERTH_OK)
        return status;
    struct daemon *d = reached(rt, origin);
    if (!d && !rt->route.submit)
        return no_daemon(origin, error);
    runner *on = d ? dispatcher_borrow(rt->dispatcher) : NULL;
    latch done;
    latch_init(&done, 1);
    b->done = delivered;
    b->ctx = &done;
    batch_seal(b);
    bool ran = false;
    if (on) {
        bool before = dispatcher_enter(true);
        ran = daemon_run_here(d, b, on);
        dispatcher_enter(before);
        dispatcher_return(rt->dispatcher, on);
    }
    if (d)
        daemon_unref(d);
    if (!ran)
        status = submit_wait(rt, origin, b, error);
    if (status == BERTH_OK) {
        latch_wait(&done, NULL);
        status = result_of(b, error);
        b->done = NULL;
    } else {
        b->done = NULL;
    }
    latch_fini(&done);
    return status;
}

berth_status berth_deliver_batch(berth_runtime *rt, uint64_t origin, const berth_input *inputs,
                                 uint64_t count, berth_outputs *outputs, berth_error *error)
{
    berth_status status = runtime_check(rt, true, error);
    if (status != BERTH_OK)
        return status;
    batch *b = batch_of(outputs ? outputs->done : NULL, inputs, count, false, error);
    if (outputs)
        outputs->done = b;
    if (!b)
        return count ? BERTH_ERR_NO_MEMORY : BERTH_ERR_INVALID;
    b->want_outputs = outputs != NULL;
    status = deliver(rt, origin, b, error);
    if (!outputs)
        batch_free(b);
    return status;
}

berth_status berth_deliver(berth_runtime *rt, uint64_t origin, const void *data, uint64_t len,
                           berth_outputs *outputs, berth_error *error)
{
    berth_input input = {.data = data, .len = len};
    return berth_deliver_batch(rt, origin, &input, 1, outputs, error);
}

/* ---- Posting --------------------------------------------------------------------------------- */

typedef struct posted {
    callback base; /* first */
    runtime *rt;
    berth_submitted *fn;
    void *ctx;
    berth_status status;
    uint64_t failed;
} posted;

static void tell_posted(callback *c)
{
    posted *p = (posted *)c;
    p->fn(p->ctx, p->status, p->failed);
    free(p);
}

static void was_applied(void *ctx, batch *b)
{
    posted *p = ctx;
    p->status = b->first_status;
    p->failed = b->failed;
    batch_free(b);
    if (!observers_call(&p->rt->observers, &p->base))
        free(p);
}

static berth_status post(runtime *rt, uint64_t origin, const berth_input *inputs, uint64_t count,
                         berth_submitted *done, void *ctx, bool wait, berth_error *error)
{
    berth_status status = runtime_check(rt, wait, error);
    if (status != BERTH_OK)
        return status;
    posted *p = NULL;
    batch *b = batch_of(NULL, inputs, count, true, error);
    if (!b)
        return count ? BERTH_ERR_NO_MEMORY : BERTH_ERR_INVALID;
    if (done) {
        p = calloc(1, sizeof(*p));
        if (!p) {
            batch_free(b);
            return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
        }
        *p = (posted){.base = {.run = tell_posted}, .rt = rt, .fn = done, .ctx = ctx};
        b->done = was_applied;
        b->ctx = p;
    }
    status =
        wait ? submit_wait(rt, origin, b, error) : runtime_submit(rt, origin, b, NULL, NULL, error);
    if (status != BERTH_OK) {
        free(p);
        batch_free(b);
    }
    return status;
}

berth_status berth_submit(berth_runtime *rt, uint64_t origin, const berth_input *inputs,
                          uint64_t count, berth_submitted *done, void *ctx, berth_error *error)
{
    return post(rt, origin, inputs, count, done, ctx, false, error);
}

berth_status berth_submit_wait(berth_runtime *rt, uint64_t origin, const berth_input *inputs,
                               uint64_t count, berth_submitted *done, void *ctx, berth_error *error)
{
    return post(rt, origin, inputs, count, done, ctx, true, error);
}
