/* SPDX-License-Identifier: Apache-2.0 */
/* What a daemon that was moved hears where it is now: told to all who take part, and tried again.
 */
#include "cluster_help.h"
#include "daemon/runtime.h"
#include "migrate/wire.h"

#define MAY (TRUST_MAY_MIGRATE_IN | TRUST_MAY_ORCHESTRATE)

static uint64_t id_of(berth_cluster *c, uint32_t node)
{
    return c->nodes[node].identity.node_id;
}

static mesh_peer peer_of(berth_cluster *c, uint32_t i)
{
    mesh_peer p = {.has_key = true, .has_entity = true, .may = MAY, .address_count = 1};
    mesh_self self;

    mesh_get_self(c->nodes[i].mesh, &self);
    snprintf(p.name, sizeof p.name, "%s", c->nodes[i].name);
    memcpy(p.key, self.key, sizeof p.key);
    memcpy(p.entity, self.entity, sizeof p.entity);
    p.addresses[0] = self.listening[0];
    return p;
}

/* At one node, where nothing else changes. */
static void rule_at(berth_cluster *c, uint32_t node, const channel_rule *rule)
{
    mesh_peer others[3];
    mesh_policy policy = {.peers = others, .channels = rule, .channel_count = rule ? 1 : 0};

    for (uint32_t i = 0; i < 3; i++)
        if (i != node)
            others[policy.peer_count++] = peer_of(c, i);
    GOOD(c, mesh_set_policy(c->nodes[node].mesh, &policy, &why));
}

static uint64_t members_at(berth_cluster *c, uint32_t node)
{
    mesh_counters m;

    mesh_get_counters(c->nodes[node].mesh, &m);
    return m.members;
}

typedef struct look {
    migration_id id;
    migration_view view;
} look;

static void look_at(void *ctx, const migration_view *v)
{
    look *l = ctx;

    if (memcmp(&v->id, &l->id, sizeof v->id) == 0)
        l->view = *v;
}

/* What is known of it at a node. */
static const move_hearing *heard_at(berth_cluster *c, uint32_t node, const migration_id *id)
{
    static look l;

    l = (look){.id = *id};
    migrations_each(c->nodes[node].migrations, look_at, &l);
    return &l.view.hearing;
}

static migration_id moved(berth_cluster *c, uint32_t by, berth_cluster_daemon *d, uint32_t to)
{
    migration_spec spec = {.origin = d->origin, .target = id_of(c, to), .transport_identity = true};
    migrations *x = c->nodes[by].migrations;
    move_outcome out = {.moved = false};
    migration_id id;

    GOOD(c, migrations_begin(x, &spec, &id, &out, &why));
    GOOD(c, migrations_wait(x, &id, HELP_PATIENCE_NS, &out, &why));
    if (!out.moved)
        fail_msg("it stays: %s: %s", move_reason_word(out.reason), out.text);
    d->node = to;
    d->life = c->nodes[to].life;
    d->node_id = id_of(c, to);
    return id;
}

static bool offers(berth_cluster *c, uint32_t at, uint32_t node, const char *tag)
{
    capability_filter filter = {.tags = {slice_str(tag)}, .tag_count = 1};
    uint64_t *nodes = NULL;
    size_t count = 0;
    bool found = false;

    if (mesh_find_nodes(c->nodes[at].mesh, &filter, &nodes, &count, NULL) != BERTH_OK)
        return false;
    for (size_t i = 0; i < count; i++)
        found = found || nodes[i] == id_of(c, node);
    free(nodes);
    return found;
}

/* Node 2 lets only nodes with a kind hear `news`; node 0 has it, node 1 has not. */
static berth_cluster *with_a_guard(berth_cluster_daemon *d)
{
    static capability_filter badge;
    berth_cluster_config config = cluster_of(3);
    berth_kind kind = kind_echo;
    berth_cluster *c;

    config.migrate = true;
    config.heartbeat_ms = 100;
    config.timeout_ms = 500;
    c = cluster_made(&config);
    kind.name = (berth_bytes){"badge", 5};
    GOOD(c, berth_cluster_register_kind(c, BERTH_CLUSTER_SET(0), &kind, &why));
    GOOD(c, berth_cluster_boot(c, &why));
    badge = (capability_filter){.tags = {slice_str("kind:badge")}, .tag_count = 1};
    rule_at(c, 2, &(channel_rule){.name = slice_str("news"), .subscribe = &badge});
    SOON(c, offers(c, 2, 0, "kind:badge"));
    *d = one_on(c, 0, "script");
    OK(tell(c, d, "sub:news"));
    SOON(c, members_at(c, 2) == 1);
    return c;
}

/* migration 13, 19.3 */
static void a_subscription_that_is_refused_there_is_told_and_tried_again(void **state)
{
    berth_cluster_daemon d;
    berth_cluster *c = with_a_guard(&d);
    migration_id id = moved(c, 2, &d, 1);
    const move_hearing *h = NULL;

    (void)state;
    for (uint32_t i = 0; i < 3; i++) { /* source, target, and who ordered it */
        SOON(c, (h = heard_at(c, i, &id))->missing);
        assert_int_equal(h->missing, 1);
        assert_int_equal(h->total, 2);
        assert_string_equal(h->channel, "news");
        assert_string_equal(h->why, "unauthorized");
        assert_true(h->publisher == id_of(c, 2));
    }
    rule_at(c, 2, NULL);
    for (uint32_t i = 0; i < 3; i++) {
        SOON(c, !(h = heard_at(c, i, &id))->missing && !h->pending);
        assert_true(h->known);
        assert_int_equal(h->total, 2);
        assert_string_equal(h->channel, "");
    }
    assert_int_equal(members_at(c, 2), 1);
    cluster_end(c);
}

/* Its words are lost: they are said again when the two are connected again. */
static void what_the_source_has_not_heard_is_said_again(void **state)
{
    berth_cluster_daemon d;
    berth_cluster *c = with_a_guard(&d);
    migration_id id = moved(c, 0, &d, 1);
    const move_hearing *h = NULL;
    mesh_peer_view peer;

    (void)state;
    SOON(c, heard_at(c, 0, &id)->missing);
    GOOD(c, berth_cluster_partition(c, BERTH_CLUSTER_SET(0), BERTH_CLUSTER_SET(1), true, &why));
    SOON(c, !mesh_proven(c->nodes[0].mesh, id_of(c, 1), &peer) &&
                !mesh_proven(c->nodes[1].mesh, id_of(c, 0), &peer));
    rule_at(c, 2, NULL);
    SOON(c, (h = heard_at(c, 1, &id))->missing == 1 && strcmp(h->why, "not connected") == 0 &&
                h->publisher == id_of(c, 0));
    assert_string_equal(heard_at(c, 0, &id)->why, "unauthorized");
    GOOD(c, berth_cluster_heal(c, &why));
    SOON(c, !(h = heard_at(c, 0, &id))->missing && !h->pending);
    assert_true(h->known);
    cluster_end(c);
}

/* Nobody but the target of that attempt says what is heard there. */
static void what_another_node_says_of_it_is_not_believed(void **state)
{
    berth_cluster_daemon d;
    berth_cluster *c = with_a_guard(&d);
    migration_id id = moved(c, 0, &d, 1);
    move_hears lie = {.head = {.origin = d.origin}, .hearing = {.known = true, .total = 77}};
    migrations_counters before, after;
    writer w = {0};
    buf *msg;

    (void)state;
    SOON(c, heard_at(c, 0, &id)->missing);
    memcpy(lie.head.attempt, id.bytes, sizeof lie.head.attempt);
    move_hears_write(&w, &lie);
    msg = buf_copy(w.data, w.len);
    migrations_get_counters(c->nodes[0].migrations, &before);
    mesh_tell(c->nodes[2].mesh, id_of(c, 0), LANE_CALL, msg);
    SOON(c, (migrations_get_counters(c->nodes[0].migrations, &after),
             after.unauthorized > before.unauthorized));
    assert_int_equal(heard_at(c, 0, &id)->total, 2);
    buf_unref(msg);
    writer_free(&w);
    cluster_end(c);
}

static void one_without_subscriptions_hears_all_that_it_heard(void **state)
{
    berth_cluster_config config = cluster_of(2);
    berth_cluster_daemon d;
    const move_hearing *h = NULL;
    migration_id id;
    berth_cluster *c;

    (void)state;
    config.migrate = true;
    c = cluster_up(&config);
    d = one_on(c, 0, "script");
    id = moved(c, 0, &d, 1);
    SOON(c, (h = heard_at(c, 0, &id))->known);
    assert_int_equal(h->total + h->pending + h->missing, 0);
    cluster_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subscription_that_is_refused_there_is_told_and_tried_again),
        cmocka_unit_test(what_the_source_has_not_heard_is_said_again),
        cmocka_unit_test(what_another_node_says_of_it_is_not_believed),
        cmocka_unit_test(one_without_subscriptions_hears_all_that_it_heard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
