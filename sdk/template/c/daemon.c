/* SPDX-License-Identifier: Apache-2.0 */
/* @NAME@: an event is somebody's name; the output greets them. The configuration is the greeting.
 */
#include <berth/plugin.h>

#include <stdlib.h>
#include <string.h>

enum { STATE_VERSION = 1, GREETING_MAX = 100, NAME_MAX = 1000 };

typedef struct greeter {
    uint64_t count; /* the state: how many were greeted */
    char greeting[GREETING_MAX + 1];
} greeter;

/* Born new, or to continue from what snapshot wrote, perhaps on another machine. */
static berth_code create(berth_call *call, const berth_birth *birth, void **self)
{
    berth_reader state = berth_reader_of(birth->state);
    greeter *g;

    if (birth->state.ptr && birth->state_version != STATE_VERSION)
        return BERTH_E_VERSION;
    if (birth->config.len > GREETING_MAX)
        return berth_fail(call, BERTH_E_CONFIG, "the greeting is longer than 100 bytes");
    g = calloc(1, sizeof *g);
    if (!g)
        return BERTH_E_MEMORY;
    if (birth->config.len)
        memcpy(g->greeting, birth->config.ptr, birth->config.len);
    else
        strcpy(g->greeting, "hello");
    g->count = birth->state.ptr ? berth_read_u64(&state) : 0;
    if (!berth_reader_done(&state)) {
        free(g);
        return berth_fail(call, BERTH_E_STATE, "the state has 8 bytes");
    }
    *self = g;
    return BERTH_OK;
}

static void destroy(void *self, berth_call *call)
{
    (void)call;
    free(self);
}

/* Outputs leave only if this returns BERTH_OK; on any other code the state must be as before. */
static berth_code process(void *self, berth_call *call, const berth_event *event)
{
    greeter *g = self;
    char text[GREETING_MAX + 2 + NAME_MAX];
    size_t len = strlen(g->greeting);

    if (event->data.len == 0 || event->data.len > NAME_MAX)
        return berth_fail(call, BERTH_E_REJECT, "a name has 1 to 1000 bytes");
    memcpy(text, g->greeting, len);
    text[len++] = ',';
    text[len++] = ' ';
    memcpy(text + len, event->data.ptr, event->data.len);
    g->count++;
    return berth_emit(call, text, len + event->data.len);
}

/* The same state gives the same bytes; berth_write_* are the same on every architecture. */
static berth_code snapshot(void *self, berth_call *call, uint32_t want_version)
{
    const greeter *g = self;
    berth_writer state;

    if (want_version != STATE_VERSION)
        return BERTH_E_VERSION;
    berth_writer_begin(&state, call);
    berth_write_u64(&state, g->count);
    return berth_writer_end(&state);
}

static const berth_kind kind = {
    .size = sizeof(berth_kind),
    .name = BERTH_NAME("@NAME@"),
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
