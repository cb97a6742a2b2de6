/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* What an option struct may have at most: nobody's next version is that long. */
#define STRUCT_MAX 4096
/* Of kinds and daemons. */
#define NAME_MAX_ 127

static kit_call *kit_call_of(berth_call *call)
{
    return (kit_call *)call;
}

/* Whether an effect may be recorded now; else the answer. */
static berth_code may_record(const kit_call *c)
{
    if (c->phase != PHASE_HANDLER || !pthread_equal(c->thread, pthread_self()))
        return BERTH_E_NOT_NOW;
    return c->limit ? BERTH_E_LIMIT : BERTH_OK;
}

static bool bytes_valid(berth_bytes b)
{
    return b.ptr || b.len == 0;
}

static bool channel_valid(berth_bytes name)
{
    const char *p = name.ptr;

    if (!p || name.len == 0 || name.len > 255)
        return false;
    for (uint64_t i = 0; i < name.len; i++) {
        bool letter = p[i] >= 'a' && p[i] <= 'z';
        bool digit = p[i] >= '0' && p[i] <= '9';
        if (!letter && !digit && (p[i] == 0 || !strchr("-_./", p[i])))
            return false;
    }
    return true;
}

/* An option struct of `size` bytes, of which we know `known`: copies what we know, or says why not.
 */
static berth_code copy_options(void *out, size_t known, const void *from)
{
    const uint8_t *bytes = from;
    uint32_t size;

    if (!from)
        return BERTH_E_ARGUMENT;
    memcpy(&size, from, sizeof size);
    if (size < known || size > STRUCT_MAX)
        return BERTH_E_ARGUMENT;
    for (size_t i = known; i < size; i++) {
        if (bytes[i])
            return BERTH_E_NEWER;
    }
    memcpy(out, from, known);
    return BERTH_OK;
}

/* ---- Recording ---- */

static berth_code pass_limit(kit_call *c)
{
    c->limit = true;
    return BERTH_E_LIMIT;
}

/* Whether an effect of len bytes still fits. */
static bool fits(const kit_call *c, uint64_t len)
{
    const berth_test_birth *limits = &c->daemon->birth;
    return c->effect_count < limits->max_outputs &&
           len <= limits->max_output_bytes - c->effect_bytes;
}

static void *hold(kit_call *c, uint64_t len)
{
    kit_chunk *chunk = kit_grow(NULL, sizeof *chunk + len);

    chunk->next = c->chunks;
    c->chunks = chunk;
    return chunk->bytes;
}

static berth_bytes held_copy(kit_call *c, berth_bytes from)
{
    if (from.len == 0)
        return (berth_bytes){"", 0};
    void *bytes = hold(c, from.len);
    memcpy(bytes, from.ptr, from.len);
    return (berth_bytes){bytes, from.len};
}

static void append(kit_call *c, const berth_test_effect *effect)
{
    if (c->effect_count == c->effect_cap) {
        c->effect_cap = c->effect_cap ? c->effect_cap * 2 : 8;
        c->effects = kit_grow(c->effects, c->effect_cap * sizeof *c->effects);
    }
    c->effects[c->effect_count++] = *effect;
    c->reserved = NULL;
}

/* Copy what the effect refers to, and record it. Only the payload counts against max_output_bytes.
 */
static berth_code record(kit_call *c, berth_test_effect *effect)
{
    if (!fits(c, effect->data.len))
        return pass_limit(c);
    c->effect_bytes += effect->data.len;
    effect->data = held_copy(c, effect->data);
    effect->channel = held_copy(c, effect->channel);
    effect->kind = held_copy(c, effect->kind);
    effect->name = held_copy(c, effect->name);
    append(c, effect);
    return BERTH_OK;
}

/* Whether a request number can be opened in this call. */
static bool request_free(const kit_call *c, uint64_t request)
{
    if (!c->daemon->kind->on_reply || world_requested(&c->daemon->world, request))
        return false;
    for (size_t i = 0; i < c->effect_count; i++) {
        const berth_test_effect *e = &c->effects[i];
        if (e->request == request && (e->what == BERTH_TEST_SPAWN || e->to == BERTH_TO_DAEMON))
            return false;
    }
    return true;
}

/* ---- The functions of berth_call_api ---- */

static berth_code call_emit(berth_call *call, const void *ptr, uint64_t len)
{
    kit_call *c = kit_call_of(call);
    berth_code code = may_record(c);
    berth_test_effect effect = {.what = BERTH_TEST_OUTPUT, .data = {ptr, len}};

    if (code != BERTH_OK)
        return code;
    return bytes_valid(effect.data) ? record(c, &effect) : BERTH_E_ARGUMENT;
}

/* Whether an output makes sense; members that its `to` does not use are not looked at. */
static berth_code check_output(const kit_call *c, const berth_output *o)
{
    static const uint16_t flags_of[] = {
        [BERTH_TO_REPLY] = BERTH_MORE | BERTH_REFUSE,
        [BERTH_TO_SELF] = BERTH_CANCEL,
    };
    const berth_ref *ref = &o->reply_to;

    if (o->to > BERTH_TO_SELF || (o->flags & ~flags_of[o->to]) || o->delay_ns < 0 ||
        !bytes_valid(o->data))
        return BERTH_E_ARGUMENT;
    bool good = true;
    switch (o->to) {
    case BERTH_TO_DAEMON:
        good = !o->request || request_free(c, o->request);
        break;
    case BERTH_TO_CHANNEL:
        good = channel_valid(o->channel);
        break;
    case BERTH_TO_REPLY:
        good = ref->w[0] || ref->w[1] || ref->w[2] || ref->w[3];
        break;
    case BERTH_TO_SELF:
        good = c->daemon->kind->on_timer != NULL;
        break;
    default:
        break;
    }
    return good ? BERTH_OK : BERTH_E_ARGUMENT;
}

static berth_code call_output(berth_call *call, const berth_output *output)
{
    kit_call *c = kit_call_of(call);
    berth_output o;
    berth_code code = may_record(c);

    if (code == BERTH_OK)
        code = copy_options(&o, sizeof o, output);
    if (code == BERTH_OK)
        code = check_output(c, &o);
    if (code != BERTH_OK)
        return code;

    berth_test_effect effect = {
        .what = BERTH_TEST_OUTPUT, .to = o.to, .flags = o.flags, .data = o.data};
    switch (o.to) {
    case BERTH_TO_DAEMON:
        effect.origin = o.origin;
        effect.request = o.request;
        effect.delay_ns = o.request ? o.delay_ns : 0;
        break;
    case BERTH_TO_CHANNEL:
        effect.channel = o.channel;
        break;
    case BERTH_TO_REPLY:
        effect.reply_to = o.reply_to;
        break;
    case BERTH_TO_SELF:
        effect.request = o.request;
        effect.delay_ns = o.delay_ns;
        break;
    default:
        break;
    }
    return record(c, &effect);
}

static void *call_reserve(berth_call *call, uint64_t cap)
{
    kit_call *c = kit_call_of(call);

    if (may_record(c) != BERTH_OK)
        return NULL;
    if (!fits(c, cap)) {
        pass_limit(c);
        return NULL;
    }
    c->reserved = hold(c, cap);
    c->reserved_cap = cap;
    return c->reserved;
}

static berth_code call_commit(berth_call *call, uint64_t len)
{
    kit_call *c = kit_call_of(call);
    berth_code code = may_record(c);

    if (code != BERTH_OK)
        return code;
    if (!c->reserved || len > c->reserved_cap)
        return BERTH_E_ARGUMENT;
    berth_test_effect effect = {.what = BERTH_TEST_OUTPUT, .data = {c->reserved, len}};
    c->effect_bytes += len;
    append(c, &effect);
    return BERTH_OK;
}

static berth_code call_write(berth_call *call, const void *ptr, uint64_t len)
{
    kit_call *c = kit_call_of(call);

    if (c->phase != PHASE_SNAPSHOT || !pthread_equal(c->thread, pthread_self()))
        return BERTH_E_NOT_NOW;
    if (c->limit)
        return BERTH_E_LIMIT;
    if (!ptr && len)
        return BERTH_E_ARGUMENT;
    if (len > c->daemon->birth.max_state - c->state_len)
        return pass_limit(c);
    if (len > c->state_cap - c->state_len) {
        c->state_cap = (c->state_len + len) * 2;
        c->state = kit_grow(c->state, c->state_cap);
    }
    if (len)
        memcpy(c->state + c->state_len, ptr, len);
    c->state_len += len;
    return BERTH_OK;
}

static berth_code call_fail(berth_call *call, berth_code code, const char *ptr, uint64_t len)
{
    kit_call *c = kit_call_of(call);

    if (c->phase == PHASE_DEAD || c->phase == PHASE_DESTROY ||
        !pthread_equal(c->thread, pthread_self()))
        return BERTH_E_NOT_NOW;
    free(c->failure);
    c->failure = kit_escape(ptr, ptr ? len : 0);
    return code;
}

static berth_code record_subscription(berth_call *call, const berth_subscription *what,
                                      int32_t kind)
{
    kit_call *c = kit_call_of(call);
    berth_subscription s;
    berth_code code = may_record(c);

    if (code == BERTH_OK)
        code = copy_options(&s, sizeof s, what);
    if (code != BERTH_OK)
        return code;
    if (s.flags || !channel_valid(s.channel))
        return BERTH_E_ARGUMENT;
    berth_test_effect effect = {.what = kind, .channel = s.channel, .origin = s.publisher};
    return record(c, &effect);
}

static berth_code call_subscribe(berth_call *call, const berth_subscription *what)
{
    return record_subscription(call, what, BERTH_TEST_SUBSCRIBE);
}

static berth_code call_unsubscribe(berth_call *call, const berth_subscription *what)
{
    return record_subscription(call, what, BERTH_TEST_UNSUBSCRIBE);
}

static berth_code call_spawn(berth_call *call, const berth_spawn *spawn)
{
    kit_call *c = kit_call_of(call);
    berth_spawn s;
    berth_code code = may_record(c);

    if (code == BERTH_OK)
        code = copy_options(&s, sizeof s, spawn);
    if (code != BERTH_OK)
        return code;
    if (s.flags || !s.kind.ptr || s.kind.len == 0 || s.kind.len > NAME_MAX_ ||
        !bytes_valid(s.name) || s.name.len > NAME_MAX_ || !bytes_valid(s.config) ||
        s.config.len > CONFIG_MAX || (s.request && !request_free(c, s.request)))
        return BERTH_E_ARGUMENT;
    berth_test_effect effect = {.what = BERTH_TEST_SPAWN,
                                .kind = s.kind,
                                .name = s.name,
                                .data = s.config,
                                .request = s.request};
    return record(c, &effect);
}

static const berth_call_api api = {
    .size = sizeof api,
    .emit = call_emit,
    .output = call_output,
    .reserve = call_reserve,
    .commit = call_commit,
    .write = call_write,
    .fail = call_fail,
    .subscribe = call_subscribe,
    .unsubscribe = call_unsubscribe,
    .spawn = call_spawn,
};

/* ---- The life of a call ---- */

static void drop_effects(kit_call *c)
{
    while (c->chunks) {
        kit_chunk *next = c->chunks->next;
        free(c->chunks);
        c->chunks = next;
    }
    c->effect_count = 0;
    c->effect_bytes = 0;
    c->reserved = NULL;
}

void record_begin(kit_call *c, berth_test_daemon *d, kit_phase phase)
{
    drop_effects(c);
    free(c->failure);
    c->failure = NULL;
    c->call.api = &api;
    c->daemon = d;
    c->thread = pthread_self();
    c->limit = false;
    c->state_len = 0;
    c->phase = phase;
}

berth_code record_end(kit_call *c, berth_code code)
{
    c->phase = PHASE_DEAD;
    c->reserved = NULL;
    if (code == BERTH_OK && c->limit)
        code = BERTH_E_LIMIT;
    if (code != BERTH_OK)
        drop_effects(c);
    return code;
}

void record_free(kit_call *c)
{
    drop_effects(c);
    free(c->effects);
    free(c->state);
    free(c->failure);
}
