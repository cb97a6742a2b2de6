/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/check_area.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

static void need(bool held, const char *what)
{
    if (held)
        return;
    perror(what);
    abort();
}

void area_open(area *a, check *c, const char *name, size_t cap)
{
    size_t size = (cap + 2 * PAGE - 1) / PAGE * PAGE;
    uint8_t *all = (uint8_t *)mmap(NULL, size + 2 * AREA_GUARD, PROT_NONE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    need(all != MAP_FAILED, "mmap");
    a->begin = all + AREA_GUARD;
    a->size = size;
    need(mprotect(a->begin, size, PROT_READ | PROT_WRITE) == 0, "mprotect");
    a->region = atomic_fetch_add(&c->board->region_count, 1);
    if (a->region < CHECK_REGIONS)
        c->board->regions[a->region] = (check_region){.begin = (uintptr_t)a->begin,
                                                      .end = (uintptr_t)a->begin + size,
                                                      .guard = AREA_GUARD,
                                                      .name = name};
}

void *area_put(area *a, area_place place, const void *ptr, size_t len, size_t zeroes)
{
    uint8_t *at = a->begin;

    if (place == AREA_END)
        at += a->size - len - zeroes;
    else if (place == AREA_MIDDLE)
        at += (a->size - len - zeroes) / 2 | 1;
    if (len)
        memcpy(at, ptr, len);
    memset(at + len, 0, zeroes);
    return at;
}

void area_writable(area *a, check *c, bool writable)
{
    need(mprotect(a->begin, a->size, writable ? PROT_READ | PROT_WRITE : PROT_READ) == 0,
         "mprotect");
    if (a->region < CHECK_REGIONS)
        c->board->regions[a->region].read_only = !writable;
}

void area_close(area *a, check *c)
{
    need(mprotect(a->begin, a->size, PROT_NONE) == 0, "mprotect");
    if (a->region < CHECK_REGIONS)
        c->board->regions[a->region].closed = true;
    a->begin = NULL;
}
