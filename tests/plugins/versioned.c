/* SPDX-License-Identifier: Apache-2.0 */
/*
 * versioned.c: one plugin in several versions. VERSION 1 writes state version 1; VERSION 2 writes 2
 * and can still write and read 1; VERSION 3 reads and writes 3 only. Each emits "v<VERSION>
 * <count>".
 */
#include "berth/plugin.h"

#include <stdio.h>
#include <stdlib.h>

#if VERSION == 3
#define OLDEST 3
#else
#define OLDEST 1
#endif

typedef struct versioned {
    uint64_t count;
    uint64_t extra; /* since state version 2: the sum of the lengths of all events */
} versioned;

static berth_code create(berth_call *call, const berth_birth *birth, void **self)
{
    berth_reader state = berth_reader_of(birth->state);
    versioned *v;

    if (birth->state.ptr && (birth->state_version < OLDEST || birth->state_version > VERSION))
        return berth_fail(call, BERTH_E_VERSION, "this version of the state is not read");
    v = calloc(1, sizeof *v);
    if (!v)
        return BERTH_E_MEMORY;
    if (birth->state.ptr) {
        v->count = berth_read_u64(&state);
        if (birth->state_version >= 2)
            v->extra = berth_read_u64(&state);
        if (!berth_reader_done(&state)) {
            free(v);
            return berth_fail(call, BERTH_E_STATE, "the state is damaged");
        }
    }
    *self = v;
    return BERTH_OK;
}

static void destroy(void *self, berth_call *call)
{
    (void)call;
    free(self);
}

static berth_code process(void *self, berth_call *call, const berth_event *event)
{
    versioned *v = self;
    char text[64];
    int len;

    v->count++;
    v->extra += event->data.len;
    len = snprintf(text, sizeof text, "v%d %llu", VERSION, (unsigned long long)v->count);
    return berth_emit(call, text, (uint64_t)len);
}

static berth_code snapshot(void *self, berth_call *call, uint32_t want_version)
{
    const versioned *v = self;
    berth_writer state;

    if (want_version < OLDEST || want_version > VERSION)
        return BERTH_E_VERSION;
    berth_writer_begin(&state, call);
    berth_write_u64(&state, v->count);
    if (want_version >= 2)
        berth_write_u64(&state, v->extra);
    return berth_writer_end(&state);
}

static const berth_kind kind = {
    .size = sizeof(berth_kind),
    .name = BERTH_NAME("versioned"),
    .create = create,
    .destroy = destroy,
    .process = process,
    .snapshot = snapshot,
};
static const berth_kind *const kinds[] = {&kind};

const berth_plugin berth_plugin_0 = {
    .size = sizeof(berth_plugin),
    .kind_count = 1,
    .kinds = kinds,
    .manifest = BERTH_EMBEDDED_MANIFEST,
};
