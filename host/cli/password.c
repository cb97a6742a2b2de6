/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/password.h"

#include "base/error.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { CTRL_C = 3, CTRL_D = 4, CTRL_U = 21, CTRL_BACKSLASH = 28, BACKSPACE = 8, DELETE = 127 };

static berth_status put(char *out, size_t *len, char c, berth_error *error)
{
    if (*len + 1 == PASSWORD_MAX)
        return fail(error, BERTH_ERR_LIMIT, "a password has at most %d bytes", PASSWORD_MAX - 1);
    out[(*len)++] = c;
    return BERTH_OK;
}

/* One key at the terminal, which is not in line mode; *done at the end of the line. */
static berth_status type(char *out, size_t *len, char c, bool *done, berth_error *error)
{
    switch (c) {
    case CTRL_C:
    case CTRL_BACKSLASH:
        return fail(error, BERTH_ERR_CANCELLED, "no password was given");
    case '\r':
    case '\n':
    case CTRL_D:
        *done = true;
        return BERTH_OK;
    case CTRL_U:
        *len = 0;
        return BERTH_OK;
    case BACKSPACE:
    case DELETE:
        while (*len && (out[--*len] & 0xC0) == 0x80)
            continue;
        return BERTH_OK;
    default:
        return put(out, len, c, error);
    }
}

static berth_status read_line(bool terminal, char *out, size_t *len, berth_error *error)
{
    berth_status status = BERTH_OK;
    bool done = false;
    char c;

    *len = 0;
    while (!done && status == BERTH_OK) {
        ssize_t n = read(STDIN_FILENO, &c, 1);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(error, errno, "standard input");
        if (n == 0)
            break;
        if (terminal)
            status = type(out, len, c, &done, error);
        else if (c == '\n')
            done = true;
        else
            status = put(out, len, c, error);
    }
    out[*len] = 0;
    return status;
}

berth_status password_ask(const char *prompt, char out[PASSWORD_MAX], size_t *len,
                          berth_error *error)
{
    struct termios before, silent;
    bool terminal = tcgetattr(STDIN_FILENO, &before) == 0;
    berth_status status;

    if (terminal) {
        /* Without signals either: Ctrl-C would leave the terminal silent for ever. */
        silent = before;
        silent.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG);
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
        fputs(prompt, stderr);
    }
    status = read_line(terminal, out, len, error);
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fputc('\n', stderr);
    }
    return status;
}
