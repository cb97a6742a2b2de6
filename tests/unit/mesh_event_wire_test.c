/* SPDX-License-Identifier: Apache-2.0 */
/* Events as they travel: what is written is read, and nothing else is. */
#include "mesh/event_wire.h"

#include "daemon/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SENDER UINT64_C(0x1122334455667788)

/* Link and payload, as a daemon's runner has them. */
typedef struct piece {
    uint8_t bytes[EVENT_WIRE_LINK + 5];
} piece;

static piece linked(uint64_t sequence)
{
    piece p = {{0}};

    store_u64(p.bytes, SENDER);
    store_u64(p.bytes + 16, sequence);
    memcpy(p.bytes + EVENT_WIRE_LINK, "hello", 5);
    return p;
}

static berth_event message_of(const piece *p, uint64_t sequence)
{
    return (berth_event){
        .type = BERTH_EVENT_MESSAGE, .sequence = sequence, .data = {p->bytes + EVENT_WIRE_LINK, 5}};
}

static wire_event there_and_back(const berth_event *e, buf **keep)
{
    wire_event out;
    berth_error error = {0};

    *keep = event_wire_make(e);
    assert_non_null(*keep);
    assert_int_equal(event_wire_read(&out, slice_of((*keep)->data, (*keep)->len), SENDER, &error),
                     BERTH_OK);
    return out;
}

static void a_message_keeps_its_link_directly_before_its_payload(void **state)
{
    piece p = linked(9);
    berth_event e = message_of(&p, 9);
    buf *b;
    wire_event out = there_and_back(&e, &b);

    (void)state;
    assert_int_equal(out.type, BERTH_EVENT_MESSAGE);
    assert_true(out.linked);
    assert_int_equal(out.sequence, 9);
    assert_int_equal(out.payload.len, 5);
    assert_ptr_equal(out.payload.ptr, out.link + EVENT_WIRE_LINK);
    assert_memory_equal(out.link, p.bytes, sizeof p.bytes);
    assert_false(out.asks || out.more || out.channel.len);
    assert_int_equal(b->len, 2 + sizeof p.bytes);
    buf_unref(b);
}

static void a_request_says_where_its_answer_goes(void **state)
{
    piece p = linked(9);
    berth_event e = message_of(&p, 9);
    buf *b;
    wire_event out;

    (void)state;
    e.reply_to = (berth_ref){{SENDER, 77, 3, REPLY_TO_DAEMON}};
    out = there_and_back(&e, &b);
    assert_true(out.asks);
    assert_int_equal(out.request, 77);
    assert_int_equal(out.incarnation, 3);
    buf_unref(b);
    /* A client's is no daemon's: nobody elsewhere can answer it. */
    e.reply_to = (berth_ref){{1, 2, 3, 0}};
    out = there_and_back(&e, &b);
    assert_false(out.asks);
    buf_unref(b);
}

static void a_reply_has_its_request_its_status_and_more(void **state)
{
    berth_event e = {.type = BERTH_EVENT_REPLY,
                     .flags = BERTH_MORE,
                     .request = 5,
                     .status = BERTH_REPLY_REFUSED,
                     .data = {"no", 2}};
    buf *b;
    wire_event out = there_and_back(&e, &b);

    (void)state;
    assert_int_equal(out.type, BERTH_EVENT_REPLY);
    assert_true(out.more);
    assert_false(out.linked);
    assert_int_equal(out.request, 5);
    assert_int_equal(out.status, BERTH_REPLY_REFUSED);
    assert_memory_equal(out.payload.ptr, "no", 2);
    buf_unref(b);
}

static void what_comes_by_a_channel_names_it(void **state)
{
    piece p = linked(1);
    berth_event e = message_of(&p, 1);
    char name[256];
    buf *b;
    wire_event out;

    (void)state;
    memset(name, 'n', 255);
    e.channel = (berth_bytes){name, 255};
    out = there_and_back(&e, &b);
    assert_int_equal(out.channel.len, 255);
    assert_memory_equal(out.channel.ptr, name, 255);
    assert_true(b->len <= EVENT_WIRE_HEAD + 5);
    buf_unref(b);
}

static void assert_bad(const void *bytes, size_t len, const char *why)
{
    wire_event out;
    berth_error error = {0};

    assert_int_equal(event_wire_read(&out, slice_of(bytes, len), SENDER, &error),
                     BERTH_ERR_CORRUPT);
    if (!strstr(error.text, why)) {
        print_error("'%s' does not say '%s'\n", error.text, why);
        assert_true(0);
    }
}

static void what_no_host_writes_is_refused_by_name(void **state)
{
    piece p = linked(9);
    berth_event e = message_of(&p, 9);
    buf *b;

    (void)state;
    assert_bad("", 0, "type");
    assert_bad("\x02", 1, "type");
    assert_bad("\x01\x00", 2, "type");  /* a start is the host's own */
    assert_bad("\x05\x00", 2, "type");  /* so is a post */
    assert_bad("\x02\x10", 2, "flags"); /* unknown */
    assert_bad("\x02\x01", 2, "flags"); /* MORE of a message */
    assert_bad("\x04\x02"
               "aaaaaaaabbbb",
               14, "flags"); /* a reply that asks */
    assert_bad("\x04\x00\x01\0\0\0\0\0\0\0\x05\0\0\0", 14, "status");
    assert_bad("\x02\x04\x00", 3, "channel");
    assert_bad("\x02\x04\x05news", 7, "channel");
    assert_bad("\x02\x04\x02"
               ".A",
               5, "channel");
    assert_bad("\x02\x02\x01\x02", 4, "cut off");
    /* Every cut that takes something of the head away, and a link of somebody else. */
    b = event_wire_make(&e);
    for (size_t n = 2; n < 2 + EVENT_WIRE_LINK; n++)
        assert_bad(b->data, n, "link");
    store_u64(b->data + 2 + 16, 0);
    assert_bad(b->data, b->len, "no output");
    b->data[2] ^= 1;
    assert_bad(b->data, b->len, "link");
    buf_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_keeps_its_link_directly_before_its_payload),
        cmocka_unit_test(a_request_says_where_its_answer_goes),
        cmocka_unit_test(a_reply_has_its_request_its_status_and_more),
        cmocka_unit_test(what_comes_by_a_channel_names_it),
        cmocka_unit_test(what_no_host_writes_is_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
