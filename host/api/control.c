/* SPDX-License-Identifier: Apache-2.0 */
#include "api/emit.h"
#include "api/orders.h"
#include "api/server.h"
#include "api/source.h"
#include "base/error.h"

static void control_job(request *r)
{
    control_order order;
    berth_error error = {0};
    uint64_t origin;
    writer w = {0};

    if (control_order_read(&order, slice_of(r->body.data, r->body.len), &error)) {
        request_fail(r, &error);
        return;
    }
    if (!request_daemon(r, 2, &origin))
        return;
    if (berth_control(r->api->rt, origin, order.control, order.operand, &error)) {
        request_fail(r, &error);
        return;
    }
    emit_text(&w, "{\"handled\":true}");
    request_answer(r, 200, &w);
}

void control_post(request *r)
{
    request_job(r, control_job);
}

static void close_source_job(request *r)
{
    const char *id = r->target.segments[4];
    berth_error error = {0};
    uint64_t origin;
    writer w = {0};

    if (!request_daemon(r, 2, &origin))
        return;
    if (!source_id_valid(id))
        fail(&error, BERTH_ERR_INVALID, "source: must be 1 to %d of A-Z a-z 0-9 . _ -",
             SOURCE_ID_MAX);
    else
        runtime_close_source(r->api->rt, origin, id, &error);
    if (error.code) {
        request_fail(r, &error);
        return;
    }
    emit_text(&w, "{\"closed\":true}");
    request_answer(r, 200, &w);
}

void sources_delete(request *r)
{
    request_job(r, close_source_job);
}
