/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/check_host_parts.h"

#include "base/error.h"
#include "plugin/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { GARBAGE_LEN = 256, NEWER_BY = 64, CONFIG_ROOM = (64 << 10) + 16 };

#define ORIGIN UINT64_C(0x636865636b000001)

static const char *const slot_names[] = {
    [SLOT_EVENT] = "the berth_event", [SLOT_DATA] = "event.data",
    [SLOT_CHANNEL] = "event.channel", [SLOT_BIRTH] = "the berth_birth",
    [SLOT_CONFIG] = "birth.config",   [SLOT_NAME] = "birth.name",
    [SLOT_STATE] = "birth.state",     [SLOT_STATUS] = "the berth_daemon_status",
};

check_host *host_current;

static void *pages(size_t size, int flags)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);

    if (p == MAP_FAILED) {
        perror("mmap");
        abort();
    }
    return p;
}

/* ---- Tables ---------------------------------------------------------------------------------- */

/* A struct as this host's tables are: its size member and what lies behind it. */
static void *put_struct(check_host *h, area *a, const char *name, const void *from, size_t size)
{
    uint8_t bytes[1024];
    uint32_t said = (uint32_t)size;

    if (!a->begin)
        area_open(a, h->c, name, sizeof bytes);
    if (h->tables == TABLES_SHORT)
        return area_put(a, AREA_END, from, size, 0);
    if (h->tables == TABLES_NEWER)
        said += NEWER_BY;
    memset(bytes, HOST_GARBAGE, sizeof bytes);
    memcpy(bytes, from, size);
    memcpy(bytes, &said, sizeof said);
    return area_put(a, AREA_BEGIN, bytes, size + GARBAGE_LEN, 0);
}

static void make_tables(check_host *h)
{
    berth_host host = host_table;

    h->host = &host_table;
    h->api = &host_call_api;
    if (h->tables == TABLES_PLAIN)
        return;
    host.abi_minor = h->tables == TABLES_NEWER ? 9 : 0;
    h->host =
        (const berth_host *)put_struct(h, &h->host_area, "the berth_host", &host, sizeof host);
    h->api = (const berth_call_api *)put_struct(h, &h->api_area, "the berth_call_api",
                                                &host_call_api, sizeof host_call_api);
}

/* ---- Loading --------------------------------------------------------------------------------- */

berth_status host_load(check *c, host_tables tables, berth_error *error)
{
    policy_options options = {.unsigned_plugins = POLICY_UNSIGNED_WARN};
    check_host *h = (check_host *)pages(sizeof *h, 0);
    plugins_config config = {0};
    berth_status status;

    h->c = c;
    h->tables = tables;
    make_tables(h);
    h->plain_config = (uint8_t *)pages(CONFIG_ROOM, 0);
    h->state = (uint8_t *)pages(HOST_STATE_ROOM, 0);
    h->daemons = (check_daemon *)pages(HOST_DAEMONS * sizeof *h->daemons, MAP_POPULATE);
    c->host = host_current = h;
    config.host = h->host;
    status = policy_new(&options, &config.policy, error);
    if (status == BERTH_OK)
        status = plugins_new(&config, &c->set, error);
    check_call(c, "init (or a constructor)");
    if (status == BERTH_OK)
        status = plugins_load(c->set, c->file, NULL, NULL, error);
    check_call(c, NULL);
    return status;
}

void check_open(check *c, host_tables tables)
{
    berth_error error = {0};

    if (c->shared->braces)
        c->config = slice_str("{}");
    if (host_load(c, tables, &error) != BERTH_OK)
        check_fail(c, "", "cannot be loaded again: %s", error.text);
    c->kind = plugins_kind(c->set, slice_str(c->facts->name));
    if (!c->kind)
        check_fail(c, "", "has no kind '%s' after loading: a defect of berth", c->facts->name);
}

/* ---- Lending --------------------------------------------------------------------------------- */

void host_set_lend(check_host *h, host_lend lend)
{
    h->lend = lend;
}

static area *slot_area(check_host *h, host_slot slot, size_t len)
{
    area *a = &h->areas[slot];
    size_t cap = len;

    if (h->lend != LEND_BORROWED && slot == SLOT_DATA)
        cap = HOST_MAX_EVENT;
    else if (h->lend != LEND_BORROWED && slot == SLOT_STATE)
        cap = CHECK_STATE_MAX;
    else if (h->lend != LEND_BORROWED)
        cap = CONFIG_ROOM;
    if (!a->begin)
        area_open(a, h->c, slot_names[slot], cap);
    else if (h->lend == LEND_READ_ONLY)
        area_writable(a, h->c, true);
    return a;
}

/* Bytes, with zeroes behind them; plain ones stay where they are and have their zeroes. */
static const void *lend_bytes(check_host *h, host_slot slot, const void *ptr, size_t len,
                              size_t zeroes)
{
    area *a;
    void *at;

    if (h->lend == LEND_PLAIN || !ptr)
        return ptr;
    a = slot_area(h, slot, len + zeroes);
    at = area_put(a,
                  h->lend == LEND_END     ? AREA_END
                  : h->lend == LEND_BEGIN ? AREA_BEGIN
                                          : AREA_MIDDLE,
                  ptr, len, zeroes);
    if (h->lend == LEND_READ_ONLY)
        area_writable(a, h->c, false);
    return at;
}

/* A struct; own is where it lies already. */
static const void *lend_struct(check_host *h, host_slot slot, const void *own, size_t size)
{
    const void *at;
    area *a;

    if (h->tables != TABLES_PLAIN)
        return put_struct(h, &h->areas[slot], slot_names[slot], own, size);
    if (h->lend != LEND_READ_ONLY && h->lend != LEND_BORROWED)
        return own;
    a = slot_area(h, slot, size);
    at = area_put(a, AREA_BEGIN, own, size, 0);
    if (h->lend == LEND_READ_ONLY)
        area_writable(a, h->c, false);
    return at;
}

static void take_back(check_host *h)
{
    if (h->lend != LEND_BORROWED)
        return;
    for (unsigned i = 0; i < HOST_SLOTS; i++) {
        if (h->areas[i].begin)
            area_close(&h->areas[i], h->c);
    }
}

/* ---- Calls ----------------------------------------------------------------------------------- */

host_handle *host_begin(check_daemon *d, host_phase phase, const char *name)
{
    host_handle *handle = &d->handles[d->handle_at++ % HOST_HANDLES];

    handle->call.api = d->host->api;
    handle->daemon = d;
    handle->thread = pthread_self();
    handle->name = name;
    record_reset(&d->record);
    d->running = handle;
    atomic_store(&handle->phase, phase);
    check_call(d->host->c, name);
    return handle;
}

berth_code host_end(check_daemon *d, berth_code code, host_answer *answer)
{
    host_record *r = &d->record;

    check_call(d->host->c, NULL);
    record_check_reserve(d);
    atomic_store(&d->running->phase, PHASE_DEAD);
    d->running = NULL;
    if (code == BERTH_OK && r->limited)
        code = BERTH_E_LIMIT;
    if (code != BERTH_OK) {
        r->count = 0;
        r->digest = 0;
        r->shown[0] = 0;
    } else {
        world_apply(d);
    }
    if (answer) {
        *answer = (host_answer){.code = code, .limited = r->limited, .effects = r->count};
        answer->digest = script_mix(r->digest, &code, sizeof code);
        memcpy(answer->shown, r->shown, sizeof answer->shown);
        memcpy(answer->text, r->text, sizeof answer->text);
    }
    return code;
}

/* One that was never used, else the one that has been dead the longest. */
static check_daemon *free_daemon(check_host *h)
{
    check_daemon *best = NULL;

    for (unsigned i = 0; i < HOST_DAEMONS; i++) {
        check_daemon *d = &h->daemons[i];

        if (!atomic_load(&d->live) && (!best || d->died < best->died))
            best = d;
    }
    return best;
}

static void fill_birth(check_daemon *d, const host_birth *how)
{
    check_host *h = d->host;
    slice config = how->config.ptr ? how->config : h->c->config;
    berth_birth *b = &d->birth;

    *b = (berth_birth){.size = sizeof *b,
                       .origin = d->origin,
                       .daemon = &d->handle,
                       .max_event = HOST_MAX_EVENT,
                       .max_outputs = HOST_MAX_OUTPUTS,
                       .max_output_bytes = HOST_MAX_BYTES,
                       .max_state = UINT32_MAX,
                       .time_ns = INT64_C(1700000000) * 1000000000,
                       .seed = {1, 2}};
    memcpy(h->plain_config, config.len ? config.ptr : (const uint8_t *)"", config.len);
    h->plain_config[config.len] = 0;
    b->config.ptr = lend_bytes(h, SLOT_CONFIG, h->plain_config, config.len, 1);
    b->config.len = config.len;
    b->name = (berth_bytes){lend_bytes(h, SLOT_NAME, "check", 5, 0), 5};
    if (how->state) {
        b->state_version = how->state->version;
        b->state.ptr = lend_bytes(h, SLOT_STATE, how->state->bytes, how->state->len, 0);
        b->state.len = how->state->len;
    } else if (how->raw_state.ptr) {
        b->state_version = how->raw_version;
        b->state.ptr = lend_bytes(h, SLOT_STATE, how->raw_state.ptr, how->raw_state.len, 0);
        b->state.len = how->raw_state.len;
    }
}

check_daemon *host_create(check *c, const host_birth *how, host_answer *answer)
{
    static const host_birth usual = {0};
    check_host *h = c->host;
    check_daemon *d = free_daemon(h);
    const berth_birth *birth;
    host_handle *handle;
    berth_code code;

    if (!d)
        check_fail(c, "", "ran out of daemons: a defect of berth");
    how = how ? how : &usual;
    d->handle.host = h->host;
    d->host = h;
    d->self = NULL;
    d->origin = how->origin ? how->origin : ORIGIN;
    d->post_count = 0;
    pthread_mutex_init(&d->lock, NULL);
    d->world.timer_count = d->world.request_count = 0;
    if (how->world)
        d->world = *how->world;
    fill_birth(d, how);
    birth = (const berth_birth *)lend_struct(h, SLOT_BIRTH, &d->birth, sizeof d->birth);
    atomic_store(&d->live, true);
    handle = host_begin(d, PHASE_CREATE, "create");
    code = c->kind->table.create(&handle->call, birth, &d->self);
    code = host_end(d, code, answer);
    take_back(h);
    if (code == BERTH_OK)
        return d;
    d->died = ++h->deaths;
    atomic_store(&d->live, false);
    return NULL;
}

check_daemon *host_create_or_fail(check *c, const host_birth *birth)
{
    host_answer answer;
    check_daemon *d = host_create(c, birth, &answer);

    if (!d)
        check_fail(c, "", "create answered %s this time%s%s", host_code_name(answer.code),
                   answer.text[0] ? ": " : "", answer.text);
    return d;
}

void host_destroy(check_daemon *d)
{
    host_handle *handle = host_begin(d, PHASE_DESTROY, "destroy");

    d->host->c->kind->table.destroy(d->self, &handle->call);
    host_end(d, BERTH_OK, NULL);
    d->died = ++d->host->deaths;
    atomic_store(&d->live, false);
}

static berth_handler *handler_of(const berth_kind *k, uint16_t type, const char **name)
{
    switch (type) {
    case BERTH_EVENT_START:
        *name = "on_start";
        return k->on_start;
    case BERTH_EVENT_TIMER:
        *name = "on_timer";
        return k->on_timer;
    case BERTH_EVENT_REPLY:
        *name = "on_reply";
        return k->on_reply;
    case BERTH_EVENT_POST:
        *name = "on_post";
        return k->on_post;
    case BERTH_EVENT_CONTROL:
        *name = "on_control";
        return k->on_control;
    default:
        *name = "process";
        return k->process;
    }
}

berth_code host_deliver(check_daemon *d, const berth_event *event, host_answer *answer)
{
    check_host *h = d->host;
    const char *name;
    berth_handler *handler = handler_of(&h->c->kind->table, event->type, &name);
    const berth_event *lent;
    host_handle *handle;
    berth_code code;

    if (answer)
        *answer = (host_answer){.code = BERTH_E_ARGUMENT};
    if (!handler)
        return BERTH_E_ARGUMENT;
    d->now_ns = event->time_ns;
    d->event = *event;
    d->event.data.ptr = lend_bytes(h, SLOT_DATA, event->data.ptr, event->data.len, 0);
    d->event.channel.ptr = lend_bytes(h, SLOT_CHANNEL, event->channel.ptr, event->channel.len, 0);
    lent = (const berth_event *)lend_struct(h, SLOT_EVENT, &d->event, sizeof d->event);
    handle = host_begin(d, PHASE_HANDLER, name);
    code = handler(d->self, &handle->call, lent);
    code = host_end(d, code, answer);
    take_back(h);
    return code;
}

berth_code host_snapshot(check_daemon *d, uint32_t version, slice *state, host_answer *answer)
{
    host_handle *handle = host_begin(d, PHASE_SNAPSHOT, "snapshot");
    berth_code code;

    d->host->state_len = 0;
    code = d->host->c->kind->table.snapshot(d->self, &handle->call, version);
    code = host_end(d, code, answer);
    if (state)
        *state = slice_of(d->host->state, d->host->state_len);
    return code;
}

bool host_keep_state(check_state *out, slice state, uint32_t version)
{
    out->there = state.len <= CHECK_STATE_MAX;
    if (!out->there)
        return false;
    out->version = version;
    out->len = state.len;
    memcpy(out->bytes, state.ptr, state.len);
    return true;
}

berth_code host_status(check_daemon *d, berth_daemon_status *out, host_answer *answer)
{
    check_host *h = d->host;
    struct {
        berth_daemon_status status;
        uint8_t behind[HOST_BEHIND];
    } own = {.status = {.size = sizeof own.status}};
    berth_daemon_status *lent = &own.status;
    host_handle *handle;
    berth_code code;

    if (h->tables != TABLES_PLAIN)
        lent = (berth_daemon_status *)put_struct(h, &h->areas[SLOT_STATUS], slot_names[SLOT_STATUS],
                                                 lent, sizeof *lent);
    handle = host_begin(d, PHASE_STATUS, "status");
    code = h->c->kind->table.status(d->self, &handle->call, lent);
    code = host_end(d, code, answer);
    *out = *lent;
    return code;
}
