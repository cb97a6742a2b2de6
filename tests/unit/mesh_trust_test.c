/* SPDX-License-Identifier: Apache-2.0 */
/* Who is let in and why not, what it may, and who has to go when that changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cursor.h"
#include "base/random.h"
#include "mesh/trust.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1000000

struct fixture {
    trust *t;
    berth_keypair self, realm, node;
    peer_identity peer;
    uint8_t certificate[CERTIFICATE_MAX];
    size_t len;
    char closed[256];
};

/* A certificate for entity, by key. */
static size_t certify(uint8_t out[CERTIFICATE_MAX], const berth_keypair *key, const uint8_t *entity,
                      const char *name, uint64_t serial)
{
    realm_certificate c = {.serial = serial, .not_before = NOW - 1000, .not_after = NOW + 1000};

    memcpy(c.entity, entity, 32);
    strcpy(c.name, name);
    assert_int_equal(certificate_sign(&c, key, NULL), BERTH_OK);
    return certificate_encode(out, &c);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    berth_keypair_generate(&f->self);
    berth_keypair_generate(&f->realm);
    berth_keypair_generate(&f->node);
    f->t = trust_new(f->self.entity);
    memcpy(f->peer.entity, f->node.entity, 32);
    random_bytes(f->peer.static_key, 32);
    f->len = certify(f->certificate, &f->realm, f->node.entity, "node-a", 7);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    trust_free(f->t);
    free(f);
    return 0;
}

static slice certificate_of(const struct fixture *f)
{
    return slice_of(f->certificate, f->len);
}

static void pin(struct fixture *f, const char *name, const uint8_t *static_key,
                const uint8_t *entity, uint32_t may, berth_status expected)
{
    trust_peer p = {.has_static = static_key, .has_entity = entity, .may = may};

    strcpy(p.name, name);
    if (static_key)
        memcpy(p.static_key, static_key, 32);
    if (entity)
        memcpy(p.entity, entity, 32);
    assert_int_equal(trust_pin(f->t, &p, NULL), expected);
}

static void trust_the_realm(struct fixture *f)
{
    assert_int_equal(trust_add_realm(f->t, f->realm.entity, NULL), BERTH_OK);
}

static void refused_at(struct fixture *f, slice certificate, int64_t now, trust_reason expected)
{
    uint64_t before = trust_count(f->t, expected);
    berth_error error = {0};
    trust_reason reason;

    assert_int_equal(trust_admit(f->t, &f->peer, certificate, now, &reason, &error),
                     BERTH_ERR_REFUSED);
    assert_string_equal(trust_reason_word(reason), trust_reason_word(expected));
    assert_int_equal(error.code, BERTH_ERR_REFUSED);
    assert_true(error.text[0]);
    assert_int_equal(trust_count(f->t, expected), before + 1);
}

static void refused(struct fixture *f, slice certificate, trust_reason expected)
{
    refused_at(f, certificate, NOW, expected);
}

static void admitted(struct fixture *f, slice certificate, trust_reason expected)
{
    berth_error error = {0};
    trust_reason reason;

    if (trust_admit(f->t, &f->peer, certificate, NOW, &reason, &error) != BERTH_OK)
        fail_msg("%s", error.text);
    assert_int_equal(reason, expected);
    assert_int_equal(error.code, 0);
    assert_int_equal(trust_still(f->t, &f->peer, NOW, NULL, NULL), BERTH_OK);
}

static void revoke(struct fixture *f, uint64_t number, uint64_t serial, const uint8_t *entity,
                   berth_status expected)
{
    revocation_list list = {.number = number, .issued = NOW};
    writer bytes = {0};

    if (serial)
        assert_int_equal(revocation_add_serial(&list, serial), BERTH_OK);
    if (entity)
        assert_int_equal(revocation_add_entity(&list, entity), BERTH_OK);
    assert_int_equal(revocation_sign(&list, &f->realm, NULL), BERTH_OK);
    revocation_encode(&bytes, &list);
    assert_int_equal(trust_revoke(f->t, slice_of(bytes.data, bytes.len), NULL), expected);
    revocation_free(&list);
    writer_free(&bytes);
}

static void note_closed(void *ctx, const peer_identity *peer, const char *why)
{
    struct fixture *f = ctx;

    assert_ptr_equal(peer, &f->peer);
    snprintf(f->closed, sizeof f->closed, "%s", why);
}

/* The peer, live so far, is named now, and why. */
static void must_close(struct fixture *f, const char *why)
{
    const peer_identity *live[] = {&f->peer};

    f->closed[0] = 0;
    assert_int_equal(trust_review(f->t, live, 1, NOW, note_closed, f), 1);
    if (!strstr(f->closed, why))
        fail_msg("closed because: %s", f->closed);
}

static void may_stay(struct fixture *f)
{
    const peer_identity *live[] = {&f->peer};

    assert_int_equal(trust_review(f->t, live, 1, NOW, note_closed, f), 0);
}

/* ---- Pins ------------------------------------------------------------------------------------ */

static void a_stranger_is_refused(void **state)
{
    struct fixture *f = *state;

    refused(f, slice_of(NULL, 0), TRUST_UNKNOWN);
    assert_int_equal(trust_grants(f->t, &f->peer, NOW), 0);
}

static void a_pinned_peer_is_let_in_under_the_name_of_its_section(void **state)
{
    struct fixture *f = *state;

    pin(f, "by-both", f->peer.static_key, f->peer.entity, 0, BERTH_OK);
    admitted(f, slice_of(NULL, 0), TRUST_PINNED);
    assert_string_equal(f->peer.name, "by-both");
    assert_int_equal(f->peer.expires_wall_s, INT64_MAX);
    trust_unpin(f->t, slice_str("by-both"));
    pin(f, "by-key", f->peer.static_key, NULL, 0, BERTH_OK);
    admitted(f, slice_of(NULL, 0), TRUST_PINNED);
    assert_string_equal(f->peer.name, "by-key");
    trust_unpin(f->t, slice_str("by-key"));
    pin(f, "by-entity", NULL, f->peer.entity, 0, BERTH_OK);
    admitted(f, slice_of(NULL, 0), TRUST_PINNED);
    assert_string_equal(f->peer.name, "by-entity");
}

/* Half a match is an impostor or a mistake; a certificate does not mend it. */
static void a_peer_with_one_key_other_than_pinned_is_refused(void **state)
{
    const uint8_t other[32] = {9};
    struct fixture *f = *state;

    trust_the_realm(f);
    pin(f, "a", f->peer.static_key, other, 0, BERTH_OK);
    refused(f, certificate_of(f), TRUST_MISMATCH);
    pin(f, "a", other, f->peer.entity, 0, BERTH_OK);
    refused(f, certificate_of(f), TRUST_MISMATCH);
    pin(f, "a", NULL, f->peer.entity, 0, BERTH_OK);
    pin(f, "b", f->peer.static_key, NULL, 0, BERTH_OK);
    refused(f, certificate_of(f), TRUST_MISMATCH);
}

static void a_key_is_pinned_once(void **state)
{
    const uint8_t other[32] = {9};
    struct fixture *f = *state;

    pin(f, "a", f->peer.static_key, f->peer.entity, 0, BERTH_OK);
    pin(f, "b", f->peer.static_key, NULL, 0, BERTH_ERR_EXISTS);
    pin(f, "b", other, f->peer.entity, 0, BERTH_ERR_EXISTS);
    assert_null(trust_pinned(f->t, slice_str("b")));
    pin(f, "no name", NULL, NULL, 0, BERTH_ERR_INVALID);
    /* its own section may say the same again, or change */
    pin(f, "a", f->peer.static_key, NULL, TRUST_MAY_SPAWN, BERTH_OK);
    pin(f, "b", other, f->peer.entity, 0, BERTH_OK);
    assert_int_equal(trust_unpin(f->t, slice_str("a")), BERTH_OK);
    assert_int_equal(trust_unpin(f->t, slice_str("a")), BERTH_ERR_NOT_FOUND);
}

static void this_node_itself_is_refused(void **state)
{
    struct fixture *f = *state;

    memcpy(f->peer.entity, f->self.entity, 32);
    pin(f, "me", f->peer.static_key, f->self.entity, 0, BERTH_OK);
    refused(f, slice_of(NULL, 0), TRUST_SELF);
}

/* ---- Certificates ---------------------------------------------------------------------------- */

static void a_certified_node_is_let_in_until_its_certificate_ends(void **state)
{
    struct fixture *f = *state;

    refused(f, certificate_of(f), TRUST_REALM);
    trust_the_realm(f);
    admitted(f, certificate_of(f), TRUST_CERTIFIED);
    assert_string_equal(f->peer.name, "node-a");
    assert_int_equal(f->peer.expires_wall_s, NOW + 1000);
    assert_int_equal(trust_grants(f->t, &f->peer, NOW), 0); /* delivery 6: membership grants none */
}

static void the_tolerance_of_clocks_is_exact(void **state)
{
    struct fixture *f = *state;

    trust_the_realm(f);
    for (int side = 0; side < 2; side++) {
        int64_t edge =
            side ? NOW + 1000 + TRUST_CLOCK_TOLERANCE_S : NOW - 1000 - TRUST_CLOCK_TOLERANCE_S;

        assert_int_equal(trust_admit(f->t, &f->peer, certificate_of(f), edge, NULL, NULL),
                         BERTH_OK);
        refused_at(f, certificate_of(f), edge + (side ? 1 : -1), TRUST_TIME);
    }
}

static void a_certificate_of_somebody_else_is_refused(void **state)
{
    struct fixture *f = *state;

    trust_the_realm(f);
    f->len = certify(f->certificate, &f->realm, f->self.entity, "node-a", 7);
    refused(f, certificate_of(f), TRUST_CERTIFICATE);
}

static void a_forged_or_damaged_certificate_is_refused(void **state)
{
    struct fixture *f = *state;

    trust_the_realm(f);
    /* by the node itself, in the name of the realm */
    f->len = certify(f->certificate, &f->node, f->node.entity, "node-a", 7);
    refused(f, certificate_of(f), TRUST_REALM);
    memcpy(f->certificate + 1, f->realm.entity, 32);
    refused(f, certificate_of(f), TRUST_CERTIFICATE);
    refused(f, slice_of(f->certificate, f->len - 1), TRUST_CERTIFICATE);
    refused(f, slice_str("x"), TRUST_CERTIFICATE);
}

static void the_name_of_a_pinned_peer_cannot_be_taken_by_certificate(void **state)
{
    const uint8_t other[32] = {9};
    struct fixture *f = *state;

    trust_the_realm(f);
    pin(f, "node-a", other, NULL, TRUST_MAY_SPAWN, BERTH_OK);
    refused(f, certificate_of(f), TRUST_NAME);
    assert_int_equal(trust_grants(f->t, &f->peer, NOW), 0);
}

/* ---- Revocation ------------------------------------------------------------------------------ */

static void a_revoked_certificate_is_refused_and_its_session_closed(void **state)
{
    struct fixture *f = *state;

    trust_the_realm(f);
    admitted(f, certificate_of(f), TRUST_CERTIFIED);
    revoke(f, 1, 8, NULL, BERTH_OK);
    may_stay(f);
    revoke(f, 2, 7, NULL, BERTH_OK);
    must_close(f, "certificate 7 of 'node-a' was revoked");
    refused(f, certificate_of(f), TRUST_REVOKED);
    /* a new one is another */
    f->len = certify(f->certificate, &f->realm, f->node.entity, "node-a", 9);
    admitted(f, certificate_of(f), TRUST_CERTIFIED);
}

static void a_revoked_entity_is_refused_with_any_certificate_and_when_pinned(void **state)
{
    struct fixture *f = *state;

    trust_the_realm(f);
    pin(f, "a", f->peer.static_key, f->peer.entity, TRUST_MAY_SPAWN, BERTH_OK);
    admitted(f, slice_of(NULL, 0), TRUST_PINNED);
    revoke(f, 1, 0, f->peer.entity, BERTH_OK);
    must_close(f, "was revoked by its realm");
    refused(f, slice_of(NULL, 0), TRUST_REVOKED);
    assert_false(trust_may(f->t, &f->peer, TRUST_MAY_SPAWN, NOW));
    trust_unpin(f->t, slice_str("a"));
    f->len = certify(f->certificate, &f->realm, f->node.entity, "node-a", 99);
    refused(f, certificate_of(f), TRUST_REVOKED);
}

/* Who brings an old list cannot give back what was taken. */
static void nobody_goes_back_to_a_lower_number(void **state)
{
    struct fixture *f = *state;
    slice kept;

    revoke(f, 1, 7, NULL, BERTH_ERR_REFUSED); /* of no trusted realm */
    trust_the_realm(f);
    assert_int_equal(trust_revocations(f->t, f->realm.entity).len, 0);
    revoke(f, 5, 7, NULL, BERTH_OK);
    revoke(f, 5, 8, NULL, BERTH_ERR_STALE);
    revoke(f, 4, 8, NULL, BERTH_ERR_STALE);
    refused(f, certificate_of(f), TRUST_REVOKED);
    kept = trust_revocations(f->t, f->realm.entity);
    assert_int_equal(kept.len, REVOCATION_MIN + 8);
    assert_int_equal(trust_revoke(f->t, kept, NULL), BERTH_ERR_STALE);
    /* a list is whole: what the next does not name is back */
    revoke(f, 6, 8, NULL, BERTH_OK);
    admitted(f, certificate_of(f), TRUST_CERTIFIED);
}

static void a_list_that_the_realm_did_not_sign_changes_nothing(void **state)
{
    struct fixture *f = *state;
    revocation_list list = {.number = UINT64_MAX};
    writer bytes = {0};

    trust_the_realm(f);
    assert_int_equal(revocation_add_serial(&list, 7), BERTH_OK);
    assert_int_equal(revocation_sign(&list, &f->node, NULL), BERTH_OK);
    memcpy(list.realm, f->realm.entity, 32);
    revocation_encode(&bytes, &list);
    assert_int_equal(trust_revoke(f->t, slice_of(bytes.data, bytes.len), NULL),
                     BERTH_ERR_SIGNATURE);
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(trust_revoke(f->t, slice_of(bytes.data, len), NULL), BERTH_ERR_CORRUPT);
    admitted(f, certificate_of(f), TRUST_CERTIFIED);
    revoke(f, 1, 7, NULL, BERTH_OK);
    revocation_free(&list);
    writer_free(&bytes);
}

/* ---- Changes --------------------------------------------------------------------------------- */

static void a_change_names_the_live_peers_that_it_ends(void **state)
{
    const uint8_t other[32] = {9};
    struct fixture *f = *state;

    pin(f, "a", f->peer.static_key, NULL, 0, BERTH_OK);
    admitted(f, slice_of(NULL, 0), TRUST_PINNED);
    pin(f, "a", f->peer.static_key, f->peer.entity, 0, BERTH_OK);
    may_stay(f);
    pin(f, "a", f->peer.static_key, other, 0, BERTH_OK);
    must_close(f, "not the one that is pinned");
    assert_int_equal(trust_unpin(f->t, slice_str("a")), BERTH_OK);
    must_close(f, "no longer pinned");

    trust_the_realm(f);
    admitted(f, certificate_of(f), TRUST_CERTIFIED);
    assert_int_equal(trust_remove_realm(f->t, f->realm.entity), BERTH_OK);
    must_close(f, "does not trust");
    assert_int_equal(trust_remove_realm(f->t, f->realm.entity), BERTH_ERR_NOT_FOUND);
    trust_the_realm(f);
    may_stay(f);
    assert_int_equal(
        trust_still(f->t, &f->peer, NOW + 1000 + TRUST_CLOCK_TOLERANCE_S + 1, NULL, NULL),
        BERTH_ERR_REFUSED);
}

/* ---- Grants ---------------------------------------------------------------------------------- */

static void grants_are_those_of_the_section_and_change_with_it(void **state)
{
    struct fixture *f = *state;

    pin(f, "a", f->peer.static_key, NULL, TRUST_MAY_RELAY | TRUST_MAY_MIGRATE_IN, BERTH_OK);
    admitted(f, slice_of(NULL, 0), TRUST_PINNED);
    assert_true(trust_may(f->t, &f->peer, TRUST_MAY_RELAY, NOW));
    assert_true(trust_may(f->t, &f->peer, TRUST_MAY_MIGRATE_IN, NOW));
    assert_false(trust_may(f->t, &f->peer, TRUST_MAY_SPAWN, NOW));
    pin(f, "a", f->peer.static_key, NULL, TRUST_MAY_SPAWN, BERTH_OK);
    assert_int_equal(trust_grants(f->t, &f->peer, NOW), TRUST_MAY_SPAWN);
}

static void a_section_without_keys_grants_to_the_certified_node_of_its_name(void **state)
{
    struct fixture *f = *state;

    pin(f, "node-a", NULL, NULL, TRUST_MAY_SPAWN, BERTH_OK);
    refused(f, slice_of(NULL, 0), TRUST_UNKNOWN); /* it lets nobody in */
    trust_the_realm(f);
    admitted(f, certificate_of(f), TRUST_CERTIFIED);
    assert_true(trust_may(f->t, &f->peer, TRUST_MAY_SPAWN, NOW));
    revoke(f, 1, 7, NULL, BERTH_OK);
    assert_int_equal(trust_grants(f->t, &f->peer, NOW), 0);
}

static void words_of_grants_are_known_and_no_others(void **state)
{
    berth_error error = {0};
    uint32_t may = 0;

    (void)state;
    for (unsigned bit = 0; bit < 6; bit++) {
        assert_non_null(trust_grant_word(1u << bit));
        assert_int_equal(trust_grant_add(&may, slice_str(trust_grant_word(1u << bit)), NULL),
                         BERTH_OK);
        assert_int_equal(may, (1u << (bit + 1)) - 1);
    }
    assert_null(trust_grant_word(1u << 6));
    assert_null(trust_grant_word(3));
    assert_int_equal(trust_grant_add(&may, slice_str("everything"), &error), BERTH_ERR_INVALID);
    assert_non_null(strstr(error.text, "'everything'"));
    assert_int_equal(trust_grant_add(&may, slice_str(""), NULL), BERTH_ERR_INVALID);
}

/* ---- Bounds ---------------------------------------------------------------------------------- */

static void realms_have_a_bound(void **state)
{
    struct fixture *f = *state;
    uint8_t realm[32] = {0};

    for (unsigned i = 0; i < TRUST_REALMS_MAX; i++) {
        realm[0] = (uint8_t)(i + 1);
        assert_int_equal(trust_add_realm(f->t, realm, NULL), BERTH_OK);
    }
    assert_int_equal(trust_add_realm(f->t, realm, NULL), BERTH_ERR_EXISTS);
    realm[0]++;
    assert_int_equal(trust_add_realm(f->t, realm, NULL), BERTH_ERR_LIMIT);
    assert_int_equal(trust_remove_realm(f->t, (uint8_t[32]){1}), BERTH_OK);
    assert_int_equal(trust_add_realm(f->t, realm, NULL), BERTH_OK);
}

static void pins_have_a_bound(void **state)
{
    struct fixture *f = *state;
    trust_peer p = {0};

    for (int i = 0; i < TRUST_PEERS_MAX; i++) {
        snprintf(p.name, sizeof p.name, "n%d", i);
        assert_int_equal(trust_pin(f->t, &p, NULL), BERTH_OK);
    }
    assert_int_equal(trust_pin(f->t, &p, NULL), BERTH_OK);
    strcpy(p.name, "one-more");
    assert_int_equal(trust_pin(f->t, &p, NULL), BERTH_ERR_LIMIT);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH(a_stranger_is_refused),
        WITH(a_pinned_peer_is_let_in_under_the_name_of_its_section),
        WITH(a_peer_with_one_key_other_than_pinned_is_refused),
        WITH(a_key_is_pinned_once),
        WITH(this_node_itself_is_refused),
        WITH(a_certified_node_is_let_in_until_its_certificate_ends),
        WITH(the_tolerance_of_clocks_is_exact),
        WITH(a_certificate_of_somebody_else_is_refused),
        WITH(a_forged_or_damaged_certificate_is_refused),
        WITH(the_name_of_a_pinned_peer_cannot_be_taken_by_certificate),
        WITH(a_revoked_certificate_is_refused_and_its_session_closed),
        WITH(a_revoked_entity_is_refused_with_any_certificate_and_when_pinned),
        WITH(nobody_goes_back_to_a_lower_number),
        WITH(a_list_that_the_realm_did_not_sign_changes_nothing),
        WITH(a_change_names_the_live_peers_that_it_ends),
        WITH(grants_are_those_of_the_section_and_change_with_it),
        WITH(a_section_without_keys_grants_to_the_certified_node_of_its_name),
        WITH(words_of_grants_are_known_and_no_others),
        WITH(realms_have_a_bound),
        WITH(pins_have_a_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
