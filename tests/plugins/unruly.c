/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unruly.c: plugins whose file is as it should be and whose code breaks one rule of the contract,
 * chosen by a macro. They count events in a u64 of state and emit the count, the rule aside.
 * README.md lists them; `berth plugin check` has to find each.
 */
#include "berth/plugin.h"

#include <alloca.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct unruly {
    uint64_t count;
    const berth_event *event; /* of an earlier call */
    const char *config;       /* of create */
    pthread_t thread;
} unruly;

/* What is lost here is lost: the compiler may not leave it out. */
static void *volatile lost __attribute__((unused));
static volatile uint8_t sink __attribute__((unused));

#ifdef KEEPS_DAEMON
static berth_daemon *kept;
#endif
#ifdef THREAD_LOCAL
static _Thread_local const void *per_thread;
#endif
#ifdef SHARES_BUFFER
static char shared_text[20];
#endif

#ifdef WANTS_CONFIG
#define WANTED "21.5"
#elif defined(WANTS_JSON)
#define WANTED "{"
#endif

/* ---- Being made ---- */

#ifdef LEAVES_THREADS
static void *run_for_ever(void *arg)
{
    for (;;)
        pause();
    return arg;
}
#endif

static berth_code read_state(unruly *u, berth_call *call, berth_bytes from)
{
#ifdef READS_SHORT_STATE
    (void)call;
    memcpy(&u->count, from.ptr, sizeof u->count);
    return BERTH_OK;
#else
    berth_reader state = berth_reader_of(from);

    u->count = berth_read_u64(&state);
#ifdef DISLIKES_A_BYTE
    if ((u->count >> 24 & 0xff) == 0x5a)
        __builtin_trap();
#endif
    if (berth_reader_done(&state))
        return BERTH_OK;
    return berth_fail(call, BERTH_E_STATE, "the state has 8 bytes");
#endif
}

static berth_code create(berth_call *call, const berth_birth *birth, void **self)
{
    unruly *u = calloc(1, sizeof *u);
    berth_code code;

    if (!u)
        return BERTH_E_MEMORY;
#ifdef EMITS_IN_CREATE
    berth_emit(call, "born", 4);
#endif
#ifdef KEEPS_DAEMON
    if (kept)
        berth_log(kept, BERTH_LOG_INFO, "still here");
    kept = birth->daemon;
#endif
#ifdef KEEPS_CONFIG
    u->config = birth->config.ptr;
#endif
#ifdef TRUSTS_CONFIG
    char room[256];
    memcpy(room, birth->config.ptr, birth->config.len);
    sink = (uint8_t)room[255];
#endif
#if defined(WANTS_CONFIG) || defined(WANTS_JSON)
    if (birth->config.len < sizeof WANTED - 1 ||
        memcmp(birth->config.ptr, WANTED, sizeof WANTED - 1) != 0) {
        free(u);
        return berth_fail(call, BERTH_E_CONFIG, "it must begin with " WANTED);
    }
#endif
#ifdef LEAKS_ON_CONFIG
    if (birth->config.len && *(const char *)birth->config.ptr == '[')
        return BERTH_E_CONFIG; /* and u is lost */
#endif
    code = birth->state.ptr ? read_state(u, call, birth->state) : BERTH_OK;
    if (code != BERTH_OK) {
#ifndef LEAKS_ON_STATE
        free(u);
#endif
        return code;
    }
#ifdef THREAD_LOCAL
    per_thread = u;
#endif
#ifdef LEAVES_THREADS
    if (pthread_create(&u->thread, NULL, run_for_ever, NULL) == 0)
        pthread_detach(u->thread);
#endif
#ifdef LEAVES_FILES
    if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
        return BERTH_E_MEMORY;
#endif
    *self = u;
    return BERTH_OK;
}

static void destroy(void *self, berth_call *call)
{
    (void)call;
    free(self);
}

/* ---- Events ---- */

static berth_code emit_count(berth_call *call, uint64_t count)
{
    char text[20];
    char *at = text + sizeof text;
    uint64_t len;

    do
        *--at = (char)('0' + count % 10);
    while ((count /= 10) != 0);
    len = (uint64_t)(text + sizeof text - at);
#ifdef SHARES_BUFFER
    /* Long enough in between for another thread to come by. */
    memcpy(shared_text, at, len);
    usleep(50);
    return berth_emit(call, shared_text, len);
#elif defined(WRITES_PAST_RESERVE) || defined(TRUSTS_RESERVE)
    char *room = call->api->reserve(call, len);
#ifdef WRITES_PAST_RESERVE
    if (!room)
        return BERTH_E_LIMIT;
    room[len] = 0;
#endif
    memcpy(room, at, len);
    return call->api->commit(call, len);
#elif defined(INSISTS)
    while (berth_emit(call, at, len) != BERTH_OK)
        ;
    return BERTH_OK;
#else
    return berth_emit(call, at, len);
#endif
}

#ifdef OTHER_THREAD
typedef struct job {
    berth_call *call;
    uint64_t count;
} job;

static void *emit_there(void *arg)
{
    job *j = arg;
    emit_count(j->call, j->count);
    return NULL;
}
#endif

static berth_code process(void *self, berth_call *call, const berth_event *event)
{
    (void)event; /* most of the variants look at nothing */
    unruly *u = self;

#ifdef KEEPS_EVENT
    if (u->event)
        sink = (uint8_t)u->event->type;
    u->event = event;
#endif
#ifdef KEEPS_CONFIG
    sink = (uint8_t)*u->config;
#endif
#ifdef READS_BEFORE
    if (event->data.ptr)
        sink = ((const uint8_t *)event->data.ptr)[-1];
#endif
#ifdef WRITES_EVENT
    ((berth_event *)(uintptr_t)event)->status = 1;
#endif
#ifdef READS_NEWER
    /* A member that no host of this version has, without asking whether it is there. */
    u->count += ((const uint64_t *)event)[sizeof *event / 8];
#endif
#ifdef COPIES_BY_SIZE
    struct {
        berth_event copy;
        uint64_t behind;
    } own = {.behind = 0};
    memcpy(&own, event, event->size > sizeof own ? sizeof own : event->size);
    u->count += own.behind;
#endif
#ifdef LEAKS_ON_EVENT
    lost = malloc(100);
#endif
#ifdef CHANGES_AND_REJECTS
    u->count++;
    if (event->data.len == 0)
        return BERTH_E_REJECT;
    return emit_count(call, u->count);
#endif
#ifdef BREAKS
    return BERTH_E_BROKEN;
#endif
#ifdef WANTS_WORDS
    if (event->data.len < 7 || memcmp(event->data.ptr, "sensor ", 7) != 0)
        return BERTH_E_REJECT;
#endif
#ifdef LARGE_STACK
    volatile uint8_t *large = alloca(2 << 20);
    for (size_t i = 0; i < 2 << 20; i += 1024)
        large[(2 << 20) - 1 - i] = 1;
#endif
    u->count++;
#ifdef THREAD_LOCAL
    /* A thread that it has not seen yet has not seen what was counted, either. */
    if (u->count > 1 && !per_thread)
        return emit_count(call, 0);
    per_thread = u;
#endif
#ifdef OTHER_THREAD
    job j = {call, u->count};
    pthread_t thread;
    if (pthread_create(&thread, NULL, emit_there, &j) == 0)
        pthread_join(thread, NULL);
    return BERTH_OK;
#else
    return emit_count(call, u->count);
#endif
}

/* ---- State, status, control ---- */

static berth_code snapshot(void *self, berth_call *call, uint32_t want_version)
{
    unruly *u = self;
    uint64_t count = u->count;

    (void)want_version;
#ifdef EMITS_IN_SNAPSHOT
    berth_emit(call, "saved", 5);
#endif
#ifdef IGNORES_WRITE
    call->api->write(call, &count, sizeof count);
    return BERTH_OK;
#else
    return call->api->write(call, &count, sizeof count);
#endif
}

static berth_code status(void *self, berth_call *call, berth_daemon_status *out)
{
    (void)self;
    (void)call;
    (void)out;
#ifdef EMITS_IN_STATUS
    berth_emit(call, "fine", 4);
#endif
#ifdef HEALTH_UNKNOWN
    out->health = 7;
#endif
#ifdef WRITES_NEWER
    memset(out + 1, 0, 8);
#endif
    return BERTH_OK;
}

static berth_code control(void *self, berth_call *call, const berth_event *event)
{
    (void)self;
    (void)call;
#ifdef BREAKS_ON_UNKNOWN
    if (event->status < 1 || event->status > BERTH_CONTROL_BACKPRESSURE_OFF)
        return BERTH_E_BROKEN;
#endif
    (void)event;
    return BERTH_OK;
}

static const berth_kind kind = {
    .size = sizeof(berth_kind),
    .name = BERTH_NAME(KIND),
    .create = create,
    .destroy = destroy,
    .process = process,
    .snapshot = snapshot,
    .status = status,
    .on_control = control,
};
static const berth_kind *const kinds[] = {&kind};

const berth_plugin berth_plugin_0 = {
    .size = sizeof(berth_plugin),
    .kind_count = 1,
    .kinds = kinds,
    .manifest = BERTH_EMBEDDED_MANIFEST,
};
