/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "identity/token.h"
#include "vectors/vectors.h"

#include <stdlib.h>
#include <string.h>

#define NOW     1700000000
#define CHANNEL 0x326fbe3fbf21ef2c

/* keys[0] is the root, keys[i + 1] the subject of link i. */
struct fixture {
    berth_keypair keys[BERTH_TOKEN_LINKS + 2];
    berth_token_chain chain;
    berth_token_policy policy;
    size_t revoked; /* the link that is revoked, or more than there are */
};

static bool is_revoked(void *ctx, const berth_token *token)
{
    struct fixture *f = ctx;

    return f->revoked < f->chain.count && token == &f->chain.links[f->revoked];
}

/* Sign a link again after a change: what a dishonest holder of that key can do. */
static void sign_again(struct fixture *f, size_t at)
{
    uint8_t wire[BERTH_TOKEN_SIZE];

    berth_token_encode(wire, &f->chain.links[at]);
    for (size_t i = 0; i < sizeof f->keys / sizeof *f->keys; i++)
        if (memcmp(f->keys[i].entity, f->chain.links[at].issuer, 32) == 0)
            berth_sign_must(&f->keys[i], wire, TOKEN_SIGNED_SIZE, f->chain.links[at].signature);
}

static void make_chain(struct fixture *f, size_t count)
{
    berth_token_grant grant = {.channel = CHANNEL,
                               .ttl_s = 3600,
                               .scope = BERTH_SCOPE_SUBSCRIBE | BERTH_SCOPE_DELEGATE,
                               .depth = BERTH_TOKEN_LINKS};
    berth_token token;

    memcpy(grant.subject, f->keys[1].entity, 32);
    assert_int_equal(berth_token_issue(&token, &f->keys[0], &grant, NOW, NULL, NULL), BERTH_OK);
    berth_token_chain_of(&f->chain, &token);
    for (size_t i = 1; i < count; i++) {
        memcpy(grant.subject, f->keys[i + 1].entity, 32);
        assert_int_equal(berth_token_delegate(&token, &token, &f->keys[i], &grant, NOW, NULL, NULL),
                         0);
        assert_int_equal(berth_token_chain_add(&f->chain, &token, NULL), BERTH_OK);
    }
    f->policy = (berth_token_policy){.size = sizeof f->policy,
                                     .action = BERTH_SCOPE_SUBSCRIBE,
                                     .channel = CHANNEL,
                                     .roots = f->keys[0].entity,
                                     .root_count = 1,
                                     .presenter = f->keys[count].entity,
                                     .now_s = NOW,
                                     .revoked = is_revoked,
                                     .revoked_ctx = f};
    f->revoked = SIZE_MAX;
}

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    for (size_t i = 0; i < sizeof f->keys / sizeof *f->keys; i++)
        berth_keypair_generate(&f->keys[i]);
    make_chain(f, 3);
    *state = f;
    return 0;
}

static int end(void **state)
{
    free(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static void verdict(const struct fixture *f, berth_token_fault fault)
{
    berth_token_fault got = BERTH_TOKEN_FINE;
    berth_error error = {0};

    assert_int_equal(berth_token_chain_verify(&f->chain, &f->policy, &got, &error),
                     token_fault_status(fault));
    assert_int_equal(got, fault);
    if (fault)
        assert_non_null(strstr(error.text, "permission token: "));
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

/* 20.5 token_chain_roundtrips_single_and_multi */
static void chains_of_every_length_survive_their_bytes(void **state)
{
    struct fixture *f = *state;
    uint8_t wire[BERTH_TOKEN_CHAIN_SIZE];
    berth_token_chain back;

    for (size_t count = 1; count <= BERTH_TOKEN_LINKS; count++) {
        size_t len;

        make_chain(f, count);
        len = berth_token_chain_encode(wire, &f->chain);
        assert_int_equal(len, 1 + count * BERTH_TOKEN_SIZE);
        assert_int_equal(wire[0], count);
        assert_int_equal(berth_token_chain_decode(&back, wire, len, NULL, NULL), BERTH_OK);
        assert_memory_equal(&back, &f->chain, sizeof back);
        verdict(f, BERTH_TOKEN_FINE);
    }
    assert_int_equal(BERTH_TOKEN_CHAIN_SIZE, 1353);
}

static void no_chain(const uint8_t *bytes, size_t len)
{
    berth_token_fault fault = BERTH_TOKEN_FINE;
    berth_token_chain out;
    berth_error error = {0};

    assert_int_equal(berth_token_chain_decode(&out, bytes, len, &fault, &error), BERTH_ERR_CORRUPT);
    assert_int_equal(fault, BERTH_TOKEN_FORMAT);
    assert_int_equal(out.count, 0);
    assert_memory_equal(error.text, "permission token: ", 18);
}

/* 20.5 token_chain_from_bytes_rejects_malformed: count 0 */
static void a_chain_of_no_tokens_is_refused(void **state)
{
    uint8_t wire[1 + BERTH_TOKEN_SIZE] = {0};

    (void)state;
    no_chain(NULL, 0);
    no_chain(wire, 1);
    no_chain(wire, sizeof wire);
}

/* 20.5 token_chain_from_bytes_rejects_malformed: count over 8 */
static void a_chain_of_nine_is_refused(void **state)
{
    static uint8_t wire[1 + 255 * BERTH_TOKEN_SIZE];

    (void)state;
    for (unsigned count = 9; count <= 255; count++) {
        wire[0] = (uint8_t)count;
        no_chain(wire, 1 + count * BERTH_TOKEN_SIZE);
    }
}

/* 20.5 token_chain_from_bytes_rejects_malformed: wrong length */
static void a_chain_of_another_length_than_its_count_is_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t wire[BERTH_TOKEN_CHAIN_SIZE] = {0};
    size_t right = berth_token_chain_encode(wire, &f->chain);

    for (size_t len = 1; len <= sizeof wire; len++)
        if (len != right)
            no_chain(wire, len);
}

static void a_full_chain_takes_no_more(void **state)
{
    struct fixture *f = *state;

    make_chain(f, BERTH_TOKEN_LINKS);
    assert_int_equal(berth_token_chain_add(&f->chain, &f->chain.links[0], NULL), BERTH_ERR_LIMIT);
    assert_int_equal(f->chain.count, BERTH_TOKEN_LINKS);
}

static void a_chain_ends_with_the_first_of_its_tokens(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(berth_token_chain_end(&f->chain), NOW + 3600);
    f->chain.links[1].not_after_s = NOW + 5;
    assert_int_equal(berth_token_chain_end(&f->chain), NOW + 5);
    f->chain.count = 0;
    assert_int_equal(berth_token_chain_end(&f->chain), 0);
}

/* ---- 12.4, in its order ---------------------------------------------------------------------- */

/* 20.2 token_channel_rejects_self_issued_accepts_owner_issued */
static void a_token_that_one_issues_to_oneself_is_worthless(void **state)
{
    struct fixture *f = *state;

    f->policy.roots = f->keys[5].entity;
    verdict(f, BERTH_TOKEN_ROOT);
}

/* 20.2 require_token_with_no_roots_fails_closed */
static void without_roots_nobody_has_leave(void **state)
{
    struct fixture *f = *state;

    f->policy.roots = NULL;
    f->policy.root_count = 0;
    verdict(f, BERTH_TOKEN_ROOT);
}

static void any_of_the_roots_will_do(void **state)
{
    struct fixture *f = *state;
    uint8_t roots[3][32];

    for (size_t at = 0; at < 3; at++) {
        for (size_t i = 0; i < 3; i++)
            memcpy(roots[i], f->keys[i == at ? 0 : 5].entity, 32);
        f->policy.roots = roots[0];
        f->policy.root_count = 3;
        verdict(f, BERTH_TOKEN_FINE);
    }
}

/* 20.2 leaf_subject_must_match_presenter */
static void a_stolen_chain_is_useless(void **state)
{
    struct fixture *f = *state;

    f->policy.presenter = f->keys[2].entity; /* not even to one in the middle of it */
    verdict(f, BERTH_TOKEN_PRESENTER);
}

/* 12.4, 3: signature */
static void each_link_is_verified(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < 3; i++) {
        f->chain.links[i].signature[9] ^= 1;
        verdict(f, BERTH_TOKEN_SIGNATURE);
        f->chain.links[i].signature[9] ^= 1;
    }
}

/* 12.4, 3: time */
static void each_link_is_held_against_the_clock(void **state)
{
    struct fixture *f = *state;

    f->policy.now_s = NOW - 1;
    verdict(f, BERTH_TOKEN_EARLY);
    f->policy.skew_s = 1;
    verdict(f, BERTH_TOKEN_FINE);
    f->policy.skew_s = 0;
    f->policy.now_s = NOW + 3600;
    verdict(f, BERTH_TOKEN_EXPIRED);
    f->policy.now_s = NOW + 10;
    for (size_t i = 0; i < 3; i++) {
        f->chain.links[i].not_after_s = NOW + 10;
        sign_again(f, i);
        verdict(f, BERTH_TOKEN_EXPIRED);
        f->chain.links[i].not_after_s = NOW + 3600;
        sign_again(f, i);
    }
}

/* 20.2 root_revocation_kills_delegated_chain */
static void revoking_any_link_kills_the_chain(void **state)
{
    struct fixture *f = *state;

    for (f->revoked = 0; f->revoked < 3; f->revoked++)
        verdict(f, BERTH_TOKEN_REVOKED);
}

/* 20.2 cannot_broaden_scope */
static void every_link_has_to_allow_the_action(void **state)
{
    struct fixture *f = *state;

    f->policy.action = BERTH_SCOPE_PUBLISH;
    verdict(f, BERTH_TOKEN_ACTION);
    for (size_t i = 1; i < 3; i++) {
        f->chain.links[i].scope |= BERTH_SCOPE_PUBLISH;
        sign_again(f, i);
    }
    verdict(f, BERTH_TOKEN_ACTION); /* the first still does not */
    f->chain.links[0].scope |= BERTH_SCOPE_PUBLISH;
    sign_again(f, 0);
    verdict(f, BERTH_TOKEN_FINE);
}

/* 12.4, 3: authorizes the channel */
static void every_link_has_to_allow_the_channel(void **state)
{
    struct fixture *f = *state;

    f->policy.channel = CHANNEL ^ (1ULL << 63);
    verdict(f, BERTH_TOKEN_CHANNEL);
    for (size_t i = 1; i < 3; i++) {
        f->chain.links[i].scope |= BERTH_SCOPE_WILDCARD;
        sign_again(f, i);
    }
    verdict(f, BERTH_TOKEN_CHANNEL);
    f->policy.channel = CHANNEL;
    verdict(f, BERTH_TOKEN_FINE);
}

/* 20.2 broken_continuity_rejected */
static void a_link_is_issued_by_the_subject_before_it(void **state)
{
    struct fixture *f = *state;

    memcpy(f->chain.links[1].issuer, f->keys[7].entity, 32);
    sign_again(f, 1);
    verdict(f, BERTH_TOKEN_BROKEN);
}

/* 12.4, 4: parent has DELEGATE */
static void a_link_may_not_be_passed_on_without_the_right_to(void **state)
{
    struct fixture *f = *state;

    f->chain.links[1].scope = BERTH_SCOPE_SUBSCRIBE;
    sign_again(f, 1);
    verdict(f, BERTH_TOKEN_NOT_DELEGABLE);
}

/* 12.4, 4: child.depth < parent.depth */
static void the_depth_falls_along_the_chain(void **state)
{
    struct fixture *f = *state;

    f->chain.links[2].depth = f->chain.links[1].depth;
    sign_again(f, 2);
    verdict(f, BERTH_TOKEN_DEPTH);
    f->chain.links[2].depth = 255;
    sign_again(f, 2);
    verdict(f, BERTH_TOKEN_DEPTH);
}

/* 12.4, 4: child.not_before ≥ parent.not_before and child.not_after ≤ parent.not_after */
static void a_link_is_valid_only_while_the_one_before_is(void **state)
{
    struct fixture *f = *state;

    f->chain.links[1].not_after_s = NOW + 3601;
    sign_again(f, 1);
    verdict(f, BERTH_TOKEN_WINDOW);
    f->chain.links[1].not_after_s = NOW + 3600;
    f->chain.links[1].not_before_s = NOW - 1;
    sign_again(f, 1);
    verdict(f, BERTH_TOKEN_WINDOW);
}

/* What is wrong in several ways is refused for the first of them: put them right one by one. */
static void faults_are_found_in_the_order_of_the_specification(void **state)
{
    struct fixture *f = *state;
    berth_token good = f->chain.links[1];

    f->policy.root_count = 0;
    f->policy.presenter = f->keys[9].entity;
    f->chain.links[1].depth = 99;
    f->chain.links[1].not_after_s = NOW + 1;
    f->chain.links[1].not_before_s = NOW - 5;
    f->chain.links[1].scope = BERTH_SCOPE_PUBLISH;
    memcpy(f->chain.links[1].issuer, f->keys[7].entity, 32);
    sign_again(f, 1);
    f->chain.links[1].signature[0] ^= 1;
    f->policy.now_s = NOW + 1;
    f->revoked = 1;
    verdict(f, BERTH_TOKEN_ROOT);
    f->policy.root_count = 1;
    verdict(f, BERTH_TOKEN_PRESENTER);
    f->policy.presenter = f->keys[3].entity;
    verdict(f, BERTH_TOKEN_SIGNATURE);
    sign_again(f, 1);
    verdict(f, BERTH_TOKEN_EXPIRED);
    f->policy.now_s = NOW;
    verdict(f, BERTH_TOKEN_REVOKED);
    f->revoked = SIZE_MAX;
    verdict(f, BERTH_TOKEN_ACTION);
    f->chain.links[1].scope = BERTH_SCOPE_SUBSCRIBE;
    f->chain.links[1].channel = 1;
    sign_again(f, 1);
    verdict(f, BERTH_TOKEN_CHANNEL);
    f->chain.links[1].channel = CHANNEL;
    f->chain.links[0].scope = BERTH_SCOPE_SUBSCRIBE;
    sign_again(f, 0);
    sign_again(f, 1);
    verdict(f, BERTH_TOKEN_BROKEN);
    memcpy(f->chain.links[1].issuer, good.issuer, 32);
    sign_again(f, 1);
    verdict(f, BERTH_TOKEN_NOT_DELEGABLE);
    f->chain.links[0].scope |= BERTH_SCOPE_DELEGATE;
    sign_again(f, 0);
    verdict(f, BERTH_TOKEN_DEPTH);
    f->chain.links[1].depth = good.depth;
    sign_again(f, 1);
    verdict(f, BERTH_TOKEN_WINDOW);
    f->chain.links[1] = good;
    verdict(f, BERTH_TOKEN_FINE);
}

/* 20.5 presigned_verify_still_enforces_policy */
static void what_was_verified_before_is_still_held_against_the_policy(void **state)
{
    struct fixture *f = *state;

    f->policy.presigned = 1;
    f->chain.links[1].signature[0] ^= 1;
    verdict(f, BERTH_TOKEN_FINE);
    f->revoked = 0;
    verdict(f, BERTH_TOKEN_REVOKED);
    f->revoked = SIZE_MAX;
    f->policy.now_s = NOW + 3600;
    verdict(f, BERTH_TOKEN_EXPIRED);
    f->policy.now_s = NOW;
    f->policy.channel = 1;
    verdict(f, BERTH_TOKEN_CHANNEL);
    f->policy.channel = CHANNEL;
    f->policy.action = BERTH_SCOPE_ADMIN;
    verdict(f, BERTH_TOKEN_ACTION);
    f->policy.action = BERTH_SCOPE_SUBSCRIBE;
    f->policy.presenter = f->keys[1].entity;
    verdict(f, BERTH_TOKEN_PRESENTER);
    f->policy.presenter = f->keys[3].entity;
    f->chain.links[2].depth = 200;
    verdict(f, BERTH_TOKEN_DEPTH);
}

static void a_policy_without_sense_is_an_error_and_no_verdict(void **state)
{
    struct fixture *f = *state;
    berth_token_fault fault = BERTH_TOKEN_FINE;
    berth_token_policy good = f->policy;

    f->policy.size = 0;
    assert_int_equal(berth_token_chain_verify(&f->chain, &f->policy, &fault, NULL),
                     BERTH_ERR_INVALID);
    f->policy = good;
    f->policy.action = 0;
    assert_int_equal(berth_token_chain_verify(&f->chain, &f->policy, &fault, NULL),
                     BERTH_ERR_INVALID);
    f->policy = good;
    f->policy.presenter = NULL;
    assert_int_equal(berth_token_chain_verify(&f->chain, &f->policy, &fault, NULL),
                     BERTH_ERR_INVALID);
    assert_int_equal(fault, BERTH_TOKEN_FINE);
    f->policy = good;
    f->chain.count = 0;
    verdict(f, BERTH_TOKEN_FORMAT);
    f->chain.count = 9;
    verdict(f, BERTH_TOKEN_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(chains_of_every_length_survive_their_bytes),
        TEST(a_chain_of_no_tokens_is_refused),
        TEST(a_chain_of_nine_is_refused),
        TEST(a_chain_of_another_length_than_its_count_is_refused),
        TEST(a_full_chain_takes_no_more),
        TEST(a_chain_ends_with_the_first_of_its_tokens),
        TEST(a_token_that_one_issues_to_oneself_is_worthless),
        TEST(without_roots_nobody_has_leave),
        TEST(any_of_the_roots_will_do),
        TEST(a_stolen_chain_is_useless),
        TEST(each_link_is_verified),
        TEST(each_link_is_held_against_the_clock),
        TEST(revoking_any_link_kills_the_chain),
        TEST(every_link_has_to_allow_the_action),
        TEST(every_link_has_to_allow_the_channel),
        TEST(a_link_is_issued_by_the_subject_before_it),
        TEST(a_link_may_not_be_passed_on_without_the_right_to),
        TEST(the_depth_falls_along_the_chain),
        TEST(a_link_is_valid_only_while_the_one_before_is),
        TEST(faults_are_found_in_the_order_of_the_specification),
        TEST(what_was_verified_before_is_still_held_against_the_policy),
        TEST(a_policy_without_sense_is_an_error_and_no_verdict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
