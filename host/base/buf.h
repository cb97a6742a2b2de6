/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/buf.h: slices, and the one refcounted buffer that carries an event from its source to the
 * plugin and an output from the plugin to everyone who gets it.
 *
 * A buf is immutable from the moment it is shared. Any thread may ref and unref.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Borrowed bytes; ptr may be NULL when len is 0. */
typedef struct slice {
    const uint8_t *ptr;
    size_t len;
} slice;

static inline slice slice_of(const void *ptr, size_t len)
{
    return (slice){(const uint8_t *)ptr, len};
}

/* The bytes of a zero-terminated string, without its zero. */
slice slice_str(const char *text);
int slice_eq(slice a, slice b);

typedef struct buf {
    atomic_uint refs;
    uint32_t size_class; /* buf.c's */
    size_t len;
    uint8_t data[];
} buf;

/* One reference, contents undefined. NULL when memory is short. */
buf *buf_new(size_t len);
buf *buf_copy(const void *ptr, size_t len);
/* Longer, with what it had: large ones without copying it. For who holds the only reference, which
 * goes into what is returned. NULL: no memory, and b is as it was. */
buf *buf_grow(buf *b, size_t len);
/* A block of malloc has just been given so many bytes, or so many more: if they are many, they are
 * asked to come in large pages. Touching 256 MiB for the first time costs a fifth then. */
void block_is_large(void *block, size_t bytes);
/* A block of malloc becomes one: its first sizeof(buf) bytes are overwritten, len bytes follow. */
buf *buf_adopt(void *block, size_t len);
void buf_free_(buf *b);

static inline buf *buf_ref(buf *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

/* Drop one reference; the last one frees. NULL is allowed. Who holds the only reference need not
 * pay for an atomic change: nobody else can be making one. */
static inline void buf_unref(buf *b)
{
    if (b && (atomic_load_explicit(&b->refs, memory_order_acquire) == 1 ||
              atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1))
        buf_free_(b);
}

#endif
