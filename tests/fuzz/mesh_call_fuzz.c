/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: what is read is written back the same, and both machines take anything that can be read,
 * and run each request once. */
#include "mesh/call.h"

#include <stdlib.h>

#define NODE 1

static void must(bool so)
{
    if (!so)
        abort();
}

static void must_be(buf *b, const uint8_t *data, size_t size)
{
    must(b && b->len == size && memcmp(b->data, data, size) == 0);
    buf_unref(b);
}

static berth_status nowhere(void *ctx, uint64_t node, lane l, buf *message)
{
    (void)ctx;
    (void)node;
    must(l == LANE_CALL && call_message_kind(slice_of(message->data, message->len)) != 0);
    return BERTH_OK;
}

/* ---- A node that is asked -------------------------------------------------------------------- */

typedef struct executions {
    unsigned count;
    uint64_t handle;
} executions;

static call_status execute(void *ctx, const call_server_request *r)
{
    executions *e = ctx;

    e->count++;
    e->handle = r->handle;
    return CALL_OK;
}

static void try_server(const uint8_t *data, size_t size, bool is_request)
{
    executions e = {0};
    call_server *s = call_server_new(
        &(call_server_config){.ctx = &e, .send = nowhere, .execute = execute, .max_entries = 4});
    buf *b = buf_copy(data, size);
    call_server_stats stats;
    call_result done = {0};

    for (int i = 0; i < 3; i++)
        must(call_server_receive(s, NODE, b, 0, NULL) == BERTH_OK || !is_request);
    must(e.count <= is_request);
    if (e.count)
        must(call_answer(s, e.handle, &done, NULL, 0) == BERTH_OK);
    call_server_receive(s, NODE, b, 0, NULL);
    must(e.count <= is_request);
    call_server_expire(s, INT64_MAX - 1);
    call_server_get_stats(s, &stats);
    must(!stats.nodes && !stats.running && !stats.kept && !stats.kept_bytes);
    buf_unref(b);
    call_server_free(s);
}

static void try_request(const call_request *r, const uint8_t *data, size_t size)
{
    slice *events = calloc(r->count, sizeof *events), rest = r->events;
    uint32_t count = 0;
    buf *b;

    while (count < r->count && call_event_next(&rest, &events[count]))
        count++;
    must(count == r->count && !rest.len);
    must(call_request_write(r, events, &b, NULL) == BERTH_OK);
    must_be(b, data, size);
    free(events);
    try_server(data, size, true);
}

/* ---- A caller -------------------------------------------------------------------------------- */

static void done(void *ctx, void *user, const call_outcome *o)
{
    (void)user;
    must(o->text.len > 0);
    ++*(unsigned *)ctx;
}

/* Its ids are all the same: that of the answer, if it has one. */
static uint64_t the_id;

static void same(void *ctx, void *out, size_t len)
{
    (void)ctx;
    memset(out, 0, len);
    memcpy(out, &the_id, len < sizeof the_id ? len : sizeof the_id);
}

static void try_answer(const call_response *r, const uint8_t *data, size_t size)
{
    unsigned ended = 0;
    call_client *c = call_client_new(
        &(call_client_config){.ctx = &ended, .send = nowhere, .done = done, .random = same});
    slice event = slice_of(data, 1);
    call_spec spec = {.node = NODE, .events = &event, .count = 1, .deadline_ns = 1000};
    buf *b = buf_copy(data, size);
    call_client_stats stats;
    uint64_t id;

    must(call_begin(c, &spec, 0, &id, NULL) == BERTH_OK && id == r->id);
    must(call_client_receive(c, NODE, b, 1, NULL) == BERTH_OK);
    must(ended == (r->number == 1));
    must(call_client_receive(c, NODE, b, 2, NULL) == BERTH_OK);
    call_client_expire(c, INT64_MAX - 1);
    must(ended == 1);
    call_client_get_stats(c, &stats);
    must(!stats.calls && !stats.bytes && !stats.nodes);
    buf_unref(b);
    call_client_free(c);
}

static void try_response(const call_response *r, const uint8_t *data, size_t size)
{
    call_output *outputs = calloc(r->result.output_count + 1, sizeof *outputs);
    slice rest = r->result.outputs;
    uint32_t count = 0;
    buf *b;

    while (count < r->result.output_count && call_output_next(&rest, &outputs[count]))
        must(outputs[count++].bytes.len >= CALL_OUTPUT_MIN);
    must(count == r->result.output_count && !rest.len);
    must(call_response_write(r, outputs, &b, NULL) == BERTH_OK);
    must_be(b, data, size);
    free(outputs);
    the_id = r->id;
    try_answer(r, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice message = slice_of(data, size);
    call_request request;
    call_response response;
    call_notice notice;

    if (call_request_read(&request, message, NULL) == BERTH_OK) {
        try_request(&request, data, size);
    } else if (call_response_read(&response, message, NULL) == BERTH_OK) {
        try_response(&response, data, size);
    } else if (call_notice_read(&notice, message, NULL) == BERTH_OK) {
        uint64_t numbers[CALL_NOTICE_MAX];

        for (uint32_t i = 0; i < notice.count; i++)
            numbers[i] = call_notice_number(&notice, i);
        must_be(call_notice_write(notice.kind, notice.boot, numbers, notice.count), data, size);
        try_server(data, size, false);
    } else {
        try_server(data, size, false);
    }
    return 0;
}
