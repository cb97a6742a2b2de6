/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/check_usage.h"
#include "cli/format.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#define HEAP_GROWTH 16384ull
#define RSS_GROWTH  (4ull << 20)

/* Of a build with the address sanitizer, whose malloc mallinfo2 knows nothing of. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

uint64_t usage_heap(void)
{
    struct mallinfo2 info;

    if (__sanitizer_get_current_allocated_bytes)
        return __sanitizer_get_current_allocated_bytes();
    info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static uint64_t resident(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long total = 0, here = 0;

    if (f) {
        if (fscanf(f, "%lu %lu", &total, &here) != 2)
            here = 0;
        fclose(f);
    }
    return (uint64_t)here * 4096;
}

static unsigned entries(const char *path)
{
    DIR *dir = opendir(path);
    unsigned n = 0;

    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

usage usage_now(void)
{
    return (usage){usage_heap(), resident(), entries("/proc/self/task"), entries("/proc/self/fd")};
}

/* Threads that were joined may be listed for a moment longer. */
usage usage_settled(unsigned threads)
{
    usage u = usage_now();

    for (int i = 0; i < 100 && u.threads > threads; i++) {
        usleep(2000);
        u = usage_now();
    }
    return u;
}

void usage_compare(check *c, const usage *before, const usage *after, unsigned rounds,
                   const char *what)
{
    char bytes[FORMAT_MAX];

    if (after->threads > before->threads)
        check_fail(c, "destroy stops and joins the daemon's threads before it returns",
                   "left %u threads running after %u rounds of %s",
                   after->threads - before->threads, rounds, what);
    if (after->files > before->files)
        check_fail(c, "close in destroy what create or a handler opens",
                   "left %u files open after %u rounds of %s", after->files - before->files, rounds,
                   what);
    if (after->heap > before->heap + HEAP_GROWTH)
        check_fail(
            c, "free in destroy what create and the handlers allocate; valgrind names the place",
            "the heap grew by %s over %u rounds of %s, %llu bytes in each",
            format_bytes(bytes, after->heap - before->heap), rounds, what,
            (unsigned long long)((after->heap - before->heap) / rounds));
    if (!__sanitizer_get_current_allocated_bytes && after->resident > before->resident + RSS_GROWTH)
        check_fail(c, "give back in destroy what was mapped",
                   "memory grew by %s over %u rounds of %s",
                   format_bytes(bytes, after->resident - before->resident), rounds, what);
}
