/* SPDX-License-Identifier: Apache-2.0 */
/*
 * berth-examine: reads the file at descriptor 3 and answers at descriptor 4 what it is.
 *
 * Started by plugin/examine_apart.c, for files that nobody has signed. It has nothing to lose: no
 * environment, no other descriptor, no memory of the host, and from the first interpreted byte on
 * no system call but those for memory and for answering.
 *
 *   berth-examine VERSION    exit 0: answered. EXAMINE_OTHER_VERSION: another host's helper
 */
#include "base/error.h"
#include "plugin/examine.h"
#include "plugin/examine_confine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_FD   3
#define ANSWER_FD 4

/* The whole file, in pages of our own: a mapping of the file could shrink under us. */
static void *read_image(size_t *len)
{
    struct stat st;
    uint8_t *image;
    size_t at = 0;

    if (fstat(FILE_FD, &st) != 0 || st.st_size < 0)
        return NULL;
    *len = (size_t)st.st_size;
    image = mmap(NULL, *len + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (image == MAP_FAILED)
        return NULL;
    while (at < *len) {
        /* The offset is shared with the host, so it says nothing. */
        ssize_t n = pread(FILE_FD, image + at, *len - at, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return NULL;
        at += (size_t)n;
    }
    return image;
}

static bool answer(const writer *w)
{
    size_t at = 0;

    while (!w->failed && at < w->len) {
        ssize_t n = write(ANSWER_FD, w->data + at, w->len - at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        at += (size_t)n;
    }
    return !w->failed;
}

int main(int argc, char **argv)
{
    examination e = {0};
    berth_error error = {0};
    berth_status status;
    writer w = {0};
    void *image;
    size_t len = 0;

    if (argc != 2 || strcmp(argv[1], BERTH_VERSION) != 0)
        return EXAMINE_OTHER_VERSION;
    confine_resources();
    image = read_image(&len);
    close(FILE_FD);
    confine_calls(ANSWER_FD);
    status = image ? examine_here(image, len, &e, &error)
                   : fail(&error, BERTH_ERR_NO_MEMORY, "cannot be read into memory");
    examination_encode(&w, status, &error, &e);
    _exit(answer(&w) ? 0 : EXIT_FAILURE);
}
