/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel that asks for leave, over hosts: who has a token hears and publishes, who has none does
 * not and is counted, and leave ends when it is over or taken back (channels §5, §10.1, §11, §12).
 */
#include "mesh_hosts.h"

#include "chain/channel.h"
#include "mesh/mesh_private.h"

static hosts h;
static berth_keypair owner;

static void start(unsigned count)
{
    owner = key_of(0xaaaa);
    hosts_init(&h, count);
    h.rules[0] = (channel_rule){.name = slice_str("jobs"), .roots = owner.entity, .root_count = 1};
    h.rules[1] = (channel_rule){.name = slice_str("open")};
    h.rule_count = 2;
    for (unsigned i = 0; i < count; i++)
        hosts_up(&h, i);
    UNTIL(hosts_joined(&h));
}

typedef struct given {
    uint8_t bytes[BERTH_TOKEN_CHAIN_SIZE];
    berth_daemon_token token;
} given;

static void issue(given *g, uint64_t key, uint32_t scope, uint64_t ttl_s)
{
    berth_token_grant grant = {
        .channel = channel_hash(slice_str("jobs")), .ttl_s = ttl_s, .scope = scope};
    berth_keypair subject = key_of(key);
    berth_token_chain tokens;
    berth_token token;

    memcpy(grant.subject, subject.entity, sizeof grant.subject);
    OK(berth_token_issue(&token, &owner, &grant, (uint64_t)(clock_wall_ns() / 1000000000), NULL,
                         NULL));
    berth_token_chain_of(&tokens, &token);
    g->token =
        (berth_daemon_token){.bytes = g->bytes, .len = berth_token_chain_encode(g->bytes, &tokens)};
}

/* Spawned with a token of this scope (0: none), subscribed to this (NULL: to nothing). */
static uint64_t spawn(unsigned i, uint64_t key, const char *subscribe, uint32_t scope,
                      uint64_t ttl_s)
{
    berth_keypair identity = key_of(key);
    berth_daemon_config config = {
        .size = sizeof config, .subscribe = &subscribe, .subscribe_count = subscribe != NULL};
    berth_error error = {0};
    uint64_t origin = 0;
    given g;

    if (scope) {
        issue(&g, key, scope, ttl_s);
        config.tokens = &g.token;
        config.token_count = 1;
    }
    if (berth_spawn_kind(h.list[i].rt, "script", &identity, &config, &origin, &error) != BERTH_OK)
        fail_msg("%s", error.text);
    return origin;
}

static mesh_counters counters(unsigned i)
{
    return hosts_counters(&h, i);
}

static uint64_t lost(unsigned i, uint64_t origin)
{
    return info_of(h.list[i].rt, origin).events_lost;
}

static void publish(unsigned i, uint64_t origin)
{
    OK(hosts_tell(&h, i, origin, "pub:jobs:add:1", NULL));
}

static void who_has_a_token_hears_and_who_has_none_is_refused(void **state)
{
    uint64_t a, with, without;

    (void)state;
    start(2);
    a = spawn(0, 1, NULL, BERTH_SCOPE_PUBLISH, 1000);
    with = spawn(1, 2, "jobs", BERTH_SCOPE_SUBSCRIBE, 1000);
    without = spawn(1, 3, "jobs", 0, 0);
    UNTIL(counters(0).members == 1 && counters(0).membership.refused[CHANNEL_UNAUTHORIZED] >= 1);
    publish(0, a);
    publish(0, a); /* the second time the signatures are known */
    UNTIL(hosts_count(&h, 1, with) == 2);
    assert_int_equal(hosts_count(&h, 1, without), 0);
    assert_int_equal(counters(0).flows.refused_publish, 0);
    /* Leave to publish is not leave to hear. */
    spawn(1, 4, "jobs", BERTH_SCOPE_PUBLISH, 1000);
    UNTIL(counters(0).membership.refused[CHANNEL_UNAUTHORIZED] >= 2);
    assert_int_equal(counters(0).members, 1);
    hosts_end(&h);
}

static void who_may_not_publish_reaches_nobody_and_is_counted(void **state)
{
    uint64_t a, wrong, far, near;

    (void)state;
    start(2);
    a = spawn(0, 1, NULL, 0, 0);
    wrong = spawn(0, 5, NULL, BERTH_SCOPE_SUBSCRIBE, 1000);
    near = spawn(0, 2, "jobs", BERTH_SCOPE_SUBSCRIBE, 1000);
    far = spawn(1, 3, "jobs", BERTH_SCOPE_SUBSCRIBE, 1000);
    UNTIL(counters(0).members == 2);
    for (unsigned i = 0; i < 10; i++)
        publish(0, a);
    publish(0, wrong);
    UNTIL(lost(0, a) == 10 && lost(0, wrong) == 1);
    assert_int_equal(counters(0).flows.refused_publish, 11);
    assert_int_equal(hosts_count(&h, 0, near), 0);
    assert_int_equal(hosts_count(&h, 1, far), 0);
    /* With leave, given while it runs, it reaches both. */
    given g;
    issue(&g, 1, BERTH_SCOPE_PUBLISH, 1000);
    OK(berth_give_token(h.list[0].rt, a, g.bytes, g.token.len, NULL));
    publish(0, a);
    UNTIL(hosts_count(&h, 0, near) == 1 && hosts_count(&h, 1, far) == 1);
    assert_int_equal(lost(0, a), 10);
    hosts_end(&h);
}

/* Who lives where it is published is asked for leave as everybody else, and hears it once. */
static void leave_is_asked_for_on_the_publishers_own_host(void **state)
{
    uint64_t a, with, without;
    berth_error error = {0};
    given g;

    (void)state;
    start(1);
    a = spawn(0, 1, NULL, BERTH_SCOPE_PUBLISH, 9000);
    with = spawn(0, 2, "jobs", BERTH_SCOPE_SUBSCRIBE, 9000);
    without = spawn(0, 3, "jobs", 0, 0);
    assert_int_equal(counters(0).members, 1);
    publish(0, a);
    UNTIL(hosts_count(&h, 0, with) == 1);
    assert_int_equal(hosts_count(&h, 0, without), 0);
    issue(&g, 3, BERTH_SCOPE_SUBSCRIBE, 9000);
    OK(berth_give_token(h.list[0].rt, without, g.bytes, g.token.len, NULL));
    publish(0, a);
    UNTIL(hosts_count(&h, 0, without) == 1 && hosts_count(&h, 0, with) == 2);
    OK(berth_unsubscribe_channel(h.list[0].rt, with, 0, "jobs", &error));
    assert_int_equal(counters(0).members, 1);
    publish(0, a);
    UNTIL(hosts_count(&h, 0, without) == 2);
    assert_int_equal(hosts_count(&h, 0, with), 2);
    hosts_end(&h);
}

/* What comes from outside the node itself publishes, with leave that is made out to it. */
static void a_node_publishes_with_a_token_of_its_own(void **state)
{
    uint64_t far, near, reached;
    berth_error error = {0};
    given own, other, hear;
    buf *leave[3];

    (void)state;
    start(2);
    near = spawn(0, 2, "jobs", BERTH_SCOPE_SUBSCRIBE, 9000);
    far = spawn(1, 3, "jobs", BERTH_SCOPE_SUBSCRIBE, 9000);
    UNTIL(counters(0).members == 2);
    issue(&own, 0x1000, BERTH_SCOPE_PUBLISH, 9000); /* the key of host 0 */
    issue(&other, 0x1001, BERTH_SCOPE_PUBLISH, 9000);
    issue(&hear, 0x1000, BERTH_SCOPE_SUBSCRIBE, 9000);
    leave[0] = buf_copy(other.bytes, other.token.len);
    leave[1] = buf_copy(hear.bytes, hear.token.len);
    leave[2] = NULL;
    for (unsigned i = 0; i < 3; i++)
        FAILS(runtime_publish_with(h.list[0].rt, slice_str("jobs"), slice_str("add:1"), leave[i],
                                   NULL, NULL, &reached, &error),
              REFUSED);
    assert_int_equal(counters(0).flows.refused_publish, 3);
    for (unsigned i = 0; i < 2; i++) {
        buf *good = buf_copy(own.bytes, own.token.len);

        OK(runtime_publish_with(h.list[0].rt, slice_str("jobs"), slice_str("add:1"), good, NULL,
                                NULL, &reached, &error));
        buf_unref(good);
    }
    UNTIL(hosts_count(&h, 0, near) == 2 && hosts_count(&h, 1, far) == 2);
    FAILS(runtime_publish(h.list[0].rt, slice_str("jobs"), slice_str("add:1"), NULL, NULL, &reached,
                          &error),
          REFUSED); /* shown once is not for ever */
    buf_unref(leave[0]);
    buf_unref(leave[1]);
    hosts_end(&h);
}

static void set_rule(bool open)
{
    mesh_peer others[HOSTS_MAX];
    berth_error error = {0};
    mesh_policy policy;

    h.rules[0] = (channel_rule){
        .name = slice_str("jobs"), .roots = owner.entity, .root_count = open ? 0 : 1};
    policy = hosts_policy(&h, 0, others);
    OK(mesh_set_policy(h.list[0].mesh, &policy, &error));
}

static void filter(const char *publish, const char *subscribe)
{
    static capability_filter filters[2];
    mesh_peer others[HOSTS_MAX];
    capability_scope scope;
    mesh_policy policy;

    memset(filters, 0, sizeof filters);
    OK(filter_parse(&filters[0], &scope, slice_str(publish), NULL));
    OK(filter_parse(&filters[1], &scope, slice_str(subscribe), NULL));
    h.rules[0] =
        (channel_rule){.name = slice_str("jobs"), .publish = &filters[0], .subscribe = &filters[1]};
    policy = hosts_policy(&h, 0, others);
    OK(mesh_set_policy(h.list[0].mesh, &policy, NULL));
}

/* channels §3: who may publish, and who may subscribe, by what its host says of itself. */
static void a_filter_asks_what_hosts_say_of_themselves(void **state)
{
    uint64_t a, near, far;

    (void)state;
    start(2);
    filter("software.os=linux", "kind:script software.os=plan9");
    a = spawn(0, 1, NULL, 0, 0);
    far = spawn(1, 2, "jobs", 0, 0);
    near = spawn(0, 3, "jobs@workers", 0, 0);
    UNTIL(counters(0).membership.refused[CHANNEL_UNAUTHORIZED] >= 2);
    publish(0, a);
    UNTIL(hosts_count(&h, 0, a) == 0 && counters(0).members == 0);
    filter("software.os=linux", "software.os=linux");
    UNTIL(counters(0).members == 2);
    publish(0, a);
    UNTIL(hosts_count(&h, 0, near) == 1 && hosts_count(&h, 1, far) == 1);
    assert_int_equal(lost(0, a), 0);
    filter("software.os=plan9", "");
    publish(0, a);
    UNTIL(lost(0, a) == 1);
    assert_int_equal(hosts_count(&h, 1, far), 1);
    hosts_end(&h);
}

/* A reload opens a channel and closes it again: once each, and then who has leave. */
static void rules_that_change_ask_those_who_are_there(void **state)
{
    uint64_t a, with, without, reached;
    berth_error error = {0};

    (void)state;
    start(1);
    a = spawn(0, 1, NULL, BERTH_SCOPE_PUBLISH, 9000);
    with = spawn(0, 2, "jobs", BERTH_SCOPE_SUBSCRIBE, 9000);
    set_rule(true);
    without = spawn(0, 3, "jobs", 0, 0);
    OK(runtime_publish(h.list[0].rt, slice_str("jobs"), slice_str("add:1"), NULL, NULL, &reached,
                       &error));
    assert_int_equal(reached, 2);
    publish(0, a);
    UNTIL(hosts_count(&h, 0, with) == 2 && hosts_count(&h, 0, without) == 2);
    OK(berth_unsubscribe_channel(h.list[0].rt, with, 0, "jobs", &error));
    OK(berth_subscribe_channel(h.list[0].rt, with, 0, "jobs", NULL, 0, &error));
    UNTIL(counters(0).members == 0);
    set_rule(false);
    UNTIL(counters(0).members == 1);
    publish(0, a);
    UNTIL(hosts_count(&h, 0, with) == 3);
    assert_int_equal(hosts_count(&h, 0, without), 2);
    hosts_end(&h);
}

/* channels §10.1 (3): signatures are checked once, everything else each time */
static void leave_to_publish_ends(void **state)
{
    uint64_t a, far;
    given g;

    (void)state;
    start(2);
    a = spawn(0, 1, NULL, BERTH_SCOPE_PUBLISH, 1000);
    far = spawn(1, 3, "jobs", BERTH_SCOPE_SUBSCRIBE, 9000);
    UNTIL(counters(0).members == 1);
    publish(0, a);
    UNTIL(hosts_count(&h, 1, far) == 1);
    mesh_wall_skew(h.list[0].mesh, 2000);
    publish(0, a);
    UNTIL(lost(0, a) == 1);
    assert_int_equal(counters(0).flows.refused_publish, 1);
    issue(&g, 1, BERTH_SCOPE_PUBLISH, 5000);
    OK(berth_give_token(h.list[0].rt, a, g.bytes, g.token.len, NULL));
    publish(0, a);
    UNTIL(hosts_count(&h, 1, far) == 2);
    hosts_end(&h);
}

/* channels §11 */
static void leave_to_hear_ends_and_can_be_renewed(void **state)
{
    uint64_t a, far;
    given g;

    (void)state;
    start(2);
    a = spawn(0, 1, NULL, BERTH_SCOPE_PUBLISH, 9000);
    far = spawn(1, 3, "jobs", BERTH_SCOPE_SUBSCRIBE, 1000);
    UNTIL(counters(0).members == 1);
    mesh_wall_skew(h.list[0].mesh, 2000);
    publish(0, a); /* who publishes finds it first */
    UNTIL(counters(0).members == 0);
    assert_int_equal(counters(0).membership.swept, 1);
    assert_int_equal(hosts_count(&h, 1, far), 0);
    issue(&g, 3, BERTH_SCOPE_SUBSCRIBE, 8000);
    OK(berth_give_token(h.list[1].rt, far, g.bytes, g.token.len, NULL));
    UNTIL(counters(0).members == 1);
    publish(0, a);
    UNTIL(hosts_count(&h, 1, far) == 1);
    hosts_end(&h);
}

/* What `berth token revoke --all` would have written of the owner's tokens. */
static void revoke_all(void)
{
    mesh_peer others[HOSTS_MAX];
    token_revocations *r = token_revocations_new();
    mesh_policy policy = hosts_policy(&h, 0, others);
    char *text;

    OK(token_revocations_raise(r, owner.entity, 1, NULL));
    text = token_revocations_format(r, 1);
    policy.revoked_tokens = slice_str(text);
    OK(mesh_set_policy(h.list[0].mesh, &policy, NULL));
    policy.revoked_tokens = slice_str("floor: nobody 1\n");
    assert_int_not_equal(mesh_set_policy(h.list[0].mesh, &policy, NULL), BERTH_OK);
    policy.revoked_tokens = (slice){0}; /* nothing is taken back */
    OK(mesh_set_policy(h.list[0].mesh, &policy, NULL));
    free(text);
    token_revocations_free(r);
}

/* channels §12.6 */
static void what_its_issuer_has_taken_back_is_no_leave(void **state)
{
    uint64_t a, near, far;

    (void)state;
    start(2);
    a = spawn(0, 1, NULL, BERTH_SCOPE_PUBLISH, 9000);
    near = spawn(0, 2, "jobs@workers", BERTH_SCOPE_SUBSCRIBE, 1000);
    far = spawn(1, 3, "jobs", BERTH_SCOPE_SUBSCRIBE, 1000);
    UNTIL(counters(0).members == 2);
    publish(0, a);
    UNTIL(hosts_count(&h, 0, near) == 1 && hosts_count(&h, 1, far) == 1);
    revoke_all();
    publish(0, a);
    UNTIL(lost(0, a) == 1 && counters(0).members == 0);
    assert_int_equal(counters(0).membership.swept, 2);
    hosts_end(&h);
}

/* A member of a group on the publisher's own host needs leave as any other. */
static void a_group_passes_over_who_has_no_leave(void **state)
{
    uint64_t a, with, without, far;
    given g;

    (void)state;
    start(2);
    a = spawn(0, 1, NULL, BERTH_SCOPE_PUBLISH, 9000);
    without = spawn(0, 2, "jobs@workers", 0, 0);
    with = spawn(0, 3, "jobs@workers", BERTH_SCOPE_SUBSCRIBE, 1000);
    far = spawn(1, 4, "jobs@workers", BERTH_SCOPE_SUBSCRIBE, 9000);
    UNTIL(counters(0).members == 2);
    for (unsigned i = 0; i < 10; i++)
        publish(0, a);
    UNTIL(hosts_count(&h, 0, with) == 5 && hosts_count(&h, 1, far) == 5);
    assert_int_equal(hosts_count(&h, 0, without), 0);
    mesh_wall_skew(h.list[0].mesh, 2000); /* the near one's is over */
    for (unsigned i = 0; i < 10; i++)
        publish(0, a);
    UNTIL(hosts_count(&h, 1, far) == 15);
    UNTIL(counters(0).members == 1);
    issue(&g, 2, BERTH_SCOPE_SUBSCRIBE, 9000);
    OK(berth_give_token(h.list[0].rt, without, g.bytes, g.token.len, NULL));
    assert_int_equal(counters(0).members, 2); /* at once */
    for (unsigned i = 0; i < 10; i++)
        publish(0, a);
    UNTIL(hosts_count(&h, 0, without) == 5 && hosts_count(&h, 1, far) == 20);
    assert_int_equal(hosts_count(&h, 0, with), 5);
    hosts_end(&h);
}

/* A reload that opens the channel lets in who was refused, also without asking again. */
static void rules_that_become_open_let_members_in(void **state)
{
    mesh_peer others[HOSTS_MAX];
    berth_error error = {0};
    mesh_policy policy;
    uint64_t a, w;

    (void)state;
    start(2);
    a = spawn(0, 1, NULL, 0, 0);
    w = spawn(0, 2, "jobs@workers", 0, 0);
    publish(0, a);
    UNTIL(lost(0, a) == 1);
    h.rules[0] = (channel_rule){.name = slice_str("jobs")};
    policy = hosts_policy(&h, 0, others);
    OK(mesh_set_policy(h.list[0].mesh, &policy, &error));
    UNTIL(counters(0).members == 1);
    publish(0, a);
    UNTIL(hosts_count(&h, 0, w) == 1);
    hosts_end(&h);
}

/* The token is in the snapshot, with the subscription. */
static void a_daemon_that_comes_from_a_snapshot_shows_its_token_again(void **state)
{
    berth_keypair identity = key_of(3);
    berth_error error = {0};
    uint64_t a, b, len = 0;
    void *bytes = NULL;

    (void)state;
    start(2);
    a = spawn(0, 1, NULL, BERTH_SCOPE_PUBLISH, 9000);
    b = spawn(1, 3, "jobs", BERTH_SCOPE_SUBSCRIBE, 9000);
    UNTIL(counters(0).members == 1);
    OK(berth_snapshot(h.list[1].rt, b, &bytes, &len, &error));
    OK(berth_stop(h.list[1].rt, b, 0, &error));
    UNTIL(counters(0).members == 0);
    OK(berth_spawn_from_snapshot(h.list[1].rt, NULL, &identity, bytes, len, NULL, &b, &error));
    UNTIL(counters(0).members == 1);
    publish(0, a);
    UNTIL(hosts_count(&h, 1, b) == 1);
    free(bytes);
    hosts_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_a_token_hears_and_who_has_none_is_refused),
        cmocka_unit_test(who_may_not_publish_reaches_nobody_and_is_counted),
        cmocka_unit_test(leave_is_asked_for_on_the_publishers_own_host),
        cmocka_unit_test(a_node_publishes_with_a_token_of_its_own),
        cmocka_unit_test(a_filter_asks_what_hosts_say_of_themselves),
        cmocka_unit_test(rules_that_change_ask_those_who_are_there),
        cmocka_unit_test(leave_to_publish_ends),
        cmocka_unit_test(leave_to_hear_ends_and_can_be_renewed),
        cmocka_unit_test(what_its_issuer_has_taken_back_is_no_leave),
        cmocka_unit_test(a_group_passes_over_who_has_no_leave),
        cmocka_unit_test(rules_that_become_open_let_members_in),
        cmocka_unit_test(a_daemon_that_comes_from_a_snapshot_shows_its_token_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
