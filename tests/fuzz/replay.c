/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay [DIR]: drive a fuzz target without libFuzzer. Each file of DIR goes in as it is, cut short
 * at every power of two, and with a fixed sequence of single-byte changes; so does the empty input.
 * The same inputs every time: a failure here is a failure everywhere.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_FILE = 1 << 20, CHANGES = 200 };

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Each input in a block of exactly its size, so that a sanitizer sees a read past its end. */
static void feed(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    if (!copy)
        abort();
    if (len)
        memcpy(copy, data, len);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static void replay(uint8_t *data, size_t len)
{
    feed(data, len);
    for (size_t cut = 1; cut < len; cut *= 2)
        feed(data, len - cut);
    uint32_t seed = (uint32_t)len;
    for (int i = 0; len && i < CHANGES; i++) {
        size_t at = next(&seed) % len;
        uint8_t before = data[at];
        data[at] = (uint8_t)next(&seed);
        feed(data, len);
        data[at] = before;
    }
}

int main(int argc, char **argv)
{
    static uint8_t data[MAX_FILE];
    feed(data, 0);
    DIR *dir = argc > 1 ? opendir(argv[1]) : NULL;
    unsigned files = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        FILE *in = fopen(path, "rb");
        if (!in) {
            perror(path);
            return 1;
        }
        size_t len = fread(data, 1, sizeof data, in);
        fclose(in);
        replay(data, len);
        files++;
    }
    if (dir)
        closedir(dir);
    printf("%u files\n", files);
    return 0;
}
