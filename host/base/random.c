/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start_sodium(void)
{
    if (sodium_init() < 0)
        abort();
}

void sodium_ready(void)
{
    pthread_once(&once, start_sodium);
}

void random_bytes(void *out, size_t n)
{
    sodium_ready();
    randombytes_buf(out, n); /* libsodium aborts by itself when the system gives nothing */
}

uint64_t random_u64(void)
{
    uint64_t v;

    random_bytes(&v, sizeof v);
    return v;
}
