/* SPDX-License-Identifier: Apache-2.0 */
/* One check in one child: starting it, waiting for it, telling how it died. */
#include "cli/check_run.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/check_fault.h"
#include "cli/format.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* What a check may take of the machine; a state that was made up can ask for anything. */
#define MEMORY_LIMIT ((rlim_t)3 << 30)
#define FILES_LEAST  ((rlim_t)4096)

static volatile sig_atomic_t interrupted;
static struct sigaction before_int, before_term;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

void check_run_begin(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};

    interrupted = 0;
    sigaction(SIGINT, &action, &before_int);
    sigaction(SIGTERM, &action, &before_term);
}

void check_run_end(void)
{
    sigaction(SIGINT, &before_int, NULL);
    sigaction(SIGTERM, &before_term, NULL);
}

/* ---- In the child ---------------------------------------------------------------------------- */

static void say(check *c, const char *format, va_list args)
{
    char raw[CHECK_TEXT];

    vsnprintf(raw, sizeof raw, format, args);
    text_escape(c->board->result.text, CHECK_TEXT, raw, strlen(raw));
}

static _Noreturn void finish(check *c, check_outcome outcome)
{
    c->board->result.outcome = outcome;
    atomic_store(&c->board->done, true);
    _exit(0);
}

void check_pass(check *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(c, format, args);
    va_end(args);
    finish(c, CHECK_PASS);
}

void check_skip(check *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(c, format, args);
    va_end(args);
    finish(c, CHECK_SKIP);
}

void check_fail(check *c, const char *cure, const char *format, ...)
{
    va_list args;

    snprintf(c->board->result.cure, CHECK_CURE, "%s", cure);
    va_start(args, format);
    say(c, format, args);
    va_end(args);
    finish(c, CHECK_FAIL);
}

void check_figure_add(check *c, const char *name, uint64_t value)
{
    check_result *r = &c->board->result;

    if (r->figure_count < CHECK_FIGURES)
        r->figures[r->figure_count++] = (check_figure){name, value};
}

bool check_has_time(const check *c)
{
    int64_t most = c->limit_ns / 2, enough = 1000000000;

    return clock_mono_ns() - c->began_ns < (most < enough ? most : enough);
}

/* What is made next lies elsewhere in memory than in other checks: so many blocks of each small
 * size, and pages, that nobody gives back. */
static void perturb(unsigned number)
{
    for (size_t size = 16; size <= 1024; size += 16) {
        for (unsigned i = 0; i <= number % 64; i++) {
            void *volatile kept = malloc(size);

            (void)kept;
        }
    }
    (void)mmap(NULL, (size_t)(1 + number % 64) << 16, PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void drop_log(void *ctx, log_level level, const char *room, const char *text)
{
    (void)ctx;
    (void)level;
    (void)room;
    (void)text;
}

static _Noreturn void be_child(check *c, check_fn *fn, pid_t parent, int words)
{
    static const struct rlimit no_core = {0, 0};
    struct rlimit files;
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    sigset_t none;

    /* What it starts goes with it, and it goes with us. */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    dup2(nothing, STDIN_FILENO);
    dup2(words, STDOUT_FILENO);
    dup2(words, STDERR_FILENO);
    setrlimit(RLIMIT_CORE, &no_core);
    /* Enough that files left open are counted at the end, and do not end the rounds before. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < FILES_LEAST) {
        files.rlim_cur = files.rlim_max < FILES_LEAST ? files.rlim_max : FILES_LEAST;
        setrlimit(RLIMIT_NOFILE, &files);
    }
#ifndef SANITIZED
    setrlimit(RLIMIT_DATA, &(struct rlimit){MEMORY_LIMIT, MEMORY_LIMIT});
#endif
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    log_set_sink(drop_log, NULL);
    check_fault_install(c->board);
    check_thread(c, 0);
    perturb(c->number);
    fn(c);
    check_fail(c, "", "came to no end: a defect of berth");
}

/* ---- In the parent --------------------------------------------------------------------------- */

/* False: the limit of time was passed, or the user wants no more. Closes fd. */
static bool wait_for(int fd, int64_t limit_ns)
{
    int64_t end = clock_mono_ns() + limit_ns;
    bool ended = false;

    while (!interrupted) {
        int64_t left = end - clock_mono_ns();
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        int n = left > 0 ? poll(&poll_fd, 1, (int)(left / 1000000) + 1) : 0;

        if (n < 0 && errno == EINTR)
            continue;
        ended = n > 0;
        break;
    }
    close(fd);
    return ended;
}

/* The last line that the child has printed, escaped. */
static void last_words(int words, char *out, size_t cap)
{
    char tail[513], *line = tail;
    off_t size = lseek(words, 0, SEEK_END), at = size > 512 ? size - 512 : 0;
    ssize_t n = size > 0 ? pread(words, tail, sizeof tail - 1, at) : 0;

    out[0] = 0;
    while (n > 0 && (tail[n - 1] == '\n' || tail[n - 1] == ' '))
        n--;
    if (n <= 0)
        return;
    tail[n] = 0;
    for (char *p = tail; *p; p++) {
        if (*p == '\n')
            line = p + 1;
    }
    text_escape(out, cap < 200 ? cap : 200, line, strlen(line));
}

static void explain_end(check *c, int status, bool timeout, int words, check_result *r)
{
    char said[200];

    r->outcome = CHECK_FAIL;
    r->figure_count = 0;
    last_words(words, said, sizeof said);
    if (timeout) {
        char limit[FORMAT_MAX];

        snprintf(r->text, CHECK_TEXT, "did not come back within %s%s",
                 format_duration(limit, c->limit_ns), check_fault_where(c->board, 0));
        snprintf(r->cure, CHECK_CURE,
                 "a handler neither waits nor loops for ever; give slow plugins a longer "
                 "--time-limit");
    } else if (WIFSIGNALED(status)) {
        check_fault_explain(c->board, WTERMSIG(status), said, r);
    } else {
        snprintf(r->text, CHECK_TEXT, "ended the process with exit code %d%s%s%s",
                 WEXITSTATUS(status), check_fault_where(c->board, 0), said[0] ? ": " : "", said);
        snprintf(r->cure, CHECK_CURE, "a plugin never calls exit: answer a code instead");
    }
}

static void judge(check *c, int status, bool timeout, int words, check_result *r)
{
    /* The child may have written anywhere. */
    *r = c->board->result;
    r->text[CHECK_TEXT - 1] = r->cure[CHECK_CURE - 1] = 0;
    if (r->figure_count > CHECK_FIGURES)
        r->figure_count = 0;
    r->name = c->name;
    r->kind = c->facts ? c->facts->name : NULL;
    if (timeout || !atomic_load(&c->board->done) || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        explain_end(c, status, timeout, words, r);
}

bool check_run(check *c, check_fn *fn, check_result *result)
{
    pid_t parent = getpid(), child;
    int words, watch, status = 0;
    bool ended;

    if (interrupted)
        return false;
    memset(c->board, 0, sizeof *c->board);
    c->board->place = CHECK_PLACES;
    words = memfd_create("berth-check", MFD_CLOEXEC);
    c->began_ns = clock_mono_ns();
    fflush(NULL);
    child = fork();
    if (child == 0)
        be_child(c, fn, parent, words);
    watch = child > 0 ? pidfd_open(child, 0) : -1;
    if (watch < 0) {
        *result = (check_result){.name = c->name, .outcome = CHECK_FAIL};
        snprintf(result->text, CHECK_TEXT, "cannot start a process: %s", strerror(errno));
    }
    if (child > 0) {
        setpgid(child, child);
        ended = watch >= 0 && wait_for(watch, c->limit_ns);
        /* Also when it has ended: there may be children of its own. */
        kill(-child, SIGKILL);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        if (watch >= 0)
            judge(c, status, !ended, words, result);
    }
    result->took_ns = clock_mono_ns() - c->began_ns;
    if (words >= 0)
        close(words);
    return !interrupted;
}
