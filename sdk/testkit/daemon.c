/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define STATE_MAX     UINT32_MAX
#define MIB           (UINT64_C(1) << 20)
#define DEFAULT_POSTS 1024

/* ---- Calls ---- */

kit_odd_copy kit_odd_copy_of(berth_bytes from, size_t zeroes)
{
    kit_odd_copy copy = {NULL, {NULL, 0}};

    if (!from.ptr)
        from.len = 0;
    if (!from.ptr && !zeroes)
        return copy;
    copy.block = kit_grow(NULL, from.len + zeroes + 1);
    copy.bytes = (berth_bytes){copy.block + 1, from.len};
    if (from.len)
        memcpy(copy.block + 1, from.ptr, from.len);
    memset(copy.block + 1 + from.len, 0, zeroes);
    return copy;
}

kit_call *kit_last_call(berth_test_daemon *d)
{
    return &d->calls[d->call_at];
}

berth_call *kit_begin_call(berth_test_daemon *d, kit_phase phase)
{
    d->call_at = (d->call_at + 1) % KIT_CALLS;
    record_begin(kit_last_call(d), d, phase);
    return &kit_last_call(d)->call;
}

/* Call create for a second, or the first, instance of d. */
static berth_code make_instance(berth_test_daemon *d, berth_bytes state, uint32_t version,
                                kit_instance **out)
{
    berth_test *t = d->test;
    kit_instance *i = kit_alloc(sizeof *i);
    kit_odd_copy config = kit_odd_copy_of(d->birth.config, 1);
    kit_odd_copy copied_state = kit_odd_copy_of(state, 0);
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

    kit_take_seed(t, birth.seed);
    i->handle.host = &t->host;
    i->test = t;
    i->daemon = d;
    i->live = true;
    pthread_mutex_lock(&t->lock);
    i->next = t->instances;
    t->instances = i;
    pthread_mutex_unlock(&t->lock);

    berth_call *call = kit_begin_call(d, PHASE_CREATE);
    berth_code code = record_end(kit_last_call(d), d->kind->create(call, &birth, &i->self));
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
    berth_call *call = kit_begin_call(d, PHASE_DESTROY);

    d->kind->destroy(i->self, call);
    record_end(kit_last_call(d), BERTH_OK);
    pthread_mutex_lock(&d->test->lock);
    i->live = false;
    pthread_mutex_unlock(&d->test->lock);
}

berth_code kit_refuse(berth_test_daemon *d, const char *why)
{
    kit_begin_call(d, PHASE_DEAD);
    kit_last_call(d)->failure = kit_escape(why, strlen(why));
    return BERTH_E_ARGUMENT;
}

const char *berth_test_failure(const berth_test_daemon *d)
{
    const char *text = d->calls[d->call_at].failure;
    return text ? text : "";
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

/* ---- State and status ---- */

berth_code berth_test_snapshot(berth_test_daemon *d, uint32_t want_version, berth_bytes *state)
{
    if (!d->kind->snapshot)
        return kit_refuse(d, "the kind has no snapshot");
    berth_call *call = kit_begin_call(d, PHASE_SNAPSHOT);
    kit_call *c = kit_last_call(d);
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
        return kit_refuse(d, "the kind has no status");
    berth_call *call = kit_begin_call(d, PHASE_STATUS);
    return record_end(kit_last_call(d), d->kind->status(d->instance->self, call, out));
}
