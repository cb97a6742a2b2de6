/* SPDX-License-Identifier: Apache-2.0 */
#include "api/emit.h"
#include "api/server.h"
#include "api/source.h"
#include "base/error.h"

#include <string.h>

static const char *const controls[] = {
    [BERTH_CONTROL_SHUTDOWN] = "shutdown",
    [BERTH_CONTROL_DRAIN_START] = "drain-start",
    [BERTH_CONTROL_DRAIN_FINISH] = "drain-finish",
    [BERTH_CONTROL_BACKPRESSURE_ON] = "backpressure-on",
    [BERTH_CONTROL_BACKPRESSURE_OFF] = "backpressure-off",
};

static berth_status read_control(struct json_object *o, int32_t *control, uint64_t *operand,
                                 berth_error *error)
{
    slice name;
    char names[256];
    berth_status status = json_get_string(o, "", "control", JSON_REQUIRED, &name, error);

    if (!status)
        status = json_get_u64(o, "", "operand", JSON_OPTIONAL, operand, error);
    if (status)
        return status;
    for (size_t i = 1; i < sizeof controls / sizeof *controls; i++) {
        if (slice_eq(name, slice_str(controls[i]))) {
            *control = (int32_t)i;
            return BERTH_OK;
        }
    }
    names_join((const char *const[]){controls[1], controls[2], controls[3], controls[4],
                                     controls[5], NULL},
               names, sizeof names);
    return fail(error, BERTH_ERR_INVALID, "control: '%.*s' is none; there is %s",
                (int)(name.len < 64 ? name.len : 64), (const char *)name.ptr, names);
}

static void control_job(request *r)
{
    static const char *const members[] = {"control", "operand", NULL};
    struct json_object *o = request_json(r, members);
    berth_error error = {0};
    uint64_t origin, operand = 0;
    int32_t control = 0;
    berth_status status;
    writer w = {0};

    if (!o)
        return;
    status = read_control(o, &control, &operand, &error);
    json_object_put(o);
    if (status) {
        request_fail(r, &error);
        return;
    }
    if (!request_daemon(r, 2, &origin))
        return;
    if (berth_control((berth_runtime *)r->api->rt, origin, control, operand, &error)) {
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
