/* SPDX-License-Identifier: Apache-2.0 */
/* Two whole hosts with state directories in one process, and a daemon that is moved by the calls of
 * berth/migrate.h. */
#include "node_fixture.h"

#include "berth/migrate.h"
#include "mesh/impair.h"
#include "node/node_private.h"

#include <stdatomic.h>

#define HOSTS 2

static berth_node *hosts[HOSTS];
static place places[HOSTS];

static mesh_peer peer_of(unsigned i, uint32_t may)
{
    mesh_peer p = {.has_key = true, .has_entity = true, .may = may, .address_count = 1};
    mesh_self self;

    mesh_get_self(node_mesh(hosts[i]), &self);
    snprintf(p.name, sizeof p.name, "host%u", i);
    memcpy(p.key, self.key, sizeof p.key);
    memcpy(p.entity, self.entity, sizeof p.entity);
    p.addresses[0] = self.listening[0];
    return p;
}

static uint64_t id_of(unsigned i)
{
    mesh_self self;

    mesh_get_self(node_mesh(hosts[i]), &self);
    return self.node;
}

static void host_up(unsigned i)
{
    at = places[i];
    hosts[i] = start_node(COUNTER);
}

static bool connected(unsigned i, unsigned k)
{
    char id[17];
    mesh_peer_view v;

    snprintf(id, sizeof id, "%016llx", (unsigned long long)id_of(k));
    return mesh_peer_find(node_mesh(hosts[i]), id, &v, NULL) == BERTH_OK && v.up;
}

/* A condition that others make true, within a minute. */
#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        unsigned tries_ = 0;                                                                       \
        while (!(condition) && tries_++ < 60000)                                                   \
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);                               \
        assert_true(condition);                                                                    \
    } while (0)

static void introduce(uint32_t may)
{
    for (unsigned i = 0; i < HOSTS; i++) {
        mesh_peer p = peer_of(1 - i, may);
        berth_error error = {0};

        if (mesh_peer_add(node_mesh(hosts[i]), &p, &error) != BERTH_OK)
            fail_msg("%s", error.text);
    }
    UNTIL(connected(0, 1) && connected(1, 0));
}

static int both_up(void **state)
{
    for (unsigned i = 0; i < HOSTS; i++) {
        if (node_setup(state) != 0)
            return -1;
        write_conf("mesh { listen = { \"127.0.0.1:0\" } heartbeat = 100ms timeout = 500ms }\n");
        places[i] = at;
        host_up(i);
    }
    return 0;
}

static int both_down(void **state)
{
    for (unsigned i = 0; i < HOSTS; i++)
        if (hosts[i])
            stop_node(hosts[i]);
    for (unsigned i = 0; i < HOSTS; i++) {
        at = places[i];
        if (node_teardown(state) != 0)
            return -1;
    }
    return 0;
}

static berth_migration *begin(unsigned by, uint64_t origin, unsigned to)
{
    berth_migration *m = NULL;
    berth_error error = {0};

    if (berth_migration_start(hosts[by], origin, 0, id_of(to), NULL, &m, &error) != BERTH_OK)
        fail_msg("%s", error.text);
    assert_true(berth_migration_origin(m) == origin);
    assert_true(berth_migration_target(m) == id_of(to));
    return m;
}

static void move(unsigned by, uint64_t origin, unsigned to)
{
    berth_migration *m = begin(by, origin, to);
    berth_migration_outcome out = {.size = sizeof out};
    berth_error error = {0};

    assert_int_equal(berth_migration_wait(m, 60000, &out, &error), BERTH_OK);
    if (!out.moved)
        fail_msg("%s: %s", out.word, out.text);
    berth_migration_free(m);
}

/* migration 12, 18: the handle; state and place in the chain survive a restart of the new host */
static void a_daemon_that_was_moved_is_the_other_hosts_for_good(void **state)
{
    uint64_t origin = spawn(hosts[0], "counter", "c");
    berth_daemon_info info;

    (void)state;
    introduce(TRUST_MAY_MIGRATE_IN | TRUST_MAY_ORCHESTRATE);
    assert_string_equal(ask(hosts[0], "c", "x"), "1");
    move(0, origin, 1);
    assert_false(find(hosts[0], "c", &info));
    assert_string_equal(ask(hosts[1], "c", "x"), "2");
    for (unsigned i = 0; i < HOSTS; i++) { /* each comes back with what is its own */
        stop_node(hosts[i]);
        host_up(i);
    }
    assert_false(find(hosts[0], "c", &info));
    assert_string_equal(ask(hosts[1], "c", "x"), "3");
    introduce(TRUST_MAY_MIGRATE_IN | TRUST_MAY_ORCHESTRATE);
    move(0, origin, 0); /* ordered by where it goes */
    assert_false(find(hosts[1], "c", &info));
    assert_string_equal(ask(hosts[0], "c", "x"), "4");
    move(0, origin, 1);
    assert_string_equal(ask(hosts[1], "c", "x"), "5");
}

static void what_is_refused_says_why_and_every_wait_says_the_same(void **state)
{
    uint64_t origin = spawn(hosts[0], "counter", "c");
    berth_migration_outcome out = {.size = sizeof out}, again = {.size = sizeof again};
    berth_migration_phase phase;
    berth_migration *m = NULL;
    berth_error error = {0};

    (void)state;
    assert_int_equal(berth_migration_start(hosts[0], origin, 0, 77, NULL, &m, &error),
                     BERTH_ERR_NOT_READY);
    introduce(0);
    assert_int_equal(berth_migration_start(hosts[0], origin, 0, id_of(0), NULL, &m, &error),
                     BERTH_ERR_EXISTS);
    assert_int_equal(berth_migration_start(hosts[0], origin + 1, 0, id_of(1), NULL, &m, &error),
                     BERTH_ERR_NOT_FOUND);
    m = begin(0, origin, 1);
    assert_int_equal(berth_migration_wait(m, UINT64_MAX, &out, &error), BERTH_OK);
    assert_int_equal(berth_migration_wait(m, 0, &again, &error), BERTH_OK);
    assert_false(out.moved || again.moved);
    assert_string_equal(out.word, "refused");
    assert_string_equal(out.text, again.text);
    assert_int_equal(berth_migration_get_phase(m, &phase, &error), BERTH_OK);
    berth_migration_cancel(m, NULL); /* it is over: nothing changes */
    assert_int_equal(berth_migration_wait(m, 0, &again, &error), BERTH_OK);
    assert_string_equal(again.word, "refused");
    berth_migration_free(m);
    assert_string_equal(ask(hosts[0], "c", "x"), "1");
}

static void impair_out(unsigned i, int64_t delay_ns)
{
    impair_rule late = {.delay_ns = delay_ns};

    assert_int_equal(mesh_impair(node_mesh(hosts[i]), NULL, NULL, &late, 1, NULL), BERTH_OK);
}

static void deafen(unsigned i)
{
    impair_rule lost = {.drop = true};

    assert_int_equal(mesh_impair(node_mesh(hosts[i]), NULL, &lost, NULL, 1, NULL), BERTH_OK);
}

static void take_prepared(void *ctx, const migration_view *v)
{
    if (v->role == MIGRATION_TARGET && !v->over && v->phase == MOVE_PHASE_CUTOVER)
        *(bool *)ctx = true;
}

static bool prepared(unsigned i)
{
    bool is = false;

    migrations_each(node_moves(hosts[i]), take_prepared, &is);
    return is;
}

/* ---- Being told ------------------------------------------------------------------------------ */

static struct {
    atomic_uint ends, changes, bad;
    _Atomic berth_status status;
    atomic_bool moved, left;
    uint64_t observer;
} heard;

static void hear_end(void *ctx, berth_status status, const berth_migration_outcome *outcome)
{
    heard.bad += ctx != &heard || (status == BERTH_OK) != (outcome != NULL);
    heard.status = status;
    heard.moved = outcome && outcome->moved;
    heard.ends++;
}

/* The phases of one move in their order, then its end, at which it leaves. */
static void hear_change(void *ctx, const berth_migration_event *e)
{
    heard.bad += heard.left || e->missed || e->size != sizeof *e || strcmp(e->name, "c") != 0 ||
                 e->role != BERTH_MIGRATION_SOURCE;
    heard.bad += !e->outcome && !e->in_doubt && e->phase != heard.changes;
    heard.changes += !e->outcome && !e->in_doubt;
    if (e->outcome) {
        heard.bad += !e->outcome->moved;
        berth_unobserve_migrations(ctx, heard.observer);
        heard.left = true;
    }
}

/* By callback as by wait, once each, without asking */
static void an_embedder_is_told_of_phases_and_of_the_end(void **state)
{
    uint64_t origin = spawn(hosts[0], "counter", "c");
    berth_migration_outcome out = {.size = sizeof out};
    berth_error error = {0};
    berth_migration *m;

    (void)state;
    memset(&heard, 0, sizeof heard);
    introduce(TRUST_MAY_MIGRATE_IN | TRUST_MAY_ORCHESTRATE);
    assert_int_equal(
        berth_observe_migrations(hosts[0], hear_change, hosts[0], &heard.observer, &error),
        BERTH_OK);
    m = begin(0, origin, 1);
    assert_int_equal(berth_migration_on_end(m, hear_end, &heard, &error), BERTH_OK);
    assert_int_equal(berth_migration_wait(m, 60000, &out, &error), BERTH_OK);
    UNTIL(heard.ends == 1 && heard.left);
    assert_true(heard.moved && out.moved);
    assert_int_equal(heard.changes, 6);
    assert_int_equal(berth_migration_on_end(m, hear_end, &heard, &error), BERTH_OK);
    UNTIL(heard.ends == 2); /* it was over: told at once */
    berth_migration_free(m);
    move(0, origin, 0);
    assert_int_equal(heard.changes, 6);
    assert_int_equal(heard.bad, 0);
}

/* What is not over when the host ends is told too; also when the handle is long gone. */
static void whoever_waits_for_an_end_hears_when_the_host_ends(void **state)
{
    uint64_t origin = spawn(hosts[0], "counter", "c");
    berth_error error = {0};
    berth_migration *m;

    (void)state;
    memset(&heard, 0, sizeof heard);
    introduce(TRUST_MAY_MIGRATE_IN | TRUST_MAY_ORCHESTRATE);
    impair_out(1, 1000000000);
    m = begin(0, origin, 1);
    UNTIL(prepared(1));
    deafen(1);
    assert_int_equal(berth_migration_on_end(m, hear_end, &heard, &error), BERTH_OK);
    assert_int_equal(
        berth_observe_migrations(hosts[0], hear_change, hosts[0], &heard.observer, &error),
        BERTH_OK); /* and is never removed */
    berth_migration_free(m);
    stop_node(hosts[0]);
    hosts[0] = NULL;
    assert_int_equal(heard.ends, 1);
}

static berth_status born_again(const berth_keypair *key, bool takeover, berth_error *error)
{
    berth_daemon_config how = {
        .size = sizeof how, .name = "c", .durability = 2, .takeover = takeover};
    uint64_t origin;

    memset(error, 0, sizeof *error);
    return berth_spawn_kind(berth_node_runtime(hosts[0]), "counter", key, &how, &origin, error);
}

/* delivery 3, 5: an identity that lives elsewhere, also after restarts and under its old name */
static void an_identity_that_was_moved_does_not_begin_anew_where_it_was(void **state)
{
    berth_daemon_config how = {.size = sizeof how, .name = "c", .durability = 2};
    berth_daemon_info info;
    berth_error error = {0};
    berth_keypair key;
    uint64_t origin;

    (void)state;
    berth_keypair_generate(&key);
    assert_int_equal(
        berth_spawn_kind(berth_node_runtime(hosts[0]), "counter", &key, &how, &origin, &error),
        BERTH_OK);
    introduce(TRUST_MAY_MIGRATE_IN | TRUST_MAY_ORCHESTRATE);
    move(0, origin, 1);
    assert_int_equal(born_again(&key, false, &error), BERTH_ERR_REFUSED);
    assert_non_null(strstr(error.text, "--takeover"));
    stop_node(hosts[0]);
    host_up(0);
    assert_int_equal(born_again(&key, false, &error), BERTH_ERR_REFUSED);
    assert_false(find(hosts[0], "c", &info));
    introduce(TRUST_MAY_MIGRATE_IN | TRUST_MAY_ORCHESTRATE);
    move(1, origin, 0); /* it may come back as it went */
    move(0, origin, 1);
    stop_node(hosts[1]); /* and this host never returns */
    hosts[1] = NULL;
    assert_int_equal(born_again(&key, false, &error), BERTH_ERR_REFUSED);
    assert_int_equal(born_again(&key, true, &error), BERTH_OK);
    assert_true(find(hosts[0], "c", &info));
    assert_int_equal(info.epoch, 5);
}

/* One that is over but for the word of the other host, by its role there. */
typedef struct doubt {
    migration_role role;
    migration_id id;
    uint64_t waits_for;
    bool found;
} doubt;

static void take_doubt(void *ctx, const migration_view *v)
{
    doubt *d = ctx;

    if (v->phase == MOVE_PHASE_CUTOVER && !v->over && v->role == d->role) {
        d->id = v->id;
        d->waits_for = v->waits_for;
        d->found = true;
    }
}

static bool decided(unsigned i, doubt *d)
{
    d->found = false;
    migrations_each(node_moves(hosts[i]), take_doubt, d);
    return d->found;
}

/* delivery 5: one that never returns, by the word of an operator; and by nobody else's */
static void what_is_in_doubt_waits_for_an_operator_and_no_longer(void **state)
{
    uint64_t origin = spawn(hosts[0], "counter", "c"), other;
    berth_migration *m;
    berth_error error = {0};
    doubt d = {.role = MIGRATION_SOURCE};
    bool resolved = false;
    berth_daemon_info info;

    (void)state;
    introduce(TRUST_MAY_MIGRATE_IN | TRUST_MAY_ORCHESTRATE);
    other = id_of(1);
    assert_string_equal(ask(hosts[0], "c", "x"), "1");
    /* Its PREPARED takes a while, and what comes of that it does not hear. */
    impair_out(1, 1000000000);
    m = begin(0, origin, 1);
    UNTIL(prepared(1));
    deafen(1);
    UNTIL(decided(0, &d));
    assert_true(d.waits_for == other);
    assert_int_equal(migrations_resolve(node_moves(hosts[0]), &d.id, 77, &error),
                     BERTH_ERR_REFUSED);
    stop_node(hosts[1]);
    hosts[1] = NULL;
    UNTIL(resolved ||
          (resolved = migrations_resolve(node_moves(hosts[0]), &d.id, other, &error) == BERTH_OK));
    UNTIL(find(hosts[0], "c", &info) && info.state == BERTH_DAEMON_RUNNING);
    assert_int_equal(info.epoch, 3);
    assert_string_equal(ask(hosts[0], "c", "x"), "2");
    berth_migration_free(m);
}

/* delivery 7 (xi): who ordered it, here the target, hears the truth of a source that knows its
 * attempt, and whom to tell, from its journal only */
static void a_source_that_was_restarted_tells_who_ordered_the_move_how_it_ended(void **state)
{
    uint64_t origin = spawn(hosts[0], "counter", "c");
    berth_migration_outcome out = {.size = sizeof out};
    doubt d = {.role = MIGRATION_SOURCE};
    impair_rule none = {.drop = false};
    berth_error error = {0};
    berth_migration *m;

    (void)state;
    introduce(TRUST_MAY_MIGRATE_IN | TRUST_MAY_ORCHESTRATE);
    assert_string_equal(ask(hosts[0], "c", "x"), "1");
    impair_out(1, 1000000000);
    m = begin(1, origin, 1);
    UNTIL(prepared(1));
    deafen(1);
    UNTIL(decided(0, &d));
    stop_node(hosts[0]);
    host_up(0);
    assert_int_equal(mesh_impair(node_mesh(hosts[1]), NULL, &none, &none, 1, NULL), BERTH_OK);
    introduce(TRUST_MAY_MIGRATE_IN | TRUST_MAY_ORCHESTRATE);
    assert_int_equal(berth_migration_wait(m, 60000, &out, &error), BERTH_OK);
    if (!out.moved)
        fail_msg("%s: %s", out.word, out.text);
    assert_string_equal(ask(hosts[1], "c", "x"), "2");
    berth_migration_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_daemon_that_was_moved_is_the_other_hosts_for_good,
                                        both_up, both_down),
        cmocka_unit_test_setup_teardown(what_is_refused_says_why_and_every_wait_says_the_same,
                                        both_up, both_down),
        cmocka_unit_test_setup_teardown(an_embedder_is_told_of_phases_and_of_the_end, both_up,
                                        both_down),
        cmocka_unit_test_setup_teardown(whoever_waits_for_an_end_hears_when_the_host_ends, both_up,
                                        both_down),
        cmocka_unit_test_setup_teardown(an_identity_that_was_moved_does_not_begin_anew_where_it_was,
                                        both_up, both_down),
        cmocka_unit_test_setup_teardown(what_is_in_doubt_waits_for_an_operator_and_no_longer,
                                        both_up, both_down),
        cmocka_unit_test_setup_teardown(
            a_source_that_was_restarted_tells_who_ordered_the_move_how_it_ended, both_up,
            both_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
