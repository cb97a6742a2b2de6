/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the command line: the program itself, run with pipes, and a directory for each test.
 */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];

static inline char *in_dir(const char *name)
{
    static char paths[4][320];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static inline int remove_entry(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(name);
}

static inline void make_dir(void)
{
    strcpy(dir, "/tmp/berth-cli-XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static inline void remove_dir(void)
{
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void write_file(const char *name, const void *ptr, size_t len, mode_t mode)
{
    int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, ptr, len), (ssize_t)len);
    close(fd);
}

/* A file's bytes, and a zero behind them; free() it. NULL when there is no such file. */
static inline char *read_whole(const char *name, size_t *len)
{
    FILE *f = fopen(in_dir(name), "r");
    char *text = NULL;
    size_t n = 0, more;

    if (!f)
        return NULL;
    do {
        text = (char *)realloc(text, n + (1 << 20) + 1);
        assert_non_null(text);
        more = fread(text + n, 1, 1 << 20, f);
        n += more;
    } while (more);
    text[n] = 0;
    fclose(f);
    if (len)
        *len = n;
    return text;
}

static inline void copy_plugin(const char *from, const char *name)
{
    char command[640];

    snprintf(command, sizeof command, "cp %s %s", from, in_dir(name));
    assert_int_equal(system(command), 0);
}

/* One run of the program. */
typedef struct run {
    pid_t pid;
    int in, out, err;
    int code; /* exit code, or 128 + the signal */
    char *output, *errors;
    size_t output_len, errors_len;
} run;

/* Words are split at blanks; {} stands for the directory. The program runs in the directory. */
static inline void run_start(run *r, const char *words)
{
    int in[2], out[2], err[2];
    char text[2048], *argv[64], *save = NULL, *at = text;
    int argc = 0;

    memset(r, 0, sizeof *r);
    for (const char *w = words; *w; w++) {
        if (w[0] == '{' && w[1] == '}') {
            at += sprintf(at, "%s", dir);
            w++;
        } else {
            *at++ = *w;
        }
    }
    *at = 0;
    argv[argc++] = (char *)BUILD_DIR "/berth";
    for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    argv[argc] = NULL;
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC) | pipe2(err, O_CLOEXEC), 0);
    r->pid = fork();
    assert_true(r->pid >= 0);
    if (r->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(err[1], 2);
        signal(SIGPIPE, SIG_DFL);
        if (chdir(dir) != 0)
            _exit(126);
        execv(argv[0], argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    close(err[1]);
    r->in = in[1];
    r->out = out[0];
    r->err = err[0];
}

static inline bool take_more(int *fd, char **text, size_t *len)
{
    char piece[65536];
    ssize_t n = read(*fd, piece, sizeof piece);

    if (n <= 0) {
        close(*fd);
        *fd = -1;
        return false;
    }
    *text = (char *)realloc(*text, *len + (size_t)n + 1);
    assert_non_null(*text);
    memcpy(*text + *len, piece, (size_t)n);
    *len += (size_t)n;
    (*text)[*len] = 0;
    return true;
}

/* Wait until standard output (or error) holds this text. */
static inline void run_expect(run *r, bool errors, const char *text)
{
    for (;;) {
        char *have = errors ? r->errors : r->output;

        if (have && strstr(have, text))
            return;
        if (!(errors ? take_more(&r->err, &r->errors, &r->errors_len)
                     : take_more(&r->out, &r->output, &r->output_len)))
            fail_msg("it ended without '%s'; it said: %s%s", text, r->output ? r->output : "",
                     r->errors ? r->errors : "");
    }
}

/* Feed it, take what it prints, wait for its end. input NULL: nothing more to read. */
static inline void run_finish(run *r, const void *input, size_t len)
{
    const char *at = (const char *)input;
    int status;

    signal(SIGPIPE, SIG_IGN);
    if (!len && r->in >= 0) {
        close(r->in);
        r->in = -1;
    }
    while (r->out >= 0 || r->err >= 0) {
        struct pollfd fds[3] = {{.fd = r->out, .events = POLLIN},
                                {.fd = r->err, .events = POLLIN},
                                {.fd = r->in, .events = POLLOUT}};

        assert_true(poll(fds, 3, 60000) > 0);
        if (fds[0].revents)
            take_more(&r->out, &r->output, &r->output_len);
        if (fds[1].revents)
            take_more(&r->err, &r->errors, &r->errors_len);
        if (fds[2].revents) {
            size_t piece = len < 4096 ? len : 4096;
            ssize_t n = write(r->in, at, piece);

            at += n > 0 ? n : 0;
            len -= n > 0 ? (size_t)n : len;
            if (!len) {
                close(r->in);
                r->in = -1;
            }
        }
    }
    if (r->in >= 0)
        close(r->in);
    r->in = -1;
    assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
    r->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (!r->output)
        r->output = (char *)calloc(1, 1);
    if (!r->errors)
        r->errors = (char *)calloc(1, 1);
}

static inline void run_berth(run *r, const char *words, const char *input)
{
    run_start(r, words);
    run_finish(r, input, input ? strlen(input) : 0);
}

static inline void run_free(run *r)
{
    free(r->output);
    free(r->errors);
    memset(r, 0, sizeof *r);
}

/* Run, and check the exit code and what is printed; NULL: whatever. errors: a part of it. */
static inline void expect(const char *words, const char *input, int code, const char *output,
                          const char *errors)
{
    run r;

    run_berth(&r, words, input);
    if (r.code != code || (output && strcmp(r.output, output) != 0) ||
        (errors && !strstr(r.errors, errors)))
        fail_msg("berth %s\nanswered %d, not %d\nprinted: %s\nsaid: %s", words, r.code, code,
                 r.output, r.errors);
    run_free(&r);
}

#endif
