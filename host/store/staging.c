/* SPDX-License-Identifier: Apache-2.0 */
#include "store/staging.h"
#include "base/error.h"
#include "base/text.h"
#include "store/inside.h"

#include <stdlib.h>
#include <string.h>

#define ATTEMPT_TEXT (2 * STORE_ATTEMPT_SIZE + 1)

static char *attempt_text(char out[ATTEMPT_TEXT], const uint8_t attempt[STORE_ATTEMPT_SIZE])
{
    return hex_encode(out, slice_of(attempt, STORE_ATTEMPT_SIZE));
}

/* ---- The list; its mutex is held ---- */

static staged *find(staging *g, const uint8_t attempt[STORE_ATTEMPT_SIZE])
{
    for (staged *e = g->all; e; e = e->next)
        if (!e->forgotten && memcmp(e->attempt, attempt, STORE_ATTEMPT_SIZE) == 0)
            return e;
    return NULL;
}

static void append(staging *g, staged *e)
{
    staged **at = &g->all;

    while (*at)
        at = &(*at)->next;
    *at = e;
}

static void take_out(staging *g, const staged *e)
{
    staged **at = &g->all;

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
}

static staged *next_work(staging *g)
{
    staged *e = g->all;

    while (e && e->phase != STAGED_WAITS &&
           (e->phase != STAGED_READY || !e->forgotten || e->claimed))
        e = e->next;
    return e;
}

/* ---- The thread ---- */

static void discard(const staging *g, staged *e)
{
    if (!e->keep)
        snapfile_remove(g->dir, e->file);
    free(e);
}

static berth_status put_on_disk(const staging *g, staged *e, berth_error *error)
{
    snapshot_digest(e->digest, e->bytes);
    return snapfile_write(g->dir, e->attempt, e->bytes, e->file, error);
}

static berth_status unstaged(const staged *e, berth_error *error)
{
    char text[ATTEMPT_TEXT];

    return fail(error, BERTH_ERR_CANCELLED,
                "attempt %s: its container of %zu bytes is not kept: it was given up, or the host "
                "ends",
                attempt_text(text, e->attempt), e->bytes.len);
}

/* e is the thread's while it is in STAGED_WRITES; from READY on it may go at any time. */
static void write_one(staging *g, staged *e, bool given_up)
{
    berth_error error = {0};
    berth_status status = given_up ? unstaged(e, &error) : put_on_disk(g, e, &error);
    staged answer;

    pthread_mutex_lock(&g->mutex);
    answer = *e;
    if (!status && e->forgotten) {
        status = unstaged(e, &error);
        given_up = true;
    }
    if (status)
        take_out(g, e);
    else
        e->phase = STAGED_READY;
    pthread_mutex_unlock(&g->mutex);

    if (status) {
        if (given_up && answer.file[0])
            snapfile_remove(g->dir, answer.file);
        free(e);
    }
    buf_unref(answer.hold);
    if (answer.done)
        answer.done(answer.ctx, status, &error);
}

static void *work(void *arg)
{
    staging *g = arg;
    staged *e;

    pthread_mutex_lock(&g->mutex);
    while ((e = next_work(g)) || !g->closing) {
        bool given_up;

        if (!e) {
            pthread_cond_wait(&g->wake, &g->mutex);
            continue;
        }
        given_up = e->forgotten;
        if (e->phase == STAGED_READY)
            take_out(g, e);
        else
            e->phase = STAGED_WRITES;
        pthread_mutex_unlock(&g->mutex);
        if (e->phase == STAGED_READY)
            discard(g, e);
        else
            write_one(g, e, given_up);
        pthread_mutex_lock(&g->mutex);
    }
    pthread_mutex_unlock(&g->mutex);
    return NULL;
}

/* ---- For the store ---- */

void staging_init(staging *g, const char *dir)
{
    *g = (staging){.dir = dir};
    pthread_mutex_init(&g->mutex, NULL);
    pthread_cond_init(&g->wake, NULL);
}

void staging_stop(staging *g)
{
    pthread_mutex_lock(&g->mutex);
    g->closing = true;
    for (staged *e = g->all; e; e = e->next)
        if (e->phase == STAGED_WAITS)
            e->forgotten = true;
    pthread_mutex_unlock(&g->mutex);
    pthread_cond_signal(&g->wake);
    if (g->running)
        pthread_join(g->thread, NULL);
}

void staging_fini(staging *g)
{
    while (g->all) {
        staged *e = g->all;

        g->all = e->next;
        discard(g, e);
    }
    pthread_cond_destroy(&g->wake);
    pthread_mutex_destroy(&g->mutex);
}

/* ---- What is handed in ---- */

static berth_status check(const uint8_t attempt[STORE_ATTEMPT_SIZE], size_t len, berth_error *error)
{
    char text[ATTEMPT_TEXT];

    if (!len)
        return fail(error, BERTH_ERR_INVALID, "attempt %s: a container of no bytes is none",
                    attempt_text(text, attempt));
    if (len > STORE_SNAPSHOT_MAX)
        return fail(error, BERTH_ERR_LIMIT,
                    "attempt %s: a container of %zu bytes: at most %llu can be stored",
                    attempt_text(text, attempt), len, (unsigned long long)STORE_SNAPSHOT_MAX);
    return BERTH_OK;
}

/* The mutex is held. */
static berth_status enqueue(staging *g, staged *e, berth_error *error)
{
    berth_status status = BERTH_OK;
    char text[ATTEMPT_TEXT];

    if (g->closing)
        return unstaged(e, error);
    if (find(g, e->attempt))
        return fail(error, BERTH_ERR_EXISTS,
                    "attempt %s: has a container already, which must be given up before another",
                    attempt_text(text, e->attempt));
    if (!g->running)
        status = store_start_thread(&g->thread, "berth-staging", work, g, g->dir, error);
    if (status)
        return status;
    g->running = true;
    append(g, e);
    return BERTH_OK;
}

void staging_add(staging *g, const uint8_t attempt[STORE_ATTEMPT_SIZE], slice bytes, buf *hold,
                 store_done *done, void *ctx)
{
    char text[ATTEMPT_TEXT];
    berth_error error;
    berth_status status = check(attempt, bytes.len, &error);
    staged *e = status ? NULL : calloc(1, sizeof *e);

    if (!status && !e)
        status = fail(&error, BERTH_ERR_NO_MEMORY, "attempt %s: out of memory for a container",
                      attempt_text(text, attempt));
    if (e) {
        *e = (staged){.bytes = bytes, .hold = hold, .done = done, .ctx = ctx, .len = bytes.len};
        memcpy(e->attempt, attempt, STORE_ATTEMPT_SIZE);
        buf_ref(hold);
        pthread_mutex_lock(&g->mutex);
        status = enqueue(g, e, &error);
        pthread_mutex_unlock(&g->mutex);
    }
    if (!status) {
        pthread_cond_signal(&g->wake);
        return;
    }
    if (e)
        buf_unref(hold);
    free(e);
    if (done)
        done(ctx, status, &error);
}

void staging_forget(staging *g, const uint8_t attempt[STORE_ATTEMPT_SIZE])
{
    staged *e;

    pthread_mutex_lock(&g->mutex);
    e = find(g, attempt);
    if (e)
        e->forgotten = true;
    pthread_mutex_unlock(&g->mutex);
    if (e)
        pthread_cond_signal(&g->wake);
}

/* ---- Claims ---- */

berth_status staging_claim(staging *g, const uint8_t attempt[STORE_ATTEMPT_SIZE], staged **out,
                           berth_error *error)
{
    berth_status status = BERTH_OK;
    char text[ATTEMPT_TEXT];
    staged *e;

    *out = NULL;
    pthread_mutex_lock(&g->mutex);
    e = find(g, attempt);
    if (e && (e->phase != STAGED_READY || e->claimed)) {
        status =
            fail(error, BERTH_ERR_BUSY, "attempt %s: its container %s: wait until that is done",
                 attempt_text(text, attempt),
                 e->claimed ? "is being referred to by another change" : "is being written");
    } else if (e) {
        e->claimed = true;
        *out = e;
    }
    pthread_mutex_unlock(&g->mutex);
    return status;
}

void staging_settle(staging *g, staged *e, staging_fate fate)
{
    if (!e)
        return;
    pthread_mutex_lock(&g->mutex);
    e->claimed = false;
    if (fate == STAGING_NAMED)
        take_out(g, e);
    if (fate == STAGING_UNKNOWN)
        e->keep = true;
    pthread_mutex_unlock(&g->mutex);
    if (fate == STAGING_NAMED)
        free(e);
    else
        pthread_cond_signal(&g->wake); /* it may have been given up meanwhile */
}
