/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "plugin/examine.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MEMORY (1ull << 30) /* beyond what the host has mapped already */
#define MAX_ANSWER   (16u << 20)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

static void limit(int resource, uint64_t value)
{
    struct rlimit r = {value, value};

    (void)setrlimit(resource, &r);
}

#ifndef SANITIZED /* their shadow memory needs the whole address space */
static uint64_t mapped_bytes(void)
{
    char text[64] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

    if (fd >= 0)
        close(fd);
    return n > 0 ? strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}
#endif

/* Nothing but the file and the pipe; crashes are quiet; no way to more rights. */
static void confine(int *fd, int *answer)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGXCPU};
    sigset_t none;

    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        signal(crashes[i], SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);

    *fd = fcntl(*fd, F_DUPFD, 16);
    *answer = fcntl(*answer, F_DUPFD, 16);
    *fd = dup2(*fd, 3);
    *answer = dup2(*answer, 4);
    close_range(5, ~0u, 0);

    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_NPROC, 0);
    limit(RLIMIT_CPU, 5);
#ifndef SANITIZED
    limit(RLIMIT_AS, mapped_bytes() + LIMIT_MEMORY);
#endif
}

static void child(int fd, int answer, uint64_t size)
{
    examination e = {0};
    berth_error error = {0};
    berth_status status;
    writer w = {0};
    void *image;

    confine(&fd, &answer);
    image = size ? mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0) : NULL;
    if (image == MAP_FAILED)
        status = fail(&error, BERTH_ERR_NO_MEMORY, "out of memory");
    else
        status = examine_here(image, (size_t)size, &e, &error);
    examination_encode(&w, status, &error, &e);
    _exit(!w.failed && file_write_all(answer, w.data, w.len) ? 0 : 1);
}

/* All that comes through the pipe until it closes, in time. */
static berth_status listen_to(int pipe, int64_t limit_ns, writer *answer, berth_error *error)
{
    int64_t deadline = clock_mono_ns() + limit_ns;
    uint8_t chunk[16384];

    for (;;) {
        int64_t left = deadline - clock_mono_ns();
        struct pollfd p = {.fd = pipe, .events = POLLIN};
        int ready = left > 0 ? poll(&p, 1, (int)(left / 1000000) + 1) : 0;
        ssize_t n;

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0)
            return fail(error, BERTH_ERR_ADMISSION,
                        "could not be examined in time: it is damaged or built to do harm");
        n = ready < 0 ? -1 : read(pipe, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(error, errno, "examining process");
        if (n == 0)
            return BERTH_OK;
        writer_bytes(answer, chunk, (size_t)n);
        if (answer->failed || answer->len > MAX_ANSWER)
            return fail(error, BERTH_ERR_ADMISSION,
                        "has more to it than can be examined: it is damaged or built to do harm");
    }
}

berth_status examine_apart(int fd, uint64_t size, examination *out, berth_error *error)
{
    return examine_apart_within(fd, size, EXAMINE_LIMIT_NS, out, error);
}

berth_status examine_apart_within(int fd, uint64_t size, int64_t limit_ns, examination *out,
                                  berth_error *error)
{
    int pipes[2], how = 0;
    writer answer = {0};
    berth_status status;
    pid_t pid, ended;

    *out = (examination){0};
    if (pipe2(pipes, O_CLOEXEC) != 0)
        return fail_errno(error, errno, "cannot make a pipe");
    pid = fork();
    if (pid == 0)
        child(fd, pipes[1], size);
    close(pipes[1]);
    if (pid < 0) {
        close(pipes[0]);
        return fail_errno(error, errno, "cannot start a process to examine it in");
    }
    status = listen_to(pipes[0], limit_ns, &answer, error);
    close(pipes[0]);
    if (status)
        kill(pid, SIGKILL);
    do
        ended = waitpid(pid, &how, 0);
    while (ended < 0 && errno == EINTR);
    if (!status && ended == pid && WIFSIGNALED(how))
        status = fail(error, BERTH_ERR_ADMISSION,
                      "made the process that examined it crash (signal %d): it is damaged or built "
                      "to do harm",
                      WTERMSIG(how));
    else if (!status && (answer.len == 0 || (ended == pid && WEXITSTATUS(how) != 0)))
        status = fail(error, BERTH_ERR_ADMISSION,
                      "could not be examined: it is damaged, or memory is short");
    if (!status)
        status = examination_decode(slice_of(answer.data, answer.len), out, error);
    writer_free(&answer);
    return status;
}

berth_status examine_file(const char *path, uint64_t max, examination *out, berth_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    berth_status status;
    struct stat st;

    *out = (examination){0};
    if (fd < 0)
        return fail_errno(error, errno, "%s: cannot open", path);
    if (fstat(fd, &st) != 0)
        status = fail_errno(error, errno, "%s", path);
    else if (!S_ISREG(st.st_mode))
        status = fail(error, BERTH_ERR_INVALID, "%s: is %s, not a file: give the .so file", path,
                      S_ISDIR(st.st_mode) ? "a directory" : "a device, pipe or socket");
    else if ((uint64_t)st.st_size > max)
        status =
            fail(error, BERTH_ERR_LIMIT, "%s: has %" PRIu64 " bytes, a plugin may have %" PRIu64,
                 path, (uint64_t)st.st_size, max);
    else {
        status = examine_apart(fd, (uint64_t)st.st_size, out, error);
        if (status)
            fail_prefix(error, "%s", path);
    }
    close(fd);
    return status;
}
