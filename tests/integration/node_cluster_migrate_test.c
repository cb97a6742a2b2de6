/* SPDX-License-Identifier: Apache-2.0 */
/* Daemons that move from node to node of a cluster, while others send to them. */
#include "couriers.h"
#include "daemon/runtime.h"

#include <pthread.h>
#include <semaphore.h>

static berth_cluster *movers(uint32_t nodes)
{
    berth_cluster_config config = cluster_of(nodes);

    config.migrate = true;
    return cluster_up(&config);
}

static bool runs_on(berth_cluster *c, uint64_t origin, uint32_t node)
{
    berth_daemon_info info = {.size = sizeof info};

    return berth_daemon_get(c->nodes[node].rt, origin, &info, NULL) == BERTH_OK;
}

/* migration 18: local_source_migration_reaches_complete_and_transfers_state */
static void a_daemon_goes_on_where_it_was_on_another_node(void **state)
{
    berth_cluster *c = movers(2);
    berth_cluster_daemon d = one_on(c, 0, "script");

    (void)state;
    OK(tell(c, &d, "add:5"));
    moved(c, 0, &d, 1);
    assert_false(runs_on(c, d.origin, 0));
    assert_int_equal(count_of(c, &d), 5);
    OK(tell(c, &d, "add:2"));
    assert_int_equal(count_of(c, &d), 7);
    cluster_end(c);
}

/* migration 10.1, C1, C2: events of several senders while it moves */
static void what_several_send_while_it_moves_arrives_once_and_in_order(void **state)
{
    couriers x;

    (void)state;
    couriers_up(&x, 3, 0);
    for (unsigned round = 0; round < 12; round++) {
        for (unsigned k = 0; k < COURIERS; k++)
            for (unsigned i = 0; i < COURIERS; i++)
                go(&x, k, i, 40);
        moved(x.c, round % 3, &x.d[round % COURIERS],
              (x.d[round % COURIERS].node + 1 + round % 2) % 3);
    }
    SOON(x.c, all_there(&x));
    assert_int_equal(judged.wrong, 0);
    cluster_end(x.c);
}

/* migration 13, 18: subscriptions go with it, and nobody else loses one */
static void who_hears_a_channel_hears_it_while_it_moves(void **state)
{
    couriers x;

    (void)state;
    couriers_up(&x, 3, 0);
    for (unsigned i = 0; i < COURIERS; i++)
        GOOD(x.c, tell(x.c, &x.d[i], "sub news"));
    SOON(x.c, members(&x, 3) == 2 * COURIERS);
    for (unsigned round = 0; round < 12; round++) {
        for (unsigned k = 0; k < COURIERS; k++) {
            GOOD(x.c, tell(x.c, &x.d[k], "pub news 20"));
            x.published[k] += 20;
        }
        moved(x.c, round % 3, &x.d[round % COURIERS],
              (x.d[round % COURIERS].node + 1 + round % 2) % 3);
    }
    SOON(x.c, all_heard(&x));
    assert_int_equal(judged.wrong, 0);
    cluster_end(x.c);
}

static bool known_at(berth_cluster *c, uint32_t node, uint64_t origin)
{
    directory_place place;

    mesh_where(c->nodes[node].mesh, origin, &place);
    return place.known;
}

/* ---- What a client hands in ------------------------------------------------------------------ */

#define ALOFT_MAX 48 /* batches that one client has under way */
#define OF_BATCH  3

/* A client of one host that hands in numbered events, many batches at once. */
typedef struct client {
    pthread_t thread;
    berth_runtime *rt;
    uint64_t origin, sent;
    uint32_t number;
    sem_t room;
    atomic_bool enough;
    atomic_uint failed;
} client;

static void handed_in(void *ctx, berth_status status, uint64_t failed)
{
    client *k = ctx;

    if (status != BERTH_OK || failed)
        k->failed++;
    sem_post(&k->room);
}

static void *hand_in(void *ctx)
{
    client *k = ctx;
    parcel p[OF_BATCH];
    berth_input in[OF_BATCH];

    while (!k->enough) {
        sem_wait(&k->room);
        for (unsigned i = 0; i < OF_BATCH; i++) {
            p[i] = (parcel){k->number, 0, ++k->sent};
            in[i] = (berth_input){.data = &p[i], .len = sizeof p[i]};
        }
        if (berth_submit_wait(k->rt, k->origin, in, OF_BATCH, handed_in, k, NULL) != BERTH_OK)
            handed_in(k, BERTH_ERR_LOST, OF_BATCH);
    }
    for (unsigned i = 0; i < ALOFT_MAX; i++)
        sem_wait(&k->room);
    return NULL;
}

/* Also back to where it has just left, which may not be through with that yet: then once more. */
static void moved_on(berth_cluster *c, berth_cluster_daemon *d, uint32_t to)
{
    move_outcome out;

    SOON(c, (out = move_by(c, d->node, d->origin, to)).moved ||
                (out.reason != MOVE_ALREADY_THERE && out.reason != MOVE_NOT_READY));
    if (!out.moved)
        fail_msg("it stays: %s: %s", move_reason_word(out.reason), out.text);
    d->node = to;
}

/* migration C1, C2: what one host hands in for a daemon is executed in that order, once, wherever
 * the daemon is: here, elsewhere, on its way, here again */
static void what_a_client_hands_in_while_it_moves_is_executed_in_order(void **state)
{
    couriers x;
    client clients[3] = {0};

    (void)state;
    couriers_up(&x, 3, 0);
    for (uint32_t i = 0; i < 3; i++) {
        client *k = &clients[i];

        *k = (client){.rt = x.c->nodes[i].rt, .origin = x.d[3].origin, .number = i};
        sem_init(&k->room, 0, ALOFT_MAX);
        SOON(x.c, known_at(x.c, i, k->origin));
        assert_int_equal(pthread_create(&k->thread, NULL, hand_in, k), 0);
    }
    for (unsigned round = 0; round < 60; round++)
        moved_on(x.c, &x.d[3], (x.d[3].node + 1 + round / 5 % 2) % 3);
    for (unsigned i = 0; i < 3; i++)
        clients[i].enough = true;
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(clients[i].thread, NULL);
        sem_destroy(&clients[i].room);
        assert_int_equal(clients[i].failed, 0);
        assert_int_equal(judged.got[3][i], clients[i].sent);
    }
    assert_int_equal(judged.wrong, 0);
    cluster_end(x.c);
}

/* ---- What does not happen ----------------------------------------------------------------------
 */

static void stays(berth_cluster *c, uint32_t by, const berth_cluster_daemon *d, uint64_t target,
                  move_reason reason)
{
    migration_spec spec = {.origin = d->origin, .target = target, .transport_identity = true};
    migrations *x = c->nodes[by].migrations;
    move_outcome out = {.moved = false};
    migration_id id;

    memset(&why, 0, sizeof why);
    if (migrations_begin(x, &spec, &id, &out, &why) == BERTH_OK)
        GOOD(c, migrations_wait(x, &id, HELP_PATIENCE_NS, &out, &why));
    assert_false(out.moved);
    if (out.reason != reason)
        fail_msg("it stays because of %s (%s), not %s", move_reason_word(out.reason), out.text,
                 move_reason_word(reason));
    assert_true(out.text[0]);
}

/* migration 18, C25: a typed error at once, and the daemon runs where it was */
static void what_cannot_be_is_refused_and_the_daemon_stays(void **state)
{
    berth_cluster *c = movers(3);
    berth_cluster_daemon d = one_on(c, 0, "script"), ghost = d;

    (void)state;
    ghost.origin ^= 1;
    OK(tell(c, &d, "add:3"));
    stays(c, 0, &d, id_of(c, 0), MOVE_ALREADY_THERE);
    SOON(c, known_at(c, 1, d.origin) && known_at(c, 2, d.origin));
    stays(c, 1, &d, id_of(c, 0), MOVE_ALREADY_THERE);
    stays(c, 0, &d, 0x1234, MOVE_TARGET_UNAVAILABLE);
    stays(c, 0, &ghost, id_of(c, 1), MOVE_DAEMON_NOT_FOUND);
    assert_int_equal(count_of(c, &d), 3);
    moved(c, 2, &d, 1); /* nothing is left in the way */
    assert_int_equal(count_of(c, &d), 3);
    cluster_end(c);
}

/* migration S1, 18: default deny */
static void nobody_moves_a_daemon_without_leave(void **state)
{
    berth_cluster_config config = cluster_of(3);
    berth_cluster *c = cluster_up(&config);
    berth_cluster_daemon d = one_on(c, 0, "script");

    (void)state;
    OK(tell(c, &d, "add:4"));
    stays(c, 0, &d, id_of(c, 1), MOVE_REFUSED); /* the target does not take it */
    OK(tell(c, &d, say("send:%016" PRIx64 ":add:0", one_on(c, 1, "script").origin)));
    SOON(c, known_at(c, 1, d.origin) && known_at(c, 2, d.origin));
    stays(c, 1, &d, id_of(c, 1), MOVE_REFUSED); /* the source does not give it to who asks */
    stays(c, 2, &d, id_of(c, 1), MOVE_REFUSED);
    assert_int_equal(count_of(c, &d), 4);
    cluster_end(c);
}

/* migration 18: test_migration_fails_when_no_factory_registered; the reason names kind and version
 */
static void a_target_without_the_kind_says_which(void **state)
{
    berth_cluster_config config = cluster_of(2);
    berth_cluster_daemon d;
    berth_cluster *c;
    courier_config one = {0};
    uint32_t node = 0, n;

    (void)state;
    config.migrate = true;
    c = cluster_made(&config);
    GOOD(c, berth_cluster_register_kind(c, BERTH_CLUSTER_SET(0), &kind_courier, &why));
    GOOD(c, berth_cluster_boot(c, &why));
    GOOD(c, berth_cluster_spawn_where(c, is_node, &node, one_courier, &one, &d, &n, &why));
    stays(c, 0, &d, id_of(c, 1), MOVE_FACTORY_NOT_FOUND);
    assert_true(runs_on(c, d.origin, 0));
    cluster_end(c);
}

/* migration 17.1: of two at once one is begun */
static void a_second_migration_of_a_daemon_is_refused(void **state)
{
    berth_cluster *c = movers(3);
    berth_cluster_daemon d = one_on(c, 0, "script");
    migration_spec spec = {.origin = d.origin, .target = id_of(c, 1), .transport_identity = true};
    migrations *x = c->nodes[0].migrations;
    move_outcome out;
    migration_id first;

    (void)state;
    kinds_gate_close();
    OK(berth_submit(c->nodes[0].rt, d.origin, &(berth_input){.data = "gate", .len = 4}, 1, NULL,
                    NULL, NULL));
    kinds_gate_await(1);
    OK(migrations_begin(x, &spec, &first, &out, &why)); /* waits for the event to end */
    stays(c, 0, &d, id_of(c, 2), MOVE_ALREADY_MIGRATING);
    stays(c, 2, &d, id_of(c, 2), MOVE_ALREADY_MIGRATING);
    kinds_gate_open();
    GOOD(c, migrations_wait(x, &first, HELP_PATIENCE_NS, &out, &why));
    assert_true(out.moved);
    cluster_end(c);
}

/* migration 18: test_abort; what was held runs where it was, in order */
static void what_is_cancelled_goes_on_where_it_was(void **state)
{
    berth_cluster *c = movers(2);
    berth_cluster_daemon d = one_on(c, 0, "script");
    migration_spec spec = {.origin = d.origin, .target = id_of(c, 1), .transport_identity = true};
    migrations *x = c->nodes[0].migrations;
    move_outcome out;
    migration_id id;

    (void)state;
    kinds_gate_close();
    OK(berth_submit(c->nodes[0].rt, d.origin, &(berth_input){.data = "gate", .len = 4}, 1, NULL,
                    NULL, NULL));
    kinds_gate_await(1);
    OK(migrations_begin(x, &spec, &id, &out, &why));
    OK(berth_submit(c->nodes[0].rt, d.origin, &(berth_input){.data = "add:2", .len = 5}, 1, NULL,
                    NULL, NULL));
    OK(migrations_cancel(x, &id, &why));
    kinds_gate_open();
    GOOD(c, migrations_wait(x, &id, HELP_PATIENCE_NS, &out, &why));
    assert_false(out.moved);
    assert_int_equal(out.reason, MOVE_CANCELLED);
    assert_int_equal(count_of(c, &d), 2);
    moved(c, 0, &d, 1);
    assert_int_equal(count_of(c, &d), 2);
    cluster_end(c);
}

/* migration C17 */
static void a_daemon_without_state_moves(void **state)
{
    berth_cluster *c = movers(2);
    berth_cluster_daemon d = one_on(c, 0, "echo");
    berth_outputs *out = berth_outputs_new();

    (void)state;
    moved(c, 0, &d, 1);
    OK(berth_cluster_deliver(c, &d, "still", 5, out, NULL));
    assert_int_equal(berth_outputs_count(out), 1);
    berth_outputs_free(out);
    cluster_end(c);
}

static uint64_t sequence_of(berth_cluster *c, const berth_cluster_daemon *d)
{
    berth_daemon_info info = {.size = sizeof info};

    OK(berth_daemon_get(c->nodes[d->node].rt, d->origin, &info, NULL));
    return info.sequence;
}

/* migration C15, C3: the chain goes on, and what was asked for is answered where it is asked for */
static void its_chain_its_timers_and_its_requests_go_with_it(void **state)
{
    berth_cluster *c = movers(3);
    berth_cluster_daemon d = one_on(c, 0, "script"), far = one_on(c, 2, "script");
    berth_daemon_info before = {.size = sizeof before}, after = {.size = sizeof after};

    (void)state;
    kinds_gate_close();
    OK(tell(c, &d, "emit:one"));
    OK(tell(c, &d, "timer:7:50:tick"));
    OK(berth_submit(c->nodes[2].rt, far.origin, &(berth_input){.data = "gate", .len = 4}, 1, NULL,
                    NULL, NULL));
    OK(tell(c, &d, say("ask:%016" PRIx64 ":5:reply:add:100", far.origin)));
    OK(berth_daemon_get(c->nodes[0].rt, d.origin, &before, NULL));
    moved(c, 0, &d, 1);
    OK(berth_daemon_get(c->nodes[1].rt, d.origin, &after, NULL));
    assert_int_equal(after.incarnation, before.incarnation);
    assert_true(after.sequence >= before.sequence);
    assert_int_equal(after.epoch, before.epoch + 1);
    kinds_gate_open();
    /* Two starts, what it was told to emit and to ask, its timer and its answer: no gap, no repeat.
     */
    SOON(c, sequence_of(c, &d) == 6);
    cluster_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_daemon_goes_on_where_it_was_on_another_node),
        cmocka_unit_test(what_several_send_while_it_moves_arrives_once_and_in_order),
        cmocka_unit_test(who_hears_a_channel_hears_it_while_it_moves),
        cmocka_unit_test(what_a_client_hands_in_while_it_moves_is_executed_in_order),
        cmocka_unit_test(what_cannot_be_is_refused_and_the_daemon_stays),
        cmocka_unit_test(nobody_moves_a_daemon_without_leave),
        cmocka_unit_test(a_target_without_the_kind_says_which),
        cmocka_unit_test(a_second_migration_of_a_daemon_is_refused),
        cmocka_unit_test(what_is_cancelled_goes_on_where_it_was),
        cmocka_unit_test(a_daemon_without_state_moves),
        cmocka_unit_test(its_chain_its_timers_and_its_requests_go_with_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
