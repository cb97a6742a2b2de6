/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system under SQLite that fails when told to, and that can lose power: it keeps a second
 * directory with what a disk would hold that forgets every write not yet synced.
 *
 * vfs_install makes it the default of this process. It knows the files of one store at a time. The
 * mode may be changed while no change is on its way.
 */
#ifndef STORE_VFS_H
#define STORE_VFS_H

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What happens to operations once `left` of their kind have passed. */
static struct {
    pthread_mutex_t mutex;
    long writes_left;         /* then writes find no room; negative: never */
    sqlite3_int64 room;       /* files grow no longer than this; negative: no limit */
    long syncs_left;          /* then syncs fail; negative: never */
    long cut_left;            /* then, at a write or sync, the power fails; negative: never */
    void (*after_read)(void); /* called once, when a reader ends its next look at the database */
    const char *disk;         /* directory of what survives a power cut; NULL: not kept */
    uint32_t seed;            /* which unsynced writes the cut lets through */
} vfs = {
    .mutex = PTHREAD_MUTEX_INITIALIZER,
    .writes_left = -1,
    .room = -1,
    .syncs_left = -1,
    .cut_left = -1,
    .seed = 1,
};

/* A write that was not synced yet. */
typedef struct vfs_pending {
    struct vfs_pending *next;
    sqlite3_int64 at;
    int len; /* -1: truncate to `at` */
    uint8_t bytes[];
} vfs_pending;

typedef struct vfs_file {
    sqlite3_file base;
    sqlite3_file *real;
    bool reader;
    int disk; /* the file's copy in vfs.disk; -1: not kept */
    vfs_pending *head, **tail;
    struct vfs_file *next; /* of all that are open and kept */
} vfs_file;

static vfs_file *vfs_open_files;

static void vfs_apply(vfs_file *f, const vfs_pending *p, int len)
{
    if (p->len < 0 ? ftruncate(f->disk, p->at) != 0 : pwrite(f->disk, p->bytes, len, p->at) != len)
        abort();
}

/* Everything pending reaches the disk; or, in a power cut, some of it, one perhaps in part. */
static void vfs_flush(vfs_file *f, bool all)
{
    while (f->head) {
        vfs_pending *p = f->head;
        unsigned luck;

        vfs.seed = vfs.seed * 1664525 + 1013904223;
        luck = all ? 0 : vfs.seed >> 29;
        if (luck < 4)
            vfs_apply(f, p, p->len);
        else if (luck == 4)
            vfs_apply(f, p, p->len < 0 ? p->len : p->len / 2);
        f->head = p->next;
        free(p);
    }
    f->tail = &f->head;
}

static void vfs_remember(vfs_file *f, const void *bytes, int len, sqlite3_int64 at)
{
    vfs_pending *p;

    if (f->disk < 0)
        return;
    p = malloc(sizeof *p + (len > 0 ? (size_t)len : 0));
    if (!p)
        abort();
    p->next = NULL;
    p->at = at;
    p->len = len;
    if (len > 0)
        memcpy(p->bytes, bytes, (size_t)len);
    *f->tail = p;
    f->tail = &p->next;
}

static void vfs_maybe_cut(void)
{
    if (vfs.cut_left < 0 || vfs.cut_left-- > 0)
        return;
    for (vfs_file *f = vfs_open_files; f; f = f->next)
        vfs_flush(f, false);
    _exit(7);
}

/* True: this one fails. */
static bool vfs_spend(long *left)
{
    if (*left > 0)
        --*left;
    return *left == 0;
}

#define REAL(f) (((vfs_file *)(f))->real)

static int vfs_write(sqlite3_file *base, const void *bytes, int len, sqlite3_int64 at)
{
    vfs_file *f = (vfs_file *)base;
    int rc = SQLITE_FULL;

    pthread_mutex_lock(&vfs.mutex);
    vfs_maybe_cut();
    if (!vfs_spend(&vfs.writes_left) && (vfs.room < 0 || at + len <= vfs.room)) {
        rc = f->real->pMethods->xWrite(f->real, bytes, len, at);
        if (!rc)
            vfs_remember(f, bytes, len, at);
    }
    pthread_mutex_unlock(&vfs.mutex);
    return rc;
}

static int vfs_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    vfs_file *f = (vfs_file *)base;
    int rc;

    pthread_mutex_lock(&vfs.mutex);
    rc = f->real->pMethods->xTruncate(f->real, size);
    if (!rc)
        vfs_remember(f, NULL, -1, size);
    pthread_mutex_unlock(&vfs.mutex);
    return rc;
}

static int vfs_sync(sqlite3_file *base, int flags)
{
    vfs_file *f = (vfs_file *)base;
    int rc = SQLITE_IOERR_FSYNC;

    (void)flags;
    pthread_mutex_lock(&vfs.mutex);
    vfs_maybe_cut();
    if (!vfs_spend(&vfs.syncs_left)) {
        rc = SQLITE_OK; /* the tests need no real one */
        if (f->disk >= 0)
            vfs_flush(f, true);
    }
    pthread_mutex_unlock(&vfs.mutex);
    return rc;
}

static int vfs_close(sqlite3_file *base)
{
    vfs_file *f = (vfs_file *)base;
    vfs_file **at = &vfs_open_files;
    int rc = f->real->pMethods->xClose(f->real);

    pthread_mutex_lock(&vfs.mutex);
    if (f->disk >= 0) {
        while (*at != f)
            at = &(*at)->next;
        *at = f->next;
        vfs_flush(f, true);
        close(f->disk);
    }
    pthread_mutex_unlock(&vfs.mutex);
    return rc;
}

static int vfs_read(sqlite3_file *f, void *bytes, int len, sqlite3_int64 at)
{
    return REAL(f)->pMethods->xRead(REAL(f), bytes, len, at);
}

static int vfs_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return REAL(f)->pMethods->xFileSize(REAL(f), size);
}

static int vfs_lock(sqlite3_file *f, int level)
{
    return REAL(f)->pMethods->xLock(REAL(f), level);
}

static int vfs_unlock(sqlite3_file *f, int level)
{
    return REAL(f)->pMethods->xUnlock(REAL(f), level);
}

static int vfs_reserved(sqlite3_file *f, int *out)
{
    return REAL(f)->pMethods->xCheckReservedLock(REAL(f), out);
}

static int vfs_control(sqlite3_file *f, int op, void *arg)
{
    return REAL(f)->pMethods->xFileControl(REAL(f), op, arg);
}

static int vfs_sector(sqlite3_file *f)
{
    return REAL(f)->pMethods->xSectorSize(REAL(f));
}

static int vfs_traits(sqlite3_file *f)
{
    return REAL(f)->pMethods->xDeviceCharacteristics(REAL(f));
}

static int vfs_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return REAL(f)->pMethods->xShmMap(REAL(f), page, size, extend, out);
}

static int vfs_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    int rc = REAL(f)->pMethods->xShmLock(REAL(f), offset, n, flags);

    if (((vfs_file *)f)->reader && flags == (SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED) &&
        vfs.after_read) {
        void (*call)(void) = vfs.after_read;

        vfs.after_read = NULL;
        call();
    }
    return rc;
}

static void vfs_shm_barrier(sqlite3_file *f)
{
    REAL(f)->pMethods->xShmBarrier(REAL(f));
}

static int vfs_shm_unmap(sqlite3_file *f, int remove)
{
    return REAL(f)->pMethods->xShmUnmap(REAL(f), remove);
}

static const sqlite3_io_methods vfs_methods = {
    .iVersion = 2,
    .xClose = vfs_close,
    .xRead = vfs_read,
    .xWrite = vfs_write,
    .xTruncate = vfs_truncate,
    .xSync = vfs_sync,
    .xFileSize = vfs_size,
    .xLock = vfs_lock,
    .xUnlock = vfs_unlock,
    .xCheckReservedLock = vfs_reserved,
    .xFileControl = vfs_control,
    .xSectorSize = vfs_sector,
    .xDeviceCharacteristics = vfs_traits,
    .xShmMap = vfs_shm_map,
    .xShmLock = vfs_shm_lock,
    .xShmBarrier = vfs_shm_barrier,
    .xShmUnmap = vfs_shm_unmap,
};

static sqlite3_vfs *vfs_real;

/* Where the surviving copy of a file is. */
static const char *vfs_disk_path(const char *name, char path[PATH_MAX])
{
    const char *slash = strrchr(name, '/');

    snprintf(path, PATH_MAX, "%s/%s", vfs.disk, slash ? slash + 1 : name);
    return path;
}

static int vfs_open(sqlite3_vfs *self, const char *name, sqlite3_file *base, int flags,
                    int *out_flags)
{
    vfs_file *f = (vfs_file *)base;
    char path[PATH_MAX];
    int rc;

    (void)self;
    memset(f, 0, sizeof *f);
    f->real = (sqlite3_file *)(f + 1);
    f->reader = flags & SQLITE_OPEN_READONLY;
    f->disk = -1;
    f->tail = &f->head;
    rc = vfs_real->xOpen(vfs_real, name, f->real, flags, out_flags);
    if (rc || !f->real->pMethods)
        return rc;
    f->base.pMethods = &vfs_methods;
    /* Of readers, which write nothing, there is nothing to keep. */
    if (vfs.disk && name && !f->reader) {
        f->disk = open(vfs_disk_path(name, path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (f->disk < 0)
            abort();
        pthread_mutex_lock(&vfs.mutex);
        f->next = vfs_open_files;
        vfs_open_files = f;
        pthread_mutex_unlock(&vfs.mutex);
    }
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *self, const char *name, int sync)
{
    char path[PATH_MAX];

    (void)self;
    if (vfs.disk)
        unlink(vfs_disk_path(name, path));
    return vfs_real->xDelete(vfs_real, name, sync);
}

static void vfs_install(void)
{
    static sqlite3_vfs own;

    vfs_real = sqlite3_vfs_find(NULL);
    own = *vfs_real;
    own.zName = "faulty";
    own.szOsFile = (int)sizeof(vfs_file) + vfs_real->szOsFile;
    own.xOpen = vfs_open;
    own.xDelete = vfs_delete;
    if (sqlite3_vfs_register(&own, 1) != SQLITE_OK)
        abort();
}

#endif
