/* SPDX-License-Identifier: Apache-2.0 */
/*
 * variant.c: one small plugin, with one thing about its file or table changed by a macro. README.md
 * lists what is built from it. KIND is the name of its kind.
 *
 * Every variant has a constructor that leaves a mark (a file named by the variable
 * BERTH_TEST_CTOR), so that tests see whether code of a refused file has run.
 */
#include "berth/plugin.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef NO_CONSTRUCTOR
__attribute__((constructor)) static void leave_mark(void)
{
    const char *path = getenv("BERTH_TEST_CTOR");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

    if (fd >= 0) {
        if (write(fd, KIND "\n", sizeof(KIND)) < 0)
            abort();
        close(fd);
    }
}
#endif

/* ---- The kind ---- */

static berth_code create(berth_call *call, const berth_birth *birth, void **self)
{
    static char nothing;

#ifdef CREATE_FAILS
    (void)birth;
    (void)self;
    (void)nothing;
    return berth_fail(call, BERTH_E_CONFIG, "this kind is never content");
#else
    if (birth->state.ptr)
        return berth_fail(call, BERTH_E_STATE, "no state is kept here");
    *self = &nothing;
    return BERTH_OK;
#endif
}

static void destroy(void *self, berth_call *call)
{
    (void)self;
    (void)call;
}

#ifdef UNDEFINED_SYMBOL
extern int berth_test_defined_nowhere(void);
#endif

static berth_code process(void *self, berth_call *call, const berth_event *event)
{
    (void)self;
#ifdef UNDEFINED_SYMBOL
    if (berth_test_defined_nowhere())
        return BERTH_E_BROKEN;
#endif
#ifdef FOREIGN_LIBRARY
    extern int berth_test_foreign(void);
    if (berth_test_foreign())
        return BERTH_E_BROKEN;
#endif
    return berth_emit(call, event->data.ptr, event->data.len);
}

#ifdef WITH_SNAPSHOT
static berth_code snapshot(void *self, berth_call *call, uint32_t want_version)
{
    (void)self;
    (void)want_version;
    return call->api->write(call, "", 0);
}
#endif

#ifndef KIND_SIZE
#define KIND_SIZE sizeof(berth_kind)
#endif

static const berth_kind kind = {
    .size = KIND_SIZE,
    .name = BERTH_NAME(KIND),
#ifndef NO_CREATE
    .create = create,
#endif
#ifndef NO_DESTROY
    .destroy = destroy,
#endif
#ifndef NO_PROCESS
    .process = process,
#endif
#ifdef WITH_SNAPSHOT
    .snapshot = snapshot,
#endif
};

#ifdef SECOND_KIND
static const berth_kind second = {
    .size = sizeof(berth_kind),
    .name = BERTH_NAME(SECOND_KIND),
    .create = create,
    .destroy = destroy,
    .process = process,
};
static const berth_kind *const kinds[] = {&kind, &second};
#elif defined(NULL_KIND)
static const berth_kind *const kinds[] = {NULL};
#else
static const berth_kind *const kinds[] = {&kind};
#endif

/* ---- What is wrong with the file ---- */

#ifdef EXPORT_EXTRA
BERTH_EXPORT int berth_test_exported = 1;
#endif

#ifdef TEXT_RELOCATION
__asm__(".text\n.balign 8\n.quad berth_plugin_0\n");
#endif

#ifdef WRITABLE_CODE
__asm__(".section .both,\"awx\",@progbits\nret\n.previous\n");
#endif

#ifdef UNIQUE_SYMBOL
__asm__(".data\n.balign 4\n.globl berth_test_unique\n.type berth_test_unique, @gnu_unique_object\n"
        "berth_test_unique:\n.long 1\n.size berth_test_unique, 4\n.previous\n");
#endif

#ifdef INITIAL_EXEC_TLS
static __thread int per_thread __attribute__((tls_model("initial-exec"), used)) = 1;
int berth_test_touch(void);
int berth_test_touch(void)
{
    return per_thread++;
}
#endif

#ifdef THREAD_LEFT
#include <pthread.h>

static void *run_for_ever(void *arg)
{
    for (;;)
        pause();
    return arg;
}
#endif

static berth_code init(const berth_host *host)
{
    (void)host;
#ifdef THREAD_LEFT
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_for_ever, NULL) == 0)
        pthread_detach(thread);
#endif
#ifdef INIT_HANGS
    for (;;)
        pause();
#endif
#ifdef INIT_CODE
    return INIT_CODE;
#else
    return BERTH_OK;
#endif
}

/* ---- The table ---- */

#ifdef MANIFEST_ELSEWHERE
static const struct {
    berth_note note;
    char json[4];
} elsewhere = {{6, 2, BERTH_NOTE_TYPE, "berth"}, "{}"};
#define MANIFEST &elsewhere.note
#elif defined(NO_MANIFEST_POINTER)
#define MANIFEST NULL
#else
#define MANIFEST BERTH_EMBEDDED_MANIFEST
#endif

#ifndef TABLE_SIZE
#define TABLE_SIZE sizeof(berth_plugin)
#endif
#ifndef KIND_COUNT
#define KIND_COUNT sizeof kinds / sizeof *kinds
#endif

#ifdef FUNCTION_SYMBOL
/* The right name on the wrong thing. */
__asm__(".text\n.globl berth_plugin_0\n.type berth_plugin_0,@function\nberth_plugin_0:\nret\n"
        ".size berth_plugin_0, 1\n.previous\n");
#define TABLE berth_test_table
const berth_plugin berth_test_table;
#else
#define TABLE berth_plugin_0
#endif

const berth_plugin TABLE = {
    .size = TABLE_SIZE,
    .kind_count = KIND_COUNT,
#ifndef NULL_KINDS
    .kinds = kinds,
#endif
    .manifest = MANIFEST,
    .init = init,
};
