/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ngtcp2 allocates for a session, in a list, so that all of it goes with the session.
 *
 * ngtcp2 0.12 forgets a frame now and then: one made for many pieces of stream data, split when it
 * is sent again, is put back among the small ones and is not found when the connection is deleted.
 */
#include "mesh/quic.h"

#include <stdalign.h>
#include <stdlib.h>

typedef struct session_block block;

#define HEADER ((sizeof(block) + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1))

static void *link_in(session *s, block *b)
{
    if (!b)
        return NULL;
    b->before = NULL;
    b->next = s->blocks;
    if (b->next)
        b->next->before = b;
    s->blocks = b;
    return (char *)b + HEADER;
}

static block *unlink_from(session *s, void *memory)
{
    block *b = (block *)(void *)((char *)memory - HEADER);

    if (b->before)
        b->before->next = b->next;
    else
        s->blocks = b->next;
    if (b->next)
        b->next->before = b->before;
    return b;
}

static void *take(size_t size, void *user)
{
    return size > SIZE_MAX - HEADER ? NULL : link_in(user, malloc(HEADER + size));
}

static void give(void *memory, void *user)
{
    if (memory)
        free(unlink_from(user, memory));
}

static void *take_zeroed(size_t count, size_t size, void *user)
{
    if (size && count > (SIZE_MAX - HEADER) / size)
        return NULL;
    return link_in(user, calloc(1, HEADER + count * size));
}

static void *resize(void *memory, size_t size, void *user)
{
    block *b, *more;

    if (!memory)
        return take(size, user);
    if (size > SIZE_MAX - HEADER)
        return NULL;
    b = unlink_from(user, memory);
    more = realloc(b, HEADER + size);
    if (!more) { /* the old one stands */
        link_in(user, b);
        return NULL;
    }
    return link_in(user, more);
}

void memory_init(session *s)
{
    s->memory = (ngtcp2_mem){s, take, give, take_zeroed, resize};
}

void memory_sweep(session *s)
{
    while (s->blocks) {
        block *b = s->blocks;

        s->blocks = b->next;
        free(b);
    }
}
