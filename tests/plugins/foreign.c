/* SPDX-License-Identifier: Apache-2.0 */
/* foreign.c: a library that no plugin may need: nobody signed it, and its constructor runs. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((visibility("default"))) int berth_test_foreign(void);
int berth_test_foreign(void)
{
    return 0;
}

__attribute__((constructor)) static void leave_mark(void)
{
    const char *path = getenv("BERTH_TEST_CTOR");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

    if (fd >= 0)
        close(fd);
}
