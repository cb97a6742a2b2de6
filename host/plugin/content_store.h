/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/content_store.h: plugin files by digest, <dir>/<digest>.so with <digest>.so.minisig
 * beside.
 *
 * The digest is the first 32 bytes of the BLAKE2b-512 that minisign signs. Files are written once
 * and read-only from then on, so that nothing done to the operator's file can reach code that runs.
 * Whatever is opened is hashed again each time; whether its signature still counts is the caller's
 * question. Blocking; any thread. One host at a time has the directory (store/store.h locks it).
 */
#ifndef PLUGIN_CONTENT_STORE_H
#define PLUGIN_CONTENT_STORE_H

#include "plugin/minisign.h"
#include "plugin/plugins.h"

#include <limits.h>
#include <sys/types.h>

#define CONTENT_DEFAULT_MAX (256ull << 20)

typedef struct content_store content_store;

/*
 * Open or make the directory and remove what a killed load left. dir NULL: one of its own
 * (plugin/temporary.h), made when the first file comes, removed at close, not synced. PERMISSION
 * when others may write to it. max_bytes 0: CONTENT_DEFAULT_MAX.
 */
berth_status content_store_open(const char *dir, uint64_t max_bytes, content_store **out,
                                berth_error *error);
void content_store_close(content_store *store);

/* Remove a directory of its own now, for one who cannot close the store: what is mapped lives on.
 */
void content_store_give_up(content_store *store);

/* NULL while a directory of its own is not made yet. */
const char *content_store_dir(content_store *store);

/* One file, in the store or on the way into it. Zero-initialise; content_drop ends it. */
typedef struct content_file {
    int fd; /* read-only */
    uint64_t size;
    uint8_t hash[MINISIGN_HASH_BYTES]; /* the first DIGEST_BYTES are its digest */
    buf *signature;                    /* bytes of its .minisig, or NULL: it has none */
    bool verified;                     /* the caller found that to be a trusted one */
    char path[PATH_MAX];               /* where it is now */
    dev_t device;
    ino_t inode;
    bool temporary; /* not in the store yet */
} content_file;

/*
 * Copy a file, with the signature beside it, to a temporary name, hashing the bytes that are
 * written. Symbolic links are REFUSED, what is no regular file is INVALID, a larger one than
 * allowed LIMIT, one that changes meanwhile BUSY. NO_SPACE leaves nothing behind.
 */
berth_status content_take(content_store *store, const char *path, content_file *out,
                          berth_error *error);

/* A file that comes piece by piece, of which nothing is believed yet. Zero-initialise, aligned for
 * its hash; one thread at a time. */
typedef struct content_coming {
    content_file file;
    int to; /* write-only; -1: it has ended */
    uint64_t size, have;
    minisign_hash hash;
} content_coming;

/* Begin one of exactly so many bytes; name is for errors. LIMIT when that is more than allowed. */
berth_status content_begin(content_store *store, uint64_t size, const char *name,
                           content_coming *out, berth_error *error);
/* The next bytes. LIMIT beyond the size, NO_SPACE, IO: abandon it then. */
berth_status content_add(content_coming *in, slice bytes, berth_error *error);
/* All is there: it is a copy as content_take makes one, signed so (a reference is taken). INVALID
 * when it is shorter. in is abandoned in any case. */
berth_status content_complete(content_coming *in, buf *signature, content_file *out,
                              berth_error *error);
/* Nothing of it stays. */
void content_abandon(content_coming *in);

/* Bytes of the largest file that is taken. */
uint64_t content_max(const content_store *store);

/*
 * Give a copy its place, durably. If the store has it already, that file is compared and used, and
 * a verified signature replaces the one that is there. *created: it was not there. CORRUPT, with
 * the cure, when the file there is not what its name says.
 */
berth_status content_keep(content_store *store, content_file *file, bool *created,
                          berth_error *error);

/* A stored file, hashed again. NOT_FOUND, or CORRUPT with the cure. */
berth_status content_open(content_store *store, const uint8_t digest[DIGEST_BYTES],
                          content_file *out, berth_error *error);

/* Close it, and remove it if it never got its place. */
void content_drop(content_file *file);

/* Remove a stored file with its signature. Mapped copies live on. */
void content_remove(content_store *store, const uint8_t digest[DIGEST_BYTES]);

/* All bytes, malloc'd: for elf_read, which writes to them. NULL without memory. */
void *content_bytes(const content_file *file);

/* Whether the path still leads to the file that was hashed. */
bool content_in_place(const content_file *file);

/* Each digest in the store. fn returns false to end. */
berth_status content_each(content_store *store,
                          bool (*fn)(void *ctx, const uint8_t digest[DIGEST_BYTES]), void *ctx,
                          berth_error *error);

#endif
