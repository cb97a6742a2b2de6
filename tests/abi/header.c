/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source that uses all of plugin.h, compiled as C99, C11 and C++17 with every warning an error: a
 * plugin author must never see one from our headers.
 */
#include "berth/plugin.h"

/* clang-format off */
BERTH_MANIFEST({
    "name": "header",
    "version": "1.0.0",
    "summary": "a \"quoted\" back\\slash, a { brace | bar } and \u00e9",
    "abi": [0, 0],
    "kinds": [{"name": "header"}]
});
/* clang-format on */

berth_code berth_test_use(berth_call *call, berth_daemon *daemon, const berth_event *event);
berth_code berth_test_use(berth_call *call, berth_daemon *daemon, const berth_event *event)
{
    static const berth_bytes name = BERTH_NAME("header");
    berth_random random = berth_random_from(event->seed);
    berth_reader reader = berth_reader_of(event->data);
    berth_writer writer;

    if (!BERTH_HAS(event, attempt) || !berth_bytes_equal(name, BERTH_LIT("header")))
        return BERTH_E_NEWER;
    berth_writer_begin(&writer, call);
    berth_write_u8(&writer, berth_read_u8(&reader));
    berth_write_u16(&writer, berth_read_u16(&reader));
    berth_write_u32(&writer, berth_read_u32(&reader));
    berth_write_u64(&writer, berth_read_u64(&reader));
    berth_write_i64(&writer, berth_read_i64(&reader));
    berth_write_varint(&writer, berth_read_varint(&reader));
    berth_write_blob(&writer, berth_read_blob(&reader));
    berth_write_bytes(&writer, event->data.ptr, berth_reader_left(&reader));
    if (!berth_reader_ok(&reader))
        berth_reader_spoil(&reader);
    if (!berth_reader_done(&reader) || berth_writer_end(&writer) != BERTH_OK)
        return berth_fail(call, BERTH_E_STATE, "no");

    berth_emit(call, name.ptr, name.len);
    berth_emit_str(call, "text");
    berth_send(call, event->origin, berth_str("text"));
    berth_request(call, event->origin, berth_random_u64(&random), 0, berth_nothing());
    if (!berth_ref_is_none(&event->reply_to)) {
        berth_reply(call, &event->reply_to, name);
        berth_reply_part(call, &event->reply_to, name);
        berth_refuse(call, &event->reply_to, "why");
    }
    berth_publish(call, BERTH_LIT("channel"), name);
    berth_timer_set(call, 1, (int64_t)berth_random_below(&random, 10), name);
    berth_timer_cancel(call, 1);
    berth_subscribe(call, name);
    berth_subscribe_from(call, name, 1);
    berth_unsubscribe(call, name);
    berth_unsubscribe_from(call, name, 1);
    berth_spawn_daemon(call, name, berth_nothing(), berth_nothing(), 0);
    berth_log(daemon, BERTH_LOG_INFO, "line");
    berth_host_log(daemon->host, BERTH_LOG_INFO, "line");
    return berth_post(daemon, name.ptr, BERTH_EMBEDDED_MANIFEST->json_size);
}
