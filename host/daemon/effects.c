/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/effects.h"

#include "chain/channel.h"

#include <stdlib.h>
#include <string.h>

#define CONFIG_MAX (64 * 1024)
#define KIND_MAX   127
#define NAME_MAX_  127

static berth_code passed(effects *e, const char *limit)
{
    if (!e->limit)
        e->limit = limit;
    return BERTH_E_LIMIT;
}

/* A slot for one more effect of len bytes, or NULL: a limit was passed. Its contents are undefined.
 */
static effect *record(effects *e, uint64_t len)
{
    if (e->limit)
        return NULL;
    if (e->count >= e->limits.outputs) {
        passed(e, "outputs per call");
        return NULL;
    }
    if (len > e->limits.output_bytes - e->bytes) {
        passed(e, "output bytes per call");
        return NULL;
    }
    if (e->count == e->cap) {
        uint32_t cap = e->cap ? e->cap * 2 : 16;
        effect *items = realloc(e->items, cap * sizeof(*items));
        if (!items) {
            passed(e, "memory");
            return NULL;
        }
        e->items = items;
        e->cap = cap;
    }
    e->bytes += len;
    return &e->items[e->count];
}

static effect *record_general(effects *e, uint64_t len)
{
    effect *slot = record(e, len);
    if (slot)
        memset(slot, 0, sizeof(*slot));
    return slot;
}

/* An output to the caller uses no other member of its slot, and nobody reads them. */
static void fill_caller(effects *e, effect *slot, buf *bytes)
{
    slot->op = EFFECT_OUTPUT;
    slot->to = BERTH_TO_CALLER;
    slot->flags = 0;
    slot->bytes = bytes;
    slot->name = NULL;
    slot->label = NULL;
    e->count++;
}

static buf *payload(const void *ptr, uint64_t len)
{
    buf *b = buf_new(EFFECT_HEAD + len);
    if (b && len)
        memcpy(b->data + EFFECT_HEAD, ptr, len);
    return b;
}

berth_code effects_emit(effects *e, const void *ptr, uint64_t len)
{
    if (len && !ptr)
        return BERTH_E_ARGUMENT;
    effect *slot = record(e, len);
    if (!slot)
        return BERTH_E_LIMIT;
    buf *bytes = payload(ptr, len);
    if (!bytes)
        return passed(e, "memory");
    fill_caller(e, slot, bytes);
    return BERTH_OK;
}

berth_code effects_emit_buf(effects *e, buf *bytes)
{
    effect *slot = record(e, bytes->len - EFFECT_HEAD);
    if (!slot) {
        buf_unref(bytes);
        return BERTH_E_LIMIT;
    }
    fill_caller(e, slot, bytes);
    return BERTH_OK;
}

/*
 * Bring a struct of the plugin's header to ours: what it lacks is zero, what it has beyond ours
 * must be (the rule of Linux's copy_struct_from_user).
 */
static berth_code adopt(void *out, size_t ours, const void *in, size_t least)
{
    uint32_t size;
    if (!in)
        return BERTH_E_ARGUMENT;
    memcpy(&size, in, sizeof(size));
    if (size < least || size > 4096)
        return BERTH_E_ARGUMENT;
    const uint8_t *bytes = in;
    for (size_t i = ours; i < size; i++)
        if (bytes[i])
            return BERTH_E_NEWER;
    memset(out, 0, ours);
    memcpy(out, in, size < ours ? size : ours);
    return BERTH_OK;
}

static bool bytes_ok(berth_bytes b)
{
    return b.len == 0 || b.ptr;
}

static bool channel_ok(const berth_bytes *name)
{
    return channel_name_check(slice_of(name->ptr, name->len), NULL) == BERTH_OK;
}

/* A number of this very call, or of one before that is still open. */
static bool request_taken(const effects *e, const effect_context *c, uint64_t request)
{
    for (uint32_t i = 0; i < e->count; i++) {
        const effect *f = &e->items[i];
        bool asks = f->op == EFFECT_SPAWN || (f->op == EFFECT_OUTPUT && f->to == BERTH_TO_DAEMON);
        if (asks && f->request == request)
            return true;
    }
    return c->request_in_use && c->request_in_use(c->ctx, request);
}

static berth_code check_output(const effects *e, const effect_context *c, const berth_output *o)
{
    static const uint16_t allowed[] = {
        [BERTH_TO_CALLER] = 0,          [BERTH_TO_DAEMON] = 0,
        [BERTH_TO_CHANNEL] = 0,         [BERTH_TO_REPLY] = BERTH_MORE | BERTH_REFUSE,
        [BERTH_TO_SELF] = BERTH_CANCEL,
    };
    if (o->to > BERTH_TO_SELF || (o->flags & ~allowed[o->to]) || o->delay_ns < 0)
        return BERTH_E_ARGUMENT;
    if (!bytes_ok(o->data) || !bytes_ok(o->channel))
        return BERTH_E_ARGUMENT;
    switch (o->to) {
    case BERTH_TO_DAEMON:
        if (!o->request)
            return BERTH_OK;
        return c->has_reply && !request_taken(e, c, o->request) ? BERTH_OK : BERTH_E_ARGUMENT;
    case BERTH_TO_CHANNEL:
        return channel_ok(&o->channel) ? BERTH_OK : BERTH_E_ARGUMENT;
    case BERTH_TO_REPLY:
        return o->reply_to.w[0] | o->reply_to.w[1] | o->reply_to.w[2] | o->reply_to.w[3]
                   ? BERTH_OK
                   : BERTH_E_ARGUMENT;
    case BERTH_TO_SELF:
        return c->has_timer ? BERTH_OK : BERTH_E_ARGUMENT;
    default:
        return BERTH_OK;
    }
}

berth_code effects_output(effects *e, const effect_context *c, const berth_output *output)
{
    berth_output o;
    berth_code code = adopt(&o, sizeof(o), output, offsetof(berth_output, origin));
    if (code == BERTH_OK)
        code = check_output(e, c, &o);
    if (code != BERTH_OK)
        return code;
    uint64_t len = o.data.len + o.channel.len;
    effect *slot = record_general(e, len < o.data.len ? UINT64_MAX : len);
    if (!slot)
        return BERTH_E_LIMIT;
    slot->op = EFFECT_OUTPUT;
    slot->to = o.to;
    slot->flags = o.flags;
    slot->peer = o.origin;
    slot->request = o.request;
    slot->delay_ns = o.delay_ns;
    slot->reply_to = o.reply_to;
    slot->bytes = payload(o.data.ptr, o.data.len);
    slot->name = o.to == BERTH_TO_CHANNEL ? buf_copy(o.channel.ptr, o.channel.len) : NULL;
    if (!slot->bytes || (o.to == BERTH_TO_CHANNEL && !slot->name)) {
        buf_unref(slot->bytes);
        buf_unref(slot->name);
        return passed(e, "memory");
    }
    e->count++;
    return BERTH_OK;
}

berth_code effects_subscribe(effects *e, const berth_subscription *what, bool on)
{
    berth_subscription s;
    berth_code code = adopt(&s, sizeof(s), what, sizeof(s));
    if (code != BERTH_OK)
        return code;
    if (s.flags || !bytes_ok(s.channel) || !channel_ok(&s.channel))
        return BERTH_E_ARGUMENT;
    effect *slot = record_general(e, s.channel.len);
    if (!slot)
        return BERTH_E_LIMIT;
    slot->op = on ? EFFECT_SUBSCRIBE : EFFECT_UNSUBSCRIBE;
    slot->peer = s.publisher;
    slot->name = buf_copy(s.channel.ptr, s.channel.len);
    if (!slot->name)
        return passed(e, "memory");
    e->count++;
    return BERTH_OK;
}

berth_code effects_spawn(effects *e, const effect_context *c, const berth_spawn *spawn)
{
    berth_spawn s;
    berth_code code = adopt(&s, sizeof(s), spawn, offsetof(berth_spawn, request));
    if (code != BERTH_OK)
        return code;
    if (s.flags || !bytes_ok(s.kind) || !bytes_ok(s.name) || !bytes_ok(s.config) || !s.kind.len ||
        s.kind.len > KIND_MAX || s.name.len > NAME_MAX_ || s.config.len > CONFIG_MAX)
        return BERTH_E_ARGUMENT;
    if (s.request && (!c->has_reply || request_taken(e, c, s.request)))
        return BERTH_E_ARGUMENT;
    effect *slot = record_general(e, s.kind.len + s.name.len + s.config.len);
    if (!slot)
        return BERTH_E_LIMIT;
    slot->op = EFFECT_SPAWN;
    slot->request = s.request;
    slot->name = buf_copy(s.kind.ptr, s.kind.len);
    slot->label = s.name.len ? buf_copy(s.name.ptr, s.name.len) : NULL;
    slot->bytes = buf_copy(s.config.ptr, s.config.len);
    if (!slot->name || !slot->bytes || (s.name.len && !slot->label)) {
        buf_unref(slot->name);
        buf_unref(slot->label);
        buf_unref(slot->bytes);
        return passed(e, "memory");
    }
    e->count++;
    return BERTH_OK;
}

void effects_clear(effects *e)
{
    for (uint32_t i = 0; i < e->count; i++) {
        buf_unref(e->items[i].bytes);
        buf_unref(e->items[i].name);
        buf_unref(e->items[i].label);
    }
    e->count = 0;
    e->bytes = 0;
    e->limit = NULL;
}

void effects_fini(effects *e)
{
    effects_clear(e);
    free(e->items);
    *e = (effects){0};
}
