/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/staging.h: containers that are on disk before anything in the database refers to them, so
 * that the change that does need not write them.
 *
 * They are written on a thread of their own, started with the first of them: the writer's groups do
 * not wait for gigabytes. What is staged is known in memory only; after a crash the files are
 * orphans, which the next open sweeps. Any thread. For this room only.
 */
#ifndef STORE_STAGING_H
#define STORE_STAGING_H

#include "store/attempts.h"
#include "store/snapfile.h"

#include <pthread.h>

typedef enum staged_phase { STAGED_WAITS, STAGED_WRITES, STAGED_READY } staged_phase;

/* One container. For others than staging.c: of one that they have claimed, file, digest and len. */
typedef struct staged {
    struct staged *next;
    uint8_t attempt[STORE_ATTEMPT_SIZE];
    slice bytes; /* in hold; until it is answered */
    buf *hold;
    store_done *done;
    void *ctx;
    staged_phase phase;
    bool forgotten; /* unstaged: it goes as soon as nobody writes or claims it */
    bool claimed;
    bool keep; /* a row that is found after a crash may name the file: it is left to the sweep */
    char file[SNAPFILE_NAME];
    uint8_t digest[SNAPSHOT_DIGEST];
    uint64_t len;
} staged;

typedef struct staging {
    const char *dir; /* borrowed */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    staged *all; /* in the order handed in */
    pthread_t thread;
    bool running, closing;
} staging;

void staging_init(staging *g, const char *dir);
/* What waits is answered CANCELLED, as is whatever comes later; returns when the thread has ended.
 * The done functions may still hand in changes. */
void staging_stop(staging *g);
/* After staging_stop and the last claim: removes the files that no row names. */
void staging_fini(staging *g);

/* As their namesakes in attempts.h. */
void staging_add(staging *g, const uint8_t attempt[STORE_ATTEMPT_SIZE], slice bytes, buf *hold,
                 store_done *done, void *ctx);
void staging_forget(staging *g, const uint8_t attempt[STORE_ATTEMPT_SIZE]);

/* What became of the change that claimed a container. */
typedef enum staging_fate {
    STAGING_NAMED,   /* a row names it */
    STAGING_UNNAMED, /* it is as before the claim */
    STAGING_UNKNOWN, /* the same, but its commit may be found after a crash */
} staging_fate;

/* The container of an attempt for one change: *out stays as it is until staging_settle; NULL when
 * there is none. BUSY while it is being written, or is claimed. */
berth_status staging_claim(staging *g, const uint8_t attempt[STORE_ATTEMPT_SIZE], staged **out,
                           berth_error *error);
/* Ends a claim; NULL is allowed. */
void staging_settle(staging *g, staged *e, staging_fate fate);

#endif
