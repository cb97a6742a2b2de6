/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/clock.h"
#include "base/error.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE 2048

static atomic_int max_level = LOG_LEVEL_INFO;
static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;
static log_sink *sink;
static void *sink_ctx;

static _Thread_local const log_capture *capture;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool to_journal;

/* JOURNAL_STREAM is inherited by children whose standard error goes elsewhere, so it counts only
 * when it names the very stream that standard error is now. */
static void look_at_stderr(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    uint64_t device, inode;
    struct stat st;

    if (stream && sscanf(stream, "%" SCNu64 ":%" SCNu64, &device, &inode) == 2 &&
        fstat(STDERR_FILENO, &st) == 0)
        to_journal = st.st_dev == device && st.st_ino == inode;
}

void log_set_level(log_level level)
{
    atomic_store(&max_level, (int)level);
}

void log_set_sink(log_sink *to, void *ctx)
{
    pthread_mutex_lock(&sink_lock);
    sink = to;
    sink_ctx = ctx;
    pthread_mutex_unlock(&sink_lock);
}

const log_capture *log_set_capture(const log_capture *to)
{
    const log_capture *before = capture;

    capture = to;
    return before;
}

const log_capture *log_get_capture(void)
{
    return capture;
}

static int stamp(char *out, size_t cap)
{
    int64_t now = clock_wall_ns();
    time_t seconds = (time_t)(now / 1000000000);
    struct tm utc;

    gmtime_r(&seconds, &utc);
    return snprintf(out, cap, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900,
                    utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                    (int)(now / 1000000 % 1000));
}

static void to_stderr(log_level level, const char *room, const char *text)
{
    static const char *const names[] = {"error", "warn ", "info ", "debug"};
    static const int priorities[] = {3, 4, 6, 7};
    char line[LINE], when[64];
    ssize_t written;
    int n;

    pthread_once(&once, look_at_stderr);
    if (to_journal) {
        n = snprintf(line, sizeof line, "<%d>%s: %s\n", priorities[level], room, text);
    } else {
        stamp(when, sizeof when);
        n = snprintf(line, sizeof line, "%s %s %s: %s\n", when, names[level], room, text);
    }
    if (n < 0)
        return;
    if ((size_t)n >= sizeof line) {
        n = sizeof line - 1;
        line[n - 1] = '\n';
    }
    written = write(STDERR_FILENO, line, (size_t)n);
    (void)written; /* there is nowhere left to complain to */
}

void log_write(log_level level, const char *room, const char *format, ...)
{
    char raw[LINE], text[LINE - 128];
    log_sink *to;
    void *ctx;
    va_list args;
    int n;
    bool ours = capture && level <= capture->level;
    bool common = (int)level <= atomic_load_explicit(&max_level, memory_order_relaxed) &&
                  (!ours || level == LOG_LEVEL_ERROR);

    if (!ours && !common)
        return;
    va_start(args, format);
    n = vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    if (n < 0)
        return;
    text_escape(text, sizeof text, raw, (size_t)n < sizeof raw ? (size_t)n : sizeof raw - 1);
    if (ours)
        capture->sink(capture->ctx, level, room, text);
    if (!common)
        return;

    pthread_mutex_lock(&sink_lock);
    to = sink;
    ctx = sink_ctx;
    pthread_mutex_unlock(&sink_lock);
    if (to)
        to(ctx, level, room, text);
    else
        to_stderr(level, room, text);
}
