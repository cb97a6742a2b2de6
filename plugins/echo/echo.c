/* SPDX-License-Identifier: Apache-2.0 */
/* echo: a daemon without state that outputs its input. */
#include "berth/plugin.h"

static berth_code echo_create(berth_call *call, const berth_birth *birth, void **self)
{
    static char nothing;

    if (birth->state.ptr)
        return berth_fail(call, BERTH_E_STATE, "echo keeps no state, and was given one");
    *self = &nothing;
    return BERTH_OK;
}

static void echo_destroy(void *self, berth_call *call)
{
    (void)self;
    (void)call;
}

static berth_code echo_process(void *self, berth_call *call, const berth_event *event)
{
    (void)self;
    return berth_emit(call, event->data.ptr, event->data.len);
}

static const berth_kind echo_kind = {
    .size = sizeof(berth_kind),
    .name = BERTH_NAME("echo"),
    .create = echo_create,
    .destroy = echo_destroy,
    .process = echo_process,
};

static const berth_kind *const echo_kinds[] = {&echo_kind};

const berth_plugin berth_plugin_0 = {
    .size = sizeof(berth_plugin),
    .kind_count = 1,
    .kinds = echo_kinds,
    .manifest = BERTH_EMBEDDED_MANIFEST,
};
