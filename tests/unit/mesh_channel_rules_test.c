/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chain/channel.h"
#include "mesh/channel_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static channel_rules *r;

static int begin(void **state)
{
    (void)state;
    r = channel_rules_new();
    return r ? 0 : 1;
}

static int end(void **state)
{
    (void)state;
    channel_rules_free(r);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static void put(const char *name, bool prefix)
{
    channel_rule rule = {.name = slice_str(name), .prefix = prefix};

    assert_int_equal(channel_rules_put(r, &rule, NULL, NULL), BERTH_OK);
}

static void finds(const char *name, const char *rule)
{
    const channel_rule *found = channel_rules_find(r, slice_str(name));

    if (!rule)
        assert_null(found);
    else
        assert_true(found && slice_eq(found->name, slice_str(rule)));
}

/* 20.2 test_config_registry */
static void rules_come_and_go(void **state)
{
    (void)state;
    finds("a", NULL);
    put("a", false);
    finds("a", "a");
    assert_true(channel_rules_remove(r, slice_str("a"), false));
    assert_false(channel_rules_remove(r, slice_str("a"), false));
    finds("a", NULL);
}

/* 20.2 prefix_resolution_picks_longest_match_deterministically */
static void the_longest_prefix_wins_whatever_the_order(void **state)
{
    static const char *const prefixes[] = {"echo.", "echo.replies.", "e", "echo.replies.x"};

    (void)state;
    for (unsigned first = 0; first < 4; first++) {
        for (unsigned i = 0; i < 4; i++)
            put(prefixes[(first + i) % 4], true);
        finds("echo.replies.0", "echo.replies.");
        finds("echo.replies.x1", "echo.replies.x");
        finds("echo.requests", "echo.");
        finds("each", "e");
        finds("b", NULL);
        for (unsigned i = 0; i < 4; i++)
            assert_true(channel_rules_remove(r, slice_str(prefixes[i]), true));
    }
    put("echo.", true);
    put("echo.requests", false);
    finds("echo.requests", "echo.requests");
    put("", true);
    finds("anything", "");
}

/* 20.2 snapshot_returns_sorted_exact_matches_excludes_prefixes */
static void the_list_has_the_names_in_order(void **state)
{
    size_t count;
    slice *names;

    (void)state;
    put("b", false);
    put("a/b", false);
    put("a", false);
    put("c.", true);
    names = channel_rules_names(r, &count);
    assert_int_equal(count, 3);
    assert_true(slice_eq(names[0], slice_str("a")) && slice_eq(names[1], slice_str("a/b")) &&
                slice_eq(names[2], slice_str("b")));
    free(names);
}

/* 20.2 test_remove_by_hash_works_when_unique; 21, 17: a name that is put again does not break it */
static void a_hash_finds_its_only_rule(void **state)
{
    (void)state;
    put("a", false);
    put("a", false);
    assert_non_null(channel_rules_find_hash(r, channel_hash(slice_str("a"))));
    assert_null(channel_rules_find_hash(r, channel_hash(slice_str("b"))));
    assert_int_equal(channel_rules_count(r), 1);
    channel_rules_remove(r, slice_str("a"), false);
    assert_null(channel_rules_find_hash(r, channel_hash(slice_str("a"))));
}

static void rules_are_bounded_and_their_names_checked(void **state)
{
    channel_rule rule = {.name = slice_str("A")};
    char name[16];

    (void)state;
    assert_int_equal(channel_rules_put(r, &rule, NULL, NULL), BERTH_ERR_INVALID);
    rule.name = slice_str("a");
    rule.root_count = 1;
    assert_int_equal(channel_rules_put(r, &rule, NULL, NULL), BERTH_ERR_INVALID);
    for (unsigned i = 0; i < CHANNEL_RULES_MAX; i++) {
        snprintf(name, sizeof name, "c%u", i);
        put(name, false);
    }
    rule.root_count = 0;
    assert_int_equal(channel_rules_put(r, &rule, NULL, NULL), BERTH_ERR_LIMIT);
}

/* ---- Gates ----------------------------------------------------------------------------------- */

struct fixture {
    berth_keypair owner, user, other;
    channel_rule rule;
    channel_claim claim;
    uint8_t chain[BERTH_TOKEN_CHAIN_SIZE];
};

static int begin_gate(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    berth_keypair_generate(&f->owner);
    berth_keypair_generate(&f->user);
    berth_keypair_generate(&f->other);
    f->rule = (channel_rule){
        .name = slice_str("a"), .require_token = true, .roots = f->owner.entity, .root_count = 1};
    f->claim = (channel_claim){.action = BERTH_SCOPE_SUBSCRIBE,
                               .channel = slice_str("a"),
                               .presenter = f->user.entity,
                               .now_s = 1000};
    *state = f;
    return 0;
}

static int end_gate(void **state)
{
    free(*state);
    return 0;
}

#define GATE(name) cmocka_unit_test_setup_teardown(name, begin_gate, end_gate)

static void show(struct fixture *f, const berth_keypair *issuer, uint64_t ttl_s)
{
    berth_token_grant grant = {
        .channel = channel_hash(slice_str("a")), .ttl_s = ttl_s, .scope = BERTH_SCOPE_SUBSCRIBE};
    berth_token_chain chain;
    berth_token token;

    memcpy(grant.subject, f->user.entity, 32);
    assert_int_equal(berth_token_issue(&token, issuer, &grant, 1000, NULL, NULL), BERTH_OK);
    berth_token_chain_of(&chain, &token);
    f->claim.chain = slice_of(f->chain, berth_token_chain_encode(f->chain, &chain));
}

static void gate(const struct fixture *f, berth_token_fault fault)
{
    berth_token_fault got = BERTH_TOKEN_FINE;
    uint64_t until_s = 0;

    assert_int_equal(channel_rule_gate(&f->rule, &f->claim, &until_s, &got, NULL),
                     token_fault_status(fault));
    assert_int_equal(got, fault);
    if (!fault && channel_rule_wants_token(&f->rule))
        assert_int_equal(until_s, 1060);
}

/* 20.2 test_open_channel */
static void an_open_channel_asks_for_nothing(void **state)
{
    struct fixture *f = *state;

    f->rule.require_token = false;
    f->rule.root_count = 0;
    f->claim.presenter = NULL;
    gate(f, BERTH_TOKEN_FINE);
}

/* 20.2 token_channel_rejects_self_issued_accepts_owner_issued, leaf_subject_must_match_presenter */
static void only_who_was_given_leave_by_a_root_gets_through(void **state)
{
    struct fixture *f = *state;

    gate(f, BERTH_TOKEN_FORMAT); /* no chain */
    show(f, &f->user, 60);
    gate(f, BERTH_TOKEN_ROOT);
    show(f, &f->owner, 60);
    gate(f, BERTH_TOKEN_FINE);
    f->claim.presenter = f->other.entity;
    gate(f, BERTH_TOKEN_PRESENTER);
}

/* 20.2 require_token_with_no_roots_fails_closed */
static void without_roots_nobody_gets_through(void **state)
{
    struct fixture *f = *state;
    channel_rules *rules = channel_rules_new();
    bool closed = false;

    f->rule.root_count = 0;
    gate(f, BERTH_TOKEN_ROOT); /* whether there is a chain or not */
    show(f, &f->owner, 60);
    gate(f, BERTH_TOKEN_ROOT);
    assert_int_equal(channel_rules_put(rules, &f->rule, &closed, NULL), BERTH_OK);
    assert_true(closed);
    channel_rules_free(rules);
}

/* 20.2 roots_without_require_token_flag_still_enforces */
static void roots_alone_are_a_gate(void **state)
{
    struct fixture *f = *state;

    f->rule.require_token = false;
    gate(f, BERTH_TOKEN_FORMAT);
    show(f, &f->owner, 60);
    gate(f, BERTH_TOKEN_FINE);
}

/* The rule is for a prefix, the token for one name under it. */
static void under_a_prefix_the_name_itself_counts(void **state)
{
    struct fixture *f = *state;

    f->rule.name = slice_str("");
    f->rule.prefix = true;
    show(f, &f->owner, 60);
    gate(f, BERTH_TOKEN_FINE);
    f->claim.channel = slice_str("b");
    gate(f, BERTH_TOKEN_CHANNEL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rules_come_and_go),
        TEST(the_longest_prefix_wins_whatever_the_order),
        TEST(the_list_has_the_names_in_order),
        TEST(a_hash_finds_its_only_rule),
        TEST(rules_are_bounded_and_their_names_checked),
        GATE(an_open_channel_asks_for_nothing),
        GATE(only_who_was_given_leave_by_a_root_gets_through),
        GATE(without_roots_nobody_gets_through),
        GATE(roots_alone_are_a_gate),
        GATE(under_a_prefix_the_name_itself_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
