/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_BEGIN   INT64_C(1700000000000000000)
#define STATE_MAX     UINT32_MAX
#define MIB           (UINT64_C(1) << 20)
#define DEFAULT_POSTS 1024

/* ---- What the plugin sees of its host ---- */

static void host_log(const berth_host *host, berth_daemon *daemon, int32_t level,
                     const berth_bytes *text)
{
    berth_test *t = (berth_test *)host;
    char *line = kit_escape(text ? text->ptr : NULL, text && text->ptr ? text->len : 0);

    (void)daemon;
    pthread_mutex_lock(&t->lock);
    t->lines = kit_grow(t->lines, (t->line_count + 1) * sizeof *t->lines);
    t->lines[t->line_count++] = (kit_line){level, line};
    pthread_mutex_unlock(&t->lock);
}

static berth_code queue_post(kit_instance *i, const void *ptr, uint64_t len)
{
    berth_test_daemon *d = i->daemon;

    if (!i->live)
        return BERTH_E_NOT_NOW;
    if ((!ptr && len) || !d->kind->on_post)
        return BERTH_E_ARGUMENT;
    if (len > d->birth.max_event)
        return BERTH_E_LIMIT;
    if (d->post_count >= d->birth.max_posts)
        return BERTH_E_FULL;
    kit_post *post = kit_grow(NULL, sizeof *post + len);
    post->next = NULL;
    post->len = len;
    if (len)
        memcpy(post->bytes, ptr, len);
    *d->posts_end = post;
    d->posts_end = &post->next;
    d->post_count++;
    return BERTH_OK;
}

static berth_code host_post(berth_daemon *daemon, const void *ptr, uint64_t len)
{
    kit_instance *i = (kit_instance *)daemon;

    pthread_mutex_lock(&i->test->lock);
    berth_code code = queue_post(i, ptr, len);
    pthread_mutex_unlock(&i->test->lock);
    return code;
}

static const void *host_extension(const berth_host *host, const char *id)
{
    const berth_test *t = (const berth_test *)host;

    for (size_t i = 0; t->in_init && i < t->extension_count; i++) {
        if (strcmp(t->extension_ids[i], id) == 0)
            return t->extension_tables[i];
    }
    return NULL;
}

/* ---- Plugins ---- */

static const char *check_kind(const berth_kind *kind)
{
    if (!kind || kind->size < sizeof(berth_kind))
        return "a kind's size is not sizeof(berth_kind)";
    if (!kind->name.ptr || kind->name.len == 0)
        return "a kind has no name";
    if (!kind->create || !kind->destroy || !kind->process)
        return "a kind lacks create, destroy or process";
    return NULL;
}

static const char *check_plugin(const berth_plugin *plugin)
{
    if (!plugin || plugin->size < sizeof *plugin)
        return "the table's size is not sizeof(berth_plugin)";
    if (plugin->kind_count == 0 || !plugin->kinds)
        return "the plugin has no kinds";
    if (!plugin->manifest)
        return "the table does not point to the manifest (BERTH_EMBEDDED_MANIFEST)";
    for (uint32_t i = 0; i < plugin->kind_count; i++) {
        const char *why = check_kind(plugin->kinds[i]);
        if (why)
            return why;
        for (uint32_t j = 0; j < i; j++) {
            berth_bytes a = plugin->kinds[i]->name, b = plugin->kinds[j]->name;
            if (a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0)
                return "two kinds have the same name";
        }
    }
    return NULL;
}

static void free_test(berth_test *t)
{
    while (t->instances) {
        kit_instance *next = t->instances->next;
        free(t->instances);
        t->instances = next;
    }
    for (size_t i = 0; i < t->line_count; i++)
        free(t->lines[i].text);
    free(t->lines);
    free(t->kinds);
    free(t->last_failure);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

berth_test *berth_test_open_with(const berth_plugin *plugin, size_t extensions,
                                 const char *const *ids, const void *const *tables,
                                 const char **why)
{
    const char *mistake = check_plugin(plugin);
    berth_test *t;

    if (why)
        *why = mistake;
    if (mistake)
        return NULL;
    t = kit_alloc(sizeof *t);
    t->host = (berth_host){sizeof t->host, BERTH_ABI_MINOR, host_log, host_post, host_extension};
    t->plugin = plugin;
    t->kinds = kit_alloc(plugin->kind_count * sizeof *t->kinds);
    for (uint32_t i = 0; i < plugin->kind_count; i++)
        memcpy(&t->kinds[i], plugin->kinds[i], sizeof *t->kinds);
    t->extension_count = extensions;
    t->extension_ids = ids;
    t->extension_tables = tables;
    t->now = CLOCK_BEGIN;
    t->seed[0] = 1;
    t->seed[1] = 2;
    t->next_origin = 0x1000;
    t->last_failure = kit_copy("", 0);
    pthread_mutex_init(&t->lock, NULL);

    t->in_init = true;
    berth_code code = plugin->init ? plugin->init(&t->host) : BERTH_OK;
    t->in_init = false;
    if (code != BERTH_OK) {
        if (why)
            *why = "init failed";
        free_test(t);
        return NULL;
    }
    return t;
}

berth_test *berth_test_open(const berth_plugin *plugin, const char **why)
{
    return berth_test_open_with(plugin, 0, NULL, NULL, why);
}

berth_test *berth_test_open_file(const char *path, const char **why)
{
    const char *mistake = NULL;
    berth_test *t = NULL;
    void *file = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const berth_plugin *plugin = file ? dlsym(file, BERTH_PLUGIN_SYMBOL) : NULL;

    if (plugin)
        t = berth_test_open(plugin, &mistake);
    else
        mistake = dlerror();
    if (t)
        t->file = file;
    else if (plugin)
        dlclose(file);
    if (why)
        *why = mistake;
    return t;
}

void berth_test_close(berth_test *t)
{
    if (!t)
        return;
    while (t->daemons)
        berth_test_destroy(t->daemons);
    if (t->plugin->deinit)
        t->plugin->deinit();
    if (t->file)
        dlclose(t->file);
    free_test(t);
}

int64_t berth_test_now(const berth_test *t)
{
    return t->now;
}

void berth_test_advance(berth_test *t, int64_t ns)
{
    if (ns > 0)
        t->now = ns > INT64_MAX - t->now ? INT64_MAX : t->now + ns;
}

void berth_test_set_seed(berth_test *t, uint64_t a, uint64_t b)
{
    t->seed[0] = a;
    t->seed[1] = b;
}

/* The next seed of the sequence: any well-mixed step will do. */
static void take_seed(berth_test *t, uint64_t out[2])
{
    for (int i = 0; i < 2; i++) {
        out[i] = t->seed[i];
        t->seed[i] = (t->seed[i] ^ t->seed[i] >> 29) * UINT64_C(0xbf58476d1ce4e5b9) +
                     UINT64_C(0x9e3779b97f4a7c15);
    }
}

size_t berth_test_log_count(berth_test *t)
{
    pthread_mutex_lock(&t->lock);
    size_t count = t->line_count;
    pthread_mutex_unlock(&t->lock);
    return count;
}

static kit_line log_line(berth_test *t, size_t i)
{
    kit_line line = {-1, NULL};

    pthread_mutex_lock(&t->lock);
    if (i < t->line_count)
        line = t->lines[i];
    pthread_mutex_unlock(&t->lock);
    return line;
}

const char *berth_test_log_text(berth_test *t, size_t i)
{
    return log_line(t, i).text;
}

int32_t berth_test_log_level(berth_test *t, size_t i)
{
    return log_line(t, i).level;
}

/* ---- Calls ---- */

/* A copy of exactly len bytes at an odd address, so that a sanitizer sees reads around it and the
 * plugin learns not to count on alignment. */
typedef struct odd_copy {
    uint8_t *block;
    berth_bytes bytes;
} odd_copy;

static odd_copy odd_copy_of(berth_bytes from, size_t zeroes)
{
    odd_copy copy = {NULL, {NULL, 0}};

    if (!from.ptr && !zeroes)
        return copy;
    copy.block = kit_grow(NULL, from.len + zeroes + 1);
    copy.bytes = (berth_bytes){copy.block + 1, from.len};
    if (from.len)
        memcpy(copy.block + 1, from.ptr, from.len);
    memset(copy.block + 1 + from.len, 0, zeroes);
    return copy;
}

static kit_call *last_call(berth_test_daemon *d)
{
    return &d->calls[d->call_at];
}

static berth_call *begin_call(berth_test_daemon *d, kit_phase phase)
{
    d->call_at = (d->call_at + 1) % KIT_CALLS;
    record_begin(last_call(d), d, phase);
    return &last_call(d)->call;
}

/* Call create for a second, or the first, instance of d. */
static berth_code make_instance(berth_test_daemon *d, berth_bytes state, uint32_t version,
                                kit_instance **out)
{
    berth_test *t = d->test;
    kit_instance *i = kit_alloc(sizeof *i);
    odd_copy config = odd_copy_of(d->birth.config, 1);
    odd_copy copied_state = odd_copy_of(state, 0);
    berth_birth birth = {
        .size = sizeof birth,
        .state_version = state.ptr ? version : 0,
        .origin = d->birth.origin,
        .daemon = &i->handle,
        .name = {d->birth.name, strlen(d->birth.name)},
        .config = config.bytes,
        .state = copied_state.bytes,
        .max_event = d->birth.max_event,
        .max_outputs = d->birth.max_outputs,
        .max_output_bytes = d->birth.max_output_bytes,
        .max_state = d->birth.max_state,
        .time_ns = t->now,
    };

    take_seed(t, birth.seed);
    i->handle.host = &t->host;
    i->test = t;
    i->daemon = d;
    i->live = true;
    pthread_mutex_lock(&t->lock);
    i->next = t->instances;
    t->instances = i;
    pthread_mutex_unlock(&t->lock);

    berth_call *call = begin_call(d, PHASE_CREATE);
    berth_code code = record_end(last_call(d), d->kind->create(call, &birth, &i->self));
    if (code == BERTH_OK && !i->self)
        code = BERTH_E_BROKEN;
    if (code != BERTH_OK)
        i->live = false;
    free(config.block);
    free(copied_state.block);
    *out = code == BERTH_OK ? i : NULL;
    return code;
}

static void end_instance(berth_test_daemon *d, kit_instance *i)
{
    berth_call *call = begin_call(d, PHASE_DESTROY);

    d->kind->destroy(i->self, call);
    record_end(last_call(d), BERTH_OK);
    pthread_mutex_lock(&d->test->lock);
    i->live = false;
    pthread_mutex_unlock(&d->test->lock);
}

/* ---- Daemons ---- */

static const berth_kind *find_kind(const berth_test *t, const char *name)
{
    for (uint32_t i = 0; i < t->plugin->kind_count; i++) {
        berth_bytes have = t->kinds[i].name;
        if (!name || (strlen(name) == have.len && memcmp(have.ptr, name, have.len) == 0))
            return &t->kinds[i];
    }
    return NULL;
}

static void or_default(uint64_t *value, uint64_t otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static void set_birth(berth_test_daemon *d, const berth_test_birth *birth)
{
    berth_test_birth *b = &d->birth;

    if (birth)
        *b = *birth;
    b->kind = NULL;
    b->state = (berth_bytes){NULL, 0};
    b->name = b->name ? b->name : "test";
    b->name = kit_copy(b->name, strlen(b->name));
    b->config.ptr = kit_copy(b->config.ptr, b->config.len);
    or_default(&b->origin, d->test->next_origin++);
    or_default(&b->max_event, MIB);
    or_default(&b->max_outputs, 4096);
    or_default(&b->max_output_bytes, 64 * MIB);
    or_default(&b->max_state, STATE_MAX);
    or_default(&b->max_posts, DEFAULT_POSTS);
}

static void free_daemon(berth_test_daemon *d)
{
    while (d->posts) {
        kit_post *next = d->posts->next;
        free(d->posts);
        d->posts = next;
    }
    for (int i = 0; i < KIT_CALLS; i++)
        record_free(&d->calls[i]);
    world_free(&d->world);
    free((void *)d->birth.name);
    free((void *)d->birth.config.ptr);
    free(d->snapshot);
    free(d);
}

static void set_last_failure(berth_test *t, const char *text)
{
    free(t->last_failure);
    t->last_failure = kit_copy(text, strlen(text));
}

berth_test_daemon *berth_test_spawn(berth_test *t, const berth_test_birth *birth, berth_code *code)
{
    const berth_kind *kind = find_kind(t, birth ? birth->kind : NULL);
    berth_code result = BERTH_E_ARGUMENT;
    berth_test_daemon *d = NULL;

    if (!kind) {
        set_last_failure(t, "the plugin has no such kind");
    } else {
        d = kit_alloc(sizeof *d);
        d->test = t;
        d->kind = kind;
        d->posts_end = &d->posts;
        set_birth(d, birth);
        berth_bytes state = birth ? birth->state : (berth_bytes){NULL, 0};
        result = make_instance(d, state, birth ? birth->state_version : 0, &d->instance);
        set_last_failure(t, berth_test_failure(d));
    }
    if (code)
        *code = result;
    if (d && result != BERTH_OK) {
        /* Its handle stays; it must not be found through the daemon any more. */
        free_daemon(d);
        return NULL;
    }
    if (d) {
        d->next = t->daemons;
        t->daemons = d;
    }
    return d;
}

const char *berth_test_last_failure(const berth_test *t)
{
    return t->last_failure;
}

void berth_test_destroy(berth_test_daemon *d)
{
    berth_test_daemon **at = &d->test->daemons;

    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    end_instance(d, d->instance);
    free_daemon(d);
}

uint64_t berth_test_origin(const berth_test_daemon *d)
{
    return d->birth.origin;
}

/* ---- Events ---- */

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

static berth_code refuse(berth_test_daemon *d, const char *why)
{
    begin_call(d, PHASE_DEAD);
    last_call(d)->failure = kit_escape(why, strlen(why));
    return BERTH_E_ARGUMENT;
}

berth_code berth_test_deliver(berth_test_daemon *d, const berth_event *event)
{
    berth_handler *handler = handler_of(d->kind, event->type);
    berth_event e = *event;

    if (!handler)
        return refuse(d, "the kind has no handler for this type of event");
    if (e.data.len > d->birth.max_event)
        return refuse(d, "the data is longer than max_event");
    e.size = sizeof e;
    if (e.time_ns == 0)
        e.time_ns = d->test->now;
    if (e.seed[0] == 0 && e.seed[1] == 0)
        take_seed(d->test, e.seed);
    if (e.attempt == 0)
        e.attempt = 1;

    odd_copy data = odd_copy_of(e.data, 0);
    odd_copy channel = odd_copy_of(e.channel, 0);
    e.data = data.bytes;
    e.channel = channel.bytes;
    berth_call *call = begin_call(d, PHASE_HANDLER);
    berth_code code = record_end(last_call(d), handler(d->instance->self, call, &e));
    free(data.block);
    free(channel.block);
    const kit_call *done = last_call(d);
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
        return refuse(d, "the daemon has no such request open");
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
    return timer ? fire(d, timer) : refuse(d, "no timer with this number is pending");
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
        return refuse(d, "no post is waiting");
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

const char *berth_test_failure(const berth_test_daemon *d)
{
    const char *text = d->calls[d->call_at].failure;
    return text ? text : "";
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

/* ---- State and status ---- */

berth_code berth_test_snapshot(berth_test_daemon *d, uint32_t want_version, berth_bytes *state)
{
    if (!d->kind->snapshot)
        return refuse(d, "the kind has no snapshot");
    berth_call *call = begin_call(d, PHASE_SNAPSHOT);
    kit_call *c = last_call(d);
    berth_code code = record_end(c, d->kind->snapshot(d->instance->self, call, want_version));

    if (code != BERTH_OK)
        return code;
    free(d->snapshot);
    d->snapshot = kit_copy(c->state, c->state_len);
    *state = (berth_bytes){d->snapshot, c->state_len};
    return BERTH_OK;
}

berth_code berth_test_rebuild(berth_test_daemon *d, uint32_t version)
{
    kit_instance *second;
    berth_bytes state;
    berth_code code = berth_test_snapshot(d, version, &state);

    if (code == BERTH_OK)
        code = make_instance(d, state, version, &second);
    if (code != BERTH_OK)
        return code;
    end_instance(d, d->instance);
    d->instance = second;
    return BERTH_OK;
}

berth_code berth_test_status(berth_test_daemon *d, berth_daemon_status *out)
{
    memset(out, 0, sizeof *out);
    out->size = sizeof *out;
    if (!d->kind->status)
        return refuse(d, "the kind has no status");
    berth_call *call = begin_call(d, PHASE_STATUS);
    return record_end(last_call(d), d->kind->status(d->instance->self, call, out));
}
