/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flawed.c: plugins whose file is as it should be and whose code is not: one flaw each, chosen by a
 * macro. They count events in a u64 of state and emit the count, flaw aside. README.md lists them.
 */
#include "berth/plugin.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct daemon {
    uint64_t count;
    uint64_t origin;
    berth_call *call;    /* of an earlier call */
    const uint8_t *data; /* of an earlier event */
    uint64_t address;    /* of the instance that was there first */
} daemon_state;

#ifdef SHARES_STATICS
static uint64_t shared_count;
#define COUNT(d) (*((void)(d), &shared_count))
#else
#define COUNT(d) ((d)->count)
#endif

#ifdef LEAKS
void *volatile lost __attribute__((visibility("hidden")));
#endif

static berth_code create(berth_call *call, const berth_birth *birth, void **self)
{
    berth_reader state = berth_reader_of(birth->state);
    daemon_state *d = calloc(1, sizeof *d);

    if (!d)
        return BERTH_E_MEMORY;
    d->origin = birth->origin;
    d->address = (uint64_t)(uintptr_t)d;
#ifdef TRUSTS_STATE
    /* The length of what follows, believed. */
    if (birth->state.len >= 8) {
        uint64_t len = berth_read_u64(&state);
        uint8_t *copy = malloc(len + sizeof d->count);
        memcpy(copy, (const uint8_t *)birth->state.ptr + 8, len);
        memcpy(&d->count, copy, sizeof d->count);
        free(copy);
    }
#elif !defined(IGNORES_STATE)
    if (birth->state.ptr) {
        COUNT(d) = berth_read_u64(&state);
#ifdef SNAPSHOT_DIFFERS
        d->address = berth_read_u64(&state);
#endif
        if (!berth_reader_done(&state)) {
            free(d);
            return berth_fail(call, BERTH_E_STATE, "the state has 8 bytes");
        }
    }
#endif
#ifdef FORGETS_STATE
    d->count = 0;
#endif
#ifdef REFUSES_STATE
    if (birth->state.ptr) {
        free(d);
        return berth_fail(call, BERTH_E_BROKEN, "will not continue");
    }
#endif
#ifdef CREATE_CRASHES
    __builtin_trap();
#endif
#ifdef CREATE_HANGS
    for (;;)
        pause();
#endif
#ifdef LEAKS
    lost = malloc(64 * 1024);
#endif
    (void)state;
    (void)call;
    *self = d;
    return BERTH_OK;
}

static void destroy(void *self, berth_call *call)
{
    (void)call;
#ifdef DOUBLE_FREE
    void *volatile again = self;
    free(again);
#endif
    free(self);
}

static berth_code emit_count(berth_call *call, uint64_t count)
{
    char text[20];
    char *at = text + sizeof text;

    do
        *--at = (char)('0' + count % 10);
    while ((count /= 10) != 0);
    return berth_emit(call, at, (uint64_t)(text + sizeof text - at));
}

static berth_code process(void *self, berth_call *call, const berth_event *event)
{
    daemon_state *d = self;
    const uint8_t *data = event->data.ptr;

    COUNT(d)++;
#ifdef READS_PAST
    if (data && data[event->data.len] == 'x')
        COUNT(d)++;
#endif
#ifdef KEEPS_DATA
    if (d->data && d->data[0] == 'x')
        COUNT(d)++;
    d->data = event->data.len ? data : NULL;
#endif
#ifdef KEEPS_CALL
    if (d->call && berth_emit(d->call, "late", 4) == BERTH_OK)
        COUNT(d)++;
    d->call = call;
#endif
#ifdef WRITES_DATA
    if (event->data.len)
        ((uint8_t *)(uintptr_t)data)[0] = 0;
#endif
#ifdef CRASHES
    __builtin_trap();
#endif
#ifdef ABORTS
    abort();
#endif
#ifdef EXITS
    exit(0);
#endif
#ifdef HANGS
    for (;;)
        pause();
#endif
#ifdef SPINS
    for (volatile int forever = 1; forever;)
        ;
#endif
#ifdef SLEEPS
    usleep(50 * 1000);
#endif
#ifdef FLOODS
    for (int i = 0; i < 100000; i++) {
        if (berth_emit(call, "flood", 5) != BERTH_OK)
            break;
    }
#endif
#ifdef SENDS_TO_SELF
    return berth_send(call, d->origin, berth_bytes_of(data, event->data.len));
#endif
#ifdef SENDS_BACK
    if (event->origin)
        return berth_send(call, event->origin, berth_bytes_of(data, event->data.len));
#endif
#ifdef DIFFERS
    /* Its address decides what it says. */
    return emit_count(call, COUNT(d) + (uint64_t)(uintptr_t)self);
#endif
    (void)data;
    return emit_count(call, COUNT(d));
}

#ifndef STATELESS
static berth_code snapshot(void *self, berth_call *call, uint32_t want_version)
{
    daemon_state *d = self;
    berth_writer state;

    if (want_version != 1)
        return BERTH_E_VERSION;
#ifdef SNAPSHOT_FAILS
    return berth_fail(call, BERTH_E_BROKEN, "the state cannot be told");
#endif
#ifdef SNAPSHOT_CHANGES
    COUNT(d)++;
#endif
    berth_writer_begin(&state, call);
#ifdef TRUSTS_STATE
    berth_write_u64(&state, sizeof(uint64_t));
#endif
    berth_write_u64(&state, COUNT(d));
#ifdef SNAPSHOT_DIFFERS
    berth_write_u64(&state, d->address);
#endif
    return berth_writer_end(&state);
}
#endif

#ifdef STATUS_FAILS
static berth_code status(void *self, berth_call *call, berth_daemon_status *out)
{
    (void)self;
    (void)out;
    return berth_fail(call, BERTH_E_REJECT, "no status today");
}
#endif

static const berth_kind kind = {
    .size = sizeof(berth_kind),
    .name = BERTH_NAME(KIND),
    .create = create,
    .destroy = destroy,
    .process = process,
#ifndef STATELESS
    .snapshot = snapshot,
#endif
#ifdef STATUS_FAILS
    .status = status,
#endif
};
static const berth_kind *const kinds[] = {&kind};

const berth_plugin berth_plugin_0 = {
    .size = sizeof(berth_plugin),
    .kind_count = 1,
    .kinds = kinds,
    .manifest = BERTH_EMBEDDED_MANIFEST,
};
