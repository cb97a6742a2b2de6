/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/help.h"
#include "cli/output.h"

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * A program may be started with standard descriptors closed. What it opens next would get their
 * numbers, and be read as input or filled with messages: a socket, or the database of a host. What
 * is put there instead fails, as a closed descriptor does.
 */
static void occupy_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            _Exit(EXIT_FAILED);
}

static int help(const cli_invocation *inv, FILE *to)
{
    if (inv->command)
        help_command(to, inv->command);
    else if (inv->noun)
        help_noun(to, inv->noun);
    else
        help_all(to);
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    cli_invocation inv;
    berth_error error = {0};
    cli_wish wish;
    int code = EXIT_DONE;

    occupy_standard_descriptors();
    /* Only how wide characters are is asked of the locale; numbers stay as programs write them. */
    setlocale(LC_CTYPE, "C.UTF-8");
    signal(SIGPIPE, SIG_IGN);
    if (cli_parse(argc, argv, &inv, &wish, &error) != BERTH_OK) {
        code = output_usage(&inv, "%s", error.text);
    } else {
        switch (wish) {
        case WISH_RUN:
            code = inv.command->run(&inv);
            break;
        case WISH_HELP:
            code = help(&inv, stdout);
            break;
        case WISH_VERSION:
            puts("berth " BERTH_VERSION);
            break;
        case WISH_GUIDE:
            help(&inv, stderr);
            code = EXIT_USAGE;
            break;
        }
    }
    cli_invocation_free(&inv);
    return output_finish(code);
}
