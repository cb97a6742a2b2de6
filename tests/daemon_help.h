/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/daemon_help.h: what the tests of the daemon room share.
 *
 * BOTH(test) runs a test twice: with instances that answer at once, and with instances that answer
 * later from another thread (daemon_async.h). Nothing above instance.h may notice.
 */
#ifndef TESTS_DAEMON_HELP_H
#define TESTS_DAEMON_HELP_H

#include "base/clock.h"
#include "base/log.h"
#include "daemon/runtime_private.h"
#include "daemon_async.h"
#include "kinds.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
/* cmocka's fail() is in the way of ours (base/error.h). */
#undef fail
#undef fail_msg
#define fail_msg(...)                                                                              \
    do {                                                                                           \
        print_error(__VA_ARGS__);                                                                  \
        print_error("\n");                                                                         \
        _fail(__FILE__, __LINE__);                                                                 \
    } while (0)

/* Longer than anything takes on a machine that works. */
#define HELP_PATIENCE_NS 60000000000

#define OK(call)          assert_int_equal(call, BERTH_OK)
#define FAILS(call, code) assert_int_equal(call, BERTH_ERR_##code)
#define BOTH(test)                                                                                 \
    INLINE(test),                                                                                  \
    {                                                                                              \
#test " (answered later)", test, NULL, NULL, (void *)&async_ops                            \
    }
#define INLINE(test)                                                                               \
    {                                                                                              \
#test, test, NULL, NULL, NULL                                                              \
    }
#define CONTAINS(text, is) assert_non_null(strstr(text, is))

static inline void help_nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Look again until it is so; a test that hangs fails. */
#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        int64_t until_ = clock_mono_ns() + HELP_PATIENCE_NS;                                       \
        while (!(condition)) {                                                                     \
            if (clock_mono_ns() > until_)                                                          \
                fail_msg("never: %s", #condition);                                                 \
            help_nap();                                                                            \
        }                                                                                          \
    } while (0)

/* Lines in the log that tell of a defect of ours. */
static atomic_int help_defects;

static void help_log(void *ctx, log_level level, const char *room, const char *text)
{
    (void)ctx;
    (void)level;
    (void)room;
    if (strstr(text, "references are left") || strstr(text, "its memory is left behind")) {
        atomic_fetch_add(&help_defects, 1);
        print_error("%s\n", text);
    }
}

/* A started runtime with the kinds of kinds.h, as the test's state says (BOTH). */
static inline berth_runtime *help_runtime(void **state, const berth_runtime_config *config)
{
    log_set_level(LOG_LEVEL_ERROR);
    log_set_sink(help_log, NULL);
    kinds_gate_open();
    berth_runtime *rt = kinds_runtime(config);
    if (*state) {
        async_start();
        rt->instances = &async_ops;
    }
    return rt;
}

/* The end of a test: nothing is left, and no call ever found another inside its instance. */
static inline void help_free(void **state, berth_runtime *rt)
{
    kinds_gate_open();
    berth_runtime_free(rt);
    if (*state)
        async_stop();
    assert_int_equal(kinds_alive, 0);
    assert_int_equal(kinds_overlaps, 0); /* compute-core K1 */
    assert_int_equal(help_defects, 0);   /* K21: every reference was given back, once */
}

/* The identity of the seed whose first 8 bytes are this number, the others 0. */
static inline berth_keypair key_of(uint64_t number)
{
    uint8_t seed[32] = {0};
    berth_keypair key;
    for (int i = 0; i < 8; i++)
        seed[i] = (uint8_t)(number >> (8 * i));
    berth_keypair_from_seed(&key, seed);
    return key;
}

/* A daemon that is in no runtime: to stand in registries and tables. */
static inline struct daemon *daemon_alone(uint64_t origin, const char *name)
{
    size_t name_size = strlen(name) + 1;
    struct daemon *d = calloc(1, sizeof(*d) + name_size);
    d->name = memcpy(d + 1, name, name_size);
    atomic_init(&d->refs, 1);
    pthread_mutex_init(&d->lock, NULL);
    d->origin = origin;
    return d;
}

static inline unsigned refs_of(struct daemon *d)
{
    return atomic_load(&d->refs);
}

static inline uint64_t spawn_of(berth_runtime *rt, const char *kind)
{
    uint64_t origin = 0;
    OK(berth_spawn_kind(rt, kind, NULL, NULL, &origin, NULL));
    return origin;
}

static inline berth_daemon_info info_of(berth_runtime *rt, uint64_t origin)
{
    berth_daemon_info info;
    OK(berth_daemon_get(rt, origin, &info, NULL));
    return info;
}

/* Formats into a few buffers in turn. */
__attribute__((format(printf, 1, 2))) static inline const char *say(const char *format, ...)
{
    static _Thread_local char texts[8][512];
    static _Thread_local unsigned next;
    char *text = texts[next++ % 8];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(texts[0]), format, args);
    va_end(args);
    return text;
}

/* Deliver this text and wait; what it answers. */
static inline berth_status tell_it(berth_runtime *rt, uint64_t origin, const char *text)
{
    return berth_deliver(rt, origin, text, strlen(text), NULL, NULL);
}

/* Deliver this text; the text of its one output. */
static inline const char *ask_it(berth_runtime *rt, uint64_t origin, const char *text)
{
    static _Thread_local char answer[512];
    berth_outputs *out = berth_outputs_new();
    OK(berth_deliver(rt, origin, text, strlen(text), out, NULL));
    assert_int_equal(berth_outputs_count(out), 1);
    berth_output_view v = berth_outputs_at(out, 0);
    snprintf(answer, sizeof(answer), "%.*s", (int)v.len, (const char *)v.data);
    berth_outputs_free(out);
    return answer;
}

/* Put this text into the mailbox and go on. */
static inline berth_status post_it(berth_runtime *rt, uint64_t origin, const char *text)
{
    berth_input input = {.data = text, .len = strlen(text)};
    return berth_submit(rt, origin, &input, 1, NULL, NULL, NULL);
}

/* ---- An ear: the outputs of a daemon, as they come ------------------------------------------- */

typedef struct ear {
    tail *tail;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    unsigned rings;
    tail_item items[32];
    size_t count, at;
    uint64_t missed;
    bool ended;
    char text[1024]; /* of the item heard last */
    berth_link link;
    uint16_t to;
} ear;

static void ear_wake(void *ctx)
{
    ear *e = ctx;
    pthread_mutex_lock(&e->lock);
    e->rings++;
    pthread_cond_signal(&e->cond);
    pthread_mutex_unlock(&e->lock);
}

static inline void ear_init(ear *e)
{
    memset(e, 0, sizeof(*e));
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->cond, NULL);
}

static inline ear *ear_on(berth_runtime *rt, uint64_t origin, tail_from from)
{
    ear *e = malloc(sizeof(*e));
    ear_init(e);
    OK(tail_open_daemon(rt, origin, from, ear_wake, e, &e->tail, NULL));
    return e;
}

static inline void ear_close(ear *e)
{
    tail_close(e->tail);
    for (; e->at < e->count; e->at++)
        tail_item_release(&e->items[e->at]);
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->cond);
    free(e);
}

/* The next item into e->text, e->link, e->to; waits for it. False: the source has ended. */
static inline bool ear_next(ear *e)
{
    while (e->at == e->count) {
        uint64_t missed;
        pthread_mutex_lock(&e->lock);
        unsigned before = e->rings;
        pthread_mutex_unlock(&e->lock);
        e->at = 0;
        e->count = tail_read(e->tail, e->items, 32, &missed, &e->ended);
        e->missed += missed;
        if (e->count || missed)
            continue;
        if (e->ended)
            return false;
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += HELP_PATIENCE_NS / 1000000000;
        pthread_mutex_lock(&e->lock);
        int late = 0;
        while (e->rings == before && !late)
            late = pthread_cond_timedwait(&e->cond, &e->lock, &until);
        pthread_mutex_unlock(&e->lock);
        if (late)
            fail_msg("no output came");
    }
    tail_item *item = &e->items[e->at++];
    berth_link_decode(&e->link, item->bytes->data, item->bytes->len);
    e->to = item->to;
    snprintf(e->text, sizeof(e->text), "%.*s", (int)(item->bytes->len - 32),
             (const char *)item->bytes->data + 32);
    tail_item_release(item);
    return true;
}

/* The next output is this one. */
static inline void hear(ear *e, const char *text)
{
    assert_true(ear_next(e));
    assert_string_equal(e->text, text);
}

/* Outputs pass until this one. */
static inline void hear_at_last(ear *e, const char *text)
{
    do
        assert_true(ear_next(e));
    while (strcmp(e->text, text) != 0);
}

#endif
