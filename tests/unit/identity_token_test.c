/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "identity/token.h"
#include "vectors/vectors.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define NOW     1700000000
#define CHANNEL 0x9e966e6550443f32

struct fixture {
    berth_keypair issuer, subject, other;
    berth_token_grant grant;
    berth_token token;
};

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    berth_keypair_generate(&f->issuer);
    berth_keypair_generate(&f->subject);
    berth_keypair_generate(&f->other);
    memcpy(f->grant.subject, f->subject.entity, 32);
    f->grant.channel = CHANNEL;
    f->grant.ttl_s = 3600;
    f->grant.scope = BERTH_SCOPE_SUBSCRIBE | BERTH_SCOPE_DELEGATE;
    f->grant.depth = 2;
    *state = f;
    return (int)berth_token_issue(&f->token, &f->issuer, &f->grant, NOW, NULL, NULL);
}

static int end(void **state)
{
    free(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

/* The verdict on a token at a time: that fault, its status, and a line that names the thing. */
static void verdict(const berth_token *token, uint64_t now, uint32_t skew, berth_token_fault fault)
{
    berth_token_fault got = BERTH_TOKEN_FINE;
    berth_error error = {0};

    assert_int_equal(berth_token_verify(token, now, skew, &got, &error), token_fault_status(fault));
    assert_int_equal(got, fault);
    if (fault)
        assert_memory_equal(error.text, "permission token: ", 18);
}

static void not_issued(const struct fixture *f, const berth_keypair *key, berth_token_fault fault)
{
    berth_token_fault got = BERTH_TOKEN_FINE;
    berth_token out, untouched;
    berth_error error = {0};

    memset(&out, 0xAA, sizeof out);
    untouched = out;
    assert_int_equal(berth_token_issue(&out, key, &f->grant, NOW, &got, &error),
                     token_fault_status(fault));
    assert_int_equal(got, fault);
    assert_non_null(strstr(error.text, berth_token_fault_text(fault)));
    assert_memory_equal(&out, &untouched, sizeof out);
}

static void not_delegated(const struct fixture *f, const berth_token *parent,
                          const berth_keypair *signer, uint64_t now, berth_token_fault fault)
{
    berth_token_fault got = BERTH_TOKEN_FINE;
    berth_token out;
    berth_error error = {0};

    assert_int_equal(berth_token_delegate(&out, parent, signer, &f->grant, now, &got, &error),
                     token_fault_status(fault));
    assert_int_equal(got, fault);
}

/* channels-tokens-capabilities 22 */
static void a_token_has_the_bytes_of_the_vectors(void **state)
{
    struct json_object *all = vectors_load(), *v = vector_at(all, "permission_token");
    uint8_t seed[32], signature[64], digest[32], got[32], wire[BERTH_TOKEN_SIZE];
    berth_token_grant grant = {.scope = BERTH_SCOPE_SUBSCRIBE, .ttl_s = 3600};
    berth_keypair a, b;
    berth_token token, back;

    (void)state;
    vector_fixed(v, "issuer_seed", seed, 32);
    berth_keypair_from_seed(&a, seed);
    vector_fixed(v, "subject_seed", seed, 32);
    berth_keypair_from_seed(&b, seed);
    memcpy(grant.subject, b.entity, 32);
    grant.channel = vector_id(v, "channel");
    assert_int_equal(token_issue_with(&token, &a, &grant, NOW, vector_id(v, "nonce"), NULL, NULL),
                     BERTH_OK);
    vector_fixed(v, "signature", signature, 64);
    assert_memory_equal(token.signature, signature, 64);
    berth_token_encode(wire, &token);
    vector_fixed(v, "sha256", digest, 32);
    crypto_hash_sha256(got, wire, sizeof wire);
    assert_memory_equal(got, digest, 32);
    assert_int_equal(berth_token_decode(&back, wire, sizeof wire, NULL, NULL), BERTH_OK);
    assert_memory_equal(&back, &token, sizeof back);
    json_object_put(all);
}

/* 20.5 test_issue_and_verify, test_serialization_roundtrip */
static void what_was_issued_survives_its_bytes_and_verifies(void **state)
{
    struct fixture *f = *state;
    uint8_t wire[BERTH_TOKEN_SIZE];
    berth_token back;

    berth_token_encode(wire, &f->token);
    assert_int_equal(berth_token_decode(&back, wire, sizeof wire, NULL, NULL), BERTH_OK);
    assert_memory_equal(&back, &f->token, sizeof back);
    assert_memory_equal(back.issuer, f->issuer.entity, 32);
    assert_memory_equal(back.subject, f->subject.entity, 32);
    assert_int_equal(back.not_after_s, NOW + 3600);
    verdict(&back, NOW, 0, BERTH_TOKEN_FINE);
}

/* 20.5 from_bytes_rejects_trailing_garbage; rule: exactly 169 bytes */
static void only_169_bytes_are_a_token(void **state)
{
    struct fixture *f = *state;
    uint8_t wire[BERTH_TOKEN_SIZE + 1] = {0};
    static const berth_token nothing;

    berth_token_encode(wire, &f->token);
    for (size_t len = 0; len <= BERTH_TOKEN_SIZE + 1; len++) {
        berth_token_fault fault = BERTH_TOKEN_FINE;
        berth_token out;

        if (len == BERTH_TOKEN_SIZE)
            continue;
        assert_int_equal(berth_token_decode(&out, wire, len, &fault, NULL), BERTH_ERR_CORRUPT);
        assert_int_equal(fault, BERTH_TOKEN_FORMAT);
        assert_memory_equal(&out, &nothing, sizeof out);
    }
}

/* 12.1: unknown bits survive parsing */
static void unknown_bits_of_a_scope_are_kept_and_give_nothing(void **state)
{
    struct fixture *f = *state;
    uint8_t wire[BERTH_TOKEN_SIZE];
    char text[TOKEN_SCOPE_TEXT];
    berth_token back;

    f->grant.scope = 0xFFFFFFE2;
    assert_int_equal(berth_token_issue(&f->token, &f->issuer, &f->grant, NOW, NULL, NULL), 0);
    berth_token_encode(wire, &f->token);
    assert_int_equal(berth_token_decode(&back, wire, sizeof wire, NULL, NULL), BERTH_OK);
    assert_int_equal(back.scope, 0xFFFFFFE2);
    verdict(&back, NOW, 0, BERTH_TOKEN_FINE);
    assert_false(berth_token_allows(&back, BERTH_SCOPE_PUBLISH, CHANNEL));
    assert_string_equal(token_scope_text(text, back.scope), "subscribe, 0xffffffe0");
    assert_string_equal(token_scope_text(text, UINT32_MAX),
                        "publish, subscribe, admin, delegate, wildcard, 0xffffffe0");
    assert_string_equal(token_scope_text(text, 0), "nothing");
}

/* 20.5 test_tampered_token */
static void any_flipped_bit_breaks_the_signature(void **state)
{
    struct fixture *f = *state;
    uint8_t wire[BERTH_TOKEN_SIZE];
    berth_token out;

    for (size_t bit = 0; bit < 8 * sizeof wire; bit++) {
        berth_token_encode(wire, &f->token);
        wire[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(berth_token_decode(&out, wire, sizeof wire, NULL, NULL), BERTH_OK);
        verdict(&out, NOW, 0, BERTH_TOKEN_SIGNATURE);
    }
}

/* 12.3: the signature is judged first */
static void a_forged_token_is_forged_also_when_it_has_expired(void **state)
{
    struct fixture *f = *state;

    f->token.signature[0] ^= 1;
    verdict(&f->token, NOW + 100000, 0, BERTH_TOKEN_SIGNATURE);
    verdict(&f->token, 0, 0, BERTH_TOKEN_SIGNATURE);
}

/* 20.5 test_expired_token, is_valid_and_is_expired_agree_at_not_after_boundary */
static void the_end_is_the_first_second_without_validity(void **state)
{
    struct fixture *f = *state;

    verdict(&f->token, NOW + 3599, 0, BERTH_TOKEN_FINE);
    assert_false(berth_token_is_expired(&f->token, NOW + 3599, 0));
    verdict(&f->token, NOW + 3600, 0, BERTH_TOKEN_EXPIRED);
    assert_true(berth_token_is_expired(&f->token, NOW + 3600, 0));
}

/* 12.3: NotYetValid */
static void before_its_beginning_a_token_is_not_valid_yet(void **state)
{
    struct fixture *f = *state;

    verdict(&f->token, NOW - 1, 0, BERTH_TOKEN_EARLY);
    verdict(&f->token, NOW, 0, BERTH_TOKEN_FINE);
}

/* 20.5 is_expired_ignores_signature_tampering */
static void the_look_at_the_clock_is_only_that(void **state)
{
    struct fixture *f = *state;

    f->token.signature[5] ^= 1;
    assert_false(berth_token_is_expired(&f->token, NOW, 0));
    assert_true(berth_token_is_expired(&f->token, NOW + 3600, 0));
}

/* 20.5 is_valid_with_skew_… */
static void clocks_may_differ_by_the_skew_and_no_more(void **state)
{
    struct fixture *f = *state;

    verdict(&f->token, NOW - 60, 60, BERTH_TOKEN_FINE);
    verdict(&f->token, NOW - 61, 60, BERTH_TOKEN_EARLY);
    verdict(&f->token, NOW + 3659, 60, BERTH_TOKEN_FINE);
    verdict(&f->token, NOW + 3660, 60, BERTH_TOKEN_EXPIRED);
}

/* 20.5 clock_skew_is_clamped_to_max */
static void a_skew_over_five_minutes_is_five_minutes(void **state)
{
    struct fixture *f = *state;

    verdict(&f->token, NOW + 3600 + 299, UINT32_MAX, BERTH_TOKEN_FINE);
    verdict(&f->token, NOW + 3600 + 300, UINT32_MAX, BERTH_TOKEN_EXPIRED);
    verdict(&f->token, NOW - 300, 301, BERTH_TOKEN_FINE);
    verdict(&f->token, NOW - 301, 301, BERTH_TOKEN_EARLY);
}

/* 12.3: saturating arithmetic */
static void times_at_the_ends_do_not_wrap(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(
        berth_token_issue(&f->token, &f->issuer, &f->grant, UINT64_MAX - 5, NULL, NULL), BERTH_OK);
    assert_true(f->token.not_after_s == UINT64_MAX);
    verdict(&f->token, UINT64_MAX - 1, 300, BERTH_TOKEN_FINE);
    verdict(&f->token, UINT64_MAX, 300, BERTH_TOKEN_EXPIRED);
    assert_int_equal(berth_token_issue(&f->token, &f->issuer, &f->grant, 5, NULL, NULL), BERTH_OK);
    verdict(&f->token, 0, 300, BERTH_TOKEN_FINE);
}

/* 20.5 test_channel_filter, token_cache_check_distinguishes_u32_aliased_u64_hashes */
static void a_token_is_for_all_64_bits_of_its_channel(void **state)
{
    struct fixture *f = *state;

    assert_true(berth_token_allows(&f->token, BERTH_SCOPE_SUBSCRIBE, CHANNEL));
    assert_false(berth_token_allows(&f->token, BERTH_SCOPE_SUBSCRIBE, CHANNEL ^ 1));
    assert_false(berth_token_allows(&f->token, BERTH_SCOPE_SUBSCRIBE, CHANNEL ^ (1ULL << 40)));
    assert_false(berth_token_allows(&f->token, BERTH_SCOPE_PUBLISH, CHANNEL));
}

/* 20.5 test_wildcard_channel, test_regression_channel_hash_zero_is_not_wildcard */
static void only_the_bit_means_all_channels(void **state)
{
    struct fixture *f = *state;

    f->token.channel = 0;
    assert_false(berth_token_allows(&f->token, BERTH_SCOPE_SUBSCRIBE, CHANNEL));
    assert_true(berth_token_allows(&f->token, BERTH_SCOPE_SUBSCRIBE, 0));
    f->token.scope |= BERTH_SCOPE_WILDCARD;
    assert_true(berth_token_allows(&f->token, BERTH_SCOPE_SUBSCRIBE, CHANNEL));
    assert_false(berth_token_allows(&f->token, BERTH_SCOPE_ADMIN, CHANNEL));
    assert_int_equal(BERTH_SCOPE_ALL & BERTH_SCOPE_WILDCARD, 0);
}

/* 20.5 token_scope_does_not_contain_none */
static void no_action_at_all_is_never_allowed(void **state)
{
    struct fixture *f = *state;

    f->token.scope = UINT32_MAX;
    assert_false(berth_token_allows(&f->token, 0, CHANNEL));
    assert_true(berth_scope_has(3, 3));
    assert_false(berth_scope_has(1, 3));
}

/* 20.5 try_issue_rejects_zero_ttl, try_issue_accepts_one_second_ttl */
static void a_token_is_issued_for_a_second_at_least(void **state)
{
    struct fixture *f = *state;

    f->grant.ttl_s = 0;
    not_issued(f, &f->issuer, BERTH_TOKEN_ZERO_TTL);
    f->grant.ttl_s = 1;
    assert_int_equal(berth_token_issue(&f->token, &f->issuer, &f->grant, NOW, NULL, NULL), 0);
    verdict(&f->token, NOW, 0, BERTH_TOKEN_FINE);
    verdict(&f->token, NOW + 1, 0, BERTH_TOKEN_EXPIRED);
}

/* 20.5 issue_rejects_ttl_above_max */
static void and_for_a_year_at_most(void **state)
{
    struct fixture *f = *state;

    f->grant.ttl_s = BERTH_TOKEN_TTL_MAX + 1;
    not_issued(f, &f->issuer, BERTH_TOKEN_LONG_TTL);
    f->grant.ttl_s = BERTH_TOKEN_TTL_MAX;
    assert_int_equal(berth_token_issue(&f->token, &f->issuer, &f->grant, NOW, NULL, NULL), 0);
}

/* 20.5 issue_*_panic_message_* (3): the error names the true cause */
static void the_time_to_live_is_judged_before_the_key(void **state)
{
    struct fixture *f = *state;

    berth_keypair_wipe(&f->issuer);
    f->grant.ttl_s = 0;
    not_issued(f, &f->issuer, BERTH_TOKEN_ZERO_TTL);
    f->grant.ttl_s = UINT64_MAX;
    not_issued(f, &f->issuer, BERTH_TOKEN_LONG_TTL);
}

/* 20.5 try_issue_returns_read_only…, try_issue_succeeds_with_full_keypair */
static void who_has_no_secret_key_issues_nothing(void **state)
{
    struct fixture *f = *state;

    berth_keypair_wipe(&f->issuer);
    not_issued(f, &f->issuer, BERTH_TOKEN_READ_ONLY);
}

static void a_token_that_allows_nothing_is_not_issued(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < 4; i++) {
        f->grant.scope = (i & 1 ? BERTH_SCOPE_DELEGATE : 0) | (i & 2 ? BERTH_SCOPE_WILDCARD : 0);
        not_issued(f, &f->issuer, BERTH_TOKEN_EMPTY);
    }
}

/* 12.5: fresh nonce, generation as asked */
static void two_tokens_of_one_grant_differ(void **state)
{
    struct fixture *f = *state;
    uint8_t a[BERTH_TOKEN_ID_SIZE], b[BERTH_TOKEN_ID_SIZE];
    berth_token other;

    f->grant.generation = 7;
    assert_int_equal(berth_token_issue(&other, &f->issuer, &f->grant, NOW, NULL, NULL), BERTH_OK);
    assert_int_equal(other.generation, 7);
    assert_true(other.nonce != f->token.nonce);
    berth_token_id(a, &f->token);
    berth_token_id(b, &other);
    assert_memory_not_equal(a, b, sizeof a);
    f->token.signature[0] ^= 1; /* the id is of what is signed */
    berth_token_id(b, &f->token);
    assert_memory_equal(a, b, sizeof a);
}

/* ---- Passing on ------------------------------------------------------------------------------ */

/* 20.5 test_delegation, delegate_preserves_parent_not_after,
 * delegate_inherits_parent_issuer_generation */
static void what_is_passed_on_is_the_parents_and_less(void **state)
{
    struct fixture *f = *state;
    berth_token child;

    f->grant.generation = 9;
    assert_int_equal(berth_token_issue(&f->token, &f->issuer, &f->grant, NOW, NULL, NULL), 0);
    f->grant =
        (berth_token_grant){.scope = UINT32_MAX, .channel = 5, .depth = 200, .generation = 1};
    memcpy(f->grant.subject, f->other.entity, 32);
    assert_int_equal(
        berth_token_delegate(&child, &f->token, &f->subject, &f->grant, NOW + 10, NULL, NULL), 0);
    assert_memory_equal(child.issuer, f->subject.entity, 32);
    assert_memory_equal(child.subject, f->other.entity, 32);
    assert_int_equal(child.scope, f->token.scope);
    assert_true(child.channel == CHANNEL);
    assert_int_equal(child.generation, 9);
    assert_int_equal(child.depth, 1);
    assert_int_equal(child.not_before_s, NOW + 10);
    assert_int_equal(child.not_after_s, NOW + 3600);
    assert_true(child.nonce != f->token.nonce);
    verdict(&child, NOW + 10, 0, BERTH_TOKEN_FINE);
}

static void what_is_passed_on_may_end_earlier_never_later(void **state)
{
    struct fixture *f = *state;
    berth_token child;

    f->grant.ttl_s = 100;
    assert_int_equal(
        berth_token_delegate(&child, &f->token, &f->subject, &f->grant, NOW + 10, NULL, NULL), 0);
    assert_int_equal(child.not_after_s, NOW + 110);
    f->grant.ttl_s = UINT64_MAX;
    assert_int_equal(
        berth_token_delegate(&child, &f->token, &f->subject, &f->grant, NOW + 10, NULL, NULL), 0);
    assert_int_equal(child.not_after_s, NOW + 3600);
}

static void leave_for_all_channels_can_be_narrowed_to_one(void **state)
{
    struct fixture *f = *state;
    berth_token child;

    f->grant.scope |= BERTH_SCOPE_WILDCARD;
    f->grant.channel = 0;
    assert_int_equal(berth_token_issue(&f->token, &f->issuer, &f->grant, NOW, NULL, NULL), 0);
    f->grant.scope = BERTH_SCOPE_SUBSCRIBE;
    f->grant.channel = 77;
    assert_int_equal(
        berth_token_delegate(&child, &f->token, &f->subject, &f->grant, NOW, NULL, NULL), 0);
    assert_int_equal(child.channel, 77);
    assert_false(berth_token_allows(&child, BERTH_SCOPE_SUBSCRIBE, 78));
}

/* 20.5 delegate_rejects_expired_parent */
static void an_expired_token_is_not_passed_on(void **state)
{
    struct fixture *f = *state;

    not_delegated(f, &f->token, &f->subject, NOW + 3600, BERTH_TOKEN_EXPIRED);
    not_delegated(f, &f->token, &f->subject, NOW - 1, BERTH_TOKEN_EARLY);
    f->token.nonce++;
    not_delegated(f, &f->token, &f->subject, NOW, BERTH_TOKEN_SIGNATURE);
}

/* 20.5 test_delegation_depth_exhausted; it goes before the scope */
static void a_token_of_depth_zero_is_not_passed_on(void **state)
{
    struct fixture *f = *state;

    f->grant.depth = 0;
    f->grant.scope = BERTH_SCOPE_SUBSCRIBE;
    assert_int_equal(berth_token_issue(&f->token, &f->issuer, &f->grant, NOW, NULL, NULL), 0);
    not_delegated(f, &f->token, &f->other, NOW, BERTH_TOKEN_EXHAUSTED);
}

/* 12.5: DelegationNotAllowed; it goes before the signer */
static void a_token_without_the_right_to_delegate_is_not_passed_on(void **state)
{
    struct fixture *f = *state;

    f->grant.scope = BERTH_SCOPE_SUBSCRIBE;
    assert_int_equal(berth_token_issue(&f->token, &f->issuer, &f->grant, NOW, NULL, NULL), 0);
    not_delegated(f, &f->token, &f->other, NOW, BERTH_TOKEN_NOT_DELEGABLE);
}

/* 20.5 test_delegation_wrong_signer; it goes before the missing secret */
static void nobody_passes_on_what_another_has(void **state)
{
    struct fixture *f = *state;

    berth_keypair_wipe(&f->other);
    not_delegated(f, &f->token, &f->other, NOW, BERTH_TOKEN_SIGNER);
}

/* 20.5 delegate_returns_read_only… */
static void passing_on_takes_a_secret_key(void **state)
{
    struct fixture *f = *state;

    berth_keypair_wipe(&f->subject);
    not_delegated(f, &f->token, &f->subject, NOW, BERTH_TOKEN_READ_ONLY);
}

static void passing_on_nothing_is_refused(void **state)
{
    struct fixture *f = *state;

    f->grant.scope = BERTH_SCOPE_PUBLISH | BERTH_SCOPE_DELEGATE;
    not_delegated(f, &f->token, &f->subject, NOW, BERTH_TOKEN_EMPTY);
}

static void every_fault_has_a_word_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i <= BERTH_TOKEN_EMPTY; i++) {
        assert_int_equal(token_fault_status((berth_token_fault)i) == BERTH_OK, i == 0);
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(berth_token_fault_word((berth_token_fault)i),
                                    berth_token_fault_word((berth_token_fault)k));
            assert_string_not_equal(berth_token_fault_text((berth_token_fault)i),
                                    berth_token_fault_text((berth_token_fault)k));
        }
    }
    assert_string_equal(berth_token_fault_word((berth_token_fault)1000), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_has_the_bytes_of_the_vectors),
        TEST(what_was_issued_survives_its_bytes_and_verifies),
        TEST(only_169_bytes_are_a_token),
        TEST(unknown_bits_of_a_scope_are_kept_and_give_nothing),
        TEST(any_flipped_bit_breaks_the_signature),
        TEST(a_forged_token_is_forged_also_when_it_has_expired),
        TEST(the_end_is_the_first_second_without_validity),
        TEST(before_its_beginning_a_token_is_not_valid_yet),
        TEST(the_look_at_the_clock_is_only_that),
        TEST(clocks_may_differ_by_the_skew_and_no_more),
        TEST(a_skew_over_five_minutes_is_five_minutes),
        TEST(times_at_the_ends_do_not_wrap),
        TEST(a_token_is_for_all_64_bits_of_its_channel),
        TEST(only_the_bit_means_all_channels),
        TEST(no_action_at_all_is_never_allowed),
        TEST(a_token_is_issued_for_a_second_at_least),
        TEST(and_for_a_year_at_most),
        TEST(the_time_to_live_is_judged_before_the_key),
        TEST(who_has_no_secret_key_issues_nothing),
        TEST(a_token_that_allows_nothing_is_not_issued),
        TEST(two_tokens_of_one_grant_differ),
        TEST(what_is_passed_on_is_the_parents_and_less),
        TEST(what_is_passed_on_may_end_earlier_never_later),
        TEST(leave_for_all_channels_can_be_narrowed_to_one),
        TEST(an_expired_token_is_not_passed_on),
        TEST(a_token_of_depth_zero_is_not_passed_on),
        TEST(a_token_without_the_right_to_delegate_is_not_passed_on),
        TEST(nobody_passes_on_what_another_has),
        TEST(passing_on_takes_a_secret_key),
        TEST(passing_on_nothing_is_refused),
        TEST(every_fault_has_a_word_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
