/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ferry: passes on what clients send it to the daemon whose origin its configuration says, wherever
 * that one runs; and calls out on the channel `arrivals` what other daemons send it.
 */
#include "berth/plugin.h"

#include <stdlib.h>

typedef struct ferry {
    uint64_t target; /* 0: none */
} ferry;

/* 16 hexadecimal digits; 0 for anything else. */
static uint64_t read_origin(berth_bytes text)
{
    uint64_t origin = 0;

    if (text.len != 16)
        return 0;
    for (const char *at = text.ptr, *end = at + text.len; at < end; at++) {
        if (*at >= '0' && *at <= '9')
            origin = origin << 4 | (uint64_t)(*at - '0');
        else if (*at >= 'a' && *at <= 'f')
            origin = origin << 4 | (uint64_t)(*at - 'a' + 10);
        else
            return 0;
    }
    return origin;
}

static berth_code ferry_create(berth_call *call, const berth_birth *birth, void **self)
{
    uint64_t target = read_origin(birth->config);
    ferry *f;

    if (birth->config.len && !target)
        return berth_fail(call, BERTH_E_CONFIG, "the configuration is an origin: 16 hex digits");
    f = malloc(sizeof *f);
    if (!f)
        return BERTH_E_MEMORY;
    f->target = target;
    *self = f;
    return BERTH_OK;
}

static void ferry_destroy(void *self, berth_call *call)
{
    (void)call;
    free(self);
}

static berth_code ferry_process(void *self, berth_call *call, const berth_event *event)
{
    const ferry *f = self;

    if (event->origin) /* a daemon sent it */
        return berth_publish(call, BERTH_LIT("arrivals"), event->data);
    if (!f->target)
        return berth_fail(call, BERTH_E_REJECT, "this ferry goes nowhere: it has no target");
    return berth_send(call, f->target, event->data);
}

static const berth_kind ferry_kind = {
    .size = sizeof(berth_kind),
    .name = BERTH_NAME("ferry"),
    .create = ferry_create,
    .destroy = ferry_destroy,
    .process = ferry_process,
};

static const berth_kind *const ferry_kinds[] = {&ferry_kind};

const berth_plugin berth_plugin_0 = {
    .size = sizeof(berth_plugin),
    .kind_count = 1,
    .kinds = ferry_kinds,
    .manifest = BERTH_EMBEDDED_MANIFEST,
};
