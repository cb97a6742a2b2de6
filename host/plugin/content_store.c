/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/content_store.h"
#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "base/text.h"
#include "plugin/content_dir.h"
#include "plugin/temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK (256u << 10)

struct content_store {
    uint64_t max_bytes;
    bool ephemeral;
    pthread_mutex_t lock; /* over the making of dir */
    bool made;
    int dir_lock; /* of an ephemeral one */
    char dir[PATH_MAX];
};

const char *content_store_dir(content_store *store)
{
    bool made;

    pthread_mutex_lock(&store->lock);
    made = store->made;
    pthread_mutex_unlock(&store->lock);
    return made ? store->dir : NULL;
}

/* Most sets without a state directory never see a file; they need no directory either. */
static berth_status make_dir(content_store *store, berth_error *error)
{
    berth_status status = BERTH_OK;

    pthread_mutex_lock(&store->lock);
    if (!store->made)
        status = temporary_make(store->dir, &store->dir_lock, error);
    store->made = !status;
    pthread_mutex_unlock(&store->lock);
    return status;
}

berth_status content_store_open(const char *dir, uint64_t max_bytes, content_store **out,
                                berth_error *error)
{
    content_store *s = calloc(1, sizeof *s);
    berth_status status;

    *out = NULL;
    if (!s)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    s->max_bytes = max_bytes ? max_bytes : CONTENT_DEFAULT_MAX;
    s->ephemeral = !dir;
    s->dir_lock = -1;
    status = dir ? content_dir_open(dir, s->dir, error) : BERTH_OK;
    if (status) {
        free(s);
        return status;
    }
    s->made = dir != NULL;
    pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return BERTH_OK;
}

void content_store_give_up(content_store *store)
{
    pthread_mutex_lock(&store->lock);
    if (store->ephemeral && store->made) {
        temporary_remove(store->dir, store->dir_lock);
        store->dir_lock = -1;
        store->made = false;
    }
    pthread_mutex_unlock(&store->lock);
}

void content_store_close(content_store *store)
{
    if (!store)
        return;
    content_store_give_up(store);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

static berth_status entry_path(content_store *store, const uint8_t *digest, char out[PATH_MAX],
                               berth_error *error)
{
    const char *dir = content_store_dir(store);
    char hex[2 * DIGEST_BYTES + 1];
    int n;

    hex_encode(hex, slice_of(digest, DIGEST_BYTES));
    if (!dir)
        return fail(error, BERTH_ERR_NOT_FOUND,
                    "%s.so: is not in the store: load the plugin again from its origin", hex);
    n = snprintf(out, PATH_MAX, "%s/%s.so", dir, hex);
    if (n >= PATH_MAX - (int)sizeof ".minisig")
        return fail_errno(error, ENAMETOOLONG, "%s", store->dir);
    return BERTH_OK;
}

static berth_status open_source(const content_store *store, const char *path, int *fd,
                                struct stat *st, berth_error *error)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0 && errno == ELOOP)
        return fail(error, BERTH_ERR_REFUSED, "%s: is a symbolic link: name the file itself", path);
    if (*fd < 0)
        return fail_errno(error, errno, "%s: cannot open", path);
    if (fstat(*fd, st) != 0)
        return fail_errno(error, errno, "%s", path);
    if (!S_ISREG(st->st_mode))
        return fail(error, BERTH_ERR_INVALID, "%s: is %s, not a file: give the .so file", path,
                    S_ISDIR(st->st_mode) ? "a directory" : "a device, pipe or socket");
    if ((uint64_t)st->st_size > store->max_bytes)
        return fail(error, BERTH_ERR_LIMIT, "%s: has %" PRIu64 " bytes, a plugin may have %" PRIu64,
                    path, (uint64_t)st->st_size, store->max_bytes);
    return BERTH_OK;
}

/* The signature beside a file, or NULL if there is none. */
static berth_status read_signature(const char *path, buf **out, berth_error *error)
{
    char beside[PATH_MAX];
    berth_error why;
    berth_status status;

    *out = NULL;
    if (snprintf(beside, sizeof beside, "%s.minisig", path) >= (int)sizeof beside)
        return fail_errno(error, ENAMETOOLONG, "%s", path);
    status = file_read(beside, MINISIGN_FILE_MAX, FILE_NOFOLLOW, out, &why);
    if (status == BERTH_ERR_NOT_FOUND)
        return BERTH_OK;
    if (status && error)
        *error = why;
    return status;
}

/* Hash everything that from has, and write it to to, if that is not -1. */
static berth_status pass(int from, int to, uint64_t size, uint8_t hash[MINISIGN_HASH_BYTES],
                         const char *name, const char *dir, berth_error *error)
{
    uint8_t *chunk = malloc(CHUNK);
    berth_status status = BERTH_OK;
    uint64_t total = 0;
    minisign_hash h;

    if (!chunk)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    minisign_hash_init(&h);
    for (;;) {
        ssize_t n = read(from, chunk, CHUNK);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = fail_errno(error, errno, "%s: cannot read", name);
        if (n <= 0)
            break;
        total += (uint64_t)n;
        if (total > size)
            break;
        minisign_hash_update(&h, chunk, (size_t)n);
        if (to >= 0 && !file_write_all(to, chunk, (size_t)n)) {
            status = fail_errno(error, errno, "%s: cannot copy it to %s", name, dir);
            break;
        }
    }
    if (!status && total != size)
        status = fail(error, BERTH_ERR_BUSY, "%s: changed while it was read: try again", name);
    minisign_hash_final(&h, hash);
    free(chunk);
    return status;
}

/* What a file is recognised by from now on. */
static berth_status remember(content_file *file, berth_error *error)
{
    struct stat st;

    if (fstat(file->fd, &st) != 0)
        return fail_errno(error, errno, "%s", file->path);
    file->device = st.st_dev;
    file->inode = st.st_ino;
    file->size = (uint64_t)st.st_size;
    return BERTH_OK;
}

static bool same_time(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_size == b->st_size;
}

/* A file that only we can read, with a name that a store removes when it is opened. */
static berth_status make_temporary(content_store *store, const char *name, content_file *out,
                                   int *to, berth_error *error)
{
    berth_status status = make_dir(store, error);

    if (status)
        return status;
    if (snprintf(out->path, sizeof out->path, "%s/" CONTENT_TEMPORARY "%016" PRIx64, store->dir,
                 random_u64()) >= (int)sizeof out->path)
        return fail_errno(error, ENAMETOOLONG, "%s", store->dir);
    *to = open(out->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*to < 0)
        return fail_errno(error, errno, "%s: cannot create a file in %s", name, store->dir);
    out->temporary = true;
    return BERTH_OK;
}

/* A writable descriptor must not outlive the copying. */
static berth_status open_copy(content_file *out, berth_error *error)
{
    out->fd = open(out->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return out->fd < 0 ? fail_errno(error, errno, "%s", out->path) : remember(out, error);
}

berth_status content_take(content_store *store, const char *path, content_file *out,
                          berth_error *error)
{
    int from = -1, to = -1;
    struct stat before = {0}, after;
    berth_status status = open_source(store, path, &from, &before, error);

    *out = (content_file){.fd = -1};
    if (!status)
        status = make_temporary(store, path, out, &to, error);
    if (status)
        goto out;
    status = pass(from, to, (uint64_t)before.st_size, out->hash, path, store->dir, error);
    if (status)
        goto out;
    if (fstat(from, &after) != 0 || !same_time(&before, &after)) {
        status = fail(error, BERTH_ERR_BUSY, "%s: changed while it was read: try again", path);
        goto out;
    }
    status = open_copy(out, error);
    if (!status)
        status = read_signature(path, &out->signature, error);

out:
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    if (status)
        content_drop(out);
    return status;
}

uint64_t content_max(const content_store *store)
{
    return store->max_bytes;
}

berth_status content_begin(content_store *store, uint64_t size, const char *name,
                           content_coming *out, berth_error *error)
{
    berth_status status = BERTH_OK;

    memset(out, 0, sizeof *out);
    out->file.fd = out->to = -1;
    out->size = size;
    if (size > store->max_bytes)
        return fail(error, BERTH_ERR_LIMIT, "%s: has %" PRIu64 " bytes, a plugin may have %" PRIu64,
                    name, size, store->max_bytes);
    minisign_hash_init(&out->hash);
    status = make_temporary(store, name, &out->file, &out->to, error);
    if (status)
        content_abandon(out);
    return status;
}

berth_status content_add(content_coming *in, slice bytes, berth_error *error)
{
    if (bytes.len > in->size - in->have)
        return fail(error, BERTH_ERR_LIMIT, "it goes on behind its end, %" PRIu64 " bytes",
                    in->size);
    if (!file_write_all(in->to, bytes.ptr, bytes.len))
        return fail_errno(error, errno, "%s: cannot write", in->file.path);
    minisign_hash_update(&in->hash, bytes.ptr, bytes.len);
    in->have += bytes.len;
    return BERTH_OK;
}

berth_status content_complete(content_coming *in, buf *signature, content_file *out,
                              berth_error *error)
{
    berth_status status = BERTH_OK;

    *out = (content_file){.fd = -1};
    if (in->have < in->size)
        status = fail(error, BERTH_ERR_INVALID, "it ends after %" PRIu64 " of %" PRIu64 " bytes",
                      in->have, in->size);
    if (!status)
        status = open_copy(&in->file, error);
    if (!status) {
        minisign_hash_final(&in->hash, in->file.hash);
        in->file.signature = buf_ref(signature);
        *out = in->file;
        in->file = (content_file){.fd = -1};
    }
    content_abandon(in);
    return status;
}

void content_abandon(content_coming *in)
{
    if (in->to >= 0)
        close(in->to);
    in->to = -1;
    content_drop(&in->file);
}

static berth_status corrupt(berth_error *error, const char *path, const char *what)
{
    return fail(error, BERTH_ERR_CORRUPT,
                "%s: %s: someone changed the store, or the disk is failing; remove this file and "
                "load the plugin again from its origin",
                path, what);
}

berth_status content_open(content_store *store, const uint8_t digest[DIGEST_BYTES],
                          content_file *out, berth_error *error)
{
    berth_status status;
    struct stat st;

    *out = (content_file){.fd = -1};
    status = entry_path(store, digest, out->path, error);
    if (status)
        return status;
    out->fd = open(out->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (out->fd < 0 && errno == ENOENT)
        return fail(error, BERTH_ERR_NOT_FOUND,
                    "%s: is not in the store: load the plugin again from its origin", out->path);
    if (out->fd < 0)
        return errno == ELOOP ? corrupt(error, out->path, "is a symbolic link")
                              : fail_errno(error, errno, "%s: cannot open", out->path);
    status = remember(out, error);
    if (!status && (fstat(out->fd, &st) != 0 || !S_ISREG(st.st_mode)))
        status = corrupt(error, out->path, "is not a file");
    if (!status)
        status = file_check_safe_fd(out->fd, out->path, error);
    if (!status)
        status = pass(out->fd, -1, out->size, out->hash, out->path, store->dir, error);
    if (!status && memcmp(out->hash, digest, DIGEST_BYTES) != 0)
        status = corrupt(error, out->path, "does not have the content that its name promises");
    if (!status)
        status = read_signature(out->path, &out->signature, error);
    if (status)
        content_drop(out);
    return status;
}

static berth_status write_signature(const content_file *file, const char *path, berth_error *error)
{
    char beside[PATH_MAX + 16];

    if (!file->signature)
        return BERTH_OK;
    snprintf(beside, sizeof beside, "%s.minisig", path);
    return file_write(beside, file->signature->data, file->signature->len, 0444, error);
}

static void unlink_signature(const char *path)
{
    char beside[PATH_MAX + 16];

    snprintf(beside, sizeof beside, "%s.minisig", path);
    unlink(beside);
}

/* The place is taken: by the same bytes, one should think. */
static berth_status keep_existing(content_store *store, content_file *file, berth_error *error)
{
    content_file existing;
    berth_status status = content_open(store, file->hash, &existing, error);
    buf *signature;

    if (status)
        return status;
    /* One that nobody has verified must not take the place of one that may be good. */
    if (file->signature &&
        (!existing.signature ||
         (file->verified &&
          !slice_eq(slice_of(file->signature->data, file->signature->len),
                    slice_of(existing.signature->data, existing.signature->len)))))
        status = write_signature(file, existing.path, error);
    if (status) {
        content_drop(&existing);
        return status;
    }
    signature = file->signature;
    file->signature = NULL;
    content_drop(file);
    *file = existing;
    if (signature) {
        buf_unref(file->signature);
        file->signature = signature;
    }
    return BERTH_OK;
}

berth_status content_keep(content_store *store, content_file *file, bool *created,
                          berth_error *error)
{
    char path[PATH_MAX];
    berth_status status = entry_path(store, file->hash, path, error);

    *created = false;
    if (status)
        return status;
    if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        berth_error why = {0};

        status = keep_existing(store, file, &why);
        if (status && status != BERTH_ERR_NOT_FOUND && error)
            *error = why;
        if (status != BERTH_ERR_NOT_FOUND) /* else it was removed just now */
            return status;
    }
    /* The signature first: code without one would not be let in after a crash in between. */
    if (fchmod(file->fd, 0444) != 0 || (!store->ephemeral && fsync(file->fd) != 0))
        return fail_errno(error, errno, "%s: cannot write", path);
    status = write_signature(file, path, error);
    if (!status && link(file->path, path) != 0) {
        if (errno == EEXIST)
            return keep_existing(store, file, error);
        status = fail_errno(error, errno, "%s: cannot put the file in place", path);
    }
    if (status) {
        unlink_signature(path);
        return status;
    }
    *created = true;
    unlink(file->path);
    memcpy(file->path, path, sizeof path);
    file->temporary = false;
    if (!store->ephemeral)
        status = file_sync_dir(store->dir, error);
    if (status) {
        content_remove(store, file->hash);
        *created = false;
    }
    return status;
}

void content_drop(content_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->temporary)
        unlink(file->path);
    buf_unref(file->signature);
    *file = (content_file){.fd = -1};
}

void content_remove(content_store *store, const uint8_t digest[DIGEST_BYTES])
{
    char path[PATH_MAX];

    if (entry_path(store, digest, path, NULL))
        return;
    unlink(path);
    unlink_signature(path);
    if (!store->ephemeral)
        (void)file_sync_dir(store->dir, NULL);
}

void *content_bytes(const content_file *file)
{
    uint8_t *bytes = malloc(file->size ? (size_t)file->size : 1);
    size_t at = 0;

    while (bytes && at < file->size) {
        ssize_t n = pread(file->fd, bytes + at, (size_t)file->size - at, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            free(bytes);
            return NULL;
        }
        at += (size_t)n;
    }
    return bytes;
}

bool content_in_place(const content_file *file)
{
    struct stat st;

    return lstat(file->path, &st) == 0 && S_ISREG(st.st_mode) && st.st_dev == file->device &&
           st.st_ino == file->inode && (uint64_t)st.st_size == file->size;
}
