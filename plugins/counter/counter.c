/* SPDX-License-Identifier: Apache-2.0 */
/* counter: counts the messages it gets and outputs the count in decimal. Its state is 8 bytes. */
#include "berth/plugin.h"

#include <stdlib.h>

enum { STATE_VERSION = 1 };

typedef struct counter {
    uint64_t count;
} counter;

static berth_code counter_create(berth_call *call, const berth_birth *birth, void **self)
{
    berth_reader state = berth_reader_of(birth->state);
    counter *c;

    if (birth->state.ptr && birth->state_version != STATE_VERSION)
        return berth_fail(call, BERTH_E_VERSION, "counter reads state version 1 only");
    c = malloc(sizeof *c);
    if (!c)
        return BERTH_E_MEMORY;
    c->count = birth->state.ptr ? berth_read_u64(&state) : 0;
    if (!berth_reader_done(&state)) {
        free(c);
        return berth_fail(call, BERTH_E_STATE, "the state of a counter has 8 bytes");
    }
    *self = c;
    return BERTH_OK;
}

static void counter_destroy(void *self, berth_call *call)
{
    (void)call;
    free(self);
}

static berth_code counter_process(void *self, berth_call *call, const berth_event *event)
{
    counter *c = self;
    char text[20];
    char *at = text + sizeof text;
    uint64_t rest;
    berth_code code;

    (void)event;
    if (c->count == UINT64_MAX)
        return berth_fail(call, BERTH_E_REJECT, "the count is full");
    rest = c->count + 1;
    do
        *--at = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);

    code = berth_emit(call, at, (uint64_t)(text + sizeof text - at));
    if (code == BERTH_OK)
        c->count++;
    return code;
}

static berth_code counter_snapshot(void *self, berth_call *call, uint32_t want_version)
{
    const counter *c = self;
    berth_writer state;

    if (want_version != STATE_VERSION)
        return BERTH_E_VERSION;
    berth_writer_begin(&state, call);
    berth_write_u64(&state, c->count);
    return berth_writer_end(&state);
}

static berth_code counter_status(void *self, berth_call *call, berth_daemon_status *out)
{
    (void)self;
    (void)call;
    out->health = BERTH_HEALTHY;
    out->state_bytes = sizeof(uint64_t);
    return BERTH_OK;
}

static const berth_kind counter_kind = {
    .size = sizeof(berth_kind),
    .name = BERTH_NAME("counter"),
    .create = counter_create,
    .destroy = counter_destroy,
    .process = counter_process,
    .snapshot = counter_snapshot,
    .status = counter_status,
};

static const berth_kind *const counter_kinds[] = {&counter_kind};

const berth_plugin berth_plugin_0 = {
    .size = sizeof(berth_plugin),
    .kind_count = 1,
    .kinds = counter_kinds,
    .manifest = BERTH_EMBEDDED_MANIFEST,
};
