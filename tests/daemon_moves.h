/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/daemon_moves.h: kinds that are declared deterministic, and both sides of a move of them.
 *
 *     actor   is script (kinds.h)        draws   state and output are of time, seed and data
 *     bulky   draws, and has more state than is ever copied
 *     fickle  outputs what no other instance does; moody returns it
 */
#ifndef TESTS_DAEMON_MOVES_H
#define TESTS_DAEMON_MOVES_H

#include "daemon_help.h"

#include "chain/container.h"
#include "daemon/executed.h"
#include "daemon/latch.h"
#include "daemon/moving.h"

static const char moves_json[] =
    "{\"name\":\"moves\",\"version\":\"0.0.0\",\"license\":\"x\",\"abi\":[0,0],\"kinds\":["
#define MOVES_KIND(name)                                                                           \
    "{\"name\":\"" name "\",\"config\":\"text\",\"deterministic\":true,"                           \
    "\"state\":{\"writes\":1,\"writes_oldest\":1,\"reads_oldest\":1}}"
    MOVES_KIND("actor") "," MOVES_KIND("bulky") "," MOVES_KIND("draws") "," MOVES_KIND(
        "fickle") "," MOVES_KIND("moody") "]}";

typedef struct drawer {
    uint64_t sum;
} drawer;

static atomic_long moves_made; /* what no other instance has */

static berth_code drawer_create(berth_call *call, const berth_birth *birth, void **out)
{
    (void)call;
    drawer *s = calloc(1, sizeof(*s));
    if (birth->state.len >= sizeof(*s))
        memcpy(s, birth->state.ptr, sizeof(*s));
    *out = s;
    return BERTH_OK;
}

static void drawer_destroy(void *me, berth_call *call)
{
    (void)call;
    free(me);
}

static berth_code drawer_process(void *me, berth_call *call, const berth_event *e)
{
    drawer *s = me;
    s->sum = s->sum * 31 + (uint64_t)e->time_ns + e->seed[0] * 3 + e->seed[1] * 5 + e->sequence;
    for (uint64_t i = 0; i < e->data.len; i++)
        s->sum = s->sum * 31 + ((const uint8_t *)e->data.ptr)[i];
    return call->api->emit(call, &s->sum, sizeof(s->sum));
}

static berth_code fickle_process(void *me, berth_call *call, const berth_event *e)
{
    (void)me, (void)e;
    long n = atomic_fetch_add(&moves_made, 1);
    return call->api->emit(call, &n, sizeof(n));
}

static berth_code moody_process(void *me, berth_call *call, const berth_event *e)
{
    (void)me, (void)call, (void)e;
    return atomic_load(&moves_made) ? BERTH_E_REJECT : BERTH_OK;
}

static berth_code drawer_save(void *me, berth_call *call, uint32_t want)
{
    (void)want;
    return call->api->write(call, me, sizeof(drawer));
}

#define BULK 1000000

static berth_code bulky_save(void *me, berth_call *call, uint32_t want)
{
    berth_code code = drawer_save(me, call, want);
    for (unsigned i = 0; i < BULK && code == BERTH_OK; i += 1000) {
        uint8_t bytes[1000];
        memset(bytes, (int)(i / 1000 % 251), sizeof(bytes));
        code = call->api->write(call, bytes, sizeof(bytes));
    }
    return code;
}

#define DRAWER(text, handler, save)                                                                \
    {                                                                                              \
        .size = sizeof(berth_kind), .name = {text, sizeof(text) - 1}, .create = drawer_create,     \
        .destroy = drawer_destroy, .process = handler, .snapshot = save                            \
    }

static inline void moves_provide(berth_runtime *rt)
{
    static berth_kind actor;
    static const berth_kind draws = DRAWER("draws", drawer_process, drawer_save);
    static const berth_kind bulky = DRAWER("bulky", drawer_process, bulky_save);
    static const berth_kind fickle = DRAWER("fickle", fickle_process, drawer_save);
    static const berth_kind moody = DRAWER("moody", moody_process, drawer_save);
    static const berth_kind *kinds[] = {&actor, &bulky, &draws, &fickle, &moody};
    static const berth_plugin table = {.size = sizeof(table), .kind_count = 5, .kinds = kinds};
    berth_error error = {0};
    actor = kind_script;
    actor.name = (berth_bytes){"actor", 5};
    if (plugins_add_static(rt->plugins, &table, slice_str(moves_json), NULL, &error) != BERTH_OK)
        fail_msg("%s", error.text);
    atomic_store(&moves_made, 0);
}

/* ---- At the source --------------------------------------------------------------------------- */

typedef struct leaving {
    departure *x;
    latch told;
    berth_status status;
    berth_error error;
} leaving;

static void leaving_told(void *ctx, departure *x, berth_status status, const berth_error *error)
{
    leaving *l = ctx;
    (void)x;
    l->status = status;
    l->error = *error;
    latch_answer(&l->told, BERTH_OK, NULL);
}

/* done has come. */
static inline berth_status leaving_wait(leaving *l)
{
    latch_wait(&l->told, NULL);
    latch_fini(&l->told);
    return l->status;
}

static inline void follow_begin(leaving *l, berth_runtime *rt, uint64_t d, uint64_t room)
{
    latch_init(&l->told, 1);
    OK(departure_follow(rt, d, room, leaving_told, l, &l->x, &l->error));
}

static inline void follow(leaving *l, berth_runtime *rt, uint64_t d, uint64_t room)
{
    follow_begin(l, rt, d, room);
    OK(leaving_wait(l));
}

static inline void close_begin(leaving *l)
{
    latch_init(&l->told, 1);
    OK(departure_close(l->x, leaving_told, l, &l->error));
}

static inline void leaving_stay(leaving *l)
{
    departure_resume(l->x, 0);
    departure_free(l->x);
}

/* Between two events, when there is one to run that may be: all that may run now has run. */
static inline void pass_by(berth_runtime *rt, uint64_t d)
{
    void *bytes;
    uint64_t len;
    OK(berth_snapshot(rt, d, &bytes, &len, NULL));
    free(bytes);
}

static inline buf *joined(const departed *s)
{
    writer w = {0};
    writer_bytes(&w, s->container_head->data, s->container_head->len);
    if (s->state)
        writer_bytes(&w, s->state->data, s->state->len);
    writer_bytes(&w, s->container_tail->data, s->container_tail->len);
    uint8_t digest[CONTAINER_DIGEST];
    container_digest(digest, slice_of(w.data, w.len), (slice){0}, (slice){0});
    writer_bytes(&w, digest, sizeof(digest));
    buf *b = buf_copy(w.data, w.len);
    writer_free(&w);
    return b;
}

static inline slice bytes_of(const buf *b)
{
    return b ? slice_of(b->data, b->len) : (slice){0};
}

/* ---- At the target --------------------------------------------------------------------------- */

/* Of what a departure says now. */
static inline arrival *arrive_at(berth_runtime *rt, const char *kind, const leaving *l,
                                 berth_status is, berth_error *error)
{
    const departed *s = departure_state(l->x);
    arrival *a = NULL;
    buf *whole = joined(s);
    plugin_kind *k = plugins_kind(rt->plugins, slice_str(kind));
    arrival_base base = {.kind = k,
                         .entity = s->key->entity,
                         .make = bytes_of(s->make),
                         .container = bytes_of(whole),
                         .epoch = s->epoch + 1};
    berth_error local = {0};
    assert_int_equal(arrival_begin(rt, &base, &a, error ? error : &local), is);
    plugin_kind_unref(k);
    buf_unref(whole);
    return a;
}

/* What it has run until now, at a; how many events. */
static inline uint32_t run_again(leaving *l, arrival *a)
{
    buf *bytes;
    uint32_t count;
    OK(departure_executed(l->x, &bytes, &count, &l->error));
    if (bytes) {
        berth_error error = {0};
        if (arrival_replay(a, bytes_of(bytes), &error) != BERTH_OK)
            fail_msg("%s", error.text);
    }
    assert_true(!bytes == !count);
    buf_unref(bytes);
    return count;
}

static inline berth_status finish_at(leaving *l, arrival *a, berth_error *error)
{
    const departed *s = departure_state(l->x);
    berth_status status = BERTH_OK;
    buf *whole = joined(s);
    arrival_spec spec = {.identity = s->key,
                         .make = bytes_of(s->make),
                         .container = bytes_of(whole),
                         .held = bytes_of(s->held),
                         .epoch = s->epoch + 1};
    if (s->executed)
        status = arrival_replay(a, bytes_of(s->executed), error);
    if (status == BERTH_OK)
        status = arrival_finish(a, &spec, error);
    buf_unref(whole);
    return status;
}

/* The state, and where the chain is. */
static inline uint64_t state_of(berth_runtime *rt, uint64_t d, berth_link *head)
{
    void *bytes;
    uint64_t len, state;
    container c;
    OK(berth_snapshot(rt, d, &bytes, &len, NULL));
    OK(container_decode(&c, slice_of(bytes, len), NULL));
    assert_true(c.snapshot.state.len == 8 || c.snapshot.state.len == 8 + BULK);
    for (size_t i = 8; i < c.snapshot.state.len; i++)
        assert_int_equal(c.snapshot.state.ptr[i], (i - 8) / 1000 % 251);
    memcpy(&state, c.snapshot.state.ptr, 8);
    *head = c.snapshot.link;
    container_fini(&c);
    free(bytes);
    return state;
}

#endif
