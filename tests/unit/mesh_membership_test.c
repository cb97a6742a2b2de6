/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh_membership.h"

/* 20.6 unauth_channel_accepts_everyone */
static void an_open_channel_accepts_everyone(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(subscribe(f, 1, "open"), CHANNEL_FINE);
    assert_int_equal(subscribe(f, 2, "open"), CHANNEL_FINE);
    assert_int_equal(subscribe(f, 2, "open"), CHANNEL_FINE);
    assert_int_equal(recipients(f, "open"), 2);
}

/* 20.6 SDK test_subscribe_unknown_channel_returns_rejected; 6.4, 3 and 4 */
static void an_unknown_channel_is_refused_unless_there_are_no_rules(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(subscribe(f, 1, "nowhere"), CHANNEL_UNKNOWN);
    assert_int_equal(members(f), 0);
    f->config.rules = NULL;
    restart(f);
    assert_int_equal(subscribe(f, 1, "nowhere"), CHANNEL_FINE);
}

/* 20.6 subscribe_denied_by_cap_filter */
static void capabilities_that_do_not_match_are_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(subscribe(f, 1, "filtered"), CHANNEL_FINE);
    f->capable = false;
    assert_int_equal(subscribe(f, 1, "filtered"), CHANNEL_UNAUTHORIZED);
    f->config.capable = NULL;
    restart(f);
    assert_int_equal(subscribe(f, 1, "filtered"), CHANNEL_UNAUTHORIZED);
}

/* 20.6 subscribe_denied_by_missing_token; 6.4, 6: malformed counts as none */
static void without_a_token_a_gated_channel_is_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(subscribe(f, 1, "gated"), CHANNEL_UNAUTHORIZED);
    assert_int_equal(say(f, MESSAGE_CHANNEL_SUBSCRIBE, 1, &f->user, "gated", slice_str("no chain")),
                     CHANNEL_UNAUTHORIZED);
    assert_int_equal(say(f, MESSAGE_CHANNEL_SUBSCRIBE, 1, &f->user, "open", slice_str("no chain")),
                     CHANNEL_FINE);
}

/* 20.6 subscribe_accepted_with_valid_token */
static void with_a_token_it_is_accepted(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(subscribe_well(f, 1), CHANNEL_FINE);
    assert_int_equal(recipients(f, "gated"), 1);
}

/* 20.6 subscribe_rejected_with_expired_token / _wrong_subject_token */
static void tokens_that_do_not_hold_are_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(subscribe_gated(f, 1, &f->other, &f->user, BERTH_SCOPE_SUBSCRIBE),
                     CHANNEL_UNAUTHORIZED);
    assert_int_equal(subscribe_gated(f, 1, &f->owner, &f->other, BERTH_SCOPE_SUBSCRIBE),
                     CHANNEL_UNAUTHORIZED);
    assert_int_equal(subscribe_gated(f, 1, &f->owner, &f->user, BERTH_SCOPE_PUBLISH),
                     CHANNEL_UNAUTHORIZED);
    f->issued_ago_s = 3600;
    assert_int_equal(subscribe_well(f, 1), CHANNEL_UNAUTHORIZED);
    f->issued_ago_s = 3599;
    assert_int_equal(subscribe_well(f, 1), CHANNEL_FINE);
    token_revocations_raise(f->revoked, f->owner.entity, 1, NULL);
    assert_int_equal(subscribe_well(f, 1), CHANNEL_UNAUTHORIZED);
}

/* 20.6 rejected_subscribe_retains_no_chain_and_no_cache_entry; 18 */
static void a_refusal_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;

    subscribe(f, 1, "gated");
    subscribe(f, 1, "nowhere");
    assert_int_equal(members(f), 0);
    assert_int_equal(roster_node_members(membership_roster(f->m), 1), 0);
}

/* 6.3: a chain accepted earlier is not reused for a later bare one */
static void each_subscription_shows_its_token_again(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(subscribe_well(f, 1), CHANNEL_FINE);
    assert_int_equal(subscribe(f, 1, "gated"), CHANNEL_UNAUTHORIZED);
    assert_int_equal(recipients(f, "gated"), 1);
}

/* 7: the identity has to be known first */
/* 8: the members of the publisher's own host are members as any other, by the same rules */
static void a_daemon_of_the_publishers_own_host_is_a_member_with_leave(void **state)
{
    struct fixture *f = *state;
    berth_error error = {0};
    uint8_t bytes[BERTH_TOKEN_CHAIN_SIZE];
    slice none = {0}, group = slice_str("pool"), shown;
    unsigned acks = f->acks;

    shown = leave_of(f, bytes, &f->owner, &f->user, BERTH_SCOPE_SUBSCRIBE);
    for (unsigned i = 0; i < 20; i++) /* and is never silenced */
        assert_int_equal(membership_join(f->m, 7, f->user.entity, slice_str("gated"), group, none,
                                         f->now_ns, f->now_s, &error),
                         BERTH_ERR_REFUSED);
    assert_non_null(strstr(error.text, "gated"));
    assert_int_equal(membership_join(f->m, 7, f->user.entity, slice_str("gated"), group, shown,
                                     f->now_ns, f->now_s, NULL),
                     BERTH_OK);
    assert_int_equal(f->acks, acks); /* nobody is told */
    assert_int_equal(recipients(f, "gated"), 1);
    pass(f, 3600);
    expire(f);
    assert_int_equal(members(f), 0);
    assert_int_equal(membership_join(f->m, 7, f->user.entity, slice_str("open"), group, none,
                                     f->now_ns, f->now_s, NULL),
                     BERTH_OK);
    assert_true(membership_leave(f->m, 7, f->user.entity, slice_str("open")));
    assert_false(membership_leave(f->m, 7, f->user.entity, slice_str("open")));
}

static void a_node_that_has_not_proven_to_run_the_subscriber_is_refused(void **state)
{
    struct fixture *f = *state;

    f->hosts = false;
    assert_int_equal(subscribe_well(f, 1), CHANNEL_UNAUTHORIZED);
    assert_int_equal(subscribe(f, 1, "open"), CHANNEL_UNAUTHORIZED);
    f->hosts = true;
    assert_int_equal(subscribe_well(f, 1), CHANNEL_FINE);
}

/* 6.4, 5 */
static void what_a_node_may_not_see_it_may_not_hear(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(subscribe(f, 1, "open"), CHANNEL_FINE);
    f->visible = false;
    assert_int_equal(subscribe(f, 2, "open"), CHANNEL_UNAUTHORIZED);
    assert_int_equal(recipients(f, "open"), 0);
    f->visible = true;
    assert_int_equal(recipients(f, "open"), 1);
}

/* 20.4 cap_rejection_is_suppressed_only_for_already_subscribed_peers; 20.8
 * authorize_subscribe_only… */
static void at_the_limit_one_may_subscribe_again_and_is_judged_again(void **state)
{
    struct fixture *f = *state;

    f->config.limits.channels_per_node = 2;
    restart(f);
    assert_int_equal(subscribe(f, 1, "open"), CHANNEL_FINE);
    assert_int_equal(subscribe_well(f, 1), CHANNEL_FINE);
    assert_int_equal(subscribe(f, 1, "filtered"), CHANNEL_TOO_MANY);
    assert_int_equal(subscribe(f, 1, "open"), CHANNEL_FINE);
    assert_int_equal(subscribe(f, 1, "gated"), CHANNEL_UNAUTHORIZED);
    assert_int_equal(subscribe(f, 2, "filtered"), CHANNEL_FINE);
}

/* 6.4: the order of checks */
static void checks_come_in_their_order(void **state)
{
    struct fixture *f = *state;

    f->config.failures = 1;
    f->config.limits.channels_per_node = 1;
    restart(f);
    f->visible = f->capable = false;
    assert_int_equal(subscribe(f, 1, "nowhere"), CHANNEL_UNKNOWN);      /* before visibility */
    assert_int_equal(subscribe(f, 1, "nowhere"), CHANNEL_RATE_LIMITED); /* before all */
    f->visible = f->capable = true;
    assert_int_equal(subscribe(f, 2, "open"), CHANNEL_FINE);
    assert_int_equal(subscribe(f, 2, "nowhere"), CHANNEL_TOO_MANY); /* before the name */
}

/* 20.6 auth_failure_rate_limit_kicks_in; 6.4 */
static void after_some_refusals_a_node_is_silenced_for_a_while(void **state)
{
    struct fixture *f = *state;

    f->config.failures = 3;
    restart(f);
    for (int i = 0; i < 3; i++)
        assert_int_equal(subscribe(f, 1, "gated"), CHANNEL_UNAUTHORIZED);
    assert_int_equal(subscribe(f, 1, "gated"), CHANNEL_RATE_LIMITED);
    assert_int_equal(subscribe(f, 1, "open"), CHANNEL_RATE_LIMITED);
    assert_int_equal(subscribe(f, 2, "open"), CHANNEL_FINE);
    pass(f, 29);
    assert_int_equal(subscribe(f, 1, "open"), CHANNEL_RATE_LIMITED);
    pass(f, 1);
    assert_int_equal(subscribe(f, 1, "gated"), CHANNEL_UNAUTHORIZED); /* counted from one again */
    assert_int_equal(subscribe(f, 1, "open"), CHANNEL_FINE);
}

/* 20.6 successful_subscribe_clears_failure_counter */
static void a_success_clears_the_refusals(void **state)
{
    struct fixture *f = *state;

    f->config.failures = 3;
    restart(f);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(subscribe(f, 1, "gated"), CHANNEL_UNAUTHORIZED);
        assert_int_equal(subscribe(f, 1, "nowhere"), CHANNEL_UNKNOWN);
        assert_int_equal(subscribe(f, 1, "open"), CHANNEL_FINE);
    }
}

static void refusals_far_apart_do_not_add_up_and_counting_can_be_off(void **state)
{
    struct fixture *f = *state;

    f->config.failures = 2;
    restart(f);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(subscribe(f, 1, "gated"), CHANNEL_UNAUTHORIZED);
        pass(f, 60);
    }
    f->config.failures = UINT32_MAX;
    restart(f);
    for (int i = 0; i < 100; i++)
        assert_int_equal(subscribe(f, 1, "gated"), CHANNEL_UNAUTHORIZED);
}

/* 21, 24: a flood of nodes cannot grow the table of refusals for ever */
static void refusals_of_many_nodes_take_bounded_memory(void **state)
{
    struct fixture *f = *state;

    for (uint64_t node = 1; node <= 65536 + 10; node++) {
        f->now_ns++;
        subscribe(f, node, "nowhere");
    }
    /* the oldest was forgotten, the newest was not */
    for (int i = 0; i < 15; i++)
        assert_int_equal(subscribe(f, 65546, "nowhere"), CHANNEL_UNKNOWN);
    assert_int_equal(subscribe(f, 65546, "nowhere"), CHANNEL_RATE_LIMITED);
}

/* 20.4 unsubscribe_evicts_from_roster, _idempotent; 20.6 SDK test_unsubscribe_is_idempotent */
static void leaving_is_always_accepted(void **state)
{
    struct fixture *f = *state;

    subscribe(f, 1, "open");
    subscribe(f, 2, "open");
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            say(f, MESSAGE_CHANNEL_UNSUBSCRIBE, 1, &f->user, "open", slice_of(NULL, 0)),
            CHANNEL_FINE);
    assert_int_equal(say(f, MESSAGE_CHANNEL_UNSUBSCRIBE, 1, &f->user, "never", slice_of(NULL, 0)),
                     CHANNEL_FINE);
    assert_int_equal(recipients(f, "open"), 1);
}

/* 20.6 publish_skips_revoked_subscriber */
static void whose_leave_is_revoked_hears_no_more(void **state)
{
    struct fixture *f = *state;

    subscribe_well(f, 1);
    token_revocations_raise(f->revoked, f->owner.entity, 1, NULL);
    assert_int_equal(recipients(f, "gated"), 0);
    assert_int_equal(membership_deadline(f->m), 0); /* and is put out at once */
    expire(f);
    assert_int_equal(members(f), 0);
    assert_int_equal(f->ended, 1);
    assert_int_equal(f->last, CHANNEL_UNAUTHORIZED);
}

/* 20.6 publish_skips_expired_subscriber_when_sweep_is_disabled */
static void whose_leave_has_ended_hears_no_more_without_a_sweep(void **state)
{
    struct fixture *f = *state;

    f->config.sweep_ns = INT64_MAX;
    restart(f);
    subscribe_well(f, 1);
    pass(f, 3599);
    assert_int_equal(recipients(f, "gated"), 1);
    pass(f, 1);
    assert_int_equal(recipients(f, "gated"), 0);
}

/* 20.6 expired_token_evicts_subscriber_within_one_sweep; 21, 18: a timer, and 9: it is told */
static void leave_that_ends_is_taken_back_when_it_ends_and_told(void **state)
{
    struct fixture *f = *state;

    f->config.sweep_ns = INT64_MAX;
    restart(f);
    subscribe(f, 2, "open");
    subscribe_well(f, 1);
    assert_true(membership_deadline(f->m) == f->now_ns + 3600 * SECOND);
    pass(f, 3599);
    expire(f);
    assert_int_equal(members(f), 2);
    pass(f, 1);
    expire(f);
    assert_int_equal(members(f), 1);
    assert_int_equal(f->ended, 1);
    assert_int_equal(f->last_node, 1);
    assert_true(membership_deadline(f->m) == INT64_MAX);
}

static void the_skew_prolongs_leave(void **state)
{
    struct fixture *f = *state;

    f->config.skew_s = 60;
    restart(f);
    subscribe_well(f, 1);
    pass(f, 3659);
    expire(f);
    assert_int_equal(recipients(f, "gated"), 1);
    pass(f, 1);
    expire(f);
    assert_int_equal(members(f), 0);
}

/* 20.6 start_tolerates_zero_gc_and_sweep_intervals */
static void a_sweep_comes_once_a_second_at_most(void **state)
{
    struct fixture *f = *state;

    f->config.sweep_ns = 1;
    restart(f);
    assert_true(membership_deadline(f->m) == INT64_MAX);
    subscribe(f, 1, "open");
    assert_true(membership_deadline(f->m) == f->now_ns + SECOND);
    pass(f, 1);
    expire(f);
    assert_true(membership_deadline(f->m) == f->now_ns + SECOND);
}

static void rules_that_become_stricter_put_members_out(void **state)
{
    struct fixture *f = *state;
    channel_rule rule = {.name = slice_str("open"), .roots = f->owner.entity, .root_count = 1};

    subscribe(f, 1, "open");
    subscribe(f, 1, "filtered");
    channel_rules_put(f->rules, &rule, NULL, NULL);
    channel_rules_remove(f->rules, slice_str("filtered"), false);
    assert_int_equal(recipients(f, "open"), 0);
    membership_recheck(f->m);
    expire(f);
    assert_int_equal(members(f), 0);
    assert_int_equal(f->ended, 2);
}

static void rules_that_become_open_keep_whose_token_ends(void **state)
{
    struct fixture *f = *state;
    channel_rule rule = {.name = slice_str("gated")};

    subscribe_well(f, 1);
    channel_rules_put(f->rules, &rule, NULL, NULL);
    pass(f, 4000);
    expire(f);
    assert_int_equal(members(f), 1);
    assert_true(membership_deadline(f->m) > f->now_ns); /* no busy timer */
}

/* 11: a failed node leaves the roster; 20.4 test_channel_publisher_fanout… */
static void a_node_that_fails_is_forgotten_with_its_chains(void **state)
{
    struct fixture *f = *state;

    subscribe_well(f, 1);
    subscribe(f, 1, "open");
    subscribe(f, 2, "open");
    assert_int_equal(membership_node_gone(f->m, 1), 2);
    assert_int_equal(membership_node_gone(f->m, 1), 0);
    assert_int_equal(recipients(f, "open"), 1);
    assert_int_equal(recipients(f, "gated"), 0);
}

static void a_daemon_that_has_moved_away_leaves_the_others_of_its_node(void **state)
{
    struct fixture *f = *state;

    subscribe(f, 1, "open");
    subscribe(f, 1, "filtered");
    say(f, MESSAGE_CHANNEL_SUBSCRIBE, 1, &f->other, "open", slice_of(NULL, 0));
    assert_int_equal(membership_unhost(f->m, 1, f->user.entity), 2);
    assert_int_equal(recipients(f, "open"), 1);
    assert_memory_equal(f->picks.items[0]->subscriber, f->other.entity, 32);
}

/* 6.2: no answer to what does not decode */
static void what_is_malformed_is_counted_and_not_answered(void **state)
{
    struct fixture *f = *state;
    membership_counters c;
    uint8_t ack[] = {2, 5, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0};

    assert_int_equal(membership_receive(f->m, 1, slice_str("hello"), 0, 0, NULL),
                     BERTH_ERR_CORRUPT);
    assert_int_equal(membership_receive(f->m, 1, slice_of(ack, sizeof ack), 0, 0, NULL),
                     BERTH_ERR_CORRUPT);
    membership_get_counters(f->m, &c);
    assert_int_equal(c.malformed, 2);
    assert_int_equal(f->acks, 0);
}

/* 20.6 publish_denied_by_own_cap_filter; 20.8 delegated_publish_chain_authorizes_publish */
static bool no_match(void *ctx, const struct capability_filter *filter)
{
    (void)ctx, (void)filter;
    return false;
}

static void a_host_keeps_to_its_own_rules_when_it_publishes(void **state)
{
    struct fixture *f = *state;
    berth_token_grant grant = {.channel = channel_hash(slice_str("gated")),
                               .ttl_s = 60,
                               .depth = 1,
                               .scope = BERTH_SCOPE_PUBLISH | BERTH_SCOPE_DELEGATE};
    uint8_t bytes[BERTH_TOKEN_CHAIN_SIZE];
    berth_token_chain chain;
    berth_token token;
    berth_error error = {0};
    slice shown;

#define MAY(channel, chain)                                                                        \
    membership_may_publish(f->m, slice_str(channel), chain, false, f->user.entity, no_match, NULL, \
                           f->now_s, &error)
    assert_int_equal(MAY("open", slice_of(NULL, 0)), BERTH_OK);
    assert_int_equal(MAY("nobody/restricts/this", slice_of(NULL, 0)), BERTH_OK);
    assert_int_equal(MAY("filtered", slice_of(NULL, 0)), BERTH_ERR_REFUSED);
    assert_int_equal(MAY("gated", slice_of(NULL, 0)), BERTH_ERR_REFUSED);
    assert_non_null(strstr(error.text, "channel 'gated'"));
    memcpy(grant.subject, f->other.entity, 32);
    berth_token_issue(&token, &f->owner, &grant, f->now_s, NULL, NULL);
    berth_token_chain_of(&chain, &token);
    memcpy(grant.subject, f->user.entity, 32);
    grant.scope = BERTH_SCOPE_PUBLISH;
    assert_int_equal(berth_token_delegate(&token, &token, &f->other, &grant, f->now_s, NULL, NULL),
                     BERTH_OK);
    berth_token_chain_add(&chain, &token, NULL);
    shown = slice_of(bytes, berth_token_chain_encode(bytes, &chain));
    assert_int_equal(MAY("gated", shown), BERTH_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_open_channel_accepts_everyone),
        TEST(an_unknown_channel_is_refused_unless_there_are_no_rules),
        TEST(capabilities_that_do_not_match_are_refused),
        TEST(without_a_token_a_gated_channel_is_refused),
        TEST(with_a_token_it_is_accepted),
        TEST(tokens_that_do_not_hold_are_refused),
        TEST(a_refusal_leaves_nothing_behind),
        TEST(each_subscription_shows_its_token_again),
        TEST(a_daemon_of_the_publishers_own_host_is_a_member_with_leave),
        TEST(a_node_that_has_not_proven_to_run_the_subscriber_is_refused),
        TEST(what_a_node_may_not_see_it_may_not_hear),
        TEST(at_the_limit_one_may_subscribe_again_and_is_judged_again),
        TEST(checks_come_in_their_order),
        TEST(after_some_refusals_a_node_is_silenced_for_a_while),
        TEST(a_success_clears_the_refusals),
        TEST(refusals_far_apart_do_not_add_up_and_counting_can_be_off),
        TEST(refusals_of_many_nodes_take_bounded_memory),
        TEST(leaving_is_always_accepted),
        TEST(whose_leave_is_revoked_hears_no_more),
        TEST(whose_leave_has_ended_hears_no_more_without_a_sweep),
        TEST(leave_that_ends_is_taken_back_when_it_ends_and_told),
        TEST(the_skew_prolongs_leave),
        TEST(a_sweep_comes_once_a_second_at_most),
        TEST(rules_that_become_stricter_put_members_out),
        TEST(rules_that_become_open_keep_whose_token_ends),
        TEST(a_node_that_fails_is_forgotten_with_its_chains),
        TEST(a_daemon_that_has_moved_away_leaves_the_others_of_its_node),
        TEST(what_is_malformed_is_counted_and_not_answered),
        TEST(a_host_keeps_to_its_own_rules_when_it_publishes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
