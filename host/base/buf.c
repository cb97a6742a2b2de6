/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

slice slice_str(const char *text)
{
    return slice_of(text, text ? strlen(text) : 0);
}

int slice_eq(slice a, slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/*
 * Outputs are small, of one size, and live by the hundred (a batch of them, a ring of them) before
 * they are freed together: more than the allocator's own per-thread cache holds, so each would go
 * through its central lists. This keeps some of each thread's freed ones: a quarter of what an
 * output costs otherwise (runtime_bench). Off under AddressSanitizer, which is to see every use
 * after free.
 */
#if defined(__SANITIZE_ADDRESS__)
#define KEEP 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEEP 0
#endif
#endif
#ifndef KEEP
#define KEEP 512
#endif

#define STEP    64 /* sizes of blocks: 64, 128, ... bytes, header included */
#define CLASSES 4

typedef struct kept {
    struct kept *next;
} kept;

typedef struct cache {
    kept *free[CLASSES];
    unsigned count[CLASSES];
    bool registered;
} cache;

static _Thread_local cache mine;
static pthread_key_t at_exit;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void empty(void *ptr)
{
    cache *c = ptr;
    for (unsigned i = 0; i < CLASSES; i++) {
        while (c->free[i]) {
            kept *k = c->free[i];
            c->free[i] = k->next;
            free(k);
        }
        c->count[i] = KEEP; /* whatever is freed after this is freed at once */
    }
}

static void make_key(void)
{
    pthread_key_create(&at_exit, empty);
}

/* CLASSES: not one of those that are kept. */
static unsigned class_of(size_t len)
{
#if KEEP
    if (len <= CLASSES * STEP - sizeof(buf))
        return len ? (unsigned)((sizeof(buf) + len - 1) / STEP) : 0;
#else
    (void)len;
#endif
    return CLASSES;
}

#define LARGE_FROM ((size_t)8 << 20)
#define LARGE_PAGE ((uintptr_t)2 << 20)

void block_is_large(void *block, size_t bytes)
{
    uintptr_t begin = ((uintptr_t)block + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1);
    uintptr_t end = ((uintptr_t)block + bytes) & ~(LARGE_PAGE - 1);

    if (block && bytes >= LARGE_FROM && begin < end)
        madvise((void *)begin, end - begin, MADV_HUGEPAGE); /* where that is not known: as it was */
}

buf *buf_new(size_t len)
{
    buf *b = NULL;
    if (len > SIZE_MAX - sizeof(buf) - STEP)
        return NULL;
    unsigned size_class = class_of(len);
    if (size_class < CLASSES) {
        b = (buf *)mine.free[size_class];
        if (b) {
            mine.free[size_class] = ((kept *)b)->next;
            mine.count[size_class]--;
        } else {
            b = malloc((size_class + 1) * STEP);
        }
    } else {
        b = malloc(sizeof(*b) + len);
        block_is_large(b, len);
    }
    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    b->size_class = size_class;
    b->len = len;
    return b;
}

buf *buf_grow(buf *b, size_t len)
{
    buf *grown;

    if (b->size_class < CLASSES || class_of(len) < CLASSES) {
        grown = buf_new(len);
        if (!grown)
            return NULL;
        memcpy(grown->data, b->data, b->len < len ? b->len : len);
        buf_unref(b);
        return grown;
    }
    grown = len > SIZE_MAX - sizeof(buf) - STEP ? NULL : realloc(b, sizeof(*b) + len);
    block_is_large(grown, len);
    if (grown)
        grown->len = len;
    return grown;
}

buf *buf_adopt(void *block, size_t len)
{
    buf *b = block;

    atomic_init(&b->refs, 1);
    b->size_class = CLASSES;
    b->len = len;
    return b;
}

void buf_free_(buf *b)
{
    unsigned size_class = b->size_class;
    if (size_class >= CLASSES || mine.count[size_class] == KEEP) {
        free(b);
        return;
    }
    if (!mine.registered) {
        mine.registered = true;
        pthread_once(&once, make_key);
        pthread_setspecific(at_exit, &mine);
    }
    kept *k = (kept *)b;
    k->next = mine.free[size_class];
    mine.free[size_class] = k;
    mine.count[size_class]++;
}

buf *buf_copy(const void *ptr, size_t len)
{
    buf *b = buf_new(len);

    if (b && len)
        memcpy(b->data, ptr, len);
    return b;
}
