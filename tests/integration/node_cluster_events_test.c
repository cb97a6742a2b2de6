/* SPDX-License-Identifier: Apache-2.0 */
/* What daemons on different nodes send one another arrives once and in order, on whatever links. */
#include "cluster_help.h"

#define NODES 4

/*
 * A kind that sends numbered events and judges those it gets: "go ORIGIN N" sends N events to that
 * origin, numbered on from the last time. Its configuration is its own number. What it finds stands
 * outside of it, for the test to see.
 */
static struct {
    _Atomic uint64_t got[NODES][NODES]; /* by receiver and sender */
    atomic_uint wrong;
} judged;

typedef struct courier {
    uint32_t self;
    struct {
        uint64_t origin, sent;
    } to[NODES];
} courier;

typedef struct parcel {
    uint32_t from;
    uint64_t number;
} parcel;

static berth_code courier_create(berth_call *call, const berth_birth *birth, void **self)
{
    courier *me = calloc(1, sizeof *me);

    (void)call;
    memcpy(&me->self, birth->config.ptr, sizeof me->self);
    *self = me;
    return BERTH_OK;
}

static void courier_destroy(void *self, berth_call *call)
{
    (void)call;
    free(self);
}

static berth_code send_some(courier *me, berth_call *call, uint64_t origin, uint64_t count)
{
    unsigned i = 0;

    while (me->to[i].origin && me->to[i].origin != origin)
        i++;
    me->to[i].origin = origin;
    for (; count; count--) {
        parcel p = {me->self, ++me->to[i].sent};
        berth_output o = {
            .size = sizeof o, .to = BERTH_TO_DAEMON, .origin = origin, .data = {&p, sizeof p}};
        berth_code code = call->api->output(call, &o);

        if (code != BERTH_OK)
            return code;
    }
    return BERTH_OK;
}

static berth_code courier_process(void *self, berth_call *call, const berth_event *event)
{
    courier *me = self;
    uint64_t origin, count;
    char text[64];
    parcel p;

    if (event->data.len == sizeof p) {
        memcpy(&p, event->data.ptr, sizeof p);
        if (p.from >= NODES || p.number != judged.got[me->self][p.from] + 1)
            judged.wrong++;
        else
            judged.got[me->self][p.from]++;
        return BERTH_OK;
    }
    snprintf(text, sizeof text, "%.*s", (int)event->data.len, (const char *)event->data.ptr);
    if (sscanf(text, "go %" SCNx64 " %" SCNu64, &origin, &count) != 2)
        return BERTH_E_REJECT;
    return send_some(me, call, origin, count);
}

static const berth_kind kind_courier = {.size = sizeof kind_courier,
                                        .name = {"courier", 7},
                                        .create = courier_create,
                                        .destroy = courier_destroy,
                                        .process = courier_process};

static berth_status couriers(void *ctx, uint32_t node, berth_cluster_spawn *out, berth_error *error)
{
    static uint32_t number;
    static berth_daemon_config how;

    (void)ctx;
    (void)error;
    number = node;
    how = (berth_daemon_config){.size = sizeof how, .config = &number, .config_len = sizeof number};
    out->table = &kind_courier;
    out->how = &how;
    return BERTH_OK;
}

typedef struct trip {
    berth_cluster_daemon d[NODES];
    uint64_t sent; /* of each pair */
} trip;

static berth_cluster *begin(berth_cluster_config *config, trip *t)
{
    berth_cluster *c = cluster_up(config);
    uint32_t count;

    memset(&judged, 0, sizeof judged);
    t->sent = 0;
    GOOD(c, berth_cluster_spawn_per_node(c, couriers, NULL, t->d, &count, &why));
    return c;
}

/* From each to each other. */
static void send_all(berth_cluster *c, trip *t, unsigned rounds, unsigned each)
{
    for (unsigned r = 0; r < rounds; r++)
        for (uint32_t i = 0; i < NODES; i++)
            for (uint32_t k = 0; k < NODES; k++)
                if (i != k)
                    OK(tell(c, &t->d[i], say("go %016" PRIx64 " %u", t->d[k].origin, each)));
    t->sent += rounds * each;
}

static bool all_arrived(void *ctx, berth_cluster *c)
{
    const trip *t = ctx;

    (void)c;
    for (uint32_t i = 0; i < NODES; i++)
        for (uint32_t k = 0; k < NODES; k++)
            if (i != k && judged.got[i][k] != t->sent)
                return false;
    return true;
}

static void finish(berth_cluster *c, trip *t)
{
    GOOD(c, berth_cluster_wait_until(c, all_arrived, t, PATIENCE_MS, "all events", &why));
    assert_int_equal(judged.wrong, 0);
    cluster_end(c);
}

/* delivery §1 on bad links: every event once, in order of each pair */
static void ten_thousand_events_of_all_pairs_arrive_once_and_in_order_over_bad_links(void **state)
{
    berth_cluster_config config = cluster_of(NODES);
    trip t;
    berth_cluster *c = begin(&config, &t);
    mesh_counters n;

    (void)state;
    GOOD(c, berth_cluster_impair(c, BERTH_CLUSTER_ALL, BERTH_CLUSTER_ALL,
                                 "loss=2% dup=5% reorder=5%/2ms", &why));
    send_all(c, &t, 17, 50);
    assert_true(t.sent * NODES * (NODES - 1) >= 10000);
    GOOD(c, berth_cluster_wait_until(c, all_arrived, &t, PATIENCE_MS, "all events", &why));
    mesh_get_counters(c->nodes[0].mesh, &n);
    assert_true(n.flows.acknowledged > 0);
    finish(c, &t);
}

static void events_survive_delays_corruption_and_a_slow_line(void **state)
{
    berth_cluster_config config = cluster_of(NODES);
    trip t;
    berth_cluster *c = begin(&config, &t);

    (void)state;
    GOOD(c, berth_cluster_impair(c, BERTH_CLUSTER_ALL, BERTH_CLUSTER_ALL,
                                 "delay=3ms jitter=3ms corrupt=2% burst=0.2%/30%", &why));
    GOOD(c, berth_cluster_impair(c, BERTH_CLUSTER_SET(0), BERTH_CLUSTER_SET(1, 2),
                                 "rate=4Mbit queue=32KiB", &why));
    send_all(c, &t, 10, 40);
    finish(c, &t);
}

/* A partition in the middle of it, one way, then both, then none. */
static void events_survive_partitions(void **state)
{
    berth_cluster_config config = cluster_that_notices(NODES);
    trip t;
    berth_cluster *c = begin(&config, &t);

    (void)state;
    send_all(c, &t, 2, 50);
    GOOD(c, berth_cluster_partition(c, BERTH_CLUSTER_SET(0), BERTH_CLUSTER_SET(1, 2), false, &why));
    send_all(c, &t, 2, 50);
    GOOD(c, berth_cluster_partition(c, BERTH_CLUSTER_SET(3), BERTH_CLUSTER_ALL, true, &why));
    send_all(c, &t, 2, 50);
    SOON(c, seen(c, 3, 0).health == BERTH_CLUSTER_FAILED);
    send_all(c, &t, 2, 50);
    assert_false(all_arrived(&t, c));
    GOOD(c, berth_cluster_heal(c, &why));
    send_all(c, &t, 2, 50);
    finish(c, &t);
}

/* A node that stands still while the others go on, again and again. */
static void events_survive_nodes_that_stand_still(void **state)
{
    berth_cluster_config config = cluster_that_notices(NODES);
    trip t;
    berth_cluster *c = begin(&config, &t);

    (void)state;
    for (uint32_t i = 0; i < 2 * NODES; i++) {
        GOOD(c, berth_cluster_pause(c, i % NODES, i < NODES ? 100 : 900, &why));
        send_all(c, &t, 1, 60);
    }
    finish(c, &t);
}

/* ---- Chains ---------------------------------------------------------------------------------- */

typedef struct verifier {
    tail *tail;
    uint64_t first;
    berth_link last;
    char payload[128];
    size_t len;
    unsigned heard, broken, other;
    uint64_t missed;
} verifier;

/* Whoever hears outputs of a daemon checks each against the one before. */
static void verify(verifier *v, uint64_t origin)
{
    tail_item items[32];
    bool ended;
    size_t n;

    while ((n = tail_read(v->tail, items, 32, &v->missed, &ended)) > 0)
        for (size_t i = 0; i < n; i++) {
            const uint8_t *bytes = items[i].bytes->data;
            size_t len = items[i].bytes->len - BERTH_LINK_SIZE;
            berth_link link;

            OK(berth_link_decode(&link, bytes, items[i].bytes->len));
            v->other += link.origin != origin;
            if (v->heard &&
                berth_link_validate(&v->last, v->payload, v->len, &link, NULL) != BERTH_OK)
                v->broken++;
            if (!v->heard)
                v->first = link.sequence;
            v->last = link;
            v->len = len;
            memcpy(v->payload, bytes + BERTH_LINK_SIZE, len);
            v->heard++;
            tail_item_release(&items[i]);
        }
}

/* Links, payloads and causes cross the mesh as they are: a verifier far away accepts the chain. */
static void a_far_verifier_accepts_the_chain_of_what_it_hears(void **state)
{
    berth_cluster_config config = cluster_of(3);
    berth_cluster *c = cluster_up(&config);
    berth_cluster_daemon a = one_on(c, 0, "script");
    verifier v[2] = {{0}};

    (void)state;
    for (uint32_t i = 0; i < 2; i++)
        OK(tail_open_channel(berth_cluster_runtime(c, 1 + i), slice_str("news"), NULL, NULL,
                             &v[i].tail, NULL));
    GOOD(c, berth_cluster_await_members(c, 0, "news", 2, PATIENCE_MS, &why));
    GOOD(c, berth_cluster_impair(c, BERTH_CLUSTER_ALL, BERTH_CLUSTER_ALL,
                                 "loss=2% dup=5% reorder=5%/2ms", &why));
    for (int i = 0; i < 200; i++)
        OK(tell(c, &a, say("pub:news:item;%d", i)));
    for (int i = 0; i < 2; i++) {
        SOON(c, (verify(&v[i], a.origin), v[i].heard == 200));
        assert_int_equal(v[i].broken, 0);
        assert_int_equal(v[i].other, 0);
        assert_int_equal(v[i].missed, 0);
        assert_int_equal(v[i].last.sequence, v[i].first + 199);
        tail_close(v[i].tail);
    }
    cluster_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_events_of_all_pairs_arrive_once_and_in_order_over_bad_links),
        cmocka_unit_test(events_survive_delays_corruption_and_a_slow_line),
        cmocka_unit_test(events_survive_partitions),
        cmocka_unit_test(events_survive_nodes_that_stand_still),
        cmocka_unit_test(a_far_verifier_accepts_the_chain_of_what_it_hears),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
