/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both sides of calls in bad weather: messages are lost, come twice, late and in another order,
 * lanes are full, sessions end and begin, servers restart and callers change their mind; from
 * seeds, so that each run can be had again. Whatever happens, every call ends exactly once and with
 * the truth, nothing is executed twice in one life of a server, and in the end nobody remembers
 * anything. channels §16.3, §16.4, §20.10; delivery §4
 */
#include "mesh_calls.h"

enum { NODES = 2, CALLS = 60, FLIGHT = 1024, RUNNING = 1024, SEEDS = 1500 };
#define CLIENT UINT64_C(0xc)

typedef struct weather weather;

/* A message under way. */
typedef struct flying {
    buf *message;
    uint64_t node; /* the server */
    bool to_server;
    int64_t at;
} flying;

typedef struct execution {
    uint64_t handle;
    int64_t at; /* when it will be answered */
} execution;

typedef struct asked {
    weather *w;
    uint64_t id;
    call_server *server;
    execution running[RUNNING];
    unsigned running_count;
    bool up, restarted, client_blocked, server_blocked;
} asked;

typedef struct one {
    uint64_t id;
    unsigned ended, executed;
    unsigned this_life[NODES]; /* executions by a server since it started */
    bool has_source, moved, may_have_run;
    bool in_time; /* when the weather got better there was time enough left for it */
    int64_t deadline;
    berth_status status;
} one;

struct weather {
    uint64_t seed;
    int64_t now;
    call_client *client;
    asked nodes[NODES];
    flying flying[FLIGHT];
    unsigned flying_count;
    one calls[CALLS];
    unsigned begun;
    bool calm;  /* towards the end: nothing bad happens any more */
    bool tight; /* servers have little room, and forget nodes that were away */
};

static uint64_t draw(weather *w, uint64_t below)
{
    w->seed ^= w->seed << 13;
    w->seed ^= w->seed >> 7;
    w->seed ^= w->seed << 17;
    return (w->seed >> 11) % below;
}

static bool one_in(weather *w, unsigned n)
{
    return !w->calm && draw(w, n) == 0;
}

static asked *asked_of(weather *w, uint64_t id)
{
    return &w->nodes[id - 1];
}

static void launch(weather *w, uint64_t node, bool to_server, buf *message)
{
    int64_t at = w->now + MS + (int64_t)draw(w, 200 * (uint64_t)MS);

    w->flying[w->flying_count++] = (flying){buf_ref(message), node, to_server, at};
}

static berth_status transmit(weather *w, asked *n, bool to_server, buf *message)
{
    bool *blocked = to_server ? &n->client_blocked : &n->server_blocked;

    if (!n->up)
        return BERTH_ERR_NOT_READY;
    if (*blocked || one_in(w, 8) || w->flying_count + 2 > FLIGHT) {
        *blocked = true;
        return BERTH_ERR_WOULD_BLOCK;
    }
    launch(w, n->id, to_server, message);
    if (one_in(w, 4))
        launch(w, n->id, to_server, message);
    return BERTH_OK;
}

static berth_status client_send(void *ctx, uint64_t node, lane l, buf *message)
{
    (void)l;
    return transmit(ctx, asked_of(ctx, node), true, message);
}

static berth_status server_send(void *ctx, uint64_t client, lane l, buf *message)
{
    asked *n = ctx;

    (void)l;
    assert_int_equal(client, CLIENT);
    return transmit(n->w, n, false, message);
}

/* Every request carries the index of its call as its event. */
static call_status execute(void *ctx, const call_server_request *r)
{
    asked *n = ctx;
    weather *w = n->w;
    slice events = r->request->events, event;
    one *o;

    assert_true(call_event_next(&events, &event));
    o = &w->calls[load_u64(event.ptr)];
    if (one_in(w, 10))
        return one_in(w, 2) ? CALL_NOT_HERE : CALL_BACKPRESSURE;
    o->executed++;
    o->this_life[n->id - 1]++; /* never twice in one, but for what its daemon tells apart */
    assert_true(o->this_life[n->id - 1] == 1 || (w->tight && o->has_source));
    assert_true(n->running_count < RUNNING);
    n->running[n->running_count++] =
        (execution){r->handle, w->now + (int64_t)draw(w, 2 * (uint64_t)SEC)};
    return CALL_OK;
}

static void done(void *ctx, void *user, const call_outcome *outcome)
{
    one *o = user;

    (void)ctx;
    assert_int_equal(++o->ended, 1); /* exactly once */
    o->status = outcome->status;
    o->may_have_run = outcome->may_have_run;
}

static bool moved(void *ctx, void *user, const call_moved *m)
{
    one *o = user;

    (void)m;
    o->moved = !one_in(ctx, 4);
    return o->moved;
}

static void seeded(void *ctx, void *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)out)[i] = (uint8_t)draw(ctx, 256);
}

static void start(weather *w, asked *n)
{
    n->server =
        call_server_new(&(call_server_config){.ctx = n, .send = server_send, .execute = execute});
    n->running_count = 0;
    for (unsigned i = 0; i < CALLS; i++)
        w->calls[i].this_life[n->id - 1] = 0;
}

static void begin(weather *w)
{
    one *o = &w->calls[w->begun];
    uint8_t index[8];
    slice event = slice_of(index, sizeof index);
    call_spec spec = {.node = 1 + draw(w, NODES),
                      .origin = 7,
                      .events = &event,
                      .count = 1,
                      .deadline_ns = SEC + (int64_t)draw(w, 20 * (uint64_t)SEC),
                      .user = o};

    o->deadline = w->now + spec.deadline_ns;
    store_u64(index, w->begun++);
    o->has_source = one_in(w, 3);
    if (o->has_source)
        spec.source = slice_str("s");
    assert_int_equal(call_begin(w->client, &spec, w->now, &o->id, NULL), BERTH_OK);
}

/* What is under way between the client and a node; keep: some of it comes all the same. */
static void lose_flying(weather *w, const asked *n, bool keep)
{
    for (unsigned i = w->flying_count; i > 0; i--) {
        flying *f = &w->flying[i - 1];

        if (f->node != n->id || (keep && one_in(w, 2)))
            continue;
        buf_unref(f->message);
        *f = w->flying[--w->flying_count];
    }
}

/* The session ends; another follows at once, or later. What was said on it may be lost. */
static void redial(weather *w, asked *n)
{
    lose_flying(w, n, true);
    n->up = false;
    if (w->tight && draw(w, 4) == 0)
        call_server_node_gone(n->server, CLIENT, w->now);
}

static void restart(weather *w, asked *n)
{
    lose_flying(w, n, false);
    n->up = false;
    call_server_free(n->server);
    start(w, n);
    n->restarted = true;
}

static void dial(weather *w, asked *n)
{
    n->up = true;
    n->client_blocked = n->server_blocked = false;
    if (n->restarted)
        call_client_restarted(w->client, n->id);
    n->restarted = false;
    if (draw(w, 2)) {
        call_client_up(w->client, n->id, w->now);
        call_server_up(n->server, CLIENT);
    } else {
        call_server_up(n->server, CLIENT);
        call_client_up(w->client, n->id, w->now);
    }
}

static void deliver(weather *w)
{
    for (unsigned i = 0; i < w->flying_count;) {
        flying f = w->flying[i];

        if (f.at > w->now) {
            i++;
            continue;
        }
        w->flying[i] = w->flying[--w->flying_count];
        if (f.to_server)
            assert_int_equal(
                call_server_receive(asked_of(w, f.node)->server, CLIENT, f.message, w->now, NULL),
                BERTH_OK);
        else
            assert_int_equal(call_client_receive(w->client, f.node, f.message, w->now, NULL),
                             BERTH_OK);
        buf_unref(f.message);
    }
}

static void finish_some(weather *w, asked *n)
{
    for (unsigned i = 0; i < n->running_count;) {
        execution e = n->running[i];
        call_result result = {.status = draw(w, 8) ? CALL_OK : CALL_REJECTED, .applied = 1};

        if (e.at > w->now) {
            i++;
            continue;
        }
        n->running[i] = n->running[--n->running_count];
        /* NOT_FOUND: the node was gone meanwhile. */
        assert_true(call_answer(n->server, e.handle, &result, NULL, w->now) == BERTH_OK ||
                    w->tight);
    }
}

static void live(weather *w, asked *n)
{
    finish_some(w, n);
    if (n->up && n->client_blocked && !one_in(w, 3)) {
        n->client_blocked = false;
        call_client_room(w->client, n->id, w->now);
    }
    if (n->up && n->server_blocked && !one_in(w, 3)) {
        n->server_blocked = false;
        call_server_room(n->server, CLIENT);
    }
    call_server_expire(n->server, w->now);
    if (one_in(w, 40))
        redial(w, n);
    if (one_in(w, 200))
        restart(w, n);
    if (!n->up && !one_in(w, 5))
        dial(w, n);
    else if (one_in(w, 50))
        dial(w, n); /* a new session, before the old one ends */
}

static void change_mind(weather *w)
{
    for (unsigned i = 0; i < w->begun; i++) {
        one *o = &w->calls[i];

        if (o->ended)
            continue;
        if (one_in(w, 300))
            assert_int_equal(call_cancel(w->client, o->id, w->now), BERTH_OK);
        else if (o->moved && !one_in(w, 3))
            o->moved = call_redirect(w->client, o->id, 1 + draw(w, NODES), 1, w->now) != BERTH_OK;
    }
}

static void step(weather *w)
{
    w->now += MS + (int64_t)draw(w, 50 * (uint64_t)MS);
    deliver(w);
    for (int i = 0; i < NODES; i++)
        live(w, &w->nodes[i]);
    if (w->begun < CALLS && draw(w, 4) == 0)
        begin(w);
    change_mind(w);
    call_client_expire(w->client, w->now);
}

static void check_truth(const one *o, bool tight)
{
    assert_int_equal(o->ended, 1);
    if (!o->has_source)
        assert_true(o->executed <= 1);
    if (!o->may_have_run)
        assert_int_equal(o->executed, 0);
    switch (o->status) {
    case BERTH_OK:
    case BERTH_ERR_REJECTED:
        assert_true(o->executed >= 1);
        break;
    case BERTH_ERR_LOST:
    case BERTH_ERR_NOT_FOUND:
    case BERTH_ERR_WOULD_BLOCK:
        assert_true(o->executed == 0 || o->has_source);
        break;
    case BERTH_ERR_OUTCOME_UNKNOWN:
        assert_true(tight || !o->has_source);
        break;
    case BERTH_ERR_TIMEOUT: /* nothing is forgotten on the way */
        assert_false(o->in_time);
        break;
    case BERTH_ERR_CANCELLED:
        break;
    default:
        fail_msg("a call ended with status %d", o->status);
    }
}

static void check_memory(weather *w)
{
    call_client_stats client;
    call_server_stats server;

    w->now += 25 * 3600 * SEC;
    call_client_expire(w->client, w->now);
    call_client_get_stats(w->client, &client);
    assert_int_equal(client.calls, 0);
    assert_int_equal(client.bytes, 0);
    assert_int_equal(client.nodes, 0);
    for (int i = 0; i < NODES; i++) {
        call_server_expire(w->nodes[i].server, w->now);
        call_server_get_stats(w->nodes[i].server, &server);
        assert_int_equal(server.running, 0);
        assert_int_equal(server.kept, 0);
        assert_int_equal(server.kept_bytes, 0);
        assert_int_equal(server.nodes, 0);
    }
}

/* How often calls ended how; so that it shows that the weather was bad, and not too bad. */
typedef struct tally {
    unsigned ok, unknown, timeout, other, twice;
} tally;

static void count(tally *t, const one *o)
{
    t->ok += o->status == BERTH_OK;
    t->unknown += o->status == BERTH_ERR_OUTCOME_UNKNOWN;
    t->timeout += o->status == BERTH_ERR_TIMEOUT;
    t->other += o->status != BERTH_OK && o->status != BERTH_ERR_OUTCOME_UNKNOWN &&
                o->status != BERTH_ERR_TIMEOUT;
    t->twice += o->executed > 1;
}

static uint64_t now_running; /* which seed; 0: none */

static int name_the_seed(void **state)
{
    (void)state;
    if (now_running)
        print_error("it was seed %llu\n", (unsigned long long)now_running);
    return 0;
}

static void run(uint64_t seed, tally *t)
{
    weather *w = calloc(1, sizeof *w);
    call_client_config config = {
        .ctx = w, .send = client_send, .done = done, .moved = moved, .random = seeded};

    now_running = seed;
    w->seed = seed * UINT64_C(0x9e3779b97f4a7c15);
    w->now = SEC;
    w->tight = seed % 3 == 0;
    w->client = call_client_new(&config);
    for (int i = 0; i < NODES; i++) {
        w->nodes[i] = (asked){.w = w, .id = (uint64_t)i + 1};
        start(w, &w->nodes[i]);
    }
    while (w->begun < CALLS)
        step(w);
    for (int i = 0; i < 200; i++)
        step(w);
    w->calm = true;
    for (unsigned i = 0; i < CALLS; i++)
        w->calls[i].in_time = w->calls[i].deadline > w->now + 5 * SEC;
    for (int i = 0; i < 1200; i++)
        step(w);
    assert_int_equal(w->flying_count, 0);
    for (unsigned i = 0; i < CALLS; i++) {
        check_truth(&w->calls[i], w->tight);
        count(t, &w->calls[i]);
    }
    check_memory(w);
    for (int i = 0; i < NODES; i++)
        call_server_free(w->nodes[i].server);
    call_client_free(w->client);
    free(w);
    now_running = 0;
}

static void every_call_ends_once_and_with_the_truth_in_any_weather(void **state)
{
    tally t = {0};

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed, &t);
    print_message("%u ok, %u unknown, %u timed out, %u ended otherwise; %u ran again, as those "
                  "with a source may\n",
                  t.ok, t.unknown, t.timeout, t.other, t.twice);
    assert_true(t.ok > SEEDS * CALLS / 2);
    assert_true(t.unknown > 0 && t.timeout > 0 && t.other > 0 && t.twice > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_call_ends_once_and_with_the_truth_in_any_weather,
                                  name_the_seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
