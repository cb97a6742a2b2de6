/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool output_has_colours(FILE *to)
{
    const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

    return isatty(fileno(to)) && !(no && no[0]) && term && strcmp(term, "dumb") != 0;
}

/* Straight, with tabs and line feeds let through, so that text looks like text. */
static void put_readable(FILE *to, slice text)
{
    char shown[1024];

    while (text.len) {
        size_t n = 0;

        while (n < text.len && n < 200 && text.ptr[n] != '\n' && text.ptr[n] != '\t')
            n++;
        /* A piece must not end inside of a character. */
        while (n == 200 && n < text.len && n < 204 && (text.ptr[n] & 0xC0) == 0x80)
            n++;
        text_escape(shown, sizeof shown, (const char *)text.ptr, n);
        fputs(shown, to);
        text = slice_of(text.ptr + n, text.len - n);
        if (text.len && (text.ptr[0] == '\n' || text.ptr[0] == '\t')) {
            fputc(text.ptr[0], to);
            text = slice_of(text.ptr + 1, text.len - 1);
        }
    }
}

void output_payload(FILE *to, bool terminal, slice payload)
{
    if (terminal)
        put_readable(to, payload);
    else if (payload.len)
        fwrite(payload.ptr, 1, payload.len, to);
    fputc('\n', to);
}

void output_note(const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fputs("berth: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

int output_exit_code(berth_status status)
{
    switch (status) {
    case BERTH_OK:
        return EXIT_DONE;
    case BERTH_ERR_NO_HOST:
        return EXIT_NO_HOST;
    case BERTH_ERR_REFUSED:
    case BERTH_ERR_ADMISSION:
    case BERTH_ERR_SIGNATURE:
    case BERTH_ERR_PERMISSION:
        return EXIT_REFUSED;
    default:
        return EXIT_FAILED;
    }
}

int output_fail(const berth_error *error)
{
    char text[BERTH_ERROR_TEXT * 4];

    if (error->code == BERTH_OK)
        return EXIT_DONE;
    text_escape(text, sizeof text, error->text, strlen(error->text));
    output_note("%s", text[0] ? text : berth_status_text(error->code));
    return output_exit_code(error->code);
}

int output_usage(const cli_invocation *inv, const char *format, ...)
{
    const char *noun = inv->command ? inv->command->noun : inv->noun;
    const char *verb = inv->command ? inv->command->verb : NULL;
    char text[BERTH_ERROR_TEXT];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    /* Where the right word is named already, the manual is no help. */
    if (strchr(text, '?'))
        output_note("%s", text);
    else
        output_note("%s (see 'berth%s%s%s%s --help')", text, noun ? " " : "", noun ? noun : "",
                    verb ? " " : "", verb ? verb : "");
    return EXIT_USAGE;
}

void output_json(struct json_object *object)
{
    int flags = JSON_C_TO_STRING_NOSLASHESCAPE;

    if (isatty(STDOUT_FILENO))
        flags |= JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED;
    puts(json_object_to_json_string_ext(object, flags));
}

int output_finish(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    if (errno == EPIPE)
        return code;
    output_note("standard output: %s", strerror(errno));
    return code == EXIT_DONE ? EXIT_FAILED : code;
}
