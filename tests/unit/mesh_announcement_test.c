/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "mesh/announcement.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t seed_a[32] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
                                   17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32};

static struct json_object *load(struct json_object **vector)
{
    struct json_object *all = NULL;
    buf *text = NULL;

    assert_int_equal(file_read(VECTORS_DIR "/announcement.json", 1 << 20, 0, &text, NULL),
                     BERTH_OK);
    assert_int_equal(json_parse(slice_of(text->data, text->len), 1 << 20, &all, NULL), BERTH_OK);
    buf_unref(text);
    assert_true(json_object_object_get_ex(all, "announcement", vector));
    return all;
}

static slice at(struct json_object *o, const char *key)
{
    slice out = {0};

    assert_int_equal(json_get_string(o, "", key, JSON_REQUIRED, &out, NULL), BERTH_OK);
    return out;
}

/* The announcement of the vector, not yet signed. */
static void fill(announcement *a)
{
    struct json_object *v, *all = load(&v), *tags = NULL;

    *a = (announcement){.version = 7, .timestamp_ns = 1700000000000000000, .ttl_s = 300};
    assert_int_equal(json_get_strings(v, "", "tags", JSON_REQUIRED, &tags, NULL), BERTH_OK);
    for (size_t i = 0; i < json_object_array_length(tags); i++)
        assert_int_equal(capabilities_add(&a->set, json_string_at(tags, i), NULL), BERTH_OK);
    assert_int_equal(
        capabilities_set(&a->set, slice_str("app::region"), slice_str("us-east"), NULL), BERTH_OK);
    json_object_put(all);
}

static void signed_text(writer *w, announcement *a)
{
    berth_keypair key;

    berth_keypair_from_seed(&key, seed_a);
    assert_int_equal(announcement_sign(w, a, &key, NULL), BERTH_OK);
}

static void has_digest(const writer *w, struct json_object *v, const char *size, const char *digest)
{
    uint8_t expected[32], actual[32];
    uint64_t n = 0;

    assert_int_equal(json_get_u64(v, "", size, JSON_REQUIRED, &n, NULL), BERTH_OK);
    assert_int_equal(w->len, n);
    assert_int_equal(json_get_hex(v, "", digest, JSON_REQUIRED, expected, 32, NULL), BERTH_OK);
    crypto_hash_sha256(actual, w->data, w->len);
    assert_memory_equal(actual, expected, 32);
}

static slice text_of(const writer *w)
{
    return slice_of(w->data, w->len);
}

/* channels-tokens-capabilities 22, 20.7 signed_payload_canonical_is_byte_identical */
static void an_announcement_has_the_bytes_and_the_signature_of_the_vector(void **state)
{
    struct json_object *v, *all = load(&v);
    writer plain = {0}, wire = {0}, hop = {0};
    uint8_t signature[64];
    announcement a;

    (void)state;
    fill(&a);
    signed_text(&wire, &a);
    announcement_write_signed(&plain, &a);
    assert_true(slice_eq(text_of(&plain), at(v, "signed")));
    assert_true(hex_decode(signature, 64, at(v, "signature")));
    assert_memory_equal(a.signature, signature, 64);
    has_digest(&wire, v, "wire_size", "wire_sha256");
    assert_int_equal(announcement_write_hop(&hop, text_of(&wire), 1, NULL), BERTH_OK);
    has_digest(&hop, v, "hop_size", "hop_sha256");
    announcement_fini(&a);
    writer_free(&plain);
    writer_free(&wire);
    writer_free(&hop);
    json_object_put(all);
}

/* 20.7 hop_count roundtrips, populated_allow_lists_round_trip, reflex_addr_roundtrips */
static void what_is_written_is_read_back(void **state)
{
    announcement a, b;
    writer wire = {0}, again = {0};

    (void)state;
    fill(&a);
    a.hop_count = 3;
    strcpy(a.reflex, "[2001:db8::7]:4433");
    a.node_count = 2;
    a.nodes[0] = UINT64_MAX;
    a.subnet_count = a.group_count = 2;
    memset(a.subnets, 0xff, sizeof a.subnets[0]);
    a.groups[1][31] = 200;
    assert_int_equal(
        capabilities_add(&a.set, slice_str("odd \"\\/\b\f\n\r\t\x01\x7f \xc3\xa9"), NULL),
        BERTH_OK);
    signed_text(&wire, &a);
    assert_non_null(
        memmem(wire.data, wire.len, "odd \\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7f \xc3\xa9", 28));
    assert_int_equal(announcement_read(&b, text_of(&wire), NULL), BERTH_OK);
    announcement_write(&again, &b);
    assert_true(slice_eq(text_of(&wire), text_of(&again)));
    assert_true(b.nodes[0] == UINT64_MAX && b.groups[1][31] == 200 && b.hop_count == 3);
    assert_string_equal(b.reflex, "[2001:db8::7]:4433");
    assert_int_equal(announcement_verify(&b, text_of(&wire), NULL, NULL), BERTH_OK);
    announcement_fini(&a);
    announcement_fini(&b);
    writer_free(&wire);
    writer_free(&again);
}

/* 20.7 json_tag_serialization_is_byte_stable_across_insertion_orders, wire_format_round_trips */
static void the_order_of_adding_does_not_show(void **state)
{
    static const char *const tags[] = {"b", "a", "hardware.gpu", "a", "\xc3\xa9", "hardware.gpu=x"};
    capabilities x = {0}, y = {0};
    writer one = {0}, two = {0};

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(capabilities_add(&x, slice_str(tags[i]), NULL), BERTH_OK);
        assert_int_equal(capabilities_add(&y, slice_str(tags[5 - i]), NULL), BERTH_OK);
    }
    capabilities_write(&one, &x);
    capabilities_write(&two, &y);
    assert_true(slice_eq(text_of(&one), text_of(&two)));
    assert_true(slice_eq(text_of(&one),
                         slice_str("{\"tags\":[\"a\",\"b\",\"hardware.gpu\",\"hardware.gpu=x\","
                                   "\"\xc3\xa9\"],\"metadata\":{}}")));
    assert_true(capabilities_equal(&x, &y));
    capabilities_fini(&x);
    capabilities_fini(&y);
    writer_free(&one);
    writer_free(&two);
}

/* 20.7 signature_verifies_across_hop_count_bumps, _rejects_tampered_payload_even_at_hop_zero,
 * signed_announcement_with_allow_lists_rejects_tampered */
static void a_signature_covers_all_but_the_hop_count(void **state)
{
    writer wire = {0}, hop = {0};
    announcement a, b;

    (void)state;
    fill(&a);
    a.node_count = 1;
    signed_text(&wire, &a);
    for (unsigned i = 1; i < 256; i += 51) {
        hop.len = 0;
        assert_int_equal(announcement_write_hop(&hop, text_of(&wire), (uint8_t)i, NULL), BERTH_OK);
        assert_int_equal(announcement_read(&b, text_of(&hop), NULL), BERTH_OK);
        assert_int_equal(b.hop_count, i);
        assert_int_equal(announcement_verify(&b, text_of(&hop), NULL, NULL), BERTH_OK);
        announcement_fini(&b);
    }
    /* each byte, one at a time: either it does not parse, or it does not verify, unless it only
     * writes a hex digit in the other case */
    for (size_t i = 0; i < wire.len; i++) {
        wire.data[i] ^= 1;
        if (announcement_read(&b, text_of(&wire), NULL) == BERTH_OK) {
            assert_int_equal(announcement_verify(&b, text_of(&wire), NULL, NULL),
                             BERTH_ERR_SIGNATURE);
            announcement_fini(&b);
        }
        wire.data[i] ^= 1;
    }
    announcement_fini(&a);
    writer_free(&wire);
    writer_free(&hop);
}

/* 21.26: an unknown member is signed, and survives being passed on */
static void unknown_members_survive_being_passed_on(void **state)
{
    static const char text[] =
        "{\"node_id\":1,\"entity_id\":\"%s\",\"version\":1,\"timestamp_ns\":1,"
        "\"ttl_secs\":1,\"later\":[{\"hop_count\":9}],\"capabilities\":{}%s}";
    char hex[BERTH_ENTITY_TEXT], plain[512], more[160], sig[129], wire[512];
    berth_keypair key;
    writer hop = {0};
    announcement a;
    uint8_t s[64];

    (void)state;
    berth_keypair_from_seed(&key, seed_a);
    snprintf(plain, sizeof plain, text, berth_entity_text(hex, key.entity), "");
    berth_sign_must(&key, plain, strlen(plain), s);
    snprintf(more, sizeof more, ",\"signature\":\"%s\"", hex_encode(sig, slice_of(s, 64)));
    snprintf(wire, sizeof wire, text, hex, more);
    assert_int_equal(announcement_write_hop(&hop, slice_str(wire), 2, NULL), BERTH_OK);
    assert_int_equal(announcement_read(&a, text_of(&hop), NULL), BERTH_OK);
    assert_int_equal(a.hop_count, 2);
    assert_int_equal(announcement_verify(&a, text_of(&hop), NULL, NULL), BERTH_OK);
    assert_non_null(memmem(hop.data, hop.len, "\"later\":[{\"hop_count\":9}]", 25));
    announcement_fini(&a);
    writer_free(&hop);
}

/* wherever the two members stand that are not signed, the rest is what verifies */
static void the_place_of_the_hop_count_does_not_matter(void **state)
{
    static const char hops[] = "\"hop_count\":9,";
    writer wire = {0}, other = {0};
    announcement a, b;
    uint8_t *mark;
    size_t at;

    (void)state;
    fill(&a);
    signed_text(&wire, &a);
    mark = memmem(wire.data, wire.len, "\"signature\"", 11);
    at = (size_t)(mark - wire.data);
    writer_bytes(&other, wire.data, at);
    writer_bytes(&other, hops, sizeof hops - 1);
    writer_bytes(&other, wire.data + at, wire.len - at);
    assert_int_equal(announcement_read(&b, text_of(&other), NULL), BERTH_OK);
    assert_int_equal(b.hop_count, 9);
    assert_int_equal(announcement_verify(&b, text_of(&other), NULL, NULL), BERTH_OK);
    announcement_fini(&a);
    announcement_fini(&b);
    writer_free(&wire);
    writer_free(&other);
}

static void refused(const char *format, const char *value)
{
    berth_error error = {0};
    char text[16384];
    announcement a;

    snprintf(text, sizeof text, format, value);
    if (announcement_read(&a, slice_str(text), &error) == BERTH_OK)
        fail_msg("accepted: %s", text);
    assert_true(error.text[0]);
    assert_int_equal(a.set.tag_count, 0);
}

#define BASE "\"entity_id\":\"79b5562e8fe654f94078b112e8a98ba7901f853ae695bed7e0e3910bad049664\""
#define REST "\"version\":7,\"timestamp_ns\":1,\"ttl_secs\":300,"

/* 14.1: input tolerance; the issue: announcements with lying sizes */
static void what_is_no_announcement_is_refused(void **state)
{
    static const char *const members[] = {
        "\"capabilities\":[]",
        "\"capabilities\":null",
        "\"capabilities\":{\"tags\":[\"\"]}",
        "\"capabilities\":{\"tags\":[1]}",
        "\"capabilities\":{\"tags\":null}",
        "\"capabilities\":{\"metadata\":{\"a\":1}}",
        "\"capabilities\":{\"metadata\":{\"a\":\"1\",\"a\":\"2\"}}",
        "\"capabilities\":{},\"capabilities\":{}",
        "\"capabilities\":{},\"hop_count\":256",
        "\"capabilities\":{},\"hop_count\":-1",
        "\"capabilities\":{},\"hop_count\":1.0",
        "\"capabilities\":{},\"hop_count\":null",
        "\"capabilities\":{},\"h\\u006fp_count\":3",
        "\"capabilities\":{},\"signature\":\"00\"",
        "\"capabilities\":{},\"signature\":7",
        "\"capabilities\":{},\"reflex_addr\":\"here\"",
        "\"capabilities\":{},\"reflex_addr\":\"1.2.3.4\"",
        "\"capabilities\":{},\"reflex_addr\":\"1.2.3.4:65536\"",
        "\"capabilities\":{},\"reflex_addr\":\"1.2.3.4:x\"",
        "\"capabilities\":{},\"reflex_addr\":\"::1:80\"",
        "\"capabilities\":{},\"reflex_addr\":\"[]:80\"",
        "\"capabilities\":{},\"reflex_addr\":\":\"",
        "\"capabilities\":{},\"reflex_addr\":\"\"",
        "\"capabilities\":{},\"allowed_nodes\":[-1]",
        "\"capabilities\":{},\"allowed_nodes\":[\"1\"]",
        "\"capabilities\":{},\"allowed_nodes\":{}",
        "\"capabilities\":{},\"allowed_subnets\":[[1,2]]",
        "\"capabilities\":{},\"allowed_subnets\":[[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,256]]",
        "\"capabilities\":{},\"allowed_groups\":[1]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        refused("{\"node_id\":1," BASE "," REST "%s}", members[i]);
    refused("{\"node_id\":1," BASE "," REST "\"capabilities\":{}}%s", " x");
    refused("{\"node_id\":%s," BASE "," REST "\"capabilities\":{}}", "18446744073709551616");
    refused("{\"node_id\":%s," BASE "," REST "\"capabilities\":{}}", "\"1\"");
    refused("{\"node_id\":1,\"entity_id\":\"%s\"," REST "\"capabilities\":{}}", "79b5");
    refused("{\"node_id\":1," BASE ",\"version\":7,\"timestamp_ns\":1,\"ttl_secs\":%s,"
            "\"capabilities\":{}}",
            "4294967296");
    refused("%s", "");
    refused("%s", "[]");
    refused("%s", "7");
}

/* 20.7 allow_list cap: documented 64, over rejected, at cap accepted */
static void an_allow_list_holds_64_entries(void **state)
{
    char text[2048];
    announcement a;

    (void)state;
    for (unsigned n = 63; n <= 65; n++) {
        size_t len = (size_t)snprintf(text, sizeof text,
                                      "{\"node_id\":1," BASE "," REST
                                      "\"capabilities\":{},\"allowed_nodes\":[1");

        for (unsigned i = 1; i < n; i++)
            len += (size_t)snprintf(text + len, sizeof text - len, ",%u", i);
        snprintf(text + len, sizeof text - len, "]}");
        if (n > 64) {
            assert_int_equal(announcement_read(&a, slice_str(text), NULL), BERTH_ERR_INVALID);
        } else {
            assert_int_equal(announcement_read(&a, slice_str(text), NULL), BERTH_OK);
            assert_int_equal(a.node_count, n);
            announcement_fini(&a);
        }
    }
}

/* 21.3: refused before it is sent, and with room for the hops to come */
static void one_that_is_too_large_is_refused_by_its_signer_and_by_its_reader(void **state)
{
    char value[ANNOUNCEMENT_MAX];
    berth_keypair key;
    announcement a, b;
    writer wire = {0}, hop = {0};
    size_t spare;

    (void)state;
    berth_keypair_from_seed(&key, seed_a);
    memset(value, 'x', sizeof value);
    fill(&a);
    assert_int_equal(capabilities_set(&a.set, slice_str("v"), slice_str(""), NULL), BERTH_OK);
    assert_int_equal(announcement_sign(&wire, &a, &key, NULL), BERTH_OK);
    spare = ANNOUNCEMENT_MAX_OWN - wire.len;
    for (size_t more = 0; more < 3; more++) {
        size_t n = spare - 1 + more;

        wire.len = 0;
        assert_int_equal(capabilities_set(&a.set, slice_str("v"), slice_of(value, n), NULL),
                         BERTH_OK);
        assert_int_equal(announcement_sign(&wire, &a, &key, NULL),
                         n > spare ? BERTH_ERR_LIMIT : BERTH_OK);
        assert_int_equal(wire.len, n > spare ? 0 : ANNOUNCEMENT_MAX_OWN - 1 + more);
        if (!wire.len)
            continue;
        hop.len = 0;
        assert_int_equal(announcement_write_hop(&hop, text_of(&wire), 15, NULL), BERTH_OK);
        assert_int_equal(announcement_read(&b, text_of(&hop), NULL), BERTH_OK);
        announcement_fini(&b);
    }
    assert_int_equal(hop.len, ANNOUNCEMENT_MAX);
    writer_u8(&hop, '\n');
    assert_int_equal(announcement_read(&b, text_of(&hop), NULL), BERTH_ERR_LIMIT);
    announcement_fini(&a);
    writer_free(&wire);
    writer_free(&hop);
}

/* 20.7 max_capability_hops_matches_pingwave_contract */
static void there_are_16_hops(void **state)
{
    (void)state;
    assert_int_equal(ANNOUNCEMENT_HOPS, 16);
}

static void one_without_a_signature_does_not_verify(void **state)
{
    writer w = {0};
    announcement a, b;
    berth_keypair key;

    (void)state;
    fill(&a);
    announcement_write(&w, &a);
    assert_int_equal(announcement_read(&b, text_of(&w), NULL), BERTH_OK);
    assert_int_equal(announcement_verify(&b, text_of(&w), NULL, NULL), BERTH_ERR_SIGNATURE);
    berth_keypair_public(&key, a.entity);
    assert_int_equal(announcement_sign(&w, &a, &key, NULL), BERTH_ERR_READ_ONLY);
    announcement_fini(&a);
    announcement_fini(&b);
    writer_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_announcement_has_the_bytes_and_the_signature_of_the_vector),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(the_order_of_adding_does_not_show),
        cmocka_unit_test(a_signature_covers_all_but_the_hop_count),
        cmocka_unit_test(unknown_members_survive_being_passed_on),
        cmocka_unit_test(the_place_of_the_hop_count_does_not_matter),
        cmocka_unit_test(what_is_no_announcement_is_refused),
        cmocka_unit_test(an_allow_list_holds_64_entries),
        cmocka_unit_test(one_that_is_too_large_is_refused_by_its_signer_and_by_its_reader),
        cmocka_unit_test(there_are_16_hops),
        cmocka_unit_test(one_without_a_signature_does_not_verify),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
