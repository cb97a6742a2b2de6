/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/error.h"
#include "plugin/examine.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ANSWER (16u << 20)

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
            return fail(error, BERTH_ERR_BUSY,
                        "was not examined within %" PRId64
                        " ms, which the machine is too loaded for: try again",
                        limit_ns / 1000000);
        n = ready < 0 ? -1 : read(pipe, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(error, errno, "examining process");
        if (n == 0)
            return BERTH_OK;
        writer_bytes(answer, chunk, (size_t)n);
        if (answer->failed)
            return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
        if (answer->len > MAX_ANSWER)
            return fail(error, BERTH_ERR_ADMISSION,
                        "has more to it than can be examined: it is damaged or built to do harm");
    }
}

/* Everything of the host's that a new program would have, put right before it begins: no
 * descriptors but file (3) and answer (4), default signals, none blocked, no environment. */
static int start(const char *helper, int fd, int answer, pid_t *pid)
{
    char *const argv[] = {"berth-examine", BERTH_VERSION, NULL}, *const envp[] = {NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all, none;
    int error;

    sigfillset(&all);
    sigemptyset(&none);
    if (posix_spawn_file_actions_init(&actions) != 0)
        return ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return ENOMEM;
    }
    error = posix_spawnattr_setsigmask(&attributes, &none);
    if (!error)
        error = posix_spawnattr_setsigdefault(&attributes, &all);
    if (!error)
        error =
            posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&actions, fd, 3);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&actions, answer, 4);
    for (int i = 0; i < 3 && !error; i++)
        error = posix_spawn_file_actions_addopen(&actions, i, "/dev/null", O_RDWR, 0);
    if (!error)
        error = posix_spawn_file_actions_addclosefrom_np(&actions, 5);
    if (!error)
        error = posix_spawn(pid, helper, &actions, &attributes, argv, envp);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static berth_status not_started(const char *helper, int why, berth_error *error)
{
    fail_errno(error, why, "cannot be examined: cannot run %s", helper);
    switch (why) {
    case ENOENT:
    case ENOTDIR:
    case EACCES:
    case EPERM:
    case ENOEXEC:
    case ELOOP:
        if (error)
            error->code = BERTH_ERR_NOT_FOUND;
        return BERTH_ERR_NOT_FOUND;
    case EAGAIN: /* too many processes, for now */
        if (error)
            error->code = BERTH_ERR_BUSY;
        return BERTH_ERR_BUSY;
    default:
        return why == ENOMEM ? BERTH_ERR_NO_MEMORY : BERTH_ERR_IO;
    }
}

/* Signals that a process brings upon itself, by what it reads. */
static bool own_fault(int signal)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};

    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        if (signal == faults[i])
            return true;
    }
    return false;
}

/* Whether how it ended lets its answer count. */
static berth_status judge_end(const char *helper, int how, berth_error *error)
{
    int code = WIFEXITED(how) ? WEXITSTATUS(how) : 0;

    if (WIFSIGNALED(how) && WTERMSIG(how) == SIGXCPU)
        return fail(error, BERTH_ERR_ADMISSION,
                    "takes too long to be examined: it is damaged or built to do harm");
    if (WIFSIGNALED(how) && own_fault(WTERMSIG(how)))
        return fail(error, BERTH_ERR_ADMISSION,
                    "made the process that examined it crash (signal %d): it is damaged or built "
                    "to do harm",
                    WTERMSIG(how));
    if (WIFSIGNALED(how))
        return fail(error, BERTH_ERR_BUSY,
                    "was not examined: the process for that was killed (signal %d), as happens "
                    "when memory is short: try again",
                    WTERMSIG(how));
    if (code == EXAMINE_OTHER_VERSION)
        return fail(error, BERTH_ERR_NOT_FOUND,
                    "cannot be examined: %s is not of version " BERTH_VERSION
                    ": install that, or restart what was updated",
                    helper);
    if (code == 127) /* its libraries */
        return fail(error, BERTH_ERR_NOT_FOUND,
                    "cannot be examined: %s does not start here: install it again", helper);
    if (code)
        return fail(error, BERTH_ERR_IO, "was not examined: %s ended with code %d", helper, code);
    return BERTH_OK;
}

/* An embedder may have reaped all children: then there is no way to tell how it ended. */
static bool reap(pid_t pid, bool end_it, int *how)
{
    pid_t ended;

    /* Asked first, so that no other process that has its number by now is hit. */
    if (end_it && waitpid(pid, how, WNOHANG) == 0)
        kill(pid, SIGKILL);
    do
        ended = waitpid(pid, how, 0);
    while (ended < 0 && errno == EINTR);
    return ended == pid;
}

berth_status examine_apart(const char *helper, int fd, uint64_t size, int64_t limit_ns,
                           examination *out, berth_error *error)
{
    int pipes[2] = {-1, -1}, file, to, how = 0, why;
    writer answer = {0};
    berth_status status;
    pid_t pid = -1;
    bool known;

    *out = (examination){0};
    if (pipe2(pipes, O_CLOEXEC) != 0)
        return fail_errno(error, errno, "cannot make a pipe");
    /* Out of the way of the numbers that they will have. */
    file = fcntl(fd, F_DUPFD_CLOEXEC, 16);
    to = fcntl(pipes[1], F_DUPFD_CLOEXEC, 16);
    why = file < 0 || to < 0 ? errno : start(helper, file, to, &pid);
    if (file >= 0)
        close(file);
    if (to >= 0)
        close(to);
    close(pipes[1]);
    if (why) {
        close(pipes[0]);
        return not_started(helper, why, error);
    }
    status = listen_to(pipes[0], limit_ns, &answer, error);
    close(pipes[0]);
    known = reap(pid, status != BERTH_OK, &how);
    if (!status && known)
        status = judge_end(helper, how, error);
    if (!status)
        status = examination_decode(slice_of(answer.data, answer.len), out, error);
    if (!status && out->facts->file_size != size) {
        examination_free(out);
        status = fail(error, BERTH_ERR_BUSY, "changed while it was examined: try again");
    }
    writer_free(&answer);
    return status;
}

berth_status examine_file(const char *path, uint64_t max, examination *out, berth_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    char helper[PATH_MAX];
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
    else if (!examine_helper(helper))
        status = fail(error, BERTH_ERR_NOT_FOUND,
                      "%s: cannot be examined without libexec/berth/berth-examine, which was "
                      "installed with berth and is gone: install berth again",
                      path);
    else {
        status = examine_apart(helper, fd, (uint64_t)st.st_size, EXAMINE_LIMIT_NS, out, error);
        if (status)
            fail_prefix(error, "%s", path);
    }
    close(fd);
    return status;
}
