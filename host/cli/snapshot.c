/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/output.h"

#include "base/error.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the bytes go as they come. */
typedef struct target {
    int fd;
    int failure; /* errno of a write */
    uint64_t written;
} target;

static bool write_piece(void *ctx, slice piece)
{
    target *t = (target *)ctx;

    if (!file_write_all(t->fd, piece.ptr, piece.len))
        t->failure = errno;
    t->written += piece.len;
    return !t->failure;
}

static int receive(const cli_invocation *inv, const char *daemon, target *t, const char *file)
{
    char *path = client_path("/v1/daemons/%s/snapshot", daemon);
    int code = ask_stream(
        inv,
        &(client_request){
            .method = "POST", .path = path, .sink = write_piece, .ctx = t, .progress = "snapshot"});
    berth_error error = {0};

    free(path);
    if (code == EXIT_DONE && t->failure) {
        fail_errno(&error, t->failure, "%s", file);
        code = output_fail(&error);
    }
    return code;
}

/* A pipe or a device: what is already there is not replaced, but gets the bytes. */
static int receive_into(const cli_invocation *inv, const char *daemon, const char *file,
                        uint64_t *bytes)
{
    target t = {.fd = open(file, O_WRONLY | O_CLOEXEC | O_NOCTTY)};
    berth_error error = {0};
    int code;

    if (t.fd < 0) {
        fail_errno(&error, errno, "%s", file);
        return output_fail(&error);
    }
    code = receive(inv, daemon, &t, file);
    if (close(t.fd) != 0 && code == EXIT_DONE) {
        fail_errno(&error, errno, "%s", file);
        code = output_fail(&error);
    }
    *bytes = t.written;
    return code;
}

/* Beside the file, and under its name only when it is whole and on disk. */
static int receive_file(const cli_invocation *inv, const char *daemon, const char *file,
                        uint64_t *bytes)
{
    char *temporary = NULL, *copy = strdup(file);
    berth_error error = {0};
    target t = {.fd = -1};
    int code;

    if (!copy || asprintf(&temporary, "%s.part-XXXXXX", file) < 0)
        abort();
    t.fd = mkostemp(temporary, O_CLOEXEC);
    if (t.fd < 0) {
        fail_errno(&error, errno, "%s", file);
        code = output_fail(&error);
        goto out;
    }
    code = receive(inv, daemon, &t, file);
    if (code == EXIT_DONE && (fsync(t.fd) != 0 || rename(temporary, file) != 0)) {
        fail_errno(&error, errno, "%s", file);
        code = output_fail(&error);
    }
    if (code != EXIT_DONE)
        unlink(temporary);
    else
        file_sync_dir(dirname(copy), NULL);
    close(t.fd);
    *bytes = t.written;
out:
    free(temporary);
    free(copy);
    return code;
}

/* Whatever the name leads to; a symbolic link stays one. */
static int receive_to(const cli_invocation *inv, const char *daemon, const char *file,
                      uint64_t *bytes)
{
    berth_error error = {0};
    struct stat st;
    char *real;
    int code;

    if (stat(file, &st) == 0 && S_ISREG(st.st_mode) && (real = realpath(file, NULL))) {
        code = receive_file(inv, daemon, real, bytes);
        free(real);
        return code;
    }
    if (stat(file, &st) == 0 && !S_ISDIR(st.st_mode))
        return receive_into(inv, daemon, file, bytes);
    if (stat(file, &st) == 0)
        fail(&error, BERTH_ERR_INVALID, "%s: is a directory: name a file in it", file);
    else if (lstat(file, &st) == 0)
        fail(&error, BERTH_ERR_INVALID,
             "%s: is a symbolic link that leads nowhere: remove it, or name another file", file);
    else
        return receive_file(inv, daemon, file, bytes);
    return output_fail(&error);
}

/* The daemon's whole name, of what the operator called it. */
static int full_name(const cli_invocation *inv, const char *daemon, char **name)
{
    char *path = client_path("/v1/daemons/%s", daemon);
    struct json_object *answer;
    int code = ask(inv, &(client_request){.path = path}, &answer);

    if (code == EXIT_DONE && !(*name = strdup(field_text(answer, "name"))))
        abort();
    json_object_put(answer);
    free(path);
    return code;
}

/* Its name comes from the host; it must not lead out of this directory. */
static char *default_file(const char *name)
{
    char *file = NULL;

    if (asprintf(&file, "%s.snapshot", name) < 0)
        abort();
    for (char *at = file; *at; at++) {
        if (*at == '/')
            *at = '_';
    }
    return file;
}

static void tell(const cli_invocation *inv, const char *name, const char *file, uint64_t bytes)
{
    struct json_object *object;
    char text[FORMAT_MAX];

    if (!cli_flag(inv, "json")) {
        printf("%s: snapshot of %s, %s\n", file, name, format_bytes(text, bytes));
        return;
    }
    object = json_object_new_object();
    json_put_string(object, "name", slice_str(name));
    json_put_string(object, "file", slice_str(file));
    json_put_u64(object, "bytes", bytes);
    output_json(object);
    json_object_put(object);
}

int cmd_daemon_snapshot(const cli_invocation *inv)
{
    const char *daemon = cli_argument_at(inv, 0), *said = cli_value(inv, "output");
    char *name = NULL, *file = NULL;
    target standard = {.fd = STDOUT_FILENO};
    uint64_t bytes = 0;
    int code;

    if (said && strcmp(said, "-") == 0) {
        if (isatty(STDOUT_FILENO))
            return output_usage(inv, "a snapshot is nothing for a terminal: redirect it, or name a "
                                     "file with -o");
        return receive(inv, daemon, &standard, "standard output");
    }
    code = full_name(inv, daemon, &name);
    if (code == EXIT_DONE) {
        file = said ? strdup(said) : default_file(name);
        code = file ? receive_to(inv, daemon, file, &bytes) : EXIT_FAILED;
    }
    if (code == EXIT_DONE)
        tell(inv, name, file, bytes);
    free(name);
    free(file);
    return code;
}
