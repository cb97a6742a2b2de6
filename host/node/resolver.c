/* SPDX-License-Identifier: Apache-2.0 */
#include "node/resolver.h"

#include "base/error.h"
#include "base/log.h"
#include "mesh/record.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define AGAIN_S        60 /* between two looks at all names */
#define AGAIN_FAILED_S 10 /* while one of them is not known */

typedef struct known {
    address_text name;
    address found[LOOKUP_MAX];
    unsigned count;
    bool failed; /* said so in the log */
} known;

/* The thread is not joined: a name server that does not answer would hold up the end of the host.
 * So both it and the owner hold the memory, and the last one frees it. */
struct resolver {
    pthread_mutex_t lock;
    pthread_cond_t change;
    void (*changed)(void *ctx);
    void *ctx;
    known *names;
    size_t count;
    uint64_t generation; /* of names */
    unsigned holders;
    bool ends, calling;
};

static void let_go(resolver *r)
{
    bool last;

    pthread_mutex_lock(&r->lock);
    last = --r->holders == 0;
    pthread_mutex_unlock(&r->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->change);
    free(r->names);
    free(r);
}

static bool same_name(const address_text *a, const address_text *b)
{
    return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

/* ---- Looking up ------------------------------------------------------------------------------ */

/* Into the name's place, if it is still wanted; true: it has other addresses now. */
static bool put(resolver *r, const known *result)
{
    for (size_t i = 0; i < r->count; i++) {
        known *k = &r->names[i];
        bool same = k->count == result->count;

        if (!same_name(&k->name, &result->name))
            continue;
        k->failed = result->failed;
        if (result->failed)
            return false;
        for (unsigned j = 0; j < result->count && same; j++)
            same = record_address_eq(&k->found[j], &result->found[j]);
        memcpy(k->found, result->found, sizeof k->found);
        k->count = result->count;
        return !same;
    }
    return false;
}

static void look_up(known *k)
{
    berth_error error = {0};
    bool before = k->failed;
    address found[LOOKUP_MAX];
    unsigned count;

    memset(found, 0, sizeof found);
    k->failed = address_lookup(&k->name, found, &count, &error) != BERTH_OK;
    if (k->failed && !before)
        log_warn("node", "mesh: %s; asking again until it is there", error.text);
    if (k->failed)
        return;
    memcpy(k->found, found, sizeof found);
    k->count = count;
}

/* All names once, without the lock while servers are asked. True: the next turn is to come sooner.
 */
static bool turn(resolver *r)
{
    size_t count = r->count;
    known *copy = malloc((count + 1) * sizeof *copy);
    bool changed = false, failed = !copy;

    if (copy && count)
        memcpy(copy, r->names, count * sizeof *copy);
    for (size_t i = 0; copy && i < count && !r->ends; i++) {
        pthread_mutex_unlock(&r->lock);
        look_up(&copy[i]);
        pthread_mutex_lock(&r->lock);
        failed |= copy[i].failed;
        changed |= put(r, &copy[i]);
    }
    free(copy);
    if (changed && !r->ends) {
        r->calling = true;
        pthread_mutex_unlock(&r->lock);
        r->changed(r->ctx);
        pthread_mutex_lock(&r->lock);
        r->calling = false;
        pthread_cond_broadcast(&r->change);
    }
    return failed;
}

static void *run(void *ctx)
{
    resolver *r = ctx;

    pthread_mutex_lock(&r->lock);
    while (!r->ends) {
        uint64_t generation = r->generation;
        struct timespec until;
        bool failed = turn(r);

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += failed ? AGAIN_FAILED_S : AGAIN_S;
        while (!r->ends && r->generation == generation) {
            if (!r->count)
                pthread_cond_wait(&r->change, &r->lock);
            else if (pthread_cond_timedwait(&r->change, &r->lock, &until) == ETIMEDOUT)
                break;
        }
    }
    pthread_mutex_unlock(&r->lock);
    let_go(r);
    return NULL;
}

/* ---- The owner's ----------------------------------------------------------------------------- */

berth_status resolver_new(void (*changed)(void *ctx), void *ctx, resolver **out, berth_error *error)
{
    resolver *r = calloc(1, sizeof *r);
    pthread_condattr_t monotonic;
    pthread_attr_t detached;
    pthread_t thread;
    int code;

    *out = NULL;
    if (!r)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    r->changed = changed;
    r->ctx = ctx;
    r->holders = 2;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->change, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    code = pthread_create(&thread, &detached, run, r);
    pthread_attr_destroy(&detached);
    if (code != 0) {
        r->holders = 1;
        let_go(r);
        return fail_errno(error, code, "a thread to look up names");
    }
    *out = r;
    return BERTH_OK;
}

void resolver_free(resolver *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->ends = true;
    pthread_cond_broadcast(&r->change);
    while (r->calling)
        pthread_cond_wait(&r->change, &r->lock);
    pthread_mutex_unlock(&r->lock);
    let_go(r);
}

berth_status resolver_want(resolver *r, const address_text *names, size_t count, berth_error *error)
{
    known *fresh = calloc(count + 1, sizeof *fresh), *old;
    size_t n = 0;

    if (!fresh)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < count; i++) {
        size_t j = 0;

        while (j < n && !same_name(&fresh[j].name, &names[i]))
            j++;
        if (j < n)
            continue;
        fresh[n].name = names[i];
        for (j = 0; j < r->count; j++)
            if (same_name(&r->names[j].name, &names[i]))
                fresh[n] = r->names[j];
        n++;
    }
    old = r->names;
    r->names = fresh;
    r->count = n;
    r->generation++;
    pthread_cond_broadcast(&r->change);
    pthread_mutex_unlock(&r->lock);
    free(old);
    return BERTH_OK;
}

unsigned resolver_get(resolver *r, const address_text *name, address *out, unsigned cap)
{
    unsigned count = 0;

    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->count; i++)
        if (same_name(&r->names[i].name, name))
            for (; count < r->names[i].count && count < cap; count++)
                out[count] = r->names[i].found[count];
    pthread_mutex_unlock(&r->lock);
    return count;
}
