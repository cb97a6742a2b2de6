/* SPDX-License-Identifier: Apache-2.0 */
/* Requests, answers and lists of calls as bytes. channels §16.2, §20.10 (codec) */
#include "base/text.h"
#include "mesh/call_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char link_bytes[] = "0123456789abcdef0123456789abcdef";

static call_request daemon_request(void)
{
    return (call_request){.id = 11,
                          .boot = 12,
                          .number = 7,
                          .open_from = 3,
                          .left_ns = 5000000000,
                          .want_outputs = true,
                          .origin = 0xabcdef,
                          .min_epoch = 4,
                          .source = slice_str("client-9"),
                          .source_seq = 100,
                          .count = 2};
}

static call_request service_request(void)
{
    return (call_request){.id = 11,
                          .boot = 12,
                          .number = 7,
                          .open_from = 7,
                          .left_ns = 1,
                          .is_service = true,
                          .service = slice_str("echo/v1"),
                          .count = 2};
}

static buf *write_request(const call_request *r)
{
    slice events[2] = {slice_str("first"), slice_of(NULL, 0)};
    berth_error error = {0};
    buf *b;

    assert_int_equal(call_request_write(r, events, &b, &error), BERTH_OK);
    return b;
}

static call_response response(void)
{
    return (call_response){.id = 11,
                           .number = 7,
                           .kept = true,
                           .result = {.status = CALL_REJECTED,
                                      .text = slice_str("no such thing"),
                                      .applied = 5,
                                      .failed = 2,
                                      .duplicates = 1,
                                      .first_failed = 3,
                                      .failure_count = 2,
                                      .failures = {{3, CALL_REJECTED}, {6, CALL_BROKEN}},
                                      .output_count = 2}};
}

static buf *write_response(const call_response *r)
{
    char with_payload[40];
    call_output outputs[2] = {{0, slice_of(link_bytes, 32)}, {4, slice_of(with_payload, 40)}};
    berth_error error = {0};
    buf *b;

    memcpy(with_payload, link_bytes, 32);
    memcpy(with_payload + 32, "payload!", 8);
    assert_int_equal(call_response_write(r, outputs, &b, &error), BERTH_OK);
    return b;
}

static slice whole(const buf *b)
{
    return slice_of(b->data, b->len);
}

static void a_request_to_a_daemon_comes_back_as_it_was(void **state)
{
    call_request r = daemon_request(), got;
    buf *b = write_request(&r);
    slice event;

    (void)state;
    assert_int_equal(call_message_kind(whole(b)), MESSAGE_CALL_REQUEST);
    assert_int_equal(call_request_read(&got, whole(b), NULL), BERTH_OK);
    assert_int_equal(got.id, r.id);
    assert_int_equal(got.boot, r.boot);
    assert_int_equal(got.number, r.number);
    assert_int_equal(got.open_from, r.open_from);
    assert_int_equal(got.left_ns, r.left_ns);
    assert_true(got.want_outputs);
    assert_false(got.is_service);
    assert_int_equal(got.origin, r.origin);
    assert_int_equal(got.min_epoch, r.min_epoch);
    assert_true(slice_eq(got.source, r.source));
    assert_int_equal(got.source_seq, r.source_seq);
    assert_int_equal(got.count, 2);
    assert_true(call_event_next(&got.events, &event));
    assert_true(slice_eq(event, slice_str("first")));
    assert_true(event.ptr > b->data && event.ptr < b->data + b->len); /* in place */
    assert_true(call_event_next(&got.events, &event));
    assert_int_equal(event.len, 0);
    assert_false(call_event_next(&got.events, &event));
    buf_unref(b);
}

static void a_request_to_a_service_comes_back_as_it_was(void **state)
{
    call_request r = service_request(), got;
    buf *b = write_request(&r);

    (void)state;
    assert_int_equal(call_request_read(&got, whole(b), NULL), BERTH_OK);
    assert_true(got.is_service);
    assert_true(slice_eq(got.service, r.service));
    assert_int_equal(got.source.len, 0);
    assert_false(got.want_outputs);
    buf_unref(b);
}

static void what_changes_when_it_is_sent_again_is_changed_in_place(void **state)
{
    call_request r = daemon_request(), got;
    buf *b = write_request(&r);

    (void)state;
    call_request_number(b, 9, 8, 77);
    call_request_epoch(b, 5);
    assert_int_equal(call_request_read(&got, whole(b), NULL), BERTH_OK);
    assert_int_equal(got.number, 9);
    assert_int_equal(got.open_from, 8);
    assert_int_equal(got.left_ns, 77);
    assert_int_equal(got.min_epoch, 5);
    assert_int_equal(got.origin, r.origin);
    buf_unref(b);
}

static void an_answer_comes_back_as_it_was(void **state)
{
    call_response r = response(), got;
    buf *b = write_response(&r);
    call_output out;

    (void)state;
    assert_int_equal(call_message_kind(whole(b)), MESSAGE_CALL_ANSWER);
    assert_int_equal(call_response_read(&got, whole(b), NULL), BERTH_OK);
    assert_int_equal(got.id, 11);
    assert_int_equal(got.number, 7);
    assert_true(got.kept);
    assert_int_equal(got.result.status, CALL_REJECTED);
    assert_true(slice_eq(got.result.text, r.result.text));
    assert_int_equal(got.result.applied, 5);
    assert_int_equal(got.result.failed, 2);
    assert_int_equal(got.result.duplicates, 1);
    assert_int_equal(got.result.first_failed, 3);
    assert_int_equal(got.result.failure_count, 2);
    assert_int_equal(got.result.failures[1].index, 6);
    assert_int_equal(got.result.failures[1].status, CALL_BROKEN);
    assert_int_equal(got.result.output_count, 2);
    assert_true(call_output_next(&got.result.outputs, &out));
    assert_int_equal(out.input, 0);
    assert_int_equal(out.bytes.len, 32);
    assert_true(call_output_next(&got.result.outputs, &out));
    assert_int_equal(out.input, 4);
    assert_memory_equal(out.bytes.ptr, link_bytes, 32);
    assert_memory_equal(out.bytes.ptr + 32, "payload!", 8); /* directly behind its link */
    assert_false(call_output_next(&got.result.outputs, &out));
    buf_unref(b);
}

/* What docs/wire.md shows; written by another program than this one. */
static void the_bytes_are_those_of_the_document(void **state)
{
    static const char request_hex[] = "010318171615141312112827262524232221070000000000000003000000"
                                      "0000000000f2052a01000000010001383736353433323104000000000000"
                                      "0008636c69656e742d396400000000000000020000000500000066697273"
                                      "7400000000";
    static const char answer_hex[] = "020318171615141312110700000000000000011000010000000100000000"
                                     "0000000100000002006e6f01010000001000010000000000000024000000"
                                     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d"
                                     "1e1f706f6e67";
    slice events[2] = {slice_str("first"), slice_of(NULL, 0)};
    uint8_t bytes[36], expected[256];
    call_request q = daemon_request();
    call_output out = {0, slice_of(bytes, sizeof bytes)};
    call_response r = {.id = UINT64_C(0x1112131415161718),
                       .number = 7,
                       .kept = true,
                       .result = {.status = CALL_REJECTED,
                                  .text = slice_str("no"),
                                  .applied = 1,
                                  .failed = 1,
                                  .first_failed = 1,
                                  .failure_count = 1,
                                  .failures = {{1, CALL_REJECTED}},
                                  .output_count = 1}};
    buf *b;

    (void)state;
    q.id = UINT64_C(0x1112131415161718);
    q.boot = UINT64_C(0x2122232425262728);
    q.origin = UINT64_C(0x3132333435363738);
    assert_int_equal(call_request_write(&q, events, &b, NULL), BERTH_OK);
    assert_int_equal(b->len, strlen(request_hex) / 2);
    assert_true(hex_decode(expected, b->len, slice_str(request_hex)));
    assert_memory_equal(b->data, expected, b->len);
    buf_unref(b);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    memcpy(bytes + 32, "pong", 4);
    assert_int_equal(call_response_write(&r, &out, &b, NULL), BERTH_OK);
    assert_int_equal(b->len, strlen(answer_hex) / 2);
    assert_true(hex_decode(expected, b->len, slice_str(answer_hex)));
    assert_memory_equal(b->data, expected, b->len);
    buf_unref(b);
}

static void a_list_of_calls_comes_back_as_it_was(void **state)
{
    uint64_t numbers[CALL_NOTICE_MAX];
    call_notice got;
    buf *b;

    (void)state;
    for (uint32_t i = 0; i < CALL_NOTICE_MAX; i++)
        numbers[i] = 3 * i + 1;
    b = call_notice_write(MESSAGE_CALL_ACK, 12, numbers, CALL_NOTICE_MAX);
    assert_int_equal(call_notice_read(&got, whole(b), NULL), BERTH_OK);
    assert_int_equal(got.kind, MESSAGE_CALL_ACK);
    assert_int_equal(got.boot, 12);
    assert_int_equal(got.count, CALL_NOTICE_MAX);
    for (uint32_t i = 0; i < CALL_NOTICE_MAX; i++)
        assert_int_equal(call_notice_number(&got, i), numbers[i]);
    buf_unref(b);
}

typedef berth_status reads(slice message);

static berth_status reads_request(slice message)
{
    call_request r;

    return call_request_read(&r, message, NULL);
}

static berth_status reads_response(slice message)
{
    call_response r;

    return call_response_read(&r, message, NULL);
}

static berth_status reads_notice(slice message)
{
    call_notice n;

    return call_notice_read(&n, message, NULL);
}

/* In a block of exactly its size, so that a sanitizer sees a read past its end. */
static void every_cut_is_refused(buf *b, reads *read)
{
    uint8_t *longer = malloc(b->len + 1);

    assert_int_equal(read(whole(b)), BERTH_OK);
    for (size_t len = 0; len < b->len; len++) {
        uint8_t *cut = malloc(len ? len : 1);

        memcpy(cut, b->data, len);
        assert_int_not_equal(read(slice_of(cut, len)), BERTH_OK);
        free(cut);
    }
    memcpy(longer, b->data, b->len);
    longer[b->len] = 0;
    assert_int_not_equal(read(slice_of(longer, b->len + 1)), BERTH_OK);
    free(longer);
    buf_unref(b);
}

/* channels §20.10: truncation at every boundary */
static void a_message_cut_anywhere_or_too_long_is_refused(void **state)
{
    call_request to_daemon = daemon_request(), to_service = service_request();
    call_response r = response(), bare = {.id = 1, .number = 1};
    uint64_t numbers[3] = {1, 2, 3};
    buf *b;

    (void)state;
    every_cut_is_refused(write_request(&to_daemon), reads_request);
    every_cut_is_refused(write_request(&to_service), reads_request);
    every_cut_is_refused(write_response(&r), reads_response);
    assert_int_equal(call_response_write(&bare, NULL, &b, NULL), BERTH_OK);
    every_cut_is_refused(b, reads_response);
    every_cut_is_refused(call_notice_write(MESSAGE_CALL_CANCEL, 1, numbers, 3), reads_notice);
}

/* channels §20.10: stable numbers; those of the reference are as they were (§16.2) */
static void the_numbers_of_what_can_be_answered_are_stable(void **state)
{
    static const call_status numbers[] = {CALL_OK,       CALL_UNKNOWN_SERVICE, CALL_REFUSED,
                                          CALL_TIMEOUT,  CALL_BACKPRESSURE,    CALL_CANCELLED,
                                          CALL_INTERNAL, CALL_MALFORMED,       CALL_NOT_ALLOWED};

    (void)state;
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        assert_int_equal(numbers[i], i);
    assert_int_equal(CALL_REJECTED, 16);
    assert_int_equal(CALL_BROKEN, 17);
    assert_int_equal(CALL_NOT_HERE, 18);
    assert_int_equal(CALL_OUTCOME_UNKNOWN, 19);
    assert_int_equal(CALL_LOST, 20);
    assert_int_equal(CALL_LIMIT, 21);
    assert_int_equal(CALL_DUPLICATE, 22);
    assert_int_equal(MESSAGE_CALL_REQUEST, 0x0301);
    assert_int_equal(MESSAGE_CALL_ANSWER, 0x0302);
    assert_int_equal(MESSAGE_CALL_CANCEL, 0x0303);
    assert_int_equal(MESSAGE_CALL_ACK, 0x0304);
}

static void every_status_has_its_place_on_either_side(void **state)
{
    (void)state;
    assert_int_equal(call_status_here(CALL_OK), BERTH_OK);
    assert_int_equal(call_status_here(CALL_OUTCOME_UNKNOWN), BERTH_ERR_OUTCOME_UNKNOWN);
    assert_int_equal(call_status_here(CALL_BACKPRESSURE), BERTH_ERR_WOULD_BLOCK);
    assert_int_equal(call_status_here(9), BERTH_ERR_INTERNAL); /* of a later version */
    assert_true(call_status_ran(9));                           /* who knows */
    assert_false(call_status_ran(CALL_NOT_HERE));
    assert_int_equal(call_status_of(BERTH_OK), CALL_OK);
    assert_int_equal(call_status_of(BERTH_ERR_NOT_FOUND), CALL_NOT_HERE);
    assert_int_equal(call_status_of(BERTH_ERR_STALE), CALL_NOT_HERE);
    assert_int_equal(call_status_of(BERTH_ERR_SHUTTING_DOWN), CALL_LOST);
    assert_int_equal(call_status_of(BERTH_ERR_PLUGIN), CALL_INTERNAL);
#define CHECK(name, number, here, ran, text)                                                       \
    assert_int_equal(call_status_here(call_status_of(here)), here);                                \
    assert_string_equal(call_status_text(number), text);
    CALL_STATUS_TABLE(CHECK)
#undef CHECK
    assert_non_null(call_status_text(999));
}

static void refused_request(call_request r, const slice *events, berth_status expected)
{
    berth_error error = {0};
    buf *b;

    assert_int_equal(call_request_write(&r, events, &b, &error), expected);
    assert_null(b);
    assert_int_equal(error.code, expected);
}

/* channels §20.10: oversize limits, empty service */
static void a_request_beyond_its_bounds_is_not_written(void **state)
{
    static char big[CALL_EVENT_MAX + 1];
    slice events[CALL_EVENTS_MAX + 1] = {slice_str("x")};
    call_request r;
    buf *b;

    (void)state;
    for (int i = 0; i < 4; i++) {
        r = daemon_request();
        *(uint64_t *[]){&r.id, &r.boot, &r.number, &r.open_from}[i] = 0;
        refused_request(r, events, BERTH_ERR_INVALID);
    }
    r = daemon_request();
    r.open_from = r.number + 1;
    refused_request(r, events, BERTH_ERR_INVALID);
    r = daemon_request();
    r.left_ns = CALL_DEADLINE_MAX + UINT64_C(1);
    refused_request(r, events, BERTH_ERR_LIMIT);
    r = daemon_request();
    r.source = slice_of(big, CALL_SOURCE_MAX + 1);
    refused_request(r, events, BERTH_ERR_LIMIT);
    r = daemon_request();
    r.count = 0;
    refused_request(r, events, BERTH_ERR_LIMIT);
    r.count = CALL_EVENTS_MAX + 1;
    refused_request(r, events, BERTH_ERR_LIMIT);
    r.count = CALL_EVENTS_MAX;
    assert_int_equal(call_request_write(&r, events, &b, NULL), BERTH_OK);
    buf_unref(b);
    r.count = 1;
    events[0] = slice_of(big, CALL_EVENT_MAX + 1);
    refused_request(r, events, BERTH_ERR_LIMIT);
    events[0] = slice_of(big, CALL_EVENT_MAX);
    assert_int_equal(call_request_write(&r, events, &b, NULL), BERTH_OK);
    buf_unref(b);
    r.count = 4; /* with their lengths a little too much */
    for (int i = 0; i < 4; i++)
        events[i] = slice_of(big, CALL_EVENT_MAX);
    refused_request(r, events, BERTH_ERR_LIMIT);
    r = service_request();
    r.service = slice_str("Not A Name");
    refused_request(r, events, BERTH_ERR_INVALID);
}

/* channels §16.1: a service name makes valid channel names */
static void a_service_has_a_name_that_makes_channels(void **state)
{
    char name[CALL_SERVICE_MAX + 1];

    (void)state;
    memset(name, 'a', sizeof name);
    assert_int_equal(call_service_check(slice_str("echo"), NULL), BERTH_OK);
    assert_int_equal(call_service_check(slice_of(name, CALL_SERVICE_MAX), NULL), BERTH_OK);
    assert_int_equal(call_service_check(slice_of(name, CALL_SERVICE_MAX + 1), NULL),
                     BERTH_ERR_LIMIT);
    assert_int_equal(call_service_check(slice_of(name, 0), NULL), BERTH_ERR_LIMIT);
    assert_int_equal(call_service_check(slice_str("/echo"), NULL), BERTH_ERR_INVALID);
    assert_int_equal(call_service_check(slice_str("a//b"), NULL), BERTH_ERR_INVALID);
    assert_int_equal(call_service_check(slice_str("Echo"), NULL), BERTH_ERR_INVALID);
    assert_int_equal(call_service_check(slice_of("ec\0ho", 5), NULL), BERTH_ERR_INVALID);
}

static void refused_response(call_response r, const call_output *outputs, berth_status expected)
{
    berth_error error = {0};
    buf *b;

    assert_int_equal(call_response_write(&r, outputs, &b, &error), expected);
    assert_null(b);
    assert_int_equal(error.code, expected);
}

static void an_answer_beyond_its_bounds_is_not_written(void **state)
{
    static char big[CALL_OUTPUT_BYTES];
    call_output outputs[2] = {{0, slice_of(link_bytes, 32)}, {0, slice_of(link_bytes, 31)}};
    call_response r = response();
    buf *b;

    (void)state;
    refused_response(r, outputs, BERTH_ERR_INVALID); /* no link */
    outputs[1].bytes = slice_of(big, sizeof big);
    refused_response(r, outputs, BERTH_ERR_LIMIT);
    r.result.output_count = 1;
    outputs[0].bytes = slice_of(big, sizeof big - 8);
    assert_int_equal(call_response_write(&r, outputs, &b, NULL), BERTH_OK);
    assert_int_equal(reads_response(whole(b)), BERTH_OK);
    buf_unref(b);
    outputs[0].bytes.len++;
    refused_response(r, outputs, BERTH_ERR_LIMIT);
    r.result.output_count = CALL_OUTPUTS_MAX + 1;
    refused_response(r, outputs, BERTH_ERR_LIMIT);
    r = response();
    r.result.text = slice_of(big, CALL_TEXT_MAX + 1);
    refused_response(r, outputs, BERTH_ERR_LIMIT);
    r.result.text = slice_str("\xff");
    refused_response(r, outputs, BERTH_ERR_INVALID);
    r = response();
    r.result.failure_count = CALL_FAILURES_MAX + 1;
    refused_response(r, outputs, BERTH_ERR_LIMIT);
    r = response();
    r.result.failures[1].index = 3; /* twice */
    refused_response(r, outputs, BERTH_ERR_INVALID);
    r.result.failures[1] = (call_failure){9, CALL_OK};
    refused_response(r, outputs, BERTH_ERR_INVALID);
    r = response();
    r.id = 0;
    refused_response(r, outputs, BERTH_ERR_INVALID);
}

static void counts_are_bounded_by_what_is_there(void **state)
{
    call_response bare = {.id = 1, .number = 1}, got;
    call_request r = daemon_request();
    uint64_t number = 1;
    buf *b;

    (void)state;
    assert_int_equal(call_response_write(&bare, NULL, &b, NULL), BERTH_OK);
    memset(b->data + b->len - 4, 0xff, 2); /* 65535 outputs of no bytes */
    assert_int_equal(call_response_read(&got, whole(b), NULL), BERTH_ERR_CORRUPT);
    assert_int_equal(got.id, 0);
    memset(b->data + b->len - 4, 0xff, 4);
    assert_int_equal(call_response_read(&got, whole(b), NULL), BERTH_ERR_LIMIT);
    buf_unref(b);
    b = write_request(&r);
    store_u64(b->data + b->len - 4 - 9 - 4, 0xffff); /* so many events, and no room for them */
    assert_int_not_equal(reads_request(whole(b)), BERTH_OK);
    buf_unref(b);
    b = call_notice_write(MESSAGE_CALL_ACK, 1, &number, 1);
    b->data[12] = 0;
    assert_int_equal(reads_notice(whole(b)), BERTH_ERR_CORRUPT); /* number 0 */
    buf_unref(b);
}

static void of_a_bad_request_is_read_which_it_is(void **state)
{
    call_request r = daemon_request(), got;
    buf *b = write_request(&r);

    (void)state;
    assert_int_equal(call_request_read(&got, slice_of(b->data, 30), NULL), BERTH_ERR_CORRUPT);
    assert_int_equal(got.id, 11);
    assert_int_equal(got.boot, 12);
    assert_int_equal(got.number, 7);
    assert_int_equal(got.count, 0);
    assert_int_equal(call_request_read(&got, slice_of(b->data, 20), NULL), BERTH_ERR_CORRUPT);
    assert_int_equal(got.number, 0);
    buf_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_to_a_daemon_comes_back_as_it_was),
        cmocka_unit_test(a_request_to_a_service_comes_back_as_it_was),
        cmocka_unit_test(what_changes_when_it_is_sent_again_is_changed_in_place),
        cmocka_unit_test(an_answer_comes_back_as_it_was),
        cmocka_unit_test(the_bytes_are_those_of_the_document),
        cmocka_unit_test(a_list_of_calls_comes_back_as_it_was),
        cmocka_unit_test(a_message_cut_anywhere_or_too_long_is_refused),
        cmocka_unit_test(the_numbers_of_what_can_be_answered_are_stable),
        cmocka_unit_test(every_status_has_its_place_on_either_side),
        cmocka_unit_test(a_request_beyond_its_bounds_is_not_written),
        cmocka_unit_test(a_service_has_a_name_that_makes_channels),
        cmocka_unit_test(an_answer_beyond_its_bounds_is_not_written),
        cmocka_unit_test(counts_are_bounded_by_what_is_there),
        cmocka_unit_test(of_a_bad_request_is_read_which_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
