/* SPDX-License-Identifier: Apache-2.0 */
/* Daemons whose state is large go on while it is sent; what they run meanwhile is run again there.
 */
#include "couriers.h"

#define BALLAST (2u << 20)

static migrations_counters counters_of(berth_cluster *c, uint32_t node)
{
    migrations_counters k;

    migrations_get_counters(c->nodes[node].migrations, &k);
    return k;
}

static uint64_t replayed(berth_cluster *c, uint32_t nodes)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < nodes; i++)
        sum += counters_of(c, i).executed_events;
    return sum;
}

static void take_size(void *ctx, const moving_facts *f)
{
    *(uint64_t *)ctx = f->state_bytes;
}

static uint64_t size_of(berth_cluster *c, const berth_cluster_daemon *d)
{
    uint64_t bytes = 0;

    runtime_moving_facts(c->nodes[d->node].rt, d->origin, take_size, &bytes, &why);
    return bytes;
}

/* Large ones, whose hosts know so. */
static void heavy_up(couriers *x, uint32_t nodes)
{
    couriers_up(x, nodes, BALLAST);
    for (unsigned i = 0; i < COURIERS; i++) /* they are asked when they have run */
        go(x, i, (i + 1) % COURIERS, 1);
    for (unsigned i = 0; i < COURIERS; i++)
        SOON(x->c, size_of(x->c, &x->d[i]) > BALLAST);
}

typedef struct under_way {
    couriers *x;
    unsigned courier;
    uint32_t to;
    migration_id id;
    move_outcome out;
    atomic_bool begun, over;
} under_way;

static void *move_one(void *arg)
{
    under_way *u = arg;
    berth_cluster_daemon *d = &u->x->d[u->courier];
    migration_spec spec = {
        .origin = d->origin, .target = id_of(u->x->c, u->to), .transport_identity = true};
    migrations *m = u->x->c->nodes[d->node].migrations;
    berth_error error = {0};
    berth_status status = migrations_begin(m, &spec, &u->id, &u->out, &error);

    u->begun = true;
    if (status == BERTH_OK)
        migrations_wait(m, &u->id, HELP_PATIENCE_NS, &u->out, &error);
    u->over = true;
    return NULL;
}

/* Everybody sends to everybody, and each of them moves again and again. */
static void what_is_sent_while_it_moves_arrives_once_and_in_order(void **state)
{
    couriers x;

    (void)state;
    heavy_up(&x, 3);
    for (unsigned round = 0; round < 6; round++) {
        unsigned who = round % COURIERS;
        under_way u = {.x = &x, .courier = who, .to = (x.d[who].node + 1 + round % 2) % 3};
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, move_one, &u), 0);
        do {
            for (unsigned k = 0; k < COURIERS; k++)
                if (k != who)
                    go(&x, k, who, 20);
            help_nap();
        } while (!u.over);
        pthread_join(thread, NULL);
        if (!u.out.moved) {
            berth_cluster_log(x.c, BERTH_CLUSTER_ALL, NULL, NULL);
            fail_msg("it stays: %s: %s", move_reason_word(u.out.reason), u.out.text);
        }
        x.d[who].node = u.to;
        x.d[who].life = x.c->nodes[u.to].life;
        x.d[who].node_id = id_of(x.c, u.to);
    }
    SOON(x.c, all_there(&x));
    assert_int_equal(judged.wrong, 0);
    assert_true(replayed(x.c, 3) > 0);
    cluster_end(x.c);
}

/* ---- One at a time --------------------------------------------------------------------------- */

/*
 * "+": counts. "?": emits what it has counted. "lie": emits what no other host can know.
 * "break": it is broken.
 */
typedef struct pile {
    uint64_t count, bytes;
    uint8_t ballast[];
} pile;

static atomic_uint lies;

static berth_code pile_create(berth_call *call, const berth_birth *birth, void **self)
{
    pile *p = calloc(1, sizeof *p + BALLAST);

    (void)call;
    p->bytes = sizeof *p + BALLAST;
    if (birth->state.ptr)
        memcpy(p, birth->state.ptr, p->bytes);
    *self = p;
    return BERTH_OK;
}

static void pile_destroy(void *self, berth_call *call)
{
    (void)call;
    free(self);
}

static berth_code pile_snapshot(void *self, berth_call *call, uint32_t version)
{
    (void)version;
    return call->api->write(call, self, ((const pile *)self)->bytes);
}

static berth_code pile_status(void *self, berth_call *call, berth_daemon_status *out)
{
    (void)call;
    out->state_bytes = ((const pile *)self)->bytes;
    return BERTH_OK;
}

static bool is(const berth_event *e, const char *text)
{
    return e->data.len == strlen(text) && memcmp(e->data.ptr, text, e->data.len) == 0;
}

static berth_code pile_process(void *self, berth_call *call, const berth_event *event)
{
    pile *p = self;

    p->count += is(event, "+");
    if (is(event, "?"))
        return call->api->emit(call, &p->count, sizeof p->count);
    if (is(event, "lie")) {
        unsigned lie = ++lies;

        return call->api->emit(call, &lie, sizeof lie);
    }
    return is(event, "break") ? BERTH_E_BROKEN : BERTH_OK;
}

static const berth_kind kind_pile = {.size = sizeof kind_pile,
                                     .name = {"pile", 4},
                                     .create = pile_create,
                                     .destroy = pile_destroy,
                                     .snapshot = pile_snapshot,
                                     .status = pile_status,
                                     .process = pile_process};

typedef struct one {
    couriers x; /* of which there is one, a pile */
    under_way u;
    pthread_t thread;
} one;

static uint64_t counted(one *o)
{
    berth_outputs *out = berth_outputs_new();
    uint64_t n = 0;

    OK(berth_cluster_deliver(o->x.c, &o->x.d[0], "?", 1, out, NULL));
    assert_int_equal(berth_outputs_count(out), 1);
    memcpy(&n, berth_outputs_at(out, 0).data, sizeof n);
    berth_outputs_free(out);
    return n;
}

/* It has begun to leave node 0 for node 1, and cannot arrive. */
static void half_gone(one *o, bool deterministic)
{
    berth_factory_facts facts = {sizeof facts, deterministic};
    berth_cluster_config config = cluster_of(2);

    memset(o, 0, sizeof *o);
    config.migrate = true;
    o->x.c = cluster_made(&config);
    GOOD(o->x.c,
         berth_cluster_register_kind_with(o->x.c, BERTH_CLUSTER_ALL, &kind_pile, &facts, &why));
    GOOD(o->x.c, berth_cluster_boot(o->x.c, &why));
    o->x.d[0] = one_on(o->x.c, 0, "pile");
    OK(tell(o->x.c, &o->x.d[0], "+"));
    SOON(o->x.c, size_of(o->x.c, &o->x.d[0]) > BALLAST);
    GOOD(o->x.c, berth_cluster_impair(o->x.c, BERTH_CLUSTER_SET(0), BERTH_CLUSTER_SET(1),
                                      "rate=8Mbit queue=64KiB", &why));
    o->u = (under_way){.x = &o->x, .courier = 0, .to = 1};
    assert_int_equal(pthread_create(&o->thread, NULL, move_one, &o->u), 0);
    SOON(o->x.c, o->u.begun && counters_of(o->x.c, 0).bytes_out > 0);
    GOOD(o->x.c,
         berth_cluster_partition(o->x.c, BERTH_CLUSTER_SET(0), BERTH_CLUSTER_SET(1), true, &why));
}

static void arrived(one *o)
{
    GOOD(o->x.c, berth_cluster_heal(o->x.c, &why));
    pthread_join(o->thread, NULL);
    if (!o->u.out.moved)
        return;
    o->x.d[0].node = 1;
    o->x.d[0].life = o->x.c->nodes[1].life;
    o->x.d[0].node_id = id_of(o->x.c, 1);
}

static void it_runs_on_while_its_state_is_sent(void **state)
{
    one o;

    (void)state;
    half_gone(&o, true);
    for (int i = 0; i < 100; i++)
        OK(tell(o.x.c, &o.x.d[0], "+"));
    assert_int_equal(counted(&o), 101); /* here, now */
    assert_false(o.u.over);
    arrived(&o);
    assert_true(o.u.out.moved);
    assert_int_equal(counted(&o), 101);
    assert_true(counters_of(o.x.c, 0).executed_events >= 101);
    cluster_end(o.x.c);
}

static void one_that_is_not_deterministic_waits_for_its_state_to_be_sent(void **state)
{
    one o;

    (void)state;
    half_gone(&o, false);
    assert_int_equal(berth_submit(o.x.c->nodes[0].rt, o.x.d[0].origin,
                                  &(berth_input){.data = "+", .len = 1}, 1, NULL, NULL, &why),
                     BERTH_ERR_WOULD_BLOCK);
    arrived(&o);
    assert_true(o.u.out.moved);
    assert_int_equal(counted(&o), 1);
    assert_int_equal(counters_of(o.x.c, 0).executed_events, 0);
    cluster_end(o.x.c);
}

/* What says that it is deterministic, and is not, is found out before it could run there. */
static void one_that_lies_stays(void **state)
{
    one o;

    (void)state;
    half_gone(&o, true);
    OK(tell(o.x.c, &o.x.d[0], "lie"));
    OK(tell(o.x.c, &o.x.d[0], "+"));
    arrived(&o);
    assert_false(o.u.out.moved);
    assert_string_equal(move_reason_word(o.u.out.reason), "state-failed");
    assert_non_null(strstr(o.u.out.text, "deterministic"));
    assert_int_equal(counted(&o), 2);
    cluster_end(o.x.c);
}

static void one_that_breaks_meanwhile_stays(void **state)
{
    one o;

    (void)state;
    half_gone(&o, true);
    tell(o.x.c, &o.x.d[0], "break");
    arrived(&o);
    assert_false(o.u.out.moved);
    assert_string_equal(move_reason_word(o.u.out.reason), "state-failed");
    OK(tell(o.x.c, &o.x.d[0], "+"));
    SOON(o.x.c, counted(&o) == 1); /* it had no snapshot */
    cluster_end(o.x.c);
}

static void one_that_is_stopped_meanwhile_has_never_waited(void **state)
{
    one o;

    (void)state;
    half_gone(&o, true);
    OK(tell(o.x.c, &o.x.d[0], "+"));
    GOOD(o.x.c, migrations_cancel(o.x.c->nodes[0].migrations, &o.u.id, &why));
    pthread_join(o.thread, NULL);
    assert_false(o.u.out.moved);
    assert_string_equal(move_reason_word(o.u.out.reason), "cancelled");
    OK(tell(o.x.c, &o.x.d[0], "+"));
    assert_int_equal(counted(&o), 3);
    GOOD(o.x.c, berth_cluster_heal(o.x.c, &why));
    SOON(o.x.c, meet_well(o.x.c, 0, 1));
    o.u.over = false;
    assert_int_equal(pthread_create(&o.thread, NULL, move_one, &o.u), 0); /* and now it may */
    arrived(&o);
    assert_true(o.u.out.moved);
    assert_int_equal(counted(&o), 3);
    cluster_end(o.x.c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_while_it_moves_arrives_once_and_in_order),
        cmocka_unit_test(it_runs_on_while_its_state_is_sent),
        cmocka_unit_test(one_that_is_not_deterministic_waits_for_its_state_to_be_sent),
        cmocka_unit_test(one_that_lies_stays),
        cmocka_unit_test(one_that_breaks_meanwhile_stays),
        cmocka_unit_test(one_that_is_stopped_meanwhile_has_never_waited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
