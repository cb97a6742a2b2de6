/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's own instances, inline, pass the suite that the testkit passes. They are driven through
 * daemon/instance.h, as the runtime drives them. Log and post are the runtime's; the daemons that
 * it sees behind the handles have a mailbox and nobody to run it, so that posts wait for the suite.
 */
#include "base/error.h"
#include "base/log.h"
#include "conformance.h"
#include "daemon/inline.h"
#include "daemon/runner.h"
#include "daemon/runtime_private.h"
#include "plugin/load.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PROBE BUILD_DIR "/tests/plugins/probe.so"

enum { REQUESTS = 16, EFFECTS = 64, LINES = 256, LINE_TEXT = 1200 };

typedef struct trial trial;

/* One daemon, as far as the suite needs one. */
typedef struct subject {
    struct daemon in_host; /* first: what log and post see of it */
    factory make;
    struct subject *next; /* all of a trial's, destroyed ones too */
    trial *of;
    instance *code;
    plugin_kind *kind;
    berth_birth birth;
    uint64_t requests[REQUESTS]; /* open ones; 0: free */
} subject;

struct trial {
    plugins *set;
    runtime host; /* limits, and nothing else */
    runner on;
    subject *subjects;
    subject *running; /* whose event is under way */
    /* Of the last call. */
    const berth_event *event; /* to be run; NULL: done */
    berth_code code;
    berth_status status;
    char text[4 * 1024 + 1];
    effects kept;
    berth_test_effect seen[EFFECTS];
    size_t seen_count;
    berth_daemon_status report;
    instance *made;
    buf *state;
};

/* ---- What plugins see of the host besides the call ---- */

static struct {
    size_t count;
    char text[LINES][LINE_TEXT];
} lines;

static void keep_line(void *ctx, log_level level, const char *room, const char *text)
{
    (void)ctx;
    (void)level;
    (void)room;
    if (lines.count < LINES)
        snprintf(lines.text[lines.count++], LINE_TEXT, "%s", text);
}

static const char *log_line(void *ctx, size_t i)
{
    (void)ctx;
    return i < lines.count ? lines.text[i] : NULL;
}

/* A daemon of the runtime, as far as its mailbox goes. Its gate stays shut: nothing runs it. */
static void be_in_host(trial *t, subject *d)
{
    d->make.kind = d->kind;
    d->in_host.handle.host = runtime_host_table();
    d->in_host.rt = &t->host;
    d->in_host.make = &d->make;
    d->in_host.name = (char *)"test";
    pthread_mutex_init(&d->in_host.lock, NULL);
}

static void leave_host(subject *d)
{
    pthread_mutex_lock(&d->in_host.lock);
    d->in_host.gone = true;
    pthread_mutex_unlock(&d->in_host.lock);
}

static batch *take_mail(subject *d)
{
    batch *b;

    pthread_mutex_lock(&d->in_host.lock);
    b = d->in_host.mail_head;
    if (b)
        d->in_host.mail_head = b->next;
    if (!d->in_host.mail_head)
        d->in_host.mail_tail = NULL;
    pthread_mutex_unlock(&d->in_host.lock);
    return b;
}

/* ---- Looking at effects ---- */

static berth_bytes bytes_of(const buf *b, size_t skip)
{
    return b ? (berth_bytes){b->data + skip, b->len - skip} : (berth_bytes){NULL, 0};
}

static berth_test_effect seen_as(const effect *e)
{
    berth_test_effect seen = {.to = e->to, .flags = e->flags, .request = e->request};

    switch (e->op) {
    case EFFECT_OUTPUT:
        seen.what = BERTH_TEST_OUTPUT;
        seen.data = bytes_of(e->bytes, EFFECT_HEAD);
        seen.channel = bytes_of(e->name, 0);
        seen.origin = e->peer;
        seen.reply_to = e->reply_to;
        seen.delay_ns = e->delay_ns;
        break;
    case EFFECT_SPAWN:
        seen.what = BERTH_TEST_SPAWN;
        seen.data = bytes_of(e->bytes, 0);
        seen.kind = bytes_of(e->name, 0);
        seen.name = bytes_of(e->label, 0);
        break;
    default:
        seen.what = e->op == EFFECT_SUBSCRIBE ? BERTH_TEST_SUBSCRIBE : BERTH_TEST_UNSUBSCRIBE;
        seen.channel = bytes_of(e->name, 0);
        seen.origin = e->peer;
    }
    return seen;
}

static uint64_t *request_slot(subject *d, uint64_t number)
{
    for (int i = 0; i < REQUESTS; i++) {
        if (d->requests[i] == number)
            return &d->requests[i];
    }
    return NULL;
}

static void keep_effects(trial *t, subject *d)
{
    t->seen_count = t->kept.count < EFFECTS ? t->kept.count : EFFECTS;
    for (size_t i = 0; i < t->seen_count; i++) {
        const effect *e = &t->kept.items[i];
        t->seen[i] = seen_as(e);
        bool asks = e->op == EFFECT_SPAWN || (e->op == EFFECT_OUTPUT && e->to == BERTH_TO_DAEMON);
        uint64_t *slot = asks && e->request ? request_slot(d, 0) : NULL;
        if (slot)
            *slot = e->request;
    }
}

static void begin_call(trial *t)
{
    effects_fini(&t->kept);
    t->seen_count = 0;
    t->text[0] = 0;
    t->code = BERTH_OK;
    t->status = BERTH_OK;
    buf_unref(t->state);
    t->state = NULL;
}

static void set_text(trial *t, slice text)
{
    text_escape(t->text, sizeof t->text, (const char *)text.ptr, text.len);
}

static void tell(trial *t, berth_code code, conformance_result *result)
{
    *result = (conformance_result){code, t->text, t->seen, t->seen_count};
}

/* ---- The driver ---- */

static berth_code code_of(berth_status status)
{
    switch (status) {
    case BERTH_OK:
        return BERTH_OK;
    case BERTH_ERR_VERSION:
        return BERTH_E_VERSION;
    case BERTH_ERR_CORRUPT:
        return BERTH_E_STATE;
    case BERTH_ERR_INVALID:
        return BERTH_E_CONFIG;
    case BERTH_ERR_LIMIT:
        return BERTH_E_LIMIT;
    case BERTH_ERR_BROKEN:
        return BERTH_E_BROKEN;
    default:
        return BERTH_E_REJECT;
    }
}

static void on_created(void *ctx, berth_status status, instance *made, const berth_error *error)
{
    trial *t = ctx;

    t->status = status;
    t->made = made;
    if (status)
        set_text(t, slice_str(error->text));
}

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value ? value : otherwise;
}

static berth_code create(void *ctx, const berth_test_birth *b, void **daemon,
                         conformance_result *result)
{
    trial *t = ctx;
    subject *d = calloc(1, sizeof *d);
    char *config = strndup(b->config.ptr ? b->config.ptr : "", b->config.len);

    begin_call(t);
    d->of = t;
    d->next = t->subjects;
    t->subjects = d;
    d->kind = plugins_kind(t->set, slice_str(b->kind));
    be_in_host(t, d);
    d->birth = (berth_birth){
        .size = sizeof d->birth,
        .state_version = b->state_version,
        .origin = or_default(b->origin, 1),
        .daemon = &d->in_host.handle,
        .config = {config, b->config.len},
        .state = b->state,
        .max_event = or_default(b->max_event, 1 << 20),
        .max_outputs = or_default(b->max_outputs, 4096),
        .max_output_bytes = or_default(b->max_output_bytes, 64 << 20),
        .max_state = or_default(b->max_state, UINT32_MAX),
    };
    instance_spec spec = {.kind = d->kind,
                          .daemon = &d->in_host.handle,
                          .birth = &d->birth,
                          .limits = {d->birth.max_outputs, d->birth.max_output_bytes}};
    t->running = d;
    assert_int_equal(inline_ops.create(&spec, &t->on, on_created, t), INSTANCE_DONE);
    t->running = NULL;
    free(config);
    tell(t, code_of(t->status), result);
    if (t->status) {
        leave_host(d);
        plugin_kind_unref(d->kind);
        return code_of(t->status);
    }
    d->code = t->made;
    *daemon = d;
    return BERTH_OK;
}

static void on_destroyed(void *ctx)
{
    (void)ctx;
}

/* The handle stays in memory, dead, as the runtime's does. */
static void destroy(void *ctx, void *daemon)
{
    trial *t = ctx;
    subject *d = daemon;

    begin_call(t);
    inline_ops.destroy(d->code, &t->on, on_destroyed, NULL);
    d->code = NULL;
    leave_host(d);
    plugin_kind_unref(d->kind);
}

/* What runs one event: the trial is the context by its first member. */
typedef struct one_run {
    instance_run run; /* first */
    trial *of;
} one_run;

static const berth_event *next_event(instance_run *run)
{
    trial *t = ((one_run *)run)->of;
    const berth_event *event = t->event;

    t->event = NULL;
    return event;
}

static void on_result(instance_run *run, berth_code code, effects *recorded, slice text)
{
    trial *t = ((one_run *)run)->of;

    t->code = code == BERTH_OK && recorded->limit ? BERTH_E_LIMIT : code;
    set_text(t, text);
    if (t->code == BERTH_OK) {
        /* Take over the items, and clear the struct. */
        t->kept = *recorded;
        recorded->items = NULL;
        recorded->count = recorded->cap = 0;
        recorded->bytes = 0;
    }
    effects_clear(recorded);
}

static bool request_in_use(void *run, uint64_t request)
{
    return request_slot(((one_run *)run)->of->running, request) != NULL;
}

static void deliver(void *ctx, void *daemon, const berth_event *event, conformance_result *result)
{
    trial *t = ctx;
    subject *d = daemon;
    berth_event e = *event;
    one_run run = {{next_event, on_result, request_in_use, NULL, &t->on, NULL}, t};

    begin_call(t);
    e.size = sizeof e;
    e.attempt = 1;
    uint64_t *open = e.type == BERTH_EVENT_REPLY ? request_slot(d, e.request) : NULL;
    if (open)
        *open = 0;
    t->event = &e;
    t->running = d;
    assert_int_equal(inline_ops.run(d->code, &run.run), INSTANCE_DONE);
    keep_effects(t, d);
    t->running = NULL;
    tell(t, t->code, result);
}

static void run_post(void *ctx, void *daemon, conformance_result *result)
{
    subject *d = daemon;
    batch *b = take_mail(d);
    berth_event e;

    *result = (conformance_result){.code = BERTH_E_ARGUMENT};
    if (!b)
        return;
    e = b->common;
    e.data = (berth_bytes){b->messages[0].data, b->messages[0].len};
    deliver(ctx, daemon, &e, result);
    batch_free(b);
}

static void on_snapshot(void *ctx, berth_status status, buf *state, slice text)
{
    trial *t = ctx;

    t->status = status;
    t->state = state;
    set_text(t, text);
}

static void snapshot(void *ctx, void *daemon, uint32_t want_version, berth_bytes *state,
                     conformance_result *result)
{
    trial *t = ctx;
    subject *d = daemon;

    begin_call(t);
    inline_ops.snapshot(d->code, &t->on, want_version, d->birth.max_state, on_snapshot, t);
    *state = bytes_of(t->state, 0);
    tell(t, code_of(t->status), result);
}

static void on_status(void *ctx, berth_status status, const berth_daemon_status *report)
{
    trial *t = ctx;

    t->status = status;
    t->report = *report;
}

static berth_code status(void *ctx, void *daemon, berth_daemon_status *out)
{
    trial *t = ctx;
    subject *d = daemon;

    begin_call(t);
    inline_ops.status(d->code, &t->on, on_status, t);
    *out = t->report;
    return code_of(t->status);
}

static void report(void *ctx, const char *check, const char *why)
{
    (void)ctx;
    if (why)
        print_error("%s: %s\n", check, why);
}

static void inline_instances_owe_plugins_what_the_contract_says(void **state)
{
    (void)state;
    static trial t;
    policy_options options = {0};
    plugins_config config = {.host = runtime_host_table()};
    berth_error error = {0};
    void *file = dlopen(PROBE, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(file);
    const berth_plugin *table = dlsym(file, BERTH_PLUGIN_SYMBOL);
    assert_non_null(table);
    slice json = slice_of(table->manifest + 1, table->manifest->json_size);

    assert_int_equal(policy_new(&options, &config.policy, &error), BERTH_OK);
    assert_int_equal(plugins_new(&config, &t.set, &error), BERTH_OK);
    assert_int_equal(plugins_add_static(t.set, table, json, NULL, &error), BERTH_OK);
    t.host.limits =
        (runtime_limits){.max_event = 1 << 20, .mailbox_events = 1024, .mailbox_bytes = 8 << 20};
    log_set_sink(keep_line, NULL);
    t.on.scratch = inline_scratch_new();
    assert_non_null(t.on.scratch);
    conformance_driver driver = {.ctx = &t,
                                 .create = create,
                                 .destroy = destroy,
                                 .deliver = deliver,
                                 .snapshot = snapshot,
                                 .status = status,
                                 .run_post = run_post,
                                 .log_line = log_line,
                                 .is_inline = 1};
    assert_int_equal(conformance_run(&driver, report, NULL), 0);
    begin_call(&t);
    while (t.subjects) {
        subject *next = t.subjects->next;

        for (batch *b; (b = take_mail(t.subjects)) != NULL;)
            batch_free(b);
        pthread_mutex_destroy(&t.subjects->in_host.lock);
        free(t.subjects);
        t.subjects = next;
    }
    log_set_sink(NULL, NULL);
    inline_scratch_free(t.on.scratch);
    plugins_free(t.set);
    policy_unref(config.policy);
    dlclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inline_instances_owe_plugins_what_the_contract_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
