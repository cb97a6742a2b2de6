/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of staged containers share: an fsync of their own, which counts, fails and waits
 * when told to. As the database has a file system of its own here (store_vfs.h), only the files
 * beside it come to it.
 */
#ifndef STORE_STAGING_FIXTURE_H
#define STORE_STAGING_FIXTURE_H

#include "unit/store_attempts.h"
#include "unit/store_vfs.h"

#include <errno.h>

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned syncs;
    unsigned fail_at; /* that one from now fails, with: */
    int with;
    bool shut; /* one sync, the next, waits until it is open */
    bool waits;
} disk = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int fsync(int fd)
{
    int result = 0;

    (void)fd;
    pthread_mutex_lock(&disk.mutex);
    disk.syncs++;
    if (disk.fail_at && --disk.fail_at == 0) {
        errno = disk.with;
        result = -1;
    } else if (disk.shut && !disk.waits) {
        disk.waits = true;
        pthread_cond_broadcast(&disk.changed);
        while (disk.shut)
            pthread_cond_wait(&disk.changed, &disk.mutex);
        disk.waits = false;
    }
    pthread_mutex_unlock(&disk.mutex);
    return result;
}

static inline void shut_disk(void)
{
    disk.shut = true;
}

static inline void until_disk_waits(void)
{
    pthread_mutex_lock(&disk.mutex);
    while (!disk.waits)
        pthread_cond_wait(&disk.changed, &disk.mutex);
    pthread_mutex_unlock(&disk.mutex);
}

static inline void open_disk(void)
{
    pthread_mutex_lock(&disk.mutex);
    disk.shut = false;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.mutex);
}

static inline bool nothing_is_staged(store *s, uint64_t n)
{
    bool none;

    if (went(s, n, T_PREPARED, 10).status)
        return false;
    none = is_at(s, n, T_PREPARED, 10); /* without a base */
    return went(s, n, T_NONE, 0).status == BERTH_OK && none;
}

#endif
