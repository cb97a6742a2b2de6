/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include "cli/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL

enum { BAR = 24, LINE_MAX_BYTES = 256 };

void progress_begin(progress *p, const char *label, int64_t now_ns)
{
    *p = (progress){.label = label, .started_ns = now_ns, .drawn_ns = now_ns};
    p->terminal = label && isatty(STDERR_FILENO);
}

static size_t put_bar(char *out, uint64_t done, uint64_t total)
{
    size_t full = (size_t)((double)done / (double)total * BAR), at = 0;

    out[at++] = '[';
    for (size_t i = 0; i < BAR; i++)
        out[at++] = i < full ? '=' : i == full ? '>' : ' ';
    out[at++] = ']';
    out[at] = 0;
    return at;
}

/* A number of bytes, or of things. */
static void put_amount(char *out, uint64_t n, bool counts)
{
    if (counts)
        snprintf(out, FORMAT_MAX, "%" PRIu64, n);
    else
        format_bytes(out, n);
}

char *progress_line(char *out, size_t cap, size_t columns, const char *label, uint64_t done,
                    uint64_t total, int64_t elapsed_ns, bool counts)
{
    char so_far[FORMAT_MAX], all[FORMAT_MAX], rate[FORMAT_MAX], left[FORMAT_MAX], bar[BAR + 3];
    double seconds = (double)elapsed_ns / SECOND_NS;
    double per_second = seconds > 0 ? (double)done / seconds : 0;

    put_amount(so_far, done, counts);
    put_amount(rate, (uint64_t)per_second, counts);
    if (total && done <= total) {
        double rest = per_second > 0 ? (double)(total - done) / per_second : 0;

        put_bar(bar, done, total);
        put_amount(all, total, counts);
        format_duration(left, (int64_t)(rest < 1e6 ? rest + 0.5 : 1e6) * SECOND_NS);
        snprintf(out, cap, "%s %s %3.0f%%  %s of %s  %s/s  %s left", label, bar,
                 (double)done / (double)total * 100, so_far, all, rate, rest < 0.5 ? "0s" : left);
    } else {
        snprintf(out, cap, "%s  %s  %s/s", label, so_far, rate);
    }
    if (columns && columns < strlen(out))
        out[columns] = 0;
    return out;
}

void progress_update(progress *p, uint64_t done, uint64_t total, int64_t now_ns)
{
    struct winsize size = {0};
    char line[LINE_MAX_BYTES];

    if (!p->terminal || now_ns - p->started_ns < SECOND_NS || now_ns - p->drawn_ns < SECOND_NS / 10)
        return;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || !size.ws_col)
        size.ws_col = 80;
    progress_line(line, sizeof line, size.ws_col - 1, p->label, done, total, now_ns - p->started_ns,
                  p->counts);
    fprintf(stderr, "\r\x1b[K%s", line);
    fflush(stderr);
    p->drawn_ns = now_ns;
    p->visible = true;
}

void progress_end(progress *p)
{
    if (p->visible)
        fputs("\r\x1b[K", stderr);
    p->visible = false;
}
