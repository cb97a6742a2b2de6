/* SPDX-License-Identifier: Apache-2.0 */
/* Those who watch: in the order in which things happened, without locks (compute-core §11.6, §14.7,
 * §18.14, §18.15, K2). */
#include "daemon_help.h"

/* ---- Lifecycle ------------------------------------------------------------------------------- */

#define SEEN_MAX 20000

typedef struct seen {
    pthread_mutex_t lock;
    struct {
        berth_lifecycle_type type;
        uint64_t origin;
        char name[40];
    } events[SEEN_MAX];
    size_t count;
    int64_t last_ns;
    atomic_int faults;
} seen;

static void see(void *ctx, const berth_lifecycle_event *e)
{
    seen *s = ctx;
    pthread_mutex_lock(&s->lock);
    if (s->count < SEEN_MAX) {
        s->events[s->count].type = e->type;
        s->events[s->count].origin = e->origin;
        snprintf(s->events[s->count].name, 40, "%s", e->name);
        s->count++;
    }
    if (!e->name[0] || !e->kind[0] || !e->text || !e->mono_ns)
        atomic_fetch_add(&s->faults, 1);
    pthread_mutex_unlock(&s->lock);
}

static size_t count_of(seen *s)
{
    pthread_mutex_lock(&s->lock);
    size_t n = s->count;
    pthread_mutex_unlock(&s->lock);
    return n;
}

static void *come_and_go(void *arg)
{
    berth_runtime *rt = arg;
    for (int i = 0; i < 100; i++) {
        berth_daemon_config config = {.size = sizeof(config), .name = NULL};
        uint64_t d;
        berth_keypair key = key_of((uint64_t)i % 5);
        if (berth_spawn_kind(rt, "script", &key, &config, &d, NULL) == BERTH_OK)
            berth_stop(rt, d, 0, NULL);
    }
    return NULL;
}

/* compute-core §18.15: of one origin in turns, never out of order, always with a name */
static void registered_and_unregistered_of_an_origin_take_turns(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    seen *s = calloc(1, sizeof(*s));
    pthread_mutex_init(&s->lock, NULL);
    pthread_t threads[4];
    berth_observe_lifecycle(rt, see, s);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, come_and_go, rt);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    OK(berth_runtime_shutdown(rt, 1000, NULL));
    help_free(state, rt); /* all is told by then */
    assert_true(s->count > 0);
    assert_int_equal(s->count % 2, 0);
    assert_int_equal(s->faults, 0);
    for (uint64_t k = 0; k < 5; k++) {
        berth_lifecycle_type expected = BERTH_LIFECYCLE_REGISTERED;
        for (size_t i = 0; i < s->count; i++) {
            if (s->events[i].origin != key_of(k).origin)
                continue;
            assert_int_equal(s->events[i].type, expected);
            expected = BERTH_LIFECYCLE_REGISTERED + BERTH_LIFECYCLE_UNREGISTERED - expected;
        }
        assert_int_equal(expected, BERTH_LIFECYCLE_REGISTERED);
    }
    free(s);
}

typedef struct reentrant {
    berth_runtime *rt;
    uint64_t id;
    atomic_int calls, deadlocks, others;
} reentrant;

static void see_other(void *ctx, const berth_lifecycle_event *e)
{
    (void)e;
    atomic_fetch_add(&((reentrant *)ctx)->others, 1);
}

static bool any(void *ctx, const berth_daemon_info *info)
{
    (void)ctx;
    (void)info;
    return true;
}

static void reenter(void *ctx, const berth_lifecycle_event *e)
{
    reentrant *r = ctx;
    berth_daemon_info info;
    uint64_t d;
    berth_daemon_get(r->rt, e->origin, &info, NULL);
    berth_daemon_find(r->rt, e->name, &d, NULL);
    berth_daemons_each(r->rt, any, NULL);
    post_it(r->rt, e->origin, "add:1");
    uint64_t id = berth_observe_lifecycle(r->rt, see_other, r);
    berth_unobserve(r->rt, id);
    if (berth_flush(r->rt, e->origin, NULL) == BERTH_ERR_DEADLOCK)
        atomic_fetch_add(&r->deadlocks, 1);
    if (atomic_fetch_add(&r->calls, 1) == 1)
        berth_unobserve(r->rt, r->id); /* itself, while it runs */
}

/* compute-core K2, §11.6: an observer may call the runtime, observe, and end itself */
static void an_observer_may_come_back_into_the_runtime(void **state)
{
    reentrant r = {.rt = help_runtime(state, NULL)};
    r.id = berth_observe_lifecycle(r.rt, reenter, &r);
    for (int i = 0; i < 5; i++)
        spawn_of(r.rt, "script");
    UNTIL(r.calls == 2);
    OK(berth_runtime_shutdown(r.rt, 1000, NULL));
    help_free(state, r.rt);
    assert_int_equal(r.calls, 2);
    assert_int_equal(r.deadlocks, 2); /* what waits is an error there, not a deadlock */
}

static void after_unobserve_nothing_is_told_any_more(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    seen *s = calloc(1, sizeof(*s));
    pthread_mutex_init(&s->lock, NULL);
    uint64_t id = berth_observe_lifecycle(rt, see, s);
    spawn_of(rt, "echo");
    UNTIL(count_of(s) == 1);
    berth_unobserve(rt, id);
    berth_unobserve(rt, id);
    berth_unobserve(rt, 12345);
    spawn_of(rt, "echo");
    help_free(state, rt);
    assert_int_equal(s->count, 1);
    free(s);
}

/* ---- Deliveries ------------------------------------------------------------------------------ */

typedef struct order {
    uint64_t numbers[SEEN_MAX];
    atomic_size_t count;
    atomic_bool inside;
    atomic_int overlaps;
} order;

static void note(void *ctx, uint64_t origin, const berth_event *e)
{
    order *o = ctx;
    (void)origin;
    if (e->type != BERTH_EVENT_MESSAGE)
        return;
    if (atomic_exchange(&o->inside, true))
        atomic_fetch_add(&o->overlaps, 1);
    size_t n = atomic_fetch_add(&o->count, 1);
    if (n < SEEN_MAX)
        o->numbers[n] = strtoull((const char *)e->data.ptr, NULL, 10);
    atomic_store(&o->inside, false);
}

typedef struct deliverer {
    berth_runtime *rt;
    uint64_t d;
    int first;
} deliverer;

static void *deliver_numbers(void *arg)
{
    deliverer *x = arg;
    for (int i = 0; i < 500; i++) {
        const char *text = say("%d", x->first + i);
        if (i % 3)
            OK(berth_deliver(x->rt, x->d, text, strlen(text) + 1, NULL, NULL));
        else {
            berth_input in = {.data = text, .len = strlen(text) + 1};
            OK(berth_submit_wait(x->rt, x->d, &in, 1, NULL, NULL, NULL));
        }
    }
    return NULL;
}

/* compute-core §20 additional, §18.14: observer order under concurrent deliver */
static void deliveries_are_observed_in_the_order_of_processing(void **state)
{
    berth_runtime_config config = {
        .size = sizeof(config), .ring_outputs = SEEN_MAX, .ring_bytes = 8 << 20};
    berth_runtime *rt = help_runtime(state, &config);
    order *o = calloc(1, sizeof(*o));
    deliverer x[3];
    pthread_t threads[3];
    uint64_t d = spawn_of(rt, "echo");
    tail *t;
    OK(tail_open_daemon(rt, d, TAIL_FROM_NOW, NULL, NULL, &t, NULL));
    assert_true(berth_observe_delivery(rt, d, note, o) > 0);
    for (int i = 0; i < 3; i++) {
        x[i] = (deliverer){rt, d, i * 10000};
        pthread_create(&threads[i], NULL, deliver_numbers, &x[i]);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    OK(berth_flush(rt, d, NULL));
    assert_int_equal(o->count, 1500);
    assert_int_equal(o->overlaps, 0);
    /* The outputs say in which order they were processed. */
    static tail_item items[1500];
    uint64_t missed;
    bool ended;
    assert_int_equal(tail_read(t, items, 1500, &missed, &ended), 1500);
    for (int i = 0; i < 1500; i++) {
        assert_int_equal(strtoull((char *)items[i].bytes->data + 32, NULL, 10), o->numbers[i]);
        tail_item_release(&items[i]);
    }
    tail_close(t);
    help_free(state, rt);
    free(o);
}

/* compute-core §14.7: what failed is observed by nobody; several in order of registration */
static char who[64];

static void say_a(void *ctx, uint64_t origin, const berth_event *e)
{
    (void)origin;
    if (e->type == BERTH_EVENT_MESSAGE)
        strcat(who, ctx);
}

static void what_fails_is_not_observed_and_observers_are_called_in_order(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "script"), other = spawn_of(rt, "script");
    who[0] = 0;
    uint64_t a = berth_observe_delivery(rt, d, say_a, "a");
    berth_observe_delivery(rt, d, say_a, "b");
    berth_observe_delivery(rt, other, say_a, "x");
    OK(tell_it(rt, d, "add:1"));
    FAILS(tell_it(rt, d, "reject"), REJECTED);
    OK(berth_flush(rt, d, NULL));
    assert_string_equal(who, "ab");
    berth_unobserve(rt, a);
    OK(tell_it(rt, d, "add:1"));
    assert_string_equal(who, "abb");
    help_free(state, rt);
}

/* compute-core §14.7: observers are an origin's: they outlive its daemon, and may come before it */
static void observers_belong_to_the_origin_not_to_one_of_its_lives(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_keypair key = key_of(1);
    uint64_t d;
    who[0] = 0;
    uint64_t id = berth_observe_delivery(rt, key.origin, say_a, "o");
    for (int life = 0; life < 3; life++) {
        OK(berth_spawn_kind(rt, "script", &key, NULL, &d, NULL));
        OK(tell_it(rt, d, "add:1"));
        OK(berth_stop(rt, d, 0, NULL));
    }
    assert_string_equal(who, "ooo");
    berth_unobserve(rt, id);
    OK(berth_spawn_kind(rt, "script", &key, NULL, &d, NULL));
    OK(tell_it(rt, d, "add:1"));
    assert_string_equal(who, "ooo");
    help_free(state, rt);
}

static void *observe_and_leave(void *arg)
{
    deliverer *x = arg;
    order *o = calloc(1, sizeof(*o));
    for (int i = 0; i < 300; i++) {
        uint64_t id = berth_observe_delivery(x->rt, x->d, note, o);
        size_t before = atomic_load(&o->count);
        OK(berth_deliver(x->rt, x->d, "1", 2, NULL, NULL));
        assert_true(atomic_load(&o->count) > before); /* whatever others do with theirs */
        berth_unobserve(x->rt, id);
    }
    free(o); /* nobody is in it any more */
    return NULL;
}

static void one_that_leaves_does_not_blind_the_others(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    deliverer x = {rt, spawn_of(rt, "echo"), 0};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, observe_and_leave, &x);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    help_free(state, rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(registered_and_unregistered_of_an_origin_take_turns),
        BOTH(an_observer_may_come_back_into_the_runtime),
        BOTH(after_unobserve_nothing_is_told_any_more),
        BOTH(deliveries_are_observed_in_the_order_of_processing),
        BOTH(what_fails_is_not_observed_and_observers_are_called_in_order),
        BOTH(observers_belong_to_the_origin_not_to_one_of_its_lives),
        BOTH(one_that_leaves_does_not_blind_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
