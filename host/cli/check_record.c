/* SPDX-License-Identifier: Apache-2.0 */
/* What plugins call: every function of the contract, on the side that watches. */
#include "cli/check_host_parts.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- Rules ----------------------------------------------------------------------------------- */

static const char *const cures[HOST_RULES] = {
    [RULE_PHASE] =
        ("effects belong to process and the on_ handlers, write to snapshot; what create "
         "has to say it says in on_start"),
    [RULE_DEAD_CALL] = "keep nothing of a berth_call: it is dead when its call returns",
    [RULE_THREAD] = "only the thread of the call may use it; bring results of others in with post",
    [RULE_DEAD_DAEMON] = "stop and join the daemon's threads in destroy, and forget its handle",
    [RULE_EXTENSION] = "look extensions up in init and keep the pointers",
    [RULE_RESERVE] = "write no more than was asked of reserve",
};

const char *host_rule_cure(host_rule rule)
{
    return cures[rule];
}

const char *host_broken_rule(const check_host *h, host_rule rule)
{
    return atomic_load(&h->broken[rule]) ? h->broken_text[rule] : NULL;
}

void record_broken(check_host *h, host_rule rule, const char *format, ...)
{
    va_list args;

    if (atomic_exchange(&h->broken[rule], 1))
        return;
    va_start(args, format);
    vsnprintf(h->broken_text[rule], sizeof h->broken_text[rule], format, args);
    va_end(args);
}

/* ---- Recording ------------------------------------------------------------------------------- */

void record_reset(host_record *r)
{
    r->count = r->pending_count = 0;
    r->limited = r->reserved = false;
    r->bytes = r->digest = 0;
    r->shown[0] = r->text[0] = 0;
}

void record_check_reserve(check_daemon *d)
{
    host_record *r = &d->record;

    if (!r->reserved)
        return;
    r->reserved = false;
    for (unsigned i = 0; i < HOST_CANARY; i++) {
        if (r->room[r->reserved_len + i] == HOST_GARBAGE)
            continue;
        record_broken(d->host, RULE_RESERVE,
                      "wrote byte %u past the %llu that were reserved, in %s", i + 1,
                      (unsigned long long)r->reserved_len, d->running ? d->running->name : "?");
        return;
    }
}

void host_refuse(check_host *h, uint64_t number, berth_code code)
{
    h->refuse_at = number;
    h->refuse_code = code;
    atomic_store(&h->effects, 0);
    atomic_store(&h->has_refused, false);
    atomic_store(&h->refuses, true);
}

uint64_t host_effects(const check_host *h)
{
    return atomic_load(&h->effects);
}

bool host_has_refused(const check_host *h)
{
    return atomic_load(&h->has_refused);
}

bool record_refused(check_host *h, berth_code *code)
{
    uint64_t number = atomic_fetch_add(&h->effects, 1);

    if (!atomic_load(&h->refuses) || number != h->refuse_at)
        return false;
    atomic_store(&h->has_refused, true);
    *code = h->refuse_code;
    return true;
}

/* Whether this call may have an effect now; what: the function. */
static berth_code begin(berth_call *call, const char *what, host_phase phase)
{
    host_handle *handle = (host_handle *)call;
    check_daemon *d = handle->daemon;
    host_phase is = (host_phase)atomic_load(&handle->phase);
    berth_code code;

    if (is == PHASE_DEAD) {
        record_broken(d->host, RULE_DEAD_CALL,
                      "called %s with the berth_call of a %s that had returned", what,
                      handle->name);
        return BERTH_E_NOT_NOW;
    }
    if (!pthread_equal(handle->thread, pthread_self())) {
        record_broken(d->host, RULE_THREAD, "called %s of a %s from another thread", what,
                      handle->name);
        return BERTH_E_NOT_NOW;
    }
    if (is != phase) {
        record_broken(d->host, RULE_PHASE, "called %s in %s", what, handle->name);
        return BERTH_E_NOT_NOW;
    }
    record_check_reserve(d);
    if (d->record.limited)
        return BERTH_E_LIMIT;
    if (record_refused(d->host, &code)) {
        d->record.limited = code == BERTH_E_LIMIT;
        return code;
    }
    return BERTH_OK;
}

static host_record *record_of(berth_call *call)
{
    return &((host_handle *)call)->daemon->record;
}

/* Room for one more effect of so many bytes. */
static berth_code count(host_record *r, uint64_t bytes)
{
    if (r->count >= HOST_MAX_OUTPUTS || bytes > HOST_MAX_BYTES ||
        r->bytes > HOST_MAX_BYTES - bytes) {
        r->limited = true;
        return BERTH_E_LIMIT;
    }
    r->count++;
    r->bytes += bytes;
    return BERTH_OK;
}

static void mix(host_record *r, const void *ptr, uint64_t len)
{
    r->digest = script_mix(r->digest, ptr, (size_t)len);
}

static void mix_number(host_record *r, uint64_t number)
{
    mix(r, &number, sizeof number);
}

static void show(host_record *r, const void *ptr, uint64_t len)
{
    if (r->shown[0] || !len)
        return;
    text_escape(r->shown, sizeof r->shown - 3, (const char *)ptr, len < 32 ? len : 32);
    if (len > 32)
        strcat(r->shown, "..."); /* there is room */
}

static bool sound(berth_bytes b)
{
    return b.ptr || !b.len;
}

/* What the plugin's header does not know is zero here; what we do not know must be. */
static berth_code take_sized(void *to, uint32_t known, const void *from)
{
    const uint8_t *bytes = (const uint8_t *)from;
    uint32_t size;

    if (!from)
        return BERTH_E_ARGUMENT;
    memcpy(&size, from, sizeof size);
    if (size < known || size > 4096)
        return BERTH_E_ARGUMENT;
    for (uint32_t i = known; i < size; i++) {
        if (bytes[i])
            return BERTH_E_NEWER;
    }
    memcpy(to, from, known);
    return BERTH_OK;
}

static bool channel_valid(berth_bytes b)
{
    const char *p = (const char *)b.ptr;

    if (!p || b.len < 1 || b.len > 255)
        return false;
    for (uint64_t i = 0; i < b.len; i++) {
        if (!p[i] || !strchr("abcdefghijklmnopqrstuvwxyz0123456789-_./", p[i]))
            return false;
    }
    return true;
}

/* ---- Effects --------------------------------------------------------------------------------- */

static berth_code record_bytes(host_record *r, const void *ptr, uint64_t len)
{
    berth_code code = count(r, len);

    if (code == BERTH_OK) {
        mix_number(r, BERTH_TO_CALLER);
        mix(r, ptr, len);
        show(r, ptr, len);
    }
    return code;
}

static berth_code api_emit(berth_call *call, const void *ptr, uint64_t len)
{
    berth_code code = begin(call, "emit", PHASE_HANDLER);

    if (code != BERTH_OK)
        return code;
    return ptr || !len ? record_bytes(record_of(call), ptr, len) : BERTH_E_ARGUMENT;
}

static bool request_in_use(const check_daemon *d, uint64_t number)
{
    for (uint32_t i = 0; i < d->world.request_count; i++) {
        if (d->world.requests[i].number == number)
            return true;
    }
    for (uint32_t i = 0; i < d->record.pending_count; i++) {
        if (!d->record.pending[i].is_timer && d->record.pending[i].number == number)
            return true;
    }
    return false;
}

static void pend(host_record *r, host_pending p, berth_bytes data)
{
    if (r->pending_count == HOST_PENDING)
        return;
    p.len = data.len < SCRIPT_TIMER_DATA ? data.len : SCRIPT_TIMER_DATA;
    if (p.len)
        memcpy(p.data, data.ptr, p.len);
    r->pending[r->pending_count++] = p;
}

static bool output_makes_sense(const check_daemon *d, const berth_output *o)
{
    static const uint16_t flags[] = {
        [BERTH_TO_REPLY] = BERTH_MORE | BERTH_REFUSE, [BERTH_TO_SELF] = BERTH_CANCEL};
    const berth_kind *k = &d->host->c->kind->table;

    if (o->to > BERTH_TO_SELF || o->flags & ~flags[o->to] || !sound(o->data))
        return false;
    switch (o->to) {
    case BERTH_TO_DAEMON:
        return !o->request || (k->on_reply && o->delay_ns >= 0 && !request_in_use(d, o->request));
    case BERTH_TO_CHANNEL:
        return channel_valid(o->channel);
    case BERTH_TO_REPLY:
        return (o->reply_to.w[0] | o->reply_to.w[1] | o->reply_to.w[2] | o->reply_to.w[3]) != 0;
    case BERTH_TO_SELF:
        return k->on_timer && o->delay_ns >= 0;
    default:
        return true;
    }
}

static berth_code api_output(berth_call *call, const berth_output *output)
{
    berth_code code = begin(call, "output", PHASE_HANDLER);
    check_daemon *d = ((host_handle *)call)->daemon;
    host_record *r = &d->record;
    berth_output o;

    if (code == BERTH_OK)
        code = take_sized(&o, sizeof o, output);
    if (code != BERTH_OK)
        return code;
    if (!output_makes_sense(d, &o))
        return BERTH_E_ARGUMENT;
    code = count(r, o.data.len + (o.to == BERTH_TO_CHANNEL ? o.channel.len : 0));
    if (code != BERTH_OK)
        return code;
    mix_number(r, o.to | (uint64_t)o.flags << 16);
    mix(r, o.data.ptr, o.data.len);
    if (o.to != BERTH_TO_SELF)
        show(r, o.data.ptr, o.data.len);
    switch (o.to) {
    case BERTH_TO_DAEMON:
        mix_number(r, o.origin);
        mix_number(r, o.request);
        if (o.request)
            pend(r, (host_pending){.number = o.request}, (berth_bytes){NULL, 0});
        break;
    case BERTH_TO_CHANNEL:
        mix(r, o.channel.ptr, o.channel.len);
        break;
    case BERTH_TO_REPLY:
        mix(r, &o.reply_to, sizeof o.reply_to);
        break;
    case BERTH_TO_SELF:
        mix_number(r, o.request);
        mix_number(r, (uint64_t)o.delay_ns);
        pend(r,
             (host_pending){.is_timer = true,
                            .cancel = (o.flags & BERTH_CANCEL) != 0,
                            .number = o.request,
                            .delay_ns = o.delay_ns},
             o.data);
        break;
    default:
        break;
    }
    return BERTH_OK;
}

static void *api_reserve(berth_call *call, uint64_t cap)
{
    host_record *r = record_of(call);
    uint64_t room = cap + HOST_CANARY;

    if (begin(call, "reserve", PHASE_HANDLER) != BERTH_OK)
        return NULL;
    if (cap > HOST_MAX_BYTES || r->bytes > HOST_MAX_BYTES - cap || r->count >= HOST_MAX_OUTPUTS) {
        r->limited = true;
        return NULL;
    }
    if (room > r->room_len) {
        void *p = mmap(NULL, room, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (p == MAP_FAILED)
            return NULL;
        if (r->room)
            munmap(r->room, r->room_len);
        r->room = (uint8_t *)p;
        r->room_len = room;
    }
    memset(r->room + cap, HOST_GARBAGE, HOST_CANARY);
    r->reserved_len = cap;
    r->reserved = true;
    return r->room;
}

static berth_code api_commit(berth_call *call, uint64_t len)
{
    host_record *r = record_of(call);
    bool reserved = r->reserved;
    berth_code code = begin(call, "commit", PHASE_HANDLER);

    if (code != BERTH_OK)
        return code;
    if (!reserved || len > r->reserved_len)
        return BERTH_E_ARGUMENT;
    return record_bytes(r, r->room, len);
}

static berth_code api_write(berth_call *call, const void *ptr, uint64_t len)
{
    berth_code code = begin(call, "write", PHASE_SNAPSHOT);
    check_host *h = ((host_handle *)call)->daemon->host;

    if (code != BERTH_OK)
        return code;
    if (!ptr && len)
        return BERTH_E_ARGUMENT;
    if (len > HOST_STATE_ROOM - h->state_len) {
        record_of(call)->limited = true;
        return BERTH_E_LIMIT;
    }
    if (len)
        memcpy(h->state + h->state_len, ptr, len);
    h->state_len += len;
    return BERTH_OK;
}

static berth_code api_fail(berth_call *call, berth_code code, const char *ptr, uint64_t len)
{
    host_handle *handle = (host_handle *)call;
    check_daemon *d = handle->daemon;
    int is = atomic_load(&handle->phase);

    if (is == PHASE_DEAD)
        record_broken(d->host, RULE_DEAD_CALL,
                      "called fail with the berth_call of a %s that had returned", handle->name);
    else if (!pthread_equal(handle->thread, pthread_self()))
        record_broken(d->host, RULE_THREAD, "called fail of a %s from another thread",
                      handle->name);
    else if (is == PHASE_DESTROY)
        record_broken(d->host, RULE_PHASE, "called fail in destroy");
    else if (ptr)
        text_escape(d->record.text, sizeof d->record.text, ptr, len < 120 ? len : 120);
    return code;
}

static berth_code subscription(berth_call *call, const berth_subscription *what, const char *name)
{
    berth_code code = begin(call, name, PHASE_HANDLER);
    host_record *r = record_of(call);
    berth_subscription s;

    if (code == BERTH_OK)
        code = take_sized(&s, sizeof s, what);
    if (code == BERTH_OK && (s.flags || !channel_valid(s.channel)))
        code = BERTH_E_ARGUMENT;
    if (code == BERTH_OK)
        code = count(r, s.channel.len);
    if (code != BERTH_OK)
        return code;
    mix_number(r, name[0] == 's' ? 0x100 : 0x101);
    mix_number(r, s.publisher);
    mix(r, s.channel.ptr, s.channel.len);
    return BERTH_OK;
}

static berth_code api_subscribe(berth_call *call, const berth_subscription *what)
{
    return subscription(call, what, "subscribe");
}

static berth_code api_unsubscribe(berth_call *call, const berth_subscription *what)
{
    return subscription(call, what, "unsubscribe");
}

static berth_code api_spawn(berth_call *call, const berth_spawn *spawn)
{
    berth_code code = begin(call, "spawn", PHASE_HANDLER);
    check_daemon *d = ((host_handle *)call)->daemon;
    host_record *r = &d->record;
    berth_spawn s;

    if (code == BERTH_OK)
        code = take_sized(&s, sizeof s, spawn);
    if (code != BERTH_OK)
        return code;
    if (s.flags || !s.kind.ptr || !s.kind.len || s.kind.len > 127 || !sound(s.name) ||
        !sound(s.config) || s.config.len > 65536 ||
        (s.request && (!d->host->c->kind->table.on_reply || request_in_use(d, s.request))))
        return BERTH_E_ARGUMENT;
    code = count(r, s.kind.len + s.name.len + s.config.len);
    if (code != BERTH_OK)
        return code;
    mix_number(r, 0x102);
    mix(r, s.kind.ptr, s.kind.len);
    mix(r, s.name.ptr, s.name.len);
    mix(r, s.config.ptr, s.config.len);
    mix_number(r, s.request);
    if (s.request)
        pend(r, (host_pending){.number = s.request, .is_spawn = true}, (berth_bytes){NULL, 0});
    return BERTH_OK;
}

const berth_call_api host_call_api = {
    .size = sizeof(berth_call_api),
    .emit = api_emit,
    .output = api_output,
    .reserve = api_reserve,
    .commit = api_commit,
    .write = api_write,
    .fail = api_fail,
    .subscribe = api_subscribe,
    .unsubscribe = api_unsubscribe,
    .spawn = api_spawn,
};
