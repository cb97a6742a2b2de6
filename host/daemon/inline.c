/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/inline.h"

#include "base/cursor.h"
#include "base/error.h"
#include "daemon/blob.h"
#include "daemon/runner.h"

#include <stdlib.h>
#include <string.h>

#define FAIL_TEXT_MAX 1024

/* What the running function is, and so what it may do: the rows of the matrix in berth/abi.h. */
typedef enum phase {
    PHASE_DEAD,
    PHASE_CREATE,
    PHASE_EVENT,
    PHASE_SNAPSHOT,
    PHASE_STATUS,
    PHASE_DESTROY
} phase;

typedef struct inline_instance {
    instance base;
    plugin_kind *kind;
    void *self;
    effect_limits limits;
} inline_instance;

typedef struct handle {
    berth_call call; /* first: plugins hold a pointer to it */
    phase phase;
    const void *thread; /* of the call */
    inline_scratch *scratch;
} handle;

struct inline_scratch {
    handle handles[INLINE_HANDLES];
    unsigned next;
    effects effects;
    effect_context context;
    buf *reserved;
    writer state; /* a blob */
    uint64_t max_state;
    bool state_over;
    size_t fail_len;
    char fail_text[FAIL_TEXT_MAX];
};

/* Its address tells threads apart, for less than asking the system. */
static _Thread_local char thread_mark;

static handle *live(berth_call *call)
{
    handle *h = (handle *)call;
    return h->phase != PHASE_DEAD && h->thread == &thread_mark ? h : NULL;
}

static inline_scratch *recording(berth_call *call)
{
    handle *h = live(call);
    return h && h->phase == PHASE_EVENT ? h->scratch : NULL;
}

static void drop_reserved(inline_scratch *s)
{
    buf_unref(s->reserved);
    s->reserved = NULL;
}

/* What was reserved is dead at the next effect, whichever it is. */
static inline_scratch *recording_other(berth_call *call)
{
    inline_scratch *s = recording(call);
    if (s)
        drop_reserved(s);
    return s;
}

static berth_code call_emit(berth_call *call, const void *ptr, uint64_t len)
{
    inline_scratch *s = recording(call);
    if (!s)
        return BERTH_E_NOT_NOW;
    if (s->reserved)
        drop_reserved(s);
    return effects_emit(&s->effects, ptr, len);
}

static berth_code call_output(berth_call *call, const berth_output *output)
{
    inline_scratch *s = recording(call);
    if (!s)
        return BERTH_E_NOT_NOW;
    drop_reserved(s);
    return effects_output(&s->effects, &s->context, output);
}

static void *call_reserve(berth_call *call, uint64_t cap)
{
    inline_scratch *s = recording(call);
    if (!s)
        return NULL;
    drop_reserved(s);
    effects *e = &s->effects;
    if (e->limit || cap > e->limits.output_bytes - e->bytes) {
        if (!e->limit)
            e->limit = "output bytes per call";
        return NULL;
    }
    s->reserved = buf_new(EFFECT_HEAD + cap);
    return s->reserved ? s->reserved->data + EFFECT_HEAD : NULL;
}

static berth_code call_commit(berth_call *call, uint64_t len)
{
    inline_scratch *s = recording(call);
    if (!s)
        return BERTH_E_NOT_NOW;
    if (!s->reserved || len > s->reserved->len - EFFECT_HEAD)
        return BERTH_E_ARGUMENT;
    buf *b = s->reserved;
    s->reserved = NULL;
    b->len = EFFECT_HEAD + len;
    return effects_emit_buf(&s->effects, b);
}

static berth_code call_write(berth_call *call, const void *ptr, uint64_t len)
{
    handle *h = live(call);
    if (!h || h->phase != PHASE_SNAPSHOT)
        return BERTH_E_NOT_NOW;
    inline_scratch *s = h->scratch;
    if (len && !ptr)
        return BERTH_E_ARGUMENT;
    if (s->state_over || len > s->max_state - blob_len(&s->state)) {
        s->state_over = true;
        return BERTH_E_LIMIT;
    }
    writer_bytes(&s->state, ptr, len);
    return s->state.failed ? BERTH_E_MEMORY : BERTH_OK;
}

static berth_code call_fail(berth_call *call, berth_code code, const char *ptr, uint64_t len)
{
    handle *h = live(call);
    if (!h || h->phase == PHASE_DESTROY)
        return BERTH_E_NOT_NOW;
    inline_scratch *s = h->scratch;
    s->fail_len = ptr ? (len < FAIL_TEXT_MAX ? len : FAIL_TEXT_MAX) : 0;
    if (s->fail_len)
        memcpy(s->fail_text, ptr, s->fail_len);
    return code;
}

static berth_code call_subscribe(berth_call *call, const berth_subscription *what)
{
    inline_scratch *s = recording_other(call);
    return s ? effects_subscribe(&s->effects, what, true) : BERTH_E_NOT_NOW;
}

static berth_code call_unsubscribe(berth_call *call, const berth_subscription *what)
{
    inline_scratch *s = recording_other(call);
    return s ? effects_subscribe(&s->effects, what, false) : BERTH_E_NOT_NOW;
}

static berth_code call_spawn(berth_call *call, const berth_spawn *spawn)
{
    inline_scratch *s = recording_other(call);
    return s ? effects_spawn(&s->effects, &s->context, spawn) : BERTH_E_NOT_NOW;
}

static const berth_call_api call_api = {
    .size = sizeof(berth_call_api),
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

inline_scratch *inline_scratch_new(void)
{
    inline_scratch *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    for (unsigned i = 0; i < INLINE_HANDLES; i++)
        s->handles[i] = (handle){.call = {&call_api}, .scratch = s};
    return s;
}

void inline_scratch_free(inline_scratch *s)
{
    if (!s)
        return;
    drop_reserved(s);
    effects_fini(&s->effects);
    writer_free(&s->state);
    free(s);
}

static handle *begin(inline_scratch *s, phase p)
{
    handle *h = &s->handles[s->next++ % INLINE_HANDLES];
    h->phase = p;
    h->thread = &thread_mark;
    s->fail_len = 0;
    return h;
}

static void end(handle *h)
{
    h->phase = PHASE_DEAD;
    if (h->scratch->reserved)
        drop_reserved(h->scratch);
}

static slice words(const inline_scratch *s)
{
    return slice_of(s->fail_text, s->fail_len);
}

static berth_status status_of_create(berth_code code)
{
    switch (code) {
    case BERTH_E_VERSION:
        return BERTH_ERR_VERSION;
    case BERTH_E_STATE:
        return BERTH_ERR_CORRUPT;
    case BERTH_E_CONFIG:
        return BERTH_ERR_INVALID;
    case BERTH_E_MEMORY:
        return BERTH_ERR_NO_MEMORY;
    default:
        return BERTH_ERR_PLUGIN;
    }
}

static void explain_create(berth_error *error, const plugin_kind *kind, berth_code code, slice text)
{
    static const char *const causes[] = {
        [BERTH_E_VERSION] = "does not read this state version",
        [BERTH_E_STATE] = "refuses the state",
        [BERTH_E_CONFIG] = "refuses the configuration",
        [BERTH_E_MEMORY] = "has no memory",
    };
    const char *cause =
        code > 0 && (size_t)code < sizeof(causes) / sizeof(*causes) ? causes[code] : NULL;
    fail(error, status_of_create(code), "kind '%s' %s%s%.*s (create returned %d)",
         kind->facts->name, cause ? cause : "could not make a daemon", text.len ? ": " : "",
         (int)text.len, text.len ? (const char *)text.ptr : "", (int)code);
}

static instance_answer inline_create(const instance_spec *spec, runner *on, instance_created *done,
                                     void *ctx)
{
    berth_error error = {0};
    inline_scratch *s = on->scratch;
    inline_instance *i = calloc(1, sizeof(*i));
    if (!i) {
        fail(&error, BERTH_ERR_NO_MEMORY, "out of memory");
        done(ctx, error.code, NULL, &error);
        return INSTANCE_DONE;
    }
    i->base.ops = &inline_ops;
    i->kind = spec->kind;
    i->limits = spec->limits;
    i->self = spec->self;
    if (!i->self) {
        handle *h = begin(s, PHASE_CREATE);
        berth_code code = spec->kind->table.create(&h->call, spec->birth, &i->self);
        end(h);
        if (code == BERTH_OK && !i->self)
            code = BERTH_E_BROKEN;
        if (code != BERTH_OK) {
            explain_create(&error, spec->kind, code, words(s));
            free(i);
            done(ctx, error.code, NULL, &error);
            return INSTANCE_DONE;
        }
    }
    plugin_kind_ref(i->kind);
    done(ctx, BERTH_OK, &i->base, &error);
    return INSTANCE_DONE;
}

static berth_handler *handler_of(const berth_kind *table, uint16_t type)
{
    switch (type) {
    case BERTH_EVENT_START:
        return table->on_start;
    case BERTH_EVENT_MESSAGE:
        return table->process;
    case BERTH_EVENT_TIMER:
        return table->on_timer;
    case BERTH_EVENT_REPLY:
        return table->on_reply;
    case BERTH_EVENT_POST:
        return table->on_post;
    case BERTH_EVENT_CONTROL:
        return table->on_control;
    default:
        return NULL;
    }
}

static instance_answer inline_run(instance *base, instance_run *run)
{
    inline_instance *i = (inline_instance *)base;
    inline_scratch *s = run->on->scratch;
    s->effects.limits = run->limits ? *run->limits : i->limits;
    s->context = (effect_context){
        .has_timer = i->kind->table.on_timer != NULL,
        .has_reply = i->kind->table.on_reply != NULL,
        .request_in_use = run->request_in_use,
        .ctx = run,
    };
    const berth_event *event;
    while ((event = run->next(run))) {
        berth_handler *handler = handler_of(&i->kind->table, event->type);
        berth_code code = BERTH_OK; /* a handler that is NULL is never called: nothing happens */
        if (handler) {
            uint64_t calls = atomic_load_explicit(&run->on->calls, memory_order_relaxed);
            atomic_store_explicit(&run->on->calls, calls + 1, memory_order_relaxed);
            handle *h = begin(s, PHASE_EVENT);
            code = handler(i->self, &h->call, event);
            end(h);
        }
        run->result(run, code, &s->effects, words(s));
    }
    return INSTANCE_DONE;
}

static instance_answer inline_snapshot(instance *base, runner *on, uint32_t want,
                                       uint64_t max_state, instance_snapshot_done *done, void *ctx)
{
    inline_instance *i = (inline_instance *)base;
    inline_scratch *s = on->scratch;
    blob_begin(&s->state);
    s->state_over = false;
    s->max_state = max_state;
    berth_code code = BERTH_OK;
    s->fail_len = 0;
    if (i->kind->table.snapshot) {
        handle *h = begin(s, PHASE_SNAPSHOT);
        code = i->kind->table.snapshot(i->self, &h->call, want);
        end(h);
    }
    berth_status status = BERTH_OK;
    buf *state = NULL;
    slice text = words(s);
    if (s->state_over) {
        status = BERTH_ERR_LIMIT;
        text = slice_str("the state is larger than the limit");
    } else if (code == BERTH_E_BROKEN) {
        status = BERTH_ERR_BROKEN;
    } else if (code != BERTH_OK) {
        status = code == BERTH_E_VERSION ? BERTH_ERR_VERSION : BERTH_ERR_PLUGIN;
    } else if (!(state = blob_end(&s->state))) {
        status = BERTH_ERR_NO_MEMORY;
    }
    writer_free(&s->state); /* states differ a lot in size: do not keep the largest for ever */
    done(ctx, status, state, text);
    return INSTANCE_DONE;
}

static instance_answer inline_status(instance *base, runner *on, instance_status_done *done,
                                     void *ctx)
{
    inline_instance *i = (inline_instance *)base;
    berth_daemon_status report = {.size = sizeof(report)};
    berth_code code = BERTH_OK;
    if (i->kind->table.status) {
        handle *h = begin(on->scratch, PHASE_STATUS);
        code = i->kind->table.status(i->self, &h->call, &report);
        end(h);
    }
    if (report.saturation_ppm > 1000000)
        report.saturation_ppm = 1000000;
    done(ctx,
         code == BERTH_OK         ? BERTH_OK
         : code == BERTH_E_BROKEN ? BERTH_ERR_BROKEN
                                  : BERTH_ERR_PLUGIN,
         &report);
    return INSTANCE_DONE;
}

static instance_answer inline_destroy(instance *base, runner *on, void (*done)(void *ctx),
                                      void *ctx)
{
    inline_instance *i = (inline_instance *)base;
    handle *h = begin(on->scratch, PHASE_DESTROY);
    i->kind->table.destroy(i->self, &h->call);
    end(h);
    plugin_kind_unref(i->kind);
    free(i);
    done(ctx);
    return INSTANCE_DONE;
}

const instance_ops inline_ops = {
    .create = inline_create,
    .run = inline_run,
    .snapshot = inline_snapshot,
    .status = inline_status,
    .destroy = inline_destroy,
};
