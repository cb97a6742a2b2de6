/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing that is not ours runs under a lock, and one daemon does not hinder another (compute-core
 * K1, K2, K4, K5, K22). */
#include "daemon_help.h"

#include <fcntl.h>
#include <unistd.h>

/* ---- Plugin code that calls the host it runs in ---------------------------------------------- */

static berth_runtime *home; /* of the kind below */
static atomic_int visits, waits_refused;

static bool any(void *ctx, const berth_daemon_info *info)
{
    (void)ctx;
    (void)info;
    return true;
}

static void tell_nobody(void *ctx, const berth_lifecycle_event *e)
{
    (void)ctx;
    (void)e;
}

/* All that does not wait, from wherever plugin code runs; were a lock held, this would hang. */
static void visit(uint64_t self)
{
    berth_daemon_info info;
    runtime_counters counters;
    uint64_t d, reached, n;
    void *bytes;
    tail *t;
    berth_daemon_get(home, self, &info, NULL);
    berth_daemon_find(home, "no-such", &d, NULL);
    berth_daemons_each(home, any, NULL);
    runtime_get_counters(home, &counters);
    berth_unobserve(home, berth_observe_lifecycle(home, tell_nobody, NULL));
    berth_expect_migration(home, "echo", self + 1, 0, NULL, NULL);
    berth_forget_placeholder(home, self + 1, NULL);
    berth_register_factory(home, &kind_echo, NULL);
    runtime_publish(home, slice_str("chan"), slice_str("x"), NULL, NULL, &reached, NULL);
    if (tail_open_daemon(home, self, TAIL_FROM_RING, NULL, NULL, &t, NULL) == BERTH_OK)
        tail_close(t);
    if (tail_open_channel(home, slice_str("chan"), NULL, NULL, &t, NULL) == BERTH_OK)
        tail_close(t);
    const berth_status waits[] = {
        berth_deliver(home, self, "x", 1, NULL, NULL),
        berth_snapshot(home, self, &bytes, &n, NULL),
        berth_flush(home, self, NULL),
        berth_stop(home, self, 0, NULL),
        berth_control(home, self, BERTH_CONTROL_SHUTDOWN, 0, NULL),
        berth_spawn_kind(home, "echo", NULL, NULL, &d, NULL),
        berth_subscribe_channel(home, self, 0, "chan", NULL, 0, NULL),
        berth_runtime_shutdown(home, 0, NULL),
    };
    for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++)
        if (waits[i] != BERTH_ERR_DEADLOCK && waits[i] != BERTH_ERR_SHUTTING_DOWN)
            print_error("call %zu answered %s\n", i, berth_status_name(waits[i]));
        else
            atomic_fetch_add(&waits_refused, 1);
    atomic_fetch_add(&visits, 1);
}

typedef struct visitor {
    uint64_t origin;
} visitor;

static berth_code visitor_create(berth_call *call, const berth_birth *birth, void **out)
{
    (void)call;
    visitor *v = calloc(1, sizeof(*v));
    v->origin = birth->origin;
    visit(v->origin);
    *out = v;
    return BERTH_OK;
}

static void visitor_destroy(void *me, berth_call *call)
{
    (void)call;
    visit(((visitor *)me)->origin);
    free(me);
}

static berth_code visitor_event(void *me, berth_call *call, const berth_event *e)
{
    (void)e;
    visit(((visitor *)me)->origin);
    return call->api->emit(call, "x", 1);
}

static berth_code visitor_snapshot(void *me, berth_call *call, uint32_t want)
{
    (void)want;
    visit(((visitor *)me)->origin);
    return call->api->write(call, "x", 1);
}

static berth_code visitor_status(void *me, berth_call *call, berth_daemon_status *out)
{
    (void)call;
    (void)out;
    visit(((visitor *)me)->origin);
    return BERTH_OK;
}

static const berth_kind kind_visitor = {.size = sizeof(berth_kind),
                                        .name = {"visitor", 7},
                                        .create = visitor_create,
                                        .destroy = visitor_destroy,
                                        .process = visitor_event,
                                        .snapshot = visitor_snapshot,
                                        .status = visitor_status,
                                        .on_start = visitor_event,
                                        .on_control = visitor_event};

static void observe(void *ctx, uint64_t origin, const berth_event *e)
{
    (void)ctx;
    (void)origin;
    (void)e;
}

/* compute-core K2; what waits is refused there instead of deadlocking */
static void plugin_code_may_call_the_runtime_from_everywhere(void **state)
{
    berth_runtime_config config = {.size = sizeof(config), .status_period_ns = 1000000};
    berth_runtime *rt = help_runtime(state, &config);
    home = rt;
    atomic_store(&visits, 0);
    atomic_store(&waits_refused, 0);
    uint64_t d, len;
    void *bytes;
    OK(berth_register_factory(rt, &kind_visitor, NULL));
    OK(berth_spawn_kind(rt, "visitor", NULL, NULL, &d, NULL)); /* create, start */
    berth_observe_delivery(rt, d, observe, NULL);
    OK(tell_it(rt, d, "x"));
    OK(berth_snapshot(rt, d, &bytes, &len, NULL));
    free(bytes);
    OK(berth_control(rt, d, BERTH_CONTROL_DRAIN_FINISH, 0, NULL));
    UNTIL(visits >= 6); /* the status */
    OK(berth_stop(rt, d, 10, NULL));
    assert_true(visits >= 8);
    assert_int_equal(waits_refused, visits * 8);
    help_free(state, rt);
}

/* ---- Long calls ------------------------------------------------------------------------------ */

/* compute-core K5: with one thread, which the long call has, and with two */
static void a_long_call_on_one_daemon_delays_no_other(void **state)
{
    for (unsigned threads = 1; threads <= 2; threads++) {
        berth_runtime_config config = {
            .size = sizeof(config), .threads = threads, .call_budget_ns = 1000000};
        berth_runtime *rt = help_runtime(state, &config);
        uint64_t a = spawn_of(rt, "script"), b = spawn_of(rt, "script");
        kinds_gate_close();
        OK(post_it(rt, a, "gate"));
        kinds_gate_await(1);
        for (int i = 0; i < 50; i++) { /* all of it while a is inside its call */
            OK(post_it(rt, b, "add:1"));
            OK(berth_flush(rt, b, NULL));
            OK(tell_it(rt, b, "add:1"));
        }
        assert_string_equal(ask_it(rt, b, "show"), "100");
        berth_daemon_info info = info_of(rt, a); /* looking waits for nobody */
        assert_int_equal(info.events_processed, 0);
        uint64_t found;
        OK(berth_daemon_find(rt, info.name, &found, NULL));
        assert_int_equal(found, a);
        kinds_gate_open();
        OK(berth_flush(rt, a, NULL));
        help_free(state, rt);
    }
}

/* As many long calls as there are threads, and more. */
static void nor_do_many_long_calls(void **state)
{
    enum { STUCK = 6 };
    berth_runtime_config config = {.size = sizeof(config), .threads = 2, .call_budget_ns = 1000000};
    berth_runtime *rt = help_runtime(state, &config);
    uint64_t b = spawn_of(rt, "counter"), all[STUCK];
    kinds_gate_close();
    for (int i = 0; i < STUCK; i++) {
        all[i] = spawn_of(rt, "script");
        OK(post_it(rt, all[i], "gate"));
    }
    kinds_gate_await(STUCK);
    OK(post_it(rt, b, ""));
    OK(berth_flush(rt, b, NULL));
    runtime_counters c;
    runtime_get_counters(rt, &c);
    assert_true(c.compensating_threads >= STUCK - 2);
    UNTIL((runtime_get_counters(rt, &c), c.overruns >= STUCK));
    assert_true(info_of(rt, all[0]).busy_ns > 0);
    kinds_gate_open();
    for (int i = 0; i < STUCK; i++)
        OK(berth_flush(rt, all[i], NULL));
    UNTIL((runtime_get_counters(rt, &c), c.compensating_threads == 0));
    UNTIL(info_of(rt, all[0]).busy_ns == 0);
    help_free(state, rt);
}

/* compute-core K1: one instance, many threads, all ways in; kinds.c looks for overlaps */
typedef struct crowd {
    berth_runtime *rt;
    uint64_t d;
    unsigned seed;
} crowd;

static void *crowd_in(void *arg)
{
    crowd *c = arg;
    for (int i = 0; i < 400; i++) {
        uint64_t len;
        void *bytes;
        switch (rand_r(&c->seed) % 6) {
        case 0:
            post_it(c->rt, c->d, "add:1");
            break;
        case 1:
            if (berth_snapshot(c->rt, c->d, &bytes, &len, NULL) == BERTH_OK)
                free(bytes);
            break;
        case 2:
            berth_control(c->rt, c->d, BERTH_CONTROL_DRAIN_FINISH, 0, NULL);
            break;
        case 3:
            tell_it(c->rt, c->d, "post:x timer:0:0:t");
            break;
        case 4:
            status_poll(c->rt);
            break;
        default:
            tell_it(c->rt, c->d, "add:1");
        }
    }
    return NULL;
}

static void calls_of_one_instance_never_overlap(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    crowd c[4];
    pthread_t threads[4];
    uint64_t d = spawn_of(rt, "script");
    for (int i = 0; i < 4; i++) {
        c[i] = (crowd){rt, d, (unsigned)i + 1};
        pthread_create(&threads[i], NULL, crowd_in, &c[i]);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    OK(berth_stop(rt, d, 1000, NULL));
    help_free(state, rt); /* looks */
}

/* ---- Secrets --------------------------------------------------------------------------------- */

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CAN_LOOK 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#undef CAN_LOOK
#endif
#endif

#ifdef CAN_LOOK
/* How often these 32 bytes, each xor 0x55, stand in this process's writable memory. */
static int look_for(const uint8_t masked[32])
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int mem = open("/proc/self/mem", O_RDONLY), found = 0;
    char line[512], mode[8];
    unsigned long from, to;
    static uint8_t page[1 << 16];
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || mode[0] != 'r' ||
            mode[1] != 'w' || to - from > 1u << 30)
            continue;
        for (unsigned long at = from; at < to; at += sizeof(page) - 32) {
            if (at <= (unsigned long)page && (unsigned long)page < at + sizeof(page))
                continue;
            ssize_t n = pread(mem, page, sizeof(page), (off_t)at);
            for (ssize_t i = 0; i + 32 <= n; i++) {
                int k = 0;
                while (k < 32 && (page[i + k] ^ 0x55) == masked[k])
                    k++;
                found += k == 32;
            }
        }
    }
    memset(page, 0, sizeof(page));
    close(mem);
    fclose(maps);
    return found;
}

__attribute__((noinline)) static uint64_t spawn_secret(berth_runtime *rt, uint8_t masked[32])
{
    berth_keypair key;
    uint64_t d;
    berth_keypair_generate(&key);
    for (int i = 0; i < 32; i++)
        masked[i] = key.seed[i] ^ 0x55;
    OK(berth_spawn_kind(rt, "script", &key, NULL, &d, NULL));
    berth_keypair_wipe(&key);
    return d;
}

/* compute-core K22, §18.12: once a daemon is stopped its secret is nowhere */
static void the_secret_of_a_stopped_daemon_is_nowhere_in_memory(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint8_t masked[32];
    uint64_t d = spawn_secret(rt, masked), len;
    void *bytes;
    FAILS(tell_it(rt, d, "broken"), BROKEN); /* signs a record */
    OK(berth_snapshot(rt, d, &bytes, &len, NULL));
    free(bytes);
    assert_true(look_for(masked) >= 1); /* the search works */
    OK(berth_stop(rt, d, 0, NULL));
    assert_int_equal(look_for(masked), 0);
    d = spawn_secret(rt, masked);
    OK(berth_runtime_shutdown(rt, 1000, NULL));
    assert_int_equal(look_for(masked), 0);
    help_free(state, rt);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(plugin_code_may_call_the_runtime_from_everywhere),
        BOTH(a_long_call_on_one_daemon_delays_no_other),
        INLINE(nor_do_many_long_calls),
        BOTH(calls_of_one_instance_never_overlap),
#ifdef CAN_LOOK
        BOTH(the_secret_of_a_stopped_daemon_is_nowhere_in_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
