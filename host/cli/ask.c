/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include "base/error.h"
#include "cli/fields.h"
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int ask(const cli_invocation *inv, const client_request *request, struct json_object **answer)
{
    berth_error error = {0};
    client *c = NULL;
    berth_status status = client_open(&c, inv, &error);

    *answer = NULL;
    if (status == BERTH_OK)
        status = client_json(c, request, answer, &error);
    client_close(c);
    return status == BERTH_OK ? EXIT_DONE : output_fail(&error);
}

int ask_show(const cli_invocation *inv, const char *path, void (*show)(struct json_object *answer))
{
    struct json_object *answer;
    int code = ask(inv, &(client_request){.path = path}, &answer);

    if (code == EXIT_DONE && cli_flag(inv, "json"))
        output_json(answer);
    else if (code == EXIT_DONE)
        show(answer);
    json_object_put(answer);
    return code;
}

int ask_stream(const cli_invocation *inv, const client_request *request)
{
    berth_error error = {0};
    client *c = NULL;
    berth_status status = client_open(&c, inv, &error);

    if (status == BERTH_OK)
        status = client_run(c, request, &error);
    client_close(c);
    return status == BERTH_OK ? EXIT_DONE : output_fail(&error);
}

static int by_name(const void *a, const void *b)
{
    struct json_object *const *left = (struct json_object *const *)a;
    struct json_object *const *right = (struct json_object *const *)b;

    return strcmp(field_text(*left, "name"), field_text(*right, "name"));
}

int ask_list(const cli_invocation *inv, const char *path, const char *member,
             struct json_object **answer, struct json_object **list)
{
    int code = ask(inv, &(client_request){.path = path}, answer);

    *list = field_array(*answer, member);
    if (*list)
        json_object_array_sort(*list, by_name);
    return code;
}

char *ask_body(struct json_object *object)
{
    char *text = strdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));

    json_object_put(object);
    if (!text)
        abort();
    return text;
}

int ask_open(const char *file)
{
    berth_error error = {0};
    struct stat st;
    int fd;

    if (!file || strcmp(file, "-") == 0) {
        if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO))
            output_note("reading from the terminal: Ctrl-D ends it");
        return STDIN_FILENO;
    }
    fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        fail_errno(&error, errno, "%s", file);
    } else if (S_ISDIR(st.st_mode)) {
        fail(&error, BERTH_ERR_INVALID, "%s: is a directory, not a file", file);
    } else {
        return fd;
    }
    output_fail(&error);
    ask_close(fd);
    return -1;
}

void ask_close(int fd)
{
    if (fd > STDIN_FILENO)
        close(fd);
}
