/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chain/chain.h"
#include "chain/container.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define HEAD    8
#define SECTION 16
#define DIGEST  32

static container_cursor cursors[] = {{{(const uint8_t *)"bb", 2}, 7},
                                     {{(const uint8_t *)"b", 1}, 9},
                                     {{(const uint8_t *)"a\0c", 3}, UINT64_MAX}};
static container_timer timers[] = {{2, -5, 1700000000000000000, {(const uint8_t *)"tick", 4}},
                                   {1, 1000000000, 0, {NULL, 0}}};
static container_request requests[] = {{9, 0xAAAA, 5}, {8, 0xBBBB, INT64_MIN}};

/* A container that says everything there is to say. */
static void sample(container *c, berth_keypair *key)
{
    memset(c, 0, sizeof *c);
    berth_keypair_generate(key);
    memcpy(c->snapshot.entity, key->entity, 32);
    c->snapshot.link = (berth_link){key->origin, 1, 10, 2};
    c->snapshot.state = slice_str("state");
    c->snapshot.has_next_parent = true;
    c->snapshot.next_parent = 0xfeed;
    c->name = slice_str("thermostat-1");
    c->kind = slice_str("org.example.thermostat");
    c->plugin_name = slice_str("thermostat");
    memset(c->plugin_digest, 0xD1, 32);
    c->state_version = 3;
    c->started = true;
    c->incarnation = 4;
    c->epoch = 5;
    c->inputs = 6;
    assert_true(horizon_observe(&c->horizon, 0xAAAA, 3, 1));
    assert_true(horizon_observe(&c->horizon, 0xBBBB, 4, 1)); /* overflows */
    c->cursors = cursors;
    c->cursor_count = 3;
    c->timers = timers;
    c->timer_count = 2;
    c->requests = requests;
    c->request_count = 2;
}

static void seal_digest(writer *w)
{
    crypto_generichash(w->data + w->len - DIGEST, DIGEST, w->data, w->len - DIGEST, NULL, 0);
}

static void refused(const void *bytes, size_t len, berth_status status, const char *part)
{
    static const container nothing;
    uint8_t *exact = malloc(len ? len : 1);
    berth_error error = {0};
    container out;

    memcpy(exact, bytes, len);
    memset(&out, 0xAA, sizeof out);
    assert_int_equal(container_decode(&out, slice_of(exact, len), &error), status);
    assert_memory_equal(&out, &nothing, sizeof out);
    if (!strstr(error.text, part))
        fail_msg("'%s' does not say '%s'", error.text, part);
    free(exact);
}

static void everything_survives_the_bytes(void **state)
{
    container c, back;
    berth_keypair key;
    writer w = {0};

    (void)state;
    sample(&c, &key);
    assert_int_equal(container_encode(&w, &c, NULL), BERTH_OK);
    assert_memory_equal(w.data, "BSN1", 4);
    assert_int_equal(container_decode(&back, slice_of(w.data, w.len), NULL), BERTH_OK);
    assert_false(back.bare || back.guessed);
    assert_memory_equal(back.snapshot.entity, key.entity, 32);
    assert_memory_equal(&back.snapshot.link, &c.snapshot.link, sizeof c.snapshot.link);
    assert_true(slice_eq(back.snapshot.state, c.snapshot.state));
    assert_true(back.snapshot.has_next_parent && back.snapshot.next_parent == 0xfeed);
    assert_true(slice_eq(back.name, c.name) && slice_eq(back.kind, c.kind));
    assert_true(slice_eq(back.plugin_name, c.plugin_name));
    assert_memory_equal(back.plugin_digest, c.plugin_digest, 32);
    assert_true(back.started && back.state_version == 3);
    assert_true(back.incarnation == 4 && back.epoch == 5 && back.inputs == 6);
    assert_true(horizon_has_observed(&back.horizon, 0xAAAA, 3));
    assert_true(horizon_overflow(&back.horizon) == 1);
    assert_true(horizon_encode(&back.horizon) == horizon_encode(&c.horizon));

    assert_int_equal(back.cursor_count, 3); /* ordered by source */
    assert_true(slice_eq(back.cursors[0].source, cursors[2].source));
    assert_true(back.cursors[0].sequence == UINT64_MAX);
    assert_true(slice_eq(back.cursors[1].source, slice_str("b")));
    assert_true(slice_eq(back.cursors[2].source, slice_str("bb")));
    assert_int_equal(back.timer_count, 2); /* by number */
    assert_true(back.timers[0].number == 1 && back.timers[0].remaining_ns == 1000000000);
    assert_true(back.timers[1].number == 2 && back.timers[1].remaining_ns == -5);
    assert_true(back.timers[1].deadline_wall == timers[0].deadline_wall);
    assert_true(slice_eq(back.timers[1].data, slice_str("tick")));
    assert_int_equal(back.request_count, 2);
    assert_true(back.requests[0].request == 8 && back.requests[0].target == 0xBBBB);
    assert_true(back.requests[0].deadline_wall == INT64_MIN);
    container_fini(&back);
    horizon_fini(&c.horizon);
    writer_free(&w);
}

static void equal_contents_are_equal_bytes(void **state)
{
    writer a = {0}, b = {0};
    container c, back;
    berth_keypair key;

    (void)state;
    sample(&c, &key);
    container_encode(&a, &c, NULL);
    assert_int_equal(container_decode(&back, slice_of(a.data, a.len), NULL), BERTH_OK);
    assert_int_equal(container_encode(&b, &back, NULL), BERTH_OK);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    container_fini(&back);
    horizon_fini(&c.horizon);
    writer_free(&a);
    writer_free(&b);
}

/* With head and tail behind what their writers had before. */
static void around_a_state_it_is_the_same_bytes(void **state)
{
    static const size_t sizes[] = {0, 1, 5, 100000};
    berth_keypair key;
    container c;

    (void)state;
    sample(&c, &key);
    c.snapshot.bindings = slice_str("bindings");
    for (unsigned i = 0; i < 4; i++) {
        uint8_t *bytes = calloc(1, sizes[i] + 1);
        writer whole = {0}, head = {0}, tail = {0};
        uint8_t digest[CONTAINER_DIGEST];

        memset(bytes, 0x5A, sizes[i]);
        c.snapshot.state = slice_of(bytes, sizes[i]);
        writer_u8(&head, 1);
        writer_u8(&tail, 2);
        assert_int_equal(container_encode(&whole, &c, NULL), BERTH_OK);
        assert_int_equal(container_encode_apart(&head, &tail, &c, NULL), BERTH_OK);
        container_digest(digest, slice_of(head.data + 1, head.len - 1), c.snapshot.state,
                         slice_of(tail.data + 1, tail.len - 1));
        writer_bytes(&tail, digest, sizeof digest);
        assert_int_equal(head.len - 1 + sizes[i] + tail.len - 1, whole.len);
        assert_memory_equal(head.data + 1, whole.data, head.len - 1);
        assert_memory_equal(bytes, whole.data + head.len - 1, sizes[i]);
        assert_memory_equal(tail.data + 1, whole.data + head.len - 1 + sizes[i], tail.len - 1);
        writer_free(&whole);
        writer_free(&head);
        writer_free(&tail);
        free(bytes);
    }
    horizon_fini(&c.horizon);
}

static void its_first_section_is_an_exact_snapshot(void **state)
{
    writer w = {0}, snap = {0};
    container c;
    berth_keypair key;

    (void)state;
    sample(&c, &key);
    container_encode(&w, &c, NULL);
    snapshot_encode(&snap, &c.snapshot, NULL);
    assert_memory_equal(w.data + HEAD, "SNAP", 4);
    assert_true(load_u64(w.data + HEAD + 8) == snap.len);
    assert_memory_equal(w.data + HEAD + SECTION, snap.data, snap.len);
    horizon_fini(&c.horizon);
    writer_free(&w);
    writer_free(&snap);
}

static void what_says_nothing_is_left_out(void **state)
{
    container c, back;
    berth_keypair key;
    writer w = {0};

    (void)state;
    sample(&c, &key);
    horizon_fini(&c.horizon);
    c.cursor_count = c.timer_count = c.request_count = 0;
    c.name = c.plugin_name = slice_of(NULL, 0);
    c.snapshot.has_next_parent = false;
    c.snapshot.link.sequence = 0;
    assert_int_equal(container_encode(&w, &c, NULL), BERTH_OK);
    assert_int_equal(w.len,
                     HEAD + 3 * SECTION + SNAPSHOT_MIN + 5 + c.kind.len + LIFE_SIZE + DIGEST);
    assert_int_equal(container_decode(&back, slice_of(w.data, w.len), NULL), BERTH_OK);
    assert_false(back.snapshot.has_next_parent || back.guessed || back.bare);
    assert_true(back.snapshot.next_parent == berth_link_parent(&c.snapshot.link, NULL, 0));
    assert_null(back.cursors);
    container_fini(&back);
    writer_free(&w);
}

/* compute-core 7.5, 18.1 */
static void a_bare_snapshot_is_read_and_its_guess_is_told(void **state)
{
    container c, back;
    berth_keypair key;
    writer w = {0};

    (void)state;
    sample(&c, &key);
    snapshot_encode(&w, &c.snapshot, NULL);
    assert_int_equal(container_decode(&back, slice_of(w.data, w.len), NULL), BERTH_OK);
    assert_true(back.bare && back.guessed);
    assert_false(back.started);
    assert_int_equal(back.kind.len, 0);
    assert_true(back.snapshot.next_parent ==
                berth_link_parent(&c.snapshot.link, c.snapshot.state.ptr, 5));
    container_fini(&back);

    c.snapshot.link = (berth_link){.origin = key.origin};
    w.len = 0;
    snapshot_encode(&w, &c.snapshot, NULL);
    assert_int_equal(container_decode(&back, slice_of(w.data, w.len), NULL), BERTH_OK);
    assert_true(back.bare && !back.guessed);
    assert_true(back.snapshot.next_parent == berth_link_parent(&c.snapshot.link, NULL, 0));
    container_fini(&back);
    horizon_fini(&c.horizon);
    writer_free(&w);
}

/* compute-core 18.1: through our own snapshot the chain goes on exactly, whatever the state is */
static void a_chain_goes_on_exactly_after_a_restore(void **state)
{
    berth_link before, after, twin;
    container c, back;
    chain whole, restored;
    berth_keypair key;
    writer w = {0};

    (void)state;
    sample(&c, &key);
    chain_init(&whole, key.origin);
    chain_append_apart(&whole, slice_str("not the state"), 0, &before);
    c.snapshot.link = whole.head;
    c.snapshot.next_parent = whole.next_parent;
    container_encode(&w, &c, NULL);
    assert_int_equal(container_decode(&back, slice_of(w.data, w.len), NULL), BERTH_OK);
    chain_resume(&restored, &back.snapshot.link, back.snapshot.next_parent);
    chain_append_apart(&restored, slice_str("next"), 0, &after);
    chain_append_apart(&whole, slice_str("next"), 0, &twin);
    assert_memory_equal(&after, &twin, sizeof after);
    assert_int_equal(berth_link_validate(&before, "not the state", 13, &after, NULL), BERTH_OK);
    container_fini(&back);
    horizon_fini(&c.horizon);
    writer_free(&w);
}

static void every_flipped_byte_and_every_cut_is_found(void **state)
{
    container c;
    berth_keypair key;
    writer w = {0};

    (void)state;
    sample(&c, &key);
    container_encode(&w, &c, NULL);
    for (size_t i = 0; i < w.len; i++) {
        w.data[i] ^= 0x40;
        refused(w.data, w.len, i == 4 || i == 5 ? BERTH_ERR_VERSION : BERTH_ERR_CORRUPT,
                "snapshot");
        w.data[i] ^= 0x40;
    }
    for (size_t len = 0; len < w.len; len++)
        refused(w.data, len, BERTH_ERR_CORRUPT, "snapshot");
    writer_u8(&w, 0);
    refused(w.data, w.len, BERTH_ERR_CORRUPT, "digest");
    refused("hello", 5, BERTH_ERR_CORRUPT, "neither with BSN1 nor with CDS1");
    horizon_fini(&c.horizon);
    writer_free(&w);
}

/* Bytes with one more section behind the sample's, and a right digest. */
static void with_section(writer *w, const char *tag, uint16_t flags, slice body)
{
    container c;
    berth_keypair key;

    w->len = 0;
    sample(&c, &key);
    container_encode(w, &c, NULL);
    horizon_fini(&c.horizon);
    w->len -= DIGEST;
    writer_bytes(w, tag, 4);
    writer_u16(w, flags);
    writer_u16(w, 0);
    writer_u64(w, body.len);
    writer_bytes(w, body.ptr, body.len);
    writer_bytes(w, "                                ", DIGEST);
    seal_digest(w);
}

static void an_unknown_section_is_skipped_or_named(void **state)
{
    container back;
    writer w = {0};

    (void)state;
    with_section(&w, "NEWS", 1, slice_str("whatever"));
    assert_int_equal(container_decode(&back, slice_of(w.data, w.len), NULL), BERTH_OK);
    assert_int_equal(back.request_count, 2);
    container_fini(&back);
    with_section(&w, "NEWS", 0, slice_str("whatever"));
    refused(w.data, w.len, BERTH_ERR_UNSUPPORTED, "'NEWS'");
    with_section(&w, "NEWS", 2, slice_str("whatever"));
    refused(w.data, w.len, BERTH_ERR_CORRUPT, "unknown flags");
    writer_free(&w);
}

static void a_section_twice_or_out_of_order_or_missing_is_refused(void **state)
{
    container c;
    berth_keypair key;
    writer w = {0};

    (void)state;
    with_section(&w, "RQST", 0, slice_str("x"));
    refused(w.data, w.len, BERTH_ERR_CORRUPT, "twice or out of order");
    with_section(&w, "KIND", 0, slice_str("other"));
    refused(w.data, w.len, BERTH_ERR_CORRUPT, "twice or out of order");
    memcpy(w.data + HEAD, "KIND", 4);
    seal_digest(&w);
    refused(w.data, w.len, BERTH_ERR_CORRUPT, "does not begin with its snapshot");

    sample(&c, &key);
    w.len = 0;
    container_encode(&w, &c, NULL);
    horizon_fini(&c.horizon);
    memcpy(w.data + HEAD + SECTION + SNAPSHOT_MIN + 5, "XXXX\1", 5); /* NAME becomes ignorable */
    seal_digest(&w);
    assert_int_equal(container_decode(&c, slice_of(w.data, w.len), NULL), BERTH_OK);
    assert_int_equal(c.name.len, 0);
    container_fini(&c);
    w.len = HEAD + SECTION + SNAPSHOT_MIN + 5;
    writer_bytes(&w, "                                ", DIGEST);
    seal_digest(&w);
    refused(w.data, w.len, BERTH_ERR_CORRUPT, "a section is missing");
    writer_free(&w);
}

/* compute-core K23 */
static void a_list_is_not_believed_beyond_its_bytes(void **state)
{
    container c;
    berth_keypair key;
    writer w = {0};
    uint8_t *at;

    (void)state;
    sample(&c, &key);
    container_encode(&w, &c, NULL);
    at = w.data + w.len - DIGEST - 2 * 24; /* the requests, behind their count */
    memset(at - 4, 0xFF, 4);
    seal_digest(&w);
    refused(w.data, w.len, BERTH_ERR_CORRUPT, "longer than its section");
    memcpy(at - 4, "\3\0\0\0", 4); /* one more than fit */
    seal_digest(&w);
    refused(w.data, w.len, BERTH_ERR_CORRUPT, "longer than its section");
    memcpy(at - 4, "\1\0\0\0", 4);
    seal_digest(&w);
    refused(w.data, w.len, BERTH_ERR_CORRUPT, "bytes follow a list");
    memcpy(at - 4, "\2\0\0\0", 4);
    memcpy(at + 24, at, 8); /* one request twice */
    seal_digest(&w);
    refused(w.data, w.len, BERTH_ERR_CORRUPT, "not in order");
    horizon_fini(&c.horizon);
    writer_free(&w);
}

static void what_cannot_be_read_back_is_not_written(void **state)
{
    container_cursor two[2] = {{{(const uint8_t *)"s", 1}, 1}, {{(const uint8_t *)"s", 1}, 2}};
    uint8_t text[256];
    berth_error error = {0};
    container c;
    berth_keypair key;
    writer w = {0};

    (void)state;
    sample(&c, &key);
    memset(text, 'x', sizeof text);
#define REFUSED(status)                                                                            \
    do {                                                                                           \
        w.len = 0;                                                                                 \
        assert_int_equal(container_encode(&w, &c, &error), status);                                \
    } while (0)
    c.kind = slice_of(NULL, 0);
    REFUSED(BERTH_ERR_INVALID);
    assert_string_equal(error.text, "snapshot container: the kind is missing");
    c.kind = slice_of(text, 255);
    REFUSED(BERTH_OK);
    c.kind = slice_of(text, 256);
    REFUSED(BERTH_ERR_LIMIT);
    c.kind = slice_str("\xff");
    REFUSED(BERTH_ERR_INVALID);
    c.kind = slice_str("k");
    c.cursors = two;
    c.cursor_count = 2;
    REFUSED(BERTH_ERR_INVALID);
    assert_string_equal(error.text, "snapshot container: a source is there twice");
    two[0].source = slice_of(text, CONTAINER_SOURCE_MAX);
    REFUSED(BERTH_OK);
    two[0].source.len++;
    REFUSED(BERTH_ERR_LIMIT);
    two[0].source.len = 0;
    REFUSED(BERTH_ERR_LIMIT);
    c.cursor_count = 0;
    c.snapshot.state = slice_of(text, (size_t)UINT32_MAX + 1);
    REFUSED(BERTH_ERR_LIMIT);
#undef REFUSED
    horizon_fini(&c.horizon);
    writer_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_survives_the_bytes),
        cmocka_unit_test(equal_contents_are_equal_bytes),
        cmocka_unit_test(around_a_state_it_is_the_same_bytes),
        cmocka_unit_test(its_first_section_is_an_exact_snapshot),
        cmocka_unit_test(what_says_nothing_is_left_out),
        cmocka_unit_test(a_bare_snapshot_is_read_and_its_guess_is_told),
        cmocka_unit_test(a_chain_goes_on_exactly_after_a_restore),
        cmocka_unit_test(every_flipped_byte_and_every_cut_is_found),
        cmocka_unit_test(an_unknown_section_is_skipped_or_named),
        cmocka_unit_test(a_section_twice_or_out_of_order_or_missing_is_refused),
        cmocka_unit_test(a_list_is_not_believed_beyond_its_bytes),
        cmocka_unit_test(what_cannot_be_read_back_is_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
