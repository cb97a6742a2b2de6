/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of one daemon, between two of its events, and waited for. */
#include "daemon/spawn.h"

#include "base/error.h"
#include "chain/channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct question {
    command command; /* first */
    latch wait;
    void (*fn)(struct question *q, struct daemon *d);
    void *ctx; /* bytes that fn leaves for the asker, count of them */
    uint64_t publisher;
    slice channel, group, token;
    const berth_token_chain *chain;
    bool on;
    bool ran; /* fn was called */
    size_t count;
    latch *stored; /* answered when the store has it; NULL: nothing is stored */
} question;

static void answer(command *c, struct daemon *d)
{
    (void)d;
    latch_answer(&((question *)c)->wait, c->status, &c->error);
}

static void call_fn(command *c, struct daemon *d)
{
    question *q = (question *)c;
    q->ran = true;
    q->fn(q, d);
}

static berth_status ask(runtime *rt, uint64_t origin, question *q, berth_error *error)
{
    berth_status status = runtime_check(rt, true, error);
    if (status != BERTH_OK)
        return status;
    struct daemon *d = registry_get(&rt->registry, origin);
    if (!d)
        return fail(error, BERTH_ERR_NOT_FOUND, "there is no daemon %016llx",
                    (unsigned long long)origin);
    q->command.done = answer;
    q->command.fn = call_fn;
    latch_init(&q->wait, 1);
    if (mailbox_command(d, &q->command))
        status = latch_wait(&q->wait, error);
    else
        status = fail(error, BERTH_ERR_STALE, "daemon '%s' has just been stopped", d->name);
    latch_fini(&q->wait);
    daemon_unref(d);
    return status;
}

berth_status berth_snapshot(berth_runtime *rt, uint64_t origin, void **bytes, uint64_t *len,
                            berth_error *error)
{
    latch on_disk;
    latch_init(&on_disk, 1);
    question q = {.command = {.kind = COMMAND_SNAPSHOT, .on_disk = &on_disk}};
    *bytes = NULL;
    *len = 0;
    berth_status status = ask(rt, origin, &q, error);
    if (q.command.container && rt->store) {
        berth_error why = {0};
        berth_status kept = latch_wait(&on_disk, &why);
        if (status == BERTH_OK && kept != BERTH_OK)
            status = fail(error, kept, "the snapshot was taken but not stored: %s", why.text);
    }
    latch_fini(&on_disk);
    if (status == BERTH_OK) {
        *bytes = malloc(q.command.container->len);
        *len = q.command.container->len;
        if (*bytes)
            memcpy(*bytes, q.command.container->data, *len);
        else
            status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    buf_unref(q.command.container);
    return status;
}

static void flushed(void *ctx, batch *b)
{
    berth_status status = b->first_status;
    batch_free(b);
    latch_answer(ctx, status, NULL);
}

/* A mark behind what is in the mailbox now. To wait until it is empty could be for ever. */
berth_status berth_flush(berth_runtime *rt, uint64_t origin, berth_error *error)
{
    berth_event mark = {.type = EVENT_MARK};
    berth_status status = runtime_check(rt, true, error);
    if (status != BERTH_OK)
        return status;
    struct daemon *d = registry_get(&rt->registry, origin);
    batch *b = d ? batch_of_event(&mark, NULL) : NULL;
    if (!d)
        return fail(error, BERTH_ERR_NOT_FOUND, "there is no daemon %016llx",
                    (unsigned long long)origin);
    latch wait;
    latch_init(&wait, 1);
    if (b) {
        b->done = flushed;
        b->ctx = &wait;
    }
    if (!b) {
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    } else if (mailbox_put(d, b, MAIL_SYSTEM, NULL) != BERTH_OK) {
        batch_free(b);
        status = fail(error, BERTH_ERR_STALE, "daemon '%s' has just been stopped", d->name);
    } else if (latch_wait(&wait, NULL) != BERTH_OK) {
        status = fail(error, BERTH_ERR_CANCELLED, "daemon '%s' was stopped before", d->name);
    }
    latch_fini(&wait);
    daemon_unref(d);
    return status;
}

static void control_done(void *ctx, batch *b)
{
    latch_answer(ctx, BERTH_OK, NULL);
    (void)b;
}

berth_status berth_control(berth_runtime *rt, uint64_t origin, int32_t control, uint64_t operand,
                           berth_error *error)
{
    berth_status status = runtime_check(rt, true, error);
    if (status != BERTH_OK)
        return status;
    struct daemon *d = registry_get(&rt->registry, origin);
    if (!d)
        return fail(error, BERTH_ERR_NOT_FOUND, "there is no daemon %016llx",
                    (unsigned long long)origin);
    if (control < BERTH_CONTROL_SHUTDOWN || control > BERTH_CONTROL_BACKPRESSURE_OFF) {
        status = fail(error, BERTH_ERR_INVALID, "there is no control %d", (int)control);
        goto out;
    }
    if (!d->make->kind->table.on_control) {
        status = fail(error, BERTH_ERR_UNSUPPORTED, "kind '%s' of daemon '%s' takes no controls",
                      daemon_kind_name(d), d->name);
        goto out;
    }
    latch wait;
    latch_init(&wait, 1);
    berth_event event = {.type = BERTH_EVENT_CONTROL, .status = control, .request = operand};
    batch *b = batch_of_event(&event, NULL);
    if (b) {
        b->done = control_done;
        b->ctx = &wait;
        status = mailbox_put(d, b, MAIL_URGENT, NULL);
        if (status == BERTH_OK)
            latch_wait(&wait, NULL);
        if (status != BERTH_OK)
            fail(error, status, "daemon '%s' has just been stopped", d->name);
        else if (b->first_status != BERTH_OK)
            status = fail(error, b->first_status, "daemon '%s': %s%s%s", d->name,
                          berth_status_text(b->first_status), b->first_text ? ": " : "",
                          b->first_text ? b->first_text : "");
    } else {
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    batch_free(b);
    latch_fini(&wait);
out:
    daemon_unref(d);
    return status;
}

/* ---- Subscriptions --------------------------------------------------------------------------- */

static void subscribe(question *q, struct daemon *d)
{
    q->command.status = daemon_subscribe(d, q->publisher, q->channel, &q->group,
                                         q->token.ptr ? &q->token : NULL, q->on, &q->command.error);
}

berth_status berth_subscribe_group(berth_runtime *rt, uint64_t origin, uint64_t publisher,
                                   const char *channel, const char *group, const void *token,
                                   uint64_t token_len, berth_error *error)
{
    question q = {.command = {.kind = COMMAND_CALL},
                  .fn = subscribe,
                  .publisher = publisher,
                  .channel = slice_str(channel),
                  .group = slice_str(group ? group : ""),
                  .token = slice_of(token, token_len),
                  .on = true};
    berth_status status = channel_name_check(q.channel, error);
    if (status == BERTH_OK)
        status = bonds_group_check(q.group, error);
    return status == BERTH_OK ? ask(rt, origin, &q, error) : status;
}

berth_status berth_subscribe_channel(berth_runtime *rt, uint64_t origin, uint64_t publisher,
                                     const char *channel, const void *token, uint64_t token_len,
                                     berth_error *error)
{
    return berth_subscribe_group(rt, origin, publisher, channel, NULL, token, token_len, error);
}

berth_status berth_unsubscribe_channel(berth_runtime *rt, uint64_t origin, uint64_t publisher,
                                       const char *channel, berth_error *error)
{
    question q = {.command = {.kind = COMMAND_CALL},
                  .fn = subscribe,
                  .publisher = publisher,
                  .channel = slice_str(channel)};
    return ask(rt, origin, &q, error);
}

static void copy_ledger(question *q, struct daemon *d)
{
    if (!d->more || !d->more->ledger.count)
        return;
    writer w = {0};
    q->command.status = ledger_encode(&w, &d->more->ledger, &q->command.error);
    q->ctx = w.data; /* decoded again by the asker, on its own thread */
    q->count = w.len;
}

berth_status berth_subscriptions(berth_runtime *rt, uint64_t origin,
                                 void (*fn)(void *ctx, uint64_t publisher, const char *channel,
                                            const void *token, uint64_t token_len),
                                 void *ctx, berth_error *error)
{
    question q = {.command = {.kind = COMMAND_CALL}, .fn = copy_ledger};
    berth_status status = ask(rt, origin, &q, error);
    binding *list = NULL;
    size_t n = 0;
    if (status == BERTH_OK && q.count)
        status = bindings_decode(slice_of(q.ctx, q.count), &list, &n, error);
    for (size_t i = 0; status == BERTH_OK && i < n; i++) {
        char name[CHANNEL_NAME_MAX + 1];
        memcpy(name, list[i].channel.ptr, list[i].channel.len);
        name[list[i].channel.len] = 0;
        fn(ctx, list[i].publisher, name, list[i].has_token ? list[i].token.ptr : NULL,
           list[i].has_token ? list[i].token.len : 0);
    }
    free(list);
    free(q.ctx);
    return status;
}

void runtime_hearings(runtime *rt, uint64_t origin, void (*fn)(void *ctx, const runtime_hearing *h),
                      void *ctx)
{
    struct daemon *d = registry_get(&rt->registry, origin);
    if (!d)
        return;
    channels_of(&rt->channels, d, fn, ctx);
    daemon_unref(d);
}

/* ---- What the operator wants ----------------------------------------------------------------- */

/* The row as it is to be from now on; the latch is answered in any case. */
static void keep_wants(question *q, struct daemon *d)
{
    writer w = {0};
    store_daemon row = {0};
    berth_status status = daemon_wants_bytes(d, &w, &q->command.error);
    memcpy(row.entity, d->make->key.entity, sizeof(row.entity));
    row.name = d->name;
    row.wants = slice_of(w.data, w.len);
    if (status == BERTH_OK)
        store_update_daemon(d->rt->store, &row, STORE_SET_WANTS, store_answered, q->stored);
    else
        latch_answer(q->stored, status, &q->command.error);
    writer_free(&w);
}

static berth_status take_want(question *q, struct daemon *d)
{
    extras *x = daemon_extras(d);
    berth_error *error = &q->command.error;
    if (!x)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (!q->on) {
        bool heard = ledger_has(&x->ledger, 0, q->channel);
        if (!bonds_forget(&x->wants, q->channel) && !heard)
            return fail(error, BERTH_ERR_NOT_FOUND,
                        "daemon '%s' is not subscribed to channel '%.*s'", d->name,
                        (int)q->channel.len, (const char *)q->channel.ptr);
        return daemon_subscribe(d, 0, q->channel, NULL, NULL, false, error);
    }
    if (!bonds_find(&x->wants, q->channel, NULL) &&
        x->wants.channel_count >= WANTS_SUBSCRIPTIONS_MAX + WANTS_SERVICES_MAX)
        return fail(error, BERTH_ERR_LIMIT, "daemon '%s' was subscribed to %u channels already",
                    d->name, x->wants.channel_count);
    berth_status status = daemon_subscribe(d, 0, q->channel, &q->group, NULL, true, error);
    return status == BERTH_OK ? bonds_put(&x->wants, q->channel, q->group, error) : status;
}

static void want(question *q, struct daemon *d)
{
    q->command.status = take_want(q, d);
    if (!q->stored)
        return;
    if (q->command.status == BERTH_OK)
        keep_wants(q, d);
    else
        latch_answer(q->stored, BERTH_OK, NULL);
}

/* Ask, and wait for the store as well. */
static berth_status ask_and_keep(runtime *rt, uint64_t origin, question *q, berth_error *error)
{
    latch stored;
    latch_init(&stored, 1);
    q->stored = rt->store ? &stored : NULL;
    q->command.kind = COMMAND_CALL;
    berth_status status = ask(rt, origin, q, error);
    if (q->ran && q->stored) {
        berth_error why = {0};
        berth_status kept = latch_wait(&stored, &why);
        if (status == BERTH_OK && kept != BERTH_OK)
            status =
                fail(error, kept, "it is so now, and will not be after a restart: %s", why.text);
    }
    q->stored = NULL;
    latch_fini(&stored);
    return status;
}

berth_status runtime_subscribe(runtime *rt, uint64_t origin, slice channel, slice group, bool on,
                               berth_error *error)
{
    question q = {.fn = want, .channel = channel, .group = group, .on = on};
    berth_status status = channel_name_check(channel, error);
    if (status == BERTH_OK)
        status = bonds_group_check(group, error);
    return status == BERTH_OK ? ask_and_keep(rt, origin, &q, error) : status;
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

static void hold(question *q, struct daemon *d)
{
    berth_error *error = &q->command.error;
    extras *x = daemon_extras(d);
    berth_status status = x ? daemon_hold_token(d, q->chain, error)
                            : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (status == BERTH_OK)
        status = bonds_keep(&x->wants, q->chain, daemon_now_s(), error);
    if (status == BERTH_OK)
        status = daemon_renew(d, error);
    q->command.status = status;
    if (q->stored && status == BERTH_OK)
        keep_wants(q, d);
    else if (q->stored)
        latch_answer(q->stored, BERTH_OK, NULL);
}

berth_status berth_give_token(berth_runtime *rt, uint64_t origin, const void *bytes, uint64_t len,
                              berth_error *error)
{
    berth_token_chain tokens;
    question q = {.fn = hold, .chain = &tokens};
    berth_status status = runtime_check(rt, true, error);
    if (status != BERTH_OK)
        return status;
    struct daemon *d = registry_get(&rt->registry, origin);
    if (!d)
        return fail(error, BERTH_ERR_NOT_FOUND, "there is no daemon %016llx",
                    (unsigned long long)origin);
    status = daemon_token_check(d->make->key.entity, slice_of(bytes, len), &tokens, error);
    daemon_unref(d);
    return status == BERTH_OK ? ask_and_keep(rt, origin, &q, error) : status;
}

buf *runtime_tokens(runtime *rt, uint64_t origin)
{
    struct daemon *d = registry_get(&rt->registry, origin);
    buf *tokens = NULL;
    if (!d)
        return NULL;
    pthread_mutex_lock(&d->lock);
    if (d->tokens)
        tokens = buf_ref(d->tokens);
    pthread_mutex_unlock(&d->lock);
    daemon_unref(d);
    return tokens;
}

/* ---- Sources --------------------------------------------------------------------------------- */

static void forget_source(question *q, struct daemon *d)
{
    cursor_entry *c = d->more ? strmap_del(&d->more->cursors, q->channel) : NULL;
    if (!c)
        q->command.status =
            fail(&q->command.error, BERTH_ERR_NOT_FOUND, "daemon '%s' knows no source '%.*s'",
                 d->name, (int)q->channel.len, (const char *)q->channel.ptr);
    free(c);
}

static void need_link(command *c, struct daemon *d)
{
    (void)c;
    daemon_link(d);
}

static void free_command(command *c, struct daemon *d)
{
    (void)d;
    free(c);
}

void runtime_need_link(runtime *rt, uint64_t origin)
{
    struct daemon *d = registry_get(&rt->registry, origin);
    command *c = d ? calloc(1, sizeof(*c)) : NULL;
    if (c) {
        *c = (command){.kind = COMMAND_CALL, .fn = need_link, .done = free_command};
        if (!mailbox_command(d, c))
            free(c);
    }
    if (d)
        daemon_unref(d);
}

typedef struct dropping {
    command command; /* first */
    void (*done)(void *ctx);
    void *ctx;
    char source[65];
} dropping;

static void drop_source(command *c, struct daemon *d)
{
    const dropping *x = (const dropping *)c;
    if (d->more)
        free(strmap_del(&d->more->cursors, slice_str(x->source)));
}

static void source_dropped(command *c, struct daemon *d)
{
    dropping *x = (dropping *)c;
    (void)d;
    if (x->done)
        x->done(x->ctx);
    free(x);
}

bool runtime_drop_source(runtime *rt, uint64_t origin, const char *source, void (*done)(void *ctx),
                         void *ctx)
{
    struct daemon *d = registry_get(&rt->registry, origin);
    dropping *x = d ? calloc(1, sizeof(*x)) : NULL;
    bool asked = false;
    if (x) {
        x->command = (command){
            .kind = COMMAND_CALL, .fn = drop_source, .done = source_dropped, .own = false};
        x->done = done;
        x->ctx = ctx;
        snprintf(x->source, sizeof(x->source), "%s", source);
        asked = mailbox_command(d, &x->command);
    }
    if (!asked)
        free(x);
    if (d)
        daemon_unref(d);
    return asked;
}

berth_status runtime_close_source(runtime *rt, uint64_t origin, const char *source,
                                  berth_error *error)
{
    question q = {
        .command = {.kind = COMMAND_CALL}, .fn = forget_source, .channel = slice_str(source)};
    return ask(rt, origin, &q, error);
}
