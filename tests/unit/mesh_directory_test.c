/* SPDX-License-Identifier: Apache-2.0 */
/* Where origins live, and whose word counts. */
#include "mesh/directory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW 1000000

static berth_keypair key_of(uint8_t n)
{
    uint8_t seed[BERTH_SEED_SIZE] = {n};
    berth_keypair key;

    berth_keypair_from_seed(&key, seed);
    return key;
}

/* Nodes 1 to 9, operator 50, daemons from 100 on. */
static presence at_until(uint8_t daemon, uint8_t node, uint64_t epoch, uint64_t incarnation,
                         int64_t not_after)
{
    berth_keypair d = key_of(daemon), n = key_of(node);
    presence p = {.epoch = epoch, .incarnation = incarnation, .not_after_s = not_after};

    memcpy(p.node, n.entity, sizeof p.node);
    assert_int_equal(presence_sign(&p, &d), BERTH_OK);
    return p;
}

static presence at(uint8_t daemon, uint8_t node, uint64_t epoch, uint64_t incarnation)
{
    return at_until(daemon, node, epoch, incarnation, NOW + 3600);
}

static handover given(uint8_t daemon, uint8_t from, uint8_t to, uint64_t epoch, uint8_t by)
{
    berth_keypair d = key_of(daemon), b = key_of(by), f = key_of(from), t = key_of(to);
    handover h = {.epoch = epoch};

    memcpy(h.from, f.entity, sizeof h.from);
    memcpy(h.to, t.entity, sizeof h.to);
    assert_int_equal(handover_sign(&h, &d, &b), BERTH_OK);
    return h;
}

static bool operator_50(void *ctx, const uint8_t key[BERTH_ENTITY_SIZE])
{
    berth_keypair k = key_of(50);

    (void)ctx;
    return memcmp(k.entity, key, BERTH_ENTITY_SIZE) == 0;
}

static directory *directory_of(uint8_t node, uint32_t max)
{
    directory_config config = {.max_entries = max, .may_take_over = operator_50};
    berth_keypair k = key_of(node);
    directory *d;

    memcpy(config.self, k.entity, sizeof config.self);
    d = directory_new(&config);
    assert_non_null(d);
    return d;
}

static berth_status learn(directory *d, uint8_t from, const presence *p, const handover *h)
{
    berth_keypair k = key_of(from);
    berth_error error = {0};

    return directory_learn(d, k.entity, p, h, NOW, &error);
}

static uint64_t origin_of(uint8_t daemon)
{
    return key_of(daemon).origin;
}

static void assert_at(directory *d, uint8_t daemon, uint8_t node, uint64_t epoch)
{
    berth_keypair k = key_of(node);
    directory_place place;

    directory_look(d, origin_of(daemon), &place);
    assert_true(place.known);
    assert_memory_equal(place.node, k.entity, BERTH_ENTITY_SIZE);
    assert_int_equal(place.epoch, epoch);
}

static void only_what_the_daemons_key_signed_counts(void **state)
{
    directory *d = directory_of(1, 0);
    presence p = at(100, 2, 1, 1);
    directory_place place;

    (void)state;
    p.signature[0] ^= 1;
    assert_int_equal(learn(d, 2, &p, NULL), BERTH_ERR_SIGNATURE);
    p = at(100, 2, 1, 1);
    p.epoch = 2; /* the signature was for 1 */
    assert_int_equal(learn(d, 2, &p, NULL), BERTH_ERR_SIGNATURE);
    directory_look(d, origin_of(100), &place);
    assert_false(place.known);
    p = at(100, 2, 1, 1);
    assert_int_equal(learn(d, 3, &p, NULL), BERTH_OK); /* whoever brings it */
    assert_at(d, 100, 2, 1);
    directory_free(d);
}

static void a_new_epoch_takes_the_word_of_the_owner_before(void **state)
{
    directory *d = directory_of(1, 0);
    presence p = at(100, 2, 1, 1), q = at(100, 3, 2, 1);
    handover by_stranger = given(100, 4, 3, 2, 4), by_owner = given(100, 2, 3, 2, 2);
    handover elsewhere = given(100, 2, 5, 2, 2);

    (void)state;
    assert_int_equal(learn(d, 2, &p, NULL), BERTH_OK);
    assert_int_equal(learn(d, 3, &q, NULL), BERTH_ERR_REFUSED);
    assert_int_equal(learn(d, 3, &q, &by_stranger), BERTH_ERR_REFUSED);
    assert_int_equal(learn(d, 3, &q, &elsewhere), BERTH_ERR_REFUSED);
    assert_at(d, 100, 2, 1);
    assert_int_equal(learn(d, 3, &q, &by_owner), BERTH_OK);
    assert_at(d, 100, 3, 2);
    directory_free(d);
}

static void an_operator_may_give_what_the_owner_cannot_any_more(void **state)
{
    directory *d = directory_of(1, 0);
    presence p = at(100, 2, 1, 1), q = at(100, 3, 2, 1);
    handover by_other = given(100, 2, 3, 2, 51), by_operator = given(100, 2, 3, 2, 50);

    (void)state;
    assert_int_equal(learn(d, 2, &p, NULL), BERTH_OK);
    assert_int_equal(learn(d, 3, &q, &by_other), BERTH_ERR_REFUSED);
    assert_int_equal(learn(d, 3, &q, &by_operator), BERTH_OK);
    assert_at(d, 100, 3, 2);
    directory_free(d);
}

static void epochs_and_incarnations_never_fall(void **state)
{
    directory *d = directory_of(1, 0);
    presence p = at(100, 2, 1, 1), q = at(100, 2, 1, 3), r = at(100, 3, 2, 2);
    handover h = given(100, 2, 3, 2, 2);

    (void)state;
    assert_int_equal(learn(d, 2, &q, NULL), BERTH_OK);
    assert_int_equal(learn(d, 2, &p, NULL), BERTH_ERR_STALE);
    assert_int_equal(learn(d, 3, &r, &h), BERTH_ERR_STALE); /* a higher epoch, but incarnation 2 */
    r = at(100, 3, 2, 3);
    assert_int_equal(learn(d, 3, &r, &h), BERTH_OK);
    assert_int_equal(learn(d, 2, &q, NULL), BERTH_ERR_STALE);
    assert_at(d, 100, 3, 2);
    directory_free(d);
}

static void presences_that_are_over_or_for_too_long_do_not_count(void **state)
{
    directory *d = directory_of(1, 0);
    presence p = at_until(100, 2, 1, 1, NOW - 1);
    directory_place place;

    (void)state;
    assert_int_equal(learn(d, 2, &p, NULL), BERTH_ERR_STALE);
    p = at_until(100, 2, 1, 1, NOW + PRESENCE_LIFE_MAX_S + 1);
    assert_int_equal(learn(d, 2, &p, NULL), BERTH_ERR_REFUSED);
    p = at_until(100, 2, 1, 1, NOW + 10);
    assert_int_equal(learn(d, 2, &p, NULL), BERTH_OK);
    directory_resolve(d, origin_of(100), 0, NOW + 10, &place);
    assert_true(place.known && !place.ask);
    directory_resolve(d, origin_of(100), 0, NOW + 11, &place);
    assert_true(!place.known && place.ask);
    directory_free(d);
}

/* delivery 3: equal epoch on two nodes */
static void two_owners_at_one_epoch_both_hold(void **state)
{
    directory *a = directory_of(2, 0), *b = directory_of(3, 0);
    presence p = at(100, 2, 1, 1), q = at(100, 3, 1, 1), x, y;
    berth_error error = {0};
    directory_place place;
    writer w = {0};

    (void)state;
    assert_int_equal(directory_own(a, &p, NULL, &error), BERTH_OK);
    assert_int_equal(directory_own(b, &q, NULL, &error), BERTH_OK);
    assert_true(directory_owns(a, origin_of(100)) && directory_owns(b, origin_of(100)));
    assert_int_equal(learn(a, 3, &q, NULL), BERTH_ERR_BUSY);
    assert_true(directory_conflict(a, origin_of(100), &x, &y));
    directory_conflict_write(&w, &x, &y);
    assert_int_equal(directory_conflict_read(&x, &y, slice_of(w.data, w.len), &error), BERTH_OK);
    learn(b, 2, &x, NULL);
    learn(b, 2, &y, NULL);
    assert_false(directory_owns(a, origin_of(100)) || directory_owns(b, origin_of(100)));
    assert_int_equal(directory_route_of(a, origin_of(100), 1, 0, &place), ROUTE_HOLD);
    assert_int_equal(directory_route_of(b, origin_of(100), 1, 0, &place), ROUTE_HOLD);
    writer_free(&w);
    directory_free(a);
    directory_free(b);
}

static void a_higher_epoch_settles_a_conflict(void **state)
{
    directory *a = directory_of(2, 0);
    presence p = at(100, 2, 1, 1), q = at(100, 3, 1, 1), r = at(100, 3, 2, 1);
    handover h = given(100, 2, 3, 2, 50);
    berth_error error = {0};
    directory_stats stats;

    (void)state;
    assert_int_equal(directory_own(a, &p, NULL, &error), BERTH_OK);
    assert_int_equal(learn(a, 3, &q, NULL), BERTH_ERR_BUSY);
    assert_int_equal(learn(a, 3, &r, &h), BERTH_OK);
    assert_false(directory_owns(a, origin_of(100)));
    assert_at(a, 100, 3, 2);
    directory_get_stats(a, &stats);
    assert_int_equal(stats.conflicts, 0);
    assert_int_equal(stats.local, 0);
    directory_free(a);
}

static void forwarding_goes_to_a_higher_epoch_only_and_not_for_ever(void **state)
{
    directory *d = directory_of(2, 0);
    presence p = at(100, 2, 1, 1);
    handover h = given(100, 2, 3, 2, 2);
    berth_error error = {0};
    directory_place place;
    uint64_t origin = origin_of(100);

    (void)state;
    assert_int_equal(directory_route_of(d, origin, 0, 0, &place), ROUTE_NOT_HERE);
    assert_int_equal(directory_own(d, &p, NULL, &error), BERTH_OK);
    assert_int_equal(directory_route_of(d, origin, 1, 0, &place), ROUTE_DELIVER);
    /* Somebody knows a newer owner: then this is not the place. */
    assert_int_equal(directory_route_of(d, origin, 2, 0, &place), ROUTE_NOT_HERE);
    assert_int_equal(directory_release(d, &h, &error), BERTH_OK);
    assert_int_equal(directory_route_of(d, origin, 1, 3, &place), ROUTE_FORWARD);
    assert_int_equal(place.epoch, 2);
    assert_int_equal(directory_route_of(d, origin, 2, 0, &place), ROUTE_NOT_HERE);
    assert_int_equal(directory_route_of(d, origin, 1, DIRECTORY_HOPS_MAX, &place), ROUTE_NOT_HERE);
    directory_forget(d, origin); /* tombstones are not needed */
    assert_int_equal(directory_route_of(d, origin, 1, 0, &place), ROUTE_NOT_HERE);
    directory_free(d);
}

static void only_the_owner_releases_and_to_the_next_epoch(void **state)
{
    directory *d = directory_of(2, 0);
    presence p = at(100, 2, 1, 1);
    handover far = given(100, 2, 3, 3, 2), right = given(100, 2, 3, 2, 2);
    handover other = given(100, 4, 3, 2, 4);
    berth_error error = {0};

    (void)state;
    assert_int_equal(directory_release(d, &right, &error), BERTH_ERR_INVALID);
    assert_int_equal(directory_own(d, &p, NULL, &error), BERTH_OK);
    assert_int_equal(directory_release(d, &far, &error), BERTH_ERR_INVALID);
    assert_int_equal(directory_release(d, &other, &error), BERTH_ERR_INVALID);
    assert_int_equal(directory_release(d, &right, &error), BERTH_OK);
    assert_int_equal(directory_own(d, &p, NULL, &error), BERTH_ERR_STALE);
    directory_free(d);
}

static void not_here_is_believed_of_the_node_itself(void **state)
{
    directory *d = directory_of(1, 0);
    presence p = at(100, 2, 1, 1);
    berth_keypair owner = key_of(2), other = key_of(3);
    directory_place place;

    (void)state;
    assert_int_equal(learn(d, 2, &p, NULL), BERTH_OK);
    directory_not_here(d, origin_of(100), 1, other.entity);
    directory_resolve(d, origin_of(100), 0, NOW, &place);
    assert_true(place.known);
    directory_not_here(d, origin_of(100), 1, owner.entity);
    directory_resolve(d, origin_of(100), 0, NOW, &place);
    assert_true(!place.known && place.ask);
    directory_resolve(d, origin_of(100), 1, NOW, &place);
    assert_false(place.ask); /* not at once again */
    assert_int_equal(learn(d, 3, &p, NULL), BERTH_OK);
    directory_resolve(d, origin_of(100), 1, NOW, &place);
    assert_false(place.known); /* hearsay */
    assert_int_equal(learn(d, 2, &p, NULL), BERTH_OK);
    directory_resolve(d, origin_of(100), 1, NOW, &place);
    assert_true(place.known);
    directory_free(d);
}

/* After a restart others still know where it was; what is sent here in that belief goes nowhere. */
static void that_it_is_here_is_not_believed_of_others(void **state)
{
    directory *d = directory_of(1, 0);
    presence p = at(100, 1, 1, 1);
    handover h = given(100, 1, 3, 2, 1);
    berth_error error = {0};
    directory_place place;

    (void)state;
    assert_int_equal(learn(d, 3, &p, NULL), BERTH_OK);
    directory_resolve(d, origin_of(100), 0, NOW, &place);
    assert_true(!place.known && place.ask);
    assert_int_equal(directory_route_of(d, origin_of(100), 0, 0, &place), ROUTE_NOT_HERE);
    assert_int_equal(learn(d, 3, NULL, &h), BERTH_OK);
    directory_resolve(d, origin_of(100), 1, NOW, &place);
    assert_true(place.known);
    assert_at(d, 100, 3, 2);
    directory_free(d);

    d = directory_of(1, 0);
    assert_int_equal(learn(d, 3, &p, NULL), BERTH_OK);
    assert_int_equal(directory_own(d, &p, NULL, &error), BERTH_OK);
    directory_resolve(d, origin_of(100), 0, NOW, &place);
    assert_true(place.known && place.local);
    directory_free(d);
}

/* delivery 3: an event of O only over a session whose node presents it, or from a former host of
 * the receiver */
static void an_origin_is_carried_by_its_node_or_a_former_host_of_the_receiver(void **state)
{
    directory *d = directory_of(3, 0);
    presence s = at(100, 2, 1, 5), r = at(101, 3, 2, 1);
    handover h = given(101, 4, 3, 2, 4);
    berth_keypair two = key_of(2), four = key_of(4), five = key_of(5);
    uint64_t from = origin_of(100), to = origin_of(101);
    berth_error error = {0};

    (void)state;
    assert_int_equal(directory_own(d, &r, &h, &error), BERTH_OK);
    assert_int_equal(directory_carrier_of(d, from, 5, to, two.entity, NOW), CARRIER_UNKNOWN);
    assert_int_equal(learn(d, 2, &s, NULL), BERTH_OK);
    assert_int_equal(directory_carrier_of(d, from, 5, to, two.entity, NOW), CARRIER_DIRECT);
    assert_int_equal(directory_carrier_of(d, from, 5, to, four.entity, NOW), CARRIER_FORWARDER);
    assert_int_equal(directory_carrier_of(d, from, 5, to, five.entity, NOW), CARRIER_REFUSED);
    /* An incarnation that the key has not signed could end the flow for ever. */
    assert_int_equal(directory_carrier_of(d, from, 6, to, four.entity, NOW), CARRIER_UNKNOWN);
    assert_int_equal(directory_carrier_of(d, from, 4, to, two.entity, NOW), CARRIER_REFUSED);
    directory_free(d);
}

static void only_the_present_owner_acknowledges(void **state)
{
    directory *d = directory_of(1, 0);
    presence p = at(100, 2, 2, 1);
    handover h = given(100, 3, 2, 2, 3);
    berth_keypair two = key_of(2), three = key_of(3);

    (void)state;
    assert_int_equal(learn(d, 2, &p, &h), BERTH_OK);
    assert_true(directory_speaks_for(d, origin_of(100), 2, two.entity));
    assert_false(directory_speaks_for(d, origin_of(100), 1, two.entity));
    assert_false(directory_speaks_for(d, origin_of(100), 2, three.entity));
    directory_free(d);
}

static void the_table_has_a_bound_and_keeps_what_is_owned(void **state)
{
    directory *d = directory_of(1, 4);
    presence own = at(99, 1, 1, 1);
    berth_error error = {0};
    directory_stats stats;

    (void)state;
    assert_int_equal(directory_own(d, &own, NULL, &error), BERTH_OK);
    for (uint8_t i = 100; i < 120; i++) {
        presence p = at(i, 2, 1, 1);

        assert_int_equal(learn(d, 2, &p, NULL), BERTH_OK);
        directory_get_stats(d, &stats);
        assert_true(stats.entries <= 4);
    }
    assert_int_equal(stats.evicted, 17);
    assert_true(directory_owns(d, origin_of(99)));
    for (uint8_t i = 120; i < 123; i++) {
        presence p = at(i, 1, 1, 1);

        assert_int_equal(directory_own(d, &p, NULL, &error), BERTH_OK);
    }
    own = at(123, 1, 1, 1);
    assert_int_equal(directory_own(d, &own, NULL, &error), BERTH_ERR_LIMIT);
    directory_free(d);
}

static void what_was_refused_leaves_nothing(void **state)
{
    directory *d = directory_of(1, 0);
    presence p = at(100, 2, 2, 1);
    directory_stats stats;

    (void)state;
    assert_int_equal(learn(d, 2, &p, NULL), BERTH_ERR_REFUSED); /* epoch 2, and nobody gave it */
    directory_get_stats(d, &stats);
    assert_int_equal(stats.entries, 0);
    directory_free(d);
}

static void a_hint_is_what_was_known_and_a_stranger_learns_from_it(void **state)
{
    directory *d = directory_of(3, 0), *other = directory_of(4, 0);
    presence p = at(100, 3, 2, 1);
    handover h = given(100, 2, 3, 2, 2);
    berth_error error = {0};
    directory_hint hint;
    writer w = {0};

    (void)state;
    assert_int_equal(directory_own(d, &p, &h, &error), BERTH_OK);
    assert_false(directory_hint_write(d, origin_of(100), 3, NOW, &w));
    assert_true(directory_hint_write(d, origin_of(100), 2, NOW, &w));
    assert_int_equal(directory_hint_read(&hint, slice_of(w.data, w.len), &error), BERTH_OK);
    assert_true(hint.has_presence && hint.has_handover);
    assert_int_equal(learn(other, 3, &hint.presence, &hint.handover), BERTH_OK);
    assert_at(other, 100, 3, 2);
    for (size_t len = 0; len < w.len; len++)
        assert_int_not_equal(directory_hint_read(&hint, slice_of(w.data, len), &error), BERTH_OK);
    writer_free(&w);
    directory_free(d);
    directory_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_the_daemons_key_signed_counts),
        cmocka_unit_test(a_new_epoch_takes_the_word_of_the_owner_before),
        cmocka_unit_test(an_operator_may_give_what_the_owner_cannot_any_more),
        cmocka_unit_test(epochs_and_incarnations_never_fall),
        cmocka_unit_test(presences_that_are_over_or_for_too_long_do_not_count),
        cmocka_unit_test(two_owners_at_one_epoch_both_hold),
        cmocka_unit_test(a_higher_epoch_settles_a_conflict),
        cmocka_unit_test(forwarding_goes_to_a_higher_epoch_only_and_not_for_ever),
        cmocka_unit_test(only_the_owner_releases_and_to_the_next_epoch),
        cmocka_unit_test(not_here_is_believed_of_the_node_itself),
        cmocka_unit_test(that_it_is_here_is_not_believed_of_others),
        cmocka_unit_test(an_origin_is_carried_by_its_node_or_a_former_host_of_the_receiver),
        cmocka_unit_test(only_the_present_owner_acknowledges),
        cmocka_unit_test(the_table_has_a_bound_and_keeps_what_is_owned),
        cmocka_unit_test(what_was_refused_leaves_nothing),
        cmocka_unit_test(a_hint_is_what_was_known_and_a_stranger_learns_from_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
