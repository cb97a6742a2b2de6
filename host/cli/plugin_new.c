/* SPDX-License-Identifier: Apache-2.0 */
/* `berth plugin new`: the SDK's template, which is part of this program. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/template.h"

#include "base/cursor.h"
#include "base/error.h"
#include "base/file.h"
#include "base/random.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 127 };

/* The directory's last part names a plugin and its kind, so it has to be fit for both. */
static berth_status check_name(const char *name, berth_error *error)
{
    size_t len = strlen(name);

    if (!len || len > NAME_MAX_BYTES || name[0] == '.' || name[0] == '-' ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != len)
        return fail(error, BERTH_ERR_INVALID,
                    "'%s' cannot be a plugin's name: 1 to %d bytes of a-z 0-9 - _ . that begin "
                    "with a letter or digit",
                    name, NAME_MAX_BYTES);
    return BERTH_OK;
}

/* The text, with the plugin's name for each @NAME@. */
static void fill(writer *w, slice text, const char *name)
{
    static const char mark[] = "@NAME@";
    const uint8_t *at;

    while ((at = (const uint8_t *)memmem(text.ptr, text.len, mark, sizeof mark - 1))) {
        size_t before = (size_t)(at - text.ptr);

        writer_bytes(w, text.ptr, before);
        writer_bytes(w, name, strlen(name));
        text = slice_of(at + sizeof mark - 1, text.len - before - (sizeof mark - 1));
    }
    writer_bytes(w, text.ptr, text.len);
}

static berth_status write_one(const char *dir, const template_file *file, const char *name,
                              berth_error *error)
{
    writer path = {0}, text = {0};
    berth_status status = BERTH_OK;
    char *slash;

    writer_bytes(&path, dir, strlen(dir));
    writer_u8(&path, '/');
    fill(&path, slice_str(file->path), name);
    writer_u8(&path, 0);
    fill(&text, file->text, name);
    if (path.failed || text.failed)
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (status == BERTH_OK && (slash = strrchr((char *)path.data, '/'))) {
        *slash = 0;
        /* The project is to be shared, unlike what the host keeps: the umask decides. */
        if (mkdir((char *)path.data, 0777) != 0 && errno != EEXIST)
            status = fail_errno(error, errno, "%s", (char *)path.data);
        *slash = '/';
    }
    if (status == BERTH_OK)
        status = file_write_new((char *)path.data, text.data, text.len,
                                file->executable ? 0755 : 0644, error);
    writer_free(&path);
    writer_free(&text);
    return status;
}

static int write_all(const cli_invocation *inv, const char *dir, const char *lang, const char *name)
{
    struct json_object *made = json_object_new_object(), *files = json_object_new_array();
    berth_error error = {0};
    int code = EXIT_DONE;

    if (mkdir(dir, 0777) != 0) {
        if (errno == EEXIST)
            fail(&error, BERTH_ERR_EXISTS, "%s: is there already; name a directory that is not",
                 dir);
        else
            fail_errno(&error, errno, "%s", dir);
    }
    for (const template_file *f = template_files; f->lang && error.code == BERTH_OK; f++) {
        if (strcmp(f->lang, lang) == 0 && write_one(dir, f, name, &error) == BERTH_OK)
            json_object_array_add(files, json_object_new_string(f->path));
    }
    json_put_string(made, "directory", slice_str(dir));
    json_put_string(made, "name", slice_str(name));
    json_put(made, "files", files);
    if (error.code != BERTH_OK)
        code = output_fail(&error);
    else if (cli_flag(inv, "json"))
        output_json(made);
    else
        printf("%s: a %s plugin named %s; %s/README.md says how to build and check it\n", dir,
               strcmp(lang, "cpp") == 0 ? "C++"
               : lang[0] == 'c'         ? "C"
                                        : "Rust",
               name, dir);
    json_object_put(made);
    return code;
}

int cmd_plugin_new(const cli_invocation *inv)
{
    const char *dir = cli_argument_at(inv, 0), *lang = cli_value(inv, "lang");
    char *copy = strdup(dir);
    berth_error error = {0};
    int code;

    if (!copy)
        abort();
    if (check_name(basename(copy), &error) != BERTH_OK)
        code = output_usage(inv, "%s", error.text);
    else
        code = write_all(inv, dir, lang ? lang : "c", basename(copy));
    free(copy);
    return code;
}
