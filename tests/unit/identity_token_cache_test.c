/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cursor.h"
#include "identity/token_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NOW     1700000000
#define CHANNEL 0x9e966e6550443f32

struct fixture {
    berth_keypair issuer, subject;
    token_revocations *revoked;
    token_cache *cache;
};

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    berth_keypair_generate(&f->issuer);
    berth_keypair_generate(&f->subject);
    f->revoked = token_revocations_new();
    f->cache = token_cache_new(0, f->revoked, 0);
    *state = f;
    return f->cache ? 0 : 1;
}

static int end(void **state)
{
    struct fixture *f = *state;

    token_cache_free(f->cache);
    token_revocations_free(f->revoked);
    free(f);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static berth_token_chain make(const struct fixture *f, const uint8_t *subject, uint64_t channel,
                              uint32_t scope, uint64_t ttl_s)
{
    berth_token_grant grant = {.channel = channel, .scope = scope, .ttl_s = ttl_s, .depth = 1};
    berth_token_chain chain;
    berth_token token;

    memcpy(grant.subject, subject, 32);
    assert_int_equal(berth_token_issue(&token, &f->issuer, &grant, NOW, NULL, NULL), BERTH_OK);
    berth_token_chain_of(&chain, &token);
    return chain;
}

static berth_status keep(struct fixture *f, uint64_t channel, uint32_t scope, uint64_t ttl_s)
{
    berth_token_chain chain = make(f, f->subject.entity, channel, scope, ttl_s);

    return token_cache_insert(f->cache, &chain, NULL, NULL);
}

static berth_token_fault look(struct fixture *f, uint32_t action, uint64_t channel, uint64_t now)
{
    berth_token_fault fault = BERTH_TOKEN_FINE;
    berth_status status =
        token_cache_find(f->cache, f->subject.entity, action, channel, now, NULL, &fault, NULL);

    assert_int_equal(status == BERTH_ERR_NOT_FOUND ? BERTH_OK : status, token_fault_status(fault));
    return status == BERTH_ERR_NOT_FOUND ? (berth_token_fault)-1 : fault;
}

#define NONE ((berth_token_fault)-1)

/* 20.5 test_token_cache */
static void a_credential_is_found_for_what_it_allows_and_nothing_else(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(keep(f, CHANNEL, BERTH_SCOPE_PUBLISH, 60), BERTH_OK);
    assert_int_equal(look(f, BERTH_SCOPE_PUBLISH, CHANNEL, NOW), BERTH_TOKEN_FINE);
    assert_int_equal(look(f, BERTH_SCOPE_SUBSCRIBE, CHANNEL, NOW), NONE);
    assert_int_equal(look(f, 0, CHANNEL, NOW), NONE);
    assert_int_equal(look(f, BERTH_SCOPE_PUBLISH, CHANNEL + 1, NOW), NONE);
}

/* 20.5 token_cache_check_distinguishes_u32_aliased_u64_hashes */
static void channels_that_share_their_low_halves_are_different(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(keep(f, CHANNEL, BERTH_SCOPE_PUBLISH, 60), BERTH_OK);
    assert_int_equal(look(f, BERTH_SCOPE_PUBLISH, CHANNEL ^ (1ULL << 50), NOW), NONE);
}

/* 20.5 check_rejects_token_keyed_under_mismatched_subject */
static void a_credential_is_found_for_its_own_subject_only(void **state)
{
    struct fixture *f = *state;
    berth_token_chain chain = make(f, f->issuer.entity, CHANNEL, BERTH_SCOPE_PUBLISH, 60);

    assert_int_equal(token_cache_insert(f->cache, &chain, NULL, NULL), BERTH_OK);
    assert_int_equal(look(f, BERTH_SCOPE_PUBLISH, CHANNEL, NOW), NONE);
}

/* 20.5 test_regression_insert_rejects_tampered_token */
static void what_was_tampered_with_is_not_kept(void **state)
{
    struct fixture *f = *state;
    berth_token_chain chain = make(f, f->subject.entity, CHANNEL, BERTH_SCOPE_PUBLISH, 60);
    berth_token_fault fault = BERTH_TOKEN_FINE;

    chain.links[0].not_after_s++;
    assert_int_equal(token_cache_insert(f->cache, &chain, &fault, NULL), BERTH_ERR_SIGNATURE);
    assert_int_equal(fault, BERTH_TOKEN_SIGNATURE);
    chain.links[0].not_after_s--;
    chain.links[1] = chain.links[0];
    chain.count = 2;
    assert_int_equal(token_cache_insert(f->cache, &chain, &fault, NULL), BERTH_ERR_REFUSED);
    assert_int_equal(fault, BERTH_TOKEN_BROKEN);
    chain.count = 0;
    assert_int_equal(token_cache_insert(f->cache, &chain, &fault, NULL), BERTH_ERR_CORRUPT);
    assert_int_equal(token_cache_count(f->cache), 0);
    assert_int_equal(token_cache_slots(f->cache), 0);
}

/* 20.5 test_token_cache_wildcard, check_*wildcard* (2) */
static void leave_for_all_channels_is_found_for_each(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(keep(f, 0, BERTH_SCOPE_PUBLISH | BERTH_SCOPE_WILDCARD, 60), BERTH_OK);
    assert_int_equal(look(f, BERTH_SCOPE_PUBLISH, CHANNEL, NOW), BERTH_TOKEN_FINE);
    assert_int_equal(look(f, BERTH_SCOPE_PUBLISH, 0, NOW), BERTH_TOKEN_FINE);
    assert_int_equal(look(f, BERTH_SCOPE_SUBSCRIBE, CHANNEL, NOW), NONE);
}

/* 20.5 test_regression_channel_hash_zero_is_not_wildcard */
static void a_token_for_hash_zero_is_for_no_other_channel(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(keep(f, 0, BERTH_SCOPE_PUBLISH, 60), BERTH_OK);
    assert_int_equal(look(f, BERTH_SCOPE_PUBLISH, 0, NOW), BERTH_TOKEN_FINE);
    assert_int_equal(look(f, BERTH_SCOPE_PUBLISH, CHANNEL, NOW), NONE);
}

/* 20.5 wildcard_fallback_not_blocked_by_expired_channel_token */
static void an_expired_token_for_the_channel_does_not_hide_one_for_all(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(keep(f, CHANNEL, BERTH_SCOPE_PUBLISH, 10), BERTH_OK);
    assert_int_equal(look(f, BERTH_SCOPE_PUBLISH, CHANNEL, NOW + 10), BERTH_TOKEN_EXPIRED);
    assert_int_equal(keep(f, 0, BERTH_SCOPE_PUBLISH | BERTH_SCOPE_WILDCARD, 60), BERTH_OK);
    assert_int_equal(look(f, BERTH_SCOPE_PUBLISH, CHANNEL, NOW + 10), BERTH_TOKEN_FINE);
}

/* 20.5 cache_coexists_tokens_of_different_scopes…, get_for_action_selects_token_by_scope */
static void scopes_stand_beside_each_other(void **state)
{
    struct fixture *f = *state;
    berth_token_chain out;

    assert_int_equal(keep(f, CHANNEL, BERTH_SCOPE_PUBLISH, 60), BERTH_OK);
    assert_int_equal(keep(f, CHANNEL, BERTH_SCOPE_SUBSCRIBE, 60), BERTH_OK);
    for (uint32_t action = 1; action <= 2; action++) {
        assert_int_equal(
            token_cache_find(f->cache, f->subject.entity, action, CHANNEL, NOW, &out, NULL, NULL),
            BERTH_OK);
        assert_int_equal(out.count, 1);
        assert_int_equal(out.links[0].scope, action);
    }
    assert_int_equal(token_cache_slots(f->cache), 1);
}

/* 20.5 cache_same_scope_reinsert_replaces_not_stacks, cache_len_reports_total_tokens… */
static void the_same_scope_again_replaces(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(keep(f, CHANNEL, BERTH_SCOPE_PUBLISH, 10), BERTH_OK);
    assert_int_equal(keep(f, CHANNEL, BERTH_SCOPE_PUBLISH, 60), BERTH_OK);
    assert_int_equal(token_cache_count(f->cache), 1);
    assert_int_equal(look(f, BERTH_SCOPE_PUBLISH, CHANNEL, NOW + 30), BERTH_TOKEN_FINE);
    assert_int_equal(keep(f, CHANNEL, BERTH_SCOPE_SUBSCRIBE, 10), BERTH_OK);
    assert_int_equal(token_cache_count(f->cache), 2);
}

/* 20.5 token_cache_with_clock_skew_… */
static void the_cache_lets_clocks_differ_by_its_skew(void **state)
{
    struct fixture *f = *state;

    token_cache_free(f->cache);
    f->cache = token_cache_new(UINT32_MAX, f->revoked, 0);
    assert_int_equal(keep(f, CHANNEL, BERTH_SCOPE_PUBLISH, 10), BERTH_OK);
    assert_int_equal(look(f, BERTH_SCOPE_PUBLISH, CHANNEL, NOW + 309), BERTH_TOKEN_FINE);
    assert_int_equal(token_cache_sweep(f->cache, NOW + 309), 0);
    assert_int_equal(look(f, BERTH_SCOPE_PUBLISH, CHANNEL, NOW + 310), BERTH_TOKEN_EXPIRED);
    assert_int_equal(look(f, BERTH_SCOPE_PUBLISH, CHANNEL, NOW - 300), BERTH_TOKEN_FINE);
    assert_int_equal(look(f, BERTH_SCOPE_PUBLISH, CHANNEL, NOW - 301), BERTH_TOKEN_EARLY);
}

/* 20.5 revocation_floor_bump_invalidates_outstanding_tokens */
static void raising_the_floor_ends_what_is_held(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(keep(f, CHANNEL, BERTH_SCOPE_PUBLISH, 60), BERTH_OK);
    assert_int_equal(token_revocations_raise(f->revoked, f->issuer.entity, 1, NULL), BERTH_OK);
    assert_int_equal(look(f, BERTH_SCOPE_PUBLISH, CHANNEL, NOW), BERTH_TOKEN_REVOKED);
}

/* 20.5 insert_unchecked_*: existing slots can be updated, a new one beyond the limit is refused */
static void beyond_the_last_slot_only_those_there_are_served(void **state)
{
    struct fixture *f = *state;

    token_cache_free(f->cache);
    f->cache = token_cache_new(0, NULL, 2);
    assert_int_equal(keep(f, 1, BERTH_SCOPE_PUBLISH, 60), BERTH_OK);
    assert_int_equal(keep(f, 2, BERTH_SCOPE_PUBLISH, 60), BERTH_OK);
    assert_int_equal(keep(f, 3, BERTH_SCOPE_PUBLISH, 60), BERTH_ERR_LIMIT);
    assert_int_equal(keep(f, 2, BERTH_SCOPE_SUBSCRIBE, 60), BERTH_OK);
    assert_int_equal(keep(f, 2, BERTH_SCOPE_PUBLISH, 90), BERTH_OK);
    assert_int_equal(token_cache_count(f->cache), 3);
    assert_int_equal(token_cache_slots(f->cache), 2);
}

/* 12.7: at most 32 in a slot */
static void a_slot_holds_32_scopes(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < TOKEN_CACHE_PER_SLOT; i++)
        assert_int_equal(keep(f, CHANNEL, BERTH_SCOPE_PUBLISH | i << 8, 60), BERTH_OK);
    assert_int_equal(keep(f, CHANNEL, BERTH_SCOPE_SUBSCRIBE, 60), BERTH_ERR_LIMIT);
    assert_int_equal(keep(f, CHANNEL, BERTH_SCOPE_PUBLISH | 5 << 8, 60), BERTH_OK);
    assert_int_equal(token_cache_count(f->cache), TOKEN_CACHE_PER_SLOT);
}

static void what_has_ended_is_swept_when_it_is_due(void **state)
{
    struct fixture *f = *state;

    assert_true(token_cache_due(f->cache) == UINT64_MAX);
    assert_int_equal(keep(f, 1, BERTH_SCOPE_PUBLISH, 10), BERTH_OK);
    assert_int_equal(keep(f, 1, BERTH_SCOPE_SUBSCRIBE, 20), BERTH_OK);
    assert_int_equal(keep(f, 0, BERTH_SCOPE_SUBSCRIBE | BERTH_SCOPE_WILDCARD, 5), BERTH_OK);
    assert_int_equal(token_cache_due(f->cache), NOW + 5);
    assert_int_equal(token_cache_sweep(f->cache, NOW + 4), 0);
    assert_int_equal(token_cache_sweep(f->cache, NOW + 10), 2);
    assert_int_equal(token_cache_due(f->cache), NOW + 20);
    assert_int_equal(token_cache_slots(f->cache), 1);
    assert_int_equal(token_cache_sweep(f->cache, NOW + 20), 1);
    assert_int_equal(token_cache_slots(f->cache), 0);
    assert_true(token_cache_due(f->cache) == UINT64_MAX);
}

/* ---- Threads --------------------------------------------------------------------------------- */

enum { THREADS = 32, SLOTS = 8 };

struct worker {
    struct fixture *f;
    unsigned number;
    unsigned kept;
};

static void *insert_many(void *arg)
{
    struct worker *w = arg;

    for (unsigned i = 0; i < 4; i++)
        w->kept += keep(w->f, 1000 + w->number * 4 + i, BERTH_SCOPE_PUBLISH, 60) == BERTH_OK;
    return NULL;
}

/* 20.5 insert_unchecked_*: never overshot with 32 concurrent inserters */
static void with_32_inserters_the_limit_holds_exactly(void **state)
{
    struct fixture *f = *state;
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    unsigned kept_count = 0;

    token_cache_free(f->cache);
    f->cache = token_cache_new(0, NULL, SLOTS);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){f, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, insert_many, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        kept_count += workers[i].kept;
    }
    assert_int_equal(kept_count, SLOTS);
    assert_int_equal(token_cache_slots(f->cache), SLOTS);
}

static void *use_all(void *arg)
{
    struct worker *w = arg;

    for (unsigned i = 0; i < 50; i++) {
        uint64_t channel = i % SLOTS;

        if (w->number % 4 == 0)
            keep(w->f, channel, BERTH_SCOPE_PUBLISH, 1 + i % 3);
        else if (w->number % 4 == 1)
            token_cache_sweep(w->f->cache, NOW + i % 4);
        else if (w->number % 4 == 2)
            look(w->f, BERTH_SCOPE_PUBLISH, channel, NOW + i % 4);
        else
            token_revocations_raise(w->f->revoked, w->f->issuer.entity, i / 49, NULL);
    }
    return NULL;
}

/* 20.5 concurrent_insert_check_evict…, evict_expired_races_with_check… */
static void inserting_finding_and_sweeping_at_once_breaks_nothing(void **state)
{
    struct fixture *f = *state;
    struct worker workers[8];
    pthread_t threads[8];

    for (unsigned i = 0; i < 8; i++) {
        workers[i] = (struct worker){f, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, use_all, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    token_cache_sweep(f->cache, NOW + 100);
    assert_int_equal(token_cache_count(f->cache), 0);
    assert_int_equal(token_cache_slots(f->cache), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_credential_is_found_for_what_it_allows_and_nothing_else),
        TEST(channels_that_share_their_low_halves_are_different),
        TEST(a_credential_is_found_for_its_own_subject_only),
        TEST(what_was_tampered_with_is_not_kept),
        TEST(leave_for_all_channels_is_found_for_each),
        TEST(a_token_for_hash_zero_is_for_no_other_channel),
        TEST(an_expired_token_for_the_channel_does_not_hide_one_for_all),
        TEST(scopes_stand_beside_each_other),
        TEST(the_same_scope_again_replaces),
        TEST(the_cache_lets_clocks_differ_by_its_skew),
        TEST(raising_the_floor_ends_what_is_held),
        TEST(beyond_the_last_slot_only_those_there_are_served),
        TEST(a_slot_holds_32_scopes),
        TEST(what_has_ended_is_swept_when_it_is_due),
        TEST(with_32_inserters_the_limit_holds_exactly),
        TEST(inserting_finding_and_sweeping_at_once_breaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
